"""A rule's own page: its chart with limit and what fired, where its series stand, what has happened, its settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from dash_app.domain.alerts import series_name
from dash_app.domain.errors import BadRequest
from dash_app.pages.alerted import AlertDetail, address_of
from dash_app.pages.alerts import ask, form_facts, one
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place

TABS = (("overview", "Overview"), ("history", "History"), ("settings", "Settings"))


class AlertHandler(PageHandler):
    """`/alerts/{ref}`; with `part=1` the tab alone, and with `part=chart` what its chart shows, as JSON."""

    async def show(self, **names: str) -> None:
        detail = await self.workspace.alert(names["ref"])
        tab, part = self.get_query_argument("tab", "overview"), self.get_query_argument("part", "")
        if tab not in dict(TABS):
            self.redirect(detail.address)
            return
        if part == "chart":
            self.finish(chart_of(detail))
            return
        writes = self.workspace.principal.may("alerts.write")
        values: dict[str, Any] = {"detail": detail, "tab": tab, "tabs": TABS, "writes": writes}
        if tab == "history":
            before = self.get_query_argument("before", "")
            number = int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else None
            values |= {"events": await self.workspace.alert_events(detail.alert.id, number), "before": number}
        if tab == "settings":
            facts = {"document": dict(detail.document), "revision": detail.alert.revision, "address": detail.address}
            values["facts"] = await form_facts(self.workspace) | facts | {"writes": writes}
        else:
            values["chart"] = chart_of(detail)
        template = "alert_part.html" if part else "alert.html"
        self.page(template, Place("alerts", detail.alert.name, ("Alerts", "/alerts")), **values)


class AlertActions(PageHandler):
    """`POST /alerts/{ref}/actions/{action}`; bodies and answers are JSON objects."""

    actions: ClassVar[frozenset[str]] = frozenset(
        {"acknowledge", "enable", "disable", "forget", "delete", "save", "fields", "check", "backtest", "preview"}
    )

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        said, ref = self.body(), names["ref"]
        if action in ("fields", "check", "backtest", "preview"):
            await self.workspace.alert(ref)
            return await ask(self.workspace, action, said)
        self.workspace.principal.require("alerts.write")
        if action != "save":
            return await one(self.workspace, ref, action, said)
        document, base = said.get("document"), said.get("revision")
        if not isinstance(document, dict) or not (
            base is None or (isinstance(base, int) and not isinstance(base, bool))
        ):
            raise BadRequest("'document', an object, and 'revision', a number, are needed")
        made = await self.workspace.save_alert(ref, document, base)
        return {"address": address_of(made), "revision": made.revision}


def chart_of(detail: AlertDetail) -> dict[str, Any]:
    """What the page's chart asks and draws: the rule's query, its limits, and from when to when which series fired."""
    document = detail.document
    query = document.get("query")
    measure = ((query or {}).get("select") or [{}])[0]
    return {
        "title": f"{measure['agg']} of {measure['field']}" if measure.get("field") else "Records",
        "query": dict(query) if query else None,
        "condition": document.get("condition"),
        "window": document.get("window", "5m"),
        "unit": detail.unit,
        "intervals": intervals(detail),
    }


def intervals(detail: AlertDetail) -> list[dict[str, Any]]:
    """From when to when which series fired or had no data; `to` is null for what still goes on."""
    open_: dict[str, dict[str, Any]] = {}
    found: list[dict[str, Any]] = []
    for event in sorted(detail.events, key=lambda one: (one.at, one.id)):
        name = series_name(event.series)
        if event.what in ("firing", "no_data"):
            if (before := open_.pop(name, None)) is not None:
                found.append(before | {"to": _ms(event.at)})
            open_[name] = {"series": name, "state": event.what, "from": _ms(event.at), "to": None, "value": event.value}
        elif event.what in ("resolved", "cleared", "pending") and name in open_:
            found.append(open_.pop(name) | {"to": _ms(event.at)})
    # What went on longer than the history that was read reaches back.
    for state in detail.states.states:
        name = series_name(state.series)
        if state.state in ("firing", "no_data") and name not in open_ and state.since:
            open_[name] = {
                "series": name, "state": state.state, "from": _ms(state.since), "to": None, "value": state.value
            }  # fmt: skip
    return [*found, *open_.values()]


def _ms(moment: datetime) -> int:
    return round(moment.astimezone(UTC).timestamp() * 1000)
