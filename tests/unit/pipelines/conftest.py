"""Servers to poll: pytest-httpserver for answers that are HTTP, and a bare socket for those that are not quite."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from dash_app.pipelines.reach.guard import guarded_client


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A guarded client that may reach this machine."""
    with guarded_client(["127.0.0.0/8"], timeout=20) as made:
        yield made


@pytest.fixture
def raw_server() -> Iterator[Callable[[bytes], str]]:
    """`raw_server(answer)` gives the URL of a server that reads a request, sends these bytes and hangs up."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(listener: socket.socket, answer: bytes) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threads.append(threading.Thread(target=serve, args=(listener, answer), daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(5)
