"""Streams: who owns which one, how far it has come, and what state it is in.

An owner is a connection that holds the stream's lock: it dies with its process, and whoever asks next gets it. A lock
says nothing of a process that has lost its connection and does not know it yet, so each owner has a term, which its
writes name: those of an earlier term change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from dash_app.storage.unit import Unit

StreamState = Literal["connecting", "connected", "waiting", "failed"]

#: Held, shared, by every process that runs streams: by how many the streams are divided.
_PRESENT = "hashtextextended('dash.streams', 11)"
#: Numbers of locks: this one, and 12 for the streams themselves.
_MINE = (
    "EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(p.id::text, 12))"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A stream that somebody should own. `owned`: somebody does."""

    pipeline: UUID
    revision: int
    owned: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """Where a stream stands. `owner` is '' where nobody has it, or who had it is no longer alive."""

    state: StreamState
    since: datetime
    error: str
    next_at: datetime | None
    owner: str
    failures: int
    failing_since: datetime | None
    messages: int
    bytes: int
    refused: int
    last_message: datetime | None


def be_present(unit: Unit) -> None:
    """Counts this connection among those that own streams, for as long as it lives; a peer that is gone without a word
    is noticed within seconds."""
    for setting, seconds in (("tcp_keepalives_idle", 3), ("tcp_keepalives_interval", 1), ("tcp_keepalives_count", 3)):
        unit.execute("SELECT set_config(%s, %s, false)", (setting, str(seconds)))
    unit.execute(f"SELECT pg_advisory_lock_shared({_PRESENT})")


def present(unit: Unit) -> int:
    """How many processes own streams, or would."""
    found: int = unit.value(
        "SELECT count(*) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
        "AND l.mode = 'ShareLock' "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        f"AND (l.classid::bigint << 32 | l.objid::bigint) = {_PRESENT}"
    )
    return found


def wanted(unit: Unit, kinds: Sequence[str]) -> list[Wanted]:
    """The active pipelines with a source of these kinds."""
    return [
        Wanted(*row)
        for row in unit.rows(
            f"SELECT p.id, p.revision, {_MINE} FROM pipelines p "
            "WHERE p.state = 'active' AND p.source_kind = ANY(%s) ORDER BY p.id",
            (list(kinds),),
        )
    ]


def take(unit: Unit, pipeline: UUID) -> bool:
    """Becomes the owner of a stream until `release`, or this connection's end; False where another one is."""
    return unit.value("SELECT pg_try_advisory_lock(hashtextextended(%s, 12))", (str(pipeline),)) is True


def release(unit: Unit, pipeline: UUID) -> None:
    unit.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 12))", (str(pipeline),))


# What an owner writes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Term:
    """An owner's time: from which cursor it goes on, after how many commits and failures in a row."""

    number: int
    batches: int
    cursor: Mapping[str, Any]
    failures: int


def begin_term(unit: Unit, pipeline: UUID, owner: str) -> Term:
    """The next owner begins; the caller holds the stream's lock."""
    row = unit.row(
        "INSERT INTO stream_state AS s (pipeline_id, team_id, term, owner, state) "
        "SELECT id, team_id, 1, %s, 'connecting' FROM pipelines WHERE id = %s "
        "ON CONFLICT (pipeline_id) DO UPDATE SET term = s.term + 1, owner = excluded.owner, state = 'connecting', "
        "since = clock_timestamp(), next_at = NULL RETURNING term, batches, cursor, failures",
        (owner, pipeline),
    )
    assert row is not None
    return Term(*row)


def advance(
    unit: Unit,
    pipeline: UUID,
    term: int,
    batches: int,
    cursor: Mapping[str, Any],
    *,
    messages: int,
    size: int,
    refused: int,
) -> bool:
    """Notes the commit number `batches` of a term, in the transaction that accepts its payloads. False where it is not
    the next one: `batches_of` tells whether it was made already, or the term is over."""
    return (
        unit.execute(
            "UPDATE stream_state SET batches = %(batches)s, cursor = %(cursor)s::jsonb, messages = messages + "
            "%(messages)s, bytes = bytes + %(size)s, refused = refused + %(refused)s, "
            "last_message = CASE WHEN %(messages)s > 0 THEN clock_timestamp() ELSE last_message END "
            "WHERE pipeline_id = %(pipeline)s AND term = %(term)s AND batches = %(batches)s - 1",
            {
                "pipeline": pipeline,
                "term": term,
                "batches": batches,
                "cursor": json.dumps(dict(cursor)),
                "messages": messages,
                "size": size,
                "refused": refused,
            },
        ).rowcount
        == 1
    )


def batches_of(unit: Unit, pipeline: UUID, term: int) -> int | None:
    """How many commits were made, as long as the term is the last one; None afterwards."""
    found: int | None = unit.value(
        "SELECT batches FROM stream_state WHERE pipeline_id = %s AND term = %s", (pipeline, term)
    )
    return found


def move(
    unit: Unit, pipeline: UUID, term: int, state: StreamState, *, error: str = "", wait: float | None = None
) -> None:
    """The stream is in another state. With an `error` that is one failure more; `wait`: seconds until it is tried
    again."""
    unit.execute(
        "UPDATE stream_state SET state = %(state)s, since = clock_timestamp(), error = %(error)s, "
        "next_at = clock_timestamp() + make_interval(secs => %(wait)s), "
        "failures = failures + (%(error)s <> '')::int, "
        "failing_since = CASE WHEN %(error)s <> '' THEN coalesce(failing_since, clock_timestamp()) "
        "ELSE failing_since END WHERE pipeline_id = %(pipeline)s AND term = %(term)s",
        {"pipeline": pipeline, "term": term, "state": state, "error": error[:1000], "wait": wait},
    )


def steady(unit: Unit, pipeline: UUID, term: int) -> bool:
    """The stream has been connected for long enough: what failed before is over. Answers whether the team was told."""
    told: bool | None = unit.value(
        "UPDATE stream_state s SET failures = 0, failing_since = NULL, told_at = NULL FROM stream_state b "
        "WHERE b.pipeline_id = s.pipeline_id AND s.pipeline_id = %s AND s.term = %s RETURNING b.told_at IS NOT NULL",
        (pipeline, term),
    )
    return told is True


def end_term(unit: Unit, pipeline: UUID, term: int) -> None:
    """The owner leaves in an orderly way."""
    unit.execute(
        "UPDATE stream_state SET owner = '', state = 'waiting', since = clock_timestamp(), next_at = NULL "
        "WHERE pipeline_id = %s AND term = %s",
        (pipeline, term),
    )


def tell(unit: Unit, pipeline: UUID, term: int, after: float) -> datetime | None:
    """Since when a stream fails, once: where that is longer than `after` seconds and nobody was told yet."""
    since: datetime | None = unit.value(
        "UPDATE stream_state SET told_at = clock_timestamp() WHERE pipeline_id = %s AND term = %s AND told_at IS NULL "
        "AND failing_since < clock_timestamp() - make_interval(secs => %s) RETURNING failing_since",
        (pipeline, term, after),
    )
    return since


def waiting_bytes(unit: Unit, pipeline: UUID) -> int:
    """The bytes of a pipeline's payloads that wait to be mapped."""
    found: int = unit.value("SELECT coalesce(sum(bytes), 0)::bigint FROM batches WHERE pipeline_id = %s", (pipeline,))
    return found


# What people see -----------------------------------------------------------------------------------------------------

_STREAM = (
    "SELECT s.state, s.since, s.error, s.next_at, CASE WHEN EXISTS (SELECT FROM heartbeats h WHERE h.node = s.owner "
    "AND h.seen_at > now() - interval '15 seconds') THEN s.owner ELSE '' END, s.failures, s.failing_since, s.messages, "
    "s.bytes, s.refused, s.last_message FROM stream_state s WHERE s.pipeline_id = %s"
)


def stream(unit: Unit, pipeline: UUID) -> Stream | None:
    """Where a stream stands; None where it never had an owner. One whose owner is gone waits for another."""
    row = unit.row(_STREAM, (pipeline,))
    if row is None:
        return None
    found = Stream(*row)
    if not found.owner and found.state in ("connecting", "connected"):
        return Stream("waiting", *row[1:])
    return found


def counts(unit: Unit) -> dict[str, int]:
    """How many streams of active pipelines are in each state, over all teams."""
    return dict(
        unit.rows(
            "SELECT s.state, count(*) FROM stream_state s JOIN pipelines p ON p.id = s.pipeline_id "
            "WHERE p.state = 'active' GROUP BY 1"
        )
    )
