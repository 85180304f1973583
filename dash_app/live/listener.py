"""The LISTEN loop on the server's event loop.

Changes reach whoever registered. Notifications are hints: while the connection is lost none arrive, so on each return
everybody is told to re-read, and nobody has to wonder what was missed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import structlog

from dash_app.domain.changes import CHANNEL, Change, decode
from dash_app.domain.errors import Unavailable
from dash_app.storage.engine import Database

log = structlog.get_logger(__name__)

OnChange = Callable[[Change], None]
OnReturn = Callable[[], None]


class Listener:
    """One a node. `on_change` and `on_return` are called on the event loop and must not block."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._on_change: list[OnChange] = []
        self._on_return: list[OnReturn] = []
        self._task: asyncio.Task[None] | None = None
        #: Whether it hears: false from a lost connection until the next one stands.
        self.hearing = False

    def subscribe(self, on_change: OnChange, on_return: OnReturn | None = None) -> None:
        self._on_change.append(on_change)
        if on_return is not None:
            self._on_return.append(on_return)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause = 0.2
        while True:
            try:
                async for text in self._database.listen(CHANNEL):
                    if not self.hearing:
                        self.hearing = True
                        pause = 0.2
                        for returned in self._on_return:
                            returned()
                    change = decode(text) if text else None
                    if change is not None:
                        for told in self._on_change:
                            told(change)
            except Unavailable as error:
                log.warning("listener.deaf", error=error.message)
            self.hearing = False
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 2, 5.0)
