"""One look at a pipeline: what its rules see now, and what becomes of the states of their series.

A look reads and decides; what it has decided is an `Outcome`, which its owner writes in the same transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dash_app.domain.alert_machine import Event, Observation, Reference, State, judge, step
from dash_app.domain.alert_mutes import facts_of
from dash_app.domain.alerts import MOST_SERIES, read_series
from dash_app.domain.errors import DashError, Unavailable
from dash_app.pipelines.alerts import history as alert_history
from dash_app.pipelines.alerts.history import Past
from dash_app.pipelines.alerts.minutes import minute_of, moment_of
from dash_app.pipelines.alerts.mutes import Mutes
from dash_app.pipelines.alerts.plan import Plan, Rule, Shape
from dash_app.pipelines.alerts.watches import watch
from dash_app.storage import alert_reads, alert_turns
from dash_app.storage.alert_reads import MinuteReader, Row, apart
from dash_app.storage.alert_turns import StoredEvent, Turn
from dash_app.storage.unit import Unit

#: A rule read from silver rests for so many times what it cost, and one that failed for so long.
REST_FACTOR = 20
FAILED_REST = timedelta(seconds=30)
#: What is read for rules alone takes so much of a look, in seconds: what is due beyond that waits for the next one.
ALLOWANCE = 2.0
#: A statement for one rule ends after so long.
PATIENCE = 5.0
#: That a series has data is noted so often; one that was well, or told to lack data, and has had none for so long is
#: forgotten. Both are looked for once in `SWEPT_EVERY`.
SEEN_EVERY = timedelta(days=1)
FORGOTTEN_AFTER = timedelta(days=7)
SWEPT_EVERY = timedelta(hours=1)
CUT = (
    f"there are more than {MOST_SERIES:,} series: those that came first are followed, and no others; "
    "a condition in `where` or fewer fields in `by` make them fewer"
)
#: Values of what is not well are written anew so often, for people to read.
SHOWN_EVERY = timedelta(seconds=10)
REWRITTEN = "history was mapped anew"

_NOW = timedelta()
Values = dict[str, float | None]
References = Mapping[str, Reference]


def _reader(shape: Shape) -> MinuteReader:
    assert shape.reader is not None
    return shape.reader


@dataclass
class Known:
    """What an evaluator knows by heart of one pipeline. It is right while `mark` is."""

    mark: tuple[Any, ...]
    plan: Plan
    states: dict[UUID, dict[str, State]]
    read_at: datetime
    #: When a series was last noted to have data.
    seen: dict[UUID, dict[str, datetime]] = field(default_factory=dict)
    #: When the state of a series was written last.
    written: dict[tuple[UUID, str], datetime] = field(default_factory=dict)
    #: What rules hold their values against, by rule: for which hour or minute, and what it was.
    past: dict[UUID, tuple[datetime, References]] = field(default_factory=dict)


@dataclass
class Outcome:
    """What one look has to write."""

    #: By rule and series, each with whether the series has data now.
    states: dict[tuple[UUID, str], tuple[State, bool]] = field(default_factory=dict)
    gone: list[tuple[UUID, str]] = field(default_factory=list)
    events: list[StoredEvent] = field(default_factory=list)
    messages: list[tuple[Rule, str, Event, State]] = field(default_factory=list)


@dataclass
class Look:
    """One look. `touched`: minutes (both ends included) that something was written to since the last one;
    `everything`: whether rules are looked at that are not due; `allowance`: seconds that rules read for themselves may
    take (`spent`: what they took), beyond which they are `left` for the next look."""

    unit: Unit
    turn: Turn
    known: Known
    mutes: Mutes
    now: datetime
    touched: tuple[int, int] | None = None
    everything: bool = False
    allowance: float = ALLOWANCE
    spent: float = 0.0
    left: bool = False
    outcome: Outcome = field(default_factory=Outcome)
    _shared: dict[tuple[int, int, timedelta], Mapping[Any, float | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A generation that was exchanged, and not the first look: what differs now differs by the rewriting alone.
        self.quiet = self.turn.seen_generation not in (0, self.turn.generation)

    def evaluate(self) -> Outcome:
        self._read(self.known.plan.shapes)
        if self.quiet:
            for rule in self.known.plan.rules:
                rule.rewritten = True
        shared = [rule for rule in self.known.plan.rules if not rule.costly]
        # Who has waited longest comes first: what is left over is first the next time.
        costly = sorted(
            (rule for rule in self.known.plan.rules if rule.costly),
            key=lambda rule: rule.looked_at.timestamp() if rule.looked_at else 0.0,
        )
        for rule in (*shared, *costly):
            if not self._due(rule):
                continue
            if rule.costly and self.spent >= self.allowance and not self.everything:
                self.left = True
                break
            found = self._values(rule)
            rule.looked_at = self.now
            if found is not None:
                self._judge(rule, *found)
                rule.rewritten = False
        return self.outcome

    def _due(self, rule: Rule) -> bool:
        if self.everything or self.quiet:
            return True
        if rule.rests_until is not None and self.now < rule.rests_until:
            return False
        return rule.looked_at is None or self.now >= rule.looked_at + rule.pause

    # Values ----------------------------------------------------------------------------------------------------------

    def _read(self, shapes: Sequence[Shape]) -> None:
        """Brings the minutes that shapes hold up to date; where that fails, the rules of one rest, and no others."""
        shapes = [shape for shape in shapes if not self._rests(shape)]
        began = time.perf_counter()
        try:
            lows = [self._low(shape) for shape in shapes]
            end = moment_of(minute_of(self.now) + 1)
            asked = [(_reader(shape), moment_of(low), end) for shape, low in zip(shapes, lows, strict=True)]
            for shape, low, rows in zip(shapes, lows, alert_reads.read(self.unit, asked), strict=True):
                self._take(shape, low, rows)
        except Unavailable:
            raise
        except DashError as error:
            if len(shapes) > 1:
                # One of them, and nobody knows which.
                for shape in shapes:
                    self._read([shape])
                return
            cost = time.perf_counter() - began
            self.spent += cost
            (shape,) = shapes
            shape.error, shape.first = error.message, None
            shape.rests_until = self.now + max(FAILED_REST, timedelta(seconds=cost * REST_FACTOR))

    def _rests(self, shape: Shape) -> bool:
        waits = shape.rests_until is not None and self.now < shape.rests_until
        return waits and not (self.everything or self.quiet)

    def _low(self, shape: Shape) -> int:
        """The first minute that has to be read again."""
        running = minute_of(self.now)
        first = running - shape.length
        if shape.first is None or shape.first > first or shape.last > running:
            return first
        # What ran at the last look may have got more since, and may be over.
        low = max(shape.last, first)
        return low if self.touched is None else min(low, max(self.touched[0], first))

    def _take(self, shape: Shape, low: int, rows: Sequence[Row]) -> None:
        running = minute_of(self.now)
        first = running - shape.length
        shape.minutes.put(low, running + 1, rows, len(shape.by))
        shape.minutes.forget(first)
        shape.first, shape.last = first, running
        shape.error, shape.rests_until = "", None

    def _values(self, rule: Rule) -> tuple[Values, References] | None:
        """The rule's values by series and what they are held against; None where it cannot be evaluated now."""
        spec = rule.spec
        if rule.shape is not None and rule.shape.error:
            self._say(rule, rule.shape.error)
            return None
        if not rule.costly:
            return self._from_minutes(rule)
        began = time.perf_counter()
        try:
            # A statement that fails ends a transaction; one rule must not end the others'.
            with apart(self.unit):
                values, references = self._read_alone(rule)
        except Unavailable:
            raise
        except DashError as error:
            cost = time.perf_counter() - began
            self.spent += cost
            rule.rests_until = self.now + max(FAILED_REST, timedelta(seconds=cost * REST_FACTOR))
            self._say(rule, error.message)
            return None
        cost = time.perf_counter() - began
        self.spent += cost
        least = spec.window / 1000 if rule.road == "window" else timedelta()
        rule.rests_until = self.now + max(timedelta(seconds=cost * REST_FACTOR), least)
        return values, references

    def _read_alone(self, rule: Rule) -> tuple[Values, References]:
        spec, plan = rule.spec, self.known.plan
        if rule.road == "watch":
            return {"{}": watch(self.unit, self.turn, plan, spec.watch, spec.window, self.now)}, {}
        if rule.road == "minutes":
            return self._from_minutes(rule)
        read = alert_history.read_window(self.unit, plan, rule, self.now - spec.window, self.now, patience=PATIENCE)
        return {rule.key(group): value for group, value in read.items()}, self._references(rule)

    def _from_minutes(self, rule: Rule) -> tuple[Values, References]:
        if rule.shape is None:
            return {}, {}  # nothing was ever mapped
        values = self._held(rule, rule.shape)
        if rule.spec.condition.type == "change":
            before = self._held(rule, rule.shape, rule.over)
            return values, {key: Reference(value) for key, value in before.items()}
        return values, self._references(rule)

    def _held(self, rule: Rule, shape: Shape, back: timedelta = _NOW) -> Values:
        """The rule's values as of so long ago, from the minutes that its shape holds."""
        asked = (id(shape), rule.reading, back)
        if asked not in self._shared:
            self._shared[asked] = shape.minutes.values(rule.measure, rule.minutes, self.now - back, over=bool(back))
        return rule.own(self._shared[asked])

    def _references(self, rule: Rule) -> References:
        """What lies too far back to be held: read once an hour, and where a change begins once a minute."""
        condition, spec, plan = rule.spec.condition, rule.spec, self.known.plan
        if condition.type in ("threshold", "missing"):
            return {}
        hour = alert_history.hour_of(self.now)
        since = moment_of(minute_of(self.now)) if condition.type == "change" else hour
        kept = self.known.past.get(rule.stored.id)
        if kept is not None and kept[0] == since and not self.quiet:
            return kept[1]
        found: dict[str, Reference] = {}
        if condition.type == "change":
            end = self.now - condition.over
            read = alert_history.read_window(self.unit, plan, rule, end - spec.window, end, patience=PATIENCE)
            found = {rule.key(group): Reference(value) for group, value in read.items()}
        elif (reach := alert_history.reach_of(condition, hour, spec.timezone)) is not None:
            past = alert_history.read_past(self.unit, plan, rule, *reach, patience=PATIENCE)
            for group, rows in past.items():
                found[rule.key(group)] = alert_history.usual(
                    condition, Past(rows), hour, spec.window, spec.timezone, counts=rule.counts
                )
        self.known.past[rule.stored.id] = (since, found)
        return found

    def _say(self, rule: Rule, error: str) -> None:
        """Notes on the rule why it cannot be evaluated, or that it can."""
        if rule.stored.error != error:
            alert_turns.note_error(self.unit, rule.stored.id, error)
            rule.stored = replace(rule.stored, error=error)

    # States ----------------------------------------------------------------------------------------------------------

    def _judge(self, rule: Rule, values: Values, references: References) -> None:
        states = self.known.states.setdefault(rule.stored.id, {})
        # Held against what is written in the rule, the same value is as well as it was.
        calm = rule.calm if not rule.spec.condition.has_reference else {}
        swept = rule.swept_at is not None and self.now < rule.swept_at + SWEPT_EVERY
        if rule.settled is states and values == calm and swept and not rule.stored.error:
            return
        if not swept:
            rule.swept_at = self.now
            self._sweep(rule, values, states)
        followed = self._followed(values, states)
        self._say(rule, "" if len(followed) == len(values) else CUT)
        settled = states.keys() <= values.keys() and len(followed) == len(values)
        for key, value in self._seen(rule, values, states, followed):
            state = states.get(key)
            well = state is not None and state.state == "ok" and not state.told
            if well and key in calm and calm[key] == value:
                continue
            seen = judge(rule.spec.condition, value, references.get(key))
            if seen.bad is False:
                calm[key] = value
                if well:
                    continue
            settled = False
            if state is not None and state.state == "ok" and seen.bad is None and rule.spec.no_data_state == "ok":
                if rule.by:
                    # A series that was well and has gone is nobody's concern.
                    self._forget(rule, key, states)
                continue
            self._step(rule, key, state or State(), seen, fresh=state is None, here=key in values)
        rule.settled = states if settled else None

    @staticmethod
    def _followed(values: Values, states: Mapping[str, State]) -> list[str]:
        """Series that have a value and are followed: those that are known, so that what fires can end, and as many new
        ones as there is room for."""
        new = values.keys() - states.keys()
        room = max(0, MOST_SERIES - len(states))
        if len(new) <= room:
            return list(values)
        return [key for key in values if key not in new] + sorted(new)[:room]

    @staticmethod
    def _seen(
        rule: Rule, values: Values, states: Mapping[str, State], keys: list[str]
    ) -> Iterator[tuple[str, float | None]]:
        """Every series with its value: those of `keys`, which have one now, and those that are known and have none."""
        gone = [key for key in states if key not in values]
        if not rule.by and not keys and not gone:
            # The one series of a rule without groups is there whether it has data or not.
            gone = ["{}"]
        for key in keys:
            yield key, values[key]
        for key in gone:
            yield key, 0.0 if rule.counts else None

    def _sweep(self, rule: Rule, values: Values, states: dict[str, State]) -> None:
        """Notes which series have data, and lets go of those that have had none for days and do not fire."""
        seen = self.known.seen.setdefault(rule.stored.id, {})
        for key, state in list(states.items()):
            last = seen.get(key)
            if key in values:
                if last is None or self.now - last >= SEEN_EVERY:
                    seen[key] = self.now
                    self.outcome.states[rule.stored.id, key] = state, True
            elif last is None:
                seen[key] = self.now
            elif rule.by and state.state in ("ok", "no_data") and self.now - last >= FORGOTTEN_AFTER:
                # Whoever was told that there is no data is told of the end of that.
                self._step(rule, key, state, Observation(None, False, True), fresh=False, here=False)
                self._forget(rule, key, states)

    def _forget(self, rule: Rule, key: str, states: dict[str, State]) -> None:
        del states[key]
        rule.calm.pop(key, None)
        self.known.seen.get(rule.stored.id, {}).pop(key, None)
        self.known.written.pop((rule.stored.id, key), None)
        self.outcome.gone.append((rule.stored.id, key))

    def _step(self, rule: Rule, key: str, before: State, seen: Observation, *, fresh: bool, here: bool) -> None:
        alert, spec = rule.stored.id, rule.spec
        muted = ""
        if self.mutes:
            facts = facts_of(spec.slug, spec.severity, self.turn.slug, spec.labels, read_series(key))
            muted = self.mutes.reason(facts, self.now)
        state, events = step(rule.timing, before, seen, self.now, muted=bool(muted), quiet=rule.rewritten)
        self.known.states[alert][key] = state
        for event in events:
            # Whom nobody is told of by anybody's choice is told of nobody's.
            told = event.tell and bool(rule.stored.sinks)
            why = "" if event.tell else REWRITTEN if rule.rewritten else muted
            self.outcome.events.append(
                StoredEvent(alert, self.turn.team, key, self.now, event.what, event.value, told, why)
            )
            if told:
                self.outcome.messages.append((rule, key, event, state))
        moved = fresh or bool(events) or replace(state, value=None) != replace(before, value=None)
        shown = self.known.written.get((alert, key))
        stale = shown is None or self.now - shown >= SHOWN_EVERY
        if moved or (state.state != "ok" and state.value != before.value and stale):
            self.outcome.states[alert, key] = state, here
            self.known.written[alert, key] = self.now
            if here:
                self.known.seen.setdefault(alert, {})[key] = self.now
