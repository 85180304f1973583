"""The mapping's editor in a browser: fields from payloads, form and text as one, saving, and two people at once."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from dash_app.domain.access import Role
from dash_app.pipelines import setup
from dash_app.storage import catalog
from tests.e2e.pages.conftest import House, Opened

pytestmark = pytest.mark.timeout(240)

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
MAPPING = {
    "fields": [
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "temperature", "path": "$.temperature", "type": "number", "unit": "°C"},
    ]
}
READINGS = [{"site": "roof", "temperature": 20 + n, "wind": {"speed": n, "gust": 2.5 * n}} for n in range(5)]


def edit(page: Page, house: House, slug: str, more: str = "") -> None:
    page.goto(f"{house.url}/pipelines/{slug}/mapping{more}")
    expect(page.locator(".pane.result")).to_have_attribute("data-preview", re.compile(r"\d+"))


def text_of(page: Page) -> str:
    return page.locator("textarea[aria-label=Mapping]").input_value()


def show_text(page: Page) -> Any:
    page.locator("button[data-view=text]").click()
    return page.locator("textarea[aria-label=Mapping]")


def mapping_of(house: House, pipeline: UUID) -> tuple[int | None, dict[str, Any]]:
    with house.app.database.team(house.team) as unit:
        newest = catalog.mappings(unit, pipeline)[0]
        return catalog.pipeline(unit, pipeline).mapping_version, dict(newest.document)


def save_beside(house: House, pipeline: UUID, mapping: Any, note: str = "") -> None:
    """What somebody else saves meanwhile."""
    with house.app.database.team(house.team) as unit:
        setup.save_mapping(unit, pipeline, mapping, "ola@example.org", note=note)
        unit.commit()


def test_a_click_on_a_value_makes_a_field_and_all_of_it_can_be_undone(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Cellar", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened()
    edit(page, house, "cellar")
    expect(page.locator(".figure-line")).to_contain_text("5 of 5 payloads clean")
    save = page.locator(".save-control .main")
    expect(save).to_be_disabled()
    page.locator(".payload").first.click()
    row = page.locator(".tree-row", has=page.get_by_text("gust", exact=True))
    row.locator(".leaf").click()
    expect(row.locator(".chip")).to_have_text("gust")
    expect(page.locator("table.preview-rows th").last).to_have_text("gust")
    expect(page.locator("table.preview-rows tbody tr").first).to_contain_text("10.0")
    expect(page.locator("[data-field=gust] [data-part=source]")).to_have_value("$.wind.gust")
    assert "{name: gust, path: $.wind.gust, type: number}" in text_of(page)
    page.keyboard.press("Control+z")
    expect(page.locator("[data-field=gust]")).to_have_count(0)
    expect(page.locator("table.preview-rows th")).to_have_count(3)
    expect(row.locator(".chip")).to_have_count(0)
    expect(save).to_be_disabled()
    page.keyboard.press("Control+Shift+Z")
    expect(page.locator("table.preview-rows th").last).to_have_text("gust")
    page.locator("[data-field=gust] [data-part=unit]").fill("m/s")
    expect(page.locator("table.preview-rows th .unit").last).to_have_text("m/s")
    page.get_by_label("Note").fill("wind too")
    page.keyboard.press("Control+s")
    expect(page.get_by_text("Version 2 maps what comes from now on.")).to_be_visible()
    expect(page.locator(".edit-state")).to_contain_text("Version 2")
    active, document = mapping_of(house, pipeline)
    assert active == 2
    assert document["fields"][2] == {"name": "gust", "path": "$.wind.gust", "type": "number", "unit": "m/s"}
    page.get_by_role("button", name="Versions").click()
    first = page.locator("table.versions tbody tr").first
    expect(first).to_contain_text("wind too")
    expect(first).to_contain_text("Active")
    expect(page.get_by_role("link", name="compare")).to_have_attribute("href", "/pipelines/cellar/compare?a=1&b=2")


def test_form_and_text_are_one_document(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Attic", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened()
    edit(page, house, "attic")
    area = show_text(page)
    area.fill("# what we measure\n" + text_of(page).replace("name: temperature", "name: degrees"))
    expect(page.locator("[data-field=degrees]")).to_have_count(1)
    expect(page.locator("table.preview-rows")).to_contain_text("degrees")
    page.locator("button[data-view=form]").click()
    name = page.locator("[data-field=degrees] [data-part=name]")
    name.fill("celsius")
    name.press("Enter")
    expect(page.locator("table.preview-rows")).to_contain_text("celsius")
    page.get_by_role("button", name="Expression").click()
    fresh = page.locator("[data-field=computed]")
    fresh.locator("[data-part=name]").fill("kelvin")
    fresh.locator("[data-part=name]").press("Enter")
    page.locator("[data-field=kelvin] [data-part=source]").fill("celsius + 273.15")
    expect(page.locator("table.preview-rows tbody tr").first).to_contain_text("297.15")
    page.locator("[data-field=celsius] [data-part=name]").fill("t")
    page.locator("[data-field=celsius] [data-part=name]").press("Enter")
    expect(page.locator("[data-field=kelvin] [data-part=source]")).to_have_value("t + 273.15")
    page.locator("[data-field=kelvin] [data-part=up]").click()
    expect(page.locator(".field-row").nth(1)).to_have_attribute("data-field", "kelvin")
    expect(page.locator(".field-row.is-wrong")).to_contain_text("t")
    page.keyboard.press("Control+z")
    expect(page.locator(".field-row.is-wrong")).to_have_count(0)
    assert text_of(page).startswith("# what we measure\n")


def test_a_mistake_is_shown_at_its_line_and_the_form_waits(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Hall", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened()
    edit(page, house, "hall")
    area = show_text(page)
    right = text_of(page)
    area.fill(right.replace("number", "numbr"))
    expect(page.locator(".wrongs")).to_contain_text("Line 3")
    expect(page.locator(".text-editor .lines > .wrong")).to_have_text("3")
    expect(page.locator(".save-control .main")).to_be_disabled()
    expect(page.locator(".pane.result")).to_have_class(re.compile(r"\bis-old\b"))
    expect(page.locator("table.preview-rows tbody tr")).to_have_count(5)
    area.fill(right + "where: [\n")
    expect(page.locator(".text-problem")).to_contain_text("Line 5")
    page.locator("button[data-view=form]").click()
    expect(page.get_by_text("The text cannot be read")).to_be_visible()
    expect(page.locator("[data-field=site] [data-part=source]")).to_be_disabled()
    page.get_by_role("button", name="Back to the last text that could be read").click()
    expect(page.locator("[data-field=site] [data-part=source]")).to_be_enabled()
    # It can be read again, and `numbr` is still wrong.
    expect(page.locator(".wrongs")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(page.get_by_text("The text cannot be read")).to_be_visible()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    expect(page.locator(".wrongs")).to_be_hidden()


def test_rejects_are_told_by_reason_and_lead_to_their_payload(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Shed", MAPPING)
    house.send(pipeline, *READINGS, {"site": HOSTILE, "temperature": "n/a"}, {"site": "x", "temperature": HOSTILE})
    page = opened()
    edit(page, house, "shed")
    expect(page.locator(".figure-line")).to_contain_text("5 of 7 payloads clean")
    reason = page.locator(".summary .reasons li")
    expect(reason).to_have_count(1)
    expect(reason).to_contain_text("temperature number expected, found text 'n/a', text '<img")
    expect(reason).to_contain_text("in 2 of 7 payloads")
    expect(page.locator(".payload .badge")).to_have_count(2)
    page.locator("[data-tab=rejects]").click()
    expect(page.locator(".reject")).to_have_count(2)
    page.locator(".reject").last.get_by_text("open its payload").click()
    expect(page.locator(".tree")).to_contain_text("n/a")
    page.keyboard.press("Escape")
    expect(page.locator(".payload")).to_have_count(7)
    page.get_by_label("Search payloads").fill("N/A")
    expect(page.locator(".payload")).to_have_count(1)
    page.get_by_label("When a value does not fit").select_option("null")
    expect(page.locator(".figure-line")).to_contain_text("7 of 7 payloads clean")


def test_the_second_save_gets_the_difference(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Garage", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened()
    edit(page, house, "garage")
    page.locator("[data-field=site] [data-part=unit]").fill("place")
    theirs = json.loads(json.dumps(MAPPING))
    theirs["fields"][1]["unit"] = "K"
    save_beside(house, pipeline, theirs, "in kelvin")
    expect(page.locator(".save-control .main")).to_be_enabled()
    page.locator(".save-control .main").click()
    dialog = page.locator("dialog.conflict")
    expect(dialog).to_contain_text("ola@example.org saved version 2")
    expect(dialog).to_contain_text("in kelvin")
    rows = dialog.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("unit: place")
    expect(rows.nth(1)).to_contain_text("unit: K")
    dialog.get_by_role("button", name="Go on editing").click()
    expect(page.locator("[data-field=site] [data-part=unit]")).to_have_value("place")
    page.locator(".save-control .main").click()
    dialog.get_by_role("button", name="Merge both").click()
    expect(page.locator("[data-field=temperature] [data-part=unit]")).to_have_value("K")
    expect(page.locator("[data-field=site] [data-part=unit]")).to_have_value("place")
    page.locator(".save-control .main").click()
    expect(page.get_by_text("Version 3 maps what comes from now on.")).to_be_visible()
    _, document = mapping_of(house, pipeline)
    assert [field.get("unit") for field in document["fields"]] == ["place", "K"]


@pytest.mark.parametrize("choice", ["theirs", "mine"])
def test_theirs_or_mine(house: House, opened: Opened, choice: str) -> None:
    pipeline = house.pipeline(f"Porch {choice}", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened()
    edit(page, house, f"porch_{choice}")
    page.locator("[data-field=temperature] [data-part=unit]").fill("°F")
    theirs = json.loads(json.dumps(MAPPING))
    theirs["fields"][1]["unit"] = "K"
    save_beside(house, pipeline, theirs)
    page.locator(".save-control .main").click()
    dialog = page.locator("dialog.conflict")
    expect(dialog.locator("tr.both")).to_contain_text("both")
    dialog.get_by_role("button", name={"theirs": "Take theirs", "mine": "Save mine on top"}[choice]).click()
    if choice == "theirs":
        expect(page.locator("[data-field=temperature] [data-part=unit]")).to_have_value("K")
        expect(page.locator(".save-control .main")).to_be_disabled()
        page.keyboard.press("Control+z")
        expect(page.locator("[data-field=temperature] [data-part=unit]")).to_have_value("°F")
    else:
        expect(page.get_by_text("Version 3 maps what comes from now on.")).to_be_visible()
        assert mapping_of(house, pipeline)[1]["fields"][1]["unit"] == "°F"


def test_a_draft_is_shared_within_the_team_alone(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Roof", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened()
    edit(page, house, "roof")
    show_text(page).fill("# nearly\n" + text_of(page).replace("°C", "K"))
    expect(page.locator("table.preview-rows th .unit")).to_have_text("K")
    page.get_by_role("button", name="Share draft").click()
    page.wait_for_url("**/pipelines/roof/mapping?draft=*")
    address = page.url
    house.member("drafts@example.org", Role.viewer)
    mate = opened("drafts@example.org")
    mate.goto(address)
    expect(mate.get_by_text("A shared draft")).to_be_visible()
    expect(mate.locator("textarea[aria-label=Mapping]")).to_have_value("# nearly\n" + text_of(page).split("\n", 1)[1])
    expect(mate.locator("table.preview-rows th .unit")).to_have_text("K")
    other = house.other_team("elsewhere")
    house.member("stranger@example.org", Role.admin, other)
    house.pipeline("Roof", MAPPING, team=other)
    stranger = opened("stranger@example.org")
    answer = stranger.goto(address)
    assert answer is not None
    assert answer.status == 404
    assert stranger.goto(address.split("?")[0]).status == 200, "their own pipeline of this name is there"  # type: ignore[union-attr]
    complaints = opened.complaints  # type: ignore[attr-defined]
    assert all("404" in each for each in complaints)
    complaints.clear()


def test_what_was_typed_outlives_a_reload(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Loft", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened()
    edit(page, house, "loft")
    show_text(page).fill(text_of(page).replace("°C", "K"))
    expect(page.locator("table.preview-rows th .unit")).to_have_text("K")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    expect(page.get_by_text("What you had typed is here again.")).to_be_visible()
    assert asked == ["beforeunload"]
    expect(page.locator("table.preview-rows th .unit")).to_have_text("K")
    page.get_by_role("button", name="Back to the saved version").click()
    expect(page.locator("table.preview-rows th .unit")).to_have_text("°C")
    page.reload()
    expect(page.locator("table.preview-rows th .unit")).to_have_text("°C")
    assert asked == ["beforeunload"], "nothing is unsaved any more"


def test_a_reload_does_not_overwrite_what_somebody_else_saved(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Gable", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened()
    page.on("dialog", lambda dialog: dialog.accept())
    edit(page, house, "gable")
    show_text(page).fill(text_of(page).replace("°C", "K"))
    expect(page.locator("table.preview-rows th .unit")).to_have_text("K")
    save_beside(house, pipeline, MAPPING | {"where": "temperature > 0"})
    page.reload()
    expect(page.get_by_text("What you had typed is here again.")).to_be_visible()
    expect(page.locator("table.preview-rows th .unit")).to_have_text("K")
    page.keyboard.press("Control+s")
    expect(page.get_by_role("dialog", name="Somebody saved meanwhile")).to_be_visible()
    assert mapping_of(house, pipeline)[1] == MAPPING | {"where": "temperature > 0"}


def test_what_was_typed_on_a_shared_draft_outlives_a_reload(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Dormer", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened()
    page.on("dialog", lambda dialog: dialog.accept())
    edit(page, house, "dormer")
    show_text(page).fill(text_of(page).replace("°C", "K"))
    page.get_by_role("button", name="Share draft").click()
    page.wait_for_url("**/pipelines/dormer/mapping?draft=*")
    page.locator("textarea[aria-label=Mapping]").fill(text_of(page).replace("unit: K", "unit: °F"))
    expect(page.locator("table.preview-rows th .unit")).to_have_text("°F")
    page.reload()
    expect(page.get_by_text("What you had typed is here again.")).to_be_visible()
    expect(page.locator("table.preview-rows th .unit")).to_have_text("°F")


def test_a_newer_version_that_is_not_live_is_told(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Eaves", MAPPING)
    house.send(pipeline, *READINGS)
    with house.app.database.team(house.team) as unit:
        setup.save_mapping(unit, pipeline, MAPPING | {"where": "temperature > 21"}, "ola@example.org", activate="no")
        unit.commit()
    page = opened()
    page.set_viewport_size({"width": 390, "height": 800})
    edit(page, house, "eaves")
    # On a phone the words of buttons are not shown, but they are still their names.
    for name in ("Versions", "Share draft"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    expect(page.get_by_text("Version 2 is newer and not live.")).to_be_visible()
    page.get_by_role("link", name="Open it").click()
    expect(page.get_by_text("Version 2 as a draft.")).to_be_visible()
    assert "temperature > 21" in text_of(page)


def test_a_viewer_sees_it_and_changes_nothing(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Kitchen", MAPPING)
    house.send(pipeline, *READINGS)
    house.member("looks@example.org", Role.viewer)
    page = opened("looks@example.org")
    edit(page, house, "kitchen")
    expect(page.locator("table.preview-rows tbody tr")).to_have_count(5)
    expect(page.locator(".save-control")).to_have_count(0)
    expect(page.get_by_role("button", name="Share draft")).to_have_count(0)
    expect(page.locator("[data-field=site] [data-part=source]")).to_be_disabled()
    expect(show_text(page)).to_have_attribute("readonly", "")
    page.locator(".payload").first.click()
    expect(page.locator(".tree .leaf").first).to_be_disabled()
    assert mapping_of(house, pipeline)[0] == 1


def test_no_payload_and_no_mapping_yet(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Empty")
    page = opened()
    edit(page, house, "empty")
    expect(page.get_by_text("No payloads yet")).to_be_visible()
    expect(page.get_by_text("No mapping yet")).to_be_visible()
    page.get_by_label("Sample payload").fill('{"broken": ')
    page.get_by_role("button", name="Try on this").click()
    expect(page.locator(".toast")).to_contain_text("not valid JSON")
    page.get_by_label("Sample payload").fill(
        json.dumps({"items": [{"speed": 1.5, "id": "a"}, {"speed": 2.5, "id": "b"}]})
    )
    page.get_by_role("button", name="Try on this").click()
    page.get_by_role("button", name="Infer from payloads").click()
    expect(page.locator("table.preview-rows tbody tr")).to_have_count(2)
    expect(page.get_by_label("Path to the records")).to_have_value("$.items[*]")
    page.locator(".save-control .main").click()
    expect(page.get_by_text("Version 1 maps what comes from now on.")).to_be_visible()
    assert mapping_of(house, pipeline)[1]["records"] == "$.items[*]"


def test_records_time_key_and_headers_from_the_tree(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Events", {"fields": [{"name": "kind", "path": "$.kind", "type": "text"}]})
    house.send(
        pipeline,
        {"kind": "batch", "events": [{"id": f"e{n}", "at": f"2026-01-0{n + 1}T00:00:00Z", "v": n} for n in range(3)]},
        headers={"x-site": "Bergen"},
    )
    page = opened()
    edit(page, house, "events")
    page.locator(".payload").first.click()
    row = page.locator(".tree-row", has=page.get_by_text("events", exact=True))
    row.hover()
    row.get_by_role("button", name="Take its elements as the records").click()
    expect(page.locator("table.preview-rows tbody tr")).to_have_count(3)
    expect(page.locator("[data-field=kind] [data-part=from]")).to_have_value("payload")
    at = page.locator(".tree-row", has=page.get_by_text("at", exact=True))
    at.hover()
    at.get_by_role("button", name="as the time of the records").click()
    expect(page.get_by_label("Path to the time")).to_have_value("$.at")
    identity = page.locator(".tree-row", has=page.get_by_text("id", exact=True))
    identity.hover()
    identity.get_by_role("button", name="into the key").click()
    expect(page.get_by_label("Paths of the key")).to_have_value("$.id")
    page.get_by_text("1 header").click()
    page.get_by_role("button", name="Add the header x-site as a field").click()
    expect(page.locator("table.preview-rows tbody tr").first).to_contain_text("Bergen")
    expect(page.locator("table.preview-rows tbody tr").first).to_contain_text("batch")


def test_new_payloads_wait_until_they_are_asked_for(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Live", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened()
    edit(page, house, "live")
    house.send(pipeline, {"site": "late", "temperature": 1}, {"site": "later", "temperature": 2})
    fresh = page.get_by_role("button", name="2 new")
    expect(fresh).to_be_visible(timeout=20_000)
    expect(page.locator(".payload")).to_have_count(5)
    fresh.click()
    expect(page.locator(".payload")).to_have_count(7)
    expect(page.locator(".figure-line")).to_contain_text("7 of 7")


def test_a_version_is_opened_as_a_draft(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Old", MAPPING)
    save_beside(house, pipeline, {"fields": [{"name": "other", "path": "$.x", "type": "text"}]})
    page = opened()
    edit(page, house, "old", "?version=1")
    expect(page.get_by_text("Version 1 as a draft.")).to_be_visible()
    expect(page.locator("[data-field=temperature]")).to_have_count(1)
    assert page.goto(f"{house.url}/pipelines/old/mapping?version=9").status == 404  # type: ignore[union-attr]
    opened.complaints.clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_one_part_stands_at_a_time(house: House, opened: Opened, theme: str) -> None:
    pipeline = house.pipeline(f"Phone {theme}", MAPPING)
    house.send(pipeline, *READINGS)
    page = opened(width=390, theme=theme)
    edit(page, house, f"phone_{theme}")
    panes = page.get_by_role("group", name="Part of the editor")
    for name, pane in (("Payloads", "payloads"), ("Result", "result"), ("Mapping", "mapping")):
        panes.get_by_role("button", name=name).click()
        expect(page.locator(f"[data-pane={pane}].pane")).to_be_visible()
        assert page.locator(".pane:visible").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    panes.get_by_role("button", name="Payloads").click()
    page.locator(".payload").first.click()
    page.get_by_role("button", name="Add speed as a field").click()
    panes.get_by_role("button", name="Result").click()
    expect(page.locator("table.preview-rows")).to_contain_text("speed")
