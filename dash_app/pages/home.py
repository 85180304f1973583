"""The first page: what needs attention, what is moving, and where to begin when there is nothing yet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place


class HomeHandler(PageHandler):
    async def show(self, **names: str) -> None:
        self.page("home.html", Place("home", "Home"), overview=await self.workspace.overview())


class PipelinesHandler(PageHandler):
    """All pipelines of the team; the table comes over the live channel."""

    async def show(self, **names: str) -> None:
        self.page("pipelines.html", Place("pipelines", "Pipelines"), lines=await self.workspace.pipelines())


class DashboardsHandler(PageHandler):
    async def show(self, **names: str) -> None:
        found, lines = await asyncio.gather(self.workspace.dashboards(), self.workspace.pipelines())
        self.page("dashboards.html", Place("dashboards", "Dashboards"), dashboards=found, lines=lines)


class DashboardHandler(PageHandler):
    """One dashboard over its range: tiles, range control, the note that belongs to its data."""

    async def show(self, **names: str) -> None:
        found = await self.workspace.dashboard(names["uid"])
        travel = await self.workspace.travel(found, self.get_query_argument("mapping", ""))
        place = Place("dashboards", found.title, ("Dashboards", "/dashboards"))
        document = as_seen_by(found.document, travel.versions)
        self.page("dashboard.html", place, dashboard=found, document=document, travel=travel)


def as_seen_by(document: Mapping[str, Any], versions: Mapping[str, int]) -> Mapping[str, Any]:
    """A dashboard's document whose queries ask what earlier mapping versions made; `versions`: by the pipeline's slug
    and id. Live updates go on with them."""
    if not versions:
        return document
    tiles = []
    for tile in document.get("tiles", []):
        query = tile.get("query") or {}
        version = versions.get(str(query.get("pipeline")))
        tiles.append({**tile, "query": {**query, "mapping": version}} if version else tile)
    return {**document, "tiles": tiles}
