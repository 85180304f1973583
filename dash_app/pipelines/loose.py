"""Python values → typed columns, each value checked: the loose road, and with it what each type of field accepts.

From JSON a field takes its own type only: `number` a JSON number, `text` a JSON string, and so on. CSV, forms, XML and
headers have nothing but texts, so there a text is read as the field's type and an empty one is null.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from dash_app.domain.specs import PathStep
from dash_app.pipelines.decode import Loose, Unreadable, parse_json, printable, shown, value_at
from dash_app.pipelines.expression_plan import (
    BLANKS,
    FALSE_TEXTS,
    INTEGER_TEXT,
    NUMBER_TEXT,
    TRUE_TEXTS,
    text_to_boolean,
    text_to_integer,
    text_to_number,
)

#: What a leaf is read as. `moment`: the text of a time. `seconds` and `ticks`: a time as a number with and without
#: fraction.
#: `key`: one part of a record's identity, as a text that tells 5 from '5'.
WANTS: Mapping[str, pl.DataType] = {
    "number": pl.Float64(),
    "integer": pl.Int64(),
    "boolean": pl.Boolean(),
    "text": pl.String(),
    "json": pl.String(),
    "moment": pl.String(),
    "seconds": pl.Float64(),
    "ticks": pl.Int64(),
    "key": pl.String(),
}
EXPECTED: Mapping[str, str] = {"moment": "text with a time", "seconds": "number", "ticks": "whole number", "key": "key"}
#: Integers up to here are told apart by 64-bit floating point.
EXACT = 2**53
LONGEST_KEY = 256
KEY_SEPARATOR = "\x1f"

_NUMBER = re.compile(NUMBER_TEXT)
_INTEGER = re.compile(INTEGER_TEXT)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One place that is read from every record (or payload, or headers): its column in the frame and what it is for."""

    column: str
    #: What a reject names: a field, `time` or `key`.
    label: str
    path: tuple[PathStep, ...]
    want: str
    origin: str = "record"
    #: A value that does not fit rejects the record; else it is null.
    rejects: bool = True


def column_of(values: Sequence[Any], want: str, *, textual: bool) -> tuple[pl.Series, dict[int, str]]:
    """Values as a series of the wanted type, and for each place where one does not fit, the reason (there it is
    null)."""
    kinds = set(map(type, values))
    kinds.discard(type(None))
    reasons: dict[int, str] = {}
    plain = _PLAIN.get(want)
    if textual:
        plain = {str} if want in ("text", "moment") else None
    if plain is not None and kinds <= plain and _harmless(values, want):
        if want in ("number", "seconds") and int in kinds:
            values = [None if value is None else float(value) for value in values]
        return pl.Series(values, dtype=WANTS[want]), reasons
    if textual and want in _TEXTS_AT_ONCE and kinds <= {str}:
        texts = pl.Series("texts", values, pl.String)
        read_all = texts.to_frame().select(_TEXTS_AT_ONCE[want](pl.col("texts"))).to_series()
        if read_all.null_count() == texts.null_count():
            return read_all, reasons
    read = _FROM_TEXT[want] if textual else _FROM_JSON[want]
    out: list[Any] = []
    for place, value in enumerate(values):
        try:
            out.append(None if value is None else read(value))
        except ValueError as error:
            reasons[place] = str(error)
            out.append(None)
    return pl.Series(out, dtype=WANTS[want]), reasons


def columns_of(
    loose: Loose, leaves: Sequence[Leaf], *, textual: bool
) -> tuple[pl.DataFrame, dict[int, tuple[Leaf, str]]]:
    """All leaves of these records as columns; and for each record to be rejected, the first leaf that does not fit and
    why. Places that the last leaves had as well are not read again."""
    series = []
    failing: dict[int, tuple[Leaf, str]] = {}
    known = loose.columns
    used: dict[Any, tuple[pl.Series, dict[int, str]]] = {}
    for leaf in leaves:
        place = (leaf.path, leaf.want, textual)
        read = known.get(place) or used.get(place)
        if read is None:
            read = column_of(values_at(loose.records, leaf.path), leaf.want, textual=textual)
        column, reasons = used[place] = read
        series.append(column.alias(leaf.column))
        if leaf.rejects:
            for row, reason in reasons.items():
                failing.setdefault(row, (leaf, reason))
    loose.columns = used
    return pl.DataFrame(series), failing


def values_at(records: Sequence[Any], path: tuple[PathStep, ...]) -> list[Any]:
    """What stands at a path in each record: `value_at` for all of them, a step at a time. The usual step is a name, and
    what has it an object or nothing."""
    values = list(records)
    for step in path:
        if not isinstance(step, str):
            values = [value_at(value, (step,)) for value in values]
            continue
        try:
            values = [None if value is None else value.get(step) for value in values]
        except AttributeError:  # something that is no object
            values = [value.get(step) if isinstance(value, dict) else None for value in values]
    return values


def key_part(value: Any) -> str:
    """One part of a key: its type's letter, then its text. Equal numbers give equal parts, 5 and 5.0 too."""
    if isinstance(value, bool):
        return f"b{str(value).lower()}"
    if isinstance(value, int):
        return f"n{value}"
    if isinstance(value, float):
        return f"n{int(value)}" if value.is_integer() and abs(value) < EXACT else f"n{value!r}"
    if not isinstance(value, str):
        raise ValueError(f"text, number or boolean expected, found {shown(value)}")
    if "\0" in value:
        raise ValueError(_NUL)
    if len(value.encode()) > LONGEST_KEY:
        return f"h{hashlib.sha256(value.encode()).hexdigest()}"
    return "s" + value.replace("\\", "\\\\").replace(KEY_SEPARATOR, "\\u")


_NUL = "text with the character U+0000, which cannot be stored"
_PLAIN: Mapping[str, set[type]] = {
    "number": {int, float},
    "seconds": {int, float},
    "boolean": {bool},
    "text": {str},
    "moment": {str},
    "integer": {int},
    "ticks": {int},
}


def _harmless(values: Sequence[Any], want: str) -> bool:
    """Whether values of the right Python type are all within what the type holds."""
    if want in ("text", "moment"):
        return not any("\0" in value for value in values if value is not None)
    if want in ("integer", "ticks"):
        return not any(value >= 2**63 for value in values if value is not None)
    return True


def _expected(want: str, value: Any) -> ValueError:
    return ValueError(f"{EXPECTED.get(want, want)} expected, found {shown(value)}")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _expected("number", value)
    return float(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _expected("integer", value)
    if isinstance(value, float):
        if not value.is_integer() or abs(value) > EXACT:
            raise ValueError(f"integer expected, found number {value}")
        return int(value)
    if value >= 2**63:
        raise ValueError(f"integer of at most 64 bits expected, found {value}")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _expected("boolean", value)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _expected("text", value)
    if "\0" in value:
        raise ValueError(_NUL)
    return value


def _moment(value: Any) -> str:
    if not isinstance(value, str):
        raise _expected("moment", value)
    return _text(value)


def _json(value: Any) -> str:
    """Canonical: keys in order, no blanks."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    if "\\u0000" in text and _has_nul(value):
        raise ValueError("JSON with the character U+0000, which cannot be stored")
    return text


def _has_nul(value: Any) -> bool:
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, str):
            if "\0" in one:
                return True
        elif isinstance(one, dict):
            rest.extend(one)
            rest.extend(one.values())
        elif isinstance(one, list):
            rest.extend(one)
    return False


def _text_number(value: Any) -> float:
    if not isinstance(value, str):
        raise _expected("number", value)
    bare = value.strip(BLANKS)
    number = float(bare) if _NUMBER.fullmatch(bare) else float("inf")
    if number in (float("inf"), float("-inf")):
        raise _expected("number", value)
    return number


def _text_integer(value: Any) -> int:
    if not isinstance(value, str):
        raise _expected("integer", value)
    bare = value.strip(BLANKS)
    digits = bare.lstrip("+-0")
    if not _INTEGER.fullmatch(bare) or len(digits) > 19 or not -(2**63) <= _signed(bare, digits) < 2**63:
        raise ValueError(f"integer of at most 64 bits expected, found {shown(value)}")
    return _signed(bare, digits)


def _signed(text: str, digits: str) -> int:
    return -int("0" + digits) if text.startswith("-") else int("0" + digits)


def _text_boolean(value: Any) -> bool:
    if not isinstance(value, str):
        raise _expected("boolean", value)
    bare = value.strip(BLANKS).lower()
    if bare in TRUE_TEXTS or bare in FALSE_TEXTS:
        return bare in TRUE_TEXTS
    raise _expected("boolean", value)


def _text_json(value: Any) -> str | None:
    if not isinstance(value, str):
        # A part of an XML document is no text that would have to be JSON.
        return _json(value)
    try:
        found = parse_json(value.encode())
    except (Unreadable, UnicodeEncodeError) as error:
        raise ValueError(printable(str(error))) from None
    return None if found is None else _json(found)


#: What reads many texts at once, and gives null for one that it cannot read; then each is looked at by itself.
_TEXTS_AT_ONCE: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "number": text_to_number,
    "seconds": text_to_number,
    "integer": text_to_integer,
    "ticks": text_to_integer,
    "boolean": text_to_boolean,
}
_FROM_JSON: Mapping[str, Callable[[Any], Any]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "text": _text,
    "json": _json,
    "moment": _moment,
    "seconds": _number,
    "ticks": _integer,
    "key": key_part,
}
_FROM_TEXT: Mapping[str, Callable[[Any], Any]] = {
    "number": _text_number,
    "integer": _text_integer,
    "boolean": _text_boolean,
    "text": _text,
    "json": _text_json,
    "moment": _text,
    "seconds": _text_number,
    "ticks": _text_integer,
    "key": key_part,
}
