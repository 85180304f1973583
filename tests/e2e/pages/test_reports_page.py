"""A report as somebody at a browser meets it: made, sent now, arrived, seen among what was sent."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines import dashboards
from dash_app.pipelines.delivery import setup as sink_setup
from dash_app.pipelines.delivery.deliver import Deliver
from dash_app.pipelines.propose import propose_dashboard
from dash_app.pipelines.report_making import make
from dash_app.storage import catalog, reports, sinks
from tests.e2e.pages.conftest import House, Opened
from tests.e2e.pages.test_alerts_page import MAPPING, rows
from tests.receiver import receiver

pytestmark = pytest.mark.timeout(240)


def test_a_report_is_made_sent_now_and_seen_in_its_history(house: House, opened: Opened) -> None:
    weather = house.pipeline("Weather", MAPPING)
    house.send(
        weather, rows(*((datetime.now(UTC) - timedelta(minutes=minute), 20.0 + minute % 7) for minute in range(60)))
    )
    with receiver() as hook:
        with house.app.database.team(house.team) as unit:
            document = propose_dashboard(catalog.pipeline(unit, weather), parse_mapping(MAPPING))
            dashboards.create_dashboard(unit, house.team, document, house.who)
            made = {"name": "Operations", "kind": "webhook", "options": {"url": hook.url}}
            sink = sink_setup.create_sink(unit, house.app, house.team, made, house.who).sink.id
            unit.commit()
        page = opened()
        page.goto(f"{house.url}/reports")
        expect(page.get_by_role("heading", name="No reports yet")).to_be_visible()
        expect(page.locator("[data-part]")).to_contain_text("A report is a dashboard")
        page.get_by_role("button", name="New report").click()
        page.get_by_label("Name", exact=True).fill("Weekly weather")
        page.get_by_label("Shows").select_option("now-24h")
        page.get_by_label("PDF").check()
        page.get_by_label("Tables (CSV)").check()
        # To somebody it must go.
        page.get_by_role("button", name="Create report").click()
        expect(page.locator('[data-place="sinks"] .wrong')).to_be_visible()
        page.get_by_label("Operations").check()
        page.get_by_role("button", name="Create report").click()
        line = page.locator('[data-report="weekly_weather"]')
        expect(line).to_contain_text("Mondays at 07:00")
        expect(line).to_contain_text("Never sent")
        line.get_by_role("button", name="Send now").click()
        expect(line).to_contain_text("Being made")

        with house.app.database.team(house.team) as unit:
            (run,) = reports.runs(unit, reports.get(unit, "weekly_weather").id)
        make(house.app, run.id, base_url=house.url)
        deliver = Deliver(house.app)
        deliver.run(sink)
        deliver.close()
        # It comes by itself, also into what was sent, with who has asked for it.
        expect(line.locator(".badge")).to_have_text("Sent")
        line.locator("summary").click()
        line.get_by_role("link", name="What was sent").click()
        history = page.get_by_role("region", name="What was sent of Weekly weather")
        expect(history.locator("tbody tr")).to_have_count(1)
        expect(history).to_contain_text(house.email)
        (got,) = hook.got
    body = json.loads(got.body)
    files = {one["name"]: base64.b64decode(one["data"]) for one in body["files"]}
    assert files["weekly_weather.pdf"].startswith(b"%PDF")
    assert files["weekly_weather.png"].startswith(b"\x89PNG")
    assert any(name.endswith((".csv", ".zip")) for name in files)
    assert body["link"].startswith(f"{house.url}/dashboards/weather?from=")
    with house.app.database.team(house.team) as unit:
        assert sinks.get(unit, sink).health.failures == 0
