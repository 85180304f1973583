"""The documents fit the data and each other: paths lead somewhere, types hold, tiles use fields that exist."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from dash_app.demo import datasets
from dash_app.demo.dashboards import dashboards
from dash_app.demo.definitions import pipelines
from dash_app.demo.timeline import Clock, released
from dash_app.domain.tiles import TILES

EPOCH = 1_700_000_000_000
PIPELINES = {document["slug"]: document for document in pipelines("http://127.0.0.1:4567/")}
FEEDS = {feed.name: feed for feed in (datasets.weather(), datasets.earthquakes(), datasets.ride())}
BOARD_TILES = [(board["uid"], tile) for board in dashboards() for tile in board["tiles"]]


def follow(path: str, record: Any) -> Any:
    """A small reader of names and indexes: `$.a.b[0]`."""
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        record = record[int(index)] if index else record.get(name)
        if record is None:
            return None
    return record


@pytest.mark.parametrize("slug", PIPELINES)
def test_fields_are_found_in_the_records_with_their_types(slug: str) -> None:
    mapping = PIPELINES[slug]["mapping"]
    records, _ = released(FEEDS[slug], Clock(EPOCH), EPOCH, 0, 10**6)
    types = {"text": str, "number": (int, float)}
    for field in mapping["fields"]:
        if "sql" in field:
            continue
        values = [value for record in records if (value := follow(field["path"], record)) is not None]
        assert values, field["name"]
        assert all(isinstance(value, types[field["type"]]) for value in values), field["name"]
    for path in (mapping["time"]["path"], *mapping["key"]):
        assert all(follow(path, record) is not None for record in records)
    assert len({follow(mapping["key"][0], record) for record in records}) == len(records)


def test_polled_pages_and_webhooks() -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{1,40}", "".join(PIPELINES))
    assert PIPELINES["weather"]["source"]["options"]["url"] == "http://127.0.0.1:4567/weather"
    assert PIPELINES["ride"]["source"] == {"kind": "webhook", "options": {"scheme": "standard_webhooks"}}
    for slug in ("weather", "earthquakes"):
        incremental = PIPELINES[slug]["source"]["options"]["incremental"]
        records, _ = released(FEEDS[slug], Clock(EPOCH), EPOCH, 0, 3)
        assert [follow(incremental["cursor_path"], record) for record in records] == [1, 2, 3]


def test_copies_are_fresh() -> None:
    pipelines("http://127.0.0.1:1")[0]["mapping"].clear()
    dashboards()[0]["tiles"].clear()
    assert pipelines("http://127.0.0.1:1")[0]["mapping"]
    assert dashboards()[0]["tiles"]


def test_one_dashboard_for_each_pipeline_and_one_over_all() -> None:
    boards = {board["uid"]: board for board in dashboards()}
    assert list(boards) == ["demo_overview", *PIPELINES]
    asked = [tile["query"]["pipeline"] for tile in boards["demo_overview"]["tiles"] if "query" in tile]
    assert set(asked) == set(PIPELINES)
    json.dumps(dashboards(), allow_nan=False)


@pytest.mark.parametrize(("uid", "tile"), BOARD_TILES, ids=[f"{uid}-{tile['id']}" for uid, tile in BOARD_TILES])
def test_a_tile_asks_for_fields_that_exist(uid: str, tile: dict[str, Any]) -> None:
    kind = TILES[tile["kind"]]
    kind.from_options(tile["options"])
    assert ("query" in tile) == (kind.queries != "none")
    if kind.queries == "none":
        return
    query = tile["query"]
    fields = {field["name"] for field in PIPELINES[query["pipeline"]]["mapping"]["fields"]}
    used = {measure["field"] for measure in query["select"] if "field" in measure} | set(query.get("by", []))
    used |= set(re.findall(r"(\w+) =", query.get("where", "")))
    assert used <= fields
    assert {"from", "to", "timezone"}.isdisjoint(query)
    assert tile["options"].get("sparkline", False) <= ("every" in query)
    assert tile["kind"] not in {"line", "heatmap", "state"} or "every" in query


@pytest.mark.parametrize("board", dashboards(), ids=lambda board: board["uid"])
def test_tiles_fill_the_grid_without_overlap(board: dict[str, Any]) -> None:
    cells = list(
        itertools.chain.from_iterable(
            itertools.product(range(p["x"], p["x"] + p["w"]), range(p["y"], p["y"] + p["h"]))
            for p in (tile["gridPos"] for tile in board["tiles"])
        )
    )
    assert len(cells) == len(set(cells))
    height = max(y for _, y in cells) + 1
    assert set(cells) == set(itertools.product(range(12), range(height)))
    assert len({tile["id"] for tile in board["tiles"]}) == len(board["tiles"])
