"""A listing and its children: which URLs are asked, what is kept of each, and where a run goes on that broke off."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.domain.errors import Invalid
from dash_app.pipelines.sources.fetching import HttpPollPermanent, HttpPollTransient
from tests.unit.pipelines.sources.polls import NOW, bodies, broken, run, source


class Stations:
    """A listing in pages of two, and readings of each station in pages of two."""

    def __init__(self, server: HTTPServer, count: int = 3, readings: int = 3) -> None:
        self.names = [f"s{n}" for n in range(count)]
        self.readings = {name: [f"{name}.{n}" for n in range(readings)] for name in self.names}
        self.answers: dict[str, Response] = {}
        self.asked: list[str] = []
        self.base = server.url_for("")
        server.expect_request("/stations").respond_with_handler(self._listing)
        server.expect_request("/readings").respond_with_handler(self._readings)

    def _listing(self, request: Request) -> Response:
        self.asked.append("listing")
        at = int(request.args.get("cursor", 0))
        found = [{"id": name, "lab": name == "s9"} for name in self.names[at : at + 2]]
        following = at + 2 if at + 2 < len(self.names) else None
        return Response(json.dumps({"stations": found, "next_cursor": following}))

    def _readings(self, request: Request) -> Response:
        name, at = request.args["of"], int(request.args.get("offset", 0))
        self.asked.append(f"{name}@{at}")
        if name in self.answers:
            return self.answers[name]
        since = request.args.get("since", "")
        found = [one for one in self.readings[name] if one >= since]
        return Response(json.dumps({"items": [{"at": one} for one in found[at : at + 2]]}))

    def poll(self, **more: Any) -> Any:
        options = {
            "params": {"of": "{station}"},
            "data_selector": "items",
            "paginator": {"type": "offset", "limit": 2},
            "resolve": {
                "url": f"{self.base}/stations",
                "data_selector": "stations",
                "paginator": {"type": "auto"},
                "fields": {"station": "id"},
            },
        }
        return source(f"{self.base}/readings", **{**options, **more})


@pytest.fixture
def stations(httpserver: HTTPServer) -> Stations:
    return Stations(httpserver)


def found(pages: list[Any]) -> list[str]:
    return [one["at"] for body in bodies(pages) for one in body["items"]]


EVERY = [f"s{n}.{m}" for n in range(3) for m in range(3)]


def test_every_child_of_every_page_of_the_listing(stations: Stations, client: httpx.Client) -> None:
    pages = run(stations.poll(), client)
    assert found(pages) == EVERY
    assert stations.asked[:2] == ["listing", "listing"]
    assert [page.headers["dash-parent-station"] for page in pages] == ["s0", "s0", "s1", "s1", "s2", "s2"]
    assert pages[0].url.endswith("/readings?of=s0&offset=0&limit=2")
    # The next run reads the listing anew, and finds what has come and gone.
    stations.names, stations.readings["s7"] = ["s2", "s7"], ["s7.0"]
    again = run(stations.poll(), client, pages[-1].cursor)
    assert found(again) == ["s2.0", "s2.1", "s2.2", "s7.0"]


def test_a_run_goes_on_behind_any_page(stations: Stations, client: httpx.Client) -> None:
    whole = run(stations.poll(), client)
    for number, page in enumerate(whole[:-1]):
        stations.asked.clear()
        rest = run(stations.poll(), client, page.cursor)
        assert found(rest) == found(whole[number + 1 :])
        assert "listing" not in stations.asked


def test_max_pages_counts_those_of_all_children(stations: Stations, client: httpx.Client) -> None:
    made = stations.poll(max_pages=2)
    got: list[Any] = []
    cursor = None
    for _ in range(20):
        pages = run(made, client, cursor)
        got += pages
        cursor = pages[-1].cursor
        if not cursor["left"]:
            break
    assert found(got) == EVERY
    assert len(stations.asked) == 2 + 9


def test_marks_are_each_childs_own(stations: Stations, client: httpx.Client) -> None:
    made = stations.poll(incremental={"cursor_path": "at", "cursor_param": "since"})
    pages = run(made, client)
    assert found(pages) == EVERY
    assert run(made, client, pages[-1].cursor) == []
    stations.readings["s0"].append("s0.9")
    stations.readings["s2"].append("s2.5")
    later = run(made, client, pages[-1].cursor)
    assert found(later) == ["s0.2", "s0.9", "s2.2", "s2.5"]
    assert run(made, client, later[-1].cursor) == []


def test_a_child_that_is_gone_is_passed_over(stations: Stations, client: httpx.Client) -> None:
    stations.answers = {"s0": Response("no", 404), "s2": Response("no", 410)}
    assert found(run(stations.poll(), client)) == ["s1.0", "s1.1", "s1.2"]


def test_an_error_of_a_child_ends_the_run_there(stations: Stations, client: httpx.Client) -> None:
    stations.answers = {"s1": Response("busy", 503)}
    pages, error = broken(stations.poll().pages(None, client, NOW))
    assert isinstance(error, HttpPollTransient)
    assert found(pages) == ["s0.0", "s0.1", "s0.2"]
    stations.answers, stations.asked = {}, []
    assert found(run(stations.poll(), client, pages[-1].cursor)) == EVERY[3:]
    assert stations.asked[0] == "s1@0"


@pytest.mark.parametrize(("paths", "expected"), [("id", ["s0", "s1", "s2"]), ("lab", ["false"])])
def test_each_child_once(stations: Stations, client: httpx.Client, paths: str, expected: list[str]) -> None:
    stations.answers = {"false": Response("{}", 404)}
    resolve = {**stations.poll().resolve, "fields": {"station": paths}}
    run(stations.poll(resolve=resolve), client)
    assert [one.partition("@")[0] for one in dict.fromkeys(stations.asked) if one.endswith("@0")] == expected


def test_values_are_encoded_and_never_a_way_up(httpserver: HTTPServer, client: httpx.Client) -> None:
    names = ["a/b", "c d?e=f&g#h", "ü", "..", ".", "", None, {"x": 1}, ["y"], 7, True, "100%", "../../admin"]
    asked: list[str] = []

    def child(request: Request) -> Response:
        asked.append(request.environ["RAW_URI"])
        return Response("[1]")

    httpserver.expect_request("/list").respond_with_json([{"id": name} for name in names])
    httpserver.expect_request(__import__("re").compile("/s/.*")).respond_with_handler(child)
    made = source(
        httpserver.url_for("/s/") + "{id}/r", resolve={"url": httpserver.url_for("/list"), "fields": {"id": "$.id"}}
    )
    run(made, client)
    assert asked == [
        "/s/a%2Fb/r",
        "/s/c%20d%3Fe%3Df%26g%23h/r",
        "/s/%C3%BC/r",
        "/s/7/r",
        "/s/true/r",
        "/s/100%25/r",
        "/s/..%2F..%2Fadmin/r",
    ]


def test_too_many_children_are_an_error_and_none_is_left_out(stations: Stations, client: httpx.Client) -> None:
    made = stations.poll(resolve={**stations.poll().resolve, "max_parents": 2})
    pages, error = broken(made.pages(None, client, NOW))
    assert (pages, isinstance(error, HttpPollPermanent)) == ([], True)
    assert "more than 2 (resolve.max_parents)" in error.message
    assert stations.asked == ["listing", "listing"]


def test_a_listing_of_another_shape_is_an_error(stations: Stations, client: httpx.Client) -> None:
    made = stations.poll(resolve={**stations.poll().resolve, "data_selector": "nothing.there"})
    _, error = broken(made.pages(None, client, NOW))
    assert isinstance(error, HttpPollPermanent)
    assert "resolve.data_selector" in error.message


def test_the_listing_is_asked_with_the_same_credentials(httpserver: HTTPServer, client: httpx.Client) -> None:
    httpserver.expect_request("/list").respond_with_json([{"id": 1}])
    httpserver.expect_request("/c/1").respond_with_json([1])
    made = source(
        httpserver.url_for("/c/") + "{id}",
        resolve={"url": httpserver.url_for("/list"), "fields": {"id": "id"}},
        auth={"type": "bearer", "token": "t"},
    )
    run(made, client)
    assert [request.headers["authorization"] for request, _ in httpserver.log] == ["Bearer t"] * 2


@pytest.mark.parametrize(
    "url",
    [
        "https://api.e{a}ample.org/v1",
        "https://{a}/v1",
        "https://api.example.org{a}/v1",
        "https://api.example.org:{a}/v1",
        "https://{a}@api.example.org/v1",
        "{a}://api.example.org/v1",
        "https://api.example.org{a}?b=1",
    ],
)
def test_the_listing_does_not_choose_the_host(url: str) -> None:
    resolve = {"url": "https://api.example.org/stations", "fields": {"a": "id"}}
    with pytest.raises(Invalid) as error:
        source(url, resolve=resolve)
    assert error.value.problems[0][0] == "options.url"
    assert "before its path" in error.value.problems[0][1]
    assert source("https://api.example.org/{a}/v1?b={a}", resolve=resolve)


def test_what_cannot_be_kept_is_no_child(stations: Stations, client: httpx.Client) -> None:
    stations.names = ["s0", "s\x00", "s\ud800", "s2"]
    assert found(run(stations.poll(), client)) == [one for one in EVERY if not one.startswith("s1")]
