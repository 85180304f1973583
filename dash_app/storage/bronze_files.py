"""One file of bronze on its way into the store and the manifest: what archiving, compacting and rebuilding share.

A file is first an object that is known to be right, and then a row of the manifest; never the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from secrets import token_hex
from uuid import UUID

from dash_app.domain.ids import payload_id_time
from dash_app.storage.objects import ObjectDamaged, ObjectDiffers, ObjectMissing, Objects
from dash_app.storage.parquet import BronzeFile, BronzeReader
from dash_app.storage.unit import Unit


def put_file(objects: Objects, team: UUID, pipeline: UUID, ids: Sequence[int], data: bytes) -> BronzeFile:
    """Stores a file with the payloads `ids` (sorted) under a key made of its content.

    Raises what `Objects.put` raises, and ObjectDamaged where the store did not keep it.
    """
    checksum = sha256(data).hexdigest()
    day = payload_id_time(ids[0]).date().isoformat()
    # Digits in full width: keys sort as their payloads do.
    stem = f"{team}/{pipeline}/dt={day}/{ids[0]:019}-{ids[-1]:019}-"
    key = f"{stem}{checksum[:8]}.parquet"
    try:
        stored = objects.put(key, data)
    except ObjectDiffers:
        # Other bytes under this key can only be a write that went wrong: the collector's. Ours go beside them, under a
        # name that no earlier attempt can have spoilt.
        key = f"{stem}{checksum[:8]}-{token_hex(4)}.parquet"
        stored = objects.put(key, data)
    head = objects.head(key)
    if stored != checksum or head is None or head.size != len(data):
        raise ObjectDamaged(f"the object store did not keep what was written to {key}")
    return BronzeFile(team, pipeline, key, len(ids), len(data), checksum, ids[0], ids[-1])


def add_file(unit: Unit, file: BronzeFile) -> bool:
    """The manifest's row of a file; False where the manifest names its key already."""
    added = unit.execute(
        "INSERT INTO bronze_files (team_id, pipeline_id, key, rows, bytes, checksum, min_payload, max_payload) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (key) DO NOTHING",
        (file.team, file.pipeline, file.key, file.rows, file.bytes, file.checksum, file.min_payload, file.max_payload),
    ).rowcount
    return added == 1


@dataclass(frozen=True, slots=True)
class _Counted:
    key: str
    bytes: int
    min_payload: int
    max_payload: int


class Coverage:
    """Which payloads stand in files that count. Keeps the ids of the last file read: neighbours ask for the same."""

    def __init__(self, objects: Objects, pipeline: UUID, *, tolerant: bool = False) -> None:
        """`tolerant`: a file that cannot be read holds nothing, and is noted in `unreadable`."""
        self.unreadable: set[str] = set()
        self._tolerant = tolerant
        self._objects = objects
        self._pipeline = pipeline
        self._key = ""
        self._ids: frozenset[int] = frozenset()

    def changed_since(self, unit: Unit, ids: Iterable[int], moment: datetime) -> bool:
        """Whether a file that can hold one of these payloads came into the manifest at `moment` or later."""
        wanted = list(ids)
        return bool(wanted) and unit.value(
            "SELECT EXISTS (SELECT FROM bronze_files WHERE pipeline_id = %s AND min_payload <= %s AND max_payload >= %s"
            " AND created_at >= %s)",
            (self._pipeline, max(wanted), min(wanted), moment),
        )

    def missing(self, unit: Unit, ids: Iterable[int]) -> set[int]:
        """Those of the payloads that have not expired and are in no file that counts.

        Raises ObjectMissing or ObjectDamaged where a file that counts cannot be read, unless that is tolerated.
        """
        # What has expired is missed by nobody.
        expired: int = unit.value("SELECT payloads_from FROM pipelines WHERE id = %s", (self._pipeline,)) or 0
        left = {one for one in ids if one >= expired}
        if not left:
            return left
        files = unit.rows(
            "SELECT key, bytes, min_payload, max_payload FROM bronze_files "
            "WHERE pipeline_id = %s AND min_payload <= %s AND max_payload >= %s AND expired_at IS NULL "
            "ORDER BY rows DESC, id",
            (self._pipeline, max(left), min(left)),
        )
        for file in (_Counted(*row) for row in files):
            if not left:
                break
            if any(file.min_payload <= one <= file.max_payload for one in left):
                left -= self._read(file)
        return left

    def _read(self, file: _Counted) -> frozenset[int]:
        if file.key != self._key:
            try:
                self._ids = frozenset(BronzeReader(self._objects, file.key, file.bytes).ids())
            except (ObjectMissing, ObjectDamaged):
                if not self._tolerant:
                    raise
                self.unreadable.add(file.key)
                self._ids = frozenset()
            self._key = file.key
        return self._ids
