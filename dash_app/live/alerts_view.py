"""The team's alerts that fire, lack data or are about to fire, as they can be watched: the worst and newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import polars as pl

from dash_app.domain.alert_machine import finite
from dash_app.domain.alert_mutes import facts_of
from dash_app.domain.alerts import series_name
from dash_app.domain.changes import AlertChanged, Change
from dash_app.live.frames import Table
from dash_app.pipelines.alerts.mutes import Mutes
from dash_app.storage import alert_mutes, alerts
from dash_app.storage.alerts import AlertState
from dash_app.storage.engine import Database

#: Rows that are told; beside them stands how many there are.
TOLD = 500

_COLUMNS: list[dict[str, Any]] = [
    {"name": "alert", "type": "text"},
    {"name": "key", "type": "text"},
    {"name": "name", "type": "text"},
    {"name": "severity", "type": "text"},
    {"name": "pipeline", "type": "text"},
    {"name": "series", "type": "text"},
    {"name": "state", "type": "text"},
    {"name": "since", "type": "timestamp"},
    {"name": "value", "type": "number"},
    {"name": "acknowledged_by", "type": "text"},
    {"name": "muted", "type": "text"},
    {"name": "labels", "type": "json"},
]
_TYPES: dict[str, Any] = {
    "text": pl.String,
    "json": pl.String,
    "number": pl.Float64,
    "timestamp": pl.Datetime("us", "UTC"),
}


def told(one: AlertState, muted: str) -> dict[str, Any]:
    """A state as a row of the view. `alert` and `key` name it; `muted`: what keeps it quiet, '' where nothing does."""
    return {
        "alert": one.slug,
        "key": one.key,
        "name": one.name,
        "severity": one.severity,
        "pipeline": one.pipeline_slug,
        "series": series_name(one.series),
        "state": one.state,
        "since": one.since,
        "value": finite(one.value),
        "acknowledged_by": one.acknowledged_by,
        "muted": muted,
        "labels": orjson.dumps(one.labels).decode(),
    }


@dataclass
class AlertsView:
    """All rows with every frame. Beside them `counts`: how many there are in each state."""

    database: Database
    team: UUID
    #: Hundreds may begin to fire within a second.
    pause: float = 0.5
    #: Silences and windows of maintenance begin and end without anybody's doing.
    moves: float | None = 30.0

    def concerns(self, change: Change) -> bool:
        # Whose rule it is is not said: a read too many is cheap.
        return isinstance(change, AlertChanged)

    def update(self, touched: object) -> Table | None:
        return None

    def snapshot(self) -> Table:
        now = datetime.now(UTC)
        with self.database.team(self.team) as unit:
            found = alerts.firing(unit, limit=TOLD)
            counts = alerts.counts(unit)
            mutes = Mutes(alert_mutes.silences(unit), alert_mutes.windows(unit))
        rows = [told(one, mutes.reason(_facts(one), now) if mutes else "") for one in found]
        schema = {column["name"]: _TYPES[column["type"]] for column in _COLUMNS}
        return Table(pl.DataFrame(rows, schema=schema), _COLUMNS, extra={"counts": counts})


def _facts(one: AlertState) -> dict[str, str]:
    return facts_of(one.slug, one.severity, one.pipeline_slug, one.labels, one.series)
