"""Taking turns at evaluating rules: whose pipelines are due, what their rules are, where their states stand.

A pipeline with rules has one row in `alert_turns`. Who evaluates holds its lock until the commit that writes states,
events and messages, so that of any number of evaluators one moves a state, and a crash leaves it to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dash_app.domain.alert_machine import State
from dash_app.domain.changes import AlertChanged
from dash_app.storage.unit import Unit


@dataclass(frozen=True, slots=True)
class Turn:
    """A pipeline whose rules are looked at now, locked. `revision`, `generation`: the pipeline's, as it is;
    `seen_generation`: when it was looked at last, 0: never; `ingested`: when something was mapped last."""

    pipeline: UUID
    team: UUID
    slug: str
    name: str
    state: str
    created_at: datetime
    revision: int
    generation: int
    changes: int
    holder: str
    seen_generation: int
    ingested: datetime | None
    last_received: datetime | None
    evaluated_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule as its evaluator needs it. `sinks`: those that it tells and that there still are."""

    id: UUID
    team: UUID
    pipeline: UUID
    slug: str
    name: str
    severity: str
    labels: Mapping[str, str]
    document: Mapping[str, Any]
    error: str
    sinks: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event to be kept."""

    alert: UUID
    team: UUID
    series: str
    at: datetime
    what: str
    value: float | None
    told: bool
    muted: str


_TAKE = """
SELECT t.pipeline_id, t.team_id, p.slug, p.name, p.state, p.created_at, p.revision, p.generation, t.changes, t.holder,
       t.generation, c.last_ingested, c.last_received, t.evaluated_at
FROM alert_turns t JOIN pipelines p ON p.id = t.pipeline_id LEFT JOIN pipeline_counts c ON c.pipeline_id = t.pipeline_id
WHERE p.state <> 'archived' AND (
  t.next_at <= %(now)s
  OR ((c.last_ingested IS DISTINCT FROM t.ingested OR t.pipeline_id = ANY(%(touched)s) OR p.generation <> t.generation)
      AND (t.evaluated_at IS NULL OR t.evaluated_at <= %(now)s - make_interval(secs => t.pace)))
  OR %(all)s)
  AND t.pipeline_id <> ALL(%(without)s) AND (%(only)s::uuid[] IS NULL OR t.pipeline_id = ANY(%(only)s))
ORDER BY t.evaluated_at NULLS FIRST LIMIT %(limit)s
FOR UPDATE OF t SKIP LOCKED
"""


def take(
    unit: Unit,
    now: datetime,
    *,
    touched: Sequence[UUID] = (),
    everything: bool = False,
    limit: int = 50,
    without: Sequence[UUID] = (),
    only: Sequence[UUID] | None = None,
) -> list[Turn]:
    """Pipelines that are due, those that have waited longest first: their clock asks for it, records came, history was
    rewritten, or (`touched`) somebody heard of records. Those that others are looking at are left out, and those in
    `without` or not in `only`."""
    wanted = {
        "now": now,
        "touched": list(touched),
        "all": everything,
        "limit": limit,
        "without": list(without),
        "only": None if only is None else list(only),
    }
    return [Turn(*row) for row in unit.rows(_TAKE, wanted)]


def take_one(unit: Unit, pipeline: UUID) -> Turn | None:
    """The turn of one pipeline, due or not; None where somebody else has it."""
    sql = f"{_TAKE.split('WHERE')[0]} WHERE p.state <> 'archived' AND t.pipeline_id = %s FOR UPDATE OF t SKIP LOCKED"
    row = unit.row(sql, (pipeline,))
    return Turn(*row) if row else None


def next_due(unit: Unit) -> datetime | None:
    """When the clock asks for the next look at any pipeline."""
    due: datetime | None = unit.value(
        "SELECT min(t.next_at) FROM alert_turns t JOIN pipelines p ON p.id = t.pipeline_id WHERE p.state <> 'archived'"
    )
    return due


def finish(unit: Unit, done: Sequence[tuple[Turn, datetime, float]], holder: str, at: datetime) -> None:
    """Notes looks that have ended: each turn with when the next is due, and its pace. Turns without rules go."""
    unit.execute(
        "UPDATE alert_turns t SET holder = %(holder)s, generation = d.generation, ingested = d.ingested, "
        "evaluated_at = %(at)s, next_at = d.next_at, pace = d.pace "
        "FROM unnest(%(pipelines)s::uuid[], %(generations)s::int[], %(ingested)s::timestamptz[], "
        "%(next)s::timestamptz[], %(paces)s::float8[]) AS d(pipeline, generation, ingested, next_at, pace) "
        "WHERE t.pipeline_id = d.pipeline",
        {
            "holder": holder,
            "at": at,
            "pipelines": [turn.pipeline for turn, _, _ in done],
            "generations": [turn.generation for turn, _, _ in done],
            "ingested": [turn.ingested for turn, _, _ in done],
            "next": [due for _, due, _ in done],
            "paces": [pace for _, _, pace in done],
        },
    )


def drop(unit: Unit, pipeline: UUID) -> None:
    """A turn of a pipeline that has no rules any more."""
    unit.execute("DELETE FROM alert_turns WHERE pipeline_id = %s", (pipeline,))


def rules(unit: Unit, pipeline: UUID) -> list[StoredRule]:
    """The rules of a pipeline that are on, by slug."""
    return [
        StoredRule(*(*row[:9], tuple(row[9] or ())))
        for row in unit.rows(
            "SELECT a.id, a.team_id, a.pipeline_id, a.slug, a.name, a.severity, a.labels, a.document, a.error, "
            "(SELECT array_agg(k.sink_id ORDER BY k.sink_id) FROM alert_sinks k WHERE k.alert_id = a.id) "
            "FROM alerts a WHERE a.pipeline_id = %s AND a.enabled ORDER BY a.slug",
            (pipeline,),
        )
    ]


def has_rules(unit: Unit, pipeline: UUID) -> bool:
    """Whether a pipeline has any rule, be it one that is off."""
    return bool(unit.value("SELECT EXISTS (SELECT FROM alerts WHERE pipeline_id = %s)", (pipeline,)))


def states(unit: Unit, pipeline: UUID) -> tuple[dict[UUID, dict[str, State]], dict[UUID, dict[str, datetime]]]:
    """Where all series of a pipeline's rules stand, and when each was noted to have data, by rule and series."""
    found: dict[UUID, dict[str, State]] = {}
    seen: dict[UUID, dict[str, datetime]] = {}
    for alert, series, seen_at, *row in unit.rows(
        "SELECT s.alert_id, s.series, s.seen_at, s.state, s.since, s.value, s.good_since, s.told, s.told_at, s.quiet, "
        "s.acknowledged_at IS NOT NULL FROM alert_states s JOIN alerts a ON a.id = s.alert_id "
        "WHERE a.pipeline_id = %s AND a.enabled",
        (pipeline,),
    ):
        found.setdefault(alert, {})[series] = State(*row)
        if seen_at is not None:
            seen.setdefault(alert, {})[series] = seen_at
    return found, seen


def save_states(unit: Unit, team: UUID, changed: Sequence[tuple[UUID, str, State, bool]], at: datetime) -> None:
    """Writes states anew, each with whether the series has data now; who acknowledged one is forgotten where the state
    is not acknowledged any more."""
    unit.execute(
        "INSERT INTO alert_states AS s (alert_id, series, team_id, state, since, value, good_since, told, told_at, "
        "quiet, seen_at) SELECT d.* FROM (SELECT u.alert, u.series, %(team)s::uuid, u.state, u.since, u.value, "
        "u.good_since, u.told, u.told_at, u.quiet, CASE WHEN u.here THEN %(at)s::timestamptz END "
        "FROM unnest(%(alerts)s::uuid[], %(series)s::text[], "
        "%(states)s::text[], %(since)s::timestamptz[], %(values)s::float8[], %(good)s::timestamptz[], "
        "%(told)s::text[], %(told_at)s::timestamptz[], %(quiet)s::bool[], %(here)s::bool[]) "
        "AS u(alert, series, state, since, value, good_since, told, told_at, quiet, here)) d "
        # A rule may have been deleted by who did not wait for this turn.
        "WHERE EXISTS (SELECT FROM alerts a WHERE a.id = d.alert) "
        "ON CONFLICT (alert_id, series) DO UPDATE SET state = excluded.state, since = excluded.since, "
        "value = excluded.value, good_since = excluded.good_since, told = excluded.told, told_at = excluded.told_at, "
        "quiet = excluded.quiet, seen_at = coalesce(excluded.seen_at, s.seen_at), "
        "acknowledged_at = CASE WHEN excluded.since IS NOT DISTINCT FROM s.since THEN s.acknowledged_at END, "
        "acknowledged_by = CASE WHEN excluded.since IS NOT DISTINCT FROM s.since THEN s.acknowledged_by ELSE '' END, "
        "note = CASE WHEN excluded.since IS NOT DISTINCT FROM s.since THEN s.note ELSE '' END",
        {
            "team": team,
            "at": at,
            "alerts": [alert for alert, _, _, _ in changed],
            "series": [series for _, series, _, _ in changed],
            "states": [state.state for _, _, state, _ in changed],
            "since": [state.since for _, _, state, _ in changed],
            "values": [state.value for _, _, state, _ in changed],
            "good": [state.good_since for _, _, state, _ in changed],
            "told": [state.told for _, _, state, _ in changed],
            "told_at": [state.told_at for _, _, state, _ in changed],
            "quiet": [state.quiet for _, _, state, _ in changed],
            "here": [here for _, _, _, here in changed],
        },
    )


def forget(unit: Unit, gone: Sequence[tuple[UUID, str]]) -> None:
    """Forgets series that were well and have no data any more."""
    unit.execute(
        "DELETE FROM alert_states s USING unnest(%s::uuid[], %s::text[]) AS g(alert, series) "
        "WHERE s.alert_id = g.alert AND s.series = g.series",
        ([alert for alert, _ in gone], [series for _, series in gone]),
    )


def add_events(unit: Unit, events: Sequence[StoredEvent]) -> None:
    unit.executemany(
        "INSERT INTO alert_events (alert_id, team_id, series, at, what, value, told, muted) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [(e.alert, e.team, e.series, e.at, e.what, e.value, e.told, e.muted) for e in events],
    )
    unit.notify(*(AlertChanged(str(alert)) for alert in dict.fromkeys(e.alert for e in events)))


def note_error(unit: Unit, alert: UUID, error: str) -> None:
    """Says why a rule cannot be evaluated; '': it can again."""
    if unit.execute("UPDATE alerts SET error = %s WHERE id = %s AND error <> %s", (error, alert, error)).rowcount:
        unit.notify(AlertChanged(str(alert)))
