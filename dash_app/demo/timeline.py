"""Which record is released when: a pure function of a dataset, a clock and the present moment.

A feed's history is moved in time as a whole, so that its last record falls on the clock's epoch. From there the same
records follow again from the first, one each `cadence_ms`, each with the time of its release. Records are numbered
from 0 without end; a cursor is the number of the next record to read, so nothing can come twice or be left out.

Time stands still for the feeds while the program is off for long (`Clock.pauses`), so that what has to be caught up
afterwards is bounded, and still no number is skipped. All times are milliseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Clock:
    """The feeds' time: it runs from `epoch_ms` and stands still in `pauses`, (start, end) pairs in order."""

    epoch_ms: int
    pauses: tuple[tuple[int, int], ...] = ()

    def elapsed(self, now_ms: int) -> int:
        """Running time since the epoch, pauses not counted; 0 before the epoch."""
        stood = sum(min(end, now_ms) - start for start, end in self.pauses if start < now_ms)
        return max(0, now_ms - self.epoch_ms - stood)

    def moment(self, elapsed_ms: int) -> int:
        """The first moment at which `elapsed` reaches `elapsed_ms`."""
        moment = self.epoch_ms + elapsed_ms
        for start, end in self.pauses:
            # Exactly at its start a pause has not yet cost anything.
            if moment > start:
                moment += end - start
        return moment


@dataclass(frozen=True, slots=True)
class Feed:
    """A dataset and how it is released.

    `offsets_ms` are the rows' times relative to the last row: never decreasing, the last one 0. `render` makes a record
    of (number, time in ms, row).
    """

    name: str
    note: str
    cadence_ms: int
    offsets_ms: tuple[int, ...]
    rows: tuple[Row, ...]
    render: Callable[[int, int, Row], Record]

    def __post_init__(self) -> None:
        if not self.rows or len(self.rows) != len(self.offsets_ms) or self.offsets_ms[-1] != 0 or self.cadence_ms <= 0:
            raise ValueError(
                f"feed {self.name}: rows with as many offsets, the last one 0, and a cadence above 0 are needed"
            )


def released_count(feed: Feed, clock: Clock, now_ms: int) -> int:
    """How many records have been released by `now_ms`: the whole history, and one for each cadence since."""
    return len(feed.rows) + clock.elapsed(now_ms) // feed.cadence_ms


def release_time(feed: Feed, clock: Clock, number: int) -> int:
    """The time of record `number`."""
    history = len(feed.rows)
    if number < history:
        return clock.epoch_ms + feed.offsets_ms[number]
    return clock.moment((number - history + 1) * feed.cadence_ms)


def released(feed: Feed, clock: Clock, now_ms: int, cursor: int, limit: int) -> tuple[list[Record], int]:
    """At most `limit` records from number `cursor` on that are out by `now_ms`, and the cursor for the next call.

    A cursor beyond what is out gives nothing and comes back unchanged. ValueError for a negative cursor or limit.
    """
    if cursor < 0 or limit < 0:
        raise ValueError("cursor and limit start at 0")
    end = max(cursor, min(cursor + limit, released_count(feed, clock, now_ms)))
    return render(feed, clock, cursor, end), end


def render(feed: Feed, clock: Clock, start: int, end: int) -> list[Record]:
    """Records `start` to `end` (not included), out or not: the same arguments always give the same records."""
    size = len(feed.rows)
    return [feed.render(n, release_time(feed, clock, n), feed.rows[n % size]) for n in range(start, end)]
