"""Who has a dashboard open, on whichever node: rows that are renewed while it is true, and forgotten soon after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dash_app.domain.changes import PresenceChanged
from dash_app.storage.unit import Unit

#: A row that was not renewed for so long is of a node that has gone.
FORGOTTEN_SECONDS = 60
#: People that are told by name.
MOST_TOLD = 50


@dataclass(frozen=True, slots=True)
class Present:
    """Somebody who has a dashboard open, once however many tabs. `since`: the oldest of them."""

    user: UUID
    name: str
    editing: bool
    since: datetime


def enter(unit: Unit, team: UUID, dashboard: UUID, node: str, user: UUID, name: str, editing: bool) -> None:
    unit.execute(
        "INSERT INTO presence (dashboard_id, node, user_id, editing, team_id, name) VALUES (%s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (dashboard_id, node, user_id, editing) DO UPDATE SET seen_at = clock_timestamp()",
        (dashboard, node, user, editing, team, name),
    )
    unit.notify(PresenceChanged(str(dashboard)))


def leave(unit: Unit, dashboard: UUID, node: str, user: UUID, editing: bool) -> None:
    unit.execute(
        "DELETE FROM presence WHERE dashboard_id = %s AND node = %s AND user_id = %s AND editing = %s",
        (dashboard, node, user, editing),
    )
    unit.notify(PresenceChanged(str(dashboard)))


def renew(unit: Unit, team: UUID, dashboard: UUID, node: str, here: Iterable[tuple[UUID, str, bool]]) -> None:
    """Says that exactly these, (user, name, editing), still have it open on a node, and forgets nodes that say nothing
    any more."""
    kept = list(here)
    unit.execute(
        "INSERT INTO presence (dashboard_id, node, user_id, editing, team_id, name) "
        "SELECT %s, %s, u.id, u.editing, %s, u.name FROM unnest(%s::uuid[], %s::text[], %s::boolean[]) "
        "AS u(id, name, editing) "
        "ON CONFLICT (dashboard_id, node, user_id, editing) DO UPDATE SET seen_at = clock_timestamp()",
        (dashboard, node, team, [u for u, _, _ in kept], [n for _, n, _ in kept], [e for _, _, e in kept]),
    )
    unit.execute(
        "DELETE FROM presence WHERE dashboard_id = %s AND seen_at < clock_timestamp() - make_interval(secs => %s)",
        (dashboard, FORGOTTEN_SECONDS),
    )


def present(unit: Unit, dashboard: UUID) -> tuple[Sequence[Present], int]:
    """Who has it open, editors first, then by how long; and how many they are in all."""
    rows = unit.rows(
        "SELECT user_id, min(name), bool_or(editing), min(since), count(*) OVER () FROM presence "
        "WHERE dashboard_id = %s AND seen_at > clock_timestamp() - make_interval(secs => %s) "
        "GROUP BY user_id ORDER BY bool_or(editing) DESC, min(since), user_id LIMIT %s",
        (dashboard, FORGOTTEN_SECONDS, MOST_TOLD),
    )
    return [Present(*row[:4]) for row in rows], int(rows[0][4]) if rows else 0


def prune(unit: Unit) -> int:
    """Forgets what nodes that have gone left behind; how many rows went."""
    return unit.execute(
        "DELETE FROM presence WHERE seen_at < clock_timestamp() - make_interval(secs => %s)", (FORGOTTEN_SECONDS,)
    ).rowcount
