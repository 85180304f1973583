"""A receiver of webhooks on the loopback that behaves as badly as it is told to, and notes all that it gets.

Answers are chosen by `behave(id, count)`, where `count` is how often this id has come, with this time. Connections are
kept open between requests wherever the answer allows it.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behave = Callable[[str, int], str]

#: What can be answered: statuses, with a Retry-After behind a colon; no answer at all; a slow or a huge one; a reset.
OK = "200"
HANG, DRIP, HUGE, RESET, HALF = "hang", "drip", "huge", "reset", "half"
HUGE_BYTES = 20 << 20


@dataclass
class Got:
    """One request."""

    id: str
    headers: dict[str, str]
    body: bytes
    behaved: str
    path: str = "/"


@dataclass
class Receiver:
    """What has come. `port` on 127.0.0.1."""

    port: int
    behave: Behave
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _counts: Counter[str] = field(default_factory=Counter)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def note(self, headers: dict[str, str], body: bytes, path: str) -> str:
        """Notes a request and answers how to behave."""
        id = headers.get("webhook-id", "")
        with self._lock:
            self._counts[id] += 1
            behaved = self.behave(id, self._counts[id])
            self.got.append(Got(id, headers, body, behaved, path))
        return behaved

    def accepted(self) -> dict[str, list[Got]]:
        """What was answered with success, by id."""
        found: dict[str, list[Got]] = defaultdict(list)
        with self._lock:
            for one in self.got:
                if one.behaved in (OK, HUGE, HALF):
                    found[one.id].append(one)
        return found

    def count(self) -> int:
        with self._lock:
            return len(self.got)


@contextmanager
def receiver(behave: Behave = lambda id, count: OK) -> Iterator[Receiver]:
    """Listens until the end of the block; every connection is closed then."""
    server = socket.create_server(("127.0.0.1", 0), backlog=200)
    made = Receiver(server.getsockname()[1], behave)
    sockets: set[socket.socket] = set()

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            sockets.add(connection)
            made.connections += 1
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError, ValueError):
            stream = connection.makefile("rb")
            while (request := _read(stream)) is not None:
                if not _answer(made, connection, made.note(*request)):
                    break
        with suppress(OSError):
            connection.close()
        sockets.discard(connection)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield made
    finally:
        made.closing.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        for connection in list(sockets):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()


def _read(stream) -> tuple[dict[str, str], bytes, str] | None:  # type: ignore[no-untyped-def]
    """The next request; None where there is none, or only a part of one: whoever sent it was killed on the way."""
    first = stream.readline()
    if not first.strip():
        return None
    headers: dict[str, str] = {}
    while (line := stream.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    body = stream.read(length)
    if not line or len(body) < length:
        return None
    return headers, body, first.split()[1].decode("latin-1")


def _answer(made: Receiver, connection: socket.socket, behaved: str) -> bool:
    """Whether the connection goes on."""
    if behaved == HANG:
        # Until the other side has had enough.
        connection.settimeout(60)
        return bool(connection.recv(1)) and False
    if behaved == RESET:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if behaved == DRIP:
        for byte in b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 600:
            connection.sendall(bytes([byte]))
            if made.closing.wait(0.1):
                break
        return False
    if behaved == HUGE:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % HUGE_BYTES)
        for _ in range(HUGE_BYTES >> 16):
            connection.sendall(b"x" * (1 << 16))
        return True
    if behaved == HALF:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf of it")
        return False
    status, _, after = behaved.partition(":")
    more = f"retry-after: {after}\r\n" if after else ""
    body = f"said {status}".encode()
    connection.sendall(f"HTTP/1.1 {status} X\r\n{more}content-length: {len(body)}\r\n\r\n".encode() + body)
    return True
