"""Listing payloads, newest first, from the inbox on into bronze, as one list without a seam.

The inbox answers first. Of the manifest's files only those are opened that can hold one of the payloads still missing,
and of those only the columns that a list shows. A file of one hour whose first payload the inbox still has is left out:
an hour of the inbox is dropped whole, and what lies outside of any goes oldest first, so that all of it has been seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

from dash_app.domain.events import Payload, PayloadInfo
from dash_app.domain.ids import PAYLOAD_SEQUENCE_BITS
from dash_app.storage.bronze_reading import as_array, read_payloads
from dash_app.storage.objects import Objects
from dash_app.storage.parquet import BronzeReader, Heading
from dash_app.storage.unit import Unit

_HOUR = 3_600_000 << PAYLOAD_SEQUENCE_BITS  # in payload ids
_LAST = (1 << 63) - 1
#: Files read side by side: a quiet pipeline has a file for each minute in which something came, and a page takes many.
_FILES = 8
#: Bodies that `newest` reads unless told otherwise.
_BODIES = 8 << 20

# The inbox is asked by a scalar subquery, one look-up a file, which no plan can turn into reading all of it.
_OLDER_FILES = f"""
SELECT id, max_payload, key, rows, bytes FROM bronze_files f
WHERE pipeline_id = %(pipeline)s AND expired_at IS NULL AND min_payload < %(before)s AND max_payload > %(after)s
  AND min_payload <= %(place)s AND max_payload < %(place)s + {24 * _HOUR} AND NOT id = ANY(%(seen)s)
  AND (max_payload / {_HOUR} <> min_payload / {_HOUR}
       OR (SELECT p.id FROM payloads p WHERE p.id = f.min_payload) IS NULL)
ORDER BY max_payload DESC, id DESC LIMIT {_FILES}
"""


@dataclass(frozen=True, slots=True)
class _File:
    id: int
    max_payload: int
    key: str
    rows: int
    bytes: int


def recent(unit: Unit, objects: Objects, pipeline: UUID, *, limit: int, before: int | None = None) -> list[PayloadInfo]:
    """A pipeline's payloads with ids below `before` (None: all), newest first, each once, without their bodies.

    Raises ObjectMissing or ObjectDamaged where a file that is needed is not there or not right.
    """
    stop = _LAST if before is None else before
    # The inbox first and the manifest after it, as in reading: what is archived in between is found in one of the two.
    found = {one.id: one for one in _inbox(unit, pipeline, limit, stop)}
    # Below this place all that is in files is still to be found. By place and not by file, since files may become one
    # meanwhile, and the new one ends where the first of them did, which was read already.
    place = stop
    seen: list[int] = []
    while True:
        after = sorted(found, reverse=True)[limit - 1] if len(found) >= limit else -1
        files = _needed(_older_files(unit, pipeline, after, stop, place, seen), found, limit)
        if not files:
            break
        for headings in _read(objects, files, after, stop, limit):
            found |= {one.id: one for one in headings}
        place = min(place, files[-1].max_payload)
        seen += [file.id for file in files]
    return _with_states(unit, pipeline, [found[one] for one in sorted(found, reverse=True)[:limit]])


def newest(unit: Unit, objects: Objects, pipeline: UUID, *, limit: int, max_bytes: int = _BODIES) -> list[Payload]:
    """The newest payloads with their bodies, in order of id: up to `max_bytes` of bodies, and at least one."""
    wanted: list[int] = []
    size = 0
    for info in recent(unit, objects, pipeline, limit=limit):
        size += info.size
        if wanted and size > max_bytes:
            break
        wanted.append(info.id)
    return read_payloads(unit, objects, wanted, pipeline=pipeline)


def _inbox(unit: Unit, pipeline: UUID, limit: int, stop: int) -> list[Heading]:
    rows = unit.rows(
        "SELECT id, received_at, content_type, octet_length(body), source FROM payloads "
        "WHERE pipeline_id = %s AND id < %s ORDER BY id DESC LIMIT %s",
        (pipeline, stop, limit),
    )
    return [Heading(*row) for row in rows]


def _older_files(unit: Unit, pipeline: UUID, after: int, stop: int, place: int, seen: list[int]) -> list[_File]:
    """The next files that begin at `place` or before and can hold a payload with after < id < stop."""
    # A file keeps to one day: none that ends a day after the place begins before it.
    place = min(place, _LAST - 24 * _HOUR)
    rows = unit.rows(_OLDER_FILES, {"pipeline": pipeline, "before": stop, "after": after, "place": place, "seen": seen})
    return [_File(*row) for row in rows]


def _needed(files: Sequence[_File], found: dict[int, Heading], limit: int) -> list[_File]:
    """The first of the files, as far as it is certain already that the ones before them do not fill the page."""
    needed: list[_File] = []
    expected = 0
    for file in files:
        if sum(one > file.max_payload for one in found) + expected >= limit:
            break
        needed.append(file)
        expected += file.rows
    return needed


def _read(objects: Objects, files: Sequence[_File], after: int, stop: int, limit: int) -> list[list[Heading]]:
    def read(file: _File) -> list[Heading]:
        return BronzeReader(objects, file.key, file.bytes).newest(after, stop, limit)

    if len(files) == 1:
        return [read(files[0])]
    with ThreadPoolExecutor(len(files), thread_name_prefix="listing") as pool:
        return list(pool.map(read, files))


def _with_states(unit: Unit, pipeline: UUID, found: Sequence[Heading]) -> list[PayloadInfo]:
    if not found:
        return []
    waiting = unit.rows(
        "SELECT DISTINCT p FROM batches, unnest(payload_ids) AS p WHERE pipeline_id = %s AND p = ANY(%s::bigint[])",
        (pipeline, as_array([one.id for one in found])),
    )
    pending = {payload for (payload,) in waiting}
    paused = unit.value("SELECT state FROM pipelines WHERE id = %s", (pipeline,)) == "paused"
    held = "held" if paused else "waiting"
    return [
        PayloadInfo(
            one.id,
            one.received_at,
            one.content_type,
            one.size,
            held if one.id in pending else "ingested",
            one.source,
        )
        for one in found
    ]
