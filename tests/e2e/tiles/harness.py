"""A small Tornado server that speaks the live protocol with invented but plausible numbers.

It stands in for the web node, so that the browser side can be tried alone: the assets, ECharts out of the Panel package
under the address it has in production, a page with the shell around a dashboard, and `/live`. Run it by hand with
`python -m tests.e2e.tiles.harness 5390` and open `/`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import tornado.web
import tornado.websocket

HERE = Path(__file__).parent
ASSETS = HERE.parents[2] / "dash_app" / "assets"
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "y": 31_557_600_000}
BUCKETS = [1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000, 21_600_000, 86_400_000, 604_800_000]
Frame = dict[str, Any]


def panel_dist() -> Path:
    """Where the installed Panel package keeps the files that its server publishes under /static/extensions/panel/."""
    spec = importlib.util.find_spec("panel")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "dist"


def instant(text: str, now: int) -> int:
    """Epoch milliseconds of "now", "now-24h" or an ISO time."""
    if text.startswith("now"):
        offset = text[3:]
        return now - int(offset[1:-1]) * UNITS[offset[-1]] if offset else now
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def wave(at: int, site: int) -> float:
    """A temperature with a daily rhythm and a little noise; the same instant always gives the same value."""
    hours = at / 3_600_000
    noise = math.sin(at / 7_919.0 + site * 13.7) * math.cos(at / 3_001.0 + site)
    return round(11 + 4 * site + 5 * math.sin((hours - 9 + site) / 24 * 2 * math.pi) + 0.5 * noise, 2)


def column(name: str, kind: str, unit: str | None = None) -> dict[str, str]:
    return {"name": name, "type": kind, **({"unit": unit} if unit else {})}


@dataclass
class Topic:
    """One distinct subscription, read by all who share it."""

    name: str
    request: dict[str, Any]
    seq: int = 0
    viewers: set[Channel] = field(default_factory=set)

    def window(self) -> tuple[int, int]:
        now = int(time.time() * 1000)
        span = self.request.get("range") or {"from": "now-1h", "to": "now"}
        return instant(span["from"], now), instant(span["to"], now)

    def every(self) -> int:
        start, end = self.window()
        points = self.request.get("points", 300)
        return next((b for b in BUCKETS if (end - start) / b <= points), BUCKETS[-1])

    def frame(self, kind: str) -> Frame | None:
        """The whole answer, or for an update the last two buckets of it."""
        self.seq += kind == "update"
        scene = str(self.request.get("query", {}).get("pipeline", ""))
        start, end = self.window()
        common: Frame = {
            "topic": self.name,
            "seq": self.seq,
            "kind": kind,
            "from": start,
            "to": end,
            "every": None,
            "key": [],
            "at": end,
        }
        if scene == "broken":
            return {
                **common,
                "kind": "error",
                "title": "The query has no field “tmp”",
                "detail": "Did you mean “temp”? The mapping changed in version 4.",
            }
        if scene == "slow":
            return None
        if self.request["kind"] == "pipelines":
            rows = [
                ["p1", "Weather stations", "weather", "active", "ok", 12.4, end - 800, 0, 0],
                ["p2", "Earthquakes", "quakes", "active", "waiting", 0.0, end - 7_200_000, 0, 0],
                ["p3", HOSTILE, "shop", "active", "rejects", 3.25, end - 3000, 14, 27],
                ["p4", "Old meter", "meter", "paused", "paused", 0, end - 86_400_000 * 3, 1250, 0],
                ["p5", "Payments", "payments", "active", "failing", None, None, 3, 0],
            ]
            names = [
                ("id", "text"),
                ("name", "text"),
                ("slug", "text"),
                ("state", "text"),
                ("health", "text"),
                ("rate", "number"),
                ("last_received", "timestamp"),
                ("pending", "integer"),
                ("rejects", "integer"),
            ]
            return {
                **common,
                "columns": [column(*n) for n in names],
                "data": [list(c) for c in zip(*rows, strict=True)],
                "key": ["id"],
            }
        if scene == "empty":
            return {
                **common,
                "columns": [column("time", "timestamp"), column("t", "number")],
                "data": [[], []],
                "key": ["time"],
                "last": end - 3 * 3_600_000,
            }
        if scene == "records":
            count = 120 if kind == "snapshot" else 1
            step = 1000
            first = end // step
            rows = [
                [
                    (first - i) * step,
                    (first - i) * step + 80,
                    str((first - i) << 20),
                    0,
                    ["Oslo", "Bergen", HOSTILE][(first - i) % 3],
                    wave((first - i) * step, 1),
                    None if (first - i) % 5 == 0 else (first - i) % 977,
                    (first - i) % 4 == 0,
                ]
                for i in range(count)
            ]
            fields = [
                ("_time", "timestamp", None),
                ("_received", "timestamp", None),
                ("_payload", "text", None),
                ("_index", "integer", None),
                ("site", "text", None),
                ("temp", "number", "°C"),
                ("visits", "integer", None),
                ("open", "boolean", None),
            ]
            return {
                **common,
                "columns": [column(*f) for f in fields],
                "data": [list(c) for c in zip(*rows, strict=True)],
                "key": ["_payload", "_index"],
            }
        if scene == "category":
            rows = [
                ["Svalbard", 812.0],
                ["Kamchatka Peninsula, Russia", 4021.0],
                [HOSTILE, 333.0],
                ["Fiji", 2955.0],
                ["Hindu Kush", 1774.0],
                ["Central Alaska", 3120.0 + self.seq],
                ["Tonga", 1440.0],
                [None, 45.0],
            ]
            return {
                **common,
                "columns": [column("region", "text"), column("count", "integer")],
                "data": [list(c) for c in zip(*rows, strict=True)],
                "key": ["region"],
            }
        if scene == "total":
            return {**common, "columns": [column("total", "integer")], "data": [[1_284_312 + self.seq]]}
        every = self.every()
        first, last = start - start % every, end - end % every
        times = list(range(first, last + 1, every)) if kind == "snapshot" else [last - every, last]
        common["every"] = every
        if scene == "single":
            return {
                **common,
                "columns": [column("time", "timestamp"), column("temp", "number", "°C")],
                "data": [times, [wave(t, 0) for t in times]],
                "key": ["time"],
            }
        if scene == "bytes":
            return {
                **common,
                "columns": [column("time", "timestamp"), column("size", "number", "bytes")],
                "data": [times, [abs(wave(t, 2)) * 4e6 for t in times]],
                "key": ["time"],
            }
        sites = ["Oslo", "Bergen", HOSTILE, "Tromsø"]
        cells = [(t, s, wave(t, i)) for t in times for i, s in enumerate(sites)]
        if scene == "gaps":
            span = end - start
            cells = [
                c
                for c in cells
                if not (0.3 < (c[0] - start) / span < 0.42)
                and not (c[1] == "Bergen" and 0.6 < (c[0] - start) / span < 0.8)
            ]
        if scene == "counts":
            cells = [(t, s, float(int(abs(v) * 3))) for t, s, v in cells]
        unit = None if scene == "counts" else "°C"
        return {
            **common,
            "columns": [column("time", "timestamp"), column("site", "text"), column("t", "number", unit)],
            "data": [list(c) for c in zip(*cells, strict=True)] or [[], [], []],
            "key": ["time", "site"],
        }


class Channel(tornado.websocket.WebSocketHandler):
    """The live protocol, with none of the production's limits."""

    topics: dict[str, Topic]
    asked: list[dict[str, Any]]

    def initialize(self, state: State) -> None:
        self.state = state
        self.mine: dict[str, Topic] = {}

    def open(self, *_: str, **__: str) -> None:
        self.state.sockets.add(self)

    def on_message(self, message: str | bytes) -> None:
        request = json.loads(message)
        self.state.asked.append(request)
        if request["op"] == "ping":
            self.say({"op": "pong"})
        elif request["op"] == "unsubscribe":
            topic = self.mine.pop(request["id"], None)
            if topic and topic not in self.mine.values():
                topic.viewers.discard(self)
        elif request["query"].get("pipeline") == "forbidden" if "query" in request else False:
            self.say(
                {
                    "op": "error",
                    "id": request["id"],
                    "title": "No such pipeline",
                    "detail": "It may have been archived.",
                }
            )
        else:
            wish = {k: v for k, v in request.items() if k not in {"op", "id"}}
            key = json.dumps(wish, sort_keys=True)
            topic = self.state.topics.setdefault(key, Topic(f"k{len(self.state.topics)}", wish))
            topic.viewers.add(self)
            self.mine[request["id"]] = topic
            self.say({"op": "subscribed", "id": request["id"], "topic": topic.name})
            frame = topic.frame("snapshot")
            if frame:
                self.say(frame)

    def on_close(self) -> None:
        self.state.sockets.discard(self)
        for topic in self.mine.values():
            topic.viewers.discard(self)

    def say(self, message: Frame) -> None:
        if not self.close_code and self.ws_connection:
            self.write_message(json.dumps(message))


class State:
    """What the tests look at and turn: topics, sockets, what was asked, updates a second, whether they are sent."""

    def __init__(self) -> None:
        self.sockets: set[Channel] = set()
        self.forget()

    def forget(self) -> None:
        """As at the start; who is connected stays so."""
        self.topics: dict[str, Topic] = {}
        self.asked: list[dict[str, Any]] = []
        self.moving = False
        self.skip_next = False
        self.rate = 10

    async def move(self) -> None:
        while True:
            await asyncio.sleep(1 / self.rate)
            if not self.moving:
                continue
            for topic in list(self.topics.values()):
                frame = topic.frame("update") if topic.viewers else None
                if frame and frame["kind"] != "error" and not self.skip_next:
                    for viewer in list(topic.viewers):
                        viewer.say(frame)
            self.skip_next = False


class Page(tornado.web.RequestHandler):
    def get(self, name: str) -> None:
        self.set_header(
            "Content-Security-Policy",
            "default-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self' ws:; img-src 'self' data:",
        )
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish((HERE / f"{name or 'dashboard'}.html").read_bytes())


class Server:
    """The harness in a thread of its own; `stop` closes port and sockets, `start` opens the same port again."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.state = State()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve(ready)), daemon=True)
        self.thread.start()
        assert ready.wait(10)

    async def serve(self, ready: threading.Event) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        self.state.topics, self.state.sockets = {}, set()
        app = tornado.web.Application(
            [
                (r"/live", Channel, {"state": self.state}),
                (r"/pages/(.*\.js)", tornado.web.StaticFileHandler, {"path": str(ASSETS.parent / "pages" / "static")}),
                (r"/assets/(.*)", tornado.web.StaticFileHandler, {"path": str(ASSETS)}),
                (r"/static/extensions/panel/(.*)", tornado.web.StaticFileHandler, {"path": str(panel_dist())}),
                (r"/page/(.*\.js)", tornado.web.StaticFileHandler, {"path": str(HERE)}),
                (r"/(dashboard|parts|bare|gallery|)", Page),
            ]
        )
        server = app.listen(self.port, "127.0.0.1")
        self.port = next(iter(server._sockets.values())).getsockname()[1]
        mover = asyncio.create_task(self.state.move())
        ready.set()
        await self.ended.wait()
        mover.cancel()
        server.stop()
        for socket in list(self.state.sockets):
            socket.close()
        await server.close_all_connections()

    def stop(self) -> None:
        assert self.loop is not None
        assert self.thread is not None
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join(10)


if __name__ == "__main__":
    served = Server(int(sys.argv[1]) if len(sys.argv) > 1 else 5390)
    served.state.moving = True
    served.start()
    print(served.url)
    assert served.thread is not None
    served.thread.join()
