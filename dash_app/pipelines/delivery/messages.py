"""What is sent to a sink: a stored message with its title and text, the same at every attempt.

A sink's template makes both of messages of records; alerts and reports come with wordings of their own. Where there is
no template the records are listed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from dash_app.domain.errors import Invalid
from dash_app.pipelines.sinks.base import File, Message, MessageType
from dash_app.pipelines.sinks.wording import wording
from dash_app.pipelines.templating import NAMES, check, render

#: Characters of a title and of a text, as the outbox takes them.
MOST_TITLE = 500
MOST_TEXT = 100_000
#: White space and control characters; a name that a record brought may hold any of them.
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def title_of(text: str) -> str:
    """The text as a title: in one line, since it goes where a second one would begin something else (a header)."""
    return _BLANK.sub(" ", text).strip()[:MOST_TITLE]


def message_of(
    *,
    id: str,
    type: str,
    at: datetime,
    team: str,
    sink: str,
    origin: str,
    title: str,
    text: str,
    payload: Mapping[str, Any],
    link: str = "",
    files: Sequence[File] = (),
    template: Mapping[str, str] | None = None,
) -> Message:
    """The message as its sink gets it. Raises Invalid where the template fails on it."""
    if type == "records":
        title, text = wording(payload)
        if template:
            context = context_of(payload, id=id, at=at, team=team, sink=sink)
            title = _rendered(template, "title", context) or title
            text = _rendered(template, "body", context) or text
    return Message(id, cast(MessageType, type), at, team, origin, title_of(title), text, payload, link, tuple(files))


def check_template(template: Any) -> list[tuple[str, str]]:
    """What is wrong with a template before it has seen a record: (place, message) pairs."""
    if not isinstance(template, Mapping) or set(template) - {"title", "body"}:
        return [("template", "an object with title and body is needed")]
    return [
        (f"template.{part}", what)
        for part, source in template.items()
        if source is not None
        for what in check(source, NAMES["records"])
    ]


def _rendered(template: Mapping[str, str], part: str, context: Mapping[str, Any]) -> str:
    source = template.get(part)
    if not source:
        return ""
    try:
        text = render(source, context)
    except Invalid as error:
        raise Invalid(f"the template's {part}, {error.message}") from error
    return title_of(text) if part == "title" else text[:MOST_TEXT]


def context_of(payload: Mapping[str, Any], *, id: str, at: datetime, team: str, sink: str) -> dict[str, Any]:
    """What a template for records knows."""
    records = payload.get("records") or []
    return {
        "id": id,
        "type": "records",
        "at": at,
        "team": team,
        "sink": sink,
        "pipeline": payload.get("pipeline", ""),
        "records": records,
        "record": records[0] if records else {},
        "count": len(records),
    }
