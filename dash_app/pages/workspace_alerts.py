"""The part of a workspace that alerts need: rules, where they stand, what has happened, silences and maintenance.
`Workspace` stands on it; its methods run in threads and raise DashError as all of them do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dash_app.domain.alert_mutes import facts_of
from dash_app.domain.alerts import WATCHES, series_name
from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.ids import as_uuid
from dash_app.pages.alerted import AlertDetail, Firing, MaintenanceLine
from dash_app.pages.alerted import Mutes as ShownMutes
from dash_app.pages.desk import Desk
from dash_app.pipelines.alerts import backtest
from dash_app.pipelines.alerts import mutes as muting
from dash_app.pipelines.alerts import setup as alert_setup
from dash_app.storage import alert_mutes, alerts, catalog
from dash_app.storage.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dash_app.domain.alert_mutes import Silence, Window
    from dash_app.pipelines.alerts.words import ExampleState
    from dash_app.storage.alerts import Alert, AlertEvent, AlertLine, AlertState

#: Rules and series that a page lists, and transitions that it shows at once.
MOST_RULES = 2000
MOST_STATES = 500
EVENTS = 100
#: Rules whose values are shown with their unit.
MEASURED = 50


class AlertDesk(Desk):
    """What one principal can see and do with the team's alerts."""

    # Reading ------------------------------------------------------------------------------------------------------

    async def firing(self) -> Firing:
        """Series that fire, have no data or are about to fire, the worst first."""

        def read(unit: Unit) -> Firing:
            return _firing(unit, alerts.firing(unit, limit=MOST_STATES))

        return await self._read("alerts.read", read)

    async def alert_lines(self, search: str = "") -> list[AlertLine]:
        return await self._read("alerts.read", lambda unit: alerts.lines(unit, search=search, limit=MOST_RULES))

    async def alert(self, ref: str) -> AlertDetail:
        """NotFound where there is no such rule."""

        def read(unit: Unit) -> AlertDetail:
            found = alerts.get(unit, ref)
            states = alerts.states(unit, found.id, limit=MOST_STATES)
            names = {one.state for one in states}
            state = next((name for name in ("firing", "no_data", "pending", "ok") if name in names), "")
            state = "off" if not found.enabled else "error" if found.error else state
            events = alerts.history(unit, found.id, limit=EVENTS)
            units = _units(unit, [found.id]).get(str(found.id), "")
            paused = catalog.pipeline(unit, found.pipeline, archived=True).state == "paused"
            return AlertDetail(found, state, _firing(unit, states), events, units, paused)

        return await self._read("alerts.read", read)

    async def alert_history(self, start: datetime, end: datetime) -> list[AlertEvent]:
        """What began to fire and what was over, of all rules, newest first."""
        return await self._read("alerts.read", lambda unit: alerts.between(unit, start, end, limit=500))

    async def alert_events(self, alert: UUID, before: int | None = None) -> list[AlertEvent]:
        return await self._read("alerts.read", lambda unit: alerts.history(unit, alert, limit=EVENTS, before=before))

    async def mutes(self) -> ShownMutes:
        """Silences that are not over, and maintenance windows."""

        def read(unit: Unit) -> ShownMutes:
            now = datetime.now(UTC)
            lines = []
            for window in alert_mutes.windows(unit):
                spec = muting.read_window(window)
                lines.append(MaintenanceLine(window, muting.is_open(spec, now), muting.next_begin(spec, now)))
            return ShownMutes(alert_mutes.silences(unit), lines)

        return await self._read("alerts.read", read)

    async def alert_sinks(self) -> list[tuple[str, str, str]]:
        """(slug, name, kind) of the sinks that a rule can tell."""

        def read(unit: Unit) -> list[tuple[str, str, str]]:
            people = {one.kind for one in self._app.sinks if one.tells_people}
            found = unit.rows("SELECT slug, name, kind FROM sinks ORDER BY lower(name), slug")
            return [(slug, name, kind) for slug, name, kind in found if kind in people]

        return await self._read("alerts.read", read)

    async def thresholds_of(self, uid: str) -> dict[str, list[float]]:
        """Limits of the rules that were made from a dashboard's tiles, by the tile's id: drawn in its chart."""

        def read(unit: Unit) -> dict[str, list[float]]:
            begin = f"/dashboards/{uid}?tile="
            found: dict[str, list[float]] = {}
            for (document,) in unit.rows(
                "SELECT document FROM alerts WHERE enabled AND starts_with(document ->> 'link', %s) LIMIT 100", (begin,)
            ):
                limits = _limits(document)
                if limits:
                    found.setdefault(str(document["link"]).removeprefix(begin), []).extend(limits)
            return found

        return await self._read("alerts.read", read)

    # Making and changing ------------------------------------------------------------------------------------------

    async def alert_from_tile(self, dashboard: str, tile: str) -> dict[str, Any]:
        """The beginnings of a rule that watches what a tile shows. Raises NotFound, and Invalid for one that shows
        nothing that can be watched."""

        def read(unit: Unit) -> dict[str, Any]:
            document = alert_setup.from_tile(unit, dashboard, tile)
            # By this the chart knows whose limits it draws.
            return {**document, "link": f"{document['link']}?tile={tile}"}

        return await self._read("alerts.write", read)

    async def watch_document(self, pipeline: str, watch: str) -> dict[str, Any]:
        """The beginnings of a rule that watches a pipeline itself. Raises NotFound."""
        return await self._read(
            "alerts.write", lambda unit: alert_setup.watch_document(catalog.pipeline(unit, pipeline), watch)
        )

    async def check_alert(self, document: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(place, message) of everything that is wrong with a rule."""

        def read(unit: Unit) -> list[tuple[str, str]]:
            try:
                alert_setup.check_alert(unit, document)
            except Invalid as error:
                return list(error.problems) or [("", error.message)]
            return []

        return await self._read("alerts.read", read)

    async def preview_alert(
        self, document: Mapping[str, Any], state: ExampleState, series: Mapping[str, Any]
    ) -> alert_setup.Shown:
        """What receivers of a rule would read. Raises Invalid with each place of the document that is wrong."""
        return await self._read(
            "alerts.read", lambda unit: alert_setup.preview_message(unit, document, state=state, series=series)
        )

    async def backtest(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """When a rule would have fired over the last 30 days, and a frame of its values to be drawn; times are epoch
        milliseconds. Raises Invalid with each place that is wrong.

        A watch of a pipeline leaves no history: its `frame` is None, and `note` says so.
        """

        def read(unit: Unit) -> dict[str, Any]:
            if document.get("watch"):
                alert_setup.check_alert(unit, document)
                note = "The state of a pipeline leaves no history: from when it is saved on you see here what happened."
                return {"fired": 0, "seconds": 0.0, "intervals": [], "frame": None, "to": None, "note": note}
            return _tried(backtest.run(unit, document))

        return await self._read("alerts.read", read)

    async def create_alert(self, document: Mapping[str, Any]) -> Alert:
        """Raises Invalid with each place that is wrong, and Conflict where the slug is taken."""
        team = self.principal.team
        return await self._write(
            "alerts.write", lambda unit: alert_setup.create_alert(unit, team, document, self.principal)
        )

    async def save_alert(self, ref: str, document: Mapping[str, Any], base: int | None) -> Alert:
        """Raises NotFound, Invalid, Conflict, and PreconditionFailed where somebody has saved another one meanwhile."""
        return await self._write(
            "alerts.write",
            lambda unit: alert_setup.update_alert(unit, ref, document, self.principal, expected_revision=base),
        )

    async def enable_alert(self, ref: str, on: bool) -> Alert:
        return await self._write(
            "alerts.write", lambda unit: alert_setup.set_enabled(unit, ref, self.principal, enabled=on)
        )

    async def delete_alert(self, ref: str) -> None:
        await self._write("alerts.write", lambda unit: alert_setup.delete_alert(unit, ref, self.principal))

    async def acknowledge(self, ref: str, series: Mapping[str, Any] | None, note: str) -> int:
        """How many series were acknowledged: one, or all that fire. Raises Invalid where none fires."""
        return await self._write(
            "alerts.write",
            lambda unit: alert_setup.acknowledge(unit, ref, self.principal, series=series, note=note),
        )

    async def forget_series(self, ref: str, series: Mapping[str, Any]) -> None:
        await self._write("alerts.write", lambda unit: alert_setup.forget_series(unit, ref, series, self.principal))

    # Keeping quiet ------------------------------------------------------------------------------------------------

    async def create_silence(self, document: Mapping[str, Any]) -> Silence:
        team = self.principal.team
        return await self._write(
            "alerts.write", lambda unit: alert_setup.create_silence(unit, team, document, self.principal)
        )

    async def end_silence(self, silence: str) -> None:
        number = _uuid(silence)
        await self._write("alerts.write", lambda unit: alert_setup.end_silence(unit, number, self.principal))

    async def create_window(self, document: Mapping[str, Any]) -> Window:
        team = self.principal.team
        return await self._write(
            "alerts.write", lambda unit: alert_setup.create_window(unit, team, document, self.principal)
        )

    async def delete_window(self, window: str) -> None:
        number = _uuid(window)
        await self._write("alerts.write", lambda unit: alert_setup.delete_window(unit, number, self.principal))


def _firing(unit: Unit, states: Sequence[AlertState]) -> Firing:
    now = datetime.now(UTC)
    mutes = muting.Mutes(alert_mutes.silences(unit), alert_mutes.windows(unit))
    muted = {}
    if mutes:
        for one in states:
            facts = facts_of(one.slug, one.severity, one.pipeline_slug, one.labels, one.series)
            if reason := mutes.reason(facts, now):
                muted[str(one.alert), one.key] = reason
    return Firing(states, muted, _units(unit, list(dict.fromkeys(one.alert for one in states))[:MEASURED]))


def _units(unit: Unit, rules: Sequence[UUID]) -> dict[str, str]:
    """What the values of rules are measured in, by their ids, where their fields say so."""
    found, fields = {}, {}
    for alert, pipeline, document in unit.rows(
        "SELECT id, pipeline_id, document FROM alerts WHERE id = ANY(%s)", (list(rules),)
    ):
        if document.get("watch"):
            found[str(alert)] = WATCHES.get(document["watch"], "")
            continue
        measure = (document["query"].get("select") or [{}])[0]
        if measure.get("agg") in ("count", "count_distinct"):
            continue
        if pipeline not in fields:
            try:
                fields[pipeline] = alert_setup.fields_of(unit, catalog.pipeline(unit, pipeline))
            except NotFound:
                fields[pipeline] = {}
        field = fields[pipeline].get(str(measure.get("field")))
        found[str(alert)] = (field.unit or "") if field else ""
    return found


def _tried(found: backtest.Backtest) -> dict[str, Any]:
    names = list(dict.fromkeys(name for one in found.points for name in one.series))
    rows = [
        (_ms(moment), *(one.series.get(name) for name in names), value)
        for one in found.points
        for moment, value in zip(one.times, one.values, strict=True)
    ]
    columns = [{"name": "time", "type": "timestamp"}, *({"name": name, "type": "text"} for name in names)]
    columns.append({"name": "value", "type": "number"})
    times = found.points[0].times if found.points else []
    every = _ms(times[1]) - _ms(times[0]) if len(times) > 1 else _ms(found.end) - _ms(found.start)
    limits = [f"the first {len(found.points)} of {found.series} series are drawn"] * (found.series > len(found.points))
    limits += ["there is more than can be tried at once"] * found.truncated
    return {
        "fired": found.fired,
        "seconds": found.minutes * 60,
        "series": found.series,
        "from": _ms(found.start),
        "to": _ms(found.end),
        "intervals": [
            {
                "series": series_name(one.series),
                "state": one.state,
                "from": _ms(one.start),
                "to": _ms(one.end) if one.end else None,
                "value": one.worst,
            }
            for one in found.intervals
        ],
        "frame": {
            "columns": columns,
            "data": [list(column) for column in zip(*rows, strict=True)] or [[] for _ in columns],
            "key": [],
            "from": _ms(found.start),
            "to": _ms(found.end),
            "every": every,
        },
        "note": "; ".join(limits),
    }


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _limits(document: Mapping[str, Any]) -> list[float]:
    condition = document.get("condition") or {}
    if condition.get("type") != "threshold":
        return []
    value = condition.get("value")
    return [float(one) for one in (value if isinstance(value, list) else [value]) if isinstance(one, int | float)]


def _uuid(text: str) -> UUID:
    found = as_uuid(text)
    if found is None:
        raise NotFound("it is not there any more")
    return found
