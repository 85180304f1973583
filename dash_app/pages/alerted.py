"""What the workspace answers about alerts, frozen, and how pages say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dash_app.domain.alert_mutes import Silence, Window, shown_matchers
from dash_app.domain.alerts import WATCH_LIMITS, WATCHES
from dash_app.pages import words

if TYPE_CHECKING:
    from dash_app.storage.alerts import Alert, AlertEvent, AlertLine, AlertState

#: A state as (words, class of its badge).
STATES: Mapping[str, tuple[str, str]] = {
    "firing": ("Firing", "failing"),
    "no_data": ("No data", "rejects"),
    "pending": ("Pending", "waiting"),
    "ok": ("OK", "ok"),
    "off": ("Off", "paused"),
    "error": ("Cannot be evaluated", "failing"),
    "": ("Not looked at yet", "waiting"),
}
#: What happened, as (words, class of its badge).
EVENTS: Mapping[str, tuple[str, str]] = {
    "firing": ("Firing", "failing"),
    "no_data": ("No data", "rejects"),
    "pending": ("Pending", "waiting"),
    "resolved": ("Resolved", "ok"),
    "cleared": ("Cleared", "ok"),
    "repeated": ("Told again", "failing"),
    "told": ("Told late", "failing"),
    "acknowledged": ("Acknowledged", "note"),
}
_OPERATORS = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}


@dataclass(frozen=True, slots=True)
class MaintenanceLine:
    """A maintenance window; `next_at`: when it begins next."""

    window: Window
    open: bool
    next_at: datetime | None

    @property
    def document(self) -> Mapping[str, Any]:
        return self.window.document


@dataclass(frozen=True, slots=True)
class Mutes:
    """What keeps alerts quiet, now or later."""

    silences: Sequence[Silence]
    windows: Sequence[MaintenanceLine]


@dataclass(frozen=True, slots=True)
class Firing:
    """What is not well now. `muted`: by rule and series, why nobody is told of it."""

    states: Sequence[AlertState]
    muted: Mapping[tuple[str, str], str]
    #: What the values of a rule are measured in, by its id.
    units: Mapping[str, str]

    def of(self, state: str) -> list[AlertState]:
        return [one for one in self.states if one.state == state]

    def quiet(self, state: AlertState) -> str:
        return self.muted.get((str(state.alert), state.key), "")

    def value(self, state: AlertState) -> str:
        return with_unit(state.value, self.units.get(str(state.alert), ""))


@dataclass(frozen=True, slots=True)
class AlertDetail:
    """A rule as its own page shows it. `paused`: its pipeline is."""

    alert: Alert
    state: str
    states: Firing
    events: Sequence[AlertEvent]
    unit: str
    paused: bool

    @property
    def document(self) -> Mapping[str, Any]:
        return self.alert.document

    @property
    def address(self) -> str:
        return address_of(self.alert)


def address_of(alert: Any) -> str:
    """The path of a rule's page: its slug, or its id where another page has that name."""
    return f"/alerts/{alert.id if alert.slug == 'new' else alert.slug}"


def state_of(line: AlertLine) -> str:
    """The word under which a list shows a rule."""
    if not line.alert.enabled:
        return "off"
    return "error" if line.alert.error else line.state


def number(value: float | None) -> str:
    """A value as people read it: four digits that count, and all of them before the point."""
    if value is None:
        return words.NONE
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f") if abs(value) < 1e15 else f"{value:.3e}"
    return f"{value:.4g}"


def with_unit(value: float | None, unit: str) -> str:
    return number(value) if value is None or not unit else f"{number(value)} {unit}"


def condition_words(document: Mapping[str, Any], unit: str = "") -> str:
    """What a rule says, in a sentence: 'avg of temperature, by site, over 5m is above 30 °C for 1m'."""
    watch = document.get("watch")
    condition = document.get("condition") or {}
    window = document.get("window", "5m")
    for_ = document.get("for", "0s")
    lasting = f", for {for_}" if for_ and for_ != "0s" else ""
    if watch in WATCHES:
        limit = condition.get("value", WATCH_LIMITS[str(watch)])
        held = _held({"type": "threshold", "op": ">", **condition, "value": limit}, WATCHES[str(watch)])
        return f"{watch} of {document.get('pipeline')} {held}{lasting}"
    query = document.get("query") or {}
    measure = (query.get("select") or [{"agg": "count"}])[0]
    subject = "records" if not measure.get("field") else f"{measure.get('agg')} of {measure['field']}"
    by = f" by {', '.join(query['by'])}" if query.get("by") else ""
    if condition.get("type") == "missing":
        return f"there are no records{by} within {window}{lasting}"
    return f"{subject}{by} over {window} {_held(condition, unit)}{lasting}"


def _held(condition: Mapping[str, Any], unit: str) -> str:
    kind, op, value = condition.get("type"), str(condition.get("op", ">")), condition.get("value")
    if kind == "anomaly":
        return f"differs from the same hour of {condition.get('weeks', 4)} weeks by {condition.get('deviations', 3)} σ"
    if kind == "quantile":
        share = float(condition.get("quantile") or 0) * 100
        return f"is {_OPERATORS.get(op, op)} its {share:g}th percentile of {condition.get('over', '7d')}"
    unit = "%" if kind == "change" and condition.get("by") == "percent" else unit
    limits = value if isinstance(value, list) else [value]
    said = " and ".join(with_unit(one, unit) for one in limits)
    where = _OPERATORS.get(op, op)
    if op in ("outside", "inside"):
        where, said = op, f"{number(limits[0])} to {with_unit(limits[-1], unit)}"
    return (
        f"changes within {condition.get('over', '10m')} by {where} {said}" if kind == "change" else f"is {where} {said}"
    )


def lasted(length: timedelta | float) -> str:
    """A length of time in its two largest units: 3 h 12 min, 2 d 4 h, 45 s."""
    seconds = round(length.total_seconds() if isinstance(length, timedelta) else length)
    parts = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            parts.append(f"{seconds // size} {unit}")
            seconds %= size
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def moment_text(text: str) -> str:
    """A time of a document, ISO 8601, as people read it."""
    try:
        return words.moment(datetime.fromisoformat(text))
    except ValueError:
        return text


#: What templates ask of this module.
FILTERS: Final[Mapping[str, Any]] = {
    "alert_address": address_of,
    "alert_state": state_of,
    "condition_words": condition_words,
    "lasted": lasted,
    "merged": lambda one, other: {**one, **other},
    "moment_text": moment_text,
    "shown_matchers": shown_matchers,
    "with_unit": with_unit,
}
GLOBALS: Final[Mapping[str, Any]] = {"ALERT_STATES": STATES, "ALERT_EVENTS": EVENTS}
