"""A replay at work: bronze → a new generation → the swap.

A step maps a bounded stretch of one part and commits its rows together with the part's new position. Steps of different
parts go on side by side in all workers; the live road goes on too, and writes what it maps to the new generation as
well. When no part is left, one commit points the pipeline at the new generation, and viewers read anew.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import polars as pl
import structlog

from dash_app.domain.errors import DashError, Permanent
from dash_app.domain.events import Payload, Reject
from dash_app.pipelines.isolate import map_isolated
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.rollups import choose_dims
from dash_app.pipelines.targets import Change, Target, Targets, same_key, write_carefully, write_rows
from dash_app.storage import bronze, catalog, generations, ledger, payloads, replay_plan, replays, silver, silver_carry
from dash_app.storage.replays import Part, Replay
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: Bodies of one step, and payloads.
STEP_BYTES: Final = 8 << 20
STEP_PAYLOADS: Final = 20_000
#: A step beside the live road has this part of it: it ends sooner.
_BESIDE_SHARE: Final = 6
#: The live road counts as at work for so long after it has mapped something.
_LATELY_SECONDS: Final = 2.0
#: With payloads that wait for longer than this no step begins,
_LIVE_LAG: Final = 0.05
#: but for so long at most: a replay comes to its end also beside a road that is always late.
_GIVE_WAY_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.02
#: How long a task works before others in the queue get their turn.
TURN_SECONDS: Final = 2.0
#: A step that has begun so often without an end has killed workers, or fails each time.
PATIENCE: Final = 3
#: One that fails so often, although it is careful, will not end well: the replay fails, and can be resumed.
HOPELESS: Final = 12
#: Payloads of a careful step: it holds what it writes until its end.
_CAREFUL_PAYLOADS: Final = 200
#: A stream of payloads that was not gone on with for so long is opened anew: its files may have been exchanged.
_STALE_SECONDS: Final = 300.0
#: How long the pipeline's writer is waited for.
_LOCK_PATIENCE: Final = timedelta(seconds=10)
#: Payloads whose records choose the dimensions of the new rollup.
_SAMPLE: Final = 200

#: worked: there may be more. wait: held by the throttle, or by others. ended: nothing more to do here.
Outcome = Literal["worked", "wait", "ended"]


class Replays(threading.local):
    """Works on replays. Each thread that uses it has plans of its own, and a place of its own where it is reading."""

    def __init__(self, app: Resources) -> None:
        self._app = app
        self._targets = Targets()
        #: Where this thread stands in the part that it was last at, so that files are not opened for each step.
        self._open: tuple[UUID, int, int, Iterator[Payload]] | None = None
        self._ahead: list[Payload] = []
        self._opened = 0.0
        #: Whether the live road is at work.
        self._beside = False

    def _others_wanted(self, replay: UUID) -> bool:
        """Whether another worker would find something to do beside this one."""
        with self._app.database.ingest() as unit:
            now = replays.get(unit, replay)
            return now.state == "running" and now.throttle is None and replays.undone(unit, replay) > 1

    def run(self, replay: UUID, call_others: Callable[[], None] = lambda: None) -> bool:
        """Works on a replay for at most a turn; whether another turn should follow.

        `call_others` is called once, as soon as there is something to do for another worker: so the replay spreads over
        all that are idle.
        """
        began, called = time.monotonic(), False
        while True:
            if not called and self._others_wanted(replay):
                call_others()
                called = True
            try:
                outcome = self._step_beside(replay)
            except Permanent as error:
                self._fail(replay, error)
                return False
            if outcome == "ended":
                return False
            if time.monotonic() - began > TURN_SECONDS:
                return True
            if outcome == "wait":
                return False

    def _fail(self, replay: UUID, error: DashError) -> None:
        log.error("replay.failed", replay=str(replay), error=error.message)
        with self._app.database.ingest() as unit:
            if replays.get(unit, replay).state in ("queued", "running"):
                replays.move(unit, replay, "failed", error=error.message)
                unit.commit()

    def _step_beside(self, replay: UUID) -> Outcome:
        """A step when its turn has come: what comes in now goes before what came in long ago.

        While the live road is at work, half of the machine's cores are the replay's at most, its steps are short, and
        none begins while payloads wait that have become late.
        """
        with self._app.database.ingest() as unit:
            self._beside = replays.live_lately(unit, _LATELY_SECONDS) or replays.live_lag(unit) > _LIVE_LAG
        if not self._beside:
            return self.step(replay)
        with self._app.database.ingest() as unit:
            unit.execute("SET LOCAL idle_in_transaction_session_timeout = '1h'")
            if not replays.take_place(unit, platform.node(), max(1, (os.cpu_count() or 1) // 2)):
                return "wait"
            until = time.monotonic() + _GIVE_WAY_SECONDS
            while replays.live_lag(unit) > _LIVE_LAG and time.monotonic() < until:
                time.sleep(_LOOK_SECONDS)
            return self.step(replay)

    def step(self, replay: UUID) -> Outcome:
        """One step, from the part's lock to its commit."""
        with self._app.database.ingest() as unit:
            # What is lost with a crash of the server is lost whole: rows and position are of one transaction.
            unit.execute("SET LOCAL synchronous_commit = off")
            # Children that map carefully, a slow store and an ANALYZE elsewhere all take their time.
            unit.execute("SET LOCAL idle_in_transaction_session_timeout = '1h'")
            now = replays.get(unit, replay)
            if now.state not in ("queued", "running"):
                return "ended"
            if not now.planned:
                return self._plan(unit, now)
            if now.state == "queued":
                replays.go_on(unit, now)
                unit.commit()
                return "worked"
            if now.wait > 0:
                time.sleep(min(now.wait, 0.5))
                return "worked" if now.wait <= 0.5 else "wait"
            part = replays.take_part(unit, replay)
            if part is None:
                return "wait" if replays.undone(unit, replay) else self._finish(unit, now)
            with self._app.database.ingest() as aside:
                tries = replays.begin_attempt(aside, replay, part)
                aside.commit()
            if part.kind == "map":
                if tries > HOPELESS:
                    raise Permanent(f"part {part.number} failed {tries - 1} times; the worker's log says why")
                self._map(unit, now, part, careful=tries > PATIENCE)
            elif not self._carry(unit, now, part):
                return "wait"
            unit.commit()
            return "worked"

    # Planning --------------------------------------------------------------------------------------------------------

    def _plan(self, unit: Unit, now: Replay) -> Outcome:
        if not replays.lock_plan(unit, now.id) or replays.get(unit, now.id).planned:
            return "wait"
        # Files must not expire between the look at them and the commit that keeps them.
        if not bronze.lock_archive(unit, now.pipeline):
            return "wait"
        parts, carried = replay_plan.parts(unit, self._app.objects, now)
        records_from = self._create(unit, now)
        if not replays.plan(unit, now, parts, records_from if carried else None):
            return "ended"
        unit.commit()
        log.info("replay.planned", replay=str(now.id), pipeline=str(now.pipeline), parts=len(parts))
        return "worked"

    def _create(self, unit: Unit, now: Replay) -> datetime | None:
        """Makes the new tables, unless the live road has: with the dimensions that the same mapping's rollup has, or
        with those of the newest records."""
        target = self._target(unit, now)
        spec, version = target.spec, target.version
        if not version.created:
            before = catalog.versions(unit, now.pipeline, generation=now.source)
            same = next((one for one in before if one.version == now.version and one.created), None)
            if same is not None:
                dims: Sequence[str] = same.dims
            else:
                sample = bronze.newest(unit, self._app.objects, now.pipeline, limit=_SAMPLE)
                dims = choose_dims(target.plan.run(sample).frame, spec.dimensions)
            silver.create_version(unit, version, dims, with_keys=bool(spec.key), on_duplicate=spec.on_duplicate)
        return version.records_from

    def _target(self, unit: Unit, now: Replay) -> Target:
        writing = generations.writing(unit, now.pipeline)
        one = next((t for t in (writing.targets if writing else ()) if t.generation == now.generation), None)
        if one is None or one.state != "shadow":
            raise Permanent("the tables that this replay fills are not there any more")
        target = self._targets.get(unit, now.pipeline, one)
        # Retention moves this on, also while a replay runs.
        fresh = catalog.pipeline_floor(unit, now.pipeline)
        return replace(target, version=replace(target.version, records_from=fresh))

    # Steps -----------------------------------------------------------------------------------------------------------

    def _map(self, unit: Unit, now: Replay, part: Part, *, careful: bool) -> None:
        stretch, position = self._read(now, part, _CAREFUL_PAYLOADS if careful else STEP_PAYLOADS)
        if stretch:
            foreign = replays.not_ours(unit, now, stretch[0].id, stretch[-1].id)
            stretch = [payload for payload in stretch if payload.id not in foreign]
        target, change = self._target(unit, now), Change()
        mapped = target.plan.run(stretch) if not careful else map_isolated(target.document, stretch)
        rows_from = target.version.records_from
        if now.keep_before is not None:
            # These buckets are carried over whole.
            mapped = replace(mapped, frame=mapped.frame.filter(pl.col("_time") >= now.keep_before))
        rejects: Sequence[Reject] = mapped.rejects
        merge: Callable[[], object] = lambda: None  # noqa: E731
        if careful:
            rejects = write_carefully(unit, target, mapped, change, rows_from=rows_from)
        else:
            merge = write_rows(unit, target, mapped.frame, change, rows_from=rows_from)
        ledger.add_rejects(unit, now.team, now.pipeline, now.version, rejects, generation=now.generation)
        replays.progress(
            unit,
            now,
            part,
            position,
            payloads=len(stretch),
            records=change.added - change.deleted,
            rejects=len(rejects),
        )
        # Last, with nothing but the commit behind it: the live road merges into the same hours and days, and waits for
        # a process that is niced.
        unit.announce()
        merge()

    def _read(self, now: Replay, part: Part, count: int) -> tuple[list[Payload], int]:
        """The next payloads of a part, `count` at most, and the position after them."""
        here = self._open
        fresh = time.monotonic() - self._opened < _STALE_SECONDS
        if here is None or not fresh or here[:3] != (now.id, part.number, part.position):
            self._opened = time.monotonic()
            self._ahead = []
            stream = bronze.each(self._app.database.ingest, self._app.objects, now.pipeline, part.position, part.high)
        else:
            stream = here[3]
        # Not to be gone on with unless this step ends well: the position is looked at again then.
        self._open = None
        # A throttled replay goes in small steps, so that it is even.
        most = STEP_BYTES // (32 if now.throttle is not None else _BESIDE_SHARE if self._beside else 1)
        stretch, size = self._ahead, sum(len(payload.body) for payload in self._ahead)
        self._ahead = []
        for payload in stream:
            if stretch and (size + len(payload.body) > most or len(stretch) >= count):
                self._ahead = [payload]
                break
            stretch.append(payload)
            size += len(payload.body)
        else:
            return stretch, part.high
        position = stretch[-1].id + 1
        self._open = (now.id, part.number, position, stream)
        return stretch, position

    def _carry(self, unit: Unit, now: Replay, part: Part) -> bool:
        """False where the pipeline's writer was at work for too long."""
        if not payloads.await_pipeline(unit, now.pipeline, _LOCK_PATIENCE):
            return False
        target = self._target(unit, now)
        version = silver.current(unit, target.version)
        sources = [one for one in catalog.versions(unit, now.pipeline, generation=now.source) if one.created]
        if part.kind == "rollups":
            if now.keep_before is not None:
                silver_carry.carry_rollups(unit, sources, version, now.keep_before)
            replays.progress(unit, now, part, part.high)
        else:
            end = silver_carry.window(unit, sources, part.position, part.high)
            records = silver_carry.carry_records(
                unit,
                sources,
                version,
                part.position,
                end,
                since=now.keep_before,
                keyed=[one for one in sources if same_key(unit, one, target.spec)],
                on_duplicate=target.spec.on_duplicate,
            )
            rejects = silver_carry.carry_rejects(unit, now.pipeline, now.source, now.generation, part.position, end)
            replays.progress(unit, now, part, end, records=records, rejects=rejects)
        # Whoever was turned away by the lock meanwhile has left its work to us.
        ledger.ring(unit, now.pipeline)
        return True

    # The end ---------------------------------------------------------------------------------------------------------

    def _finish(self, unit: Unit, now: Replay) -> Outcome:
        """Points the pipeline at what was filled, in one commit."""
        if not replays.lock_plan(unit, now.id):
            return "wait"
        version = self._target(unit, now).version
        with self._app.database.ingest() as aside:
            # Who reads it first should find a plan that knows how much there is.
            silver.analyze(aside, version)
            aside.commit()
        if not payloads.await_pipeline(unit, now.pipeline, _LOCK_PATIENCE):
            return "wait"
        if replays.get(unit, now.id).state != "running":
            return "ended"
        unit.execute("SET LOCAL synchronous_commit = on")
        done = replays.get(unit, now.id)
        generations.count(unit, now.pipeline, now.generation, records=done.records, rejects=done.rejects)
        generations.swap(unit, now.pipeline, now.generation)
        replays.move(unit, now.id, "done")
        silver.refresh_view(unit, now.pipeline)
        ledger.ring(unit, now.pipeline)
        unit.commit()
        log.info(
            "replay.swapped", replay=str(now.id), pipeline=str(now.pipeline), version=now.version, records=done.records
        )
        return "ended"
