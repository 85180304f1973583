"""What has been done and what is due: counts, rejects, polls with their cursors, runs, and who is alive."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dash_app.domain.events import Reject
from dash_app.domain.plain_text import storable
from dash_app.storage.unit import Unit

# Counts and rejects --------------------------------------------------------------------------------------------------


def count(
    unit: Unit, team: UUID, pipeline: UUID, *, payloads: int, records: int, rejects: int, last_received: datetime | None
) -> None:
    """Adds to a pipeline's counts; the caller holds the pipeline's lock, so that nobody waits here."""
    unit.execute(
        "INSERT INTO pipeline_counts AS c (pipeline_id, team_id, payloads, records, rejects, last_received, "
        "last_ingested) "
        "VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp()) ON CONFLICT (pipeline_id) DO UPDATE SET "
        "payloads = c.payloads + excluded.payloads, records = c.records + excluded.records, rejects = "
        "c.rejects + excluded.rejects, "
        "last_received = greatest(c.last_received, excluded.last_received), last_ingested = excluded.last_ingested",
        (pipeline, team, payloads, records, rejects, last_received),
    )


def add_rejects(
    unit: Unit, team: UUID, pipeline: UUID, version: int, rejects: Sequence[Reject], *, generation: int = 1
) -> None:
    """Keeps what a mapping version refused; `generation`: that whose rows they stand for."""
    if rejects:
        unit.execute(
            "INSERT INTO rejects "
            "(team_id, pipeline_id, generation, mapping_version, payload, index, field, reason, excerpt) "
            "SELECT %s, %s, %s, %s, * FROM unnest(%s::bigint[], %s::int[], %s::text[], %s::text[], %s::text[])",
            (
                team,
                pipeline,
                generation,
                version,
                [r.payload for r in rejects],
                [r.index for r in rejects],
                [storable(r.field)[:200] for r in rejects],
                [storable(r.reason)[:2000] for r in rejects],
                [storable(r.excerpt)[:4096] for r in rejects],
            ),
        )


def rejects(
    unit: Unit, pipeline: UUID, *, limit: int, before: int | None = None, payload: int | None = None
) -> list[tuple[int, Reject]]:
    """A pipeline's rejects, newest first, each with its own id for paging."""
    rows = unit.rows(
        "SELECT id, payload, index, field, reason, excerpt, mapping_version, at FROM rejects WHERE "
        "pipeline_id = %(pipeline)s AND generation = (SELECT generation FROM pipelines WHERE id = %(pipeline)s) "
        "AND (%(before)s::bigint IS NULL OR id < %(before)s) AND (%(payload)s::bigint IS NULL OR payload = "
        "%(payload)s) "
        "ORDER BY id DESC LIMIT %(limit)s",
        {"pipeline": pipeline, "before": before, "payload": payload, "limit": limit},
    )
    return [(row[0], Reject(*row[1:])) for row in rows]


def recent_rejects(unit: Unit) -> dict[UUID, int]:
    """How many rejects of payloads of the last hour each pipeline has; those without any are left out."""
    return dict(
        unit.rows(
            "SELECT r.pipeline_id, count(*) FROM rejects r "
            "JOIN pipelines p ON p.id = r.pipeline_id AND p.generation = r.generation "
            # What a replay refused now may have come long ago.
            "WHERE r.at > now() - interval '1 hour' "
            "AND r.payload >> 20 > (extract(epoch FROM now() - interval '1 hour') * 1000)::bigint GROUP BY 1"
        )
    )


def forget_rejects(unit: Unit, pipeline: UUID, generation: int, payloads: Sequence[int]) -> int:
    """Takes the rejects of these payloads back; answers how many there were."""
    return unit.execute(
        "DELETE FROM rejects WHERE pipeline_id = %s AND generation = %s AND payload = ANY(%s::bigint[])",
        (pipeline, generation, list(payloads)),
    ).rowcount


# Polls ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Poll:
    """Where a pipeline's poll stands."""

    pipeline: UUID
    cursor: Mapping[str, Any]
    next_due: datetime
    failures: int
    #: By the database's clock, which is the one that queued it.
    due: bool
    #: Since when it is stopped, because it failed too often or an answer said so; None: it is not.
    stopped_at: datetime | None = None


def schedule_poll(unit: Unit, team: UUID, pipeline: UUID, *, wait: float = 0.0) -> None:
    """Has a pipeline polled, the first time in `wait` seconds; a poll that is known stays as it is."""
    unit.execute(
        "INSERT INTO polls (pipeline_id, team_id, next_due) "
        "VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s)) ON CONFLICT DO NOTHING",
        (pipeline, team, wait),
    )


def poll(unit: Unit, pipeline: UUID) -> Poll | None:
    row = unit.row(
        "SELECT pipeline_id, cursor, next_due, failures, next_due <= clock_timestamp(), stopped_at "
        "FROM polls WHERE pipeline_id = %s",
        (pipeline,),
    )
    return Poll(*row) if row else None


def poll_now(unit: Unit, pipeline: UUID, *, wait: float = 0.0) -> None:
    """The next poll is due in `wait` seconds."""
    unit.execute(
        "UPDATE polls SET next_due = clock_timestamp() + make_interval(secs => %s) WHERE pipeline_id = %s",
        (wait, pipeline),
    )


def poll_again(unit: Unit, pipeline: UUID) -> None:
    """Somebody has looked: it is polled now, and its failures are counted from the beginning."""
    unit.execute(
        "UPDATE polls SET next_due = now(), failures = 0, stopped_at = NULL WHERE pipeline_id = %s", (pipeline,)
    )


def stop_poll(unit: Unit, pipeline: UUID) -> None:
    """Notes that a poll is stopped until `poll_again`."""
    unit.execute("UPDATE polls SET stopped_at = clock_timestamp() WHERE pipeline_id = %s", (pipeline,))


_TAKE_DUE = """
UPDATE polls SET queued_at = clock_timestamp() WHERE pipeline_id IN (
  SELECT p.pipeline_id FROM polls p JOIN pipelines l ON l.id = p.pipeline_id AND l.state = 'active'
  WHERE p.next_due <= now() AND (p.queued_at IS NULL OR (
    p.queued_at < now() - make_interval(secs => %(grace)s)
    AND p.pipeline_id::text NOT IN (
      SELECT coalesce(convert_from(t.data, 'UTF8')::json -> 6 ->> 0, '') FROM huey_task t WHERE t.queue = 'io')
    AND hashtextextended(p.pipeline_id::text, 5) NOT IN (
      SELECT classid::bigint << 32 | objid::bigint FROM pg_locks
      WHERE locktype = 'advisory' AND granted AND objsubid = 1)))
  ORDER BY p.next_due LIMIT %(limit)s FOR UPDATE OF p SKIP LOCKED)
RETURNING pipeline_id
"""


def take_due_polls(unit: Unit, *, limit: int = 200, grace: float = 2.0) -> list[UUID]:
    """Active pipelines whose poll is due and not queued already, each queued by this call.

    A poll that was queued `grace` seconds ago, and is neither in the queue nor running any more, was lost with a worker
    and is queued anew.
    """
    return [row[0] for row in unit.rows(_TAKE_DUE, {"limit": limit, "grace": grace})]


def move_cursor(unit: Unit, pipeline: UUID, cursor: Mapping[str, Any]) -> None:
    """Keeps the cursor of a page, in the transaction that accepts the page."""
    unit.execute("UPDATE polls SET cursor = %s::jsonb WHERE pipeline_id = %s", (json.dumps(dict(cursor)), pipeline))


def poll_done(unit: Unit, pipeline: UUID, *, wait: float, failed: bool, came_further: bool = False) -> int:
    """The poll ended; the next is due `wait` seconds from now. Answers how many failed in a row.

    A run that failed behind pages that it had stored (`came_further`) is the first of its row.
    """
    failures: int | None = unit.value(
        "UPDATE polls SET next_due = clock_timestamp() + make_interval(secs => %s), queued_at = NULL, "
        "failures = CASE WHEN NOT %s THEN 0 WHEN %s THEN 1 ELSE failures + 1 END WHERE pipeline_id = %s "
        "RETURNING failures",
        (wait, failed, came_further, pipeline),
    )
    return failures or 0


def lock_poll(unit: Unit, pipeline: UUID) -> bool:
    """Becomes the only poll of this pipeline, for as long as this connection lives."""
    return unit.value("SELECT pg_try_advisory_lock(hashtextextended(%s, 5))", (str(pipeline),)) is True


def take_poll_place(unit: Unit, team: UUID, places: int) -> bool:
    """Takes one of a team's places for polls, for as long as this connection lives; False where all are taken."""
    return any(
        unit.value("SELECT pg_try_advisory_lock(hashtextextended(%s, 31))", (f"{team} {place}",)) is True
        for place in range(places)
    )


def postpone_poll(unit: Unit, pipeline: UUID, wait: float) -> None:
    """A due poll is due in `wait` seconds instead, and nothing is said of how it went."""
    unit.execute(
        "UPDATE polls SET next_due = clock_timestamp() + make_interval(secs => %s), queued_at = NULL "
        "WHERE pipeline_id = %s",
        (wait, pipeline),
    )


def unlock_polls(unit: Unit) -> None:
    """Ends what `lock_poll` and `take_poll_place` began, at once; the end of a connection is noticed by the server a
    little later."""
    unit.execute("SELECT pg_advisory_unlock_all()")


# Runs ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a poll. `state`: running | done | failed | lost."""

    id: int
    kind: str
    state: str
    started_at: datetime
    finished_at: datetime | None
    pages: int
    payloads: int
    bytes: int
    error: str


def begin_run(unit: Unit, team: UUID, pipeline: UUID, kind: str) -> int:
    """A run begins; one of this pipeline that a dead worker left running is lost."""
    unit.execute(
        "UPDATE runs SET state = 'lost', finished_at = clock_timestamp(), error = 'the worker ended before "
        "the run did' "
        "WHERE pipeline_id = %s AND kind = %s AND state = 'running'",
        (pipeline, kind),
    )
    run: int = unit.value(
        "INSERT INTO runs (team_id, pipeline_id, kind, state) VALUES (%s, %s, %s, 'running') RETURNING id",
        (team, pipeline, kind),
    )
    return run


def count_page(unit: Unit, run: int, payloads: int, size: int) -> None:
    unit.execute(
        "UPDATE runs SET pages = pages + 1, payloads = payloads + %s, bytes = bytes + %s WHERE id = %s",
        (payloads, size, run),
    )


def end_run(unit: Unit, run: int, error: str = "") -> None:
    unit.execute(
        "UPDATE runs SET state = %s, finished_at = clock_timestamp(), error = %s WHERE id = %s",
        ("failed" if error else "done", storable(error)[:2000], run),
    )


def runs(unit: Unit, pipeline: UUID, *, limit: int, before: int | None = None) -> list[Run]:
    """A pipeline's runs, newest first."""
    rows = unit.rows(
        "SELECT id, kind, state, started_at, finished_at, pages, payloads, bytes, error FROM runs WHERE "
        "pipeline_id = %(pipeline)s "
        "AND (%(before)s::bigint IS NULL OR id < %(before)s) ORDER BY id DESC LIMIT %(limit)s",
        {"pipeline": pipeline, "before": before, "limit": limit},
    )
    return [Run(*row) for row in rows]


def prune_runs(unit: Unit, *, keep_days: int = 30) -> int:
    """Forgets runs older than `keep_days`, a bounded number at a time."""
    return unit.execute(
        "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE started_at < now() - make_interval(days => "
        "%s) LIMIT 10000)",
        (keep_days,),
    ).rowcount


# The doorbell's safety net -------------------------------------------------------------------------------------------

_SWEEP = """
SELECT DISTINCT b.pipeline_id FROM batches b JOIN pipelines p ON p.id = b.pipeline_id AND p.state <> 'paused'
LEFT JOIN bells r ON r.pipeline_id = b.pipeline_id
WHERE b.created_at < clock_timestamp() - make_interval(secs => %(age)s)
  AND (r.rung_at IS NULL OR r.rung_at < clock_timestamp() - make_interval(secs => %(age)s))
  AND NOT EXISTS (SELECT FROM huey_task t WHERE t.queue = 'ingest'
                  AND convert_from(t.data, 'UTF8')::json -> 6 ->> 0 = b.pipeline_id::text)
  AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                  AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(b.pipeline_id::text, 1))
LIMIT 1000
"""


def sweep(unit: Unit, *, age: float = 1.0) -> list[UUID]:
    """Rings anew for pipelines whose batches wait longer than `age` seconds although nobody works on them."""
    found = [row[0] for row in unit.rows(_SWEEP, {"age": age})]
    if found:
        # In the order in which accepting transactions hold them.
        unit.execute(
            "DELETE FROM bells WHERE pipeline_id IN ("
            "SELECT pipeline_id FROM bells WHERE pipeline_id = ANY(%s) ORDER BY pipeline_id FOR UPDATE)",
            (found,),
        )
        unit.execute("SELECT dash.ring(%s)", (found,))
    return found


def ring(unit: Unit, pipeline: UUID) -> None:
    unit.execute("SELECT dash.ring(%s)", ([pipeline],))


def enqueue(unit: Unit, queue: str, task: str, argument: str, *, priority: float = 0) -> None:
    """Puts a task on a queue, in this transaction."""
    unit.execute("SELECT dash.enqueue(%s, %s, %s, %s)", (queue, task, argument, priority))


def enqueue_once(unit: Unit, queue: str, task: str, argument: str, *, priority: float = 0) -> None:
    """Puts a task on a queue unless the same one waits there: what stays due while others are slow must not pile up."""
    unit.execute(
        "SELECT dash.enqueue(%(queue)s, %(task)s, %(argument)s, %(priority)s) WHERE NOT EXISTS ("
        "  SELECT FROM huey_task WHERE queue = %(queue)s AND convert_from(data, 'UTF8')::json ->> 1 = %(task)s"
        "  AND convert_from(data, 'UTF8')::json -> 6 ->> 0 = %(argument)s)",
        {"queue": queue, "task": task, "argument": argument, "priority": priority},
    )


def become_clock(unit: Unit) -> bool:
    """Whether this connection is the one whose ticks count; true until it is closed."""
    return unit.value("SELECT pg_try_advisory_lock(hashtextextended('dash.clock', 3))") is True


# Who is alive --------------------------------------------------------------------------------------------------------


def beat(unit: Unit, node: str, role: str, detail: Mapping[str, Any]) -> None:
    """This process is alive."""
    unit.execute("SET LOCAL synchronous_commit = off")
    unit.execute(
        "INSERT INTO heartbeats (node, role, detail) VALUES (%s, %s, %s::jsonb) "
        "ON CONFLICT (node) DO UPDATE SET seen_at = now(), detail = excluded.detail",
        (node, role, json.dumps(dict(detail))),
    )
    unit.execute("DELETE FROM heartbeats WHERE seen_at < now() - interval '1 hour'")


def alive(unit: Unit, role: str, *, within: float = 15.0) -> int:
    """How many processes of a role have shown themselves within so many seconds."""
    seen: int = unit.value(
        "SELECT count(*) FROM heartbeats WHERE role = %s AND seen_at > now() - make_interval(secs => %s)",
        (role, within),
    )
    return seen


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the whole installation. Ages in seconds, 0 where nothing waits."""

    payloads: int
    bytes: int
    oldest_age: float
    held: int
    tasks: int
    unarchived_bytes: int
    unarchived_age: float


def backlog(unit: Unit) -> Backlog:
    row = unit.row(
        "SELECT coalesce(sum(cardinality(b.payload_ids)) FILTER (WHERE p.state <> 'paused'), 0)::bigint, "
        "coalesce(sum(b.bytes) FILTER (WHERE p.state <> 'paused'), 0)::bigint, "
        "coalesce(extract(epoch FROM clock_timestamp() - min(b.created_at) FILTER (WHERE p.state <> "
        "'paused')), 0)::float8, "
        "coalesce(sum(cardinality(b.payload_ids)) FILTER (WHERE p.state = 'paused'), 0)::bigint, "
        "(SELECT count(*) FROM huey_task), "
        "(SELECT coalesce(sum(bytes), 0)::bigint FROM unarchived), "
        "(SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 FROM unarchived) "
        "FROM batches b JOIN pipelines p ON p.id = b.pipeline_id"
    )
    assert row is not None
    return Backlog(*row)


def totals(unit: Unit) -> tuple[int, int, int]:
    """Payloads, records and rejects ingested over all pipelines."""
    row = unit.row(
        "SELECT coalesce(sum(payloads), 0)::bigint, coalesce(sum(records), 0)::bigint, "
        "coalesce(sum(rejects), 0)::bigint FROM pipeline_counts"
    )
    assert row is not None
    return row[0], row[1], row[2]
