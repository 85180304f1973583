"""Many small files of a pipeline's day become one: a quiet pipeline leaves one for each minute in which something came.

The files are read and written in order of payload id, a row group at a time, into a file of the same form. It is put
and known to be right before one transaction names it in the manifest and takes the rows of those it replaces out, so
that whoever reads the manifest finds each payload once, before and after. Their objects stay: a reader may have taken
the manifest a moment ago. They are orphans from then on, and the collector lets them go when its day is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from dash_app.domain.errors import DashError, Permanent
from dash_app.domain.ids import PAYLOAD_SEQUENCE_BITS, payload_id_floor
from dash_app.storage.bronze_files import add_file, put_file
from dash_app.storage.bronze_reading import in_order
from dash_app.storage.bronze_upkeep import lock_archive
from dash_app.storage.engine import Database
from dash_app.storage.objects import ObjectDamaged, ObjectMissing, Objects
from dash_app.storage.parquet import BronzeReader, BronzeWriter
from dash_app.storage.unit import Unit

#: Up to this size a file is made, and below half of it a file is small, so that two neighbours always fit one.
FILE_BYTES = 128 << 20
FILE_ROWS = 1_000_000
#: While its day is not over a file must be smaller than this to be written anew, and so many must lie side by side:
#: else what came in the morning would be written again each hour.
YOUNG_BYTES = 16 << 20
YOUNG_FILES = 8
#: Files whose last payload is younger are left alone.
SETTLED = timedelta(hours=1)
#: Bodies in one row group.
_GROUP_BYTES = 1 << 20
_GROUP_ROWS = 10_000
_FILES_PER_CALL = 16
_DAY = 86_400_000 << PAYLOAD_SEQUENCE_BITS  # in payload ids

#: A file is in memory as a whole while it is put: two large ones at once are not made in one process.
_LARGE_BYTES = 32 << 20
_large = threading.Lock()

# Runs of small neighbours: within a pipeline and day, what is not small parts one run from the next.
_RUNS = f"""
SELECT pipeline_id, array_agg(id ORDER BY min_payload, id) FROM (
  SELECT *, count(*) FILTER (WHERE NOT small) OVER (PARTITION BY pipeline_id, day ORDER BY min_payload, id) AS run
  FROM (
    SELECT *, max_payload < %(settled)s AND rows < {FILE_ROWS // 2}
              AND bytes < CASE WHEN over THEN {FILE_BYTES // 2} ELSE {YOUNG_BYTES} END AS small
    FROM (SELECT id, pipeline_id, rows, bytes, min_payload, max_payload, min_payload / {_DAY} AS day,
                 (min_payload / {_DAY} + 1) * {_DAY} <= %(settled)s AS over
          FROM bronze_files
          WHERE (%(pipeline)s::uuid IS NULL OR pipeline_id = %(pipeline)s) AND expired_at IS NULL) f
  ) f
) f WHERE small GROUP BY pipeline_id, day, run HAVING count(*) >= CASE WHEN bool_and(over) THEN 2 ELSE {YOUNG_FILES} END
ORDER BY pipeline_id, min(min_payload)
"""


class FilesChanged(Permanent):
    """The manifest's rows of the files that were compacted are not those that were read."""

    status = 500
    title = "Files changed"


@dataclass(frozen=True, slots=True)
class Compacted:
    """What one call made: new files, how many they replace, and the bytes of the new ones."""

    files: int = 0
    replaced: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _File:
    id: int
    team: UUID
    key: str
    rows: int
    bytes: int
    min_payload: int


def compactable(unit: Unit) -> list[UUID]:
    """Pipelines with small files to make one of."""
    return list(dict.fromkeys(pipeline for pipeline, _ in _runs(unit, None)))


def compact(
    database: Database,
    objects: Objects,
    pipeline: UUID,
    *,
    compression: str = "zstd",
    at: Callable[[str], None] = lambda point: None,
) -> Compacted:
    """Makes larger files of a pipeline's small ones; nothing where an archiver or a collector is at it.

    `at` is called with before_put, after_put, before_commit and after_commit, where a test may crash. Raises what
    `Objects.put` raises, and ObjectMissing or ObjectDamaged where a file cannot be read: after the other runs are done.
    """
    done = Compacted()
    broken: set[int] = set()
    failure: DashError | None = None
    for _ in range(_FILES_PER_CALL):
        with database.ingest() as unit:
            run = _next_run(unit, pipeline, broken)
        if not run:
            break
        try:
            made = _compact_one(database, objects, pipeline, broken, compression, at)
        except (ObjectMissing, ObjectDamaged) as error:
            broken.update(file.id for file in run)
            failure = failure or error
            continue
        if made is None:
            break
        done = Compacted(done.files + 1, done.replaced + made.replaced, done.bytes + made.bytes)
    if failure is not None:
        raise failure
    return done


def _compact_one(
    database: Database,
    objects: Objects,
    pipeline: UUID,
    broken: set[int],
    compression: str,
    at: Callable[[str], None],
) -> Compacted | None:
    with database.ingest() as unit:
        unit.execute("SET LOCAL idle_in_transaction_session_timeout = '15min'")
        if not lock_archive(unit, pipeline):
            return None
        with database.ingest() as reading:
            run = _next_run(reading, pipeline, broken)
        with _room(sum(file.bytes for file in run)) as room:
            if not run or not room:
                return None
            ids, data = _rewrite(objects, pipeline, run, compression)
            at("before_put")
            made = put_file(objects, run[0].team, pipeline, ids, data)
        stored = BronzeReader(objects, made.key, made.bytes)
        if stored.rows != len(ids) or (stored.ranges()[0][0], stored.ranges()[-1][1]) != (ids[0], ids[-1]):
            raise ObjectDamaged(f"{made.key} does not hold the rows that were written to it")
        at("after_put")
        # The old rows first: where the new file is one of the old ones byte for byte, its key is free then.
        gone = unit.execute(
            "DELETE FROM bronze_files WHERE pipeline_id = %s AND id = ANY(%s) AND expired_at IS NULL",
            (pipeline, [file.id for file in run]),
        ).rowcount
        if gone != len(run) or not add_file(unit, made):
            raise FilesChanged("the manifest was changed by somebody who did not hold the pipeline's lock")
        at("before_commit")
        unit.commit()
        at("after_commit")
        return Compacted(1, len(run), made.bytes)


def _runs(unit: Unit, pipeline: UUID | None) -> list[tuple[UUID, list[int]]]:
    now: datetime = unit.value("SELECT clock_timestamp()")
    rows = unit.rows(_RUNS, {"pipeline": pipeline, "settled": payload_id_floor(now - SETTLED)})
    return [(row[0], row[1]) for row in rows]


def _next_run(unit: Unit, pipeline: UUID, broken: set[int]) -> list[_File]:
    """The first run, as much of it as one file takes: at least two, since each is under half of that."""
    for _, numbers in _runs(unit, pipeline):
        rows = unit.rows(
            "SELECT id, team_id, key, rows, bytes, min_payload FROM bronze_files WHERE id = ANY(%s) "
            "ORDER BY min_payload, id",
            (numbers,),
        )
        run: list[_File] = []
        for file in (_File(*row) for row in rows):
            whole = run and (
                sum(one.bytes for one in run) + file.bytes > FILE_BYTES
                or sum(one.rows for one in run) + file.rows > FILE_ROWS
            )
            if file.id in broken or whole:
                if len(run) > 1:
                    break
                run = []
            if file.id not in broken:
                run.append(file)
        if len(run) > 1:
            return run
    return []


@contextmanager
def _room(size: int) -> Iterator[bool]:
    """Whether there is memory for a file of that size: another one that is being made has it, until the next hour."""
    if size <= _LARGE_BYTES:
        yield True
        return
    free = _large.acquire(blocking=False)
    try:
        yield free
    finally:
        if free:
            _large.release()


def _rewrite(objects: Objects, pipeline: UUID, run: Sequence[_File], compression: str) -> tuple[list[int], bytes]:
    """The payloads' ids and the bytes of a file with all rows of the run, in order of id, each once."""
    writer = BronzeWriter(run[0].team, pipeline, compression)
    sources = ((file.min_payload, partial(_rows, objects, pipeline, file)) for file in run)
    ids: list[int] = []
    group: list[tuple[Any, ...]] = []
    size = 0
    for row in in_order(sources, lambda row: int(row[0])):
        if group and (size + len(row[4]) > _GROUP_BYTES or len(group) == _GROUP_ROWS):
            writer.add(group)
            group, size = [], 0
        ids.append(row[0])
        group.append(row)
        size += len(row[4])
    writer.add(group)
    return ids, writer.finish()


def _rows(objects: Objects, pipeline: UUID, file: _File) -> Iterator[tuple[Any, ...]]:
    """All rows of a file. Raises ObjectDamaged where they are not as many as the manifest says, or somebody else's."""
    reader = BronzeReader(objects, file.key, file.bytes)
    if reader.rows != file.rows or (reader.about["team"], reader.about["pipeline"]) != (str(file.team), str(pipeline)):
        raise ObjectDamaged(f"{file.key} is not the file that the manifest names")
    yield from reader.raw()
