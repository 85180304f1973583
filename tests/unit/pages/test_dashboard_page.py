"""What the page of a dashboard works out before a browser has it."""

from __future__ import annotations

from typing import Any

from dash_app.pages.dashboard import side_by_side


def tile(kind: str, x: int, y: int, **query: Any) -> dict[str, Any]:
    return {"kind": kind, "gridPos": {"x": x, "y": y}, "query": {"select": [{"agg": "count"}], **query}}


def test_single_numbers_stand_two_by_two_in_reading_order() -> None:
    tiles = [
        tile("line", 0, 3),
        tile("stat", 6, 0),
        tile("stat", 0, 0),
        tile("stat", 9, 0),
        tile("stat", 0, 9),
        tile("stat", 3, 9, by=["site"]),
        tile("stat", 6, 9),
        tile("stat", 9, 9),
        {"kind": "text", "gridPos": {"x": 0, "y": 20}},
    ]
    # The third of the first row is left over before a chart; one that is many numbers is wide, and parts the others.
    assert side_by_side(tiles) == {1, 2, 6, 7}
    assert side_by_side([]) == set()
