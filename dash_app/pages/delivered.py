"""What the workspace answers about sinks and what they deliver, frozen, and how pages say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dash_app.storage.deliveries import Attempt
    from dash_app.storage.delivery_history import Delivery
    from dash_app.storage.sinks import Sink

#: A sink's standing as (words, class of its badge).
STANDINGS: Mapping[str, tuple[str, str]] = {
    "active": ("Active", "ok"),
    "idle": ("Nothing sent yet", "waiting"),
    "failing": ("Failing", "failing"),
    "paused": ("Paused", "paused"),
    "disabled": ("Disabled", "failing"),
}
#: What has become of a message.
DELIVERIES: Mapping[str, tuple[str, str]] = {
    "sent": ("Delivered", "ok"),
    "waiting": ("Waiting", "waiting"),
    "sending": ("Being sent", "note"),
    "dead": ("Dead letter", "failing"),
    "cancelled": ("Cancelled", "paused"),
}
#: How an attempt ended.
OUTCOMES: Mapping[str, tuple[str, str]] = {
    "sent": ("Accepted", "ok"),
    "failed": ("Failed", "failing"),
    "refused": ("Refused", "failing"),
    "gone": ("Gone", "failing"),
}
TYPES: Mapping[str, str] = {"records": "Records", "alert": "Alert", "report": "Report", "test": "Test"}


@dataclass(frozen=True, slots=True)
class SinkLine:
    """A sink as lists show it. `sent`, `dead`: messages of the last day; `waiting`, `letters`: messages that wait, and
    dead letters, each counted up to 10,000."""

    sink: Sink
    sent: int = 0
    dead: int = 0
    waiting: int = 0
    letters: int = 0

    @property
    def standing(self) -> str:
        if self.sink.state != "active":
            return self.sink.state
        if self.sink.health.failures:
            return "failing"
        return "active" if self.sink.health.sent else "idle"

    @property
    def address(self) -> str:
        return address_of(self.sink)


@dataclass(frozen=True, slots=True)
class SinkDetail:
    """A sink's own page. `alerts`, `reports`: (slug, name) of those that tell it."""

    line: SinkLine
    summary: str
    recent: Sequence[Delivery]
    alerts: Sequence[tuple[str, str]]
    reports: Sequence[tuple[str, str]]

    @property
    def sink(self) -> Sink:
        return self.line.sink


@dataclass(frozen=True, slots=True)
class Traced:
    """A message with its payload and every attempt at it, the newest first."""

    delivery: Delivery
    payload: str
    attempts: Sequence[Attempt]


def address_of(sink: Any) -> str:
    """The path of a sink's page: its slug, or its id where another page has that name."""
    return f"/sinks/{sink.id if sink.slug == 'new' else sink.slug}"


def delivery_state(delivery: Delivery) -> str:
    return "sending" if delivery.in_hand else delivery.state


def milliseconds(value: int) -> str:
    """How long an attempt took: 84 ms, 2.4 s."""
    return f"{value} ms" if value < 1000 else f"{value / 1000:.1f} s"


def kind_title(kind: str) -> str:
    """'s3_parquet' → 'S3 Parquet', 'email' → 'E-mail'."""
    known = {
        "email": "E-mail",
        "mqtt": "MQTT",
        "postgres": "PostgreSQL",
        "s3_parquet": "S3 Parquet",
        "apprise": "Apprise",
    }
    return known.get(kind, kind.replace("_", " ").capitalize())


def option_label(name: str) -> str:
    """'from_address' → 'From address'."""
    return {"url": "URL"}.get(name, name.replace("_", " ").capitalize())


#: What templates ask of this module.
FILTERS: Final[Mapping[str, Any]] = {
    "sink_address": address_of,
    "delivery_state": delivery_state,
    "milliseconds": milliseconds,
    "kind_title": kind_title,
    "option_label": option_label,
}
GLOBALS: Final[Mapping[str, Any]] = {
    "STANDINGS": STANDINGS, "DELIVERIES": DELIVERIES, "OUTCOMES": OUTCOMES, "MESSAGE_TYPES": TYPES
}  # fmt: skip
