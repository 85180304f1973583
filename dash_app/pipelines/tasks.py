"""The queues: the only file that knows Huey.

A task is a hint to look, and every one of them can be lost or come twice. Names of queued tasks are `module.function`
and live in stored rows and in the database's trigger: they never change. Messages are JSON: `[id, name, eta, retries,
retry_delay, priority, args]`, the beginning of Huey's own message tuple.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from huey import Huey
from huey.consumer import Consumer
from huey.registry import Message
from huey.serializer import Serializer
from huey.storage import PostgresStorage

from dash_app.domain.ids import payload_id_floor
from dash_app.pipelines.comparisons import advance as advance_comparison
from dash_app.pipelines.comparisons import queue as queue_comparison
from dash_app.pipelines.delivery.deliver import Deliver
from dash_app.pipelines.drift import look as look_for_drift
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.poll import poll as run_poll
from dash_app.pipelines.replay import Replays
from dash_app.pipelines.report_making import make as make_report
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sources.oauth import Tokens
from dash_app.pipelines.uploads import collect as collect_parts
from dash_app.pipelines.uploads import maintain as maintain_uploads
from dash_app.pipelines.uploads import queue as queue_upload
from dash_app.pipelines.uploads import work as work_on_upload
from dash_app.storage import (
    alerts,
    bronze,
    comparisons,
    dashboards,
    delivery_history,
    drafts,
    generation_upkeep,
    ledger,
    payloads,
    people,
    presence,
    reports,
    retention,
    seen,
    sightings,
    silver,
    silver_ranges,
    timescale_upkeep,
)

log = structlog.get_logger(__name__)

#: Maps payloads; processes of a few threads each: while one waits for the database another maps.
INGEST = "ingest"
#: Waits for others: polls, uploads to the object store, maintenance; one process of several threads.
IO = "io"
#: Delivers what is in the outbox; one process, whose few threads hand turns out.
DELIVER = "deliver"
#: Maps history anew; processes that give way to those that map what comes in.
REPLAY = "replay"


class JsonSerializer(Serializer):
    """Messages as JSON, so that the database can write them and nothing read from a queue is ever executed."""

    def _serialize(self, data: Any) -> bytes:
        return json.dumps(data, separators=(",", ":")).encode()

    def _deserialize(self, data: bytes) -> Any:
        values = json.loads(data)
        if isinstance(values, list) and len(values) >= 7:
            message = Message(*values)
            return message._replace(args=tuple(message.args or ()), kwargs=message.kwargs or {})
        return values


def _queue(app: Resources, name: str) -> Huey:
    return Huey(
        name,
        results=False,
        serializer=JsonSerializer(),
        storage_class=PostgresStorage,
        # What a crash of the server brings back to the queue is done once more, which does no harm.
        connection=lambda: app.database.connect("ingest", durable=False),
        create_tables=False,
        read_timeout=1,
    )


class _Consumer(Consumer):
    """Ends on SIGTERM alone: a Ctrl-C on the terminal reaches every process, and the parent decides what to make
    of it."""

    def __init__(self, stopping: Callable[[], None], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._stopping = stopping

    def _handle_signal(self, *received: Any) -> None:
        self._stopping()
        super()._handle_signal(*received)

    def _set_signal_handlers(self) -> None:
        signal.signal(signal.SIGTERM, self._handle_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class Queues:
    """Both queues with their tasks, bound to one application."""

    def __init__(self, app: Resources, *, base_url: str = "") -> None:
        self.app = app
        #: Where people reach Dash, for the links in messages.
        self._base_url = base_url
        #: Each thread has its own: what it has compiled is not shared.
        self._ingests = threading.local()
        self._client = app.reach.client()
        self._tokens = Tokens()
        self._replays = Replays(app)
        self._queues = {name: _queue(app, name) for name in (INGEST, IO, DELIVER, REPLAY)}
        self._deliver: Deliver | None = None
        self._made = threading.Lock()
        self._register(INGEST, self._tasks_ingest)
        self._register(DELIVER, self._task_deliver)
        self._register(REPLAY, self._task_replay)
        self._register(REPLAY, self._task_compare)
        for task in (
            self._task_poll,
            self._task_archive,
            self._task_maintain,
            self._task_compact,
            self._task_collect,
            self._task_retain,
            self._task_mend,
            self._task_drift,
            self._task_cut,
            self._task_report,
        ):
            self._register(IO, task)

    def _register(self, queue: str, method: Callable[[str], None]) -> None:
        name = method.__name__.removeprefix("_task_").removeprefix("_tasks_")

        def task(argument: str) -> None:
            with structlog.contextvars.bound_contextvars(task=name, argument=argument):
                method(argument)

        task.__module__ = __name__
        self._queues[queue].task(name=name)(task)

    def _tasks_ingest(self, argument: str) -> None:
        if not hasattr(self._ingests, "mine"):
            self._ingests.mine = Ingest(self.app)
        self._ingests.mine.run(UUID(argument))

    def _task_deliver(self, argument: str) -> None:
        """Has a thread deliver what a sink has in the outbox."""
        with self._made:
            if self._deliver is None:
                self._deliver = Deliver(self.app)
        self._deliver.submit(UUID(argument))

    def _task_replay(self, argument: str) -> None:
        """A turn of a replay."""
        again = partial(self._again, REPLAY, "replay", argument)
        if self._replays.run(UUID(argument), again):
            again()

    def _again(self, queue: str, task: str, argument: str, priority: float = 0) -> None:
        with self.app.database.ingest() as unit:
            ledger.enqueue_once(unit, queue, name_of(task), argument, priority=priority)
            unit.commit()

    def _task_poll(self, argument: str) -> None:
        run_poll(self.app, UUID(argument), self._client, self._tokens)

    def _task_archive(self, argument: str) -> None:
        bronze.archive(self.app.database, self.app.objects, UUID(argument))

    def _task_maintain(self, argument: str) -> None:
        """Keeps what grows by itself bounded: partitions, deliveries seen, old runs, sessions that are over."""
        bronze.release(self.app.database)
        with self.app.database.ingest() as unit:
            silver.repair_views(unit)
            ledger.prune_runs(unit)
            comparisons.prune(unit)
            sightings.prune_events(unit)
            drafts.prune(unit, datetime.now(UTC))
            dashboards.prune(unit, datetime.now(UTC))
            presence.prune(unit)
            alerts.prune(unit)
            seen.prune(unit)
            reports.prune(unit)
            people.prune_sessions(unit)
            unit.commit()
            while True:
                forgotten = delivery_history.prune(unit, datetime.now(UTC))
                unit.commit()
                if not forgotten:
                    break
            floor = payload_id_floor(datetime.now(UTC) - payloads.DELIVERY_WINDOW)
            while payloads.prune_deliveries(unit, floor):
                unit.commit()
        kept = timescale_upkeep.upkeep(self.app.database, datetime.now(UTC))
        if kept != timescale_upkeep.Kept():
            log.info("timescale.kept", packed=kept.packed, widened=kept.widened)
        generation_upkeep.drop_ended(self.app.database)
        maintain_uploads(self.app)

    def _task_compact(self, argument: str) -> None:
        """Makes larger files of a pipeline's many small ones."""
        compacted = bronze.compact(self.app.database, self.app.objects, UUID(argument))
        if compacted.files:
            log.info("bronze.compacted", files=compacted.files, replaced=compacted.replaced, bytes=compacted.bytes)

    def _task_collect(self, argument: str) -> None:
        """Removes objects that the manifest does not name: left behind by a crash, or replaced by a compacted file."""
        collected = bronze.collect_orphans(self.app.database, self.app.objects)
        if collected.removed or collected.kept:
            log.info("bronze.orphans", removed=collected.removed, bytes=collected.bytes, kept=collected.kept)
        if parts := collect_parts(self.app):
            log.info("uploads.orphans", removed=parts)

    def _task_mend(self, argument: str) -> None:
        """Makes block-range indexes whole that a broken-off summary has spoilt."""
        silver_ranges.mend(self.app.database)

    def _task_retain(self, argument: str) -> None:
        """Removes what has expired of a pipeline; comes again where it is much."""
        removed = retention.apply(self.app.database, self.app.objects, UUID(argument), datetime.now(UTC))
        if removed != retention.Removed():
            log.info("retention.removed", **asdict(removed))
        if removed.more:
            self._again(IO, "retain", argument, -2)

    def _task_compare(self, argument: str) -> None:
        """A turn of a comparison; comes again where something is left."""
        if advance_comparison(self.app, UUID(argument)):
            queue_comparison(self.app, UUID(argument))

    def _task_drift(self, argument: str) -> None:
        """Holds what came lately against the mapping."""
        look_for_drift(self.app, UUID(argument))

    def _task_cut(self, argument: str) -> None:
        """A turn of an upload: its file is read through, or cut into payloads."""
        if work_on_upload(self.app, UUID(argument)):
            queue_upload(self.app, UUID(argument))

    def _task_report(self, argument: str) -> None:
        """Makes a report that is due, and puts it into the outbox."""
        make_report(self.app, UUID(argument), base_url=self._base_url)

    def consumer(self, queue: str, threads: int) -> Consumer:
        """A consumer of one queue; its `run` blocks until SIGTERM, and finishes what is in hand."""
        return _Consumer(
            self._stop,
            self._queues[queue],
            workers=threads,
            periodic=False,
            scheduler_interval=60,
            graceful_signal="TERM",
            shutdown_timeout=8,
        )

    def _stop(self) -> None:
        if self._deliver is not None:
            self._deliver.stop()

    def close(self) -> None:
        if self._deliver is not None:
            self._deliver.close()
        self._client.close()


def name_of(task: str) -> str:
    """A task's name as it stands in the queue."""
    return f"{__name__}.{task}"
