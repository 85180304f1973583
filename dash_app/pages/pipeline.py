"""A pipeline's page: where its data come from, what has come, what was refused. The tab stands in the address.

Each tab is HTML that the server has filled; while the page is open, its script asks for the part anew when the
counts on
the live channel say that something came. The mapping is edited on a page of its own (`dash_app.pages.mapping_editor`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dash_app.domain.errors import Forbidden
from dash_app.pages import words
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place
from dash_app.pages.shown import Detail, address_of
from dash_app.pages.workspace import Workspace

TABS = (
    ("overview", "Overview"),
    ("records", "Records"),
    ("payloads", "Payloads"),
    ("rejects", "Rejects"),
    ("runs", "Runs"),
    ("mapping", "Mapping"),
)


def tabs_of(detail: Detail) -> list[tuple[str, str, str]]:
    """(name, title, address) of the tabs that this pipeline has."""
    address = detail.line.address
    return [
        (
            name,
            title,
            address if name == "overview" else f"{address}/mapping" if name == "mapping" else f"{address}?tab={name}",
        )
        for name, title in TABS
        if name != "runs" or detail.poll is not None
    ]


def place_of(detail: Detail) -> Place:
    return Place("pipelines", detail.pipeline.name, ("Pipelines", "/pipelines"))


async def tab_values(workspace: Workspace, detail: Detail, tab: str, payload: str) -> dict[str, Any]:
    """What the template of a tab asks for."""
    pipeline = detail.pipeline.id
    if tab == "payloads" and payload:
        found = await workspace.payload(pipeline, payload)
        text, cut = words.text_of(found.body)
        refused = await workspace.rejects(pipeline, found.id)
        return {"shown": found, "text": text, "cut": cut, "refused": refused}
    if tab == "payloads":
        return {"shown": None, "payloads": await workspace.payloads(pipeline)}
    if tab == "rejects":
        return {"rejects": await workspace.rejects(pipeline)}
    if tab == "runs":
        return {"runs": await workspace.runs(pipeline)}
    return {}


class PipelineHandler(PageHandler):
    async def show(self, **names: str) -> None:
        detail = await self.workspace.detail(names["ref"])
        tab = self.get_query_argument("tab", "overview")
        known = {name: address for name, _, address in tabs_of(detail)}
        if tab == "mapping":
            self.redirect(known["mapping"])
            return
        if tab not in known:
            self.redirect(detail.line.address)
            return
        values = await tab_values(self.workspace, detail, tab, self.get_query_argument("payload", ""))
        template = "pipeline_part.html" if self.get_query_argument("part", "") else "pipeline.html"
        self.page(template, place_of(detail), detail=detail, tab=tab, tabs=tabs_of(detail), **values)


class PipelineActions(PageHandler):
    """`POST /pipelines/{ref}/actions/{action}`."""

    actions: ClassVar[frozenset[str]] = frozenset({"pause", "resume", "dashboard", "rotate"})

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        detail = await self.workspace.detail(names["ref"])
        pipeline = detail.pipeline.id
        if action == "dashboard":
            return {"address": f"/dashboards/{await self.workspace.create_dashboard(pipeline)}"}
        if action == "rotate":
            if not detail.signed:
                raise Forbidden("This pipeline's source takes no signing secret.")
            made = await self.workspace.rotate_secret(pipeline)
            return {"secret": made.secret, "script": made.script}
        changed = await (self.workspace.pause if action == "pause" else self.workspace.resume)(pipeline)
        return {"state": changed.state, "address": address_of(changed)}
