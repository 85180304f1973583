"""How much may come in a second: one bucket of tokens for each name, in the memory of this process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from dash_app.domain.errors import TooManyRequests

_MOST_KNOWN = 20_000

Key = TypeVar("Key")


class Rates(Generic[Key]):
    """Buckets by key. A bucket holds what may come in a second, and no less than one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[Key, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Key, per_second: float) -> None:
        """Takes one of `per_second`; TooManyRequests, with the seconds until the next one, where there is none."""
        now = self._clock()
        most = max(per_second, 1.0)
        with self._lock:
            left, at = self._buckets.pop(key, (most, now))
            left = min(most, left + (now - at) * per_second)
            fits = left >= 1.0
            self._buckets[key] = (left - 1.0 if fits else left, now)
            if len(self._buckets) > _MOST_KNOWN:
                self._buckets.popitem(last=False)
        if not fits:
            raise TooManyRequests(
                f"more than {per_second:g} a second are sent to this webhook", retry_after=(1.0 - left) / per_second
            )
