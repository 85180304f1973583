"""How dashboards and what belongs to them look in JSON, each beside the schema that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash_app.domain.dashboard_changes import Change
from dash_app.domain.specs import Dashboard, DashboardLine, DashboardVersion
from dash_app.domain.tiles import TileKind
from dash_app.pipelines.dashboard_templates import Template
from dash_app.storage.annotations import Annotation
from dash_app.web.api.schema import Schema, array_of, define, nullable, object_of
from dash_app.web.api.shapes import COUNT, ID, OBJECT, SLUG, TEXT, TIME

_REVISION: Schema = {"type": "integer", "description": "Grows by one with every save; also the ETag."}
_DASHBOARD: dict[str, Schema] = {
    "uid": SLUG,
    "title": TEXT,
    "revision": _REVISION,
    "updated_at": TIME,
    "updated_by": TEXT,
}
DASHBOARD = define("Dashboard", object_of({**_DASHBOARD, "dashboard": OBJECT}))
DASHBOARD_LINE = define(
    "DashboardLine",
    object_of(
        {
            **_DASHBOARD,
            "description": TEXT,
            "folder": {"type": "string", "description": "Such as Operations/Web; empty: in none."},
            "tags": array_of(TEXT),
            "tiles": COUNT,
            "starred": {"type": "boolean", "description": "By you."},
        }
    ),
)


def dashboard(one: Dashboard) -> dict[str, Any]:
    return {**_dashboard(one), "dashboard": one.document}


def dashboard_line(one: DashboardLine) -> dict[str, Any]:
    return {
        **_dashboard(one),
        "description": one.description,
        "folder": one.folder,
        "tags": list(one.tags),
        "tiles": one.tiles,
        "starred": one.starred,
    }


def _dashboard(one: Dashboard | DashboardLine) -> Mapping[str, Any]:
    return {
        "uid": one.uid,
        "title": one.title,
        "revision": one.revision,
        "updated_at": one.updated_at,
        "updated_by": one.updated_by,
    }


# Versions ------------------------------------------------------------------------------------------------------------

_VERSION: dict[str, Schema] = {
    "revision": _REVISION,
    "note": {"type": "string", "description": "Why, in the words of who saved it."},
    "author": TEXT,
    "created_at": TIME,
}
VERSION_LINE = define("DashboardVersionLine", object_of(_VERSION))
VERSION = define("DashboardVersion", object_of({**_VERSION, "dashboard": OBJECT}))
CHANGES = define(
    "DashboardChanges",
    object_of(
        {
            "from": _REVISION,
            "to": _REVISION,
            "changes": array_of(
                object_of(
                    {
                        "place": {"type": "string", "description": "Such as title, tiles.3 or variables.site."},
                        "subject": TEXT,
                        "what": {"type": "string", "enum": ["added", "removed", "changed", "moved"]},
                        "sentence": TEXT,
                        "details": array_of(
                            object_of({"name": TEXT, "before": {}, "after": {}}),
                            description="What of it, such as query.where or options.unit; null: not there.",
                        ),
                    }
                )
            ),
        }
    ),
)


def version_line(one: DashboardVersion) -> dict[str, Any]:
    return {"revision": one.revision, "note": one.note, "author": one.author, "created_at": one.created_at}


def version(one: DashboardVersion) -> dict[str, Any]:
    return {**version_line(one), "dashboard": one.document}


def change(one: Change) -> dict[str, Any]:
    return {**one.as_json(), "sentence": one.sentence}


# Annotations ---------------------------------------------------------------------------------------------------------

ANNOTATION = define(
    "Annotation",
    object_of(
        {
            "id": ID,
            "time": TIME,
            "time_end": nullable({**TIME, "description": "null: a moment."}),
            "text": TEXT,
            "tags": array_of(TEXT),
            "tile": {"type": "string", "description": "The id of a tile; empty: all charts of the dashboard."},
            "author": TEXT,
            "created_at": TIME,
            "updated_at": TIME,
        }
    ),
)


def annotation(one: Annotation) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__} | {"id": str(one.id), "tags": list(one.tags)}


# Kinds of tile and templates -----------------------------------------------------------------------------------------

TILE_KIND = define(
    "TileKind",
    object_of(
        {
            "kind": TEXT,
            "title": TEXT,
            "summary": TEXT,
            "needs": {"type": "string", "description": "What its query must give."},
            "queries": {"type": "string", "enum": ["none", "one", "many"]},
            "options": {"type": "object", "description": "JSON Schema of a tile's options."},
            "example": OBJECT,
        }
    ),
)


def tile_kind(one: type[TileKind]) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "title": one.title,
        "summary": one.summary,
        "needs": one.needs,
        "queries": one.queries,
        "options": one.json_schema(),
        "example": one.example,
    }


TEMPLATE = define(
    "DashboardTemplate",
    object_of(
        {
            "name": SLUG,
            "title": TEXT,
            "summary": TEXT,
            "inputs": array_of(
                object_of(
                    {
                        "name": TEXT,
                        "title": TEXT,
                        "summary": TEXT,
                        "types": array_of(TEXT, description="Types that the field may have."),
                        "needed": {"type": "boolean"},
                    }
                ),
                description="Fields of the pipeline. What is not needed and has no field leaves its tiles out.",
            ),
        }
    ),
)


def template(one: Template) -> dict[str, Any]:
    return one.as_json()
