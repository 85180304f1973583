"""A first dashboard for a pipeline, proposed from its mapping: something true to look at and to change.

On top the newest value of the main metrics and how many records there are; below a line for each metric, parted by the
dimension that looks as if it had the fewest values; states over time, shares, a map, where there are fields for them;
the last records. The main dimensions are variables, so that one can look at a part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dash_app.domain.dashboard_layout import in_rows
from dash_app.domain.dashboards import RESERVED
from dash_app.domain.specs import FieldSpec, MappingSpec, Pipeline
from dash_app.domain.variables import ALL
from dash_app.pipelines.names import in_condition, in_words, snake_case

_STATS = 3
_LINES = 4
_SHARES = 3
_VARIABLES = 2
_TABLE_COLUMNS = 8

#: Names that tell of few values, and such that tell of one a record.
_FEW = re.compile(
    r"(^|_)(kind|type|class|status|state|level|severity|category|site|region|zone|unit|event|mode|effort|weather|method|country)s?($|_)"
)
_MANY = re.compile(
    r"(^|_)(id|uuid|guid|key|name|url|uri|path|message|text|description|title|place|email|address|hash|token|note|"
    r"version|icon|arn|sha|etag|ip|agent|phone|body|label)($|_)"
)
#: Numbers that name or locate rather than measure.
_NOT_MEASURED = re.compile(
    r"(^|_)(id|sequence|seq|index|number|no|lat|latitude|lon|lng|longitude|year|month|day|version|code)($|_)"
)
#: Dimensions that are a state, and such that are a thing which has one.
_STATE = re.compile(r"(^|_)(state|status|online|connected|mode|health|phase)($|_)")
_THING = re.compile(
    r"(^|_)(device|sensor|machine|host|server|node|door|vehicle|asset|service|instance|line|station)s?($|_)"
)
_LATITUDE = re.compile(r"(^|_)(lat|latitude)($|_)")
_LONGITUDE = re.compile(r"(^|_)(lon|lng|longitude)($|_)")
_PLACE = re.compile(r"(^|_)(place|name|city|site|station|location|address|title)($|_)")


def propose_dashboard(
    pipeline: Pipeline, spec: MappingSpec, *, counts: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """A dashboard document for a pipeline with this mapping; `uid` is the pipeline's slug.

    `counts`: how many values each dimension has, where it is known; without it names decide.
    """
    metrics = sorted(spec.metrics, key=lambda field: bool(_NOT_MEASURED.search(field.name.lower())))
    measured = [field for field in metrics if not _NOT_MEASURED.search(field.name.lower())] or list(metrics)
    few = _few(spec.dimensions, counts or {})
    group = few[0] if few else None
    tiles = _Tiles(pipeline.slug, few[:_VARIABLES])
    document: dict[str, Any] = {
        "uid": "pipeline" if pipeline.slug in RESERVED else pipeline.slug,
        "title": pipeline.name,
        "description": f"Proposed from version {pipeline.mapping_version} of the mapping of {pipeline.name}.",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "live",
    }
    if tiles.variables:
        document["templating"] = {"list": tiles.variables}
    rows = [
        _stats(tiles, measured),
        *_lines(tiles, measured, group),
        _states(tiles, spec.dimensions, group),
        _shares(tiles, few),
        _places(tiles, spec.fields, measured, group),
        _records(tiles, spec.fields),
    ]
    document["tiles"] = in_rows(rows)
    return document


# Rows ----------------------------------------------------------------------------------------------------------------

_Row = list[dict[str, Any]]


class _Tiles:
    """Makes tiles of one pipeline, each with a condition on the dashboard's variables."""

    def __init__(self, pipeline: str, chosen: Sequence[FieldSpec]) -> None:
        self._pipeline = pipeline
        self.variables: list[dict[str, Any]] = []
        conditions = []
        for field in chosen:
            name = _variable(field.name, {one["name"] for one in self.variables})
            query: dict[str, Any] = {"pipeline": pipeline, "field": field.name}
            variable = {"name": name, "label": _title(field.name), "type": "query", "query": query}
            self.variables.append({**variable, "multi": True, "includeAll": True, "current": ALL})
            conditions.append(f"{in_condition(field.name)} in (${name})")
        self._where = " and ".join(conditions)

    def tile(
        self, kind: str, title: str, width: int, height: int, query: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        asked = {"pipeline": self._pipeline, **query}
        if self._where:
            asked["where"] = self._where
        return {"kind": kind, "title": title, "w": width, "h": height, "query": asked, "options": dict(options)}


def _stats(tiles: _Tiles, measured: Sequence[FieldSpec]) -> _Row:
    made = []
    for field in measured[:_STATS]:
        newest = {"select": [{"field": field.name, "agg": "last", "as": field.name}], "every": "auto"}
        made.append(tiles.tile("stat", _title(field.name), 3, 3, newest, {"unit": field.unit, "sparkline": True}))
    counted = {"select": [{"agg": "count", "as": "records"}]}
    options = {"unit": "", "decimals": 0, "compare": "previous"}
    return [*made, tiles.tile("stat", "Records", 3, 3, counted, options)]


def _lines(tiles: _Tiles, measured: Sequence[FieldSpec], group: FieldSpec | None) -> list[_Row]:
    """A line for each metric, two in a row; the first has its row alone where they are odd."""
    made = []
    for field in measured[:_LINES]:
        query: dict[str, Any] = {"select": [{"field": field.name, "agg": "avg", "as": field.name}], "every": "auto"}
        title = _title(field.name)
        if group is not None:
            query["by"] = [group.name]
            title += f" by {in_words(group.name)}"
        made.append(tiles.tile("line", title, 6, 7, query, {"unit": field.unit}))
    if not made:
        counted = {"select": [{"agg": "count", "as": "records"}], "every": "auto"}
        made = [tiles.tile("line", "Records", 12, 7, counted, {"unit": "", "decimals": 0})]
    first = len(made) % 2
    return [made[:first], *(made[at : at + 2] for at in range(first, len(made), 2))]


def _states(tiles: _Tiles, dimensions: Sequence[FieldSpec], group: FieldSpec | None) -> _Row:
    """What state each thing was in, where a field is one that changes and says so."""
    state = next(
        (one for one in dimensions if one.type in ("text", "boolean") and _STATE.search(one.name.lower())), None
    )
    if state is None:
        return []
    thing = next((one for one in dimensions if one is not state and _THING.search(one.name.lower())), None)
    thing = thing or (group if group is not state else None)
    query: dict[str, Any] = {"select": [{"field": state.name, "agg": "last", "as": state.name}], "every": "auto"}
    title = _title(state.name)
    if thing is not None:
        query["by"] = [thing.name]
        title += f" of each {in_words(thing.name)}"
    return [tiles.tile("state", title, 12, 6, query, {})]


def _shares(tiles: _Tiles, few: Sequence[FieldSpec]) -> _Row:
    """Records by the dimensions that have few values: bars for the first, whose names have room, rings for others."""
    made = []
    for number, field in enumerate(few[:_SHARES]):
        counted = {"select": [{"agg": "count", "as": "records"}], "by": [field.name], "order": "-records", "limit": 20}
        options: dict[str, Any] = {"unit": "", "decimals": 0}
        if number == 0:
            options["orientation"] = "horizontal"
        kind = "pie" if number else "bar"
        made.append(tiles.tile(kind, f"Records by {in_words(field.name)}", 4 if number else 6, 8, counted, options))
    return made


def _places(tiles: _Tiles, fields: Sequence[FieldSpec], measured: Sequence[FieldSpec], group: FieldSpec | None) -> _Row:
    """The newest records on a map, where they say where they are."""
    numbers = [one for one in fields if one.type == "number"]
    latitude = next((one for one in numbers if _LATITUDE.search(one.name.lower())), None)
    longitude = next((one for one in numbers if _LONGITUDE.search(one.name.lower())), None)
    if latitude is None or longitude is None:
        return []
    value = next((one for one in measured if one not in (latitude, longitude)), None)
    texts = [one for one in fields if one.type == "text"]
    named = (one for names in (_PLACE, _THING) for one in texts if names.search(one.name.lower()))
    label = next(named, group)
    names = [one.name for one in (latitude, longitude, value, label) if one is not None]
    query = {"select": [{"field": name} for name in names], "limit": 500}
    options: dict[str, Any] = {"lat": latitude.name, "lon": longitude.name, "cluster": True}
    if value is not None:
        options |= {"value": value.name, "unit": value.unit}
    if label is not None:
        options["label"] = label.name
    return [tiles.tile("map", "Where", 12, 9, query, options)]


def _records(tiles: _Tiles, fields: Sequence[FieldSpec]) -> _Row:
    shown = [field.name for field in fields if field.type != "json"][:_TABLE_COLUMNS]
    query = {"select": [{"field": name} for name in shown or [fields[0].name]], "limit": 50}
    return [tiles.tile("table", "Last records", 12, 8, query, {})]


# What names tell -----------------------------------------------------------------------------------------------------


def _few(dimensions: Sequence[FieldSpec], counts: Mapping[str, int]) -> list[FieldSpec]:
    """Dimensions with few values, the best to group by first: those known to have the fewest, then those whose names
    tell of few."""
    able = [field for field in dimensions if field.type in ("text", "boolean")]
    known = sorted((one for one in able if 1 < counts.get(one.name, 0) <= 20), key=lambda one: counts[one.name])
    unknown = [field for field in able if field.name not in counts and not _tells_of_many(field.name.lower())]
    # What kind of thing it is says more than yes or no.
    ranked = sorted(unknown, key=lambda field: (not _FEW.search(field.name.lower()), field.type == "boolean"))
    if known:
        return [*known, *(one for one in ranked if _FEW.search(one.name.lower()))]
    return [one for number, one in enumerate(ranked) if number == 0 or _FEW.search(one.name.lower())]


def _tells_of_many(name: str) -> bool:
    """Whether a name is one of things that are all different: the name of an event or a country is none."""
    return bool(_MANY.search(name)) and not (name.endswith("_name") and _FEW.search(name))


def _variable(field: str, taken: set[str]) -> str:
    name = snake_case(field)[:30] or "value"
    name = name if name[0].isalpha() else f"v_{name}"
    return next(one for number in range(1, 100) if (one := name if number == 1 else f"{name}_{number}") not in taken)


def _title(name: str) -> str:
    words = in_words(name)
    return words[:1].upper() + words[1:]
