"""What can be watched: the result of a query, a pipeline's last records, the team's pipelines.

A view reads; it knows neither sockets nor topics. `snapshot` reads all of it, `update` what a change touched. Both
block
and are called from threads. Reading the touched buckets whole, instead of adding what came, is what makes an update
harmless to repeat: history and stream join with neither gap nor double.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl

from dash_app.domain.buckets import Grid
from dash_app.domain.changes import Change, PipelineChanged, RowsAdded
from dash_app.domain.query import earlier, parse_query
from dash_app.domain.specs import Pipeline, PipelineStats, QuerySpec
from dash_app.live.frames import Table
from dash_app.pipelines.query import Column, Queries, pick_every, record_columns
from dash_app.storage import catalog, ledger, silver_read
from dash_app.storage.engine import Database
from dash_app.storage.silver_columns import SYSTEM


@dataclass(slots=True)
class Touched:
    """What changes since the last read have touched: a range of times in epoch milliseconds, or everything."""

    low: int | None = None
    high: int | None = None
    everything: bool = False
    #: When the newest of the changes was committed, epoch milliseconds.
    at: int | None = None

    def add(self, change: Change) -> None:
        if isinstance(change, RowsAdded):
            self.at = max(self.at or 0, change.at)
            if change.time_min is not None and change.time_max is not None:
                self.low = change.time_min if self.low is None else min(self.low, change.time_min)
                self.high = change.time_max if self.high is None else max(self.high, change.time_max)
        else:
            self.everything = True


class View(Protocol):
    """Something to watch. `pipelines`: ids whose changes concern it; None: all of the team's."""

    team: UUID
    #: At least so many seconds between two updates.
    pause: float
    #: Read anew after so many seconds even when nothing came, because time itself moves it; None: never.
    moves: float | None

    def concerns(self, change: Change) -> bool: ...

    def snapshot(self) -> Table: ...

    def update(self, touched: Touched) -> Table | None:
        """The rows that the changes touched; None: read all of it anew."""
        ...


@dataclass
class QueryView:
    """A query over a range, as a chart, a stat or a table of groups shows it; `query` names the pipeline by id."""

    database: Database
    queries: Queries
    team: UUID
    pipeline: UUID
    kind: str
    query: Mapping[str, Any]
    start: str
    end: str
    timezone: str
    points: int
    #: How far back the range is moved, to be compared with: `previous` (by its own length) or a step such as 1w.
    shift: str = ""
    #: Seconds after which it is read anew, in place of being told of what comes; 0: it is told.
    beat: float = 0
    pause: float = 0.03
    moves: float | None = None

    def __post_init__(self) -> None:
        relative = "now" in self.start or "now" in self.end
        if self.beat:
            self.moves = self.beat
        elif relative and (self.shift or not self._by_time()):
            # A single number over the last hour changes as the hour moves on, rows or none; and so does what was shown
            # a week ago.
            self.moves = 10.0

    def concerns(self, change: Change) -> bool:
        if self.beat and isinstance(change, RowsAdded):
            return False
        return isinstance(change, RowsAdded | PipelineChanged) and change.pipeline == str(self.pipeline)

    def _by_time(self) -> bool:
        return bool(self.query.get("every")) or self.kind == "line"

    def _spec(self, now: datetime) -> tuple[QuerySpec, timedelta]:
        """The query as of now, and how far back its range was moved."""
        document = dict(self.query) | {"from": self.start, "to": self.end, "timezone": self.timezone}
        if document.get("every") == "auto" or (self.kind == "line" and not document.get("every")):
            document["every"] = "1m"
            reach = parse_query(document, now)
            document["every"] = pick_every(reach.end - reach.start, self.points)
        spec = parse_query(document, now)
        return earlier(spec, self.shift) if self.shift else (spec, timedelta())

    def snapshot(self) -> Table:
        spec, back = self._spec(datetime.now(UTC))
        return self._read(spec, back)

    def update(self, touched: Touched) -> Table | None:
        if touched.everything or touched.low is None or touched.high is None or not self._by_time():
            return None
        spec, back = self._spec(datetime.now(UTC))
        assert spec.every is not None
        low = max(spec.start, datetime.fromtimestamp(touched.low / 1000, UTC))
        high = min(spec.end, datetime.fromtimestamp(touched.high / 1000, UTC) + timedelta(milliseconds=1))
        if low >= high:
            return Table(pl.DataFrame(), [], start=_ms(spec.start), end=_ms(spec.end))
        grid = Grid(*spec.every, ZoneInfo(spec.timezone))
        # Whole buckets: the first that was touched from its beginning, the last to its end.
        begin = max(spec.start, grid.floor(low))
        return self._read(replace(spec, start=begin, end=min(spec.end, grid.after(high))), back, spec)

    def _read(self, spec: QuerySpec, back: timedelta, shown: QuerySpec | None = None) -> Table:
        """The answer to `spec` as rows of a chart that shows `shown`."""
        extra: dict[str, Any] = {}
        if spec.every is not None:
            # In words of the calendar: a month has no length in milliseconds.
            extra |= {"bucket": "{}{}".format(*spec.every), "timezone": spec.timezone}
        if self.shift:
            extra["shift"] = back // timedelta(milliseconds=1)
        if spec.order:
            extra["order"] = f"-{spec.order}" if spec.descending else spec.order
        with self.database.team(self.team) as unit:
            result = self.queries.answer(unit, spec)
            if result.next:
                extra["next"] = result.next
            if result.frame.is_empty():
                extra["last"] = _ms(catalog.stats(unit, [self.pipeline])[self.pipeline].last_received)
        keyed = not spec.aggregated or spec.every is not None
        key = (["time", *spec.by] if spec.every else ["_payload", "_index"]) if keyed else []
        names = {column.name for column in result.columns}
        return _table(
            result.frame,
            result.columns,
            key=key if names.issuperset(key) else (),
            start=_ms((shown or spec).start),
            end=_ms((shown or spec).end),
            every=result.every_ms,
            extra=extra,
        )


def _table(frame: pl.DataFrame, columns: Sequence[Column], **more: Any) -> Table:
    """Rows as a browser takes them: ids, which its numbers do not hold exactly, are text."""
    made = {
        c.name: frame.to_series(n).cast(pl.String) if c.is_id else frame.to_series(n) for n, c in enumerate(columns)
    }
    described = [
        {"name": c.name, "type": "text" if c.is_id else c.type, "unit": c.unit, "role": c.role} for c in columns
    ]
    return Table(pl.DataFrame(made), described, **more)


@dataclass
class RecordsView:
    """A pipeline's last records, newest first."""

    database: Database
    team: UUID
    pipeline: UUID
    limit: int
    pause: float = 0.05
    moves: float | None = None
    _shown: set[tuple[Any, Any]] = field(default_factory=set)

    def concerns(self, change: Change) -> bool:
        return isinstance(change, RowsAdded | PipelineChanged) and change.pipeline == str(self.pipeline)

    def snapshot(self) -> Table:
        table = self._read()
        self._shown = set(table.frame.select("_payload", "_index").iter_rows())
        return table

    def update(self, touched: Touched) -> Table | None:
        if touched.everything:
            return None
        table = self._read()
        # A payload with a smaller id may be committed after one with a larger id, so what is new is found by
        # difference.
        here = list(table.frame.select("_payload", "_index").iter_rows())
        fresh = [row not in self._shown for row in here]
        self._shown = set(here)
        return Table(table.frame.filter(pl.Series(fresh, dtype=pl.Boolean)), table.columns, table.key)

    def _read(self) -> Table:
        with self.database.team(self.team) as unit:
            versions = catalog.versions(unit, self.pipeline)
            answer = silver_read.latest(unit, versions, self.limit)
        columns = record_columns({**SYSTEM, **{f.name: f for f in silver_read.newest_fields(versions)}})
        return _table(answer.frame, columns, key=("_payload", "_index"))


def health(pipeline: Pipeline, stats: PipelineStats, failures: int, recent_rejects: int) -> str:
    """ok | waiting (nothing has come yet) | paused | failing (its poll fails, or it lags) | rejects (some of what
    came lately)."""
    if pipeline.state == "paused":
        return "paused"
    if failures >= 3 or (stats.lag_seconds or 0) > 60:
        return "failing"
    if recent_rejects:
        return "rejects"
    return "ok" if stats.last_received else "waiting"


_PIPELINE_COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "text"},
    {"name": "name", "type": "text"},
    {"name": "slug", "type": "text"},
    {"name": "state", "type": "text"},
    {"name": "health", "type": "text"},
    {"name": "rate", "type": "number", "unit": "/s"},
    {"name": "last_received", "type": "timestamp"},
    {"name": "pending", "type": "integer"},
    {"name": "records", "type": "integer"},
    {"name": "rejects", "type": "integer"},
]


@dataclass
class PipelinesView:
    """The team's pipelines with rates (records a second over the last reads) and health."""

    database: Database
    team: UUID
    pause: float = 1.0
    moves: float | None = 5.0
    _before: dict[UUID, list[tuple[float, int]]] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set)

    def concerns(self, change: Change) -> bool:
        return isinstance(change, PipelineChanged) or (isinstance(change, RowsAdded) and change.pipeline in self._ids)

    def update(self, touched: Touched) -> Table | None:
        return None

    def snapshot(self) -> Table:
        with self.database.team(self.team) as unit:
            pipelines = catalog.pipelines(unit)
            stats = catalog.stats(unit, [p.id for p in pipelines])
            failures = dict(unit.rows("SELECT pipeline_id, failures FROM polls"))
            rejects = ledger.recent_rejects(unit)
        self._ids = {str(p.id) for p in pipelines}
        rows = [
            {
                "id": str(p.id),
                "name": p.name,
                "slug": p.slug,
                "state": p.state,
                "health": health(p, stats[p.id], failures.get(p.id, 0), rejects.get(p.id, 0)),
                "rate": self._rate(p.id, stats[p.id].records),
                "last_received": stats[p.id].last_received,
                "pending": stats[p.id].pending,
                "records": stats[p.id].records,
                "rejects": stats[p.id].rejects,
            }
            for p in pipelines
        ]
        schema: dict[str, Any] = {"last_received": pl.Datetime("us", "UTC"), "rate": pl.Float64}
        names = [column["name"] for column in _PIPELINE_COLUMNS]
        frame = pl.DataFrame(rows, schema={n: schema.get(n) for n in names}, infer_schema_length=None)
        return Table(frame, _PIPELINE_COLUMNS)

    def _rate(self, pipeline: UUID, records: int) -> float | None:
        """Records a second over the last ten seconds or so; None at the first look."""
        now = time.monotonic()
        seen = self._before.setdefault(pipeline, [])
        seen.append((now, records))
        while len(seen) > 2 and now - seen[1][0] > 10:
            seen.pop(0)
        (then, count) = seen[0]
        elapsed = now - then
        return (records - count) / elapsed if elapsed > 0.5 else None


def _ms(moment: datetime | None) -> int | None:
    return int(moment.timestamp() * 1000) if moment else None
