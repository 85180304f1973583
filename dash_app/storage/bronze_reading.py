"""Reading payloads wherever they stand: in the inbox, in a bronze file, or, while they are archived, in both.

The inbox is asked first and the manifest after it. Archiving goes the other way, into the manifest and then out of the
inbox, so that what is missed in the first look is found in the second.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar
from uuid import UUID

from dash_app.domain.events import Payload
from dash_app.storage import payloads
from dash_app.storage.objects import Objects
from dash_app.storage.parquet import BronzeFile, BronzeReader
from dash_app.storage.unit import Unit

#: Bodies in one group of payloads, which is what is in memory at once.
_GROUP_BYTES = 1 << 20
_GROUP_ROWS = 10_000
_BATCH_BYTES = 4 << 20
#: Ids of waiting payloads that a scan holds at once.
_STRETCH = 100_000
#: Files of the manifest that a scan takes at once.
_PAGE = 500

T = TypeVar("T")

#: Opens a unit of work: `database.ingest`, or `partial(database.team, team)`.
Units = Callable[[], AbstractContextManager[Unit]]


def read_payload(unit: Unit, objects: Objects, payload: int, *, pipeline: UUID | None = None) -> Payload | None:
    """One payload from the inbox or from bronze; None where the unit sees none such, or it is of another pipeline."""
    found = read_payloads(unit, objects, [payload], pipeline=pipeline)
    return found[0] if found else None


def read_payloads(unit: Unit, objects: Objects, ids: Sequence[int], *, pipeline: UUID | None = None) -> list[Payload]:
    """The payloads with these ids in order of id, each once; those that the unit does not see are left out.

    Name the pipeline where it is known: the manifest is indexed by it, and payloads of another one are left out.
    Raises ObjectMissing or ObjectDamaged where the manifest names a file that is not there or not right.
    """
    found = {payload.id: payload for payload in payloads.load(unit, ids) if pipeline in {None, payload.pipeline}}
    missing = sorted(set(ids) - found.keys())
    if missing:
        for file in covering(unit, missing, pipeline):
            here = [one for one in missing if file.min_payload <= one <= file.max_payload and one not in found]
            if here:
                found |= {payload.id: payload for payload in BronzeReader(objects, file.key, file.bytes).find(here)}
    return [found[payload] for payload in sorted(found)]


def scan(
    units: Units,
    objects: Objects,
    pipeline: UUID,
    from_id: int,
    to_id: int,
    *,
    max_bytes: int = _BATCH_BYTES,
    max_rows: int = 10_000,
) -> Iterator[list[Payload]]:
    """The pipeline's payloads with from_id ≤ id < to_id, in order of id, each once, in bounded batches.

    Archived or not, and also while they are being archived. No unit stays open between two batches. What is accepted
    with an id below one that was given out already is not seen: let `to_id` be a cut before which all is committed.
    """
    batch: list[Payload] = []
    size = 0
    for payload in each(units, objects, pipeline, from_id, to_id):
        if batch and (size + len(payload.body) > max_bytes or len(batch) == max_rows):
            yield batch
            batch, size = [], 0
        batch.append(payload)
        size += len(payload.body)
    if batch:
        yield batch


def each(units: Units, objects: Objects, pipeline: UUID, from_id: int, to_id: int) -> Iterator[Payload]:
    """The payloads of `scan`, one by one."""
    return in_order(_sources(units, objects, pipeline, from_id, to_id), lambda payload: payload.id)


#: The first id that can come of it, and how to open it.
_Source = tuple[int, Callable[[], Iterator[Payload]]]


def _sources(units: Units, objects: Objects, pipeline: UUID, start: int, stop: int) -> Iterator[_Source]:
    """Files and stretches of the inbox in order of their first ids; what is archived meanwhile may stand in both."""
    while start < stop:
        # What waits is read before the manifest: a payload archived in between is then in both, and never in neither.
        with units() as unit:
            hot = unit.execute(
                "SELECT p FROM unarchived, unnest(payload_ids) AS p "
                "WHERE pipeline_id = %s AND p >= %s AND p < %s ORDER BY p LIMIT %s",
                (pipeline, start, stop, _STRETCH),
                binary=True,
            ).fetchall()
        ids = [payload for (payload,) in hot]
        end = ids[-1] + 1 if len(ids) == _STRETCH else stop
        if ids:
            yield start, partial(_inbox, units, objects, pipeline, ids)
        yield from _files(units, objects, pipeline, start, end)
        start = end


def _files(units: Units, objects: Objects, pipeline: UUID, start: int, stop: int) -> Iterator[_Source]:
    # Files may become one while we read: the new one begins before what was read last, and is read from there on.
    position = start
    seen: dict[int, int] = {}
    while True:
        with units() as unit:
            page = unit.rows(
                "SELECT min_payload, max_payload, id, key, bytes FROM bronze_files "
                "WHERE pipeline_id = %s AND min_payload < %s AND max_payload >= %s AND NOT id = ANY(%s) "
                "AND expired_at IS NULL "
                "ORDER BY min_payload, id LIMIT %s",
                (pipeline, stop, position, list(seen), _PAGE),
            )
        for low, _, _, key, size in page:
            yield max(low, position), partial(_file, objects, key, size, position, stop)
        if len(page) < _PAGE:
            return
        position = max(position, page[-1][0])
        seen |= {number: high for _, high, number, _, _ in page}
        seen = {number: high for number, high in seen.items() if high >= position}


def _file(objects: Objects, key: str, size: int, start: int, stop: int) -> Iterator[Payload]:
    yield from BronzeReader(objects, key, size).scan(start, stop)


def _inbox(units: Units, objects: Objects, pipeline: UUID, ids: list[int]) -> Iterator[Payload]:
    """Payloads that were waiting, wherever they are by now."""
    with units() as unit:
        sizes = dict(present(unit, ids))
    for group in groups({payload: sizes.get(payload, 0) for payload in ids}):
        with units() as unit:
            found = read_payloads(unit, objects, group, pipeline=pipeline)
        yield from found


def in_order(sources: Iterator[tuple[int, Callable[[], Iterator[T]]]], identity: Callable[[T], int]) -> Iterator[T]:
    """Merges sources that come in order of their first ids, opening each when its turn has come; each payload once.

    A source is the first id that can come of it, and how to open it; `identity` gives the id of what comes.
    """
    opened: list[tuple[int, int, T, Iterator[T]]] = []
    last = -1
    turn = 0
    upcoming = next(sources, None)
    while opened or upcoming is not None:
        if upcoming is not None and (not opened or upcoming[0] <= opened[0][0]):
            stream = upcoming[1]()
            upcoming = next(sources, None)
        else:
            number, _, payload, stream = heapq.heappop(opened)
            if number > last:
                last = number
                yield payload
        following = next(stream, None)
        if following is not None:
            turn += 1
            heapq.heappush(opened, (identity(following), turn, following, stream))


def covering(unit: Unit, ids: Sequence[int], pipeline: UUID | None) -> list[BronzeFile]:
    """The manifest's files whose range holds one of the sorted ids."""
    rows = unit.rows(
        "SELECT team_id, pipeline_id, key, rows, bytes, checksum, min_payload, max_payload FROM bronze_files "
        "WHERE (%(pipeline)s::uuid IS NULL OR pipeline_id = %(pipeline)s) AND expired_at IS NULL "
        "AND min_payload <= %(last)s AND max_payload >= %(first)s "
        "AND EXISTS (SELECT FROM unnest(%(ids)s::bigint[]) AS p WHERE p BETWEEN min_payload AND max_payload) "
        "ORDER BY min_payload, id",
        {"pipeline": pipeline, "first": ids[0], "last": ids[-1], "ids": list(ids)},
    )
    return [BronzeFile(*row) for row in rows]


def present(unit: Unit, ids: Sequence[int]) -> list[tuple[int, int]]:
    """(id, length of the body) of those of the payloads that the inbox holds, in order of id."""
    if not ids:
        return []
    return unit.execute(
        "SELECT id, octet_length(body) FROM payloads WHERE id = ANY(%s::bigint[]) AND id BETWEEN %s AND %s ORDER BY id",
        (as_array(ids), min(ids), max(ids)),
        binary=True,
    ).fetchall()


def as_array(ids: Sequence[int]) -> str:
    """The ids as PostgreSQL writes an array; a long list as a parameter costs the driver more than the query."""
    return "{" + ",".join(map(str, ids)) + "}"


def groups(sizes: dict[int, int]) -> Iterator[list[int]]:
    """Ids in groups of bounded size."""
    group: list[int] = []
    size = 0
    for payload, length in sizes.items():
        if group and (size + length > _GROUP_BYTES or len(group) == _GROUP_ROWS):
            yield group
            group, size = [], 0
        group.append(payload)
        size += length
    if group:
        yield group
