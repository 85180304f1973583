"""What becomes of silver when a mapping changes: a replay over history, the swap, the way back, payloads mapped again.

Everything here happens in the transaction of the caller's unit of work, which the caller commits, and rings for the
pipeline after that (`setup.ring`): a worker that met the lock meanwhile does not come again by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from dash_app.domain.access import Principal
from dash_app.domain.errors import Conflict, Invalid, NotFound, Transient
from dash_app.domain.ids import payload_id_floor
from dash_app.domain.specs import Pipeline
from dash_app.storage import catalog, generations, payloads, people, replays
from dash_app.storage.replays import Replay
from dash_app.storage.unit import Unit

#: Payloads that are mapped again at once; more of them are a replay's.
MOST_AGAIN: Final = 1000
MOST_THROTTLE: Final = 10_000_000
#: How long the pipeline's writer is waited for.
_PATIENCE: Final = timedelta(seconds=10)
_LAST_ID: Final = (1 << 63) - 1


def hold(unit: Unit, pipeline: UUID) -> None:
    """Becomes the pipeline's one writer; Transient where somebody else stays it for too long.

    To be called before anything locks the pipeline's row: workers take the two in this order.
    """
    if not payloads.await_pipeline(unit, pipeline, _PATIENCE):
        raise Transient("the pipeline's worker is busy with a long batch; try again in a moment", retry_after=2)


def begin_replay(
    unit: Unit,
    pipeline: Pipeline,
    version: int,
    author: Principal | str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    throttle: int | None = None,
    note: str = "",
) -> UUID:
    """Queues a replay of the payloads received from `start` until `end` (None: all of them) under a mapping version.

    From this commit on new payloads are written to the new generation as well. `throttle`: records a second. Raises
    Invalid, NotFound for the version, Conflict where a replay is under way already.
    """
    problems = []
    if start is not None and end is not None and start >= end:
        problems.append(("to", "the end of the range lies after its beginning"))
    if throttle is not None and not 1 <= throttle <= MOST_THROTTLE:
        problems.append(("throttle", f"1 to {MOST_THROTTLE:,} records a second, or null for no limit"))
    if problems:
        raise Invalid(problems=problems)
    hold(unit, pipeline.id)
    if replays.under_way(unit, pipeline.id):
        raise Conflict("a replay of this pipeline is under way; wait for its end, or cancel it")
    if catalog.lock(unit, pipeline.id).mapping_version is None:
        raise Conflict("no version of the mapping is live yet, so that there is nothing to replay; make one live first")
    catalog.mapping(unit, pipeline.id, version)
    generation, cut = generations.begin_shadow(unit, pipeline.id, version)
    made = replays.create(
        unit,
        pipeline.id,
        generation=generation,
        version=version,
        from_id=_id(start) if start else 0,
        to_id=min(_id(end), cut) if end else cut,
        from_time=start,
        to_time=end,
        throttle=throttle,
        author=author.email if isinstance(author, Principal) else author,
        note=note,
    )
    _record(unit, author, pipeline, "replay.create", {"replay": str(made), "version": version})
    return made


def move_replay(unit: Unit, replay: UUID, action: str, author: Principal) -> Replay:
    """`action`: pause, resume or cancel. What a cancelled replay has filled is dropped; what is read stays as it is."""
    now = replays.get(unit, replay)
    pipeline = catalog.pipeline(unit, now.pipeline, archived=True)
    if action == "cancel":
        hold(unit, now.pipeline)
        moved = replays.move(unit, replay, "cancelled")
        generations.end(unit, now.pipeline, now.generation)
    else:
        moved = replays.move(unit, replay, "paused" if action == "pause" else "queued")
    _record(unit, author, pipeline, f"replay.{action}", {"replay": str(replay)})
    return moved


def throttle_replay(unit: Unit, replay: UUID, records: int | None, author: Principal) -> Replay:
    """Lets a replay write at most so many records a second; None: as fast as it goes."""
    if records is not None and not 1 <= records <= MOST_THROTTLE:
        raise Invalid(problems=[("throttle", f"1 to {MOST_THROTTLE:,} records a second, or null for no limit")])
    now = replays.get(unit, replay)
    if now.state not in replays.OPEN:
        raise Conflict(f"this replay is {now.state}; there is nothing left to slow down")
    replays.throttle(unit, replay, records)
    pipeline = catalog.pipeline(unit, now.pipeline, archived=True)
    _record(unit, author, pipeline, "replay.throttle", {"replay": str(replay), "records": records})
    return replays.get(unit, replay)


def roll_back(unit: Unit, pipeline: Pipeline, author: Principal | str) -> Pipeline:
    """Points the pipeline at the generation that was read before the last swap, which lacks nothing: new payloads were
    written to it too. A second call goes forward again. Conflict where there is nothing to go back to."""
    hold(unit, pipeline.id)
    before = generations.graced(unit, pipeline.id)
    if before is None:
        raise Conflict("there is nothing to go back to: no replay was swapped in lately, or its grace is over")
    generations.swap(unit, pipeline.id, before.generation)
    _record(unit, author, pipeline, "pipeline.rollback", {"version": before.version})
    return catalog.pipeline(unit, pipeline.id)


def discard(unit: Unit, pipeline: Pipeline, author: Principal | str) -> Pipeline:
    """Ends the grace of the generation before the last swap: it is written no more, and dropped."""
    hold(unit, pipeline.id)
    before = generations.graced(unit, pipeline.id)
    if before is None:
        raise Conflict("there is no earlier generation to discard")
    generations.end(unit, pipeline.id, before.generation)
    _record(unit, author, pipeline, "pipeline.discard", {"version": before.version})
    return catalog.pipeline(unit, pipeline.id)


def map_again(unit: Unit, pipeline: Pipeline, wanted: Sequence[int], author: Principal | str) -> int:
    """Has payloads mapped anew under the active mapping, as the pipeline's next work: their records, rejects and keys
    make place for what comes of them now. Answers how many.

    Invalid for more than 1,000 at once; Conflict while a replay is under way, which maps them anyway.
    """
    ids = sorted(set(wanted))
    if not 1 <= len(ids) <= MOST_AGAIN:
        raise Invalid(problems=[("payloads", f"1 to {MOST_AGAIN:,} payloads at once; more of them are a replay's")])
    if pipeline.mapping_version is None:
        raise Conflict("this pipeline has no mapping yet")
    # A replay that begins at this moment must see that they wait.
    hold(unit, pipeline.id)
    if replays.under_way(unit, pipeline.id):
        raise Conflict("a replay of this pipeline is under way, which maps all payloads anew")
    known = payloads.known(unit, pipeline.id, ids)
    lost = [one for one in ids if one not in known]
    if lost:
        raise NotFound(f"this pipeline has no payload '{lost[0]}' (any more)")
    payloads.again(unit, pipeline.id, ids)
    _record(unit, author, pipeline, "payloads.again", {"count": len(ids), "first": str(ids[0])})
    return len(ids)


def bounds(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """The range of payload ids that were received from `start` until `end`."""
    return _id(start) if start else 0, _id(end) if end else _LAST_ID


def _id(moment: datetime) -> int:
    try:
        return max(0, payload_id_floor(moment.astimezone(UTC)))
    except (OverflowError, ValueError):
        return _LAST_ID if moment.year > 2000 else 0


def _record(unit: Unit, author: Principal | str, pipeline: Pipeline, action: str, detail: dict[str, object]) -> None:
    who = author if isinstance(author, Principal) else None
    people.record(unit, who, pipeline.team, action, str(pipeline.id), {"slug": pipeline.slug, **detail})
