"""Mapping documents: a plain mapping (from YAML, JSON or the editor) becomes a MappingSpec, or a list of all that is
wrong.

A document is data, and this is its grammar: which keys there are, which values they take, and how large it may be
(`docs/mapping.md` explains each). What can only be known by compiling (whether an expression is well typed, whether a
strptime pattern can be used) is checked by `dash_app.pipelines.mapping.compile_mapping`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping_text import load_mapping_text, mapping_text
from dash_app.domain.paths import parse_path
from dash_app.domain.specs import FieldSpec, FieldType, MappingSpec, PathStep, TimeSpec

__all__ = ["load_mapping_text", "mapping_text", "parse_mapping"]

MAX_DOCUMENT_BYTES = 256 * 1024
MAX_FIELDS = 200
#: A metric takes 88 bytes of a rollup's row, which has to fit a page of the database.
MAX_METRICS = 64
MAX_KEY_PARTS = 10
MAX_TESTS = 50
MAX_TEXT = 1000

TYPES: tuple[str, ...] = get_args(FieldType)
TIME_FORMATS = ("iso8601", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns")
#: A query calls its buckets `time`, so a field may not.
RESERVED_NAMES = frozenset({"time"})

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
_DIRECTIVE = re.compile(r"%(?:\.[369]?f|[369]f|:z|[YymdeHIMSjpbBaAzTRFD%])")
_YEARS = frozenset({"%Y", "%y", "%F", "%D"})
_TOP = ("records", "time", "key", "on_duplicate", "fields", "where", "on_error", "tests")
_FIELD = ("name", "path", "from", "sql", "type", "default", "unit", "role")
_TEST = ("name", "payload", "content_type", "headers", "records", "rejects")

_Problems = list[tuple[str, str]]


def parse_mapping(document: Mapping[str, Any]) -> MappingSpec:
    """The mapping that `document` describes.

    Raises Invalid with every problem as (place, message): `("fields[2].type", "'numbr' is unknown; one of number, …")`.
    """
    problems: _Problems = []
    if not isinstance(document, Mapping):
        raise Invalid(problems=[("", f"a mapping is an object with fields, not {_kind(document)}")])
    _check_json(document)
    _unknown(document, _TOP, "", problems)
    spec = MappingSpec(
        fields=_fields(document.get("fields"), problems),
        records=_path(document["records"], "records", problems, wildcards=True)
        if _given(document, "records")
        else None,
        time=_time(document["time"], problems) if _given(document, "time") else None,
        key=_key(document["key"], problems) if _given(document, "key") else (),
        on_duplicate=_one_of(document, "on_duplicate", ("ignore", "replace"), problems),  # type: ignore[arg-type]
        where=_where(document["where"], problems) if _given(document, "where") else None,
        on_error=_one_of(document, "on_error", ("reject", "null"), problems),  # type: ignore[arg-type]
        tests=_tests(document["tests"], problems) if _given(document, "tests") else (),
        document=dict(document),
    )
    if spec.on_duplicate == "replace" and not _given(document, "key"):
        problems.append(("on_duplicate", "'replace' needs a key: without one no record repeats another"))
    if problems:
        raise Invalid(problems=problems)
    return spec


def _check_json(document: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(document, allow_nan=False, ensure_ascii=False).encode())
    except RecursionError:
        raise Invalid(problems=[("", "nested too deep")]) from None
    except UnicodeEncodeError:
        raise Invalid(problems=[("", "half a surrogate pair is not text")]) from None
    except (TypeError, ValueError) as error:
        raise Invalid(problems=[("", f"only JSON values can stand in a mapping: {error}")]) from None
    if size > MAX_DOCUMENT_BYTES:
        raise Invalid(problems=[("", f"a mapping has at most {MAX_DOCUMENT_BYTES:,} bytes as JSON, this one {size:,}")])


def _fields(value: Any, problems: _Problems) -> tuple[FieldSpec, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        problems.append(("fields", f"a list of fields is needed, found {_kind(value)}"))
        return ()
    if not 1 <= len(value) <= MAX_FIELDS:
        problems.append(("fields", f"1 to {MAX_FIELDS} fields, found {len(value)}"))
        return ()
    fields = []
    seen: dict[str, str] = {}
    for number, item in enumerate(value):
        place = f"fields[{number}]"
        if not isinstance(item, Mapping):
            problems.append((place, f"a field is an object with name and path, found {_kind(item)}"))
            continue
        name = _name(item.get("name"), f"{place}.name", problems)
        if name.lower() in seen:
            problems.append((f"{place}.name", f"'{name}' is taken by {seen[name.lower()]} (case does not count)"))
        elif name:
            seen[name.lower()] = place
        field = _field(item, name, place, problems)
        if field is not None:
            fields.append(field)
    metrics = sum(field.is_metric for field in fields)
    if metrics > MAX_METRICS:
        problems.append(("fields", f"{metrics} metrics, at most {MAX_METRICS}; give the others the role dimension"))
    return tuple(fields)


def _name(value: Any, place: str, problems: _Problems) -> str:
    if not isinstance(value, str):
        problems.append((place, f"a name is needed, found {_kind(value)}"))
        return ""
    if value.lower() in RESERVED_NAMES:
        problems.append((place, f"'{value}' is reserved for the buckets of a query; take another name"))
    elif not _NAME.fullmatch(value):
        problems.append(
            (place, f"'{value[:70]}' is not a field name: a letter, then up to 59 letters, digits and underscores")
        )
    else:
        return value
    return ""


def _field(item: Mapping[str, Any], name: str, place: str, problems: _Problems) -> FieldSpec | None:
    before = len(problems)
    _unknown(item, _FIELD, place, problems)
    kind = item.get("type")
    if kind not in TYPES:
        found = "missing" if kind is None else f"'{kind}' is unknown"
        problems.append((f"{place}.type", f"{found}; one of {', '.join(TYPES)}"))
    origin = item.get("from", "record")
    if origin not in ("record", "payload", "headers"):
        problems.append((f"{place}.from", f"'{origin}' is unknown; one of record, payload, headers"))
    path, sql = item.get("path"), item.get("sql")
    steps: tuple[PathStep, ...] | None = None
    if (path is None) == (sql is None):
        problems.append((place, "a field has either a path or sql" + (", not both" if path is not None else "")))
    elif path is not None:
        steps = _path(path, f"{place}.path", problems)
        if origin == "headers" and steps is not None and not (len(steps) == 1 and isinstance(steps[0], str)):
            problems.append((f"{place}.path", "a header's path is one name, like $['content-type']"))
    else:
        _expression(sql, f"{place}.sql", problems)
        if "from" in item:
            problems.append((f"{place}.from", "a field with sql reads the fields above it and has no from"))
    unit = item.get("unit") or ""
    if not isinstance(unit, str) or len(unit) > 40 or "\0" in unit:
        problems.append((f"{place}.unit", "a unit is text of at most 40 characters"))
    numeric = kind in ("number", "integer")
    role = item.get("role") or ("metric" if numeric else "dimension")
    if role not in ("metric", "dimension"):
        problems.append((f"{place}.role", f"'{role}' is unknown; one of metric, dimension"))
    elif role == "metric" and not numeric and kind in TYPES:
        problems.append((f"{place}.role", f"{kind} cannot be a metric; only number and integer can"))
    default = item.get("default")
    if default is not None and kind in TYPES:
        wrong = _wrong_default(kind, default)
        if wrong:
            problems.append((f"{place}.default", wrong))
    if len(problems) > before or not name:
        return None
    return FieldSpec(name=name, type=kind, path=steps, origin=origin, sql=sql, default=default, unit=unit, role=role)  # type: ignore[arg-type]


def _wrong_default(kind: str, value: Any) -> str:
    """What is wrong with a default for this type, or the empty text."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "number":
        good = number and -1.8e308 < value < 1.8e308 and math.isfinite(value)
    elif kind == "integer":
        good = number and not isinstance(value, float) and -(2**63) <= value < 2**63
    elif kind == "boolean":
        good = isinstance(value, bool)
    elif kind == "text":
        good = isinstance(value, str) and "\0" not in value and len(value) <= MAX_TEXT
    elif kind == "timestamp":
        good = isinstance(value, str) and _is_moment(value)
    else:
        good = "\\u0000" not in json.dumps(value)
    wants = {
        "timestamp": "an ISO 8601 time",
        "text": f"text of at most {MAX_TEXT} characters",
        "json": "JSON without \\u0000",
    }
    return "" if good else f"{wants.get(kind, kind)} expected, found {_kind(value)} {json.dumps(value)[:60]}"


def _is_moment(value: str) -> bool:
    try:
        return bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def _time(value: Any, problems: _Problems) -> TimeSpec | None:
    if not isinstance(value, Mapping):
        problems.append(("time", f"an object with path and format is needed, found {_kind(value)}"))
        return None
    _unknown(value, ("path", "format"), "time", problems)
    if value.get("path") is None:
        problems.append(("time.path", "missing; without a time, leave `time` out: it is then when it was received"))
        return None
    steps = _path(value["path"], "time.path", problems)
    form = "iso8601" if value.get("format") is None else value["format"]
    if not isinstance(form, str):
        problems.append(("time.format", f"text is needed, found {_kind(form)}"))
    elif form not in TIME_FORMATS:
        directives = _DIRECTIVE.findall(form)
        unknown = re.findall(r"%.?", _DIRECTIVE.sub("", form))
        if not directives or len(form) > 100 or "\0" in form:
            names = ", ".join(TIME_FORMATS)
            problems.append(
                ("time.format", f"'{form[:60]}' is unknown; one of {names}, or a pattern like %Y-%m-%d %H:%M:%S")
            )
        elif "%f" in unknown:
            problems.append(("time.format", "fractions of a second are written %.f behind %S, their point included"))
        elif unknown:
            problems.append(("time.format", f"'{unknown[0]}' is not a directive that can be used here"))
        elif not _YEARS.intersection(directives):
            problems.append(("time.format", "a pattern needs a year: %Y, %y, %F or %D"))
    if steps is None or not isinstance(form, str):
        return None
    return TimeSpec(steps, form)


def _key(value: Any, problems: _Problems) -> tuple[tuple[PathStep, ...], ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not 1 <= len(value) <= MAX_KEY_PARTS:
        problems.append(("key", f"a list of 1 to {MAX_KEY_PARTS} paths is needed"))
        return ()
    parts = [_path(item, f"key[{number}]", problems) for number, item in enumerate(value)]
    return tuple(part for part in parts if part is not None)


def _where(value: Any, problems: _Problems) -> str | None:
    return _expression(value, "where", problems)


def _expression(value: Any, place: str, problems: _Problems) -> str | None:
    if isinstance(value, str) and value.strip():
        return value
    problems.append((place, f"an expression is needed, found {_kind(value)}"))
    return None


def _tests(value: Any, problems: _Problems) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_TESTS:
        problems.append(("tests", f"a list of at most {MAX_TESTS} tests is needed"))
        return ()
    for number, test in enumerate(value):
        place = f"tests[{number}]"
        if not isinstance(test, Mapping):
            problems.append((place, f"a test is an object with name, payload and records, found {_kind(test)}"))
            continue
        _unknown(test, _TEST, place, problems)
        if not isinstance(test.get("name"), str) or not test["name"].strip():
            problems.append((f"{place}.name", "a name is needed"))
        if "payload" not in test:
            problems.append((f"{place}.payload", "missing"))
        if "records" not in test and "rejects" not in test:
            problems.append((place, "say what comes out: records, rejects or both"))
        for part in ("records", "rejects"):
            items = test.get(part, [])
            if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
                problems.append((f"{place}.{part}", f"a list of objects is needed, found {_kind(items)}"))
        kind = test.get("content_type", "application/json")
        if not isinstance(kind, str):
            problems.append((f"{place}.content_type", f"text is needed, found {_kind(kind)}"))
        headers = test.get("headers", {})
        if not isinstance(headers, Mapping) or not all(isinstance(one, str) for one in headers.values()):
            problems.append((f"{place}.headers", "an object of texts is needed"))
    return tuple(test for test in value if isinstance(test, Mapping))


def _path(value: Any, place: str, problems: _Problems, *, wildcards: bool = False) -> tuple[PathStep, ...] | None:
    if not isinstance(value, str):
        problems.append((place, f"a path like $.name is needed, found {_kind(value)}"))
        return None
    try:
        steps = parse_path(value)
    except Invalid as error:
        problems.append((place, error.message))
        return None
    if not wildcards and None in steps:
        problems.append((place, "a wildcard can stand only in records: a field has one value"))
        return None
    return steps


def _one_of(document: Mapping[str, Any], key: str, choices: tuple[str, ...], problems: _Problems) -> str:
    """The choice at `key`; the first one where there is none. YAML reads an unquoted null as nothing: taken as
    meant."""
    value = document.get(key, choices[0])
    if value is None and "null" in choices:
        return "null"
    if value not in choices:
        problems.append((key, f"'{value}' is unknown; one of {', '.join(choices)}"))
        return choices[0]
    return str(value)


def _given(document: Mapping[str, Any], key: str) -> bool:
    return document.get(key) is not None


def _unknown(document: Mapping[str, Any], known: tuple[str, ...], place: str, problems: _Problems) -> None:
    for key in document:
        if key not in known:
            where = f"{place}.{key}" if place else str(key)
            problems.append((where[:80], f"unknown; there are {', '.join(known)}"))


def _kind(value: Any) -> str:
    names = {type(None): "nothing", bool: "boolean", int: "number", float: "number", str: "text", list: "list"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else type(value).__name__)
