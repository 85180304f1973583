"""The fields of a pipeline in a browser: what was seen, how it differs from the mapping, and what is done about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from dash_app.pipelines import drift
from dash_app.storage import catalog, sightings
from tests.e2e.pages.conftest import House, Opened

HOSTILE = '<img src=x onerror="window.hacked=1">'
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def page(opened: Opened) -> Page:
    return opened()


def send(house: House, pipeline: UUID, *bodies: Any) -> None:
    """Has payloads accepted, mapped and looked at."""
    house.send(pipeline, *bodies)
    drift.look(house.app, pipeline, settle=timedelta(seconds=-1))


def policy(house: House, pipeline: UUID) -> str:
    with house.app.database.team(house.team) as unit:
        return sightings.look(unit, pipeline).policy


def test_differences_are_shown_and_dismissed(house: House, page: Page) -> None:
    pipeline = house.pipeline("Boilers")
    send(house, pipeline, {"site": "Oslo", "temp_c": 61.5})
    page.goto(f"{house.url}/pipelines/boilers?tab=fields")
    expect(page.locator(".drift")).to_contain_text("What comes is as the mapping expects it.")
    send(house, pipeline, {"site": 7, "temp_c": 60, "load_pct": 40, HOSTILE: HOSTILE})
    page.reload()
    rows = page.locator(".drift .rows > li")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("$.load_pct")
    expect(rows.nth(0)).to_contain_text("integer")
    expect(rows.filter(has_text="$.site")).to_contain_text("integer, and the mapping says text")
    expect(page.locator("main")).to_contain_text(HOSTILE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1360
    page.get_by_role("button", name="Dismiss $.load_pct").click()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Dismiss all").click()
    expect(page.locator(".drift")).to_contain_text("What comes is as the mapping expects it.")
    field = page.get_by_role("row").filter(has=page.get_by_text("$.load_pct", exact=True)).first
    expect(field).to_contain_text("not mapped")


def test_the_policy_is_chosen_and_works(house: House, page: Page) -> None:
    pipeline = house.pipeline("Meters")
    send(house, pipeline, {"site": "Oslo", "power_kw": 3.5})
    page.goto(f"{house.url}/pipelines/meters?tab=fields")
    select = page.get_by_label("New fields and changed types")
    expect(select).to_have_value("keep")
    select.select_option("evolve")
    expect(page.get_by_text("are shown, new fields added to the mapping.")).to_be_visible()
    assert policy(house, pipeline) == "evolve"
    send(house, pipeline, {"site": "Oslo", "power_kw": 3.5, "voltage_v": 229})
    page.reload()
    expect(select).to_have_value("evolve")
    expect(page.locator(".drift")).to_contain_text("What comes is as the mapping expects it.")
    event = page.get_by_role("row").filter(has_text="added in version 2")
    expect(event).to_contain_text("$.voltage_v")
    with house.app.database.team(house.team) as unit:
        assert catalog.pipeline(unit, pipeline).mapping_version == 2


REFRESHED = """async () => {
  const before = window.fetch;
  let asked = 0;
  window.fetch = (...what) => { asked += 1; return before(...what); };
  document.querySelector("[data-part]").dispatchEvent(new CustomEvent("part:refresh"));
  await new Promise((done) => setTimeout(done, 0));
  window.fetch = before;
  return asked;
}"""


def test_a_list_of_choices_that_is_open_stays(house: House, page: Page) -> None:
    house.pipeline("Choices")
    page.goto(f"{house.url}/pipelines/choices?tab=fields")
    select = page.get_by_label("New fields and changed types")
    select.dispatch_event("pointerdown")
    assert page.evaluate(REFRESHED) == 0
    select.dispatch_event("focusout")
    assert page.evaluate(REFRESHED) == 1


def test_the_page_fits_a_phone(house: House, page: Page) -> None:
    pipeline = house.pipeline("Phone")
    send(house, pipeline, {"site": "Oslo"})
    send(house, pipeline, {"site": 1, "a_rather_long_name_of_a_field_that_somebody_has_chosen": {"and": {"more": 1.5}}})
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{house.url}/pipelines/phone?tab=fields")
    expect(page.locator(".drift .rows > li")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
