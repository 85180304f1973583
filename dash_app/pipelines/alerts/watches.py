"""What is watched of a pipeline itself, as numbers that a threshold can be set on."""

from __future__ import annotations

from datetime import datetime, timedelta

from dash_app.domain.specs import Measure, QuerySpec
from dash_app.pipelines.alerts.plan import Plan
from dash_app.storage import alert_watches, silver_read
from dash_app.storage.alert_turns import Turn
from dash_app.storage.unit import Unit


def watch(unit: Unit, turn: Turn, plan: Plan, what: str, window: timedelta, at: datetime) -> float | None:
    """The value of a watch at a moment; None where there is nothing to say, as of a pipeline that is paused.

    stale: seconds since a payload came last, or since the pipeline was made · failing: failed runs of its source in a
    row · rejects: of a hundred records and rejects of the window, how many are rejects · drift: fields seen to be new,
    changed or vanished in the window · lag: seconds that the oldest payload has been waiting to be mapped.
    """
    if turn.state == "paused" and what in ("stale", "lag"):
        return None
    match what:
        case "stale":
            return max(0.0, (at - (turn.last_received or turn.created_at)).total_seconds())
        case "failing":
            return float(alert_watches.failures(unit, turn.pipeline))
        case "lag":
            since = alert_watches.waiting_since(unit, turn.pipeline)
            return max(0.0, (at - since).total_seconds()) if since else 0.0
        case "drift":
            return float(alert_watches.drifts(unit, turn.pipeline, at - window, at))
    refused = alert_watches.rejects(unit, turn.team, turn.pipeline, at - window, at)
    if not refused:
        return 0.0
    spec = QuerySpec(
        pipeline=str(turn.pipeline),
        select=(Measure("n", None, "count"),),
        by=(),
        every=None,
        start=at - window,
        end=at,
        where=None,
        limit=1,
        timezone="UTC",
    )
    records = silver_read.aggregates(unit, plan.versions, spec, plan.fields).frame.item()
    return 100 * refused / (refused + records)
