# mypy: disable-error-code="no-untyped-call"
"""Editing a mapping as text, with everything that is wrong with it and what it makes of the last payloads beside it.

The preview is the same plan that live payloads go through. Saving makes a new version for what comes from now on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import panel as pn
import panel_material_ui as pmui

from dash_app.domain.errors import Invalid
from dash_app.domain.specs import MappingVersion
from dash_app.pages.boundary import Problem, guarded
from dash_app.pages.documents import Content, html, material_theme, problem_markup
from dash_app.pages.gate import Visit
from dash_app.pages.parts.lines import line_of_place
from dash_app.pages.parts.module import Editor
from dash_app.pages.pipeline import place_of, tabs_of
from dash_app.pages.shown import Detail, Preview
from dash_app.pages.workspace import Workspace

_PLACEHOLDER = """\
fields:
  - {name: temperature, path: $.temperature, type: number, unit: °C}
"""
_SAVED = "Version {} maps what comes from now on; what came before stays as it was mapped."


@dataclass(frozen=True)
class Subject:
    """What the page is about, read before it is made."""

    detail: Detail
    text: str
    versions: Sequence[MappingVersion]


async def opening(workspace: Workspace, names: dict[str, str]) -> Subject:
    detail = await workspace.detail(names["ref"])
    text, versions = await workspace.mapping(detail.pipeline.id)
    return Subject(detail, text, versions)


def build(visit: Visit) -> Content:
    subject: Subject = visit.subject
    values = {"detail": subject.detail, "tabs": tabs_of(subject.detail), "tab": "mapping"}
    return Content(place_of(subject.detail), MappingPage(visit, subject).view, values)


class MappingPage:
    """The editor of one session."""

    def __init__(self, visit: Visit, subject: Subject) -> None:
        self._shell = visit.house.shell
        self._workspace = visit.workspace
        self._pipeline = subject.detail.pipeline.id
        self._saved = subject.text
        self._asked = 0
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}
        self._editor = Editor(
            module=f"{self._shell.assets}/editor.js",
            value=subject.text,
            label="Mapping",
            placeholder=_PLACEHOLDER,
            **wide,
        )
        self._note = pmui.TextInput(
            label="What changes", placeholder="a note for the list of versions", size="small", **wide
        )
        self._save = pmui.Button(
            label="Save as a new version", color="primary", variant="contained", disabled=True, margin=0
        )
        self._said = html(visit)
        self._preview = html(visit, self._previewed(None))
        self._versions = html(visit, self._listed(subject.detail.pipeline.mapping_version, subject.versions))
        self._editor.param.watch(guarded("mapping", self._tell, lambda _event: self._show_preview()), "value")
        self._save.on_click(guarded("mapping", self._tell, lambda _event: self._submit()))
        pn.state.onload(guarded("mapping", self._tell, self._show_preview))
        self.view = self._layout(wide)

    def _layout(self, wide: dict[str, Any]) -> pmui.Column:
        column = {
            "flex": "1 1 420px",
            "min-width": "min(420px, 100%)",
            "display": "flex",
            "flex-direction": "column",
            "gap": "12px",
        }
        actions: list[Any] = []
        if self._workspace.principal.may("pipelines.write"):
            actions = [pn.Row(self._note, self._save, styles={"gap": "8px", "align-items": "center"}, **wide)]
        left = pn.Column(self._editor, *actions, self._said, styles=column, **wide)
        right = pn.Column(self._preview, self._versions, styles=column, **wide)
        both = pn.FlexBox(left, right, gap="16px", align_items="flex-start", **wide)
        return pmui.Column(both, theme_config=material_theme(), **wide)

    def _tell(self, problem: Problem) -> None:
        self._said.object = problem_markup(problem)

    async def _show_preview(self) -> None:
        self._asked += 1
        asked, text = self._asked, self._editor.value
        if not text.strip():
            self._preview.object = self._previewed("nothing")
            self._save.disabled = True
            return
        made = await self._workspace.preview(self._pipeline, text)
        if asked != self._asked:
            # Something newer has been typed meanwhile.
            return
        placed = [
            [line_of_place(text, place, what), f"{place}: {what}" if place else what] for place, what in made.problems
        ]
        self._editor.problems = placed
        self._preview.object = self._previewed(made, placed)
        self._save.disabled = bool(made.problems) or text == self._saved

    async def _submit(self) -> None:
        text = self._editor.value
        self._save.disabled = True
        try:
            version = await self._workspace.save_mapping(self._pipeline, text, self._note.value or "")
        except Invalid as error:
            self._tell(Problem(422, error.title, error.message, tuple(error.problems)))
            return
        self._saved = text
        self._note.value = ""
        self._said.object = f'<div class="notice" role="status">{_SAVED.format(version)}</div>'
        _, versions = await self._workspace.mapping(self._pipeline)
        self._versions.object = self._listed(version, versions)

    def _previewed(self, made: Preview | str | None, placed: Sequence[Sequence[Any]] = ()) -> str:
        return self._shell.template("parts/preview.html").render(made=made, placed=placed)

    def _listed(self, active: int | None, versions: Sequence[MappingVersion]) -> str:
        return self._shell.template("parts/versions.html").render(active=active, versions=versions)
