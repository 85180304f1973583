"""A pipeline's page: where its data come from, what has come, what was refused. The tab stands in the address.

Each tab is HTML that the server has filled; while the page is open, its script asks for the part anew when the
counts on
the live channel say that something came. The mapping is edited on a page of its own (`dash_app.pages.mapping_editor`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import UUID

from dash_app.domain.errors import BadRequest
from dash_app.pages.behind import behind
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place
from dash_app.pages.shown import Detail, address_of
from dash_app.pages.source import SOURCE_ACTIONS, act_on_source, source_values
from dash_app.pages.workspace import Workspace

TABS = (
    ("overview", "Overview"),
    ("records", "Records"),
    ("payloads", "Payloads"),
    ("rejects", "Rejects"),
    ("fields", "Fields"),
    ("source", "Source"),
    ("runs", "Runs"),
    ("replays", "Replays"),
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


async def tab_values(workspace: Workspace, detail: Detail, tab: str, asked: Callable[[str], str]) -> dict[str, Any]:
    """What the template of a tab asks for. `asked`: an argument of the address, '' where it has none."""
    pipeline = detail.pipeline.id
    if tab == "overview":
        # The newest is the one that may be under way.
        return {"standing": await workspace.standing(pipeline, most=1)}
    if tab == "replays":
        return {"standing": await workspace.standing(pipeline)}
    if tab == "records":
        return {"behind": behind(detail.pipeline.slug, asked)}
    if tab == "payloads" and asked("payload"):
        record = asked("record")
        number = int(record) if record.isascii() and record.isdecimal() and len(record) < 9 else None
        return {"traced": await workspace.traced(pipeline, asked("payload"), number)}
    if tab == "payloads":
        payloads, again = await asyncio.gather(workspace.payloads(pipeline), workspace.waiting_again(pipeline))
        return {"traced": None, "payloads": payloads, "again": again}
    if tab == "rejects":
        field, reason = asked("field"), asked("reason")
        return {"refused": await workspace.refused(pipeline, field, reason), "field": field, "reason": reason}
    if tab == "fields":
        return {"drift": await workspace.drift(pipeline)}
    if tab == "source":
        return await source_values(workspace, detail)
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
        values = await tab_values(self.workspace, detail, tab, lambda name: self.get_query_argument(name, ""))
        template = "pipeline_part.html" if self.get_query_argument("part", "") else "pipeline.html"
        self.page(template, place_of(detail), detail=detail, tab=tab, tabs=tabs_of(detail), **values)


class PipelineActions(PageHandler):
    """`POST /pipelines/{ref}/actions/{action}`."""

    actions: ClassVar[frozenset[str]] = frozenset(
        {"pause", "resume", "dashboard", "dismiss", "policy"} | SOURCE_ACTIONS
    )

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        detail = await self.workspace.detail(names["ref"])
        pipeline = detail.pipeline.id
        if action == "dashboard":
            return {"address": f"/dashboards/{await self.workspace.create_dashboard(pipeline)}"}
        if action in ("dismiss", "policy"):
            return await self._drift(pipeline, action)
        if action in SOURCE_ACTIONS:
            return await act_on_source(self.workspace, detail, action, self.body())
        changed = await (self.workspace.pause if action == "pause" else self.workspace.resume)(pipeline)
        return {"state": changed.state, "address": address_of(changed)}

    async def _drift(self, pipeline: UUID, action: str) -> Mapping[str, Any]:
        """`{"paths": […]}`: differences that are known from now on; `{"policy": "keep"}`: what is done about others."""
        said = self.body()
        paths, policy = said.get("paths"), said.get("policy")
        if action == "policy":
            await self.workspace.set_drift_policy(pipeline, str(policy))
        elif isinstance(paths, list) and all(isinstance(path, str) for path in paths):
            await self.workspace.dismiss_drift(pipeline, paths)
        else:
            raise BadRequest("paths, a list of texts, is needed")
        return {"refresh": True}
