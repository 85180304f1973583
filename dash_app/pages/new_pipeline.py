"""Making a pipeline: choose where data come from, fill in that source's form, and end with scripts that send the first
payload. The kind stands in the address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dash_app.domain.errors import BadRequest, Invalid
from dash_app.domain.mapping import load_mapping_text
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place
from dash_app.pages.shown import Created, address_of
from dash_app.pages.sourced import DIRECTIONS, kind_title
from dash_app.pages.workspace import Workspace

EXAMPLE = """\
# time: {path: $.at, format: iso8601}
fields:
  - {name: temperature, path: $.temperature, type: number, unit: °C}
  - {name: site, path: $.site, type: text}
"""


class NewPipelineHandler(PageHandler):
    """`/pipelines/new`: the kinds, and with `?kind=` the form of one."""

    async def show(self, **names: str) -> None:
        workspace = self.workspace
        workspace.principal.require("pipelines.write")
        asked = self.get_query_argument("kind", "")
        if not asked:
            place = Place("pipelines", "New pipeline", ("Pipelines", "/pipelines"))
            cards, senders = workspace.source_cards(), workspace.known_senders()
            self.page("new_pipeline.html", place, kind=None, cards=cards, senders=senders, DIRECTIONS=DIRECTIONS)
            return
        kind = workspace.source_kind(asked)
        scheme = self.get_query_argument("scheme", "")
        known = kind.json_schema()["properties"].get("scheme", {}).get("enum", ())
        facts = {
            **workspace.source_form(asked, {"scheme": scheme} if scheme in known else {}),
            "actions": "/pipelines/new/actions",
            "direction": next(one.direction for one in workspace.source_cards() if one.kind == asked),
            "pipelines": [one.pipeline.slug for one in await workspace.pipelines()],
        }
        place = Place("pipelines", f"New pipeline: {kind_title(asked)}", ("Pipelines", "/pipelines"))
        self.page("new_pipeline.html", place, kind=kind, facts=facts, example=EXAMPLE)


class NewPipelineActions(PageHandler):
    """`POST /pipelines/new/actions/{action}`: `{"kind", "options": {…}}` and, to create, `name`, `slug`, `secret` and
    `mapping` (a text)."""

    actions: ClassVar[frozenset[str]] = frozenset({"check", "try", "create"})

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        said, workspace = self.body(), self.workspace
        workspace.principal.require("pipelines.write")
        kind, options = text_of(said, "kind"), options_of(said)
        if action == "check":
            return {"problems": workspace.check_source(kind, options)}
        if action == "try":
            return await workspace.try_source(kind, options, None)
        return created_json(await self._create(workspace, kind, options, said))

    async def _create(
        self, workspace: Workspace, kind: str, options: Mapping[str, Any], said: Mapping[str, Any]
    ) -> Created:
        problems: list[tuple[str, str]] = []
        name = said.get("name")
        document: dict[str, Any] = {"name": name, "source": {"kind": kind, "options": options}, "mapping": None}
        if not isinstance(name, str) or not name.strip():
            problems.append(("name", "a name is needed"))
        for key in ("slug", "secret"):
            value = said.get(key)
            if value and not isinstance(value, str):
                raise BadRequest(f"'{key}' is a text")
        if said.get("slug"):
            document["slug"] = said["slug"]
        if said.get("secret"):
            document["source"]["secret"] = said["secret"]
        mapping = said.get("mapping")
        if isinstance(mapping, str) and not is_blank(mapping):
            try:
                document["mapping"] = load_mapping_text(mapping)
            except Invalid as error:
                problems.append(("mapping", error.message))
        if problems:
            problems += [(f"source.options.{place}", what) for place, what in workspace.check_source(kind, options)]
            raise Invalid(problems=problems)
        return await workspace.create_pipeline({**document, "name": str(name).strip()})


def created_json(made: Created) -> dict[str, Any]:
    """A new pipeline or secret as the pages' scripts read it; it holds the secret, this once."""
    return {
        "name": made.pipeline.name,
        "slug": made.pipeline.slug,
        "address": address_of(made.pipeline),
        "kind": made.pipeline.source_kind,
        "url": made.webhook_url,
        "secret": made.secret,
        "signed": made.signed,
        "secret_from": made.secret_from,
        "scripts": [{"name": one.name, "title": one.title, "text": one.text} for one in made.scripts],
    }


def text_of(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"'{name}', a text, is needed")
    return value


def options_of(said: Mapping[str, Any]) -> dict[str, Any]:
    options = said.get("options", {})
    if not isinstance(options, dict):
        raise BadRequest("'options' is an object")
    return options


def is_blank(text: str) -> bool:
    """Whether there is nothing but comments."""
    return all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines())
