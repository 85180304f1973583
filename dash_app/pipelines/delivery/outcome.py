"""What an attempt was and what it has made of its message and its sink, written in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from dash_app.domain.delivery import Outcome, Standing, judge
from dash_app.domain.errors import DashError
from dash_app.pipelines.delivery import masking, outbox
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sinks.base import Answer
from dash_app.pipelines.sinks.base import Sink as SinkKind
from dash_app.storage import deliveries, people, sinks
from dash_app.storage.deliveries import Attempt, Taken
from dash_app.storage.sinks import Sink
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: What is kept of an attempt that succeeded, and of one that failed, in characters.
SHOWN_SENT = 1_000
SHOWN_FAILED = 4_000


@dataclass(frozen=True, slots=True)
class Hand:
    """What a worker has in hand: messages of one sink, and the sink ready to send them, or why it is not."""

    sink: Sink
    made: SinkKind | None
    problem: str
    secrets: tuple[str, ...]
    lease: UUID
    messages: tuple[Taken, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended."""

    outcome: Outcome
    answer: Answer
    error: str = ""
    retry_after: float | None = None
    #: Whether it says something about the sink, and not about this message alone.
    counts: bool = True


def load(app: Resources, unit: Unit, found: Sink) -> tuple[SinkKind | None, str, tuple[str, ...]]:
    """The sink with its secrets put in, or None and why it cannot be used; and its secrets, to be masked."""
    secrets: tuple[str, ...] = ()
    try:
        kind = app.sinks[found.kind]
        stored = {name: app.vault.get_all(unit, found.id, name) for name in kind.secrets}
        live = {name: kind.secret_from_text(name, texts[0]) for name, texts in stored.items() if texts}
        before = {name: texts[1] for name, texts in stored.items() if len(texts) > 1}
        secrets = masking.words([*live.values(), *before.values()])
        made = kind.from_options(dict(found.options) | live)
        made.previous = before
    except DashError as error:
        return None, f"this sink cannot be used as it is set up: {masking.masked(error.message, secrets)}", secrets
    return made, "", secrets


def note_outcome(
    unit: Unit,
    app: Resources,
    hand: Hand,
    one: Taken,
    ended: Ended,
    *,
    now: datetime,
    took: float,
    jitter: float = 0.0,
    once: bool = False,
) -> Attempt:
    """Writes an attempt, and what it has made of its message and of its sink. The caller commits."""
    sink = hand.sink
    shown = SHOWN_SENT if ended.outcome == "sent" else SHOWN_FAILED
    attempt = Attempt(
        number=one.attempts + 1,
        at=now - timedelta(seconds=took),
        milliseconds=round(took * 1000),
        outcome=ended.outcome,
        status=ended.answer.status,
        request=masking.masked(ended.answer.request, hand.secrets)[:shown],
        response=masking.masked(ended.answer.response, hand.secrets)[:shown],
        error=masking.masked(ended.error, hand.secrets)[:2000],
    )
    if ended.outcome == "sent":
        deliveries.note_sent(unit, sink.id, one.id, attempt, now)
        return attempt
    if ended.counts and not once:
        # It may be disabled by this, and whoever changes a sink locks it before its health.
        sinks.lock_state(unit, sink.id)
    held = deliveries.lock_health(unit, sink.id)
    verdict = judge(
        now,
        attempts=attempt.number,
        outcome=ended.outcome,
        standing=Standing(held.failures, held.failing_since, held.hold_until, held.failed_at),
        retry_after=ended.retry_after,
        jitter=jitter,
        once=once,
    )
    deliveries.settle(
        unit, one.id, hand.lease, state=verdict.state, next_at=verdict.next_at, now=now, error=attempt.error
    )
    deliveries.note_attempt(unit, sink.team, one.id, attempt)
    if ended.counts and not once:
        after = verdict.standing
        deliveries.note_failed(
            unit,
            sink.id,
            now,
            failures=after.failures,
            failing_since=after.failing_since,
            hold_until=after.hold_until,
            error=attempt.error,
        )
        if verdict.disabled:
            disable(unit, app, sink.id, f"{verdict.disabled}: {attempt.error}", now)
    return attempt


def disable(unit: Unit, app: Resources, sink: UUID, reason: str, now: datetime) -> None:
    """Gives a sink up: what waits becomes dead letters, and its team is told: in the audit trail, on the sink itself,
    and through those of its other sinks that serve alerts and reports alone."""
    found = sinks.lock(unit, sink)
    if found.state == "disabled":
        return
    sinks.move(unit, sink, "disabled", f"Disabled: {reason}")
    dead = deliveries.bury(unit, sink, f"the sink was disabled: {reason}", now)
    log.warning("sink.disabled", sink=str(sink), slug=found.slug, reason=reason, dead=dead)
    people.record(unit, None, found.team, "sink.disable", str(sink), {"slug": found.slug, "reason": reason[:500]})
    telling = [kind.kind for kind in app.sinks if kind.tells_people]
    payload: Mapping[str, Any] = {
        "alert": "sink_disabled",
        "state": "firing",
        "severity": "critical",
        "series": {"sink": found.slug},
        "value": None,
        "since": now.isoformat(),
        "labels": {},
        "link": "",
    }
    for other in sinks.telling(unit, found.team, telling, besides=sink):
        outbox.put(
            unit,
            app,
            found.team,
            other,
            "alert",
            payload,
            title=f"The sink {found.name} was disabled",
            text=f"Nothing is sent to it any more: {reason}. {dead:,} messages are kept as dead letters. "
            "Mend it, resume it, and send them again.",
            origin=found.slug,
        )
