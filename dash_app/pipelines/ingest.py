"""The story of one batch: claimed, mapped, written, counted, announced, in one transaction.

A ring of the doorbell brings a worker here. It becomes the pipeline's one writer, claims the oldest payloads that wait,
and commits their rows together with the notes that they are done; the ring is taken back when nothing waits any more,
so that nobody is called meanwhile. Whatever ends the worker on the way leaves the payloads waiting, and the next one
begins again: each payload counts once, however many workers it took.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Literal
from uuid import UUID

import polars as pl
import structlog

from dash_app.domain.changes import RowsAdded
from dash_app.domain.errors import Permanent
from dash_app.domain.events import Payload, Reject
from dash_app.pipelines.delivery.outbox import RecordOutbox
from dash_app.pipelines.flow import pass_on
from dash_app.pipelines.inference.infer import infer_mapping
from dash_app.pipelines.isolate import map_isolated
from dash_app.pipelines.mapping import Mapped
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.targets import Change, Target, Targets, write, write_carefully
from dash_app.storage import bronze, catalog, generations, ledger, payloads, replays, silver
from dash_app.storage.generations import Writing
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


class Ingest:
    """Maps what waits; one of these a worker process, with the plans it has compiled."""

    def __init__(self, app: Resources) -> None:
        self._app = app
        self._targets = Targets()
        self._outbox = RecordOutbox()

    def run(self, pipeline: UUID) -> int:
        """Maps what waits for this pipeline, for at most a turn; answers how many claims it has committed."""
        database = self._app.database
        # Most claims are of a payload or two, so that ways to the server and back are what they cost.
        with database.notes() as notes, database.ingest() as unit:
            try:
                return self._turn(unit, notes, pipeline)
            except BaseException:
                # Whoever comes next calls somebody else, and need not wait for the sweep.
                with suppress(Exception):
                    unit.rollback()
                    payloads.answer_bell(notes, pipeline)
                raise

    def _turn(self, unit: Unit, notes: Unit, pipeline: UUID) -> int:
        began, claims, answered = time.monotonic(), 0, False
        while True:
            outcome = self._step(unit, notes, pipeline)
            if outcome in ("busy", "held"):
                # Once more after the ring was taken back: until then whoever let go of the lock, or resumed the
                # pipeline, has found it rung and has called nobody.
                if answered:
                    return claims
                unit.rollback()
                payloads.answer_bell(notes, pipeline)
                answered = True
                continue
            answered = False
            claims += outcome == "worked"
            # Asked after the lock is released: whoever was turned away by it meanwhile has left its work to us.
            if not payloads.waiting(notes, pipeline) and payloads.rest(notes, pipeline):
                return claims
            if time.monotonic() - began > TURN_SECONDS:
                payloads.answer_bell(notes, pipeline)
                ledger.ring(unit, pipeline)
                unit.commit()
                return claims

    def step(self, pipeline: UUID) -> Outcome:
        """One claim, from lock to commit."""
        with self._app.database.notes() as notes, self._app.database.ingest() as unit:
            return self._step(unit, notes, pipeline)

    def _step(self, unit: Unit, notes: Unit, pipeline: UUID) -> Outcome:
        if not payloads.lock_pipeline(unit, pipeline):
            return "busy"
        now = generations.writing(unit, pipeline)
        if now is None or now.state == "paused":
            return "held"
        claim = payloads.claim(unit, pipeline, max_bytes=CLAIM_BYTES, max_payloads=CLAIM_PAYLOADS)
        if claim is None:
            unit.rollback()
            return "nothing"
        tries = payloads.begin_attempt(notes, claim)
        loaded = self._load(unit, claim)
        if now.version is None:
            now = self._infer(unit, pipeline, loaded)
        if now.version is None:
            active = now.targets[0]
            self._account(unit, claim, loaded, active, Change(), _unmappable(loaded))
        else:
            self._write(unit, now, claim, loaded, careful=tries > PATIENCE)
        with unit.pipelined():
            payloads.finish(unit, claim)
            payloads.end_attempt(unit, pipeline)
            unit.commit()
        return "worked"

    def _load(self, unit: Unit, claim: Claim) -> list[Payload]:
        """The claim's payloads, in the order of arrival: from the inbox, or from bronze where they were held for
        long."""
        # A list of payloads to map again is somebody's word: another pipeline's are not in it, whatever it names.
        loaded = [one for one in payloads.load(unit, claim.payload_ids) if one.pipeline == claim.pipeline]
        if len(loaded) < len(claim.payload_ids):
            here = {payload.id for payload in loaded}
            gone = [wanted for wanted in claim.payload_ids if wanted not in here]
            loaded = sorted(
                [*loaded, *bronze.read_payloads(unit, self._app.objects, gone, pipeline=claim.pipeline)],
                key=lambda p: p.id,
            )
            # One that is wanted again may have expired meanwhile.
            if len(loaded) < len(claim.payload_ids) and not claim.again:
                here = {payload.id for payload in loaded}
                lost = [wanted for wanted in claim.payload_ids if wanted not in here]
                raise Permanent(
                    f"payloads {lost[:5]} are neither in the inbox nor in bronze; is the object store complete?"
                )
        return loaded

    def _infer(self, unit: Unit, pipeline: UUID, loaded: Sequence[Payload]) -> Writing:
        """A mapping proposed from these payloads and saved, where something in them can be read."""
        proposed = infer_mapping(loaded[:100])
        # Somebody may be saving a mapping just now: theirs counts, whichever commits first.
        if proposed is not None and catalog.lock(unit, pipeline).mapping_version is None:
            document, note = proposed
            catalog.save_mapping(
                unit, pipeline, document, note=note, author="inference", pipeline_note=note[:1].upper() + note[1:]
            )
        now = generations.writing(unit, pipeline)
        assert now is not None
        return now

    def _write(self, unit: Unit, now: Writing, claim: Claim, loaded: Sequence[Payload], *, careful: bool) -> None:
        """Maps the claim under the mapping of each generation that is written, and writes it there."""
        mapped: dict[int, Mapped] = {}
        if careful:
            log.warning("ingest.careful", pipeline=str(claim.pipeline), payloads=len(loaded))
            # Nothing is said to the database while the children work, each for as long as its limits allow.
            unit.execute("SET LOCAL idle_in_transaction_session_timeout = '1h'")
        for one in now.targets:
            if one.version is None:
                continue
            target, change = self._targets.get(unit, claim.pipeline, one), Change()
            if one.version not in mapped:
                mapped[one.version] = map_isolated(target.document, loaded) if careful else target.plan.run(loaded)
            made = mapped[one.version]
            taken_back = 0
            if claim.again:
                # Only of what is here to be mapped again: a payload may have expired since it was asked for.
                here = [payload.id for payload in loaded]
                taken_back, kept_from = self._take_back(unit, one, claim.pipeline, here, change)
                if kept_from is not None:
                    # The rollups of what has expired still hold what these payloads gave; it is not counted twice.
                    made = replace(made, frame=made.frame.filter(pl.col("_time") >= kept_from))
            if one.state == "active":
                rejects: Sequence[Reject] | None = _put(unit, target, made, change, careful)
                if now.passed_on and not claim.again:
                    pass_on(unit, claim.pipeline, change.frames, target.version.columns)
                    self._outbox.records(unit, claim.pipeline, one.version, target.version.columns, change.frames)
            else:
                rejects = self._put_beside(unit, claim.pipeline, one, target, made, change, careful)
            if rejects is None:
                continue
            if one.state == "shadow" and one.cut is not None:
                replays.note_live(unit, claim.pipeline, one.generation, one.cut, claim.payload_ids)
            self._account(unit, claim, loaded, one, change, rejects, taken_back)

    def _put_beside(
        self,
        unit: Unit,
        pipeline: UUID,
        one: generations.Target,
        target: Target,
        made: Mapped,
        change: Change,
        careful: bool,
    ) -> Sequence[Reject] | None:
        """Writes to a generation that is not read. Others may be writing it too: what fails for that is tried again
        behind a savepoint, and what fails again and again ends that generation, and never what is read (None then)."""
        before = replace(change)
        for last in (False, True):
            unit.execute("SAVEPOINT beside")
            try:
                rejects = _put(unit, target, made, change, careful)
            except Permanent:
                raise
            except Exception as error:
                # Where the connection is gone, this fails too.
                unit.execute("ROLLBACK TO SAVEPOINT beside")
                change.added, change.deleted = before.added, before.deleted
                if last and not careful:
                    raise
                if last:
                    self._give_up(unit, pipeline, one, error)
            else:
                unit.execute("RELEASE SAVEPOINT beside")
                return rejects
        return None

    def _give_up(self, unit: Unit, pipeline: UUID, one: generations.Target, error: Exception) -> None:
        log.error("ingest.generation_ended", pipeline=str(pipeline), generation=one.generation, error=str(error)[:500])
        reason = f"new payloads could not be written to what it fills: {str(error).splitlines()[0][:300]}"
        for replay in replays.of_pipeline(unit, pipeline, limit=1):
            if replay.generation == one.generation and replay.state in replays.OPEN:
                replays.move(unit, replay.id, "cancelled", error=reason)
        generations.end(unit, pipeline, one.generation)

    def _take_back(
        self, unit: Unit, one: generations.Target, pipeline: UUID, payload_ids: Sequence[int], change: Change
    ) -> tuple[int, datetime | None]:
        """What these payloads gave before goes; answers how many rejects that were, and from when on records are
        kept."""
        versions = catalog.versions(unit, pipeline, generation=one.generation)
        for version in versions:
            change.delete(silver.remove_payloads(unit, version, payload_ids))
        count = ledger.forget_rejects(unit, pipeline, one.generation, payload_ids)
        return count, versions[0].records_from

    def _account(
        self,
        unit: Unit,
        claim: Claim,
        loaded: Sequence[Payload],
        one: generations.Target,
        change: Change,
        rejects: Sequence[Reject],
        taken_back: int = 0,
    ) -> None:
        version = one.version or 0
        ledger.add_rejects(unit, claim.team, claim.pipeline, version, rejects, generation=one.generation)
        # What silver has, and not what was written: a row that lost its key to a new one is no record any more.
        records, refused = change.added - change.deleted, len(rejects) - taken_back
        if one.state != "active":
            generations.count(unit, claim.pipeline, one.generation, records=records, rejects=refused)
            return
        ledger.count(
            unit,
            claim.team,
            claim.pipeline,
            payloads=0 if claim.again else len(loaded),
            records=records,
            rejects=refused,
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


def _put(unit: Unit, target: Target, made: Mapped, change: Change, careful: bool) -> Sequence[Reject]:
    if careful:
        return write_carefully(unit, target, made, change)
    write(unit, target, made.frame, change)
    return made.rejects


def _unmappable(loaded: Sequence[Payload]) -> list[Reject]:
    reason = "there is no mapping yet, and none can be inferred from this"
    return [Reject(p.id, -1, "body", reason, p.body[:4096].decode(errors="replace")) for p in loaded]


def _epoch_ms(moment: datetime | None) -> int | None:
    return int(moment.timestamp() * 1000) if moment is not None else None
