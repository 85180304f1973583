"""Replays, lineage, mapping again and time travel, as somebody at a browser meets them.

No worker runs beside the node: each step of a replay is taken by the test, so that nothing is waited for blindly.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, Route, expect

from dash_app.domain.access import Role
from dash_app.pipelines import replay as replay_module
from dash_app.pipelines import setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.replay import Replays
from dash_app.storage import bronze, catalog, dashboards, replays
from tests.e2e.pages.conftest import House, Opened

pytestmark = pytest.mark.timeout(240)

FIELDS = [
    {"name": "site", "path": "$.site", "type": "text"},
    {"name": "degrees", "path": "$.degrees", "type": "number", "unit": "°C"},
]
V1: dict[str, Any] = {"records": "$.rows", "fields": FIELDS}
V2: dict[str, Any] = {
    **V1,
    "fields": [
        FIELDS[0],
        {"name": "raw", "path": "$.degrees", "type": "number"},
        {"name": "degrees", "sql": "raw + 100", "type": "number"},
    ],
}
#: [address, body, token] → the status of a POST.
POST = """([address, body, token]) => fetch(address, {method: "POST", headers: {"X-XSRF-Token": token}, body})
  .then((answer) => answer.status)"""


def rows(*values: Any) -> dict[str, Any]:
    return {"rows": [{"site": "Oslo", "degrees": value} for value in values]}


def save(house: House, pipeline: UUID, mapping: Any, activate: Any = "no") -> None:
    with house.app.database.team(house.team) as unit:
        setup.save_mapping(unit, pipeline, mapping, house.who, activate=activate)
        unit.commit()


def under_way(house: House, pipeline: UUID) -> UUID:
    with house.app.database.ingest() as unit:
        return replays.of_pipeline(unit, pipeline)[0].id


def finish(house: House, replay: UUID) -> None:
    work = Replays(house.app)
    while work.step(replay) != "ended":
        pass


def state(house: House, replay: UUID) -> str:
    with house.app.database.ingest() as unit:
        return replays.get(unit, replay).state


def version(house: House, pipeline: UUID) -> int | None:
    with house.app.database.ingest() as unit:
        return catalog.pipeline(unit, pipeline).mapping_version


def field(page: Page, name: str) -> Any:
    return page.locator(f'[data-field="{name}"]')


def test_a_replay_from_the_page_to_its_end_back_and_forward(
    house: House, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "STEP_PAYLOADS", 2)
    pipeline = house.pipeline("Fjord", V1)
    house.send(pipeline, *(rows(n) for n in range(8)))
    save(house, pipeline, V2)
    page = opened()
    page.goto(f"{house.url}/pipelines/fjord?tab=replays")
    expect(page.get_by_text("No replay yet")).to_be_visible()
    page.get_by_role("button", name="Replay…", exact=True).click()
    dialog = page.get_by_role("dialog", name="Map history anew")
    dialog.get_by_label("Under version").select_option("2")
    expect(dialog.locator("[data-plan]")).to_contain_text("About 8 payloads from 0 files")
    expect(dialog.locator("[data-plan]")).to_contain_text("mapped under v2")
    dialog.get_by_label("Between two moments (UTC)").check()
    dialog.get_by_label("From", exact=True).fill("2030-01-01T00:00")
    expect(dialog.locator("[data-plan]")).to_contain_text("carried over as it is")
    dialog.get_by_label("At any time").check()
    dialog.get_by_label("At most, records per second").fill("1000000")
    dialog.get_by_label("Why").fill("a hundred more")
    dialog.get_by_role("button", name="Start the replay").click()
    box = page.locator("section[data-replay]")
    expect(box.locator("[data-state-badge]")).to_have_text("queued")
    expect(page.locator("tr", has_text="v2").locator(".badge")).to_have_text("Being filled")
    replay = under_way(house, pipeline)
    work = Replays(house.app)
    work.step(replay)
    expect(box.locator("[data-state-badge]")).to_have_text("running")
    expect(field(page, "payloads_total")).to_have_text("8")
    work.step(replay)
    expect(field(page, "payloads")).to_have_text("2")
    expect(field(page, "share")).to_have_text("25 %")
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "25")
    box.get_by_role("button", name="Pause").click()
    expect(box.locator("[data-state-badge]")).to_have_text("paused")
    expect(box.get_by_role("button", name="Resume")).to_be_visible()
    assert work.step(replay) == "ended"
    box.get_by_label("At most").fill("")
    box.get_by_role("button", name="Set").click()
    expect(page.get_by_text("As fast as it goes from now on.")).to_be_visible()
    box.get_by_role("button", name="Resume").click()
    expect(box.get_by_role("button", name="Pause")).to_be_visible()
    assert version(house, pipeline) == 1
    finish(house, replay)
    # The page learns of the swap by itself.
    expect(page.locator(".standing").first).to_contain_text("Version 2 is what dashboards")
    expect(page.locator(".past-replays tbody tr")).to_contain_text(["a hundred more"])
    expect(box).to_have_count(0)
    page.get_by_role("button", name="Roll back to v1").click()
    expect(page.locator(".standing").first).to_contain_text("Version 1 is what dashboards")
    assert version(house, pipeline) == 1
    page.goto(f"{house.url}/pipelines/fjord")
    expect(page.locator(".replay-notice")).to_contain_text("v1 is live since")
    page.get_by_role("button", name="Roll back to v2").click()
    expect(page.locator(".replay-notice")).to_contain_text("v2 is live since")
    assert version(house, pipeline) == 2
    page.goto(f"{house.url}/pipelines/fjord?tab=replays")
    page.get_by_role("button", name="Discard").click()
    assert version(house, pipeline) == 2
    page.get_by_role("button", name="Discard for good").click()
    expect(page.get_by_role("button", name=re.compile("Roll back"))).to_have_count(0)


def test_a_replay_that_fails_says_why_and_is_resumed_from_the_page(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Moor", V1)
    house.send(pipeline, rows(1))
    bronze.archive(house.app.database, house.app.objects, pipeline)
    with house.app.database.ingest() as unit:
        key = unit.value("SELECT key FROM bronze_files WHERE pipeline_id = %s", (pipeline,))
        unit.execute("DELETE FROM payloads WHERE pipeline_id = %s", (pipeline,))
        unit.commit()
    data = house.app.objects.get(key)
    house.app.objects.delete(key)
    save(house, pipeline, V2, "after_replay")
    page = opened()
    page.goto(f"{house.url}/pipelines/moor?tab=replays")
    replay = under_way(house, pipeline)
    work = Replays(house.app)
    # A turn ends early beside other work.
    while state(house, replay) != "failed":
        work.run(replay)
    expect(page.locator(".under-way .problem")).to_contain_text(key)
    house.app.objects.put(key, data)
    page.locator(".under-way").get_by_role("button", name="Resume").click()
    expect(page.locator(".under-way .problem")).to_have_count(0)
    finish(house, replay)
    expect(page.locator(".standing").first).to_contain_text("Version 2 is what dashboards")


@pytest.mark.parametrize("tab", ["overview", "replays"])
def test_what_happens_between_a_page_and_its_live_channel_is_shown(house: House, opened: Opened, tab: str) -> None:
    pipeline = house.pipeline(f"Sound of {tab}", V1)
    house.send(pipeline, rows(1))
    save(house, pipeline, V2, "after_replay")
    page = opened()
    held: list[Route] = []
    page.route(re.compile(r"/(pipeline-page|replays)\.js$"), lambda route: held.append(route))
    page.goto(f"{house.url}/pipelines/{pipeline}?tab={tab}", wait_until="commit")
    expect(page.locator("[data-replay]")).to_have_attribute("data-state", "queued")
    finish(house, under_way(house, pipeline))
    house.send(pipeline, rows(2))
    for route in held:
        route.continue_()
    expect(page.locator("[data-replay]")).to_have_count(0)
    if tab == "overview":
        expect(page.locator(".figure", has_text="Records").locator("strong")).to_have_text("2")


def test_before_a_version_is_live_the_page_says_what_to_do(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Marsh", None)
    save(house, pipeline, V1)
    page = opened()
    page.goto(f"{house.url}/pipelines/marsh?tab=replays")
    expect(page.locator(".standing").first).to_contain_text("Nothing is read yet.")
    page.get_by_role("button", name="Replay…", exact=True).click()
    dialog = page.get_by_role("dialog", name="Make a version live first")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    # Made live elsewhere, and seen here.
    save(house, pipeline, V1, "now")
    expect(page.locator(".standing").first).to_contain_text("is what dashboards")


def test_a_press_beside_the_dialog_closes_it_and_one_on_its_edge_does_not(house: House, opened: Opened) -> None:
    house.pipeline("Heath", V1)
    page = opened()
    page.goto(f"{house.url}/pipelines/heath?tab=replays")
    page.get_by_role("button", name="Replay…", exact=True).click()
    dialog = page.get_by_role("dialog", name="Map history anew")
    dialog.get_by_label("Why").fill("because")
    box = dialog.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 8, box["y"] + 8)
    expect(dialog.get_by_label("Why")).to_have_value("because")
    expect(dialog).to_be_visible()
    page.mouse.click(box["x"] - 8, box["y"] + 8)
    expect(dialog).to_be_hidden()


def test_a_cancelled_replay_asks_once_and_leaves_what_is_read(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Lake", V1)
    house.send(pipeline, rows(1))
    save(house, pipeline, V2, "after_replay")
    page = opened(width=390, theme="dark")
    page.goto(f"{house.url}/pipelines/lake?tab=replays")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel for good").click()
    expect(page.locator(".past-replays tbody tr")).to_contain_text(["cancelled"])
    assert version(house, pipeline) == 1


def test_from_a_record_to_its_payload_and_to_all_of_its_records(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Hill", V1)
    house.send(pipeline, rows(1, "cold", 3), headers={"x-station": "41"})
    page = opened()
    page.goto(f"{house.url}/pipelines/hill?tab=records")
    row = page.locator(".records-tile tbody tr").first
    expect(row).to_contain_text("3")
    row.get_by_role("link").click()
    page.wait_for_url("**tab=payloads&payload=*&record=2")
    expect(page.locator("#record")).to_have_text(re.compile(r'^\s*\{\s*"site": "Oslo",\s*"degrees": 3\s*\}\s*$'))
    expect(page.locator("#body")).to_contain_text('"degrees": "cold"')
    records, refused = page.locator(".became tbody").all()
    expect(records.locator("tr")).to_have_count(2)
    expect(records.locator("tr.is-chosen")).to_contain_text("v1")
    expect(refused.locator("tr")).to_contain_text(["number expected, found text 'cold'"])
    expect(page.locator("dl.facts").first).to_contain_text("the inbox")
    page.get_by_text("1 header").click()
    expect(page.get_by_text("x-station")).to_be_visible()
    bronze.archive(house.app.database, house.app.objects, pipeline)
    page.reload()
    page.get_by_text("Open that file elsewhere").click()
    expect(page.locator("#open-1")).to_contain_text(re.compile(r"FROM 'bronze/.*\.parquet' WHERE payload_id = \d+;"))


def test_from_a_bucket_of_a_table_to_its_records(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Coast", V1)
    house.send(pipeline, rows(1, 2), {"rows": [{"site": "Bodø", "degrees": 7}]})
    tile = {
        "id": 1, "kind": "line", "title": "By site", "gridPos": {"x": 0, "y": 0, "w": 12, "h": 8},
        "query": {
            "pipeline": "coast", "by": ["site"], "every": "1h",
            "select": [{"field": "degrees", "agg": "avg", "as": "d"}],
        },
    }  # fmt: skip
    with house.app.database.team(house.team) as unit:
        dashboards.create(unit, house.team, {"uid": "coast", "title": "Coast", "tiles": [tile]})
        unit.commit()
    page = opened()
    page.goto(f"{house.url}/dashboards/coast?from=now-1h/h&to=now%2B1h/h")
    expect(page.locator(".tile[data-state=drawn]")).to_have_count(1)
    page.locator(".tile-menu summary").click()
    page.get_by_role("button", name="View data").click()
    page.locator(".data-dialog tbody tr", has_text="Bodø").get_by_role("link").click()
    expect(page.locator(".behind")).to_contain_text("site = Bodø")
    row = page.locator("[data-behind] tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("7")


def test_rejects_are_gathered_and_gone_once_the_mapping_is_mended(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Shore", V1)
    house.send(pipeline, rows("n/a", 1), rows("cold"), b"{nope")
    page = opened()
    page.goto(f"{house.url}/pipelines/shore?tab=rejects")
    group = page.locator(".groups li", has_text="number expected")
    expect(group).to_contain_text("in 2 records of 2 payloads")
    group.get_by_role("link").click()
    expect(page.locator("table.rejects tbody tr")).to_have_count(2)
    save(house, pipeline, {**V1, "on_error": "null"}, "now")
    page.get_by_label("Choose all").check()
    page.get_by_role("button", name="Map again (2)").click()
    expect(page.get_by_text("2 payloads being mapped again…")).to_be_visible()
    Ingest(house.app).run(pipeline)
    # Whatever the page shows next it shows by itself.
    expect(page.get_by_text("Nothing is left of this group")).to_be_visible(timeout=15_000)
    page.goto(f"{house.url}/pipelines/shore?tab=rejects")
    expect(page.locator("table.rejects tbody tr")).to_have_count(1)
    page.locator(".groups li", has_text="body").get_by_role("button", name="Map all again").click()
    expect(page.get_by_text("1 payload being mapped again…")).to_be_visible()
    Ingest(house.app).run(pipeline)
    expect(page.get_by_text("being mapped again…")).to_have_count(0, timeout=15_000)
    expect(page.locator("table.rejects tbody tr")).to_have_count(1)


def test_a_dashboard_travels_to_a_version_and_back(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Cape", V1)
    house.send(pipeline, rows(5))
    query = {"pipeline": "cape", "select": [{"field": "degrees", "agg": "max", "as": "d"}]}
    tile = {"id": 1, "kind": "stat", "title": "Most", "gridPos": {"x": 0, "y": 0, "w": 6, "h": 4}, "query": query}
    with house.app.database.team(house.team) as unit:
        dashboards.create(unit, house.team, {"uid": "cape", "title": "Cape", "tiles": [tile]})
        unit.commit()
    save(house, pipeline, V2, "after_replay")
    finish(house, under_way(house, pipeline))
    page = opened()
    page.goto(f"{house.url}/dashboards/cape?from=now-1h&to=now%2B1h")
    expect(page.locator(".tile")).to_contain_text("105")
    page.locator(".as-of summary").click()
    page.get_by_role("link", name="As mapping v1 saw it").click()
    page.wait_for_url("**mapping=cape:1*")
    expect(page.locator(".time-travel")).to_contain_text("Cape as mapping v1 saw it")
    expect(page.locator(".tile-body")).to_have_text(re.compile(r"^5\b"))
    assert "from=now-1h" in page.url
    # What comes now moves the old version too.
    house.send(pipeline, rows(8))
    expect(page.locator(".tile-body")).to_have_text(re.compile(r"^8\b"))
    page.get_by_role("link", name="Back to today").click()
    expect(page.locator(".tile")).to_contain_text("108")
    page.goto(f"{house.url}/pipelines/cape?tab=replays")
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("button", name="Discard for good").click()
    expect(page.get_by_text("not kept any more")).to_be_visible()
    page.goto(f"{house.url}/dashboards/cape?mapping=cape:1")
    expect(page.get_by_role("alert")).to_contain_text("What mapping v1 of Cape made is not kept any more")
    expect(page.locator(".tile")).to_contain_text("not kept")
    for asked, status in (("cape:9", 404), ("nowhere:1", 404), ("cape", 400)):
        answer = page.goto(f"{house.url}/dashboards/cape?mapping={asked}")
        assert answer is not None
        assert answer.status == status, asked
    opened.complaints.clear()  # type: ignore[attr-defined]


def test_a_viewer_sees_it_all_and_changes_nothing(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Isle", V1)
    house.send(pipeline, rows("n/a", 1))
    save(house, pipeline, V2, "after_replay")
    house.member("viewer@example.org", Role.viewer)
    page = opened("viewer@example.org")
    for tab in ("replays", "rejects", "payloads"):
        page.goto(f"{house.url}/pipelines/isle?tab={tab}")
        expect(page.locator("[data-part] button:visible")).to_have_count(0)
        expect(page.locator("[data-part] input")).to_have_count(0)
    page.goto(f"{house.url}/pipelines/isle?tab=replays")
    expect(page.locator(".under-way")).to_contain_text("Replay under v2")
    token = page.locator('meta[name="dash-xsrf"]').get_attribute("content")
    for action, body in (("start", "{}"), ("rollback", "{}"), ("discard", "{}"), ("again", '{"payloads": ["1"]}')):
        assert page.evaluate(POST, [f"/pipelines/isle/replays/{action}", body, token]) == 403, action
    replay = str(under_way(house, pipeline))
    for action in ("pause", "cancel", "throttle"):
        body = f'{{"replay": "{replay}", "throttle": "5"}}'
        assert page.evaluate(POST, [f"/pipelines/isle/replays/{action}", body, token]) == 403, action
    assert page.evaluate(POST, ["/pipelines/isle/replays/pause", "{}", "wrong"]) == 403
    opened.complaints.clear()  # type: ignore[attr-defined]


def test_another_pipelines_replay_is_not_moved_through_this_one(house: House, opened: Opened) -> None:
    mine, other = house.pipeline("Reef", V1), house.pipeline("Bay", V1)
    house.send(mine, rows(1))
    house.send(other, rows(1))
    save(house, other, V2, "after_replay")
    page = opened()
    page.goto(f"{house.url}/pipelines/reef?tab=replays")
    token = page.locator('meta[name="dash-xsrf"]').get_attribute("content")
    body = f'{{"replay": "{under_way(house, other)}"}}'
    for action, given, status in (
        ("cancel", body, 404), ("pause", '{"replay": "x"}', 404), ("pause", "[]", 400), ("pause", "{", 400),
        ("rollback", "{}", 409), ("discard", "{}", 409), ("again", "{}", 400), ("again", '{"payloads": []}', 422),
        ("again", '{"payloads": ["7"]}', 404), ("start", '{"version": "99"}', 404), ("start", '{"version": "x"}', 400),
        ("plan", '{"from": "sometime"}', 422), ("nothing", "{}", 404), ("start", "[" * 100_000, 400),
        ("start", '{"note": "\\u0000"}', 400), ("again", '{"field": "a", "reason": "\\ud800"}', 400),
        ("again", f'{{"payloads": ["{"1" * 5000}"]}}', 400),
    ):  # fmt: skip
        assert page.evaluate(POST, [f"/pipelines/reef/replays/{action}", given, token]) == status, (action, given)
    opened.complaints.clear()  # type: ignore[attr-defined]
