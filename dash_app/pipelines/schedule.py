"""The clock: once a second, in one process of the whole installation, what is due is put on the queues.

It finds what the doorbell lost, polls whose time has come, payloads that wait for the archive, and once a minute
the maintenance. Whoever holds the clock's lock ticks; when that process dies another one finds the lock free.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import structlog

from dash_app.domain.errors import DashError
from dash_app.pipelines.comparisons import queue_left
from dash_app.pipelines.delivery.outbox import queue_due as queue_deliveries
from dash_app.pipelines.reports import queue_due as queue_reports
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.tasks import IO, REPLAY, name_of
from dash_app.pipelines.uploads import queue_due as queue_uploads
from dash_app.storage import bronze, ledger, replays, retention, sightings
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
MAINTENANCE_SECONDS = 60.0
ARCHIVE_SECONDS = 2.0
COMPARE_SECONDS = 5.0
DRIFT_SECONDS = 20.0
COMPACT_SECONDS = 3_600.0
COLLECT_SECONDS = 86_400.0
RETAIN_SECONDS = 3_600.0
#: A spoilt index makes seconds of milliseconds until it is found.
MEND_SECONDS = 120.0
#: What one call hides the next one removes: no query from before may be left when a new clock begins.
RETAIN_AFTER = 300.0


class Clock:
    """Ticks while it holds the lock; `tick` is called about once a second and never raises what another try may
    mend."""

    def __init__(self, app: Resources) -> None:
        self._app = app
        self._ours = False
        # Not at once: a clock that changes hands would list the whole store each time.
        begin = time.monotonic()
        self._next: dict[str, float] = {"collect": begin + COLLECT_SECONDS, "retain": begin + RETAIN_AFTER}

    def tick(self, unit: Unit) -> None:
        """One tick on the connection whose life is the lock's."""
        if not self._ours:
            self._ours = ledger.become_clock(unit)
            unit.commit()
            if not self._ours:
                return
            log.info("clock.ours")
        lost = ledger.sweep(unit)
        if lost:
            log.info("clock.rang_again", pipelines=len(lost))
        for pipeline in ledger.take_due_polls(unit):
            ledger.enqueue(unit, IO, name_of("poll"), str(pipeline))
        for replay in replays.running(unit):
            ledger.enqueue_once(unit, REPLAY, name_of("replay"), str(replay))
        queue_uploads(unit)
        queue_deliveries(unit)
        queue_reports(unit)
        if self._due("archive", ARCHIVE_SECONDS):
            for pipeline in bronze.due(unit):
                ledger.enqueue_once(unit, IO, name_of("archive"), str(pipeline), priority=-1)
        if self._due("compare", COMPARE_SECONDS):
            queue_left(unit)
        if self._due("drift", DRIFT_SECONDS):
            for pipeline in sightings.due(unit):
                ledger.enqueue_once(unit, IO, name_of("drift"), str(pipeline), priority=-1)
        if self._due("maintain", MAINTENANCE_SECONDS):
            ledger.enqueue_once(unit, IO, name_of("maintain"), "", priority=1)
        if self._due("compact", COMPACT_SECONDS):
            for pipeline in bronze.compactable(unit):
                ledger.enqueue_once(unit, IO, name_of("compact"), str(pipeline), priority=-2)
        if self._due("retain", RETAIN_SECONDS):
            for pipeline in retention.expired(unit, datetime.now(UTC)):
                ledger.enqueue_once(unit, IO, name_of("retain"), str(pipeline), priority=-2)
        if self._due("mend", MEND_SECONDS):
            ledger.enqueue_once(unit, IO, name_of("mend"), "", priority=-2)
        if self._due("collect", COLLECT_SECONDS):
            ledger.enqueue(unit, IO, name_of("collect"), "", priority=-2)
        unit.commit()

    def _due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every
        return True

    def run(self, stop: threading.Event) -> None:
        """Ticks until told to stop; a lost connection loses the lock, and the next one asks for it anew."""
        while not stop.is_set():
            self._ours = False
            try:
                with self._app.database.own("ingest") as unit:
                    while not stop.wait(TICK_SECONDS):
                        self.tick(unit)
            except DashError as error:
                log.warning("clock.lost", error=error.message)
                stop.wait(TICK_SECONDS)
