"""Dashboards: documents with a revision, and the first one of a pipeline, proposed from its mapping."""

from __future__ import annotations

from typing import Any

from dash_app.domain.errors import Conflict
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import Dashboard
from dash_app.pipelines import dashboards
from dash_app.pipelines.propose import propose_dashboard
from dash_app.storage import catalog
from dash_app.web.api import shapes
from dash_app.web.api.operation import PAGED, Answer, Call, Operation
from dash_app.web.api.schema import page_of


def list_dashboards(call: Call) -> Any:
    return call.page_of_all(catalog.dashboards(call.unit), shapes.dashboard_line, lambda one: one.uid)


def create_dashboard(call: Call) -> Any:
    return shapes.dashboard(dashboards.create_dashboard(call.unit, call.principal.team, call.body, call.principal))


def propose(call: Call) -> Any:
    found = call.pipeline()
    if found.mapping_version is None:
        raise Conflict(
            "this pipeline has no mapping yet: it is inferred from the first payloads; send one, or save a mapping"
        )
    spec = parse_mapping(catalog.mapping(call.unit, found.id, found.mapping_version).document)
    document = propose_dashboard(found, spec)
    document["uid"] = dashboards.free_uid(call.unit, document["uid"])
    return shapes.dashboard(dashboards.create_dashboard(call.unit, call.principal.team, document, call.principal))


def _found(call: Call) -> Dashboard:
    return catalog.dashboard(call.unit, call.path["dashboard"])


def get_dashboard(call: Call) -> Any:
    return shapes.dashboard(_found(call))


def update_dashboard(call: Call) -> Any:
    uid = _found(call).uid
    made = dashboards.update_dashboard(
        call.unit, uid, call.body, call.principal, expected_revision=call.expected_revision()
    )
    return shapes.dashboard(made)


def delete_dashboard(call: Call) -> Any:
    uid = _found(call).uid
    dashboards.delete_dashboard(call.unit, uid, call.principal, expected_revision=call.expected_revision())
    return Answer()


_TAG = "Dashboards"
_ONE = "/dashboards/{dashboard}"
_READ, _WRITE = "dashboards.read", "dashboards.write"
#: Said in full by dashboards.check_dashboard, which names every place that is wrong.
_DOCUMENT = {
    "type": "object",
    "properties": {
        "uid": {"description": "Its name in addresses; left out: made from the title."},
        "title": {"examples": ["Weather"]},
        "description": {},
        "time": {"description": "The range shown: from and to.", "examples": [{"from": "now-24h", "to": "now"}]},
        "refresh": {"description": "live or off."},
        "timezone": {},
        "tiles": {
            "description": f"Up to {dashboards.MAX_TILES} tiles: id, kind ({', '.join(dashboards.KINDS)}), title, "
            "gridPos, query, options."
        },
    },
}

OPERATIONS = (
    Operation(
        "GET",
        "/dashboards",
        "list_dashboards",
        _TAG,
        "The team's dashboards by title",
        _READ,
        list_dashboards,
        page_of(shapes.DASHBOARD_LINE),
        query=PAGED,
    ),
    Operation(
        "POST",
        "/dashboards",
        "create_dashboard",
        _TAG,
        "Save a new dashboard",
        _WRITE,
        create_dashboard,
        shapes.DASHBOARD,
        status=201,
        body=_DOCUMENT,
        keyed=True,
        tagged=True,
    ),
    Operation(
        "GET",
        _ONE,
        "get_dashboard",
        _TAG,
        "A dashboard's document",
        _READ,
        get_dashboard,
        shapes.DASHBOARD,
        tagged=True,
    ),
    Operation(
        "PUT",
        _ONE,
        "update_dashboard",
        _TAG,
        "Save a dashboard anew",
        _WRITE,
        update_dashboard,
        shapes.DASHBOARD,
        body=_DOCUMENT,
        tagged=True,
        matched=True,
    ),
    Operation(
        "DELETE",
        _ONE,
        "delete_dashboard",
        _TAG,
        "Delete a dashboard",
        _WRITE,
        delete_dashboard,
        status=204,
        matched=True,
    ),
    Operation(
        "POST",
        "/pipelines/{pipeline}/dashboard",
        "propose_dashboard",
        _TAG,
        "Make a first dashboard for a pipeline",
        _WRITE,
        propose,
        shapes.DASHBOARD,
        status=201,
        keyed=True,
        tagged=True,
        detail="Proposed from the active mapping, and saved under a uid that is free.",
    ),
)
