"""The values of a rule's windows over history, for as many moments as are asked for.

Where an aggregate can be put together from minutes, windows slide over these, at the cost of one merge each however
wide they are. Everything else is computed from records.
"""

from __future__ import annotations

import statistics
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from dash_app.domain.alert_machine import percentile
from dash_app.domain.errors import Invalid
from dash_app.domain.query import TooSlow
from dash_app.domain.specs import FieldSpec, QuerySpec
from dash_app.pipelines.alerts.minutes import Columns, Group, finished, merged, minute_of, moment_of, partial
from dash_app.pipelines.alerts.plan import MINUTE, Plan, Rule, condition_of
from dash_app.storage import silver_read
from dash_app.storage.silver_columns import SYSTEM
from dash_app.storage.silver_running import PATIENCE
from dash_app.storage.unit import Unit

#: Minutes of all series together that are held.
MOST_MINUTES = 500_000
MOST_SERIES = 200
MOST_RECORDS = 300_000
ROWS_AT_ONCE = 100_000
SHORTEST_STEP = timedelta(seconds=10)


class Deadline:
    """When a trial has to be over: its reads are granted what is left, and none is begun after it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds for the next read. Raises TooSlow where there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TooSlow(f"the rule could not be tried within {self._seconds:g} s; a shorter range helps")
        return min(left, PATIENCE)

    def check(self) -> None:
        """Raises TooSlow where no time is left."""
        _ = self.left


class Source:
    """Values of windows that end at any of the moments that are tried."""

    series: dict[str, Any]
    truncated = False
    #: The least time between two moments that makes sense.
    least = MINUTE

    def values(self, key: str, moments: Sequence[datetime]) -> Iterator[float | None]:
        raise NotImplementedError


class ByMinute(Source):
    """From states of minutes, which the rollups have wherever they can."""

    def __init__(self, unit: Unit, plan: Plan, rule: Rule, start: datetime, end: datetime, deadline: Deadline) -> None:
        self.rule = rule
        self.first = minute_of(start) - rule.minutes - int(rule.over / MINUTE)
        self.last = minute_of(end)
        columns = Columns.of([rule.measure])
        count = self.last - self.first
        self.series = {}
        width = len(rule.by)
        for row in _chunks(unit, plan, rule, columns, moment_of(self.first), moment_of(self.last), deadline):
            key = rule.key(tuple(row[1 : 1 + width]))
            parts = self.series.get(key)
            if parts is None:
                if (len(self.series) + 1) * count > MOST_MINUTES or len(self.series) >= MOST_SERIES:
                    self.truncated = True
                    continue
                parts = self.series[key] = [None] * count
            parts[minute_of(row[0]) - self.first] = partial(columns, rule.measure, row[1 + width :], 1.0)
        self._windows = {}
        for key, parts in self.series.items():
            deadline.check()
            self._windows[key] = slid(str(rule.measure.agg), parts, rule.minutes)

    def values(self, key: str, moments: Sequence[datetime]) -> Iterator[float | None]:
        windows, agg = self._windows[key], str(self.rule.measure.agg)
        for moment in moments:
            place = minute_of(moment) - self.first
            part = windows[place] if 0 <= place < len(windows) else None
            yield None if part is None else finished(agg, part)


def slid(agg: str, parts: Sequence[Any], width: int) -> list[Any]:
    """At each place the merged parts of the `width` before it; None where there are none.

    Blocks of `width` are merged from their beginnings and from their ends: every window is the end of one block and the
    beginning of the next, so that it costs one merge however wide it is.
    """
    count = len(parts)
    heads: list[Any] = [None] * (count + 1)
    tails: list[Any] = [None] * (count + 1)
    for place in range(count):
        heads[place + 1] = _both(agg, None if place % width == 0 else heads[place], parts[place])
    for place in range(count - 1, -1, -1):
        tails[place] = _both(agg, parts[place], None if (place + 1) % width == 0 else tails[place + 1])
    windows: list[Any] = [None] * (count + 1)
    for place in range(1, count + 1):
        begin = max(place - width, 0)
        if begin % width == 0:
            windows[place] = heads[place] if place - begin == width or begin == 0 else tails[begin]
        else:
            windows[place] = _both(agg, tails[begin], heads[place])
    return windows


def _both(agg: str, before: Any, after: Any) -> Any:
    if before is None or after is None:
        return after if before is None else before
    return merged(agg, before, after)


def _chunks(
    unit: Unit, plan: Plan, rule: Rule, columns: Columns, start: datetime, end: datetime, deadline: Deadline
) -> Iterator[tuple[Any, ...]]:
    """Rows by the minute, in the order of time, read a stretch at a time."""
    condition, used = condition_of(rule.tree)
    length = timedelta(days=2)
    while start < end:
        until = min(start + length, end)
        spec = QuerySpec(
            pipeline="",
            select=columns.select,
            by=rule.by,
            every=(1, "m"),
            start=start,
            end=until,
            where=None,
            limit=ROWS_AT_ONCE,
            timezone="UTC",
        )
        answer = silver_read.aggregates(unit, plan.versions, spec, plan.fields, condition, used, patience=deadline.left)
        if answer.truncated and until - start > MINUTE:
            length = max((until - start) / 2 // MINUTE * MINUTE, MINUTE)
            continue
        yield from answer.frame.iter_rows()
        start = until


class ByRecord(Source):
    """From the records themselves."""

    def __init__(self, unit: Unit, plan: Plan, rule: Rule, start: datetime, end: datetime, deadline: Deadline) -> None:
        self.rule = rule
        self.window = rule.spec.window
        self.least = max(SHORTEST_STEP, min(MINUTE, self.window / 2))
        rows = sorted(
            _records(unit, plan, rule, start - self.window - rule.over, end, deadline),
            key=lambda row: (row[0], row[-1]),
        )
        self.series = {}
        for moment, group, value, _ in rows:
            key = rule.key(group)
            if key not in self.series and len(self.series) >= MOST_SERIES:
                self.truncated = True
                continue
            times, values = self.series.setdefault(key, ([], []))
            times.append(moment)
            values.append(value)

    def values(self, key: str, moments: Sequence[datetime]) -> Iterator[float | None]:
        times, values = self.series[key]
        agg = str(self.rule.measure.agg)
        low = high = 0
        for moment in moments:
            low = bisect_left(times, moment - self.window, low)
            high = bisect_left(times, moment, max(low, high))
            yield whole(agg, self.rule.measure.field, values[low:high])


def whole(agg: str, field_name: str | None, values: Sequence[Any]) -> float | None:
    """An aggregate of records, as PostgreSQL has it."""
    if agg == "count" and field_name is None:
        return float(len(values)) if values else None
    found = [value for value in values if value is not None]
    if not values:
        return None
    match agg:
        case "count":
            return float(len(found))
        case "count_distinct":
            return float(len(set(found)))
    if not found:
        return None
    match agg:
        case "sum":
            return float(sum(found))
        case "avg":
            return float(statistics.fmean(found))
        case "min":
            return float(min(found))
        case "max":
            return float(max(found))
        case "first":
            return float(found[0])
        case "last":
            return float(found[-1])
        case "stddev":
            return statistics.stdev(found) if len(found) > 1 else None
        case "median":
            return percentile(found, 0.5)
    return percentile(found, {"p90": 0.9, "p95": 0.95, "p99": 0.99}[agg])


def _records(
    unit: Unit, plan: Plan, rule: Rule, start: datetime, end: datetime, deadline: Deadline
) -> Iterator[tuple[datetime, Group, Any, tuple[int, int]]]:
    """(time, group, value, place) of the records that the rule looks at."""
    condition, _ = condition_of(rule.tree)
    wanted: list[FieldSpec] = [SYSTEM["_time"], SYSTEM["_payload"], SYSTEM["_index"]]
    wanted += [plan.fields[name] for name in rule.by]
    name = rule.measure.field
    wanted.append(SYSTEM["_payload"] if name is None else SYSTEM.get(name) or plan.fields[name])
    width, total = len(rule.by), 0
    length = timedelta(days=7)
    while start < end:
        until = min(start + length, end)
        answer = silver_read.latest(
            unit,
            plan.versions,
            ROWS_AT_ONCE,
            columns=wanted,
            start=start,
            end=until,
            condition=condition,
            patience=deadline.left,
        )
        count = answer.frame.height
        if count >= ROWS_AT_ONCE and until - start > MINUTE:
            length = (until - start) / 2
            continue
        total += count
        if total > MOST_RECORDS or count >= ROWS_AT_ONCE:
            raise Invalid(
                problems=[("from", f"more than {MOST_RECORDS:,} records would have to be read; take a shorter range")]
            )
        for row in answer.frame.iter_rows():
            yield row[0], tuple(row[3 : 3 + width]), row[-1], (row[1], row[2])
        start = until
