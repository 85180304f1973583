"""What the workspace answers about reports, frozen, and how pages say it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dash_app.storage.reports import Report, Run

#: What has become of a run, as (words, class of its badge).
RUNS: Final[Mapping[str, tuple[str, str]]] = {
    "queued": ("Being made", "note"),
    "done": ("Sent", "ok"),
    "failed": ("Failed", "failing"),
}
_DAYS = ("Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_AT = re.compile(r"([0-9]{1,2}) ([0-9]{1,2}) (\*|[0-9]{1,2}) \* (\*|[0-7]|1-5)")


@dataclass(frozen=True, slots=True)
class ReportLine:
    """A report as its page shows it. `title`: of its dashboard, '' where that is gone; `runs`: the newest first."""

    report: Report
    title: str
    document: Mapping[str, Any]
    runs: Sequence[Run]

    @property
    def last(self) -> Run | None:
        return self.runs[0] if self.runs else None


def cron_words(expression: str) -> str:
    """A calendar in words where it is one of the usual ones: 'Mondays at 07:00'; else as it is written."""
    found = _AT.fullmatch(expression.strip())
    if found is None or int(found[1]) > 59 or int(found[2]) > 23:
        return expression
    at = f"at {int(found[2]):02d}:{int(found[1]):02d}"
    day, weekday = found[3], found[4]
    if day != "*":
        return f"on day {day} of each month {at}" if weekday == "*" else expression
    if weekday == "*":
        return f"every day {at}"
    return f"on workdays {at}" if weekday == "1-5" else f"{_DAYS[int(weekday)]} {at}"


#: What templates ask of this module.
FILTERS: Final[Mapping[str, Any]] = {"cron_words": cron_words}
GLOBALS: Final[Mapping[str, Any]] = {"REPORT_RUNS": RUNS}
