# mypy: disable-error-code="no-untyped-call"
"""Making a dashboard: empty, proposed for a pipeline, or from a template filled with a pipeline's fields. What is made
is saved at once and opened in the editor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import panel as pn

from dash_app.domain.errors import Invalid
from dash_app.pages.dashboard_editor import pipelines_of
from dash_app.pages.dashboarding.session import Asked, Message, field
from dash_app.pages.documents import Content
from dash_app.pages.gate import Visit
from dash_app.pages.parts.module import Talking
from dash_app.pages.shell import Place
from dash_app.pages.workspace import Workspace


async def opening(workspace: Workspace, names: dict[str, str]) -> dict[str, Any]:
    """Only who may make dashboards gets the page. `pipeline` may stand in the address: the one to begin with."""
    workspace.principal.require("dashboards.write")
    return {"pipelines": pipelines_of(await workspace.pipelines()), "pipeline": names.get("pipeline", "")}


def build(visit: Visit) -> Content:
    session = NewDashboard(visit.workspace)
    component = Talking(
        heard=session.heard,
        module=f"{visit.house.shell.assets}/dashboarding/new.js",
        data=session.first() | visit.subject,
        sizing_mode="stretch_width",
        margin=0,
    )
    session.send = component.send
    pn.state.on_session_destroyed(lambda _context: session.close())
    return Content(Place("dashboards", "New dashboard", ("Dashboards", "/dashboards")), component)


class NewDashboard(Asked):
    """What the page of a new dashboard asks."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.actions = {
            "fields": self._fields,
            "fitting": self._fitting,
            "document": self._document,
            "create": self._create,
        }

    def first(self) -> dict[str, Any]:
        return {"templates": [one.as_json() for one in self._workspace.dashboard_templates()]}

    async def _fields(self, message: Message) -> list[dict[str, str]]:
        return [field(one) for one in await self._workspace.pipeline_fields(str(message.get("pipeline")))]

    async def _fitting(self, message: Message) -> dict[str, dict[str, str]]:
        pipeline = await self._workspace.pipeline_id(str(message.get("pipeline")))
        return await self._workspace.fitting_templates(pipeline)

    async def _document(self, message: Message) -> dict[str, Any]:
        """What would be made, so that it can be looked at first."""
        start = message.get("start")
        title = str(message.get("title") or "").strip()
        if start == "empty":
            return {"title": title or "New dashboard", "tiles": []}
        pipeline = str(message.get("pipeline") or "")
        if start == "pipeline":
            made = await self._workspace.propose_dashboard(await self._workspace.pipeline_id(pipeline))
            return made | ({"title": title} if title else {})
        fields = message.get("fields")
        if start != "template" or not isinstance(fields, Mapping):
            raise Invalid("start: one of empty, pipeline, template; a template has fields")
        asked: dict[str, Any] = {"pipeline": pipeline, "fields": dict(fields)}
        return await self._workspace.from_template(
            str(message.get("template")), asked | ({"title": title} if title else {})
        )

    async def _create(self, message: Message) -> dict[str, str]:
        document = await self._document(message)
        notes = {"pipeline": "Proposed", "template": f"From the template {message.get('template')}"}
        made = await self._workspace.new_dashboard(
            {**document, "uid": None}, notes.get(str(message.get("start")), "Empty")
        )
        return {"uid": made.uid}
