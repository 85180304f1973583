"""Scheduled reports as the catalog keeps them, and each time that one was made.

Every function takes a unit of work and leaves the commit to its owner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from dash_app.domain import ids
from dash_app.domain.errors import Conflict, NotFound, PreconditionFailed
from dash_app.storage.unit import Unit

#: How long a worker may take for a report before another one tries, and how often it is tried.
LEASE = timedelta(minutes=5)
MOST_ATTEMPTS = 3
#: How many runs of a report are kept.
KEPT_RUNS = 200


@dataclass(frozen=True, slots=True)
class Report:
    """A report. `sinks`: slugs; `next_at`: when it is due, None while it is off; `document`: as it was saved."""

    id: UUID
    team: UUID
    slug: str
    name: str
    dashboard: str
    document: Mapping[str, Any]
    cron: str
    timezone: str
    enabled: bool
    next_at: datetime | None
    revision: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    sinks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One time that a report was due or asked for. `state`: queued | done | failed."""

    id: UUID
    report: UUID
    team: UUID
    due_at: datetime
    asked_by: str
    state: str
    attempts: int
    error: str
    messages: tuple[str, ...]
    bytes: int
    done_at: datetime | None


_SELECT = """
SELECT r.id, r.team_id, r.slug, r.name, r.dashboard, r.document, r.cron, r.timezone, r.enabled, r.next_at, r.revision,
  r.created_at, r.created_by, r.updated_at, r.updated_by,
  ARRAY(SELECT s.slug FROM report_sinks rs JOIN sinks s ON s.id = rs.sink_id WHERE rs.report_id = r.id ORDER BY s.slug)
FROM reports r
"""
_RUN = "id, report_id, team_id, due_at, asked_by, state, attempts, error, messages, bytes, done_at"


def _report(row: Sequence[Any]) -> Report:
    values = [*row[:15], tuple(row[15])]
    return Report(*values)


def _run(row: Sequence[Any]) -> Run:
    values = [*row[:8], tuple(row[8]), *row[9:]]
    return Run(*values)


def get(unit: Unit, ref: str | UUID) -> Report:
    """The report with this id or slug. Raises NotFound."""
    wanted = ref if isinstance(ref, UUID) else ids.as_uuid(ref)
    where = "r.id = %s" if wanted else "r.slug = %s"
    row = unit.row(f"{_SELECT} WHERE {where}", (wanted or str(ref)[:80],))
    if row is None:
        raise NotFound(f"no report '{str(ref)[:80]}'")
    return _report(row)


def lock(unit: Unit, ref: str | UUID, *, expected_revision: int | None = None) -> Report:
    """The report as it is, changed by nobody else until this transaction ends. Raises NotFound, PreconditionFailed."""
    found = get(unit, ref)
    unit.execute("SELECT FROM reports WHERE id = %s FOR NO KEY UPDATE", (found.id,))
    found = get(unit, found.id)
    if expected_revision is not None and found.revision != expected_revision:
        raise PreconditionFailed(f"the report is at revision {found.revision}, not {expected_revision}; read it again")
    return found


def reports(unit: Unit, *, limit: int = 1000, after: str | None = None) -> list[Report]:
    """Reports by slug, beginning after one."""
    rows = unit.rows(
        f"{_SELECT} WHERE %(after)s::text IS NULL OR r.slug > %(after)s ORDER BY r.slug LIMIT %(limit)s",
        {"after": after, "limit": limit},
    )
    return [_report(row) for row in rows]


def of_dashboard(unit: Unit, uid: str) -> list[Report]:
    """The reports of a dashboard, by slug."""
    return [_report(row) for row in unit.rows(f"{_SELECT} WHERE r.dashboard = %s ORDER BY r.slug", (uid,))]


def of_sink(unit: Unit, sink: UUID) -> list[Report]:
    """The reports that go to a sink, by slug."""
    where = "WHERE r.id IN (SELECT report_id FROM report_sinks WHERE sink_id = %s) ORDER BY r.slug"
    return [_report(row) for row in unit.rows(f"{_SELECT} {where}", (sink,))]


def count(unit: Unit) -> int:
    return int(unit.value("SELECT count(*) FROM reports"))


def create(
    unit: Unit,
    team: UUID,
    *,
    slug: str,
    name: str,
    dashboard: str,
    document: Mapping[str, Any],
    cron: str,
    timezone: str,
    enabled: bool,
    next_at: datetime | None,
    sinks: Sequence[UUID],
    author: str = "",
) -> Report:
    """A new report. Raises Conflict where the slug is taken."""
    made = ids.new_id()
    try:
        with unit.driver.transaction():
            unit.execute(
                "INSERT INTO reports (id, team_id, slug, name, dashboard, document, cron, timezone, enabled, next_at, "
                "created_by, updated_by) VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s)",
                (
                    *(made, team, slug, name, dashboard, json.dumps(dict(document)), cron, timezone, enabled),
                    *(next_at, author, author),
                ),
            )
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(f"there is a report '{slug}' already; choose another slug") from error
    _name_sinks(unit, team, made, sinks)
    return get(unit, made)


def update(
    unit: Unit,
    found: Report,
    *,
    name: str,
    dashboard: str,
    document: Mapping[str, Any],
    cron: str,
    timezone: str,
    enabled: bool,
    next_at: datetime | None,
    sinks: Sequence[UUID],
    author: str = "",
) -> Report:
    """Writes a locked report anew."""
    unit.execute(
        "UPDATE reports SET name = %s, dashboard = %s, document = %s::jsonb, cron = %s, timezone = %s, enabled = %s, "
        "next_at = %s, revision = revision + 1, updated_at = clock_timestamp(), updated_by = %s WHERE id = %s",
        (name, dashboard, json.dumps(dict(document)), cron, timezone, enabled, next_at, author, found.id),
    )
    unit.execute("DELETE FROM report_sinks WHERE report_id = %s", (found.id,))
    _name_sinks(unit, found.team, found.id, sinks)
    return get(unit, found.id)


def _name_sinks(unit: Unit, team: UUID, report: UUID, sinks: Sequence[UUID]) -> None:
    unit.execute(
        "INSERT INTO report_sinks (report_id, sink_id, team_id) SELECT %s, s, %s FROM unnest(%s::uuid[]) AS s "
        "ON CONFLICT DO NOTHING",
        (report, team, list(sinks)),
    )


def delete(unit: Unit, found: Report) -> None:
    unit.execute("DELETE FROM reports WHERE id = %s", (found.id,))


# Runs ----------------------------------------------------------------------------------------------------------------


def due(unit: Unit, now: datetime, limit: int = 100) -> list[Report]:
    """Reports whose time has come, locked; the caller gives each a run and its next time."""
    where = (
        "WHERE r.id IN (SELECT id FROM reports WHERE enabled AND next_at <= %s ORDER BY next_at LIMIT %s "
        "FOR NO KEY UPDATE SKIP LOCKED)"
    )
    return [_report(row) for row in unit.rows(f"{_SELECT} {where}", (now, limit))]


def begin_run(unit: Unit, report: Report, due_at: datetime, *, asked_by: str = "") -> UUID | None:
    """A run that waits for a worker; None where the calendar has one for this time already."""
    made = ids.new_id()
    row = unit.row(
        "INSERT INTO report_runs (id, report_id, team_id, due_at, asked_by) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING RETURNING id",
        (made, report.id, report.team, due_at, asked_by),
    )
    return row[0] if row else None


def ring(unit: Unit, run: UUID) -> None:
    """Has a worker make a run once this is committed."""
    unit.execute("SELECT dash.ring_report(%s)", (run,))


def set_next(unit: Unit, report: UUID, next_at: datetime | None) -> None:
    unit.execute("UPDATE reports SET next_at = %s WHERE id = %s", (next_at, report))


def waiting(unit: Unit, now: datetime, limit: int = 100) -> list[UUID]:
    """Runs that nobody has in hand."""
    rows = unit.rows(
        "SELECT id FROM report_runs WHERE state = 'queued' AND (lease_until IS NULL OR lease_until < %s) "
        "ORDER BY id LIMIT %s",
        (now, limit),
    )
    return [row[0] for row in rows]


def take_run(unit: Unit, run: UUID, now: datetime) -> Run | None:
    """The run in hand, under a lease that the caller commits; None where it is another's, done or gone."""
    row = unit.row(
        "UPDATE report_runs SET attempts = attempts + 1, lease_until = %(until)s WHERE id = %(run)s "
        f"AND state = 'queued' AND (lease_until IS NULL OR lease_until < %(now)s) RETURNING {_RUN}",
        {"run": run, "now": now, "until": now + LEASE},
    )
    return _run(row) if row else None


def finish_run(
    unit: Unit, run: Run, *, state: str, now: datetime, error: str = "", messages: Sequence[str] = (), bytes: int = 0
) -> bool:
    """Writes what became of a run; False where it was another's meanwhile, and nothing of it may stand."""
    row = unit.row(
        "UPDATE report_runs SET state = %s, error = %s, messages = %s, bytes = %s, lease_until = NULL, "
        "done_at = CASE WHEN %s = 'queued' THEN NULL ELSE %s END "
        "WHERE id = %s AND state = 'queued' AND attempts = %s RETURNING id",
        (state, error[:2000], list(messages), bytes, state, now, run.id, run.attempts),
    )
    return row is not None


def runs(unit: Unit, report: UUID, *, limit: int = 50) -> list[Run]:
    """What became of a report, newest first."""
    sql = f"SELECT {_RUN} FROM report_runs WHERE report_id = %s ORDER BY id DESC LIMIT %s"
    return [_run(row) for row in unit.rows(sql, (report, limit))]


def last_runs(unit: Unit, wanted: Sequence[UUID]) -> dict[UUID, Run]:
    """The newest run of each of these reports that has one."""
    sql = (
        f"SELECT DISTINCT ON (report_id) {_RUN} FROM report_runs WHERE report_id = ANY(%s) ORDER BY report_id, id DESC"
    )
    return {run.report: run for run in map(_run, unit.rows(sql, (list(wanted),)))}


def run(unit: Unit, id: UUID) -> Run:
    row = unit.row(f"SELECT {_RUN} FROM report_runs WHERE id = %s", (id,))
    if row is None:
        raise NotFound("no such run of a report")
    return _run(row)


def prune(unit: Unit) -> int:
    """Removes runs beyond the newest `KEPT_RUNS` of each report."""
    return unit.execute(
        "DELETE FROM report_runs WHERE id IN (SELECT id FROM (SELECT id, state, row_number() OVER "
        "(PARTITION BY report_id ORDER BY id DESC) AS place FROM report_runs) AS r "
        "WHERE place > %s AND state <> 'queued')",
        (KEPT_RUNS,),
    ).rowcount
