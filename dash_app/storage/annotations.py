"""Annotations that people write on a dashboard: a moment or a span of time with a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.changes import AnnotationsChanged
from dash_app.domain.errors import NotFound
from dash_app.storage.unit import Unit

#: Annotations that are read of one dashboard and range at most, the newest.
MOST = 1000

_COLUMNS = "id, time, time_end, content, tags, tile, author, created_at, updated_at"


@dataclass(frozen=True, slots=True)
class Annotation:
    """`time_end`: None for a moment; `tile`: the tile that it belongs to, '' for all charts of the dashboard."""

    id: UUID
    time: datetime
    time_end: datetime | None
    text: str
    tags: Sequence[str]
    tile: str
    author: str
    created_at: datetime
    updated_at: datetime


def create(
    unit: Unit,
    team: UUID,
    dashboard: UUID,
    *,
    time: datetime,
    time_end: datetime | None,
    text: str,
    tags: Sequence[str] = (),
    tile: str = "",
    author: str = "",
) -> Annotation:
    row = unit.row(
        "INSERT INTO annotations (id, team_id, dashboard_id, time, time_end, content, tags, tile, author) "
        f"VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}",
        (ids.new_id(), team, dashboard, time, time_end, text, list(tags), tile, author),
    )
    assert row is not None
    unit.notify(AnnotationsChanged(str(dashboard)))
    return Annotation(*row)


def get(unit: Unit, dashboard: UUID, annotation: UUID) -> Annotation:
    """NotFound where the dashboard has no such annotation."""
    row = unit.row(f"SELECT {_COLUMNS} FROM annotations WHERE dashboard_id = %s AND id = %s", (dashboard, annotation))
    if row is None:
        raise NotFound("no such annotation")
    return Annotation(*row)


def update(
    unit: Unit,
    dashboard: UUID,
    annotation: UUID,
    *,
    time: datetime,
    time_end: datetime | None,
    text: str,
    tags: Sequence[str],
    tile: str,
) -> Annotation:
    """All of it anew, but who wrote it first. Raises NotFound."""
    row = unit.row(
        "UPDATE annotations SET time = %s, time_end = %s, content = %s, tags = %s, tile = %s, "
        f"updated_at = clock_timestamp() WHERE dashboard_id = %s AND id = %s RETURNING {_COLUMNS}",
        (time, time_end, text, list(tags), tile, dashboard, annotation),
    )
    if row is None:
        raise NotFound("no such annotation")
    unit.notify(AnnotationsChanged(str(dashboard)))
    return Annotation(*row)


def delete(unit: Unit, dashboard: UUID, annotation: UUID) -> None:
    """Raises NotFound."""
    if not unit.execute(
        "DELETE FROM annotations WHERE dashboard_id = %s AND id = %s", (dashboard, annotation)
    ).rowcount:
        raise NotFound("no such annotation")
    unit.notify(AnnotationsChanged(str(dashboard)))


def between(
    unit: Unit,
    dashboard: UUID,
    start: datetime,
    end: datetime,
    *,
    tags: Sequence[str] = (),
    limit: int = MOST,
) -> list[Annotation]:
    """Those that touch start ≤ time < end, newest first; `tags`: those with any of them."""
    return [
        Annotation(*row)
        for row in unit.rows(
            f"SELECT {_COLUMNS} FROM annotations WHERE dashboard_id = %(dashboard)s AND time < %(end)s "
            "AND coalesce(time_end, time) >= %(start)s AND (%(tags)s::text[] = '{}' OR tags && %(tags)s::text[]) "
            "ORDER BY time DESC, id DESC LIMIT %(limit)s",
            {"dashboard": dashboard, "start": start, "end": end, "tags": list(tags), "limit": limit},
        )
    ]
