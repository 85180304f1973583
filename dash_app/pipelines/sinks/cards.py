"""What a message says to people, before it is laid out: one card, from which mail and chat make their own.

Everything in a card is plain text of somebody else's: whoever lays it out escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dash_app.pipelines.number_text import NONE, number_text, time_text
from dash_app.pipelines.sinks.base import File, Message
from dash_app.pipelines.sinks.wording import wording

Tone = Literal["ok", "warn", "bad", "note", "idle"]

#: Rows and columns of a table of records; what does not fit is counted.
MOST_ROWS = 20
MOST_COLUMNS = 7
MOST_FACTS = 16
MOST_CELL = 120

_STATES: Mapping[str, str] = {"firing": "Firing", "resolved": "Resolved", "no_data": "No data"}
_TONES: Mapping[str, Tone] = {"critical": "bad", "warning": "warn", "info": "note"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their columns; `numeric`: columns of numbers; `more`: rows that are not shown."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int]
    more: int


@dataclass(frozen=True, slots=True)
class Card:
    """A message for people. `status` is a word with its `tone`; `value` stands large; `facts` are names and values."""

    title: str
    text: str
    status: str = ""
    tone: Tone = "idle"
    value: str = ""
    facts: Sequence[tuple[str, str]] = ()
    table: Table | None = None
    pictures: Sequence[File] = ()
    files: Sequence[File] = ()
    link: str = ""
    link_text: str = "Open in Dash"
    #: Where it comes from, for a line at the end.
    source: str = ""
    #: Whether it has much to show beside each other.
    wide: bool = False


def card_of(message: Message) -> Card:
    """The card of a message."""
    make = {"alert": _alert, "records": _records, "report": _report}.get(message.type, _other)
    pictures = [one for one in message.files if one.content_type == "image/png"]
    others = [one for one in message.files if one.content_type != "image/png"]
    made = make(message)
    return Card(
        title=made.title or message.title or message.origin or "Message",
        text=made.text,
        status=made.status,
        tone=made.tone,
        value=made.value,
        facts=tuple((name, value) for name, value in made.facts if value)[:MOST_FACTS],
        table=made.table,
        pictures=pictures,
        files=others,
        link=_address(message.link or message.payload.get("link")),
        link_text=made.link_text,
        source=made.source,
        wide=made.table is not None or message.type == "report",
    )


def _alert(message: Message) -> Card:
    facts = message.payload
    state, severity = str(facts.get("state", "")), str(facts.get("severity", ""))
    tone: Tone = _TONES.get(severity, "bad")
    if state == "resolved":
        tone = "ok"
    elif state == "no_data":
        tone = "idle"
    status = _STATES.get(state, state.replace("_", " ").capitalize())
    if facts.get("repeated") and state == "firing":
        status = "Still firing"
    if severity and state != "resolved":
        status = f"{status} · {severity}"
    condition = str(facts.get("condition") or "")
    text = message.text
    if condition and condition in text:
        # The plain wording: what follows its first line stands among the facts.
        text = text.partition("\n")[0]
    series = facts.get("series")
    dimensions = series.items() if isinstance(series, Mapping) else ()
    labels = facts.get("labels")
    named = str(facts.get("name") or "")
    where = str(facts.get("series_name") or "")
    value = facts.get("value")
    return Card(
        title=named or message.title,
        text=text,
        status=status,
        tone=tone,
        value=number_text(value, str(facts.get("unit") or "")) if isinstance(value, int | float) else "",
        facts=[
            *((str(name), _cell(value)) for name, value in dimensions),
            *([("Series", where)] if where and not dimensions else []),
            ("Rule", condition),
            ("Since", _time(facts.get("since"))),
            ("Pipeline", str(facts.get("pipeline") or "")),
            *((str(name), _cell(value)) for name, value in (labels.items() if isinstance(labels, Mapping) else ())),
        ],
        source=f"alert {message.origin}",
    )


def _records(message: Message) -> Card:
    payload = message.payload
    plain = message.text == wording(payload)[1]
    records = [one for one in payload.get("records") or () if isinstance(one, Mapping)]
    return Card(
        title=message.title,
        text="" if plain else message.text,
        table=table_of(records) if plain else None,
        source=f"pipeline {message.origin}",
    )


def _report(message: Message) -> Card:
    payload = message.payload
    span = payload.get("range")
    zone = str(payload.get("timezone") or "UTC")
    facts: list[tuple[str, str]] = []
    if isinstance(span, Mapping):
        begin, end = (_time(span.get(name), zone) for name in ("from", "to"))
        facts.append(("Range", f"{begin} to {end}"))
    facts.append(("Dashboard", str(payload.get("dashboard") or "")))
    return Card(
        title=message.title,
        text=message.text,
        facts=facts,
        link_text="Open the dashboard",
        source=f"report {message.origin}",
    )


def _other(message: Message) -> Card:
    return Card(title=message.title, text=message.text, source=f"sink {message.origin}")


def table_of(records: Sequence[Mapping[str, Any]]) -> Table:
    """The first records as a table: their time first, then their fields."""
    names = [name for name in (records[0] if records else {}) if not name.startswith("_")][: MOST_COLUMNS - 1]
    shown = records[:MOST_ROWS]
    numeric = frozenset(
        n + 1
        for n, name in enumerate(names)
        if all(isinstance(one.get(name), int | float) or one.get(name) is None for one in shown)
        and not any(isinstance(one.get(name), bool) for one in shown)
    )
    rows = [
        [_time(one.get("_time"), pattern="%Y-%m-%d %H:%M:%S"), *(_cell(one.get(name)) for name in names)]
        for one in shown
    ]
    return Table(["Time (UTC)", *names], rows, numeric, len(records) - len(shown))


def _cell(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    text = number_text(value) if isinstance(value, int | float) else str(value)
    return text if len(text) <= MOST_CELL else f"{text[:MOST_CELL]}…"


def _time(value: Any, zone: str = "UTC", pattern: str = "datetime") -> str:
    from dash_app.domain.errors import Invalid

    try:
        return time_text(value, zone, pattern) if value else ""
    except Invalid:
        return str(value)[:60]


def _address(value: Any) -> str:
    """A link that can be followed from outside, or ''."""
    text = str(value or "")
    return text if text.startswith(("https://", "http://")) and text.isprintable() and " " not in text else ""
