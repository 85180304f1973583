"""What differs between two documents of a dashboard, in words."""

from __future__ import annotations

import copy
from typing import Any

from dash_app.domain.dashboard_changes import changes, summary
from dash_app.domain.dashboard_layout import below, in_rows, with_tile


def tile(number: int, x: int = 0, y: int = 0, **more: Any) -> dict[str, Any]:
    place = {"x": x, "y": y, "w": 6, "h": 4}
    query = {"pipeline": "weather", "where": "site = $site"}
    return {"id": number, "kind": "line", "title": f"T{number}", "gridPos": place, "query": query, "options": {}} | more


OLD: dict[str, Any] = {
    "uid": "w",
    "title": "Weather",
    "time": {"from": "now-1h", "to": "now"},
    "templating": {"list": [{"name": "site", "type": "text"}, {"name": "room", "type": "text"}]},
    "tiles": [tile(1), tile(2, 6), tile(3, 0, 4)],
}


def test_nothing_differs_from_itself() -> None:
    assert changes(OLD, copy.deepcopy(OLD)) == []
    assert changes(OLD, {**OLD, "description": "", "tags": []}) == []
    assert summary([]) == "nothing"


def test_each_difference_is_named_with_its_part() -> None:
    new = copy.deepcopy(OLD)
    new["title"] = "Wind"
    new["templating"]["list"] = [
        {"name": "room", "type": "text", "current": "a"},
        {"name": "unit", "type": "text"},
        OLD["templating"]["list"][0],
    ]
    new["annotations"] = {"list": [{"name": "Deploys", "source": "manual"}]}
    new["tiles"] = [
        tile(1, 0, 8, options={"unit": "m"}, query={"pipeline": "weather"}),
        tile(4, 6, 0),
        {**OLD["tiles"][1], "title": "Second"},
    ]
    found = changes(OLD, new)
    assert [one.sentence for one in found] == [
        "title changed",
        "variable room changed: current",
        "variable unit added",
        "order of the variables changed: order",
        "annotations Deploys added",
        "tile “Second” changed: title",
        "tile “T4” added",
        "tile “T3” removed",
        "tile “T1” changed: query.where, options.unit",
        "tile “T1” moved",
    ]
    details = {one.place: [(d.name, d.before, d.after) for d in one.details] for one in found if one.what != "moved"}
    assert details["title"] == [("title", "Weather", "Wind")]
    assert details["tiles.1"] == [("query.where", "site = $site", None), ("options.unit", None, "m")]
    assert summary(found, most=1) == "title changed; 9 more"
    assert found[0].as_json()["details"] == [{"name": "title", "before": "Weather", "after": "Wind"}]


def test_rows_are_filled_to_their_end() -> None:
    def one(w: int, h: int = 4) -> dict[str, Any]:
        return {"kind": "stat", "title": "x", "w": w, "h": h}

    made = in_rows([[one(3), one(3), one(3)], [], [one(5, 8), one(7, 6)]])
    places = [tuple(each["gridPos"].values()) for each in made]
    assert places == [(0, 0, 4, 4), (4, 0, 4, 4), (8, 0, 4, 4), (0, 4, 5, 8), (5, 4, 7, 8)]
    assert [each["id"] for each in made] == [1, 2, 3, 4, 5]


def test_a_tile_comes_with_the_variables_that_it_needs() -> None:
    chained = {"name": "site", "type": "query", "query": {"pipeline": "w", "field": "s", "where": "area = $area"}}
    source = {"tiles": [tile(7)], "templating": {"list": [{"name": "area", "type": "text"}, chained]}}
    target = {"uid": "t", "tiles": [tile(1), tile(3, 0, 4)]}
    made = with_tile(target, source["tiles"][0], source)
    assert [one["name"] for one in made["templating"]["list"]] == ["area", "site"]
    assert made["tiles"][-1] == {**tile(7), "id": 2, "gridPos": {"x": 0, "y": 8, "w": 6, "h": 4}}
    assert below(made) == 12
    assert target["tiles"][0]["id"] == 1
    assert "templating" not in target
    # What is there already stays as it is.
    again = with_tile(made, source["tiles"][0], source)
    assert len(again["templating"]["list"]) == 2
