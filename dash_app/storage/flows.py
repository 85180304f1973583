"""Which pipelines take the records of which: the edges are the options of sources of the kind `pipeline`."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from dash_app.domain import ids
from dash_app.storage.unit import Unit


@dataclass(frozen=True, slots=True)
class Downstream:
    """A pipeline that takes another one's records."""

    id: UUID
    team: UUID
    slug: str


def downstream(unit: Unit, pipeline: UUID) -> list[Downstream]:
    """Those that take this pipeline's records, in order of id."""
    rows = unit.rows(
        "SELECT d.id, d.team_id, d.slug FROM pipelines d "
        "JOIN pipelines u ON u.id = %(pipeline)s AND u.team_id = d.team_id "
        "WHERE d.source_kind = 'pipeline' AND d.source_options ->> 'pipeline' = %(text)s AND d.state <> 'archived' "
        "ORDER BY d.id",
        {"pipeline": pipeline, "text": str(pipeline)},
    )
    return [Downstream(*row) for row in rows]


def upstream(unit: Unit, pipeline: UUID) -> UUID | None:
    """Whose records a pipeline takes; None where it takes nobody's."""
    text = unit.value(
        "SELECT source_options ->> 'pipeline' FROM pipelines WHERE id = %s AND source_kind = 'pipeline'", (pipeline,)
    )
    return ids.as_uuid(text) if text else None


def hold(unit: Unit, team: UUID) -> None:
    """Waits until nobody else changes a team's edges: two that are fine by themselves can make a loop together."""
    unit.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 22))", (str(team),))
