"""The signed webhooks: every record once whatever fails between, verified by the standardwebhooks package itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from standardwebhooks.webhooks import Webhook
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from dash_app.demo import datasets
from dash_app.demo.sender import BATCH, RideSender
from dash_app.demo.timeline import Clock

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=="
HISTORY = len(datasets.ride().rows)


class Receiver:
    """Verifies, keeps bodies by delivery id, and answers what `answers` says (status, Retry-After) before 200."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.posts: list[str] = []
        self.types: list[str] = []
        self.answers: list[tuple[int, str | None]] = []
        self.hang_at: str | None = None
        self.hanging = asyncio.Event()
        receiver = self

        class Handler(RequestHandler):
            async def post(self) -> None:
                headers = {name.lower(): value for name, value in self.request.headers.items()}
                Webhook(SECRET).verify(_as_object(self.request.body), _resigned(headers, self.request.body))
                delivery = headers["webhook-id"]
                receiver.posts.append(delivery)
                receiver.types.append(headers["content-type"])
                if receiver.answers:
                    status, wait = receiver.answers.pop(0)
                    self.set_status(status)
                    if wait:
                        self.set_header("Retry-After", wait)
                    return
                assert receiver.bodies.setdefault(delivery, self.request.body) == self.request.body
                if delivery == receiver.hang_at:
                    receiver.hanging.set()
                    await asyncio.Event().wait()

        self.server = HTTPServer(Application([("/hook", Handler)], log_function=lambda handler: None))
        sockets = bind_sockets(0, "127.0.0.1")
        self.server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/hook"

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for body in self.bodies.values() for line in body.splitlines()]

    @property
    def ids(self) -> list[str]:
        return [record["id"] for record in self.records]


def _as_object(body: bytes) -> str:
    """The package parses what it verified as one JSON value; an NDJSON body is not one, so a stand-in is verified."""
    return body.decode() if b"\n" not in body else "{}"


def _resigned(headers: dict[str, str], body: bytes) -> dict[str, str]:
    """Headers that fit `_as_object(body)`, made only when the real signature fits the real body."""
    moment = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    good = Webhook(SECRET).sign(headers["webhook-id"], moment, body.decode())
    assert headers["webhook-signature"] == good
    stand_in = Webhook(SECRET).sign(headers["webhook-id"], moment, _as_object(body))
    return headers | {"webhook-signature": stand_in}


class Time:
    """A wall clock that moves only when the sender sleeps; it stops the sender at `end_ms`."""

    def __init__(self, start_ms: int, end_ms: int) -> None:
        self.now_ms, self.end_ms, self.slept = start_ms, end_ms, []
        self.reached = asyncio.Event()

    def __call__(self) -> int:
        return self.now_ms

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.now_ms >= self.end_ms:
            self.reached.set()
            await asyncio.Event().wait()
        self.now_ms += max(1, round(seconds * 1000))


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.stop()
    await receiver.server.close_all_connections()


@pytest.fixture
def epoch() -> int:
    """Now: the package that verifies accepts only fresh timestamps."""
    return int(datetime.now(UTC).timestamp()) * 1000


def sender(receiver: Receiver, folder: Path, epoch: int, time: Time) -> RideSender:
    return RideSender(receiver.url, SECRET, Clock(epoch), folder, now=time, sleep=time.sleep)


def expected(count: int) -> list[str]:
    return [f"ride-{n:08d}" for n in range(1, count + 1)]


@pytest.mark.asyncio
async def test_history_in_batches_and_then_a_record_a_second(receiver: Receiver, tmp_path: Path, epoch: int) -> None:
    time = Time(epoch, epoch + 5_000)
    sending = sender(receiver, tmp_path, epoch, time)
    sending.start()
    await time.reached.wait()
    await sending.stop()
    assert receiver.ids == expected(HISTORY + 5)
    lines = [len(body.splitlines()) for body in receiver.bodies.values()]
    assert lines == [BATCH] * 8 + [391] + [1] * 5
    assert receiver.types == ["application/x-ndjson"] * 9 + ["application/json"] * 5
    assert receiver.records[-1]["timestamp"] == datetime.fromtimestamp(epoch / 1000 + 5, UTC).strftime(
        "%Y-%m-%dT%H:%M:%S.000Z"
    )


@pytest.mark.asyncio
async def test_failures_are_retried_with_the_same_id_and_growing_pauses(
    receiver: Receiver, tmp_path: Path, epoch: int
) -> None:
    receiver.answers = [(503, "7"), (500, None), (401, None), (500, None)]
    time = Time(epoch, epoch + 20_000)
    sending = sender(receiver, tmp_path, epoch, time)
    sending.start()
    await time.reached.wait()
    await sending.stop()
    assert len(set(receiver.posts[:5])) == 1
    assert time.slept[0] == 7
    assert 0.75 <= time.slept[1] <= 1.25
    assert 3 <= time.slept[3] <= 5
    assert sorted(receiver.ids) == expected(HISTORY + 20)


@pytest.mark.asyncio
async def test_cut_off_before_the_answer_and_started_again_hours_later(
    receiver: Receiver, tmp_path: Path, epoch: int
) -> None:
    live = f"demo-ride-{epoch}-{HISTORY}-{HISTORY + 1}"
    receiver.hang_at = live
    time = Time(epoch, epoch + 5_000)
    first = sender(receiver, tmp_path, epoch, time)
    first.start()
    await receiver.hanging.wait()
    await first.stop()
    assert receiver.posts[-1] == live

    receiver.hang_at = None
    # Signatures need a present time, so the clock's epoch is what lies back, not the restart ahead: 200 s are missed.
    later = Time(epoch + 200_000, epoch + 202_000)
    second = sender(receiver, tmp_path, epoch, later)
    second.start()
    await later.reached.wait()
    await second.stop()
    assert receiver.posts.count(live) == 2
    assert receiver.ids == expected(HISTORY + 202)
    assert len(receiver.bodies) == 9 + 1 + 1 + 2


@pytest.mark.asyncio
async def test_nobody_listening_is_retried_and_stopping_is_prompt(tmp_path: Path, epoch: int) -> None:
    [socket] = bind_sockets(0, "127.0.0.1")
    port = socket.getsockname()[1]
    socket.close()
    time = Time(epoch, epoch + 2_000)
    sending = RideSender(f"http://127.0.0.1:{port}/", SECRET, Clock(epoch), tmp_path, now=time, sleep=time.sleep)
    sending.start()
    await time.reached.wait()
    await sending.stop()
    await sending.stop()
    assert len(time.slept) >= 2
