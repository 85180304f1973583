"""Filters of templates for messages: numbers, durations, times and JSON, and bounded ones in place of Jinja's.

What a filter makes is charged before it is made, since a short template can ask for a long text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import orjson
from jinja2.runtime import Context, Undefined
from jinja2.utils import pass_context
from markupsafe import Markup, escape

from dash_app.domain.errors import Invalid
from dash_app.pipelines.number_text import NONE, duration_text, number_text, time_text
from dash_app.pipelines.template_budget import spend

#: Values of one list that a filter looks at.
MOST_VALUES = 10_000


def as_text(value: Any) -> str:
    """A value as it is put out: times as ISO 8601, truth values and none as JSON has them, objects as JSON."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Mapping | list | tuple | range):
        return _json(value)
    if not isinstance(value, str | int | float | date | timedelta):
        raise Invalid("a text, a number, a time, a list or an object can be put out, and not this")
    return str(value)


def joined(parts: Iterable[Any], separator: str) -> Any:
    """Texts one after the other, charged first. Marked as safe HTML where all of them are."""
    texts = [part if isinstance(part, str) else as_text(part) for part in _listed(parts)]
    spend(1 + len(texts), sum(map(len, texts)) + len(separator) * max(len(texts) - 1, 0))
    if any(isinstance(text, Markup) for text in (*texts, separator)):
        return Markup(str(escape(separator)).join(str(escape(text)) for text in texts))
    return separator.join(texts)


@pass_context
def concat(_context: Context, parts: list[Any]) -> Any:
    return joined([_there(part) for part in parts], "")


def _listed(values: Any) -> list[Any]:
    """The values of a list, of which there are not too many."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise Invalid(f"a list is needed, not {_kind(values)}")
    made: list[Any] = []
    for value in values:
        if len(made) >= MOST_VALUES:
            raise Invalid(f"more than {MOST_VALUES:,} values")
        made.append(_there(value))
    return made


def _there(value: Any) -> Any:
    """The value; what is undefined says so."""
    if isinstance(value, Undefined):
        str(value)
    return value


def _kind(value: Any) -> str:
    for kind, word in ((bool, "true or false"), (str, "a text"), (int | float, "a number"), (Mapping, "an object")):
        if isinstance(value, kind):
            return word
    return "nothing" if value is None else f"a {type(value).__name__}"


def _json(value: Any, indent: bool = False) -> str:
    options = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    made = orjson.dumps(value, default=_plain, option=options).decode()
    spend(1 + len(made) // 1000)
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Iterable):
        return _listed(value)
    raise TypeError(f"{_kind(value)} has no JSON")


# Filters -------------------------------------------------------------------------------------------------------------


def number(value: Any, unit: str | int = "", decimals: int | None = None) -> str:
    """`{{ 1234.5 | number }}` → 1,234.5 · `{{ 21.41 | number("°C", 1) }}` → 21.4 °C"""
    if isinstance(unit, int):
        return number_text(value, "", unit)
    return number_text(value, str(unit), decimals)


def duration(value: Any) -> str:
    """`{{ 200 | duration }}` → 3 min 20 s"""
    return duration_text(value)


def time(value: Any, zone: str = "UTC", pattern: str = "datetime") -> str:
    """`{{ at | datetime("Europe/Oslo") }}` → 5 Jan 2026, 13:00 CET"""
    return time_text(value, str(zone), str(pattern))


def json(value: Any, indent: bool = False) -> str:
    """`{{ record | json }}` → {"site":"roof","temp":31.4}"""
    return _json(value, bool(indent))


def tojson(value: Any, indent: Any = None) -> Markup:
    """As `json`, and safe within HTML and its scripts."""
    text = _json(value, bool(indent))
    for character, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("'", "\\u0027")):
        text = text.replace(character, code)
    return Markup(text)


def join(value: Any, separator: str = "", attribute: str | None = None) -> Any:
    """`{{ records | join(", ", "site") }}`"""
    found = _listed(value)
    if attribute is not None:
        found = [one.get(attribute) if isinstance(one, Mapping) else None for one in found]
    return joined(found, separator)


def replace(value: Any, old: str, new: str) -> Any:
    text, old, new = str(value), str(old), str(new)
    if not old:
        raise Invalid("replace needs a text to replace")
    spend(1 + len(text) // 100, max(0, text.count(old) * (len(new) - len(old))))
    if isinstance(value, Markup):
        return Markup(text.replace(old, str(escape(new))))
    return text.replace(old, new)


def rounded(value: Any, decimals: int = 0) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"round needs a number, not {_kind(value)}")
    if not -12 <= decimals <= 12:
        raise Invalid("round takes -12 to 12 decimals")
    return round(value, decimals) if decimals else round(value)


def total(value: Any, attribute: str | None = None) -> Any:
    """`{{ records | sum("amount") }}`; what is no number does not count."""
    found = _listed(value)
    if attribute is not None:
        found = [one.get(attribute) if isinstance(one, Mapping) else None for one in found]
    spend(len(found))
    return sum(one for one in found if isinstance(one, int | float) and not isinstance(one, bool))


def indent(value: Any, width: int = 4, first: bool = False) -> Any:
    if not 0 <= width <= 40:
        raise Invalid("indent takes a width of 0 to 40")
    lines = str(value).split("\n")
    spend(1, len(lines) * width)
    made = f"\n{' ' * width}".join(lines)
    made = " " * width + made if first else made
    return Markup(made) if isinstance(value, Markup) else made


def _late(filter: Callable[..., Any]) -> Callable[..., Any]:
    """With the context, so that it is not worked out at compile time, and its first value is there."""

    @pass_context
    def run(_context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = value if isinstance(value, str) else ""
        spend(1 + len(text) // 1000)
        return filter(_there(value), *args, **kwargs)

    return run


_OWN: Mapping[str, Callable[..., Any]] = {
    "number": number,
    "duration": duration,
    "datetime": time,
    "json": json,
    "tojson": tojson,
    "join": join,
    "replace": replace,
    "round": rounded,
    "sum": total,
    "indent": indent,
}
FILTERS_FOR_PEOPLE: Mapping[str, Callable[..., Any]] = {name: _late(filter) for name, filter in _OWN.items()}
