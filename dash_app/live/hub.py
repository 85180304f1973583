"""Topics and their subscribers. However many watch a topic, a change costs one read and one encoding.

A topic reads at once when something came, then waits out its pause while more gathers: the first record of a burst is
on the screen in milliseconds, and a flood costs a bounded number of reads. Telling thousands takes longer than reading
for them: it is done in slices between which the loop does other work, and what many watch is told some five times a
second at most. One reader a topic: snapshots and updates are told in the order of their numbers, so that a viewer who
sees a number missing knows that something is.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol
from uuid import UUID

import structlog

from dash_app.domain.access import Principal
from dash_app.domain.changes import AccessChanged, Change, DashboardChanged
from dash_app.domain.errors import DashError
from dash_app.live.dashboard_view import DashboardView
from dash_app.live.frames import encode, encode_error, packet
from dash_app.live.subscriptions import open_for
from dash_app.live.views import Touched, View
from dash_app.pipelines.query import Queries
from dash_app.storage.engine import Database

log = structlog.get_logger(__name__)


#: How long a snapshot serves newcomers while nothing comes: the ranges that it was read for move on.
SHARED_SECONDS = 2.0
#: After a read that failed the next is tried after so long, even when nothing comes.
RETRY_SECONDS = 5.0
#: Telling goes on for so long at a stretch, and then others have the event loop.
SLICE_SECONDS = 0.002
#: A topic tells for a fifth of the time at most, down to so many seconds from one beginning to the next; thereafter it
#: rests for a tenth of the time, so that newcomers and requests are served.
BEAT_SECONDS = 0.18


class Subscriber(Protocol):
    """Who watches: takes frames as they go on the wire (`frames.packet`), and is told when its user's rights have
    changed."""

    principal: Principal

    def deliver(self, wire: bytes) -> None: ...

    def revoked(self) -> None: ...

    def recheck(self) -> None:
        """Whether its user still may is not known for certain any more."""
        ...


class Topic:
    """One view with those who watch it."""

    def __init__(self, name: str, view: View, read: Callable[..., Any]) -> None:
        self.name = name
        self.view = view
        self.key = secrets.token_urlsafe(6)
        self.seq = 0
        self.subscribers: set[Subscriber] = set()
        self._read = read
        self._new: set[Subscriber] = set()
        self._touched: Touched | None = None
        self._wake = asyncio.Event()
        self._cached: bytes | None = None
        self._cached_at = 0.0
        self._failed = False
        self._telling = 0.0
        self.task = asyncio.get_running_loop().create_task(self._run())

    def join(self, subscriber: Subscriber) -> None:
        """A newcomer gets a snapshot before its first update."""
        self._new.add(subscriber)
        self._wake.set()

    def leave(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)
        self._new.discard(subscriber)

    @property
    def empty(self) -> bool:
        return not self.subscribers and not self._new

    def touch(self, change: Change | None) -> None:
        """Something came; None: nobody knows what, read everything."""
        self._touched = self._touched or Touched()
        if change is None:
            self._touched.everything = True
        else:
            self._touched.add(change)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), RETRY_SECONDS if self._failed else self.view.moves)
            except TimeoutError:
                self.touch(None)
            self._wake.clear()
            began = time.monotonic()
            self._telling = 0.0
            if self._failed:
                # Who was told of a failure has no snapshot that an update could build on, whatever woke this up.
                self._touched = self._touched or Touched()
                self._touched.everything = True
            self._failed = await self._told_of_failure()
            elapsed = time.monotonic() - began
            # A topic reads for a fifth of the time at most: a slow view is not asked for again at once.
            reading = 4 * (elapsed - self._telling)
            telling = max(min(BEAT_SECONDS, 5 * self._telling) - elapsed, self._telling / 10)
            await asyncio.sleep(max(self.view.pause, reading, telling))

    async def _told_of_failure(self) -> bool:
        """Reads what is due and tells it; whether that failed, and everybody was told so instead."""
        try:
            if self._touched is not None and self.subscribers:
                touched, self._touched = self._touched, None
                self._cached = None
                await self._update(touched)
            if self._new:
                await self._greet()
        except DashError as error:
            problem = encode_error(self.key, error.title, error.message)
        except Exception:
            log.exception("live.read_failed", topic=self.name)
            problem = encode_error(self.key, "Internal error", "The data could not be read; the server's log says why.")
        else:
            return False
        self.subscribers |= self._new
        self._new.clear()
        await self._tell(self.subscribers, problem)
        return True

    async def _update(self, touched: Touched) -> None:
        table = await self._read(self.view.update, touched)
        if table is None:
            table = await self._read(self.view.snapshot)
            self.seq += 1
            frame = encode(self.key, self.seq, "snapshot", table, touched.at)
            self._cached, self._cached_at = frame, time.monotonic()
        elif not table.columns:
            # Nothing within the range was touched. Without columns a frame would say that all of it is gone.
            return
        else:
            self.seq += 1
            frame = encode(self.key, self.seq, "update", table, touched.at)
        await self._tell(self.subscribers, frame)

    async def _greet(self) -> None:
        """A snapshot for newcomers. Those who were here before have its rows, or will be told of them."""
        new, self._new = self._new, set()
        if not self.subscribers and self._touched is not None:
            # Nobody is left to be told of the change; what was kept is from before it.
            self._touched = self._cached = None
        self.subscribers |= new
        if self._cached is None or self._touched is not None or time.monotonic() - self._cached_at > SHARED_SECONDS:
            self._cached_at = time.monotonic()
            self._cached = encode(self.key, self.seq, "snapshot", await self._read(self.view.snapshot))
        await self._tell(new, self._cached)

    async def _tell(self, subscribers: set[Subscriber], frame: bytes) -> None:
        """Delivers a frame, encoded for the wire once."""
        began = time.monotonic()
        turn = began + SLICE_SECONDS
        sent = packet(frame)
        for number, subscriber in enumerate(tuple(subscribers)):
            if subscriber not in self.subscribers:
                continue  # gone on the way, or come anew: then a snapshot is still to come
            subscriber.deliver(sent)
            if number % 16 == 15 and time.monotonic() > turn:
                await asyncio.sleep(0)
                turn = time.monotonic() + SLICE_SECONDS
        self._telling += time.monotonic() - began


class Hub:
    """All topics of a node."""

    def __init__(self, database: Database, queries: Queries, *, readers: int = 4) -> None:
        self._database = database
        self._queries = queries
        self._executor = ThreadPoolExecutor(readers, thread_name_prefix="live-read")
        self._topics: dict[tuple[UUID, str], Topic] = {}
        self._watching: dict[Subscriber, dict[str, Topic]] = {}
        self._recording: set[asyncio.Task[None]] = set()

    async def _read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    @property
    def viewers(self) -> int:
        return len(self._watching)

    @property
    def topics(self) -> int:
        return len(self._topics)

    def connect(self, subscriber: Subscriber) -> None:
        self._watching[subscriber] = {}

    def disconnect(self, subscriber: Subscriber) -> None:
        watched = self._watching.pop(subscriber, {})
        for subscription, topic in watched.items():
            self._departed(subscriber, subscription, topic)
        for topic in set(watched.values()):
            topic.leave(subscriber)
            self._drop_if_empty(topic)

    async def subscribe(self, subscriber: Subscriber, subscription: str, request: Mapping[str, Any]) -> str:
        """Has frames delivered under the topic's key, which is answered; DashError where the request is refused."""
        team = subscriber.principal.team
        self.unsubscribe(subscriber, subscription)
        name, view = await self._read(open_for, self._database, self._queries, subscriber.principal, request)
        topic = self._topics.get((team, name))
        if topic is None:
            topic = self._topics[team, name] = Topic(name, view, self._read)
        watching = self._watching.get(subscriber)
        if watching is None:
            # Gone while the view was opened.
            self._drop_if_empty(topic)
            return topic.key
        watching[subscription] = topic
        if isinstance(topic.view, DashboardView) and topic.view.arrive(
            (subscriber, subscription), subscriber.principal, request
        ):
            self._record(topic.view)
        return topic.key

    def begin(self, subscriber: Subscriber, subscription: str) -> None:
        """Has the snapshot sent, once the subscriber knows the topic's key."""
        topic = self._watching.get(subscriber, {}).get(subscription)
        if topic is not None:
            topic.join(subscriber)

    def unsubscribe(self, subscriber: Subscriber, subscription: str) -> None:
        watching = self._watching.get(subscriber, {})
        topic = watching.pop(subscription, None)
        if topic is not None:
            self._departed(subscriber, subscription, topic)
        if topic is not None and topic not in watching.values():
            topic.leave(subscriber)
            self._drop_if_empty(topic)

    def _departed(self, subscriber: Subscriber, subscription: str, topic: Topic) -> None:
        if isinstance(topic.view, DashboardView) and topic.view.depart((subscriber, subscription)):
            self._record(topic.view)

    def _record(self, view: DashboardView) -> None:
        """Tells other nodes, and the viewers of this one, that somebody came or went."""

        async def record() -> None:
            try:
                await self._read(view.record)
            except DashError:
                # The database is away: the rows are brought in line with the next coming or going, or forgotten.
                log.warning("live.presence_not_recorded", exc_info=True)

        task = asyncio.get_running_loop().create_task(record())
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    def _drop_if_empty(self, topic: Topic) -> None:
        if topic.empty:
            self._topics = {key: kept for key, kept in self._topics.items() if kept is not topic}
            topic.task.cancel()

    def changed(self, change: Change) -> None:
        """Called for each change that PostgreSQL announces."""
        if isinstance(change, AccessChanged):
            for subscriber in [s for s in self._watching if str(s.principal.user) == change.user]:
                subscriber.revoked()
            return
        if isinstance(change, DashboardChanged):
            # What an embed may ask is said by the document: its browser comes again, and is held against the new one.
            for subscriber in self._embeds():
                if subscriber.principal.embed and subscriber.principal.embed.identity == change.dashboard:
                    subscriber.revoked()
        for topic in self._topics.values():
            if topic.view.concerns(change):
                topic.touch(change)

    def _embeds(self) -> list[Subscriber]:
        return [subscriber for subscriber in self._watching if subscriber.principal.embed is not None]

    def returned(self) -> None:
        """Notifications may have been missed: everything is read anew, and everybody is asked again who they are."""
        for subscriber in tuple(self._watching):
            subscriber.recheck()
        for subscriber in self._embeds():
            subscriber.revoked()
        for topic in self._topics.values():
            topic.touch(None)

    def close(self) -> None:
        for task in (*self._recording, *(topic.task for topic in self._topics.values())):
            task.cancel()
        # What is being read ends before the database is closed under it.
        self._executor.shutdown(wait=True, cancel_futures=True)
