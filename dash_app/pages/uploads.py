"""Files for a pipeline: a place to drop them, and what became of those that were brought.

The page sends through the API, as any program does; the session's cookie and token say who it is.
"""

from __future__ import annotations

from dash_app.pages.pipeline import place_of, tabs_of
from dash_app.pages.plain import PageHandler


class UploadsHandler(PageHandler):
    """`/pipelines/{ref}/uploads`."""

    async def show(self, **names: str) -> None:
        detail = await self.workspace.detail(names["ref"])
        assert self.principal is not None
        self.page(
            "uploads.html",
            place_of(detail),
            detail=detail,
            tabs=tabs_of(detail),
            tab="source",
            may=self.principal.may("pipelines.write"),
        )
