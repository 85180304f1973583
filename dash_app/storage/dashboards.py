"""A team's dashboards: their documents, every state they were saved in, and who has starred which.

Beside the document stands what lists show and searches read, written anew with every save. A deleted dashboard is kept
for `KEPT`, so that it can be brought back with its versions, stars and annotations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from dash_app.domain import ids
from dash_app.domain.changes import DashboardChanged
from dash_app.domain.dashboards import search_text
from dash_app.domain.errors import Conflict, NotFound
from dash_app.domain.specs import Dashboard, DashboardLine, DashboardVersion, DeletedDashboard
from dash_app.storage.unit import Unit

#: How long a deleted dashboard can be brought back.
KEPT = timedelta(days=30)
#: States of a dashboard that are kept; the oldest go first.
MOST_VERSIONS = 500
#: Deleted dashboards that `prune` removes in one transaction.
_AT_ONCE = 500

_COLUMNS = "d.id, d.team_id, d.uid, d.title, d.document, d.revision, d.updated_at, d.updated_by"
_LINE = """
d.id, d.uid, d.title, d.description, d.folder, d.tags, d.tile_count, d.revision, d.updated_at, d.updated_by,
EXISTS (SELECT FROM dashboard_stars s WHERE s.dashboard_id = d.id AND s.user_id = %(user)s) AS starred
"""


def create(unit: Unit, team: UUID, document: Mapping[str, Any], *, author: str = "", note: str = "") -> Dashboard:
    """A new dashboard from its document; Conflict where the uid is taken."""
    uid = ids.check_slug(str(document.get("uid", "")))
    made = ids.new_id()
    try:
        with unit.driver.transaction():
            unit.execute(
                "INSERT INTO dashboards (id, team_id, uid, title, description, folder, tags, tile_count, search, "
                "document, updated_by) VALUES (%(id)s, %(team)s, %(uid)s, %(title)s, %(description)s, %(folder)s, "
                "%(tags)s, %(tiles)s, %(search)s, %(document)s, %(author)s)",
                _shown(document, uid) | {"id": made, "team": team, "author": author},
            )
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(f"there is a dashboard '{uid}' already") from error
    found = get(unit, uid)
    _keep(unit, found, note)
    unit.notify(DashboardChanged(str(made)))
    return found


def get(unit: Unit, uid: str) -> Dashboard:
    """NotFound where the team has no such dashboard."""
    row = unit.row(f"SELECT {_COLUMNS} FROM dashboards d WHERE uid = %s AND deleted_at IS NULL", (uid[:80],))
    if row is None:
        raise NotFound(f"no dashboard '{uid[:80]}'")
    return Dashboard(*row)


def standing(unit: Unit, dashboard: UUID) -> Dashboard | None:
    """A dashboard by its id; None once it is deleted."""
    row = unit.row(f"SELECT {_COLUMNS} FROM dashboards d WHERE id = %s AND deleted_at IS NULL", (dashboard,))
    return Dashboard(*row) if row else None


def lock(unit: Unit, uid: str) -> Dashboard:
    """The dashboard as it is, changed by nobody else until this transaction ends."""
    unit.execute("SELECT FROM dashboards WHERE uid = %s AND deleted_at IS NULL FOR NO KEY UPDATE", (uid[:80],))
    return get(unit, uid)


def documents(unit: Unit) -> list[Dashboard]:
    """All of the team's dashboards with their documents, by title."""
    return [
        Dashboard(*row)
        for row in unit.rows(f"SELECT {_COLUMNS} FROM dashboards d WHERE deleted_at IS NULL ORDER BY title, uid")
    ]


def uids(unit: Unit) -> set[str]:
    return {row[0] for row in unit.rows("SELECT uid FROM dashboards WHERE deleted_at IS NULL")}


def lines(
    unit: Unit,
    user: UUID,
    *,
    search: str = "",
    tag: str = "",
    folder: str | None = None,
    starred: bool = False,
) -> list[DashboardLine]:
    """The team's dashboards by title, as the list shows them to a user.

    `search`: words that must all occur; `folder`: this one and those in it, '' those in none; None: any.
    """
    where = ["d.deleted_at IS NULL"]
    if search.split():
        where.append("NOT EXISTS (SELECT FROM unnest(%(words)s::text[]) w WHERE strpos(d.search, w) = 0)")
    if tag:
        where.append("%(tag)s = ANY(d.tags)")
    if folder is not None:
        where.append("(d.folder = %(folder)s OR (%(folder)s <> '' AND starts_with(d.folder, %(folder)s || '/')))")
    rows = unit.rows(
        f"SELECT {_LINE} FROM dashboards d WHERE {' AND '.join(where)} ORDER BY lower(d.title), d.uid",
        {"user": user, "words": search.lower().split()[:20], "tag": tag, "folder": folder},
    )
    found = [DashboardLine(*row) for row in rows]
    return [one for one in found if one.starred] if starred else found


def update(unit: Unit, found: Dashboard, document: Mapping[str, Any], *, author: str = "", note: str = "") -> Dashboard:
    """The next revision of a dashboard that the caller has locked; its uid stays."""
    unit.execute(
        "UPDATE dashboards SET title = %(title)s, description = %(description)s, folder = %(folder)s, tags = %(tags)s, "
        "tile_count = %(tiles)s, search = %(search)s, document = %(document)s, revision = revision + 1, "
        "updated_at = clock_timestamp(), updated_by = %(author)s WHERE id = %(id)s",
        _shown({**document, "uid": found.uid}, found.uid) | {"id": found.id, "author": author},
    )
    made = get(unit, found.uid)
    _keep(unit, made, note)
    unit.notify(DashboardChanged(str(made.id)))
    return made


def delete(unit: Unit, found: Dashboard) -> None:
    """Takes a dashboard away; `undelete` brings it back for as long as `KEPT`."""
    unit.execute("UPDATE dashboards SET deleted_at = clock_timestamp() WHERE id = %s", (found.id,))
    unit.notify(DashboardChanged(str(found.id)))


def undelete(unit: Unit, uid: str) -> Dashboard:
    """Brings back the dashboard of this uid that was deleted last. NotFound where there is none, Conflict where another
    one has its uid by now."""
    dashboard = unit.value(
        "SELECT id FROM dashboards WHERE uid = %s AND deleted_at IS NOT NULL ORDER BY deleted_at DESC LIMIT 1",
        (uid[:80],),
    )
    if dashboard is None:
        raise NotFound(f"no deleted dashboard '{uid[:80]}'; they are kept for {KEPT.days} days")
    try:
        with unit.driver.transaction():
            unit.execute("UPDATE dashboards SET deleted_at = NULL WHERE id = %s", (dashboard,))
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(f"there is another dashboard '{uid[:80]}' by now") from error
    unit.notify(DashboardChanged(str(dashboard)))
    return get(unit, uid)


def deleted(unit: Unit) -> list[DeletedDashboard]:
    """What `undelete` can bring back, the last that went first. Of several with one uid that is the last; one whose uid
    another dashboard has by now is not among them."""
    rows = unit.rows(
        "SELECT uid, title, folder, tile_count, deleted_at FROM (SELECT DISTINCT ON (uid) * FROM dashboards "
        "WHERE deleted_at > clock_timestamp() - %(kept)s ORDER BY uid, deleted_at DESC) d "
        "WHERE NOT EXISTS (SELECT FROM dashboards n WHERE n.uid = d.uid AND n.deleted_at IS NULL) "
        "ORDER BY deleted_at DESC LIMIT %(most)s",
        {"kept": KEPT, "most": _AT_ONCE},
    )
    return [DeletedDashboard(uid, title, folder, tiles, at, at + KEPT) for uid, title, folder, tiles, at in rows]


def prune(unit: Unit, now: datetime) -> int:
    """Removes for good what was deleted longer than `KEPT` ago, a bounded number at a time; how many went."""
    return unit.execute(
        "DELETE FROM dashboards WHERE id IN (SELECT id FROM dashboards WHERE deleted_at < %s LIMIT %s)",
        (now - KEPT, _AT_ONCE),
    ).rowcount


# Versions ------------------------------------------------------------------------------------------------------------


def versions(unit: Unit, dashboard: UUID, *, whole: int = 0) -> list[DashboardVersion]:
    """States that a dashboard was saved in, newest first; so many of them with their document, the others with an
    empty one: hundreds of documents are more than a list needs."""
    return [
        DashboardVersion(*row)
        for row in unit.rows(
            "SELECT revision, CASE WHEN row_number() OVER (ORDER BY revision DESC) <= %s THEN document ELSE '{}' END, "
            "note, author, created_at FROM dashboard_versions WHERE dashboard_id = %s ORDER BY revision DESC LIMIT %s",
            (whole, dashboard, MOST_VERSIONS),
        )
    ]


def version(unit: Unit, dashboard: UUID, revision: int) -> DashboardVersion:
    """NotFound where the dashboard never was at this revision, or it is kept no longer."""
    row = unit.row(
        "SELECT revision, document, note, author, created_at FROM dashboard_versions "
        "WHERE dashboard_id = %s AND revision = %s",
        (dashboard, min(revision, 2**31 - 1)),
    )
    if row is None:
        raise NotFound(f"no revision {revision} of this dashboard")
    return DashboardVersion(*row)


def _keep(unit: Unit, found: Dashboard, note: str) -> None:
    unit.execute(
        "INSERT INTO dashboard_versions (dashboard_id, revision, team_id, document, note, author) "
        "VALUES (%s, %s, %s, %s, %s, %s)",
        (found.id, found.revision, found.team, json.dumps(found.document), note[:1000], found.updated_by),
    )
    unit.execute(
        "DELETE FROM dashboard_versions WHERE dashboard_id = %s AND revision <= %s",
        (found.id, found.revision - MOST_VERSIONS),
    )


# Stars ---------------------------------------------------------------------------------------------------------------


def star(unit: Unit, user: UUID, found: Dashboard) -> None:
    unit.execute(
        "INSERT INTO dashboard_stars (user_id, dashboard_id, team_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (user, found.id, found.team),
    )


def unstar(unit: Unit, user: UUID, found: Dashboard) -> None:
    unit.execute("DELETE FROM dashboard_stars WHERE user_id = %s AND dashboard_id = %s", (user, found.id))


def is_starred(unit: Unit, user: UUID, found: Dashboard) -> bool:
    return bool(
        unit.value("SELECT true FROM dashboard_stars WHERE user_id = %s AND dashboard_id = %s", (user, found.id))
    )


def _shown(document: Mapping[str, Any], uid: str) -> dict[str, Any]:
    """The columns that are taken from a document."""
    return {
        "uid": uid,
        "title": str(document.get("title") or uid),
        "description": str(document.get("description") or ""),
        "folder": str(document.get("folder") or ""),
        "tags": list(document.get("tags") or ()),
        "tiles": len(document.get("tiles") or ()),
        "search": search_text(document),
        "document": json.dumps(dict(document)),
    }
