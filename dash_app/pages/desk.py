"""Where a page's reading and writing happens: in a thread, in one unit of work of the person's team, asked each time
whether that person still may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from dash_app.domain.access import Principal
from dash_app.domain.errors import Unauthorized

if TYPE_CHECKING:
    from dash_app.app import App
    from dash_app.pipelines.query import Queries
    from dash_app.storage.unit import Unit

T = TypeVar("T")
#: Answers who the same browser is now; None where its session has ended.
Renew = Callable[[], Awaitable[Principal | None]]


class Desk:
    """What every part of a workspace stands on. `base`: how the browser reaches this server."""

    def __init__(self, app: App, queries: Queries, principal: Principal, base: str, renew: Renew) -> None:
        self._app = app
        self._queries = queries
        self._renew = renew
        self.principal = principal
        self.base = (app.settings.public_url or base).rstrip("/")

    async def _allow(self, action: str) -> None:
        """Asks again who this is: a page may stay open for longer than its session, or than a role."""
        principal = await self._renew()
        if principal is None or (principal.user, principal.team) != (self.principal.user, self.principal.team):
            raise Unauthorized("Your session has ended; log in again.")
        self.principal = principal
        principal.require(action)

    async def _read(self, action: str, function: Callable[[Unit], T]) -> T:
        await self._allow(action)

        def run() -> T:
            with self._app.database.team(self.principal.team) as unit:
                return function(unit)

        return await asyncio.to_thread(run)

    async def _write(self, action: str, function: Callable[[Unit], T]) -> T:
        def run(unit: Unit) -> T:
            answer = function(unit)
            unit.commit()
            return answer

        return await self._read(action, run)
