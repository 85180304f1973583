"""The outbox and what became of it: messages that wait, who has them in hand, every attempt.

A worker takes due messages under a lease: a token, and an end that stands where the time of the next attempt stood, so
that what a dead worker had in hand is due again by itself. Times are the database's, which `clock` tells; callers hand
`now` down, and tests hand down another one. Every function leaves the commit to its caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dash_app.domain.errors import NotFound
from dash_app.storage.unit import Unit

#: With so many bytes of payloads taken in hand no further message is.
HAND_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way into the outbox. `error`: it is a dead letter from the beginning, and why."""

    id: UUID
    team: UUID
    sink: UUID
    pipeline: UUID | None
    type: str
    origin: str
    title: str
    text: str
    link: str
    #: JSON.
    payload: bytes
    records: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that a worker has in hand."""

    id: UUID
    pipeline: UUID | None
    type: str
    origin: str
    title: str
    text: str
    link: str
    payload: bytes
    attempts: int
    created_at: datetime
    team_slug: str
    has_files: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, for people to look at. `milliseconds`: how long; `outcome`: sent | failed | refused | gone."""

    number: int
    at: datetime
    milliseconds: int
    outcome: str
    status: int = 0
    request: str = ""
    response: str = ""
    error: str = ""


def clock(unit: Unit) -> datetime:
    """The database's time, which all workers have in common."""
    now: datetime = unit.value("SELECT clock_timestamp()")
    return now


# In ------------------------------------------------------------------------------------------------------------------

_PUT = """
INSERT INTO deliveries (id, team_id, sink_id, pipeline_id, type, origin, title, body, link, payload, records,
  state, error, done_at)
SELECT g.id, g.team, g.sink, g.pipeline, g.type, g.origin, g.title, g.body, g.link, g.payload::json, g.records,
  CASE WHEN w.why <> '' THEN 'dead' ELSE 'waiting' END, w.why, CASE WHEN w.why <> '' THEN clock_timestamp() END
FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[],
  %s::text[], %s::text[], %s::int[], %s::text[])
  AS g (id, team, sink, pipeline, type, origin, title, body, link, payload, records, error)
JOIN sinks s ON s.id = g.sink,
LATERAL (SELECT CASE
  WHEN g.error <> '' THEN g.error WHEN s.state = 'disabled' THEN 'the sink was disabled' ELSE '' END) w (why)
"""


def put(unit: Unit, outgoing: Sequence[Outgoing]) -> None:
    """Writes messages; those for a sink that is gone are dropped, those for one that is disabled are dead letters."""
    if not outgoing:
        return
    columns = zip(
        *(
            (
                *(o.id, o.team, o.sink, o.pipeline, o.type, _text(o.origin), _text(o.title), _text(o.text)),
                *(_text(o.link), o.payload.decode(), o.records, _text(o.error)),
            )
            for o in outgoing
        ),
        strict=True,
    )
    unit.execute(_PUT, [list(column) for column in columns])


def put_files(unit: Unit, team: UUID, delivery: UUID, files: Sequence[tuple[str, str, bytes]]) -> None:
    """Files of a message: (name, content type, bytes)."""
    unit.executemany(
        "INSERT INTO delivery_files (delivery_id, position, team_id, name, content_type, data) "
        # A message that was dropped takes its files along.
        "SELECT %s, %s, %s, %s, %s, %s WHERE EXISTS (SELECT FROM deliveries WHERE id = %s)",
        [(delivery, n, team, name, kind, data, delivery) for n, (name, kind, data) in enumerate(files)],
    )


def files(unit: Unit, delivery: UUID) -> list[tuple[str, str, bytes]]:
    rows = unit.rows(
        "SELECT name, content_type, data FROM delivery_files WHERE delivery_id = %s ORDER BY position", (delivery,)
    )
    return [(name, kind, bytes(data)) for name, kind, data in rows]


def ring(unit: Unit, sinks: Sequence[UUID], *, urgent: bool = False) -> None:
    """Has the workers look at these sinks once this is committed."""
    unit.execute("SELECT dash.ring_sinks(%s, %s)", (list(sinks), urgent))


# In hand -------------------------------------------------------------------------------------------------------------


def due_sinks(unit: Unit, now: datetime, *, limit: int = 1000) -> list[UUID]:
    """Active sinks that may be sent to and have something due, those that have waited longest first."""
    rows = unit.rows(
        "SELECT s.id FROM sinks s JOIN sink_health h ON h.sink_id = s.id, LATERAL ("
        "  SELECT next_at FROM deliveries d WHERE d.sink_id = s.id AND d.state = 'waiting' AND d.next_at <= %(now)s "
        "  ORDER BY next_at LIMIT 1) d "
        "WHERE s.state = 'active' AND (h.hold_until IS NULL OR h.hold_until <= %(now)s) "
        "ORDER BY d.next_at LIMIT %(limit)s",
        {"now": now, "limit": limit},
    )
    return [row[0] for row in rows]


def lock_places(unit: Unit, team: UUID) -> None:
    """Until this transaction ends, nobody else takes a place of this team."""
    number = int.from_bytes(hashlib.blake2b(team.bytes, digest_size=8).digest(), "big", signed=True)
    unit.execute("SELECT pg_advisory_xact_lock(%s)", (number ^ 0x51,))


def places(unit: Unit, team: UUID, sink: UUID, now: datetime) -> tuple[int, int]:
    """How many workers have messages of the team in hand, and how many of the sink."""
    row = unit.row(
        "SELECT count(DISTINCT lease), count(DISTINCT lease) FILTER (WHERE sink_id = %s) FROM deliveries "
        "WHERE team_id = %s AND lease IS NOT NULL AND next_at > %s",
        (sink, team, now),
    )
    assert row is not None
    return row[0], row[1]


def tests_under_way(unit: Unit, team: UUID, now: datetime) -> tuple[int, int]:
    """How many test messages are in hand: the team's, and everybody's."""
    row = unit.row(
        "SELECT count(*) FILTER (WHERE team_id = %s), count(*) FROM deliveries "
        "WHERE lease IS NOT NULL AND type = 'test' AND next_at > %s",
        (team, now),
    )
    assert row is not None
    return row[0], row[1]


_TAKE = """
WITH found AS (
  SELECT id, next_at, octet_length(payload::text) AS bytes FROM deliveries
  WHERE sink_id = %(sink)s AND state = 'waiting' AND next_at <= %(now)s
  ORDER BY next_at, id LIMIT %(most)s FOR UPDATE SKIP LOCKED
), summed AS (
  SELECT id, next_at, sum(bytes) OVER (ORDER BY next_at, id) - bytes AS before FROM found
), due AS (
  SELECT id, next_at FROM summed WHERE before < %(bytes)s
), taken AS (
  UPDATE deliveries d SET lease = %(lease)s, next_at = %(until)s FROM due WHERE d.id = due.id
  RETURNING d.id, d.team_id, d.pipeline_id, d.type, d.origin, d.title, d.body, d.link, d.payload::text, d.attempts,
    d.created_at, due.next_at
)
SELECT t.id, t.pipeline_id, t.type, t.origin, t.title, t.body, t.link, t.payload, t.attempts, t.created_at, m.slug,
  EXISTS (SELECT FROM delivery_files f WHERE f.delivery_id = t.id)
FROM taken t JOIN teams m ON m.id = t.team_id ORDER BY t.next_at, t.id
"""


def take(unit: Unit, sink: UUID, now: datetime, *, lease: UUID, until: datetime, most: int) -> list[Taken]:
    """Takes up to `most` due messages of a sink in hand, those that are due longest first; fewer where their payloads
    are large, and one always."""
    rows = unit.rows(
        _TAKE, {"sink": sink, "now": now, "lease": lease, "until": until, "most": most, "bytes": HAND_BYTES}
    )
    return [_taken(row) for row in rows]


def take_one(unit: Unit, delivery: UUID, *, lease: UUID, until: datetime) -> Taken:
    """Takes one message in hand that nobody else has (it was put in this transaction)."""
    row = unit.row(
        "UPDATE deliveries d SET lease = %s, next_at = %s FROM teams m WHERE d.id = %s AND m.id = d.team_id "
        "RETURNING d.id, d.pipeline_id, d.type, d.origin, d.title, d.body, d.link, d.payload::text, d.attempts, "
        "d.created_at, m.slug, false",
        (lease, until, delivery),
    )
    if row is None:
        raise NotFound("no such delivery")
    return _taken(row)


def _taken(row: Sequence[Any]) -> Taken:
    values = list(row)
    values[7] = values[7].encode()
    return Taken(*values)


def give_back(unit: Unit, lease: UUID, ids: Sequence[UUID], now: datetime) -> None:
    """Messages that were in hand and were not tried: they are due as before."""
    unit.execute(
        "UPDATE deliveries SET lease = NULL, next_at = %s WHERE id = ANY(%s) AND lease = %s AND state = 'waiting'",
        (now, list(ids), lease),
    )


def let_go(unit: Unit, leases: Sequence[UUID], now: datetime) -> None:
    """Everything under these leases is due as before."""
    unit.execute(
        "UPDATE deliveries SET lease = NULL, next_at = %s WHERE lease = ANY(%s) AND state = 'waiting'",
        (now, list(leases)),
    )


def renew(unit: Unit, lease: UUID, until: datetime) -> set[UUID]:
    """Everything that is still under this lease stays so for longer; answers what that is."""
    rows = unit.rows(
        "UPDATE deliveries SET next_at = greatest(next_at, %s) WHERE lease = %s AND state = 'waiting' RETURNING id",
        (until, lease),
    )
    return {row[0] for row in rows}


def note_attempt(unit: Unit, team: UUID, delivery: UUID, attempt: Attempt) -> None:
    unit.execute(
        "INSERT INTO delivery_attempts "
        "(delivery_id, team_id, number, at, milliseconds, outcome, status, request, response, error) "
        # A message can be forgotten while it is in hand: its sink was deleted.
        "SELECT id, %s, %s, %s, %s, %s, %s, %s, %s, %s FROM deliveries WHERE id = %s",
        (
            *(team, attempt.number, attempt.at, attempt.milliseconds, attempt.outcome, attempt.status),
            *(_text(attempt.request), _text(attempt.response), _text(attempt.error), delivery),
        ),
    )


def settle(
    unit: Unit, delivery: UUID, lease: UUID, *, state: str, next_at: datetime | None, now: datetime, error: str
) -> bool:
    """Writes what a failed attempt has made of a message; False where it was no longer this worker's to say."""
    return bool(
        unit.execute(
            "UPDATE deliveries SET state = %(state)s, attempts = attempts + 1, lease = NULL, error = %(error)s, "
            "next_at = coalesce(%(next)s, %(now)s), done_at = CASE WHEN %(state)s <> 'waiting' THEN %(now)s END "
            "WHERE id = %(id)s AND lease = %(lease)s AND state <> 'sent'",
            {"id": delivery, "lease": lease, "state": state, "next": next_at, "now": now, "error": _text(error)},
        ).rowcount
    )


@dataclass(frozen=True, slots=True)
class Held:
    """A sink's standing, locked until the transaction ends."""

    failures: int
    failing_since: datetime | None
    hold_until: datetime | None
    #: When it failed last.
    failed_at: datetime | None


def lock_health(unit: Unit, sink: UUID) -> Held:
    """Whoever may change the sink itself as well locks that before (`sinks.lock`)."""
    row = unit.row(
        "SELECT failures, failing_since, hold_until, failed_at FROM sink_health WHERE sink_id = %s FOR UPDATE", (sink,)
    )
    if row is None:
        raise NotFound("no such sink")
    return Held(*row)


_SENT = """
WITH health AS (
  UPDATE sink_health SET failures = 0, failing_since = NULL, hold_until = NULL, sent = sent + 1, sent_at = %(now)s
  WHERE sink_id = %(sink)s RETURNING sink_id
), settled AS (
  UPDATE deliveries SET state = 'sent', attempts = attempts + 1, lease = NULL, error = '', next_at = %(now)s,
    done_at = %(now)s
  -- After the health, whose lock everybody takes first.
  FROM health WHERE id = %(id)s AND state <> 'sent'
)
INSERT INTO delivery_attempts (delivery_id, team_id, number, at, milliseconds, outcome, status, request, response)
SELECT id, team_id, %(number)s, %(at)s, %(milliseconds)s, 'sent', %(status)s, %(request)s, %(response)s
FROM deliveries WHERE id = %(id)s
"""


def note_sent(unit: Unit, sink: UUID, delivery: UUID, attempt: Attempt, now: datetime) -> None:
    """An attempt succeeded: the message is sent, whoever has it in hand, and whatever failed before is over."""
    unit.execute(
        _SENT,
        {
            "now": now,
            "sink": sink,
            "id": delivery,
            "number": attempt.number,
            "at": attempt.at,
            "milliseconds": attempt.milliseconds,
            "status": attempt.status,
            "request": _text(attempt.request),
            "response": _text(attempt.response),
        },
    )


def note_failed(
    unit: Unit,
    sink: UUID,
    now: datetime,
    *,
    failures: int,
    failing_since: datetime | None,
    hold_until: datetime | None,
    error: str,
) -> None:
    unit.execute(
        "UPDATE sink_health SET failures = %s, failing_since = %s, hold_until = %s, failed = failed + 1, "
        "failed_at = %s, error = %s WHERE sink_id = %s",
        (failures, failing_since, hold_until, now, _text(error)[:2000], sink),
    )


# Out -----------------------------------------------------------------------------------------------------------------


def bury(unit: Unit, sink: UUID, reason: str, now: datetime) -> int:
    """Makes dead letters of all that waits for a sink; answers how many."""
    return unit.execute(
        "UPDATE deliveries SET state = 'dead', lease = NULL, error = %s, done_at = %s "
        "WHERE sink_id = %s AND state = 'waiting'",
        (_text(reason), now, sink),
    ).rowcount


def cancel(unit: Unit, sink: UUID, delivery: UUID, now: datetime) -> bool:
    """A message that waits is not sent any more; False where it was not waiting."""
    return bool(
        unit.execute(
            "UPDATE deliveries SET state = 'cancelled', lease = NULL, done_at = %s "
            "WHERE id = %s AND sink_id = %s AND state = 'waiting'",
            (now, delivery, sink),
        ).rowcount
    )


def resend(
    unit: Unit,
    sink: UUID,
    now: datetime,
    *,
    delivery: UUID | None = None,
    states: Sequence[str] = ("dead",),
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 10_000,
) -> int:
    """Puts messages that are done into the outbox again under their own ids; how many."""
    return unit.execute(
        "UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = %(now)s, lease = NULL, done_at = NULL "
        "WHERE id IN (SELECT id FROM deliveries WHERE sink_id = %(sink)s AND state = ANY(%(states)s) "
        # A test is for whoever asked for it: it is sent again where it is named, and with others never.
        "AND state <> 'waiting' AND CASE WHEN %(id)s::uuid IS NULL THEN type <> 'test' ELSE id = %(id)s END "
        "AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s) "
        "AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s) ORDER BY id LIMIT %(limit)s FOR UPDATE)",
        {
            "now": now,
            "sink": sink,
            "states": list(states),
            "id": delivery,
            "since": since,
            "until": until,
            "limit": limit,
        },
    ).rowcount


def _text(value: str) -> str:
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
