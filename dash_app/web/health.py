"""Whether this node lives, whether it can be used, and what it counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import tornado.web

from dash_app.app import App
from dash_app.domain.errors import DashError
from dash_app.storage import delivery_history, ledger, migrate, streams
from dash_app.web.metrics import Metrics

#: How long an answer of `/readyz` holds, so that probes cost nothing.
READY_SECONDS = 1.0


class Readiness:
    """Asks each part whether it can be used. `expects_workers`: this node starts them itself and waits for the
    first."""

    def __init__(self, app: App, *, expects_workers: bool) -> None:
        self._app = app
        self._workers_awaited = expects_workers
        self._checked: tuple[float, bool, dict[str, Any]] | None = None
        #: Further parts by name: a function that answers None when all is well, or what is missing.
        self.parts: dict[str, Callable[[], str | None]] = {}

    def check(self) -> tuple[bool, dict[str, Any]]:
        """(ready, state by name). Blocks."""
        if self._checked is not None and time.monotonic() - self._checked[0] < READY_SECONDS:
            return self._checked[1], self._checked[2]
        states: dict[str, Any] = {}
        try:
            with self._app.database.ingest() as unit:
                states["database"] = "ok"
                states["migrations"] = (
                    "ok" if migrate.at_head(unit.connection) else "the database is not at this release's migration"
                )
                backlog = ledger.backlog(unit)
                workers = ledger.alive(unit, "worker.ingest")
                states["queue"] = self._queue(workers)
                details = {
                    "waiting": backlog.payloads,
                    "oldest_seconds": round(max(0.0, backlog.oldest_age), 1),
                    "workers": workers,
                }
        except DashError as error:
            states["database"] = error.message
            details = {}
        try:
            self._app.objects.check()
            states["objects"] = "ok"
        except DashError as error:
            states["objects"] = error.message
        for name, part in self.parts.items():
            states[name] = part() or "ok"
        ready = all(state == "ok" for state in states.values())
        answer = {"status": "ready" if ready else "not ready", "checks": states, "queue": details}
        self._checked = (time.monotonic() if ready else 0.0, ready, answer)
        return ready, answer

    def _queue(self, workers: int) -> str:
        # Without workers payloads are still accepted and kept, so a node stays ready when they are gone for a while.
        if workers:
            self._workers_awaited = False
        return "no worker has shown itself yet" if self._workers_awaited else "ok"


class _Plain(tornado.web.RequestHandler):
    def check_xsrf_cookie(self) -> None:
        """Nothing here writes."""

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")


class LiveHandler(_Plain):
    """`/livez`: the process answers."""

    def get(self) -> None:
        self.finish({"status": "alive"})


class ReadyHandler(_Plain):
    """`/readyz`: 200 when every part can be used, 503 with what cannot."""

    def initialize(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def get(self) -> None:
        ready, answer = await asyncio.to_thread(self._readiness.check)
        self.set_status(200 if ready else 503)
        self.finish(answer)


class MetricsHandler(_Plain):
    """`/metrics`: this node's counters, and the installation's gauges where the database answers."""

    def initialize(self, app: App, metrics: Metrics, live: Callable[[], tuple[int, int]]) -> None:
        self._app = app
        self._metrics = metrics
        self._live = live

    async def get(self) -> None:
        self._metrics.live(*self._live())
        await asyncio.to_thread(self._read)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self._metrics.text())

    def _read(self) -> None:
        try:
            with self._app.database.ingest() as unit:
                self._metrics.installation(
                    ledger.backlog(unit), ledger.totals(unit), ledger.alive(unit, "worker.ingest")
                )
                self._metrics.sinks(delivery_history.totals(unit))
                self._metrics.streams(streams.counts(unit))
        except DashError:
            # The node's own counters are still worth having; `/readyz` says that the database is away.
            return
