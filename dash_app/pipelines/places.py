"""Places for what people may have done at once: so many for each team, and so many for all of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from dash_app.domain.errors import TooManyRequests


class Places:
    """Places of one process. `team`, `everybody`: how many each team has, and all teams together; `taken`: what is
    said to whoever finds none."""

    def __init__(self, team: int, everybody: int, taken: str) -> None:
        self._team, self._everybody, self._said = team, everybody, taken
        self._lock = threading.Lock()
        self._taken: Counter[UUID] = Counter()

    @property
    def free(self) -> bool:
        """Whether nobody has one."""
        return not self._taken

    @contextmanager
    def take(self, team: UUID) -> Iterator[None]:
        """A place until the end of the block. Raises TooManyRequests where there is none."""
        with self._lock:
            if self._taken[team] >= self._team or self._taken.total() >= self._everybody:
                raise TooManyRequests(self._said, retry_after=5)
            self._taken[team] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[team] -= 1
                if not self._taken[team]:
                    del self._taken[team]
