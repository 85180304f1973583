"""Tiles on the grid of 12 columns: rows that are filled, and a tile that comes from elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from dash_app.domain.templating import declared, names_used

COLUMNS = 12


def in_rows(rows: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Tiles with their places and numbers, one row below the other. Each has `w` and `h`; a row of which tiles are
    missing is widened to its end, and has the height of its highest."""
    made: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        if not row:
            continue
        height = max(int(tile["h"]) for tile in row)
        x = 0
        for tile, width in zip(row, _widths([int(tile["w"]) for tile in row]), strict=True):
            rest = {key: value for key, value in tile.items() if key not in ("w", "h")}
            place = {"x": x, "y": y, "w": width, "h": height}
            made.append({"id": len(made) + 1, "kind": rest.pop("kind"), "title": rest.pop("title"), "gridPos": place})
            made[-1] |= rest
            x += width
        y += height
    return made


def _widths(wanted: Sequence[int]) -> list[int]:
    """Whole columns in the proportions that are wanted, all twelve of them."""
    total = sum(wanted)
    ends = [round(sum(wanted[: n + 1]) * COLUMNS / total) for n in range(len(wanted))]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def below(document: Mapping[str, Any]) -> int:
    """The first row of a dashboard that is free from there on."""
    places = [tile.get("gridPos") or {} for tile in document.get("tiles") or ()]
    return max((int(at.get("y", 0)) + int(at.get("h", 1)) for at in places), default=0)


def free_id(document: Mapping[str, Any]) -> int:
    """A number that no tile of a dashboard has."""
    taken = {str(tile.get("id")) for tile in document.get("tiles") or ()}
    return next(number for number in range(1, len(taken) + 2) if str(number) not in taken)


def with_tile(document: Mapping[str, Any], tile: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a copy of a tile of `source` below its own, and those of its variables that it lacks."""
    made = copy.deepcopy(dict(document))
    added = copy.deepcopy(dict(tile))
    at = added.get("gridPos") or {}
    width = min(COLUMNS, int(at.get("w", COLUMNS)))
    added["id"] = free_id(document)
    added["gridPos"] = {"x": 0, "y": below(document), "w": width, "h": int(at.get("h", 6))}
    made["tiles"] = [*(made.get("tiles") or ()), added]
    known = {one["name"] for one in declared(document)}
    lacking = _needed(names_used(tile), declared(source)) - known
    if lacking:
        variables = [copy.deepcopy(one) for one in declared(source) if one["name"] in lacking]
        made["templating"] = {"list": [*declared(made), *variables]}
    return made


def _needed(names: set[str], variables: Sequence[Mapping[str, Any]]) -> set[str]:
    """The variables of these names, and those that their own queries use."""
    by_name = {one["name"]: one for one in variables}
    found: set[str] = set()
    rest = [name for name in names if name in by_name]
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest += [one for one in names_used(by_name[name].get("query")) if one in by_name]
    return found
