"""Comparisons over all payloads of a pipeline, as they stand: how far they came and what they have found so far.

Nobody holds a lock while payloads are mapped. Whoever saves names the position that it began at, and saves nothing
where somebody else has moved it meanwhile: two workers on one comparison waste work and count nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.errors import NotFound
from dash_app.storage.unit import Unit

#: One that nobody has touched for so long was left by its worker, or its task was lost.
STALE_SECONDS = 10.0
KEEP_DAYS = 30

_COLUMNS = (
    "id, team_id, pipeline_id, version_a, version_b, document_b, from_id, to_id, from_time, to_time, state, position, "
    "payloads, total, records, seconds, difference, attempts, error, author, created_at, finished_at"
)
#: For lists, which show neither of the two that may be large.
_LINE = _COLUMNS.replace("document_b", "'' AS document_b").replace("difference", "'' AS difference")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison. `state`: queued | running | done | failed | cancelled.

    `version_b` None: `document_b` (JSON) is compared, which was not saved. `difference`: JSON, '' until there is some.
    `payloads` of about `total` are compared, `records` of the newer side; `seconds`: of work.
    """

    id: UUID
    team: UUID
    pipeline: UUID
    version_a: int
    version_b: int | None
    document_b: str
    from_id: int
    to_id: int
    from_time: datetime | None
    to_time: datetime | None
    state: str
    position: int
    payloads: int
    total: int
    records: int
    seconds: float
    difference: str
    attempts: int
    error: str
    author: str
    created_at: datetime
    finished_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.state in ("queued", "running")

    @property
    def rate(self) -> float | None:
        """Records a second; None until there is something to tell it from."""
        return self.records / self.seconds if self.seconds > 0 else None

    @property
    def eta(self) -> float | None:
        """Seconds that are left, about; None where that cannot be told."""
        if not self.is_open or not self.payloads or self.seconds <= 0:
            return None
        return max(0, self.total - self.payloads) * self.seconds / self.payloads

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        if self.state == "done":
            return 1.0
        return min(1.0, self.payloads / self.total) if self.total else 0.0


def create(
    unit: Unit,
    team: UUID,
    pipeline: UUID,
    *,
    version_a: int,
    version_b: int | None,
    document_b: str,
    from_id: int,
    to_id: int,
    from_time: datetime | None,
    to_time: datetime | None,
    author: str,
) -> Comparison:
    """A new comparison of the payloads from_id ≤ id < to_id, for a worker to take up. One of the two `…_b` is given."""
    made = ids.new_id()
    unit.execute(
        "INSERT INTO comparisons (id, team_id, pipeline_id, version_a, version_b, document_b, from_id, to_id, "
        "from_time, to_time, position, total, author) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (made, team, pipeline, version_a, version_b, document_b, from_id, to_id, from_time, to_time, from_id,
         count_payloads(unit, pipeline, from_id, to_id), author),
    )  # fmt: skip
    return get(unit, made)


def count_payloads(unit: Unit, pipeline: UUID, from_id: int, to_id: int) -> int:
    """About how many payloads there are between two ids: those of a file that lies there in part count in part."""
    found: int = unit.value(
        "SELECT coalesce((SELECT sum(rows * ("
        "    least(max_payload, %(to)s - 1) - greatest(min_payload, %(from)s) + 1)::float8"
        "    / (max_payload - min_payload + 1)) FROM bronze_files WHERE pipeline_id = %(pipeline)s"
        "    AND expired_at IS NULL AND min_payload < %(to)s AND max_payload >= %(from)s), 0)::bigint"
        " + (SELECT count(*) FROM unarchived, unnest(payload_ids) AS p"
        "    WHERE pipeline_id = %(pipeline)s AND p >= %(from)s AND p < %(to)s)",
        {"pipeline": pipeline, "from": from_id, "to": to_id},
    )
    return found


def get(unit: Unit, comparison: UUID) -> Comparison:
    """NotFound where there is none that this unit may see."""
    row = unit.row(f"SELECT {_COLUMNS} FROM comparisons WHERE id = %s", (comparison,))
    if row is None:
        raise NotFound(f"no comparison '{comparison}'")
    return Comparison(*row)


def of_pipeline(unit: Unit, pipeline: UUID, *, limit: int, before: UUID | None = None) -> list[Comparison]:
    """A pipeline's comparisons, newest first, those after `before` in that order; without documents and differences."""
    rows = unit.rows(
        f"SELECT {_LINE} FROM comparisons WHERE pipeline_id = %(pipeline)s "
        "AND (%(before)s::uuid IS NULL OR id < %(before)s) ORDER BY id DESC LIMIT %(limit)s",
        {"pipeline": pipeline, "before": before, "limit": limit},
    )
    return [Comparison(*row) for row in rows]


def newest_of(
    unit: Unit,
    pipeline: UUID,
    *,
    version_a: int,
    version_b: int | None,
    document_b: str,
    from_time: datetime | None,
    to_time: datetime | None,
) -> Comparison | None:
    """The newest comparison of these two mappings over this range; None where there is none."""
    row = unit.row(
        f"SELECT {_COLUMNS} FROM comparisons WHERE pipeline_id = %s AND version_a = %s "
        "AND version_b IS NOT DISTINCT FROM %s AND document_b = %s AND from_time IS NOT DISTINCT FROM %s "
        "AND to_time IS NOT DISTINCT FROM %s ORDER BY id DESC LIMIT 1",
        (pipeline, version_a, version_b, document_b, from_time, to_time),
    )
    return Comparison(*row) if row else None


def count_open(unit: Unit, pipeline: UUID) -> int:
    found: int = unit.value(
        "SELECT count(*) FROM comparisons WHERE pipeline_id = %s AND state IN ('queued', 'running')", (pipeline,)
    )
    return found


def cancel(unit: Unit, comparison: UUID) -> Comparison:
    """Ends it where it stands, if it has not ended; what it has found stays. NotFound."""
    unit.execute(
        "UPDATE comparisons SET state = 'cancelled', finished_at = clock_timestamp() "
        "WHERE id = %s AND state IN ('queued', 'running')",
        (comparison,),
    )
    return get(unit, comparison)


# The worker's side ---------------------------------------------------------------------------------------------------


def begin_turn(unit: Unit, comparison: UUID) -> Comparison | None:
    """The comparison, for a turn of work that is counted as an attempt; None where there is nothing left to do."""
    row = unit.row(
        "UPDATE comparisons SET state = 'running', attempts = attempts + 1, touched_at = clock_timestamp() "
        f"WHERE id = %s AND state IN ('queued', 'running') RETURNING {_COLUMNS}",
        (comparison,),
    )
    return Comparison(*row) if row else None


def save(
    unit: Unit,
    comparison: UUID,
    began: int,
    *,
    position: int,
    difference: str,
    payloads: int,
    records: int,
    seconds: float,
) -> bool:
    """Keeps what was found up to `position`; False where it was cancelled, or moved on from `began` by somebody else.

    `payloads`, `records` and `seconds` are added to what there was.
    """
    saved = unit.execute(
        "UPDATE comparisons SET position = %s, difference = %s, payloads = payloads + %s, records = records + %s, "
        "seconds = seconds + %s, attempts = 0, touched_at = clock_timestamp() "
        "WHERE id = %s AND position = %s AND state = 'running'",
        (position, difference, payloads, records, seconds, comparison, began),
    )
    return saved.rowcount == 1


def end(unit: Unit, comparison: UUID, *, error: str = "") -> None:
    """It has come to its end: done, or failed with an error."""
    unit.execute(
        "UPDATE comparisons SET state = %s, error = %s, finished_at = clock_timestamp() "
        "WHERE id = %s AND state IN ('queued', 'running')",
        ("failed" if error else "done", error.replace("\0", "\ufffd")[:2000], comparison),
    )


def left(unit: Unit, *, age: float = STALE_SECONDS, limit: int = 200) -> list[UUID]:
    """Open comparisons that nobody has touched for so many seconds; they are due to be queued again."""
    rows = unit.rows(
        "SELECT id FROM comparisons WHERE state IN ('queued', 'running') "
        "AND touched_at < clock_timestamp() - make_interval(secs => %s) ORDER BY touched_at LIMIT %s",
        (age, limit),
    )
    return [row[0] for row in rows]


def prune(unit: Unit, *, keep_days: int = KEEP_DAYS) -> int:
    """Forgets comparisons that ended more than so many days ago, a bounded number at a time."""
    return unit.execute(
        "DELETE FROM comparisons WHERE id IN (SELECT id FROM comparisons WHERE state NOT IN ('queued', 'running') "
        "AND finished_at < now() - make_interval(days => %s) LIMIT 1000)",
        (keep_days,),
    ).rowcount
