"""Sources tried out before they are saved."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dash_app.domain.errors import Conflict
from dash_app.pipelines.trials import trial
from dash_app.storage import catalog
from dash_app.web.api import shapes
from dash_app.web.api.operation import Call, Operation
from dash_app.web.api.schema import array_of, define, nullable, object_of


def try_source(call: Call) -> Any:
    kind, options = call.body["kind"], call.body.get("options") or {}
    secrets: dict[str, Any] = {}
    if call.body.get("pipeline"):
        # A unit of its own, so that no connection is held while somebody else's server takes its time.
        with call.app.database.team(call.principal.team) as unit:
            found = catalog.pipeline(unit, call.body["pipeline"])
            if found.source_kind != kind:
                raise Conflict(f"that pipeline's source is of the kind {found.source_kind}, not {kind}")
            secrets = trial.kept_secrets(unit, call.app, found, options)
    return shown(trial.try_source(call.app, kind, options, secrets))


def shown(made: trial.Trial) -> dict[str, Any]:
    """A trial as JSON."""
    document = asdict(made)
    document["problems"] = [{"at": place, "message": what} for place, what in made.problems]
    document["seconds"] = round(made.seconds, 3)
    return document


_PAGINATION = object_of({"paginator": shapes.OBJECT, "why": shapes.TEXT, "followed": {"type": "boolean"}})
_FIELD = object_of(dict.fromkeys(("name", "type", "path", "role", "sample"), shapes.TEXT))
_TRIAL = define(
    "SourceTrial",
    object_of(
        {
            "ok": {"type": "boolean"},
            "problems": array_of(object_of({"at": shapes.TEXT, "message": shapes.TEXT})),
            "method": shapes.TEXT,
            "url": shapes.TEXT,
            "parents": {"type": ["integer", "null"]},
            "status": {"type": ["integer", "null"]},
            "reason": shapes.TEXT,
            "headers": shapes.OBJECT,
            "content_type": shapes.TEXT,
            "size": {"type": "integer"},
            "text": {**shapes.TEXT, "description": "The beginning of the body, without secrets."},
            "cut": {"type": "boolean"},
            "seconds": {"type": "number"},
            "pagination": nullable(_PAGINATION),
            "selector": shapes.TEXT,
            "count": {"type": ["integer", "null"]},
            "records": array_of({}),
            "mapping": {"type": ["object", "null"]},
            "note": shapes.TEXT,
            "fields": array_of(_FIELD),
        }
    ),
)

OPERATIONS = (
    Operation(
        "POST",
        "/sources/try",
        "try_source",
        "Pipelines",
        "Try a source out without saving it",
        "pipelines.write",
        try_source,
        _TRIAL,
        body=object_of(
            {
                "kind": {"type": "string", "maxLength": 100, "description": "One of GET /source-kinds."},
                "options": {"type": "object", "description": "As the kind's own schema says."},
                "pipeline": {
                    "type": ["string", "null"],
                    "maxLength": 100,
                    "description": "A pipeline whose stored secrets stand in for those that are left out, as long as "
                    "no other host is named.",
                },
            },
            required=("kind",),
            closed=True,
        ),
        detail="One real request is made. What is wrong with the source or its answer stands in `problems`; the status "
        "is 200 all the same. Nothing is stored.",
    ),
)
