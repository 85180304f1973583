"""A pipeline's replays as they can be watched: how far each is, what is read now, what one can go back to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl

from dash_app.domain.changes import Change, PipelineChanged, ReplayMoved
from dash_app.live.frames import Table
from dash_app.storage import generations, replays
from dash_app.storage.engine import Database
from dash_app.storage.generations import Generation
from dash_app.storage.replays import OPEN, Replay
from dash_app.storage.unit import Unit

#: Replays that are told, newest first: the one under way, and enough to see that another has ended.
TOLD = 10

_COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "text"},
    {"name": "version", "type": "integer"},
    {"name": "state", "type": "text"},
    {"name": "share", "type": "number"},
    {"name": "rate", "type": "number", "unit": "/s"},
    {"name": "eta", "type": "number", "unit": "s"},
    {"name": "seconds", "type": "number", "unit": "s"},
    {"name": "files_done", "type": "integer"},
    {"name": "files_total", "type": "integer"},
    {"name": "payloads", "type": "integer"},
    {"name": "payloads_total", "type": "integer"},
    {"name": "records", "type": "integer"},
    {"name": "rejects", "type": "integer"},
    {"name": "throttle", "type": "integer", "unit": "/s"},
    {"name": "error", "type": "text"},
]
_TYPES = {"text": pl.String, "integer": pl.Int64, "number": pl.Float64}


def told(one: Replay) -> dict[str, Any]:
    """A replay as a row of the view, and as its page shows it."""
    rate, eta = pace_of(one)
    return {
        "id": str(one.id),
        "version": one.version,
        "state": one.state,
        "share": share_of(one),
        "rate": rate,
        "eta": eta,
        "seconds": one.seconds,
        "files_done": one.files_done,
        "files_total": one.files_total,
        "payloads": one.payloads,
        "payloads_total": one.expected,
        "records": one.records,
        "rejects": one.rejects,
        "throttle": one.throttle,
        "error": one.error,
    }


def pace_of(one: Replay) -> tuple[float | None, float | None]:
    """Records a second and seconds until the end. A throttled replay works in bursts, which say less than its bound."""
    rate, eta = one.rate, one.eta if one.state in OPEN else None
    if one.throttle is None or one.state not in OPEN or not one.payloads:
        return rate, eta
    made = one.records + one.rejects
    due = max(0, one.expected - one.payloads) * made / one.payloads / one.throttle
    return None if rate is None else min(rate, one.throttle), max(eta or 0.0, due)


def share_of(one: Replay) -> float | None:
    """How much of a replay is done, 0 to 1; None before it is planned."""
    if one.state == "done":
        return 1.0
    if not one.planned:
        return None
    if one.expected:
        return min(1.0, one.payloads / one.expected)
    return one.files_done / one.files_total if one.files_total else 1.0


@dataclass
class ReplaysView:
    """All rows with every frame: there are few, and each of them may have moved.

    Beside the rows: `active` (the mapping version that is read), and `back` with `back_until` (epoch milliseconds), the
    version that one can go back to until then, or null.
    """

    database: Database
    team: UUID
    pipeline: UUID
    pause: float = 0.25
    moves: float | None = None

    def concerns(self, change: Change) -> bool:
        return isinstance(change, ReplayMoved | PipelineChanged) and change.pipeline == str(self.pipeline)

    def update(self, touched: object) -> Table | None:
        return None

    def snapshot(self) -> Table:
        with self.database.team(self.team) as unit:
            found = replays.of_pipeline(unit, self.pipeline, limit=TOLD)
            extra = _standing(unit, self.pipeline)
        # Between two steps of a slow replay its clock goes on.
        self.moves = 2.0 if any(one.state in ("queued", "running") for one in found) else None
        rows = [told(one) for one in found]
        schema = {str(column["name"]): _TYPES[column["type"]] for column in _COLUMNS}
        return Table(pl.DataFrame(rows, schema=schema), _COLUMNS, key=["id"], extra=extra)


def active_and_back(unit: Unit, pipeline: UUID) -> tuple[Generation | None, Generation | None]:
    """The generation that is read, and the one that one can go back to: None once its grace is over."""
    kept = generations.generations(unit, pipeline)
    active = next((one for one in kept if one.state == "active"), None)
    back = next((one for one in kept if one.state == "grace"), None)
    if back is not None and back.grace_until is not None and back.grace_until <= datetime.now(UTC):
        back = None
    return active, back


def _standing(unit: Unit, pipeline: UUID) -> dict[str, Any]:
    active, back = active_and_back(unit, pipeline)
    until = back.grace_until if back else None
    return {
        "active": active.version if active else None,
        "generation": active.generation if active else None,
        "back": back.version if back else None,
        "back_until": int(until.timestamp() * 1000) if until else None,
    }
