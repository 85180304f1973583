"""Sources in a browser: chosen, filled in, tried, made, and changed on their pipeline's tab."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from pytest_httpserver import HTTPServer

from dash_app.domain.access import Role
from dash_app.storage import catalog
from tests.e2e.pages.conftest import House, Opened

MAPPING = {"fields": [{"name": "temperature", "path": "$.temperature", "type": "number"}]}
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """A server with records below `data.items` and a link to a next page, for who shows the key."""
    with HTTPServer(host="127.0.0.1") as server:
        items = [{"id": n, "at": f"2024-05-01T0{n}:00:00Z", "temp": 10 + n} for n in range(4)]
        answer = {"data": {"items": items}, "links": {"next": "/v1?page=2"}}
        server.expect_request("/v1", headers={"X-Key": "hunter2hunter2"}).respond_with_json(answer)
        yield server.url_for("/v1")


def forgive(opened: Opened, *statuses: str) -> None:
    """Chromium counts an answer above 400 as an error of the page, also where the page has asked for it."""
    complaints = opened.complaints  # type: ignore[attr-defined]
    assert all(any(status in each for status in statuses) for each in complaints), complaints
    complaints.clear()


def choose(page: Page, house: House, search: str, title: str) -> None:
    page.goto(f"{house.url}/pipelines/new")
    page.get_by_role("searchbox").fill(search)
    expect(page.locator(".kind:visible")).to_have_count(1)
    page.locator(".kind:visible").click()
    expect(page.locator("h1")).to_have_text(f"New pipeline: {title}")


def test_a_pipeline_is_made_and_its_first_record_appears(house: House, opened: Opened) -> None:
    page = opened()
    choose(page, house, "stripe github", "Webhook")
    page.get_by_text("Create pipeline").click()
    expect(page.get_by_text("a name is needed")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Roof sensor")
    expect(page.locator("[data-slug] code")).to_have_text("roof_sensor")
    page.get_by_text("Create pipeline").click()
    expect(page.get_by_text("Roof sensor is ready")).to_be_visible()
    secret = page.locator("[data-code=secret]").inner_text()
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/=]{20,}", secret)
    for name in ("script", "python", "javascript"):
        assert secret in (page.locator(f"[data-code={name}]").text_content() or "")
    expect(page.get_by_text("Waiting for the first payload")).to_be_visible()
    with house.app.database.team(house.team) as unit:
        made = catalog.pipeline(unit, "roof_sensor")
    house.send(made.id, {"temperature": 21.5, "site": "roof"})
    expect(page.get_by_text("The first record is here")).to_be_visible()
    expect(page.locator("dd").get_by_text("roof", exact=True)).to_be_visible()
    page.get_by_text("See it in the pipeline").click()
    page.wait_for_url("**/pipelines/roof_sensor?tab=records")
    expect(page.locator(".records-tile")).to_contain_text("21.5")
    expect(page.locator(".pipeline-note")).to_contain_text("nferred")
    forgive(opened, "422")


def test_a_scheme_brings_its_own_options_and_words(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/new")
    page.get_by_role("link", name="Slack").click()
    path = page.get_by_label("Delivery path")
    expect(path).to_have_value("$.event_id")
    expect(page.locator("[data-secret] .help")).to_contain_text("Signing Secret")
    page.get_by_label("Scheme").select_option(label="HMAC in a header")
    expect(page.get_by_label("Delivery path")).to_have_value("")
    page.get_by_label("Prefix").fill("sha256=")
    page.get_by_label("Scheme").select_option(label="None: nothing is signed")
    expect(page.get_by_text("will be able to send")).to_be_visible()
    expect(page.locator("[data-secret]")).to_be_hidden()
    expect(page.get_by_label("Prefix")).to_have_count(0)


def test_a_poll_is_tried_made_and_changed_without_its_secret_being_shown(
    house: House, opened: Opened, api: str
) -> None:
    page = opened()
    choose(page, house, "rest api pagination", "HTTP poll")
    page.get_by_label("Name", exact=True).first.fill("Feed")
    page.get_by_label("URL", exact=True).fill("ftp://example.org/x")
    page.get_by_text("Create pipeline").click()
    expect(page.locator("[data-option=url] .wrong")).to_be_visible()
    expect(page.get_by_text("Not yet")).to_be_visible()
    page.get_by_label("URL", exact=True).fill(api)
    page.locator("[data-option=auth] select").first.select_option("api_key")
    page.locator("[data-option='auth.name'] input").fill("X-Key")
    page.locator("[data-option='auth.api_key'] input").fill("hunter2hunter2")
    page.get_by_role("button", name="Try it").click()
    trial = page.locator("[data-trial]")
    expect(trial.locator(".trial-line .badge")).to_have_text("200 OK")
    trial.get_by_role("button", name="Follow them").click()
    expect(page.locator("[data-option='paginator.next_url_path'] input")).to_have_value("links.next")
    expect(trial).to_contain_text("Pages are followed")
    trial.get_by_role("button", name="Use it").click()
    expect(page.get_by_label("Data selector")).to_have_value("$.data.items")
    expect(trial.locator("tbody tr").first).to_contain_text("2024-05-01T00:00:00Z")
    page.locator("[data-option=incremental] input[type=checkbox]").check()
    page.locator("[data-option='incremental.cursor_path'] input").fill("at")
    page.locator("[data-option=params]").get_by_role("button", name="Add").click()
    page.keyboard.type("station")
    page.keyboard.press("Tab")
    page.keyboard.type("oslo")
    page.get_by_text("Create pipeline").click()
    expect(page.get_by_text("Feed is ready")).to_be_visible()
    with house.app.database.team(house.team) as unit:
        made = catalog.pipeline(unit, "feed")
    assert made.source_options == {
        "url": api,
        "auth": {"type": "api_key", "name": "X-Key"},
        "params": {"station": "oslo"},
        "data_selector": "$.data.items",
        "paginator": {"type": "json_link", "next_url_path": "links.next"},
        "incremental": {"cursor_path": "at"},
    }
    page.goto(f"{house.url}/pipelines/feed?tab=source")
    save = page.get_by_role("button", name="Save")
    expect(save).to_be_disabled()
    expect(page.locator("[data-option='auth.api_key'] input")).to_have_attribute("placeholder", re.compile("Kept"))
    assert "hunter2hunter2" not in page.content()
    page.get_by_label("Interval (seconds)").fill("300")
    expect(page.locator("[data-option=interval_seconds] .input-hint")).to_have_text("5 min")
    save.click()
    expect(page.get_by_text("The source is saved.")).to_be_visible()
    with house.app.database.team(house.team) as unit:
        changed = catalog.pipeline(unit, "feed")
        kept = house.app.vault.get_all(unit, made.id, "auth_secrets")
    assert changed.source_options == {**made.source_options, "interval_seconds": 300}
    assert kept == ['{"api_key": "hunter2hunter2"}']
    forgive(opened, "422")


def test_secrets_are_made_beside_each_other_and_retired_and_a_test_is_answered(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Door", MAPPING)
    page = opened()
    page.goto(f"{house.url}/pipelines/door?tab=source")
    expect(page.locator("[data-secrets] .badge")).to_have_text("1 valid")
    page.get_by_role("button", name="New secret…").click()
    page.get_by_label("The sender’s own secret").fill("short")
    page.get_by_label("The sender’s own secret").fill("")
    page.get_by_role("button", name="Put it in").click()
    shown = page.locator("[data-code=new-secret]").inner_text()
    with house.app.database.team(house.team) as unit:
        assert house.app.vault.get_all(unit, pipeline, "webhook")[0] == shown
    page.get_by_role("button", name="I have kept it").click()
    expect(page.locator("[data-secrets] .badge")).to_have_text("2 valid")
    assert shown not in page.content()
    retire = page.get_by_role("button", name="Retire the older one")
    retire.click()
    page.get_by_role("button", name=re.compile("Press again")).click()
    expect(page.get_by_text("The older secret is retired.")).to_be_visible()
    expect(page.locator("[data-secrets] .badge")).to_have_text("1 valid")
    page.locator("#test-body").fill('{"temperature": 4}')
    page.get_by_role("button", name="Send it").click()
    answer = page.locator("[data-answer]")
    expect(answer.locator(".badge")).to_have_text("200 OK")
    answer.get_by_text("What was sent").click()
    expect(answer.get_by_label("Request")).to_contain_text("x-hub-signature-256: sha256=")
    answer.get_by_role("link", name="See the payload").click()
    expect(page.locator("#body")).to_contain_text('"temperature": 4')


def test_who_may_look_sees_the_options_and_changes_none(house: House, opened: Opened) -> None:
    house.pipeline("Gate", MAPPING)
    house.member("looker@example.org", Role.viewer, name="Lena")
    page = opened("looker@example.org")
    page.goto(f"{house.url}/pipelines/gate?tab=source")
    expect(page.get_by_label("Scheme")).to_be_disabled()
    for name in ("Save", "New secret…", "Send it"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    token = page.locator('meta[name="dash-xsrf"]').get_attribute("content")
    post = (
        """([path, token]) => fetch(path, {method: "POST", headers: {"X-XSRF-Token": token}}).then((a) => a.status)"""
    )
    for action in ("test", "rotate", "retire", "poll", "try"):
        assert page.evaluate(post, [f"/pipelines/gate/actions/{action}", token]) == 403, action
    opened.complaints.clear()  # type: ignore[attr-defined]
