"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(what: Callable[[], T], seconds: float = 60, why: str = "") -> T:
    """What `what` answers, as soon as that is true; fails after `seconds`, which a healthy run never comes near."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while not (got := what()):
        assert time.monotonic() < deadline, f"waited in vain {why}".rstrip()
        # Returns at once on a signal that is waited for, of which there is none.
        signal.sigtimedwait([], pause)
        pause = min(pause * 1.5, 0.2)
    return got
