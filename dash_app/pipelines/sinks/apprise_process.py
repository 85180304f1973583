"""Processes that apprise runs in (`apprise_child`): one message at a time, and ended when it takes too long.

Starting one costs a second or two of work, so that one is kept for the next message, for a minute.
"""

from __future__ import annotations

import base64
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from dash_app.domain.errors import DashError, Transient
from dash_app.pipelines.reach import AddressNotAllowed, Reach
from dash_app.pipelines.sinks import apprise_child
from dash_app.pipelines.sinks.base import Busy, File

#: Messages that one process sends, and seconds that it waits for another; how many there are at once.
MOST_MESSAGES = 200
IDLE_SECONDS = 60.0
MOST_PROCESSES = 4
#: How long a process may take to be ready, in seconds.
START_SECONDS = 30.0
MOST_ANSWER = 1 << 20


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a message. `said`: what the service's plugin had to say; `refused`: what it was not let do."""

    sent: bool
    service: str
    unknown: bool
    said: Sequence[str]
    refused: str
    not_allowed: bool


class _Process:
    def __init__(self) -> None:
        self.messages = 0
        self._buffer = b""
        # By its path and isolated: nothing of Dash is imported, and nothing of our environment is there.
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-B", str(Path(apprise_child.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            cwd="/",
            close_fds=True,
        )
        self._selector = selectors.DefaultSelector()
        assert self._child.stdout is not None
        os.set_blocking(self._child.stdout.fileno(), False)
        self._selector.register(self._child.stdout, selectors.EVENT_READ)

    def begin(self) -> None:
        self._receive(time.monotonic() + START_SECONDS)

    def run(self, job: Mapping[str, Any], reach: Reach, timeout: float) -> Said:
        self.messages += 1
        until = time.monotonic() + timeout
        self._send(job)
        not_allowed, unresolved = "", ""
        while True:
            said = self._receive(until)
            if "resolve" not in said:
                break
            host, port = said["resolve"]
            try:
                self._send({"addresses": reach.addresses(str(host), int(port))})
            except AddressNotAllowed as error:
                not_allowed = not_allowed or error.message
                self._send({"refused": error.message})
            except DashError as error:
                unresolved = unresolved or error.message
                self._send({"refused": error.message})
        return Said(
            bool(said.get("sent")),
            str(said.get("service", "")),
            bool(said.get("unknown")),
            [str(one) for one in said.get("said", ())],
            not_allowed or unresolved or str(said.get("refused", "")) or str(said.get("broke", "")),
            bool(not_allowed),
        )

    def _send(self, document: Mapping[str, Any]) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(orjson.dumps(document) + b"\n")
            self._child.stdin.flush()
        except OSError as error:
            raise Transient("the process that sends has ended") from error

    def _receive(self, until: float) -> dict[str, Any]:
        assert self._child.stdout is not None
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise Transient("the service has not answered in time")
            piece = self._child.stdout.read()
            if not piece:
                raise Transient("the process that sends has ended")
            self._buffer += piece
            if len(self._buffer) > MOST_ANSWER:
                raise Transient("the service's answer is too long")
        line, _, self._buffer = self._buffer.partition(b"\n")
        said = orjson.loads(line)
        return said if isinstance(said, dict) else {}

    def end(self) -> None:
        self._child.kill()
        self._child.wait()
        self._selector.close()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                # What was still to be written to it goes with it.
                with suppress(OSError):
                    pipe.close()


class Processes:
    """At most so many processes; one that is free is kept for a while."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(MOST_PROCESSES)
        self._lock = threading.Lock()
        self._free: _Process | None = None
        self._timer: threading.Timer | None = None

    def send(
        self, reach: Reach, url: str, *, title: str, body: str, type: str, files: Sequence[File], timeout: float
    ) -> Said:
        """Sends one message through one of apprise's services. Raises Transient, and Busy where no place is free."""
        if not self._places.acquire(timeout=timeout):
            raise Busy("others are being sent; there is no place free")
        try:
            process = self._taken()
            try:
                job = {
                    "url": url,
                    "title": title,
                    "body": body,
                    "type": type,
                    "files": [
                        {
                            "name": one.name,
                            "content_type": one.content_type,
                            "data": base64.b64encode(one.data).decode(),
                        }
                        for one in files
                    ],
                }
                said = process.run(job, reach, timeout)
            except BaseException:
                process.end()
                raise
            self._give_back(process)
            return said
        finally:
            self._places.release()

    def _taken(self) -> _Process:
        with self._lock:
            kept, self._free = self._free, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if kept is not None:
            return kept
        made = _Process()
        try:
            made.begin()
        except BaseException:
            made.end()
            raise
        return made

    def _give_back(self, process: _Process) -> None:
        with self._lock:
            if self._free is None and process.messages < MOST_MESSAGES:
                self._free = process
                self._timer = threading.Timer(IDLE_SECONDS, self.close)
                self._timer.daemon = True
                self._timer.start()
                return
        process.end()

    def close(self) -> None:
        """Ends the one that is kept."""
        with self._lock:
            kept, self._free = self._free, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if kept is not None:
            kept.end()


#: Those of this process; none is started before the first message.
PROCESSES = Processes()
