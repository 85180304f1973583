"""A dashboard as those who have it open see it on the live channel: revision, people, annotations of all sources."""

from __future__ import annotations

import asyncio
from typing import Any

from dash_app.domain.ids import as_uuid
from dash_app.live.hub import Hub
from dash_app.pipelines import annotations, dashboards, rollout
from dash_app.pipelines.query import Queries
from dash_app.storage import catalog, presence
from dash_app.storage.unit import Unit
from tests.integration.test_live import MAPPING, RANGE, Viewer, World, ms, of, record, rows, world

__all__ = ["world"]

DOCUMENT: dict[str, Any] = {
    "uid": "shop",
    "title": "Shop",
    "templating": {"list": [{"name": "site", "type": "text", "current": "a"}]},
    "annotations": {
        "list": [
            {"name": "By hand", "source": "manual", "color": "red"},
            {
                "name": "Large",
                "source": "query",
                "query": {"pipeline": "orders", "where": "n > 15 and site = $site"},
                "text": "${n} at ${site}",
            },
            {"name": "Mapped anew", "source": "replays"},
            {"name": "Off", "source": "query", "query": {"pipeline": "orders"}, "enable": False},
        ]
    },
    "tiles": [
        {
            "id": 1,
            "kind": "stat",
            "gridPos": {"x": 0, "y": 0, "w": 3, "h": 3},
            "query": {"pipeline": "orders", "select": [{"agg": "count"}]},
        }
    ],
}


async def written(world: World, function: Any) -> Any:
    def work() -> Any:
        with world.house.app.database.team(world.house.team) as unit:
            answer = function(unit)
            unit.commit()
            return answer

    return await asyncio.to_thread(work)


async def saved(world: World, document: dict[str, Any] = DOCUMENT) -> None:
    author = world.fake.people["bob"]
    await written(world, lambda unit: dashboards.create_dashboard(unit, author.team, document, author))


def here(frame: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(row["name"], row["editing"]) for row in rows(frame)]


async def until_here(viewer: Viewer, topic: str, wanted: list[tuple[str, bool]]) -> dict[str, Any]:
    def told(frame: dict[str, Any]) -> bool:
        return frame.get("topic") == topic and "present" in frame

    # The snapshot says it already where the coming was noted before it was read.
    last = next((frame for frame in reversed(viewer.heard) if told(frame)), None)
    if last is not None and here(last) == wanted:
        return last
    return await viewer.until(lambda frame: told(frame) and here(frame) == wanted)


async def test_who_has_it_open_and_what_is_saved(world: World) -> None:
    await saved(world)
    ada, bob = await world.connect("ada"), await world.connect("bob")
    first = await ada.subscribe(kind="dashboard", dashboard="shop")
    assert (first["revision"], first["updated_by"], first["title"]) == (1, "bob@example.org", "Shop")
    topic = first["topic"]
    # A viewer who says to edit is a viewer all the same.
    await (await world.connect("ada")).subscribe(kind="dashboard", dashboard="shop", editing=True)
    again = await bob.subscribe(kind="dashboard", dashboard="shop", editing=True, id="mine")
    assert again["topic"] == topic
    told = await until_here(ada, topic, [("bob", True), ("ada", False)])
    assert told["present"] == 2
    assert rows(told)[0]["user"] == str(world.fake.people["bob"].user)
    author = world.fake.people["bob"]
    await written(world, lambda unit: dashboards.update_dashboard(unit, "shop", {**DOCUMENT, "title": "Till"}, author))
    told = await ada.until(lambda frame: frame.get("topic") == topic and frame.get("revision") == 2)
    assert (told["title"], told["updated_by"]) == ("Till", "bob@example.org")
    await bob.send(op="unsubscribe", id="mine")
    await until_here(ada, topic, [("ada", False)])
    await written(world, lambda unit: dashboards.delete_dashboard(unit, "shop", author))
    gone = await ada.until(lambda frame: frame.get("topic") == topic and frame.get("revision", 0) is None)
    assert gone["title"] is None
    assert (await ada.subscribe(kind="dashboard", dashboard="shop"))["op"] == "error"


async def test_other_nodes_are_seen_and_forgotten_when_they_say_nothing_any_more(world: World) -> None:
    await saved(world)
    viewer = await world.connect("ada")
    topic = (await viewer.subscribe(kind="dashboard", dashboard="shop"))["topic"]
    await until_here(viewer, topic, [("ada", False)])
    other = Hub(world.house.app.database, Queries(world.house.app.database))

    class Tab:
        principal = world.fake.people["bob"]
        heard: list[bytes] = []

        def deliver(self, wire: bytes) -> None:
            self.heard.append(wire)

    tab = Tab()
    other.connect(tab)  # type: ignore[arg-type]
    await other.subscribe(tab, "t", {"kind": "dashboard", "dashboard": "shop", "editing": True})  # type: ignore[arg-type]
    await until_here(viewer, topic, [("bob", True), ("ada", False)])
    other.close()  # as a node that is killed: it takes nothing back

    def grow_old(unit: Unit) -> None:
        unit.execute("UPDATE presence SET seen_at = seen_at - interval '2 minutes' WHERE name = 'bob'")
        assert presence.prune(unit) == 1
        presence.leave(unit, _dashboard(unit), "none", world.fake.people["bob"].user, True)

    await written(world, grow_old)
    await until_here(viewer, topic, [("ada", False)])


def _dashboard(unit: Unit) -> Any:
    return unit.value("SELECT id FROM dashboards")


async def test_annotations_of_all_sources_come_together_and_follow_what_happens(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await saved(world)
    await world.add(pipeline, record(1, 10), record(2, 20), record(3, 30, "b"))
    author = world.fake.people["bob"]
    note = {"time": ms(5), "time_end": ms(9), "text": "Sale", "tags": ["shop"], "tile": "1"}
    made = await written(world, lambda unit: annotations.write(unit, "shop", note, author))
    viewer = await world.connect("ada")
    snapshot = await viewer.subscribe(kind="annotations", dashboard="shop", range=RANGE)
    assert rows(snapshot) == [
        {
            "id": str(made.id), "time": ms(5), "time_end": ms(9), "text": "Sale", "tags": ["shop"],
            "source": "By hand", "color": "red", "tile": "1", "author": "bob@example.org",
        },
        {
            "id": rows(snapshot)[1]["id"], "time": ms(2), "time_end": None, "text": "20 m at a", "tags": [],
            "source": "Large", "color": "violet", "tile": None, "author": "",
        },
    ]  # fmt: skip
    assert [(one["name"], one["enable"]) for one in snapshot["sources"]] == [
        ("By hand", True), ("Large", True), ("Mapped anew", True), ("Off", False),
    ]  # fmt: skip
    topic = snapshot["topic"]
    # Another choice of a variable that is asked for is another topic, of another one the same.
    other = await viewer.subscribe(kind="annotations", dashboard="shop", range=RANGE, variables={"site": ["a", "b"]})
    assert [row["text"] for row in rows(other)] == ["Sale", "30 m at b", "20 m at a"]
    same = await viewer.subscribe(kind="annotations", dashboard="shop", range=RANGE, variables={"else": "x"})
    assert same["topic"] == topic
    alone = await viewer.subscribe(kind="annotations", dashboard="shop", range=RANGE, sources=["Off"])
    assert {row["source"] for row in rows(alone)} == {"Off"}
    assert len(rows(alone)) == 3

    await world.add(pipeline, record(7, 99))
    told = await viewer.until(lambda frame: of(topic, "snapshot")(frame) and len(rows(frame)) == 3)
    assert [row["text"] for row in rows(told)] == ["99 m at a", "Sale", "20 m at a"]
    await written(world, lambda unit: annotations.remove(unit, "shop", made.id, author))
    told = await viewer.until(lambda frame: of(topic, "snapshot")(frame) and len(rows(frame)) == 2)
    assert [row["text"] for row in rows(told)] == ["99 m at a", "20 m at a"]


async def test_a_replay_is_a_span_and_a_source_that_fails_leaves_the_others(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    listed = DOCUMENT["annotations"]["list"]
    broken = [*listed[:1], listed[2], {**listed[1], "query": {"pipeline": "elsewhere"}}]
    await saved(world, {**DOCUMENT, "annotations": {"list": broken}})
    author = world.fake.people["bob"]
    viewer = await world.connect("ada")
    now = {"from": "now-1h", "to": "now+1h"}
    first = await viewer.subscribe(kind="annotations", dashboard="shop", range=now)
    assert rows(first) == []
    assert [one["source"] for one in first["problems"]] == ["Large"]
    assert "elsewhere" in first["problems"][0]["detail"]

    def begin(unit: Unit) -> Any:
        return rollout.begin_replay(unit, catalog.pipeline(unit, pipeline), 1, author)

    replay = await written(world, begin)
    told = await viewer.until(lambda frame: of(first["topic"], "snapshot")(frame) and bool(rows(frame)))
    (row,) = rows(told)
    assert as_uuid(row["id"]) == replay
    assert row["text"] == "Replay of orders under mapping version 1: queued"
    assert row["time_end"] >= row["time"]


async def test_another_teams_dashboard_is_no_dashboard(world: World) -> None:
    await saved(world)
    eve = await world.connect("eve")
    for kind in ("dashboard", "annotations"):
        refused = await eve.subscribe(kind=kind, dashboard="shop")
        assert (refused["op"], refused["title"]) == ("error", "Not found")
        nameless = await eve.subscribe(kind=kind, dashboard=7)
        assert "uid" in nameless["detail"]
