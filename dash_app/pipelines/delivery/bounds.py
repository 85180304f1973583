"""Work that must not take longer than it may, whatever it is held up by."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from dash_app.domain.errors import TooManyRequests, Transient
from dash_app.pipelines.reach.attempts import Attempt

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Work is left behind so long after its time is over; what is run keeps to its time itself as far as it can.
GRACE_SECONDS = 1.0
#: With so much left behind a worker ends in an orderly way, and is started anew; a node refuses more.
MOST_LEFT_BEHIND = 32


class Bounds:
    """Runs work on threads of its own, and leaves behind what does not end in time, with its connections cut.

    `ends_process`: with `most` left behind the process is told to end, which only a worker may be, since it is started
    anew at once and has nobody connected. Anything else refuses more work until some of it has ended.
    """

    def __init__(self, most: int = MOST_LEFT_BEHIND, *, ends_process: bool = False) -> None:
        self._most = most
        self._ends_process = ends_process
        self._left = 0
        self._lock = threading.Lock()

    def run(self, what: Callable[[], T], seconds: float) -> T:
        """What `what` answers or raises. Transient where it has not ended `seconds` (and a moment) later;
        TooManyRequests, before it is begun, where too much is left behind."""
        self.check()
        ended: list[T] = []
        failed: list[BaseException] = []
        done = threading.Event()
        left = threading.Event()
        attempt = Attempt()

        def run() -> None:
            try:
                with attempt.running():
                    ended.append(what())
            except BaseException as error:
                failed.append(error)
            with self._lock:
                done.set()
                if left.is_set():
                    self._left -= 1

        threading.Thread(target=run, name="bounded", daemon=True).start()
        if not done.wait(seconds + GRACE_SECONDS):
            with self._lock:
                if not done.is_set():
                    left.set()
                    self._left += 1
            if left.is_set():
                attempt.cut()
                self._look()
                raise Transient(f"no end within {seconds:g} s")
        if failed:
            raise failed[0]
        return ended[0]

    def check(self) -> None:
        """Raises TooManyRequests where no more may be begun."""
        if not self._ends_process and self._left >= self._most:
            raise TooManyRequests(
                f"{self._most} attempts that were given up have not ended yet; wait for their end", retry_after=30
            )

    def _look(self) -> None:
        if self._ends_process and self._left >= self._most:
            log.error("bounds.too_many_left_behind", most=self._most)
            os.kill(os.getpid(), signal.SIGTERM)


#: Of all tests that people ask for in this process.
TESTS = Bounds()
