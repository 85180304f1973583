"""Comparing versions in a browser: the verdict, the choice that is the address, and a job that is left and found."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import expect

from dash_app.domain.mapping import mapping_text, parse_mapping
from dash_app.pipelines import comparisons, dashboards
from dash_app.pipelines.propose import propose_dashboard
from dash_app.storage import catalog, drafts
from tests.e2e.pages.conftest import House, Opened

HOSTILE = '<img src=x onerror="window.hacked=1">'
BEFORE: dict[str, Any] = {
    "fields": [
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "temperature", "path": "$.temperature", "type": "number", "unit": "°C"},
    ]
}
AFTER: dict[str, Any] = {
    "fields": [
        {"name": "temperature", "path": "$.temperature", "type": "number", "unit": "°C", "default": 0},
        {"name": "fahrenheit", "sql": "temperature * 1.8 + 32", "type": "number", "unit": "°F"},
    ],
    "where": "temperature < 9",
}
pytestmark = pytest.mark.timeout(240)


def mapped(house: House, name: str, first: dict[str, Any], *others: dict[str, Any]) -> UUID:
    """A pipeline with several versions of its mapping, of which the first is read."""
    made = house.pipeline(name, first, "none")
    with house.app.database.team(house.team) as unit:
        for mapping in others:
            catalog.save_mapping(unit, made, mapping, note=f"Note {HOSTILE}", activate=False)
        unit.commit()
    return made


@pytest.fixture(scope="module")
def house(house: House) -> House:
    weather = mapped(house, "Weather", BEFORE, AFTER, BEFORE)
    house.send(weather, *({"site": f"{n} {HOSTILE}", **({"temperature": n} if n % 4 else {})} for n in range(1, 13)))
    with house.app.database.team(house.team) as unit:
        found = catalog.pipeline(unit, weather)
        document = propose_dashboard(found, parse_mapping(BEFORE)) | {"title": f"Weather {HOSTILE}"}
        dashboards.create_dashboard(unit, house.team, document, house.who)
        unit.commit()
    mapped(house, "Lonely", BEFORE)
    mapped(house, "Quiet", BEFORE, AFTER)
    return house


@pytest.mark.parametrize(("width", "theme"), [(1360, "light"), (390, "dark")])
def test_a_sample_is_compared_and_fits_the_screen(house: House, opened: Opened, width: int, theme: str) -> None:
    page = opened(width=width, theme=theme)
    answer = page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2")
    assert answer is not None
    assert answer.status == 200
    # Of twelve, three have no temperature and get the default, and three are nine degrees or warmer.
    expect(page.locator(".compare-verdict h2")).to_have_text("6 rows equal, 3 changed, 3 gone")
    expect(page.locator(".compare-legend")).to_contain_text("changed 3 25 %")
    expect(page.locator(".compare-verdict")).to_contain_text("affected")
    fields = page.locator(".compare-fields tbody tr")
    expect(fields).to_have_count(3)
    expect(fields.nth(0)).to_contain_text("3 null before")
    expect(fields.nth(0).locator(".example").first).to_contain_text("null→0")
    expect(fields.nth(1)).to_contain_text("added")
    expect(fields.nth(2)).to_contain_text(HOSTILE)
    # Numbers 1 to 11 without 4 and 8 before; then up to 7, and three zeros.
    totals = page.locator(".compare-totals tbody tr").first
    expect(totals).to_contain_text("54→24")
    expect(page.locator("#rows")).to_contain_text("left out by where")
    expect(page.locator("#mapping")).to_contain_text("every record→temperature < 9")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_tiles_that_break_are_named_and_lead_to_their_dashboard(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2")
    broken = page.locator("#tiles li", has=page.locator(".badge.failing")).first
    expect(broken).to_contain_text("there is no field 'site'")
    expect(broken).to_contain_text(HOSTILE)
    broken.locator("a").first.click()
    page.wait_for_url("**/dashboards/weather*")


def test_a_choice_is_the_address_and_can_be_gone_back_from(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2")
    page.locator("select[name=b]").select_option("3")
    page.wait_for_url("**/compare?a=1&b=3*")
    expect(page.locator(".compare-verdict h2")).to_have_text("No difference in 12 payloads")
    expect(page.locator("#mapping")).to_contain_text("Both say the same")
    page.locator("select[name=over]").select_option("20")
    page.wait_for_url("**over=20*")
    page.go_back()
    page.go_back()
    expect(page.locator(".compare-verdict h2")).to_contain_text("3 changed")
    page.get_by_role("link", name="Swap the two versions").click()
    page.wait_for_url("**/compare?a=2&b=1*")
    expect(page.locator(".compare-verdict h2")).to_have_text("6 rows equal, 3 changed, 3 new")
    page.locator(".example a").first.click()
    page.wait_for_url("**tab=payloads&payload=*")


def test_all_payloads_are_compared_by_a_worker_that_can_be_left_alone(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2&over=all")
    expect(page.get_by_text("12 payloads to compare")).to_be_visible()
    page.get_by_role("button", name="Compare all payloads").click()
    page.wait_for_url("**job=*")
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    job = UUID(page.url.rsplit("job=", 1)[1])
    page.goto(f"{house.url}/pipelines/weather")
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2&over=all")
    expect(page.locator("progress")).to_be_visible()
    # No worker runs beside this node; the test is one.
    comparisons.advance(house.app, job)
    expect(page.locator(".compare-verdict h2")).to_have_text("6 rows equal, 3 changed, 3 gone")
    expect(page.locator("progress")).to_have_count(0)
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=3")
    other = page.locator(".compare-earlier li").first
    expect(other).to_contain_text("done")
    other.locator("a").click()
    page.wait_for_url("**job=*")
    expect(page.locator(".compare-verdict h2")).to_have_text("6 rows equal, 3 changed, 3 gone")


def test_one_that_is_not_wanted_any_more_is_cancelled(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/weather/compare?a=2&b=3&over=all")
    page.get_by_role("button", name="Compare all payloads").click()
    cancel = page.get_by_role("button", name="Cancel")
    cancel.focus()
    # The part is asked for anew again and again; who is at a button stays there.
    cancel.evaluate("button => (button.title = 'before')")
    expect(page.get_by_title("before")).to_have_count(0)
    expect(cancel).to_be_focused()
    cancel.press("Enter")
    expect(page.get_by_text("Cancelled after 0 of about 12 payloads")).to_be_visible()


def test_a_draft_is_compared_and_a_wrong_one_says_what_is_wrong(house: House, opened: Opened) -> None:
    with house.app.database.team(house.team) as unit:
        pipeline = catalog.pipeline(unit, "weather").id
        right = drafts.create(unit, house.team, pipeline, mapping_text(AFTER), base=3)
        wrong = drafts.create(unit, house.team, pipeline, "fields:\n  - {name: n, type: numbr}\n", base=3)
        unit.commit()
    page = opened()
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&draft={right.id}")
    expect(page.locator(".compare-verdict h2")).to_have_text("6 rows equal, 3 changed, 3 gone")
    page.locator("select[name=a]").select_option("2")
    page.wait_for_url(f"**a=2&draft={right.id}*")
    expect(page.locator(".compare-verdict h2")).to_have_text("No difference in 12 payloads")
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&draft={wrong.id}")
    expect(page.locator(".problem")).to_contain_text("'numbr' is unknown")


def test_where_there_is_nothing_to_compare_the_page_says_what_there_could_be(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/lonely/compare")
    expect(page.get_by_text("There is only one version")).to_be_visible()
    page.goto(f"{house.url}/pipelines/quiet/compare")
    expect(page.get_by_text("As soon as the first ones are here")).to_be_visible()
    expect(page.locator("#mapping")).to_contain_text("fahrenheit")
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2&from=2020-01-01T00:00&to=2020-02-01T00:00")
    expect(page.get_by_text("None was received in this range")).to_be_visible()
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2&from=2020-02-01T00:00&to=2020-01-01T00:00")
    expect(page.locator(".problem")).to_contain_text("ends before it begins")


def test_what_is_not_there_is_a_404(house: House, opened: Opened) -> None:
    page = opened()
    for query in ("a=1&b=9", "a=x&b=2", "draft=nothing", "job=nothing", f"job={UUID(int=1)}"):
        answer = page.goto(f"{house.url}/pipelines/weather/compare?{query}")
        assert answer is not None
        assert answer.status == 404, query
    complaints = opened.complaints  # type: ignore[attr-defined]
    assert all("404" in each for each in complaints)
    complaints.clear()
