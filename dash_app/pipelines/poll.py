"""One run of a poll: pages are fetched from the cursor, and each is accepted in the transaction that moves the cursor.

Whatever ends a run leaves the cursor behind the last page that was stored: no page is lost, and none is stored twice
unless the source hands it out twice.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import structlog

from dash_app.domain.changes import PipelineChanged
from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.domain.events import Arrival
from dash_app.domain.specs import Pipeline
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sources.base import PollSource
from dash_app.storage import catalog, ledger, payloads
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: The wait after a failure that comes before the source's own interval is known, in seconds.
FIRST_WAIT = 60.0
#: The longest wait between two tries of a poll that fails, in seconds.
LONGEST_WAIT = 3600.0


def source_of(app: Resources, unit: Unit, pipeline: Pipeline) -> PollSource | None:
    """The pipeline's source with its secrets put in; None where it is not one that is polled."""
    kind = app.sources[pipeline.source_kind]
    if not issubclass(kind, PollSource):
        return None
    options: dict[str, Any] = dict(pipeline.source_options)
    for name in kind.secrets:
        stored = app.vault.get_all(unit, pipeline.id, name)
        if stored:
            options[name] = kind.secret_from_text(name, stored[0])
    made = kind.from_options(options)
    assert isinstance(made, PollSource)
    return made


def poll(app: Resources, pipeline_id: UUID, client: httpx.Client) -> None:
    """Runs a due poll of one pipeline to its end. Two never run at once: a second one finds the lock taken and
    returns."""
    with app.database.own("ingest") as lock:
        if ledger.lock_poll(lock, pipeline_id):
            lock.commit()
            _poll(app, pipeline_id, client)


def _poll(app: Resources, pipeline_id: UUID, client: httpx.Client) -> None:
    with app.database.ingest() as unit:
        state = ledger.poll(unit, pipeline_id)
        pipeline = catalog.pipeline(unit, pipeline_id, archived=True)
        if state is None or pipeline.state != "active" or not state.due:
            return
        run = ledger.begin_run(unit, pipeline.team, pipeline_id, "poll")
        unit.commit()
    error, wait = "", FIRST_WAIT
    try:
        with app.database.ingest() as unit:
            source = source_of(app, unit, pipeline)
        if source is None:
            raise Permanent(f"a source of the kind {pipeline.source_kind} is not one that is polled")
        wait = float(source.interval_seconds)
        _fetch(app, pipeline, source, state.cursor, run, client)
    except DashError as failure:
        error = failure.message
        wait = _wait(wait, state.failures, failure)
        log.info("poll.failed", pipeline=pipeline.slug, error=error, wait=wait)
    except Exception as failure:
        # A bug, and in one pipeline: it is shown and backs off like what others do wrong.
        error = f"Internal error ({type(failure).__name__}); the worker's log says more."
        wait = _wait(wait, state.failures)
        log.exception("poll.broke", pipeline=pipeline.slug, wait=wait)
    with app.database.ingest() as unit:
        ledger.end_run(unit, run, error)
        ledger.poll_done(unit, pipeline_id, wait=wait, failed=bool(error))
        if error or state.failures:
            unit.notify(PipelineChanged(str(pipeline_id)))
        unit.commit()


def _fetch(
    app: Resources, pipeline: Pipeline, source: PollSource, cursor: Mapping[str, Any], run: int, client: httpx.Client
) -> None:
    for page in source.pages(cursor, client, datetime.now(UTC)):
        with app.database.ingest() as unit:
            if page.body:
                arrival = Arrival(
                    pipeline=pipeline.id,
                    team=pipeline.team,
                    body=page.body,
                    content_type=page.content_type,
                    headers=page.headers,
                    source=page.url,
                )
                payloads.accept(unit, [arrival])
                ledger.count_page(unit, run, 1, len(page.body))
            ledger.move_cursor(unit, pipeline.id, page.cursor)
            unit.commit()


def _wait(interval: float, failures: int, failure: DashError | None = None) -> float:
    """Seconds until the next try: what the other side asked for, or twice as long after each failure, with jitter."""
    asked = failure.retry_after if isinstance(failure, Transient) else None
    backed_off: float = min(interval * 2.0 ** min(failures, 12), max(LONGEST_WAIT, interval))
    return max(asked or 0.0, backed_off * random.uniform(0.9, 1.1))
