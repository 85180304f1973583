"""The manifest from the objects alone, for when its rows are lost: rows are added, and none is ever taken away.

An object comes back when it holds a payload that no file in the manifest holds and that does not wait to be archived
anyway; what has expired is missed by nobody. Of objects that hold the same payloads, as a compacted file and those it
replaced do, the one with the most rows is taken first, and the others then add nothing. What they leave out is the
collector's business.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from dash_app.domain.ids import as_uuid
from dash_app.storage.bronze_files import Coverage, add_file
from dash_app.storage.bronze_reading import as_array
from dash_app.storage.bronze_upkeep import KEY, lock_archive, unnamed
from dash_app.storage.engine import Database
from dash_app.storage.objects import Head, ObjectDamaged, ObjectMissing, Objects
from dash_app.storage.parquet import BronzeReader, describe
from dash_app.storage.unit import Unit


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What one call did: keys that came into the manifest, and what was left out and why."""

    #: Objects with the form of our keys that were looked at.
    objects: int = 0
    #: In the manifest already.
    named: int = 0
    added: tuple[str, ...] = ()
    #: Payloads in the files that were added.
    payloads: int = 0
    #: Objects all of whose payloads stand in files that count, or wait to be archived.
    superfluous: int = 0
    #: `team/pipeline` that this database does not know.
    unknown: tuple[str, ...] = ()
    #: Objects that are no whole bronze files of their pipeline, as far as they were looked into.
    damaged: tuple[str, ...] = ()
    #: Pipelines that were being archived or compacted all the while, to be tried again.
    busy: tuple[str, ...] = ()


@dataclass(slots=True)
class _Tally:
    added: list[str] = field(default_factory=list)
    payloads: int = 0
    superfluous: int = 0
    damaged: list[str] = field(default_factory=list)


def rebuild_manifest(database: Database, objects: Objects) -> Rebuilt:
    """Puts rows that the manifest lacks back, for pipelines that the database has. Again: nothing changes.

    Raises ObjectsUnavailable or ObjectsRefused where the store cannot be read; what was added before stays.
    """
    with database.ingest() as unit:
        teams: dict[UUID, UUID] = {row[0]: row[1] for row in unit.rows("SELECT id, team_id FROM pipelines")}
    # A file keeps to one day, and so do those that hold the same payloads.
    days: dict[tuple[UUID, str], list[Head]] = defaultdict(list)
    unknown: set[str] = set()
    looked = named = 0
    for head in objects.list():
        if not KEY.fullmatch(head.key):
            continue
        looked += 1
        team, pipeline, day, _ = head.key.split("/")
        home = as_uuid(pipeline)
        if home is None or str(teams.get(home)) != team:
            unknown.add(f"{team}/{pipeline}")
        else:
            days[home, day].append(head)
    tally = _Tally()
    busy: set[str] = set()
    for (pipeline_id, _), heads in days.items():
        with database.ingest() as unit:
            unit.execute("SET LOCAL idle_in_transaction_session_timeout = '15min'")
            if not lock_archive(unit, pipeline_id):
                busy.add(str(pipeline_id))
                continue
            lacking = unnamed(unit, heads)
            named += len(heads) - len(lacking)
            _add(unit, objects, teams[pipeline_id], pipeline_id, lacking, tally)
            unit.commit()
    return Rebuilt(
        looked,
        named,
        tuple(sorted(tally.added)),
        tally.payloads,
        tally.superfluous,
        tuple(sorted(unknown)),
        tuple(sorted(tally.damaged)),
        tuple(sorted(busy)),
    )


def _add(unit: Unit, objects: Objects, team: UUID, pipeline: UUID, heads: Sequence[Head], tally: _Tally) -> None:
    found: list[tuple[int, str, int]] = []
    for head in heads:
        try:
            reader = BronzeReader(objects, head.key, head.size)
            if (reader.about.get("team"), reader.about.get("pipeline")) != (str(team), str(pipeline)):
                raise ObjectDamaged(f"{head.key} says that it is of another pipeline")
            found.append((-reader.rows, head.key, head.size))
        except (ObjectDamaged, ObjectMissing):
            tally.damaged.append(head.key)
    # A file that is named and cannot be read keeps nothing else from coming back: each payload is counted once anyway.
    coverage = Coverage(objects, pipeline, tolerant=True)
    for _, key, size in sorted(found):
        try:
            ids = BronzeReader(objects, key, size).ids()
            file = describe(objects, key)
        except (ObjectDamaged, ObjectMissing):
            tally.damaged.append(key)
            continue
        if _waiting_left_out(unit, pipeline, coverage.missing(unit, ids)):
            add_file(unit, file)
            tally.added.append(key)
            tally.payloads += file.rows
        else:
            tally.superfluous += 1
    tally.damaged += coverage.unreadable


def _waiting_left_out(unit: Unit, pipeline: UUID, ids: set[int]) -> set[int]:
    """Without those that are noted as waiting and are in the inbox: the archiver makes a file of them by itself."""
    if not ids:
        return ids
    rows = unit.rows(
        "SELECT p.id FROM payloads p WHERE p.id = ANY(%(ids)s::bigint[]) AND p.id BETWEEN %(low)s AND %(high)s "
        "AND p.id IN (SELECT w FROM unarchived, unnest(payload_ids) AS w WHERE pipeline_id = %(pipeline)s)",
        {"ids": as_array(sorted(ids)), "low": min(ids), "high": max(ids), "pipeline": pipeline},
    )
    return ids - {payload for (payload,) in rows}
