"""What receivers of an alert read: the facts as a payload, a title, and a text made by the rule's template or plainly.

The template sees what the payload has: `name`, `state` (firing, resolved, no_data), `severity`, `value`, `threshold`,
`series` (by dimension), `series_name`, `labels`, `since`, `at`, `condition`, `link`, `repeated`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Literal

from dash_app.domain.alert_machine import Event, State, StateName
from dash_app.domain.alerts import WATCHES, AlertSpec, Condition, read_series, series_key, series_name, short
from dash_app.domain.errors import DashError
from dash_app.pipelines import templating

_STATES = {"firing": "Firing", "resolved": "Resolved", "no_data": "No data"}
#: What a message can tell.
ExampleState = Literal["firing", "resolved", "no_data"]
#: Characters of a title; mail and chat cut longer ones.
MOST_TITLE = 200


def payload_of(
    spec: AlertSpec, alert: Mapping[str, Any], key: str, event: Event, state: State, *, unit: str = "", link: str = ""
) -> dict[str, Any]:
    """The facts of one message. `alert`: id, slug and pipeline of the rule; `link`: an address of Dash's own."""
    series = read_series(key)
    now = "resolved" if event.after in ("ok", "pending") else event.after
    value = event.value if event.value is not None and isfinite(event.value) else None
    return {
        "alert": spec.slug,
        "id": str(alert["id"]),
        "name": spec.name,
        "state": now,
        "severity": spec.severity,
        "pipeline": alert["pipeline"],
        "series": series,
        "series_name": series_name(series),
        "value": value,
        "unit": unit,
        "threshold": threshold_of(spec.condition),
        "condition": words(spec, unit),
        "since": (state.since or event.at).isoformat(timespec="seconds"),
        "at": event.at.isoformat(timespec="seconds"),
        "labels": dict(spec.labels),
        "repeated": event.what == "repeated",
        "link": spec.link or link,
        "alert_link": link,
    }


def threshold_of(condition: Condition) -> float | list[float] | None:
    if condition.type not in ("threshold", "change"):
        return None
    return condition.value[0] if len(condition.value) == 1 else list(condition.value)


def title_of(payload: Mapping[str, Any]) -> str:
    """'Firing: Too hot (site = roof)'"""
    named = f" ({payload['series_name']})" if payload["series_name"] else ""
    again = "Still firing" if payload["repeated"] else _STATES[payload["state"]]
    return f"{again}: {payload['name']}{named}"[:MOST_TITLE]


def text_of(spec: AlertSpec, payload: Mapping[str, Any]) -> str:
    """The rule's template over the facts; where it fails, or there is none, the facts in words."""
    if spec.message:
        try:
            return templating.render(spec.message, payload)
        except DashError as error:
            return f"{plain(payload)}\n\n(The rule's message could not be made: {error.message})"
    return plain(payload)


def plain(payload: Mapping[str, Any]) -> str:
    subject = payload["series_name"] or payload["pipeline"]
    match payload["state"]:
        case "no_data":
            found = f"{subject}: there is no data."
        case "resolved":
            found = f"{subject}: it is over" + (f", the value is {shown(payload)}." if _has(payload) else ".")
        case _:
            found = f"{subject}: the value is {shown(payload)}." if _has(payload) else f"{subject}: it fires."
    since = datetime.fromisoformat(payload["since"]).astimezone(UTC)
    return f"{found}\nRule: {payload['condition']}\nSince {since.day} {since:%B %Y, %H:%M:%S} UTC"


def shown(payload: Mapping[str, Any]) -> str:
    return f"{payload['value']:.6g} {payload['unit']}".strip()


def _has(payload: Mapping[str, Any]) -> bool:
    return payload["value"] is not None


def words(spec: AlertSpec, unit: str = "") -> str:
    """A rule's condition as a sentence: 'avg of temp over 5m is above 30 °C for 2m'."""
    if spec.watch:
        subject, unit = f"{spec.watch} of {spec.pipeline}", WATCHES[spec.watch]
    elif spec.measure is not None and spec.measure.field is not None:
        subject = f"{spec.measure.agg} of {spec.measure.field} over {short(spec.window)}"
    else:
        subject = f"count over {short(spec.window)}"
    lasting = f" for {short(spec.pending_for)}" if spec.pending_for else ""
    return f"{subject} {_predicate(spec.condition, unit)}{lasting}"


_OPERATORS = {">": "above", ">=": "at least", "<": "below", "<=": "at most", "outside": "outside of", "inside": "in"}


def _predicate(condition: Condition, unit: str) -> str:
    limit = " to ".join(f"{value:g}" for value in condition.value)
    match condition.type:
        case "threshold":
            return f"is {_OPERATORS[condition.op]} {limit} {unit}".rstrip()
        case "change":
            unit = "%" if condition.relative else unit
            return f"has changed within {short(condition.over)} by {_OPERATORS[condition.op]} {limit} {unit}".rstrip()
        case "missing":
            return "has no records"
        case "quantile":
            side = "above" if condition.op == ">" else "below"
            return f"is {side} the {condition.quantile:g} quantile of the last {short(condition.over)}"
    return (
        f"is more than {condition.deviations:g} deviations from the same hour of the last "
        f"{condition.weeks} week{'s' if condition.weeks > 1 else ''}"
    )


def problems(spec: AlertSpec) -> list[str]:
    """What is wrong with a rule's message: it is made from facts such as it will have."""
    if not spec.message:
        return []
    facts = example(spec, datetime(2026, 1, 5, 12, tzinfo=UTC))
    # Of most messages of a rule there is a number to be told.
    facts["value"] = 1.0 if facts["value"] is None else facts["value"]
    wrong = templating.check(spec.message, facts.keys())
    if not wrong:
        try:
            templating.render(spec.message, facts)
        except DashError as error:
            wrong = [error.message]
    return wrong


def example(
    spec: AlertSpec,
    at: datetime,
    *,
    state: ExampleState = "firing",
    series: Mapping[str, Any] | None = None,
    unit: str = "",
    link: str = "",
) -> dict[str, Any]:
    """The facts of a message such as a rule will send. `series`: values of its dimensions, where some are known."""
    known = series or {}
    key = series_key({name: known.get(name, "…") for name in spec.by})
    value = None if state == "no_data" else _example_value(spec.condition, fires=state == "firing")
    before: StateName = "firing" if state == "resolved" else "ok"
    after: StateName = "ok" if state == "resolved" else state
    event = Event(state, before, after, at, value, True)
    since = at if state == "resolved" else at - max(spec.pending_for, timedelta(minutes=5))
    about = {"id": "", "pipeline": spec.pipeline}
    return payload_of(
        spec, about, key, event, State(after, since, value), unit=unit, link=link or f"/alerts/{spec.slug}"
    )


def _example_value(condition: Condition, *, fires: bool) -> float | None:
    """A value on the one or the other side of a limit, near by."""
    if condition.type == "missing":
        return None if fires else 1.0
    if not condition.value:
        return 1.0
    low, high = condition.value[0], condition.value[-1]
    step = max(abs(high - low), abs(high), 1.0) / 10
    over, under = high + step, low - step
    if condition.op == "inside":
        return (low + high) / 2 if fires else over
    if condition.op == "outside":
        return over if fires else (low + high) / 2
    return over if fires == (condition.op in (">", ">=")) else under
