"""What rules watch of pipelines themselves: silence, failed polls, rejects, drift, lag."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from dash_app.storage.unit import Unit

#: Rejects of a window that are counted; with so many the share is what it is.
MOST_REJECTS = 200_000


def failures(unit: Unit, pipeline: UUID) -> int:
    """How many runs of a source in a row have failed."""
    return int(unit.value("SELECT failures FROM polls WHERE pipeline_id = %s", (pipeline,)) or 0)


def waiting_since(unit: Unit, pipeline: UUID) -> datetime | None:
    """When the oldest payload came that is still to be mapped."""
    since: datetime | None = unit.value("SELECT min(created_at) FROM batches WHERE pipeline_id = %s", (pipeline,))
    return since


def rejects(unit: Unit, team: UUID, pipeline: UUID, start: datetime, end: datetime) -> int:
    """Rejects that were noted in a stretch of time."""
    return int(
        unit.value(
            "SELECT count(*) FROM (SELECT FROM rejects WHERE team_id = %s AND pipeline_id = %s "
            "AND at >= %s AND at < %s LIMIT %s) r",
            (team, pipeline, start, end, MOST_REJECTS),
        )
    )


def drifts(unit: Unit, pipeline: UUID, start: datetime, end: datetime) -> int:
    """Fields that were seen to be new, changed or vanished in a stretch of time."""
    return int(
        unit.value(
            "SELECT count(*) FROM drift_events WHERE pipeline_id = %s AND at >= %s AND at < %s AND what <> 'returned'",
            (pipeline, start, end),
        )
    )
