"""Records in the order of one of their columns, page by page.

A page is one statement over the range: PostgreSQL keeps the best rows while it reads, so that the cost is that of the
range, whatever the page. The next page goes on from the last row's value and place: rows of equal value have an order
of their own (newest first), so that none is told twice or left out, and rows without a value come last.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from dash_app.domain.errors import Invalid
from dash_app.domain.specs import FieldSpec, FieldType, SilverVersion
from dash_app.storage.silver_columns import Binder, Condition, Statement, column
from dash_app.storage.silver_read import everything, newest_fields
from dash_app.storage.silver_running import PATIENCE, Answer, fetch, guarded, records_frame
from dash_app.storage.silver_tables import COLUMN_TYPES, qualified
from dash_app.storage.unit import Unit

_WRONG = "not a cursor of this list in this order; take the one that `next` named"


def ordered(
    unit: Unit,
    versions: Sequence[SilverVersion],
    limit: int,
    by: FieldSpec,
    *,
    descending: bool,
    columns: Sequence[FieldSpec],
    start: datetime,
    end: datetime,
    cursor: str | None = None,
    condition: Condition = everything,
    patience: float = PATIENCE,
) -> Answer:
    """Records with `start` ≤ _time < `end` by the values of `by`, texts by code points; `limit` at most, after a cursor
    where one is given. Raises Invalid for a cursor that is not of this order, TooSlow after `patience` seconds."""
    after = None if cursor is None else _read_cursor(cursor, by, descending)
    made = [version for version in versions if version.created]
    if not made or start >= end:
        return Answer(records_frame([], columns))
    build = _Page(made, by, descending, columns, condition)
    with guarded(unit, patience):
        found = fetch(unit, build.statement(start, end, after, limit + 1))
    following = _write_cursor(by, descending, *found[limit - 1][-3:]) if len(found) > limit else None
    return Answer(records_frame(found[:limit], columns), truncated=following is not None, next=following)


class _Page:
    def __init__(
        self,
        versions: Sequence[SilverVersion],
        by: FieldSpec,
        descending: bool,
        columns: Sequence[FieldSpec],
        condition: Condition,
    ) -> None:
        self.versions = versions
        self.by = by
        self.way = "DESC" if descending else "ASC"
        self.beyond = "<" if descending else ">"
        self.columns = columns
        self.condition = condition
        self.known = {f.name: f for f in newest_fields(versions)}
        self.collate = ' COLLATE "C"' if by.type == "text" else ""
        self.bind = Binder()

    def statement(self, start: datetime, end: datetime, after: tuple[Any, int, int] | None, limit: int) -> Statement:
        order = f"ORDER BY v{self.collate} {self.way} NULLS LAST, p DESC, i DESC LIMIT {self.bind(limit, 'int8')}"
        parts = [f"({self._of(version, start, end, after)} {order})" for version in self.versions]
        return Statement(f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS r {order}", self.bind.params)

    def _of(self, version: SilverVersion, start: datetime, end: datetime, after: tuple[Any, int, int] | None) -> str:
        value = f"({column(version, self.by)})"
        outputs = [
            f"({column(version, f)}){'::text' if f.type == 'json' else ''} AS c{n}" for n, f in enumerate(self.columns)
        ]
        since = max(start, version.records_from) if version.records_from else start
        where = [
            f"_time >= {self.bind(since, 'timestamptz')}",
            f"_time < {self.bind(end, 'timestamptz')}",
            f"({self.condition(lambda name: column(version, self.known[name]), self.bind)})",
        ]
        if after is not None:
            where.append(self._after(value, *after))
        inner = f"SELECT {', '.join([*outputs, f'{value} AS v', '_payload AS p', '_index AS i'])}"
        # The order is set over the names of this select, so that a text's collation can be named beside it.
        return f"SELECT * FROM ({inner} FROM {qualified(version, version.table)} WHERE {' AND '.join(where)}) AS x"

    def _after(self, value: str, last: Any, payload: int, index: int) -> str:
        place = f"(_payload, _index) < ({self.bind(payload, 'int8')}, {self.bind(index, 'int4')})"
        if last is None:
            return f"({value} IS NULL AND {place})"
        bound = self.bind(last, COLUMN_TYPES[self.by.type])
        further = f"{value}{self.collate} {self.beyond} {bound}{self.collate}"
        return f"({further} OR ({value} = {bound} AND {place}) OR {value} IS NULL)"


def _write_cursor(by: FieldSpec, descending: bool, value: Any, payload: int, index: int) -> str:
    place = [by.name, descending, value, payload, index]
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _read_cursor(text: str, by: FieldSpec, descending: bool) -> tuple[Any, int, int]:
    try:
        name, way, value, payload, index = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if (name, way) != (by.name, descending):
            raise ValueError
        if not (type(payload) is int and 0 <= payload < 1 << 63 and type(index) is int and 0 <= index < 1 << 31):
            raise ValueError
        return _of_type(value, by.type), payload, index
    except (ValueError, TypeError, binascii.Error):
        raise Invalid(problems=[("cursor", _WRONG)]) from None


def _of_type(value: Any, kind: FieldType) -> Any:
    """A value of a cursor as the column's type; ValueError where it is none."""
    if value is None:
        return None
    if kind == "timestamp":
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
        return moment
    expected = {"number": (float, int), "integer": (int,), "boolean": (bool,), "text": (str,)}[kind]
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
        raise ValueError
    if isinstance(value, str) and "\x00" in value:
        raise ValueError
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError
    return float(value) if kind == "number" else value
