"""What dashboards can be made of: the kinds of tile with their options, and templates for common uses."""

from __future__ import annotations

from typing import Any

from dash_app.domain.tiles import TILES
from dash_app.pipelines import dashboard_templates, dashboards
from dash_app.web.api import dashboard_shapes as shapes
from dash_app.web.api.dashboards import READ, TAG, WRITE
from dash_app.web.api.operation import Call, Operation
from dash_app.web.api.schema import array_of, object_of


def list_tiles(call: Call) -> Any:
    return {"items": [shapes.tile_kind(one) for one in TILES]}


def list_templates(call: Call) -> Any:
    return {"items": [shapes.template(one) for one in dashboard_templates.all_templates()]}


def create_from_template(call: Call) -> Any:
    name = call.path["template"]
    document = dashboard_templates.instantiate(call.unit, name, call.body)
    note = f"From the template {dashboard_templates.template(name).title}"
    made = dashboards.create_dashboard(call.unit, call.principal.team, document, call.principal, note=note)
    return shapes.dashboard(made)


OPERATIONS = (
    Operation(
        "GET",
        "/tiles",
        "list_tile_kinds",
        TAG,
        "Kinds of tile with the JSON Schema of their options",
        READ,
        list_tiles,
        object_of({"items": array_of(shapes.TILE_KIND)}),
    ),
    Operation(
        "GET",
        "/dashboard-templates",
        "list_dashboard_templates",
        TAG,
        "Templates for dashboards",
        READ,
        list_templates,
        object_of({"items": array_of(shapes.TEMPLATE)}),
    ),
    Operation(
        "POST",
        "/dashboard-templates/{template}",
        "create_from_template",
        TAG,
        "Make a dashboard from a template",
        WRITE,
        create_from_template,
        shapes.DASHBOARD,
        status=201,
        keyed=True,
        tagged=True,
        detail="Inputs that are not named are guessed from the names and types of the pipeline's fields.",
        body=object_of(
            {
                "pipeline": {"type": "string", "maxLength": 200, "description": "Slug or id."},
                "fields": {
                    "type": "object",
                    "description": "Input → field of the pipeline; null: none.",
                    "examples": [{"amount": "total"}],
                },
                "title": {"type": "string", "minLength": 1, "maxLength": 200},
            },
            required=("pipeline",),
            closed=True,
        ),
    ),
)
