# mypy: disable-error-code="no-untyped-call"
"""Panel pages: a Bokeh document within the shell, for the pages on which something is edited.

A page function gets its visit (who, workspace, subject), which the gate has put on the request before the session was
made, and answers what stands in the page. Whatever it raises becomes a page that says so, never a blank one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import panel as pn
from markupsafe import escape
from panel.viewable import Viewable

from dash_app.domain.errors import Unauthorized
from dash_app.pages.boundary import Problem, problem_of
from dash_app.pages.gate import Visit
from dash_app.pages.shell import Place


@dataclass(frozen=True)
class Content:
    """What a page function answers: where the page stands, its components, and values for document.html."""

    place: Place
    body: Viewable
    values: Mapping[str, Any] = field(default_factory=dict)


#: A shadow root's own text: Panel's rules for it come before what is inherited from the page.
_HOST = ":host { font: 400 var(--size-m)/20px var(--font); color: var(--text); }"

PageFunction = Callable[[], pn.Template]


def document(build: Callable[[Visit], Content]) -> PageFunction:
    """`build` as a page function of Panel's server."""

    def page() -> pn.Template:
        pn.extension()
        visit = _visit()
        shell = visit.house.shell
        try:
            content = build(visit)
        except Exception as error:
            problem = problem_of(error, build.__module__)
            content = Content(Place("", problem.title), problem_pane(visit, problem))
        template = pn.Template(shell.template("document.html"))
        template.add_panel("body", content.body)
        values = shell.variables(content.place, visit.workspace.principal, visit.xsrf)
        for name, value in ({"detail": None} | values | dict(content.values)).items():
            template.add_variable(name, value)
        return template

    return page


def _visit() -> Visit:
    context: Any = pn.state.curdoc.session_context if pn.state.curdoc else None
    request = context.request if context else None
    visit = getattr(getattr(request, "_request", None), "dash_visit", None)
    if not isinstance(visit, Visit):
        raise Unauthorized("This page was opened without going through the gate.")
    return visit


def sheets(visit: Visit) -> list[str]:
    """The addresses of the shared rules, for what stands in a shadow root."""
    assets = visit.house.shell.assets
    return [*(f"{assets}/{name}" for name in ("app.css", "tiles.css", "pages.css")), _HOST]


def html(visit: Visit, text: str = "", **options: Any) -> pn.pane.HTML:
    """A pane of markup that the page's rules apply to."""
    return pn.pane.HTML(text, stylesheets=sheets(visit), margin=0, sizing_mode="stretch_width", **options)


def problem_markup(problem: Problem) -> str:
    listed = "".join(
        f"<p><strong>{escape(place)}</strong> {escape(what)}</p>" for place, what in problem.problems if place
    )
    number = f"<p>Number in the log: <code>{escape(problem.reference)}</code></p>" if problem.reference else ""
    detail = "" if listed else f"<p>{escape(problem.detail)}</p>"
    return f'<div class="problem" role="alert"><strong>{escape(problem.title)}</strong>{detail}{listed}{number}</div>'


def problem_pane(visit: Visit, problem: Problem) -> pn.pane.HTML:
    return html(visit, problem_markup(problem))
