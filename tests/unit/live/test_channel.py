"""What goes to a viewer's socket: whole frames in their order, whatever it takes at once; and no more than fits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import Mock

import pytest
from tornado.iostream import IOStream
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from dash_app.live import channel
from dash_app.live.channel import LiveChannel
from dash_app.live.frames import packet


class Ends:
    """A channel over one end of a connection; a test reads from the other."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.theirs.setblocking(False)
        self.stream = IOStream(ours)
        self.channel = LiveChannel(Application(), Mock(), hub=Mock(), authenticator=Mock(), origins=frozenset())
        self.channel.principal = Mock(embed=None)
        self.channel.ws_connection = Mock(stream=self.stream)
        self.channel.open()

    async def read(self, size: int) -> bytes:
        """So many bytes as the viewer gets them."""
        data = b""
        while len(data) < size:
            data += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.theirs, 65_536), 10)
        return data

    def close(self) -> None:
        self.stream.close()
        self.theirs.close()


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends()
    yield made
    made.close()


async def test_frames_come_whole_and_in_order_through_a_full_socket(ends: Ends) -> None:
    frames = [packet(bytes([65 + n % 26]) * (1 + n * 997 % 50_000)) for n in range(120)]
    reading = asyncio.create_task(ends.read(sum(map(len, frames))))
    for number, frame in enumerate(frames):
        ends.channel.deliver(frame)
        if number % 7 == 0:
            await asyncio.sleep(0)
    assert await reading == b"".join(frames)
    # Small ones go straight to the socket again once nothing waits.
    ends.channel.deliver(packet(b"last"))
    assert not ends.stream.writing()
    assert await ends.read(6) == packet(b"last")


async def test_who_does_not_read_is_cut_off_within_the_bound(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MOST_BACKLOG", 1_000_000)
    closed: list[Any] = []
    monkeypatch.setattr(WebSocketHandler, "close", lambda self, code=None, reason=None: closed.append(code))
    frame = packet(b"x" * 100_000)
    for _ in range(50):
        ends.channel.deliver(frame)
    assert closed == [1013]
    assert ends.channel._backlog <= 1_000_000


async def test_a_viewer_who_is_gone_harms_nobody(ends: Ends) -> None:
    ends.theirs.close()
    for _ in range(3):
        ends.channel.deliver(packet(b"x" * 1000))
    assert ends.stream.closed()
    ends.channel.on_close()
    ends.channel.deliver(packet(b"later"))
