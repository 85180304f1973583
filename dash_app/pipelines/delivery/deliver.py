"""Delivering what is in the outbox: a turn of one sink, its attempts, and what each of them means.

A turn takes some due messages in hand under a lease, tries them one after the other, and commits after each what has
become of it. Whatever ends the worker on the way, the messages it had in hand are due again when the lease ends, with
the same ids. What follows from an attempt is decided in `domain.delivery`; here it is done.

A sink that hangs starves nobody. At most `SINK_PLACES` workers have one sink's messages in hand, and one alone where
its last attempt failed; a team has `TEAM_PLACES`; and of a process's threads half are never given to sinks whose last
attempt failed. An attempt that does not end in time is left behind on its own thread.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import orjson
import structlog

from dash_app.domain.changes import SinkChanged
from dash_app.domain.delivery import BREAKER_FAILURES
from dash_app.domain.errors import DashError, NotFound, Permanent, Transient
from dash_app.pipelines.delivery import outbox
from dash_app.pipelines.delivery.bounds import GRACE_SECONDS, Bounds
from dash_app.pipelines.delivery.messages import message_of
from dash_app.pipelines.delivery.outcome import Ended, Hand, load, note_outcome
from dash_app.pipelines.pictures.alert import chart_of
from dash_app.pipelines.reach.keep_alive import KeptReach
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sinks.base import Answer, Busy, File, Gone, Message
from dash_app.pipelines.sinks.base import Sink as SinkKind
from dash_app.storage import deliveries, sinks
from dash_app.storage.deliveries import Taken
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: How many turns a process works on at a time, and how many threads its queue has, which only hand them out.
THREADS = 16
QUEUE_THREADS = 2
#: How many workers have messages of one sink, and of one team, in hand at most.
SINK_PLACES = 4
TEAM_PLACES = 8
#: How many threads of a process may be busy with sinks whose last attempt failed.
FAILING_THREADS = THREADS // 2
#: How many messages are taken in hand at once; the rest is given back when so many seconds are over.
HAND = 50
TURN_SECONDS = 2.0
#: How much longer than the last attempt may take a lease holds.
MARGIN_SECONDS = 5.0
#: How often people who look at a sink are told that it has sent something, in seconds.
TELL_SECONDS = 1.0
#: How long a process that ends waits for attempts in hand.
DRAIN_SECONDS = 5.0

Clock = Callable[[Unit], datetime]


class _Lost(Exception):
    """The message is not under this worker's lease any more: somebody else sends it, or nobody is to."""


class Deliver:
    """Delivers; one of these a process, with the connections it keeps. Close it when done."""

    def __init__(
        self,
        app: Resources,
        *,
        clock: Clock = deliveries.clock,
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),
        bounds: Bounds | None = None,
    ) -> None:
        self._app = app
        self._clock = clock
        self._jitter = jitter
        self._reach = KeptReach.over(app.reach, most=4 * THREADS, kept=2 * THREADS)
        self._failing = threading.BoundedSemaphore(FAILING_THREADS)
        self._bounds = bounds or Bounds(ends_process=True)
        self._told: dict[UUID, float] = {}
        #: Of the hands that are being worked on.
        self._leases: set[UUID] = set()
        self._slots = threading.BoundedSemaphore(THREADS)
        self._stopping = threading.Event()

    def submit(self, sink: UUID) -> None:
        """A turn of a sink on a thread of its own; waits until there is one."""
        while not self._slots.acquire(timeout=0.5):
            if self._stopping.is_set():
                return
        threading.Thread(target=self._turn, args=(sink,), name=f"deliver {sink}", daemon=True).start()

    def _turn(self, sink: UUID) -> None:
        try:
            with structlog.contextvars.bound_contextvars(task="deliver", argument=str(sink)):
                self.run(sink)
        except DashError as error:
            # Leases end by themselves, and the clock finds what is due.
            log.warning("deliver.turn_ended", error=error.message)
        except Exception:
            log.exception("deliver.turn_broke")
        finally:
            self._slots.release()

    def stop(self) -> None:
        """Each turn ends after the attempt in hand; what it has not tried yet is given back."""
        self._stopping.set()

    def close(self) -> None:
        """Waits for attempts in hand, for a while; whatever is cut off is sent again, under the same id."""
        self.stop()
        until = time.monotonic() + DRAIN_SECONDS
        for _ in range(THREADS):
            if not self._slots.acquire(timeout=max(0.0, until - time.monotonic())):
                self._let_go()
                return
        self._reach.close()

    def _let_go(self) -> None:
        """What is still in hand is due for others at once: its worker is about to be gone."""
        try:
            with self._app.database.ingest() as unit:
                deliveries.let_go(unit, list(self._leases), self._clock(unit))
                unit.commit()
        except DashError as error:
            # Then it is due when the leases end.
            log.warning("deliver.leases_left", error=error.message)

    def run(self, sink: UUID) -> None:
        """A turn of one sink: what is due is tried, for about `TURN_SECONDS`. Where more is due it is queued again."""
        began = time.monotonic()
        while not self._stopping.is_set():
            failing = self._is_failing(sink)
            if failing is None or (failing and not self._failing.acquire(blocking=False)):
                return
            hand = None
            try:
                hand = self._take(sink)
                go_on = hand is not None and self._work(hand, began)
            finally:
                if hand is not None:
                    self._leases.discard(hand.lease)
                if failing:
                    self._failing.release()
            if hand is None:
                return
            if not go_on or time.monotonic() - began > TURN_SECONDS:
                # Others first; a turn that finds nothing to do, or a breaker that is open, costs little.
                with self._app.database.ingest() as unit:
                    deliveries.ring(unit, [sink])
                    unit.commit()
                return

    def _is_failing(self, sink: UUID) -> bool | None:
        with self._app.database.ingest() as unit:
            failures = unit.value("SELECT failures FROM sink_health WHERE sink_id = %s", (sink,))
            return None if failures is None else failures > 0

    def _take(self, sink: UUID) -> Hand | None:
        """Due messages of a sink, where it may be sent to and has a place left."""
        with self._app.database.ingest() as unit:
            try:
                found = sinks.get(unit, sink)
            except NotFound:
                return None
            if found.state != "active":
                return None
            deliveries.lock_places(unit, found.team)
            now = self._clock(unit)
            if found.health.hold_until is not None and now < found.health.hold_until:
                return None
            of_team, of_sink = deliveries.places(unit, found.team, sink, now)
            allowed = 1 if found.health.failures else SINK_PLACES
            if of_sink >= allowed or of_team >= TEAM_PLACES:
                return None
            # After an open breaker one message is the probe.
            most = 1 if found.health.failures >= BREAKER_FAILURES else HAND
            made, problem, secrets = load(self._app, unit, found)
            lease = uuid4()
            self._leases.add(lease)
            until = now + timedelta(seconds=_lease_seconds(made))
            messages = deliveries.take(unit, sink, now, lease=lease, until=until, most=most)
            if len(messages) == HAND and of_sink + 1 < allowed:
                deliveries.ring(unit, [sink])
            unit.commit()
        if not messages:
            self._leases.discard(lease)
            return None
        return Hand(found, made, problem, secrets, lease, tuple(messages))

    def _work(self, hand: Hand, began: float) -> bool:
        """Tries what is in hand; whether to go on with this sink. The first failure ends it: what comes next would fail
        too, or wait for as long."""
        for number, one in enumerate(hand.messages):
            rest = [other.id for other in hand.messages[number + 1 :]]
            go_on = self.attempt(hand, one)
            if rest and (not go_on or self._stopping.is_set() or time.monotonic() - began > TURN_SECONDS):
                with self._app.database.ingest() as unit:
                    deliveries.give_back(unit, hand.lease, rest, self._clock(unit))
                    unit.commit()
                return go_on
            if not go_on:
                return False
        return True

    def attempt(self, hand: Hand, one: Taken, *, once: bool = False) -> bool:
        """One attempt at one message, and what follows from it, committed; whether the sink can be sent more.

        Nothing is tried and nothing follows where the message is somebody else's by now.
        """
        began = time.monotonic()
        try:
            ended = self._try(hand, one)
        except _Lost:
            log.warning("deliver.lease_lost", sink=str(hand.sink.id), message=str(one.id))
            return False
        took = time.monotonic() - began
        with self._app.database.ingest() as unit:
            # What is lost with the machine is sent again, under the same id.
            unit.execute("SET LOCAL synchronous_commit = off")
            now = self._clock(unit)
            note_outcome(unit, self._app, hand, one, ended, now=now, took=took, jitter=self._jitter(), once=once)
            if self._worth_telling(hand.sink.id, ended):
                unit.notify(SinkChanged(str(hand.sink.id)))
            unit.commit()
        return ended.outcome == "sent" or not ended.counts or ended.outcome == "refused"

    def _try(self, hand: Hand, one: Taken) -> Ended:
        if hand.made is None:
            return Ended("failed", Answer(), hand.problem)
        try:
            message = self._message(hand, one)
        except _Lost:
            raise
        except DashError as error:
            return Ended("refused", Answer(), error.message, counts=False)
        except Exception as error:
            # A bug that one message brings out: it alone is tried again, and becomes a dead letter in the end.
            log.exception("deliver.message_broke", sink=str(hand.sink.id), message=str(one.id))
            return Ended("failed", Answer(), _internal(error), counts=False)
        made = hand.made
        try:
            return Ended("sent", self._bounds.run(lambda: made.send(message, self._reach), float(made.timeout_seconds)))
        except Gone as error:
            return Ended("gone", _answer_of(error), error.message)
        except Permanent as error:
            return Ended("refused", _answer_of(error), error.message)
        except Busy as error:
            return Ended("failed", Answer(), error.message, counts=False)
        except Transient as error:
            return Ended("failed", _answer_of(error), error.message, error.retry_after)
        except Exception as error:
            # A bug, and in one kind of sink: it is shown and tried again like what others do wrong.
            log.exception("deliver.broke", sink=str(hand.sink.id), kind=hand.sink.kind)
            return Ended("failed", Answer(), _internal(error))

    def _message(self, hand: Hand, one: Taken) -> Message:
        files: list[File] = []
        if one.has_files:
            with self._app.database.ingest() as unit:
                files = [File(*file) for file in deliveries.files(unit, one.id)]
        payload = orjson.loads(one.payload)
        if one.type == "alert" and hand.made is not None and hand.made.draws and not files:
            files += [chart] if (chart := chart_of(self._app, hand.sink.team, payload)) else []
            # The lease was made for attempts alone, and others may have waited for their charts before.
            with self._app.database.ingest() as unit:
                until = self._clock(unit) + timedelta(seconds=_lease_seconds(hand.made))
                held = deliveries.renew(unit, hand.lease, until)
                unit.commit()
            if one.id not in held:
                raise _Lost
        return message_of(
            id=outbox.message_id(one.id),
            type=one.type,
            at=one.created_at,
            team=one.team_slug,
            sink=hand.sink.slug,
            origin=one.origin,
            title=one.title,
            text=one.text,
            payload=payload,
            link=one.link,
            files=files,
            template=hand.sink.template,
        )

    def _worth_telling(self, sink: UUID, ended: Ended) -> bool:
        now = time.monotonic()
        if ended.outcome == "sent" and now - self._told.get(sink, 0.0) < TELL_SECONDS:
            return False
        self._told[sink] = now
        return True


def _internal(error: Exception) -> str:
    return f"Internal error ({type(error).__name__}); the worker's log says more."


def _answer_of(error: DashError) -> Answer:
    answer = error.extra.get("answer")
    return answer if isinstance(answer, Answer) else Answer()


def _lease_seconds(made: SinkKind | None) -> float:
    longest = float(made.timeout_seconds) if made is not None else 0.0
    return longest + GRACE_SECONDS + TURN_SECONDS + MARGIN_SECONDS
