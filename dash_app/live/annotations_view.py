"""What happened while the charts moved: a dashboard's annotations, merged from all its sources.

Written by hand (`manual`), records of a pipeline (`query`), and of the pipelines that the dashboard shows their replays
(`replays`) and when alerts on them fired (`alerts`). A source that cannot be read leaves the others as they are, and is
named beside the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import polars as pl

from dash_app.domain import variables
from dash_app.domain.alerts import series_name
from dash_app.domain.changes import (
    AlertChanged,
    AnnotationsChanged,
    Change,
    DashboardChanged,
    PipelineChanged,
    ReplayMoved,
    RowsAdded,
)
from dash_app.domain.dashboards import MAX_ANNOTATIONS, pipelines_of, sources_of
from dash_app.domain.errors import DashError, NotFound
from dash_app.domain.query import parse_query, parse_time
from dash_app.domain.specs import Dashboard
from dash_app.domain.templating import defaults
from dash_app.domain.variables import Value
from dash_app.live.frames import Table
from dash_app.pipelines.query import Column, Queries, QueryResult
from dash_app.storage import alerts, catalog, dashboards, replays
from dash_app.storage import annotations as written
from dash_app.storage.engine import Database
from dash_app.storage.unit import Unit

#: Rows of a frame at most, the newest.
MOST = 1000
MOST_REPLAYS = 50
LONGEST_TEXT = 300
_HOLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
COLORS = {"manual": "blue", "query": "violet", "replays": "grey", "alerts": "red"}

_COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "text"},
    {"name": "time", "type": "timestamp"},
    {"name": "time_end", "type": "timestamp"},
    {"name": "text", "type": "text"},
    {"name": "tags", "type": "json"},
    {"name": "source", "type": "text"},
    {"name": "color", "type": "text"},
    {"name": "tile", "type": "text"},
    {"name": "author", "type": "text"},
]
_TIME = pl.Datetime("us", "UTC")
_SCHEMA: dict[str, Any] = {
    "id": pl.String,
    "time": _TIME,
    "time_end": _TIME,
    "text": pl.String,
    "tags": pl.List(pl.String),
    "source": pl.String,
    "color": pl.String,
    "tile": pl.String,
    "author": pl.String,
}


class Row(NamedTuple):
    """One annotation. `time_end`: None for a moment; `tile`: None for all charts; `source`: the name of its source."""

    id: str
    time: datetime
    time_end: datetime | None
    text: str
    tags: Sequence[str]
    source: str
    color: str
    tile: str | None
    author: str


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a source is read with."""

    unit: Unit
    found: Dashboard
    source: Mapping[str, Any]
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        return str(self.source.get("name"))

    @property
    def color(self) -> str:
        return str(self.source.get("color") or COLORS[self.source["source"]])

    @property
    def tags(self) -> list[str]:
        return list(self.source.get("tags") or ())


@dataclass
class AnnotationsView:
    """All rows with every frame, newest first. Beside them `sources`, as [{name, source, color, enable}], and
    `problems`, as [{source, detail}]. `values`: chosen
    variables, before those of the document; `enabled`: names of sources that are read, None: those that are on."""

    database: Database
    queries: Queries
    team: UUID
    dashboard: UUID
    start: str
    end: str
    timezone: str
    values: Mapping[str, Value]
    enabled: frozenset[str] | None = None
    #: Whether it is told who wrote them.
    authors: bool = True
    pause: float = 0.5
    moves: float | None = None
    #: Pipelines whose records are annotations, and those whose replays are, by id.
    _asked: frozenset[str] = field(default_factory=frozenset)
    _shown: frozenset[str] = field(default_factory=frozenset)
    #: Whether alerts are among what is read.
    _alerts: bool = False

    def concerns(self, change: Change) -> bool:
        match change:
            case DashboardChanged() | AnnotationsChanged():
                return change.dashboard == str(self.dashboard)
            case RowsAdded():
                return change.rows > 0 and change.pipeline in self._asked
            case PipelineChanged():
                return change.pipeline in self._asked | self._shown
            case ReplayMoved():
                return change.pipeline in self._shown
            case AlertChanged():
                return self._alerts
        return False

    def update(self, touched: object) -> Table | None:
        return None

    def snapshot(self) -> Table:
        now = datetime.now(UTC)
        start = parse_time(self.start, now, self.timezone, "range.from")
        end = parse_time(self.end, now, self.timezone, "range.to")
        rows: list[Row] = []
        problems = []
        asked: set[str] = set()
        shown: set[str] = set()
        with self.database.team(self.team) as unit:
            found = dashboards.standing(unit, self.dashboard)
            if found is None:
                raise NotFound("this dashboard is not there any more")
            sources = sources_of(found.document)
            for source in sources:
                if not self._is_on(source):
                    continue
                reading = _Reading(unit, found, source, start, end)
                try:
                    # A statement that fails ends a transaction; one source must not end the others'.
                    with unit.driver.transaction():
                        rows += list(self._rows(reading, asked, shown))
                except DashError as error:
                    problems.append({"source": reading.name, "detail": error.message})
        self._asked, self._shown = frozenset(asked), frozenset(shown)
        self._alerts = any(one.get("source") == "alerts" and self._is_on(one) for one in sources)
        rows.sort(key=lambda row: row.time, reverse=True)
        if not self.authors:
            rows = [row._replace(author="") for row in rows]
        told = [
            {
                "name": one.get("name"),
                "source": one.get("source"),
                "color": one.get("color") or COLORS.get(str(one.get("source")), ""),
                "enable": self._is_on(one),
            }
            for one in sources
        ]
        return Table(
            pl.DataFrame(rows[:MOST], schema=_SCHEMA, orient="row"),
            _COLUMNS,
            start=int(start.timestamp() * 1000),
            end=int(end.timestamp() * 1000),
            extra={"sources": told, "problems": problems, "truncated": len(rows) > MOST},
        )

    def _is_on(self, source: Mapping[str, Any]) -> bool:
        return source.get("name") in self.enabled if self.enabled is not None else bool(source.get("enable", True))

    def _rows(self, reading: _Reading, asked: set[str], shown: set[str]) -> Iterator[Row]:
        match reading.source.get("source"):
            case "manual":
                yield from _manual(reading)
            case "query":
                yield from self._queried(reading, asked)
            case "replays":
                yield from _replays(reading, shown)
            case "alerts":
                yield from _alerts(reading)

    def _queried(self, reading: _Reading, asked: set[str]) -> Iterator[Row]:
        query = variables.apply(reading.source["query"], {**defaults(reading.found.document), **self.values})
        pipeline = catalog.pipeline(reading.unit, str(query["pipeline"]))
        asked.add(str(pipeline.id))
        limit = min(int(query.get("limit", 100)), MAX_ANNOTATIONS)
        spec = parse_query(
            {**query, "limit": limit, "from": reading.start.isoformat(), "to": reading.end.isoformat()},
            datetime.now(UTC),
        )
        result = self.queries.answer(reading.unit, spec)
        template = str(reading.source.get("text") or _first_text(result.columns))
        for row in result.frame.iter_rows(named=True):
            identity = f"{reading.name}:{row['_payload']}:{row['_index']}"
            text = _text(template, row, result)
            yield Row(identity, row["_time"], None, text, reading.tags, reading.name, reading.color, None, "")


def _manual(reading: _Reading) -> Iterator[Row]:
    for one in written.between(
        reading.unit, reading.found.id, reading.start, reading.end, tags=reading.tags, limit=MOST
    ):
        yield Row(
            str(one.id),
            one.time,
            one.time_end,
            one.text,
            one.tags,
            reading.name,
            reading.color,
            one.tile or None,
            one.author,
        )


def _replays(reading: _Reading, shown: set[str]) -> Iterator[Row]:
    names = dict.fromkeys(name for tile in reading.found.document.get("tiles", []) for name in pipelines_of(tile))
    for name in names:
        try:
            pipeline = catalog.pipeline(reading.unit, name)
        except NotFound:
            continue
        if str(pipeline.id) in shown:
            continue
        shown.add(str(pipeline.id))
        for one in replays.of_pipeline(reading.unit, pipeline.id, limit=MOST_REPLAYS):
            finish = one.finished_at or datetime.now(UTC)
            if one.created_at >= reading.end or finish < reading.start:
                continue
            text = f"Replay of {pipeline.name} under mapping version {one.version}: {one.state}"
            yield Row(
                str(one.id),
                one.created_at,
                finish,
                text,
                reading.tags,
                reading.name,
                reading.color,
                None,
                one.author,
            )


def _alerts(reading: _Reading) -> Iterator[Row]:
    """When alerts fired, or lacked data, on the pipelines that the dashboard shows."""
    names = dict.fromkeys(name for tile in reading.found.document.get("tiles", []) for name in pipelines_of(tile))
    known = []
    for name in names:
        with suppress(NotFound):
            known.append(catalog.pipeline(reading.unit, name).id)
    begun: dict[tuple[UUID, str], Row] = {}
    for event in reversed(alerts.between(reading.unit, reading.start, reading.end, pipelines=known, limit=MOST)):
        series = series_name(event.series)
        key = (event.alert, series)
        if (row := begun.pop(key, None)) is not None:
            yield row._replace(time_end=event.at)
        if event.what != "resolved":
            named = f"{event.name} ({series})" if series else event.name
            text = f"{named}: {'no data' if event.what == 'no_data' else 'firing'}"[:LONGEST_TEXT]
            until = min(reading.end, datetime.now(UTC))
            begun[key] = Row(str(event.id), event.at, until, text, reading.tags, reading.name, reading.color, None, "")
    yield from begun.values()


def _first_text(columns: Sequence[Column]) -> str:
    """The field that says most in words; without one, the first."""
    fields = [column for column in columns if not column.name.startswith("_")]
    texts = [column.name for column in fields if column.type == "text"]
    return (texts or [column.name for column in fields] or [""])[0]


def _text(template: str, row: Mapping[str, Any], result: QueryResult) -> str:
    """A field's value, or a text with `${field}` in it."""
    if template in row:
        return _shown(row[template], template, result)
    found = _HOLE.sub(lambda hole: _shown(row[hole[1]], hole[1], result) if hole[1] in row else hole[0], template)
    return found[:LONGEST_TEXT]


def _shown(value: Any, name: str, result: QueryResult) -> str:
    if value is None:
        return "–"
    unit = next((column.unit for column in result.columns if column.name == name), "")
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()[:LONGEST_TEXT]
