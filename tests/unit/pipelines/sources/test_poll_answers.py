"""What is sent beyond a GET, what formats are read, and what answers mean where the usual reading is wrong."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.domain.errors import PollStopped
from dash_app.pipelines.sources.fetching import HttpPollPermanent, HttpPollStopped, HttpPollTransient
from dash_app.pipelines.sources.incremental import before
from tests.unit.pipelines.sources.polls import NOW, bodies, broken, run, serve, source

# POST


def test_a_post_sends_its_json_and_asks_nothing_conditionally(httpserver: HTTPServer, client: httpx.Client) -> None:
    url = serve(httpserver, lambda request: Response("[1]", headers={"etag": '"1"'}))
    made = source(url, method="POST", json={"query": "ü", "n": 1}, params={"v": 2})
    (page,) = run(made, client)
    run(made, client, page.cursor)
    for request, _ in httpserver.log:
        assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
        assert request.get_json() == {"query": "ü", "n": 1}
        assert request.args.to_dict() == {"v": "2"}
        assert "if-none-match" not in request.headers
    own = source(url, method="POST", json={}, headers={"Content-Type": "application/graphql+json"})
    run(own, client)
    assert httpserver.log[-1][0].headers["content-type"] == "application/graphql+json"


@pytest.mark.parametrize(
    ("paginator", "first"),
    [
        ({"type": "offset", "limit": 2, "offset_body_path": "page.from", "limit_body_path": "page.size"}, {"size": 2}),
        ({"type": "page_number", "base_page": 0, "page_body_path": "$.page.number"}, {}),
        ({"type": "cursor", "cursor_path": "next", "cursor_body_path": "page.after"}, {}),
    ],
)
def test_pages_that_are_asked_for_in_the_body(
    httpserver: HTTPServer, client: httpx.Client, paginator: Any, first: Any
) -> None:
    def answer(request: Request) -> Any:
        page = request.get_json()["page"]
        at = page.get("from", page.get("after", page.get("number", 0) * 2))
        return {"items": list(range(at, min(at + 2, 5))), "next": at + 2 if at < 4 else None}

    document = {"query": "q", "page": {"kept": True}}
    made = source(
        serve(httpserver, answer), method="POST", json=document, paginator=paginator, data_selector="items", max_pages=2
    )
    pages = run(made, client)
    pages += run(made, client, pages[-1].cursor)
    assert [body["items"] for body in bodies(pages)] == [[0, 1], [2, 3], [4]]
    sent = [request.get_json() for request, _ in httpserver.log]
    assert all(one["query"] == "q" and one["page"]["kept"] for one in sent)
    assert first.items() <= sent[0]["page"].items()
    assert document == {"query": "q", "page": {"kept": True}}


def test_the_mark_in_the_body(httpserver: HTTPServer, client: httpx.Client) -> None:
    url = serve(httpserver, lambda request: [{"at": request.get_json()["filter"]["since"] + 1}])
    incremental = {"cursor_path": "at", "cursor_body_path": "filter.since", "initial_value": 5}
    made = source(url, method="POST", json={"filter": {}}, incremental=incremental)
    (page,) = run(made, client)
    (page,) = run(made, client, page.cursor)
    assert bodies([page]) == [[{"at": 7}]]


# Formats


@pytest.mark.parametrize(
    ("format", "said", "body", "stored"),
    [
        ("csv", "text/plain; charset=iso-8859-1", b"a,b\n1,2\n", "text/csv; charset=iso-8859-1"),
        ("ndjson", "application/octet-stream", b'{"a": 1}\n{"a": 2}\n', "application/x-ndjson"),
        ("xml", "text/html; charset=utf-8", b"<a><b>1</b></a>", "application/xml; charset=utf-8"),
        ("json", "text/plain; charset=latin1", b'{"a": 1}', "application/json"),
        ("auto", "text/csv", b"a,b\n1,2\n", "text/csv"),
        ("auto", "", b"{}", "application/json"),
    ],
)
def test_a_page_is_stored_as_it_came_under_the_type_that_it_has(
    httpserver: HTTPServer, client: httpx.Client, format: str, said: str, body: bytes, stored: str
) -> None:
    def answer(request: Request) -> Response:
        response = Response(body)
        response.headers["content-type"] = said
        if not said:
            del response.headers["content-type"]
        return response

    (page,) = run(source(serve(httpserver, answer), format=format), client)
    assert (page.body, page.content_type) == (body, stored)


CSV = [b"id\n1\n2\n", b"id\n3\n", b"id\n"]
NDJSON = [b'{"id": "1"}\nbroken\n{"id": "2"}\n', b'{"id": "3"}\n', b"\n\n"]
XML = [b'<f><e id="1"/><e id="2"/></f>', b'<f><e id="3"/></f>', b"<f><other/></f>"]


@pytest.mark.parametrize(
    ("format", "pages", "options"),
    [
        ("csv", CSV, {"incremental": {"cursor_path": "id", "cursor_param": "since"}}),
        ("ndjson", NDJSON, {"incremental": {"cursor_path": "id", "cursor_param": "since"}}),
        ("xml", XML, {"data_selector": "$.f.e[*]", "incremental": {"cursor_path": "$['@id']"}}),
        ("xml", XML, {"data_selector": "$.f.e", "incremental": {"cursor_path": "$['@id']"}}),
    ],
)
def test_records_of_other_formats_are_counted_and_marked(
    httpserver: HTTPServer, client: httpx.Client, format: str, pages: list[bytes], options: Any
) -> None:
    url = serve(httpserver, lambda request: Response(pages[int(request.args["page"]) - 1]))
    # An element that is not there is an end like an empty array: XML has no other way to say so.
    made = source(url, format=format, paginator={"type": "page_number"}, max_pages=3, **options)
    got = [page for page in run(made, client) if page.body]
    assert [page.body for page in got] == pages[:2]
    assert got[-1].cursor["since"]["value"] == "3"


@pytest.mark.parametrize(
    ("format", "body", "message"),
    [
        ("xml", b"<a><b></a>", "the answer is not XML: not valid XML"),
        ("xml", b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "the answer is not XML: a document type of its own"),
        ("csv", b"a,a\n1,2\n", "the answer is not CSV: the header has 'a' twice"),
        ("ndjson", b"no\nnone\n", "the answer is not NDJSON"),
        ("json", b"<a/>", "the answer is not JSON"),
    ],
)
def test_what_has_to_be_read_and_cannot(
    httpserver: HTTPServer, client: httpx.Client, format: str, body: bytes, message: str
) -> None:
    url = serve(httpserver, lambda request: Response(body))
    made = source(url, format=format, data_selector="$.a", incremental={"cursor_path": "a"})
    _, error = broken(made.pages(None, client, NOW))
    assert isinstance(error, HttpPollTransient)
    assert message in error.message


# Response actions


@pytest.mark.parametrize(
    ("action", "kind"), [("retry", HttpPollTransient), ("fail", HttpPollPermanent), ("stop", HttpPollStopped)]
)
@pytest.mark.parametrize(
    ("status", "rule"),
    [
        (200, {"content": "quota"}),
        (200, {"status_code": 200, "content": "quota exceeded"}),
        (402, {"status_code": 402}),
        (402, {"status_code": "4xx"}),
        (503, {"status_code": 503, "content": "quota"}),
    ],
)
def test_answers_that_mean_something_else(
    httpserver: HTTPServer, client: httpx.Client, action: str, kind: type[Exception], status: int, rule: Any
) -> None:
    answer = Response('{"error": "quota exceeded"}', status, headers={"retry-after": "90"})
    url = serve(httpserver, lambda request: answer)
    _, error = broken(source(url, response_actions=[{**rule, "action": action}]).pages(None, client, NOW))
    assert type(error) is kind
    assert isinstance(error, PollStopped) is (action == "stop")
    assert error.message.endswith(f'quota exceeded"}} (response_actions: {action})')
    assert getattr(error, "retry_after", None) == (90 if action == "retry" else None)


def test_the_first_rule_that_fits_counts_and_none_leaves_the_usual_reading(
    httpserver: HTTPServer, client: httpx.Client
) -> None:
    rules = [
        {"status_code": 404, "content": "planned", "action": "ignore"},
        {"status_code": 404, "action": "stop"},
        {"content": "never there", "action": "fail"},
    ]
    says = {"text": "planned work", "status": 404}
    url = serve(httpserver, lambda request: Response(says["text"], says["status"]))
    made = source(url, response_actions=rules)
    (page,) = run(made, client)
    assert page.body == b""
    says["text"] = "gone"
    assert isinstance(broken(made.pages(None, client, NOW))[1], HttpPollStopped)
    says |= {"status": 500}
    assert isinstance(broken(made.pages(None, client, NOW))[1], HttpPollTransient)
    says |= {"status": 200, "text": "[1]"}
    assert bodies(run(made, client)) == [[1]]


def test_ignored_pages_end_a_run_well(httpserver: HTTPServer, client: httpx.Client) -> None:
    def answer(request: Request) -> Any:
        page = int(request.args["page"])
        return [page] if page < 3 else Response("no more", 500)

    rules = [{"status_code": 500, "content": "no more", "action": "ignore"}]
    made = source(serve(httpserver, answer), paginator={"type": "page_number"}, response_actions=rules)
    pages = run(made, client)
    assert bodies(pages) == [[1], [2]]
    assert "position" not in pages[-1].cursor


# A page that comes again, and what comes late


def repeating(server: HTTPServer, stale: dict[str, int]) -> str:
    """Pages of one record each, the newest first; `stale` has a page answered with the one before it, so many times."""

    def answer(request: Request) -> Any:
        at = int(request.args.get("cursor", 0))
        if stale.get(str(at), 0) > 0:
            stale[str(at)] -= 1
            at -= 1
        return {"items": [{"id": 4 - at}], "next": at + 1 if at < 3 else None}

    return serve(server, answer)


def test_a_page_that_comes_again_does_not_move_the_mark_past_the_rest(
    httpserver: HTTPServer, client: httpx.Client
) -> None:
    url = repeating(httpserver, {"2": 1})
    options: dict[str, Any] = {
        "data_selector": "items",
        "paginator": {"type": "cursor", "cursor_path": "next"},
        "incremental": {"cursor_path": "id"},
    }
    made = source(url, **options)
    pages, error = broken(made.pages(None, client, NOW))
    assert isinstance(error, HttpPollTransient)
    assert "came again" in error.message
    rest = run(made, client, pages[-1].cursor)
    found = [body["items"][0]["id"] for body in bodies(pages) + bodies(rest)]
    assert found == [4, 3, 2, 1]
    assert rest[-1].cursor["since"]["value"] == 4


def test_also_where_a_run_was_taken_up_right_there(httpserver: HTTPServer, client: httpx.Client) -> None:
    options: dict[str, Any] = {
        "data_selector": "items",
        "paginator": {"type": "cursor", "cursor_path": "next"},
        "incremental": {"cursor_path": "id"},
        "max_pages": 2,
    }
    made = source(repeating(httpserver, {"2": 1}), **options)
    first = run(made, client)
    between, error = broken(made.pages(first[-1].cursor, client, NOW))
    assert "came again" in error.message
    assert [page.body for page in between] == [b""]
    rest = run(made, client, between[-1].cursor)
    assert [body["items"][0]["id"] for body in bodies(first + rest)] == [4, 3, 2, 1]


def test_a_page_that_comes_a_third_time_is_the_end(httpserver: HTTPServer, client: httpx.Client) -> None:
    """As servers do that give their last page for every cursor beyond it."""
    options: dict[str, Any] = {
        "data_selector": "items",
        "paginator": {"type": "page_number"},
        "incremental": {"cursor_path": "id"},
    }
    url = serve(httpserver, lambda request: {"items": [{"id": min(int(request.args["page"]), 2)}]})
    made = source(url, **options)
    pages, error = broken(made.pages(None, client, NOW))
    assert "came again" in error.message
    end = run(made, client, pages[-1].cursor)
    assert [body["items"][0]["id"] for body in bodies(pages + end)] == [1, 2]
    assert end[-1].cursor["since"]["value"] == 2


@pytest.mark.parametrize(
    ("value", "lag", "expected"),
    [
        (100, 10, 90),
        (100, 0.5, 99.5),
        (2.5, 1, 1.5),
        ("2024-03-01", 1, "2024-02-29"),
        ("2024-03-01T00:00:00Z", 60, "2024-02-29T23:59:00Z"),
        ("2024-03-01T00:00:00.250Z", 1, "2024-02-29T23:59:59.250Z"),
        ("2024-03-01T00:00:00.123456+02:00", 1, "2024-02-29T23:59:59.123456+02:00"),
        ("2024-03-01 00:00:00", 1, "2024-02-29 23:59:59"),
        ("0001-01-01", 5, None),
        ("soon", 5, None),
    ],
)
def test_the_value_before_another(value: Any, lag: float, expected: Any) -> None:
    assert before(value, lag) == expected


def test_with_a_lag_what_comes_late_is_found_and_nothing_twice(httpserver: HTTPServer, client: httpx.Client) -> None:
    records = [{"id": 1, "at": 100}, {"id": 2, "at": 200}]
    url = serve(
        httpserver, lambda request: [one for one in records if one["at"] >= float(request.args.get("since", 0))]
    )
    made = source(url, incremental={"cursor_path": "at", "cursor_param": "since", "initial_value": 0, "lag": 50})
    (page,) = run(made, client)
    assert run(made, client, page.cursor) == []
    records.append({"id": 3, "at": 160})
    (late,) = run(made, client, page.cursor)
    assert 3 in [one["id"] for one in bodies([late])[0]]
    assert run(made, client, late.cursor) == []
    records.append({"id": 4, "at": 140})  # later than the lag allows for
    assert run(made, client, late.cursor) == []
    assert [request.args["since"] for request, _ in httpserver.log] == ["0", *["150"] * 4]


def test_a_lag_of_what_is_no_time_is_named(httpserver: HTTPServer, client: httpx.Client) -> None:
    made = source(serve(httpserver, lambda request: [{"at": "v1"}]), incremental={"cursor_path": "at", "lag": 5})
    _, error = broken(made.pages(None, client, NOW))
    assert "incremental.lag needs" in error.message
    assert "'v1'" in error.message


def test_cursors_of_before_there_was_a_lag(httpserver: HTTPServer, client: httpx.Client) -> None:
    made = source(
        serve(httpserver, lambda request: [{"at": 5}]), incremental={"cursor_path": "at", "cursor_param": "since"}
    )
    (page,) = run(made, client)
    mark = page.cursor["since"]
    old = json.loads(
        json.dumps(page.cursor | {name: mark | {"edge": list(mark["edge"])} for name in ("since", "high")})
    )
    assert [one for one in run(made, client, old) if one.body] == []
