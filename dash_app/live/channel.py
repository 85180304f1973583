"""The live channel: one WebSocket a tab, carrying every subscription of the page (`docs/live.md`).

A viewer who does not read is cut off before its backlog fills the node's memory: it comes back by itself and gets a
fresh snapshot, which is smaller than what it has missed.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson
import structlog
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketHandler

from dash_app.domain.access import Principal
from dash_app.domain.errors import DashError
from dash_app.live.frames import packet
from dash_app.live.hub import Hub

log = structlog.get_logger(__name__)

#: Bytes that may wait for a viewer who reads slower than frames come.
MOST_BACKLOG = 8 << 20
MOST_SUBSCRIPTIONS = 200
#: A subscription may name a thousand values of a variable.
MOST_MESSAGE = 1 << 20


class Authenticator:
    """Says who a request is from; implemented by the web floor."""

    async def principal(self, request: HTTPServerRequest) -> Principal | None:
        raise NotImplementedError


class LiveChannel(WebSocketHandler):
    """`/live`. Messages are JSON: subscribe, unsubscribe, ping."""

    principal: Principal

    def initialize(self, hub: Hub, authenticator: Authenticator, origins: frozenset[str]) -> None:
        self._hub = hub
        self._authenticator = authenticator
        self._origins = origins
        self._connected = False
        self._checking: asyncio.Task[None] | None = None
        self._backlog = 0
        self._subscriptions: dict[str, asyncio.Task[None] | None] = {}
        self._stream: IOStream | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None

    def check_origin(self, origin: str) -> bool:
        host = urlsplit(origin).netloc.lower()
        return host == self.request.host.lower() or host in self._origins

    def get_compression_options(self) -> None:
        # Frames are shared among viewers; compressing each one's copy would cost more than it saves.
        return None

    async def prepare(self) -> None:
        principal = await self._authenticator.principal(self.request)
        if principal is None:
            self.set_status(401)
            await self.finish({"title": "Not authorized", "status": 401, "detail": "log in first"})
            return
        self.principal = principal

    def open(self, *_args: str, **_kwargs: str) -> None:
        self.set_nodelay(True)
        assert self.ws_connection is not None
        self._stream = self.ws_connection.stream
        # Under TLS of our own the socket takes ciphertext, which the stream alone can make.
        self._socket = self._stream.socket if type(self._stream) is IOStream else None
        self._hub.connect(self)
        self._connected = True
        if self.principal.embed is not None:
            wait = max(0.0, self.principal.embed.until - time.time())
            self._ending = asyncio.get_running_loop().call_later(wait, self.close, 4001, "the embed has expired")

    def on_message(self, message: str | bytes) -> None:
        try:
            document = orjson.loads(message) if len(message) <= MOST_MESSAGE else None
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            self.close(1003, "messages are JSON objects of at most 1 MiB")
            return
        identity = str(document.get("id", ""))[:100]
        match document.get("op"):
            case "subscribe":
                self._end(identity)
                if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
                    self._refuse(identity, "Too many", f"a tab may watch {MOST_SUBSCRIPTIONS} things at once")
                    return
                self._subscriptions[identity] = asyncio.create_task(self._subscribe(identity, document))
            case "unsubscribe":
                self._end(identity)
            case "ping":
                self._say(b'{"op":"pong"}')
            case other:
                self._refuse(
                    identity,
                    "Not understood",
                    f"there is no operation {str(other)[:40]!r}; subscribe, unsubscribe or ping",
                )

    def _end(self, identity: str) -> None:
        task = self._subscriptions.pop(identity, None)
        if task is not None and not task.done():
            task.cancel()
        self._hub.unsubscribe(self, identity)

    async def _subscribe(self, identity: str, request: Mapping[str, Any]) -> None:
        try:
            topic = await self._hub.subscribe(self, identity, request)
        except DashError as error:
            self._refuse(identity, error.title, error.message)
        except Exception:
            log.exception("live.subscribe_failed")
            self._refuse(identity, "Internal error", "The data could not be read; the server's log says why.")
        else:
            if identity in self._subscriptions:
                self._subscriptions[identity] = None  # done, and not kept
            self._say(orjson.dumps({"op": "subscribed", "id": identity, "topic": topic}))
            self._hub.begin(self, identity)

    def _refuse(self, identity: str, title: str, detail: str) -> None:
        self._say(orjson.dumps({"op": "error", "id": identity, "title": title, "detail": detail}))

    def deliver(self, wire: bytes) -> None:
        """Sends what is encoded for the wire; a viewer whose backlog is past the bound is cut off instead.

        A socket that nothing waits for is written to at once: on the way through the stream and the protocol, which
        encode for each viewer anew, a frame costs five times as much. What the socket does not take goes through the
        stream, in its order.
        """
        stream = self._stream
        if stream is None:
            return
        sent = 0
        if self._socket is not None and not stream.writing():
            try:
                sent = self._socket.send(wire)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                # Gone without a word; what closes a stream tells everybody else.
                stream.close()
                return
            if sent == len(wire):
                return
        if self._backlog + len(wire) > MOST_BACKLOG and not sent:
            log.info("live.too_slow", user=self.principal.email, backlog=self._backlog)
            self.close(1013, "too slow; connect again for a fresh snapshot")
            return
        rest = len(wire) - sent
        self._backlog += rest
        try:
            # The stream copies what it keeps.
            waiting = stream.write(memoryview(wire)[sent:])
        except StreamClosedError:
            return
        waiting.add_done_callback(partial(self._sent, size=rest))

    def _sent(self, future: asyncio.Future[None], *, size: int) -> None:
        self._backlog -= size
        if not future.cancelled():
            future.exception()

    def _say(self, message: bytes) -> None:
        self.deliver(packet(message))

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        # Nothing may follow the frame that closes.
        self._stream = None
        super().close(code, reason)

    def revoked(self) -> None:
        """The user's rights have changed: the browser connects again and is asked again who it is."""
        self.close(4001, "access changed")

    def recheck(self) -> None:
        """Asks again who this is, and cuts off who is somebody else by now, or nobody."""
        self._checking = asyncio.create_task(self._recheck())

    async def _recheck(self) -> None:
        try:
            principal = await self._authenticator.principal(self.request)
        except DashError:
            # The database is away again; its return asks once more.
            return
        if principal != self.principal:
            self.revoked()

    def on_close(self) -> None:
        self._stream = None
        if self._ending is not None:
            self._ending.cancel()
        for task in self._subscriptions.values():
            if task is not None:
                task.cancel()
        if self._connected:
            self._hub.disconnect(self)
