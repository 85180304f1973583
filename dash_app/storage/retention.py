"""Retention: what is older than its pipeline's days is hidden first, and removed by a later call.

Hiding is one small commit: from then on no query reads records before `pipelines.records_from`, buckets before
`rollups_from` or files with `expired_at`, so that nobody ever sees a half-removed day, and whoever dies between two
steps leaves work for the next call and nothing else. A call removes what earlier calls have hidden and hides what is
due now; calls are minutes apart, so that no reader from before the hiding is left when things go.

Rows go without keeping a writer from its work: in batches of one statement and one transaction each, passing over rows
that a writer has locked. Only where a writer could be misled (the hiding itself, and the ledger of keys) is its
pipeline's lock held, for one such batch at a time.

The rollups of a hidden day only grow: late records are added to them, and nothing is computed anew from records that
are gone (`silver_rollups.recompute_rollups`). A hidden day stays hidden, also where the days are made more later on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, Literal
from uuid import UUID

from dash_app.domain.ids import payload_id_floor
from dash_app.domain.specs import SilverVersion
from dash_app.storage import catalog, generations, ledger, payloads, replays, timescale
from dash_app.storage.bronze_upkeep import lock_archive
from dash_app.storage.engine import Database
from dash_app.storage.objects import Objects
from dash_app.storage.silver_tables import qualified
from dash_app.storage.unit import Unit

#: How long rejects are kept where the pipeline does not say how long payloads are.
REJECT_DAYS: Final = 90
#: A key is remembered at least so long: senders repeat themselves for about a week.
KEY_DAYS: Final = 8
#: Rows of one transaction.
_ROWS: Final = 20_000
_FILES: Final = 200
#: How long a writer is waited for.
_PATIENCE: Final = timedelta(seconds=3)

_EXPIRED = """
SELECT p.id FROM pipelines p
WHERE jsonb_path_exists(p.retention, '$.* ? (@ != null)')
   OR p.records_from IS NOT NULL OR p.rollups_from IS NOT NULL
   OR EXISTS (SELECT FROM bronze_files f WHERE f.pipeline_id = p.id AND f.expired_at IS NOT NULL)
   OR (SELECT r.at FROM rejects r WHERE r.pipeline_id = p.id ORDER BY r.id LIMIT 1) < %s
ORDER BY p.id
"""
# Stretches of a table's blocks with a batch of such rows each: one look through the block-range index, and then no
# block is read twice, however many dead rows the batches before have left.
_STRETCHES = """
SELECT min(block), max(block) FROM (
  SELECT block, ((sum(n) OVER (ORDER BY block))::int8 - 1) / {rows} AS batch FROM (
    SELECT (ctid::text::point)[0]::int8 AS block, count(*) AS n FROM {table} WHERE {column} < %s GROUP BY 1
  ) blocks
) batches GROUP BY batch ORDER BY 1
"""
_DELETE_STRETCH = """
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM {table} WHERE ctid >= %s::tid AND ctid < %s::tid AND {column} < %s FOR UPDATE SKIP LOCKED))
"""
_DELETE_BUCKETS = """
WITH gone AS (
  DELETE FROM {table} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {table} WHERE grain = %s AND bucket >= %s AND bucket < %s
    ORDER BY bucket LIMIT {rows} FOR UPDATE SKIP LOCKED)) RETURNING bucket
) SELECT count(*), max(bucket) FROM gone
"""
_DELETE_REJECTS = """
DELETE FROM rejects WHERE id IN (
  SELECT id FROM (SELECT id, at FROM rejects WHERE pipeline_id = %s ORDER BY id LIMIT {rows}) oldest WHERE at < %s)
"""
_HIDE = """
UPDATE pipelines SET
  swept_at = CASE WHEN records_from >= %(records)s OR %(records)s::timestamptz IS NULL THEN swept_at END,
  records_from = greatest(records_from, %(records)s), rollups_from = greatest(rollups_from, %(rollups)s)
-- What a replay carries over was settled when it was planned.
WHERE id = %(pipeline)s
  AND NOT EXISTS (SELECT FROM replays r WHERE r.pipeline_id = pipelines.id AND r.state = ANY(%(open)s))
"""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a call removed: rows of records, rollups, keys and rejects, and bronze's files with their bytes.

    `more`: the time was up before all was removed that was hidden before; another call goes on.
    """

    records: int = 0
    rollups: int = 0
    keys: int = 0
    rejects: int = 0
    files: int = 0
    bytes: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Kept:
    """A pipeline's days, and what is hidden of it already."""

    days: Mapping[str, int | None]
    records_from: datetime | None
    rollups_from: datetime | None
    swept_at: datetime | None
    versions: Sequence[SilverVersion]
    #: The generation that a replay fills.
    filling: int | None = None


_What = Literal["records", "rollups", "keys", "rejects", "files", "bytes"]


class _TimeUp(Exception):
    """The call has had its time."""


class _Busy(Exception):
    """A writer was at work for longer than is waited: what needs its lock is left to the next call."""


def expired(unit: Unit, now: datetime) -> list[UUID]:
    """Pipelines of which something may be to hide or to remove, archived ones as well."""
    return [pipeline for (pipeline,) in unit.rows(_EXPIRED, (now - timedelta(days=REJECT_DAYS),))]


def apply(
    database: Database,
    objects: Objects,
    pipeline: UUID,
    now: datetime,
    *,
    budget: timedelta = timedelta(seconds=30),
    at: Callable[[str], None] = lambda point: None,
) -> Removed:
    """Removes what is hidden of a pipeline, for about `budget`, and then hides what its days say by `now` (UTC).

    What is hidden stays hidden and is removed by a later call. `at` is called with after_batch, before_object,
    after_object and after_hiding, where a test may crash. Raises what `Objects.delete` raises, with the rest done.
    """
    with database.ingest() as unit:
        found = unit.row(
            "SELECT retention, records_from, rollups_from, swept_at FROM pipelines WHERE id = %s", (pipeline,)
        )
        if found is None:
            return Removed()
        kept_generations = [one for one in generations.generations(unit, pipeline) if one.state != "ended"]
        versions = [
            version
            for one in kept_generations
            for version in catalog.versions(unit, pipeline, generation=one.generation)
            if version.created
        ]
        filling = next((one.generation for one in kept_generations if one.state == "shadow"), None)
    kept = _Kept(found[0], found[1], found[2], found[3], versions, filling)
    sweep = _Sweep(database, pipeline, kept, now, monotonic() + budget.total_seconds(), at)
    try:
        sweep.rows()
        with suppress(_Busy):
            sweep.hide()
        sweep.files(objects)
    except _TimeUp:
        return replace(sweep.removed, more=True)
    return sweep.removed


@dataclass(slots=True)
class _Sweep:
    """One call."""

    database: Database
    pipeline: UUID
    kept: _Kept
    now: datetime
    deadline: float
    at: Callable[[str], None]
    removed: Removed = field(default_factory=Removed)

    # Rows ------------------------------------------------------------------------------------------------------------

    def rows(self) -> None:
        kept = self.kept
        if kept.records_from is not None and (kept.swept_at is None or kept.swept_at < _day(self.now)):
            swept = [self.records(version, kept.records_from) for version in kept.versions]
            with suppress(_Busy):
                self.keys()
            if all(swept):
                self.change("UPDATE pipelines SET swept_at = %s WHERE id = %s", (self.now, self.pipeline))
        if kept.rollups_from is not None:
            for version in kept.versions:
                self.buckets(version, kept.rollups_from)
        self.rejects()

    def records(self, version: SilverVersion, before: datetime) -> bool:
        """Removes records; False where somebody held a chunk, so that another call must go on.

        Whole chunks of a hypertable are dropped. Rows of another one are sought in the chunk itself: a row's place is
        its place in its chunk, and means nothing to the table.
        """
        table = qualified(version, version.table)
        with self.database.ingest() as unit:
            chunked = timescale.chunked(unit, table)
            chunks = timescale.chunks_before(unit, table, before) if chunked else []
        if not chunked:
            self.stretches("records", table, "_time", before)
        for chunk in chunks:
            if not chunk.packed and chunk.end > before:
                self.stretches("records", chunk.name, "_time", before)
                continue
            with self.database.ingest() as unit:
                if chunk.end > before:
                    count: int | None = timescale.delete_before(unit, table, chunk, before)
                else:
                    count = timescale.drop_chunk(unit, table, chunk)
                unit.commit()
            if count is None:
                return False
            self.count("records", count)
        return True

    def stretches(self, what: _What, table: str, column: str, before: object, *, alone: bool = False) -> None:
        """Removes rows with a `column` below `before`; `alone`: as the pipeline's one writer."""
        # A percent sign in a name would be a placeholder's.
        names = {"table": table.replace("%", "%%"), "column": column, "rows": _ROWS}
        with self.database.ingest() as unit:
            found = unit.rows(_STRETCHES.format(**names), (before,))
        for first, last in found:
            self.batch(what, _DELETE_STRETCH.format(**names), (f"({first},0)", f"({last + 1},0)", before), alone=alone)

    def buckets(self, version: SilverVersion, before: datetime) -> None:
        statement = _DELETE_BUCKETS.format(table=qualified(version, version.rollup).replace("%", "%%"), rows=_ROWS)
        for grain in (1, 2, 3):
            low: datetime = datetime(1, 1, 1, tzinfo=UTC)
            while True:
                with self.database.ingest() as unit:
                    count, last = unit.execute(statement, (grain, low, before)).fetchone() or (0, None)
                    unit.commit()
                self.count("rollups", count)
                if count < _ROWS or last is None:
                    break
                low = last

    def rejects(self) -> None:
        days = self.kept.days.get("payload_days") or REJECT_DAYS
        statement = _DELETE_REJECTS.format(rows=_ROWS)
        while self.batch("rejects", statement, (self.pipeline, self.now - timedelta(days=days))) == _ROWS:
            pass

    def keys(self) -> None:
        """Forgets keys of payloads that are older than records and senders' repeats, and than any record still there:
        records may bear times to come, and payloads may have waited in a paused pipeline."""
        days = self.kept.days.get("record_days")
        if days is None:
            return
        for version in self.kept.versions:
            if version.generation == self.kept.filling:
                # Its keys are those of records that the replay has come to, and their holders may be to come.
                continue
            with self.database.ingest() as unit:
                if not unit.value("SELECT to_regclass(%s) IS NOT NULL", (qualified(version, version.keys),)):
                    continue
                before = _id(self.now - timedelta(days=max(days, KEY_DAYS)))
                waiting = payloads.oldest_waiting(unit, self.pipeline)
                before = before if waiting is None else min(before, waiting)
                table = qualified(version, version.table).replace("%", "%%")
                oldest = unit.value(f"SELECT min(_payload) FROM {table} WHERE _payload < %s", (before,))
                before = before if oldest is None else min(before, oldest)
            self.stretches("keys", qualified(version, version.keys), "payload", before, alone=True)

    # Hiding ----------------------------------------------------------------------------------------------------------

    def hide(self) -> None:
        """Records and rollups go by whole days (UTC), so that hours and days of the rollup keep all of their minutes.

        No writer is at work then, so that none that has not seen it is left once it is committed.
        """
        records, rollups = self.kept.days.get("record_days"), self.kept.days.get("rollup_days")
        wanted = {
            "records": _day(self.now - timedelta(days=records)) if records else None,
            "rollups": _day(self.now - timedelta(days=rollups)) if rollups else None,
        }
        if _later(wanted["records"], self.kept.records_from) or _later(wanted["rollups"], self.kept.rollups_from):
            self.change(_HIDE, {**wanted, "pipeline": self.pipeline, "open": list(replays.OPEN)}, alone=True)
            self.at("after_hiding")

    # Bronze ----------------------------------------------------------------------------------------------------------

    def files(self, objects: Objects) -> None:
        """Object first, manifest's row after it: a crash between leaves a row that says what is to be done."""
        for number, key, size in self.hidden_files():
            self.at("before_object")
            objects.delete(key)
            self.at("after_object")
            self.change("DELETE FROM bronze_files WHERE id = %s", (number,))
            self.count("bytes", size)
            self.count("files", 1)
        days = self.kept.days.get("payload_days")
        if not days:
            return
        with self.database.ingest() as unit:
            # Somebody may be making one file of several at this moment: the next call then.
            if not lock_archive(unit, self.pipeline):
                return
            # What a replay is still to map must not go meanwhile: its records would go with it.
            if replays.under_way(unit, self.pipeline):
                return
            before = _id(self.now - timedelta(days=days))
            waiting = payloads.oldest_waiting(unit, self.pipeline)
            before = before if waiting is None else min(before, waiting)
            unit.execute(
                "UPDATE bronze_files SET expired_at = %s "
                "WHERE pipeline_id = %s AND max_payload < %s AND expired_at IS NULL",
                (self.now, self.pipeline, before),
            )
            unit.execute(
                "UPDATE pipelines SET payloads_from = %(id)s WHERE id = %(pipeline)s "
                "AND payloads_from IS DISTINCT FROM %(id)s AND coalesce(payloads_from, 0) < %(id)s",
                {"id": before, "pipeline": self.pipeline},
            )
            unit.commit()

    def hidden_files(self) -> Iterator[tuple[int, str, int]]:
        after = 0
        while True:
            with self.database.ingest() as unit:
                found = unit.rows(
                    "SELECT id, key, bytes FROM bronze_files "
                    "WHERE pipeline_id = %s AND expired_at IS NOT NULL AND id > %s ORDER BY id LIMIT %s",
                    (self.pipeline, after, _FILES),
                )
            for number, key, size in found:
                after = number
                yield number, key, size
            if len(found) < _FILES:
                return

    # Transactions ----------------------------------------------------------------------------------------------------

    def batch(self, what: _What, sql: str, params: Sequence[Any], *, alone: bool = False) -> int:
        count = self.change(sql, params, alone=alone)
        self.count(what, count)
        return count

    def change(self, sql: str, params: Sequence[Any] | Mapping[str, Any], *, alone: bool = False) -> int:
        """One statement in a transaction of its own; answers how many rows it changed."""
        with self.database.ingest() as unit:
            if alone and not payloads.await_pipeline(unit, self.pipeline, _PATIENCE):
                raise _Busy
            count = unit.execute(sql, params).rowcount
            unit.commit()
            # Whoever was turned away by the lock meanwhile has left its work to us.
            if alone and payloads.waiting(unit, self.pipeline):
                ledger.ring(unit, self.pipeline)
                unit.commit()
        return count

    def count(self, what: _What, count: int) -> None:
        self.removed = replace(self.removed, **{what: getattr(self.removed, what) + count})
        if count:
            self.at("after_batch")
        if monotonic() > self.deadline:
            raise _TimeUp


def _later(moment: datetime | None, than: datetime | None) -> bool:
    return moment is not None and (than is None or than < moment)


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _id(moment: datetime) -> int:
    return max(payload_id_floor(moment), 0)
