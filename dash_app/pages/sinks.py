"""Sinks: all of them, the making of one, and one with what it has delivered, each message with every attempt at it.

Tab, state and the delivery that is looked at stand in the address. While a page is open its script asks for the part
anew (`part=1`) every few seconds: what is delivered is of no use to the live channel's many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from dash_app.domain.errors import BadRequest, Invalid
from dash_app.domain.kinds import Kind
from dash_app.pages.delivered import SinkDetail, address_of, kind_title
from dash_app.pages.parts.form import form_of
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place
from dash_app.pages.workspace import Workspace

TABS = (("overview", "Overview"), ("deliveries", "Deliveries"), ("settings", "Settings"))
STATES = ("waiting", "sent", "dead", "cancelled")
#: Words that people look for a kind by, beside its name and summary.
ALSO: Mapping[str, str] = {
    "webhook": "http post url api zapier n8n signed",
    "email": "mail smtp e-mail",
    "slack": "chat channel message",
    "apprise": "teams discord pagerduty telegram matrix sms push opsgenie mattermost chat",
    "postgres": "database table sql warehouse",
    "s3_parquet": "bucket object store file export lake minio",
    "mqtt": "broker topic publish iot",
}


@dataclass(frozen=True, slots=True)
class KindCard:
    kind: str
    summary: str
    tells_people: bool

    @property
    def words(self) -> str:
        return f"{kind_title(self.kind)} {self.kind} {self.summary} {ALSO.get(self.kind, '')}".lower()


class SinksHandler(PageHandler):
    """`/sinks`."""

    async def show(self, **names: str) -> None:
        lines = await self.workspace.sinks()
        template = "sinks_part.html" if self.get_query_argument("part", "") else "sinks.html"
        writes = self.workspace.principal.may("sinks.write")
        self.page(template, Place("sinks", "Sinks"), lines=lines, writes=writes)


class NewSinkHandler(PageHandler):
    """`/sinks/new`: the kinds, and with `?kind=` the form of one."""

    async def show(self, **names: str) -> None:
        workspace = self.workspace
        workspace.principal.require("sinks.write")
        asked = self.get_query_argument("kind", "")
        if not asked:
            cards = [KindCard(one.kind, one.summary, one.tells_people) for one in workspace.sink_kinds()]
            # What people look for first.
            order = {name: place for place, name in enumerate(ALSO)}
            cards.sort(key=lambda one: order.get(one.kind, len(order)))
            self.page("sink_form.html", Place("sinks", "New sink", ("Sinks", "/sinks")), kind=None, kinds=cards)
            return
        kind = workspace.sink_kind(asked)
        batch = {"size": 100, "seconds": 5} if kind.batches else {"size": 1, "seconds": 0}
        document = {"name": "", "slug": "", "kind": asked, "pipelines": _listed(self), "batch": batch, "template": None}
        values = await form_values(workspace, kind, document, ref=None)
        place = Place("sinks", f"New sink: {kind_title(asked)}", ("Sinks", "/sinks"))
        self.page("sink_form.html", place, kind=kind, **values)


def _listed(handler: PageHandler) -> list[str]:
    return [one for one in handler.get_query_argument("pipeline", "").replace("\0", "").split(",") if one][:50]


async def form_values(
    workspace: Workspace, kind: type[Kind], document: Mapping[str, Any], ref: str | None
) -> dict[str, Any]:
    """What the form of a sink asks for."""
    lines, kept = await asyncio.gather(workspace.pipelines(), workspace.kept_secrets(ref))
    facts = {
        "document": dict(document),
        "ref": ref,
        "kind": kind.kind,
        "form": form_of(kind, document.get("options") or {}, kept),
        "actions": f"/sinks/{ref}/actions" if ref else "/sinks/new/actions",
    }
    return {
        "facts": facts,
        "pipelines": [one.pipeline for one in lines],
        "writes": workspace.principal.may("sinks.write"),
    }


class NewSinkActions(PageHandler):
    """`POST /sinks/new/actions/{action}`: `{"kind", "document": {…}}`."""

    actions: ClassVar[frozenset[str]] = frozenset({"preview", "test", "create", "fields"})

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        said, workspace = self.body(), self.workspace
        workspace.principal.require("sinks.write")
        if action == "fields":
            return await fields(workspace, said)
        document = read_document(workspace, said)
        if action == "create":
            made, secrets = await workspace.create_sink(document)
            return {"address": address_of(made), "name": made.name, "secrets": dict(secrets)}
        return await tried(self, workspace, action, said, document, None)


async def fields(workspace: Workspace, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields that a condition can name."""
    found = await workspace.pipeline_fields(_text(said, "pipeline"))
    return {"fields": [{"name": f.name, "type": f.type, "unit": f.unit, "role": f.role} for f in found]}


async def tried(
    handler: PageHandler,
    workspace: Workspace,
    action: str,
    said: Mapping[str, Any],
    document: Mapping[str, Any],
    ref: str | None,
) -> Mapping[str, Any]:
    """A document tried before it is saved: a test message really sent, or the last records as they would be."""
    render = handler.house.shell.render
    if action == "test":
        tested = await workspace.test_sink(document, ref)
        page = render("attempt.html", Place("", ""), handler.principal, handler.xsrf, {"tested": tested})
        return {"outcome": tested.outcome, "html": page}
    preview = await workspace.preview_sink(document, _text(said, "pipeline"), ref)
    page = render("preview.html", Place("", ""), handler.principal, handler.xsrf, preview)
    return {"html": page}


class SinkHandler(PageHandler):
    """`/sinks/{ref}`; with `part=1` the tab alone."""

    async def show(self, **names: str) -> None:
        workspace = self.workspace
        detail = await workspace.sink(names["ref"])
        tab, part = self.get_query_argument("tab", "overview"), self.get_query_argument("part", "")
        if tab not in dict(TABS):
            self.redirect(detail.line.address)
            return
        writes = workspace.principal.may("sinks.write")
        values: dict[str, Any] = {"detail": detail, "tab": tab, "tabs": TABS, "writes": writes, "state_asked": ""}
        values["now"] = datetime.now(UTC)
        if tab == "deliveries":
            values |= await self._deliveries(detail)
        if tab == "settings":
            kind = workspace.sink_kind(detail.sink.kind)
            values |= {"kind": kind} | await form_values(workspace, kind, document_of(detail), detail.sink.slug)
            values["facts"]["revision"] = detail.sink.revision
        template = "sink_part.html" if part else "sink.html"
        self.page(template, Place("sinks", detail.sink.name, ("Sinks", "/sinks")), **values)

    async def _deliveries(self, detail: SinkDetail) -> dict[str, Any]:
        state, before = self.get_query_argument("state", ""), self.get_query_argument("before", "")
        state = state if state in STATES else ""
        chosen = self.get_query_argument("delivery", "")
        found = await self.workspace.deliveries(detail.sink.id, state or None, before)
        traced = await self.workspace.delivery(detail.sink.id, chosen) if chosen else None
        return {"found": found, "state_asked": state, "before": before, "chosen": chosen, "traced": traced}


class SinkActions(PageHandler):
    """`POST /sinks/{ref}/actions/{action}`; bodies and answers are JSON objects."""

    actions: ClassVar[frozenset[str]] = frozenset(
        {"pause", "resume", "test", "preview", "save", "delete", "resend", "resendall", "cancel", "fields"}
    )

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        said, workspace, ref = self.body(), self.workspace, names["ref"]
        detail = await workspace.sink(ref)
        workspace.principal.require("sinks.write")
        match action:
            case "pause" | "resume":
                moved = await (workspace.pause_sink if action == "pause" else workspace.resume_sink)(ref)
                return {"state": moved.state}
            case "resend":
                return {"count": await workspace.resend(ref, _text(said, "delivery"))}
            case "resendall":
                return {"count": await workspace.resend(ref, None)}
            case "cancel":
                await workspace.cancel_delivery(ref, _text(said, "delivery"))
                return {}
            case "delete":
                await workspace.delete_sink(ref)
                return {}
            case "fields":
                return await fields(workspace, said)
            case "test" if "document" not in said:
                return await tried(self, workspace, "test", said, {}, ref)
        document = read_document(workspace, {**said, "kind": detail.sink.kind})
        if action == "save":
            base = said.get("revision")
            if isinstance(base, bool) or not isinstance(base, int):
                raise BadRequest("'revision' is the number of the sink as it was read")
            saved = await workspace.save_sink(ref, document, base)
            return {"address": address_of(saved), "revision": saved.revision}
        return await tried(self, workspace, action, said, document, ref)


def document_of(detail: SinkDetail) -> dict[str, Any]:
    """A sink's document, without its secrets."""
    sink = detail.sink
    return {
        "name": sink.name,
        "slug": sink.slug,
        "kind": sink.kind,
        "options": dict(sink.options),
        "pipelines": list(sink.pipelines),
        "where": sink.where,
        "template": dict(sink.template) if sink.template else None,
        "batch": {"size": sink.batch_size, "seconds": sink.batch_seconds},
    }


def read_document(workspace: Workspace, said: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a sink in what a form said. Raises Invalid with each input that cannot be read."""
    document = said.get("document")
    if not isinstance(document, dict) or not isinstance(document.get("options"), dict):
        raise BadRequest("'document' is an object, and so are its options")
    kind = workspace.sink_kind(_text(said, "kind"))
    known = ("name", "slug", "options", "pipelines", "where", "template", "batch")
    made = {name: document[name] for name in known if document.get(name)}
    problems: list[tuple[str, str]] = []
    batch: dict[str, float] = {}
    for name, read in (("size", int), ("seconds", float)):
        text = str((made.get("batch") or {}).get(name, "")).strip()
        try:
            if text:
                batch[name] = read(text)
        except ValueError:
            problems.append((f"batch.{name}", f"'{text[:40]}' is no {'whole ' if read is int else ''}number"))
    if problems:
        raise Invalid(problems=problems)
    return made | {"kind": kind.kind, "batch": batch}


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"'{name}', a text, is needed")
    return value
