"""Running a statement over silver: bounded in time, its rows as a frame, PostgreSQL's refusals in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg

from dash_app.domain.errors import Invalid, Transient
from dash_app.domain.query import TooSlow
from dash_app.domain.specs import FieldSpec, FieldType
from dash_app.storage.silver_columns import Statement
from dash_app.storage.unit import Unit

#: How long a query may take, in seconds.
PATIENCE = 10.0

DTYPES: Mapping[FieldType, pl.DataType] = {
    "number": pl.Float64(),
    "integer": pl.Int64(),
    "boolean": pl.Boolean(),
    "text": pl.String(),
    "timestamp": pl.Datetime("us", "UTC"),
    "json": pl.String(),
}


class Moved(Transient):
    """The pipeline's tables were exchanged while they were being read; ask again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows as a frame. `source`: rollup | records | mixed; `truncated`: there are more rows than the limit; `next`: the
    cursor of the following page of records."""

    frame: pl.DataFrame
    source: str = "records"
    truncated: bool = False
    next: str | None = None


def fetch(unit: Unit, statement: Statement) -> list[tuple[Any, ...]]:
    with unit.driver.cursor(binary=True) as cursor:
        # Never prepared: a plan made without the values would not know how little of a year they touch.
        cursor.execute(statement.sql.encode(), statement.params, prepare=False)
        return cursor.fetchall()


def to_frame(rows: Sequence[tuple[Any, ...]], names: Sequence[str], types: Sequence[FieldType]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    series = [
        pl.Series(name, values, dtype=DTYPES[kind], strict=False)
        for name, values, kind in zip(names, columns, types, strict=True)
    ]
    return pl.DataFrame(series)


def records_frame(rows: Sequence[tuple[Any, ...]], wanted: Sequence[FieldSpec]) -> pl.DataFrame:
    return to_frame([row[: len(wanted)] for row in rows], [f.name for f in wanted], [f.type for f in wanted])


@contextmanager
def guarded(unit: Unit, patience: float) -> Iterator[None]:
    """Statements inside end after `patience` seconds; what was set before holds again afterwards."""
    before = unit.row(
        "SELECT current_setting('statement_timeout'), current_setting('jit'), "
        "set_config('statement_timeout', %s, true), set_config('jit', 'off', true)",
        (str(max(int(patience * 1000), 1)),),
    )
    assert before is not None
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        raise TooSlow(
            f"the query took longer than {patience:g} s and was stopped; a shorter range or wider buckets help"
        ) from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise Moved() from error
    except psycopg.DataError as error:
        raise Invalid(f"the query cannot be computed: {str(error).splitlines()[0]}") from error
    unit.execute("SELECT set_config('statement_timeout', %s, true), set_config('jit', %s, true)", before[:2])
