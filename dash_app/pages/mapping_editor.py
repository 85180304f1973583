# mypy: disable-error-code="no-untyped-call"
"""The page on which a mapping is edited: the last payloads, the mapping as form and text, and what it makes of them.

The browser's side is one module (`static/mapping/editor.js`), which talks with a session on the server over Panel's
websocket. Whatever it shows is the same plan that live payloads go through.
"""

from __future__ import annotations

import asyncio

import panel as pn

from dash_app.domain.errors import NotFound
from dash_app.domain.mapping_history import History, begin
from dash_app.pages.documents import Content
from dash_app.pages.gate import Visit
from dash_app.pages.mapping.session import Session, Subject
from dash_app.pages.parts.module import Talking
from dash_app.pages.pipeline import place_of, tabs_of
from dash_app.pages.shown import Detail
from dash_app.pages.workspace import Workspace


class Page:
    """What the page is about: the pipeline as every page of it shows it, and the editor's own subject with its text
    read already."""

    def __init__(self, detail: Detail, subject: Subject, history: History) -> None:
        self.detail = detail
        self.subject = subject
        self.history = history


async def opening(workspace: Workspace, names: dict[str, str]) -> Page:
    """`draft` and `version` may stand in the address. NotFound where the team has no such pipeline, draft, version."""
    detail = await workspace.detail(names["ref"])
    pipeline = detail.pipeline
    text, versions = await workspace.mapping(pipeline.id)
    draft = await workspace.draft(pipeline.id, names["draft"]) if names.get("draft") else None
    opened = None
    if wanted := names.get("version"):
        opened = next((one for one in versions if str(one.version) == wanted), None)
        if opened is None:
            raise NotFound(f"no version '{wanted[:20]}' of this mapping")
    subject = Subject(pipeline, text, versions, draft, opened)
    return Page(detail, subject, await asyncio.to_thread(begin, subject.first_text))


def build(visit: Visit) -> Content:
    page: Page = visit.subject
    session = Session(visit.workspace, page.subject, page.history)
    component = Talking(
        heard=session.heard,
        module=f"{visit.house.shell.assets}/mapping/editor.js",
        data=session.first() | {"address": page.detail.line.address, "webhook": bool(page.detail.webhook_url)},
        sizing_mode="stretch_width",
        margin=0,
    )
    session.send = component.send
    pn.state.on_session_destroyed(lambda _context: session.close())
    values = {"detail": page.detail, "tabs": tabs_of(page.detail), "tab": "mapping"}
    return Content(place_of(page.detail), component, values)
