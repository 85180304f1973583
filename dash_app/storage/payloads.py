"""The durable inbox: payloads are accepted in group commits, claimed by the pipeline's one writer, and finished.

`accept` is the one door for webhooks, polls and whatever comes later. What it answers is committed. Beside each
payload stand two notes, one for the mapper and one for the archiver, each deleted in the transaction that did the work.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

import psycopg

from dash_app.domain.errors import BufferFull, Unavailable
from dash_app.domain.events import Accepted, Arrival, Payload
from dash_app.storage.engine import Database
from dash_app.storage.unit import Unit

_ACCEPT = (
    b"SELECT payload, duplicate FROM dash.accept_payloads("
    b"%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %b::bytea[], %s::int[])"
)

#: How long a delivery id is remembered: a resend within this time is known for one.
DELIVERY_WINDOW = timedelta(days=8)
_MAX_DELIVERY_ID = 400


def _accept(connection: psycopg.Connection[Any], arrivals: Sequence[Arrival]) -> list[Accepted]:
    with connection.cursor(binary=True) as cursor:
        cursor.execute(
            _ACCEPT,
            (
                [a.pipeline for a in arrivals],
                [a.team for a in arrivals],
                [_text(a.delivery)[:_MAX_DELIVERY_ID] if a.delivery else None for a in arrivals],
                [_text(a.content_type)[:200] for a in arrivals],
                [json.dumps(dict(a.headers)) if a.headers else "{}" for a in arrivals],
                [_text(a.source)[:2000] for a in arrivals],
                [a.body for a in arrivals],
                [a.delivery_window for a in arrivals],
            ),
            prepare=True,
        )
        return [Accepted(payload, duplicate) for payload, duplicate in cursor]


def _text(value: str) -> str:
    # PostgreSQL's text holds no NUL, and a header may carry one.
    return value.replace("\x00", "\ufffd")


def accept(unit: Unit, arrivals: Sequence[Arrival]) -> list[Accepted]:
    """Stores payloads in a unit of `ingest`, to be committed with whatever belongs to them (a poll's cursor)."""
    return _accept(unit.driver, arrivals)


class GroupCommit:
    """Joins the arrivals of many requests into one commit each few milliseconds.

    `submit` may be called from any thread; its future is done once the payload is committed. While one commit is on
    its way the next one gathers, so that load makes the groups larger and not the queue longer. Beyond `max_bytes`
    that wait, `submit` raises BufferFull. The answer of a broken commit is Unavailable: nothing is known of it, and
    the sender's resend is recognised by its delivery id.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_group: int = 500,
        max_group_bytes: int = 1 << 20,
        max_bytes: int = 256 << 20,
        lanes: int = 2,
    ) -> None:
        self._database = database
        self._max_group = max_group
        self._max_group_bytes = max_group_bytes
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[Arrival, Future[Accepted]]] = deque()
        self._bytes = 0
        self._closed = False
        self._some = threading.Condition()
        self.committed = 0
        self._threads = [
            threading.Thread(target=self._run, name=f"group-commit-{n}", daemon=True) for n in range(lanes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, arrival: Arrival) -> Future[Accepted]:
        future: Future[Accepted] = Future()
        with self._some:
            if self._closed:
                raise BufferFull("the node is shutting down", retry_after=2)
            if self._bytes + len(arrival.body) > self._max_bytes:
                raise BufferFull("more is arriving than can be stored right now", retry_after=1)
            self._bytes += len(arrival.body)
            self._waiting.append((arrival, future))
            self._some.notify()
        return future

    def close(self) -> None:
        """Commits what waits and ends."""
        with self._some:
            self._closed = True
            self._some.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)

    def _take(self) -> list[tuple[Arrival, Future[Accepted]]]:
        with self._some:
            while not self._waiting and not self._closed:
                self._some.wait()
            group: list[tuple[Arrival, Future[Accepted]]] = []
            size = 0
            while self._waiting and len(group) < self._max_group:
                length = len(self._waiting[0][0].body)
                if group and size + length > self._max_group_bytes:
                    break
                group.append(self._waiting.popleft())
                size += length
            return group

    def _run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while group := self._take():
            try:
                if connection is None or connection.closed:
                    connection = self._database.connect("ingest")
                answers = _accept(connection, [arrival for arrival, _ in group])
            except Exception as error:
                if connection is not None:
                    connection.close()
                    connection = None
                self._done(group)
                failure = (
                    error
                    if isinstance(error, Unavailable)
                    else Unavailable(f"not stored: {type(error).__name__}", retry_after=1)
                )
                failure.__cause__ = None if failure is error else error
                for _, future in group:
                    future.set_exception(failure)
            else:
                self._done(group)
                self.committed += sum(not a.duplicate for a in answers)
                for (_, future), answer in zip(group, answers, strict=True):
                    future.set_result(answer)
        if connection is not None:
            connection.close()

    def _done(self, group: Sequence[tuple[Arrival, Future[Accepted]]]) -> None:
        with self._some:
            self._bytes -= sum(len(arrival.body) for arrival, _ in group)


# The worker's side ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """What one transaction is going to map: whole batches of one pipeline, oldest first.

    `again`: these payloads have been mapped before, and what came of them then goes.
    """

    pipeline: UUID
    team: UUID
    batches: tuple[int, ...]
    payload_ids: tuple[int, ...]
    bytes: int
    oldest: datetime
    again: bool = False


_ANSWER = "DELETE FROM bells WHERE pipeline_id = %s"
_WAITING = "SELECT EXISTS (SELECT FROM batches WHERE pipeline_id = %s)"


def answer_bell(unit: Unit, pipeline: UUID) -> None:
    """Takes the ring back, so that whoever comes after rings anew; to be committed before one goes to look whether
    something waits (a unit of `notes` does: a ring that is there again is answered again)."""
    unit.execute(_ANSWER, (pipeline,))


def rest(unit: Unit, pipeline: UUID) -> bool:
    """Takes the ring back and looks once more: False where something has come in between. In a unit of `notes`."""
    with unit.driver.pipeline():
        unit.execute(_ANSWER, (pipeline,))
        # A statement of its own: it sees what the one before has waited for.
        found = unit.execute(_WAITING, (pipeline,))
    return found.fetchone() == (False,)


def lock_pipeline(unit: Unit, pipeline: UUID) -> bool:
    """Becomes the pipeline's one writer until this transaction ends; False where somebody else is."""
    return unit.value("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 1))", (str(pipeline),)) is True


def await_pipeline(unit: Unit, pipeline: UUID, patience: timedelta) -> bool:
    """As `lock_pipeline`, after waiting for whoever writes; False, with nothing changed, after `patience`.

    Ring once this has ended (`ledger.ring`) where payloads wait: a worker that was turned away does not come again.
    """
    # This also begins the transaction: what follows is a savepoint in it, whose end does not end the lock.
    before = unit.value("SELECT current_setting('lock_timeout')")
    try:
        with unit.driver.transaction():
            unit.execute("SELECT set_config('lock_timeout', %s, true)", (f"{int(patience.total_seconds() * 1000)}ms",))
            unit.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (str(pipeline),))
            unit.execute("SELECT set_config('lock_timeout', %s, true)", (before,))
    except psycopg.errors.LockNotAvailable:
        return False
    return True


_CLAIM = """
SELECT id, team_id, payload_ids, bytes, created_at, again FROM (
  SELECT *, sum(bytes) OVER (ORDER BY id) - bytes AS before, sum(cardinality(payload_ids)) OVER (ORDER BY id) -
  cardinality(payload_ids) AS many
  FROM (SELECT * FROM batches WHERE pipeline_id = %(pipeline)s ORDER BY id LIMIT 2000) oldest
) counted WHERE before < %(max_bytes)s AND many < %(max_payloads)s ORDER BY id
"""


def claim(unit: Unit, pipeline: UUID, *, max_bytes: int, max_payloads: int) -> Claim | None:
    """The oldest batches that wait, up to the bounds (at least one batch); the caller holds the pipeline's lock."""
    rows = unit.execute(
        _CLAIM, {"pipeline": pipeline, "max_bytes": max_bytes, "max_payloads": max_payloads}, binary=True
    ).fetchall()
    if not rows:
        return None
    # What is new and what is mapped again do not go together.
    rows = list(takewhile(lambda row: row[5] == rows[0][5], rows))
    return Claim(
        pipeline=pipeline,
        team=rows[0][1],
        batches=tuple(row[0] for row in rows),
        # A payload can be wanted again twice.
        payload_ids=tuple(dict.fromkeys(payload for row in rows for payload in row[2])),
        bytes=sum(row[3] for row in rows),
        oldest=rows[0][4],
        again=rows[0][5],
    )


def known(unit: Unit, pipeline: UUID, wanted: Sequence[int]) -> set[int]:
    """Those of the payloads that the pipeline's inbox or its bronze files hold, as far as their ranges tell."""
    rows = unit.rows(
        "SELECT w FROM unnest(%(ids)s::bigint[]) AS w WHERE "
        "EXISTS (SELECT FROM payloads p WHERE p.id = w AND p.pipeline_id = %(pipeline)s) OR "
        "EXISTS (SELECT FROM bronze_files f WHERE f.pipeline_id = %(pipeline)s AND f.expired_at IS NULL "
        "AND w BETWEEN f.min_payload AND f.max_payload)",
        {"ids": list(wanted), "pipeline": pipeline},
    )
    return {payload for (payload,) in rows}


def again(unit: Unit, pipeline: UUID, wanted: Sequence[int]) -> None:
    """Has payloads that were mapped before mapped anew, as the pipeline's next work, and rings for it."""
    unit.execute(
        "INSERT INTO batches (team_id, pipeline_id, payload_ids, bytes, again) "
        "SELECT team_id, id, %s::bigint[], 0, true FROM pipelines WHERE id = %s",
        (sorted(set(wanted)), pipeline),
    )


def waiting(unit: Unit, pipeline: UUID) -> bool:
    return unit.value(_WAITING, (pipeline,)) is True


def waiting_bytes(unit: Unit, pipeline: UUID) -> int:
    """The size of the payloads that wait to be mapped."""
    size: int = unit.value("SELECT coalesce(sum(bytes), 0)::bigint FROM batches WHERE pipeline_id = %s", (pipeline,))
    return size


def oldest_waiting(unit: Unit, pipeline: UUID) -> int | None:
    """The smallest id of a payload that is still to map; None where nothing waits."""
    smallest: int | None = unit.value(
        "SELECT min((SELECT min(p) FROM unnest(payload_ids) AS p)) FROM batches WHERE pipeline_id = %s", (pipeline,)
    )
    return smallest


def finish(unit: Unit, claim: Claim) -> None:
    """The claim is mapped: its notes go with the transaction that wrote the rows."""
    unit.execute("DELETE FROM batches WHERE id = ANY(%s)", (list(claim.batches),))


def load(unit: Unit, wanted: Sequence[int]) -> list[Payload]:
    """The payloads with these ids that the inbox still holds, in the order of their ids."""
    if not wanted:
        return []
    cursor = unit.execute(
        "SELECT id, pipeline_id, received_at, content_type, headers, body, source FROM payloads "
        "WHERE id = ANY(%s) AND id BETWEEN %s AND %s ORDER BY id",
        (list(wanted), min(wanted), max(wanted)),
        binary=True,
    )
    plain: dict[str, Mapping[str, str]] = {"{}": {}}
    payloads = []
    for payload, pipeline, received_at, content_type, headers, body, source in cursor:
        known = plain.get(headers)
        if known is None:
            known = plain[headers] = json.loads(headers)
        payloads.append(Payload(payload, pipeline, received_at, content_type, known, body, source))
    return payloads


# Attempts ------------------------------------------------------------------------------------------------------------


def begin_attempt(unit: Unit, claim: Claim) -> int:
    """Notes that this claim is being worked on, and answers which try it is; committed before the work begins (a unit
    of `notes` does)."""
    count: int = unit.value(
        "INSERT INTO attempts AS a (pipeline_id, team_id, first_batch, count) VALUES (%s, %s, %s, 1) "
        "ON CONFLICT (pipeline_id) DO UPDATE SET "
        "count = CASE WHEN a.first_batch = excluded.first_batch THEN a.count + 1 ELSE 1 END, "
        "first_batch = excluded.first_batch, started_at = clock_timestamp() RETURNING count",
        (claim.pipeline, claim.team, claim.batches[0]),
    )
    return count


def end_attempt(unit: Unit, pipeline: UUID) -> None:
    unit.execute("DELETE FROM attempts WHERE pipeline_id = %s", (pipeline,))


# Forgetting ----------------------------------------------------------------------------------------------------------


def prune_deliveries(unit: Unit, floor: int, *, limit: int = 50_000) -> int:
    """Forgets deliveries older than the payload id `floor`, a bounded number at a time."""
    return unit.execute(
        "DELETE FROM delivery_ledger WHERE ctid = ANY(ARRAY(SELECT ctid FROM delivery_ledger WHERE "
        "payload_id < %s LIMIT %s))",
        (floor, limit),
    ).rowcount
