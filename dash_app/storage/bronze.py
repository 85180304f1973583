"""Bronze: payloads as Parquet files that never change, and a manifest in PostgreSQL that says which ones count.

Archiving is: build a file from what waits, put it under a key made of its content, know that the store holds it, and
then in one transaction note it in the manifest and take the notes of what waited away. A crash before that transaction
leaves an object that nothing refers to; the next attempt with the same rows finds it under the same key and adopts it.
Here is the archiver; reading, listing, compaction and upkeep have files of their own, and this is the door to all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from dash_app.domain.errors import Permanent
from dash_app.domain.ids import payload_id_floor, payload_id_time
from dash_app.storage.bronze_compaction import Compacted, compact, compactable
from dash_app.storage.bronze_files import add_file, put_file
from dash_app.storage.bronze_listing import newest, recent
from dash_app.storage.bronze_reading import as_array, each, groups, present, read_payload, read_payloads, scan
from dash_app.storage.bronze_rebuild import Rebuilt, rebuild_manifest
from dash_app.storage.bronze_upkeep import Collected, Released, collect_orphans, lock_archive, release
from dash_app.storage.engine import Database
from dash_app.storage.objects import Objects
from dash_app.storage.parquet import BronzeFile, BronzeWriter, describe
from dash_app.storage.unit import Unit

__all__ = [
    "Archived",
    "BronzeFile",
    "Collected",
    "Compacted",
    "PayloadsMissing",
    "Rebuilt",
    "Released",
    "archive",
    "collect_orphans",
    "compact",
    "compactable",
    "describe",
    "due",
    "each",
    "lock_archive",
    "newest",
    "read_payload",
    "read_payloads",
    "rebuild_manifest",
    "recent",
    "release",
    "scan",
]

#: Bodies in one file, and payloads; one payload may be larger than the first.
FILE_BYTES = 16 << 20
FILE_ROWS = 100_000
#: With this much of bodies waiting a pipeline is archived before its minute is over.
DUE_BYTES = 8 << 20
_FILES_PER_CALL = 16


class PayloadsMissing(Permanent):
    """Payloads that are noted as waiting are not in the inbox."""

    status = 500
    title = "Payloads missing"


@dataclass(frozen=True, slots=True)
class Archived:
    """What one call archived. `bytes`: of the files, as they are stored."""

    files: int = 0
    rows: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A note of `unarchived`: payloads that one commit brought."""

    id: int
    team: UUID
    payload_ids: list[int]


def due(unit: Unit, max_bytes: int = DUE_BYTES, max_age: timedelta = timedelta(seconds=60)) -> list[UUID]:
    """Pipelines with `max_bytes` of bodies waiting, or with one that waits longer than `max_age`; the longest first."""
    return [
        pipeline
        for (pipeline,) in unit.rows(
            "SELECT pipeline_id FROM unarchived GROUP BY pipeline_id "
            "HAVING sum(bytes) >= %s OR min(created_at) < clock_timestamp() - %s ORDER BY min(created_at)",
            (max_bytes, max_age),
        )
    ]


def archive(
    database: Database,
    objects: Objects,
    pipeline: UUID,
    *,
    compression: str = "zstd",
    at: Callable[[str], None] = lambda point: None,
) -> Archived:
    """Archives what waits of one pipeline, as several files where it is much; nothing where another archiver is at it.

    `at` is called with before_put, after_put, before_commit and after_commit, where a test may crash. Raises what
    `Objects.put` raises, and PayloadsMissing; what was archived before stays so, and the rest waits.
    """
    done = Archived()
    for _ in range(_FILES_PER_CALL):
        file, more = _archive_one(database, objects, pipeline, compression, at)
        if file is not None:
            done = Archived(done.files + 1, done.rows + file.rows, done.bytes + file.bytes)
        if not more:
            break
    return done


def _archive_one(
    database: Database, objects: Objects, pipeline: UUID, compression: str, at: Callable[[str], None]
) -> tuple[BronzeFile | None, bool]:
    """One file, and whether enough for another one may be waiting."""
    # The unit that holds the lock touches no table until the object is safe: a lock on the inbox, held while a slow
    # store answers, would keep its partitions from being dropped.
    with database.ingest() as unit:
        unit.execute("SET LOCAL idle_in_transaction_session_timeout = '15min'")
        if not lock_archive(unit, pipeline):
            return None, False
        with database.ingest() as reading:
            waiting, more = _waiting(reading, pipeline)
            if not waiting:
                return None, False
            sizes = _sizes(reading, [payload for note in waiting for payload in note.payload_ids])
            taken, full = _cut(sizes)
            writer = BronzeWriter(waiting[0].team, pipeline, compression)
            for group in groups({payload: sizes[payload] for payload in taken}):
                writer.add(_rows(reading, group))
            data = writer.finish()
        at("before_put")
        file = put_file(objects, waiting[0].team, pipeline, taken, data)
        at("after_put")
        _note(unit, file, waiting, sizes, set(taken))
        at("before_commit")
        unit.commit()
        at("after_commit")
        return file, full or more


def _waiting(unit: Unit, pipeline: UUID) -> tuple[list[_Waiting], bool]:
    """The oldest notes up to a file's worth (at least one), and whether what is left makes another file."""
    rows = unit.execute(
        "SELECT id, team_id, payload_ids FROM ("
        "SELECT *, sum(bytes) OVER w AS size, sum(cardinality(payload_ids)) OVER w AS many, row_number() OVER w AS n "
        "FROM (SELECT * FROM unarchived WHERE pipeline_id = %s ORDER BY id LIMIT 20000) u WINDOW w AS (ORDER BY id)"
        ") counted WHERE n = 1 OR (size <= %s AND many <= %s) ORDER BY id",
        (pipeline, FILE_BYTES, FILE_ROWS),
        binary=True,
    ).fetchall()
    notes = [_Waiting(*row) for row in rows]
    left = 0
    if notes:
        left = unit.value(
            "SELECT coalesce(sum(bytes), 0) FROM "
            "(SELECT bytes FROM unarchived WHERE pipeline_id = %s AND id > %s ORDER BY id LIMIT 20000) u",
            (pipeline, notes[-1].id),
        )
    return notes, left >= DUE_BYTES


def _sizes(unit: Unit, ids: Sequence[int]) -> dict[int, int]:
    """The length of each body by id, in order of id. Raises PayloadsMissing: no note goes without its payloads."""
    sizes: dict[int, int] = dict(present(unit, ids))
    if len(sizes) != len(set(ids)):
        lost = sorted(set(ids) - sizes.keys())
        raise PayloadsMissing(
            f"{len(lost)} payloads are noted as waiting for bronze and are not in the inbox; the first is {lost[0]}"
        )
    return sizes


def _cut(sizes: dict[int, int]) -> tuple[list[int], bool]:
    """The first payloads that fit one file, which keeps to one day (UTC), and whether some did not."""
    taken: list[int] = []
    size = 0
    first = payload_id_time(next(iter(sizes)))
    tomorrow = payload_id_floor(first.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1))
    for payload, length in sizes.items():
        size += length
        if taken and (size > FILE_BYTES or len(taken) == FILE_ROWS or payload >= tomorrow):
            return taken, True
        taken.append(payload)
    return taken, False


def _rows(unit: Unit, ids: list[int]) -> list[tuple[Any, ...]]:
    return unit.execute(
        "SELECT id, (extract(epoch FROM received_at) * 1000000)::bigint, content_type, headers, body, source "
        "FROM payloads WHERE id = ANY(%s::bigint[]) AND id BETWEEN %s AND %s ORDER BY id",
        (as_array(ids), ids[0], ids[-1]),
        binary=True,
    ).fetchall()


def _note(unit: Unit, file: BronzeFile, waiting: Sequence[_Waiting], sizes: dict[int, int], taken: set[int]) -> None:
    """The manifest's row, and the notes gone or, where a file took a part of one, made smaller."""
    add_file(unit, file)
    done: list[int] = []
    changed = 0
    for note in waiting:
        rest = [payload for payload in note.payload_ids if payload not in taken]
        if not rest:
            done.append(note.id)
        elif len(rest) < len(note.payload_ids):
            size = sum(sizes[payload] for payload in rest)
            changed += (
                1
                - unit.execute(
                    "UPDATE unarchived SET payload_ids = %s, bytes = %s WHERE id = %s", (rest, size, note.id)
                ).rowcount
            )
    changed += len(done) - unit.execute("DELETE FROM unarchived WHERE id = ANY(%s)", (done,)).rowcount
    if changed:
        raise PayloadsMissing("what waits for bronze was changed by somebody who did not hold the pipeline's lock")
