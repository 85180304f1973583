"""The part of a workspace that reports need: dashboards that are drawn on a calendar and sent to sinks.
`Workspace` stands on it; its methods run in threads and raise DashError as all of them do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dash_app.domain.errors import NotFound
from dash_app.pages.desk import Desk
from dash_app.pages.reported import ReportLine
from dash_app.pipelines import reports as reporting
from dash_app.storage import dashboards, reports
from dash_app.storage.unit import Unit

if TYPE_CHECKING:
    from dash_app.storage.reports import Report, Run

#: Runs that are shown of each report.
RUNS = 8


class ReportDesk(Desk):
    """What one principal can see and do with the team's reports."""

    async def reports(self) -> list[ReportLine]:
        """By name, each with what has become of it last."""

        def read(unit: Unit) -> list[ReportLine]:
            found = reports.reports(unit)
            lines = []
            for one in found:
                try:
                    title = dashboards.get(unit, one.dashboard).title
                except NotFound:
                    title = ""
                lines.append(ReportLine(one, title, reporting.document_of(one), reports.runs(unit, one.id, limit=RUNS)))
            return sorted(lines, key=lambda line: line.report.name.lower())

        return await self._read("sinks.read", read)

    async def create_report(self, document: Mapping[str, Any]) -> Report:
        """Raises Invalid with each place that is wrong, and Conflict where the slug is taken."""
        team = self.principal.team
        return await self._write(
            "sinks.write", lambda unit: reporting.create_report(unit, self._app, team, document, self.principal)
        )

    async def save_report(self, ref: str, document: Mapping[str, Any], base: int | None) -> Report:
        """Raises NotFound, Invalid, and PreconditionFailed where somebody has saved another one meanwhile."""
        return await self._write(
            "sinks.write",
            lambda unit: reporting.update_report(
                unit, self._app, ref, document, self.principal, expected_revision=base
            ),
        )

    async def enable_report(self, ref: str, on: bool) -> Report:
        return await self._write(
            "sinks.write", lambda unit: reporting.set_enabled(unit, self._app, ref, self.principal, enabled=on)
        )

    async def delete_report(self, ref: str) -> None:
        await self._write("sinks.write", lambda unit: reporting.delete_report(unit, ref, self.principal))

    async def send_report(self, ref: str) -> Run:
        """Has a report made and sent now. Raises NotFound, Invalid, TooManyRequests."""
        return await self._write("sinks.write", lambda unit: reporting.send_now(unit, ref, self.principal))
