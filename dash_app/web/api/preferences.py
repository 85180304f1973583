"""What the person behind a session or token wants the same everywhere."""

from __future__ import annotations

from typing import Any

from dash_app.storage import preferences
from dash_app.web.api.operation import Call, Operation
from dash_app.web.api.schema import define, object_of


def get_preferences(call: Call) -> Any:
    return {"timezone": preferences.get(call.unit, call.principal.user).timezone}


def update_preferences(call: Call) -> Any:
    return {"timezone": preferences.set_timezone(call.unit, call.principal.user, call.body["timezone"]).timezone}


_PREFERENCES = define(
    "Preferences",
    object_of(
        {
            "timezone": {
                "type": "string",
                "maxLength": 60,
                "description": "The IANA name of the zone that times are shown in; empty: the browser's.",
            }
        },
    ),
)

OPERATIONS = (
    Operation("GET", "/preferences", "get_preferences", "People", "What I prefer", None, get_preferences, _PREFERENCES),
    Operation(
        "PUT",
        "/preferences",
        "update_preferences",
        "People",
        "Say what I prefer",
        None,
        update_preferences,
        _PREFERENCES,
        body=object_of({"timezone": {"type": "string", "maxLength": 60}}, closed=True),
    ),
)
