"""Polling against real HTTP answers: what becomes a page, what the cursor says, and what each failure means."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import jsonschema
import pytest
import zstandard
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.domain.errors import Invalid, Permanent, Transient
from dash_app.pipelines.reach.guard import AddressNotAllowed, guarded_client
from dash_app.pipelines.sources.fetching import HttpPollPermanent, HttpPollTransient, retry_after
from dash_app.pipelines.sources.http_poll import HttpPoll
from tests.unit.pipelines.sources.polls import NOW, asked, bodies, broken, run, serve, source

# One page


def test_a_page_is_the_answer_as_it_came(httpserver: HTTPServer, client: httpx.Client) -> None:
    text = '{"b": 1,\n "a": 1.50}'
    answer = Response(
        text, content_type="application/json; charset=utf-8", headers={"X-Rate": "7", "Set-Cookie": "a=b"}
    )
    url = serve(httpserver, lambda request: answer)
    (page,) = run(source(url), client)
    assert page.body == text.encode()
    assert page.content_type == "application/json; charset=utf-8"
    assert page.url == url
    assert page.headers["x-rate"] == "7"
    assert not {"set-cookie", "content-length", "connection"} & set(page.headers)


def test_what_is_sent(httpserver: HTTPServer, client: httpx.Client) -> None:
    url = serve(httpserver, lambda request: [1])
    made = source(
        url + "?a=1",
        headers={"Accept": "text/csv"},
        secret_headers={"Authorization": "Bearer t"},
        params={"n": 2, "f": 1.5, "yes": True, "text": "a b&c"},
    )
    (page,) = run(made, client)
    sent = httpserver.log[0][0]
    assert sent.method == "GET"
    assert sent.headers["accept"] == "text/csv"
    assert sent.headers["authorization"] == "Bearer t"
    assert sent.headers["user-agent"].startswith("dash-app")
    assert asked(httpserver) == [{"a": "1", "n": "2", "f": "1.5", "yes": "true", "text": "a b&c"}]
    assert "Bearer" not in json.dumps(page.cursor) + page.url + json.dumps(dict(page.headers))


@pytest.mark.parametrize(("pack", "name"), [(gzip.compress, "gzip"), (zstandard.compress, "zstd")])
def test_encodings_are_undone(httpserver: HTTPServer, client: httpx.Client, pack: Any, name: str) -> None:
    url = serve(httpserver, lambda request: Response(pack(b'{"n": 1}'), headers={"content-encoding": name}))
    (page,) = run(source(url), client)
    assert page.body == b'{"n": 1}'
    assert "content-encoding" not in page.headers


def test_an_equal_answer_is_a_payload_each_time(httpserver: HTTPServer, client: httpx.Client) -> None:
    made = source(serve(httpserver, lambda request: {"state": "on"}))
    (first,) = run(made, client)
    (second,) = run(made, client, first.cursor)
    assert first.body == second.body


def test_other_formats_pass_unread(httpserver: HTTPServer, client: httpx.Client) -> None:
    url = serve(httpserver, lambda request: Response("a,b\n1,2\n", content_type="text/csv"))
    (page,) = run(source(url), client)
    assert (page.body, page.content_type) == (b"a,b\n1,2\n", "text/csv")
    (page,) = run(source(url, paginator={"type": "auto"}), client)
    assert page.body == b"a,b\n1,2\n"


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        (Response(status=204), {}),
        (Response(b"  \n", status=200), {}),
        (Response(b" [] "), {}),
        (Response(b'{"items": []}'), {"data_selector": "$.items"}),
        (Response(b'{"items": []}'), {"data_selector": "items[*]"}),
        (Response(b'{"items": null}'), {"data_selector": "items"}),
    ],
)
def test_nothing_in_it_is_no_payload(httpserver: HTTPServer, client: httpx.Client, answer: Any, options: Any) -> None:
    made = source(serve(httpserver, lambda request: answer), **options)
    (page,) = run(made, client)
    assert page.body == b""
    # The cursor is stored once; then there is nothing at all to say.
    assert run(made, client, page.cursor) == []


def test_an_answer_of_another_shape_is_kept_for_the_mapping_to_refuse(
    httpserver: HTTPServer, client: httpx.Client
) -> None:
    made = source(serve(httpserver, lambda request: {"error": "quota"}), data_selector="$.items")
    assert bodies(run(made, client)) == [{"error": "quota"}]


# Conditional requests


def conditional(server: HTTPServer, state: dict[str, str], header: str = "etag", ask: str = "if-none-match") -> str:
    def answer(request: Request) -> Response:
        if request.headers.get(ask) == state["tag"]:
            return Response(status=304, headers={header: state["tag"]})
        return Response(json.dumps([state["tag"]]), headers={header: state["tag"]})

    return serve(server, answer)


@pytest.mark.parametrize(
    ("header", "ask", "one", "two"),
    [
        ("etag", "if-none-match", '"1"', 'W/"2"'),
        ("last-modified", "if-modified-since", "Wed, 01 May 2024 10:00:00 GMT", "Wed, 01 May 2024 11:00:00 GMT"),
    ],
)
def test_what_the_server_calls_unchanged_is_no_payload(
    httpserver: HTTPServer, client: httpx.Client, header: str, ask: str, one: str, two: str
) -> None:
    state = {"tag": one}
    made = source(conditional(httpserver, state, header, ask))
    (page,) = run(made, client)
    assert run(made, client, page.cursor) == []
    assert run(made, client, page.cursor) == []
    state["tag"] = two
    (changed,) = run(made, client, page.cursor)
    assert bodies([changed]) == [[two]]
    assert run(made, client, changed.cursor) == []


def test_other_options_forget_the_cursor(httpserver: HTTPServer, client: httpx.Client) -> None:
    url = conditional(httpserver, {"tag": '"1"'})
    (page,) = run(source(url), client)
    assert run(source(url), client, page.cursor) == []
    assert bodies(run(source(url, params={"a": 1}), client, page.cursor)) == [['"1"']]
    # What does not change the meaning of the cursor keeps it.
    assert run(source(url, interval_seconds=5, secret_headers={"x-key": "new"}), client, page.cursor) == []


def test_a_304_that_nobody_asked_for(httpserver: HTTPServer, client: httpx.Client) -> None:
    made = source(serve(httpserver, lambda request: Response(status=304)))
    assert broken(made.pages(None, client, NOW))[1].message.endswith("answered 304 Not Modified")


def test_the_first_of_several_pages_is_not_asked_for_conditionally(
    httpserver: HTTPServer, client: httpx.Client
) -> None:
    def answer(request: Request) -> Response:
        page = int(request.args["page"])
        return Response(json.dumps([page] if page < 3 else []), headers={"etag": f'"{page}"'})

    made = source(serve(httpserver, answer), paginator={"type": "page_number"})
    pages = run(made, client)
    run(made, client, pages[-1].cursor)
    assert not any("if-none-match" in request.headers for request, _ in httpserver.log)


# Pagination


def numbers(server: HTTPServer, count: int, size: int, wrap: Callable[[list[int], Request], Any]) -> str:
    """An API of `count` records in pages of `size`, asked by any of the ways below."""

    def answer(request: Request) -> Any:
        at = (
            int(request.args["page"]) * size - size
            if "page" in request.args
            else int(request.args.get("offset", request.args.get("cursor", 0)))
        )
        return wrap(list(range(at, min(at + size, count))), request)

    return serve(server, answer)


def plain(records: list[int], request: Request) -> Any:
    return records


def in_items(records: list[int], request: Request) -> Any:
    return {"items": records, "meta": {"total": 7, "pages": 3, "more": bool(records) and records[-1] < 6}}


def with_link(url: Callable[[int], str]) -> Callable[[list[int], Request], Any]:
    return lambda records, request: {"items": records, "next": url(records[-1] + 1) if records[-1] < 6 else None}


def with_cursor(records: list[int], request: Request) -> Any:
    return {"items": records, "next_cursor": str(records[-1] + 1) if records[-1] < 6 else ""}


def with_header(records: list[int], request: Request) -> Any:
    links = ['<?offset=0>; rel="first"']
    if records[-1] < 6:
        links.append(f'<{request.path}?offset={records[-1] + 1}>; rel="next last"')
    return Response(json.dumps(records), content_type="application/json", headers={"link": ", ".join(links)})


@pytest.mark.parametrize(
    ("wrap", "paginator", "more", "requests"),
    [
        (plain, {"type": "page_number"}, {}, 4),
        (in_items, {"type": "page_number"}, {}, 4),
        (in_items, {"type": "page_number", "total_path": "meta.pages"}, {"data_selector": "items"}, 3),
        (in_items, {"type": "page_number", "has_more_path": "$.meta.more"}, {"data_selector": "$.items[*]"}, 3),
        (plain, {"type": "offset", "limit": 3}, {}, 4),
        (plain, {"type": "offset", "limit": 1000}, {}, 4),  # a server that caps the limit
        (in_items, {"type": "offset", "total_path": "$.meta.total"}, {}, 3),
        (in_items, {"type": "offset", "has_more_path": "meta.more"}, {}, 3),
        (with_cursor, {"type": "cursor", "cursor_path": "next_cursor"}, {}, 3),
        (with_cursor, {"type": "auto"}, {}, 3),
        (with_link(lambda at: f"?offset={at}"), {"type": "json_link", "next_url_path": "next"}, {}, 3),
        (with_link(lambda at: f"/api?offset={at}"), {"type": "auto"}, {}, 3),
        (with_header, {"type": "header_link"}, {}, 3),
        (with_header, {"type": "auto"}, {}, 3),
    ],
)
def test_every_page_once_and_in_order(
    httpserver: HTTPServer, client: httpx.Client, wrap: Any, paginator: Any, more: Any, requests: int
) -> None:
    made = source(numbers(httpserver, 7, 3, wrap), paginator=paginator, **more)
    pages = run(made, client)
    found = [body if isinstance(body, list) else body["items"] for body in bodies(pages)]
    assert found == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(httpserver.log) == requests
    # The run is complete: the next one begins anew.
    assert bodies(run(made, client, pages[-1].cursor)) == bodies(pages)


@pytest.mark.parametrize("paginator", [{"type": "page_number"}, {"type": "cursor", "cursor_path": "next_cursor"}])
def test_a_run_is_taken_up_after_any_page(httpserver: HTTPServer, client: httpx.Client, paginator: Any) -> None:
    made = source(
        numbers(httpserver, 7, 3, with_cursor if paginator["type"] == "cursor" else plain), paginator=paginator
    )
    whole = run(made, client)
    for number, page in enumerate(whole[:-1]):
        assert bodies(run(made, client, page.cursor)) == bodies(whole[number + 1 :])


def test_a_page_size_is_sent(httpserver: HTTPServer, client: httpx.Client) -> None:
    url = numbers(httpserver, 3, 3, plain)
    run(source(url, paginator={"type": "page_number", "base_page": 1, "page_size": 3, "page_size_param": "n"}), client)
    assert asked(httpserver) == [{"page": "1", "n": "3"}, {"page": "2", "n": "3"}]


def test_the_own_parameters_go_with_every_page(httpserver: HTTPServer, client: httpx.Client) -> None:
    run(source(numbers(httpserver, 4, 3, plain), paginator={"type": "offset"}, params={"site": "a"}), client)
    assert [args["site"] for args in asked(httpserver)] == ["a", "a", "a"]


@pytest.mark.parametrize("status", [400, 404, 416])
def test_beyond_the_last_page_the_server_may_refuse(httpserver: HTTPServer, client: httpx.Client, status: int) -> None:
    wrap = lambda records, request: records or Response("Invalid page.", status)  # noqa: E731
    made = source(numbers(httpserver, 7, 3, wrap), paginator={"type": "page_number"})
    assert bodies(run(made, client)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_beyond_the_last_page_the_server_may_repeat_it(httpserver: HTTPServer, client: httpx.Client) -> None:
    made = source(numbers(httpserver, 7, 3, lambda records, request: records or [6]), paginator={"type": "page_number"})
    assert bodies(run(made, client)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(httpserver.log) == 4


@pytest.mark.parametrize(
    ("answer", "paginator"),
    [
        ({"n": 1, "next": "/api"}, {"type": "json_link"}),
        ({"n": 1, "next": "/api?x=1"}, {"type": "json_link"}),
        ({"n": 1, "c": "same"}, {"type": "cursor", "cursor_path": "c"}),
        ({"n": 1, "next": "/api?x=1"}, {"type": "auto"}),
    ],
)
def test_circles_end(httpserver: HTTPServer, client: httpx.Client, answer: Any, paginator: Any) -> None:
    pages = run(source(serve(httpserver, lambda request: answer), paginator=paginator), client)
    assert 1 <= len(pages) <= 2
    assert len(httpserver.log) <= 2


def test_a_circle_over_several_pages_ends(httpserver: HTTPServer, client: httpx.Client) -> None:
    def answer(request: Request) -> Any:
        at = int(request.args.get("cursor", 0))
        return {"at": at, "c": (at % 3) + 1}

    pages = run(source(serve(httpserver, answer), paginator={"type": "cursor", "cursor_path": "c"}), client)
    assert [body["at"] for body in bodies(pages)] == [0, 1, 2, 3]


def test_max_pages_cuts_a_run_and_the_next_goes_on(httpserver: HTTPServer, client: httpx.Client) -> None:
    made = source(numbers(httpserver, 7, 2, plain), paginator={"type": "offset"}, max_pages=2)
    one = run(made, client)
    two = run(made, client, one[-1].cursor)
    assert bodies(one) + bodies(two) == [[0, 1], [2, 3], [4, 5], [6]]
    # What is left is the empty page that ends it: no payload, only a cursor.
    (end,) = run(made, client, two[-1].cursor)
    assert end.body == b""
    assert bodies(run(made, client, end.cursor)) == [[0, 1], [2, 3]]


def test_pages_cannot_be_counted_without_records(httpserver: HTTPServer, client: httpx.Client) -> None:
    made = source(serve(httpserver, lambda request: {"a": [1], "b": [2]}), paginator={"type": "page_number"})
    _, error = broken(made.pages(None, client, NOW))
    assert isinstance(error, Permanent)
    assert "data_selector is needed" in error.message


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_a_position_that_expired_begins_anew(httpserver: HTTPServer, client: httpx.Client, status: int) -> None:
    good = {"value": True}

    def answer(request: Request) -> Any:
        cursor = request.args.get("cursor")
        if cursor and not good["value"]:
            return Response("cursor expired", status)
        return {"at": cursor or "0", "c": None if cursor else "1"}

    made = source(serve(httpserver, answer), paginator={"type": "cursor", "cursor_path": "c"}, max_pages=1)
    (page,) = run(made, client)
    good["value"] = False
    (again,) = run(made, client, page.cursor)
    assert bodies([again]) == [{"at": "0", "c": "1"}]


def test_an_expired_position_does_not_hide_an_error(httpserver: HTTPServer, client: httpx.Client) -> None:
    made = source(numbers(httpserver, 7, 3, with_cursor), paginator={"type": "cursor", "cursor_path": "next_cursor"})
    first = next(made.pages(None, client, NOW))
    httpserver.clear()
    url = serve(httpserver, lambda request: Response("gone", 410))
    assert url == made.url
    _, error = broken(made.pages(first.cursor, client, NOW))
    assert "410" in error.message
    assert len(httpserver.log) == 2


def test_links_to_another_host_get_no_secrets(httpserver: HTTPServer) -> None:
    port = httpserver.port
    far = serve(httpserver, lambda request: {"n": 2}, "/far")
    serve(httpserver, lambda request: {"n": 1, "next": f"http://other.example:{port}/far"})
    made = source(
        f"http://api.example:{port}/api",
        paginator={"type": "json_link"},
        headers={"x-team": "1"},
        secret_headers={"x-key": "s"},
    )
    with guarded_client(["127.0.0.0/8"], resolver=lambda host, port: ["127.0.0.1"]) as client:
        pages = run(made, client)
    assert far.endswith("/far")
    assert [body["n"] for body in bodies(pages)] == [1, 2]
    assert httpserver.log[0][0].headers["x-key"] == "s"
    assert "x-key" not in httpserver.log[1][0].headers
    assert "x-team" not in httpserver.log[1][0].headers


def test_links_are_checked_like_every_address(httpserver: HTTPServer) -> None:
    url = serve(httpserver, lambda request: {"n": 1, "next": "http://169.254.169.254/latest/"})
    made = source(url, paginator={"type": "json_link"})
    with guarded_client(allow=frozenset({(httpx.URL(url).host, httpserver.port)})) as client:
        pages, error = broken(made.pages(None, client, NOW))
        assert bodies(pages) == [{"n": 1, "next": "http://169.254.169.254/latest/"}]
        assert isinstance(error, AddressNotAllowed)
        # Not stuck at the bad link once the API mends itself: the stored position is given up.
        httpserver.clear()
        serve(httpserver, lambda request: {"n": 2})
        assert bodies(run(made, client, pages[0].cursor)) == [{"n": 2}]


@pytest.mark.parametrize("link", ["ftp://example.org/", "http://[::", "javascript:x", "http://\udc00/"])
def test_links_that_are_none(httpserver: HTTPServer, client: httpx.Client, link: str) -> None:
    made = source(serve(httpserver, lambda request: {"n": 1, "next": link}), paginator={"type": "json_link"})
    _, error = broken(made.pages(None, client, NOW))
    assert isinstance(error, HttpPollPermanent)
    assert error.message.endswith("the link to the next page is no URL")


# Incremental


RECORDS = [{"id": number, "at": f"2024-01-0{number}"} for number in range(1, 5)]


def since(server: HTTPServer, records: list[dict[str, Any]], *, size: int = 100) -> str:
    """An API that gives the records from `since` on, that one included, in pages."""

    def answer(request: Request) -> Any:
        start = request.args.get("since", "")
        found = [record for record in records if record["at"] >= start]
        at = int(request.args.get("offset", 0))
        return {"items": found[at : at + size]}

    return serve(server, answer)


INCREMENTAL = {"cursor_path": "$.at", "cursor_param": "since", "initial_value": "2024-01-02"}


def test_each_run_asks_from_the_highest_value_on(httpserver: HTTPServer, client: httpx.Client) -> None:
    records = list(RECORDS)
    made = source(since(httpserver, records), data_selector="items", incremental=INCREMENTAL)
    (page,) = run(made, client)
    assert [record["id"] for record in bodies([page])[0]["items"]] == [2, 3, 4]
    # The record on the mark comes again, but is not new.
    assert run(made, client, page.cursor) == []
    records.append({"id": 5, "at": "2024-01-04"})
    (late,) = run(made, client, page.cursor)
    assert [record["id"] for record in bodies([late])[0]["items"]] == [4, 5]
    assert run(made, client, late.cursor) == []
    records.append({"id": 6, "at": "2024-01-06"})
    (more,) = run(made, client, late.cursor)
    assert run(made, client, more.cursor) == []
    assert [args["since"] for args in asked(httpserver)] == ["2024-01-02", *["2024-01-04"] * 4, "2024-01-06"]


def test_the_mark_stays_during_a_run_and_moves_at_its_end(httpserver: HTTPServer, client: httpx.Client) -> None:
    # Newest first: were the mark to move with each page, what a broken run had not fetched would never come.
    url = since(httpserver, sorted(RECORDS, key=lambda record: record["at"], reverse=True), size=1)
    made = source(url, data_selector="items", incremental=INCREMENTAL, paginator={"type": "offset", "limit": 1})
    pages = run(made, client)
    assert [body["items"][0]["id"] for body in bodies(pages)] == [4, 3, 2]
    assert {args["since"] for args in asked(httpserver)} == {"2024-01-02"}
    rest = run(made, client, pages[0].cursor)
    assert [body["items"][0]["id"] for body in bodies(rest)] == [3, 2]
    assert {args["since"] for args in asked(httpserver)} == {"2024-01-02"}
    assert run(made, client, rest[-1].cursor) == []
    assert asked(httpserver)[-1]["since"] == "2024-01-04"


def test_old_pages_are_passed_over_and_the_cursor_still_moves(httpserver: HTTPServer, client: httpx.Client) -> None:
    """An API that knows no `since`: what was there is not stored again, and a cut run does not repeat itself."""
    records = [{"at": number} for number in range(10)]
    url = numbers(httpserver, 10, 2, lambda found, request: {"items": [records[n] for n in found]})
    made = source(
        url,
        data_selector="items",
        paginator={"type": "offset"},
        incremental={"cursor_path": "at", "initial_value": 7.5},
    )
    assert [body["items"] for body in bodies(run(made, client))] == [[{"at": 8}, {"at": 9}]]
    slow = source(
        url,
        data_selector="items",
        paginator={"type": "offset"},
        incremental={"cursor_path": "at", "initial_value": 7.5},
        max_pages=2,
    )
    cursor: Mapping[str, Any] | None = None
    found = []
    for _ in range(3):
        for page in run(slow, client, cursor):
            found += bodies([page])
            cursor = page.cursor
    assert found == [{"items": [{"at": 8}, {"at": 9}]}]


def test_a_failure_between_pages_moves_no_mark(httpserver: HTTPServer, client: httpx.Client) -> None:
    def answer(request: Request) -> Any:
        if request.args.get("offset") == "1":
            return Response("later", 503, headers={"retry-after": "7"})
        return {"items": [{"at": 9}]}

    made = source(
        serve(httpserver, answer),
        data_selector="items",
        paginator={"type": "offset", "limit": 1},
        incremental={"cursor_path": "at", "cursor_param": "since", "initial_value": 1},
    )
    pages, error = broken(made.pages(None, client, NOW))
    assert len(pages) == 1
    assert isinstance(error, Transient)
    assert error.retry_after == 7
    broken(made.pages(pages[0].cursor, client, NOW))
    assert asked(httpserver)[-1] == {"since": "1", "offset": "1", "limit": "1"}


# Failures


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_failures_that_pass(httpserver: HTTPServer, client: httpx.Client, status: int) -> None:
    url = serve(httpserver, lambda request: Response("busy", status, headers={"retry-after": "120"}))
    _, error = broken(source(url).pages(None, client, NOW))
    assert isinstance(error, HttpPollTransient)
    assert isinstance(error, Transient)
    assert error.retry_after == 120
    assert error.answer == status
    assert f"answered {status}" in error.message
    assert error.message.endswith(": busy")


@pytest.mark.parametrize("status", [300, 400, 401, 403, 404, 405, 410, 418, 422, 451, 499])
def test_failures_that_stay(httpserver: HTTPServer, client: httpx.Client, status: int) -> None:
    url = serve(httpserver, lambda request: Response("no", status))
    _, error = broken(source(url).pages(None, client, NOW))
    assert isinstance(error, HttpPollPermanent)
    assert isinstance(error, Permanent)
    assert error.answer == status
    assert f"answered {status}" in error.message


def test_messages_hold_no_secret_no_query_and_only_a_piece(httpserver: HTTPServer, client: httpx.Client) -> None:
    echo = "line\n\x1b[31m you sent canary-token-1 as Bearer canary-token-1 " + "x" * 100_000
    url = serve(httpserver, lambda request: Response(echo, 401))
    made = source(url, secret_headers={"authorization": "Bearer canary-token-1"}, params={"apikey": "canary-2"})
    _, error = broken(made.pages(None, client, NOW))
    assert "canary" not in error.message
    assert "you sent ***" in error.message
    assert error.message.isprintable()
    assert len(error.message) < 500


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"n": 1}',
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{"n": 1}\r\n',
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b'{"n": 1}', mtime=0)[:-4],
        b"HTTP/1.1 200 OK\r\ncontent-encoding: zstd\r\n\r\n" + zstandard.compress(b'{"n": 1}')[:-2],
        b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\nxxx",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
        b"\xff\x00" * 100,
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}",
    ],
)
def test_answers_that_break_off_leave_nothing(
    raw_server: Callable[[bytes], str], client: httpx.Client, answer: bytes
) -> None:
    pages, error = broken(source(raw_server(answer)).pages(None, client, NOW))
    assert pages == []
    assert isinstance(error, HttpPollTransient)


def test_a_second_page_that_breaks_off_leaves_the_first(
    raw_server: Callable[[bytes], str], httpserver: HTTPServer, client: httpx.Client
) -> None:
    cut = raw_server(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"n": 2}')
    made = source(serve(httpserver, lambda request: {"n": 1, "next": cut}), paginator={"type": "json_link"})
    pages, error = broken(made.pages(None, client, NOW))
    assert [body["n"] for body in bodies(pages)] == [1]
    assert pages[0].cursor["position"] == {"url": cut}
    assert isinstance(error, HttpPollTransient)


def test_nobody_there(raw_server: Callable[[bytes], str], client: httpx.Client) -> None:
    _, error = broken(source("http://127.0.0.1:1/").pages(None, client, NOW))
    assert isinstance(error, HttpPollTransient)
    assert error.message == "GET http://127.0.0.1:1/: no connection"


def test_no_answer_in_time(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: Any, **__: Any) -> Any:
        raise httpx.ReadTimeout("late")

    monkeypatch.setattr(client, "send", late)
    _, error = broken(source("http://127.0.0.1/", timeout_seconds=5).pages(None, client, NOW))
    assert isinstance(error, HttpPollTransient)
    assert error.message.endswith("no whole answer within 5 s")


def test_addresses_that_are_not_allowed() -> None:
    with guarded_client() as client:
        _, error = broken(source("http://127.0.0.1:5006/").pages(None, client, NOW))
    assert isinstance(error, AddressNotAllowed)


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: Response(b" " * 1001),
        lambda request: Response(iter([b"x" * 600, b"x" * 600])),
        lambda request: Response(gzip.compress(b" " * 1001, mtime=0), headers={"content-encoding": "gzip"}),
    ],
)
def test_pages_beyond_max_bytes(httpserver: HTTPServer, client: httpx.Client, answer: Any) -> None:
    url = serve(httpserver, answer)
    _, error = broken(source(url, max_bytes=1000).pages(None, client, NOW))
    assert isinstance(error, HttpPollPermanent)
    assert "max_bytes" in error.message


@pytest.mark.parametrize(
    "options",
    [
        {"paginator": {"type": "cursor"}},
        {"paginator": {"type": "json_link"}},
        {"paginator": {"type": "page_number"}},
        {"data_selector": "$.items"},
        {"incremental": {"cursor_path": "at"}},
    ],
)
@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b'{"cut', b"[" * 200_000, b"\xff"])
def test_what_has_to_be_json_and_is_not(
    httpserver: HTTPServer, client: httpx.Client, options: Any, body: bytes
) -> None:
    _, error = broken(source(serve(httpserver, lambda request: Response(body)), **options).pages(None, client, NOW))
    assert isinstance(error, HttpPollTransient)
    assert error.message.endswith("the answer is not JSON")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("120", 120),
        (" 5 ", 5),
        ("99999999999999999999", 86_400),
        ("-5", None),
        ("1.5", None),
        ("nan", None),
        ("٣", None),
        ("soon", None),
        ("Wed, 01 May 2024 12:01:00 GMT", 60),
        ("Wed, 01 May 2024 11:00:00 GMT", 0),
        ("Wed, 01 May 2099 11:00:00 GMT", 86_400),
        ("Wed, 01 May 2024 12:01:00", 60),
        ("Wed, 99 May 2024 12:01:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


# Options


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"url": ""}, "url"),
        ({"url": "example.org"}, "url"),
        ({"url": "ftp://example.org"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://user:pass@example.org"}, "url"),
        ({"url": "http://example.org/#x"}, "url"),
        ({"url": "http://example.org/\r\nx"}, "url"),
        ({"url": "http://[::"}, "url"),
        ({"url": "http://e.org:99999/"}, "url"),
        ({"method": "PUT"}, "method"),
        ({"interval_seconds": 0}, "interval_seconds"),
        ({"interval_seconds": 86_401}, "interval_seconds"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"max_pages": 0}, "max_pages"),
        ({"max_bytes": 1 << 40}, "max_bytes"),
        ({"headers": []}, "headers"),
        ({"headers": {"a b": "c"}}, "headers.a b"),
        ({"headers": {"a": 1}}, "headers.a"),
        ({"headers": {"a": "x\r\ny: z"}}, "headers.a"),
        ({"headers": {"a": "é"}}, "headers.a"),
        ({"headers": {"Host": "x"}}, "headers.Host"),
        ({"secret_headers": {"Content-Length": "1"}}, "secret_headers.Content-Length"),
        ({"headers": {"X-Key": "1"}, "secret_headers": {"x-key": "2"}}, "headers.x-key"),
        ({"params": {"a": [1]}}, "params.a"),
        ({"params": {"a": None}}, "params.a"),
        ({"data_selector": "$..a"}, "data_selector"),
        ({"paginator": {}}, "paginator.type"),
        ({"paginator": {"type": "next"}}, "paginator.type"),
        ({"paginator": {"type": ["auto"]}}, "paginator.type"),
        ({"paginator": {"type": "cursor", "cursor_path": "$["}}, "paginator.cursor_path"),
        ({"paginator": {"type": "offset", "limit": 0}}, "paginator.limit"),
        ({"paginator": {"type": "single_page", "limit": 1}}, "paginator.limit"),
        ({"incremental": {}}, "incremental.cursor_path"),
        ({"incremental": {"cursor_path": "a", "initial_value": [1]}}, "incremental.initial_value"),
        ({"incremental": {"cursor_path": "a", "row_order": "asc"}}, "incremental.row_order"),
        ({"incremental": {"cursor_path": "a", "lag": -1}}, "incremental.lag"),
        ({"incremental": {"cursor_path": "a", "lag": 5, "initial_value": "soon"}}, "incremental.lag"),
        ({"incremental": {"cursor_path": "a", "cursor_body_path": "a[0]"}}, "incremental.cursor_body_path"),
        (
            {"incremental": {"cursor_path": "a", "cursor_param": "b", "cursor_body_path": "c"}},
            "incremental.cursor_body_path",
        ),
        ({"incremental": {"cursor_path": "a", "cursor_body_path": "c"}}, "incremental.cursor_body_path"),
        ({"paginator": {"type": "cursor", "cursor_body_path": "c"}}, "paginator.cursor_body_path"),
        ({"paginator": {"type": "offset", "offset_body_path": "$[*]"}}, "paginator.offset_body_path"),
        ({"cron": "* * * *"}, "cron"),
        ({"cron": "0 0 0 * * *"}, "cron"),
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": "0 0 31 2 *"}, "cron"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"jitter_seconds": -1}, "jitter_seconds"),
        ({"max_failures": -1}, "max_failures"),
        ({"format": "yaml"}, "format"),
        ({"json": {"a": 1}}, "json"),
        ({"json": [1], "method": "POST"}, "json"),
        ({"json": {"a": float("nan")}, "method": "POST"}, "json"),
        ({"json": {"a": "x" * 300_000}, "method": "POST"}, "json"),
        ({"auth": {"type": "digest"}}, "auth.type"),
        ({"auth": {"type": ["bearer"]}}, "auth.type"),
        ({"auth": {"type": "bearer"}}, "auth.token"),
        ({"auth": {"type": "bearer", "token": "a\nb"}}, "auth.token"),
        ({"auth": {"type": "bearer", "token": 5}}, "auth.token"),
        ({"auth": {"type": "bearer", "token": "x" * 5000}}, "auth.token"),
        ({"auth": {"type": "bearer", "token": "x", "username": "y"}}, "auth.username"),
        ({"auth": {"type": "basic"}}, "auth.password"),
        ({"auth": {"type": "basic", "username": "a:b", "password": "x"}}, "auth.username"),
        ({"auth": {"type": "api_key", "api_key": "x", "name": "a b"}}, "auth.name"),
        ({"auth": {"type": "api_key", "api_key": "x", "location": "cookie"}}, "auth.location"),
        ({"auth": {"type": "api_key", "api_key": "x", "location": "query", "name": ""}}, "auth.name"),
        (
            {"auth": {"type": "oauth2_client_credentials", "client_id": "a", "client_secret": "b"}},
            "auth.access_token_url",
        ),
        (
            {
                "auth": {
                    "type": "oauth2_client_credentials",
                    "access_token_url": "http://e.org/",
                    "client_id": "a",
                    "client_secret": "b",
                    "access_token_request_data": {"audience": 1},
                }
            },
            "auth.access_token_request_data.audience",
        ),
        ({"response_actions": [1]}, "response_actions[0]"),
        ({"response_actions": [{"action": "ignore"}]}, "response_actions[0]"),
        ({"response_actions": [{"status_code": 404, "action": "skip"}]}, "response_actions[0].action"),
        ({"response_actions": [{"status_code": 99, "action": "fail"}]}, "response_actions[0].status_code"),
        ({"response_actions": [{"status_code": "6xx", "action": "fail"}]}, "response_actions[0].status_code"),
        ({"response_actions": [{"status_code": True, "action": "fail"}]}, "response_actions[0].status_code"),
        ({"response_actions": [{"content": 1, "action": "fail"}]}, "response_actions[0].content"),
        ({"response_actions": [{"status": 1, "content": "a", "action": "fail"}]}, "response_actions[0].status"),
        ({"response_actions": [{"content": "a", "action": "fail"}] * 51}, "response_actions"),
        ({"url": "http://e.org/{a}", "resolve": {"fields": {"a": "id"}}}, "resolve.url"),
        ({"url": "http://e.org/{a}", "resolve": {"url": "http://e.org/"}}, "resolve.fields"),
        ({"url": "http://e.org/{a}", "resolve": {"url": "http://e.org/", "fields": {"a": "$["}}}, "resolve.fields.a"),
        (
            {"url": "http://e.org/{a}", "resolve": {"url": "http://e.org/", "fields": {"a b": "c"}}},
            "resolve.fields.a b",
        ),
        (
            {"url": "http://e.org/{a}", "resolve": {"url": "http://e.org/", "fields": {"a": "a", "b": "b"}}},
            "resolve.fields.b",
        ),
        ({"url": "http://e.org/{a}/{b}", "resolve": {"url": "http://e.org/", "fields": {"a": "a"}}}, "url"),
        ({"url": "http://e.org/{a}", "resolve": {"url": "http://f.org/", "fields": {"a": "a"}}}, "resolve.url"),
        (
            {
                "url": "http://e.org/{a}",
                "resolve": {"url": "http://e.org/", "fields": {"a": "a"}, "paginator": {"type": "next"}},
            },
            "resolve.paginator.type",
        ),
        (
            {"url": "http://e.org/{a}", "resolve": {"url": "http://e.org/", "fields": {"a": "a"}, "max_parents": 0}},
            "resolve.max_parents",
        ),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(Invalid) as error:
        HttpPoll.from_options({"url": "http://example.org/", **options})
    assert [where for where, _ in error.value.problems] == [f"options.{named}"]


def test_a_secret_of_the_wrong_type_is_not_repeated() -> None:
    for wrong in ("Bearer canary", ["canary"], {"a": "canary\n"}, {"a b": "canary"}, {"a": ["canary"]}):
        with pytest.raises(Invalid) as error:
            HttpPoll.from_options({"url": "http://example.org/", "secret_headers": wrong})
        assert "canary" not in error.value.message


@pytest.mark.parametrize(
    "auth",
    [
        "Bearer canary",
        ["canary"],
        {"type": "bearer", "token": ["canary"]},
        {"type": "bearer", "token": "canary\n"},
        {"type": "nothing", "key": "canary"},
        {"type": "basic", "password": {"a": "canary"}},
        {"type": "oauth2_client_credentials", "client_secret": "canary"},
    ],
)
def test_a_credential_of_the_wrong_kind_is_not_repeated(auth: Any) -> None:
    with pytest.raises(Invalid) as error:
        HttpPoll.from_options({"url": "http://example.org/", "auth": auth})
    assert "canary" not in error.value.message


def test_the_secret_parts_of_auth_are_apart_and_stay_until_the_type_changes() -> None:
    url = {"url": "http://example.org/"}
    made = HttpPoll.from_options({**url, "auth": {"type": "basic", "username": "me", "password": "canary"}})
    options = made.to_options()
    assert options["auth"] == {"type": "basic", "username": "me"}
    assert options["auth_secrets"] == {"password": "canary"}
    assert {"auth_secrets"} <= HttpPoll.secrets
    kept = HttpPoll.from_options({**url, "auth_secrets": options["auth_secrets"], "auth": options["auth"]})
    assert kept.to_options() == options
    other = {**url, "auth_secrets": options["auth_secrets"], "auth": {"type": "bearer"}}
    with pytest.raises(Invalid, match="token"):
        HttpPoll.from_options(other)


def test_secrets_as_the_vault_keeps_them() -> None:
    text = HttpPoll.secret_to_text("secret_headers", {"authorization": "Bearer é"})
    assert HttpPoll.secret_from_text("secret_headers", text) == {"authorization": "Bearer é"}


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        ({"auth": {"type": "bearer", "token": "x"}}, True),
        ({"auth": {"type": "api_key", "name": "k", "location": "query"}}, True),
        ({"auth": {"type": "bearer", "username": "x"}}, False),
        ({"auth": {"type": "digest"}}, False),
        ({"paginator": {"type": "offset", "limit": 5}}, True),
        ({"paginator": {"type": "offset", "limit": 0}}, False),
        ({"incremental": None, "resolve": None, "json": None}, True),
        ({"incremental": {"lag": 5}}, False),
        ({"resolve": {"url": "http://e.org/", "fields": {"a": "id"}}}, True),
        ({"resolve": {"url": "http://e.org/"}}, False),
        ({"response_actions": [{"status_code": "5xx", "action": "retry"}]}, True),
        ({"response_actions": [{"status_code": 404, "action": "skip"}]}, False),
    ],
)
def test_the_schema_says_what_documents_within_may_hold(options: dict[str, Any], fits: bool) -> None:
    schema = HttpPoll.json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"url": "http://example.org/", **options}) is fits
    assert schema["properties"]["auth"]["oneOf"][1]["properties"]["token"]["writeOnly"] is True


@pytest.mark.parametrize("text", ["a\\u0000", "a\\ud800"])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"paginator": {"type": "cursor", "cursor_path": "next"}}, "the next page's cursor at next"),
        ({"data_selector": "items", "incremental": {"cursor_path": "at", "cursor_param": "since"}}, "value at at"),
    ],
)
def test_a_cursor_that_cannot_be_kept_is_named(
    httpserver: HTTPServer, client: httpx.Client, options: Any, named: str, text: str
) -> None:
    answer = f'{{"next": "{text}", "items": [{{"at": "{text}"}}]}}'
    url = serve(httpserver, lambda _request: Response(answer, content_type="application/json"))
    pages, error = broken(source(url, **options).pages(None, client, NOW))
    assert pages == []
    assert named in error.message
    assert "NUL or half a character" in error.message
