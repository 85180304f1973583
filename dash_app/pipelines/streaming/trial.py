"""Trying a stream out: connected for a moment, and what came.

Nothing is stored, and nothing is taken from a stream that runs: of a broker it is a guest without a session.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from uuid import UUID

from dash_app.domain.errors import DashError
from dash_app.domain.events import Arrival
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sources.streaming import Frame, Link, StreamSource
from dash_app.pipelines.streaming.packing import pack
from dash_app.pipelines.streaming.stream import Reader

#: How long one waits for the connection and a first message, and how many messages are enough.
SECONDS = 10.0
MESSAGES = 20
#: How long one waits for more after the first ones.
MORE_SECONDS = 1.0


def first_payloads(reach: Reach, source: StreamSource) -> tuple[list[Arrival], str]:
    """The payloads that what came would be, and what is wrong: '' where nothing is. It blocks: run it in a thread."""
    made, problem = asyncio.run(_first(reach, source.as_guest()))
    nobody = UUID(int=0)
    return pack(nobody, nobody, source, made), problem


async def _first(reach: Reach, source: StreamSource) -> tuple[list[Frame], str]:
    connected = asyncio.Event()
    link = Link(reach, f"dashtry{secrets.token_hex(7)}", connected=connected.set)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    reader = Reader(source.frames(link), stop)
    found: list[Frame] = []
    ending = loop.call_later(SECONDS, stop.set)
    try:
        while len(found) < MESSAGES and not stop.is_set() and reader.failure is None:
            had = len(found)
            found += _messages(await reader.gather(source.max_bytes))
            if found and not had:
                ending.cancel()
                ending = loop.call_later(MORE_SECONDS, stop.set)
    finally:
        ending.cancel()
        await reader.close()
    if found:
        return found[:MESSAGES], ""
    if isinstance(reader.failure, DashError):
        return [], reader.failure.message
    if reader.failure is not None:
        raise reader.failure
    if not connected.is_set():
        return [], f"no connection within {SECONDS:g} s"
    return [], f"connected, and nothing came within {SECONDS:g} s"


def _messages(frames: Sequence[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame.data and not frame.refused]
