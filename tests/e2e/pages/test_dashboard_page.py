"""The dashboard's page as somebody at a browser uses it: time, comparison, variables, filters, annotations, full
screen, keys, who else is there, and a connection that is lost."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from dash_app.domain.access import Role
from dash_app.pipelines import dashboards
from tests.e2e.pages.conftest import House, Opened

pytestmark = pytest.mark.timeout(240)

HOSTILE = '<img src=x onerror="window.hacked=1">'
MAPPING = {
    "time": {"path": "$.at", "format": "epoch_ms"},
    "fields": [
        {"name": "country", "path": "$.country", "type": "text"},
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "degrees", "path": "$.degrees", "type": "number", "unit": "°C"},
    ],
}
PLACES = {"Norway": ["Bergen", "Oslo"], "Sweden": ["Lund", HOSTILE]}
HOUR = 3_600_000
WHERE = "country = $country and site = $site"
DOCUMENT: dict[str, Any] = {
    "uid": "climate",
    "title": "Climate of ${country}",
    "time": {"from": "now-24h", "to": "now"},
    "timezone": "Europe/Oslo",
    "templating": {
        "list": [
            {
                "name": "country",
                "label": "Country",
                "type": "query",
                "query": {"pipeline": "climate", "field": "country"},
            },
            {
                "name": "site",
                "label": "Site",
                "type": "query",
                "multi": True,
                "includeAll": True,
                "query": {"pipeline": "climate", "field": "site", "where": "country = $country"},
            },
            {"name": "every", "label": "Bucket", "type": "interval", "options": ["1h", "6h"]},
        ]
    },
    "links": [{"title": "Elsewhere", "url": "/pipelines?of=${country}"}],
    "tiles": [
        {
            "id": 1,
            "kind": "stat",
            "title": "Records in ${country}",
            "gridPos": {"x": 0, "y": 0, "w": 4, "h": 4},
            "query": {"pipeline": "climate", "select": [{"agg": "count"}], "where": WHERE},
        },
        {
            "id": 2,
            "kind": "line",
            "title": "Temperature",
            "gridPos": {"x": 4, "y": 0, "w": 8, "h": 7},
            "query": {
                "pipeline": "climate",
                "every": "$every",
                "select": [{"field": "degrees", "agg": "avg"}],
                "where": WHERE,
            },
        },
        {
            "id": 3,
            "kind": "bar",
            "title": "By site",
            "gridPos": {"x": 0, "y": 7, "w": 6, "h": 6},
            "query": {"pipeline": "climate", "by": ["site"], "select": [{"agg": "count"}], "where": WHERE},
        },
    ],
}


def records(house: House, hours: range) -> None:
    """One record of each place and hour, so many hours ago."""
    now = int(time.time() * 1000)
    house.send(
        house.known["pipeline"],  # type: ignore[arg-type]
        *(
            {"at": now - ago * HOUR - 60_000, "country": country, "site": site, "degrees": ago % 7}
            for ago in hours
            for country, sites in PLACES.items()
            for site in sites
        ),
    )


@pytest.fixture(scope="module")
def house(house: House) -> House:
    house.known["pipeline"] = house.pipeline("Climate", MAPPING)  # type: ignore[assignment]
    records(house, range(1, 49))
    make(house, DOCUMENT)
    make(house, {"uid": "bare", "title": "Bare", "tiles": []})
    house.member("vera@example.org", Role.viewer, name="Vera Vik")
    return house


def make(house: House, document: dict[str, Any]) -> None:
    with house.app.database.team(house.team) as unit:
        dashboards.create_dashboard(unit, house.team, document, house.who)
        unit.commit()


def show(page: Page, house: House, more: str = "", uid: str = "climate") -> Page:
    page.goto(f"{house.url}/dashboards/{uid}{more}")
    expect(page.locator(".tile[data-state=drawn]")).to_have_count(1 if "tile=" in more else 3)
    return page


def tile(page: Page, number: int) -> Locator:
    return page.locator(f'.tile[data-tile="{number}"]')


def count(page: Page) -> Locator:
    return tile(page, 1).locator(".stat-number")


def asked(page: Page) -> dict[str, list[str]]:
    """The address's parameters."""
    found: dict[str, list[str]] = page.evaluate(
        """() => { const all = new URLSearchParams(location.search);
        return Object.fromEntries([...new Set(all.keys())].map((key) => [key, all.getAll(key)])); }"""
    )
    return found


def test_variables_follow_each_other_and_stand_in_the_address(house: House, opened: Opened) -> None:
    page = show(opened(), house)
    expect(page.locator("h1")).to_have_text("Climate of Norway")
    expect(tile(page, 1).locator("h3")).to_have_text("Records in Norway")
    expect(count(page)).to_have_text("46")
    assert asked(page) == {}
    site = page.locator(".variable", has_text="Site")
    site.locator("summary").click()
    expect(site.get_by_role("option")).to_have_text(["All", "Bergen", "Oslo"])
    site.get_by_role("combobox").fill("osl")
    site.get_by_role("combobox").press("Enter")
    expect(count(page)).to_have_text("23")
    page.keyboard.press("Escape")
    expect(site.get_by_role("listbox")).not_to_be_visible()
    assert asked(page) == {"var-site": ["Oslo"]}
    # Another country: what was chosen below it is no choice there any more.
    page.keyboard.press("v")
    page.keyboard.type("swe")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Climate of Sweden")
    expect(count(page)).to_have_text("46")
    expect(site.locator("summary")).to_have_text("All")
    page.wait_for_function("() => location.search === '?var-country=Sweden'")
    expect(page.get_by_role("link", name="Elsewhere")).to_have_attribute("href", "/pipelines?of=Sweden")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Climate of Norway")
    expect(count(page)).to_have_text("23")
    # The same link in another tab shows the same.
    show(page, house, f"?var-country=Sweden&var-site=Lund&var-site={HOSTILE}&var-every=6h")
    expect(count(page)).to_have_text("46")
    expect(site.locator("summary")).to_have_text(f"Lund, {HOSTILE}")
    assert page.evaluate("dashboard.tile(2).store.every") == 6 * HOUR


def test_a_click_on_a_value_filters_everything(house: House, opened: Opened) -> None:
    page = show(opened(), house)
    page.evaluate("dashboard.contextOf(dashboard.definition.tiles[2]).filter('site', 'Oslo')")
    expect(count(page)).to_have_text("23")
    chip = page.locator(".filter-chip")
    expect(chip).to_have_text("site=Oslo×")
    assert asked(page) == {"filter": ["site:Oslo"]}
    chip.get_by_role("button", name="Show everything but this").click()
    expect(chip).to_have_text("site≠Oslo×")
    expect(chip.get_by_role("button", name="Show this alone")).to_be_focused()
    expect(tile(page, 3).locator("canvas")).to_be_visible()
    page.wait_for_function("() => dashboard.tile(3).store.frame().data[0].join() === 'Bergen'")
    page.reload()
    expect(count(page)).to_have_text("23")
    chip.get_by_role("button", name="Take away the filter").click()
    expect(count(page)).to_have_text("46")
    page.go_back()
    expect(chip).to_have_text("site≠Oslo×")
    # A bar of the chart itself.
    show(page, house)
    box = tile(page, 3).locator("canvas").bounding_box()
    assert box is not None
    at = [box["width"] * 0.27, box["height"] * 0.6]
    tile(page, 3).locator("canvas").click(position={"x": at[0], "y": at[1]})
    expect(chip).to_contain_text("site=")


def test_time_goes_back_forth_and_wider_by_hand_and_by_key(house: House, opened: Opened) -> None:
    page = show(opened(), house)
    page.keyboard.press("t")
    words = page.get_by_label("Range in words")
    expect(words).to_be_focused()
    words.fill("sometime")
    words.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Such as")).to_be_visible()
    words.fill("last 6 hours")
    words.press("Enter")
    expect(count(page)).to_have_text("10")
    assert asked(page) == {"from": ["now-6h"], "to": ["now"]}
    page.keyboard.press("z")
    expect(page.locator(".range-menu summary .num")).to_have_text("Last 12 hours")
    page.keyboard.press("[")
    expect(count(page)).to_have_text("24")
    assert page.evaluate("Date.parse(dashboard.range().to) < Date.now() - 11.9 * 3600e3")
    page.go_back()
    expect(page.locator(".range-menu summary .num")).to_have_text("Last 12 hours")
    page.locator(".range-menu summary").click()
    page.get_by_role("button", name="Yesterday").click()
    page.wait_for_function("() => dashboard.tile(2).store.to - dashboard.tile(2).store.from > 22.9 * 3600e3")
    zoned = page.evaluate(
        "new Date(dashboard.tile(2).store.from).toLocaleTimeString('en-GB', {timeZone: 'Europe/Oslo'})"
    )
    assert zoned == "00:00:00"
    page.keyboard.press("t")
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.wait_for_function("() => dashboard.tile(2).zone === 'Asia/Tokyo' && dashboard.tile(2).store.filled")
    zoned = page.evaluate(
        "new Date(dashboard.tile(2).store.from).toLocaleTimeString('en-GB', {timeZone: 'Asia/Tokyo'})"
    )
    assert zoned == "00:00:00"
    assert asked(page)["tz"] == ["Asia/Tokyo"]
    # A beat instead of a push, and no movement at all.
    page.locator(".refresh-menu summary").click()
    page.get_by_role("button", name="Every 30 seconds").click()
    assert asked(page)["refresh"] == ["30s"]
    page.keyboard.press("l")
    expect(page.locator(".live-toggle")).to_have_text("Paused")
    page.wait_for_function("() => dashboard.tile(2).subscription === null")
    page.keyboard.press("l")
    expect(page.locator(".live-toggle")).to_have_text("Every 30 s")


def test_all_charts_are_compared_with_an_earlier_time(house: House, opened: Opened) -> None:
    page = show(opened(), house)
    page.keyboard.press("c")
    page.get_by_role("button", name="Day before").click()
    expect(page.locator(".compare summary")).to_have_text("Day before")
    page.wait_for_function("() => dashboard.tile(2).parts.length === 2 && dashboard.tile(2).parts[1].store.filled")
    earlier = page.evaluate("dashboard.tile(2).frames().find((each) => each.earlier).shift")
    assert earlier == 24 * HOUR
    assert asked(page) == {"compare": ["1d"]}
    page.go_back()
    page.wait_for_function("() => dashboard.tile(2).parts.length === 1")


def test_an_annotation_is_written_changed_and_taken_back(house: House, opened: Opened) -> None:
    page = show(opened(), house)
    canvas = tile(page, 2).locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    page.keyboard.down("Control")
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 80, steps=4)
    page.mouse.up()
    page.keyboard.up("Control")
    form = page.get_by_role("dialog", name="New annotation")
    form.get_by_label("What happened").fill(f"A door stood open {HOSTILE}")
    form.get_by_label("Tags").fill("door, winter")
    expect(form.get_by_label("Shown in")).to_have_value("2")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    page.wait_for_function(
        "() => dashboard.tile(2).annotations.length === 1 && dashboard.tile(1).annotations.length === 0"
    )
    span = page.evaluate("(({time, time_end}) => time_end - time)(dashboard.tile(2).annotations[0])")
    assert 3 * HOUR < span < 7 * HOUR
    page.locator(".notes-menu summary").click()
    expect(page.locator(".annotation-list li")).to_contain_text(f"A door stood open {HOSTILE}")
    page.get_by_role("button", name="Edit: A door").click()
    form = page.get_by_role("dialog", name="Change annotation")
    form.get_by_label("To", exact=False).first.fill("2020-01-01T00:00:00")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("before")
    form.get_by_label("What happened").fill("A window")
    form.get_by_label("To", exact=False).first.fill("")
    form.get_by_label("Shown in").select_option("")
    form.get_by_role("button", name="Save").click()
    page.wait_for_function("() => [1, 2, 3].every((i) => dashboard.tile(i).annotations[0]?.text === 'A window')")
    page.locator(".notes-menu summary").click()
    page.get_by_role("button", name="Delete: A window").click()
    page.wait_for_function("() => dashboard.tile(2).annotations.length === 0")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("() => dashboard.tile(2).annotations.length === 1")
    page.locator(".notes-menu summary").click()
    page.locator(".annotation-sources input").first.uncheck()
    page.wait_for_function("() => dashboard.tile(2).annotations.length === 0")
    # Whoever may only look sees them, and no way to change them.
    viewer = show(opened("vera@example.org"), house)
    viewer.locator(".notes-menu summary").click()
    expect(viewer.locator(".annotation-list li")).to_contain_text("A window")
    expect(viewer.locator(".notes-menu .menu button")).to_have_count(0)
    expect(viewer.get_by_role("link", name="Edit")).to_have_count(0)
    opened.complaints.clear()  # type: ignore[attr-defined]


def test_one_tile_fills_the_page_and_a_dashboard_the_screen(house: House, opened: Opened) -> None:
    page = show(opened(), house)
    tile(page, 2).hover()
    page.keyboard.press("f")
    expect(tile(page, 1)).not_to_be_visible()
    height = tile(page, 2).bounding_box()
    assert height is not None
    assert height["height"] > 700
    assert asked(page) == {"tile": ["2"]}
    page.keyboard.press("ArrowLeft")
    expect(tile(page, 1)).to_be_visible()
    expect(tile(page, 2)).not_to_be_visible()
    page.reload()
    expect(tile(page, 1)).to_have_attribute("data-state", "drawn")
    expect(tile(page, 2)).not_to_be_visible()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_contain_text("Compare with an earlier time")
    expect(sheet).to_contain_text("On every page")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(tile(page, 2)).not_to_be_visible()
    page.keyboard.press("Escape")
    expect(tile(page, 2)).to_be_visible()
    page.keyboard.press("k")
    expect(page.locator(".rail")).not_to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".rail")).to_be_visible()
    page.goto(f"{house.url}/dashboards/climate?kiosk=1&rotate=bare,gone&every=5s")
    expect(page.locator(".rail")).not_to_be_visible()
    page.wait_for_url("**/dashboards/bare?kiosk=1&rotate=gone,climate&every=5s")
    page.goto(f"{house.url}/dashboards/bare")
    # Elsewhere, and back: the address is all there is to remember.
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url("**/dashboards")


def test_what_somebody_saves_is_taken_over_in_place(house: House, opened: Opened) -> None:
    make(house, {**DOCUMENT, "uid": "shared", "title": "Shared", "templating": {"list": []}, "tiles": [
        {"id": 1, "kind": "stat", "title": "One", "gridPos": {"x": 0, "y": 0, "w": 4, "h": 4},
         "query": {"pipeline": "climate", "select": [{"agg": "count"}]}},
    ]})  # fmt: skip
    page = opened()
    page.goto(f"{house.url}/dashboards/shared")
    expect(count(page)).to_have_text("92")
    other = opened("vera@example.org")
    other.goto(f"{house.url}/dashboards/shared")
    expect(page.locator(".face")).to_have_text("VV")
    expect(other.locator(".face")).to_have_attribute("title", re.compile("Kari"))
    page.evaluate("window.kept = dashboard.tile(1)")
    with house.app.database.team(house.team) as unit:
        before = dict(DOCUMENT, uid="shared", title="Shared anew", templating={"list": []})
        before["tiles"] = [
            {"id": 1, "kind": "stat", "title": "One renamed", "gridPos": {"x": 4, "y": 0, "w": 4, "h": 4},
             "query": {"pipeline": "climate", "select": [{"agg": "count"}]}},
            {"id": 2, "kind": "stat", "title": "Two", "gridPos": {"x": 0, "y": 0, "w": 4, "h": 4},
             "query": {"pipeline": "climate", "select": [{"field": "degrees", "agg": "max"}]}},
        ]  # fmt: skip
        dashboards.update_dashboard(unit, "shared", before, house.who)
        unit.commit()
    expect(page.locator("h1")).to_have_text("Shared anew")
    expect(tile(page, 2).locator(".stat-number")).to_have_text("6")
    expect(tile(page, 1).locator("h3")).to_have_text("One renamed")
    assert page.evaluate("window.kept === dashboard.tile(1) && dashboard.grid.order().join()") == "2,1"
    other.close()
    expect(page.locator(".face")).to_have_count(0)
    opened.complaints.clear()  # type: ignore[attr-defined]


def test_a_lost_connection_leaves_what_was_drawn_and_its_hole_is_filled(house: House, opened: Opened) -> None:
    page = show(opened(), house)
    before = int(count(page).inner_text())
    page.evaluate("() => { dashboard.client.open = () => {}; dashboard.client.socket.close(); }")
    expect(page.locator(".connection")).to_have_text("Reconnecting…")
    expect(count(page)).to_have_text(str(before))
    records(house, range(1, 3))
    page.evaluate("() => { delete dashboard.client.open; dashboard.client.open(); }")
    expect(page.locator(".connection")).to_have_text("")
    expect(count(page)).to_have_text(str(before + 4))


def test_every_state_says_what_is_the_matter(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/dashboards/bare")
    expect(page.get_by_role("link", name="Add tiles")).to_have_attribute("href", "/dashboards/bare/edit")
    viewer = opened("vera@example.org")
    viewer.goto(f"{house.url}/dashboards/bare")
    expect(viewer.get_by_text("No tiles yet")).to_be_visible()
    expect(viewer.get_by_role("link", name="Add tiles")).to_have_count(0)
    # A variable whose query cannot be answered any more.
    show(page, house)
    page.evaluate("""() => {
        const [country, ...others] = dashboard.definition.templating.list;
        const query = {...country.query, field: "contry"};
        dashboard.document({...dashboard.definition, templating: {list: [{...country, query}, ...others]}});
    }""")
    wrong = page.locator(".variable-wrong").first
    expect(wrong).to_contain_text("contry")
    expect(page.locator(".tile")).to_have_count(3)
    answer = page.goto(f"{house.url}/dashboards/nowhere")
    assert answer is not None
    assert answer.status == 404
    opened.complaints.clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_everything_has_its_place(house: House, opened: Opened, theme: str) -> None:
    page = show(opened(width=390, theme=theme), house, "?filter=site:Oslo&filter=!country:Sweden&compare=1d")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for opener in (".range-menu summary", ".compare summary", ".notes-menu summary", ".share summary"):
        page.locator(opener).click()
        menu = page.locator("details.drop[open] > .menu")
        expect(menu).to_be_visible()
        box = menu.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390, opener
        page.keyboard.press("Escape")
        expect(menu).to_have_count(0)
