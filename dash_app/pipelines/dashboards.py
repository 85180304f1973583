"""Saving dashboards: what is saved has been checked whole, is kept as a version, and is written in the audit trail.

Who saves names the revision that was worked on; where somebody else has saved meanwhile, the refusal says what they
have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from dash_app.domain.access import Principal
from dash_app.domain.dashboard_changes import Change, changes, summary
from dash_app.domain.dashboard_layout import with_tile
from dash_app.domain.dashboards import MAX_TILES, check_dashboard, free_of_pages
from dash_app.domain.errors import Invalid, NotFound, PreconditionFailed
from dash_app.domain.ids import slug_from
from dash_app.domain.specs import Dashboard
from dash_app.storage import dashboards, people
from dash_app.storage.unit import Unit


def create_dashboard(
    unit: Unit, team: UUID, document: Mapping[str, Any], author: Principal, *, note: str = ""
) -> Dashboard:
    """Saves a new dashboard. Raises Invalid, and Conflict where the uid is taken."""
    made = dashboards.create(unit, team, check_dashboard(document), author=author.email, note=note)
    people.record(unit, author, team, "dashboard.create", made.uid, {"title": made.title})
    return made


def update_dashboard(
    unit: Unit,
    uid: str,
    document: Mapping[str, Any],
    author: Principal,
    *,
    expected_revision: int | None = None,
    note: str = "",
) -> Dashboard:
    """Saves a dashboard's document anew; its uid stays. Raises NotFound, Invalid, and PreconditionFailed with what was
    changed since the revision that was expected."""
    dashboards.get(unit, uid)
    checked = check_dashboard({**document, "uid": uid})
    found = _expected(unit, uid, expected_revision)
    made = dashboards.update(unit, found, checked, author=author.email, note=note)
    people.record(unit, author, author.team, "dashboard.update", uid, {"revision": made.revision})
    return made


def restore_version(
    unit: Unit, uid: str, revision: int, author: Principal, *, expected_revision: int | None = None
) -> Dashboard:
    """Saves an earlier state as the next revision. Raises NotFound, PreconditionFailed, and Invalid where what was
    accepted then is not accepted any more."""
    found = _expected(unit, uid, expected_revision)
    kept = dashboards.version(unit, found.id, revision)
    try:
        checked = check_dashboard({**kept.document, "uid": uid})
    except Invalid as error:
        problems = error.problems or (("", error.message),)
        raise Invalid(f"revision {revision} is not valid any more: {error.message}", problems=problems) from error
    made = dashboards.update(unit, found, checked, author=author.email, note=f"Restored version {revision}")
    people.record(unit, author, author.team, "dashboard.restore", uid, {"revision": made.revision, "of": revision})
    return made


def delete_dashboard(unit: Unit, uid: str, author: Principal, *, expected_revision: int | None = None) -> None:
    found = _expected(unit, uid, expected_revision)
    dashboards.delete(unit, found)
    people.record(unit, author, author.team, "dashboard.delete", uid, {"title": found.title})


def undelete_dashboard(unit: Unit, uid: str, author: Principal) -> Dashboard:
    """Raises NotFound and Conflict."""
    made = dashboards.undelete(unit, uid)
    people.record(unit, author, author.team, "dashboard.undelete", uid, {"title": made.title})
    return made


def copy_dashboard(
    unit: Unit, uid: str, author: Principal, *, title: str | None = None, new_uid: str | None = None
) -> Dashboard:
    """A copy under a uid and a title of its own, in the same folder. Raises NotFound, Invalid, Conflict."""
    found = dashboards.get(unit, uid)
    named = title or f"{found.title[:190]} (copy)"
    wanted = new_uid or free_uid(unit, uid_for(named))
    document = {**found.document, "uid": wanted, "title": named}
    return create_dashboard(unit, author.team, document, author, note=f"Copied from {found.title}"[:1000])


def copy_tile(
    unit: Unit, source: str, tile: str, target: str, author: Principal, *, expected_revision: int | None = None
) -> Dashboard:
    """Puts a copy of a dashboard's tile below the others of another one (or the same), with the variables that it uses
    as far as that one lacks them. Raises NotFound, Invalid, PreconditionFailed."""
    given = dashboards.get(unit, source)
    wanted = next((one for one in given.document.get("tiles", []) if str(one.get("id")) == tile), None)
    if wanted is None:
        raise NotFound(f"no tile '{tile[:60]}' in this dashboard")
    found = _expected(unit, target, expected_revision)
    if len(found.document.get("tiles", [])) >= MAX_TILES:
        raise Invalid(problems=[("tiles", f"a dashboard has at most {MAX_TILES} tiles")])
    checked = check_dashboard(with_tile(found.document, wanted, given.document))
    title = str(wanted.get("title") or wanted.get("kind"))
    note = f"“{title}” copied" + ("" if source == target else f" from {given.title}")
    made = dashboards.update(unit, found, checked, author=author.email, note=note)
    people.record(unit, author, author.team, "dashboard.update", target, {"revision": made.revision})
    return made


def changes_between(unit: Unit, found: Dashboard, old: int, new: int) -> list[Change]:
    """What differs between two revisions of a dashboard. Raises NotFound."""
    sides = (dashboards.version(unit, found.id, revision).document for revision in (old, new))
    return changes(*sides)


def uid_for(title: str) -> str:
    """A uid made from a title, whether it is free or not."""
    return free_of_pages(slug_from(title))


def free_uid(unit: Unit, wanted: str) -> str:
    """`wanted`, with a number behind it where the team has such a dashboard already."""
    taken = dashboards.uids(unit)
    if wanted not in taken:
        return wanted
    return next(uid for number in range(2, 100_000) if (uid := f"{wanted[:35]}_{number}") not in taken)


def _expected(unit: Unit, uid: str, revision: int | None) -> Dashboard:
    """The dashboard, locked: two who saw the same revision cannot both save; the second waits here, and then finds
    another revision, and what has changed since its own."""
    found = dashboards.lock(unit, uid)
    if revision is None or revision == found.revision:
        return found
    message = f"the dashboard is at revision {found.revision}, not {revision}; read it again"
    try:
        since = changes_between(unit, found, revision, found.revision)
    except NotFound:
        raise PreconditionFailed(message, revision=found.revision) from None
    by = found.updated_by or "somebody"
    raise PreconditionFailed(
        f"{message}. {by} has saved since: {summary(since)}",
        revision=found.revision,
        updated_by=found.updated_by,
        changes=[change.as_json() | {"sentence": change.sentence} for change in since],
    )
