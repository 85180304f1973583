"""A WebSocket: one connection, on which the other side sends messages, mostly after it was told what is wanted.

The protocol has no way to go on where one was. Many services have one of their own: a number in each message, and a
message that asks for what came after it. `resume_path` and `resume_message` say what they are.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import orjson
import param
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, PayloadTooBig
from websockets.protocol import State

from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.domain.plain_text import is_storable
from dash_app.pipelines.sources import selecting
from dash_app.pipelines.sources.fetching import retry_after
from dash_app.pipelines.sources.streaming import Frame, HttpStream, Link

OPEN_SECONDS = 20.0
#: Messages that wait in memory until they are asked for; beyond them the socket is not read.
QUEUE = 16
_PLACE = "{resume}"
_AGAIN = frozenset({408, 425, 429})
#: Closing codes after which somebody has to change something: policy, too large, and those for log-ins in common use.
_REFUSED = frozenset({1002, 1003, 1007, 1008, 3000, 3003})

# The library tells of every message at this level, with its beginning.
_quiet = logging.getLogger("dash.websocket")
_quiet.setLevel(logging.WARNING)


class WebSocket(HttpStream):
    kind = "websocket"
    summary = "Messages of a WebSocket; messages of a moment are a payload."
    schemes = ("ws", "wss")
    secrets = HttpStream.secrets | {"secret_messages"}
    example: ClassVar[Mapping[str, Any]] = {
        "url": "wss://feed.example.org/ws",
        "messages": [{"type": "subscribe", "channels": ["ticker"]}],
        "resume_path": "$.sequence",
        "resume_message": '{"type": "replay", "after": {resume}}',
    }

    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"resume_message": {"format": "text"}}

    messages = param.List(
        default=[], doc="What is sent once connected, in this order: texts as they are, objects and arrays as JSON."
    )
    secret_messages = param.List(
        default=[], doc="Messages that are sent before the others and never shown, such as a log-in."
    )
    resume_path = param.String(default="", doc="The path in a message to what one can go on from: a number, an id.")
    resume_message = param.String(
        default="",
        doc="What is sent after the others when there is something to go on from: a text with {resume}, which becomes "
        "the last value of resume_path as JSON.",
    )
    subprotocols = param.List(default=[], item_type=str, doc="The subprotocols that are offered, the preferred first.")
    ping_seconds = param.Number(
        default=20, bounds=(5, 3600), doc="A ping after so many seconds; without an answer the connection is made anew."
    )

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        for option in ("messages", "secret_messages"):
            for number, message in enumerate(getattr(self, option)):
                if not isinstance(message, str | dict | list):
                    found.append((f"{option}.{number}", "is neither a text, an object nor an array"))
        if self.resume_path and (wrong := selecting.problem(self.resume_path)):
            found.append(("resume_path", wrong))
        if bool(self.resume_path) is not bool(self.resume_message):
            missing = "resume_message" if self.resume_path else "resume_path"
            found.append((missing, "is missing: resume_path and resume_message go together"))
        elif self.resume_message and _PLACE not in self.resume_message:
            found.append(("resume_message", f"holds no {_PLACE}"))
        for name in self.subprotocols:
            if not name.isascii() or not name.isprintable() or not name or set(name) & set(' ,;"()/<>?@[]\\{}='):
                found.append(("subprotocols", f"'{name[:40]}' is not the name of one"))
        return found

    def frames(self, link: Link) -> AsyncIterator[Sequence[Frame]]:
        return self._frames(link)

    async def _frames(self, link: Link) -> AsyncIterator[Sequence[Frame]]:
        where = self.address()
        path = selecting.parse(self.resume_path) if self.resume_path else None
        connection = await self._connect(link, where)
        try:
            for message in [*self.secret_messages, *self.messages]:
                await connection.send(message if isinstance(message, str) else json.dumps(message))
            if path is not None and link.resume is not None:
                await connection.send(self.resume_message.replace(_PLACE, json.dumps(link.resume)))
            link.connected()
            while True:
                data = await connection.recv()
                raw = data.encode() if isinstance(data, str) else bytes(data)
                yield [Frame(raw, resume=_token(raw, path))]
        except ConnectionClosed as error:
            raise _closed(where, error, self.max_bytes) from error
        finally:
            # Not waiting for the other side longer than a moment: it may be what hangs.
            if connection.state is not State.CLOSED:
                closing = asyncio.create_task(connection.close())
                await asyncio.wait({closing}, timeout=2)
                connection.transport.abort()

    async def _connect(self, link: Link, where: str) -> ClientConnection:
        url = httpx.URL(self.url)
        secure = url.scheme == "wss"
        sock = await asyncio.to_thread(link.reach.connect, url.host, url.port or (443 if secure else 80), OPEN_SECONDS)
        try:
            return await connect(
                self.url,
                sock=sock,
                ssl=link.reach.tls_context() if secure else None,
                # The certificate is verified against the name, although an address was connected to.
                server_hostname=url.raw_host.decode() if secure else None,
                proxy=None,
                additional_headers=self.request_headers(),
                user_agent_header="dash-app",
                subprotocols=[*self.subprotocols] or None,  # type: ignore[list-item]
                open_timeout=OPEN_SECONDS,
                ping_interval=self.ping_seconds,
                ping_timeout=self.ping_seconds,
                close_timeout=2,
                max_size=self.max_bytes,
                max_queue=QUEUE,
                logger=_quiet,
            )
        except InvalidStatus as error:
            raise _refused(where, error) from error
        except (InvalidURI, InvalidHandshake) as error:
            raise Permanent(f"{where}: the server does not speak WebSocket ({type(error).__name__})") from error
        except TimeoutError as error:
            raise Transient(f"{where}: no connection within {OPEN_SECONDS:g} s") from error
        except (OSError, EOFError) as error:
            what = "the server's certificate is not accepted" if "CERTIFICATE" in str(error) else "no connection"
            raise Transient(f"{where}: {what}") from error
        except ValueError as error:
            # A redirect, which would lead past the checked address.
            raise Permanent(f"{where} redirects; name the address that it redirects to") from error
        finally:
            if sock.fileno() >= 0 and sock.gettimeout() != 0.0:
                sock.close()  # it never came to be the connection's


def _token(data: bytes, path: selecting.Path | None) -> Any:
    """The value to go on from: a text or a number; None where a message has none, or one that cannot be kept."""
    if path is None:
        return None
    try:
        found = selecting.first(orjson.loads(data), path)
    except ValueError:
        return None
    if isinstance(found, str):
        return found if is_storable(found) else None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _closed(where: str, error: ConnectionClosed, limit: int) -> DashError:
    if isinstance(error.__cause__, PayloadTooBig) or (error.sent is not None and error.sent.code == 1009):
        return Permanent(f"{where}: a message is larger than {limit} bytes (max_bytes)")
    if error.rcvd is None:
        return Transient(f"{where}: the connection broke")
    reason = " ".join(error.rcvd.reason.split())[:200]
    message = f"{where}: the server closed the connection ({error.rcvd.code}{': ' + reason if reason else ''})"
    return Permanent(message) if error.rcvd.code in _REFUSED else Transient(message)


def _refused(where: str, error: InvalidStatus) -> DashError:
    status = error.response.status_code
    if 300 <= status < 400:
        return Permanent(f"{where} redirects; name the address that it redirects to")
    message = f"{where} answered {status} {error.response.reason_phrase[:60]}".rstrip()
    if status in _AGAIN or status >= 500:
        after = retry_after(error.response.headers.get("retry-after"), datetime.now(UTC))
        return Transient(message, retry_after=after)
    return Permanent(message)
