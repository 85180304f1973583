"""Buckets of time, as people in a place see them: five minutes, a day in Oslo, a month.

A bucket is named by the instant it begins at. Seconds, minutes and hours are aligned with the clock on the wall of the
zone, days begin at its midnight, weeks on Monday, months and years on their first day. Where the clock jumps, a bucket
is shorter or longer and never lost: an hour that comes twice is two buckets of an hour, and one bucket of a day that
has 25.

All of it is decided here, in Python; the database gets instants and compares them. So there is one rule, and one list
of zones, for queries, live updates and tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from math import gcd
from zoneinfo import ZoneInfo

from dash_app.domain.errors import Invalid

#: Seconds of the units that have a fixed length, and of days and weeks where no clock jumps.
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

#: More edges than this are refused: a chart of them shows nothing, and the database would hold them all.
MOST_EDGES = 100_000

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a time on the wall
#: Longer ranges are not searched for changes of the clock day by day.
_LONG = timedelta(days=150 * 366)
_UTC = ZoneInfo("UTC")
_UTC_EPOCH = _EPOCH.replace(tzinfo=UTC)
_MONDAY = datetime(1970, 1, 5)  # noqa: DTZ001 - a time on the wall

#: Grains of rollups by number, in seconds: none (the records), minute, hour, day. Their buckets are UTC's.
GRAINS = (0, 60, 3600, 86_400)

Piece = tuple[int, datetime, datetime]


@dataclass(frozen=True, slots=True)
class Grid:
    """Buckets of `count` × `unit` (s m h d w M y) on the clock of `zone`."""

    count: int
    unit: str
    zone: tzinfo

    def floor(self, moment: datetime) -> datetime:
        """Beginning (UTC) of the bucket that `moment` is in."""
        local = moment.astimezone(self.zone)
        wall = local.replace(tzinfo=None, fold=0)
        begin = self._wall_floor(wall)
        first = self._instant(begin)
        if self.unit in "smh":
            exact = moment.astimezone(UTC) - (wall - begin)
            # A jump by a multiple of the bucket moves no edge: both rounds of a repeated hour keep their own buckets.
            if (exact - first) % timedelta(seconds=self._seconds) == timedelta():
                return exact
        return first

    def after(self, moment: datetime) -> datetime:
        """Beginning (UTC) of the first bucket that begins at `moment` or later."""
        return next(edge for edge in self._from(moment) if edge >= moment)

    def edges(self, start: datetime, end: datetime) -> list[datetime]:
        """Beginnings (UTC) of all buckets that touch [start, end), ascending; the first is at or before `start`.

        Raises Invalid where there are more than `MOST_EDGES`.
        """
        found: list[datetime] = []
        for edge in self._from(start):
            if edge >= end and found:
                break
            found.append(edge)
            if len(found) > MOST_EDGES:
                raise Invalid(
                    problems=[
                        (
                            "every",
                            f"more than {MOST_EDGES:,} buckets between from and to; take wider ones or a shorter range",
                        )
                    ]
                )
        return found

    def uniform(self, start: datetime, end: datetime) -> tuple[int, datetime] | None:
        """(seconds, beginning of the first bucket) where all buckets of [start, end) are as long; None elsewhere."""
        if self.unit not in SECONDS:
            return None
        step = self._seconds
        origin = self.floor(start)
        if end - origin > _LONG and self.zone != _UTC:
            return None
        modulus = step if self.unit in "smh" else 10**9
        offsets = {_offset(moment.astimezone(self.zone)) % modulus for moment in _days(origin, end)}
        return (step, origin) if len(offsets) == 1 else None

    def grain(self, start: datetime, end: datetime) -> int:
        """The coarsest rollup grain whose buckets never lie across an edge inside [start, end): 0 where none is."""
        even = self.uniform(start, end)
        return common_grain(even, () if even else self.edges(start, end))

    @property
    def _seconds(self) -> int:
        return self.count * SECONDS[self.unit]

    def _instant(self, wall: datetime) -> datetime:
        # fold=0: the first of two, and for a wall time that is skipped the instant of the jump.
        return wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)

    def _wall_floor(self, wall: datetime) -> datetime:
        if self.unit == "M":
            month = (wall.year * 12 + wall.month - 1) // self.count * self.count
            return datetime(max(month // 12, 1), month % 12 + 1, 1)  # noqa: DTZ001 - a time on the wall
        if self.unit == "y":
            return datetime(max(wall.year // self.count * self.count, 1), 1, 1)  # noqa: DTZ001 - a time on the wall
        origin = _MONDAY if self.unit == "w" else _EPOCH
        return wall - (wall - origin) % timedelta(seconds=self._seconds)

    def _wall_next(self, wall: datetime) -> datetime:
        if self.unit in "My":
            month = wall.year * 12 + wall.month - 1 + self.count * (12 if self.unit == "y" else 1)
            return datetime(month // 12, month % 12 + 1, 1)  # noqa: DTZ001 - a time on the wall
        return wall + timedelta(seconds=self._seconds)

    def _from(self, start: datetime) -> Iterator[datetime]:
        edge = self.floor(start)
        if self.unit in "smh":
            step = timedelta(seconds=self._seconds)
            while True:
                yield edge
                probe = edge + step
                # Where the clock went back this bucket is longer than the others.
                while (following := self.floor(probe)) <= edge:
                    probe += step
                edge = following
        wall = self._wall_floor(start.astimezone(self.zone).replace(tzinfo=None, fold=0))
        yield edge
        while True:
            wall = self._wall_next(wall)
            following = self._instant(wall)
            if following > edge:  # a day that a zone left out has no length
                edge = following
                yield edge


def common_grain(even: tuple[int, datetime] | None, edges: Sequence[datetime]) -> int:
    """The coarsest grain whose buckets lie across none of these edges but the first; `even` is `Grid.uniform`'s."""
    step = 0
    if even:
        step = gcd(even[0], int(even[1].timestamp()))
    for edge in edges[1:]:
        step = gcd(step, int(edge.timestamp()))
    return max(number for number, seconds in enumerate(GRAINS) if number == 0 or step % seconds == 0)


def pieces(start: datetime, end: datetime, grain: int) -> list[Piece]:
    """[start, end) cut into (grain, from, to), ascending, without gap or overlap: days in the middle, hours and minutes
    towards the ends, records (grain 0) where not even a minute fits; nothing coarser than `grain`."""
    if start >= end:
        return []
    if grain == 0:
        return [(0, start, end)]
    step = timedelta(seconds=GRAINS[grain])
    first = start + (_UTC_EPOCH - start) % step
    last = end - (end - _UTC_EPOCH) % step
    if first >= last:
        return pieces(start, end, grain - 1)
    return [*pieces(start, first, grain - 1), (grain, first, last), *pieces(last, end, grain - 1)]


def _offset(local: datetime) -> float:
    offset = local.utcoffset()
    return offset.total_seconds() if offset else 0.0


def _days(start: datetime, end: datetime) -> Iterator[datetime]:
    # No zone changes its clock twice within a day, so that a look a day sees every change.
    moment = start
    while moment < end:
        yield moment
        moment += timedelta(days=1)
    yield end
