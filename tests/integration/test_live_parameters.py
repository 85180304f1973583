"""What a viewer has chosen (variables, filters, a range to compare with, a beat) in what is pushed to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.test_live import BY_SITE, MAPPING, RANGE, World, ms, of, record, rows, world

__all__ = ["world"]
COUNT = {"pipeline": "orders", "select": [{"agg": "count"}], "by": ["site"]}


async def test_equal_results_share_a_topic_however_they_were_asked_for(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(1, 10), record(2, 20, "b"), record(3, 30, "c"))
    viewer = await world.connect()
    query = {**COUNT, "by": ["$by"], "where": "site = $site and n < $most"}
    several = {"by": "site", "site": ["a", "b"], "most": 100}
    first = await viewer.subscribe(kind="table", query=query, range=RANGE, variables=several)
    assert [(row["site"], row["count"]) for row in rows(first)] == [("a", 1), ("b", 1)]
    other = await (await world.connect("bob")).subscribe(
        kind="table", query={**query, "where": "site = $two and n < $limit"}, range=RANGE,
        variables={"by": "site", "two": ["a", "b"], "limit": "100", "unused": "x"},
    )  # fmt: skip
    assert other["topic"] == first["topic"]
    everything = await viewer.subscribe(kind="table", query=query, range=RANGE, variables={**several, "site": "$__all"})
    assert [row["site"] for row in rows(everything)] == ["a", "b", "c"]
    refused = await viewer.subscribe(kind="table", query=query, range=RANGE, variables={"by": "site"})
    assert (refused["op"], "there is no variable $site" in refused["detail"]) == ("error", True)


async def test_filters_hold_for_what_comes_as_well(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(1, 10), record(2, 20, "b"))
    viewer = await world.connect()
    filters = [{"field": "site", "op": "!=", "value": "a"}, {"field": "elsewhere", "op": "=", "value": 1}]
    snapshot = await viewer.subscribe(kind="line", query=BY_SITE, range=RANGE, filters=filters)
    assert [row["site"] for row in rows(snapshot)] == ["b"]
    await world.add(pipeline, record(3, 30), record(4, 40, "b"))
    update = await viewer.until(of(snapshot["topic"]))
    assert [(row["site"], row["count"]) for row in rows(update)] == [("b", 2)]


async def test_a_range_is_compared_with_one_before_it(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(10, 1), record(70, 2), record(70 + 24 * 60, 3))
    viewer = await world.connect()
    hour = {"from": "2026-01-01T01:00:00Z", "to": "2026-01-01T02:00:00Z"}
    before = await viewer.subscribe(kind="line", query=BY_SITE, range={**hour, "shift": "previous"})
    assert (before["from"], before["to"], before["shift"]) == (ms(0), ms(60), 3_600_000)
    assert [(row["time"], row["mean"]) for row in rows(before)] == [(ms(10), 1.0)]
    day = {"from": "2026-01-02T01:00:00Z", "to": "2026-01-02T02:00:00Z", "shift": "1d"}
    yesterday = await viewer.subscribe(kind="line", query=BY_SITE, range=day)
    assert (yesterday["shift"], [row["mean"] for row in rows(yesterday)]) == (86_400_000, [2.0])
    await world.add(pipeline, record(71, 4))
    assert [row["mean"] for row in rows(await viewer.until(of(yesterday["topic"])))] == [3.0]
    refused = await viewer.subscribe(kind="line", query=BY_SITE, range={**hour, "shift": "2w"})
    assert "range.shift" in refused["detail"]


async def test_a_month_back_is_the_calendars(world: World) -> None:
    world.house.pipeline(mapping=MAPPING)
    viewer = await world.connect()
    range_ = {"from": "2026-04-10T00:00:00", "to": "2026-04-11T00:00:00", "shift": "1M"}
    frame = await viewer.subscribe(kind="line", query=BY_SITE, range=range_, timezone="Europe/Oslo")
    begin = datetime.fromtimestamp(frame["from"] / 1000, UTC)
    # Midnight in Oslo is an hour later in UTC before the clock goes forward.
    assert begin == datetime(2026, 3, 9, 23, tzinfo=UTC)
    assert frame["shift"] == int(timedelta(days=31, hours=-1).total_seconds() * 1000)
    assert frame["to"] - frame["from"] == 86_400_000


async def test_values_of_a_variable_follow_the_one_before_it(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(1, 10, "b"), record(2, 20, "a"), record(3, 20, "c"))
    viewer = await world.connect()
    variable = {"name": "site", "type": "query", "query": {"pipeline": "orders", "field": "site", "where": "n = $n"}}
    snapshot = await viewer.subscribe(kind="values", variable=variable, range=RANGE, variables={"n": "20"})
    assert [row["value"] for row in rows(snapshot)] == ["a", "c"]
    assert not snapshot["truncated"]
    await world.add(pipeline, record(4, 20, "d"))
    later = await viewer.until(lambda frame: frame.get("topic") == snapshot["topic"] and len(rows(frame)) == 3)
    assert [row["value"] for row in rows(later)] == ["a", "c", "d"]
    numbers = {"type": "query", "query": {"pipeline": "orders", "field": "n"}}
    assert [row["value"] for row in rows(await viewer.subscribe(kind="values", variable=numbers, range=RANGE))] == [
        10.0,
        20.0,
    ]
    custom = {"type": "custom", "options": ["x", {"text": "Why", "value": "y"}]}
    offered = await viewer.subscribe(kind="values", variable=custom)
    assert [(row["value"], row["text"]) for row in rows(offered)] == [("x", "x"), ("y", "Why")]


@pytest.mark.parametrize(
    "more",
    [
        {"variable": "site"},
        {"variable": {"type": "magic"}},
        {"variable": {"type": "query"}},
        {"variable": {"type": "query", "query": {"pipeline": "orders", "field": "gone"}}},
        {"variable": {"type": "query", "query": {"pipeline": "orders", "field": "site", "where": "n = $n"}}},
        {"variable": {"type": "custom", "options": [{"text": "x"}]}},
        {"kind": "line", "query": COUNT, "variables": []},
        {"kind": "line", "query": COUNT, "filters": "site"},
        {"kind": "line", "query": COUNT, "beat": 0.1},
        {"kind": "line", "query": COUNT, "beat": "30s"},
    ],
)
async def test_what_is_wrong_is_told_so(world: World, more: dict[str, Any]) -> None:
    world.house.pipeline(mapping=MAPPING)
    answer = await (await world.connect()).subscribe(**{"kind": "values", "range": RANGE, **more})
    assert answer.get("op") == "error" or answer.get("kind") == "error"
    assert answer["title"] != "Internal error"


async def test_on_a_beat_nothing_is_pushed_between(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(1, 10))
    viewer = await world.connect()
    beating = await viewer.subscribe(kind="line", query=BY_SITE, range=RANGE, beat=1)
    pushed = await viewer.subscribe(kind="line", query=BY_SITE, range=RANGE)
    assert beating["topic"] != pushed["topic"]
    await world.add(pipeline, record(2, 20))
    await viewer.until(of(pushed["topic"]))
    told = await viewer.until(lambda f: f.get("topic") == beating["topic"] and rows(f)[0]["count"] == 2)
    # Read whole and on its beat, never as an update.
    assert told["kind"] == "snapshot"
    assert not any(f.get("kind") == "update" for f in viewer.heard if f.get("topic") == beating["topic"])


async def test_records_stay_in_their_order(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(1, 10), record(2, 30), record(3, 20))
    viewer = await world.connect()
    query = {"pipeline": "orders", "select": [{"field": "n"}], "order": "-n", "limit": 3}
    snapshot = await viewer.subscribe(kind="table", query=query, range=RANGE)
    assert ([row["n"] for row in rows(snapshot)], snapshot["order"]) == ([30.0, 20.0, 10.0], "-n")
    await world.add(pipeline, record(4, 25))
    frame = await viewer.until(lambda f: f.get("topic") == snapshot["topic"] and len(rows(f)) == 3)
    assert [row["n"] for row in rows(frame)] == [30.0, 25.0, 20.0]
