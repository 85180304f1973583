"""Panel pages: never a blank one."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import panel as pn
import pytest
from bokeh.document import Document
from panel.models.markup import HTML

from dash_app.domain.access import Principal, Role
from dash_app.domain.errors import Forbidden, NotFound, Unauthorized
from dash_app.pages import documents, gate
from dash_app.pages.documents import Content, document
from dash_app.pages.gate import House, PageAuth, Visit, login_url
from dash_app.pages.shell import Place
from dash_app.pages.workspace import Workspace

WHO = Principal(UUID(int=1), "ada@example.org", "Ada", UUID(int=2), "main", "Main", Role.admin)


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Visit:
    house: Any = House(app=None, gate=None, queries=None)  # type: ignore[arg-type]
    made = Visit(house, SimpleNamespace(principal=WHO), "token")  # type: ignore[arg-type]
    monkeypatch.setattr(documents, "_visit", lambda: made)
    return made


def rendered(build: Any) -> tuple[Document, str]:
    document_ = Document()
    page = document(build)()
    page._init_doc(document_)
    assert document_.to_json().content["roots"]  # what cannot be encoded fails here
    return document_, unescape(" ".join(model.text for model in document_.select({"type": HTML})))


def test_a_page_stands(visit: Visit) -> None:
    made, text = rendered(lambda v: Content(Place("pipelines", "Here"), pn.pane.HTML("content of it")))
    assert "content of it" in text
    assert made.template_variables["place"].title == "Here"
    assert made.template_variables["xsrf"] == "token"


def test_a_page_function_that_raises_is_a_page_that_says_so(visit: Visit) -> None:
    def build(_visit: Visit) -> Content:
        raise NotFound("no such pipeline")

    made, text = rendered(build)
    assert "no such pipeline" in text
    assert made.template_variables["place"].title == "Not found"


def test_an_unforeseen_error_of_a_page_function_shows_its_number_only(visit: Visit) -> None:
    def build(_visit: Visit) -> Content:
        raise RuntimeError("hunter2")

    _, text = rendered(build)
    assert "Number in the log" in text
    assert "hunter2" not in text


def test_the_log_in_comes_back_to_what_was_asked_for() -> None:
    request: Any = SimpleNamespace(uri="/pipelines/a?tab=rejects&x=1")
    assert login_url(request) == "/login?next=%2Fpipelines%2Fa%3Ftab%3Drejects%26x%3D1"
    request.uri = "/"
    assert login_url(request) == "/login"


def test_an_opening_is_found_for_its_own_address_alone() -> None:
    async def one(*_: Any) -> None: ...

    async def two(*_: Any) -> None: ...

    auth = PageAuth(None, {"/pipelines/new": one, "/pipelines/{ref}/mapping": two})  # type: ignore[arg-type]
    assert auth._opening("/pipelines/new") is one
    assert auth._opening("/pipelines/new/mapping") is two
    assert auth._opening("/pipelines/weather") is None
    assert gate.PageAuth is PageAuth


async def test_a_workspace_ends_with_its_session_and_follows_its_role() -> None:
    now: list[Principal | None] = [WHO]

    async def renew() -> Principal | None:
        return now[0]

    app: Any = SimpleNamespace(settings=SimpleNamespace(public_url=None))
    workspace = Workspace(app, None, WHO, "http://here", renew)  # type: ignore[arg-type]
    await workspace._allow("pipelines.write")
    now[0] = replace(WHO, role=Role.viewer)
    with pytest.raises(Forbidden):
        await workspace._allow("pipelines.write")
    for gone in (None, replace(WHO, team=UUID(int=9))):
        now[0] = gone
        with pytest.raises(Unauthorized):
            await workspace._allow("pipelines.read")
