"""Expression trees → Polars. One tree becomes a few steps, its value, and which records it fails on.

A part that is needed twice (the value of a cast, and whether the cast failed) is worked out once, as a step of its own,
so the work is never more than the number of nodes. A failing cast fails the record only where its value is
used: in a branch of `case` that is taken, or an argument of `coalesce` that is reached.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dash_app.domain.errors import Invalid
from dash_app.pipelines import times
from dash_app.pipelines.expressions import Call, Cast, Column, Literal, Tree

DTYPES: Mapping[str, pl.DataType] = {
    "number": pl.Float64(),
    "integer": pl.Int64(),
    "boolean": pl.Boolean(),
    "text": pl.String(),
    "json": pl.String(),
    "timestamp": times.MOMENT,
    "null": pl.Null(),
}

#: A number as text: JSON's, and also +1, .5 and 1.
NUMBER_TEXT = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
INTEGER_TEXT = r"[+-]?[0-9]+"
TRUE_TEXTS = ("true", "t", "yes", "y", "on", "1")
FALSE_TEXTS = ("false", "f", "no", "n", "off", "0")
BLANKS = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Program:
    """Steps to add to the frame in this order, then the value, and (None: never) where it failed."""

    steps: tuple[tuple[str, pl.Expr], ...]
    value: pl.Expr
    failed: pl.Expr | None

    def columns(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
        """The frame with the steps' columns, and their names."""
        for name, expression in self.steps:
            frame = frame.with_columns(expression.alias(name))
        return frame, [name for name, _ in self.steps]


def program(tree: Tree, prefix: str, column: Callable[[str], str] = str) -> Program:
    """The program of a tree. `column` gives the frame's name of a field; steps are named `prefix` and a number."""
    compiler = _Compiler(prefix, column)
    value, failed = compiler.compile(tree)
    if tree.type == "null":
        value = pl.lit(None)
    return Program(tuple(compiler.steps), value, failed)


def check_pattern(pattern: str) -> None:
    """Raises Invalid where a regular expression cannot be used."""
    try:
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.PolarsError as error:
        raise Invalid(f"'{pattern[:60]}' is not a regular expression that can be used: {_told(error)}") from None


def _told(error: Exception) -> str:
    """What is wrong, of all that the library says about it."""
    lines = str(error).splitlines()
    plain = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
    return plain.removeprefix("regex error: ")


_Compiled = tuple[pl.Expr, pl.Expr | None]


class _Compiler:
    def __init__(self, prefix: str, column: Callable[[str], str]) -> None:
        self.steps: list[tuple[str, pl.Expr]] = []
        self._prefix = prefix
        self._column = column

    def compile(self, tree: Tree) -> _Compiled:
        if isinstance(tree, Literal):
            return pl.lit(tree.value, DTYPES[tree.type]), None
        if isinstance(tree, Column):
            return pl.col(self._column(tree.name)), None
        if isinstance(tree, Cast):
            return self._cast(tree)
        if tree.name == "case":
            return self._case(tree)
        if tree.name == "coalesce":
            return self._coalesce(tree)
        compiled = [self._typed(arg, type_) for arg, type_ in zip(tree.args, _argument_types(tree), strict=True)]
        values = [value for value, _ in compiled]
        failed = _any(failed for _, failed in compiled)
        if tree.name in ("in", "nullif", "mod", "strpos", "split_part"):
            values[0] = self._step(values[0], tree.args[0])
        if tree.name != "to_timestamp":
            value = _BUILDERS[tree.name](values, tree)
        else:
            values[0] = self._step(values[0], tree.args[0])
            value = self._step(times.in_range(self._step(times.epoch(values[0], "epoch_s"))))
            failed = _any([failed, values[0].is_not_null() & value.is_null()])
        return value, failed

    def _step(self, value: pl.Expr, tree: Tree | None = None) -> pl.Expr:
        """The value as a column of its own, unless it is one already."""
        if isinstance(tree, Literal | Column):
            return value
        name = f"{self._prefix}{len(self.steps)}"
        self.steps.append((name, value))
        return pl.col(name)

    def _typed(self, tree: Tree, type_: str) -> _Compiled:
        value, failed = self.compile(tree)
        if tree.type != type_:
            value = value.cast(DTYPES[type_])
        return value, failed

    def _cast(self, tree: Cast) -> _Compiled:
        source, failed = self.compile(tree.value)
        if tree.value.type == "null":
            return pl.lit(None, DTYPES[tree.type]), failed
        source = self._step(source, tree.value)
        value = _CASTS[tree.value.type, tree.type](source)
        if tree.type == "timestamp":
            value = times.in_range(self._step(value))
        if tree.value.type in ("boolean", "integer", "timestamp"):
            return value, failed
        value = self._step(value)
        return value, failed if tree.safe else _any([failed, source.is_not_null() & value.is_null()])

    def _case(self, tree: Call) -> _Compiled:
        value, failed = self._typed(tree.args[-1], tree.type)
        for number in range(len(tree.args) - 3, -1, -2):
            condition, condition_failed = self._typed(tree.args[number], "boolean")
            taken = self._step(condition.fill_null(False))
            then, then_failed = self._typed(tree.args[number + 1], tree.type)
            value = pl.when(taken).then(then).otherwise(value)
            if failed is not None or then_failed is not None:
                failed = pl.when(taken).then(_sure(then_failed)).otherwise(_sure(failed))
            failed = _any([condition_failed, failed])
        return value, failed

    def _coalesce(self, tree: Call) -> _Compiled:
        compiled = [self._typed(arg, tree.type) for arg in tree.args]
        values = [self._step(value, arg) for (value, _), arg in zip(compiled, tree.args, strict=True)]
        failed: pl.Expr | None = None
        for value, (_, own) in zip(reversed(values), reversed(compiled), strict=True):
            later = value.is_null() & failed if failed is not None else None
            failed = _any([own, later])
        return pl.coalesce(values), failed


def _any(flags: Any) -> pl.Expr | None:
    present = [flag for flag in flags if flag is not None]
    return functools.reduce(operator.or_, present) if present else None


def _sure(flag: pl.Expr | None) -> pl.Expr:
    return pl.lit(False) if flag is None else flag


def _argument_types(tree: Call) -> list[str]:
    """The type in which each argument is needed: numbers for arithmetic, one common type for what compares."""
    if tree.name in _NUMERIC:
        return ["integer" if arg.type == "integer" and isinstance(arg, Literal) and position and tree.name == "round"
                else "number" for position, arg in enumerate(tree.args)]  # fmt: skip
    types = {arg.type for arg in tree.args} - {"null"}
    if tree.name in _COMPARING:
        common = "number" if types == {"number", "integer"} else next(iter(types), "boolean")
        return [common] * len(tree.args)
    if tree.name == "is_null":
        return [tree.args[0].type]
    if tree.name in ("and", "or", "not"):
        return ["boolean"] * len(tree.args)
    if tree.name in ("date_part", "date_trunc"):
        return ["text", "timestamp"]
    return ["text" if arg.type == "null" else arg.type for arg in tree.args]


def _literal(tree: Tree) -> Any:
    return tree.value if isinstance(tree, Literal) else None


def _like(tree: Call, flags: str) -> str:
    out = ""
    pattern = iter(str(_literal(tree.args[1])))
    for char in pattern:
        if char == "\\":
            out += re.escape(next(pattern, "\\"))
        else:
            out += {"%": ".*", "_": "."}.get(char, re.escape(char))
    return f"(?{flags}s)^{out}$"


def _divided(value: pl.Expr, by: pl.Expr | float) -> pl.Expr:
    """Divides each value by itself. Polars multiplies a column by the reciprocal of a literal, and a single row it
    divides: 3 / 10 would depend on how many records came with it. A divisor that is no literal is spared that."""
    return value / (by + value.is_null().cast(pl.Float64) * 0.0)


def _mod(values: Sequence[pl.Expr], _: Call) -> pl.Expr:
    first, second = values
    floored = first % second
    return pl.when((floored != 0) & ((floored < 0) != (first < 0))).then(floored - second).otherwise(floored)


def _log(value: pl.Expr, base: int) -> pl.Expr:
    """Whole where the value is a whole power, which dividing two logarithms misses by a bit: log10(1000) is 3."""
    near = value.log(base)
    whole = near.round(0)
    return pl.when(pl.lit(float(base)).pow(whole) == value).then(whole).otherwise(near)


def _in(values: Sequence[pl.Expr], _: Call) -> pl.Expr:
    return functools.reduce(operator.or_, [values[0] == option for option in values[1:]])


def _strpos(values: Sequence[pl.Expr], tree: Call) -> pl.Expr:
    text, part = values[0], str(_literal(tree.args[1]))
    before = text.str.splitn(part, 2).struct.field("field_0").str.len_chars().cast(pl.Int64)
    return (
        pl.when(text.str.contains(part, literal=True))
        .then(before + 1)
        .when(text.is_not_null())
        .then(pl.lit(0, pl.Int64))
    )


def _split_part(values: Sequence[pl.Expr], tree: Call) -> pl.Expr:
    parts = values[0].str.split(str(_literal(tree.args[1])))
    chosen = parts.list.get(int(_literal(tree.args[2])) - 1, null_on_oob=True)
    return pl.when(values[0].is_not_null()).then(chosen.fill_null(""))


def _date_part(values: Sequence[pl.Expr], tree: Call) -> pl.Expr:
    time = values[1].dt
    parts: dict[str, Callable[[], pl.Expr]] = {
        "year": time.year, "quarter": time.quarter, "month": time.month, "week": time.week, "day": time.day,
        "hour": time.hour, "minute": time.minute, "isodow": time.weekday, "doy": time.ordinal_day,
        "dow": lambda: time.weekday() % 7,
        "second": lambda: time.second() + _divided(time.microsecond(), 1e6),
        "epoch": lambda: _divided(values[1].to_physical(), 1e6),
    }  # fmt: skip
    return parts[_literal(tree.args[0])]().cast(pl.Float64)


_WIDTHS = {"minute": "1m", "hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "quarter": "1q", "year": "1y"}


def _substr(values: Sequence[pl.Expr], tree: Call) -> pl.Expr:
    start, *count = (_literal(arg) for arg in tree.args[1:])
    return values[0].str.slice(start - 1, *count)


_Builder = Callable[[Sequence[pl.Expr], Call], pl.Expr]


def _binary(build: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> _Builder:
    return lambda values, _: build(values[0], values[1])


def _unary(build: Callable[[pl.Expr], pl.Expr]) -> _Builder:
    return lambda values, _: build(values[0])


_BUILDERS: Mapping[str, _Builder] = {
    "add": _binary(operator.add),
    "sub": _binary(operator.sub),
    "mul": _binary(operator.mul),
    "div": _binary(_divided),
    "mod": _mod,
    "neg": _unary(operator.neg),
    "eq": _binary(operator.eq),
    "ne": _binary(operator.ne),
    "lt": _binary(operator.lt),
    "le": _binary(operator.le),
    "gt": _binary(operator.gt),
    "ge": _binary(operator.ge),
    "and": _binary(operator.and_),
    "or": _binary(operator.or_),
    "not": _unary(operator.invert),
    "is_null": _unary(pl.Expr.is_null),
    "like": lambda values, tree: values[0].str.contains(_like(tree, "")),
    "ilike": lambda values, tree: values[0].str.contains(_like(tree, "i")),
    "in": _in,
    "concat_op": lambda values, _: pl.concat_str(list(values), ignore_nulls=False),
    "concat": lambda values, _: pl.concat_str(list(values), ignore_nulls=True),
    "abs": _unary(pl.Expr.abs),
    "sign": _unary(pl.Expr.sign),
    "ceil": _unary(pl.Expr.ceil),
    "floor": _unary(pl.Expr.floor),
    "trunc": _unary(lambda value: pl.when(value < 0).then(value.ceil()).otherwise(value.floor())),
    "round": lambda values, tree: values[0].round(
        _literal(tree.args[1]) if len(tree.args) == 2 else 0, mode="half_away_from_zero"
    ),
    "sqrt": _unary(pl.Expr.sqrt),
    "cbrt": _unary(pl.Expr.cbrt),
    "exp": _unary(pl.Expr.exp),
    "ln": _unary(pl.Expr.log),
    "log2": _unary(lambda value: _log(value, 2)),
    "log10": _unary(lambda value: _log(value, 10)),
    "power": _binary(pl.Expr.pow),
    "sin": _unary(pl.Expr.sin),
    "cos": _unary(pl.Expr.cos),
    "tan": _unary(pl.Expr.tan),
    "asin": _unary(pl.Expr.arcsin),
    "acos": _unary(pl.Expr.arccos),
    "atan": _unary(pl.Expr.arctan),
    "atan2": _binary(lambda y, x: pl.arctan2(y, x)),
    "degrees": _unary(pl.Expr.degrees),
    "radians": _unary(pl.Expr.radians),
    "pi": lambda _, __: pl.lit(math.pi),
    "least": lambda values, _: pl.min_horizontal(values),
    "greatest": lambda values, _: pl.max_horizontal(values),
    "nullif": _binary(lambda a, b: pl.when((a == b).fill_null(False)).then(None).otherwise(a)),
    "upper": _unary(lambda text: text.str.to_uppercase()),
    "lower": _unary(lambda text: text.str.to_lowercase()),
    "trim": _unary(lambda text: text.str.strip_chars(BLANKS)),
    "ltrim": _unary(lambda text: text.str.strip_chars_start(BLANKS)),
    "rtrim": _unary(lambda text: text.str.strip_chars_end(BLANKS)),
    "length": _unary(lambda text: text.str.len_chars().cast(pl.Int64)),
    "left": lambda values, tree: values[0].str.head(_literal(tree.args[1])),
    "right": lambda values, tree: values[0].str.tail(_literal(tree.args[1])),
    "substr": _substr,
    "replace": lambda values, tree: values[0].str.replace_all(
        _literal(tree.args[1]), _literal(tree.args[2]), literal=True
    ),
    "starts_with": _binary(lambda text, part: text.str.starts_with(part)),
    "ends_with": _binary(lambda text, part: text.str.ends_with(part)),
    "contains": _binary(lambda text, part: text.str.contains(part, literal=True)),
    "strpos": _strpos,
    "split_part": _split_part,
    "regexp_like": lambda values, tree: values[0].str.contains(_literal(tree.args[1])),
    "date_part": _date_part,
    "date_trunc": lambda values, tree: values[1].dt.truncate(_WIDTHS[_literal(tree.args[0])]),
}
_NUMERIC = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "mod",
        "neg",
        "abs",
        "sign",
        "ceil",
        "floor",
        "trunc",
        "round",
        "sqrt",
        "cbrt",
        "exp",
        "ln",
        "log2",
        "log10",
        "power",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "atan2",
        "degrees",
        "radians",
        "to_timestamp",
    ]
)
_COMPARING = frozenset(["eq", "ne", "lt", "le", "gt", "ge", "in", "least", "greatest", "nullif"])


def text_to_number(text: pl.Expr) -> pl.Expr:
    """Texts as numbers; null where one is not a finite number."""
    bare = text.str.strip_chars(BLANKS)
    value = pl.when(bare.str.contains(f"^{NUMBER_TEXT}$")).then(bare).cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)


def text_to_boolean(text: pl.Expr) -> pl.Expr:
    """true, yes, on, 1 and their opposites, in any case."""
    bare = text.str.strip_chars(BLANKS).str.to_lowercase()
    return pl.when(bare.is_in(TRUE_TEXTS)).then(True).when(bare.is_in(FALSE_TEXTS)).then(False)


def text_to_integer(text: pl.Expr) -> pl.Expr:
    """Texts as integers; null where one is none, or has more than 64 bits."""
    bare = text.str.strip_chars(BLANKS)
    return pl.when(bare.str.contains(f"^{INTEGER_TEXT}$")).then(bare.str.strip_prefix("+")).cast(pl.Int64, strict=False)


def _number_to_text(value: pl.Expr) -> pl.Expr:
    whole = (value == value.floor()) & (value.abs() < 1e15)
    return pl.when(whole).then(value.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(value.cast(pl.String))


_CASTS: Mapping[tuple[str, str], Callable[[pl.Expr], pl.Expr]] = {
    ("text", "number"): text_to_number,
    ("text", "integer"): text_to_integer,
    ("text", "boolean"): text_to_boolean,
    ("text", "timestamp"): times.iso8601,
    ("number", "integer"): lambda value: value.round(0, mode="half_to_even").cast(pl.Int64, strict=False),
    ("number", "text"): _number_to_text,
    ("number", "boolean"): lambda value: value != 0,
    ("integer", "number"): lambda value: value.cast(pl.Float64),
    ("integer", "text"): lambda value: value.cast(pl.String),
    ("integer", "boolean"): lambda value: value != 0,
    ("boolean", "number"): lambda value: value.cast(pl.Float64),
    ("boolean", "integer"): lambda value: value.cast(pl.Int64),
    ("boolean", "text"): lambda value: value.cast(pl.String),
    ("timestamp", "text"): lambda value: value.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
}
