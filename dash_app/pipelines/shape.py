"""What a mapping makes of its leaves: times, keys, fields with defaults, computed fields, `where`.

A shape is compiled once from the specification. It says which leaves have to be read, and turns a frame of them
(whichever road read it) into the frame of the fields, with a flag column for everything that can be wrong with a
record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import polars as pl

from dash_app.domain.errors import Invalid
from dash_app.domain.paths import format_path
from dash_app.domain.specs import FieldSpec, MappingSpec, TimeSpec
from dash_app.pipelines import times
from dash_app.pipelines.decode import shown
from dash_app.pipelines.expression_plan import DTYPES, check_pattern, program
from dash_app.pipelines.expressions import (
    Call,
    Literal,
    Tree,
    children,
    parse_condition,
    parse_expression,
    text_growth,
)
from dash_app.pipelines.loose import EXACT, KEY_SEPARATOR, WANTS, Leaf

MAX_GROWTH = 16
#: Columns of more records than this are computed side by side; with fewer, waiting for threads takes longer.
_TOGETHER: Final = 2_000
#: Columns that can be worked out at once, or a function for what is more than an expression.
_Step = dict[str, pl.Expr] | Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Check:
    """A flag column: where it is true, the record is wrong at `label`."""

    flag: str
    label: str
    what: str
    #: The column whose value the reason shows.
    source: str | None = None
    rejects: bool = True

    def reason(self, row: Mapping[str, Any]) -> str:
        return self.what if self.source is None else f"{self.what}, found {shown(row[self.source])}"


@dataclass(slots=True)
class Shape:
    """A compiled mapping without its roads. Columns of its own begin with `_`, which fields cannot."""

    spec: MappingSpec
    leaves: list[Leaf] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    #: A boolean column of the finished frame; None keeps every record.
    where: str | None = None
    _steps: list[_Step] = field(default_factory=list)

    @classmethod
    def of(cls, spec: MappingSpec) -> Shape:
        """Raises Invalid with every problem that compiling finds."""
        shape = cls(spec)
        problems: list[tuple[str, str]] = []
        if spec.time is not None:
            shape._time(spec.time)
        shape._key()
        columns: dict[str, str] = {}
        growths: dict[str, float] = {}
        for number, one in enumerate(spec.fields):
            try:
                if one.path is not None:
                    shape._path_field(number, one)
                else:
                    shape._sql_field(number, one, columns, growths)
            except Invalid as error:
                problems.append((f"fields[{number}].sql", error.message))
            columns[one.name] = one.type
        if spec.where is not None:
            try:
                shape._where(spec.where, columns)
            except Invalid as error:
                problems.append(("where", error.message))
        if problems:
            raise Invalid(problems=problems)
        shape._try()
        return shape

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A frame of leaves with the columns of the fields, `_time` and `_key` where there are such, and the flags."""
        together = frame.height > _TOGETHER
        for step in self._steps:
            if isinstance(step, dict):
                frame = frame.with_columns(**step) if together else frame.with_columns_seq(**step)
            else:
                frame = step(frame)
        return frame

    @property
    def scalars(self) -> bool:
        """Whether a record may be something else than an object: some path begins otherwise than with a name."""
        return any(leaf.origin == "record" and not isinstance((*leaf.path, 0)[0], str) for leaf in self.leaves)

    def _try(self) -> None:
        """Run once over a record without values and one with some, to hear of what only Polars can tell."""
        samples = {pl.String(): "2024-01-01", pl.Float64(): 1.5, pl.Int64(): 1, pl.Boolean(): True}
        frame = pl.DataFrame(
            [pl.Series(leaf.column, [None, samples[WANTS[leaf.want]]], WANTS[leaf.want]) for leaf in self.leaves]
        )
        frame = frame if frame.width else pl.DataFrame({"_one": [1]})
        try:
            self.apply(frame)
        except pl.exceptions.PolarsError as error:
            place = "time.format" if self.spec.time and "%" in self.spec.time.format else ""
            raise Invalid(problems=[(place, f"this cannot be run: {str(error).splitlines()[0][:200]}")]) from None

    def _leaf(self, label: str, path: Any, want: str, *, origin: str = "record", rejects: bool = True) -> str:
        column = f"_l{len(self.leaves)}"
        self.leaves.append(Leaf(column, label, path, want, origin, rejects))
        return column

    def _add(self, **columns: pl.Expr) -> None:
        """Add columns, together with those before them unless they read one of those."""
        last = self._steps[-1] if self._steps else None
        reads = {name for column in columns.values() for name in column.meta.root_names()}
        if isinstance(last, dict) and not last.keys() & (reads | columns.keys()):
            last |= columns
        else:
            self._steps.append(dict(columns))

    def _time(self, time: TimeSpec) -> None:
        want = {"epoch_s": "seconds", "epoch_ms": "seconds", "epoch_us": "ticks", "epoch_ns": "ticks"}.get(
            time.format, "moment"
        )
        leaf = self._leaf("time", time.path, want)
        if time.format == "iso8601":
            what = "ISO 8601 time between the years 1 and 9999 expected"
            self._iso(leaf, "_time")
        elif want == "moment":
            what = f"time like {time.format} expected"
            self._add(_micros=times.pattern(pl.col(leaf), time.format))
            self._add(_time=times.in_range(pl.col("_micros")))
        else:
            what = f"{time.format} between the years 1 and 9999 expected"
            self._add(_micros=times.epoch(pl.col(leaf), time.format))
            self._add(_time=times.in_range(pl.col("_micros")))
        missing, wrong = pl.col(leaf).is_null(), pl.col("_time").is_null()
        self._add(_e_no_time=missing, _e_time=wrong & ~missing)
        self.checks += [
            Check("_e_no_time", "time", f"no value at {format_path(time.path)}"),
            Check("_e_time", "time", what, leaf),
        ]

    def _iso(self, leaf: str, name: str) -> None:
        self._steps.append(lambda frame: frame.with_columns(times.iso8601_series(frame[leaf]).alias(name)))

    def _key(self) -> None:
        if not self.spec.key:
            return
        parts = [self._leaf("key", path, "key") for path in self.spec.key]
        self._add(_key=pl.concat_str(parts, separator=KEY_SEPARATOR, ignore_nulls=False))
        for number, (path, part) in enumerate(zip(self.spec.key, parts, strict=True)):
            self._add(**{f"_e_key{number}": pl.col(part).is_null()})
            self.checks.append(Check(f"_e_key{number}", "key", f"no value at {format_path(path)}"))

    def _path_field(self, number: int, spec: FieldSpec) -> None:
        rejects = self.spec.on_error == "reject"
        want = "moment" if spec.type == "timestamp" else spec.type
        path = spec.path
        if spec.origin == "headers" and path:
            path = tuple(step.lower() if isinstance(step, str) else step for step in path)
        leaf = self._leaf(spec.name, path, want, origin=spec.origin, rejects=rejects)
        if spec.type == "timestamp":
            self._iso(leaf, spec.name)
            flag = f"_e{number}"
            self._add(**{flag: pl.col(spec.name).is_null() & pl.col(leaf).is_not_null()})
            what = "ISO 8601 time between the years 1 and 9999 expected"
            self.checks.append(Check(flag, spec.name, what, leaf, rejects))
            self._add(**{spec.name: self._filled(pl.col(spec.name), spec)})
        else:
            self._add(**{spec.name: self._filled(pl.col(leaf), spec)})

    def _filled(self, value: pl.Expr, spec: FieldSpec) -> pl.Expr:
        """The default stands in wherever there would be null."""
        if spec.default is None:
            return value
        default = spec.default
        if spec.type == "timestamp":
            moment = datetime.fromisoformat(default)
            default = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        elif spec.type == "json":
            default = orjson.dumps(default, option=orjson.OPT_SORT_KEYS).decode()
        return value.fill_null(pl.lit(default, DTYPES[spec.type]))

    def _sql_field(self, number: int, spec: FieldSpec, columns: Mapping[str, str], growths: dict[str, float]) -> None:
        tree = parse_expression(str(spec.sql), columns)
        _check(tree, growths)
        if tree.type == "text":
            growths[spec.name] = text_growth(tree, growths)
        made = program(tree, f"_s{number}_")
        value, bad, what = _as_type(made.value, tree.type, spec.type)
        for name, step in made.steps:
            self._add(**{name: step})
        flag, raw = f"_e{number}", f"_v{number}"
        self._add(**{raw: made.value})
        wrong = [one for one in (made.failed, bad(pl.col(raw)) if bad else None) if one is not None]
        if wrong:
            self._add(**{flag: pl.any_horizontal(wrong).fill_null(False)})
            rejects = self.spec.on_error == "reject"
            if made.failed is not None:
                self._add(**{f"{flag}c": made.failed})
                self.checks.append(Check(f"{flag}c", spec.name, "a cast fails", None, rejects))
            if bad:
                self.checks.append(Check(flag, spec.name, what, raw, rejects))
            self._add(**{spec.name: self._filled(pl.when(~pl.col(flag)).then(value(pl.col(raw))), spec)})
        else:
            self._add(**{spec.name: self._filled(value(pl.col(raw)), spec)})

    def _where(self, text: str, columns: Mapping[str, str]) -> None:
        tree = parse_condition(text, columns)
        _check(tree, {})
        made = program(tree, "_w_")
        for name, step in made.steps:
            self._add(**{name: step})
        self.where = "_where"
        self._add(_where=made.value.cast(pl.Boolean).fill_null(False))
        if made.failed is not None:
            self._add(_e_where=made.failed)
            self.checks.append(Check("_e_where", "where", "a cast fails"))


def _check(tree: Tree, growths: Mapping[str, float]) -> None:
    if tree.type == "text" and text_growth(tree, growths) > MAX_GROWTH:
        raise Invalid(f"this could make texts more than {MAX_GROWTH} times as long as they come in")
    if isinstance(tree, Call) and tree.name == "regexp_like" and isinstance(tree.args[1], Literal):
        check_pattern(str(tree.args[1].value))
    for child in children(tree):
        _check(child, growths)


def _as_type(
    value: pl.Expr, found: str, wanted: str
) -> tuple[Callable[[pl.Expr], pl.Expr], Callable[[pl.Expr], pl.Expr] | None, str]:
    """How a computed value becomes the field's type: the conversion, what is wrong (None: nothing can be), and its
    reason."""
    if found == "null" and wanted != "json":
        return (lambda raw: raw.cast(DTYPES[wanted])), None, ""
    if wanted == "number" and found in ("number", "integer"):
        if found == "integer":
            return (lambda raw: raw.cast(pl.Float64)), None, ""
        return (lambda raw: raw), (lambda raw: ~raw.is_finite()), "a finite number expected"
    if wanted == "integer" and found == "number":
        return (
            lambda raw: raw.cast(pl.Int64, strict=False),
            lambda raw: ~(raw.is_finite() & (raw == raw.round(0)) & (raw.abs() <= EXACT)),
            "a whole number below 2^53 expected",
        )
    if found != wanted or wanted == "json":
        raise Invalid(f"position 1: the field is {wanted}, and this is {found}")
    return (lambda raw: raw), None, ""
