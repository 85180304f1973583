"""What keeps inbox and object store small: bodies that are archived are let go, and objects that nobody counts too.

Both are careful before they are thorough. A partition of the inbox goes only when nothing that waits for bronze is in
it, seen again under the lock that keeps writers out. An object that the manifest does not name goes only when it is
old, has the form of our keys, belongs to a pipeline of this database, and each of its payloads is known to stand
elsewhere: after a restore from an older backup it can be the only copy, and stays until the manifest is rebuilt.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from dash_app.domain.ids import PAYLOAD_SEQUENCE_BITS, as_uuid, payload_id_floor
from dash_app.storage.bronze_files import Coverage
from dash_app.storage.bronze_reading import present
from dash_app.storage.engine import Database
from dash_app.storage.objects import Head, ObjectDamaged, ObjectMissing, Objects
from dash_app.storage.parquet import BronzeReader
from dash_app.storage.unit import Unit

#: The form of bronze's keys: nothing else below the prefix is ever touched.
KEY = re.compile(
    r"[0-9a-f-]{36}/([0-9a-f-]{36})/dt=\d{4}-\d\d-\d\d/\d{19}-\d{19}-[0-9a-f]{8}(?:-[0-9a-f]{8})?\.parquet"
)
_HOUR = 3_600_000 << PAYLOAD_SEQUENCE_BITS  # in payload ids
_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class Released:
    """What one call let go. `busy`: partitions in use, for the next call; `pinned`: those that bronze still needs."""

    partitions: int = 0
    busy: int = 0
    pinned: int = 0
    #: Bodies that had found no partition when they came.
    strays: int = 0
    #: Partitions made for the hours to come.
    made: int = 0


@dataclass(frozen=True, slots=True)
class Collected:
    """Objects that the manifest does not name: removed, and kept because they hold payloads that stand nowhere else."""

    removed: int = 0
    bytes: int = 0
    kept: tuple[str, ...] = ()


def release(
    database: Database, *, hot: timedelta = timedelta(hours=1), ahead: int = 3, limit: int = 10_000
) -> Released:
    """Drops the hours of the inbox that ended more than `hot` ago and are archived whole; makes `ahead` new ones.

    A partition in use is left for the next call. Bodies that lie outside any hour's partition go a `limit` at a time.
    """
    with database.ingest() as unit:
        now: datetime = unit.value("SELECT clock_timestamp()")
    horizon = payload_id_floor(now - hot)
    made = _make_ahead(database, ahead)
    partitions = busy = pinned = 0
    with database.ingest() as unit:
        ended = unit.rows("SELECT part, low, high FROM payload_partitions(%s)", (horizon,))
        needed = {
            hour
            for (hour,) in unit.rows(
                "SELECT DISTINCT p / %s FROM unarchived, unnest(payload_ids) AS p WHERE p < %s", (_HOUR, horizon)
            )
        }
    for part, low, high in ended:
        if low // _HOUR in needed:
            pinned += 1
            continue
        dropped = _drop(database, part, low, high)
        partitions += dropped is True
        busy += dropped is None
        pinned += dropped is False
    return Released(partitions, busy, pinned, _delete_strays(database, horizon, limit), made)


def _make_ahead(database: Database, ahead: int) -> int:
    """How many partitions were made; none where the inbox is busy, and the next call tries again."""
    try:
        return _ensure(database, ahead, displaced=False)
    except psycopg.errors.CheckViolation:
        # Nobody made partitions for hours, and what came meanwhile lies in the way of the one for its hour.
        return _ensure(database, ahead, displaced=True)


def _ensure(database: Database, ahead: int, *, displaced: bool) -> int:
    with database.ingest() as unit:
        # Whoever waits for a lock on the inbox makes everybody else wait behind.
        unit.execute("SET LOCAL lock_timeout = '2s'")
        try:
            if displaced:
                unit.execute("LOCK TABLE payloads_default IN ACCESS EXCLUSIVE MODE")
                unit.execute("CREATE TEMPORARY TABLE displaced (LIKE payloads) ON COMMIT DROP")
                unit.execute(
                    "WITH gone AS (DELETE FROM payloads_default WHERE id >= %s RETURNING *) "
                    "INSERT INTO pg_temp.displaced SELECT * FROM gone",
                    (unit.value("SELECT (extract(epoch FROM date_trunc('hour', now(), 'UTC')) * 1000)::bigint << 20"),),
                )
            made: int = unit.value("SELECT ensure_payload_partitions(%s)", (ahead,))
            if displaced:
                unit.execute("INSERT INTO payloads SELECT * FROM pg_temp.displaced")
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            return 0
        unit.commit()
    return made


def _drop(database: Database, part: str, low: int, high: int) -> bool | None:
    """True: dropped. None: in use. False: something in it came to wait for bronze meanwhile."""
    with database.ingest() as unit:
        try:
            unit.execute("SELECT drop_payload_partition(%s)", (part,))
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            return None
        # Now nobody else can write into it: what was being committed while we looked is visible here, and undoes it.
        waiting = "SELECT EXISTS (SELECT FROM unarchived, unnest(payload_ids) AS p WHERE p >= %s AND p < %s)"
        if unit.value(waiting, (low, high)):
            return False
        unit.commit()
    return True


def _delete_strays(database: Database, horizon: int, limit: int) -> int:
    with database.ingest() as unit:
        gone = unit.execute(
            "DELETE FROM payloads_default WHERE id IN ("
            "SELECT d.id FROM payloads_default d WHERE d.id < %s AND NOT EXISTS ("
            "SELECT FROM unarchived u WHERE u.pipeline_id = d.pipeline_id AND d.id = ANY(u.payload_ids)) "
            # Oldest first, so that a file whose first payload is still here is here as a whole: a list relies on it.
            "ORDER BY d.id LIMIT %s)",
            (horizon, limit),
        ).rowcount
        unit.commit()
    return gone


def collect_orphans(
    database: Database, objects: Objects, *, older_than: timedelta = timedelta(days=1), now: datetime | None = None
) -> Collected:
    """Removes objects older than `older_than` that the manifest does not name and whose payloads all stand elsewhere.

    One that a newer file took the place of stays for as long after that: somebody may still read it. Those that hold a
    payload that stands nowhere else are kept and named in the answer. `now`: for tests.
    """
    before = (now or datetime.now(UTC)) - older_than
    objects.tidy(before)
    suspects: dict[UUID, list[Head]] = defaultdict(list)
    removed = size = 0
    kept: list[str] = []
    batch: list[Head] = []
    with database.ingest() as unit:
        pipelines = {pipeline for (pipeline,) in unit.rows("SELECT id FROM pipelines")}
    for head in objects.list():
        match = KEY.fullmatch(head.key)
        if match and head.modified < before and as_uuid(match[1]) in pipelines:
            batch.append(head)
        if len(batch) == 1000:
            _sort_out(database, batch, suspects)
            batch.clear()
    _sort_out(database, batch, suspects)
    for pipeline, heads in suspects.items():
        with database.ingest() as unit:
            unit.execute("SET LOCAL idle_in_transaction_session_timeout = '15min'")
            # An archiver may be adopting one of these objects at this moment.
            if not lock_archive(unit, pipeline):
                continue
            coverage = Coverage(objects, pipeline)
            for head in unnamed(unit, heads):
                held = _held(objects, head)
                if held and coverage.changed_since(unit, held, before):
                    continue
                if held is not None and _stand_elsewhere(unit, coverage, held):
                    objects.delete(head.key)
                    removed += 1
                    size += head.size
                else:
                    kept.append(head.key)
    return Collected(removed, size, tuple(kept))


def lock_archive(unit: Unit, pipeline: UUID) -> bool:
    """Becomes the one who may add or collect this pipeline's files in this transaction; False where another is."""
    return unit.value("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 2))", (str(pipeline),)) is True


def _sort_out(database: Database, heads: Sequence[Head], suspects: dict[UUID, list[Head]]) -> None:
    with database.ingest() as unit:
        for head in unnamed(unit, heads):
            suspects[UUID(head.key.split("/")[1])].append(head)


def unnamed(unit: Unit, heads: Sequence[Head]) -> list[Head]:
    """Those of the objects that the manifest does not name."""
    keys = [head.key for head in heads]
    named = {key for (key,) in unit.rows("SELECT key FROM bronze_files WHERE key = ANY(%s)", (keys,))}
    return [head for head in heads if head.key not in named]


def _held(objects: Objects, head: Head) -> list[int] | None:
    """The payloads in an object, none where its write was cut short; None where somebody should look at it."""
    try:
        if head.size < len(_MAGIC) or objects.get(head.key, head.size - len(_MAGIC)) != _MAGIC:
            return []  # such an object was never counted, and nothing was let go for it
        return BronzeReader(objects, head.key, head.size).ids()
    except ObjectMissing:
        return []
    except ObjectDamaged:
        return None


def _stand_elsewhere(unit: Unit, coverage: Coverage, ids: Sequence[int]) -> bool:
    """Whether nothing is lost with an object that holds these payloads."""
    left = set(ids) - {payload for payload, _ in present(unit, ids)}
    return not coverage.missing(unit, left)
