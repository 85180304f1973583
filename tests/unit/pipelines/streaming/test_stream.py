"""How frames are gathered, how long one waits between two connections, and what is said of a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from dash_app.domain.errors import Permanent, Transient
from dash_app.pipelines.sources.sse import Sse
from dash_app.pipelines.sources.streaming import Frame
from dash_app.pipelines.streaming import stream


async def frames(pieces: Sequence[int | Exception], ahead: list[int] | None = None) -> AsyncIterator[Sequence[Frame]]:
    """Pieces of so many frames; it notes how many were asked for."""
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        if ahead is not None:
            ahead.append(piece)
        yield [Frame(b"x" * 10)] * piece


async def test_gathering_has_bounds_and_asks_for_one_piece_ahead_at_most() -> None:
    ahead: list[int] = []
    reader = stream.Reader(frames([300, 300, 300, 1], ahead), asyncio.Event())
    assert len(await reader.gather(1 << 20)) == 600
    # Nobody asks while what was gathered is being stored.
    assert ahead == [300, 300]
    assert len(await reader.gather(3000)) == 300
    assert len(await reader.gather(1 << 20)) == 1
    assert isinstance(reader.failure, Transient)
    await reader.close()


async def test_what_came_before_a_failure_stands() -> None:
    reader = stream.Reader(frames([2, Permanent("no")]), asyncio.Event())
    assert len(await reader.gather(1 << 20)) == 2
    assert isinstance(reader.failure, Permanent)
    await reader.close()


async def test_an_order_to_stop_ends_the_waiting() -> None:
    async def silent() -> AsyncIterator[Sequence[Frame]]:
        yield [Frame(b"1")]
        await asyncio.Event().wait()

    stop = asyncio.Event()
    reader = stream.Reader(silent(), stop)
    assert len(await reader.gather(1 << 20)) == 1
    gathering = asyncio.create_task(reader.gather(1 << 20))
    await asyncio.sleep(0)
    stop.set()
    assert await gathering == []
    await reader.close()


def test_waits_grow_and_have_an_end() -> None:
    for failures, longest in ((0, 1), (1, 2), (5, 32), (6, 60), (1000, 60)):
        waits = [stream.waiting_time(Transient("x"), failures) for _ in range(200)]
        assert longest / 2 <= min(waits) <= max(waits) <= longest
        assert len(set(waits)) > 100
    assert 30 <= stream.waiting_time(Permanent("x"), 0) <= 60
    assert 450 <= stream.waiting_time(Permanent("x"), 9) <= 900
    assert stream.waiting_time(Transient("x", retry_after=120), 0) == 120


def test_secrets_that_the_other_side_repeats_are_not_shown() -> None:
    source = Sse.from_options(
        {"url": "https://example.org", "secret_headers": {"x-key": "swordfish-9481"}, "bearer_token": "marlin-77"}
    )
    shown = stream._masked(Transient("no swordfish-9481, no marlin-77", retry_after=7), source)
    assert shown.message == "no •••, no •••"
    assert isinstance(shown, Transient)
    assert shown.retry_after == 7
