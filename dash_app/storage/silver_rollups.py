"""Merging rollups: what a batch adds is added to what is stored, column by column, in the same transaction as its rows.

Every column merges associatively: counts and sums add up, extremes are the least and the greatest, first and last go by
(time, payload). Rows travel as one array a column and are united with the stored ones by one `INSERT … ON CONFLICT`,
which serves three rows as well as twenty thousand and needs no staging table.

Where rollup rows themselves are united (a dimension is dropped), and two of them have the same time and payload, the
smaller value is the first and the larger one the last: the rows do not know the records' indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import polars as pl
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from dash_app.domain.errors import Transient
from dash_app.domain.specs import SilverVersion
from dash_app.storage import copy_binary
from dash_app.storage.ddl import log, patient, quote
from dash_app.storage.silver_tables import (
    COLUMN_TYPES,
    create_rollup,
    metric_columns,
    metrics,
    qualified,
    rollup_key,
    set_dims,
)
from dash_app.storage.unit import Unit

MINUTE: Final = 1
HOUR: Final = 2
DAY: Final = 3
_UNITS: Final = {HOUR: "hour", DAY: "day"}

#: More combinations of dimensions than this in a day, and the dimension with the most values is dropped.
MOST_COMBINATIONS: Final = 2_000
#: Longer values of a dimension would not fit into an entry of the rollup's index.
MOST_BYTES: Final = 500
#: Rows of one statement: bounds its memory on both sides.
_ROWS_AT_ONCE: Final = 20_000
#: Sums saturate, as in the batch: an overflow is an error to PostgreSQL, and one such record would stop its pipeline.
_LIMIT: Final = "1e300"


class Array:
    """A column as a parameter: its type stands in the statement, its bytes are made already."""

    __slots__ = ("data",)

    def __init__(self, series: pl.Series, kind: str) -> None:
        self.data = copy_binary.array(series, kind)


class ArrayDumper(Dumper):
    format = Format.BINARY
    oid = 0

    def dump(self, obj: Array) -> memoryview:
        return obj.data


def execute(unit: Unit, statement: str, params: Sequence[Any]) -> psycopg.Cursor[Any]:
    """Runs a statement that takes `Array`s (as %b), prepared on the connection from the first time on."""
    cursor = unit.driver.cursor()
    cursor.adapters.register_dumper(Array, ArrayDumper)
    cursor.execute(statement.encode(), params, prepare=True)
    return cursor


def merge_rollups(unit: Unit, version: SilverVersion, rollup: pl.DataFrame, dims: Sequence[str] | None = None) -> int:
    """Adds rollup rows (shape: `pipelines.rollups.rollup`) to the stored ones; answers how many rows of days are new.

    `dims`: the dimensions that `rollup` has, where it has more than the version keeps: rows are united then.
    """
    given = tuple(version.dims if dims is None else dims)
    statement, columns = _merge_statement(_shape(version), given)
    new = 0
    for part in rollup.iter_slices(_ROWS_AT_ONCE):
        row = execute(unit, statement, [Array(part.get_column(name), kind) for name, kind in columns]).fetchone()
        new += row[0] if row else 0
    return new


def recompute_rollups(unit: Unit, version: SilverVersion, buckets: Sequence[datetime]) -> None:
    """Computes the rollup anew from the records of these minutes (starts of minutes, UTC), and their hours and days.

    Hours are united from the stored minutes and days from the hours, so that records may be gone by then as long as
    their minutes are not. Minutes whose records have expired stay as they are, since nothing could be computed for
    them: the caller is the pipeline's writer, and retention hides records only while there is none.
    """
    kept_from = unit.value("SELECT records_from FROM dash.pipelines WHERE id = %s", (version.pipeline,))
    minutes = sorted({minute for minute in buckets if kept_from is None or minute >= kept_from})
    if not minutes:
        return
    table, rollup = (_escaped(qualified(version, name)) for name in (version.table, version.rollup))
    columns, dims = ", ".join(rollup_columns(version)), [f"x.{_escaped(quote(dim))}" for dim in version.dims]
    minute = "date_trunc('minute', x._time, 'UTC')"
    selected = ", ".join([str(MINUTE), minute, *dims, "count(*)", *_from_records(version)])
    low, high = _ranges(minutes)
    unit.execute(f"DELETE FROM {rollup} WHERE grain = {MINUTE} AND bucket = ANY(%s)", (minutes,))
    unit.execute(
        f"INSERT INTO {rollup} ({columns}) SELECT {selected} "
        f"FROM unnest(%s::timestamptz[], %s::timestamptz[]) AS s(low, high) "
        f"JOIN {table} x ON x._time >= s.low AND x._time < s.high "
        # Known before it runs, so that chunks of other times are not even opened.
        f"WHERE x._time >= %s AND x._time < %s AND {minute} IN (SELECT unnest(%s::timestamptz[])) "
        f"GROUP BY {', '.join([minute, *dims])}",
        (low, high, low[0], high[-1], minutes),
    )
    for grain, name in _UNITS.items():
        starts = sorted({_floor(moment, name) for moment in minutes})
        selected = ", ".join([str(grain), "s.low", *dims, *united(len(metrics(version)), "x")])
        unit.execute(f"DELETE FROM {rollup} WHERE grain = {grain} AND bucket = ANY(%s)", (starts,))
        unit.execute(
            f"INSERT INTO {rollup} ({columns}) SELECT {selected} FROM unnest(%s::timestamptz[]) AS s(low) "
            f"JOIN {rollup} x ON x.grain = {grain - 1} "
            f"AND x.bucket >= s.low AND x.bucket < s.low + interval '1 {name}' "
            f"GROUP BY {', '.join(['s.low', *dims])}",
            (starts,),
        )


def watch_cardinality(unit: Unit, version: SilverVersion, rollup: pl.DataFrame) -> str | None:
    """The dimension to drop where the newest touched day has too many combinations; None where all is well."""
    if not version.dims or not rollup.height:
        return None
    day = rollup.filter(pl.col("grain") == DAY).get_column("bucket").max()
    table = _escaped(qualified(version, version.rollup))
    where = f"FROM {table} WHERE grain = {DAY} AND bucket = %s"
    rows: int = unit.value(f"SELECT count(*) FROM (SELECT 1 {where} LIMIT {MOST_COMBINATIONS + 1}) x", (day,))
    if rows <= MOST_COMBINATIONS:
        return None
    counts = unit.row(
        f"SELECT {', '.join(f'count(DISTINCT {_escaped(quote(d))})' for d in version.dims)} {where}", (day,)
    )
    return max(zip(version.dims, counts or (), strict=True), key=lambda pair: pair[1])[0]


def drop_dim(unit: Unit, version: SilverVersion, dim: str) -> SilverVersion | None:
    """Rebuilds the rollup without one dimension, from the rollup itself; answers the version as it now stands.

    None, with nothing changed, where queries kept the table for too long: to be tried again with a later batch.
    """
    old, aside = qualified(version, version.rollup), f"{version.rollup}_old"
    kept = [name for name in version.dims if name != dim]
    if not patient(unit, [f"ALTER TABLE {old} RENAME TO {quote(aside)}"]):
        return None
    made = set_dims(unit, version, kept)
    create_rollup(unit, made)
    key = rollup_key(made)
    unit.execute(
        f"INSERT INTO {old} ({', '.join(rollup_columns(made)).replace('%%', '%')}) "
        f"SELECT {', '.join([*key, *united(len(metrics(made)), 'r')])} "
        f"FROM {qualified(version, aside)} r GROUP BY {', '.join(key)}"
    )
    unit.execute(f"DROP TABLE {qualified(version, aside)}")
    log.info("rollup.dimension_dropped", pipeline=str(version.pipeline), version=version.version, dimension=dim)
    return made


def drop_oversized(unit: Unit, version: SilverVersion, rollup: pl.DataFrame) -> SilverVersion:
    """The version without the dimensions that have a value in `rollup` which is too long for an index.

    Transient where a query holds the rollup for too long: these rows cannot be merged before.
    """
    for dim in version.dims:
        column = rollup.get_column(dim)
        if column.dtype == pl.String and int(column.str.len_bytes().max() or 0) > MOST_BYTES:  # type: ignore[arg-type]
            made = drop_dim(unit, version, dim)
            if made is None:
                raise Transient(
                    f"a query holds the rollup from which '{dim}' must go; it works in a moment", retry_after=1
                )
            version = made
    return version


# Statements ----------------------------------------------------------------------------------------------------------

#: What a statement depends on: table, dimensions and metric columns, each with its type.
_Shape = tuple[str, tuple[tuple[str, str], ...], tuple[str, ...], tuple[tuple[str, str], ...], int]


def _shape(version: SilverVersion) -> _Shape:
    kinds = tuple((f.name, COLUMN_TYPES[f.type]) for f in version.columns if not f.is_metric or f.name in version.dims)
    return (
        qualified(version, version.rollup),
        kinds,
        tuple(version.dims),
        tuple(metric_columns(version)),
        len(metrics(version)),
    )


def _escaped(name: str) -> str:
    """An identifier in a statement with parameters, where a percent sign is a placeholder's."""
    return name.replace("%", "%%")


def rollup_columns(version: SilverVersion) -> list[str]:
    """The columns of a rollup in order, quoted, for a statement with parameters."""
    return [*map(_escaped, rollup_key(version)), "_n", *(name for name, _ in metric_columns(version))]


@lru_cache(maxsize=512)
def _merge_statement(shape: _Shape, given: tuple[str, ...]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The upsert, and the columns it takes with their types. `given`: dimensions of the rows, at least those kept."""
    table, kinds, dims, values, count = shape
    table, of = _escaped(table), dict(kinds)
    taken = (("grain", "int2"), ("bucket", "timestamptz"), *((d, of[d]) for d in given), ("_n", "int8"), *values)
    names = [_escaped(quote(name)) for name, _ in taken]
    source = f"unnest({', '.join(f'%b::{kind}[]' for _, kind in taken)}) AS r({', '.join(names)})"
    key = ["grain", "bucket", *(_escaped(quote(d)) for d in dims)]
    target = [*key, "_n", *(name for name, _ in values)]
    if given == dims:
        select = f"SELECT {', '.join(target)} FROM {source}"
    else:
        merged = ", ".join([*key, *united(count, "r")])
        select = f"SELECT {merged} FROM {source} GROUP BY {', '.join(key)} ORDER BY {', '.join(key)}"
    sets = ["_n = o._n + excluded._n"]
    for i in range(count):
        sets.append(f"m{i}_count = o.m{i}_count + excluded.m{i}_count")
        sets += [f"m{i}_{s} = {_clamped(f'o.m{i}_{s} + excluded.m{i}_{s}')}" for s in ("sum", "sumsq")]
        sets += [
            f"m{i}_min = least(o.m{i}_min, excluded.m{i}_min)",
            f"m{i}_max = greatest(o.m{i}_max, excluded.m{i}_max)",
        ]
        for end, before in (("first", "<"), ("last", ">")):
            at, by = f"m{i}_{end}_at", f"m{i}_{end}_by"
            # A stored null compares as unknown, hence coalesce; a new null must never win.
            later = f"(excluded.{at}, excluded.{by}) {before} (o.{at}, o.{by})"
            wins = f"excluded.{at} IS NOT NULL AND coalesce({later}, true)"
            sets += [f"{c} = CASE WHEN {wins} THEN excluded.{c} ELSE o.{c} END" for c in (f"m{i}_{end}", at, by)]
    upsert = (
        f"INSERT INTO {table} AS o ({', '.join(target)}) {select} "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(sets)} "
        "RETURNING o.grain, o.xmax"
    )
    # A row that was inserted has no xmax. It is a hint: whether to count the day's combinations.
    return f"WITH merged AS ({upsert}) SELECT count(*) FILTER (WHERE grain = {DAY} AND xmax = 0) FROM merged", taken


def _clamped(value: str) -> str:
    """`value`, which must not be null: least and greatest pass over nulls, and a limit would come out."""
    return f"greatest(least({value}, {_LIMIT}), -{_LIMIT})"


def united(count: int, r: str) -> list[str]:
    """Rollup rows (of the alias `r`) into one of a group: `_n` and the columns of the metrics."""
    columns = [f"sum({r}._n)::int8"]
    for i in range(count):
        columns += [f"sum({r}.m{i}_count)::int8", *(_clamped(f"sum({r}.m{i}_{s})") for s in ("sum", "sumsq"))]
        columns += [f"min({r}.m{i}_min)", f"max({r}.m{i}_max)"]
        for end, way in (("first", "ASC"), ("last", "DESC")):
            order = ", ".join(f"{r}.m{i}_{end}{part} {way}" for part in ("_at", "_by", ""))
            columns += [
                f"(array_agg({r}.m{i}_{end}{part} ORDER BY {order}) FILTER (WHERE {r}.m{i}_{end}_at IS NOT NULL))[1]"
                for part in ("", "_at", "_by")
            ]
    return columns


def _from_records(version: SilverVersion) -> list[str]:
    """Records `x` into the columns of the metrics."""
    columns = []
    for field in metrics(version):
        x = f"x.{_escaped(quote(field.name))}"
        number = f"{x}::int::float8" if field.type == "boolean" else f"{x}::float8"
        value = number if field.type == "boolean" else x
        here = f"FILTER (WHERE {x} IS NOT NULL)"
        total = _clamped(f"coalesce(sum({_clamped(number)}) {here}, 0)")
        # Squares out of a float's range, above or below, are errors to PostgreSQL.
        size = f"abs({number})"
        square = f"CASE WHEN {size} > 1e150 THEN {_LIMIT} WHEN {size} < 1e-150 THEN 0 ELSE {number} * {number} END"
        columns += [f"count({x})", total, _clamped(f"coalesce(sum({square}) {here}, 0)")]
        columns += [f"min({value})", f"max({value})"]
        # One order for both ends: aggregates that are sorted alike share a sort, and equal ones are computed once.
        for place in ("1", f"count({x})"):
            columns += [
                f"(array_agg({v} ORDER BY x._time, x._payload, x._index) {here})[{place}]"
                for v in (value, "x._time", "x._payload")
            ]
    return columns


def _ranges(minutes: Sequence[datetime]) -> tuple[list[datetime], list[datetime]]:
    """Stretches of time that hold these minutes, in order; gaps of less than an hour are read across."""
    low, high = [minutes[0]], []
    for before, after in pairwise(minutes):
        if after - before > timedelta(hours=1):
            high.append(before + timedelta(minutes=1))
            low.append(after)
    high.append(minutes[-1] + timedelta(minutes=1))
    return low, high


def _floor(moment: datetime, name: str) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    return hour if name == "hour" else hour.replace(hour=0)
