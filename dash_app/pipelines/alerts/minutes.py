"""Aggregates over windows, put together from minutes that are held in memory.

Rules of one shape (a pipeline, a condition, the columns of its groups) share what is held: each look reads the minutes
that something has touched, whatever the number of rules, of windows and of aggregates.

At a moment between two whole minutes a window of w minutes is the minute that runs and the w − 1 before it, and the
one before those in part: `count` and `sum` take the share of it that still lies within (a count is rounded up, so that
a single record is not half of one), `avg`, `min`, `max`, `first` and `last` take all of it. At whole minutes it is the
w minutes that are over, exactly; and that is what history is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

from dash_app.domain.specs import Measure

#: Aggregates that minutes can be put together to.
MERGED = ("count", "sum", "avg", "min", "max", "first", "last")
#: What each needs of its field.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "count": ("count",),
    "sum": ("count", "sum"),
    "avg": ("count", "sum"),
    "min": ("min",),
    "max": ("max",),
    "first": ("first",),
    "last": ("last",),
}

#: The values of the columns that a group is named by.
Group = tuple[Any, ...]
States = tuple[Any, ...]
_Inside = tuple[Measure, int, int]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are read for the aggregates of a shape, and where each stands."""

    select: tuple[Measure, ...]
    places: Mapping[tuple[str | None, str], int]

    @classmethod
    def of(cls, measures: Iterable[Measure]) -> Columns:
        wanted: dict[tuple[str | None, str], None] = {(None, "count"): None}
        for one in measures:
            wanted |= {(one.field, need): None for need in _NEEDS[str(one.agg)]}
        select = tuple(Measure(f"s{number}", field, agg) for number, (field, agg) in enumerate(wanted))
        return cls(select, {key: number for number, key in enumerate(wanted)})


def minute_of(moment: datetime) -> int:
    """The number of the minute that a moment lies in, counted from 1970."""
    return int(moment.timestamp() // 60)


def moment_of(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


class Minutes:
    """The states of groups by minute, and windows over them."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._rows: dict[int, dict[Group, States]] = {}
        #: Merged insides of windows, by aggregate, width and the minute that ran; those that were asked for lately.
        self._insides: dict[_Inside, dict[Group, Any]] = {}
        self._used: set[_Inside] = set()

    def put(self, low: int, high: int, rows: Iterable[Sequence[Any]], width: int) -> None:
        """Replaces the minutes low ≤ minute < high by what was read of them: rows of time, `width` columns of the
        group, and the states."""
        for minute in range(low, high):
            self._rows.pop(minute, None)
        for row in rows:
            group, states = tuple(row[1 : 1 + width]), tuple(row[1 + width :])
            self._rows.setdefault(minute_of(row[0]), {})[group] = states
        # Insides end before the running minute: what was read of it alone leaves them as they are.
        self._insides = {
            key: inside for key, inside in self._insides.items() if low >= key[2] or high <= key[2] - key[1] + 1
        }

    def forget(self, before: int) -> None:
        """Lets go of minutes before this one, and of what nobody has asked for since the last time."""
        for minute in [minute for minute in self._rows if minute < before]:
            del self._rows[minute]
        self._insides = {key: inside for key, inside in self._insides.items() if key in self._used}
        self._used.clear()

    def values(self, measure: Measure, minutes: int, at: datetime, *, over: bool = False) -> dict[Group, float | None]:
        """An aggregate over a window of so many minutes, by group; groups without a record in it are missing.

        `over`: `at` lies in the past, where no minute runs: the window ends with the last whole minute before it.
        """
        seconds = at.timestamp() // 60 * 60 if over else at.timestamp()
        running = int(seconds // 60)
        share = 1.0 - (seconds - running * 60) / 60
        agg = str(measure.agg)
        found = dict(self._inside(measure, minutes, running))
        # In the order of time, so that first and last are what they say.
        edge = self._rows.get(running - minutes)
        if edge:
            for group, states in edge.items():
                before = partial(self.columns, measure, states, share)
                found[group] = merged(agg, before, found[group]) if group in found else before
        now = None if over else self._rows.get(running)
        if now:
            for group, states in now.items():
                after = partial(self.columns, measure, states, 1.0)
                found[group] = merged(agg, found[group], after) if group in found else after
        return {group: finished(agg, part) for group, part in found.items()}

    def _inside(self, measure: Measure, minutes: int, running: int) -> dict[Group, Any]:
        """The whole minutes of a window without its first one, merged: they change once a minute."""
        key = (measure, minutes, running)
        self._used.add(key)
        inside = self._insides.get(key)
        if inside is not None:
            return inside
        inside, agg = {}, str(measure.agg)
        for minute in range(running - minutes + 1, running):
            for group, states in self._rows.get(minute, {}).items():
                part = partial(self.columns, measure, states, 1.0)
                inside[group] = merged(agg, inside[group], part) if group in inside else part
        self._insides[key] = inside
        return inside


def partial(columns: Columns, measure: Measure, states: Sequence[Any], share: float) -> Any:
    """A minute's states as a part of one aggregate, of which a share is taken; None where it has nothing of it."""
    places, field, agg = columns.places, measure.field, str(measure.agg)
    if agg == "count":
        count = states[places[field, "count"]]
        return count if share == 1.0 else ceil(count * share)
    if agg == "sum":
        count, total = states[places[field, "count"]], states[places[field, "sum"]]
        return (count, (total or 0.0) * share)
    if agg == "avg":
        return (states[places[field, "count"]], states[places[field, "sum"]] or 0.0)
    return states[places[field, agg]]


def merged(agg: str, before: Any, after: Any) -> Any:
    """Two parts of an aggregate as one; the first comes before the second in time."""
    if agg == "count":
        return before + after
    if agg in ("sum", "avg"):
        return (before[0] + after[0], before[1] + after[1])
    if before is None or after is None:
        return after if before is None else before
    if agg == "min":
        return min(before, after)
    if agg == "max":
        return max(before, after)
    return before if agg == "first" else after


def finished(agg: str, part: Any) -> float | None:
    """The value that a part stands for."""
    if part is None:
        return None
    if agg == "count":
        return float(part)
    if agg == "sum":
        return float(part[1]) if part[0] else None
    if agg == "avg":
        return part[1] / part[0] if part[0] else None
    return float(part)
