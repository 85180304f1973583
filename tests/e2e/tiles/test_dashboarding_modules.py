"""The pure parts of the dashboard's editor, run in Chromium itself: layout, history, merge, query edits, suggestions."""
# ruff: noqa: E501 - JavaScript in strings

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.tiles.conftest import OpenPage


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page("/bare")


def run(page: Page, module: str, body: str, value: Any = None) -> Any:
    return page.evaluate(
        f"async (value) => {{ const m = await import('/pages/dashboarding/{module}'); {body} }}", value
    )


def box(name: str, x: int, y: int, w: int, h: int) -> dict[str, Any]:
    return {"id": name, "x": x, "y": y, "w": w, "h": h}


def places(boxes: list[dict[str, Any]]) -> dict[str, tuple[int, int, int, int]]:
    return {one["id"]: (one["x"], one["y"], one["w"], one["h"]) for one in boxes}


ROW = [box("a", 0, 0, 3, 3), box("b", 3, 0, 3, 3), box("c", 6, 0, 6, 3), box("d", 0, 3, 12, 6)]


def move(page: Page, boxes: list[dict[str, Any]], name: str, wanted: dict[str, int]) -> dict[str, Any]:
    made = run(
        page,
        "layout.js",
        "return m.place(value.boxes, value.id, value.wanted)",
        {"boxes": boxes, "id": name, "wanted": wanted},
    )
    return places(made)


def test_what_is_moved_makes_room_and_gaps_close(page: Page) -> None:
    # Onto a wider one: that one goes below, and what was below it goes further down.
    assert move(page, ROW, "a", {"x": 7}) == {
        "b": (3, 0, 3, 3),
        "a": (7, 0, 3, 3),
        "c": (6, 3, 6, 3),
        "d": (0, 6, 12, 6),
    }
    # Two of one size change places.
    assert move(page, ROW, "a", {"x": 2}) == {
        "a": (3, 0, 3, 3),
        "b": (0, 0, 3, 3),
        "c": (6, 0, 6, 3),
        "d": (0, 3, 12, 6),
    }
    # Down past half of the next: that one moves up.
    assert move(page, ROW, "a", {"y": 1})["a"] == (0, 0, 3, 3)
    assert move(page, ROW, "a", {"y": 3})["a"] == (0, 9, 3, 3)
    assert move(page, ROW, "d", {"y": 0}) == {
        "d": (0, 0, 12, 6),
        "a": (0, 6, 3, 3),
        "b": (3, 6, 3, 3),
        "c": (6, 6, 6, 3),
    }
    # Larger: what is below makes room; never wider than the grid.
    assert move(page, ROW, "a", {"h": 5})["d"] == (0, 5, 12, 6)
    assert move(page, ROW, "c", {"w": 40})["c"] == (0, 0, 12, 3)
    # Nothing moves into the air.
    assert move(page, ROW, "d", {"y": 900})["d"] == (0, 3, 12, 6)


def test_layouts_never_overlap_nor_float(page: Page) -> None:
    chance = random.Random(7)
    cases = []
    for _ in range(200):
        boxes = [
            box(str(n), chance.randint(-2, 13), chance.randint(0, 20), chance.randint(0, 14), chance.randint(0, 9))
            for n in range(8)
        ]
        wanted = {key: chance.randint(-3, 25) for key in chance.sample(["x", "y", "w", "h"], 2)}
        cases.append({"boxes": boxes, "id": str(chance.randrange(8)), "wanted": wanted})
    for made in run(page, "layout.js", "return value.map((c) => m.place(m.settle(c.boxes), c.id, c.wanted))", cases):
        cells: dict[tuple[int, int], str] = {}
        for one in made:
            assert 1 <= one["w"] <= 12
            assert 0 <= one["x"] <= 12 - one["w"]
            assert one["h"] >= 1
            for x in range(one["x"], one["x"] + one["w"]):
                for y in range(one["y"], one["y"] + one["h"]):
                    assert cells.setdefault((x, y), one["id"]) == one["id"]
        for one in made:
            assert one["y"] == 0 or any((x, one["y"] - 1) in cells for x in range(one["x"], one["x"] + one["w"]))


def test_keys_step_past_the_next_tile_and_free_room_is_found(page: Page) -> None:
    stepped = run(
        page,
        "layout.js",
        "return [m.step(value, 'a', 0, 1), m.step(value, 'd', 0, -1), m.step(value, 'a', 0, -1), m.room(value, 4, 2)]",
        ROW,
    )
    assert places(stepped[0])["a"][1] > 0
    assert places(stepped[1])["d"] == (0, 0, 12, 6)
    assert places(stepped[2]) == places(ROW)
    assert stepped[3] == {"x": 0, "y": 9, "w": 4, "h": 2}


def test_steps_go_back_and_forth_and_survive_a_reload(page: Page) -> None:
    assert run(
        page,
        "history.js",
        """
        const h = new m.History({n: 0});
        h.apply({n: 1}, {what: 'one', at: 0});
        h.apply({n: 2}, {what: 'two', join: 'title', at: 10});
        h.apply({n: 3}, {what: 'two', join: 'title', at: 20});
        h.apply({n: 4}, {what: 'later', join: 'title', at: 9000});
        const steps = h.past.length;
        const said = [h.undo(), h.present.n, h.undo(), h.present.n];
        const back = m.History.unpack(h.pack());
        back.redo();
        const again = back.present.n;
        back.apply({n: 9});
        return [steps, said, again, back.redo(), m.History.unpack('{"present": 1}'), m.History.unpack('no')];""",
    ) == [3, ["later", 3, "two", 1], 3, None, None, None]


def test_what_is_kept_has_an_end(page: Page) -> None:
    kept = run(
        page,
        "history.js",
        "const h = new m.History({n: 'x'.repeat(400000)}); for (let i = 0; i < 10; i += 1) h.apply({n: `${i}`.repeat(400000)}); return [h.pack().length, m.History.unpack(h.pack()).past.length]",
    )
    assert kept[0] < 2_000_000
    assert 1 <= kept[1] < 10


BASE: dict[str, Any] = {
    "uid": "d", "title": "D", "time": {"from": "now-1h", "to": "now"},
    "tiles": [
        {"id": 1, "kind": "stat", "title": "One", "gridPos": {"x": 0, "y": 0, "w": 6, "h": 3}, "query": {"pipeline": "p"}},
        {"id": 2, "kind": "line", "title": "Two", "gridPos": {"x": 6, "y": 0, "w": 6, "h": 3}, "query": {"pipeline": "p"}},
    ],
}  # fmt: skip


def changed(**tiles: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(BASE))
    for name, change in tiles.items():
        tile = next((one for one in made["tiles"] if f"t{one['id']}" == name), None)
        if tile is None:
            made["tiles"].append(
                {"id": int(name[1:]), "kind": "bar", "gridPos": {"x": 0, "y": 9, "w": 4, "h": 2}, **change}
            )
        elif change is None:
            made["tiles"].remove(tile)
        else:
            tile |= change
    return made


def merge(page: Page, theirs: Any, mine: Any) -> tuple[dict[str, Any], dict[Any, Any]]:
    made = run(page, "merge.js", "return m.merged(value[0], value[1], value[2])", [BASE, theirs, mine])
    return made, {tile["id"]: tile for tile in made["tiles"]}


def test_what_different_people_changed_is_kept_of_both(page: Page) -> None:
    theirs = changed(t1={"title": "Theirs"}) | {"title": "Renamed", "tags": ["web"]}
    mine = changed(t1={"gridPos": {"x": 0, "y": 3, "w": 12, "h": 5}}, t2={"options": {"area": True}}) | {
        "refresh": "30s"
    }
    made, tiles = merge(page, theirs, mine)
    assert (made["title"], made["tags"], made["refresh"]) == ("Renamed", ["web"], "30s")
    assert tiles[1]["title"] == "Theirs"
    assert tiles[1]["gridPos"]["w"] == 12
    assert tiles[2]["options"] == {"area": True}


def test_where_both_changed_the_same_mine_stands_and_new_tiles_get_numbers_of_their_own(page: Page) -> None:
    theirs = changed(t1={"title": "Theirs"}, t3={"title": "New there"})
    mine = changed(t1={"title": "Mine"}, t2=None, t3={"title": "New here"})
    made, tiles = merge(page, theirs, mine)
    assert tiles[1]["title"] == "Mine"
    assert 2 not in tiles
    assert sorted(tile.get("title") for tile in made["tiles"]) == ["Mine", "New here", "New there"]
    assert len(tiles) == 3
    rows = run(page, "merge.js", "return m.differences(value[0], value[1], value[2])", [BASE, theirs, mine])
    told = {
        row["name"]: (row["theirs"] and row["theirs"][0], row["mine"] and row["mine"][0], row["clash"]) for row in rows
    }
    assert told["tile 1"] == ("changed", "changed", True)
    assert told["tile 2"] == (None, "removed", False)
    assert "place 2" not in told


def test_a_removed_tile_that_the_other_changed_is_a_clash_and_mine_stands(page: Page) -> None:
    _, tiles = merge(page, changed(t2=None), changed(t2={"title": "Kept"}))
    assert tiles[2]["title"] == "Kept"
    assert tiles[2]["gridPos"] == {"x": 6, "y": 0, "w": 6, "h": 3}


QUERY = {
    "pipeline": "weather",
    "select": [{"field": "t", "agg": "avg", "as": "t"}],
    "by": ["site"],
    "every": "auto",
    "order": "-t",
}
FIELDS = [
    {"name": "t", "type": "number", "unit": "°C", "role": "metric"},
    {"name": "site", "type": "text", "unit": "", "role": "dimension"},
    {"name": "lat", "type": "number", "unit": "", "role": "metric"},
    {"name": "lon", "type": "number", "unit": "", "role": "metric"},
]
TYPES = "(name) => ({t: 'number', site: 'text', lat: 'number', lon: 'number'})[name]"


def edits(page: Page, body: str, query: Any = QUERY) -> Any:
    return run(page, "query-edits.js", f"const typeOf = {TYPES}; {body}", query)


def test_a_query_stays_whole_while_it_is_edited(page: Page) -> None:
    # Another field: an aggregate that it cannot have becomes one that it can; name and order follow.
    assert edits(page, "return m.setMeasure(value, 0, {field: 'site'}, typeOf)") == {
        "pipeline": "weather", "select": [{"field": "site", "agg": "count", "as": "site"}], "by": ["site"], "every": "auto", "order": "-site",
    }  # fmt: skip
    # A column that is gone is ordered by no more, and what says nothing is left out.
    assert edits(page, "return m.set(m.removeMeasure(value, 0), 'by', [])") == {"pipeline": "weather", "every": "auto"}
    assert edits(page, "return m.addMeasure(value, {field: 't', agg: 'max', as: 't'})")["select"][1]["as"] == "t_2"
    records = edits(page, "return m.setMode(value, 'records')")
    assert records == {"pipeline": "weather", "select": [{"field": "t"}], "limit": 100}
    assert edits(page, "return m.setMode(value, 'aggregates')", records)["select"] == [
        {"agg": "count", "as": "records"}
    ]
    other = edits(page, "return m.setPipeline({...value, where: 'x = 1'}, 'shop', [{name: 'price', type: 'number'}])")
    assert other == {"pipeline": "shop", "select": [{"agg": "count"}], "every": "auto"}
    assert list(edits(page, "return m.tidy({limit: 5, where: '', pipeline: 'p', select: []})")) == ["pipeline", "limit"]


MEASURED = [
    {"name": "temp", "type": "number", "unit": "°C"},
    {"name": "low", "type": "number", "unit": "°C"},
    {"name": "wind", "type": "number", "unit": "m/s"},
    {"name": "site", "type": "text", "unit": ""},
]


def test_what_a_tile_says_of_a_field_goes_along_with_the_field(page: Page) -> None:
    body = """
        const typeOf = (name) => value.fields.find((one) => one.name === name)?.type;
        const after = m.setMeasure(value.tile.query, 0, value.change, typeOf);
        return m.followMeasure({...value.tile, query: after}, value.tile.query, after, 0, value.fields)
    """
    tile = {
        "title": "Temp by site",
        "query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "avg", "as": "temp"}], "by": ["site"]},
        "options": {
            "unit": "°C",
            "decimals": 1,
            "series": {"temp": {"unit": "°C", "color": "red"}},
            "columns": [{"field": "temp", "title": "Warm", "unit": "°C", "color": "bar"}, {"field": "site"}],
        },
    }

    def changed(change: dict[str, Any], of: dict[str, Any] = tile) -> dict[str, Any]:
        made: dict[str, Any] = run(page, "query-edits.js", body, {"tile": of, "change": change, "fields": MEASURED})
        return made

    # Another unit: the one of before is true no more, neither of the tile nor of the column.
    wind = changed({"field": "wind"})
    assert wind["query"]["select"] == [{"field": "wind", "agg": "avg", "as": "wind"}]
    assert wind["title"] == "Wind by site"
    assert wind["options"] == {
        "decimals": 1,
        "series": {"wind": {"color": "red"}},
        "columns": [{"field": "wind", "color": "bar"}, {"field": "site"}],
    }
    # The same unit stays; so does a title in somebody's own words, and all that is said of a column that only got a name.
    assert changed({"field": "low"})["options"]["unit"] == "°C"
    assert changed({"field": "wind"}, {**tile, "title": "Outside"})["title"] == "Outside"
    named = changed({"as": "warm"})
    assert named["title"] == "Temp by site"
    assert named["options"]["columns"][0] == {"field": "warm", "title": "Warm", "unit": "°C", "color": "bar"}
    assert named["options"]["series"] == {"warm": {"unit": "°C", "color": "red"}}
    # What is counted has no unit; and what was counted is called records no more.
    assert "unit" not in changed({"agg": "count"})["options"]
    counted = {"query": {"select": [{"agg": "count", "as": "records"}]}, "options": {}}
    assert changed({"field": "temp", "agg": "avg"}, counted)["query"]["select"][0]["as"] == "temp"
    # A point on a map is coloured by the column that stands there now.
    mapped = {"query": {"select": [{"field": "temp"}]}, "options": {"value": "temp", "unit": "°C"}}
    assert changed({"field": "wind"}, mapped)["options"] == {"value": "wind"}


def test_a_variable_is_called_after_its_field_until_it_is_used(page: Page) -> None:
    body = "return m.withField(value.document, 0, {pipeline: 'weather', field: value.field})"

    def document(name: str, where: str = "") -> dict[str, Any]:
        variable: dict[str, Any] = {"name": name, "type": "query", "query": {"pipeline": "weather", "field": "site"}}
        variable |= {"includeAll": True, "current": "Oslo"}
        other = {"name": "region", "type": "text"}
        return {"tiles": [{"query": {"where": where}}], "templating": {"list": [variable, other]}}

    def first(document: dict[str, Any], field: str) -> dict[str, Any]:
        made: dict[str, Any] = run(page, "variable-edits.js", body, {"document": document, "field": field})
        assert made["templating"]["list"][1] == {"name": "region", "type": "text"}
        first: dict[str, Any] = made["templating"]["list"][0]
        return first

    made = first(document("site"), "Kind of day")
    assert (made["name"], made["query"]["field"], made["current"]) == ("kind_of_day", "Kind of day", "$__all")
    assert first(document("site"), "region")["name"] == "region_2"
    # One with a name of its own, and one that a tile asks for, keep theirs.
    assert first(document("place"), "kind")["name"] == "place"
    assert first(document("site", "site in $site"), "kind")["name"] == "site"
    assert first(document("site", "site = '${site}'"), "kind")["name"] == "site"
    assert first(document("site", "site = $sites"), "kind")["name"] == "kind"


def test_aggregates_are_those_that_a_type_takes(page: Page) -> None:
    taken = edits(
        page, "return ['number', 'text', 'boolean', ''].map((type) => m.aggregatesFor(type).map(([name]) => name))"
    )
    assert "p95" in taken[0]
    assert taken[1] == ["count", "min", "max", "last", "first", "count_distinct"]
    assert taken[2] == ["count", "last", "first", "count_distinct"]
    assert taken[3] == ["count"]


def test_a_tile_that_becomes_another_kind_keeps_what_it_asks(page: Page) -> None:
    tile = {
        "id": 1,
        "kind": "line",
        "queries": [{"name": "A", "pipeline": "p"}, {"name": "B", "pipeline": "q"}],
        "options": {"area": True, "unit": "°C"},
    }
    made = edits(
        page,
        "return [m.withKind(value, 'bar', {queries: 'one', options: ['unit']}), m.withKind(value, 'text', {queries: 'none'})]",
        tile,
    )
    assert made == [
        {"id": 1, "kind": "bar", "options": {"unit": "°C"}, "query": {"pipeline": "p"}},
        {"id": 1, "kind": "text", "options": {}},
    ]


WHOLE = "return m.complete(value, value.length, FIELDS, ['place']).options.map((one) => one.text)".replace(
    "FIELDS", json.dumps(FIELDS)
)


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("", ["t", "site", "lat", "lon", "_time", "_received"]),
        ("si", ["site"]),
        ("site ", ["=", "!=", "in (", "like '", "is null"]),
        ("site = ", ["$place"]),
        ("site = 'roof' ", ["and", "or"]),
        ("site = 'roof' and l", ["lat", "lon"]),
        ("t > 20 o", ["or"]),
        ("site in ('a', ", ["$place"]),
    ],
)
def test_a_condition_is_completed(page: Page, text: str, offered: list[str]) -> None:
    assert run(page, "where.js", WHOLE, text) == offered


def test_values_are_asked_of_the_field_before_the_comparison(page: Page) -> None:
    asked = run(
        page,
        "where.js",
        f"return value.map((text) => m.complete(text, text.length, {json.dumps(FIELDS)}, []).values?.field ?? null)",
        ["site = ", "site != 'ro", "site not in ('a', ", "t > 20 and site = '", "_time > ", "site = 'a' "],
    )
    assert asked == ["site", "site", "site", "site", None, None]
    assert run(page, "where.js", "return [m.literal(\"O'Hare\", 'text'), m.literal(5, 'number')]") == ["'O''Hare'", "5"]


def test_json_is_written_as_people_do_and_mistakes_have_a_line(page: Page) -> None:
    text = run(
        page,
        "document-text.js",
        "return m.pretty(value)",
        {**QUERY, "where": "site != 'a rather long name of a place'"},
    )
    assert json.loads(text) == {**QUERY, "where": "site != 'a rather long name of a place'"}
    assert '  "select": [{"field": "t", "agg": "avg", "as": "t"}],' in text.splitlines()
    assert run(page, "document-text.js", "return m.mistake('{\\n  \"a\": 1,\\n  b\\n}')?.[0]") == 3


def test_a_tile_travels_as_text(page: Page) -> None:
    tile = BASE["tiles"][0]
    assert run(page, "clipboard.js", "return m.tileIn(m.tileText(value))", tile) == {
        key: part for key, part in tile.items() if key != "id"
    }
    for text in ("hello", "[]", '{"dash": "tile"}', '{"tile": {"kind": "line"}}'):
        assert run(page, "clipboard.js", "return m.tileIn(value)", text) is None
