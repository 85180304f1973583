"""The demo's own little internet: two read-only JSON feeds on 127.0.0.1, polled by the demo's pipelines.

`GET /weather` is read by page number, `GET /earthquakes` by an opaque cursor, the two ways most public APIs have. Both
take `after`, the highest `sequence` already read, so that a poll asks only for what is new. Page numbers count from
`after`, and records are only ever added at the end: pages of one poll never shift.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
from tornado.httpserver import HTTPServer
from tornado.ioloop import PeriodicCallback
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from dash_app.demo import datasets
from dash_app.demo.state import HEARTBEAT_MS, DemoState, wall_clock_ms
from dash_app.demo.timeline import Clock, released, released_count

ADDRESS = "127.0.0.1"
PAGE_MAX = 1_000  #: records a response, at most and by default
MAX_NUMBER = 2**53  #: larger numbers are no positions anybody got from here


class _FeedHandler(RequestHandler):
    def initialize(self, clock: Clock, now: Callable[[], int]) -> None:
        self.clock, self.now = clock, now

    def number(self, name: str, default: int, low: int, high: int) -> int:
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdigit()) or not low <= int(text[:20]) <= high:
            raise HTTPError(400, f"{name}: a whole number from {low} to {high}")
        return int(text)

    def answer(self, document: dict[str, Any]) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.write(orjson.dumps(document))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        detail = error.log_message if isinstance(error, HTTPError) and status_code < 500 else None
        title = HTTPStatus(status_code).phrase
        self.answer({"title": title, "status": status_code, "detail": detail or title})


class WeatherHandler(_FeedHandler):
    """`?page=1&per_page=1000&after=0` → `{"data": [records], "next": page or null, "has_more": bool, "note"}`."""

    def get(self) -> None:
        page = self.number("page", 1, 1, MAX_NUMBER)
        size = self.number("per_page", PAGE_MAX, 1, PAGE_MAX)
        start = self.number("after", 0, 0, MAX_NUMBER) + (page - 1) * size
        feed, now = datasets.weather(), self.now()
        records, end = released(feed, self.clock, now, start, size)
        more = end < released_count(feed, self.clock, now)
        self.answer({"data": records, "next": page + 1 if more else None, "has_more": more, "note": feed.note})


class EarthquakesHandler(_FeedHandler):
    """`?limit=1000&after=0` or `?limit=1000&cursor=…` (wins over `after`) → a GeoJSON FeatureCollection with
    `metadata` `{"next_cursor": text or null, "count", "note"}`."""

    def get(self) -> None:
        size = self.number("limit", PAGE_MAX, 1, PAGE_MAX)
        cursor = self.get_query_argument("cursor", "")
        start = self._position(cursor) if cursor else self.number("after", 0, 0, MAX_NUMBER)
        feed, now = datasets.earthquakes(), self.now()
        features, end = released(feed, self.clock, now, start, size)
        more = end < released_count(feed, self.clock, now)
        metadata = {
            "title": "Earthquakes between Borneo and New Guinea",
            "count": len(features),
            "next_cursor": base64.urlsafe_b64encode(b"q%d" % end).decode() if more else None,
            "note": feed.note,
        }
        self.answer({"type": "FeatureCollection", "metadata": metadata, "features": features})

    def _position(self, cursor: str) -> int:
        try:
            text = base64.b64decode(cursor, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            text = b""
        if text[:1] != b"q" or not text[1:].isdigit() or len(text) > 17:
            raise HTTPError(400, "cursor: one from metadata.next_cursor")
        return int(text[1:])


class IndexHandler(_FeedHandler):
    """What is here: each feed with its address, its note and how many records are out."""

    def get(self) -> None:
        feeds = (datasets.weather(), datasets.earthquakes())
        listing = [
            {
                "name": feed.name,
                "url": f"/{feed.name}",
                "released": released_count(feed, self.clock, self.now()),
                "note": feed.note,
            }
            for feed in feeds
        ]
        self.answer({"feeds": listing})


class NothingHandler(_FeedHandler):
    """Every other path: 404, in JSON like the rest."""

    def prepare(self) -> None:
        raise HTTPError(404)


class DemoServer:
    """Serves the feeds on the running event loop and keeps the demo's heartbeat.

    `port` 0 takes any free one; the pipelines get the address anew at each start (`definitions.pipelines`).
    """

    def __init__(self, state: DemoState, port: int = 0, now: Callable[[], int] = wall_clock_ms) -> None:
        routes = [("/", IndexHandler), ("/weather", WeatherHandler), ("/earthquakes", EarthquakesHandler)]
        shared = {"clock": state.clock, "now": now}
        # Silent per request: polls every few seconds would drown the node's own log.
        self._application = Application(
            [(path, handler, shared) for path, handler in routes],
            default_handler_class=NothingHandler,
            default_handler_args=shared,
            log_function=lambda handler: None,
        )
        self._wanted_port = port
        self._server: HTTPServer | None = None
        self._heartbeat = PeriodicCallback(lambda: state.beat(now()), HEARTBEAT_MS)
        self.port = 0

    @property
    def url(self) -> str:
        """The address without a slash at the end; only while it runs."""
        if self._server is None:
            raise RuntimeError("the demo server is not running")
        return f"http://{ADDRESS}:{self.port}"

    def start(self) -> int:
        """Binds and serves; returns the port. Raises OSError when the wanted port is taken."""
        if self._server is not None:
            raise RuntimeError("the demo server is already running")
        sockets = bind_sockets(self._wanted_port, ADDRESS)
        self._server = HTTPServer(self._application)
        self._server.add_sockets(sockets)
        self.port = int(sockets[0].getsockname()[1])
        self._heartbeat.start()
        return self.port

    async def stop(self) -> None:
        """Closes the port and every connection. Stopping twice is harmless."""
        server, self._server = self._server, None
        self._heartbeat.stop()
        if server is not None:
            server.stop()
            await server.close_all_connections()
