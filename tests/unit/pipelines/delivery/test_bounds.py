"""What does not end in time is left behind; with too much of it a node refuses, and a worker ends."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest

from dash_app.domain.errors import TooManyRequests, Transient
from dash_app.pipelines.delivery import bounds
from dash_app.pipelines.delivery.bounds import Bounds
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.reach.attempts import Attempt
from dash_app.pipelines.reach.keep_alive import KeptReach
from tests.waiting import wait_until


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that would have been sent."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(bounds.os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(bounds, "GRACE_SECONDS", 0.0)
    return sent


@pytest.mark.parametrize("ends", [False, True])
def test_too_much_left_behind_ends_a_worker_and_makes_a_node_refuse(killed: list[tuple[int, int]], ends: bool) -> None:
    held, bound = threading.Event(), Bounds(2, ends_process=ends)
    for _ in range(2):
        with pytest.raises(Transient, match="no end within"):
            bound.run(held.wait, 0.001)
    if ends:
        assert killed == [(os.getpid(), signal.SIGTERM)]
    else:
        ran: list[int] = []
        with pytest.raises(TooManyRequests):
            bound.run(lambda: ran.append(1), 1)
        assert (ran, killed) == ([], [])
    held.set()
    wait_until(lambda: bound._left == 0)
    assert bound.run(lambda: "ok", 1) == "ok"


def by_http(reach: Reach, port: int) -> None:
    with reach.client(60) as client:
        client.get(f"http://127.0.0.1:{port}/")


def by_https(reach: Reach, port: int) -> None:
    with reach.client(60) as client:
        client.get(f"https://127.0.0.1:{port}/")


def by_socket(reach: Reach, port: int) -> None:
    with reach.connect("127.0.0.1", port, 60) as line:
        line.sendall(b"EHLO")
        line.recv(100)


def by_tls(reach: Reach, port: int) -> None:
    with reach.connect("127.0.0.1", port, 60) as line:
        ssl.create_default_context().wrap_socket(line, server_hostname="127.0.0.1")


@pytest.mark.parametrize("how", [by_http, by_https, by_socket, by_tls])
@pytest.mark.parametrize("kept", [False, True])
def test_an_attempt_that_is_cut_has_no_connection_any_more(how: Callable[[Reach, int], None], kept: bool) -> None:
    reach: Reach = Reach.of(["127.0.0.0/8"])
    if kept:
        reach = KeptReach.over(reach, most=4, kept=2)
    attempt, ended = Attempt(), threading.Event()

    def run() -> None:
        with attempt.running(), suppress(OSError, httpx.HTTPError):
            how(reach, port)
        ended.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=run, daemon=True).start()
        server.settimeout(20)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(20)
            assert connection.recv(65536)
            attempt.cut()
            while connection.recv(65536):
                pass
        # Its thread has come to its end as well, long before the times of its reads and writes.
        assert ended.wait(20)


def test_what_is_left_behind_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "GRACE_SECONDS", 0.0)
    bound, reach = Bounds(), Reach.of(["127.0.0.0/8"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Transient, match="no end within"):
            bound.run(lambda: by_socket(reach, port), 0.01)
        wait_until(lambda: bound._left == 0)


def test_an_attempt_that_is_over_connects_nowhere_and_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "GRACE_SECONDS", 0.0)
    go_on, said = threading.Event(), list[str]()
    reach, bound = Reach.of(["127.0.0.0/8"]), Bounds()

    def slow() -> None:
        go_on.wait()
        for how in (by_http, by_socket):
            try:
                how(reach, port)
            except (httpx.HTTPError, Transient) as error:
                said.append(type(error).__name__)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Transient):
            bound.run(slow, 0.001)
        go_on.set()
        wait_until(lambda: bound._left == 0)
        assert said == ["ConnectTimeout", "Transient"]
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_kept_connection_is_not_cut_for_an_attempt_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt has ended its request, and hangs about; the second uses the same connection."""
    monkeypatch.setattr(bounds, "GRACE_SECONDS", 0.0)
    reach = KeptReach.over(Reach.of(["127.0.0.0/8"]), most=4, kept=2)
    second_asks, first_is_over, ended = threading.Event(), threading.Event(), threading.Event()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)
            connection.recv(65536)
            second_asks.set()
            first_is_over.wait(20)
            connection.sendall(answer)

    def get() -> int:
        with reach.client(20) as client:
            return client.get(f"http://127.0.0.1:{server.getsockname()[1]}/").status_code

    def first() -> None:
        get()
        ended.set()
        first_is_over.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        threads = [threading.Thread(target=serve, daemon=True)]
        got: list[int] = []

        def other() -> None:
            ended.wait(20)
            got.append(Bounds().run(get, 20))

        threads.append(threading.Thread(target=other, daemon=True))
        for one in threads:
            one.start()
        with pytest.raises(Transient):
            Bounds().run(first, 0.5)
        assert second_asks.wait(20)
        first_is_over.set()
        for one in threads:
            one.join(20)
        assert got == [200]
    reach.close()
