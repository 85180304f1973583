"""What evaluators of rules read of silver again and again: minutes of a rollup, by a statement that is made once.

The statement is that of any query by the minute; only its bounds are put in anew at each look. It runs prepared: it
touches a few minutes of an index whatever the bounds are, so that a plan made without them is as good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from dash_app.domain.errors import DashError, Invalid
from dash_app.domain.query import TooSlow
from dash_app.domain.specs import FieldSpec, Measure, QuerySpec, SilverVersion
from dash_app.storage import silver_sql
from dash_app.storage.silver_columns import Condition
from dash_app.storage.unit import Unit

#: Stand for the bounds in a statement that is made for later; no query has them.
_START = datetime(9000, 1, 1, tzinfo=UTC)
_END = _START + timedelta(minutes=1)
#: Statements that a connection keeps: one for each shape.
MOST_PREPARED = 1000
#: Rows of one read: series times minutes.
MOST_ROWS = 100_000

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class MinuteReader:
    """Reads aggregates by the minute: rows of (minute's beginning, the columns of `by`, the measures)."""

    sql: bytes
    params: Mapping[str, Any]
    width: int
    unsure: bool

    @classmethod
    def made(
        cls,
        versions: Sequence[SilverVersion],
        pipeline: UUID,
        by: Sequence[str],
        select: Sequence[Measure],
        columns: Mapping[str, FieldSpec],
        condition: Condition,
        condition_fields: frozenset[str],
    ) -> MinuteReader | None:
        """None where the rollups do not hold all that is asked, so that records must be."""
        spec = QuerySpec(
            pipeline=str(pipeline),
            select=tuple(select),
            by=tuple(by),
            every=(1, "m"),
            start=_START,
            end=_END,
            where=None,
            limit=MOST_ROWS,
            timezone="UTC",
        )
        created = [version for version in versions if version.created]
        if not created:
            return None
        statement = silver_sql.aggregate(created, spec, columns, condition, condition_fields)
        if statement.source != "rollup":
            return None
        return cls(statement.sql.encode(), statement.params, 1 + len(by) + len(select), statement.unsure)

    def ask(self, unit: Unit, start: datetime, end: datetime) -> psycopg.Cursor[Row]:
        """Minutes of start ≤ time < end; both are whole minutes."""
        bounds = {_START: start, _END: end}
        params = {
            name: bounds.get(value, value) if isinstance(value, datetime) else value
            for name, value in self.params.items()
        }
        cursor = unit.driver.cursor(binary=True)
        cursor.execute(self.sql, params, prepare=True)
        return cursor


#: A reader with the minutes that are wanted of it.
Asked = tuple[MinuteReader, datetime, datetime]


def read(unit: Unit, asked: Sequence[Asked]) -> list[list[Row]]:
    """What each of the readers finds, in one way to the server and back. One that fails fails all of them, and not the
    transaction; raises as `apart`."""
    if not asked:
        return []
    connection = unit.driver
    try:
        with connection.pipeline():
            connection.execute("SAVEPOINT minutes")
            cursors = [reader.ask(unit, start, end) for reader, start, end in asked]
            connection.execute("RELEASE SAVEPOINT minutes")
    except (psycopg.errors.QueryCanceled, psycopg.DataError) as error:
        connection.execute("ROLLBACK TO SAVEPOINT minutes")
        connection.execute("RELEASE SAVEPOINT minutes")
        raise _own(error) from error
    found = [cursor.fetchall() for cursor in cursors]
    if any(len(rows) > MOST_ROWS for rows in found):
        raise TooSlow(f"its series have more than {MOST_ROWS:,} minutes with records; fewer series can be followed")
    return found


@contextmanager
def apart(unit: Unit) -> Iterator[None]:
    """What fails inside fails alone: the transaction goes on, and the error is one of Dash's own. Raises TooSlow and
    Invalid."""
    try:
        with unit.driver.transaction():
            yield
    except (psycopg.errors.QueryCanceled, psycopg.DataError) as error:
        raise _own(error) from error


def _own(error: psycopg.Error) -> DashError:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return TooSlow("reading its records took too long and was stopped; a shorter window helps")
    return Invalid(f"it cannot be computed: {str(error).splitlines()[0]}")


def prepare(unit: Unit, seconds: float) -> None:
    """Statements of this transaction end after so long, and none is worth being compiled; its connection keeps more of
    them prepared than one usually does."""
    unit.driver.prepared_max = MOST_PREPARED
    unit.execute(
        "SELECT set_config('statement_timeout', %s, true), set_config('jit', 'off', true)",
        (str(int(seconds * 1000)),),
    )
