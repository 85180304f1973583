"""The first page: what fires and what needs attention, what is moving, and where to begin when there is nothing yet."""

from __future__ import annotations

import asyncio

from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place


class HomeHandler(PageHandler):
    async def show(self, **names: str) -> None:
        overview, firing = await asyncio.gather(self.workspace.overview(), self.workspace.firing())
        values = {"overview": overview, "firing": firing, "writes": self.workspace.principal.may("alerts.write")}
        template = "home_alerts.html" if self.get_query_argument("part", "") else "home.html"
        self.page(template, Place("home", "Home"), **values)


class PipelinesHandler(PageHandler):
    """All pipelines of the team; the table comes over the live channel."""

    async def show(self, **names: str) -> None:
        self.page("pipelines.html", Place("pipelines", "Pipelines"), lines=await self.workspace.pipelines())
