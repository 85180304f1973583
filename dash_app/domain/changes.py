"""Every message that crosses NOTIFY, in one closed union.

A change is a hint that says where to look, never the data itself: a listener that missed some re-reads. Messages are
JSON objects with the class name under `type`, at most 8,000 bytes (PostgreSQL's limit for a notification).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, get_args

CHANNEL = "dash_changes"


@dataclass(frozen=True, slots=True)
class RowsAdded:
    """A commit added rows to a pipeline's active version, and may have deleted rows that lost their key to these.

    `rows`: added. Times are epoch milliseconds of the `_time` of all of them, added and deleted, both ends included;
    `at` is when the worker committed.
    """

    pipeline: str
    version: int
    rows: int
    rejects: int
    time_min: int | None
    time_max: int | None
    at: int


@dataclass(frozen=True, slots=True)
class PayloadsAccepted:
    """Payloads of a pipeline became durable and wait for a worker."""

    pipeline: str
    count: int


@dataclass(frozen=True, slots=True)
class PipelineChanged:
    """A pipeline was made, renamed, paused, resumed, archived, or got another mapping: re-read it and its queries."""

    pipeline: str


@dataclass(frozen=True, slots=True)
class ReplayMoved:
    """A replay of a pipeline began, went on, paused or ended: re-read its progress."""

    pipeline: str
    replay: str


@dataclass(frozen=True, slots=True)
class DashboardChanged:
    """A dashboard's document was saved, or the dashboard was deleted or brought back."""

    dashboard: str


@dataclass(frozen=True, slots=True)
class AnnotationsChanged:
    """Annotations of a dashboard were written, changed or removed by hand."""

    dashboard: str


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Somebody opened or left a dashboard, or began or ended to edit it."""

    dashboard: str


@dataclass(frozen=True, slots=True)
class SinkChanged:
    """A sink was made, changed, paused, resumed, disabled or deleted, or what it delivered is worth another look."""

    sink: str


@dataclass(frozen=True, slots=True)
class AlertChanged:
    """An alert's rule was saved or deleted, or its state in one series or more has changed or was acknowledged."""

    alert: str


@dataclass(frozen=True, slots=True)
class AccessChanged:
    """A session, token, user or membership was revoked or changed: cached permissions of this user are void."""

    user: str


Change = (
    RowsAdded
    | PayloadsAccepted
    | PipelineChanged
    | ReplayMoved
    | DashboardChanged
    | AnnotationsChanged
    | PresenceChanged
    | SinkChanged
    | AlertChanged
    | AccessChanged
)

_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Change)}


def encode(change: Change) -> str:
    """The change as the text of a notification."""
    return json.dumps({"type": type(change).__name__} | asdict(change), separators=(",", ":"))


def decode(text: str) -> Change | None:
    """The change in a notification; None for a kind or a shape that this release does not know."""
    try:
        document = json.loads(text)
        made: Change = _TYPES[document.pop("type")](**document)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return made
