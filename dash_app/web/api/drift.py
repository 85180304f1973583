"""Drift: which fields were seen in what came, how they differ from the mapping, and what was done about it."""

from __future__ import annotations

from typing import Any

from dash_app.pipelines import drift
from dash_app.web.api import shapes
from dash_app.web.api.operation import Call, Operation
from dash_app.web.api.schema import array_of, define, nullable, object_of

EVENTS = 100


def get_drift(call: Call) -> Any:
    return _shown(drift.report(call.unit, call.pipeline(), limit=EVENTS))


def dismiss_drift(call: Call) -> Any:
    found = call.pipeline()
    drift.dismiss(call.unit, found, call.body["paths"])
    return _shown(drift.report(call.unit, found, limit=EVENTS))


def _shown(report: drift.Report) -> dict[str, Any]:
    return {
        "policy": report.policy,
        "mapping_version": report.version,
        "payloads": report.payloads,
        "looked_at": report.looked_at,
        "differences": [
            {
                "what": one.what,
                "path": one.path,
                "before": one.before,
                "after": one.after,
                "since": one.since,
                "proposal": list(one.proposal),
            }
            for one in report.differences
        ],
        "fields": [
            {
                "path": one.path,
                "kinds": one.kinds,
                "example": one.example,
                "first_seen": one.first_seen,
                "last_seen": one.last_seen,
                "payloads": one.payloads,
                "mapped": one.mapped or None,
            }
            for one in report.fields
        ],
        "events": [
            {
                "id": str(one.id),
                "at": one.at,
                "what": one.what,
                "path": one.path,
                "before": one.before,
                "after": one.after,
                "mapping_version": one.version,
                "handled": one.handled,
            }
            for one in report.events
        ],
    }


POLICY = {
    "type": "string",
    "enum": list(drift.POLICIES),
    "description": "What is done about new fields and changed types: keep only reports them, evolve also adds new "
    "fields to the mapping, pause also pauses the pipeline.",
}
_PATH = {"type": "string", "description": "From the record on, such as $.site."}
_KINDS = {"type": "string", "description": "Kinds of value, or a field's type; empty: there is none."}
_DRIFT = define(
    "Drift",
    object_of(
        {
            "policy": POLICY,
            "mapping_version": {"type": ["integer", "null"]},
            "payloads": {**shapes.COUNT, "description": "Looked at so far: all of them, or a sample where much comes."},
            "looked_at": nullable(shapes.TIME),
            "differences": array_of(
                object_of(
                    {
                        "what": {"type": "string", "enum": ["new", "changed", "vanished"]},
                        "path": _PATH,
                        "before": _KINDS,
                        "after": _KINDS,
                        "since": shapes.TIME,
                        "proposal": array_of(shapes.OBJECT, description="Fields of a mapping that would take it."),
                    }
                ),
                description="How what comes differs from the active mapping now.",
            ),
            "fields": array_of(
                object_of(
                    {
                        "path": _PATH,
                        "kinds": {"type": "object", "description": "How many values of each kind."},
                        "example": shapes.TEXT,
                        "first_seen": nullable(shapes.TIME),
                        "last_seen": nullable(shapes.TIME),
                        "payloads": shapes.COUNT,
                        "mapped": {"type": ["string", "null"], "description": "The field that reads it."},
                    }
                ),
                description="Every path that was seen in a record, or that the mapping reads.",
            ),
            "events": array_of(
                object_of(
                    {
                        "id": shapes.ID,
                        "at": shapes.TIME,
                        "what": {"type": "string", "enum": ["new", "changed", "vanished", "returned"]},
                        "path": _PATH,
                        "before": _KINDS,
                        "after": _KINDS,
                        "mapping_version": shapes.COUNT,
                        "handled": {"type": "string", "description": "noted, paused, or added in version 4."},
                    }
                ),
                description=f"The newest {EVENTS}, newest first.",
            ),
        }
    ),
)
_TAG = "Drift"

OPERATIONS = (
    Operation(
        "GET",
        "/pipelines/{pipeline}/drift",
        "get_drift",
        _TAG,
        "What was seen in what came, and how it differs from the mapping",
        "pipelines.read",
        get_drift,
        _DRIFT,
    ),
    Operation(
        "POST",
        "/pipelines/{pipeline}/drift/dismiss",
        "dismiss_drift",
        _TAG,
        "Take differences as known",
        "pipelines.write",
        dismiss_drift,
        _DRIFT,
        keyed=True,
        detail="They are no differences any more, and `evolve` and `pause` pass them over.",
        body=object_of(
            {"paths": array_of({"type": "string", "maxLength": 1000}, minItems=1, maxItems=500)},
            required=("paths",),
            closed=True,
        ),
    ),
)
