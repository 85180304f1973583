"""Which streams this process owns: one owner for each among all workers of the installation.

An owner holds the stream's lock in the database, on the one connection of its process that is for nothing else. When
the process dies the connection does, its locks are free, and the others, who look every two seconds, take what it had.
Who ends in an orderly way announces it, and is followed at once. Streams are divided evenly: nobody takes more than a
fair share while somebody else could, and who has more, because another one has come, gives one away at each look.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import structlog

from dash_app.domain.changes import CHANNEL, PipelineChanged, decode
from dash_app.domain.errors import DashError, Unavailable
from dash_app.domain.kinds import Kinds
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sources.base import Source
from dash_app.pipelines.sources.streaming import StreamSource
from dash_app.pipelines.streaming.stream import OneStream, load
from dash_app.storage import streams
from dash_app.storage.streams import Wanted
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: How often one looks for streams without an owner, at least, and how often at most however much is announced.
LOOK_SECONDS = 2.0
PAUSE_SECONDS = 0.2
#: Looks after which a stream that nobody has taken is taken, whoever's share it would be.
PATIENCE = 2
#: How long a stream may take to store what it has and to take leave.
END_SECONDS = 6.0
#: Threads in which streams write to the database.
THREADS = 6


def stream_kinds(sources: Kinds[Source]) -> list[str]:
    """The kinds of source that are streams."""
    return [kind.kind for kind in sources if issubclass(kind, StreamSource)]


@dataclass(slots=True)
class _Owned:
    """A stream that is ours. `options`: what its source is made from, so that only a change of that ends it."""

    pipeline: UUID
    revision: int
    options: Any
    stream: OneStream
    task: asyncio.Task[None]


@dataclass(slots=True)
class _Locks:
    """The connection whose life is the locks', and the one thread that uses it."""

    app: Resources
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "stream-locks"))
    _held: ExitStack | None = None
    _unit: Unit | None = None

    async def do(self, what: Callable[[Unit], T]) -> T:
        """Does something on the connection, committed. Unavailable where it is lost, and all locks with it."""

        def run() -> T:
            if self._unit is None:
                self._held = ExitStack()
                self._unit = self._held.enter_context(self.app.database.own("ingest"))
                streams.be_present(self._unit)
                self._unit.commit()
            try:
                found = what(self._unit)
                self._unit.commit()
            except Exception as error:
                if self._unit.lost:
                    raise Unavailable("the connection that holds the locks is lost") from error
                # What is wrong with one stream leaves the connection, and the locks of all others, as they were.
                self._unit.rollback()
                raise
            return found

        return await asyncio.get_running_loop().run_in_executor(self.thread, run)

    async def close(self) -> None:
        def run() -> None:
            held, self._held, self._unit = self._held, None, None
            if held is not None:
                with suppress(Exception):  # it may be what is broken
                    held.close()

        await asyncio.get_running_loop().run_in_executor(self.thread, run)


class Streams:
    """All streams of one process."""

    def __init__(self, app: Resources, node: str) -> None:
        self._app = app
        self._node = node
        self._kinds = stream_kinds(app.sources)
        self._locks = _Locks(app)
        self._threads = ThreadPoolExecutor(THREADS, "streams")
        self._owned: dict[UUID, _Owned] = {}
        self._ending: dict[UUID, asyncio.Task[None]] = {}
        self._free: dict[UUID, int] = {}
        self._look = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Owns streams until told to stop; then each stores what it has, and others take over."""
        listening = asyncio.create_task(self._listen())
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._look.clear()
                try:
                    await self._survey()
                except DashError as error:
                    log.warning("streams.locks_lost", error=error.message, streams=len(self._owned))
                    await self._drop_all()
                looked = asyncio.create_task(self._look.wait())
                await asyncio.wait({looked, stopped}, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                looked.cancel()
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(stopped), PAUSE_SECONDS)
        finally:
            listening.cancel()
            stopped.cancel()
            await asyncio.gather(listening, stopped, return_exceptions=True)
            for owned in list(self._owned.values()):
                self._end(owned)
            await asyncio.gather(*self._ending.values(), return_exceptions=True)
            await self._locks.close()
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._locks.thread.shutdown(wait=False)

    async def offload(self, what: Callable[..., T], *arguments: Any) -> T:
        """Runs what blocks in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, what, *arguments)

    async def _listen(self) -> None:
        while True:
            try:
                async for text in self._app.database.listen(CHANNEL):
                    if text is not None and isinstance(decode(text), PipelineChanged):
                        self._look.set()
            except DashError as error:
                log.warning("streams.deaf", error=error.message)
            await asyncio.sleep(LOOK_SECONDS)

    # Who owns what ---------------------------------------------------------------------------------------------------

    async def _survey(self) -> None:
        """Ends what is no longer wanted or has changed, and takes what is free and our share."""
        wanted, present = await self._locks.do(lambda unit: (streams.wanted(unit, self._kinds), streams.present(unit)))
        now = {one.pipeline: one for one in wanted}
        for owned in list(self._owned.values()):
            one = now.get(owned.pipeline)
            if one is None or owned.task.done() or await self._changed(owned, one):
                self._end(owned)
        share = -(-len(wanted) // max(1, present))
        if len(self._owned) > share:
            self._end(next(reversed(self._owned.values())))
        free = [one for one in wanted if not one.owned and one.pipeline not in self._ending]
        # What has just been given away is owned still, and what is ours was not asked of the locks.
        free = [one for one in free if one.pipeline not in self._owned]
        self._free = {one.pipeline: self._free.get(one.pipeline, 0) + 1 for one in free}
        random.shuffle(free)
        for one in free:
            if len(self._owned) < share or self._free[one.pipeline] > PATIENCE:
                await self._take(one)

    async def _changed(self, owned: _Owned, one: Wanted) -> bool:
        if owned.revision == one.revision:
            return False
        try:
            options = await self.offload(self._options, owned.pipeline)
        except DashError:
            raise
        except Exception:
            # Ended, and taken anew by whoever comes next: that shows what is wrong with it.
            log.exception("stream.broke", pipeline=str(one.pipeline))
            return True
        owned.revision = one.revision
        return bool(options != owned.options)

    async def _take(self, one: Wanted) -> None:
        if not await self._locks.do(lambda unit: streams.take(unit, one.pipeline)):
            return
        try:
            await self._begin(one)
        except DashError:
            raise
        except Exception:
            # A bug, and in one stream: the others go on, and this one is tried again at the next look.
            log.exception("stream.broke", pipeline=str(one.pipeline))
            await self._locks.do(lambda unit: streams.release(unit, one.pipeline))

    async def _begin(self, one: Wanted) -> None:
        """Begins a stream whose lock is ours."""
        options = await self.offload(self._options, one.pipeline)
        term = await self._locks.do(lambda unit: streams.begin_term(unit, one.pipeline, self._node))
        log.info("stream.ours", pipeline=str(one.pipeline), term=term.number)
        stream = OneStream(self._app, one.pipeline, term, self.offload)
        task = asyncio.create_task(stream.run())
        self._owned[one.pipeline] = _Owned(one.pipeline, one.revision, options, stream, task)

    def _options(self, pipeline: UUID) -> Any:
        """What a stream's source is made from; where it cannot be made, why."""
        try:
            return _values(load(self._app, pipeline)[1])
        except DashError as error:
            return error.message

    def _end(self, owned: _Owned) -> None:
        del self._owned[owned.pipeline]
        self._ending[owned.pipeline] = asyncio.create_task(self._take_leave(owned))

    async def _take_leave(self, owned: _Owned) -> None:
        owned.stream.stop()
        try:
            await asyncio.wait({owned.task}, timeout=END_SECONDS)
            await _cancelled(owned.task)
            with suppress(DashError):

                def release(unit: Unit) -> None:
                    streams.release(unit, owned.pipeline)
                    unit.notify(PipelineChanged(str(owned.pipeline)))

                await self._locks.do(release)
        finally:
            del self._ending[owned.pipeline]

    async def _drop_all(self) -> None:
        """The locks are lost: somebody else may own these streams already."""
        dropped = [owned.task for owned in self._owned.values()]
        self._owned.clear()
        for task in dropped:
            task.cancel()
        await asyncio.gather(*dropped, return_exceptions=True)
        await self._locks.close()


def _values(source: StreamSource) -> dict[str, Any]:
    return {name: getattr(source, name) for name in source.options()}


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Ends a task that did not end by itself, and looks at how it ended."""
    task.cancel()
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended, Exception):
        log.error("stream.broke", error=f"{type(ended).__name__}: {ended}")
