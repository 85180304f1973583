"""`/api/openapi.json`, and `/api/docs`: a page that reads it, made and served here, with nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dash_app.web.api.handler import ProblemHandler
from dash_app.web.api.openapi import document
from dash_app.web.api.operation import Operation
from dash_app.web.login import PageHandler

_FOLDER = Path(__file__).parents[1] / "templates"


def rendered(operations: Sequence[Operation]) -> bytes:
    return json.dumps(document(operations), ensure_ascii=False).encode()


class OpenApiHandler(ProblemHandler):
    """`/api/openapi.json`, for everybody."""

    def initialize(self, text: bytes) -> None:
        self._text = text

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-cache")
        self.finish(self._text)

    head = get


class DocsHandler(PageHandler):
    """`/api/docs`, for everybody."""

    def get(self) -> None:
        self.page("docs.html", style=_text("docs.css"), script=_text("docs.js"))

    head = get


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
