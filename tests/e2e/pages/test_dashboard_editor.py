"""The dashboard's editor in a browser: tiles that are added, moved, sized and changed, saving, undo, two at once,
versions; and the way of somebody new from the log-in to a dashboard that is alive."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Locator, Page, expect

from dash_app.domain.access import Role
from dash_app.pipelines import dashboards as documents
from dash_app.pipelines.ingest import Ingest
from dash_app.storage import catalog, dashboards
from tests.e2e.pages.conftest import House, Opened, ready
from tests.e2e.pages.harness import PASSWORD

pytestmark = pytest.mark.timeout(240)

HOSTILE = '<img src=x onerror="window.hacked=1">'
MAPPING = {
    "fields": [
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "temperature", "path": "$.temperature", "type": "number", "unit": "°C"},
    ]
}
READINGS = [{"site": site, "temperature": 20 + n} for n in range(3) for site in ("roof", "cellar", HOSTILE)]


def tile(number: int, kind: str, title: str, place: tuple[int, int, int, int], **query: Any) -> dict[str, Any]:
    return {
        "id": number,
        "kind": kind,
        "title": title,
        "gridPos": dict(zip("xywh", place, strict=True)),
        "query": {"pipeline": "house", **query},
        "options": {},
    }


LAST = {"select": [{"field": "temperature", "agg": "last", "as": "temperature"}], "every": "auto"}
TILES = [
    tile(1, "stat", "Temperature", (0, 0, 6, 4), **LAST),
    tile(2, "bar", f"By site {HOSTILE}", (6, 0, 6, 4), by=["site"]),
    tile(3, "line", "Course", (0, 4, 12, 6), **LAST),
]


@pytest.fixture(scope="module")
def pipeline(house: House) -> UUID:
    made = house.pipeline("House", MAPPING)
    house.send(made, *READINGS)
    return made


def make(house: House, uid: str, tiles: Any = TILES) -> dict[str, Any]:
    with house.app.database.team(house.team) as unit:
        document = {"uid": uid, "title": uid.title(), "time": {"from": "now-1h", "to": "now"}, "tiles": tiles}
        made = documents.create_dashboard(unit, house.team, document, house.who)
        unit.commit()
    return dict(made.document)


def saved(house: House, uid: str) -> tuple[int, dict[str, Any]]:
    with house.app.database.team(house.team) as unit:
        found = dashboards.get(unit, uid)
    return found.revision, dict(found.document)


def save_beside(house: House, uid: str, document: Any, note: str = "") -> None:
    """What somebody else saves meanwhile."""
    with house.app.database.team(house.team) as unit:
        documents.update_dashboard(unit, uid, document, house.who, note=note)
        unit.commit()


def edit(page: Page, house: House, uid: str, more: str = "") -> None:
    page.goto(f"{house.url}/dashboards/{uid}/edit{more}")
    ready(page)
    expect(page.locator(".dashboard-editor")).to_have_attribute("data-checked", re.compile(r"\d+"))


def cell(page: Page, title: str) -> Locator:
    return page.get_by_role("listitem", name=title, exact=True)


def place(one: Locator) -> str:
    return str(
        one.evaluate(
            "(cell) => `${cell.style.getPropertyValue('--column')} · ${cell.style.getPropertyValue('--line')}`"
        )
    )


def drag(page: Page, start: Locator, at: tuple[float, float], by: tuple[float, float]) -> None:
    box = start.bounding_box()
    assert box is not None
    x, y = box["x"] + at[0], box["y"] + at[1]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0] / 2, y + by[1] / 2, steps=4)
    page.mouse.move(x + by[0], y + by[1], steps=4)
    page.mouse.up()


def save(page: Page, version: int) -> None:
    page.keyboard.press("Control+s")
    expect(page.locator(".edit-state")).to_contain_text(f"Version {version}")
    expect(page.locator(".edit-state")).to_contain_text("Saved")


def test_a_tile_is_added_moved_sized_changed_and_saved(house: House, opened: Opened, pipeline: UUID) -> None:
    make(house, "terrace", [])
    page = opened()
    edit(page, house, "terrace")
    expect(page.get_by_text("An empty dashboard")).to_be_visible()
    page.locator(".first-tile").get_by_role("button", name="Add a tile").click()
    # Each kind is shown on the pipeline's own data.
    expect(page.locator(".kind[data-kind=stat] .tile[data-state=drawn]")).to_be_visible()
    page.locator(".kind[data-kind=bar] .kind-choose").click()
    title = page.locator(".options-pane").get_by_label("Title", exact=True)
    expect(title).to_have_value("Records by site")
    title.fill("How many")
    expect(page.locator(".preview .tile-head h3")).to_have_text("How many")
    # Form and JSON are one.
    page.get_by_label("Aggregate 1").select_option("avg")
    expect(page.get_by_label("Field 1")).to_have_value("temperature")
    text = page.get_by_label("Query as JSON")
    expect(text).to_have_value(re.compile(r'"agg": "avg"'))
    text.fill(text.input_value().replace('"avg"', '"max"'))
    expect(page.get_by_label("Aggregate 1")).to_have_value("max")
    # What the server says is wrong stands at the input, and nothing wrong is saved.
    where = page.locator(".query-form").get_by_label("Filter", exact=True)
    where.fill("sit = 'roof'")
    expect(page.locator(".query-form [data-place=where] > .wrong")).to_contain_text("sit")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    where.fill("site = ")
    page.get_by_role("option", name="'roof'").click()
    expect(where).to_have_value(re.compile("site = 'roof'"))
    expect(page.locator(".wrong-count")).to_be_hidden()
    page.get_by_role("button", name="All tiles").click()
    # A second one beside it; then the first moves there by its head, and is sized by its corner.
    page.get_by_role("button", name="Add tile").click()
    page.locator(".kind[data-kind=stat] .kind-choose").click()
    page.get_by_role("button", name="All tiles").click()
    bars, stat = cell(page, "How many"), cell(page, "Temperature")
    assert (place(bars), place(stat)) == ("1 / span 6 · 1 / span 7", "7 / span 3 · 1 / span 3")
    drag(page, bars, (40, 14), (560, 0))
    assert place(bars) == "7 / span 6 · 1 / span 7"
    assert place(stat) == "7 / span 3 · 8 / span 3"
    box = bars.bounding_box()
    assert box is not None
    drag(page, bars, (box["width"] - 8, box["height"] - 8), (-180, 96))
    assert place(bars) == "7 / span 4 · 1 / span 9"
    # By keys.
    bars.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    assert place(bars) == "6 / span 5 · 1 / span 9"
    save(page, 2)
    _, document = saved(house, "terrace")
    assert [(one["title"], one["gridPos"]) for one in document["tiles"]] == [
        ("How many", {"x": 5, "y": 0, "w": 5, "h": 9}),
        ("Temperature", {"x": 6, "y": 9, "w": 3, "h": 3}),
    ]
    assert document["tiles"][0]["query"]["where"].startswith("site = 'roof'")


def test_every_step_is_undone_also_after_a_reload(house: House, opened: Opened, pipeline: UUID) -> None:
    make(house, "attic")
    page = opened()
    edit(page, house, "attic")
    first = cell(page, "Temperature")
    first.focus()
    page.keyboard.press("Delete")
    expect(first).to_have_count(0)
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(first).to_have_count(1)
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    first.focus()
    page.keyboard.press("Control+d")
    expect(first).to_have_count(2)
    page.keyboard.press("Control+c")
    page.keyboard.press("Control+v")
    expect(first).to_have_count(3)
    # The browser asks before it leaves; what was changed, and each step, is here again.
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    ready(page)
    expect(first).to_have_count(3)
    expect(page.get_by_text("What you had changed is here again.")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(first).to_have_count(2)
    # A link of the page asks too.
    page.locator(".rail").get_by_role("link", name="Pipelines").click()
    expect(page.get_by_text("Leave with unsaved changes?")).to_be_visible()
    page.get_by_role("button", name="Stay").click()
    page.keyboard.press("Control+z")
    expect(first).to_have_count(1)
    expect(page.locator(".edit-state")).to_contain_text("Saved")


def test_two_who_save_see_what_differs_and_keep_both(house: House, opened: Opened, pipeline: UUID) -> None:
    document = make(house, "shared")
    page = opened()
    edit(page, house, "shared", "?tile=1")
    page.locator(".options-pane").get_by_label("Title", exact=True).fill("Warmth")
    tiles = [one | {"title": "The course of it"} if one["id"] == 3 else one for one in document["tiles"]]
    save_beside(house, "shared", {**document, "tiles": tiles}, "clearer")
    # It is told at once, in place of nothing that is being edited.
    expect(page.get_by_text("saved version 2 meanwhile")).to_be_visible()
    expect(page.locator(".options-pane").get_by_label("Title", exact=True)).to_have_value("Warmth")
    page.keyboard.press("Control+s")
    dialog = page.get_by_role("dialog", name="Somebody saved meanwhile")
    expect(dialog).to_contain_text("clearer")
    expect(dialog.locator("[data-part='tile 3']")).to_contain_text("title: The course of it")
    expect(dialog.locator("[data-part='tile 1']")).to_contain_text("title: Warmth")
    dialog.get_by_role("button", name="Merge both").click()
    expect(page.locator(".banner")).to_have_count(0)
    page.get_by_role("button", name="All tiles").click()
    expect(cell(page, "The course of it")).to_have_count(1)
    save(page, 3)
    _, after = saved(house, "shared")
    assert [one["title"] for one in after["tiles"]][::2] == ["Warmth", "The course of it"]
    # With nothing of one's own in the way, another's version is simply there.
    save_beside(house, "shared", {**after, "title": "Renamed"})
    expect(page.get_by_role("heading", name="Renamed")).to_be_visible()
    # Somebody else who edits is seen.
    house.member("ola@example.org", Role.editor)
    other = opened("ola@example.org")
    edit(other, house, "shared")
    expect(page.locator(".presence .face.editing")).to_have_count(1)


def test_an_earlier_version_is_restored(house: House, opened: Opened, pipeline: UUID) -> None:
    document = make(house, "history")
    save_beside(house, "history", {**document, "tiles": document["tiles"][:1]}, "only one")
    page = opened()
    edit(page, house, "history")
    expect(page.locator(".cell")).to_have_count(1)
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("button", name="Versions").click()
    rows = page.locator("table.versions tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("only one")
    page.locator("tr[data-revision='1']").get_by_role("button", name="restore").click()
    expect(page.locator(".cell")).to_have_count(3)
    expect(page.locator(".edit-state")).to_contain_text("Version 3")
    assert saved(house, "history")[1]["tiles"] == document["tiles"]


def test_a_variable_is_declared_chosen_and_used(house: House, opened: Opened, pipeline: UUID) -> None:
    make(house, "choices")
    page = opened()
    edit(page, house, "choices")
    page.get_by_role("button", name="Settings").click()
    dialog = page.get_by_role("dialog", name="Dashboard settings")
    dialog.get_by_role("button", name="Variables").click()
    dialog.get_by_role("button", name="Variable", exact=True).click()
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("site")
    expect(dialog.locator(".values")).to_contain_text("cellar")
    dialog.get_by_label("Name", exact=True).fill("Site!")
    expect(dialog.locator(".variable .wrong").first).to_contain_text("a-z")
    dialog.get_by_label("Name", exact=True).fill("place")
    dialog.get_by_role("button", name="Done").click()
    cell(page, f"By site {HOSTILE}").dblclick(position={"x": 60, "y": 14})
    page.locator(".query-form").get_by_label("Filter", exact=True).fill("site in ($place)")
    expect(page.locator(".wrong-count")).to_be_hidden()
    save(page, 2)
    page.goto(f"{house.url}/dashboards/choices/edit?var-place=roof&from=now-6h&to=now")
    ready(page)
    # The way to the viewer keeps what is shown.
    view = page.get_by_role("link", name="View")
    view.focus()
    expect(view).to_have_attribute("href", re.compile(r"/dashboards/choices\?(?=.*var-place=roof)(?=.*from=now-6h)"))


def test_only_who_may_change_gets_the_editor_and_it_fits_a_phone(house: House, opened: Opened, pipeline: UUID) -> None:
    make(house, "small")
    house.member("vera@example.org", Role.viewer)
    page = opened("vera@example.org")
    for path in ("/dashboards/small/edit", "/dashboards/new"):
        answer = page.goto(f"{house.url}{path}")
        assert answer is not None
        assert answer.status == 403
    opened.complaints.clear()  # type: ignore[attr-defined]
    phone = opened(width=390)
    edit(phone, house, "small")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    cell(phone, "Course").get_by_role("button", name="Move up").click()
    expect(phone.locator(".cell").first).to_have_attribute("aria-label", "Course")
    edit(phone, house, "small", "?tile=2")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.get_by_role("button", name="Options").click()
    expect(phone.get_by_label("Orientation")).to_be_visible()


def test_somebody_new_comes_from_the_log_in_to_a_live_dashboard(house: House, opened: Opened) -> None:
    page = opened()
    page.context.clear_cookies()
    clicks = 0

    def click(one: Locator) -> None:
        nonlocal clicks
        one.click()
        clicks += 1

    page.goto(f"{house.url}/login")
    page.fill("#email", house.email)
    page.fill("#password", PASSWORD)
    click(page.locator("button[type=submit]"))
    page.wait_for_url(f"{house.url}/")
    click(page.get_by_role("link", name=re.compile("New pipeline")).first)
    click(page.locator(".kind").get_by_text("Webhook", exact=True).first)
    page.get_by_label("Name", exact=True).fill("Balcony")
    click(page.get_by_text("Create pipeline"))
    expect(page.get_by_text("Waiting for the first payload")).to_be_visible()
    click(page.locator(".code-block", has=page.locator("[data-code=script]")).get_by_role("button", name="Copy"))
    # The script as it is shown, run by a shell; then what a worker would do at once.
    script = page.locator("[data-code=script]").inner_text()
    with house.app.database.team(house.team) as unit:
        pipeline = catalog.pipeline(unit, "balcony").id
    for _ in range(2):
        sent = subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={"PATH": os.environ["PATH"]},
        )
        assert "payload_id" in sent.stdout, sent.stdout + sent.stderr
        Ingest(house.app).run(pipeline)
    expect(page.get_by_text("The first record is here")).to_be_visible()
    click(page.get_by_role("link", name="Make a dashboard of it"))
    ready(page)
    expect(page.locator(".start-preview .tile[data-state=drawn]").first).to_be_visible()
    click(page.get_by_role("button", name="Create dashboard"))
    page.wait_for_url("**/dashboards/balcony/edit")
    ready(page)
    expect(page.locator(".cell .tile[data-state=drawn]").first).to_be_visible()
    click(page.get_by_role("link", name="View"))
    page.wait_for_url(re.compile(r"/dashboards/balcony(\?|$)"))
    records = page.locator(".tile", has=page.get_by_role("heading", name="Records", exact=True)).first
    expect(records.locator(".stat-number")).to_have_text("2")
    subprocess.run(
        ["bash", "-c", script], check=True, capture_output=True, timeout=60, env={"PATH": os.environ["PATH"]}
    )
    Ingest(house.app).run(pipeline)
    expect(records.locator(".stat-number")).to_have_text("3")
    assert clicks <= 12
