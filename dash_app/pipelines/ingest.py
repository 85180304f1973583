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
from dataclasses import dataclass
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
class _Compiled:
    spec: MappingSpec
    plan: Plan
    document: Mapping[str, Any]


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
        self._plans: OrderedDict[tuple[UUID, int], _Compiled] = OrderedDict()

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
            if outcome == "nothing":
                # Asked after the lock is released: whoever was turned away by it meanwhile has left its work to us.
                with database.ingest() as unit:
                    if not payloads.waiting(unit, pipeline):
                        return claims
            else:
                claims += 1
            if time.monotonic() - began > TURN_SECONDS:
                with database.ingest() as unit:
                    if payloads.waiting(unit, pipeline):
                        ledger.ring(unit, pipeline)
                        unit.commit()
                return claims

    def step(self, pipeline: UUID) -> Outcome:
        """One claim, from lock to commit."""
        with self._app.database.ingest() as unit:
            if not payloads.lock_pipeline(unit, pipeline):
                return "busy"
            state = unit.row("SELECT state, mapping_version FROM pipelines WHERE id = %s", (pipeline,))
            if state is None or state[0] == "paused":
                return "held"
            claim = payloads.claim(unit, pipeline, max_bytes=CLAIM_BYTES, max_payloads=CLAIM_PAYLOADS)
            if claim is None:
                return "nothing"
            with self._app.database.ingest() as aside:
                tries = payloads.begin_attempt(aside, claim)
                aside.commit()
            loaded = self._load(unit, claim)
            version: int | None = state[1]
            if version is None:
                version = self._infer(unit, pipeline, loaded)
            if version is None:
                self._refuse_unmappable(unit, claim, loaded)
            else:
                self._map(unit, claim, loaded, version, careful=tries > PATIENCE)
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

    def _infer(self, unit: Unit, pipeline: UUID, loaded: Sequence[Payload]) -> int | None:
        """The version of a mapping proposed from these payloads, saved; None where nothing in them can be read."""
        proposed = infer_mapping(loaded[:100])
        if proposed is None:
            return None
        document, note = proposed
        saved = catalog.save_mapping(
            unit, pipeline, document, note=note, author="inference", pipeline_note=note[:1].upper() + note[1:]
        )
        return saved.version

    def _refuse_unmappable(self, unit: Unit, claim: Claim, loaded: Sequence[Payload]) -> None:
        rejects = [
            Reject(
                p.id,
                -1,
                "body",
                "there is no mapping yet, and none can be inferred from this",
                p.body[:4096].decode(errors="replace"),
            )
            for p in loaded
        ]
        self._account(unit, claim, loaded, 0, _Change(), rejects)

    def _compiled(self, unit: Unit, pipeline: UUID, version: int) -> _Compiled:
        key = (pipeline, version)
        found = self._plans.get(key)
        if found is None:
            document = catalog.mapping(unit, pipeline, version).document
            spec = parse_mapping(document)
            found = self._plans[key] = _Compiled(spec, compile_mapping(spec), document)
            while len(self._plans) > 500:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return found

    def _map(self, unit: Unit, claim: Claim, loaded: Sequence[Payload], version: int, *, careful: bool) -> None:
        compiled = self._compiled(unit, claim.pipeline, version)
        change = _Change()
        if not careful:
            mapped = compiled.plan.run(loaded)
            self._write(unit, claim.pipeline, version, compiled.spec, mapped.frame, change)
            self._account(unit, claim, loaded, version, change, mapped.rejects)
            return
        log.warning("ingest.careful", pipeline=str(claim.pipeline), payloads=len(loaded))
        # Nothing is said to the database while the children work, each for as long as its limits allow.
        unit.execute("SET LOCAL idle_in_transaction_session_timeout = '1h'")
        mapped = map_isolated(compiled.document, loaded)
        rejects = self._write_carefully(unit, claim.pipeline, version, compiled.spec, mapped, change)
        self._account(unit, claim, loaded, version, change, rejects)

    def _write(
        self, unit: Unit, pipeline: UUID, version: int, spec: MappingSpec, frame: pl.DataFrame, change: _Change
    ) -> None:
        """Writes the rows that win their keys, and their rollups, and notes them in `change`."""
        if frame.is_empty():
            return
        target = self._target(unit, pipeline, version, spec, frame)
        claimed = silver.claim_keys(unit, target, frame, spec.on_duplicate) if spec.key else silver.Claimed(frame)
        if not claimed.frame.is_empty():
            silver.write(unit, target, claimed.frame, rollup(claimed.frame, spec.metrics, target.dims))
        change.add(claimed)

    def _target(
        self, unit: Unit, pipeline: UUID, version: int, spec: MappingSpec, frame: pl.DataFrame
    ) -> SilverVersion:
        found = next(v for v in catalog.versions(unit, pipeline) if v.version == version)
        if not found.created:
            dims = choose_dims(frame, spec.dimensions)
            found = silver.create_version(unit, found, dims, with_keys=bool(spec.key), on_duplicate=spec.on_duplicate)
        return found

    def _write_carefully(
        self, unit: Unit, pipeline: UUID, version: int, spec: MappingSpec, mapped: Mapped, change: _Change
    ) -> list[Reject]:
        """Writes payload by payload behind savepoints, so that one that the database refuses stands alone.

        Answers all rejects: the mapping's, and one for each payload that was refused.
        """
        rejects = list(mapped.rejects)
        for part in mapped.frame.partition_by("_payload", maintain_order=True):
            unit.execute("SAVEPOINT payload")
            try:
                self._write(unit, pipeline, version, spec, part, change)
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


def _epoch_ms(moment: datetime | None) -> int | None:
    return int(moment.timestamp() * 1000) if moment is not None else None
