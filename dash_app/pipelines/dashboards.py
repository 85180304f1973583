"""Dashboard documents: what is accepted as one, and the saving of it.

A dashboard is a grid of 12 columns with tiles; each tile has a kind, a place and a query (`docs/dashboards.md`). What
is saved has been checked whole: sizes, ids, kinds, places, and every query by the parser that will run it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.access import Principal
from dash_app.domain.errors import Invalid, PreconditionFailed
from dash_app.domain.query import parse_query, parse_time
from dash_app.domain.specs import Dashboard
from dash_app.storage import catalog, people
from dash_app.storage.unit import Unit

KINDS = ("line", "bar", "stat", "table")
COLUMNS = 12
MAX_TILES = 60
MAX_BYTES = 512 * 1024
MAX_ROW = 2000

_TOP = ("uid", "title", "description", "time", "refresh", "timezone", "tiles")
_TILE = ("id", "kind", "title", "description", "gridPos", "query", "options", "time")
_REFRESH = ("live", "off")

_Problems = list[tuple[str, str]]


def check_dashboard(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as it is stored, `uid` from the title where it has none. Raises Invalid with all that is wrong."""
    problems: _Problems = []
    if len(json.dumps(document)) > MAX_BYTES:
        raise Invalid(problems=[("", f"a dashboard has at most {MAX_BYTES:,} bytes as JSON")])
    _unknown(document, _TOP, "", problems)
    title = _text(document, "title", "", problems, most=200, needed=True)
    _text(document, "description", "", problems, most=4000)
    made = dict(document)
    if made.get("uid") is None:
        made["uid"] = ids.slug_from(title or "")
    if not isinstance(made["uid"], str) or not ids.SLUG.fullmatch(made["uid"]):
        problems.append(("uid", "1 to 41 of a-z, 0-9 and _, beginning with a letter"))
    made.setdefault("time", {"from": "now-24h", "to": "now"})
    made.setdefault("refresh", "live")
    if made["refresh"] not in _REFRESH:
        problems.append(("refresh", f"one of {', '.join(_REFRESH)}"))
    zone = made.get("timezone", "UTC")
    span = _time(made["time"], "time", zone, problems)
    made["tiles"] = _tiles(made.get("tiles"), span, zone, problems)
    if problems:
        raise Invalid(problems=problems)
    return made


def create_dashboard(unit: Unit, team: UUID, document: Mapping[str, Any], author: Principal) -> Dashboard:
    """Saves a new dashboard. Raises Invalid, and Conflict where the uid is taken."""
    made = catalog.create_dashboard(unit, team, check_dashboard(document), author=author.email)
    people.record(unit, author, team, "dashboard.create", made.uid, {"title": made.title})
    return made


def update_dashboard(
    unit: Unit, uid: str, document: Mapping[str, Any], author: Principal, *, expected_revision: int | None = None
) -> Dashboard:
    """Saves a dashboard's document anew; its uid stays. Raises NotFound, Invalid, PreconditionFailed."""
    catalog.dashboard(unit, uid)
    checked = check_dashboard({**document, "uid": uid})
    _lock(unit, uid)
    made = catalog.update_dashboard(
        unit, uid, checked, datetime.now(UTC), author=author.email, expected_revision=expected_revision
    )
    people.record(unit, author, author.team, "dashboard.update", uid, {"revision": made.revision})
    return made


def delete_dashboard(unit: Unit, uid: str, author: Principal, *, expected_revision: int | None = None) -> None:
    _lock(unit, uid)
    found = catalog.dashboard(unit, uid)
    if expected_revision is not None and found.revision != expected_revision:
        raise PreconditionFailed(
            f"the dashboard is at revision {found.revision}, not {expected_revision}; read it again"
        )
    catalog.delete_dashboard(unit, uid)
    people.record(unit, author, author.team, "dashboard.delete", uid, {"title": found.title})


def free_uid(unit: Unit, wanted: str) -> str:
    """`wanted`, with a number behind it where the team has such a dashboard already."""
    taken = {one.uid for one in catalog.dashboards(unit)}
    if wanted not in taken:
        return wanted
    return next(uid for number in range(2, 100_000) if (uid := f"{wanted[:35]}_{number}") not in taken)


def _lock(unit: Unit, uid: str) -> None:
    """Two who saw the same revision cannot both save: the second waits here, and then finds another revision."""
    unit.execute("SELECT 1 FROM dashboards WHERE uid = %s FOR NO KEY UPDATE", (uid,))


# Parts ---------------------------------------------------------------------------------------------------------------


def _tiles(value: Any, span: dict[str, Any], zone: Any, problems: _Problems) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_TILES:
        problems.append(("tiles", f"a list of at most {MAX_TILES} tiles is needed"))
        return []
    seen: set[str] = set()
    for number, tile in enumerate(value):
        place = f"tiles[{number}]"
        if not isinstance(tile, Mapping):
            problems.append((place, "a tile is an object with id, kind, gridPos and query"))
            continue
        _unknown(tile, _TILE, place, problems)
        identity = tile.get("id")
        if isinstance(identity, bool) or not isinstance(identity, int | str) or not 1 <= len(str(identity)) <= 60:
            problems.append((f"{place}.id", "a number or a short text is needed"))
        elif str(identity) in seen:
            problems.append((f"{place}.id", f"'{identity}' is another tile's already"))
        seen.add(str(identity))
        if tile.get("kind") not in KINDS:
            problems.append((f"{place}.kind", f"'{str(tile.get('kind'))[:60]}' is unknown; one of {', '.join(KINDS)}"))
        _text(tile, "title", place, problems, most=200)
        _text(tile, "description", place, problems, most=4000)
        if not isinstance(tile.get("options", {}), Mapping):
            problems.append((f"{place}.options", "an object is needed"))
        _place(tile.get("gridPos"), f"{place}.gridPos", problems)
        its = _time(tile["time"], f"{place}.time", zone, problems) if tile.get("time") is not None else span
        _query(tile.get("query"), {**its, "timezone": zone}, f"{place}.query", problems)
    return value


def _place(value: Any, place: str, problems: _Problems) -> None:
    numbers: list[Any] = [value.get(name) for name in ("x", "y", "w", "h")] if isinstance(value, Mapping) else []
    if len(numbers) != 4 or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        problems.append((place, "an object of whole numbers x, y, w, h is needed"))
        return
    x, y, w, h = numbers
    if not (x >= 0 and w >= 1 and x + w <= COLUMNS and 0 <= y <= MAX_ROW and 1 <= h <= 60):
        problems.append((place, f"x + w stay within {COLUMNS} columns, y within {MAX_ROW} rows, h is 1 to 60"))


def _query(value: Any, context: Mapping[str, Any], place: str, problems: _Problems) -> None:
    if not isinstance(value, Mapping):
        problems.append((place, "a query is needed"))
        return
    for name in ("from", "to", "cursor"):
        if name in value:
            problems.append(
                (f"{place}.{name}", "the dashboard's time decides; a tile of its own time has it under `time`")
            )
    if any(where.startswith(place) for where, _ in problems):
        return
    try:
        # A live tile picks its own bucket width for 'auto'; here any width will do.
        every = {"every": "1m"} if value.get("every") == "auto" else {}
        parse_query({**context, **value, **every}, datetime.now(UTC))
    except Invalid as error:
        problems += [
            (f"{place}.{where}" if where else place, what) for where, what in error.problems or (("", error.message),)
        ]


def _time(value: Any, place: str, zone: Any, problems: _Problems) -> dict[str, Any]:
    """The range as the keys of a query."""
    if not isinstance(value, Mapping) or set(value) != {"from", "to"}:
        problems.append((place, 'a range is needed, such as {"from": "now-24h", "to": "now"}'))
        return {}
    now = datetime.now(UTC)
    try:
        for name in ("from", "to"):
            parse_time(value[name], now, zone if isinstance(zone, str) else "UTC", f"{place}.{name}")
    except Invalid as error:
        problems += error.problems
        return {}
    return {"from": value["from"], "to": value["to"]}


def _text(
    document: Mapping[str, Any], key: str, place: str, problems: _Problems, *, most: int, needed: bool = False
) -> str | None:
    value = document.get(key)
    where = f"{place}.{key}" if place else key
    if value is None and not needed:
        return None
    if not isinstance(value, str) or len(value) > most or (needed and not value.strip()):
        problems.append((where, f"a text of {1 if needed else 0} to {most} characters is needed"))
        return None
    return value


def _unknown(document: Mapping[str, Any], known: tuple[str, ...], place: str, problems: _Problems) -> None:
    for key in document:
        if key not in known:
            problems.append(((f"{place}.{key}" if place else str(key))[:80], f"unknown; there are {', '.join(known)}"))
