"""Evaluating rules: when records come, and by the clock.

One look at a pipeline takes its turn (`storage.alert_turns`), reads what its rules share, moves the states of their
series by `domain.alert_machine` (`look`), and commits states, events and messages together. What is known by
heart (compiled rules, minutes, states) is a cache: it is dropped when somebody else has had the turn, when the pipeline
or a rule has changed, when notifications may have been missed, and when a look fails.

Which minutes have been touched is heard (`RowsAdded` names the times of what was written); that something was is seen
in the pipeline's counts, heard or not. So a deaf evaluator is late, and never wrong for longer than `AFRESH`.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from dash_app.domain.changes import CHANNEL, AlertChanged, PipelineChanged, RowsAdded, decode
from dash_app.domain.errors import DashError, Unavailable
from dash_app.pipelines.alerts import words as alert_words
from dash_app.pipelines.alerts.look import ALLOWANCE, FAILED_REST, Known, Look, Outcome
from dash_app.pipelines.alerts.mutes import Mutes
from dash_app.pipelines.alerts.plan import Rule, compile_rules
from dash_app.pipelines.delivery import outbox
from dash_app.pipelines.resources import Resources
from dash_app.storage import alert_mutes, alert_reads, alert_turns, catalog, deliveries
from dash_app.storage.alert_turns import Turn
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: How often the clock has every rule looked at, records or none: time itself moves windows.
CLOCK = timedelta(seconds=10)
#: The least time between two looks at a pipeline while records keep coming.
PACE = 1.0
#: After so long what is held of the minutes is read anew, whatever was heard.
AFRESH = timedelta(minutes=5)
#: Statements of a look end after so long.
PATIENCE = 5.0
#: A second that a team's rules read for themselves is paid back in so many; until then these rules wait.
TEAM_FACTOR = 4
#: A pipeline whose rules read for longer than so many seconds is looked at in a transaction of its own, at most so many
#: of these after one another.
SLOW = 0.25
SLOW_AT_ONCE = 3
#: Pipelines that are looked at in one transaction.
AT_ONCE = 25
#: A pipeline all of whose rules are off is looked at so seldom.
ASLEEP = timedelta(hours=1)
#: Between two rounds of looks: what is due meanwhile is looked at together, and what nobody rang for is found.
GATHER_SECONDS = 0.2
IDLE_SECONDS = 1.0


class Evaluator:
    """Evaluates rules; one of these a process. `clock` tells the time, which tests and simulations make up: without it
    it is the database's, which all evaluators have in common; `base_url`: where people reach Dash, for the links in
    messages."""

    def __init__(self, app: Resources, *, clock: Callable[[], datetime] | None = None, base_url: str = "") -> None:
        self._app = app
        self._clock = clock
        self._base_url = base_url.rstrip("/")
        self._holder = secrets.token_hex(8)
        self._known: dict[UUID, Known] = {}
        self._lock = threading.Lock()
        #: Minutes that were written to since the last look, by pipeline.
        self._touched: dict[UUID, tuple[int, int]] = {}
        #: Pipelines whose last look was slow.
        self._slow: set[UUID] = set()
        #: What teams have to pay back of the time that their rules took, in seconds, and as of when.
        self._debts: dict[UUID, tuple[float, float]] = {}
        self._hearing = 0
        self._rung = threading.Event()

    # What is heard ---------------------------------------------------------------------------------------------------

    def heard(self, text: str | None) -> None:
        """A notification of the database, or None where some may have been missed."""
        change = decode(text) if text is not None else None
        match change:
            case RowsAdded():
                self.touched(UUID(change.pipeline), change.time_min, change.time_max)
                self._rung.set()
            case AlertChanged() | PipelineChanged():
                self._rung.set()
            case None if text is None:
                self.deaf()

    def touched(self, pipeline: UUID, low: int | None, high: int | None) -> None:
        """Records of these times (epoch milliseconds) came, or went."""
        if low is None or high is None or pipeline not in self._known:
            return  # of what is not known yet nothing is held
        first, last = low // 60_000, high // 60_000
        with self._lock:
            before = self._touched.get(pipeline)
            if before is not None:
                first, last = min(first, before[0]), max(last, before[1])
            self._touched[pipeline] = (first, last)

    def deaf(self) -> None:
        """Notifications may have been missed: nothing that is held counts any more."""
        self._hearing += 1
        self._rung.set()

    # Looking ---------------------------------------------------------------------------------------------------------

    def look(self, *, everything: bool = False) -> int:
        """Looks at what is due, a bounded number of pipelines in one transaction; answers how many they were.

        Pipelines that were slow the last time have one each, so that they keep nobody waiting for a commit.
        `everything`: due or not, as simulations want it.
        """
        slow = [] if everything else list(self._slow)
        count = self._look_at_some(everything=everything, without=slow)
        for _ in range(SLOW_AT_ONCE if slow else 0):
            if not self._look_at_some(everything=False, only=slow, limit=1):
                break
        return count

    def _look_at_some(
        self,
        *,
        everything: bool,
        without: Sequence[UUID] = (),
        only: Sequence[UUID] | None = None,
        limit: int = AT_ONCE,
    ) -> int:
        with self._lock:
            heard = list(self._touched)
        with self._app.database.ingest() as unit:
            now = self._clock() if self._clock is not None else deliveries.clock(unit)
            turns = alert_turns.take(
                unit, now, touched=heard, everything=everything, limit=limit, without=without, only=only
            )
            if not turns:
                return 0
            try:
                self._look_at(unit, turns, now, everything=everything)
                unit.commit()
                return len(turns)
            except Unavailable:
                self._forget(turns)
                raise
            except Exception as error:
                # One of them spoils the transaction for all: each is looked at in its own, and the one is found.
                unit.rollback()
                self._forget(turns)
                log.warning("alerts.look_failed", pipelines=len(turns), error=str(error)[:300])
        for turn in turns:
            self._look_alone(turn.pipeline, now, everything=everything)
        return len(turns)

    def _forget(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            self._known.pop(turn.pipeline, None)

    def _look_alone(self, pipeline: UUID, now: datetime, *, everything: bool) -> None:
        """A look at one pipeline; what makes it fail is said on its rules, and it rests for a while."""
        with self._app.database.ingest() as unit:
            turn = alert_turns.take_one(unit, pipeline)
            if turn is None:
                return
            try:
                self._look_at(unit, [turn], now, everything=everything)
                unit.commit()
                return
            except Exception as error:
                unit.rollback()
                self._forget([turn])
                if isinstance(error, Unavailable):
                    raise
                message = error.message if isinstance(error, DashError) else "the server's log says why"
                log.exception("alerts.pipeline_failed", pipeline=str(pipeline))
        with self._app.database.ingest() as unit:
            turn = alert_turns.take_one(unit, pipeline)
            if turn is None:
                return
            for stored in alert_turns.rules(unit, pipeline):
                alert_turns.note_error(unit, stored.id, f"it could not be evaluated: {message}")
            # As if it had not been looked at: what a rewriting of history has changed is still that the next time.
            unseen = replace(turn, generation=turn.seen_generation)
            alert_turns.finish(unit, [(unseen, now + FAILED_REST, FAILED_REST.total_seconds())], "", now)
            unit.commit()

    def _look_at(self, unit: Unit, turns: Sequence[Turn], now: datetime, *, everything: bool) -> None:
        alert_reads.prepare(unit, PATIENCE)
        quiet, windows = alert_mutes.of_teams(unit, sorted({turn.team for turn in turns}), now)
        done: list[tuple[Turn, datetime, float]] = []
        for turn in turns:
            known = self._knowledge(unit, turn, now)
            if known.plan.rules:
                mutes = Mutes(quiet.get(turn.team, ()), windows.get(turn.team, ()))
                with self._lock:
                    touched = self._touched.pop(turn.pipeline, None)
                look = Look(unit, turn, known, mutes, now, touched, everything, self._allowance(turn.team))
                self._write(unit, turn, known, look.evaluate(), now)
                self._spent(turn, look.spent)
                due = now + timedelta(seconds=PACE) if look.left else _next(known, now)
                done.append((turn, due, max(PACE, known.plan.pace)))
            elif alert_turns.has_rules(unit, turn.pipeline):
                done.append((turn, now + ASLEEP, ASLEEP.total_seconds()))
            else:
                alert_turns.drop(unit, turn.pipeline)
                self._slow.discard(turn.pipeline)
                self._forget([turn])
        if done:
            alert_turns.finish(unit, done, self._holder, now)

    def _allowance(self, team: UUID) -> float:
        """Seconds that a team's rules may read for themselves now: one team's slow rules must not take up everybody's
        evaluator."""
        debt, at = self._debts.get(team, (0.0, 0.0))
        return ALLOWANCE - max(0.0, debt - (time.monotonic() - at)) / TEAM_FACTOR

    def _spent(self, turn: Turn, seconds: float) -> None:
        if seconds >= SLOW:
            self._slow.add(turn.pipeline)
        elif seconds:
            self._slow.discard(turn.pipeline)
        now = time.monotonic()
        debt, at = self._debts.get(turn.team, (0.0, now))
        debt = max(0.0, debt - (now - at)) + seconds * TEAM_FACTOR
        if debt:
            self._debts[turn.team] = (debt, now)
        else:
            self._debts.pop(turn.team, None)

    def _knowledge(self, unit: Unit, turn: Turn, now: datetime) -> Known:
        """What is known of a pipeline, read again as far as it may not be so any more."""
        mark = (turn.changes, turn.revision, turn.generation, self._hearing)
        known = self._known.get(turn.pipeline)
        if known is None or known.mark != mark or not known.plan.mapped:
            # Before anything is read: what is heard of from here on is kept for the next look.
            versions = catalog.versions(unit, turn.pipeline)
            known = Known(mark, compile_rules(alert_turns.rules(unit, turn.pipeline), versions), {}, now)
            self._known[turn.pipeline] = known
            for stored, error in known.plan.broken:
                alert_turns.note_error(unit, stored.id, error)
        elif turn.holder == self._holder:
            if now - known.read_at >= AFRESH:
                known.read_at = now
                for shape in known.plan.shapes:
                    shape.first = None
            return known
        # Somebody else has had the turn: the minutes are still what was heard of, the states are not.
        known.states, known.seen = alert_turns.states(unit, turn.pipeline)
        known.written.clear()
        return known

    def _write(self, unit: Unit, turn: Turn, known: Known, outcome: Outcome, now: datetime) -> None:
        if outcome.states:
            changed = [(*key, *state) for key, state in outcome.states.items()]
            alert_turns.save_states(unit, turn.team, changed, now)
        if outcome.gone:
            alert_turns.forget(unit, outcome.gone)
        if outcome.events:
            alert_turns.add_events(unit, outcome.events)
        for rule, key, event, state in outcome.messages:
            spec = rule.spec
            link = f"{self._base_url}/alerts/{spec.slug}"
            about = {"id": rule.stored.id, "pipeline": turn.slug}
            payload = alert_words.payload_of(spec, about, key, event, state, unit=_unit_of(known, rule), link=link)
            title, text = alert_words.title_of(payload), alert_words.text_of(spec, payload)
            for sink in rule.stored.sinks:
                outbox.put(
                    unit,
                    self._app,
                    turn.team,
                    sink,
                    "alert",
                    payload,
                    title=title,
                    text=text,
                    origin=spec.slug,
                    link=payload["link"],
                )

    # Going on --------------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Looks whenever something is due, until told to stop. What is lost with the database is found again."""
        ears = threading.Thread(target=self._listen, args=(stop,), name="alerts-ears", daemon=True)
        ears.start()
        while not stop.is_set():
            self._rung.clear()
            began = time.monotonic()
            try:
                while self.look() == AT_ONCE and not stop.is_set():
                    pass
            except DashError as error:
                log.warning("alerts.unavailable", error=error.message)
                stop.wait(IDLE_SECONDS)
            self._rung.wait(IDLE_SECONDS)
            stop.wait(max(0.0, GATHER_SECONDS - (time.monotonic() - began)))

    def _listen(self, stop: threading.Event) -> None:
        async def listen() -> None:
            while not stop.is_set():
                try:
                    fresh = True
                    async for text in self._app.database.listen(CHANNEL, idle=1.0):
                        if stop.is_set():
                            return
                        if text is not None or fresh:
                            self.heard(text)
                        fresh = False
                except Unavailable as error:
                    log.warning("alerts.deaf", error=error.message)
                    await asyncio.sleep(IDLE_SECONDS)

        asyncio.run(listen())


def _next(known: Known, now: datetime) -> datetime:
    """When the clock asks for the next look: soon where something waits to have lasted for long enough."""
    due = now + CLOCK
    for rule in known.plan.rules:
        states = known.states.get(rule.stored.id, {})
        if rule.settled is states:
            continue  # all of it is well, and waits for nothing
        for state in states.values():
            if state.state == "pending" and state.since is not None:
                due = min(due, state.since + rule.timing.pending_for)
            elif state.good_since is not None:
                due = min(due, state.good_since + rule.timing.keep_firing_for)
    return max(due, now + timedelta(seconds=PACE))


def _unit_of(known: Known, rule: Rule) -> str:
    field = known.plan.fields.get(rule.measure.field or "")
    return field.unit if field is not None and not rule.counts else ""
