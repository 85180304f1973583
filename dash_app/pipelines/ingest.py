"""The story of one batch: claimed, mapped, written, counted, announced, in one transaction.

A ring of the doorbell brings a worker here. It takes the ring back, becomes the pipeline's one writer, claims the
oldest payloads that wait, and commits their rows together with the notes that they are done. Whatever ends the worker
on the way leaves the payloads waiting, and the next one begins again: each payload counts once, however many workers it
took.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import polars as pl
import structlog

from dash_app.domain.changes import RowsAdded
from dash_app.domain.errors import Permanent
from dash_app.domain.events import Payload, Reject
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import MappingSpec, SilverVersion
from dash_app.pipelines.infer import infer_mapping
from dash_app.pipelines.isolate import map_isolated
from dash_app.pipelines.mapping import Mapped, Plan, compile_mapping
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.rollups import choose_dims, rollup
from dash_app.storage import bronze, catalog, ledger, payloads, silver
from dash_app.storage.catalog import Writing
from dash_app.storage.payloads import Claim
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: Bounds of one claim. A batch of a group commit is never divided, so that a claim can exceed them by one batch.
CLAIM_BYTES = 4 << 20
CLAIM_PAYLOADS = 4000
#: After so long on one pipeline the next in the queue gets its turn.
TURN_SECONDS = 0.25
#: A claim that has begun so often without an end has killed workers, or fails each time.
PATIENCE = 3

Outcome = Literal["worked", "nothing", "busy", "held"]


@dataclass(frozen=True, slots=True)
class _Target:
    """One version of a mapping, ready to be written."""

    spec: MappingSpec
    plan: Plan
    document: Mapping[str, Any]
    version: SilverVersion
    #: Versions before it that are read beside it and have the same key.
    earlier: tuple[SilverVersion, ...]


@dataclass(slots=True)
class _Change:
    """What a claim changes in silver: rows added and deleted, and the first and the last time of all of them."""

    added: int = 0
    deleted: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def add(self, claimed: silver.Claimed) -> None:
        added = claimed.frame["_time"]
        self.added += len(added)
        self.deleted += len(claimed.replaced)
        moments = (self.first, self.last, added.min(), added.max(), *claimed.replaced)
        known = [moment for moment in moments if isinstance(moment, datetime)]
        self.first, self.last = min(known, default=None), max(known, default=None)


class Ingest:
    """Maps what waits; one of these a worker process, with the plans it has compiled."""

    def __init__(self, app: Resources) -> None:
        self._app = app
        self._targets: OrderedDict[tuple[UUID, int], _Target] = OrderedDict()

    def run(self, pipeline: UUID) -> int:
        """Maps what waits for this pipeline, for at most a turn; answers how many claims it has committed."""
        database = self._app.database
        with database.ingest() as unit:
            payloads.answer_bell(unit, pipeline)
            unit.commit()
        began, claims = time.monotonic(), 0
        while True:
            outcome = self.step(pipeline)
            if outcome in ("busy", "held"):
                return claims
            claims += outcome == "worked"
            with database.ingest() as unit:
                # Asked after the lock is released: whoever was turned away by it meanwhile has left its work to us.
                if not payloads.waiting(unit, pipeline):
                    return claims
                if time.monotonic() - began > TURN_SECONDS:
                    ledger.ring(unit, pipeline)
                    unit.commit()
                    return claims

    def step(self, pipeline: UUID) -> Outcome:
        """One claim, from lock to commit."""
        with self._app.database.ingest() as unit:
            if not payloads.lock_pipeline(unit, pipeline):
                return "busy"
            now = catalog.writing(unit, pipeline)
            if now is None or now.state == "paused":
                return "held"
            claim = payloads.claim(unit, pipeline, max_bytes=CLAIM_BYTES, max_payloads=CLAIM_PAYLOADS)
            if claim is None:
                return "nothing"
            with self._app.database.ingest() as aside:
                tries = payloads.begin_attempt(aside, claim)
                aside.commit()
            loaded = self._load(unit, claim)
            if now.version is None:
                now = self._infer(unit, pipeline, loaded)
            change = _Change()
            if now is None or now.version is None:
                version = 0
                rejects: Sequence[Reject] = _unmappable(loaded)
            else:
                target = self._target(unit, now)
                version = target.version.version
                rejects = self._map(unit, target, loaded, change, careful=tries > PATIENCE)
            self._account(unit, claim, loaded, version, change, rejects)
            payloads.finish(unit, claim)
            payloads.end_attempt(unit, pipeline)
            unit.commit()
            return "worked"

    def _load(self, unit: Unit, claim: Claim) -> list[Payload]:
        """The claim's payloads, in the order of arrival: from the inbox, or from bronze where they were held for
        long."""
        loaded = payloads.load(unit, claim.payload_ids)
        if len(loaded) < len(claim.payload_ids):
            here = {payload.id for payload in loaded}
            gone = [wanted for wanted in claim.payload_ids if wanted not in here]
            loaded = sorted(
                [*loaded, *bronze.read_payloads(unit, self._app.objects, gone, pipeline=claim.pipeline)],
                key=lambda p: p.id,
            )
            if len(loaded) < len(claim.payload_ids):
                here = {payload.id for payload in loaded}
                lost = [wanted for wanted in claim.payload_ids if wanted not in here]
                raise Permanent(
                    f"payloads {lost[:5]} are neither in the inbox nor in bronze; is the object store complete?"
                )
        return loaded

    def _infer(self, unit: Unit, pipeline: UUID, loaded: Sequence[Payload]) -> Writing | None:
        """A mapping proposed from these payloads and saved; None where nothing in them can be read."""
        proposed = infer_mapping(loaded[:100])
        if proposed is None:
            return None
        document, note = proposed
        # Somebody may be saving a mapping just now: theirs counts, whichever commits first.
        if catalog.lock(unit, pipeline).mapping_version is not None:
            return catalog.writing(unit, pipeline)
        catalog.save_mapping(
            unit, pipeline, document, note=note, author="inference", pipeline_note=note[:1].upper() + note[1:]
        )
        return catalog.writing(unit, pipeline)

    def _target(self, unit: Unit, now: Writing) -> _Target:
        """Where rows go, as the catalog has it at this moment; the plan is compiled once."""
        assert now.version is not None
        key = (now.pipeline, now.version)
        found = self._targets.get(key)
        if found is None:
            document = catalog.mapping(unit, *key).document
            spec = parse_mapping(document)
            versions = catalog.versions(unit, now.pipeline)
            version = next(v for v in versions if v.version == now.version)
            earlier = tuple(v for v in versions if v is not version and v.created and self._same_key(unit, v, spec))
            found = self._targets[key] = _Target(spec, compile_mapping(spec), document, version, earlier)
            while len(self._targets) > 500:
                self._targets.popitem(last=False)
        self._targets.move_to_end(key)
        return replace(found, version=replace(found.version, dims=now.dims, created=now.created))

    def _same_key(self, unit: Unit, version: SilverVersion, spec: MappingSpec) -> bool:
        """Whether records of that version are the same records under this mapping."""
        document = catalog.mapping(unit, version.pipeline, version.version).document
        return bool(spec.key) and parse_mapping(document).key == spec.key

    def _map(
        self, unit: Unit, target: _Target, loaded: Sequence[Payload], change: _Change, *, careful: bool
    ) -> Sequence[Reject]:
        """Maps and writes; answers what was refused, and notes what was written in `change`."""
        if not careful:
            mapped = target.plan.run(loaded)
            self._write(unit, target, mapped.frame, change)
            return mapped.rejects
        log.warning("ingest.careful", pipeline=str(target.version.pipeline), payloads=len(loaded))
        # Nothing is said to the database while the children work, each for as long as its limits allow.
        unit.execute("SET LOCAL idle_in_transaction_session_timeout = '1h'")
        return self._write_carefully(unit, target, map_isolated(target.document, loaded), change)

    def _write(self, unit: Unit, target: _Target, frame: pl.DataFrame, change: _Change) -> SilverVersion:
        """Writes the rows that win their keys, and their rollups, and notes them in `change`.

        Answers the version as it stands then: its tables are made with the first row.
        """
        spec, version = target.spec, target.version
        if frame.is_empty():
            return version
        if not version.created:
            dims = choose_dims(frame, spec.dimensions)
            version = silver.create_version(
                unit, version, dims, with_keys=bool(spec.key), on_duplicate=spec.on_duplicate
            )
        claimed = (
            silver.claim_keys(unit, version, frame, spec.on_duplicate, target.earlier)
            if spec.key
            else silver.Claimed(frame)
        )
        if not claimed.frame.is_empty():
            rollups = rollup(claimed.frame, spec.metrics, version.dims)
            version = silver.write(unit, version, claimed.frame, rollups).version
        change.add(claimed)
        return version

    def _write_carefully(self, unit: Unit, target: _Target, mapped: Mapped, change: _Change) -> list[Reject]:
        """Writes payload by payload behind savepoints, so that one that the database refuses stands alone.

        Answers all rejects: the mapping's, and one for each payload that was refused.
        """
        rejects = list(mapped.rejects)
        for part in mapped.frame.partition_by("_payload", maintain_order=True):
            unit.execute("SAVEPOINT payload")
            try:
                target = replace(target, version=self._write(unit, target, part, change))
            except Permanent as error:
                unit.execute("ROLLBACK TO SAVEPOINT payload")
                reason = f"its rows could not be written: {error.message[:500]}"
                rejects.append(Reject(part["_payload"][0], -1, "payload", reason))
        return rejects

    def _account(
        self,
        unit: Unit,
        claim: Claim,
        loaded: Sequence[Payload],
        version: int,
        change: _Change,
        rejects: Sequence[Reject],
    ) -> None:
        ledger.add_rejects(unit, claim.team, claim.pipeline, version, rejects)
        ledger.count(
            unit,
            claim.team,
            claim.pipeline,
            payloads=len(loaded),
            # What silver has, and not what was written: a row that lost its key to a new one is no record any more.
            records=change.added - change.deleted,
            rejects=len(rejects),
            last_received=max((p.received_at for p in loaded), default=None),
        )
        unit.notify(
            RowsAdded(
                pipeline=str(claim.pipeline),
                version=version,
                rows=change.added,
                rejects=len(rejects),
                time_min=_epoch_ms(change.first),
                time_max=_epoch_ms(change.last),
                at=time.time_ns() // 1_000_000,
            )
        )


def _unmappable(loaded: Sequence[Payload]) -> list[Reject]:
    reason = "there is no mapping yet, and none can be inferred from this"
    return [Reject(p.id, -1, "body", reason, p.body[:4096].decode(errors="replace")) for p in loaded]


def _epoch_ms(moment: datetime | None) -> int | None:
    return int(moment.timestamp() * 1000) if moment is not None else None
