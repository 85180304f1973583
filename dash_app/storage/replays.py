"""Replays: what is to be mapped anew, in parts that any worker can take up, and how far each has come.

A part is a range of payload ids. Whoever works on one holds its lock for one transaction, which brings rows and the
part's new position together: a worker that dies leaves nothing behind, and the next one goes on from the position.

A replay covers the payloads that were mapped before its cut. Whatever the live road maps after the cut it writes to the
shadow itself, and it notes those of them whose ids lie below the cut (they waited, or were being accepted when it was
made). So a payload below the cut is waiting, or noted, or the replay's, and one statement tells which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from dash_app.domain.changes import ReplayMoved
from dash_app.domain.errors import Conflict, NotFound
from dash_app.domain.ids import new_id
from dash_app.storage.unit import Unit

#: States in which a replay may still come to its end.
OPEN: Final = ("queued", "running", "paused", "failed")
#: From which states one may be moved to which.
_MOVES: Final = {
    "paused": ("queued", "running"),
    "queued": ("paused", "failed"),  # it goes on where it was
    "cancelled": OPEN,
    "failed": ("queued", "running"),
    "done": ("running",),
}


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay with its progress, summed over its parts.

    `state`: queued | running | paused | done | failed | cancelled. Payloads from_id ≤ id < to_id are mapped with
    `version` into `generation`; what came of the others stays as the generation `source` has it. `keep_before`: buckets
    before it are carried over. `throttle`: records a second. `seconds`: how long it has run.
    """

    id: UUID
    team: UUID
    pipeline: UUID
    generation: int
    source: int
    version: int
    from_id: int
    to_id: int
    from_time: datetime | None
    to_time: datetime | None
    state: str
    planned: bool
    keep_before: datetime | None
    throttle: int | None
    error: str
    author: str
    note: str
    created_at: datetime
    finished_at: datetime | None
    seconds: float
    files_done: int
    files_total: int
    payloads: int
    expected: int
    records: int
    rejects: int
    #: Seconds until the next step may begin.
    wait: float

    @property
    def rate(self) -> float | None:
        """Records a second while it ran."""
        return self.records / self.seconds if self.seconds > 0.5 and self.payloads else None

    @property
    def eta(self) -> float | None:
        """Seconds until the end at the speed so far; None where nothing is known yet."""
        if self.state in ("done", "cancelled") or not self.payloads or self.seconds <= 0.5:
            return None
        return max(0, self.expected - self.payloads) * self.seconds / self.payloads


@dataclass(frozen=True, slots=True)
class Part:
    """A range of payload ids low ≤ id < high. `kind`: map | carry | rollups; payloads below `position` are done."""

    number: int
    kind: str
    low: int
    high: int
    position: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Planned:
    """A part before it is stored. `expected`: payloads in it, by the manifest."""

    kind: str
    low: int
    high: int
    expected: int = 0


_SELECT = """
SELECT r.id, r.team_id, r.pipeline_id, r.generation, r.source, r.version, r.from_id, r.to_id, r.from_time, r.to_time,
       r.state, r.planned, r.keep_before, r.throttle, r.error, r.author, r.note, r.created_at, r.finished_at,
       extract(epoch FROM r.ran + coalesce(clock_timestamp() - r.running_since, interval '0'))::float8,
       coalesce(p.files_done, 0), coalesce(p.files_total, 0), coalesce(p.payloads, 0), coalesce(p.expected, 0),
       coalesce(p.records, 0), coalesce(p.rejects, 0),
       greatest(coalesce(extract(epoch FROM r.held_until - clock_timestamp())::float8, 0), 0)
FROM replays r LEFT JOIN LATERAL (
  SELECT count(*) FILTER (WHERE done) AS files_done, count(*) AS files_total, sum(payloads)::bigint AS payloads,
         sum(greatest(expected, payloads))::bigint AS expected, sum(records)::bigint AS records,
         sum(rejects)::bigint AS rejects
  FROM replay_parts WHERE replay_id = r.id
) p ON true
"""


# Beginning and moving ------------------------------------------------------------------------------------------------


def create(
    unit: Unit,
    pipeline: UUID,
    *,
    generation: int,
    version: int,
    from_id: int,
    to_id: int,
    from_time: datetime | None = None,
    to_time: datetime | None = None,
    throttle: int | None = None,
    author: str = "",
    note: str = "",
) -> UUID:
    """A queued replay into a shadow generation that was begun in the same transaction."""
    made = new_id()
    unit.execute(
        "INSERT INTO replays (id, team_id, pipeline_id, generation, source, version, from_id, to_id, from_time, "
        "to_time, throttle, author, note) "
        "SELECT %s, p.team_id, p.id, %s, p.generation, %s, %s, %s, %s, %s, %s, %s, %s FROM pipelines p WHERE p.id = %s",
        (made, generation, version, from_id, to_id, from_time, to_time, throttle, author, note, pipeline),
    )
    unit.notify(ReplayMoved(str(pipeline), str(made)))
    return made


def get(unit: Unit, replay: UUID) -> Replay:
    row = unit.row(_SELECT + "WHERE r.id = %s", (replay,))
    if row is None:
        raise NotFound("no such replay")
    return Replay(*row)


def of_pipeline(unit: Unit, pipeline: UUID, *, limit: int = 100, before: datetime | None = None) -> list[Replay]:
    """A pipeline's replays, newest first."""
    rows = unit.rows(
        _SELECT + "WHERE r.pipeline_id = %s AND (%s::timestamptz IS NULL OR r.created_at < %s) "
        "ORDER BY r.created_at DESC LIMIT %s",
        (pipeline, before, before, limit),
    )
    return [Replay(*row) for row in rows]


def under_way(unit: Unit, pipeline: UUID) -> bool:
    """Whether a replay of this pipeline has not come to its end."""
    return (
        unit.value("SELECT 1 FROM replays WHERE pipeline_id = %s AND state = ANY(%s)", (pipeline, list(OPEN)))
        is not None
    )


def running(unit: Unit) -> list[UUID]:
    """Replays that workers should be at."""
    return [
        one
        for (one,) in unit.rows(
            "SELECT id FROM replays WHERE state IN ('queued', 'running') "
            "AND (held_until IS NULL OR held_until < clock_timestamp() + interval '1 second') ORDER BY created_at"
        )
    ]


def move(unit: Unit, replay: UUID, state: str, *, error: str = "") -> Replay:
    """Moves a replay to another state; Conflict where that is no legal move. Its clock runs only while it does."""
    now = unit.row("SELECT state, pipeline_id FROM replays WHERE id = %s FOR NO KEY UPDATE", (replay,))
    if now is None:
        raise NotFound("no such replay")
    if now[0] == state:
        return get(unit, replay)
    if now[0] not in _MOVES[state]:
        raise Conflict(f"this replay is {now[0]}; it cannot be {'resumed' if state == 'queued' else state}")
    unit.execute(
        "UPDATE replays SET state = %(state)s, error = %(error)s, "
        "ran = ran + coalesce(clock_timestamp() - running_since, interval '0'), running_since = NULL, "
        "finished_at = CASE WHEN %(state)s IN ('done', 'cancelled') THEN clock_timestamp() END WHERE id = %(id)s",
        {"state": state, "error": error[:2000], "id": replay},
    )
    unit.notify(ReplayMoved(str(now[1]), str(replay)))
    return get(unit, replay)


def throttle(unit: Unit, replay: UUID, records: int | None) -> None:
    """At most so many records a second from the next step on; None: as fast as it goes."""
    unit.execute("UPDATE replays SET throttle = %s, held_until = NULL WHERE id = %s", (records, replay))


# A worker's side -----------------------------------------------------------------------------------------------------


def lock_plan(unit: Unit, replay: UUID) -> bool:
    """Whether this transaction is the one that plans or ends the replay."""
    return unit.value("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 7))", (str(replay),)) is True


def plan(unit: Unit, replay: Replay, parts: Sequence[Planned], keep_before: datetime | None) -> bool:
    """Stores the parts, and the replay runs; False, not to be committed, where it was paused or cancelled meanwhile."""
    unit.executemany(
        "INSERT INTO replay_parts (replay_id, team_id, part, kind, low, high, position, expected) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (replay.id, replay.team, number, one.kind, one.low, one.high, one.low, one.expected)
            for number, one in enumerate(parts)
        ],
    )
    begun = unit.execute(
        "UPDATE replays SET planned = true, keep_before = %s, state = 'running', running_since = clock_timestamp() "
        "WHERE id = %s AND state = 'queued'",
        (keep_before, replay.id),
    )
    unit.notify(ReplayMoved(str(replay.pipeline), str(replay.id)))
    return begun.rowcount == 1


def go_on(unit: Unit, replay: Replay) -> None:
    """A planned replay that was resumed runs again."""
    unit.execute(
        "UPDATE replays SET state = 'running', running_since = clock_timestamp() WHERE id = %s AND state = 'queued'",
        (replay.id,),
    )
    unit.notify(ReplayMoved(str(replay.pipeline), str(replay.id)))


def take_part(unit: Unit, replay: UUID) -> Part | None:
    """A part that is not done and that nobody else works on, held until this transaction ends."""
    after = -1
    while True:
        rows = unit.rows(
            "SELECT part FROM replay_parts WHERE replay_id = %s AND NOT done AND part > %s ORDER BY part LIMIT 50",
            (replay, after),
        )
        if not rows:
            return None
        for (number,) in rows:
            after = number
            if unit.value("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 8))", (f"{replay} {number}",)):
                # Read after the lock: whoever held it before may have moved the part on.
                row = unit.row(
                    "SELECT part, kind, low, high, position, attempts FROM replay_parts "
                    "WHERE replay_id = %s AND part = %s AND NOT done",
                    (replay, number),
                )
                if row is not None:
                    return Part(*row)


def undone(unit: Unit, replay: UUID) -> int:
    """How many parts are not done."""
    left: int = unit.value("SELECT count(*) FROM replay_parts WHERE replay_id = %s AND NOT done", (replay,))
    return left


def begin_attempt(unit: Unit, replay: UUID, part: Part) -> int:
    """Notes that a step of this part begins, and answers which try it is; committed before the work begins."""
    unit.execute("SET LOCAL synchronous_commit = off")
    count: int = unit.value(
        "UPDATE replay_parts SET attempts = attempts + 1 WHERE replay_id = %s AND part = %s RETURNING attempts",
        (replay, part.number),
    )
    return count


def progress(
    unit: Unit, replay: Replay, part: Part, position: int, *, payloads: int = 0, records: int = 0, rejects: int = 0
) -> None:
    """A step has ended well: the payloads of the part below `position` are done."""
    unit.execute(
        "UPDATE replay_parts SET position = %s, done = %s, attempts = 0, payloads = payloads + %s, "
        "records = records + %s, rejects = rejects + %s WHERE replay_id = %s AND part = %s",
        (position, position >= part.high, payloads, records, rejects, replay.id, part.number),
    )
    if replay.throttle:
        unit.execute(
            "UPDATE replays SET held_until = greatest(coalesce(held_until, clock_timestamp()), clock_timestamp()) + %s "
            "WHERE id = %s",
            (timedelta(seconds=(records + rejects) / replay.throttle), replay.id),
        )
    unit.notify(ReplayMoved(str(replay.pipeline), str(replay.id)))


# Beside the live road ------------------------------------------------------------------------------------------------

#: The pipelines for which something waits, found by a step in the index for each, however much it is.
_LIVE_LAG = """
WITH RECURSIVE oldest AS (
  (SELECT pipeline_id, created_at FROM batches ORDER BY pipeline_id, id LIMIT 1)
  UNION ALL
  SELECT n.pipeline_id, n.created_at FROM oldest o, LATERAL (
    SELECT pipeline_id, created_at FROM batches WHERE pipeline_id > o.pipeline_id ORDER BY pipeline_id, id LIMIT 1) n
)
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - o.created_at)), 0)::float8
FROM oldest o JOIN pipelines p ON p.id = o.pipeline_id WHERE p.state = 'active'
"""


def live_lag(unit: Unit) -> float:
    """For how many seconds the oldest payload waits that the live road could map."""
    lag: float = unit.value(_LIVE_LAG)
    return lag


def live_lately(unit: Unit, seconds: float) -> bool:
    """Whether the live road has mapped anything so lately."""
    return (
        unit.value(
            "SELECT EXISTS (SELECT FROM pipeline_counts WHERE last_ingested > statement_timestamp() - %s)",
            (timedelta(seconds=seconds),),
        )
        is True
    )


def take_place(unit: Unit, machine: str, places: int) -> bool:
    """Whether one of a machine's places beside the live road was free; it is held until this transaction ends."""
    return any(
        unit.value("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 9))", (f"{machine} {place}",))
        for place in range(places)
    )


# What is the replay's ------------------------------------------------------------------------------------------------


def note_live(unit: Unit, pipeline: UUID, generation: int, cut: int, payloads: Iterable[int]) -> None:
    """The live road has written these payloads to the shadow: those below the cut are not the replay's."""
    below = [payload for payload in payloads if payload < cut]
    if below:
        unit.execute(
            "INSERT INTO replay_live (pipeline_id, generation, payload, team_id) "
            "SELECT p.id, %s, l, p.team_id FROM pipelines p, unnest(%s::bigint[]) AS l WHERE p.id = %s "
            "ON CONFLICT DO NOTHING",
            (generation, below, pipeline),
        )


def not_ours(unit: Unit, replay: Replay, low: int, high: int) -> set[int]:
    """Payloads low ≤ id ≤ high that the live road has mapped since the cut, or is going to.

    To be asked after the payloads were read: one that is accepted is waiting by then, or noted.
    """
    rows = unit.rows(
        "SELECT payload FROM replay_live WHERE pipeline_id = %(pipeline)s AND generation = %(generation)s "
        "AND payload BETWEEN %(low)s AND %(high)s "
        "UNION ALL SELECT p FROM batches b, unnest(b.payload_ids) AS p WHERE b.pipeline_id = %(pipeline)s "
        "AND p BETWEEN %(low)s AND %(high)s",
        {"pipeline": replay.pipeline, "generation": replay.generation, "low": low, "high": high},
    )
    return {payload for (payload,) in rows}
