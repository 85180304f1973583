"""Reports as pages and the API write them, and when they are due.

A report is a dashboard that is drawn on a calendar and sent to sinks. The clock gives each one that is due a run, once
for each time by the calendar, and a task makes it (`report_making`). What is read stands in `dash_app.storage.reports`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.access import Principal
from dash_app.domain.errors import Conflict, Invalid, NotFound, TooManyRequests
from dash_app.domain.query import parse_time
from dash_app.domain.templating import declared
from dash_app.domain.variables import parse_variables
from dash_app.pipelines import cron
from dash_app.pipelines.resources import Resources
from dash_app.storage import dashboards, ledger, people, reports, sinks
from dash_app.storage.reports import Report, Run
from dash_app.storage.unit import Unit

FORMATS = ("png", "pdf", "csv")
KEYS = (
    "name", "slug", "dashboard", "range", "variables", "format", "cron", "timezone", "sinks", "message", "enabled",
)  # fmt: skip
MOST_REPORTS = 1000
MOST_SINKS = 20
MOST_MESSAGE = 4000
#: The least time between two runs by the calendar, and how many of one report may wait at once.
SHORTEST = timedelta(minutes=5)
MOST_WAITING = 3

#: The queue and the task that makes a run; `pipelines.tasks` has them, which knows this module (as r0011 does).
QUEUE, TASK = "io", "dash_app.pipelines.tasks.report"


@dataclass(frozen=True, slots=True)
class Checked:
    """A document that can be saved."""

    name: str
    dashboard: str
    document: Mapping[str, Any]
    cron: str
    timezone: str
    enabled: bool
    sinks: Mapping[str, UUID]


def create_report(
    unit: Unit, app: Resources, team: UUID, document: Mapping[str, Any], author: Principal | str
) -> Report:
    """Saves a new report. Raises Invalid with each place that is wrong, Conflict where the slug is taken."""
    if reports.count(unit) >= MOST_REPORTS:
        raise Conflict(f"a team has at most {MOST_REPORTS:,} reports")
    checked = check(unit, app, document)
    slug = document.get("slug") or ids.slug_from(checked.name)
    made = reports.create(
        unit,
        team,
        slug=ids.check_slug(str(slug)),
        **_columns(checked, datetime.now(UTC)),
        author=_name(author),
    )
    _record(unit, author, made, "report.create", {"name": made.name})
    return made


def update_report(
    unit: Unit,
    app: Resources,
    ref: str | UUID,
    document: Mapping[str, Any],
    author: Principal | str,
    *,
    expected_revision: int | None = None,
) -> Report:
    """Saves a report anew; its slug stays. Raises NotFound, Invalid, PreconditionFailed."""
    found = reports.lock(unit, ref, expected_revision=expected_revision)
    if document.get("slug") not in (None, found.slug):
        raise Invalid(problems=[("slug", f"is '{found.slug}' and stays so")])
    made = reports.update(unit, found, **_columns(check(unit, app, document), datetime.now(UTC)), author=_name(author))
    _record(unit, author, made, "report.update", {"revision": made.revision})
    return made


def set_enabled(unit: Unit, app: Resources, ref: str | UUID, author: Principal | str, *, enabled: bool) -> Report:
    """Turns a report on, from its next time by the calendar on, or off."""
    found = reports.lock(unit, ref)
    return update_report(unit, app, found.id, {**document_of(found), "enabled": enabled}, author)


def delete_report(
    unit: Unit, ref: str | UUID, author: Principal | str, *, expected_revision: int | None = None
) -> None:
    """Takes a report away; what is in the outbox is still sent. Raises NotFound, PreconditionFailed."""
    found = reports.lock(unit, ref, expected_revision=expected_revision)
    reports.delete(unit, found)
    _record(unit, author, found, "report.delete", {"name": found.name})


def send_now(unit: Unit, ref: str | UUID, author: Principal | str) -> Run:
    """Has a report made and sent now, beside its calendar and whether it is on or off. Raises NotFound, Invalid,
    TooManyRequests."""
    found = reports.lock(unit, ref)
    if not found.sinks:
        raise Invalid(problems=[("sinks", "this report goes to nobody; give it a sink")])
    if sum(run.state == "queued" for run in reports.runs(unit, found.id, limit=MOST_WAITING + 1)) >= MOST_WAITING:
        raise TooManyRequests("this report is being made already; wait for its end", retry_after=10)
    made = reports.begin_run(unit, found, datetime.now(UTC), asked_by=_name(author) or "somebody")
    assert made is not None
    reports.ring(unit, made)
    _record(unit, author, found, "report.send", {})
    return reports.run(unit, made)


def document_of(found: Report) -> dict[str, Any]:
    """The document as it is written now: sinks that are gone are left out, those that have another slug have it."""
    return {**found.document, "slug": found.slug, "sinks": list(found.sinks)}


def queue_due(unit: Unit) -> int:
    """What the clock does: each report that is due gets a run and its next time, and runs that nobody has in hand are
    queued. Reports that were due several times while nobody was there are made once. The caller commits."""
    now = datetime.now(UTC)
    begun = 0
    for found in reports.due(unit, now):
        if found.sinks and found.next_at is not None and reports.begin_run(unit, found, found.next_at):
            begun += 1
        reports.set_next(unit, found.id, _next(found.cron, found.timezone, now))
    for run in reports.waiting(unit, now):
        ledger.enqueue_once(unit, QUEUE, TASK, str(run), priority=-1)
    return begun


# Checking ------------------------------------------------------------------------------------------------------------


def check(unit: Unit, app: Resources, document: Mapping[str, Any]) -> Checked:
    """The document as it can be saved, or Invalid with every place that is wrong."""
    problems: list[tuple[str, str]] = []
    for key in document:
        if key not in KEYS:
            problems.append((str(key)[:60], f"a report has no such key; it has {', '.join(KEYS)}"))
    name = str(document.get("name") or "").strip()
    if not 1 <= len(name) <= 200 or not name.isprintable():
        problems.append(("name", "a name has 1 to 200 characters, without line breaks"))
    zone = document.get("timezone") or "UTC"
    if not isinstance(zone, str) or cron.zone_problem(zone):
        problems.append(("timezone", "is no IANA time zone, such as Europe/Oslo or UTC"))
        zone = "UTC"
    expression = document.get("cron")
    wrong = _wrong_cron(expression, zone)
    if wrong:
        problems.append(("cron", wrong))
    span = _range(document.get("range"), zone, problems)
    formats = document.get("format") or ["png"]
    if not isinstance(formats, list) or not formats or not all(one in FORMATS for one in formats):
        problems.append(("format", f"a list of {', '.join(FORMATS)} is meant"))
        formats = ["png"]
    message = document.get("message") or ""
    if not isinstance(message, str) or len(message) > MOST_MESSAGE:
        problems.append(("message", f"a text of at most {MOST_MESSAGE:,} characters"))
        message = ""
    enabled = document.get("enabled", True)
    if not isinstance(enabled, bool):
        problems.append(("enabled", "true or false"))
    uid = _dashboard(unit, document, problems)
    named = _sinks(unit, app, document.get("sinks"), problems)
    if problems:
        raise Invalid(problems=problems)
    kept = {
        "name": name,
        "dashboard": uid,
        "range": span,
        "variables": dict(document.get("variables") or {}),
        "format": list(dict.fromkeys(formats)),
        "cron": str(expression),
        "timezone": zone,
        "message": message,
        "enabled": enabled,
    }
    return Checked(name, uid, kept, str(expression), zone, enabled, named)


def _wrong_cron(expression: Any, zone: str) -> str | None:
    if not isinstance(expression, str) or not expression:
        return "is missing: when it is made, such as '0 7 * * 1' for Mondays at seven"
    if wrong := cron.problem(expression):
        return wrong
    # A day's worth of times from a day without a change of clocks; rare ones are far apart anyway.
    before = datetime(2024, 1, 15, tzinfo=UTC)
    for _ in range(100):
        following = cron.next_after(expression, zone, before)
        if following - before < SHORTEST and before != datetime(2024, 1, 15, tzinfo=UTC):
            return f"is due more often than every {SHORTEST.seconds // 60} minutes"
        before = following
    return None


def _range(value: Any, zone: str, problems: list[tuple[str, str]]) -> dict[str, str] | None:
    """`now-24h` (until now), or from and to; None: the dashboard's own."""
    if value is None or value == "":
        return None
    span = {"from": value, "to": "now"} if isinstance(value, str) else value
    if not isinstance(span, Mapping) or set(span) - {"from", "to"} or "from" not in span:
        problems.append(("range", 'such as "now-24h", or {"from": "now-1w/w", "to": "now/w"}'))
        return None
    made = {"from": str(span["from"]), "to": str(span.get("to", "now"))}
    now = datetime.now(UTC)
    try:
        start, end = (parse_time(made[key], now, zone, f"range.{key}") for key in ("from", "to"))
    except Invalid as error:
        problems += error.problems
        return None
    if start >= end:
        problems.append(("range", "ends before it begins"))
    return made


def _dashboard(unit: Unit, document: Mapping[str, Any], problems: list[tuple[str, str]]) -> str:
    uid = str(document.get("dashboard") or "")
    try:
        found = dashboards.get(unit, uid)
    except NotFound:
        problems.append(
            ("dashboard", f"there is no dashboard '{uid[:60]}'" if uid else "the uid of a dashboard is needed")
        )
        return uid
    try:
        values = parse_variables(document.get("variables"))
    except Invalid as error:
        problems += error.problems
        return uid
    known = [one["name"] for one in declared(found.document)]
    problems += [
        (f"variables.{name}", f"the dashboard has no such variable; it has {', '.join(known) or 'none'}")
        for name in values
        if name not in known
    ]
    return uid


def _sinks(unit: Unit, app: Resources, refs: Any, problems: list[tuple[str, str]]) -> dict[str, UUID]:
    if refs is None:
        return {}
    if not isinstance(refs, list) or len(refs) > MOST_SINKS or not all(isinstance(one, str) for one in refs):
        problems.append(("sinks", f"a list of at most {MOST_SINKS} slugs or ids"))
        return {}
    found = sinks.find(unit, refs)
    for number, ref in enumerate(refs):
        if ref not in found:
            problems.append((f"sinks[{number}]", f"there is no sink '{ref[:60]}'"))
            continue
        kind = sinks.get(unit, found[ref]).kind
        if kind not in app.sinks or not app.sinks[kind].tells_people:
            problems.append((f"sinks[{number}]", f"'{ref[:60]}' is of the kind {kind}, which takes records alone"))
    return found


def _columns(checked: Checked, now: datetime) -> dict[str, Any]:
    return {
        "name": checked.name,
        "dashboard": checked.dashboard,
        "document": checked.document,
        "cron": checked.cron,
        "timezone": checked.timezone,
        "enabled": checked.enabled,
        "next_at": _next(checked.cron, checked.timezone, now) if checked.enabled else None,
        "sinks": list(checked.sinks.values()),
    }


def _next(expression: str, zone: str, now: datetime) -> datetime | None:
    try:
        return cron.next_after(expression, zone, now)
    except StopIteration:
        return None


def _name(author: Principal | str) -> str:
    return author.email if isinstance(author, Principal) else author


def _record(unit: Unit, author: Principal | str, found: Report, action: str, detail: Mapping[str, Any]) -> None:
    who = author if isinstance(author, Principal) else None
    people.record(unit, who, found.team, action, found.slug, detail)
