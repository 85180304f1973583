"""Alerts as somebody at a browser meets them: made from a tile, tried over the past, seen to when they fire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines import dashboards, setup
from dash_app.pipelines.alerts import setup as alert_setup
from dash_app.pipelines.alerts.evaluator import Evaluator
from dash_app.pipelines.propose import propose_dashboard
from dash_app.storage import alerts, catalog
from tests.e2e.pages.conftest import House, Opened
from tests.e2e.pages.test_sinks_page import forgiven

pytestmark = pytest.mark.timeout(240)

MAPPING: dict[str, Any] = {
    "records": "$.rows",
    "time": {"path": "$.at", "format": "iso8601"},
    "fields": [
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "degrees", "path": "$.degrees", "type": "number", "unit": "°C"},
    ],
}


def rows(*values: tuple[datetime, float]) -> dict[str, Any]:
    return {"rows": [{"at": at.isoformat(), "site": "roof", "degrees": value} for at, value in values]}


def test_an_alert_from_a_tile_is_tried_fires_live_and_is_seen_to(house: House, opened: Opened) -> None:
    now = datetime.now(UTC)
    weather = house.pipeline("Weather", MAPPING)
    # Twice in the past it was warm for a quarter of an hour.
    warm = [now - timedelta(days=day, minutes=minute) for day in (3, 9) for minute in range(15)]
    calm = [now - timedelta(hours=hour) for hour in range(1, 24 * 12)]
    house.send(weather, rows(*((at, 35.0) for at in warm), *((at, 20.0) for at in calm)))
    with house.app.database.team(house.team) as unit:
        document = propose_dashboard(catalog.pipeline(unit, weather), parse_mapping(MAPPING))
        dashboards.create_dashboard(unit, house.team, document, house.who)
        unit.commit()
    chart = next(tile for tile in document["tiles"] if tile["kind"] == "line")
    page = opened()
    page.goto(f"{house.url}/dashboards/weather")
    tile = page.locator(f'.tile[data-kind="line"]:has-text("{chart["title"]}")').first
    tile.locator(".tile-menu summary").click()
    tile.get_by_role("link", name="Create alert…").click()

    verdict = page.locator(".verdict")
    expect(page.get_by_label("Name", exact=True)).to_have_value(chart["title"])
    expect(page.get_by_label("Field")).to_have_value("degrees")
    expect(verdict).to_contain_text("Set a limit")
    expect(page.get_by_role("region", name="As it is told")).to_contain_text("Set a limit")
    page.get_by_label("Over", exact=True).select_option("5m")
    page.get_by_label("Limit", exact=True).fill("30")
    expect(verdict).to_contain_text("Would have fired 2 times")
    expect(page.get_by_role("button", name="Would have fired for")).to_have_count(2)
    page.get_by_label("Limit", exact=True).fill("40")
    expect(verdict).to_contain_text("Would not have fired")
    page.get_by_label("Limit", exact=True).fill("30")
    page.get_by_label("It fires").select_option("0s")
    page.get_by_label("Name", exact=True).fill("Roof is too hot")

    # What receivers will read stands beside the form; what is wrong with its template at the template.
    told = page.get_by_role("region", name="As it is told")
    expect(told).to_contain_text("Firing: Roof is too hot")
    page.get_by_text("Message, link and labels").click()
    message = page.get_by_label("Message", exact=True)
    message.fill("{{ valeu }} on the roof")
    expect(page.locator('[data-place="message"] .wrong')).to_contain_text("valeu")
    message.fill("{{ value }} {{ unit }} on the roof, over {{ threshold }}")
    expect(told).to_contain_text("33.0 °C on the roof, over 30.0")
    expect(page.locator('[data-place="message"] .wrong')).to_be_hidden()
    told.get_by_role("button", name="Resolved").click()
    expect(told).to_contain_text("Resolved: Roof is too hot")
    page.get_by_label("Slug").fill("Wrong Slug!")
    page.get_by_role("button", name="Create alert").click()
    expect(page.locator('[data-place="slug"] .wrong')).to_be_visible()
    page.get_by_label("Slug").fill("roof_hot")
    page.get_by_role("button", name="Create alert").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Roof is too hot")
    expect(page.locator(".alert-chart .tile, .alert-chart.tile").first).to_have_attribute("data-state", "drawn")

    # Its limit stands in the chart that it came from.
    page.goto(f"{house.url}/dashboards/weather")
    shown = page.evaluate('JSON.parse(document.querySelector("#dashboard-document").textContent).tiles')
    limits = next(one for one in shown if str(one["id"]) == str(chart["id"]))["options"]["thresholds"]
    assert {"value": 30, "color": "bad"} in limits

    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Nothing fires")).to_be_visible()
    evaluator = Evaluator(house.app)
    evaluator.look(everything=True)
    house.send(weather, rows(*((datetime.now(UTC) - timedelta(seconds=second), 34.0) for second in range(3))))
    evaluator.look(everything=True)
    # Nobody has pressed anything: it comes by itself, and so does the count in the rail.
    fired = page.locator(".fired.is-firing")
    expect(fired).to_contain_text("Roof is too hot")
    expect(fired).to_contain_text("34 °C")
    expect(page.locator("[data-firing]")).to_have_text("1")
    fired.get_by_role("button", name="Acknowledge").click()
    expect(fired).to_contain_text(f"Acknowledged by {house.email}")
    expect(fired.get_by_role("button", name="Acknowledge")).to_have_count(0)

    # Silenced with the way back, and turned off on its own page, whose history tells who did what.
    fired.get_by_role("button", name="Silence…").click()
    expect(page.get_by_label("Which alerts")).to_have_value("alert = roof_hot\nsite = roof")
    page.get_by_label("Why").fill("Being mended")
    page.get_by_role("dialog").get_by_role("button", name="Silence").click()
    expect(fired).to_contain_text("Being mended")
    page.get_by_role("button", name="Undo").click()
    expect(fired).not_to_contain_text("Being mended")
    page.goto(f"{house.url}/alerts/roof_hot?tab=history")
    expect(page.locator("tbody tr").filter(has_text="Acknowledged")).to_contain_text(house.email)
    page.get_by_role("button", name="Turn off").click()
    expect(page.locator("[data-state-badge]")).to_contain_text("Off")
    page.goto(house.url)
    expect(page.locator(".fired")).to_have_count(0)
    forgiven(opened, "422")


def test_settings_of_an_alert_are_saved_and_somebody_elses_save_is_not_lost(house: House, opened: Opened) -> None:
    rain = house.pipeline("Rain", MAPPING)
    made = {
        "name": "No rain",
        "slug": "no_rain",
        "query": {"pipeline": "rain", "select": [{"agg": "count"}]},
        "condition": {"type": "missing"},
        "window": "1h",
    }
    with house.app.database.team(house.team) as unit:
        alert_setup.create_alert(unit, house.team, made, house.who)
        unit.commit()
    page = opened()
    page.goto(f"{house.url}/alerts/no_rain?tab=settings")
    page.get_by_label("Severity").select_option("critical")
    page.get_by_role("button", name="Anomaly").click()
    expect(page.locator('[data-place="condition.weeks"]')).to_be_visible()
    page.get_by_role("button", name="No data", exact=True).click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    with house.app.database.team(house.team) as unit:
        found = alerts.get(unit, "no_rain")
        assert (found.severity, found.document["condition"]) == ("critical", {"type": "missing"})
        alert_setup.update_alert(unit, "no_rain", {**found.document, "name": "Dry"}, house.who)
        unit.commit()
    page.get_by_label("Severity").select_option("info")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast.bad")).to_contain_text("read it again")

    # A rule that sees nothing new because its pipeline is paused says so.
    page.goto(f"{house.url}/alerts/no_rain")
    expect(page.get_by_text("is paused: what is sent is held")).to_have_count(0)
    with house.app.database.team(house.team) as unit:
        catalog.update_pipeline(unit, rain, {"state": "paused"})
        unit.commit()
    page.reload()
    expect(page.get_by_text("is paused: what is sent is held")).to_be_visible()

    # A new one begins with the choice of what it watches, where there are several pipelines.
    house.pipeline("Wind", MAPPING)
    page.goto(f"{house.url}/alerts/new")
    expect(page.get_by_role("heading", name="Which pipeline is to be watched?")).to_be_visible()
    page.get_by_role("link", name="Wind").click()
    expect(page.get_by_label("Pipeline", exact=True)).to_have_value("wind")

    # A rule whose pipeline is gone is there to be changed or deleted.
    with house.app.database.team(house.team) as unit:
        setup.archive(unit, rain, house.who)
        unit.commit()
    page.goto(f"{house.url}/alerts/no_rain")
    expect(page.get_by_text("its pipeline was archived")).to_be_visible()
    forgiven(opened, "412")
