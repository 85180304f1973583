"""Sinks as the catalog keeps them: their documents without secrets, whose records they get, and how they fare.

Every function takes a unit of work and leaves the commit to its owner. What is sent through them is in
`storage.deliveries`.
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
from dash_app.domain.changes import SinkChanged
from dash_app.domain.errors import Conflict, NotFound, PreconditionFailed
from dash_app.storage.unit import Unit


@dataclass(frozen=True, slots=True)
class Health:
    """How a sink fares. `failures` in a row, `failing_since` the first of them; nothing is sent before `hold_until`."""

    failures: int = 0
    failing_since: datetime | None = None
    hold_until: datetime | None = None
    sent: int = 0
    failed: int = 0
    sent_at: datetime | None = None
    failed_at: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Sink:
    """A sink as it is stored. `state`: active | paused | disabled."""

    id: UUID
    team: UUID
    slug: str
    name: str
    kind: str
    #: Without its secrets.
    options: Mapping[str, Any]
    where: str
    template: Mapping[str, str] | None
    batch_size: int
    batch_seconds: float
    state: str
    #: Why it is as it is.
    note: str
    #: Grows by one with every change: the ETag.
    revision: int
    created_at: datetime
    updated_at: datetime
    updated_by: str
    #: Whose records it gets, by slug; none: alerts and reports alone.
    pipelines: tuple[str, ...]
    health: Health


_SELECT = """
SELECT s.id, s.team_id, s.slug, s.name, s.kind, s.options, s.condition, s.template, s.batch_size, s.batch_seconds,
  s.state, s.note, s.revision, s.created_at, s.updated_at, s.updated_by,
  ARRAY(SELECT p.slug FROM sink_pipelines sp JOIN pipelines p ON p.id = sp.pipeline_id AND p.state <> 'archived'
        WHERE sp.sink_id = s.id ORDER BY p.slug),
  h.failures, h.failing_since, h.hold_until, h.sent, h.failed, h.sent_at, h.failed_at, h.error
FROM sinks s JOIN sink_health h ON h.sink_id = s.id
"""


def _sink(row: Sequence[Any]) -> Sink:
    values = [*row[:16], tuple(row[16]), Health(*row[17:])]
    return Sink(*values)


def get(unit: Unit, ref: str | UUID) -> Sink:
    """The sink with this id or slug. Raises NotFound."""
    wanted = ref if isinstance(ref, UUID) else ids.as_uuid(ref)
    where = "s.id = %s" if wanted else "s.slug = %s"
    row = unit.row(f"{_SELECT} WHERE {where}", (wanted or str(ref),))
    if row is None:
        raise NotFound(f"no sink '{str(ref)[:80]}'")
    return _sink(row)


def lock(unit: Unit, ref: str | UUID, *, expected_revision: int | None = None) -> Sink:
    """The sink as it is, changed by nobody else until this transaction ends. Raises NotFound, PreconditionFailed."""
    found = get(unit, ref)
    unit.execute("SELECT FROM sinks WHERE id = %s FOR NO KEY UPDATE", (found.id,))
    found = get(unit, found.id)
    if expected_revision is not None and found.revision != expected_revision:
        raise PreconditionFailed(f"the sink is at revision {found.revision}, not {expected_revision}; read it again")
    return found


def lock_state(unit: Unit, sink: UUID) -> None:
    """Nobody else changes this sink until the transaction ends; nothing where it is gone."""
    unit.execute("SELECT FROM sinks WHERE id = %s FOR NO KEY UPDATE", (sink,))


def crowded(unit: Unit, pipelines: Sequence[UUID], sink: UUID | None, most: int) -> set[UUID]:
    """Of these pipelines, those whose records go to `most` sinks already and not to this one. Until the transaction
    ends nobody else finds room there."""
    for one in sorted(pipelines):
        unit.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 24))", (str(one),))
    return {
        row[0]
        for row in unit.rows(
            "SELECT pipeline_id FROM sink_pipelines WHERE pipeline_id = ANY(%(pipelines)s) GROUP BY pipeline_id "
            "HAVING count(*) >= %(most)s AND NOT coalesce(bool_or(sink_id = %(sink)s), false)",
            {"pipelines": list(pipelines), "most": most, "sink": sink},
        )
    }


def sinks(unit: Unit, *, limit: int = 1000, after: str | None = None) -> list[Sink]:
    """Sinks by slug, beginning after one."""
    return [
        _sink(row)
        for row in unit.rows(
            f"{_SELECT} WHERE %(after)s::text IS NULL OR s.slug > %(after)s ORDER BY s.slug LIMIT %(limit)s",
            {"after": after, "limit": limit},
        )
    ]


def find(unit: Unit, refs: Sequence[str]) -> dict[str, UUID]:
    """Ids of the sinks that these slugs or ids name; those that are not there are left out."""
    found = unit.rows(
        "SELECT slug, id FROM sinks WHERE slug = ANY(%(refs)s) OR id::text = ANY(%(refs)s)", {"refs": list(refs)}
    )
    by_name = {name: id for slug, id in found for name in (slug, str(id))}
    return {ref: by_name[ref] for ref in refs if ref in by_name}


def of_pipeline(unit: Unit, pipeline: UUID) -> list[Sink]:
    """Sinks that get this pipeline's records, by slug."""
    return [
        _sink(row)
        for row in unit.rows(
            f"{_SELECT} JOIN sink_pipelines f ON f.sink_id = s.id WHERE f.pipeline_id = %s ORDER BY s.slug", (pipeline,)
        )
    ]


@dataclass(frozen=True, slots=True)
class Feed:
    """What ingest must know of a sink that gets a pipeline's records."""

    sink: UUID
    team: UUID
    #: The pipeline's slug.
    origin: str
    revision: int
    where: str
    batch_size: int
    batch_seconds: float


def feeds(unit: Unit, pipeline: UUID) -> list[Feed]:
    """Sinks that get this pipeline's records now: active ones, and paused ones, whose messages wait."""
    return [
        Feed(*row)
        for row in unit.rows(
            "SELECT s.id, s.team_id, p.slug, s.revision, s.condition, s.batch_size, s.batch_seconds "
            "FROM sink_pipelines f JOIN sinks s ON s.id = f.sink_id JOIN pipelines p ON p.id = f.pipeline_id "
            "WHERE f.pipeline_id = %s AND s.state <> 'disabled' ORDER BY s.id",
            (pipeline,),
        )
    ]


def telling(unit: Unit, team: UUID, kinds: Sequence[str], *, besides: UUID, limit: int = 5) -> list[UUID]:
    """Active sinks of the team that serve alerts and reports alone and are of these kinds."""
    rows = unit.rows(
        "SELECT s.id FROM sinks s WHERE s.team_id = %s AND s.state = 'active' AND s.kind = ANY(%s) AND s.id <> %s "
        "AND NOT EXISTS (SELECT FROM sink_pipelines f WHERE f.sink_id = s.id) ORDER BY s.slug LIMIT %s",
        (team, list(kinds), besides, limit),
    )
    return [row[0] for row in rows]


def create(
    unit: Unit,
    team: UUID,
    *,
    slug: str,
    name: str,
    kind: str,
    options: Mapping[str, Any],
    where: str = "",
    template: Mapping[str, str] | None = None,
    batch_size: int = 1,
    batch_seconds: float = 0,
    pipelines: Sequence[UUID] = (),
    author: str = "",
) -> Sink:
    """A new active sink. Raises Conflict where the slug is taken."""
    made = ids.new_id()
    unit.execute("SAVEPOINT sink")
    try:
        unit.execute(
            "INSERT INTO sinks (id, team_id, slug, name, kind, options, condition, template, batch_size, "
            "batch_seconds, created_by, updated_by) "
            "VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s, %s::jsonb, %s, %s, %s, %s)",
            (
                *(made, team, slug, name, kind, json.dumps(dict(options)), where),
                *(json.dumps(dict(template)) if template else None, batch_size, batch_seconds, author, author),
            ),
        )
    except psycopg.errors.UniqueViolation as error:
        unit.execute("ROLLBACK TO SAVEPOINT sink")
        raise Conflict(f"there is a sink '{slug}' already; choose another slug") from error
    unit.execute("RELEASE SAVEPOINT sink")
    unit.execute("INSERT INTO sink_health (sink_id, team_id) VALUES (%s, %s)", (made, team))
    _feed(unit, team, made, pipelines)
    unit.notify(SinkChanged(str(made)))
    return get(unit, made)


def update(
    unit: Unit,
    found: Sink,
    *,
    name: str,
    options: Mapping[str, Any],
    where: str,
    template: Mapping[str, str] | None,
    batch_size: int,
    batch_seconds: float,
    pipelines: Sequence[UUID],
    author: str = "",
) -> Sink:
    """Writes a locked sink's document anew; its breaker closes, since what failed may be mended."""
    unit.execute(
        "UPDATE sinks SET name = %s, options = %s::jsonb, condition = %s, template = %s::jsonb, batch_size = %s, "
        "batch_seconds = %s, revision = revision + 1, updated_at = clock_timestamp(), updated_by = %s WHERE id = %s",
        (
            *(name, json.dumps(dict(options)), where, json.dumps(dict(template)) if template else None),
            *(batch_size, batch_seconds, author, found.id),
        ),
    )
    unit.execute("DELETE FROM sink_pipelines WHERE sink_id = %s", (found.id,))
    _feed(unit, found.team, found.id, pipelines)
    unit.execute("UPDATE sink_health SET hold_until = NULL WHERE sink_id = %s", (found.id,))
    unit.notify(SinkChanged(str(found.id)))
    return get(unit, found.id)


def _feed(unit: Unit, team: UUID, sink: UUID, pipelines: Sequence[UUID]) -> None:
    unit.execute(
        "INSERT INTO sink_pipelines (pipeline_id, sink_id, team_id) SELECT p, %s, %s FROM unnest(%s::uuid[]) AS p "
        "ON CONFLICT DO NOTHING",
        (sink, team, list(pipelines)),
    )


def move(unit: Unit, sink: UUID, state: str, note: str, author: str = "") -> Sink:
    """Sets a sink's state with the reason. An active one begins with a clean slate."""
    unit.execute(
        "UPDATE sinks SET state = %s, note = %s, revision = revision + 1, updated_at = clock_timestamp(), "
        "updated_by = %s WHERE id = %s",
        (state, note, author, sink),
    )
    if state == "active":
        unit.execute(
            "UPDATE sink_health SET failures = 0, failing_since = NULL, hold_until = NULL WHERE sink_id = %s", (sink,)
        )
    unit.notify(SinkChanged(str(sink)))
    return get(unit, sink)


def delete(unit: Unit, sink: UUID) -> None:
    """Takes a sink away. What it delivered goes a little later (`deliveries.prune`)."""
    unit.execute("DELETE FROM batch_parts WHERE sink_id = %s", (sink,))
    unit.execute("DELETE FROM sinks WHERE id = %s", (sink,))
    unit.notify(SinkChanged(str(sink)))
