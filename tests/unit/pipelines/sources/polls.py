"""Short ways to make an HTTP poll, to run it, and to answer it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.domain.errors import DashError
from dash_app.pipelines.sources.base import Page
from dash_app.pipelines.sources.http_poll import HttpPoll

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def source(url: str, **options: Any) -> HttpPoll:
    return HttpPoll.from_options({"url": url, **options})


def run(made: HttpPoll, client: httpx.Client, cursor: Mapping[str, Any] | None = None) -> list[Page]:
    pages = list(made.pages(cursor, client, NOW))
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True] * bool(pages)
    for page in pages:
        assert json.loads(json.dumps(page.cursor)) == page.cursor
    return pages


def broken(pages: Iterator[Page]) -> tuple[list[Page], DashError]:
    """The pages that came before the error, and the error."""
    got: list[Page] = []
    with pytest.raises(DashError) as error:
        got.extend(pages)
    assert not any(page.last for page in got)
    return got, error.value


def bodies(pages: list[Page]) -> list[Any]:
    return [json.loads(page.body) for page in pages if page.body]


def serve(server: HTTPServer, answer: Callable[[Request], Any], path: str = "/api") -> str:
    """Answers by a function: a Response, or anything else as JSON."""

    def handler(request: Request) -> Response:
        made = answer(request)
        return made if isinstance(made, Response) else Response(json.dumps(made), content_type="application/json")

    server.expect_request(path).respond_with_handler(handler)
    return server.url_for(path)


def asked(server: HTTPServer) -> list[dict[str, str]]:
    return [request.args.to_dict() for request, _ in server.log]
