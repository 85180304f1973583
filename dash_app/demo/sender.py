"""Posts the ride as signed webhooks, as a bicycle computer's cloud would: one small body a second.

What goes into a delivery is written down before it is sent (`state.Progress`), and its id follows from the numbers of
its records. So a delivery that was cut off, by a lost answer or by a kill, is sent again under the same id with the
same body, and the receiver sees a duplicate and not a second record. History, and what was missed while the program
was off, goes in NDJSON batches.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import orjson
import structlog
from standardwebhooks.webhooks import Webhook

from dash_app.demo import datasets
from dash_app.demo.state import Progress, wall_clock_ms
from dash_app.demo.timeline import Clock, Feed, release_time, released_count, render

BATCH = 500  #: records in a delivery, at most
LIVE_BACKLOG = 3  #: up to so many waiting records go one by one
BACKOFF_S = (0.5, 60.0)  #: first and longest wait after a failed delivery

log = structlog.get_logger(__name__)


class Refused(Exception):
    """The receiver answered with something else than success; `retry_after` in seconds when it said so."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"the receiver answered {status}")
        self.retry_after = retry_after


class RideSender:
    """Sends the `ride` feed to `url`, signed with `secret` (`whsec_…`), until it is stopped.

    `folder` keeps its progress. `now` and `sleep` are the clock and the pause of the loop, to be replaced in tests.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        clock: Clock,
        folder: Path,
        *,
        feed: Feed | None = None,
        now: Callable[[], int] = wall_clock_ms,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = url
        self._webhook = Webhook(secret)
        self._clock = clock
        self._feed = feed or datasets.ride()
        self._progress = Progress(folder, self._feed.name, clock.epoch_ms)
        self._now = now
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins sending on the running event loop."""
        if self._task is not None:
            raise RuntimeError("the sender is already running")
        self._task = asyncio.create_task(self.run(), name="demo-sender")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Stops; a delivery under way is cut off and sent again at the next start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the demo's webhook sender ended", exc_info=error)

    async def run(self) -> None:
        """The loop itself: finish what was on its way, then whatever is out, then wait for the next record."""
        # trust_env: a proxy set for the outside must not see posts to this machine.
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            while True:
                if self._progress.end == self._progress.start:
                    end = self._next_end()
                    if end is None:
                        await self._wait_for_next()
                        continue
                    await self._retrying(partial(self._begin, end))
                await self._retrying(partial(self._post, client))
                self._progress.acknowledged()

    def _next_end(self) -> int | None:
        """Where the next delivery ends, or None when nothing is out that was not sent."""
        start = self._progress.start
        waiting = released_count(self._feed, self._clock, self._now()) - start
        if waiting <= 0:
            return None
        return start + (1 if waiting <= LIVE_BACKLOG else min(waiting, BATCH))

    async def _wait_for_next(self) -> None:
        due_ms = release_time(self._feed, self._clock, self._progress.start) - self._now()
        # Bounded both ways: the wall clock may have been set back or forth meanwhile.
        await self._sleep(min(max(due_ms / 1000, 0.01), 5.0))

    async def _begin(self, end: int) -> None:
        self._progress.begin(end)

    async def _post(self, client: httpx.AsyncClient) -> None:
        start, end = self._progress.start, self._progress.end
        records = render(self._feed, self._clock, start, end)
        body = b"\n".join(orjson.dumps(record) for record in records)
        delivery = f"demo-{self._feed.name}-{self._clock.epoch_ms}-{start}-{end}"
        moment = datetime.fromtimestamp(self._now() // 1000, UTC)
        headers = {
            "content-type": "application/json" if end - start == 1 else "application/x-ndjson",
            "webhook-id": delivery,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": self._webhook.sign(delivery, moment, body.decode()),
        }
        answer = await client.post(self._url, content=body, headers=headers)
        if not answer.is_success:
            raise Refused(answer.status_code, _seconds(answer.headers.get("retry-after")))

    async def _retrying(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeats `step` until it succeeds. There is nobody to give up to: a paused disk, a stopped receiver or an
        archived pipeline may all come back, and until then a try a minute does no harm."""
        first, longest = BACKOFF_S
        attempt = 0
        while True:
            try:
                await step()
            except (httpx.HTTPError, OSError, Refused) as error:
                wait = min(longest, first * 2 ** min(attempt, 10)) * random.uniform(0.75, 1.25)
                if isinstance(error, Refused) and error.retry_after is not None:
                    wait = max(wait, min(error.retry_after, longest))
                attempt += 1
                log.warning(
                    "demo delivery failed", attempt=attempt, retry_in=round(wait, 1), error=str(error) or repr(error)
                )
                await self._sleep(wait)
            else:
                return


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in its form as seconds; its form as a date is not worth waiting for here."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
