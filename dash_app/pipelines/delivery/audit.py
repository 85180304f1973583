"""What is done with sinks, in the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash_app.domain.access import Principal
from dash_app.storage import people
from dash_app.storage.sinks import Sink
from dash_app.storage.unit import Unit


def name_of(author: Principal | str) -> str:
    return author.email if isinstance(author, Principal) else author


def record(unit: Unit, author: Principal | str, sink: Sink, action: str, detail: Mapping[str, Any]) -> None:
    """A line in the trail, in the transaction of what was done."""
    who = author if isinstance(author, Principal) else None
    told = {"slug": sink.slug, **detail}
    people.record(unit, who, sink.team, action, str(sink.id), told if who else {**told, "by": name_of(author)})
