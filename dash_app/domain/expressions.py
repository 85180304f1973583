"""Trees of expressions: what the text of a `where` or `sql` means, before anything is made of it.

The tree has four kinds of node, each with the `type` of its value (number, integer, boolean, text, timestamp, json, or
null for the bare null):

- `Literal(value, type)`: number, integer, boolean and text as Python values; a timestamp as an aware datetime; null as
  None.
- `Column(name, type)`: a field, by its own spelling.
- `Cast(value, type, safe)`: to number, integer, boolean, text or timestamp; `safe` gives null where it fails.
- `Call(name, args, type)`: a function of `functions.FUNCTIONS` under its first name, or an operator:
  `add sub mul div mod neg` (numbers) · `eq ne lt le gt ge` (two values of one type; number and integer mix) · `and or
  not` (three-valued, two operands each) · `is_null` (one) · `like ilike` (text, and a Literal pattern: % and _, a
  backslash makes the next one plain) · `in` (value, then one or more options) · `concat_op` (a || b) · `case`
  (condition, value, condition, value, …, and always an else). `between`, `not in`, `is not null`, `extract` and the
  like are written with these.

Arithmetic is in 64-bit floating point, also between integers: 7 / 2 is 3.5, and integers are exact up to 2^53.

`dash_app.pipelines.expressions` reads text into trees, `expression_plan` there makes Polars expressions of them, and
`dash_app.storage.filters` PostgreSQL's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written down."""

    value: float | int | str | bool | datetime | None
    type: str


@dataclass(frozen=True, slots=True)
class Column:
    """The value of a field."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Cast:
    """A value as another type; where that fails, null (`safe`) or an error of this record."""

    value: Tree
    type: str
    safe: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator."""

    name: str
    args: tuple[Tree, ...]
    type: str


Tree = Literal | Column | Cast | Call


def columns_of(tree: Tree) -> frozenset[str]:
    """The names of all fields that a tree reads."""
    if isinstance(tree, Column):
        return frozenset({tree.name})
    return frozenset().union(*(columns_of(child) for child in children(tree)))


def children(tree: Tree) -> tuple[Tree, ...]:
    """The nodes right below."""
    if isinstance(tree, Call):
        return tree.args
    return (tree.value,) if isinstance(tree, Cast) else ()
