"""Reading silver: aggregates, the newest records, the records of one payload, as frames.

One question is one statement, so that it sees one snapshot of all versions' tables. The exception is made of disjoint
parts: the newest records are sought in windows of payload ids that grow backwards from the newest payload, since ids
tell time, a block-range index finds a window without reading the rest, and a hundred rows of a hundred million need no
b-tree.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import polars as pl

from dash_app.domain.errors import Invalid
from dash_app.domain.ids import payload_id_floor, payload_id_time
from dash_app.domain.query import TooSlow
from dash_app.domain.specs import FieldSpec, FieldType, Measure, QuerySpec, SilverVersion
from dash_app.storage.silver_columns import SYSTEM, Binder, Condition, Statement, column
from dash_app.storage.silver_running import PATIENCE, Answer, fetch, guarded, records_frame, to_frame
from dash_app.storage.silver_sql import aggregate
from dash_app.storage.silver_tables import qualified
from dash_app.storage.unit import Unit

#: The first window of payload ids looked at for the newest records, and how much wider the next one is.
_WINDOW = timedelta(seconds=1)
_WIDER = 10
_WIDEST = timedelta(days=40_000)
_DENSE = 500_000


def everything(names: object, bind: Binder) -> str:
    """The condition that all records meet."""
    return "true"


# Aggregates ----------------------------------------------------------------------------------------------------------


def aggregates(
    unit: Unit,
    versions: Sequence[SilverVersion],
    spec: QuerySpec,
    columns: Mapping[str, FieldSpec],
    condition: Condition = everything,
    condition_fields: frozenset[str] = frozenset(),
    *,
    rollups: bool = True,
    patience: float = PATIENCE,
) -> Answer:
    """The rows of an aggregated query: `time` (UTC) where there is `every`, the columns of `by`, the measures.

    Sorted by time, then by the columns of `by` (nulls last), unless the query has an order. Raises TooSlow after
    `patience` seconds, and Invalid where an aggregate leaves the range of its type.
    """
    names, schema = _aggregate_schema(spec, columns)
    made = [version for version in versions if version.created]
    if not made or spec.start >= spec.end:
        nothing = [(*(0 if m.agg in ("count", "count_distinct") else None for m in spec.select),)]
        return Answer(to_frame([] if spec.by or spec.every else nothing, names, schema))
    with guarded(unit, patience):
        statement = aggregate(made, spec, columns, condition, condition_fields, rollups=rollups)
        rows = fetch(unit, statement)
        there = all(version.records_from is None or version.records_from <= spec.start for version in made)
        if there and statement.unsure and any(row[-1] for row in rows):
            # A first or last place claimed twice, or a deviation lost in rounding: the records know, if they are there.
            statement = aggregate(made, spec, columns, condition, condition_fields, rollups=False)
            rows = fetch(unit, statement)
    frame = to_frame([row[: len(names)] for row in rows[: spec.limit]], names, schema)
    if not spec.order and (keys := names[: len(names) - len(spec.select)]):
        frame = frame.sort(keys, nulls_last=True, maintain_order=True)
    return Answer(frame, statement.source, len(rows) > spec.limit)


def _aggregate_schema(spec: QuerySpec, columns: Mapping[str, FieldSpec]) -> tuple[list[str], list[FieldType]]:
    names = [*(["time"] if spec.every else []), *spec.by, *(m.name for m in spec.select)]
    types: list[FieldType] = ["timestamp"] if spec.every else []
    types += [columns[name].type for name in spec.by]
    return names, types + [measure_type(m, columns) for m in spec.select]


def measure_type(measure: Measure, columns: Mapping[str, FieldSpec]) -> FieldType:
    """The type of a selected column."""
    if measure.agg in ("count", "count_distinct") or measure.field is None:
        return "integer"
    if measure.agg in (None, "min", "max", "first", "last"):
        return (SYSTEM.get(measure.field) or columns[measure.field]).type
    return "number"


# Records -------------------------------------------------------------------------------------------------------------


def latest(
    unit: Unit,
    versions: Sequence[SilverVersion],
    limit: int,
    before_cursor: str | None = None,
    *,
    columns: Sequence[FieldSpec] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    condition: Condition = everything,
    every_column: Mapping[str, FieldSpec] | None = None,
    patience: float = PATIENCE,
) -> Answer:
    """The newest records by (_payload, _index), `limit` at most, before a cursor where one is given.

    Columns: `_time`, `_received`, `_payload`, `_index` and every field of the newest mapping, null where a version
    lacks it; or `columns` as they are. `start` ≤ _time < `end` where given. Raises Invalid for a cursor that was never
    given out.
    """
    wanted = [*SYSTEM.values(), *newest_fields(versions)] if columns is None else list(columns)
    known = every_column or {f.name: f for f in newest_fields(versions)}
    before = None if before_cursor is None else read_cursor(before_cursor)
    made = [version for version in versions if version.created]
    found: list[tuple[Any, ...]] = []
    with guarded(unit, patience):
        for low, high in _windows(unit, made, before, monotonic() + patience):
            statement = _window(made, wanted, known, condition, low, high, before, start, end, limit + 1 - len(found))
            found += fetch(unit, statement)
            if len(found) > limit:
                break
    following = write_cursor(*found[limit - 1][-2:]) if len(found) > limit else None
    return Answer(records_frame(found[:limit], wanted), truncated=following is not None, next=following)


def records_of(unit: Unit, versions: Sequence[SilverVersion], payload: int, *, limit: int = 10_000) -> pl.DataFrame:
    """The records of one payload in their order in it, with the columns of `latest`."""
    wanted = [*SYSTEM.values(), *newest_fields(versions)]
    made = [version for version in versions if version.created]
    if not made:
        return records_frame([], wanted)
    known = {f.name: f for f in newest_fields(versions)}
    with guarded(unit, PATIENCE):
        rows = fetch(unit, _window(made, wanted, known, everything, payload, payload, None, None, None, limit, "ASC"))
    return records_frame(rows, wanted)


def newest_fields(versions: Sequence[SilverVersion]) -> Sequence[FieldSpec]:
    """Fields of the version that comes first: the active one, as the catalog lists them."""
    return versions[0].columns if versions else ()


def write_cursor(payload: int, index: int) -> str:
    """An opaque text for the place after a record."""
    return base64.urlsafe_b64encode(f"{payload}.{index}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[int, int]:
    """(payload, index) of a cursor; Invalid for anything else."""
    try:
        payload, index = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").split(".")
        place = int(payload), int(index)
    except (ValueError, binascii.Error):
        raise Invalid(problems=[("cursor", "not a cursor of this list; take the one that `next` named")]) from None
    if not (0 <= place[0] < 1 << 63 and 0 <= place[1] < 1 << 31):
        raise Invalid(problems=[("cursor", "not a cursor of this list; take the one that `next` named")])
    return place


def _windows(
    unit: Unit, versions: Sequence[SilverVersion], before: tuple[int, int] | None, deadline: float
) -> Iterator[tuple[int, int]]:
    """Ranges of payload ids (both ends included), newest first, without gap or overlap, down to the first possible."""
    if not versions:
        return
    highest = (1 << 63) - 1
    newest = datetime.now(UTC)
    if before is not None:
        highest, newest = before[0], payload_id_time(before[0])
    else:
        # A pipeline may have been silent for years: begin where its last payload came.
        counted = "SELECT last_received FROM dash.pipeline_counts WHERE pipeline_id = %s"
        received = unit.value(counted, (versions[0].pipeline,))
        newest = min(newest, received) if received else newest
    width = _WINDOW
    while highest >= 0:
        if monotonic() > deadline:
            raise TooSlow("the newest records that meet the condition were not found in time; a shorter range helps")
        try:
            low = min(max(payload_id_floor(newest - width), 0), highest)
        except (OverflowError, ValueError):
            low = 0
        if width > _WINDOW and _dense(unit, versions, low, highest):
            width /= _WIDER
            continue
        yield low, highest
        highest = low - 1
        newest, width = payload_id_time(low), min(width * _WIDER, _WIDEST)


def _dense(unit: Unit, versions: Sequence[SilverVersion], low: int, high: int) -> bool:
    """Whether a window has more rows than are sorted in passing: behind a trickle may lie what was once imported."""
    bind = Binder()
    between = f"_payload BETWEEN {bind(low, 'int8')} AND {bind(high, 'int8')} LIMIT {_DENSE}"
    parts = [f"(SELECT 1 FROM {qualified(version, version.table)} WHERE {between})" for version in versions]
    ((count,),) = fetch(unit, Statement(f"SELECT count(*) FROM ({' UNION ALL '.join(parts)}) AS r", bind.params))
    return bool(count >= _DENSE)


def _window(
    versions: Sequence[SilverVersion],
    wanted: Sequence[FieldSpec],
    known: Mapping[str, FieldSpec],
    condition: Condition,
    low: int,
    high: int,
    before: tuple[int, int] | None,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    way: str = "DESC",
) -> Statement:
    bind = Binder()
    parts = []
    for version in versions:
        since = max((moment for moment in (start, version.records_from) if moment), default=None)
        outputs = [
            f"({column(version, f)}){'::text' if f.type == 'json' else ''} AS c{n}" for n, f in enumerate(wanted)
        ]
        where = [f"_payload BETWEEN {bind(low, 'int8')} AND {bind(high, 'int8')}"]
        if before:
            where.append(f"(_payload, _index) < ({bind(before[0], 'int8')}, {bind(before[1], 'int4')})")
        if since:
            where.append(f"_time >= {bind(since, 'timestamptz')}")
        if end:
            where.append(f"_time < {bind(end, 'timestamptz')}")
        where.append(f"({condition(_names(version, known), bind)})")
        parts.append(
            f"(SELECT {', '.join([*outputs, '_payload AS p', '_index AS i'])} FROM {qualified(version, version.table)} "
            f"WHERE {' AND '.join(where)} ORDER BY _payload {way}, _index {way} LIMIT {bind(limit, 'int8')})"
        )
    rows = f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS r"
    return Statement(f"{rows} ORDER BY p {way}, i {way} LIMIT {bind(limit, 'int8')}", bind.params)


def _names(version: SilverVersion, known: Mapping[str, FieldSpec]) -> Callable[[str], str]:
    return lambda name: column(version, known[name])
