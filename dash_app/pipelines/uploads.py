"""Files that people bring: begun, received part by part, and worked into payloads.

A file is worked on in two passes. The first one only reads: it finds out whether all of the file can be told into
records, so that a file that is broken at its end leaves nothing of itself behind. The second one accepts payloads. Both
go step by step, and each step of the second is one transaction with the place where the next one begins: whoever dies
in between, the file goes on there, and every record of it comes once. A pipeline that does not keep up is waited for.

Any pipeline takes uploads, whatever its source: a history from before it was set up comes in this way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import PurePath
from typing import Final
from uuid import UUID

import structlog

from dash_app.domain.access import Principal
from dash_app.domain.errors import BadRequest, Conflict, DashError, Invalid, NotFound, Transient
from dash_app.domain.events import Arrival
from dash_app.domain.specs import Pipeline
from dash_app.pipelines import cutting
from dash_app.pipelines.resources import Resources
from dash_app.storage import catalog, ledger, payloads, people, uploads
from dash_app.storage.unit import Unit
from dash_app.storage.uploads import Part, Upload

log = structlog.get_logger(__name__)

#: Where the work is queued, as `pipelines/tasks` has it.
QUEUE: Final = "io"
TASK: Final = "dash_app.pipelines.tasks.cut"

MOST_BYTES = 2 << 30
#: The bounds of a chunk; the last one of a file may be as small as it is.
MOST_CHUNK = 8 << 20
LEAST_CHUNK = 64 << 10
#: Uploads of one pipeline that are received or worked on at a time, and the bytes of all those of a team: each takes
#: room in the object store until its story is over.
MOST_OPEN = 20
MOST_TEAM_BYTES = 20 << 30
#: Payloads that wait to be mapped, in bytes, beyond which a file is not cut on.
MOST_WAITING = 64 << 20
TURN_SECONDS = 20.0
#: Turns that come to nothing, one after the other, until a file is given up.
MOST_ATTEMPTS = 6
_NOTE_SECONDS = 1.0


class WrongOffset(Conflict):
    """The upload goes on at another place."""

    title = "Wrong offset"


# Receiving -----------------------------------------------------------------------------------------------------------


def begin(unit: Unit, pipeline: Pipeline, name: str, size: int, content_type: str, author: Principal | str) -> Upload:
    """An upload of a file of `size` bytes, to be received. Raises Invalid with every place that is wrong."""
    problems = []
    shown = PurePath(name.replace("\\", "/")).name[:200]
    if not shown or not shown.isprintable():
        problems.append(("name", "the file's name is missing, or holds characters that cannot be shown"))
    if not 1 <= size <= MOST_BYTES:
        problems.append(("size", f"a file has 1 to {MOST_BYTES:,} bytes"))
    format = ""
    try:
        format = cutting.format_of(shown, content_type)
    except Invalid as error:
        problems.append(("content_type", error.message))
    if problems:
        raise Invalid(problems=problems)
    count, announced = uploads.open_of(unit, pipeline.team, pipeline.id)
    if count >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} uploads to this pipeline are under way; finish or cancel one of them first")
    if announced + size > MOST_TEAM_BYTES:
        raise Conflict(
            f"uploads of this team that are under way have {announced:,} bytes, and with this one more than "
            f"{MOST_TEAM_BYTES:,}; finish or cancel one of them first"
        )
    who = author.email if isinstance(author, Principal) else author
    made = uploads.create(
        unit,
        pipeline.team,
        pipeline.id,
        name=shown,
        content_type=content_type[:200],
        format=format,
        size=size,
        author=who,
    )
    detail = {"pipeline": pipeline.slug, "name": shown, "size": size}
    people.record(
        unit, author if isinstance(author, Principal) else None, pipeline.team, "upload.create", str(made.id), detail
    )
    return made


def check_chunk(upload: Upload, offset: int, data: bytes, checksum: str = "") -> None:
    """Nothing, or what is wrong with a chunk. `checksum`: SHA-256 in hex, where the sender gives one."""
    if upload.state != "receiving":
        raise Conflict(f"this upload is {upload.state}; it takes no more")
    if offset != upload.received:
        raise WrongOffset(f"the upload goes on at byte {upload.received}, not {offset}", offset=upload.received)
    if not data:
        raise BadRequest("the chunk is empty")
    if offset + len(data) > upload.size:
        raise BadRequest(f"the chunk goes beyond the end: the file was to have {upload.size:,} bytes")
    if len(data) < LEAST_CHUNK and offset + len(data) < upload.size:
        raise BadRequest(f"a chunk has at least {LEAST_CHUNK:,} bytes, unless it is the last one")
    if checksum and sha256(data).hexdigest() != checksum.lower():
        raise BadRequest("the chunk is not what its checksum says; send it again")


def put_part(app: Resources, upload: Upload, offset: int, data: bytes) -> Part:
    """Puts a chunk into the object store, to be noted by `uploads.add_part`."""
    part = Part(offset, len(data), uploads.new_key(upload.id, offset))
    app.objects.put(part.key, data)
    return part


def note_part(unit: Unit, upload: Upload, part: Part) -> Upload:
    """Notes a part; WrongOffset where another one was quicker. Call `queue` once the last one is committed."""
    made = uploads.add_part(unit, upload, part)
    if made is None:
        now = uploads.get(unit, upload.id)
        raise WrongOffset(f"the upload goes on at byte {now.received}, not {part.start}", offset=now.received)
    return made


def cancel(unit: Unit, upload: Upload, author: Principal) -> None:
    """Ends an upload. What was cut of it already stays: these are payloads like any other."""
    if uploads.end(unit, upload.id, "cancelled") is None:
        raise Conflict(f"this upload is {upload.state} already")
    people.record(unit, author, upload.team, "upload.cancel", str(upload.id), {"name": upload.name})


def queue(app: Resources, upload: UUID) -> None:
    """Has a worker look at an upload now. (The clock finds it within seconds too.)"""
    with app.database.ingest() as unit:
        ledger.enqueue_once(unit, QUEUE, TASK, str(upload), priority=-1)
        unit.commit()


def queue_due(unit: Unit) -> None:
    """Queues the uploads whose work nobody does: what their worker or their task was lost of, and what waited."""
    for upload in uploads.due(unit):
        ledger.enqueue_once(unit, QUEUE, TASK, str(upload), priority=-1)


# Working -------------------------------------------------------------------------------------------------------------


def work(app: Resources, upload: UUID) -> bool:
    """One turn of work on an upload; whether to come again at once. Two never work on the same one."""
    with app.database.own("ingest") as lock:
        if not uploads.lock(lock, upload):
            return False
        lock.commit()
        with app.database.ingest() as unit:
            found = uploads.begin_turn(unit, upload)
            unit.commit()
        if found is None:
            _tidy(app, upload)
            return False
        try:
            return _turn(app, found)
        except Transient as error:
            log.info("upload.waits", upload=str(upload), error=error.message)
            failure = error.message if found.attempts >= MOST_ATTEMPTS else None
        except DashError as error:
            failure = error.message
        except Exception as error:
            log.exception("upload.broke", upload=str(upload))
            failure = f"internal error ({type(error).__name__}); the worker's log says more"
        if failure is not None:
            _fail(app, found, failure)
        return False


def _turn(app: Resources, found: Upload) -> bool:
    if found.attempts > MOST_ATTEMPTS:
        _fail(
            app, found, f"the workers ended {MOST_ATTEMPTS} times while they read this file; is it what its name says?"
        )
        return False
    with app.database.ingest() as unit:
        pipeline = catalog.pipeline(unit, found.pipeline, archived=True)
        parts = uploads.parts(unit, found.id)
    if pipeline.state == "archived":
        raise NotFound("the pipeline was archived")
    # Read by itself: without its secrets a source's options need not be whole.
    most = pipeline.source_options.get("max_bytes", app.sources[pipeline.source_kind].param.max_bytes.default)
    reader = uploads.Received(app.objects, parts)
    if reader.size != found.size:
        raise NotFound("parts of the received file are missing")
    until = time.monotonic() + TURN_SECONDS
    steps = partial(cutting.steps, reader, found.format, found.content_type, most=most)
    now: Upload | None = found
    if found.state == "checking":
        now = _check(app, found, steps(found.position.get("place", {})), until)
    if now is not None and now.state == "cutting":
        now = _cut(app, now, steps(now.position), until)
    if now is None or now.state == "done":
        _tidy(app, found.id)
        return False
    with app.database.ingest() as unit:
        uploads.end_turn(unit, found.id)
        unit.commit()
        return payloads.waiting_bytes(unit, found.pipeline) <= MOST_WAITING


def _check(app: Resources, found: Upload, steps: Iterator[cutting.Step], until: float) -> Upload | None:
    """Reads on, and keeps nothing but how far it has come; None where the upload was cancelled meanwhile."""
    records = int(found.position.get("records", 0))
    now, noted = found, time.monotonic()
    for step in steps:
        records += sum(piece.records for piece in step.pieces)
        if time.monotonic() - noted > _NOTE_SECONDS:
            noted = time.monotonic()
            place = {"place": step.position, "records": records}
            moved = _advance(app, now, "checking", step.consumed, place)
            if moved is None or noted > until:
                return moved
            now = moved
    if not records:
        raise Invalid("there are no records in the file")
    return _advance(app, now, "cutting", 0, {})


def _advance(app: Resources, now: Upload, state: str, consumed: int, position: dict[str, object]) -> Upload | None:
    with app.database.ingest() as unit:
        moved = uploads.advance(unit, now, state=state, consumed=consumed, position=position)
        unit.commit()
    return moved


def _cut(app: Resources, found: Upload, steps: Iterator[cutting.Step], until: float) -> Upload | None:
    """Accepts the payloads of each step together with the place behind it; None where the upload was cancelled."""
    now = found
    for step in steps:
        with app.database.ingest() as unit:
            if payloads.waiting_bytes(unit, found.pipeline) > MOST_WAITING or time.monotonic() > until:
                return now
            moved = uploads.advance(
                unit,
                now,
                state="cutting",
                consumed=step.consumed,
                position=step.position,
                payloads=len(step.pieces),
                records=sum(piece.records for piece in step.pieces),
            )
            if moved is None:
                return None
            payloads.accept(unit, [_arrival(found, piece, now.payloads + n) for n, piece in enumerate(step.pieces)])
            unit.commit()
        now = moved
    moved = _advance(app, now, "done", found.size, dict(now.position))
    log.info("upload.done", upload=str(found.id), payloads=now.payloads, records=now.records)
    return moved


def _arrival(upload: Upload, piece: cutting.Piece, number: int) -> Arrival:
    return Arrival(
        pipeline=upload.pipeline,
        team=upload.team,
        body=piece.body,
        content_type=piece.content_type,
        headers={"dash-upload": str(upload.id), "dash-file": upload.name, "dash-part": str(number)},
        source=f"upload of {upload.name}",
    )


def _fail(app: Resources, found: Upload, error: str) -> None:
    with app.database.ingest() as unit:
        now = uploads.get(unit, found.id)
        if now.payloads:
            error += f" ({now.payloads:,} payloads of the file were accepted before)"
        uploads.end(unit, found.id, "failed", error)
        unit.commit()
    log.info("upload.failed", upload=str(found.id), error=error)
    _tidy(app, found.id)


def _tidy(app: Resources, upload: UUID) -> None:
    """Lets go of what was received of an upload that is over."""
    with app.database.ingest() as unit:
        if uploads.get(unit, upload).ended_at is not None:
            uploads.remove_parts(unit, app.objects, upload)
            unit.commit()


def maintain(app: Resources) -> None:
    """Gives up what nobody goes on with, and lets go of what is over."""
    with app.database.ingest() as unit:
        uploads.give_up(unit)
        uploads.prune(unit)
        unit.commit()
        ended = uploads.ended_with_parts(unit)
    for upload in ended:
        _tidy(app, upload)


def collect(app: Resources) -> int:
    """Removes parts that were put and never noted; answers how many."""
    with app.database.ingest() as unit:
        return uploads.collect(unit, app.objects, before=datetime.now(UTC) - timedelta(days=1))
