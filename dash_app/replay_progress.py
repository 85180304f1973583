"""Following a replay at a terminal, and working on it where no worker does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn
from rich.text import Text

from dash_app.app import App
from dash_app.pipelines.replay import Replays
from dash_app.storage import ledger, replays
from dash_app.storage.replays import Replay

#: States from which a replay does not go on by itself.
_STILL = ("done", "failed", "cancelled", "paused")
#: Seconds between two looks.
_EVERY = 0.5


class _Left(ProgressColumn):
    """Seconds until the end as the replay itself reckons them."""

    def render(self, task: Any) -> Text:
        left = task.fields.get("eta")
        return Text("" if left is None else f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left")


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines between: what is worth saying the command says itself."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def follow(app: App, replay: UUID, console: Console, *, pause: Callable[[float], None] = time.sleep) -> Replay:
    """The replay at its end (or where it was paused), with a bar on the console until then.

    Works on it itself for as long as no worker is alive: the database alone is enough for a replay.
    """
    own = Replays(app)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[files]} files, {task.fields[records]:,} records, {task.fields[rate]}"),
        _Left(),
    )
    with _quiet(), Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("waiting for a worker", total=None, files="0/0", records=0, rate="", eta=None)
        while True:
            with app.database.ingest() as unit:
                now = replays.get(unit, replay)
                alone = not ledger.alive(unit, "worker.ingest")
            bar.update(
                task,
                description=f"v{now.version} {now.state}",
                total=max(now.expected, 1) if now.planned else None,
                completed=now.payloads,
                files=f"{now.files_done}/{now.files_total}",
                records=now.records,
                rate=f"{now.rate:,.0f}/s" if now.rate else "",
                eta=now.eta,
            )
            if now.state in _STILL:
                return now
            if not alone or not own.run(replay):
                pause(_EVERY)
