"""What becomes of an alert: a value is judged, and a state moves on. Pure, and the same for what happens now and for
what would have happened over history.

    ok ──bad──▶ pending ──bad for long enough──▶ firing ──good for long enough──▶ ok
    and from everywhere, where the rule wants to be told of it, no_data and back

A state says beside that which message its receivers had last. From this alone follows what they are told next: nobody
hears of an end whose beginning was not told, or of the same beginning twice, however long a silence lasted in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf, isfinite, isnan, nan
from typing import Literal

from dash_app.domain.alerts import AlertSpec, Condition

StateName = Literal["ok", "pending", "firing", "no_data"]
#: What happened: a state was entered (`resolved` and `cleared`: ok, after firing or only pending), or receivers were
#: told again (`repeated`) or at last (`told`, when a silence was over).
What = Literal["pending", "firing", "no_data", "resolved", "cleared", "repeated", "told"]

#: Values are compared at so many significant digits: in which order numbers were added decides nothing.
DIGITS = 12


@dataclass(frozen=True, slots=True)
class State:
    """Where one series of a rule stands. `since`: when it came into this state; `told`: what its receivers were told
    last, '' when that it is over, or nothing; `quiet`: it came here by a rewriting of history, and is not told of."""

    state: StateName = "ok"
    since: datetime | None = None
    value: float | None = None
    #: Since when it has been good while it still fires.
    good_since: datetime | None = None
    told: Literal["", "firing", "no_data"] = ""
    told_at: datetime | None = None
    quiet: bool = False
    acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """A value judged. `bad`: the condition holds, None without data; `good`: it has recovered, which is less than not
    being bad where the rule has a `recover`."""

    value: float | None
    bad: bool | None
    good: bool


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a state. `tell`: receivers are to hear of it now."""

    what: What
    before: StateName
    after: StateName
    at: datetime
    value: float | None
    tell: bool


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient a rule is."""

    pending_for: timedelta
    keep_firing_for: timedelta
    no_data_state: str
    repeat: timedelta

    @classmethod
    def of(cls, spec: AlertSpec) -> Timing:
        return cls(spec.pending_for, spec.keep_firing_for, spec.no_data_state, spec.repeat)


@dataclass(frozen=True, slots=True)
class Reference:
    """What a value is held against, where that is not written in the rule: an earlier value, a quantile of the past, or
    the mean and deviation of the same hour of other weeks. None: not known."""

    value: float | None = None
    deviation: float = 0.0


# Judging -------------------------------------------------------------------------------------------------------------


def judge(condition: Condition, value: float | None, reference: Reference | None = None) -> Observation:
    """Whether a value is bad. `reference` is needed by change, quantile and anomaly alone; where it is not known, a
    change has no data, and nothing is unusual yet."""
    value = rounded(value)
    if condition.type == "missing":
        gone = not value
        return Observation(value or 0.0, gone, not gone)
    if value is None:
        return Observation(None, None, False)
    known = rounded(reference.value) if reference is not None else None
    match condition.type:
        case "threshold":
            return _against(condition, value)
        case "change":
            if known is None:
                return Observation(None, None, False)
            return _against(condition, _change(value, known, relative=condition.relative))
        case "quantile":
            bad = known is not None and (value > known if condition.op == ">" else value < known)
        case "anomaly":
            spread = reference.deviation * condition.deviations if reference is not None else 0.0
            # Where all that came before was one and the same value, rounding is no anomaly.
            bad = known is not None and abs(value - known) > max(spread, abs(known) * 1e-9)
    return Observation(value, bad, not bad)


def rounded(value: float | None) -> float | None:
    """The value at twelve significant digits; None for what is no number."""
    if value is None or isnan(value):
        return None
    return float(f"{value:.{DIGITS - 1}e}") if isfinite(value) else value


def finite(value: float | None) -> float | None:
    """The value where it can be shown: a change of what was nought is endless in percent."""
    return value if value is not None and isfinite(value) else None


def _against(condition: Condition, value: float) -> Observation:
    bad = _holds(condition.op, value, condition.value)
    recover = condition.recover if condition.recover is not None else condition.value
    good = not bad and not _still(condition.op, value, recover)
    return Observation(value, bad, good)


def _holds(op: str, value: float, limit: Sequence[float]) -> bool:
    match op:
        case ">":
            return value > limit[0]
        case ">=":
            return value >= limit[0]
        case "<":
            return value < limit[0]
        case "<=":
            return value <= limit[0]
        case "outside":
            return value < limit[0] or value > limit[1]
    return limit[0] <= value <= limit[1]


def _still(op: str, value: float, recover: Sequence[float]) -> bool:
    """Whether a value that is not bad any more is still on the wrong side of where it recovers."""
    return _holds(op, value, recover)


def _change(value: float, before: float, *, relative: bool) -> float:
    difference = value - before
    if not relative:
        return rounded(difference) or 0.0
    if before == 0:
        return 0.0 if difference == 0 else inf if difference > 0 else -inf
    return rounded(difference / abs(before) * 100) or 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The quantile of values between the two nearest, as PostgreSQL's percentile_cont has it; NaN of none."""
    if not values:
        return nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


# Moving --------------------------------------------------------------------------------------------------------------


def step(
    timing: Timing, state: State, seen: Observation, at: datetime, *, muted: bool = False, quiet: bool = False
) -> tuple[State, list[Event]]:
    """The state after a look at `at`, and what happened.

    `muted`: a silence or a maintenance window holds: no beginning is told now, but it is when that is over. `quiet`:
    history was rewritten since the last look: what changes now is told to nobody, neither now nor later.
    """
    moved = _moved(timing, state, seen, at)
    events: list[Event] = []
    entered = moved.state != state.state
    if entered:
        # What fires because history was rewritten is still that when it has waited for long enough.
        quiet = quiet or (moved.state == "firing" and state.state == "pending" and state.quiet)
        moved = replace(moved, since=at, acknowledged=False, quiet=quiet)
        events.append(Event(_entered(state.state, moved.state), state.state, moved.state, at, moved.value, False))
    return _tell(timing, moved, events, at, muted=muted, quiet=quiet and entered)


def _moved(timing: Timing, state: State, seen: Observation, at: datetime) -> State:
    name, good_since = state.state, None
    bad, good = seen.bad, seen.good
    if bad is None:
        match timing.no_data_state:
            case "keep":
                return replace(state, value=None)
            case "no_data":
                return replace(state, state="no_data", value=None, good_since=None)
            case "firing":
                bad, good = True, False
            case _:
                bad, good = False, True
    if name == "no_data":
        name = "ok"
    if name == "firing":
        if good:
            good_since = state.good_since or at
            if at - good_since >= timing.keep_firing_for:
                return replace(state, state="ok", value=seen.value, good_since=None)
        return replace(state, value=seen.value, good_since=good_since)
    if not bad:
        return replace(state, state="ok", value=seen.value, good_since=None)
    begun = state.since if name == "pending" and state.since is not None else at
    name = "firing" if at - begun >= timing.pending_for else "pending"
    return replace(state, state=name, value=seen.value, good_since=None)


def _entered(before: StateName, after: StateName) -> What:
    if after == "ok":
        return "cleared" if before == "pending" else "resolved"
    return after


def _tell(
    timing: Timing, state: State, events: list[Event], at: datetime, *, muted: bool, quiet: bool
) -> tuple[State, list[Event]]:
    """Marks what receivers are told now."""
    now: Literal["", "firing", "no_data"]
    match state.state:
        case "firing" | "no_data":
            now = state.state
        case "pending":
            now = state.told  # it may be over in a moment, or not: nothing is said yet
        case _:
            now = ""
    if now != state.told:
        if not now and quiet:
            return replace(state, told=""), events
        if not now:
            # Whoever was told of the beginning is told of the end, silence or not: nothing stays open for ever.
            events = _told(events, "resolved", state, at)
            return replace(state, told="", told_at=at), events
        if not muted and not state.quiet:
            events = _told(events, "told", state, at)
            return replace(state, told=now, told_at=at), events
    elif (
        now
        and state.state == "firing"
        and not (muted or state.acknowledged or state.quiet)
        and timing.repeat
        and state.told_at is not None
        and at - state.told_at >= timing.repeat
    ):
        events = [*events, Event("repeated", "firing", "firing", at, state.value, True)]
        return replace(state, told_at=at), events
    return state, events


def _told(events: list[Event], otherwise: What, state: State, at: datetime) -> list[Event]:
    """The event of this look as one that is told; without one, `otherwise`."""
    if events:
        return [*events[:-1], replace(events[-1], tell=True)]
    return [Event(otherwise, state.state, state.state, at, state.value, True)]
