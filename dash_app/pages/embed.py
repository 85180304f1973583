"""A dashboard in a frame of somebody else's page: no rail, no cookies; whoever has the address sees it until it ends.

The token in the address says what is shown (`dash_app.domain.embeds`); the live channel is opened with the same token
and grants no more.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

from dash_app.domain.embeds import shown_document
from dash_app.domain.errors import NotFound
from dash_app.pages.boundary import problem_of
from dash_app.pages.markdown import with_html
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place


class EmbedHandler(PageHandler):
    """`/embed/dashboards/{uid}?embed=…`. One answer for tokens that are none, are over, or are of another dashboard."""

    async def get(self, **names: str) -> None:
        try:
            principal = await self.house.gate.principal(self.request)
            embed = principal.embed if principal else None
            if principal is None or embed is None or embed.dashboard != names["uid"]:
                raise NotFound("This view has expired, or is not there. Whoever made it can make it anew.")
            self.workspace = self.house.workspace(principal, self.request)
            found = await self.workspace.dashboard(embed.dashboard)
            if str(found.id) != embed.identity:
                raise NotFound("The dashboard that this view showed is not there any more.")
            document = shown_document(embed, found.document)
            if embed.tile is not None and not document["tiles"]:
                raise NotFound("The tile that this view showed is not on the dashboard any more.")
            self._framed_by(embed.origin)
            document = await asyncio.to_thread(with_html, document)
            facts = {
                "uid": found.uid,
                "live": "/live?" + urlencode({"embed": self.get_query_argument("embed")}),
                "expires": embed.until * 1000,
                "alone": embed.tile is not None,
            }
            self._say("embed.html", found.title, document=document, facts=facts)
        except Exception as error:
            problem = problem_of(error, self.request.path)
            self.set_status(problem.status)
            self._framed_by(None)
            self._say("embed_problem.html", problem.title, problem=problem)

    def _framed_by(self, origin: str | None) -> None:
        """Which pages may show this one. None: any, since they must know the address."""
        self.clear_header("X-Frame-Options")
        self.set_header("Referrer-Policy", "no-referrer")
        policy = self._policy().replace("; frame-ancestors 'none'", f"; frame-ancestors {origin}" if origin else "")
        self.set_header("Content-Security-Policy", policy)

    def _say(self, template: str, title: str, **values: object) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(self.house.shell.render(template, Place("", title), None, "", values))
