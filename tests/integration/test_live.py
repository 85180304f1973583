"""The live channel over a real database and a real server: what a browser sees is what the database holds."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, websocket_connect

from dash_app.domain.access import Principal, Role
from dash_app.domain.changes import AccessChanged
from dash_app.domain.ids import new_id
from dash_app.live.channel import LiveChannel
from dash_app.live.hub import Hub
from dash_app.live.listener import Listener
from dash_app.pipelines import setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.query import Queries
from dash_app.storage import people
from tests.integration.conftest import House

Frame = dict[str, Any]
MAPPING = {
    "time": {"path": "$.t"},
    "fields": [
        {"name": "n", "path": "$.n", "type": "number", "unit": "m"},
        {"name": "site", "path": "$.site", "type": "text"},
    ],
}
START = datetime(2026, 1, 1, tzinfo=UTC)
#: A closed range, so that time itself changes nothing while a test runs.
RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T06:00:00Z"}
BY_SITE = {
    "pipeline": "orders",
    "select": [{"field": "n", "agg": "avg", "as": "mean"}, {"field": "n", "agg": "max"}, {"agg": "count"}],
    "by": ["site"],
    "every": "5m",
}


class Fake:
    """Says that a request is from whoever its header names."""

    def __init__(self) -> None:
        self.people: dict[str, Principal] = {}

    async def principal(self, request: HTTPServerRequest) -> Principal | None:
        return self.people.get(request.headers.get("X-Who", ""))


class Viewer:
    """One tab: sends messages and keeps what comes."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self.socket = socket
        self.heard: list[Frame] = []

    async def send(self, **message: Any) -> None:
        await self.socket.write_message(json.dumps(message))

    async def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The next message that is wanted; what came before it is kept in `heard`."""
        while True:
            text = await asyncio.wait_for(self.socket.read_message(), 20)
            assert text is not None, f"closed: {self.socket.close_code} {self.socket.close_reason}"
            frame: Frame = json.loads(text)
            self.heard.append(frame)
            if wanted(frame):
                return frame

    async def subscribe(self, **request: Any) -> Frame:
        """Subscribes and answers the first frame: a snapshot, or the refusal."""
        identity = request.setdefault("id", f"t{new_id().hex[-6:]}")
        await self.send(op="subscribe", **request)
        answer = await self.until(lambda frame: frame.get("id") == identity)
        if answer["op"] == "error":
            return answer
        return await self.until(lambda frame: frame.get("topic") == answer["topic"])

    async def closed(self) -> tuple[int | None, str | None]:
        while await asyncio.wait_for(self.socket.read_message(), 20) is not None:
            pass
        return self.socket.close_code, self.socket.close_reason


class World:
    def __init__(self, house: House, port: int, hub: Hub, listener: Listener, fake: Fake) -> None:
        self.house, self.port, self.hub, self.listener, self.fake = house, port, hub, listener, fake
        self._sockets: list[WebSocketClientConnection] = []

    async def connect(self, who: str = "ada", **headers: str) -> Viewer:
        request = HTTPRequest(f"ws://127.0.0.1:{self.port}/live", headers={"X-Who": who, **headers})
        self._sockets.append(await websocket_connect(request))
        return Viewer(self._sockets[-1])

    async def close(self) -> None:
        for one in self._sockets:
            gone = one.protocol is None or one.protocol.stream.closed()
            one.close()
            # Closed is what the other side has answered to; a test that ends before leaves a socket open.
            while not gone and await asyncio.wait_for(one.read_message(), 20) is not None:
                pass

    async def add(self, pipeline: UUID, *records: dict[str, Any]) -> None:
        """Records as one payload, mapped and committed."""

        def work() -> None:
            self.house.put(pipeline, json.dumps(records).encode())
            assert Ingest(self.house.app).run(pipeline) == 1

        await asyncio.to_thread(work)


@asynccontextmanager
async def opened(house: House) -> AsyncIterator[World]:
    fake = Fake()
    for name, role in (("ada", Role.viewer), ("bob", Role.editor)):
        fake.people[name] = Principal(new_id(), f"{name}@example.org", name, house.team, "acme", "Acme", role)
    with house.app.database.ingest() as unit:
        theirs = people.create_team(unit, "globex", "Globex")
        unit.commit()
    fake.people["eve"] = Principal(new_id(), "eve@example.org", "eve", theirs, "globex", "Globex", Role.admin)
    hub = Hub(house.app.database, Queries(house.app.database))
    listener = Listener(house.app.database)
    heard = asyncio.Event()
    listener.subscribe(hub.changed, hub.returned)
    listener.subscribe(lambda _change: None, heard.set)
    listener.start()
    arguments = {"hub": hub, "authenticator": fake, "origins": frozenset({"dash.example.org"})}
    server = HTTPServer(Application([(r"/live", LiveChannel, arguments)]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    world = World(house, sockets[0].getsockname()[1], hub, listener, fake)
    try:
        await asyncio.wait_for(heard.wait(), 20)
        yield world
    finally:
        await world.close()
        server.stop()
        await server.close_all_connections()
        await listener.stop()
        hub.close()


@pytest.fixture
async def world(house: House) -> AsyncIterator[World]:
    async with opened(house) as made:
        yield made


def record(minute: float, n: float, site: str = "a") -> dict[str, Any]:
    return {"t": (START + timedelta(minutes=minute)).isoformat(), "n": n, "site": site}


def ms(minute: float) -> int:
    return int((START + timedelta(minutes=minute)).timestamp() * 1000)


def rows(frame: Frame) -> list[dict[str, Any]]:
    names = [column["name"] for column in frame["columns"]]
    return [dict(zip(names, values, strict=True)) for values in zip(*frame["data"], strict=True)]


class Chart:
    """What a browser makes of frames: a snapshot replaces, an update replaces rows of the same key."""

    def __init__(self, snapshot: Frame) -> None:
        self.seq = snapshot["seq"]
        self.take(snapshot)

    def take(self, frame: Frame) -> None:
        if frame["kind"] == "snapshot" or not frame["key"]:
            self._rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._rows |= {tuple(row[name] for name in frame["key"]) or (n,): row for n, row in enumerate(rows(frame))}
        self.seq = frame["seq"]

    @property
    def shown(self) -> list[dict[str, Any]]:
        return [self._rows[key] for key in sorted(self._rows, key=str)]


def of(topic: str, kind: str = "update") -> Callable[[Frame], bool]:
    return lambda frame: frame.get("topic") == topic and frame.get("kind") == kind


async def test_history_then_the_touched_bucket_alone(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(1, 10), record(2, 20), record(61, 5, "b"))
    viewer = await world.connect()
    snapshot = await viewer.subscribe(kind="line", query=BY_SITE, range=RANGE)
    assert (snapshot["kind"], snapshot["key"], snapshot["every"]) == ("snapshot", ["time", "site"], 300_000)
    assert (snapshot["bucket"], snapshot["timezone"]) == ("5m", "UTC")
    assert (snapshot["from"], snapshot["to"]) == (ms(0), ms(360))
    assert rows(snapshot) == [
        {"time": ms(0), "site": "a", "mean": 15.0, "n_max": 20.0, "count": 2},
        {"time": ms(60), "site": "b", "mean": 5.0, "n_max": 5.0, "count": 1},
    ]
    await world.add(pipeline, record(62, 7, "b"), record(63, 1, "c"))
    update = await viewer.until(of(snapshot["topic"]))
    assert update["seq"] == snapshot["seq"] + 1
    assert rows(update) == [
        {"time": ms(60), "site": "b", "mean": 6.0, "n_max": 7.0, "count": 2},
        {"time": ms(60), "site": "c", "mean": 1.0, "n_max": 1.0, "count": 1},
    ]
    assert abs(update["at"] / 1000 - datetime.now(UTC).timestamp()) < 60


async def test_late_and_scattered_data_make_the_chart_that_a_fresh_snapshot_is(world: World) -> None:
    """History and updates merged, after anything, equal what somebody sees who comes only now."""
    chance = random.Random(20260101)
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, *[record(chance.uniform(0, 360), chance.randint(0, 99)) for _ in range(20)])
    viewer = await world.connect()
    query = {**BY_SITE, "select": [{"field": "n", "agg": "sum"}, {"field": "n", "agg": "last"}, {"agg": "count"}]}
    snapshot = await viewer.subscribe(kind="line", query=query, range=RANGE)
    chart = Chart(snapshot)
    total = 20
    for _ in range(12):
        several = [
            # Late, early, out of the range on both sides, and often into the same bucket.
            record(chance.choice([chance.uniform(-30, 390), chance.uniform(100, 106)]), chance.randint(0, 99), site)
            for site in chance.choices("abc", k=chance.randint(1, 8))
        ]
        await world.add(pipeline, *several)
        total += sum(ms(0) <= datetime.fromisoformat(one["t"]).timestamp() * 1000 < ms(360) for one in several)
    while sum(row["count"] for row in chart.shown) < total:
        frame = await viewer.until(lambda frame: frame.get("topic") == snapshot["topic"])
        assert frame["seq"] == chart.seq + 1
        chart.take(frame)
    # Another query text, so that it is another topic, read now.
    other = await world.connect("bob")
    fresh = await other.subscribe(kind="line", query={**query, "limit": 9999}, range=RANGE)
    assert chart.shown == Chart(fresh).shown
    assert fresh["topic"] != snapshot["topic"]


async def test_equal_subscriptions_of_a_team_share_a_topic(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(1, 10))
    one, two = await world.connect(), await world.connect("bob")
    first = await one.subscribe(kind="line", query=BY_SITE, range=RANGE)
    second = await two.subscribe(kind="line", query=BY_SITE, range=RANGE)
    assert first["topic"] == second["topic"]
    assert (world.hub.topics, world.hub.viewers) == (1, 2)
    await world.add(pipeline, record(2, 20))
    assert await one.until(of(first["topic"])) == await two.until(of(first["topic"]))


async def test_records_come_newest_first_and_then_the_new_ones(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(1, 1), record(2, 2))
    viewer = await world.connect()
    snapshot = await viewer.subscribe(kind="records", query={"pipeline": "orders", "limit": 3})
    assert [row["n"] for row in rows(snapshot)] == [2.0, 1.0]
    assert snapshot["key"] == ["_payload", "_index"]
    # Ids do not fit into a browser's numbers.
    assert all(isinstance(row["_payload"], str) for row in rows(snapshot))
    await world.add(pipeline, record(0, 3), record(0, 4))
    update = await viewer.until(of(snapshot["topic"]))
    assert [row["n"] for row in rows(update)] == [4.0, 3.0]


async def test_the_teams_pipelines_and_what_becomes_of_them(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    viewer = await world.connect()
    snapshot = await viewer.subscribe(kind="pipelines")
    (row,) = rows(snapshot)
    assert (row["id"], row["slug"], row["state"], row["health"], row["records"]) == (
        str(pipeline),
        "orders",
        "active",
        "waiting",
        0,
    )
    await world.add(pipeline, record(1, 1), record(2, 2))
    seen = await viewer.until(lambda frame: frame.get("kind") == "snapshot" and rows(frame)[0]["records"] == 2)
    assert rows(seen)[0]["health"] == "ok"

    def pause() -> None:
        with world.house.app.database.team(world.house.team) as unit:
            setup.pause(unit, pipeline, "test")
            unit.commit()

    await asyncio.to_thread(pause)
    await viewer.until(lambda frame: frame.get("kind") == "snapshot" and rows(frame)[0]["state"] == "paused")
    assert rows(await (await world.connect("eve")).subscribe(kind="pipelines")) == []


async def test_an_unknown_pipeline_and_another_teams_are_refused_alike(world: World) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    eve = await world.connect("eve")
    for kind, more in (("line", {"range": RANGE}), ("records", {})):
        answers = []
        for reference in (str(pipeline), str(new_id()), "orders", "nothing"):
            refused = await eve.subscribe(kind=kind, query={**BY_SITE, "pipeline": reference}, id="x", **more)
            assert refused["op"] == "error"
            answers.append((refused["title"], refused["detail"].replace(reference, "…")))
        assert len(set(answers)) == 1
    assert world.hub.topics == 0


@pytest.mark.parametrize(
    "request_",
    [
        {"kind": "line", "query": {**BY_SITE, "every": "5 parsecs"}, "range": RANGE},
        {"kind": "line", "query": {**BY_SITE, "select": [{"field": "none", "agg": "avg"}]}, "range": RANGE},
        {"kind": "line", "query": "orders"},
        {"kind": "line", "query": BY_SITE, "range": "today"},
        {"kind": "line", "query": BY_SITE, "range": RANGE, "timezone": "Mars/Olympus"},
        {"kind": "line", "query": {}},
        {"kind": "records", "query": {"pipeline": "orders", "limit": 100_000}},
        {},
    ],
)
async def test_a_wrong_subscription_is_told_so_and_the_socket_stays(world: World, request_: dict[str, Any]) -> None:
    world.house.pipeline(mapping=MAPPING)
    viewer = await world.connect()
    answer = await viewer.subscribe(**request_)
    assert answer.get("op") == "error" or answer.get("kind") == "error"
    assert answer["title"] != "Internal error"
    assert answer["detail"]
    await viewer.send(op="ping")
    assert await viewer.until(lambda frame: frame.get("op") == "pong")


async def test_after_the_listener_was_cut_off_everything_is_read_anew(world: World, database_url: str) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(1, 1))
    viewer = await world.connect()
    snapshot = await viewer.subscribe(kind="line", query=BY_SITE, range=RANGE)

    def cut_and_add() -> None:
        with psycopg.connect(database_url, autocommit=True) as admin:
            ended = admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'dash listen'"
            ).fetchall()
            assert ended == [(True,)]
            # Nobody listens now: what is announced is heard by no one.
            world.house.put(pipeline, json.dumps(record(2, 3)).encode())
            assert Ingest(world.house.app).run(pipeline) == 1

    await asyncio.to_thread(cut_and_add)
    again = await viewer.until(of(snapshot["topic"], "snapshot"))
    assert rows(again) == [{"time": ms(0), "site": "a", "mean": 2.0, "n_max": 3.0, "count": 2}]
    await world.add(pipeline, record(3, 8))
    update = await viewer.until(of(snapshot["topic"]))
    assert rows(update)[0]["count"] == 3
    assert update["seq"] == again["seq"] + 1


async def test_who_is_nobody_gets_no_socket(world: World) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await world.connect("nobody")
    assert refused.value.code == 401


@pytest.mark.parametrize("origin", ["http://evil.example.org", "null", "https://dash.example.org.evil.example", ""])
async def test_another_sites_page_gets_no_socket(world: World, origin: str) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await world.connect(Origin=origin or "file://")
    assert refused.value.code == 403


async def test_our_own_pages_get_one(world: World) -> None:
    for origin in (f"http://127.0.0.1:{world.port}", "https://dash.example.org"):
        viewer = await world.connect(Origin=origin)
        await viewer.send(op="ping")
        assert await viewer.until(lambda frame: frame.get("op") == "pong")


async def test_a_revocation_closes_the_users_sockets_and_no_other(world: World) -> None:
    ada, bob = await world.connect(), await world.connect("bob")
    for viewer in (ada, bob):
        await viewer.send(op="ping")
        await viewer.until(lambda frame: frame.get("op") == "pong")

    def revoke() -> None:
        with world.house.app.database.ingest() as unit:
            unit.notify(AccessChanged(str(world.fake.people["ada"].user)))
            unit.commit()

    await asyncio.to_thread(revoke)
    assert (await ada.closed())[0] == 4001
    await bob.send(op="ping")
    assert await bob.until(lambda frame: frame.get("op") == "pong")


async def test_unsubscribing_and_leaving_end_the_reading(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = world.house.pipeline(mapping=MAPPING)
    await world.add(pipeline, record(1, 1))
    viewer = await world.connect()
    await viewer.subscribe(kind="line", query=BY_SITE, range=RANGE, id="one")
    await viewer.subscribe(kind="records", query={"pipeline": "orders"}, id="two")
    assert world.hub.topics == 2
    await viewer.send(op="unsubscribe", id="one")
    await viewer.send(op="ping")
    await viewer.until(lambda frame: frame.get("op") == "pong")
    assert world.hub.topics == 1
    # An id that is used again after it was let go.
    await viewer.subscribe(kind="line", query=BY_SITE, range=RANGE, id="one")
    assert world.hub.topics == 2
    gone, disconnect = asyncio.Event(), world.hub.disconnect

    def noted(subscriber: Any) -> None:
        disconnect(subscriber)
        gone.set()

    monkeypatch.setattr(world.hub, "disconnect", noted)
    viewer.socket.close()
    await asyncio.wait_for(gone.wait(), 20)
    assert world.hub.viewers == 0
    assert world.hub.topics == 0


@pytest.mark.parametrize("message", ["{", "[]", '"ping"', "1", b"\xff\xfe", "x" * (65 << 10)])
async def test_what_is_no_message_ends_the_socket(world: World, message: str | bytes) -> None:
    viewer = await world.connect()
    await viewer.socket.write_message(message, binary=isinstance(message, bytes))
    assert (await viewer.closed())[0] == 1003


async def test_an_unknown_operation_is_told_so(world: World) -> None:
    viewer = await world.connect()
    await viewer.send(op="dance", id="x")
    assert (await viewer.until(lambda frame: frame.get("op") == "error"))["title"] == "Not understood"
