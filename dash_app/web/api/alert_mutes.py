"""What keeps alerts quiet: silences and maintenance windows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dash_app.pipelines.alerts import setup as alert_setup
from dash_app.storage import alert_mutes
from dash_app.web.api import alert_shapes as shapes
from dash_app.web.api.operation import Answer, Call, Operation, uuid_of
from dash_app.web.api.schema import Schema, array_of, object_of


def list_silences(call: Call) -> Any:
    # Since the beginning of time, or since now.
    since = datetime(1970, 1, 1, tzinfo=UTC) if call.query["ended"] else None
    return {"items": [shapes.silence(one) for one in alert_mutes.silences(call.unit, since=since)]}


def create_silence(call: Call) -> Any:
    return shapes.silence(alert_setup.create_silence(call.unit, call.principal.team, call.body, call.principal))


def end_silence(call: Call) -> Any:
    alert_setup.end_silence(call.unit, uuid_of(call.path["silence"]), call.principal)
    return Answer()


def list_windows(call: Call) -> Any:
    now = datetime.now(UTC)
    return {"items": [shapes.window(one, now) for one in alert_mutes.windows(call.unit)]}


def create_window(call: Call) -> Any:
    made = alert_setup.create_window(call.unit, call.principal.team, call.body, call.principal)
    return shapes.window(made, datetime.now(UTC))


def get_window(call: Call) -> Any:
    return shapes.window(alert_mutes.window(call.unit, uuid_of(call.path["window"])), datetime.now(UTC))


def update_window(call: Call) -> Any:
    made = alert_setup.update_window(
        call.unit,
        uuid_of(call.path["window"]),
        call.body,
        call.principal,
        expected_revision=call.expected_revision(),
    )
    return shapes.window(made, datetime.now(UTC))


def delete_window(call: Call) -> Any:
    alert_setup.delete_window(call.unit, uuid_of(call.path["window"]), call.principal)
    return Answer()


_TAG = "Alerts"
_READ, _WRITE = "alerts.read", "alerts.write"
_WHEN: Schema = {"type": "string", "maxLength": 100, "description": "As in a query."}
_SILENCE = object_of(
    {
        "matchers": shapes.MATCHERS,
        "from": {**_WHEN, "default": "now"},
        "to": _WHEN,
        "duration": {"type": "string", "maxLength": 20, "description": "In place of `to`, such as 2h."},
        "comment": {"type": "string", "maxLength": 1000},
    },
    required=("matchers",),
    closed=True,
)
_WINDOW = object_of(
    {
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "matchers": shapes.MATCHERS,
        "cron": {"type": "string", "maxLength": 200, "description": "When it begins: five fields, as in 0 2 * * 6."},
        "timezone": {"type": "string", "maxLength": 60, "description": "On whose clock; UTC where none is named."},
        "duration": {"type": "string", "maxLength": 20, "description": "How long it lasts, such as 2h."},
        "from": {**_WHEN, "description": "In place of cron and duration: when it begins, once."},
        "to": _WHEN,
    },
    required=("name",),
    closed=True,
)
_ONE = "/maintenance-windows/{window}"

OPERATIONS = (
    Operation(
        "GET",
        "/silences",
        "list_silences",
        _TAG,
        "Silences, the first to end first",
        _READ,
        list_silences,
        object_of({"items": array_of(shapes.SILENCE)}),
        query={"ended": {"type": "boolean", "default": False, "description": "With those that are over."}},
    ),
    Operation(
        "POST",
        "/silences",
        "create_silence",
        _TAG,
        "Keep alerts quiet for a while",
        _WRITE,
        create_silence,
        shapes.SILENCE,
        status=201,
        body=_SILENCE,
        keyed=True,
    ),
    Operation(
        "DELETE",
        "/silences/{silence}",
        "end_silence",
        _TAG,
        "End a silence now",
        _WRITE,
        end_silence,
        status=204,
    ),
    Operation(
        "GET",
        "/maintenance-windows",
        "list_maintenance_windows",
        _TAG,
        "Maintenance windows",
        _READ,
        list_windows,
        object_of({"items": array_of(shapes.WINDOW)}),
    ),
    Operation(
        "POST",
        "/maintenance-windows",
        "create_maintenance_window",
        _TAG,
        "Make a maintenance window",
        _WRITE,
        create_window,
        shapes.WINDOW,
        status=201,
        body=_WINDOW,
        keyed=True,
        tagged=True,
    ),
    Operation(
        "GET", _ONE, "get_maintenance_window", _TAG, "A maintenance window", _READ, get_window, shapes.WINDOW,
        tagged=True,
    ),
    Operation(
        "PUT",
        _ONE,
        "update_maintenance_window",
        _TAG,
        "Save a maintenance window anew",
        _WRITE,
        update_window,
        shapes.WINDOW,
        body=_WINDOW,
        tagged=True,
        matched=True,
    ),
    Operation(
        "DELETE",
        _ONE,
        "delete_maintenance_window",
        _TAG,
        "Delete a maintenance window",
        _WRITE,
        delete_window,
        status=204,
    ),
)  # fmt: skip
