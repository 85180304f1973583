"""Work that must not take longer than it may, whatever it is held up by."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from dash_app.domain.errors import Transient

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Work is left behind so long after its time is over; what is run keeps to its time itself as far as it can.
GRACE_SECONDS = 1.0
#: With so much left behind the process ends in an orderly way, and is started anew.
MOST_LEFT_BEHIND = 32


class Bounds:
    """Runs work on threads of its own, and leaves behind what does not end in time."""

    def __init__(self, most: int = MOST_LEFT_BEHIND) -> None:
        self._most = most
        self._left = 0
        self._lock = threading.Lock()

    def run(self, what: Callable[[], T], seconds: float) -> T:
        """What `what` answers or raises. Transient where it has not ended `seconds` (and a moment) later."""
        ended: list[T] = []
        failed: list[BaseException] = []
        done = threading.Event()
        left = threading.Event()

        def run() -> None:
            try:
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
                self._look()
                raise Transient(f"no end within {seconds:g} s")
        if failed:
            raise failed[0]
        return ended[0]

    def _look(self) -> None:
        if self._left >= self._most:
            log.error("bounds.too_many_left_behind", most=self._most)
            os.kill(os.getpid(), signal.SIGTERM)
