# mypy: disable-error-code="no-untyped-call"
"""The page on which a dashboard is edited: its tiles alive on the grid, each with its form, and the whole document.

The browser's side is one module (`static/dashboarding/editor.js`); what only the server knows it asks of a session over
Panel's websocket, and what the tiles show comes over the live channel as on every dashboard.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import panel as pn

from dash_app.domain.specs import Dashboard
from dash_app.pages.dashboarding.session import Session
from dash_app.pages.documents import Content
from dash_app.pages.gate import Visit
from dash_app.pages.parts.module import Talking
from dash_app.pages.shell import Place
from dash_app.pages.workspace import Workspace


@dataclass(frozen=True)
class Page:
    """What the page is about. `pipelines`: {slug, name} of those that have records; `zone`: the person's own, or ''."""

    dashboard: Dashboard
    pipelines: list[dict[str, str]]
    folders: list[str]
    zone: str


async def opening(workspace: Workspace, names: dict[str, str]) -> Page:
    """NotFound where the team has no such dashboard, Forbidden for whoever may not change it."""
    workspace.principal.require("dashboards.write")
    dashboard = await workspace.dashboard(names["uid"])
    lines, listed, prefers = await asyncio.gather(
        workspace.pipelines(), workspace.dashboards(), workspace.preferences()
    )
    folders = sorted({one.folder for one in listed if one.folder})
    return Page(dashboard, pipelines_of(lines), folders, prefers.timezone)


def pipelines_of(lines: list[Any]) -> list[dict[str, str]]:
    """Those that can be asked: a pipeline without a mapping has no fields."""
    return [
        {"slug": line.pipeline.slug, "name": line.pipeline.name}
        for line in lines
        if line.pipeline.mapping_version is not None
    ]


def build(visit: Visit) -> Content:
    page: Page = visit.subject
    session = Session(visit.workspace, page.dashboard)
    component = Talking(
        heard=session.heard,
        module=f"{visit.house.shell.assets}/dashboarding/editor.js",
        data=session.first(page.pipelines, page.folders) | {"zone": page.zone},
        sizing_mode="stretch_width",
        margin=0,
    )
    session.send = component.send
    pn.state.on_session_destroyed(lambda _context: session.close())
    title = page.dashboard.title
    return Content(Place("dashboards", title, ("Dashboards", "/dashboards")), component)
