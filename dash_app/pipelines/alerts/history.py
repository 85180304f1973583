"""What a value is held against that lies in the past, and values of windows as silver answers them.

Both are the same for what is evaluated now and for what is tried over history.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean, stdev
from typing import Any
from zoneinfo import ZoneInfo

from dash_app.domain.alert_machine import Reference, percentile
from dash_app.domain.alerts import Condition
from dash_app.domain.specs import Measure, QuerySpec
from dash_app.pipelines.alerts.minutes import Group
from dash_app.pipelines.alerts.plan import Plan, Rule, condition_of
from dash_app.storage import silver_read
from dash_app.storage.silver_running import PATIENCE
from dash_app.storage.unit import Unit

HOUR = timedelta(hours=1)
WEEK = timedelta(weeks=1)
#: Fewer values than so many say nothing about what is usual.
FEWEST_OF_HOUR = 3
FEWEST_OF_PAST = 20
MOST_ROWS = 100_000


class Past:
    """Values of windows that lie side by side, of one series, in the order of time."""

    def __init__(self, rows: Sequence[tuple[datetime, float]]) -> None:
        self._times = [moment for moment, _ in rows]
        self._values = [value for _, value in rows]
        self._known = dict(rows)

    def at(self, moment: datetime) -> float | None:
        return self._known.get(moment)

    def between(self, first: datetime, last: datetime) -> list[float]:
        """Those that begin at `first` or later, and at `last` at the latest."""
        return self._values[bisect_left(self._times, first) : bisect_right(self._times, last)]

    def first_from(self, moment: datetime) -> datetime | None:
        place = bisect_left(self._times, moment)
        return self._times[place] if place < len(self._times) else None


def read_window(
    unit: Unit, plan: Plan, rule: Rule, start: datetime, end: datetime, *, patience: float = PATIENCE
) -> dict[Group, float | None]:
    """The rule's aggregate over start ≤ time < end, by group. Raises TooSlow after `patience` seconds."""
    answer = _read(unit, plan, rule, start, end, None, patience)
    return {tuple(row[:-1]): _number(row[-1]) for row in answer}


def read_past(
    unit: Unit, plan: Plan, rule: Rule, start: datetime, end: datetime, *, patience: float = PATIENCE
) -> dict[Group, list[tuple[datetime, float]]]:
    """The rule's aggregate over all windows side by side of start ≤ time < end, by group, in the order of time."""
    seconds = int(rule.spec.window.total_seconds())
    every = (seconds // 60, "m") if seconds % 60 == 0 else (seconds, "s")
    found: dict[Group, list[tuple[datetime, float]]] = {}
    for row in _read(unit, plan, rule, start, end, every, patience):
        value = _number(row[-1])
        if value is not None:
            found.setdefault(tuple(row[1:-1]), []).append((row[0], value))
    return found


def _read(
    unit: Unit,
    plan: Plan,
    rule: Rule,
    start: datetime,
    end: datetime,
    every: tuple[int, str] | None,
    patience: float,
) -> Iterable[tuple[Any, ...]]:
    condition, used = condition_of(rule.tree)
    spec = QuerySpec(
        pipeline="",
        select=(Measure("value", rule.measure.field, rule.measure.agg),),
        by=rule.by,
        every=every,
        start=start,
        end=end,
        where=None,
        limit=MOST_ROWS,
        timezone="UTC",
    )
    answer = silver_read.aggregates(unit, plan.versions, spec, plan.fields, condition, used, patience=patience)
    return answer.frame.iter_rows()


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def hour_of(moment: datetime) -> datetime:
    """The beginning of the hour that a moment lies in: what lies in the past is read once for each."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def past_hours(condition: Condition, hour: datetime, zone: str) -> list[datetime]:
    """The same hour of the weeks before, by the clock on the wall; the nearest first."""
    wall = hour.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return [
        (wall - week * WEEK).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for week in range(1, condition.weeks + 1)
    ]


def reach_of(condition: Condition, hour: datetime, zone: str) -> tuple[datetime, datetime] | None:
    """The stretch of time that a condition's past lies in for evaluations of an hour; None: it needs none."""
    if condition.type == "quantile":
        return hour - condition.over, hour
    if condition.type == "anomaly":
        hours = past_hours(condition, hour, zone)
        return min(hours), max(hours) + HOUR
    return None


def usual(condition: Condition, past: Past, hour: datetime, window: timedelta, zone: str, *, counts: bool) -> Reference:
    """What is usual for evaluations of an hour, from the windows of the past. `counts`: where there is nothing, that is
    a value too, namely none."""
    reach = reach_of(condition, hour, zone)
    if reach is None:
        return Reference()
    if condition.type == "quantile":
        values = past.between(reach[0], hour - window)
        return Reference(percentile(values, condition.quantile)) if len(values) >= FEWEST_OF_PAST else Reference()
    begun = past.first_from(reach[0])
    values = []
    for start in past_hours(condition, hour, zone):
        for number in range(int(HOUR / window)):
            moment = start + number * window
            value = past.at(moment)
            if value is not None:
                values.append(value)
            elif counts and begun is not None and moment >= begun:
                values.append(0.0)
    if len(values) < FEWEST_OF_HOUR:
        return Reference()
    return Reference(fmean(values), stdev(values))


def by_series(rule: Rule, values: Mapping[Group, Any]) -> dict[str, Any]:
    """What was read for a rule alone, by the names of its series."""
    return {rule.key(group): value for group, value in values.items()}
