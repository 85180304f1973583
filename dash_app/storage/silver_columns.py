"""Columns of silver as a query names them: under the newest mapping's names and types, whatever version a table is of.

Also what a statement over them is made of: bound values, the statement, and the condition that is set over each table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dash_app.domain.specs import FieldSpec, FieldType, SilverVersion
from dash_app.storage.ddl import quote
from dash_app.storage.silver_tables import COLUMN_TYPES

#: What every record has beside its fields, as fields.
SYSTEM = {
    "_time": FieldSpec("_time", "timestamp"),
    "_received": FieldSpec("_received", "timestamp"),
    "_payload": FieldSpec("_payload", "integer"),
    "_index": FieldSpec("_index", "integer"),
}

#: A number as text, of no more digits than cannot leave the range.
_NUMBER = "^[+-]?[0-9]{1,40}([.][0-9]{0,40})?([eE][+-]?[0-9]{1,2})?$"

#: Renders a condition for one table: is given how a field is written there, in today's type, and the binder.
Condition = Callable[[Callable[[str], str], "Binder"], str]


class Binder:
    """Collects the values of one statement and gives their placeholders."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}

    def __call__(self, value: Any, sql_type: str) -> str:
        name = f"p{len(self.params)}"
        self.params[name] = value
        return f"%({name})s::{sql_type}"


@dataclass(frozen=True, slots=True)
class Statement:
    """A SELECT with its parameters. `source`: rollup | records | mixed. `unsure`: its last column says whether rollups
    could not decide something, so that records must be asked."""

    sql: str
    params: Mapping[str, Any] = field(default_factory=dict)
    source: str = "records"
    unsure: bool = False


def column(version: SilverVersion, wanted: FieldSpec) -> str:
    """A field of today's mapping as an expression over a version's table (or rollup): cast where its type was another,
    null where the version lacks it or the value cannot be cast."""
    if wanted.name in SYSTEM:
        return wanted.name
    have = next((f for f in version.columns if f.name == wanted.name), None)
    if have is None:
        return f"NULL::{COLUMN_TYPES[wanted.type]}"
    return cast(quote(have.name), have.type, wanted.type)


def cast(value: str, have: FieldType, want: FieldType) -> str:
    if have == want:
        return value
    if want == "json":
        return f"to_jsonb({value})"
    if want == "text":
        return f"{value}::text"
    # Guarded: what is no number becomes null and never an error.
    if (have, want) == ("integer", "number"):
        return f"{value}::float8"
    if (have, want) == ("number", "integer"):
        return f"CASE WHEN {value} = trunc({value}) AND abs({value}) < 9.2e18 THEN {value}::int8 END"
    if (have, want) == ("text", "integer"):
        return f"CASE WHEN {value} ~ '^[+-]?[0-9]{{1,18}}$' THEN {value}::int8 END"
    if (have, want) == ("text", "number"):
        return f"CASE WHEN {value} ~ '{_NUMBER}' THEN {value}::float8 END"
    if (have, want) == ("text", "boolean"):
        return f"CASE {value} WHEN 'true' THEN true WHEN 'false' THEN false END"
    return f"NULL::{COLUMN_TYPES[want]}"
