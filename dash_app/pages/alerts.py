"""All alerts of a team: what fires now, the rules, what keeps them quiet, and what has happened; and the page on which
a rule is made.

The tab stands in the address. While the page is open its script asks for the tab's part anew (`part=1`) whenever the
live channel says that a state or a rule has changed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from dash_app.domain.alerts import CONDITIONS, NO_DATA, SEVERITIES, WATCH_LIMITS, WATCHES
from dash_app.domain.errors import BadRequest, Invalid, NotFound
from dash_app.pages.alerted import address_of, state_of
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place
from dash_app.pages.workspace import Workspace

TABS = (("firing", "Firing now"), ("rules", "Rules"), ("silences", "Silences"), ("history", "History"))
#: States by which the list of rules can be narrowed.
SHOWN = ("firing", "no_data", "pending", "ok", "error", "off")
HISTORY = timedelta(days=30)


class AlertsHandler(PageHandler):
    """`/alerts`."""

    async def show(self, **names: str) -> None:
        tab = self.get_query_argument("tab", "firing")
        if tab not in dict(TABS):
            self.redirect("/alerts")
            return
        search = self.get_query_argument("search", "").replace("\0", "").strip()[:200]
        asked = self.get_query_argument("state", "")
        firing, lines = await asyncio.gather(self.workspace.firing(), self.workspace.alert_lines())
        values: dict[str, Any] = {"firing": firing, "total": len(lines), "tab": tab, "search": search, "lines": lines}
        if tab == "rules":
            found = await self.workspace.alert_lines(search) if search else lines
            states = Counter(map(state_of, found))
            rules = [one for one in found if asked in ("", state_of(one))]
            counts = {name: states[name] for name in SHOWN if states[name] or name == asked}
            values |= {"rules": rules, "counts": counts, "state_asked": asked if asked in SHOWN else ""}
        if tab in ("silences", "firing"):
            values |= {"mutes": await self.workspace.mutes(), "now": datetime.now(UTC)}
        if tab == "history":
            now = datetime.now(UTC)
            values["events_found"] = await self.workspace.alert_history(now - HISTORY, now)
        template = "alerts_part.html" if self.get_query_argument("part", "") else "alerts.html"
        writes = self.workspace.principal.may("alerts.write")
        self.page(template, Place("alerts", "Alerts"), tabs=TABS, writes=writes, **values)


class AlertsActions(PageHandler):
    """`POST /alerts/list/{action}`: what is done from the list, with the `alert` that it is done to."""

    actions: ClassVar[frozenset[str]] = frozenset(
        {"acknowledge", "enable", "disable", "delete", "silence", "unsilence", "window", "unwindow"}
    )

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        said, workspace = self.body(), self.workspace
        workspace.principal.require("alerts.write")
        match action:
            case "silence":
                return {"silence": str((await workspace.create_silence(_document(said))).id)}
            case "unsilence":
                await workspace.end_silence(_text(said, "silence"))
            case "window":
                return {"window": str((await workspace.create_window(_document(said))).id)}
            case "unwindow":
                await workspace.delete_window(_text(said, "window"))
            case _:
                return await one(workspace, _text(said, "alert"), action, said)
        return {}


async def one(workspace: Workspace, ref: str, action: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is done to one rule, from its own page as from the list of all."""
    match action:
        case "acknowledge":
            series = said.get("series")
            if series is not None and not isinstance(series, dict):
                raise BadRequest("'series' is an object of dimensions and their values")
            return {"count": await workspace.acknowledge(ref, series, str(said.get("note") or ""))}
        case "enable" | "disable":
            return {"enabled": (await workspace.enable_alert(ref, action == "enable")).enabled}
        case "forget":
            await workspace.forget_series(ref, said.get("series") or {})
        case "delete":
            await workspace.delete_alert(ref)
        case _:
            raise NotFound
    return {}


class NewAlertHandler(PageHandler):
    """`/alerts/new`, begun from a tile (`?dashboard=&tile=`) or for a pipeline (`?pipeline=`, and `&watch=`)."""

    async def show(self, **names: str) -> None:
        workspace = self.workspace
        workspace.principal.require("alerts.write")
        asked = {name: self.get_query_argument(name, "")[:200] for name in ("dashboard", "tile", "pipeline", "watch")}
        note = ""
        document: dict[str, Any] = {}
        if asked["dashboard"] and asked["tile"]:
            try:
                document = await workspace.alert_from_tile(asked["dashboard"], asked["tile"])
            except Invalid as error:
                note = error.problems[0][1] if error.problems else error.message
        elif asked["pipeline"] and asked["watch"] in WATCHES:
            document = await workspace.watch_document(asked["pipeline"], asked["watch"])
        elif asked["pipeline"]:
            document = {"query": {"pipeline": asked["pipeline"]}}
        facts = await form_facts(workspace) | {"document": document, "revision": None}
        # With one pipeline the form begins with it; of several one is chosen first.
        choose = await workspace.pipelines() if not document and len(facts["pipelines"]) > 1 else []
        back = ("Alerts", "/alerts")
        if asked["dashboard"] and document:
            back = ("Dashboard", f"/dashboards/{asked['dashboard']}")
        self.page("alert_form.html", Place("alerts", "New alert", back), facts=facts, note=note, choose=choose)


class NewAlertActions(PageHandler):
    """`POST /alerts/new/actions/{action}`: what the form asks, and the making of the rule."""

    actions: ClassVar[frozenset[str]] = frozenset({"fields", "check", "backtest", "preview", "create"})

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        said = self.body()
        self.workspace.principal.require("alerts.write")
        if action == "create":
            made = await self.workspace.create_alert(_document(said))
            return {"address": address_of(made)}
        return await ask(self.workspace, action, said)


async def ask(workspace: Workspace, action: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the form of a rule asks, new or not."""
    if action == "fields":
        found = await workspace.pipeline_fields(_text(said, "pipeline"))
        return {"fields": [{"name": f.name, "type": f.type, "unit": f.unit, "role": f.role} for f in found]}
    document = _document(said)
    if action == "check":
        return {"problems": [list(each) for each in await workspace.check_alert(document)]}
    if action == "preview":
        state, series = said.get("state", "firing"), said.get("series", {})
        if state not in ("firing", "resolved", "no_data") or not isinstance(series, dict):
            raise BadRequest("'state' is firing, resolved or no_data, and 'series' an object of dimensions")
        shown = await workspace.preview_alert(document, state, series)
        return {"title": shown.title, "text": shown.text, "problems": [list(each) for each in shown.problems]}
    if problems := await workspace.check_alert(document):
        raise Invalid(problems=problems)
    return await workspace.backtest(document)


async def form_facts(workspace: Workspace) -> dict[str, Any]:
    """What the form of a rule offers."""
    lines, sinks, preferred = await asyncio.gather(
        workspace.pipelines(), workspace.alert_sinks(), workspace.preferences()
    )
    return {
        "pipelines": [{"slug": one.pipeline.slug, "name": one.pipeline.name} for one in lines],
        "sinks": [{"slug": slug, "name": name, "kind": kind} for slug, name, kind in sinks],
        "severities": SEVERITIES,
        "conditions": CONDITIONS,
        "no_data": NO_DATA,
        "watches": {name: {"unit": unit, "limit": WATCH_LIMITS[name]} for name, unit in WATCHES.items()},
        "timezone": preferred.timezone,
        "may_make_sinks": workspace.principal.may("sinks.write"),
    }


def _document(said: Mapping[str, Any]) -> dict[str, Any]:
    document = said.get("document")
    if not isinstance(document, dict):
        raise BadRequest("'document' is an object")
    return document


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"'{name}', a text, is needed")
    return value
