"""Annotations that people write on a dashboard: what is accepted as one, and the saving of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dash_app.domain.access import Principal
from dash_app.domain.errors import Invalid
from dash_app.domain.query import parse_time
from dash_app.domain.specs import Dashboard
from dash_app.storage import annotations as stored
from dash_app.storage import dashboards, people
from dash_app.storage.annotations import Annotation
from dash_app.storage.unit import Unit

MOST_TEXT = 2000
MOST_TAGS = 20
_KEYS = ("time", "time_end", "text", "tags", "tile")


def write(unit: Unit, uid: str, document: Mapping[str, Any], author: Principal) -> Annotation:
    """A new annotation on a dashboard. Raises NotFound, and Invalid with every place that is wrong."""
    found = dashboards.get(unit, uid)
    made = stored.create(unit, found.team, found.id, **_checked(document, found), author=author.email)
    people.record(unit, author, author.team, "annotation.create", uid, {"annotation": str(made.id)})
    return made


def rewrite(unit: Unit, uid: str, annotation: UUID, changed: Mapping[str, Any], author: Principal) -> Annotation:
    """Changes what is named of an annotation. Raises NotFound, Invalid."""
    found = dashboards.get(unit, uid)
    before = stored.get(unit, found.id, annotation)
    whole = {"time": before.time, "time_end": before.time_end, "text": before.text, "tags": before.tags}
    made = stored.update(unit, found.id, annotation, **_checked({**whole, "tile": before.tile, **changed}, found))
    people.record(unit, author, author.team, "annotation.update", uid, {"annotation": str(annotation)})
    return made


def remove(unit: Unit, uid: str, annotation: UUID, author: Principal) -> None:
    stored.delete(unit, dashboards.get(unit, uid).id, annotation)
    people.record(unit, author, author.team, "annotation.delete", uid, {"annotation": str(annotation)})


def _checked(document: Mapping[str, Any], dashboard: Dashboard) -> dict[str, Any]:
    problems: list[tuple[str, str]] = [
        (str(key)[:80], f"unknown; there are {', '.join(_KEYS)}") for key in document if key not in _KEYS
    ]
    time = _moment(document.get("time"), "time", problems)
    end = _moment(document["time_end"], "time_end", problems) if document.get("time_end") is not None else None
    if time and end and end < time:
        problems.append(("time_end", "it is before time"))
    text = document.get("text")
    if not isinstance(text, str) or not 1 <= len(text.strip()) <= MOST_TEXT:
        problems.append(("text", f"a text of 1 to {MOST_TEXT:,} characters is needed"))
    tags = document.get("tags") or []
    listed = list(tags) if isinstance(tags, list | tuple) else [""]
    if len(listed) > MOST_TAGS or not all(isinstance(one, str) and 1 <= len(one.strip()) <= 40 for one in listed):
        problems.append(("tags", f"a list of at most {MOST_TAGS} texts of 1 to 40 characters"))
    tile = str(document.get("tile") or "")
    if tile and all(str(one.get("id")) != tile for one in dashboard.document.get("tiles", [])):
        problems.append(("tile", f"this dashboard has no tile '{tile[:60]}'; left out: all of its charts"))
    if problems or time is None:
        raise Invalid(problems=problems)
    return {
        "time": time,
        "time_end": end if end != time else None,
        "text": str(text).strip(),
        "tags": list(dict.fromkeys(one.strip() for one in listed)),
        "tile": tile,
    }


def _moment(value: Any, place: str, problems: list[tuple[str, str]]) -> datetime | None:
    try:
        return parse_time(value, datetime.now(UTC), place=place)
    except Invalid as error:
        problems += error.problems
        return None
