"""What a dashboard's variable offers: the values of a field as they come, or the options that were written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl

from dash_app.domain.changes import Change, PipelineChanged, RowsAdded
from dash_app.domain.errors import Invalid
from dash_app.domain.variables import MOST_VALUES, Scalar
from dash_app.live.frames import Table
from dash_app.pipelines.query import Queries
from dash_app.storage.engine import Database


@dataclass
class ValuesView:
    """The values of a field in a range, ascending. `query`: pipeline (its id), field and perhaps where."""

    database: Database
    queries: Queries
    team: UUID
    pipeline: UUID
    query: Mapping[str, Any]
    start: str
    end: str
    timezone: str
    #: A list to choose from need not follow every record at once.
    pause: float = 2.0
    moves: float | None = None

    def __post_init__(self) -> None:
        if "now" in self.start or "now" in self.end:
            self.moves = 60.0

    def concerns(self, change: Change) -> bool:
        return isinstance(change, RowsAdded | PipelineChanged) and change.pipeline == str(self.pipeline)

    def update(self, touched: object) -> Table | None:
        return None

    def snapshot(self) -> Table:
        reach = {"from": self.start, "to": self.end, "timezone": self.timezone}
        with self.database.team(self.team) as unit:
            result = self.queries.values(unit, {**self.query, **reach}, datetime.now(UTC))
        column = result.columns[0]
        values = result.frame.get_column("value")
        if isinstance(values.dtype, pl.Datetime):
            # What is chosen goes back as text, and must name the moment in full.
            values = values.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        columns = [_described("value", "text" if column.type == "timestamp" else column.type, column.unit)]
        return Table(pl.DataFrame({"value": values}), columns, extra={"truncated": result.truncated})


@dataclass
class OptionsView:
    """Options that stand in the variable itself: the same frame, so that a page need not tell kinds apart."""

    team: UUID
    options: Sequence[tuple[Scalar, str]]
    pause: float = 60.0
    moves: float | None = None

    def concerns(self, change: Change) -> bool:
        return False

    def update(self, touched: object) -> Table | None:
        return None

    def snapshot(self) -> Table:
        frame = pl.DataFrame(
            {"value": [str(value) for value, _ in self.options], "text": [text for _, text in self.options]},
            schema={"value": pl.String, "text": pl.String},
        )
        return Table(frame, [_described("value", "text"), _described("text", "text")], extra={"truncated": False})


def offered(variable: Mapping[str, Any]) -> list[tuple[Scalar, str]]:
    """The options of a variable that is not a query, as (value, text); none for free text."""
    if variable.get("type") not in ("custom", "interval", "text"):
        raise Invalid(problems=[("variable.type", "one of query, custom, text, interval")])
    options = variable.get("options") or ()
    if not isinstance(options, Sequence) or isinstance(options, str) or len(options) > MOST_VALUES:
        raise Invalid(problems=[("variable.options", f"a list of at most {MOST_VALUES:,} is meant")])
    found = []
    for number, one in enumerate(options):
        value, text = (one.get("value"), one.get("text")) if isinstance(one, Mapping) else (one, one)
        if not isinstance(value, str | int | float):
            raise Invalid(problems=[(f"variable.options[{number}]", 'a text, or {"text": …, "value": …}')])
        found.append((value, str(value if text is None else text)))
    return found


def _described(name: str, kind: str, unit: str = "") -> dict[str, Any]:
    return {"name": name, "type": kind, "unit": unit, "role": "dimension"}
