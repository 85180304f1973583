"""A rule tried over history: when it would have fired, by the machine that evaluates it now, on the same data.

The history is read in chunks, one query each, as states of minutes; windows over them slide in memory. Only what
minutes cannot be put together to (percentiles, distinct values, windows of seconds) is read as records. Evaluations lie
a `step` apart, one minute where that is not too many; at such moments live evaluation sees the same windows, so that
both agree to a step on what was there to be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from dash_app.domain import ids
from dash_app.domain.alert_machine import Reference, State, finite, judge, step
from dash_app.domain.alerts import AlertSpec, read_series
from dash_app.domain.errors import Invalid
from dash_app.domain.specs import Pipeline
from dash_app.pipelines.alerts import history as alert_history
from dash_app.pipelines.alerts import setup as alert_setup
from dash_app.pipelines.alerts.backtest_values import ByMinute, ByRecord, Deadline, Source
from dash_app.pipelines.alerts.history import Past
from dash_app.pipelines.alerts.minutes import MERGED, minute_of, moment_of
from dash_app.pipelines.alerts.plan import MINUTE, Plan, Rule, compile_rules
from dash_app.pipelines.places import Places
from dash_app.storage import catalog
from dash_app.storage.alert_turns import StoredRule
from dash_app.storage.unit import Unit

DEFAULT_RANGE = timedelta(days=30)
LONGEST_RANGE = timedelta(days=92)
#: Evaluations of all series together; with more of them they lie farther apart.
MOST_EVALUATIONS = 500_000
#: What is answered: stretches of firing, and points of so many series to be drawn.
MOST_INTERVALS = 1000
#: Values of the past that conditions are held against, of all series together.
MOST_PAST = 500_000
#: Trials of a team, and of all teams, that a process has under way at once, and how long each may take.
TRIALS_TEAM = 1
TRIALS_ALL = 2
SECONDS = 30.0
DRAWN_SERIES = 12
POINTS = 600

_places = Places(TRIALS_TEAM, TRIALS_ALL, "rules are being tried already; wait for their end")


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch in which a series fired, or (`no_data`) had no data. `end`: None where it lasts; `value`: when it
    began; `worst`: the farthest from where it should be."""

    series: Mapping[str, Any]
    state: str
    start: datetime
    end: datetime | None
    value: float | None
    worst: float | None


@dataclass(frozen=True, slots=True)
class Drawn:
    """The values of a series, thinned to what a chart can show."""

    series: Mapping[str, Any]
    times: Sequence[datetime]
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a rule would have done. `fired`: how many times any series began to fire; `truncated`: not all series, or
    not all intervals, are in it; `minutes`: how long anything fired, all series together."""

    start: datetime
    end: datetime
    step: timedelta
    fired: int
    minutes: float
    series: int
    intervals: Sequence[Interval]
    points: Sequence[Drawn]
    truncated: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            "step": self.step.total_seconds(),
            "fired": self.fired,
            "minutes": round(self.minutes, 2),
            "series": self.series,
            "intervals": [
                {
                    "series": dict(one.series),
                    "state": one.state,
                    "from": one.start.isoformat(),
                    "to": one.end.isoformat() if one.end else None,
                    "value": finite(one.value),
                    "worst": finite(one.worst),
                }
                for one in self.intervals
            ],
            "points": [
                {
                    "series": dict(one.series),
                    "times": [int(moment.timestamp() * 1000) for moment in one.times],
                    "values": [finite(value) for value in one.values],
                }
                for one in self.points
            ],
            "truncated": self.truncated,
        }


def run(
    unit: Unit,
    document: Mapping[str, Any],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    now: datetime | None = None,
) -> Backtest:
    """Tries a rule (a document as it would be saved) over start ≤ time ≤ end, the last 30 days by default.

    Reads under a team's unit and changes nothing. Raises Invalid for a document that would not be saved, for a watch
    (the state of a pipeline leaves no history), and for a range that is longer or fuller than can be tried; TooSlow
    after `SECONDS`, and TooManyRequests while others are under way.
    """
    spec, pipeline, _ = alert_setup.check_alert(unit, document)
    if spec.watch:
        raise Invalid(problems=[("watch", "the state of a pipeline leaves no history that a rule could be tried on")])
    now = now or datetime.now(UTC)
    end = min(end or now, now)
    start = start or end - DEFAULT_RANGE
    if not start < end <= start + LONGEST_RANGE:
        raise Invalid(problems=[("from", f"from lies before to, and at most {LONGEST_RANGE.days} days before it")])
    with _places.take(pipeline.team):
        return _tried(unit, spec, pipeline, start, end)


def _tried(unit: Unit, spec: AlertSpec, pipeline: Pipeline, start: datetime, end: datetime) -> Backtest:
    deadline = Deadline(SECONDS)
    versions = catalog.versions(unit, pipeline.id)
    plan = compile_rules([_stored(spec, pipeline)], versions)
    if plan.broken:
        raise Invalid(plan.broken[0][1])
    rule = plan.rules[0]
    # Whole minutes: at those a window is the same for who evaluated it then.
    start = moment_of(minute_of(start) + (1 if start.timestamp() % 60 else 0))
    if rule.measure.agg in MERGED and not spec.window % MINUTE:
        tried: Source = ByMinute(unit, plan, rule, start, end, deadline)
    else:
        tried = ByRecord(unit, plan, rule, start, end, deadline)
    return _Trial(unit, plan, rule, spec, start, end, tried, deadline).run()


def _stored(spec: AlertSpec, pipeline: Pipeline) -> StoredRule:
    return StoredRule(
        ids.new_id(),
        pipeline.team,
        pipeline.id,
        spec.slug,
        spec.name,
        spec.severity,
        spec.labels,
        spec.document,
        "",
        (),
    )


# The trial -----------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """A series on its way through history."""

    state: State = field(default_factory=State)
    known: bool = False
    begun: tuple[str, datetime, float | None] | None = None
    worst: float | None = None


class _Trial:
    def __init__(
        self,
        unit: Unit,
        plan: Plan,
        rule: Rule,
        spec: AlertSpec,
        start: datetime,
        end: datetime,
        tried: Source,
        deadline: Deadline,
    ) -> None:
        self.deadline = deadline
        self.unit, self.plan, self.rule, self.spec = unit, plan, rule, spec
        self.start, self.end, self.tried = start, end, tried
        keys = sorted(tried.series)
        # The one series of a rule without groups is there whether it has data or not.
        self.keys = keys if rule.by else ["{}"]
        self.step = self._step()
        self.intervals: list[Interval] = []
        self.fired = 0

    def _step(self) -> timedelta:
        least = max(self.tried.least, self.spec.every)
        most = max(1, MOST_EVALUATIONS // max(1, len(self.keys)))
        needed = (self.end - self.start) / most
        wide = max(least, needed)
        if wide <= MINUTE and self.tried.least < MINUTE:
            return timedelta(seconds=-(-wide.total_seconds() // 1))
        return -(-wide // MINUTE) * MINUTE

    def run(self) -> Backtest:
        moments: list[datetime] = []
        moment = self.start
        while moment <= self.end:
            moments.append(moment)
            moment += self.step
        past = self._past()
        points: list[Drawn] = []
        for key in self.keys:
            self.deadline.check()
            values = list(self.tried.values(key, moments)) if key in self.tried.series else [None] * len(moments)
            self._try(key, moments, values, past.get(key))
            if len(points) < DRAWN_SERIES:
                points.append(self._drawn(key, moments, values))
        self.intervals.sort(key=lambda one: one.start)
        lasting = sum(
            (((one.end or self.end) - one.start).total_seconds() for one in self.intervals if one.state == "firing"),
            0.0,
        )
        return Backtest(
            self.start,
            self.end,
            self.step,
            self.fired,
            lasting / 60,
            len(self.keys),
            self.intervals[-MOST_INTERVALS:],
            points,
            self.tried.truncated or len(self.intervals) > MOST_INTERVALS,
        )

    def _past(self) -> dict[str, Past]:
        """Windows side by side, back to where the condition looks, by series."""
        condition, spec = self.spec.condition, self.spec
        reaches = [
            reach
            for moment in (self.start, self.end)
            if (reach := alert_history.reach_of(condition, alert_history.hour_of(moment), spec.timezone))
        ]
        if not reaches:
            return {}
        low, high = min(reach[0] for reach in reaches), max(reach[1] for reach in reaches)
        rows: dict[str, list[tuple[datetime, float]]] = {}
        edges = [low]
        while edges[-1] < high:
            edges.append(min(edges[-1] + timedelta(days=7), high))
        count, tried = 0, set(self.keys)
        for begin, until in pairwise(edges):
            read = alert_history.read_past(self.unit, self.plan, self.rule, begin, until, patience=self.deadline.left)
            for group, found in read.items():
                # Of series that are not tried nothing is needed.
                if (key := self.rule.key(group)) in tried:
                    rows.setdefault(key, []).extend(found)
                    count += len(found)
            if count > MOST_PAST:
                raise Invalid(
                    problems=[
                        (
                            "from",
                            f"it is held against more than {MOST_PAST:,} values of the past; take fewer series, "
                            "a wider window or a shorter range",
                        )
                    ]
                )
        return {key: Past(found) for key, found in rows.items()}

    def _references(self, key: str, moments: Sequence[datetime], past: Past | None) -> Iterator[Reference | None]:
        condition, spec = self.spec.condition, self.spec
        if condition.type == "change":
            if key not in self.tried.series:
                yield from [None] * len(moments)
                return
            before = self.tried.values(key, [moment - condition.over for moment in moments])
            for value in before:
                yield Reference(value)
            return
        hour, known = None, None
        for moment in moments:
            if past is not None and alert_history.hour_of(moment) != hour:
                hour = alert_history.hour_of(moment)
                known = alert_history.usual(condition, past, hour, spec.window, spec.timezone, counts=self.rule.counts)
            yield known

    def _try(self, key: str, moments: Sequence[datetime], values: Sequence[float | None], past: Past | None) -> None:
        spec, timing = self.spec, self.rule.timing
        one = _Run(known=not self.rule.by)
        for moment, value, reference in zip(moments, values, self._references(key, moments, past), strict=True):
            if value is None:
                if not one.known:
                    continue
                value = 0.0 if self.rule.counts else None
            one.known = True
            seen = judge(spec.condition, value, reference)
            state = one.state
            if state.state == "ok" and seen.bad is False:
                continue
            if state.state == "ok" and seen.bad is None and timing.no_data_state == "ok":
                # Live evaluation forgets such a series; it is as if it had never been.
                one.known = not self.rule.by
                continue
            one.state, events = step(timing, state, seen, moment)
            for event in events:
                if event.before != event.after:
                    self._entered(key, one, event.after, event.at, event.value)
            if one.begun is not None and seen.value is not None:
                one.worst = self._farther(one.worst, seen.value)
        if one.begun is not None:
            self._close(key, one, None)

    def _entered(self, key: str, one: _Run, state: str, at: datetime, value: float | None) -> None:
        if one.begun is not None:
            self._close(key, one, at)
        if state in ("firing", "no_data"):
            one.begun, one.worst = (state, at, value), value
            self.fired += state == "firing"

    def _close(self, key: str, one: _Run, at: datetime | None) -> None:
        assert one.begun is not None
        state, start, value = one.begun
        self.intervals.append(Interval(read_series(key), state, start, at, value, one.worst))
        one.begun = None

    def _farther(self, one: float | None, other: float) -> float:
        if one is None:
            return other
        limit = self.spec.condition.value
        if self.spec.condition.op in (">", ">="):
            return max(one, other)
        if self.spec.condition.op in ("<", "<="):
            return min(one, other)
        middle = sum(limit) / len(limit) if limit else 0.0
        return max(one, other, key=lambda value: abs(value - middle))

    def _drawn(self, key: str, moments: Sequence[datetime], values: Sequence[float | None]) -> Drawn:
        """Thinned so that what is worst in a stretch stays."""
        width = -(-len(moments) // POINTS)
        times: list[datetime] = []
        shown: list[float | None] = []
        for begin in range(0, len(moments), width):
            worst: float | None = None
            for value in values[begin : begin + width]:
                if value is not None:
                    worst = self._farther(worst, value)
            times.append(moments[begin])
            shown.append(worst)
        return Drawn(read_series(key), times, shown)
