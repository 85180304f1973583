"""Silences and maintenance windows. Whoever changes one has the team's rules looked at again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.alert_mutes import Silence, SilenceSpec, Window, WindowSpec
from dash_app.domain.changes import AlertChanged
from dash_app.domain.errors import Conflict, NotFound, PreconditionFailed
from dash_app.storage import alerts
from dash_app.storage.unit import Unit

#: Silences that have not ended, and maintenance windows, that a team may have: each is held against every alert.
MOST_SILENCES = 1000
MOST_WINDOWS = 1000

_SILENCE = "id, matchers, starts_at, ends_at, comment, created_at, created_by"
_WINDOW = "id, name, document, revision, created_at, created_by"


def _changed(unit: Unit, team: UUID) -> None:
    alerts.hurry(unit, team)
    unit.notify(AlertChanged(""))


# Silences ------------------------------------------------------------------------------------------------------------


def create_silence(unit: Unit, team: UUID, spec: SilenceSpec, *, author: str = "") -> Silence:
    ahead = "SELECT count(*) FROM silences WHERE team_id = %s AND ends_at > clock_timestamp()"
    if unit.value(ahead, (team,)) >= MOST_SILENCES:
        raise Conflict(f"there are {MOST_SILENCES:,} silences already; end some, or write one that covers more")
    made = ids.new_id()
    unit.execute(
        "INSERT INTO silences (id, team_id, matchers, starts_at, ends_at, comment, created_by) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (made, team, json.dumps(dict(spec.matchers)), spec.starts_at, spec.ends_at, spec.comment, author),
    )
    _changed(unit, team)
    return silence(unit, made)


def silence(unit: Unit, identity: UUID) -> Silence:
    row = unit.row(f"SELECT {_SILENCE} FROM silences WHERE id = %s", (identity,))
    if row is None:
        raise NotFound("no such silence")
    return Silence(*row)


def silences(unit: Unit, *, since: datetime | None = None, limit: int = 1000) -> list[Silence]:
    """Silences that end after `since` (None: now), the first to end first."""
    rows = unit.rows(
        f"SELECT {_SILENCE} FROM silences WHERE ends_at > coalesce(%s, now()) ORDER BY ends_at, id LIMIT %s",
        (since, limit),
    )
    return [Silence(*row) for row in rows]


def end_silence(unit: Unit, team: UUID, identity: UUID, at: datetime) -> Silence:
    """Ends a silence now; one that has not begun never begins."""
    found = silence(unit, identity)
    if found.starts_at >= at:
        unit.execute("DELETE FROM silences WHERE id = %s", (identity,))
    else:
        unit.execute("UPDATE silences SET ends_at = least(ends_at, %s) WHERE id = %s", (at, identity))
    _changed(unit, team)
    return found


# Maintenance windows -------------------------------------------------------------------------------------------------


def create_window(unit: Unit, team: UUID, spec: WindowSpec, *, author: str = "") -> Window:
    if unit.value("SELECT count(*) FROM maintenance_windows WHERE team_id = %s", (team,)) >= MOST_WINDOWS:
        raise Conflict(f"there are {MOST_WINDOWS:,} maintenance windows already; delete some")
    made = ids.new_id()
    unit.execute(
        "INSERT INTO maintenance_windows (id, team_id, name, document, created_by) VALUES (%s, %s, %s, %s, %s)",
        (made, team, spec.name, json.dumps(dict(spec.document)), author),
    )
    _changed(unit, team)
    return window(unit, made)


def window(unit: Unit, identity: UUID) -> Window:
    row = unit.row(f"SELECT {_WINDOW} FROM maintenance_windows WHERE id = %s", (identity,))
    if row is None:
        raise NotFound("no such maintenance window")
    return Window(*row)


def windows(unit: Unit, *, limit: int = 1000) -> list[Window]:
    """The team's windows, by name."""
    return [
        Window(*row)
        for row in unit.rows(f"SELECT {_WINDOW} FROM maintenance_windows ORDER BY lower(name), id LIMIT %s", (limit,))
    ]


def update_window(
    unit: Unit, team: UUID, identity: UUID, spec: WindowSpec, *, expected_revision: int | None = None
) -> Window:
    unit.execute("SELECT FROM maintenance_windows WHERE id = %s FOR NO KEY UPDATE", (identity,))
    found = window(unit, identity)
    if expected_revision is not None and found.revision != expected_revision:
        raise PreconditionFailed(f"the window is at revision {found.revision}, not {expected_revision}; read it again")
    unit.execute(
        "UPDATE maintenance_windows SET name = %s, document = %s, revision = revision + 1 WHERE id = %s",
        (spec.name, json.dumps(dict(spec.document)), identity),
    )
    _changed(unit, team)
    return window(unit, identity)


def delete_window(unit: Unit, team: UUID, identity: UUID) -> None:
    window(unit, identity)
    unit.execute("DELETE FROM maintenance_windows WHERE id = %s", (identity,))
    _changed(unit, team)


def of_teams(
    unit: Unit, teams: Sequence[UUID], now: datetime
) -> tuple[dict[UUID, list[Silence]], dict[UUID, list[Window]]]:
    """What keeps the alerts of several teams quiet, for who evaluates them."""
    quiet: dict[UUID, list[Silence]] = {}
    repeated: dict[UUID, list[Window]] = {}
    wanted: dict[str, Any] = {"teams": list(teams), "now": now}
    for team, *row in unit.rows(
        f"SELECT team_id, {_SILENCE} FROM silences WHERE team_id = ANY(%(teams)s) AND ends_at > %(now)s", wanted
    ):
        quiet.setdefault(team, []).append(Silence(*row))
    for team, *row in unit.rows(
        f"SELECT team_id, {_WINDOW} FROM maintenance_windows WHERE team_id = ANY(%(teams)s)", wanted
    ):
        repeated.setdefault(team, []).append(Window(*row))
    return quiet, repeated
