"""The chart that goes along with an alert: what the rule watches, over the last hours, with its limit.

Read and drawn when the message is sent, up to the moment that it tells of: every attempt shows the same stretch. A rule
that has gone since, or that watches a pipeline and no value, has no chart, and its message goes without.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from dash_app.domain.alerts import AlertSpec, parse_alert, short
from dash_app.domain.errors import DashError
from dash_app.domain.query import parse_query
from dash_app.pipelines.number_text import moment_of
from dash_app.pipelines.query import Queries, QueryResult, resolve
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sinks.base import File
from dash_app.storage import alerts

log = structlog.get_logger(__name__)

#: How many windows the picture shows, and between which lengths that is.
WINDOWS = 72
SHORTEST = timedelta(hours=1)
LONGEST = timedelta(days=30)
#: Seconds that the read may take: the message matters more than its picture.
PATIENCE = 2.0


def chart_of(app: Resources, team: UUID, payload: Mapping[str, Any]) -> File | None:
    """The chart of an alert's message as a PNG, or None."""
    try:
        at = moment_of(payload.get("at"))
        if at is None or "alert" not in payload:
            return None
        with app.database.team(team) as unit:
            spec = parse_alert(alerts.get(unit, str(payload["alert"])).document)
            if spec.measure is None:
                return None
            document = _query(spec, payload, at)
            answer = Queries(app.database, patience=PATIENCE).answer(unit, parse_query(resolve(unit, document), at))
        return _drawn(spec, payload, answer)
    except DashError as error:
        log.info("alert.no_chart", alert=str(payload.get("alert")), error=error.message)
    except Exception:
        # Values that cannot be drawn, a document of another time: the message goes out, whatever is wrong here.
        log.exception("alert.chart_broke", alert=str(payload.get("alert")))
    return None


def _query(spec: AlertSpec, payload: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    length = min(max(spec.window * WINDOWS, SHORTEST), LONGEST)
    assert spec.measure is not None
    measure = {"agg": spec.measure.agg, "as": "value"}
    series = payload.get("series")
    return {
        "pipeline": spec.pipeline,
        "select": [measure | ({"field": spec.measure.field} if spec.measure.field else {})],
        "every": short(spec.window),
        "from": (at - length).isoformat(),
        "to": at.isoformat(),
        "where": spec.where or None,
        "filters": [
            {"field": name, "op": "=", "value": value}
            for name, value in (series.items() if isinstance(series, Mapping) else ())
        ],
        "limit": 10_000,
        "timezone": spec.timezone,
    }


def _drawn(spec: AlertSpec, payload: Mapping[str, Any], answer: QueryResult) -> File | None:
    frame = answer.frame.sort("time")
    points = list(zip(frame["time"].dt.timestamp("ms").to_list(), frame["value"].to_list(), strict=True))
    if len([value for _, value in points if value is not None]) < 2 or spec.measure is None:
        return None
    # A second's work and tens of megabytes, for those processes alone that draw.
    from dash_app.pipelines.pictures.drawing import watched_png

    what = f"{spec.measure.agg} of {spec.measure.field}" if spec.measure.field else "count"
    named = str(payload.get("series_name") or "")
    condition = spec.condition
    limits = condition.value if condition.type == "threshold" else ()
    since = moment_of(payload.get("since"))
    picture = watched_png(
        [(float(at), None if value is None else float(value)) for at, value in points],
        title=f"{what}, {named}" if named else what,
        unit=str(payload.get("unit") or ""),
        threshold=limits[0] if len(limits) == 1 else (list(limits) or None),
        op=condition.op,
        since=since if payload.get("state") == "firing" else None,
        zone=spec.timezone,
    )
    return File("chart.png", "image/png", picture)
