"""The records behind a number: what a point of a chart or a row of a table stands for, as a query for its records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from dash_app.domain.buckets import Grid
from dash_app.domain.errors import BadRequest, Invalid
from dash_app.domain.query import parse_every, parse_query
from dash_app.domain.specs import QuerySpec
from dash_app.domain.strict_json import holds_nul, read_json
from dash_app.pages import words

#: Records that are listed, newest first.
LISTED: Final = 500


def behind(slug: str, asked: Callable[[str], str]) -> dict[str, Any] | None:
    """The query that an address asks for: `from`, `to`, and where they are given `where`, `by` (a JSON object of
    dimensions and their values) and `mapping`; None where it asks for the newest records.

    With `every` (a bucket's width, such as 1M) and `timezone` the records are those of the bucket that `from` lies in,
    from there on and before `to`, which may then be left out: how long a day or a month is, is known here.

    Raises BadRequest and Invalid for what is no such address.
    """
    start, end, every = asked("from"), asked("to"), asked("every")
    if not start or not (end or every):
        return None
    by = _dimensions(asked("by"))
    conditions = [f"({asked('where')})"] if asked("where") else []
    conditions += [_is(name, value) for name, value in by.items()]
    query: dict[str, Any] = {"pipeline": slug, "limit": LISTED}
    if conditions:
        query["where"] = " and ".join(conditions)
    if asked("mapping"):
        query["mapping"] = _version(asked("mapping"))
    document = {**query, "from": start, "to": end or "9000-01-01T00:00:00Z", "timezone": asked("timezone") or "UTC"}
    spec = parse_query(document, datetime.now(UTC))
    if every:
        edge = _next_bucket(spec, every)
        if edge < spec.end:
            start, end = spec.start.isoformat(), edge.isoformat()
            spec = replace(spec, end=edge)
    named = [f"{name} = {'none' if value is None else value}" for name, value in by.items()]
    if asked("where"):
        named.insert(0, asked("where"))
    title = " · ".join([f"{words.moment(spec.start)} – {words.moment(spec.end)} UTC", *named])
    return {"query": query, "from": start, "to": end, "title": title}


def _dimensions(text: str) -> dict[str, Any]:
    by = read_json((text or "{}").encode(), "'by'")
    if holds_nul(by) or any(isinstance(value, list | dict) for value in by.values()):
        raise BadRequest("'by' is a JSON object of dimensions and their values")
    return by


def _version(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        raise BadRequest(f"'{text[:40]}' is no version of a mapping; a number such as 3 is")
    return int(text)


def _next_bucket(spec: QuerySpec, every: str) -> datetime:
    """Where the bucket ends that the range begins in."""
    try:
        return Grid(*parse_every(every), ZoneInfo(spec.timezone)).after(spec.start + timedelta(microseconds=1))
    except (ValueError, OverflowError):  # a bucket beyond the years that there are
        raise Invalid(problems=[("every", f"'{every[:20]}' is too wide for a bucket that begins then")]) from None


def _is(name: str, value: Any) -> str:
    if not name.isidentifier() or not name.isascii():
        raise BadRequest(f"'{name[:60]}' is no name of a dimension")
    # In quotes: a field may be named like a word of the language, such as case or null.
    if value is None:
        return f'"{name}" is null'
    if isinstance(value, bool):
        return f'"{name}" = {"true" if value else "false"}'
    if isinstance(value, int | float):
        return f'"{name}" = {value!r}'
    text = str(value).replace("'", "''")
    return f"\"{name}\" = '{text}'"
