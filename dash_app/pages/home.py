"""The first page: what needs attention, what is moving, and where to begin when there is nothing yet."""

from __future__ import annotations

from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place


class HomeHandler(PageHandler):
    async def show(self, **names: str) -> None:
        self.page("home.html", Place("home", "Home"), overview=await self.workspace.overview())


class PipelinesHandler(PageHandler):
    """All pipelines of the team; the table comes over the live channel."""

    async def show(self, **names: str) -> None:
        self.page("pipelines.html", Place("pipelines", "Pipelines"), lines=await self.workspace.pipelines())
