"""Where mapped records go: one generation's table of one mapping version, with the plan that makes them.

Live ingest and replay write through here, so that a record is written, keyed and rolled up in one way whatever road it
came.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import polars as pl

from dash_app.domain.errors import Permanent
from dash_app.domain.events import Reject
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import MappingSpec, SilverVersion
from dash_app.pipelines.mapping import Mapped, Plan, compile_mapping
from dash_app.pipelines.rollups import choose_dims, rollup
from dash_app.storage import catalog, generations, silver
from dash_app.storage.unit import Unit


@dataclass(frozen=True, slots=True)
class Target:
    """One version of a mapping in one generation, ready to be written."""

    spec: MappingSpec
    plan: Plan
    document: Mapping[str, Any]
    version: SilverVersion
    #: Versions before it that are read beside it and have the same key.
    earlier: tuple[SilverVersion, ...]
    #: Whether others may be writing it too: a shadow has the live road and its replay's workers.
    shared: bool = False


@dataclass(slots=True)
class Change:
    """What was changed in silver: rows added and deleted, and the first and the last time of all of them."""

    added: int = 0
    deleted: int = 0
    first: datetime | None = None
    last: datetime | None = None
    #: The rows that were added.
    frames: list[pl.DataFrame] = field(default_factory=list)

    def add(self, claimed: silver.Claimed) -> None:
        added = claimed.frame["_time"]
        self.frames.append(claimed.frame)
        self.added += len(added)
        self._reach(added.min(), added.max())
        self.delete(claimed.replaced)

    def delete(self, times: Sequence[datetime]) -> None:
        self.deleted += len(times)
        self._reach(*times)

    def _reach(self, *moments: Any) -> None:
        known = [moment for moment in (self.first, self.last, *moments) if isinstance(moment, datetime)]
        self.first, self.last = min(known, default=None), max(known, default=None)


class Targets:
    """The targets of one process, each compiled once."""

    def __init__(self, most: int = 500) -> None:
        self._most = most
        self._known: OrderedDict[tuple[UUID, int, int], Target] = OrderedDict()

    def get(self, unit: Unit, pipeline: UUID, one: generations.Target) -> Target:
        """The target as the catalog has it at this moment."""
        assert one.version is not None
        key = (pipeline, one.generation, one.version)
        found = self._known.get(key)
        if found is None:
            document = catalog.mapping(unit, pipeline, one.version).document
            spec = parse_mapping(document)
            versions = catalog.versions(unit, pipeline, generation=one.generation)
            version = next(v for v in versions if v.version == one.version)
            earlier = tuple(v for v in versions if v is not version and v.created and same_key(unit, v, spec))
            plan = compile_mapping(spec, version=one.version)
            found = self._known[key] = Target(spec, plan, document, version, earlier)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        version = replace(found.version, dims=one.dims, created=one.created)
        return replace(found, version=version, shared=one.state == "shadow")


def same_key(unit: Unit, version: SilverVersion, spec: MappingSpec) -> bool:
    """Whether records of that version are the same records under this mapping."""
    document = catalog.mapping(unit, version.pipeline, version.version).document
    return bool(spec.key) and parse_mapping(document).key == spec.key


def write(
    unit: Unit, target: Target, frame: pl.DataFrame, change: Change, *, rows_from: datetime | None = None
) -> SilverVersion:
    """Writes the rows that win their keys, and their rollups, and notes them in `change`.

    Answers the version as it stands then: its tables are made with the first row. `rows_from`: records of an earlier
    time have expired; they are rolled up and not kept.
    """
    return write_rows(unit, target, frame, change, rows_from=rows_from)()


def write_rows(
    unit: Unit, target: Target, frame: pl.DataFrame, change: Change, *, rows_from: datetime | None = None
) -> Callable[[], SilverVersion]:
    """As `write`, but the rollups are merged by what this answers, which must be called in the same transaction.

    Until the commit others who merge into the same hour or day wait: whoever has more to do does it between the two.
    """
    spec, version = target.spec, target.version
    if frame.is_empty():
        return lambda: version
    if target.shared:
        version = silver.current(unit, version)
    if not version.created:
        dims = choose_dims(frame, spec.dimensions)
        version = silver.create_version(unit, version, dims, with_keys=bool(spec.key), on_duplicate=spec.on_duplicate)
    claimed = (
        silver.claim_keys(unit, version, frame, spec.on_duplicate, target.earlier)
        if spec.key
        else silver.Claimed(frame)
    )
    change.add(claimed)
    if claimed.frame.is_empty():
        return lambda: version
    rollups = rollup(claimed.frame, spec.metrics, version.dims)
    silver.copy_rows(
        unit, version, claimed.frame if rows_from is None else claimed.frame.filter(pl.col("_time") >= rows_from)
    )
    return lambda: silver.merge(unit, version, rollups)


def write_carefully(
    unit: Unit, target: Target, mapped: Mapped, change: Change, *, rows_from: datetime | None = None
) -> list[Reject]:
    """Writes payload by payload behind savepoints, so that one that the database refuses stands alone.

    Answers all rejects: the mapping's, and one for each payload that was refused.
    """
    rejects = list(mapped.rejects)
    for part in mapped.frame.partition_by("_payload", maintain_order=True):
        unit.execute("SAVEPOINT payload")
        try:
            target = replace(target, version=write(unit, target, part, change, rows_from=rows_from))
        except Permanent as error:
            unit.execute("ROLLBACK TO SAVEPOINT payload")
            reason = f"its rows could not be written: {error.message[:500]}"
            rejects.append(Reject(part["_payload"][0], -1, "payload", reason))
    return rejects
