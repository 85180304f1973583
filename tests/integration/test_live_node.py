"""A real node seen from outside: embeds, the notebook, and viewers who outlive it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nbformat
import polars as pl
import pytest
from nbclient import NotebookClient
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from bench._ground import EMAIL, Ground, Target, free_port
from dash_app.domain.access import Role
from dash_app.domain.events import Arrival
from dash_app.notebook import NotebookError, connect
from dash_app.pipelines.ingest import Ingest
from dash_app.storage import payloads, people

MAPPING: dict[str, Any] = {
    "fields": [
        {"name": "n", "path": "$.n", "type": "integer"},
        {"name": "site", "path": "$.site", "type": "text"},
    ]
}
COUNT = {"pipeline": "weather", "select": [{"agg": "count", "as": "records"}], "by": ["site"]}
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "notebook.ipynb"


class Node:
    """A web node over a database of its own; payloads are mapped in this process."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.url = f"http://127.0.0.1:{ground.port}"
        self.target: Target = ground.pipeline("weather", MAPPING)
        self._ingest = Ingest(ground.app)
        with ground.app.database.team(ground.team) as unit:
            (self.user,) = (member.user for member in people.members(unit) if member.email == EMAIL)
            unit.commit()
        self.token = self.new_token()[1]

    def new_token(self) -> tuple[Any, str]:
        with self.ground.app.database.team(self.ground.team) as unit:
            token, secret = people.create_token(unit, self.ground.team, self.user, "test", Role.admin)
            unit.commit()
        return token.id, secret

    def add(self, *records: dict[str, Any]) -> None:
        with self.ground.app.database.ingest() as unit:
            body = json.dumps(records).encode()
            payloads.accept(unit, [Arrival(self.target.pipeline, self.target.team, body, "application/json")])
            unit.commit()
        self._ingest.run(self.target.pipeline)

    def api(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.request(method, f"{self.url}/api/v1{path}", headers=headers, timeout=20, **more)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Ground() as ground:
        made = Node(ground)
        ground.start_node("web")
        made.add(*({"n": n, "site": "ab"[n % 2]} for n in range(10)))
        ground.wait_ready()
        tiles = [
            {"id": "1", "kind": "bar", "title": "By site", "gridPos": {"x": 0, "y": 0, "w": 6, "h": 6}, "query": COUNT},
            {
                "id": "2", "kind": "stat", "title": "All", "gridPos": {"x": 6, "y": 0, "w": 6, "h": 6},
                "query": {"pipeline": "weather", "select": [{"agg": "count"}]},
            },
        ]  # fmt: skip
        answer = made.api("POST", "/dashboards", json={"uid": "weather", "title": "Weather", "tiles": tiles})
        assert answer.status_code == 201, answer.text
        yield made


# Embeds --------------------------------------------------------------------------------------------------------------


def test_an_embed_is_a_page_that_only_its_origin_frames(node: Node) -> None:
    wanted = {"dashboard": "weather", "tile": 1, "origin": "https://wiki.example.org", "minutes": 5}
    made = node.api("POST", "/embeds", json=wanted)
    assert made.status_code == 201, made.text
    page = httpx.get(made.json()["url"])
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"].endswith("frame-ancestors https://wiki.example.org")
    assert "X-Frame-Options" not in page.headers
    assert "Set-Cookie" not in page.headers
    assert "By site" in page.text
    # The tile alone, and no way on into the house.
    assert '"title": "All"' not in page.text
    assert 'class="rail"' not in page.text
    assert node.token not in page.text
    anybody = httpx.get(node.api("POST", "/embeds", json={"dashboard": "weather"}).json()["url"])
    assert "frame-ancestors" not in anybody.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"dashboard": "gone"}, 404),
        ({"dashboard": "weather", "tile": "9"}, 422),
        ({"dashboard": "weather", "origin": "*"}, 422),
        ({"dashboard": "weather", "minutes": 0}, 422),
        ({"dashboard": "weather", "minutes": 99_999}, 422),
        ({}, 422),
    ],
)
def test_embeds_that_cannot_be(node: Node, body: dict[str, Any], status: int) -> None:
    assert node.api("POST", "/embeds", json=body).status_code == status


def embed_token(node: Node, by: str | None = None, **more: Any) -> str:
    made = node.api("POST", "/embeds", by, json={"dashboard": "weather", **more})
    return str(httpx.URL(made.json()["url"]).params["embed"])


def test_an_embeds_token_opens_nothing_else(node: Node) -> None:
    token = embed_token(node)
    assert httpx.get(f"{node.url}/embed/dashboards/other?embed={token}").status_code == 404
    assert httpx.get(f"{node.url}/embed/dashboards/weather?embed={token}x").status_code == 404
    assert httpx.get(f"{node.url}/embed/dashboards/weather").status_code == 404
    assert node.api("GET", "/pipelines", token).status_code == 401
    assert httpx.get(f"{node.url}/api/v1/pipelines?embed={token}").status_code == 401
    assert httpx.get(f"{node.url}/dashboards/weather?embed={token}").status_code == 302


async def ask(socket_: WebSocketClientConnection, **request: Any) -> dict[str, Any]:
    """The snapshot of a subscription, or its refusal."""
    await socket_.write_message(json.dumps({"op": "subscribe", "id": json.dumps(request)[:80], **request}))
    while True:
        text = await asyncio.wait_for(socket_.read_message(), 20)
        assert text is not None, socket_.close_reason
        frame: dict[str, Any] = json.loads(text)
        if frame.get("op") == "error" or "kind" in frame:
            return frame


async def test_an_embeds_socket_shows_its_dashboard_until_its_maker_is_shut_out(node: Node) -> None:
    number, secret = node.new_token()
    live = f"{node.url.replace('http', 'ws')}/live?embed={embed_token(node, secret)}"
    socket_ = await websocket_connect(live)
    shown = await ask(socket_, kind="bar", query=COUNT, range={"from": "now-1h", "to": "now"})
    assert sorted(shown["data"][0]) == ["a", "b"]
    for refused in ({"kind": "pipelines"}, {"kind": "bar", "query": {**COUNT, "by": ["n"]}}):
        answer = await ask(socket_, **refused)
        assert (answer.get("op"), answer["title"]) == ("error", "Forbidden")
    assert node.api("DELETE", f"/tokens/{number}").status_code == 204
    while await asyncio.wait_for(socket_.read_message(), 20) is not None:
        pass
    assert socket_.close_code == 4001
    socket_.close()
    with pytest.raises(HTTPClientError, match="401"):
        await websocket_connect(HTTPRequest(live))


# The notebook --------------------------------------------------------------------------------------------------------


def test_what_a_notebook_asks(node: Node) -> None:
    with connect(node.url, node.token) as dash:
        frame = dash.query(COUNT, order="site")
        assert frame.rows() == [("a", 5), ("b", 5)]
        times = dash.query(pipeline="weather", select=[{"agg": "count"}], every="1h", from_="now-1d")
        assert times.schema["time"] == pl.Datetime("us", "UTC")
        with pytest.warns(UserWarning, match="more rows"):
            assert dash.query(COUNT, limit=1).height == 1
        assert dash.pipelines().rows() == [("weather", "weather", "active", "webhook", 1)]
        assert dash.dashboards()["uid"].to_list() == ["weather"]
        assert dash.dashboards().schema["updated_at"] == pl.Datetime("us", "UTC")
        shown = dash.tile("weather", 2)._repr_mimebundle_()["text/html"]
        assert "tile=2" in shown
        assert node.token not in repr(dash) + repr(dash.dashboard("weather")) + shown
        assert "iframe" in dash.dashboard("weather").__panel__().object


def test_errors_say_what_to_do(node: Node) -> None:
    for url, token, says in [
        (f"http://127.0.0.1:{free_port()}", "x", "nothing answers at .*is the server running"),
        (node.url, "dash_wrong", "the token is not known"),
        (f"{node.url}/elsewhere", node.token, "There is no page at this address"),
        ("ftp://here", "x", "no address of a node"),
        (node.url, "", "a token is needed"),
    ]:
        with pytest.raises(NotebookError, match=says):
            connect(url, token)
    with connect(node.url, node.token) as dash:
        with pytest.raises(NotebookError, match="there is no dashboard 'gone'; there are: weather"):
            dash.dashboard("gone")
        with pytest.raises(NotebookError, match="has no tile 7; there are: 1, 2"):
            dash.tile("weather", 7)
        with pytest.raises(NotebookError, match="there is no field 'm'"):
            dash.query(pipeline="weather", select=[{"field": "m", "agg": "avg"}])


@pytest.mark.timeout(120)
def test_the_example_notebook_runs_and_keeps_no_token(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASH_URL", node.url)
    monkeypatch.setenv("DASH_TOKEN", node.token)
    notebook = nbformat.read(EXAMPLE, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    assert node.token not in text
    shown = [o for cell in notebook.cells for o in cell.get("outputs", []) if "text/html" in o.get("data", {})]
    frames = [o["data"]["text/html"] for o in shown if "<iframe" in o["data"]["text/html"]]
    assert len(frames) == 2
    for frame in frames:
        address = frame.split('src="', 1)[1].split('"', 1)[0].replace("&amp;", "&")
        assert httpx.get(address).status_code == 200


# Resuming ------------------------------------------------------------------------------------------------------------

VIEWERS = 50
TABLE = {
    "pipeline": "weather",
    "select": [{"field": "n"}, {"field": "_payload"}, {"field": "_index"}],
    "limit": 100_000,
}
MINUTES = {"pipeline": "weather", "select": [{"agg": "count", "as": "n"}], "every": "1m"}


class Held:
    """A viewer as a browser is one: lays updates over what it has, asks anew where one is missing, and comes back."""

    def __init__(self, url: str, token: str, kind: str, query: dict[str, Any]) -> None:
        self.request = HTTPRequest(f"{url.replace('http', 'ws')}/live", headers={"Authorization": f"Bearer {token}"})
        self.message = {"op": "subscribe", "kind": kind, "query": query, "range": {"from": "now-1h", "to": "now+1h"}}
        self.rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.seq = -1
        self.lost = 0
        self.gaps = 0
        self.some = asyncio.Event()

    async def watch(self) -> None:
        while True:
            try:
                socket_ = await websocket_connect(self.request, max_message_size=1 << 26)
            except (OSError, HTTPClientError):
                await asyncio.sleep(0.1)
                continue
            try:
                await socket_.write_message(json.dumps({**self.message, "id": f"t{self.lost}"}))
                while (text := await socket_.read_message()) is not None:
                    self.take(json.loads(text))
            finally:
                socket_.close()
            self.lost += 1

    def take(self, frame: dict[str, Any]) -> None:
        if frame.get("kind") == "update" and frame["seq"] != self.seq + 1:
            self.gaps += 1
        if frame.get("kind") in ("snapshot", "update"):
            self.seq = frame["seq"]
            if frame["kind"] == "snapshot" or not frame["key"]:
                self.rows = {}
            names = [column["name"] for column in frame["columns"]]
            places = [names.index(name) for name in frame["key"]] if names else []
            for row in zip(*frame["data"], strict=True):
                self.rows[tuple(row[place] for place in places)] = row
            self.some.set()


@pytest.mark.timeout(90)
# The client's own: a connection that died within its handshake is given to nobody who could close it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_viewers_outlive_the_node_with_neither_gap_nor_double(node: Node) -> None:
    """Records come in before, while the node is dead, and after; everybody ends with what silver holds."""
    held = [Held(node.url, node.token, *((("line", MINUTES), ("table", TABLE))[n % 2])) for n in range(VIEWERS)]
    watching = [asyncio.create_task(one.watch()) for one in held]
    number = 100

    async def come(count: int) -> None:
        nonlocal number
        for _ in range(count):
            records = [{"n": number + n, "site": "ab"[n % 2]} for n in range(5)]
            number += 5
            await asyncio.to_thread(node.add, *records)

    async def equal() -> None:
        rows = await asyncio.to_thread(node.ground.rows, f"SELECT n, _payload::text, _index FROM {node.target.table}")
        expected = {(payload, index): n for n, payload, index in rows}
        for one in held:
            table = one.message["query"] is TABLE
            while True:
                if table:
                    names = {key: row[1] for key, row in one.rows.items()}
                    if names == expected:
                        break
                elif sum(row[1] for row in one.rows.values()) == len(expected):
                    break
                one.some.clear()
                await asyncio.wait_for(one.some.wait(), 20)

    try:
        await come(5)
        await equal()
        coming = asyncio.create_task(come(25))
        await asyncio.to_thread(node.ground.kill, "node")
        await come(3)
        node.ground.start_node("web")
        await asyncio.to_thread(node.ground.wait_ready)
        await coming
        await come(5)
        await equal()
        assert all(one.lost for one in held)
        assert not any(one.gaps for one in held)
        # A connection that is cut without a word, as by a phone that changes its network, is one more.
        assert len({len(one.rows) for one in held if one.message["query"] is TABLE}) == 1
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
