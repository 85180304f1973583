"""Trying a source out: what is shown of a real answer, what is suggested, and what is named as wrong."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.pipelines.reach import Reach
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sources import load_sources
from dash_app.pipelines.sources.s3 import S3Source
from dash_app.pipelines.trials.trial import MAX_RECORDS, MAX_TEXT, Trial, try_source

ITEMS = [{"id": f"a{n}", "temp": n + 0.5, "at": f"2024-05-01T10:00:{n:02}Z"} for n in range(30)]


def tried(
    options: dict[str, Any], *, kind: str = "http_poll", secrets: Any = None, reach: Reach | None = None
) -> Trial:
    app = SimpleNamespace(
        sources=load_sources(), reach=reach or Reach.of(["127.0.0.0/8"]), watch_roots=(), objects=None, database=None
    )
    made = try_source(cast(Resources, app), kind, options, secrets)
    json.dumps(asdict(made))
    return made


def answering(server: HTTPServer, body: Any, status: int = 200, **headers: str) -> str:
    def handler(request: Request) -> Response:
        data = body(request) if callable(body) else body
        text = data if isinstance(data, bytes | str) else json.dumps(data)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(text, status, headers=given, content_type=given.pop("content-type", "application/json"))

    server.expect_request("/api").respond_with_handler(handler)
    return server.url_for("/api")


def test_a_bug_is_a_problem_and_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("sword-fish")

    monkeypatch.setattr(S3Source, "fetch", broken)
    made = tried({"bucket": "exports"}, kind="s3")
    assert made.problems == (("answer", "internal error (RuntimeError); the node's log says more"),)
    for endpoint in ("http://minio_1:9000", "https://a..b"):
        ((option, why),) = tried({"bucket": "exports", "endpoint": endpoint}, kind="s3").problems
        assert option.endswith("endpoint")
        assert "names no host" in why


def test_what_the_server_said_and_what_would_become_of_it(httpserver: HTTPServer) -> None:
    url = answering(httpserver, {"items": ITEMS, "links": {"next": "/api?page=2"}}, etag='"7"', set_cookie="canary=1")
    made = tried({"url": url, "params": {"a": 1}})
    assert (made.ok, made.problems) == (True, ())
    assert (made.method, made.url, made.status, made.reason) == ("GET", f"{url}?a=1", 200, "OK")
    assert made.headers["etag"] == '"7"'
    assert "canary" not in str(made)
    assert made.size == len(made.text)
    assert not made.cut
    assert json.loads(made.text)["items"] == ITEMS
    assert (made.selector, made.count, len(made.records)) == ("$.items", 30, MAX_RECORDS)
    assert made.records[0] == ITEMS[0]
    assert made.mapping is not None
    assert made.mapping["time"] == {"path": "$.at"}
    assert {(one.name, one.type, one.path, one.role, one.sample) for one in made.fields} >= {
        ("temp", "number", "$.temp", "metric", "0.5")
    }
    # The way to the next page is seen, and proposed where the source would not take it.
    assert made.pagination is not None
    assert made.pagination.paginator == {"type": "json_link", "next_url_path": "links.next"}
    assert not made.pagination.followed
    assert len(httpserver.log) == 1
    again = tried({"url": url, "paginator": made.pagination.paginator, "data_selector": made.selector})
    assert again.pagination is not None
    assert again.pagination.followed
    assert again.selector == ""


@pytest.mark.parametrize(
    ("document", "headers", "paginator"),
    [
        ([1], {"link": '</api?p=2>; rel="next"'}, {"type": "header_link"}),
        (
            {"items": [1], "next_cursor": "x"},
            {},
            {"type": "cursor", "cursor_path": "next_cursor", "cursor_param": "cursor"},
        ),
        (
            {"items": [1], "page": 1, "total_pages": 4},
            {},
            {"type": "page_number", "page_param": "page", "total_path": "total_pages"},
        ),
        ({"items": [1], "page": 4, "total_pages": 4}, {}, None),
        ({"items": [1], "next": None}, {}, None),
    ],
)
def test_how_pages_follow_each_other(httpserver: HTTPServer, document: Any, headers: Any, paginator: Any) -> None:
    url = answering(httpserver, document, **headers)
    seen = tried({"url": url}).pagination
    assert (seen.paginator if seen else None) == paginator
    by_itself = tried({"url": url, "paginator": {"type": "auto"}}).pagination
    assert (by_itself.followed if by_itself else None) == (True if paginator else None)


@pytest.mark.parametrize(
    ("options", "place", "message"),
    [
        (
            {"data_selector": "$.nope"},
            "options.data_selector",
            "leads nowhere in this answer; the records seem to be at $.items",
        ),
        ({"data_selector": "$.none"}, "options.data_selector", "leads to no record in this answer"),
        (
            {"data_selector": "items", "incremental": {"cursor_path": "updated"}},
            "options.incremental.cursor_path",
            "is in none of the 30 records of this answer",
        ),
        ({"format": "xml"}, "answer", "it cannot be read: not valid XML"),
        ({"response_actions": [{"status_code": 200, "action": "ignore"}]}, "options.response_actions", "is ignored"),
        ({"max_bytes": 10}, "answer", "larger than 10 bytes"),
        ({"method": "PUT"}, "options.method", "PUT"),
        ({"auth": {"type": "bearer"}}, "options.auth.token", "is missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_option(httpserver: HTTPServer, options: Any, place: str, message: str) -> None:
    made = tried({"url": answering(httpserver, {"items": ITEMS, "none": []}), **options})
    assert not made.ok
    assert (place, message) in [(at, message if message in what else what) for at, what in made.problems]


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        (b"", 200, "application/json", "the body is empty"),
        (b"<html>hello", 200, "text/html", "it cannot be read"),
        (b"who are you", 401, "text/plain", "answered 401 Unauthorized: who are you"),
        (b"later", 503, "text/plain", "answered 503"),
    ],
)
def test_an_answer_that_is_none_is_shown_all_the_same(
    httpserver: HTTPServer, body: bytes, status: int, kind: str, message: str
) -> None:
    made = tried({"url": answering(httpserver, body, status, content_type=kind)})
    assert not made.ok
    assert made.status == status
    assert made.text == body.decode()
    assert any(message in what for _, what in made.problems)


def test_no_secret_is_shown_although_the_server_sends_it_back(httpserver: HTTPServer) -> None:
    def echo(request: Request) -> Any:
        return {"items": [{"id": 1, "sent": dict(request.headers), "canary-7": request.full_path}]}

    url = answering(httpserver, echo)
    for options in (
        {"secret_headers": {"X-Key": "canary-7"}},
        {"auth": {"type": "bearer", "token": "canary-7"}},
        {"auth": {"type": "basic", "username": "me", "password": "canary-7"}},
        {"auth": {"type": "api_key", "name": "k", "location": "query", "api_key": "canary-7"}},
    ):
        made = tried({"url": url, **options})
        assert made.status == 200
        assert "canary-7" not in str(made)
        assert "bWU6Y2FuYXJ5LTc=" not in str(made)
        assert "***" in made.text


def test_stored_secrets_stand_in_for_those_left_out(httpserver: HTTPServer) -> None:
    url = answering(httpserver, lambda request: {"sent": request.headers.get("authorization", "none")[:3]})
    made = tried({"url": url, "auth": {"type": "bearer"}}, secrets={"auth_secrets": {"token": "stored-token"}})
    assert made.ok
    assert json.loads(made.text)["sent"] == "Bea"


def test_a_listing_and_its_first_child(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/list").respond_with_json([{"id": "b c"}, {"id": None}, {"id": 2}])
    httpserver.expect_request("/s/b c").respond_with_json([{"n": 1}])
    resolve = {"url": httpserver.url_for("/list"), "fields": {"id": "id"}}
    made = tried({"url": httpserver.url_for("/s/") + "{id}", "resolve": resolve})
    assert (made.ok, made.parents, made.records) == (True, 2, [{"n": 1}])
    assert made.url.endswith("/s/b%20c")
    wrong = tried({"url": httpserver.url_for("/s/") + "{id}", "resolve": {**resolve, "fields": {"id": "nothing"}}})
    assert (wrong.ok, wrong.problems[0][0]) == (False, "options.resolve")
    gone = tried({"url": httpserver.url_for("/s/") + "{id}", "resolve": {**resolve, "url": httpserver.url_for("/no")}})
    assert gone.problems[0][0] == "options.resolve"
    assert gone.status == 500


def test_a_long_answer_is_cut(httpserver: HTTPServer) -> None:
    made = tried({"url": answering(httpserver, {"text": "é" * MAX_TEXT})})
    assert (made.cut, len(made.text.encode()) <= MAX_TEXT) == (True, True)
    assert "\ufffd" not in made.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://[::1]/", "http://0x7f.1/", "http://169.254.169.254/"])
def test_addresses_that_are_not_allowed(url: str) -> None:
    made = tried({"url": url}, reach=Reach())
    assert [place for place, _ in made.problems] == ["answer"]
    assert made.problems[0][1].startswith("address not allowed: ")
    assert made.status is None


def test_what_cannot_be_tried() -> None:
    assert tried({}, kind="webhook").problems == (
        ("kind", "a source of the kind webhook asks nobody: there is nothing to try"),
    )
    ((place, what),) = tried({}, kind="carrier_pigeon").problems
    assert place == "kind"
    assert "carrier_pigeon" in what


def test_what_no_json_can_say_is_shown_as_text(httpserver: HTTPServer) -> None:
    url = answering(httpserver, '[{"id": 123456789012345678901234567890, "s\\udc00": "a\\ud800\\u0000b", "n": 1}]')
    made = tried({"url": url})
    # As the API encodes it.
    shown = orjson.loads(orjson.dumps(asdict(made)))
    assert shown["records"] == [{"id": "123456789012345678901234567890", "s\ufffd": "a\ufffd\ufffdb", "n": 1}]
    assert made.count == 1
