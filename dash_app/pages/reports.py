"""Scheduled reports: all of them with what has become of each last; made, changed, sent now. Which one is looked at
stands in the address (`?report=`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from dash_app.domain.errors import BadRequest
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place


class ReportsHandler(PageHandler):
    """`/reports`; with `part=1` the list alone. `?dashboard=` opens the form for a report of that dashboard."""

    async def show(self, **names: str) -> None:
        workspace = self.workspace
        lines = await workspace.reports()
        asked = self.get_query_argument("report", "")[:80]
        chosen = next((one for one in lines if one.report.slug == asked), None)
        writes = workspace.principal.may("sinks.write")
        values: dict[str, Any] = {"lines": lines, "chosen": chosen, "writes": writes}
        place = Place("sinks", "Reports", ("Sinks", "/sinks"))
        if self.get_query_argument("part", ""):
            self.page("reports_part.html", place, **values)
            return
        dashboards, sinks, preferred = await asyncio.gather(
            workspace.dashboards(), workspace.alert_sinks(), workspace.preferences()
        )
        facts = {
            "documents": {one.report.slug: dict(one.document) for one in lines},
            "revisions": {one.report.slug: one.report.revision for one in lines},
            "dashboard": self.get_query_argument("dashboard", "")[:80],
            "timezone": preferred.timezone,
        }
        self.page("reports.html", place, **values, dashboards=dashboards, sinks=sinks, facts=facts)


class ReportsActions(PageHandler):
    """`POST /reports/list/{action}`: `{"report": slug}`, and the `document` of one that is saved."""

    actions: ClassVar[frozenset[str]] = frozenset({"create", "save", "enable", "disable", "delete", "send"})

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        said, workspace = self.body(), self.workspace
        workspace.principal.require("sinks.write")
        if action == "create":
            return {"report": (await workspace.create_report(_document(said))).slug}
        ref = said.get("report")
        if not isinstance(ref, str) or not ref:
            raise BadRequest("'report', a text, is needed")
        match action:
            case "save":
                base = said.get("revision")
                if isinstance(base, bool) or not isinstance(base, int):
                    raise BadRequest("'revision' is the number of the report as it was read")
                return {"report": (await workspace.save_report(ref, _document(said), base)).slug}
            case "enable" | "disable":
                return {"enabled": (await workspace.enable_report(ref, action == "enable")).enabled}
            case "send":
                return {"state": (await workspace.send_report(ref)).state}
            case _:
                await workspace.delete_report(ref)
        return {}


def _document(said: Mapping[str, Any]) -> dict[str, Any]:
    document = said.get("document")
    if not isinstance(document, dict):
        raise BadRequest("'document' is an object")
    return document
