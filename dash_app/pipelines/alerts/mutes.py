"""Whether an alert is kept quiet at a moment, and by what: silences, and maintenance windows on their calendar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from dash_app.domain.alert_mutes import Silence, Window, WindowSpec, matches, parse_window
from dash_app.domain.errors import Invalid
from dash_app.pipelines import cron


def check_window(document: Any, now: datetime) -> WindowSpec:
    """A maintenance window whose cron means something. Raises Invalid with each place that is wrong."""
    spec = parse_window(document, now)
    if spec.cron and (wrong := cron.problem(spec.cron)) is not None:
        raise Invalid(problems=[("cron", wrong)])
    return spec


class Mutes:
    """What keeps a team's alerts quiet, as it stood when it was read."""

    def __init__(self, silences: Sequence[Silence], windows: Sequence[Window]) -> None:
        self._silences = silences
        self._windows = [(window, read_window(window)) for window in windows]
        self._open: dict[str, tuple[datetime, bool]] = {}

    def __bool__(self) -> bool:
        return bool(self._silences or self._windows)

    def reason(self, facts: Mapping[str, str], at: datetime) -> str:
        """What keeps an alert with these facts quiet at a moment; '' where nothing does."""
        for silence in self._silences:
            if silence.starts_at <= at < silence.ends_at and matches(silence.matchers, facts):
                return silence.label
        for window, spec in self._windows:
            if matches(spec.matchers, facts) and self._is_open(window, spec, at):
                return f"maintenance: {window.name}"
        return ""

    def _is_open(self, window: Window, spec: WindowSpec, at: datetime) -> bool:
        """Asked of the calendar once a minute: thousands of rules ask for the same."""
        minute = at.replace(second=0, microsecond=0)
        known = self._open.get(str(window.id))
        if known is None or known[0] != minute or not spec.cron:
            known = (minute, is_open(spec, at))
            self._open[str(window.id)] = known
        return known[1]


def read_window(window: Window) -> WindowSpec:
    """The document of a window that is kept; relative times in it mean when it was made."""
    return parse_window(window.document, window.created_at)


def is_open(spec: WindowSpec, at: datetime) -> bool:
    """Whether a window is open at a moment."""
    if spec.starts_at is not None and spec.ends_at is not None:
        return spec.starts_at <= at < spec.ends_at
    begun = last_begin(spec, at)
    return begun is not None and at < begun + spec.duration


def last_begin(spec: WindowSpec, at: datetime) -> datetime | None:
    """When a window that comes again has begun last; None where it never has."""
    # On the wall, as cron means it; compared as instants, for the clock may jump within a window.
    wall = (at + timedelta(minutes=1)).astimezone(ZoneInfo(spec.timezone))
    for moment in CronSim(spec.cron, wall, reverse=True):
        begun = moment.astimezone(UTC)
        if begun <= at:
            return begun
    return None


def next_begin(spec: WindowSpec, at: datetime) -> datetime | None:
    """When a window begins next; None where it does not any more."""
    if spec.starts_at is not None:
        return spec.starts_at if spec.starts_at > at else None
    return cron.next_after(spec.cron, spec.timezone, at)
