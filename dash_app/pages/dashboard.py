"""A dashboard's page: a plain one, whose tiles take their data over the live channel, and what can be done on it.

The document comes with the page; a page that stays open asks for it anew when somebody has saved another. What is
chosen on the page (range, variables, filters) is its address and no business of the server.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from dash_app.domain.errors import BadRequest
from dash_app.domain.specs import Dashboard
from dash_app.pages.markdown import with_html
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place

if TYPE_CHECKING:
    from dash_app.storage.annotations import Annotation

_VARIABLE = re.compile(r"\$\{[^{}]*\}")
_ANNOTATION = ("time", "time_end", "text", "tags", "tile")


class DashboardHandler(PageHandler):
    """One dashboard over its range: tiles, range control, the note that belongs to its data.

    With `format=json` the document alone, as the page that asks would have got it.
    """

    async def show(self, **names: str) -> None:
        workspace = self.workspace
        found, preferred, starred, limits = await asyncio.gather(
            workspace.dashboard(names["uid"]),
            workspace.preferences(),
            workspace.is_starred(names["uid"]),
            workspace.thresholds_of(names["uid"]),
        )
        travel = await workspace.travel(found, self.get_query_argument("mapping", ""))
        document = await asyncio.to_thread(with_html, with_limits(as_seen_by(found.document, travel.versions), limits))
        if self.get_query_argument("format", "") == "json":
            self.finish({"document": dict(document)} | _standing(found))
            return
        writes = workspace.principal.may("dashboards.write")
        facts = {
            "uid": found.uid,
            "writes": writes,
            "alerts": workspace.principal.may("alerts.write"),
            "reports": workspace.principal.may("sinks.write"),
            "me": str(workspace.principal.user),
            "timezone": preferred.timezone,
            "starred": starred,
        } | _standing(found)
        # What variables are worth is known in the browser.
        place = Place("dashboards", _VARIABLE.sub("…", found.title), ("Dashboards", "/dashboards"))
        self.page(
            "dashboard.html",
            place,
            dashboard=found,
            document=document,
            pairs=side_by_side(found.document.get("tiles", [])),
            travel=travel,
            facts=facts,
            kiosk=self.get_query_argument("kiosk", "") == "1",
            full=self.get_query_argument("tile", ""),
        )


class DashboardActions(PageHandler):
    """`POST /dashboards/{uid}/actions/{action}`; bodies and answers are JSON objects."""

    actions: ClassVar[frozenset[str]] = frozenset({"annotate", "reannotate", "unannotate", "star", "unstar", "zone"})

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        workspace, uid, said = self.workspace, names["uid"], self.body()
        if action in ("star", "unstar"):
            await workspace.star_dashboard(uid, action == "star")
            return {"starred": action == "star"}
        if action == "zone":
            return {"timezone": (await workspace.set_timezone(_text(said, "timezone"))).timezone}
        written = {name: said[name] for name in _ANNOTATION if name in said}
        if action == "annotate":
            return _told(await workspace.annotate(uid, written))
        number = _text(said, "id")
        if action == "reannotate":
            return _told(await workspace.change_annotation(uid, number, written))
        return _told(await workspace.remove_annotation(uid, number))


def as_seen_by(document: Mapping[str, Any], versions: Mapping[str, int]) -> Mapping[str, Any]:
    """A dashboard's document whose queries ask what earlier mapping versions made; `versions`: by the pipeline's slug
    and id. Live updates go on with them."""
    if not versions:
        return document

    def query(asked: Mapping[str, Any]) -> Mapping[str, Any]:
        version = versions.get(str(asked.get("pipeline")))
        return {**asked, "mapping": version} if version else asked

    def tile(shown: Mapping[str, Any]) -> Mapping[str, Any]:
        made = dict(shown)
        if shown.get("query"):
            made["query"] = query(shown["query"])
        if shown.get("queries"):
            made["queries"] = [query(one) for one in shown["queries"]]
        return made

    return {**document, "tiles": [tile(one) for one in document.get("tiles", [])]}


def with_limits(document: Mapping[str, Any], limits: Mapping[str, Sequence[float]]) -> Mapping[str, Any]:
    """A dashboard's document in whose charts over time the limits of alerts are drawn as well; `limits`: by the id of
    the tile that a rule was made from."""
    if not limits:
        return document

    def tile(shown: Mapping[str, Any]) -> Mapping[str, Any]:
        found = limits.get(str(shown.get("id")))
        query = shown.get("query") or next(iter(shown.get("queries") or ()), None) or {}
        if not found or shown.get("kind") not in ("line", "bar") or not query.get("every"):
            return shown
        options = dict(shown.get("options") or {})
        known = list(options.get("thresholds") or ())
        drawn = {one.get("value") for one in known if isinstance(one, Mapping)}
        known += [{"value": value, "color": "bad"} for value in dict.fromkeys(found) if value not in drawn]
        return {**shown, "options": options | {"thresholds": known}}

    return {**document, "tiles": [tile(one) for one in document.get("tiles", [])]}


def side_by_side(tiles: Sequence[Mapping[str, Any]]) -> set[int]:
    """Places in a list of tiles of those that stand beside each other on a phone: single numbers that follow each other
    in reading order, two by two; as `paired` of assets/dashboard/grid.js has them."""

    def is_number(tile: Mapping[str, Any]) -> bool:
        query = tile.get("query") or {}
        return tile.get("kind") == "stat" and not query.get("by") and len(query.get("select") or ()) < 2

    def place(number: int) -> tuple[float, float]:
        at = tiles[number].get("gridPos") or {}
        return at.get("y") or 0, at.get("x") or 0

    found: set[int] = set()
    waiting: int | None = None
    for number in sorted(range(len(tiles)), key=place):
        if not is_number(tiles[number]):
            waiting = None
        elif waiting is None:
            waiting = number
        else:
            found |= {waiting, number}
            waiting = None
    return found


def _standing(found: Dashboard) -> dict[str, Any]:
    return {"revision": found.revision, "updated_by": found.updated_by}


def _told(annotation: Annotation) -> dict[str, Any]:
    def moment(at: datetime | None) -> str | None:
        return at.isoformat() if at else None

    return {
        "id": str(annotation.id),
        "time": moment(annotation.time),
        "time_end": moment(annotation.time_end),
        "text": annotation.text,
        "tags": list(annotation.tags),
        "tile": annotation.tile,
        "author": annotation.author,
    }


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"{name}, a text, is needed")
    return value
