"""One stream of one owner: connected, read, stored; and connected anew whenever that ends.

Frames are gathered for a fifth of a second, or until there are many, and become payloads in one transaction with the
token from which the source goes on. Until that is committed nothing more is asked of the source, and so, once what it
holds itself is full, nothing more is read: a slow database slows the sender, and memory does not grow. An answer to a
commit that was lost is no reason to store twice: the number of the commit tells whether it was made.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

import structlog

from dash_app.domain.changes import PipelineChanged
from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.domain.events import Arrival
from dash_app.domain.plain_text import storable
from dash_app.domain.specs import Pipeline
from dash_app.pipelines.delivery.masking import masked, words
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sources.streaming import Frame, Link, StreamSource
from dash_app.pipelines.streaming.packing import pack
from dash_app.storage import catalog, payloads, people, streams
from dash_app.storage.streams import StreamState
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: What is gathered into one commit: for so long after the first frame, so many frames, so many bytes.
GATHER_SECONDS = 0.2
GATHER_FRAMES = 500
GATHER_BYTES = 4 << 20
#: A sender that waits for acknowledgements falls silent when its window is full; many frames and then this silence end
#: the gathering early.
MANY = 10
SILENCE_SECONDS = 0.02
#: Waits between two connections, in seconds: the first, and the longest where trying again can help and where
#: somebody has to change something.
FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
FIRST_WAIT_PERMANENT = 60.0
LONGEST_WAIT_PERMANENT = 900.0
#: A connection that has lasted for so long ends the counting of failures.
STEADY_SECONDS = 15.0
#: After so long a time of failing the team is told.
TELL_SECONDS = 900.0
#: So much of a pipeline may wait to be mapped before reading stops, and so much before it goes on.
FULL_BYTES = 256 << 20
ROOM_BYTES = FULL_BYTES // 2
LOOK_SECONDS = 1.0

#: Runs what blocks (a transaction) in a thread.
Offload = Callable[..., Awaitable[Any]]


class TermOver(Permanent):
    """Somebody else owns the stream now."""


class OneStream:
    """One stream from the beginning of its owner's term until `stop` or the term's end."""

    def __init__(self, app: Resources, pipeline: UUID, term: streams.Term, offload: Offload) -> None:
        self._app = app
        self._id = pipeline
        self._term = term.number
        self._batches = term.batches
        self._cursor = dict(term.cursor)
        self._failures = term.failures
        self._offload = offload
        self._stop = asyncio.Event()
        self._writing = asyncio.Lock()
        self._looked = 0.0
        self._standing = False

    def stop(self) -> None:
        """What was gathered is stored, the other side taken leave of, and `run` ends."""
        self._stop.set()

    async def run(self) -> None:
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                failure = await self._connection()
                if failure is None or self._stop.is_set():
                    break
                if time.monotonic() - began >= STEADY_SECONDS and self._standing:
                    self._failures = 0
                wait = waiting_time(failure, self._failures)
                self._failures += 1
                state: StreamState = "failed" if isinstance(failure, Permanent) else "waiting"
                log.info("stream.ended", pipeline=str(self._id), error=failure.message, wait=round(wait, 1))
                await self._move(state, failure.message, wait)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), wait)
            await self._tried(self._end)
        except TermOver:
            log.warning("stream.term_over", pipeline=str(self._id), term=self._term)

    # One connection --------------------------------------------------------------------------------------------------

    async def _connection(self) -> DashError | None:
        """Connects and stores what comes until the connection ends; None where we were told to stop."""
        self._standing = False
        await self._move("connecting")
        source: StreamSource | None = None
        try:
            pipeline, source = await self._offload(load, self._app, self._id)
            return await self._read(pipeline, source)
        except TermOver:
            raise
        except DashError as error:
            return _masked(error, source)
        except Exception as error:
            # A bug, and in one stream: it is shown and backs off like what others do wrong.
            log.exception("stream.broke", pipeline=str(self._id))
            return Transient(f"Internal error ({type(error).__name__}); the worker's log says more.")

    async def _read(self, pipeline: Pipeline, source: StreamSource) -> DashError | None:
        place = source.place()
        resume = self._cursor.get("token") if self._cursor.get("place") == place else None
        tasks: set[asyncio.Task[None]] = set()

        def connected() -> None:
            self._standing = True
            tasks.add(asyncio.create_task(self._stand()))

        client = f"dash{self._id.hex[-18:]}"
        frames = source.frames(Link(self._app.reach, client, resume, connected))
        reader = Reader(frames, self._stop)
        size = min(source.max_bytes, GATHER_BYTES)
        try:
            while True:
                batch = await reader.gather(size)
                if batch and not await self._store(pipeline, source, place, batch):
                    return None
                if reader.failure is not None:
                    raise reader.failure
                if self._stop.is_set():
                    return None
                if time.monotonic() - self._looked > LOOK_SECONDS:
                    await self._await_room()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await reader.close()

    async def _stand(self) -> None:
        """The connection stands; after a while what failed before it counts no more."""
        log.info("stream.connected", pipeline=str(self._id))
        await self._move("connected")
        if self._failures:
            await asyncio.sleep(STEADY_SECONDS)
            self._failures = 0
            await self._tried(self._steady)

    async def _store(self, pipeline: Pipeline, source: StreamSource, place: str, batch: Sequence[Frame]) -> bool:
        """Commits a batch, however long the database takes; False where we were told to stop meanwhile."""
        token = next((frame.resume for frame in reversed(batch) if frame.resume is not None), None)
        kept = self._cursor.get("token") if self._cursor.get("place") == place else None
        cursor = {"place": place, "token": token if token is not None else kept}
        arrivals = pack(pipeline.id, pipeline.team, source, batch)
        refused = sum(bool(frame.refused) for frame in batch)
        if refused:
            why = next(frame.refused for frame in batch if frame.refused)
            log.warning("stream.refused", pipeline=pipeline.slug, messages=refused, why=why)
        number = self._batches + 1
        if arrivals or refused or cursor != self._cursor:
            messages = sum(bool(frame.data) and not frame.refused for frame in batch)
            done = await self._tried(lambda: self._commit(number, cursor, arrivals, messages, refused))
            if not done:
                return False
            self._batches, self._cursor = number, cursor
        for frame in batch:
            if frame.stored is not None:
                frame.stored()
        return True

    async def _tried(self, what: Callable[[], bool]) -> bool:
        """Does something in the database, again and again while it cannot be reached; False where we are to stop."""
        pause = 0.5
        while True:
            try:
                return bool(await self._offload(what))
            except Transient as error:
                log.warning("stream.not_stored", pipeline=str(self._id), error=error.message, again_in=pause)
                if self._stop.is_set():
                    return False
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause)
                pause = min(pause * 2, 8.0)

    async def _await_room(self) -> None:
        """Waits until the pipeline has not too much left to map."""
        waits = await self._tried_number()
        if waits <= FULL_BYTES:
            return
        what = f"{waits >> 20} MiB wait to be mapped; reading goes on when it is {ROOM_BYTES >> 20} MiB"
        log.warning("stream.full", pipeline=str(self._id), bytes=waits)
        await self._move("waiting", what)
        while waits > ROOM_BYTES and not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), LOOK_SECONDS)
            waits = await self._tried_number()
        await self._move("connected")
        await self._tried(self._steady)

    async def _tried_number(self) -> int:
        found = [0]

        def ask() -> bool:
            with self._app.database.ingest() as unit:
                found[0] = streams.waiting_bytes(unit, self._id)
            return True

        await self._tried(ask)
        self._looked = time.monotonic()
        return found[0]

    # In the database, in a thread ------------------------------------------------------------------------------------

    def _commit(
        self, number: int, cursor: dict[str, Any], arrivals: Sequence[Arrival], messages: int, refused: int
    ) -> bool:
        with self._app.database.ingest() as unit:
            size = sum(len(arrival.body) for arrival in arrivals)
            if not streams.advance(
                unit, self._id, self._term, number, cursor, messages=messages, size=size, refused=refused
            ):
                if streams.batches_of(unit, self._id, self._term) == number:
                    return True  # the answer to an earlier try was lost, the commit was not
                raise TermOver
            if arrivals:
                payloads.accept(unit, arrivals)
            unit.commit()
        return True

    async def _move(self, state: StreamState, error: str = "", wait: float | None = None) -> None:
        # What the other side says goes into columns and documents that take no NUL and no half of a character.
        error = storable(error)

        def move() -> bool:
            with self._app.database.ingest() as unit:
                streams.move(unit, self._id, self._term, state, error=error, wait=wait)
                if error and (since := streams.tell(unit, self._id, self._term, TELL_SECONDS)) is not None:
                    note = f"The stream has been failing since {since:%Y-%m-%d %H:%M} UTC: {error}"
                    _tell(unit, self._id, "pipeline.stream_failing", note)
                unit.notify(PipelineChanged(str(self._id)))
                unit.commit()
            return True

        # One after the other: each is a transaction in a thread of its own.
        async with self._writing:
            await self._tried(move)

    def _steady(self) -> bool:
        with self._app.database.ingest() as unit:
            if streams.steady(unit, self._id, self._term):
                _tell(unit, self._id, "pipeline.stream_steady", "")
            unit.notify(PipelineChanged(str(self._id)))
            unit.commit()
        return True

    def _end(self) -> bool:
        with self._app.database.ingest() as unit:
            streams.end_term(unit, self._id, self._term)
            unit.commit()
        return True


class Reader:
    """Gathers frames of a generator; it never asks for more than one piece ahead."""

    def __init__(self, frames: AsyncIterator[Sequence[Frame]], stop: asyncio.Event) -> None:
        self._frames = frames
        self._pending: asyncio.Future[Any] | None = None
        self._stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        #: How the generator ended, once it has.
        self.failure: Exception | None = None

    async def gather(self, size: int) -> list[Frame]:
        """The next frames; none where we are told to stop, and what there is where the generator ends."""
        loop = asyncio.get_running_loop()
        batch: list[Frame] = []
        left, until = size, 0.0
        while len(batch) < GATHER_FRAMES and left > 0 and self.failure is None and not self._stopped.done():
            if self._pending is None:
                self._pending = asyncio.ensure_future(_next(self._frames))
            wait = max(0.0, until - loop.time()) if batch else None
            if wait is not None and len(batch) >= MANY:
                wait = min(wait, SILENCE_SECONDS)
            await asyncio.wait({self._pending, self._stopped}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if not self._pending.done():
                break
            pending, self._pending = self._pending, None
            try:
                came = pending.result()
            except Exception as error:
                self.failure = error
            else:
                if came is None:
                    self.failure = Transient("the stream ended")
                    break
                if not batch:
                    until = loop.time() + GATHER_SECONDS
                batch += came
                left -= sum(len(frame.data) for frame in came)
        return batch

    async def close(self) -> None:
        self._stopped.cancel()
        if self._pending is not None:
            self._pending.cancel()
            await asyncio.wait({self._pending})
            self._pending = None
        closing = getattr(self._frames, "aclose", None)
        if closing is not None:
            await closing()


async def _next(frames: AsyncIterator[Sequence[Frame]]) -> Sequence[Frame] | None:
    return await anext(frames, None)


def load(app: Resources, pipeline_id: UUID) -> tuple[Pipeline, StreamSource]:
    """A pipeline and its source with the secrets put in; it blocks. Permanent where it is not a stream."""
    with app.database.ingest() as unit:
        pipeline = catalog.pipeline(unit, pipeline_id, archived=True)
        kind = app.sources[pipeline.source_kind]
        options = dict(pipeline.source_options)
        for name in kind.secrets:
            if stored := app.vault.get_all(unit, pipeline.id, name):
                options[name] = kind.secret_from_text(name, stored[0])
    made = kind.from_options(options)
    if not isinstance(made, StreamSource):
        raise Permanent(f"a source of the kind {pipeline.source_kind} is no stream")
    return pipeline, made


def waiting_time(failure: DashError, failures: int) -> float:
    """Seconds until the next connection, after so many failures before this one: twice as long each time, less up to a
    half by chance, so that many streams of one server do not come back at once; and what the server asked for."""
    permanent = isinstance(failure, Permanent)
    first, longest = (FIRST_WAIT_PERMANENT, LONGEST_WAIT_PERMANENT) if permanent else (FIRST_WAIT, LONGEST_WAIT)
    asked = failure.retry_after if isinstance(failure, Transient) else None
    backed_off = min(first * 2.0 ** min(failures, 20), longest) * random.uniform(0.5, 1.0)
    return max(asked or 0.0, backed_off)


def _tell(unit: Unit, pipeline_id: UUID, action: str, note: str) -> None:
    """Shows a note at the pipeline, and writes it down; the pipeline's revision stays, for nobody has changed it."""
    team = unit.value("UPDATE pipelines SET note = %s WHERE id = %s RETURNING team_id", (note, pipeline_id))
    if team is not None:
        people.record(unit, None, team, action, str(pipeline_id), {"note": note})


def _masked(error: DashError, source: StreamSource | None) -> DashError:
    """The error without the secrets that the other side may have repeated."""
    secrets = words(getattr(source, name) for name in source.secrets) if source is not None else ()
    text = masked(error.message, secrets)
    if text == error.message:
        return error
    again = error.retry_after if isinstance(error, Transient) else None
    return Permanent(text) if isinstance(error, Permanent) else Transient(text, retry_after=again)
