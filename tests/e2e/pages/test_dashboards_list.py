"""The list of dashboards and a dashboard's versions in a browser: found, starred, moved, deleted and brought back;
compared and restored."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dash_app.domain.access import Role
from dash_app.pipelines import dashboards
from dash_app.storage import dashboards as stored
from tests.e2e.pages.conftest import House, Opened

HOSTILE = '<img src=x onerror="window.hacked=1">'
pytestmark = pytest.mark.timeout(240)


def document(title: str, **more: Any) -> dict[str, Any]:
    query = {"pipeline": "weather", "select": [{"agg": "count"}]}
    tile = {"id": 1, "kind": "stat", "title": "Wind", "gridPos": {"x": 0, "y": 0, "w": 3, "h": 3}, "query": query}
    return {"title": title, "tiles": [tile], **more}


@pytest.fixture(scope="module")
def house(house: House) -> House:
    house.member("vera@example.org", Role.viewer)
    with house.app.database.team(house.team) as unit:
        for made in (
            document("Weather", folder="Nature/Air", tags=["public", HOSTILE], description=HOSTILE),
            document(f"Quakes {HOSTILE}", folder="Nature", tags=["public"]),
            document("Shop", tags=["money"]),
        ):
            dashboards.create_dashboard(unit, house.team, made, house.who)
        # Three states of one: as it was made, with another query, and moved.
        changed = document("Weather", folder="Nature/Air", tags=["public"])
        changed["tiles"][0]["query"]["where"] = f"site = '{HOSTILE}'"
        dashboards.update_dashboard(unit, "weather", changed, house.who, note=f"One site {HOSTILE}")
        moved = {**changed, "tiles": [{**changed["tiles"][0], "gridPos": {"x": 6, "y": 0, "w": 6, "h": 3}}]}
        dashboards.update_dashboard(unit, "weather", moved, house.who)
        unit.commit()
    return house


def titles(page: Page) -> list[str]:
    return page.locator("[data-list] .board-title").all_text_contents()


def row(page: Page, title: str) -> Any:
    return page.locator("[data-list] li", has=page.get_by_role("link", name=title, exact=True))


def choose(page: Page, title: str, action: str) -> None:
    row(page, title).get_by_label(f"More for {title}").click()
    row(page, title).get_by_role("button", name=action).click()


@pytest.mark.parametrize(("width", "theme"), [(1360, "light"), (390, "dark")])
def test_found_by_words_tags_and_stars_which_are_the_address(
    house: House, opened: Opened, width: int, theme: str
) -> None:
    page = opened(width=width, theme=theme)
    page.goto(f"{house.url}/dashboards")
    quakes = f"Quakes {HOSTILE}"
    assert titles(page) == ["Shop", quakes, "Weather"]
    expect(page.locator("[data-folder='Nature/Air'] h2")).to_have_text("Nature / Air")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("/")
    page.keyboard.type("wind nat")
    expect(page.locator("[data-list] .board-title")).to_have_text([quakes, "Weather"])
    assert page.url.endswith("/dashboards?search=wind+nat")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Weather", exact=True)).to_be_focused()
    page.goto(f"{house.url}/dashboards?search=nothing+such")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    page.get_by_role("link", name="Show all").click()
    page.locator(".pill", has_text="money").click()
    expect(page.locator("[data-list] .board-title")).to_have_text(["Shop"])
    assert page.url.endswith("/dashboards?tag=money")
    page.locator(".pill", has_text="money").click()
    star = page.get_by_role("button", name="Star Weather")
    before = star.get_attribute("aria-pressed")
    if before == "false":
        star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    page.locator(".pill", has_text="Starred").click()
    expect(page.locator("[data-list] .board-title")).to_have_text(["Weather"])
    page.reload()
    assert titles(page) == ["Weather"]


def test_a_rows_menu_moves_copies_deletes_and_takes_it_back(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/dashboards")
    choose(page, "Shop", "Move to a folder")
    page.get_by_role("combobox", name="Folder").fill(" Sales / Online ")
    page.get_by_role("button", name="Move", exact=True).click()
    expect(page.locator("[data-folder='Sales/Online'] .board-title")).to_have_text("Shop")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("[data-folder='Sales/Online']")).to_have_count(0)
    choose(page, "Shop", "Duplicate")
    expect(page.get_by_role("link", name="Shop (copy)")).to_be_focused()
    choose(page, "Shop (copy)", "Delete")
    expect(row(page, "Shop (copy)")).to_have_count(0)
    page.locator(".toast", has_text="is deleted").get_by_role("button", name="Undo").click()
    expect(row(page, "Shop (copy)")).to_have_count(1)
    # Whoever comes later finds it among what was deleted.
    choose(page, "Shop (copy)", "Delete")
    expect(row(page, "Shop (copy)")).to_have_count(0)
    page.reload()
    page.locator("[data-deleted] > summary").click()
    page.get_by_role("button", name="Restore Shop (copy)").click()
    expect(row(page, "Shop (copy)")).to_have_count(1)
    expect(page.locator("[data-deleted]")).to_have_count(0)
    with house.app.database.team(house.team) as unit:
        assert stored.get(unit, "shop_copy").revision == 1
        found = stored.get(unit, "shop")
        # Moved and moved back: two more states.
        assert (found.revision, found.document["folder"]) == (3, "")


def test_versions_are_compared_and_restored(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/dashboards/weather/versions")
    states = page.locator(".version-rows > li")
    expect(states).to_have_count(3)
    expect(states.nth(0)).to_contain_text("Tile “Wind” moved")
    expect(states.nth(1)).to_contain_text(f"One site {HOSTILE}")
    changes = page.locator("[data-changes]")
    expect(changes).to_contain_text("3 × 3 at column 0, row 0")
    page.get_by_label("Compare from version 1").check()
    expect(changes.locator("h2")).to_have_text("Version 1 → 3")
    expect(changes.locator(".change-rows > li").nth(2)).to_contain_text(f"query.where site = '{HOSTILE}'")
    assert page.url.endswith("?from=1&to=3")
    page.reload()
    expect(changes.locator("h2")).to_have_text("Version 1 → 3")
    states.nth(2).get_by_role("button", name="Restore").click()
    expect(page.locator(".toast")).to_contain_text("Version 1 is the newest again, as 4.")
    expect(states).to_have_count(4)
    with house.app.database.team(house.team) as unit:
        assert "where" not in stored.get(unit, "weather").document["tiles"][0]["query"]
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(states).to_have_count(5)
    expect(states.nth(0)).to_contain_text("Restored version 3")
    # Somebody else's save in between is not thrown away.
    with house.app.database.team(house.team) as unit:
        dashboards.update_dashboard(unit, "weather", document("Weather 2"), house.who)
        unit.commit()
    states.nth(4).get_by_role("button", name="Restore").click()
    expect(page.locator(".toast")).to_contain_text("has saved since")
    opened.complaints[:] = [one for one in opened.complaints if "412" not in one]  # type: ignore[attr-defined]


def test_who_may_only_look_sees_the_list_and_the_versions(house: House, opened: Opened) -> None:
    page = opened("vera@example.org")
    page.goto(f"{house.url}/dashboards")
    expect(page.get_by_role("link", name="New dashboard")).to_have_count(0)
    row(page, "Shop").get_by_label("More for Shop").click()
    expect(row(page, "Shop").locator(".menu > *")).to_have_text(["Versions"])
    row(page, "Shop").get_by_role("link", name="Versions").click()
    expect(page.locator(".version-rows > li")).not_to_have_count(0)
    expect(page.get_by_role("button", name="Restore")).to_have_count(0)
    answer = page.goto(f"{house.url}/dashboards/shop/versions?from=99")
    assert answer is not None
    assert answer.status == 404
    opened.complaints[:] = [one for one in opened.complaints if "404" not in one]  # type: ignore[attr-defined]
