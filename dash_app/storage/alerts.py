"""Alert rules, where their series stand, and what has happened to them, as pages and the API read and write them.

What evaluates rules works through `alert_turns`; whatever is changed here for it is noted on the pipeline's turn, so
that the evaluator which knows the states by heart reads them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from dash_app.domain import ids
from dash_app.domain.alerts import AlertSpec
from dash_app.domain.changes import AlertChanged
from dash_app.domain.errors import Conflict, NotFound
from dash_app.storage.unit import Unit


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule. `pipeline`, `pipeline_slug`: what it watches; `error`: why it cannot be evaluated now, or ''."""

    id: UUID
    team: UUID
    slug: str
    name: str
    severity: str
    labels: Mapping[str, str]
    pipeline: UUID
    pipeline_slug: str
    document: Mapping[str, Any]
    enabled: bool
    error: str
    revision: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True)
class AlertLine:
    """A rule as lists show it. `state`: the worst of its series' (firing, no_data, pending, ok), '' where it was never
    looked at; the numbers count its series in each."""

    alert: Alert
    state: str
    firing: int
    pending: int
    no_data: int
    series: int
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class AlertState:
    """Where one series of a rule stands. `series`: the values of its `by`."""

    alert: UUID
    slug: str
    name: str
    severity: str
    labels: Mapping[str, str]
    pipeline: UUID
    pipeline_slug: str
    series: Mapping[str, Any]
    key: str
    state: str
    since: datetime | None
    value: float | None
    told: str
    acknowledged_at: datetime | None
    acknowledged_by: str
    note: str


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something that happened to a series of a rule. `muted`: why nobody was told who would have been."""

    id: int
    alert: UUID
    slug: str
    name: str
    severity: str
    series: Mapping[str, Any]
    at: datetime
    what: str
    value: float | None
    told: bool
    muted: str
    by: str
    note: str


_ALERT = """
a.id, a.team_id, a.slug, a.name, a.severity, a.labels, a.pipeline_id, p.slug, a.document, a.enabled, a.error,
a.revision, a.created_at, a.created_by, a.updated_at, a.updated_by
"""
_FROM = "alerts a JOIN pipelines p ON p.id = a.pipeline_id"
_STATE = """
s.alert_id, a.slug, a.name, a.severity, a.labels, a.pipeline_id, p.slug, s.series::jsonb, s.series, s.state, s.since,
s.value, s.told, s.acknowledged_at, s.acknowledged_by, s.note
"""
_EVENT = """
e.id, e.alert_id, a.slug, a.name, a.severity, e.series::jsonb, e.at, e.what, e.value, e.told, e.muted, e.by, e.note
"""


# Rules ---------------------------------------------------------------------------------------------------------------


def create(
    unit: Unit, team: UUID, spec: AlertSpec, pipeline: UUID, sinks: Sequence[UUID], *, author: str = ""
) -> Alert:
    """A new rule; Conflict where the slug is taken."""
    made = ids.new_id()
    try:
        with unit.driver.transaction():
            unit.execute(
                "INSERT INTO alerts (id, team_id, slug, name, severity, labels, pipeline_id, document, enabled, "
                "created_by, updated_by) VALUES (%(id)s, %(team)s, %(slug)s, %(name)s, %(severity)s, %(labels)s, "
                "%(pipeline)s, %(document)s, %(enabled)s, %(author)s, %(author)s)",
                _columns(spec, pipeline, author) | {"id": made, "team": team},
            )
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(f"there is a rule '{spec.slug}' already; choose another slug") from error
    # The turn comes before the sinks, as for the evaluator.
    disturb(unit, team, [pipeline])
    _name_sinks(unit, team, made, sinks)
    unit.notify(AlertChanged(str(made)))
    return get(unit, made)


def get(unit: Unit, ref: str | UUID) -> Alert:
    """The rule with this id or slug; NotFound otherwise."""
    wanted = ref if isinstance(ref, UUID) else ids.as_uuid(ref)
    where = "a.id = %s" if wanted else "a.slug = %s"
    row = unit.row(f"SELECT {_ALERT} FROM {_FROM} WHERE {where}", (wanted or str(ref)[:80],))
    if row is None:
        raise NotFound(f"no alert rule '{str(ref)[:80]}'")
    return Alert(*row)


def lock(unit: Unit, ref: str | UUID, *, also: Sequence[UUID] = ()) -> Alert:
    """The rule as it is, changed by nobody else until this transaction ends, and then looked at anew.

    The turns come first, as for the evaluator, so that the two never wait for each other in a circle; `also`: further
    pipelines that the change is going to concern.
    """
    found = get(unit, ref)
    disturb(unit, found.team, [found.pipeline, *also], rules=False)
    unit.execute("SELECT FROM alerts WHERE id = %s FOR NO KEY UPDATE", (found.id,))
    return get(unit, found.id)


def update(
    unit: Unit, found: Alert, spec: AlertSpec, pipeline: UUID, sinks: Sequence[UUID], *, afresh: bool, author: str = ""
) -> Alert:
    """The next revision of a rule that the caller has locked. `afresh`: what is watched has changed, so that its
    states say nothing any more and go."""
    try:
        with unit.driver.transaction():
            unit.execute(
                "UPDATE alerts SET slug = %(slug)s, name = %(name)s, severity = %(severity)s, labels = %(labels)s, "
                "pipeline_id = %(pipeline)s, document = %(document)s, enabled = %(enabled)s, error = '', "
                "revision = revision + 1, updated_at = clock_timestamp(), updated_by = %(author)s WHERE id = %(id)s",
                _columns(spec, pipeline, author) | {"id": found.id},
            )
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(f"there is a rule '{spec.slug}' already; choose another slug") from error
    if afresh:
        unit.execute("DELETE FROM alert_states WHERE alert_id = %s", (found.id,))
    disturb(unit, found.team, [found.pipeline, pipeline])
    _name_sinks(unit, found.team, found.id, sinks)
    unit.notify(AlertChanged(str(found.id)))
    return get(unit, found.id)


def delete(unit: Unit, found: Alert) -> None:
    """Takes a rule away, which the caller has locked, with its states and its history."""
    unit.execute("DELETE FROM alerts WHERE id = %s", (found.id,))
    disturb(unit, found.team, [found.pipeline])
    unit.notify(AlertChanged(str(found.id)))


def lines(
    unit: Unit, *, search: str = "", pipeline: UUID | None = None, limit: int = 1000, after: str = ""
) -> list[AlertLine]:
    """The team's rules by slug, beginning after one; with `search` those in whose name, slug or pipeline it occurs."""
    rows = unit.rows(
        f"SELECT {_ALERT}, coalesce(s.firing, 0), coalesce(s.pending, 0), coalesce(s.no_data, 0), "
        f"coalesce(s.series, 0), s.changed FROM {_FROM} LEFT JOIN LATERAL (SELECT "
        "count(*) FILTER (WHERE state = 'firing') AS firing, count(*) FILTER (WHERE state = 'pending') AS pending, "
        "count(*) FILTER (WHERE state = 'no_data') AS no_data, count(*) AS series, max(since) AS changed "
        "FROM alert_states s WHERE s.alert_id = a.id) s ON true "
        "WHERE a.slug > %(after)s AND (%(pipeline)s::uuid IS NULL OR a.pipeline_id = %(pipeline)s) "
        "AND (%(search)s = '' OR strpos(lower(concat_ws(' ', a.name, a.slug, p.slug)), %(search)s) > 0) "
        "ORDER BY a.slug LIMIT %(limit)s",
        {"after": after, "pipeline": pipeline, "search": search.strip().lower(), "limit": limit},
    )
    return [_line(row) for row in rows]


def _line(row: Sequence[Any]) -> AlertLine:
    alert = Alert(*row[:16])
    firing, pending, no_data, series, changed = row[16:]
    named = {"firing": firing, "no_data": no_data, "pending": pending, "ok": series}
    state = next((name for name, count in named.items() if count), "")
    return AlertLine(alert, state, firing, pending, no_data, series, changed)


def of_sink(unit: Unit, sink: UUID) -> list[Alert]:
    """Rules that tell a sink, by slug."""
    where = "EXISTS (SELECT FROM alert_sinks k WHERE k.alert_id = a.id AND k.sink_id = %s)"
    return [Alert(*row) for row in unit.rows(f"SELECT {_ALERT} FROM {_FROM} WHERE {where} ORDER BY a.slug", (sink,))]


def _name_sinks(unit: Unit, team: UUID, alert: UUID, sinks: Sequence[UUID]) -> None:
    """Raises Conflict where one of them has been deleted since it was found; none is until this transaction ends."""
    wanted = list(dict.fromkeys(sinks))
    held = unit.rows("SELECT id FROM sinks WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE", (wanted,))
    if len(held) != len(wanted):
        raise Conflict("a sink of this rule was deleted just now; choose its sinks again")
    unit.execute("DELETE FROM alert_sinks WHERE alert_id = %s", (alert,))
    unit.executemany(
        "INSERT INTO alert_sinks (alert_id, sink_id, team_id) VALUES (%s, %s, %s)",
        [(alert, sink, team) for sink in wanted],
    )


def kinds_of_sinks(unit: Unit, sinks: Sequence[UUID]) -> dict[UUID, str]:
    """The kind of each of these sinks."""
    return dict(unit.rows("SELECT id, kind FROM sinks WHERE id = ANY(%s)", (list(sinks),)))


def _columns(spec: AlertSpec, pipeline: UUID, author: str) -> dict[str, Any]:
    return {
        "slug": spec.slug,
        "name": spec.name,
        "severity": spec.severity,
        "labels": json.dumps(dict(spec.labels)),
        "pipeline": pipeline,
        "document": json.dumps(dict(spec.document)),
        "enabled": spec.enabled,
        "author": author,
    }


def disturb(unit: Unit, team: UUID, pipelines: Sequence[UUID], *, rules: bool = True) -> None:
    """Has the rules of these pipelines read again (`rules`), or only where their series stand, and looked at as soon as
    may be."""
    for pipeline in sorted(set(pipelines)):
        unit.execute(
            "INSERT INTO alert_turns AS t (pipeline_id, team_id) VALUES (%s, %s) ON CONFLICT (pipeline_id) DO UPDATE "
            "SET changes = t.changes + %s, holder = '', next_at = '-infinity'",
            (pipeline, team, int(rules)),
        )


def hurry(unit: Unit, team: UUID) -> None:
    """Has all of a team's rules looked at as soon as may be."""
    unit.execute(
        "UPDATE alert_turns SET next_at = '-infinity' WHERE pipeline_id IN "
        "(SELECT pipeline_id FROM alert_turns WHERE team_id = %s ORDER BY pipeline_id FOR UPDATE)",
        (team,),
    )


# States --------------------------------------------------------------------------------------------------------------


def states(unit: Unit, alert: UUID, *, limit: int = 1000) -> list[AlertState]:
    """Where the series of a rule stand: firing ones first, then by name."""
    rows = unit.rows(
        f"SELECT {_STATE} FROM alert_states s JOIN {_FROM} ON a.id = s.alert_id WHERE s.alert_id = %s "
        "ORDER BY array_position(ARRAY['firing', 'no_data', 'pending', 'ok'], s.state), s.series LIMIT %s",
        (alert, limit),
    )
    return [AlertState(*row) for row in rows]


def firing(unit: Unit, *, pending: bool = True, limit: int = 1000) -> list[AlertState]:
    """All series of the team that fire or have no data (and those that are about to), the worst and newest first.

    Rules that are off and those of archived pipelines, which nobody looks at, are left out.
    """
    rows = unit.rows(
        f"SELECT {_STATE} FROM alert_states s JOIN {_FROM} ON a.id = s.alert_id "
        "WHERE s.state <> 'ok' AND a.enabled AND p.state <> 'archived' AND (%s OR s.state <> 'pending') "
        "ORDER BY array_position(ARRAY['firing', 'no_data', 'pending'], s.state), "
        "array_position(ARRAY['critical', 'warning', 'info'], a.severity), s.since DESC, a.slug, s.series LIMIT %s",
        (pending, limit),
    )
    return [AlertState(*row) for row in rows]


def counts(unit: Unit) -> dict[str, int]:
    """How many series of the team's rules fire, lack data or are about to fire."""
    found = dict(
        unit.rows(
            f"SELECT s.state, count(*) FROM alert_states s JOIN {_FROM} ON a.id = s.alert_id "
            "WHERE s.state <> 'ok' AND a.enabled AND p.state <> 'archived' GROUP BY s.state"
        )
    )
    return {name: found.get(name, 0) for name in ("firing", "no_data", "pending")}


def acknowledge(unit: Unit, found: Alert, key: str | None, *, by: str, note: str) -> int:
    """Marks firing series (one, or None: all) of a locked rule as seen to by somebody; answers how many."""
    rows = unit.rows(
        "UPDATE alert_states SET acknowledged_at = clock_timestamp(), acknowledged_by = %(by)s, note = %(note)s "
        "WHERE alert_id = %(alert)s AND (%(key)s::text IS NULL OR series = %(key)s) "
        "AND state IN ('firing', 'no_data') RETURNING series, value",
        {"alert": found.id, "key": key, "by": by, "note": note},
    )
    unit.executemany(
        "INSERT INTO alert_events (alert_id, team_id, series, at, what, value, by, note) "
        "VALUES (%s, %s, %s, clock_timestamp(), 'acknowledged', %s, %s, %s)",
        [(found.id, found.team, series, value, by, note) for series, value in rows],
    )
    if rows:
        unit.notify(AlertChanged(str(found.id)))
    return len(rows)


def told(unit: Unit, alert: UUID) -> list[tuple[str, float | None, datetime | None]]:
    """(series, value, since) of what a rule's receivers were told of last, and that is not over."""
    return [
        (series, value, since)
        for series, value, since in unit.rows(
            "SELECT series, value, since FROM alert_states WHERE alert_id = %s AND told <> '' ORDER BY series", (alert,)
        )
    ]


def sinks_of(unit: Unit, alert: UUID) -> list[UUID]:
    """Sinks that a rule tells."""
    return [row[0] for row in unit.rows("SELECT sink_id FROM alert_sinks WHERE alert_id = %s ORDER BY 1", (alert,))]


def note_ends(unit: Unit, found: Alert, series: Sequence[str], *, by: str, note: str) -> None:
    """Notes in the history of a rule that series were told to be over."""
    unit.executemany(
        "INSERT INTO alert_events (alert_id, team_id, series, at, what, told, by, note) "
        "VALUES (%s, %s, %s, clock_timestamp(), 'resolved', true, %s, %s)",
        [(found.id, found.team, key, by, note) for key in series],
    )


def of_pipeline(unit: Unit, pipeline: UUID) -> list[UUID]:
    """The rules that watch a pipeline, on or off."""
    return [row[0] for row in unit.rows("SELECT id FROM alerts WHERE pipeline_id = %s ORDER BY id", (pipeline,))]


def forget_all(unit: Unit, found: Alert) -> None:
    """Forgets where all series of a locked rule stand."""
    if unit.execute("DELETE FROM alert_states WHERE alert_id = %s", (found.id,)).rowcount:
        unit.notify(AlertChanged(str(found.id)))


def forget(unit: Unit, found: Alert, key: str) -> bool:
    """Forgets a series of a locked rule that will not come back; whether it was known."""
    gone = unit.execute("DELETE FROM alert_states WHERE alert_id = %s AND series = %s", (found.id, key)).rowcount > 0
    if gone:
        unit.notify(AlertChanged(str(found.id)))
    return gone


# History -------------------------------------------------------------------------------------------------------------


def history(
    unit: Unit, alert: UUID, *, limit: int = 100, before: int | None = None, series: str | None = None
) -> list[AlertEvent]:
    """What happened to a rule, newest first, before an event's id."""
    rows = unit.rows(
        f"SELECT {_EVENT} FROM alert_events e JOIN alerts a ON a.id = e.alert_id WHERE e.alert_id = %(alert)s "
        "AND (%(before)s::bigint IS NULL OR e.id < %(before)s) AND (%(series)s::text IS NULL OR e.series = %(series)s) "
        "ORDER BY e.id DESC LIMIT %(limit)s",
        {"alert": alert, "before": before, "series": series, "limit": limit},
    )
    return [AlertEvent(*row) for row in rows]


def between(
    unit: Unit, start: datetime, end: datetime, *, pipelines: Sequence[UUID] | None = None, limit: int = 1000
) -> list[AlertEvent]:
    """What began to fire or lack data, and what was over, in a stretch of time, newest first."""
    rows = unit.rows(
        f"SELECT {_EVENT} FROM alert_events e JOIN alerts a ON a.id = e.alert_id "
        "WHERE e.at >= %(start)s AND e.at < %(end)s AND e.what IN ('firing', 'no_data', 'resolved') "
        "AND (%(pipelines)s::uuid[] IS NULL OR a.pipeline_id = ANY(%(pipelines)s)) ORDER BY e.at DESC LIMIT %(limit)s",
        {"start": start, "end": end, "pipelines": None if pipelines is None else list(pipelines), "limit": limit},
    )
    return [AlertEvent(*row) for row in rows]


def prune(unit: Unit, *, keep_days: int = 400, pending_days: int = 14, at_once: int = 20_000) -> int:
    """Removes events and silences of long ago, a bounded number at a time; how many went. What was only about to fire
    and did not, of which there may be a great deal, is kept for a shorter time."""
    gone = 0
    for table, where, days in (
        ("alert_events", "at < now() - make_interval(days => %s)", keep_days),
        ("alert_events", "what IN ('pending', 'cleared') AND at < now() - make_interval(days => %s)", pending_days),
        ("silences", "ends_at < now() - make_interval(days => %s)", keep_days),
    ):
        sql = f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {where} LIMIT %s)"
        gone += unit.execute(sql, (days, at_once)).rowcount
    return gone
