"""Dashboards: documents with a revision, found by search, folder, tag and star; the first one of a pipeline, proposed
from its mapping."""

from __future__ import annotations

from typing import Any

from dash_app.domain.dashboards import MAX_TAGS, MAX_TILES, TOP
from dash_app.domain.errors import Conflict
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.tiles import TILES
from dash_app.pipelines import dashboards as saving
from dash_app.pipelines.propose import propose_dashboard
from dash_app.storage import catalog, dashboards
from dash_app.web.api import dashboard_shapes as shapes
from dash_app.web.api.operation import PAGED, Answer, Call, Operation
from dash_app.web.api.schema import Schema, object_of, page_of


def list_dashboards(call: Call) -> Any:
    asked = {name: call.query[name] for name in ("search", "tag", "folder", "starred")}
    return call.page_of_all(
        dashboards.lines(call.unit, call.principal.user, **asked), shapes.dashboard_line, lambda one: one.uid
    )


def create_dashboard(call: Call) -> Any:
    return shapes.dashboard(saving.create_dashboard(call.unit, call.principal.team, call.body, call.principal))


def propose(call: Call) -> Any:
    found = call.pipeline()
    if found.mapping_version is None:
        raise Conflict(
            "this pipeline has no mapping yet: it is inferred from the first payloads; send one, or save a mapping"
        )
    spec = parse_mapping(catalog.mapping(call.unit, found.id, found.mapping_version).document)
    document = propose_dashboard(found, spec)
    document["uid"] = saving.free_uid(call.unit, document["uid"])
    return shapes.dashboard(
        saving.create_dashboard(call.unit, call.principal.team, document, call.principal, note="Proposed")
    )


def get_dashboard(call: Call) -> Any:
    return shapes.dashboard(dashboards.get(call.unit, call.path["dashboard"]))


def update_dashboard(call: Call) -> Any:
    made = saving.update_dashboard(
        call.unit, call.path["dashboard"], call.body, call.principal, expected_revision=call.expected_revision()
    )
    return shapes.dashboard(made)


def delete_dashboard(call: Call) -> Any:
    saving.delete_dashboard(
        call.unit, call.path["dashboard"], call.principal, expected_revision=call.expected_revision()
    )
    return Answer()


def undelete_dashboard(call: Call) -> Any:
    return shapes.dashboard(saving.undelete_dashboard(call.unit, call.path["dashboard"], call.principal))


def copy_dashboard(call: Call) -> Any:
    made = saving.copy_dashboard(
        call.unit, call.path["dashboard"], call.principal, title=call.body.get("title"), new_uid=call.body.get("uid")
    )
    return shapes.dashboard(made)


def copy_tile(call: Call) -> Any:
    made = saving.copy_tile(
        call.unit,
        call.body.get("dashboard") or call.path["dashboard"],
        str(call.body["tile"]),
        call.path["dashboard"],
        call.principal,
        expected_revision=call.expected_revision(),
    )
    return shapes.dashboard(made)


def star(call: Call) -> Any:
    dashboards.star(call.unit, call.principal.user, dashboards.get(call.unit, call.path["dashboard"]))
    return Answer()


def unstar(call: Call) -> Any:
    dashboards.unstar(call.unit, call.principal.user, dashboards.get(call.unit, call.path["dashboard"]))
    return Answer()


TAG = "Dashboards"
ONE = "/dashboards/{dashboard}"
READ, WRITE = "dashboards.read", "dashboards.write"
#: Said in full by check_dashboard, which names every place that is wrong.
_PROPERTIES: dict[str, Schema] = {
    "uid": {"description": "Its name in addresses; left out: made from the title."},
    "title": {"examples": ["Weather"]},
    "folder": {"description": "A path of at most five names, such as Operations/Web."},
    "tags": {"description": f"Up to {MAX_TAGS} texts."},
    "time": {"description": "The range shown: from and to.", "examples": [{"from": "now-24h", "to": "now"}]},
    "refresh": {"description": "live, off, or how often it is read again, from 5s to 1h."},
    "timezone": {"description": "An IANA name; left out: the viewer's."},
    "templating": {"description": "Variables: list of name, type (query, custom, text, interval) and what they offer."},
    "annotations": {"description": "Sources of annotations: list of name, source (manual, query, replays, alerts)."},
    "links": {"description": "title and url of links beside the dashboard's title."},
    "tiles": {
        "description": f"Up to {MAX_TILES} tiles: id, kind ({', '.join(TILES.names())}), title, gridPos, query or "
        "queries, options. GET /tiles has the options of each kind."
    },
}
DOCUMENT: Schema = {"type": "object", "properties": {name: _PROPERTIES.get(name, {}) for name in TOP}}
_TILE_ID: Schema = {"type": ["string", "integer"], "description": "The id of the tile."}

OPERATIONS = (
    Operation(
        "GET",
        "/dashboards",
        "list_dashboards",
        TAG,
        "The team's dashboards by title",
        READ,
        list_dashboards,
        page_of(shapes.DASHBOARD_LINE),
        query={
            **PAGED,
            "search": {
                "type": "string",
                "maxLength": 200,
                "default": "",
                "description": "Words that all occur in title, description, folder, tags, tiles or pipelines.",
            },
            "tag": {"type": "string", "maxLength": 100, "default": "", "description": "Those with this tag."},
            "folder": {
                "type": "string",
                "maxLength": 400,
                "description": "Those in this folder or in one within it; empty: those in none.",
            },
            "starred": {"type": "boolean", "default": False, "description": "Those that you have starred."},
        },
    ),
    Operation(
        "POST",
        "/dashboards",
        "create_dashboard",
        TAG,
        "Save a new dashboard",
        WRITE,
        create_dashboard,
        shapes.DASHBOARD,
        status=201,
        body=DOCUMENT,
        keyed=True,
        tagged=True,
    ),
    Operation(
        "GET",
        ONE,
        "get_dashboard",
        TAG,
        "A dashboard's document",
        READ,
        get_dashboard,
        shapes.DASHBOARD,
        tagged=True,
    ),
    Operation(
        "PUT",
        ONE,
        "update_dashboard",
        TAG,
        "Save a dashboard anew",
        WRITE,
        update_dashboard,
        shapes.DASHBOARD,
        body=DOCUMENT,
        tagged=True,
        matched=True,
        detail="Where If-Match names another revision than the newest, the problem says what was changed since: "
        "`revision`, `updated_by` and `changes`.",
    ),
    Operation(
        "DELETE",
        ONE,
        "delete_dashboard",
        TAG,
        "Delete a dashboard",
        WRITE,
        delete_dashboard,
        status=204,
        matched=True,
        detail=f"It can be brought back for {dashboards.KEPT.days} days.",
    ),
    Operation(
        "POST",
        f"{ONE}/undelete",
        "undelete_dashboard",
        TAG,
        "Bring a deleted dashboard back",
        WRITE,
        undelete_dashboard,
        shapes.DASHBOARD,
        tagged=True,
    ),
    Operation(
        "POST",
        f"{ONE}/copy",
        "copy_dashboard",
        TAG,
        "Copy a dashboard",
        WRITE,
        copy_dashboard,
        shapes.DASHBOARD,
        status=201,
        keyed=True,
        tagged=True,
        body=object_of(
            {
                "title": {"type": "string", "minLength": 1, "maxLength": 200},
                "uid": {"type": "string", "description": "Left out: made from the title, with a number where needed."},
            },
            required=(),
            closed=True,
        ),
    ),
    Operation(
        "POST",
        f"{ONE}/tiles",
        "copy_tile",
        TAG,
        "Copy a tile into a dashboard",
        WRITE,
        copy_tile,
        shapes.DASHBOARD,
        keyed=True,
        tagged=True,
        matched=True,
        detail="It stands below the others, with the variables that it uses as far as they are missing there.",
        body=object_of(
            {
                "dashboard": {"type": "string", "description": "Where the tile is; left out: in this dashboard."},
                "tile": _TILE_ID,
            },
            required=("tile",),
            closed=True,
        ),
    ),
    Operation("PUT", f"{ONE}/star", "star_dashboard", TAG, "Star a dashboard", READ, star, status=204),
    Operation("DELETE", f"{ONE}/star", "unstar_dashboard", TAG, "Take the star away", READ, unstar, status=204),
    Operation(
        "POST",
        "/pipelines/{pipeline}/dashboard",
        "propose_dashboard",
        TAG,
        "Make a first dashboard for a pipeline",
        WRITE,
        propose,
        shapes.DASHBOARD,
        status=201,
        keyed=True,
        tagged=True,
        detail="Proposed from the active mapping, and saved under a uid that is free.",
    ),
)
