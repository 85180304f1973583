"""Annotations that people, or programs at a deployment, write on a dashboard."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dash_app.domain.query import parse_time
from dash_app.pipelines import annotations as writing
from dash_app.storage import annotations as stored
from dash_app.storage import dashboards
from dash_app.web.api import dashboard_shapes as shapes
from dash_app.web.api.dashboards import ONE, READ, WRITE
from dash_app.web.api.operation import Answer, Call, Operation, uuid_of
from dash_app.web.api.schema import Schema, array_of, nullable, object_of

_NOTHING: dict[str, Any] = {"time_end": None, "tags": [], "tile": ""}


def list_annotations(call: Call) -> Any:
    found = dashboards.get(call.unit, call.path["dashboard"])
    now = datetime.now(UTC)
    start, end = (parse_time(call.query[name], now, place=name) for name in ("from", "to"))
    tags = [call.query["tag"]] if call.query["tag"] else []
    return {
        "items": [
            shapes.annotation(one)
            for one in stored.between(call.unit, found.id, start, end, tags=tags, limit=call.query["limit"])
        ]
    }


def create_annotation(call: Call) -> Any:
    return shapes.annotation(writing.write(call.unit, call.path["dashboard"], call.body, call.principal))


def update_annotation(call: Call) -> Any:
    number = uuid_of(call.path["annotation"])
    changed = {**_NOTHING, **call.body}
    return shapes.annotation(writing.rewrite(call.unit, call.path["dashboard"], number, changed, call.principal))


def delete_annotation(call: Call) -> Any:
    writing.remove(call.unit, call.path["dashboard"], uuid_of(call.path["annotation"]), call.principal)
    return Answer()


_TAG = "Annotations"
_MANY = f"{ONE}/annotations"
_ONE = f"{_MANY}/{{annotation}}"
_WHEN: Schema = {
    "type": ["string", "integer"],
    "description": "ISO 8601, milliseconds since 1970, or relative such as now-5m.",
}
_BODY = object_of(
    {
        "time": _WHEN,
        "time_end": nullable({**_WHEN, "description": "The end of a span; null or left out: a moment."}),
        "text": {"type": "string", "minLength": 1, "maxLength": writing.MOST_TEXT},
        "tags": array_of({"type": "string", "minLength": 1, "maxLength": 40}, maxItems=writing.MOST_TAGS),
        "tile": {"type": "string", "maxLength": 60, "description": "The id of a tile; left out: all charts."},
    },
    required=("time", "text"),
    closed=True,
)
_RANGE: dict[str, Schema] = {
    "from": {"type": "string", "maxLength": 100, "default": "now-24h", "description": "As in a query."},
    "to": {"type": "string", "maxLength": 100, "default": "now", "description": "As in a query."},
    "tag": {"type": "string", "maxLength": 40, "default": "", "description": "Those with this tag."},
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": stored.MOST,
        "default": stored.MOST,
        "description": "How many items at most.",
    },
}

OPERATIONS = (
    Operation(
        "GET",
        _MANY,
        "list_annotations",
        _TAG,
        "Annotations written on a dashboard, newest first",
        READ,
        list_annotations,
        object_of({"items": array_of(shapes.ANNOTATION)}),
        query=_RANGE,
        detail="Those that touch from ≤ time < to. What comes from queries and replays is on the live channel.",
    ),
    Operation(
        "POST",
        _MANY,
        "create_annotation",
        _TAG,
        "Write an annotation",
        WRITE,
        create_annotation,
        shapes.ANNOTATION,
        status=201,
        body=_BODY,
        keyed=True,
    ),
    Operation(
        "PUT", _ONE, "update_annotation", _TAG, "Write an annotation anew", WRITE, update_annotation,
        shapes.ANNOTATION, body=_BODY,
    ),
    Operation("DELETE", _ONE, "delete_annotation", _TAG, "Remove an annotation", WRITE, delete_annotation, status=204),
)  # fmt: skip
