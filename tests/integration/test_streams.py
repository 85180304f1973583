"""Streams against real servers and a real broker, through the real inbox."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from websockets.sync.server import ServerConnection, serve

import worker
from dash_app import checkup
from dash_app.app import App
from dash_app.domain.events import Arrival
from dash_app.pipelines import setup
from dash_app.pipelines.streaming.stream import OneStream, TermOver
from dash_app.settings import Settings
from dash_app.storage import people, streams
from dash_app.storage.unit import Unit
from tests.brokers import Mosquitto, mosquitto, needs_mosquitto
from tests.integration.conftest import SECRET_KEY, House
from tests.integration.streaming import EventServer, bodies, running, state_of, streamed
from tests.waiting import wait_until

MAPPING = {"fields": [{"name": "n", "path": "$.n", "type": "number"}]}


@pytest.fixture
def events() -> Iterator[EventServer]:
    server = EventServer()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as made:
        yield made


def lines(house: House, pipeline: Any) -> list[Any]:
    return [json.loads(line) for body, *_ in bodies(house, pipeline) for line in body.splitlines()]


def is_connected(house: House, pipeline: Any) -> bool:
    state = state_of(house, pipeline)
    return state is not None and state.state == "connected"


def test_events_are_stored_and_gone_on_from(house: House, events: EventServer) -> None:
    feed = streamed(house, "sse", MAPPING, url=events.url, bearer_token="swordfish-9481")
    with running(house.app):
        events.send('id: 1\ndata: {"n": 1}\n\n', 'id: 2\ndata: {"n":\ndata: 2}\n\n', "event: note\ndata: hello\n\n")
        wait_until(lambda: len(bodies(house, feed)) == 2, why="for events")
        # The connection breaks: the next one says what was stored last.
        events.hang_up()
        wait_until(lambda: len(events.asked) == 2, why="for a second connection")
        events.send('id: 3\ndata: {"n": 3}\n\n')
        wait_until(lambda: len(bodies(house, feed)) == 3, why="for the third event")
    assert events.asked[0]["authorization"] == "Bearer swordfish-9481"
    assert "last-event-id" not in events.asked[0]
    assert events.asked[1]["last-event-id"] == "2"
    (first, kind, headers, source), (text, text_kind, *_), (third, *_) = bodies(house, feed)
    assert (first, kind) == ('{"n": 1}\n{"n": 2}\n', "application/x-ndjson")
    assert headers == {"event": "message", "messages": "2", "first-id": "1", "last-id": "2"}
    assert source == events.url
    assert (text, text_kind) == ("hello", "text/plain; charset=utf-8")
    assert third == '{"n": 3}\n'


def test_what_goes_wrong_is_shown_and_what_is_changed_is_taken_up(house: House, events: EventServer) -> None:
    events.content_type = "text/html"
    feed = streamed(house, "sse", MAPPING, url=events.url, secret_headers={"x-key": "swordfish-9481"})
    with running(house.app):
        state = wait_until(lambda: (s := state_of(house, feed)) and s.state == "failed" and s, why="for a failure")
        assert "text/html" in state.error
        assert state.failures == 1
        assert state.next_at is not None
        events.content_type = "text/event-stream"
        with house.app.database.team(house.team) as unit:
            setup.update_pipeline(unit, house.app, feed, {"source": {"options": {"url": events.url + "?2"}}}, "tests")
            unit.commit()
        # Not the wait of a failure: what was changed is tried at once.
        wait_until(lambda: is_connected(house, feed), why="for the changed stream")
        assert events.asked[-1]["x-key"] == "swordfish-9481"
        with house.app.database.team(house.team) as unit:
            setup.pause(unit, feed, "tests")
            unit.commit()
        wait_until(lambda: state_of(house, feed).owner == "", why="for the pause")  # type: ignore[union-attr]


def test_messages_of_a_websocket(house: House) -> None:
    heard: list[str] = []
    asked: list[str] = []

    def handle(connection: ServerConnection) -> None:
        asked.append(connection.request.headers["Authorization"])  # type: ignore[union-attr]
        heard.append(str(connection.recv()))
        if len(heard) == 1:
            connection.send('{"n": 1, "seq": 41}')
            connection.send(b'{"n": 2, "seq": 42}')
            wait_until(lambda: lines(house, feed), why="for the first messages")
            # A reason that no column takes.
            connection.close(1012, "re\0starting")
            return
        heard.append(str(connection.recv()))
        connection.send('[{"n": 3}, {"n": 4}]')
        for _ in connection:
            pass

    with serve(handle, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        feed = streamed(
            house,
            "websocket",
            MAPPING,
            url=f"ws://127.0.0.1:{server.socket.getsockname()[1]}/feed",
            username="dash",
            password="swordfish",
            messages=[{"subscribe": "ticker"}],
            resume_path="$.seq",
            resume_message='{"after": {resume}}',
        )
        with running(house.app):
            wait_until(lambda: len(lines(house, feed)) == 3, why="for messages after the break")
        server.shutdown()
    assert heard == ['{"subscribe": "ticker"}', '{"subscribe": "ticker"}', '{"after": 42}']
    assert set(asked) == {"Basic ZGFzaDpzd29yZGZpc2g="}
    assert lines(house, feed) == [{"n": 1, "seq": 41}, {"n": 2, "seq": 42}, [{"n": 3}, {"n": 4}]]


@needs_mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_messages_of_a_broker(house: House, broker: Mosquitto, protocol: str) -> None:
    feed = streamed(house, "mqtt", MAPPING, url=broker.url, topics=["plant/+/temp"], protocol=protocol)
    with running(house.app):
        wait_until(lambda: is_connected(house, feed), why="for the broker")
        broker.publish([("plant/a/temp", b"21.5"), ("plant/b/temp", b'{"n": 2}'), ("plant/a/hum", b"40")])
        broker.publish([("plant/a/temp", b"wet"), ("plant/c/temp", b"\xff\x00")])
        wait_until(lambda: len(lines(house, feed)) == 4, why="for messages")
    assert lines(house, feed) == [
        {"topic": "plant/a/temp", "data": 21.5},
        {"topic": "plant/b/temp", "data": {"n": 2}},
        {"topic": "plant/a/temp", "data": "wet"},
        {"topic": "plant/c/temp", "data_base64": "/wA="},
    ]
    # Nobody is connected, and the broker keeps what comes.
    many = 3000
    broker.publish([("plant/a/temp", str(n).encode()) for n in range(many)])
    with running(house.app, "two"):
        wait_until(lambda: len(lines(house, feed)) >= 4 + many, why="for what the broker has kept")
    found = [line["data"] for line in lines(house, feed)[4:]]
    assert found == list(range(many))
    assert len(bodies(house, feed)) < 4 + many / 10


def test_streams_are_divided_and_taken_over(house: House, open_app: Callable[[], App], events: EventServer) -> None:
    with house.app.database.team(house.team) as unit:
        feeds = []
        for number in range(4):
            document = {"name": "f", "slug": f"f{number}", "source": {"kind": "sse", "options": {"url": events.url}}}
            feeds.append(setup.create_pipeline(unit, house.app, house.team, document, "tests")[0].id)
        unit.commit()

    def owners() -> list[str]:
        return sorted(row[0] for row in house.rows("SELECT owner FROM stream_state WHERE state = 'connected'"))

    with running(house.app, "one"):
        wait_until(lambda: owners() == ["one"] * 4, why="for the first owner")
        with running(open_app(), "two"):
            wait_until(lambda: owners() == ["one", "one", "two", "two"], why="for an even division")
        wait_until(lambda: owners() == ["one"] * 4, why="for the take-over")


class Worker:
    """A streams process like those of `worker.py`."""

    def __init__(self, url: str, folder: Path) -> None:
        environ = {
            "DASH_DATABASE_URL": url,
            "DASH_SECRET_KEY": SECRET_KEY,
            "DASH_DATA_DIR": str(folder),
            "DASH_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        settings = Settings.load([], environ, program="worker")
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=worker.stream, args=(worker.Orders(settings, url),), daemon=True)
        self.process.start()

    @property
    def node(self) -> str:
        return f"{socket.gethostname()}:{self.process.pid}"


@needs_mosquitto
def test_an_owner_that_is_killed_leaves_no_gap(
    house: House, broker: Mosquitto, database_url: str, tmp_path: Path
) -> None:
    feed = streamed(house, "mqtt", MAPPING, url=broker.url, topics=["count"])
    workers = [Worker(database_url, tmp_path) for _ in range(2)]
    try:
        wait_until(lambda: is_connected(house, feed), why="for an owner")
        first = next(one for one in workers if one.node == state_of(house, feed).owner)  # type: ignore[union-attr]
        sent = 0
        with broker.publisher() as client:

            def publish(many: int) -> None:
                nonlocal sent
                handed = [client.publish("count", str(sent + n).encode(), 1) for n in range(many)]
                sent += many
                handed[-1].wait_for_publish(30)

            publish(2000)
            wait_until(lambda: bodies(house, feed), why="for the first messages")
            assert first.process.pid is not None
            os.kill(first.process.pid, signal.SIGKILL)
            publish(2000)
            wait_until(lambda: state_of(house, feed).owner not in ("", first.node), why="for another owner")  # type: ignore[union-attr]
            publish(2000)
            wait_until(lambda: lines(house, feed)[-1]["data"] == sent - 1, why="for the last message")
        found = [line["data"] for line in lines(house, feed)]
        assert set(found) == set(range(sent))
        # What was stored and not yet acknowledged comes again, and that is what was in flight at most.
        assert len(found) - sent <= 1000
    finally:
        for one in workers:
            one.process.kill()
            one.process.join()


def test_an_owner_of_before_changes_nothing_and_a_lost_answer_no_more(house: House, events: EventServer) -> None:
    feed = streamed(house, "sse", MAPPING, url=events.url)

    async def offload(what: Callable[..., Any], *arguments: Any) -> Any:
        return what(*arguments)

    def begin(owner: str) -> OneStream:
        with house.app.database.ingest() as unit:
            term = streams.begin_term(unit, feed, owner)
            unit.commit()
        return OneStream(house.app, feed, term, offload)

    def commit(stream: OneStream, number: int, token: str) -> bool:
        arrival = Arrival(feed, house.team, token.encode())
        return stream._commit(number, {"token": token}, [arrival], messages=1, refused=0)

    one = begin("one")
    assert commit(one, 1, "a")
    # The answer to the commit was lost: it is tried again, and stored once.
    assert commit(one, 1, "a")
    two = begin("two")
    with pytest.raises(TermOver):
        commit(one, 2, "b")
    assert commit(two, 2, "c")
    assert [body for body, *_ in bodies(house, feed)] == ["a", "c"]
    assert house.rows("SELECT term, batches, messages, cursor ->> 'token' FROM stream_state") == [(2, 2, 2, "c")]


def test_one_stream_that_breaks_leaves_the_others_alone(
    house: House, events: EventServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = streams.begin_term
    failed: list[UUID] = []

    def breaking(unit: Unit, pipeline: UUID, owner: str) -> streams.Term:
        if not failed:
            failed.append(pipeline)
            unit.execute("SELECT 1 / 0")
        return begin(unit, pipeline, owner)

    monkeypatch.setattr(streams, "begin_term", breaking)
    feed = streamed(house, "sse", MAPPING, url=events.url)
    with running(house.app):
        wait_until(lambda: is_connected(house, feed), why="for the stream at the next look")
    assert failed == [feed]


def test_what_people_see_of_streams(house: House, events: EventServer) -> None:
    feed = streamed(house, "sse", MAPPING, url=events.url)

    def told() -> str:
        with house.app.database.ingest() as unit:
            return " | ".join(f"{one.state}: {one.text}" for one in checkup._streams(unit))

    assert told() == ""
    with running(house.app):
        events.send('data: {"n": 1}\n\n')
        wait_until(lambda: (s := state_of(house, feed)) and s.messages == 1, why="for a message")
        assert told() == "ok: 1 of 1 connected"
    state = state_of(house, feed)
    assert state is not None
    assert (state.state, state.owner, state.messages, state.bytes, state.refused) == ("waiting", "", 1, 9, 0)
    # Failing for long, the team is told once; connected for a while it is over.
    with house.app.database.ingest() as unit:
        streams.move(unit, feed, 1, "waiting", error="no connection", wait=60)
        assert streams.tell(unit, feed, 1, 900) is None
        unit.execute("UPDATE stream_state SET failing_since = failing_since - interval '16 minutes'")
        assert streams.tell(unit, feed, 1, 900) is not None
        assert streams.tell(unit, feed, 1, 900) is None
        assert streams.steady(unit, feed, 1) is True
        assert streams.steady(unit, feed, 1) is False
        unit.commit()
        assert streams.counts(unit) == {"waiting": 1}
    # Another team sees nothing of it.
    with house.app.database.ingest() as unit:
        other = people.create_team(unit, "other", "Other")
        unit.commit()
    with house.app.database.team(other) as unit:
        assert streams.stream(unit, feed) is None
    with house.app.database.team(house.team) as unit:
        assert streams.stream(unit, feed) is not None
