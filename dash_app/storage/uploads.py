"""Files that somebody brings: what has been received of them, and how far the work on them has come.

A part is put into the object store under a key of its own, then noted here; what was put and never noted is collected
a day later. Whoever notes a part says where it begins, and of two that begin at the same place one is refused, so that
the parts of a file always lie end to end. The parts go when the file's story is over.
"""

from __future__ import annotations

import io
import json
import secrets
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.errors import NotFound
from dash_app.storage.object_store import Objects
from dash_app.storage.unit import Unit

#: Below which the parts lie in the object store.
PREFIX = "uploads/"
#: How long an upload may stand still before it is given up.
PATIENCE = timedelta(days=3)
#: As much of a part as is kept in memory to read from.
_READ_AHEAD = 4 << 20

_COLUMNS = (
    "id, team_id, pipeline_id, name, content_type, format, size, state, received, consumed, position, payloads, "
    "records, attempts, error, author, created_at, updated_at, ended_at"
)


@dataclass(frozen=True, slots=True)
class Upload:
    """`state`: receiving | checking | cutting | done | failed | cancelled. `received`: bytes that are here;
    `consumed`: bytes that the state's work has come past."""

    id: UUID
    team: UUID
    pipeline: UUID
    name: str
    content_type: str
    format: str
    size: int
    state: str
    received: int
    consumed: int
    position: Mapping[str, Any]
    payloads: int
    records: int
    attempts: int
    error: str
    author: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Part:
    start: int
    size: int
    key: str


def create(
    unit: Unit, team: UUID, pipeline: UUID, *, name: str, content_type: str, format: str, size: int, author: str
) -> Upload:
    row = unit.row(
        "INSERT INTO uploads (id, team_id, pipeline_id, name, content_type, format, size, state, author) "
        f"VALUES (%s, %s, %s, %s, %s, %s, %s, 'receiving', %s) RETURNING {_COLUMNS}",
        (ids.new_id(), team, pipeline, name, content_type, format, size, author),
    )
    assert row is not None
    return Upload(*row)


def get(unit: Unit, upload: UUID, pipeline: UUID | None = None) -> Upload:
    """Raises NotFound, also where it is not one of this pipeline."""
    row = unit.row(
        f"SELECT {_COLUMNS} FROM uploads WHERE id = %(id)s AND (%(pipeline)s::uuid IS NULL OR pipeline_id = "
        "%(pipeline)s)",
        {"id": upload, "pipeline": pipeline},
    )
    if row is None:
        raise NotFound("there is no such upload")
    return Upload(*row)


def of_pipeline(unit: Unit, pipeline: UUID, *, limit: int, before: UUID | None = None) -> list[Upload]:
    """A pipeline's uploads, newest first."""
    rows = unit.rows(
        f"SELECT {_COLUMNS} FROM uploads WHERE pipeline_id = %(pipeline)s AND (%(before)s::uuid IS NULL OR id < "
        "%(before)s) ORDER BY id DESC LIMIT %(limit)s",
        {"pipeline": pipeline, "before": before, "limit": limit},
    )
    return [Upload(*row) for row in rows]


def open_of(unit: Unit, team: UUID, pipeline: UUID) -> tuple[int, int]:
    """How many uploads of a pipeline are received or worked on, and how many bytes those of the whole team announced.
    Until this transaction ends, nobody else of the team is told."""
    unit.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 23))", (str(team),))
    row = unit.row(
        "SELECT count(*) FILTER (WHERE pipeline_id = %s), coalesce(sum(size), 0)::bigint FROM uploads "
        "WHERE team_id = %s AND state IN ('receiving', 'checking', 'cutting')",
        (pipeline, team),
    )
    assert row is not None
    return row[0], row[1]


# Receiving -----------------------------------------------------------------------------------------------------------


def new_key(upload: UUID, start: int) -> str:
    """A key that no other part has, also not one that was put for the same place and never noted."""
    return f"{PREFIX}{upload}/{start:013d}-{secrets.token_hex(8)}.part"


def add_part(unit: Unit, upload: Upload, part: Part) -> Upload | None:
    """Notes a part that the object store holds; None where the upload does not go on there (any more).

    With the last part the file is whole, and the work on it can begin.
    """
    row = unit.row(
        "UPDATE uploads SET received = received + %(size)s, updated_at = clock_timestamp(), "
        "state = CASE WHEN received + %(size)s = size THEN 'checking' ELSE state END "
        f"WHERE id = %(id)s AND state = 'receiving' AND received = %(start)s AND size >= %(start)s + %(size)s "
        f"RETURNING {_COLUMNS}",
        {"id": upload.id, "start": part.start, "size": part.size},
    )
    if row is None:
        return None
    unit.execute(
        "INSERT INTO upload_parts (upload_id, start, size, key, team_id) VALUES (%s, %s, %s, %s, %s)",
        (upload.id, part.start, part.size, part.key, upload.team),
    )
    return Upload(*row)


def parts(unit: Unit, upload: UUID) -> list[Part]:
    return [
        Part(*row)
        for row in unit.rows("SELECT start, size, key FROM upload_parts WHERE upload_id = %s ORDER BY start", (upload,))
    ]


# Working -------------------------------------------------------------------------------------------------------------


def lock(unit: Unit, upload: UUID) -> bool:
    """Becomes the only one to work on this upload, for as long as this connection lives."""
    return unit.value("SELECT pg_try_advisory_lock(hashtextextended(%s, 21))", (str(upload),)) is True


def due(unit: Unit) -> list[UUID]:
    """Uploads with work that nobody has moved for a moment; longer after each turn that came to nothing."""
    return [
        row[0]
        for row in unit.rows(
            "SELECT id FROM uploads WHERE state IN ('checking', 'cutting') "
            "AND updated_at < clock_timestamp() - make_interval(secs => least(60, 2 ^ least(attempts, 10))) "
            "ORDER BY updated_at LIMIT 100"
        )
    ]


def begin_turn(unit: Unit, upload: UUID) -> Upload | None:
    """Somebody begins to work on it, which is noted before the work; None where there is no work."""
    row = unit.row(
        "UPDATE uploads SET attempts = attempts + 1, updated_at = clock_timestamp() "
        f"WHERE id = %s AND state IN ('checking', 'cutting') RETURNING {_COLUMNS}",
        (upload,),
    )
    return Upload(*row) if row else None


def end_turn(unit: Unit, upload: UUID) -> None:
    """The turn ended well."""
    unit.execute("UPDATE uploads SET attempts = 0, updated_at = clock_timestamp() WHERE id = %s", (upload,))


def advance(
    unit: Unit,
    before: Upload,
    *,
    state: str,
    consumed: int,
    position: Mapping[str, Any],
    payloads: int = 0,
    records: int = 0,
) -> Upload | None:
    """Moves the work on from where `before` has it; None where it is not there any more: cancelled, or done by
    others."""
    row = unit.row(
        "UPDATE uploads SET state = %(state)s, consumed = %(consumed)s, position = %(position)s::jsonb, "
        "payloads = payloads + %(payloads)s, records = records + %(records)s, attempts = 1, "
        "ended_at = CASE WHEN %(state)s = 'done' THEN clock_timestamp() END, updated_at = clock_timestamp() "
        "WHERE id = %(id)s AND state = %(was)s AND consumed = %(past)s AND position = %(place)s::jsonb "
        f"RETURNING {_COLUMNS}",
        {
            "id": before.id,
            "was": before.state,
            "past": before.consumed,
            "place": json.dumps(dict(before.position)),
            "state": state,
            "consumed": consumed,
            "position": json.dumps(dict(position)),
            "payloads": payloads,
            "records": records,
        },
    )
    return Upload(*row) if row else None


def end(unit: Unit, upload: UUID, state: str, error: str = "") -> Upload | None:
    """Ends what has not ended, as `failed` or `cancelled`; None where it has ended already."""
    row = unit.row(
        "UPDATE uploads SET state = %s, error = %s, ended_at = clock_timestamp(), updated_at = clock_timestamp() "
        f"WHERE id = %s AND state IN ('receiving', 'checking', 'cutting') RETURNING {_COLUMNS}",
        (state, error.replace("\x00", "\ufffd")[:2000], upload),
    )
    return Upload(*row) if row else None


# Tidying -------------------------------------------------------------------------------------------------------------


def give_up(unit: Unit) -> int:
    """Ends the uploads that were begun and not gone on with; answers how many."""
    return unit.execute(
        "UPDATE uploads SET state = 'cancelled', ended_at = clock_timestamp(), "
        "error = 'nothing came for three days' WHERE state = 'receiving' AND updated_at < now() - %s::interval",
        (PATIENCE,),
    ).rowcount


def remove_parts(unit: Unit, objects: Objects, upload: UUID) -> None:
    """Removes what was received of an upload whose story is over: the objects first, then what is known of them."""
    for part in parts(unit, upload):
        objects.delete(part.key)
    unit.execute(
        "DELETE FROM upload_parts p USING uploads u WHERE p.upload_id = %s AND u.id = p.upload_id "
        "AND u.state IN ('done', 'failed', 'cancelled')",
        (upload,),
    )


def ended_with_parts(unit: Unit, *, limit: int = 100) -> list[UUID]:
    """Uploads that are over and whose parts are still there."""
    return [
        row[0]
        for row in unit.rows(
            "SELECT DISTINCT u.id FROM uploads u JOIN upload_parts p ON p.upload_id = u.id "
            "WHERE u.state IN ('done', 'failed', 'cancelled') LIMIT %s",
            (limit,),
        )
    ]


def collect(unit: Unit, objects: Objects, *, before: datetime) -> int:
    """Removes parts that were put before that time and never noted; answers how many."""
    removed, waiting = 0, []
    for head in objects.list(PREFIX):
        if head.modified < before:
            waiting.append(head.key)
        if len(waiting) >= 1000:
            removed += _remove_unknown(unit, objects, waiting)
            waiting = []
    return removed + _remove_unknown(unit, objects, waiting)


def _remove_unknown(unit: Unit, objects: Objects, keys: Sequence[str]) -> int:
    known = {key for (key,) in unit.rows("SELECT key FROM upload_parts WHERE key = ANY(%s)", (list(keys),))}
    for key in keys:
        if key not in known:
            objects.delete(key)
    return len(set(keys) - known)


def prune(unit: Unit, *, keep_days: int = 90) -> int:
    """Forgets uploads that ended long ago, a bounded number at a time."""
    return unit.execute(
        "DELETE FROM uploads WHERE id IN (SELECT u.id FROM uploads u "
        "WHERE ended_at < now() - make_interval(days => %s) "
        "AND NOT EXISTS (SELECT FROM upload_parts p WHERE p.upload_id = u.id) LIMIT 1000)",
        (keep_days,),
    ).rowcount


# Reading -------------------------------------------------------------------------------------------------------------


class Received:
    """The bytes of a received file, read a stretch at a time."""

    def __init__(self, objects: Objects, found: Sequence[Part]) -> None:
        self._objects = objects
        self._parts = list(found)
        self._starts = [part.start for part in self._parts]
        self.size = self._parts[-1].start + self._parts[-1].size if self._parts else 0
        self._ahead = b""
        self._ahead_at = 0

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`, fewer where the file ends sooner."""
        stop = min(stop, self.size)
        pieces = []
        while start < stop:
            offset = start - self._ahead_at
            if not 0 <= offset < len(self._ahead):
                self._fill(start)
                offset = start - self._ahead_at
            piece = self._ahead[offset : offset + stop - start]
            pieces.append(piece)
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fill(self, start: int) -> None:
        part = self._parts[bisect_right(self._starts, start) - 1]
        offset = start - part.start
        self._ahead = self._objects.get(part.key, offset, min(part.size, offset + _READ_AHEAD))
        self._ahead_at = start
        if not self._ahead:
            raise NotFound("a part of the received file is shorter than it was")


class RandomFile(io.RawIOBase):
    """A file for readers that seek, over anything with `size` and `read(start, stop)`."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._reader.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._reader.size if size is None or size < 0 else self._at + size
        data: bytes = self._reader.read(self._at, stop)
        self._at += len(data)
        return data
