"""A first dashboard for a pipeline, proposed from its mapping: something true to look at and to change.

On top the newest value of the main metrics and how many records there are; below a line for each metric, parted by the
dimension that looks as if it had the fewest values; a bar by a dimension; the last records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dash_app.domain.specs import FieldSpec, MappingSpec, Pipeline

_STATS = 3
_LINES = 4
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


def propose_dashboard(
    pipeline: Pipeline, spec: MappingSpec, *, counts: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """A dashboard document for a pipeline with this mapping; `uid` is the pipeline's slug.

    `counts`: how many values each dimension has, where it is known; without it names decide.
    """
    metrics = sorted(spec.metrics, key=lambda field: bool(_NOT_MEASURED.search(field.name.lower())))
    measured = [field for field in metrics if not _NOT_MEASURED.search(field.name.lower())] or list(metrics)
    group = _fewest(spec.dimensions, counts or {})
    tiles = _Tiles(pipeline.slug)
    for field in measured[:_STATS]:
        newest = {"select": [{"field": field.name, "agg": "last", "as": field.name}], "every": "auto"}
        tiles.add("stat", _title(field.name), 3, 3, newest, {"unit": field.unit, "sparkline": True})
    tiles.add("stat", "Records", 3, 3, {"select": [{"agg": "count", "as": "records"}]}, {"unit": "", "decimals": 0})
    lines = measured[:_LINES]
    for number, field in enumerate(lines):
        whole = number == 0 and len(lines) % 2 == 1
        query: dict[str, Any] = {"select": [{"field": field.name, "agg": "avg", "as": field.name}], "every": "auto"}
        title = _title(field.name)
        if group is not None:
            query["by"] = [group.name]
            title += f" by {_words(group.name)}"
        tiles.add("line", title, 12 if whole else 6, 7, query, {"unit": field.unit})
    if not lines:
        tiles.add(
            "line",
            "Records",
            12,
            7,
            {"select": [{"agg": "count", "as": "records"}], "every": "auto"},
            {"unit": "", "decimals": 0},
        )
    if group is not None:
        counted = {"select": [{"agg": "count", "as": "records"}], "by": [group.name]}
        tiles.add(
            "bar",
            f"Records by {_words(group.name)}",
            5,
            8,
            counted,
            {"unit": "", "decimals": 0, "orientation": "horizontal"},
        )
    shown = [field.name for field in spec.fields if field.type != "json"][:_TABLE_COLUMNS]
    last = {"select": [{"field": name} for name in shown or [spec.fields[0].name]], "limit": 50}
    tiles.add("table", "Last records", 7 if group is not None else 12, 8, last, {})
    return {
        "uid": pipeline.slug,
        "title": pipeline.name,
        "description": f"Proposed from version {pipeline.mapping_version} of the mapping of {pipeline.name}.",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "live",
        "tiles": tiles.made,
    }


class _Tiles:
    """Tiles set from left to right in 12 columns, one row below the other."""

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._x = self._y = self._height = 0
        self.made: list[dict[str, Any]] = []

    def add(
        self, kind: str, title: str, width: int, height: int, query: Mapping[str, Any], options: Mapping[str, Any]
    ) -> None:
        if self._x + width > 12 or (self._height and height != self._height):
            self._x, self._y = 0, self._y + self._height
        self._height = height
        self.made.append(
            {
                "id": len(self.made) + 1,
                "kind": kind,
                "title": title,
                "gridPos": {"x": self._x, "y": self._y, "w": width, "h": height},
                "query": {"pipeline": self._pipeline, **query},
                "options": dict(options),
            }
        )
        self._x += width


def _fewest(dimensions: Sequence[FieldSpec], counts: Mapping[str, int]) -> FieldSpec | None:
    """The dimension to group by: the one with the fewest values, else whose name tells of few; None: none will do."""
    able = [field for field in dimensions if field.type in ("text", "boolean")]
    known = [field for field in able if 1 < counts.get(field.name, 0) <= 20]
    if known:
        return min(known, key=lambda field: counts[field.name])
    unknown = [field for field in able if field.name not in counts and not _tells_of_many(field.name.lower())]
    # What kind of thing it is says more than yes or no.
    ranked = sorted(unknown, key=lambda field: (not _FEW.search(field.name.lower()), field.type == "boolean"))
    return ranked[0] if ranked else None


def _tells_of_many(name: str) -> bool:
    """Whether a name is one of things that are all different: the name of an event or a country is none."""
    return bool(_MANY.search(name)) and not (name.endswith("_name") and _FEW.search(name))


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").strip().lower()


def _title(name: str) -> str:
    words = _words(name)
    return words[:1].upper() + words[1:]
