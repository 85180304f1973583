"""The alert document: which rule is held against which data, and whom it tells, read once and checked whole.

A rule watches either a query of the contract, reduced to one number (one for each series that `by` names), or the
state of a pipeline (`watch`). `parse_alert` knows the document's own rules; whether a field exists is known only beside
the pipeline's mapping (`dash_app.pipelines.alerts.setup`). `docs/alerts.md` describes it for people.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Literal

from dash_app.domain.errors import Invalid
from dash_app.domain.ids import SLUG
from dash_app.domain.plain_text import is_storable
from dash_app.domain.query import AGGREGATES, parse_query
from dash_app.domain.specs import Measure

SEVERITIES = ("info", "warning", "critical")
CONDITIONS = ("threshold", "change", "missing", "quantile", "anomaly")
COMPARISONS = (">", ">=", "<", "<=")
OPERATORS = (*COMPARISONS, "outside", "inside")
NO_DATA = ("ok", "no_data", "firing", "keep")
#: What can be watched of a pipeline itself, with what its value is measured in.
WATCHES: Mapping[str, str] = {
    "stale": "s",
    "failing": "failures",
    "rejects": "%",
    "drift": "changes",
    "lag": "s",
}
#: What a watch asks when the document does not say: above so much it fires.
WATCH_LIMITS: Mapping[str, float] = {"stale": 600, "failing": 2, "rejects": 5, "drift": 0, "lag": 60}

#: Below /alerts these are other things than rules.
RESERVED = ("new", "firing", "backtest", "rules", "silences", "windows", "maintenance", "history")

MOST_SINKS = 20
MOST_LABELS = 20
MOST_MESSAGE = 10_000
#: Series that one rule follows; a rule with more of them follows those that it knows, and says so.
MOST_SERIES = 1000
#: Bytes of the text that names a series: it stands in keys of tables. Longer values are cut to so many characters.
MOST_SERIES_NAME = 1000
LONGEST_SHORTENED = 16
SHORTEST_WINDOW = timedelta(seconds=10)
LONGEST_WINDOW = timedelta(days=31)
SHORTEST_EVERY = timedelta(seconds=1)
#: Buckets of the past hour that an anomaly is held against must fill it.
HOUR = timedelta(hours=1)

ALERT_KEYS = (
    "name", "slug", "severity", "labels", "query", "pipeline", "watch", "condition", "window", "for",
    "keep_firing_for", "no_data_state", "every", "message", "link", "sinks", "repeat", "enabled",
)  # fmt: skip
_QUERY = ("pipeline", "select", "by", "where", "timezone")
_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,40}")
_LINK = re.compile(r"(https?://|/)[^\s\x00-\x1f]*")
_CONDITION_KEYS: Mapping[str, tuple[str, ...]] = {
    "threshold": ("type", "op", "value", "recover"),
    "change": ("type", "by", "over", "op", "value", "recover"),
    "missing": ("type",),
    "quantile": ("type", "op", "quantile", "over"),
    "anomaly": ("type", "weeks", "deviations"),
}

Problems = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Condition:
    """When a value is bad. What is meant by which type:

    - threshold: `op` and `value` (a pair for outside and inside); once bad, it is good again only beyond `recover`.
    - change: the value against that of `over` ago, in its own unit or in percent of what it was.
    - missing: there is no record in the window.
    - quantile: above (or below) this quantile of its own values over the time `over` before.
    - anomaly: farther than so many deviations from the mean of the same hour of so many weeks before.
    """

    type: Literal["threshold", "change", "missing", "quantile", "anomaly"]
    op: str = ">"
    value: tuple[float, ...] = ()
    recover: tuple[float, ...] | None = None
    over: timedelta = timedelta()
    relative: bool = False
    quantile: float = 0.0
    weeks: int = 0
    deviations: float = 0.0

    @property
    def has_reference(self) -> bool:
        """Whether a value is held against another one, and not against what is written in the rule."""
        return self.type in ("change", "quantile", "anomaly")


@dataclass(frozen=True, slots=True)
class AlertSpec:
    """A validated alert document. `measure` is None for a watch, and `watch` empty for a query."""

    name: str
    slug: str
    severity: str
    labels: Mapping[str, str]
    pipeline: str
    measure: Measure | None
    by: tuple[str, ...]
    where: str | None
    timezone: str
    watch: str
    condition: Condition
    window: timedelta
    pending_for: timedelta
    keep_firing_for: timedelta
    no_data_state: str
    every: timedelta
    message: str
    link: str
    sinks: tuple[str, ...]
    repeat: timedelta
    enabled: bool
    document: Mapping[str, Any] = field(default_factory=dict)


def parse_alert(document: Any) -> AlertSpec:
    """The rule in a document. Raises Invalid with each place that is wrong, and what would be right there."""
    if not isinstance(document, Mapping):
        raise Invalid(problems=[("", 'a rule is an object, such as {"name": "Too hot", "slug": "too_hot", …}')])
    problems: Problems = []
    _unknown(document, ALERT_KEYS, "", problems)
    watch, measure, by, where, zone, pipeline = _subject(document, problems)
    window = duration(document.get("window", "5m"), "window", problems, SHORTEST_WINDOW, LONGEST_WINDOW)
    spec = AlertSpec(
        name=_text(document, "name", problems, 1, 200),
        slug=_slug(document, problems),
        severity=_one_of(document.get("severity", "warning"), "severity", SEVERITIES, problems),
        labels=parse_labels(document.get("labels"), "labels", problems),
        pipeline=pipeline,
        measure=measure,
        by=by,
        where=where,
        timezone=zone,
        watch=watch,
        condition=_condition(document.get("condition"), watch, window, problems),
        window=window,
        pending_for=duration(document.get("for", "0s"), "for", problems, timedelta(), timedelta(days=7)),
        keep_firing_for=duration(
            document.get("keep_firing_for", "0s"), "keep_firing_for", problems, timedelta(), timedelta(days=7)
        ),
        no_data_state=_one_of(document.get("no_data_state", "no_data"), "no_data_state", NO_DATA, problems),
        every=duration(document.get("every", "1s"), "every", problems, SHORTEST_EVERY, timedelta(hours=1)),
        message=_text(document, "message", problems, 0, MOST_MESSAGE),
        link=_link(document.get("link"), problems),
        sinks=_sinks(document.get("sinks"), problems),
        repeat=_repeat(document.get("repeat", "4h"), problems),
        enabled=_flag(document.get("enabled", True), "enabled", problems),
        document=dict(document),
    )
    if problems:
        raise Invalid(problems=problems)
    return spec


def series_key(series: Mapping[str, Any]) -> str:
    """The values of `by` as the text that names a series: JSON without blanks, keys in order; {} without `by`.

    Where that would be longer than a name may be, each long value is its beginning and a hash of the whole.
    """
    key = _series_json(series)
    if len(key) * 4 > MOST_SERIES_NAME and len(key.encode(errors="replace")) > MOST_SERIES_NAME:
        return _series_json({name: _shortened(value) for name, value in series.items()})
    return key


def _series_json(series: Mapping[str, Any]) -> str:
    return json.dumps(dict(series), sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def _shortened(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, default=_plain)
    if len(text) <= 2 * LONGEST_SHORTENED + 1:
        return value
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:LONGEST_SHORTENED]
    return f"{text[:LONGEST_SHORTENED]}…{digest}"


def read_series(key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(key)
    return found


def series_name(series: Mapping[str, Any]) -> str:
    """A series as people read it: 'site = roof, sensor = 3'; empty where there is but one."""
    return ", ".join(f"{name} = {'(none)' if value is None else value}" for name, value in series.items())


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


# What is watched -----------------------------------------------------------------------------------------------------


def _subject(
    document: Mapping[str, Any], problems: Problems
) -> tuple[str, Measure | None, tuple[str, ...], str | None, str, str]:
    """(watch, measure, by, where, time zone, pipeline)"""
    query, watch = document.get("query"), document.get("watch")
    if (query is None) == (watch is None):
        problems.append(("query", "either a query or a watch of a pipeline is needed, and not both"))
        return "", None, (), None, "UTC", ""
    if watch is not None:
        _one_of(watch, "watch", tuple(WATCHES), problems)
        pipeline = document.get("pipeline")
        if not isinstance(pipeline, str) or not pipeline:
            problems.append(("pipeline", "the slug or id of the pipeline that is watched is needed"))
        return str(watch), None, (), None, "UTC", str(pipeline or "")
    if "pipeline" in document:
        problems.append(("pipeline", "the pipeline of a query is named in it, as query.pipeline"))
    if not isinstance(query, Mapping):
        problems.append(("query", 'such as {"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}]}'))
        return "", None, (), None, "UTC", ""
    wrong = [
        (f"query.{str(key)[:60]}", f"the query of a rule has {', '.join(_QUERY)}; its range is the rule's window")
        for key in query
        if key not in _QUERY
    ]
    problems += wrong
    try:
        parsed = parse_query(
            {key: query[key] for key in query if key in _QUERY} | {"select": query.get("select") or [{"agg": "count"}]},
            datetime(2000, 1, 2, tzinfo=UTC),
        )
    except Invalid as error:
        problems += [(f"query.{place}" if place else "query", what) for place, what in error.problems]
        return "", None, (), None, "UTC", str(query.get("pipeline") or "")
    measure = parsed.select[0]
    if len(parsed.select) != 1 or measure.agg is None:
        aggregates = ", ".join(AGGREGATES)
        problems.append(("query.select", f"one column with an aggregate is watched; agg is one of {aggregates}"))
    return "", measure, parsed.by, parsed.where, parsed.timezone, parsed.pipeline


# Conditions ----------------------------------------------------------------------------------------------------------


def _condition(value: Any, watch: str, window: timedelta, problems: Problems) -> Condition:
    if value is None and watch in WATCH_LIMITS:
        return Condition("threshold", ">", (WATCH_LIMITS[watch],))
    if not isinstance(value, Mapping):
        problems.append(("condition", 'such as {"type": "threshold", "op": ">", "value": 30}'))
        return Condition("missing")
    kind = _one_of(value.get("type"), "condition.type", CONDITIONS, problems)
    if kind not in _CONDITION_KEYS:
        return Condition("missing")
    if watch and kind != "threshold":
        problems.append(("condition.type", "a watch of a pipeline is held against a threshold"))
    _unknown(value, _CONDITION_KEYS[kind], "condition", problems)
    match kind:
        case "threshold" | "change":
            return _threshold(value, kind, problems)
        case "quantile":
            op = _one_of(value.get("op", ">"), "condition.op", (">", "<"), problems)
            share = _number(value.get("quantile"), "condition.quantile", problems, 0.0, 1.0)
            over = duration(
                value.get("over", "7d"), "condition.over", problems, max(4 * window, HOUR), timedelta(days=92)
            )
            return Condition("quantile", op, over=over, quantile=share)
        case "anomaly":
            weeks = value.get("weeks", 4)
            if isinstance(weeks, bool) or not isinstance(weeks, int) or not 1 <= weeks <= 12:
                problems.append(("condition.weeks", "how many weeks before are looked at: a whole number from 1 to 12"))
                weeks = 4
            deviations = _number(value.get("deviations", 3), "condition.deviations", problems, 0.5, 100)
            if window <= timedelta() or HOUR % window:
                problems.append(
                    ("window", "an anomaly is sought in windows that fill an hour: 1m, 5m, 10m, 15m, 20m, 30m, 1h")
                )
            return Condition("anomaly", "outside", weeks=weeks, deviations=deviations)
    return Condition("missing")


def _threshold(value: Mapping[str, Any], kind: str, problems: Problems) -> Condition:
    op = _one_of(value.get("op", ">"), "condition.op", OPERATORS, problems)
    limit = _limits(value.get("value"), "condition.value", op, problems)
    recover = None
    if value.get("recover") is not None:
        recover = _limits(value["recover"], "condition.recover", op, problems)
        if op in OPERATORS and limit and recover and not _recovers(op, limit, recover):
            problems.append(("condition.recover", _RECOVER[op].format(*limit)))
    if kind == "threshold":
        return Condition("threshold", op, limit, recover)
    relative = _one_of(value.get("by", "absolute"), "condition.by", ("absolute", "percent"), problems) == "percent"
    over = duration(value.get("over", "10m"), "condition.over", problems, timedelta(minutes=1), timedelta(days=31))
    if over % timedelta(minutes=1):
        problems.append(("condition.over", "whole minutes, such as 10m, 1h or 1d"))
    return Condition("change", op, limit, recover, over, relative)


_RECOVER = {
    ">": "it recovers below the threshold: at most {0:g}",
    ">=": "it recovers below the threshold: at most {0:g}",
    "<": "it recovers above the threshold: at least {0:g}",
    "<=": "it recovers above the threshold: at least {0:g}",
    "outside": "it recovers inside of the band: two numbers between {0:g} and {1:g}",
    "inside": "it recovers outside of the band: two numbers around {0:g} and {1:g}",
}


def _recovers(op: str, limit: tuple[float, ...], recover: tuple[float, ...]) -> bool:
    if op in (">", ">="):
        return recover[0] <= limit[0]
    if op in ("<", "<="):
        return recover[0] >= limit[0]
    if op == "outside":
        return limit[0] <= recover[0] and recover[1] <= limit[1]
    return recover[0] <= limit[0] and limit[1] <= recover[1]


def _limits(value: Any, place: str, op: str, problems: Problems) -> tuple[float, ...]:
    if op not in ("outside", "inside"):
        return (_number(value, place, problems),)
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        problems.append((place, f"{op} takes two numbers, such as [10, 30]"))
        return ()
    low, high = (_number(one, f"{place}[{n}]", problems) for n, one in enumerate(value))
    if low > high:
        problems.append((place, f"the lower bound comes first: [{high:g}, {low:g}]"))
    return low, high


# Small things --------------------------------------------------------------------------------------------------------


def duration(value: Any, place: str, problems: Problems, least: timedelta, most: timedelta) -> timedelta:
    """'5m' as a length of time between `least` and `most`."""
    read = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if read is None:
        problems.append(
            (place, f"'{str(value)[:40]}' is no length of time; a number and one of s m h d w is, as in 5m")
        )
        return least
    found = timedelta(seconds=int(read[1]) * _SECONDS[read[2]])
    if not least <= found <= most:
        problems.append((place, f"from {short(least)} to {short(most)}"))
        return least
    return found


def short(length: timedelta) -> str:
    """A length of time as documents write it: '90s', '5m', '2h', '7d'."""
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def parse_labels(value: Any, place: str, problems: Problems) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > MOST_LABELS:
        problems.append((place, f'at most {MOST_LABELS} labels, such as {{"service": "web"}}'))
        return {}
    for name, text in value.items():
        if not isinstance(name, str) or not _LABEL.fullmatch(name):
            problems.append((f"{place}.{str(name)[:40]}", "a label's name has letters, digits and _, as in service"))
        elif not isinstance(text, str) or len(text) > 200 or not text.isprintable():
            problems.append((f"{place}.{name}", "a label's value is a text of at most 200 printable characters"))
    return dict(value)


def _unknown(document: Mapping[str, Any], known: tuple[str, ...], place: str, problems: Problems) -> None:
    for key in document:
        if key not in known:
            problems.append(((f"{place}.{key}" if place else str(key))[:80], f"unknown; there are {', '.join(known)}"))


def _text(document: Mapping[str, Any], key: str, problems: Problems, least: int, most: int) -> str:
    value = document.get(key)
    if value is None and not least:
        return ""
    if not isinstance(value, str) or not least <= len(value.strip()) or len(value) > most:
        problems.append((key, f"a text of {least} to {most:,} characters is needed"))
        return ""
    # A name stands in subjects and headers of messages, on one line.
    if not (value.strip().isprintable() if least else is_storable(value)):
        problems.append((key, "a text without control characters" if least else "a text without NUL"))
        return ""
    return value.strip() if least else value


def _slug(document: Mapping[str, Any], problems: Problems) -> str:
    value = document.get("slug")
    if not isinstance(value, str) or not SLUG.fullmatch(value):
        problems.append(("slug", "1 to 41 of a-z, 0-9 and _, beginning with a letter, such as too_hot"))
        return ""
    if value in RESERVED:
        problems.append(("slug", f"'{value}' is an address of Dash's own; choose another one"))
    return value


def _one_of(value: Any, place: str, known: Sequence[str], problems: Problems) -> str:
    if value not in known:
        problems.append((place, f"'{str(value)[:40]}' is none of {', '.join(known)}"))
        return str(value)
    return str(value)


def _number(value: Any, place: str, problems: Problems, low: float | None = None, high: float | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        problems.append((place, "a number is needed"))
        return 0.0
    try:
        finite = isfinite(value)
    except OverflowError:  # a whole number beyond all that is computed with
        finite = False
    if not finite:
        problems.append((place, "a number is needed, of at most about 1e308"))
        return 0.0
    if (low is not None and value < low) or (high is not None and value > high):
        problems.append((place, f"a number from {low:g} to {high:g}"))
    return float(value)


def _flag(value: Any, place: str, problems: Problems) -> bool:
    if not isinstance(value, bool):
        problems.append((place, "true or false"))
    return bool(value)


def _link(value: Any, problems: Problems) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or len(value) > 2000 or not _LINK.fullmatch(value):
        problems.append(("link", "an address that begins with https://, http:// or /"))
        return ""
    return value


def _sinks(value: Any, problems: Problems) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_SINKS or not all(isinstance(one, str) and one for one in value):
        problems.append(("sinks", f"a list of the slugs of at most {MOST_SINKS} sinks"))
        return ()
    return tuple(dict.fromkeys(value))


def _repeat(value: Any, problems: Problems) -> timedelta:
    """How long until a firing alert is told again; 0s: never."""
    if value == "0s":
        return timedelta()
    return duration(value, "repeat", problems, timedelta(minutes=1), timedelta(days=31))
