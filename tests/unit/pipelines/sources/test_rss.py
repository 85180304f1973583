"""Feeds: entries as records, each once, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.domain.errors import DashError
from dash_app.pipelines.reach import guarded_client
from dash_app.pipelines.sources.outside import Outside
from dash_app.pipelines.sources.rss import Feed

NOW = datetime(2024, 5, 1, tzinfo=UTC)
ENTRY = """<item><guid>{0}</guid><title>Entry {0} &amp; more</title><link>https://news.example.org/{0}</link>
<description>&lt;p&gt;Text&lt;script&gt;alert(1)&lt;/script&gt;&lt;/p&gt;</description><category>one</category>
<pubDate>Wed, 01 May 2024 10:00:00 +0200</pubDate></item>"""


def rss(*numbers: int) -> bytes:
    items = "".join(ENTRY.format(number) for number in numbers)
    return f"<rss version='2.0'><channel><title>News</title>{items}</channel></rss>".encode()


class House:
    """What a poll does with pages: keeps bodies, the cursor, and what is taken."""

    def __init__(self, client: httpx.Client) -> None:
        self.taken: set[str] = set()
        self.cursor: Any = {}
        self.outside = Outside(client, unseen=self.unseen)

    def unseen(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name not in self.taken]

    def run(self, source: Feed) -> list[dict[str, Any]]:
        records = []
        for page in source.fetch(self.cursor, self.outside, NOW):
            self.taken |= set(page.seen)
            self.cursor = json.loads(json.dumps(page.cursor))
            records += [json.loads(line) for line in page.body.splitlines()]
        return records


@pytest.fixture
def house() -> Iterator[House]:
    with guarded_client(["127.0.0.0/8"]) as client:
        yield House(client)


def test_each_entry_comes_once_oldest_first(house: House, httpserver: HTTPServer) -> None:
    answers = [rss(2, 1), rss(2, 1), rss(4, 3, 2)]
    asked: list[str | None] = []

    def answer(request: Request) -> Response:
        asked.append(request.headers.get("If-None-Match"))
        body = answers[len(asked) - 1]
        return Response(body, content_type="application/rss+xml", headers={"ETag": f'"{len(body)}"'})

    httpserver.expect_request("/feed").respond_with_handler(answer)
    source = Feed.from_options({"url": httpserver.url_for("/feed")})
    first = house.run(source)
    assert [one["id"] for one in first] == ["1", "2"]
    assert first[0] == {
        "id": "1",
        "title": "Entry 1 & more",
        "link": "https://news.example.org/1",
        "summary": "<p>Text</p>",
        "content": None,
        "author": None,
        "categories": ["one"],
        "enclosures": [],
        "published": "2024-05-01T08:00:00+00:00",
        "updated": None,
        "feed": {"title": "News", "link": None},
    }
    assert house.run(source) == []
    assert [one["id"] for one in house.run(source)] == ["3", "4"]
    assert asked[0] is None
    assert asked[1] == f'"{len(rss(2, 1))}"'


def test_an_entry_that_was_changed_comes_again_where_that_is_wanted(house: House, httpserver: HTTPServer) -> None:
    def atom(day: int) -> bytes:
        entry = f"<entry><id>x</id><title>T</title><updated>2024-05-0{day}T00:00:00Z</updated></entry>"
        return f"<feed xmlns='http://www.w3.org/2005/Atom'><title>A</title>{entry}</feed>".encode()

    for day in (1, 1, 2):
        httpserver.expect_ordered_request("/feed").respond_with_data(atom(day), content_type="application/atom+xml")
    source = Feed.from_options({"url": httpserver.url_for("/feed"), "updated": "again"})
    assert [len(house.run(source)) for _ in range(3)] == [1, 0, 1]


def test_many_entries_come_in_payloads_that_are_not_too_large(house: House, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/feed").respond_with_data(rss(*range(60, 0, -1)))
    source = Feed.from_options({"url": httpserver.url_for("/feed"), "max_bytes": 40_000})
    source.max_bytes = 2000
    with guarded_client(["127.0.0.0/8"]) as client:
        assert len(client.get(httpserver.url_for("/feed")).content) > source.max_bytes
    source.max_bytes = 40_000
    pages = [(len(page.body), len(page.seen)) for page in source.fetch(None, house.outside, NOW)]
    assert sum(seen for _, seen in pages) == 60
    assert all(size <= 40_000 for size, _ in pages)


@pytest.mark.parametrize(
    "body",
    [b"/etc/passwd", b"<html><body>not here</body></html>", b"\x00\xff", b"{}"],
    ids=["a file's name", "html", "bytes", "json"],
)
def test_what_is_no_feed(house: House, httpserver: HTTPServer, body: bytes) -> None:
    httpserver.expect_request("/feed").respond_with_data(body, content_type="text/plain")
    with pytest.raises(DashError, match="neither RSS nor Atom") as error:
        house.run(Feed.from_options({"url": httpserver.url_for("/feed")}))
    assert "root:" not in error.value.message
