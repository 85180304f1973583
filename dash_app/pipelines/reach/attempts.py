"""The connections of one attempt, cut together when its time is over.

Limits on single reads and writes do not bound an attempt: it may have several requests, and the other side may take its
time over each. So whatever reaches out within `Attempt.running` has its connections held by the attempt, and `cut` ends
them all, whichever thread waits for them: what waits there fails at once, and closes what it had open as after any
other failure. Nothing is connected and nothing sent for an attempt that was cut.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

import httpcore

_OVER = "the attempt is over"
_current: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


class Attempt:
    """One attempt; made by whoever bounds it, and run on a thread that may be left behind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = False
        #: Handles of our own: none can come to stand for something else that is opened meanwhile.
        self._lines: list[socket.socket] = []
        #: Connections of a pool, which another attempt may have taken over since.
        self._streams: list[AttemptStream] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """What this thread connects to meanwhile belongs to the attempt."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)
            with self._lock:
                lines, self._lines, self._streams = self._lines, [], []
                for line in lines:
                    line.close()

    def cut(self) -> None:
        """Ends all connections that the attempt has and any that it will make."""
        with self._lock:
            self._over = True
            for line in self._lines:
                _shut(line)
            for stream in self._streams:
                stream.cut(self)

    def check(self) -> None:
        """TimeoutError where the attempt is over."""
        if self._over:
            raise TimeoutError(_OVER)

    def hold(self, connected: socket.socket) -> socket.socket:
        """Holds a socket that was connected for this attempt, and answers the handle on it.

        TimeoutError, and the socket is closed, where the attempt is over.
        """
        with self._lock:
            if not self._over:
                self._lines.append(line := socket.socket(fileno=os.dup(connected.fileno())))
                return line
        connected.close()
        raise TimeoutError(_OVER)

    def let_go(self, line: socket.socket | None) -> None:
        """Holds no longer what `hold` answered."""
        with self._lock:
            if line is not None and line in self._lines:
                self._lines.remove(line)
                line.close()

    def use(self, stream: AttemptStream) -> None:
        """A pool's connection on which this attempt sends something; TimeoutError where the attempt is over."""
        with self._lock:
            self.check()
            stream.user = self
            if stream not in self._streams:
                self._streams.append(stream)


def current() -> Attempt | None:
    """The attempt that this thread works on."""
    return _current.get()


class AttemptStream(httpcore.NetworkStream):
    """A connection of a pool that is cut with the attempt that last sent something on it."""

    user: Attempt | None = None

    def belongs(self) -> None:
        """From now on this is the connection of the attempt that this thread works on, where there is one."""
        attempt = current()
        if attempt is None:
            self.user = None
            return
        try:
            attempt.use(self)
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error

    @contextmanager
    def shaking_hands(self) -> Iterator[None]:
        """Meanwhile the socket becomes another object's, which nobody knows until it is encrypted."""
        attempt, line = current(), self.get_extra_info("socket")
        held = attempt.hold(line) if attempt is not None and isinstance(line, socket.socket) else None
        try:
            yield
        finally:
            if attempt is not None:
                attempt.let_go(held)

    def cut(self, attempt: Attempt) -> None:
        """Ends the connection, unless another attempt uses it by now."""
        if self.user is attempt and isinstance(line := self.get_extra_info("socket"), socket.socket):
            _shut(line)


def _shut(line: socket.socket) -> None:
    # Of the connection itself: an encrypted one would first forget that it is encrypted, under its reader's hands.
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)
