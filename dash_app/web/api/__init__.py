"""The REST resources, one file each: every operation is one declaration, of which handler and docs are made."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

from tornado.web import RequestHandler

from dash_app.app import App
from dash_app.pipelines.query import Queries
from dash_app.web.access import Access
from dash_app.web.api import (
    alert_mutes,
    alerts,
    comparisons,
    dashboard_annotations,
    dashboard_versions,
    dashboards,
    data,
    drift,
    embeds,
    lineage,
    mappings,
    people,
    pipelines,
    preferences,
    querying,
    replays,
    reports,
    sink_deliveries,
    sinks,
    sources,
    templates,
    uploads,
)
from dash_app.web.api.docs import DocsHandler, OpenApiHandler, rendered
from dash_app.web.api.handler import Api, MissingHandler, OperationHandler
from dash_app.web.api.openapi import PREFIX
from dash_app.web.api.operation import Operation

__all__ = ["OPERATIONS", "Api", "Operation", "routes"]

#: All there are.
OPERATIONS: tuple[Operation, ...] = (
    *pipelines.OPERATIONS,
    *sources.OPERATIONS,
    *uploads.OPERATIONS,
    *mappings.OPERATIONS,
    *comparisons.OPERATIONS,
    *replays.OPERATIONS,
    *sinks.OPERATIONS,
    *sink_deliveries.OPERATIONS,
    *alerts.OPERATIONS,
    *alert_mutes.OPERATIONS,
    *reports.OPERATIONS,
    *drift.OPERATIONS,
    *data.OPERATIONS,
    *lineage.OPERATIONS,
    *querying.OPERATIONS,
    *dashboards.OPERATIONS,
    *dashboard_versions.OPERATIONS,
    *dashboard_annotations.OPERATIONS,
    *templates.OPERATIONS,
    *embeds.OPERATIONS,
    *people.OPERATIONS,
    *preferences.OPERATIONS,
)

Route = tuple[str, type[RequestHandler], dict[str, Any]]


def routes(app: App, access: Access, queries: Queries) -> list[Route]:
    """Everything below /api, for Tornado; the last one answers whatever the others do not."""
    api = Api(app, access, queries)
    found: list[Route] = [
        (r"/api/openapi\.json", OpenApiHandler, {"text": rendered(OPERATIONS)}),
        (r"/api/docs", DocsHandler, {"access": access}),
    ]
    for path, operations in groupby(sorted(OPERATIONS, key=lambda one: one.path), lambda one: one.path):
        by_method = {operation.method: operation for operation in operations}
        found.append((pattern(path), OperationHandler, {"api": api, "operations": by_method}))
    return [*found, (r"/api(?:/.*)?", MissingHandler, {})]


def pattern(path: str) -> str:
    """Tornado's pattern of an operation's path."""
    return re.escape(PREFIX) + re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
