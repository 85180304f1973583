"""A query document answered: parsed, set beside the pipeline's mapping, read from silver, put into the shape asked for.

Nothing here knows SQL: the condition becomes a tree (`dash_app.pipelines.expressions`), the rest a QuerySpec, and
`dash_app.storage.silver_read` finds out by which road the answer is quickest.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import polars as pl

from dash_app.domain import query_filters, variables
from dash_app.domain.buckets import SECONDS
from dash_app.domain.errors import Invalid
from dash_app.domain.expressions import Tree
from dash_app.domain.query import parse_query
from dash_app.domain.specs import FieldSpec, FieldType, QuerySpec, SilverVersion
from dash_app.domain.variables import MOST_VALUES
from dash_app.pipelines.expressions import parse_filter
from dash_app.storage import catalog, filters, silver_read, silver_running, silver_sorted
from dash_app.storage.engine import Database
from dash_app.storage.silver_columns import SYSTEM, Condition
from dash_app.storage.unit import Unit

_NUMBERS: tuple[FieldType, ...] = ("number", "integer")
#: Types of fields that an aggregate can be taken of; those that are not here take any.
_TAKES: Mapping[str, tuple[FieldType, ...]] = {
    **dict.fromkeys(("sum", "avg", "stddev", "median", "p90", "p95", "p99"), _NUMBERS),
    **dict.fromkeys(("min", "max"), (*_NUMBERS, "text", "timestamp")),
}

#: Widths of automatic buckets, and their seconds.
_WIDTHS = {
    "1s": 1, "5s": 5, "10s": 10, "30s": 30, "1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "3h": 10_800,
    "6h": 21_600, "12h": 43_200, "1d": 86_400, "1w": 604_800, "1M": 2_629_746,
}  # fmt: skip
_MEAN_SECONDS = {**SECONDS, "M": 2_629_746, "y": 31_556_952}

#: A spreadsheet takes a cell that begins so for a formula.
_FORMULA = re.compile(r"^[=+\-@\t\r]")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an answer. `role`: time | dimension | metric; `unit` as the mapping has it, '' for counts."""

    name: str
    type: FieldType
    unit: str
    role: Literal["time", "dimension", "metric"]
    #: A payload's id: 63 bits, which JSON readers would round, so that it is written as text.
    is_id: bool = False


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An answer. `frame` has the columns of `columns` in their order; its times are UTC.

    `every_ms` is the (mean) width of a bucket; `source`: rollup | records | mixed; `truncated`: the limit cut rows off;
    `next`: the cursor of the following page of records.
    """

    frame: pl.DataFrame
    columns: Sequence[Column]
    spec: QuerySpec
    every_ms: int | None
    source: str
    truncated: bool = False
    next: str | None = None


class Queries:
    """Answers queries of teams from one database; every call is a transaction of its own, under row security."""

    def __init__(self, database: Database, *, patience: float = silver_running.PATIENCE) -> None:
        self._database = database
        self._patience = patience

    def run(self, team: UUID, document: Mapping[str, Any], now: datetime | None = None) -> QueryResult:
        """The answer to a query document (`docs/query.md`); `now` is what relative times refer to.

        Beside the keys of a query it may have `variables` and `filters` (`dash_app.domain.variables`).

        Raises Invalid for a document that is wrong, NotFound for a pipeline that the team does not have, TooSlow for a
        query that takes longer than ten seconds. NotFound too for a version whose records are not kept any more.
        """
        moment = now or datetime.now(UTC)
        try:
            with self._database.team(team) as unit:
                return self.answer(unit, parse_query(resolve(unit, document), moment))
        except silver_running.Moved:
            # Versions were exchanged between the look at the catalog and the statement: look again, once.
            with self._database.team(team) as unit:
                return self.answer(unit, parse_query(resolve(unit, document), moment))

    def answer(self, unit: Unit, spec: QuerySpec) -> QueryResult:
        """The answer within a transaction that is open already."""
        pipeline = catalog.pipeline(unit, spec.pipeline)
        versions = catalog.versions(unit, pipeline.id, mapping=spec.mapping)
        fields = {f.name: f for f in silver_read.newest_fields(versions)}
        _check(spec, fields)
        tree = _filter(spec.where, fields) if spec.where else None
        condition = filters.condition(tree) if tree is not None else silver_read.everything
        if spec.aggregated:
            used = filters.fields(tree) if tree is not None else frozenset()
            answer = silver_read.aggregates(unit, versions, spec, fields, condition, used, patience=self._patience)
            columns = _aggregate_columns(spec, fields)
        else:
            wanted = _record_fields(spec, fields)
            answer = self._records(unit, versions, spec, wanted, condition)
            answer = replace(answer, frame=answer.frame.select(pl.nth(n).alias(name) for n, name in enumerate(wanted)))
            columns = record_columns(wanted)
        width = spec.every[0] * _MEAN_SECONDS[spec.every[1]] * 1000 if spec.every else None
        return QueryResult(answer.frame, columns, spec, width, answer.source, answer.truncated, answer.next)

    def _records(
        self,
        unit: Unit,
        versions: Sequence[SilverVersion],
        spec: QuerySpec,
        wanted: Mapping[str, FieldSpec],
        condition: Condition,
    ) -> silver_running.Answer:
        columns = list(wanted.values())
        if spec.order:
            return silver_sorted.ordered(
                unit,
                versions,
                spec.limit,
                wanted[spec.order],
                descending=spec.descending,
                columns=columns,
                start=spec.start,
                end=spec.end,
                cursor=spec.cursor,
                condition=condition,
                patience=self._patience,
            )
        return silver_read.latest(
            unit,
            versions,
            spec.limit,
            spec.cursor,
            columns=columns,
            start=spec.start,
            end=spec.end,
            condition=condition,
            patience=self._patience,
        )

    def values(self, unit: Unit, query: Mapping[str, Any], now: datetime) -> QueryResult:
        """The values that a field has in a range, ascending, `MOST_VALUES` at most; one column, `value`.

        `query`: `pipeline`, `field` and, where wanted, `where`, `from`, `to`, `timezone`; its variables are in place.
        Where the rollup keeps the field as a dimension it answers, else the records of the range.
        """
        field = query.get("field")
        if not isinstance(field, str) or not field:
            raise Invalid(problems=[("query.field", "the field whose values are meant")])
        asked = {key: value for key, value in query.items() if key != "field"}
        # One more, since records without a value are a group too.
        document = {**asked, "by": [field], "select": [{"agg": "count", "as": "_count"}], "limit": MOST_VALUES + 1}
        result = self.answer(unit, parse_query(document | {"order": field}, now))
        frame = result.frame.select(pl.col(field).alias("value")).drop_nulls()
        truncated = result.truncated or frame.height > MOST_VALUES
        column = replace(result.columns[0], name="value")
        return replace(result, frame=frame.head(MOST_VALUES), columns=[column], truncated=truncated)


def resolve(unit: Unit, document: Mapping[str, Any]) -> dict[str, Any]:
    """A query document with the values of its `variables` in place and its `filters` as part of its condition."""
    if not isinstance(document, Mapping) or not document.keys() & {"variables", "filters"}:
        return document  # type: ignore[return-value]  # parse_query says what is wrong with anything else
    query = {key: value for key, value in document.items() if key not in ("variables", "filters")}
    query = variables.apply(query, variables.parse_variables(document.get("variables")))
    chosen = query_filters.parse_filters(document.get("filters"))
    pipeline = query.get("pipeline")
    if not chosen or not isinstance(pipeline, str):
        return query
    found = catalog.versions(unit, catalog.pipeline(unit, pipeline).id)
    return query_filters.filtered(query, chosen, {f.name: f.type for f in silver_read.newest_fields(found)})


# What is asked, beside the mapping -----------------------------------------------------------------------------------


def check_query(spec: QuerySpec, fields: Mapping[str, FieldSpec]) -> None:
    """Nothing, or Invalid where a pipeline with these fields, by name, would refuse the query."""
    _check(spec, fields)
    if spec.where:
        _filter(spec.where, fields)


def _check(spec: QuerySpec, fields: Mapping[str, FieldSpec]) -> None:
    """Invalid where the query names fields that are not there, or aggregates what cannot be aggregated so."""
    known = ", ".join(fields) or "none yet"
    problems = []
    if spec.order and not spec.aggregated:
        problems += _order_problems(spec, fields)
    for number, name in enumerate(spec.by):
        if name not in fields:
            problems.append((f"by[{number}]", f"there is no field '{name[:60]}'; there are {known}"))
        elif fields[name].type == "json":
            problems.append((f"by[{number}]", f"'{name}' is json, which cannot be grouped by"))
    for number, measure in enumerate(spec.select):
        if measure.field is None:
            continue
        found = fields.get(measure.field) or SYSTEM.get(measure.field)
        takes = _TAKES.get(measure.agg or "")
        if found is None:
            problems.append((f"select[{number}].field", f"there is no field '{measure.field[:60]}'; there are {known}"))
        elif takes and found.type not in takes:
            fitting = ", ".join(f.name for f in fields.values() if f.type in takes) or "no field of this pipeline"
            wrong = f"{measure.agg} cannot be taken of '{found.name}' ({found.type}); it can of {fitting}"
            problems.append((f"select[{number}].agg", wrong))
    if problems:
        raise Invalid(problems=problems)


def _order_problems(spec: QuerySpec, fields: Mapping[str, FieldSpec]) -> list[tuple[str, str]]:
    chosen = {m.name: m.field for m in spec.select} if spec.select else dict.fromkeys((*SYSTEM, *fields))
    if spec.order != "_time" and spec.order not in chosen:
        shown = f"there is no column '{spec.order[:60]}' to order records by; there are {', '.join(chosen)}"
        return [("order", shown)]
    found = fields.get(chosen.get(spec.order) or spec.order)
    if found is not None and found.type == "json":
        return [("order", f"'{spec.order}' is json, which has no order")]
    return []


def _filter(text: str, fields: Mapping[str, FieldSpec]) -> Tree:
    try:
        return parse_filter(text, {f.name: f.type for f in fields.values()})
    except Invalid as error:
        raise Invalid(problems=[("where", error.message)]) from error


def _aggregate_columns(spec: QuerySpec, fields: Mapping[str, FieldSpec]) -> list[Column]:
    columns = [Column("time", "timestamp", "", "time")] if spec.every else []
    columns += [Column(name, fields[name].type, fields[name].unit, "dimension") for name in spec.by]
    for measure in spec.select:
        kind = silver_read.measure_type(measure, fields)
        counted = measure.agg in ("count", "count_distinct") or measure.field not in fields
        unit = "" if counted else fields[str(measure.field)].unit
        columns.append(Column(measure.name, kind, unit, "metric", measure.field == "_payload" and not counted))
    return columns


def _record_fields(spec: QuerySpec, fields: Mapping[str, FieldSpec]) -> dict[str, FieldSpec]:
    """Columns of a query for records: `_time`, then what was selected; without select all there is."""
    if not spec.select:
        return {**SYSTEM, **fields}
    chosen = {m.name: fields.get(str(m.field)) or SYSTEM[str(m.field)] for m in spec.select}
    return {"_time": SYSTEM["_time"], **chosen}


def record_columns(fields: Mapping[str, FieldSpec]) -> list[Column]:
    """Descriptions of the columns of records, by the name they have there."""
    return [
        Column(
            name,
            f.type,
            f.unit,
            "time" if f.name == "_time" else "metric" if f.is_metric else "dimension",
            f.name == "_payload",
        )
        for name, f in fields.items()
    ]


# Shapes --------------------------------------------------------------------------------------------------------------


def to_items(result: QueryResult) -> list[dict[str, Any]]:
    """The rows as JSON-ready objects: times in ISO 8601 with the offset of the query's time zone, no NaN."""
    return frame_items(result.frame, result.columns, result.spec.timezone)


def frame_items(frame: pl.DataFrame, columns: Sequence[Column], timezone: str = "UTC") -> list[dict[str, Any]]:
    """Rows of any frame with these columns as JSON-ready objects."""
    zone = ZoneInfo(timezone)
    values = [_json_values(frame.to_series(n).to_list(), column, zone) for n, column in enumerate(columns)]
    names = [column.name for column in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _json_values(values: list[Any], column: Column, zone: ZoneInfo) -> list[Any]:
    if column.is_id:
        return [None if value is None else str(value) for value in values]
    if column.type == "timestamp":
        texts: dict[Any, str | None] = {None: None}
        return [texts[v] if v in texts else texts.setdefault(v, v.astimezone(zone).isoformat()) for v in values]
    if column.type == "json":
        return [None if value is None else orjson.loads(value) for value in values]
    if column.type == "number":
        return [value if value is not None and isfinite(value) else None for value in values]
    return values


def to_csv(result: QueryResult) -> str:
    """The rows as CSV with a header. Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    zone = ZoneInfo(result.spec.timezone)
    series = []
    for number, column in enumerate(result.columns):
        one = result.frame.to_series(number)
        if column.type == "timestamp":
            one = pl.Series(one.name, _json_values(one.to_list(), column, zone), dtype=pl.String)
        elif column.type in ("text", "json"):
            one = pl.Series(one.name, [_neutral(value) for value in one.to_list()], dtype=pl.String)
        series.append(one.alias(_neutral(column.name) or ""))
    return pl.DataFrame(series).write_csv()


def _neutral(text: str | None) -> str | None:
    return f"'{text}" if text and _FORMULA.match(text) else text


def to_arrow(result: QueryResult) -> bytes:
    """The rows as an Arrow IPC stream; times are microseconds in UTC, json is text."""
    stream = io.BytesIO()
    result.frame.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
    return stream.getvalue()


def pick_every(length: timedelta, points: int) -> str:
    """The narrowest of the usual bucket widths that gives at most `points` buckets over a range of this length."""
    for text, seconds in _WIDTHS.items():
        if length.total_seconds() / seconds <= max(points, 1):
            return text
    return "1M"
