"""What keeps alerts quiet for a while: silences, and windows of maintenance that come again.

Both say by *matchers* whom they concern: names with the text that they must have, or several of which one must be met.
Names are `alert` (a rule's slug), `severity`, `pipeline` (a slug), the rule's labels, and the dimensions of its series.
All matchers must be met; `{}` concerns every alert of the team.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dash_app.domain.alerts import Problems, duration, series_name
from dash_app.domain.errors import Invalid
from dash_app.domain.query import parse_time
from dash_app.domain.zones import is_zone

MOST_MATCHERS = 20
LONGEST_SILENCE = timedelta(days=366)

Matchers = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that match are not told between two moments."""

    id: UUID
    matchers: Mapping[str, Any]
    starts_at: datetime
    ends_at: datetime
    comment: str
    created_at: datetime
    created_by: str

    @property
    def label(self) -> str:
        return f"silence of {self.created_by or 'somebody'}" + (f": {self.comment}" if self.comment else "")


@dataclass(frozen=True, slots=True)
class SilenceSpec:
    """A validated document of a silence."""

    matchers: Mapping[str, Any]
    starts_at: datetime
    ends_at: datetime
    comment: str


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """A validated document of a maintenance window: from `starts_at` to `ends_at`, or for `duration` whenever `cron`
    says on the clock of `timezone`."""

    name: str
    matchers: Mapping[str, Any]
    starts_at: datetime | None
    ends_at: datetime | None
    cron: str
    timezone: str
    duration: timedelta
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window as it is kept."""

    id: UUID
    name: str
    document: Mapping[str, Any]
    revision: int
    created_at: datetime
    created_by: str


def parse_silence(document: Any, now: datetime) -> SilenceSpec:
    """A silence from `{"matchers", "from", "to" | "duration", "comment"}`; Invalid with each place that is wrong."""
    if not isinstance(document, Mapping):
        raise Invalid(
            problems=[("", 'a silence is an object, such as {"matchers": {"alert": "hot"}, "duration": "2h"}')]
        )
    problems: Problems = []
    _unknown(document, ("matchers", "from", "to", "duration", "comment"), problems)
    matchers = parse_matchers(document.get("matchers"), problems)
    start = _moment(document.get("from", "now"), "from", now, problems)
    if ("to" in document) == ("duration" in document):
        problems.append(("to", "either when it ends (to) or how long it lasts (duration) is needed"))
        end = start
    elif "to" in document:
        end = _moment(document["to"], "to", now, problems)
    else:
        end = start + duration(document["duration"], "duration", problems, timedelta(minutes=1), LONGEST_SILENCE)
    if not problems and not start < end <= start + LONGEST_SILENCE:
        problems.append(("to", f"after from, and at most {LONGEST_SILENCE.days} days later"))
    if not problems and end <= now:
        problems.append(("to", "it lies in the past: nothing would be silent"))
    comment = _comment(document.get("comment"), "comment", problems)
    if problems:
        raise Invalid(problems=problems)
    return SilenceSpec(matchers, start, end, comment)


def parse_window(document: Any, now: datetime) -> WindowSpec:
    """A maintenance window from `{"name", "matchers", "cron", "timezone", "duration"}` or with `from` and `to`.

    The five fields of `cron` are only counted here; whether they mean something is said by what computes with them.
    """
    if not isinstance(document, Mapping):
        raise Invalid(
            problems=[("", 'a window is an object, such as {"name": "Patches", "cron": "0 2 * * 6", "duration": "2h"}')]
        )
    problems: Problems = []
    _unknown(document, ("name", "matchers", "cron", "timezone", "duration", "from", "to"), problems)
    name = document.get("name")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= 200:
        problems.append(("name", "a text of 1 to 200 characters is needed"))
    matchers = parse_matchers(document.get("matchers"), problems)
    start = end = None
    cron, zone, length = "", str(document.get("timezone") or "UTC"), timedelta()
    if not is_zone(zone):
        problems.append(("timezone", "the IANA name of a time zone, such as Europe/Oslo or UTC"))
    if document.get("cron") is not None:
        cron = str(document["cron"]).strip()
        if len(cron.split()) != 5 or len(cron) > 200:
            problems.append(("cron", "five fields, as in 0 2 * * 6 (at two on Saturdays)"))
        if "from" in document or "to" in document:
            problems.append(
                ("from", "a window that comes again has cron and duration, and one that does not from and to")
            )
        length = duration(document.get("duration"), "duration", problems, timedelta(minutes=1), timedelta(days=7))
    else:
        start = _moment(document.get("from"), "from", now, problems)
        end = _moment(document.get("to"), "to", now, problems)
        if not problems and not start < end <= start + LONGEST_SILENCE:
            problems.append(("to", f"after from, and at most {LONGEST_SILENCE.days} days later"))
        if "duration" in document:
            problems.append(("duration", "a window with from and to has its length from them"))
    if problems:
        raise Invalid(problems=problems)
    # Relative times mean the moment at which they were written.
    kept = dict(document) | ({"from": start.isoformat(), "to": end.isoformat()} if start and end else {})
    return WindowSpec(str(name).strip(), matchers, start, end, cron, zone, length, kept)


def parse_matchers(value: Any, problems: Problems) -> dict[str, Any]:
    if value is None:
        value = {}
    if not isinstance(value, Mapping) or len(value) > MOST_MATCHERS:
        example = '{"alert": "hot", "site": ["roof", "lab"]}'
        problems.append(("matchers", f"at most {MOST_MATCHERS} names with the text they must have, such as {example}"))
        return {}
    for name, wanted in value.items():
        several = wanted if isinstance(wanted, list) else [wanted]
        if not 1 <= len(str(name)) <= 100:
            problems.append((f"matchers.{str(name)[:40]}", "a name has 1 to 100 characters"))
        if not 1 <= len(several) <= 100 or not all(isinstance(one, str) and len(one) <= 200 for one in several):
            problems.append((f"matchers.{str(name)[:40]}", "a text, or a list of 1 to 100 texts of which one is met"))
    return dict(value)


def matches(matchers: Mapping[str, Any], facts: Mapping[str, str]) -> bool:
    """Whether an alert with these facts (`facts_of`) is concerned."""
    for name, wanted in matchers.items():
        if facts.get(name) not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


def facts_of(
    slug: str, severity: str, pipeline: str, labels: Mapping[str, str], series: Mapping[str, Any]
) -> dict[str, str]:
    """What matchers can name of an alert."""
    named = {name: "" if value is None else _text(value) for name, value in series.items()}
    return {**labels, **named, "alert": slug, "severity": severity, "pipeline": pipeline}


def shown_matchers(matchers: Mapping[str, Any]) -> str:
    """Matchers as people read them."""
    return series_name({name: " or ".join(one) if isinstance(one, list) else one for name, one in matchers.items()})


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _moment(value: Any, place: str, now: datetime, problems: Problems) -> datetime:
    try:
        return parse_time(value, now, place=place)
    except Invalid as error:
        problems += error.problems
        return now


def _comment(value: Any, place: str, problems: Problems) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 1000:
        problems.append((place, "a text of at most 1,000 characters"))
        return ""
    return value


def _unknown(document: Mapping[str, Any], known: tuple[str, ...], problems: Problems) -> None:
    for key in document:
        if key not in known:
            problems.append((str(key)[:80], f"unknown; there are {', '.join(known)}"))
