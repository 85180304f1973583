"""A request to watch becomes a view, under a name that equal requests of one team share.

Variables and filters are put into the query here, on the server: who has chosen the same sees the same topic, and what
may not be chosen freely can be fixed where nobody reaches it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from dash_app.domain import variables
from dash_app.domain.access import Principal
from dash_app.domain.dashboards import sources_of
from dash_app.domain.embeds import permit
from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.query import SHIFTS
from dash_app.domain.query_filters import filtered, parse_filters
from dash_app.domain.specs import Dashboard
from dash_app.domain.variables import Value, parse_variables
from dash_app.live.alerts_view import AlertsView
from dash_app.live.annotations_view import AnnotationsView
from dash_app.live.dashboard_view import DashboardView
from dash_app.live.replays_view import ReplaysView
from dash_app.live.values_view import OptionsView, ValuesView, offered
from dash_app.live.views import PipelinesView, QueryView, RecordsView, View
from dash_app.pipelines.query import Queries
from dash_app.storage import catalog, dashboards, silver_read
from dash_app.storage.engine import Database
from dash_app.storage.unit import Unit

#: How wide a chart may ask its buckets to be chosen for.
MOST_POINTS = 2000


def open_for(
    database: Database, queries: Queries, principal: Principal, request: Mapping[str, Any]
) -> tuple[str, View]:
    """`open_view` for somebody. Raises Forbidden where the request is not theirs to make."""
    principal.require("query.run")
    if principal.embed is not None:
        with database.team(principal.team) as unit:
            found = dashboards.get(unit, principal.embed.dashboard)
        if str(found.id) != principal.embed.identity:
            raise NotFound("the dashboard of this embed is not there any more")
        request = permit(principal.embed, found.document, request)
    name, view = open_view(database, queries, principal.team, request)
    if principal.embed is not None and isinstance(view, AnnotationsView):
        # Whose addresses these are is nothing for strangers.
        view.authors = False
        name = f"{name} without authors"
    return name, view


def open_view(database: Database, queries: Queries, team: UUID, request: Mapping[str, Any]) -> tuple[str, View]:
    """The view that a subscription asks for, and the name that equal requests of one team share."""
    kind = request.get("kind")
    if kind == "pipelines":
        return "pipelines", PipelinesView(database, team)
    if kind == "alerts":
        return "alerts", AlertsView(database, team)
    if kind == "dashboard":
        dashboard = _dashboard(database, team, request).id
        return f"dashboard {dashboard}", DashboardView(database, team, dashboard)
    reach = _Reach.of(request)
    values = parse_variables(request.get("variables"))
    if kind == "annotations":
        return _open_annotations(database, queries, team, request, reach, values)
    if kind == "values":
        return _open_values(database, queries, team, request, reach, values)
    query = request.get("query") or {}
    if not isinstance(query, Mapping):
        raise Invalid(problems=[("query", "a query is an object")])
    query = variables.apply(query, values)
    chosen = parse_filters(request.get("filters"))
    with database.team(team) as unit:
        # By its id from here on: a slug can become another pipeline's while somebody watches.
        pipeline = _pipeline(unit, query)
        if chosen and kind not in ("replays", "records"):
            found = silver_read.newest_fields(catalog.versions(unit, pipeline))
            query = filtered(query, chosen, {f.name: f.type for f in found})
    if kind == "replays":
        return f"replays {pipeline}", ReplaysView(database, team, pipeline)
    if kind == "records":
        limit = query.get("limit", 100)
        if not isinstance(limit, int) or not 1 <= limit <= 500:
            raise Invalid(problems=[("query.limit", "1 to 500")])
        return f"records {pipeline} {limit}", RecordsView(database, team, pipeline, limit)
    view = QueryView(
        database,
        queries,
        team,
        pipeline,
        str(kind),
        {**query, "pipeline": str(pipeline)},
        reach.start,
        reach.end,
        reach.timezone,
        reach.points,
        reach.shift,
        reach.beat,
    )
    points = reach.points if view.query.get("every") in (None, "auto") else 0
    return _name(view.kind, view.query, *reach.shared, points), view


def _open_values(
    database: Database,
    queries: Queries,
    team: UUID,
    request: Mapping[str, Any],
    reach: _Reach,
    values: Mapping[str, Value],
) -> tuple[str, View]:
    variable = request.get("variable")
    if not isinstance(variable, Mapping):
        raise Invalid(problems=[("variable", "a variable of a dashboard is an object")])
    if variable.get("type") != "query":
        options = offered(variable)
        return _name("values", options), OptionsView(team, options)
    query = variable.get("query")
    if not isinstance(query, Mapping):
        raise Invalid(problems=[("variable.query", 'such as {"pipeline": "weather", "field": "site"}')])
    query = variables.apply({key: query[key] for key in ("pipeline", "field", "where") if key in query}, values)
    with database.team(team) as unit:
        pipeline = _pipeline(unit, query)
    view = ValuesView(
        database,
        queries,
        team,
        pipeline,
        {**query, "pipeline": str(pipeline)},
        reach.start,
        reach.end,
        reach.timezone,
    )
    return _name("values", view.query, *reach.shared[:3]), view


def _open_annotations(
    database: Database,
    queries: Queries,
    team: UUID,
    request: Mapping[str, Any],
    reach: _Reach,
    values: Mapping[str, Value],
) -> tuple[str, View]:
    enabled = request.get("sources")
    if enabled is not None and (not isinstance(enabled, list) or not all(isinstance(one, str) for one in enabled)):
        raise Invalid(problems=[("sources", "a list of the names of sources; left out: those that are on")])
    dashboard = _dashboard(database, team, request)
    asked = [source["query"] for source in sources_of(dashboard.document) if source.get("query")]
    # Who has chosen otherwise what no source asks for still sees the same.
    mentioned = frozenset[str]().union(*map(variables.used, asked))
    view = AnnotationsView(
        database,
        queries,
        team,
        dashboard.id,
        reach.start,
        reach.end,
        reach.timezone,
        {name: value for name, value in values.items() if name in mentioned},
        None if enabled is None else frozenset(enabled),
    )
    listed = None if enabled is None else sorted(set(enabled))
    return _name("annotations", str(view.dashboard), *reach.shared[:3], view.values, listed), view


def _dashboard(database: Database, team: UUID, request: Mapping[str, Any]) -> Dashboard:
    """To be known by its id from here on: another one can get its uid while somebody watches."""
    if not isinstance(request.get("dashboard"), str):
        raise Invalid(problems=[("dashboard", "the uid of a dashboard is needed")])
    with database.team(team) as unit:
        return dashboards.get(unit, request["dashboard"].replace("\0", ""))


def _pipeline(unit: Unit, query: Mapping[str, Any]) -> UUID:
    if not isinstance(query.get("pipeline"), str):
        raise Invalid(problems=[("query.pipeline", "the slug or id of a pipeline is needed")])
    return catalog.pipeline(unit, query["pipeline"]).id


def _name(*parts: Any) -> str:
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS).decode()


@dataclass(frozen=True, slots=True)
class _Reach:
    """What a subscription says beside its query: which times, for how many points, and how it is kept up to date."""

    start: str
    end: str
    timezone: str
    points: int
    shift: str
    beat: float

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> _Reach:
        reach = request.get("range") or {}
        points = request.get("points", 600)
        if not isinstance(reach, Mapping) or not isinstance(points, int | float):
            raise Invalid(problems=[("range", 'such as {"from": "now-1h", "to": "now"}')])
        shift = reach.get("shift") or ""
        if shift and shift not in SHIFTS:
            raise Invalid(problems=[("range.shift", f"one of {', '.join(SHIFTS)}")])
        beat = request.get("beat") or _seconds(request.get("refresh"))
        if isinstance(beat, bool) or not isinstance(beat, int | float) or not (beat == 0 or 1 <= beat <= 86_400):
            raise Invalid(problems=[("beat", "seconds between two reads, 1 to 86,400; without it updates are pushed")])
        return cls(
            str(reach.get("from", "now-24h")),
            str(reach.get("to", "now")),
            str(request.get("timezone") or "UTC"),
            # Browsers ask for one of few widths, so that viewers with windows of about the same size share one read.
            min(MOST_POINTS, max(10, int(points))),
            str(shift),
            float(beat),
        )

    @property
    def shared(self) -> tuple[Any, ...]:
        """What equal views agree on, beside the points."""
        return (self.start, self.end, self.timezone, self.shift, self.beat)


def _seconds(refresh: Any) -> float:
    """Seconds of a dashboard's `refresh`, such as 30s; 0 for live, off and nothing."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([smh])", refresh) if isinstance(refresh, str) else None
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
