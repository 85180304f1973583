"""Messages and attempts as people look at them, counted, and forgotten when they are old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from dash_app.domain.errors import NotFound
from dash_app.storage.deliveries import Attempt
from dash_app.storage.unit import Unit

#: How long messages are kept once they are sent or cancelled, and dead letters; how many sent ones of a sink at most.
KEEP_SENT = timedelta(days=7)
KEEP_DEAD = timedelta(days=30)
MOST_SENT = 100_000
#: A message that has waited for so long (its sink is paused) becomes a dead letter.
LONGEST_WAIT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message and where it stands. `state`: waiting | sent | dead | cancelled; `in_hand`: being attempted now."""

    id: UUID
    sink: UUID
    pipeline: UUID | None
    type: str
    origin: str
    title: str
    text: str
    link: str
    records: int
    state: str
    attempts: int
    next_at: datetime | None
    in_hand: bool
    error: str
    created_at: datetime
    done_at: datetime | None


_SELECT = """
SELECT id, sink_id, pipeline_id, type, origin, title, body, link, records, state, attempts,
  CASE WHEN state = 'waiting' AND lease IS NULL THEN next_at END,
  state = 'waiting' AND lease IS NOT NULL AND next_at > clock_timestamp(), error, created_at, done_at
FROM deliveries
"""


def listed(
    unit: Unit, sink: UUID, *, state: str | None = None, limit: int = 100, before: UUID | None = None
) -> list[Delivery]:
    """A sink's messages, newest first."""
    rows = unit.rows(
        f"{_SELECT} WHERE sink_id = %(sink)s AND (%(before)s::uuid IS NULL OR id < %(before)s) "
        # Written out for dead letters, whose index is their own.
        + ("AND state = 'dead' " if state == "dead" else "AND (%(state)s::text IS NULL OR state = %(state)s) ")
        + "ORDER BY id DESC LIMIT %(limit)s",
        {"sink": sink, "before": before, "state": state, "limit": limit},
    )
    return [Delivery(*row) for row in rows]


def get(unit: Unit, sink: UUID, delivery: UUID) -> tuple[Delivery, bytes]:
    """One message and its payload as JSON. Raises NotFound."""
    row = unit.row(f"{_SELECT} WHERE id = %s AND sink_id = %s", (delivery, sink))
    if row is None:
        raise NotFound("no such delivery")
    payload = unit.value("SELECT payload::text FROM deliveries WHERE id = %s", (delivery,))
    return Delivery(*row), payload.encode()


def attempts(unit: Unit, delivery: UUID, *, limit: int = 100) -> list[Attempt]:
    """The attempts at a message, newest first."""
    rows = unit.rows(
        "SELECT number, at, milliseconds, outcome, status, request, response, error FROM delivery_attempts "
        "WHERE delivery_id = %s ORDER BY id DESC LIMIT %s",
        (delivery, limit),
    )
    return [Attempt(*row) for row in rows]


def waiting(unit: Unit, sinks: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """How many messages of each sink wait, and how many are dead letters that `resend` would send again, each counted
    up to 10,000."""
    rows = unit.rows(
        "SELECT s, "
        "(SELECT count(*) FROM (SELECT FROM deliveries WHERE sink_id = s AND state = 'waiting' LIMIT 10000) w), "
        "(SELECT count(*) FROM ("
        "  SELECT FROM deliveries WHERE sink_id = s AND state = 'dead' AND type <> 'test' LIMIT 10000) d) "
        "FROM unnest(%s::uuid[]) AS s",
        (list(sinks),),
    )
    return {sink: (waits, dead) for sink, waits, dead in rows}


@dataclass(frozen=True, slots=True)
class Totals:
    """Deliveries of the whole installation by kind of sink: (kind, state) → how many; and sinks by (kind, state)."""

    deliveries: Mapping[tuple[str, str], int]
    attempts_failed: Mapping[str, int]
    sinks: Mapping[tuple[str, str], int]
    #: Seconds for which the oldest message has been due.
    oldest_due: float


_TOTALS = """
SELECT s.kind, s.state, count(*), sum(h.sent)::bigint, sum(h.failed)::bigint, sum(w.n)::bigint, sum(d.n)::bigint
FROM sinks s JOIN sink_health h ON h.sink_id = s.id,
LATERAL (SELECT count(*) n FROM (
  SELECT FROM deliveries WHERE sink_id = s.id AND state = 'waiting' LIMIT 10000) x) w,
LATERAL (SELECT count(*) n FROM (
  SELECT FROM deliveries WHERE sink_id = s.id AND state = 'dead' AND type <> 'test' LIMIT 10000) x) d
GROUP BY s.kind, s.state
"""


def totals(unit: Unit) -> Totals:
    """Sent ones are those ever sent; waiting and dead ones those that are there, up to 10,000 of each sink."""
    counted: dict[tuple[str, str], int] = {}
    failed: dict[str, int] = {}
    states: dict[tuple[str, str], int] = {}
    rows = unit.rows(_TOTALS)
    for kind, state, count, sent, misses, waits, dead in rows:
        states[kind, state] = count
        failed[kind] = failed.get(kind, 0) + misses
        for name, amount in (("sent", sent), ("waiting", waits), ("dead", dead)):
            counted[kind, name] = counted.get((kind, name), 0) + amount
    oldest = unit.value(
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(d.next_at)), 0)::float8 FROM sinks s, LATERAL ("
        "  SELECT next_at FROM deliveries WHERE sink_id = s.id AND state = 'waiting' ORDER BY next_at LIMIT 1) d "
        "WHERE s.state = 'active'"
    )
    return Totals(counted, failed, states, max(0.0, oldest or 0.0))


# Kept bounded --------------------------------------------------------------------------------------------------------


def prune(unit: Unit, now: datetime, *, limit: int = 10_000) -> int:
    """Forgets what is done and old, and what belonged to sinks that are gone: so many rows a call at most. How many."""
    removed = 0
    for (sink,) in unit.rows(
        "SELECT sink_id FROM sink_health h WHERE NOT EXISTS (SELECT FROM sinks WHERE id = h.sink_id)"
    ):
        count = unit.execute(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE sink_id = %s LIMIT %s)", (sink, limit)
        ).rowcount
        removed += count
        if not count:
            unit.execute("DELETE FROM sink_health WHERE sink_id = %s", (sink,))
    for (sink,) in unit.rows("SELECT id FROM sinks"):
        if removed >= limit:
            break
        unit.execute(
            "UPDATE deliveries SET state = 'dead', done_at = %s, error = 'waited too long' "
            # Of what is old by its id, that which was put out again only lately has not waited.
            "WHERE sink_id = %s AND state = 'waiting' AND lease IS NULL AND id < %s AND next_at < %s",
            (now, sink, _floor(now - LONGEST_WAIT), now - LONGEST_WAIT),
        )
        removed += _prune_sink(unit, sink, now, limit)
    return removed


def _prune_sink(unit: Unit, sink: UUID, now: datetime, limit: int) -> int:
    # Ids tell time, so that what is old stands together at the beginning of the index.
    surplus = unit.value(
        "SELECT id FROM deliveries WHERE sink_id = %s ORDER BY id DESC OFFSET %s LIMIT 1", (sink, MOST_SENT)
    )
    # What is old by its id may have been sent again lately: then it is kept from there on.
    return unit.execute(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE sink_id = %(sink)s AND ("
        "(state IN ('sent', 'cancelled') AND (id < %(surplus)s OR (id < %(sent)s AND done_at < %(sent_at)s))) "
        "OR (state = 'dead' AND id < %(dead)s AND done_at < %(dead_at)s)) LIMIT %(limit)s)",
        {
            "sink": sink,
            "surplus": surplus or UUID(int=0),
            "sent": _floor(now - KEEP_SENT),
            "sent_at": now - KEEP_SENT,
            "dead": _floor(now - KEEP_DEAD),
            "dead_at": now - KEEP_DEAD,
            "limit": limit,
        },
    ).rowcount


def _floor(moment: datetime) -> UUID:
    """The smallest id that can have been given at `moment` or later."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
