"""A replay cut into parts: ranges of payload ids that follow bronze's files, each small enough for one worker.

Payloads whose files are gone, and those outside of the range that was asked for, are parts as well: what came of them
is carried over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from dash_app.domain.specs import SilverVersion
from dash_app.storage import catalog
from dash_app.storage.objects import Objects
from dash_app.storage.parquet import BronzeReader
from dash_app.storage.replays import Planned, Replay
from dash_app.storage.unit import Unit

#: Bytes of Parquet in one part: smaller files are put together, larger ones cut between their groups.
PART_BYTES: Final = 8 << 20
#: Payloads of one part that are still in the inbox.
PART_PAYLOADS: Final = 20_000


def parts(unit: Unit, objects: Objects, replay: Replay) -> tuple[list[Planned], bool]:
    """The parts of a replay, and whether any of what came of payloads is carried over."""
    expired: int = unit.value("SELECT payloads_from FROM pipelines WHERE id = %s", (replay.pipeline,)) or 0
    cut: int = unit.value(
        "SELECT cut FROM generations WHERE pipeline_id = %s AND generation = %s", (replay.pipeline, replay.generation)
    )
    begin, end = max(replay.from_id, expired), min(replay.to_id, cut)
    begin = min(begin, end)
    sources = [one for one in catalog.versions(unit, replay.pipeline, generation=replay.source) if one.created]
    carried = [
        Planned("carry", low, high)
        for low, high in ((0, begin), (end, cut))
        if low < high and _anything(unit, replay, sources, low, high)
    ]
    rollups = [Planned("rollups", 0, 1)] if carried and any(one.records_from for one in sources) else []
    return [*rollups, *carried, *_mapped(unit, objects, replay, begin, end)], bool(carried)


def _anything(unit: Unit, replay: Replay, sources: Sequence[SilverVersion], low: int, high: int) -> bool:
    """Whether there are records or rejects of these payloads, or there were and they have expired."""
    if low == 0 and any(one.records_from for one in sources) and high > 0:
        return True
    tables = [
        f"SELECT 1 FROM {one.schema}.{one.table} WHERE _payload >= %(low)s AND _payload < %(high)s" for one in sources
    ]
    tables.append(
        "SELECT 1 FROM rejects WHERE pipeline_id = %(pipeline)s AND generation = %(source)s "
        "AND payload >= %(low)s AND payload < %(high)s"
    )
    found = " UNION ALL ".join(f"({one} LIMIT 1)" for one in tables)
    params = {"low": low, "high": high, "pipeline": replay.pipeline, "source": replay.source}
    return unit.row(f"SELECT 1 FROM ({found}) AS r LIMIT 1", params) is not None


def _mapped(unit: Unit, objects: Objects, replay: Replay, begin: int, end: int) -> Iterator[Planned]:
    low, size, rows = begin, 0, 0
    for start, count, length in _pieces(unit, objects, replay, begin, end):
        if size and size + length > PART_BYTES and start > low:
            yield Planned("map", low, start, rows)
            low, size, rows = start, 0, 0
        size += length
        rows += count
    if low < end:
        yield Planned("map", low, end, rows)


def _pieces(unit: Unit, objects: Objects, replay: Replay, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(first id, payloads, bytes) of files, of stretches of large files, and of what waits for the archive; by id."""
    files = unit.rows(
        "SELECT min_payload, max_payload, rows, bytes, key FROM bronze_files WHERE pipeline_id = %s "
        "AND expired_at IS NULL AND min_payload < %s AND max_payload >= %s",
        (replay.pipeline, end, begin),
    )
    hot = unit.rows(
        "SELECT min(p), count(*) FROM (SELECT p, (row_number() OVER (ORDER BY p) - 1) / %s AS n "
        "FROM unarchived, unnest(payload_ids) AS p WHERE pipeline_id = %s AND p >= %s AND p < %s) w GROUP BY n",
        (PART_PAYLOADS, replay.pipeline, begin, end),
    )
    pieces = [(low, count, PART_BYTES) for low, count in hot]
    for low, high, rows, size, key in files:
        if size <= 2 * PART_BYTES:
            pieces.append((max(low, begin), rows, size))
            continue
        ranges = [one for one in BronzeReader(objects, key, size).ranges() if one[0] < end and one[1] >= begin]
        each = size // max(1, len(ranges))
        pieces += [(max(first, begin), rows // max(1, len(ranges)), each) for first, _ in ranges if high >= begin]
    return iter(sorted(pieces))
