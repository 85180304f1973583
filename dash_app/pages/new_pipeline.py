# mypy: disable-error-code="no-untyped-call"
"""Making a pipeline: choose where data come from, fill in that source's form, and end with a script that sends the
first payload."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
from markupsafe import escape

from dash_app.domain import ids
from dash_app.domain.errors import Invalid
from dash_app.domain.kinds import Kind
from dash_app.domain.mapping import load_mapping_text
from dash_app.pages.boundary import Problem, guarded, problem_of
from dash_app.pages.documents import Content, html, material_theme, problem_markup
from dash_app.pages.gate import Visit
from dash_app.pages.parts.form import KindForm, label_of
from dash_app.pages.parts.lines import line_of
from dash_app.pages.parts.module import Editor, Module
from dash_app.pages.shell import Place
from dash_app.pages.shown import Created, address_of
from dash_app.pages.workspace import Workspace

EXAMPLE = """\
# Left empty, the mapping is inferred from the first payloads.
# time: {path: $.at, format: iso8601}
# fields:
#   - {name: temperature, path: $.temperature, type: number, unit: °C}
#   - {name: site, path: $.site, type: text}
"""
_OPEN = "Anybody who knows the address will be able to send: nothing is signed."
_INFERRED = (
    '<p class="muted">Left alone, a mapping is inferred from the first payloads. It can be changed at any time.</p>'
)


async def opening(workspace: Workspace, _names: dict[str, str]) -> None:
    """Only who may make pipelines gets the page."""
    workspace.principal.require("pipelines.write")


def build(visit: Visit) -> Content:
    return Content(Place("pipelines", "New pipeline", ("Pipelines", "/pipelines")), NewPipeline(visit).view)


class NewPipeline:
    """The form of one session."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._workspace = visit.workspace
        self._kinds: dict[str, type[Kind]] = {kind.kind: kind for kind in self._workspace.sources()}
        self._forms: dict[str, KindForm] = {}
        first = "webhook" if "webhook" in self._kinds else next(iter(self._kinds))
        titles = {_title(name): name for name in sorted(self._kinds, key=lambda name: name != first)}
        self._kind = pmui.RadioButtonGroup(
            options=titles, value=first, size="small", color="primary", margin=(4, 0, 8, 0)
        )
        self._summary = html(visit)
        self._name = pmui.TextInput(
            label="Name", placeholder="Front door sensors", size="small", sizing_mode="stretch_width", margin=(4, 0)
        )
        self._name_note = html(visit)
        self._place = pn.Column(margin=0, sizing_mode="stretch_width")
        self._warning = html(visit)
        self._own = pmui.Switch(label="Write the mapping now", value=False, margin=(4, 0))
        self._mapping = Editor(
            module=f"{visit.house.shell.assets}/editor.js",
            label="Mapping",
            placeholder=EXAMPLE,
            visible=False,
            sizing_mode="stretch_width",
        )
        self._create = pmui.Button(
            label="Create pipeline", color="primary", variant="contained", size="medium", margin=(8, 0)
        )
        self._problems = html(visit)
        watch = self._watch
        watch(self._kind, "value", self._choose)
        watch(self._name, "value_input", self._named)
        watch(self._own, "value", lambda: self._mapping.param.update(visible=self._own.value))
        watch(self._mapping, "value", self._check_mapping)
        self._create.on_click(guarded("pipelines/new", self._tell, lambda _event: self._submit()))
        self._choose()
        self._named()
        section = {"sizing_mode": "stretch_width", "margin": 0}
        named = pn.Column(self._name, self._name_note, margin=(4, 0, 8, 0), sizing_mode="stretch_width")
        form = pn.Column(
            _card(html(visit, "<h2>Where do the data come from?</h2>"), self._kind, self._summary, named, self._place,
                  self._warning),
            _card(html(visit, f"<h2>How do records come of it?</h2>{_INFERRED}"), self._own, self._mapping),
            self._problems, self._create,
            max_width=680, styles={"gap": "16px"}, **section,
        )  # fmt: skip
        self.view = pmui.Column(form, theme_config=material_theme(), **section)

    def _watch(self, widget: Any, name: str, function: Any) -> None:
        widget.param.watch(guarded("pipelines/new", self._tell, lambda _event: function()), name)

    def _tell(self, problem: Problem) -> None:
        self._create.disabled = False
        self._problems.object = problem_markup(problem)

    def _choose(self) -> None:
        name = self._kind.value
        kind = self._kinds[name]
        if name not in self._forms:
            example = getattr(kind, "example", {})
            checked = self._checked
            self._forms[name] = KindForm(kind.json_schema(), example, lambda text: html(self._visit, text), checked)
        self._summary.object = f'<p class="muted">{escape(kind.summary)}</p>'
        self._place.objects = [self._forms[name].view]
        self._problems.object = self._warning.object = ""
        self._checked()

    def _checked(self) -> None:
        try:
            self._check()
        except Exception as error:
            self._tell(problem_of(error, "pipelines/new"))

    def _named(self) -> None:
        name = (self._name.value_input or self._name.value or "").strip()
        said = (
            f"In addresses and queries: <code>{escape(ids.slug_from(name))}</code>" if name else "What people call it."
        )
        self._name_note.object = f'<div class="field"><span class="help">{said}</span></div>'
        if name and self._name.error_state:
            self._name.error_state = False

    def _check(self) -> None:
        """Says what is wrong as soon as an input is left; an address that nobody has typed yet is not wrong."""
        form = self._forms[self._kind.value]
        try:
            options = form.values()
        except Invalid as error:
            form.show(list(error.problems))
            return
        warning = f'<p class="warn-text">{_OPEN}</p>' if self._workspace.is_open(self._kind.value, options) else ""
        self._warning.object = warning
        problems = self._workspace.check_source(self._kind.value, options)
        form.show([(place, what) for place, what in problems if options.get(place) != ""])

    def _check_mapping(self) -> None:
        text = self._mapping.value
        self._mapping.problems = []
        if _is_blank(text):
            return
        try:
            load_mapping_text(text)
        except Invalid as error:
            self._mapping.problems = [[line_of(error.message), error.message]]

    async def _submit(self) -> None:
        form = self._forms[self._kind.value]
        name = (self._name.value_input or self._name.value or "").strip()
        problems: list[tuple[str, str]] = []
        if not name:
            problems.append(("name", "a name is needed"))
            self._name.error_state = True
        document: dict[str, Any] = {"name": name, "source": {"kind": self._kind.value}, "mapping": None}
        try:
            document["source"]["options"] = form.values()
        except Invalid as error:
            problems += [(f"source.options.{place}", what) for place, what in error.problems]
        if self._own.value and not _is_blank(self._mapping.value):
            try:
                document["mapping"] = load_mapping_text(self._mapping.value)
            except Invalid as error:
                problems.append(("mapping", error.message))
        if problems:
            self._show(problems)
            return
        self._create.disabled = True
        try:
            made = await self._workspace.create_pipeline(document)
        except Invalid as error:
            self._create.disabled = False
            self._show(list(error.problems) or [("", error.message)])
            return
        self._done(made)

    def _show(self, problems: list[tuple[str, str]]) -> None:
        below = "source.options."
        own = [(place.removeprefix(below), what) for place, what in problems if place.startswith(below)]
        others = [each for each in problems if not each[0].startswith(below)]
        others += self._forms[self._kind.value].show(own)
        schema = self._forms[self._kind.value].schema["properties"]
        said = others + [(label_of(place, schema.get(place, {})), what) for place, what in own if place in schema]
        self._problems.object = problem_markup(Problem(422, "Not yet", "", tuple(said)))

    def _done(self, made: Created) -> None:
        shell = self._visit.house.shell
        data = {
            "name": made.pipeline.name,
            "slug": made.pipeline.slug,
            "address": address_of(made.pipeline),
            "url": made.webhook_url,
            "secret": made.secret,
            "script": made.script,
            "signed": made.signed,
        }
        self.view.objects = [Module(module=f"{shell.assets}/created.js", data=data, sizing_mode="stretch_width")]


def _card(*parts: Any) -> pn.Column:
    look = {"background": "var(--surface)", "border": "1px solid var(--line)", "border-radius": "var(--radius-l)"}
    return pn.Column(*parts, styles=look | {"padding": "16px", "gap": "4px"}, margin=0, sizing_mode="stretch_width")


def _title(kind: str) -> str:
    words = kind.replace("_", " ")
    return {"http poll": "HTTP poll"}.get(words, words[:1].upper() + words[1:])


def _is_blank(text: str) -> bool:
    """Whether there is nothing but comments."""
    return all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines())
