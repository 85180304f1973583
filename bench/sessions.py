"""Sessions: what one more open page costs a web process, and whether its memory stays flat over many of them.

Pages are opened as a browser opens them, without the browser: the answer of the page is read, then its WebSocket is
opened (of the Panel document for the mapping editor, the live channel with the dashboard's subscriptions for a
dashboard), the first frames are awaited, and it is closed. `cost`: processor time and memory of the web process
alone, with so many pages open at once. `flat`: resident memory while pages are opened and closed a thousand times;
what it grows by after the first tenth, which fills caches, is what would be a leak.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import psutil
from bokeh.protocol import Protocol
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from bench._ground import EMAIL, PASSWORD, Ground, Target
from bench.editor import MAPPING, PAYLOADS, body
from dash_app.domain.access import Principal, Role
from dash_app.domain.events import Arrival
from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines import dashboards
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.propose import propose_dashboard
from dash_app.storage import catalog, payloads, people

SLUG = "sessions"
TOKEN = re.compile(r'"token":\s*"([^"]+)"')
DOCUMENT = re.compile(r'<script type="application/json" id="dashboard-document">(.*?)</script>', re.DOTALL)


class Opened:
    """A page that is open; `close` ends it as closing the tab would."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self._socket = socket

    def close(self) -> None:
        self._socket.close()


class Visitor:
    """Somebody who is logged in, and opens pages."""

    def __init__(self, port: int, cookie: str) -> None:
        self._port = port
        self._headers = {"Cookie": cookie}
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=self._headers, timeout=60)

    async def _socket(self, path: str, subprotocols: list[str] | None = None) -> WebSocketClientConnection:
        request = HTTPRequest(f"ws://127.0.0.1:{self._port}{path}", headers=self._headers, request_timeout=60)
        return await websocket_connect(request, subprotocols=subprotocols, max_message_size=64 << 20)

    async def editor(self) -> Opened:
        path = f"/pipelines/{SLUG}/mapping"
        answer = await self._client.get(path)
        answer.raise_for_status()
        found = TOKEN.search(answer.text)
        if found is None:
            raise RuntimeError("the editor's page holds no token of a session")
        socket = await self._socket(f"{path}/ws", ["bokeh", found[1]])
        await _message(socket)  # the server's greeting
        asked = Protocol().create("PULL-DOC-REQ")
        for part in (asked.header_json, asked.metadata_json, asked.content_json):
            await socket.write_message(part)
        await _message(socket)
        return Opened(socket)

    async def dashboard(self) -> Opened:
        answer = await self._client.get(f"/dashboards/{SLUG}")
        answer.raise_for_status()
        found = DOCUMENT.search(answer.text)
        if found is None:
            raise RuntimeError("the dashboard's page holds no document")
        document = json.loads(found[1])
        socket = await self._socket("/live")
        tiles = [tile for tile in document["tiles"] if tile.get("query")]
        for number, tile in enumerate(tiles):
            # With all values of every variable, as a page is opened: it leaves out what compares with one.
            query = {name: part for name, part in tile["query"].items() if name != "where" or "$" not in part}
            request = {"op": "subscribe", "id": f"t{number}", "kind": tile["kind"], "query": query}
            request |= {"range": document["time"], "timezone": "UTC", "points": 300}
            await socket.write_message(json.dumps(request))
        waiting = len(tiles)
        while waiting:
            said = json.loads(await socket.read_message() or "{}")
            if said.get("kind") == "error" or said.get("op") == "error" or not said:
                raise RuntimeError(f"a tile was refused: {said}")
            waiting -= said.get("kind") == "snapshot"
        return Opened(socket)

    async def done(self) -> None:
        await self._client.aclose()


async def _message(socket: WebSocketClientConnection) -> None:
    """One message of Bokeh's protocol: header, metadata, content, and the buffers that the header counts."""
    header = json.loads(await socket.read_message() or "{}")
    if not header:
        raise RuntimeError("the server closed the session's socket")
    for _ in range(2 + 2 * header.get("num_buffers", 0)):
        await socket.read_message()


def log_in(port: int) -> str:
    """The cookies of a session."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=False, timeout=30) as client:
        page = client.get("/login")
        found = re.search(r'name="_xsrf" value="([^"]*)"', page.text)
        answer = client.post(
            "/login", data={"email": EMAIL, "password": PASSWORD, "_xsrf": found[1] if found else "", "next": "/"}
        )
        if answer.status_code not in (302, 303):
            raise RuntimeError(f"the log-in was answered with {answer.status_code}")
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.cookies.jar)


def fill(ground: Ground) -> Target:
    """A pipeline with 100 payloads of 2 KB, mapped, and the dashboard that is proposed for it."""
    target = ground.pipeline(SLUG, MAPPING)
    rng = random.Random(7)
    arrivals = [Arrival(target.pipeline, target.team, body(rng, 2_000, n), "application/json") for n in range(PAYLOADS)]
    with ground.app.database.ingest() as unit:
        payloads.accept(unit, arrivals)
        unit.commit()
    Ingest(ground.app).run(target.pipeline)
    with ground.app.database.team(target.team) as unit:
        member = people.members(unit)[0]
        author = Principal(member.user, member.email, member.name, target.team, "bench", "Bench", Role.admin)
        document = propose_dashboard(catalog.pipeline(unit, SLUG), parse_mapping(MAPPING))
        document["uid"] = SLUG
        document["time"] = {"from": "2023-11-14T00:00:00Z", "to": "2023-11-16T00:00:00Z"}
        dashboards.create_dashboard(unit, target.team, document, author)
        unit.commit()
    return target


class Watched:
    """The web process as the operating system sees it."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        return int(self._process.memory_full_info().uss)


async def cost(open_page: Callable[[], Awaitable[Opened]], web: Watched, count: int) -> dict[str, Any]:
    """With `count` pages open beside each other: processor time and memory of each."""
    for _ in range(3):  # what is made once
        (await open_page()).close()
    await asyncio.sleep(1)
    cpu, memory = web.cpu(), web.memory()
    pages = [await open_page() for _ in range(count)]
    result = {
        "open": count,
        "cpu_ms_each": round((web.cpu() - cpu) / count * 1000, 2),
        "kib_each": round((web.memory() - memory) / count / 1024, 1),
    }
    for page in pages:
        page.close()
    return result


async def flat(open_page: Callable[[], Awaitable[Opened]], web: Watched, times: int, patience: float) -> dict[str, Any]:
    """Memory in MiB after each tenth of the opens and closes; between them the server has `patience` seconds to let go
    of sessions that nobody has open."""
    seen: list[float] = []
    for _ in range(10):
        for _ in range(times // 10):
            (await open_page()).close()
        await asyncio.sleep(patience)
        seen.append(round(web.memory() / 1048576, 1))
    return {"opened": times, "mib": seen, "grown_after_first_tenth_mib": round(seen[-1] - seen[0], 1)}


async def visit(ground: Ground, options: argparse.Namespace) -> dict[str, Any]:
    web = Watched(ground.processes["node"].pid)
    visitor = Visitor(ground.port, log_in(ground.port))
    result: dict[str, Any] = {}
    roads: Sequence[tuple[str, Callable[[], Awaitable[Opened]], float]] = (
        ("dashboard", visitor.dashboard, 0.5),
        ("editor", visitor.editor, options.patience),
    )
    for name, open_page, patience in roads:
        result[name] = await cost(open_page, web, options.open)
        result[name] |= await flat(open_page, web, options.times, patience)
    await visitor.done()
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open", type=int, default=30, help="pages open at once")
    parser.add_argument("--times", type=int, default=200, help="opens and closes of each page")
    parser.add_argument("--patience", type=float, default=20, help="seconds in which unused sessions are let go of")
    parser.add_argument("--full", action="store_true", help="1,000 opens and closes")
    options = parser.parse_args()
    if options.full:
        options.times = 1000
    with Ground() as ground:
        fill(ground)
        ground.start_node("web")
        ground.wait_ready()
        result = {"figure": "sessions", "machine": ground.machine(), **asyncio.run(visit(ground, options))}
    print(json.dumps(result), flush=True)
    for name in ("dashboard", "editor"):
        one = result[name]
        print(
            f"{name}: {one['cpu_ms_each']} ms of CPU and {one['kib_each']} KiB each with {one['open']} open; "
            f"over {one['opened']} opens {one['mib'][0]} → {one['mib'][-1]} MiB",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
