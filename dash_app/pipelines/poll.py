"""One run of a poll: pages are fetched from the cursor, and each is accepted in the transaction that moves the cursor.

Whatever ends a run leaves the cursor behind the last page that was stored: no page is lost, and none is stored twice
unless the source hands it out twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import structlog

from dash_app.domain.changes import PipelineChanged
from dash_app.domain.errors import DashError, Permanent, PollStopped, Transient
from dash_app.domain.events import Arrival
from dash_app.domain.plain_text import storable
from dash_app.domain.specs import Pipeline
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sources.base import PollSource
from dash_app.pipelines.sources.oauth import Tokens
from dash_app.pipelines.sources.outside import Outside
from dash_app.storage import catalog, ledger, payloads, people, seen, streams
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: The wait after a failure that comes before the source's own interval is known, in seconds.
FIRST_WAIT = 60.0
#: A run that takes longer ends behind the page in hand, and goes on when others have had their turn.
RUN_SECONDS = 60.0
#: How many polls of a team run at once, in all workers: so many of a worker's eight threads at most. And how long one
#: waits that finds no place, in seconds.
TEAM_PLACES = 4
PLACE_WAIT = (1.0, 3.0)
#: With more of a pipeline waiting to be mapped nothing is fetched; how long until one looks again.
FULL_BYTES = 256 << 20
FULL_WAIT = 10.0
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


def outside_of(app: Resources, pipeline: Pipeline, client: httpx.Client, tokens: Tokens | None = None) -> Outside:
    """What a run of this pipeline's poll may work with."""

    def unseen(names: Sequence[str]) -> list[str]:
        with app.database.ingest() as unit:
            return seen.unseen(unit, pipeline.id, names)

    return Outside(client, app.reach, app.watch_roots, unseen, tokens or Tokens())


def poll(app: Resources, pipeline_id: UUID, client: httpx.Client, tokens: Tokens | None = None) -> None:
    """Runs a due poll of one pipeline to its end. Two never run at once: a second one finds the lock taken and
    returns. `tokens`: the access tokens that this process holds."""
    with app.database.own("ingest") as lock:
        if not ledger.lock_poll(lock, pipeline_id):
            return
        lock.commit()
        try:
            if _may_run(app, lock, pipeline_id):
                _poll(app, pipeline_id, client, tokens or Tokens())
        finally:
            ledger.unlock_polls(lock)
            lock.commit()


def _may_run(app: Resources, lock: Unit, pipeline_id: UUID) -> bool:
    """Whether this poll may begin; one that has to wait is due again in a while: others of its team have all places, or
    what it has fetched waits to be mapped."""
    with app.database.ingest() as unit:
        pipeline = catalog.pipeline(unit, pipeline_id, archived=True)
        full = streams.waiting_bytes(unit, pipeline_id) > FULL_BYTES
        placed = not full and ledger.take_poll_place(lock, pipeline.team, TEAM_PLACES)
        lock.commit()
        if not placed:
            ledger.postpone_poll(unit, pipeline_id, FULL_WAIT if full else random.uniform(*PLACE_WAIT))
            unit.commit()
    return placed


def _poll(app: Resources, pipeline_id: UUID, client: httpx.Client, tokens: Tokens) -> None:
    with app.database.ingest() as unit:
        state = ledger.poll(unit, pipeline_id)
        pipeline = catalog.pipeline(unit, pipeline_id, archived=True)
        if state is None or pipeline.state != "active" or not state.due:
            return
        run = ledger.begin_run(unit, pipeline.team, pipeline_id, "poll")
        unit.commit()
    began = time.monotonic()
    source: PollSource | None = None
    error, failure, stored = "", None, _Stored()
    try:
        with app.database.ingest() as unit:
            source = source_of(app, unit, pipeline)
        if source is None:
            raise Permanent(f"a source of the kind {pipeline.source_kind} is not one that is polled")
        _fetch(app, pipeline, source, state.cursor, run, outside_of(app, pipeline, client, tokens), stored)
    except DashError as raised:
        error, failure = raised.message, raised
    except Exception as raised:
        # A bug, and in one pipeline: it is shown and backs off like what others do wrong.
        error = f"Internal error ({type(raised).__name__}); the worker's log says more."
        log.exception("poll.broke", pipeline=pipeline.slug)
    # What the other side says goes into columns and documents that take no NUL and no half of a character.
    error = storable(error)
    now, elapsed = datetime.now(UTC), time.monotonic() - began
    if error:
        failures = 0 if stored.came_further(state.cursor) else state.failures
        wait = _wait(source, now, failures, failure)
        log.info("poll.failed", pipeline=pipeline.slug, error=error, wait=wait)
    else:
        wait = source.wait(now, elapsed) if source else FIRST_WAIT
        if stored.cut_short is not None:
            log.info("poll.cut_short", pipeline=pipeline.slug, wait=stored.cut_short)
            wait = stored.cut_short
    with app.database.ingest() as unit:
        ledger.end_run(unit, run, error)
        failures = ledger.poll_done(
            unit, pipeline_id, wait=wait, failed=bool(error), came_further=stored.came_further(state.cursor)
        )
        if error and source is not None:
            _break(unit, pipeline, source, failures, error, isinstance(failure, PollStopped))
        if error or state.failures:
            unit.notify(PipelineChanged(str(pipeline_id)))
        unit.commit()


@dataclass(slots=True)
class _Stored:
    """What a run has stored so far."""

    payloads: int = 0
    cursor: Mapping[str, Any] | None = None
    #: Where the run was ended before its last page: seconds until it goes on.
    cut_short: float | None = None

    def came_further(self, before: Mapping[str, Any]) -> bool:
        """Whether there is something new. A run that began anew, only to fail where the last one did, has none."""
        return self.payloads > 0 and self.cursor != before


def _fetch(
    app: Resources,
    pipeline: Pipeline,
    source: PollSource,
    cursor: Mapping[str, Any],
    run: int,
    outside: Outside,
    stored: _Stored,
) -> None:
    until = time.monotonic() + RUN_SECONDS
    for page in source.fetch(cursor, outside, datetime.now(UTC)):
        with app.database.ingest() as unit:
            if page.body:
                arrivals = [
                    Arrival(
                        pipeline=pipeline.id,
                        team=pipeline.team,
                        body=body,
                        content_type=page.content_type,
                        headers=page.headers,
                        source=page.url,
                    )
                    for body in (page.body, *page.further)
                ]
                payloads.accept(unit, arrivals)
                ledger.count_page(unit, run, len(arrivals), sum(len(one.body) for one in arrivals))
            if page.seen:
                seen.note(unit, pipeline.team, pipeline.id, page.seen)
            ledger.move_cursor(unit, pipeline.id, page.cursor)
            full = not page.last and streams.waiting_bytes(unit, pipeline.id) > FULL_BYTES
            unit.commit()
        stored.payloads += bool(page.body) + len(page.further)
        stored.cursor = page.cursor
        if not page.last and (full or time.monotonic() > until):
            # Others wait for this thread, or what was fetched has to be mapped first; the cursor stands behind it.
            stored.cut_short = FULL_WAIT if full else 0.0
            return


def _break(unit: Unit, pipeline: Pipeline, source: PollSource, failures: int, error: str, said_so: bool) -> None:
    """The circuit breaker: pauses a pipeline whose poll has failed too often in a row, or whose server's answer says
    that it is not to be asked again, and tells its team. Whoever resumes it closes the breaker."""
    if not said_so and not 0 < source.max_failures <= failures:
        return
    unit.execute("SELECT 1 FROM pipelines WHERE id = %s FOR NO KEY UPDATE", (pipeline.id,))
    if catalog.pipeline(unit, pipeline.id, archived=True).state != "active":
        return
    why = "an answer says so" if said_so else f"{failures} polls have failed in a row"
    ledger.stop_poll(unit, pipeline.id)
    note = f"Paused, because {why}: {error}"[:1000]
    catalog.update_pipeline(unit, pipeline.id, {"state": "paused", "note": note})
    detail = {"slug": pipeline.slug, "by": "polling", "failures": failures, "error": error[:500]}
    people.record(unit, None, pipeline.team, "pipeline.pause", str(pipeline.id), detail)
    log.warning("poll.paused", pipeline=pipeline.slug, failures=failures, error=error)


def _wait(source: PollSource | None, now: datetime, failures: int, failure: DashError | None) -> float:
    """Seconds until the next try: what the other side asked for, or twice as long after each failure, with jitter."""
    interval = FIRST_WAIT if source is None or source.cron else float(source.interval_seconds)
    asked = failure.retry_after if isinstance(failure, Transient) else None
    backed_off: float = min(interval * 2.0 ** min(failures, 12), max(LONGEST_WAIT, interval))
    wait = backed_off * random.uniform(0.9, 1.1)
    if source is not None and source.cron:
        # The calendar's own time comes whatever failed before it.
        wait = min(wait, source.wait(now))
    return max(asked or 0.0, wait)
