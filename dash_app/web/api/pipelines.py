"""Pipelines: made, changed, paused, resumed, archived; their signing secrets; the kinds of source there are."""

from __future__ import annotations

from functools import partial
from typing import Any

from dash_app.domain.errors import Conflict
from dash_app.domain.specs import Pipeline, PipelineStats
from dash_app.pipelines import setup
from dash_app.pipelines.drift import set_policy
from dash_app.pipelines.sources.webhook import Webhook
from dash_app.pipelines.trials import hook as hook_trial
from dash_app.storage import catalog, ledger, sightings, streams
from dash_app.web.api import drift, shapes
from dash_app.web.api.operation import PAGED, Answer, Call, Operation, uuid_of
from dash_app.web.api.schema import array_of, define, nullable, object_of, page_of


def _shown(call: Call, one: Pipeline, stats: PipelineStats | None = None) -> dict[str, Any]:
    return shapes.pipeline(one, call.app, call.base_url, stats)


def _with_stats(call: Call, one: Pipeline) -> dict[str, Any]:
    return _shown(call, one, catalog.stats(call.unit, [one.id])[one.id])


def list_pipelines(call: Call) -> Any:
    after = call.after_text()
    found = catalog.pipelines(call.unit, limit=call.query["limit"] + 1, after=uuid_of(after) if after else None)
    stats = catalog.stats(call.unit, [one.id for one in found]) if call.query["stats"] else {}
    return call.page(found, lambda one: _shown(call, one, stats.get(one.id)), lambda one: one.id)


def create_pipeline(call: Call) -> Any:
    made, secret = setup.create_pipeline(call.unit, call.app, call.principal.team, call.body, call.principal)
    return {**_shown(call, made), "secret": secret}


def get_pipeline(call: Call) -> Any:
    return _with_drift(call, call.pipeline())


def _with_drift(call: Call, one: Pipeline) -> dict[str, Any]:
    drift_policy = sightings.look(call.unit, one.id).policy
    return {**_with_stats(call, one), "drift": drift_policy, "stream": _stream(call, one)}


def _stream(call: Call, one: Pipeline) -> dict[str, Any] | None:
    """Where the pipeline's stream stands; None where its source is none, or no worker has begun it yet."""
    found = streams.stream(call.unit, one.id)
    return None if found is None else {name: getattr(found, name) for name in found.__slots__}


def update_pipeline(call: Call) -> Any:
    found = call.pipeline()
    made = setup.update_pipeline(
        call.unit, call.app, found.id, call.body, call.principal, expected_revision=call.expected_revision()
    )
    if "drift" in call.body:
        set_policy(call.unit, made, call.body["drift"])
    return _with_drift(call, made)


def pause_pipeline(call: Call) -> Any:
    return _with_stats(call, setup.pause(call.unit, call.pipeline().id, call.principal))


def resume_pipeline(call: Call) -> Any:
    made = setup.resume(call.unit, call.pipeline().id, call.principal)
    call.then(partial(setup.ring, call.app, made.id))
    return _with_stats(call, made)


def archive_pipeline(call: Call) -> Any:
    found = call.pipeline()
    setup.archive(call.unit, found.id, call.principal, expected_revision=call.expected_revision())
    call.then(partial(setup.close_view, call.app, found.id))
    return Answer()


def rotate_secret(call: Call) -> Any:
    secret = setup.rotate_secret(
        call.unit,
        call.app,
        call.pipeline().id,
        call.principal,
        secret=call.body.get("secret"),
        keep_old=call.body.get("keep_old", True),
    )
    return {"secret": secret}


def retire_secret(call: Call) -> Any:
    setup.retire_secret(call.unit, call.app, call.pipeline().id, call.principal)
    return Answer()


def test_pipeline(call: Call) -> Any:
    with call.app.database.team(call.principal.team) as unit:
        pipeline = catalog.pipeline(unit, call.path["pipeline"]).id
    body, content_type = call.body.get("body"), call.body.get("content_type") or "application/json"
    made = hook_trial.try_hook(call.app, call.principal.team, pipeline, body, content_type)
    return {
        "status": int(made.status),
        "answer": dict(made.answer),
        "request": {"headers": dict(made.headers), "body": made.body},
        "seconds": round(made.seconds, 4),
        "warnings": list(made.warnings),
    }


def poll_pipeline(call: Call) -> Any:
    found = call.pipeline()
    if ledger.poll(call.unit, found.id) is None:
        raise Conflict("this pipeline's source is not polled")
    if found.state != "active":
        raise Conflict("a paused pipeline is not polled; resume it")
    ledger.poll_now(call.unit, found.id)
    return _with_stats(call, found)


def list_source_kinds(call: Call) -> Any:
    sources = [
        {
            "kind": kind.kind,
            "summary": kind.summary,
            "pushed": kind.pushed,
            "options": kind.json_schema(),
            "example": dict(kind.example),
        }
        for kind in call.app.sources
    ]
    schemes = [
        {
            "scheme": scheme.kind,
            "summary": scheme.summary,
            "signed": scheme.signed,
            "default": scheme.kind == Webhook.param.scheme.default,
            "options": scheme.json_schema(),
        }
        for scheme in call.app.schemes
    ]
    return {"sources": sources, "schemes": schemes}


_NAME = {"type": "string", "minLength": 1, "maxLength": 200}
_SECRET = {
    "type": "string",
    "minLength": 8,
    "maxLength": 500,
    "writeOnly": True,
    "description": "A sender's own signing secret; left out: one is made.",
}
_RETENTION = {
    "type": "object",
    "properties": {
        name: {"type": ["integer", "null"], "minimum": 1, "maximum": setup.MAX_DAYS} for name in setup.RETENTION
    },
    "additionalProperties": False,
    "description": "Days for which payloads, records and rollups (no fewer than records) are kept; null: for ever.",
}
_CREATE = object_of(
    {
        "name": _NAME,
        "slug": {
            **nullable(shapes.SLUG),
            "description": "1 to 41 of a-z, 0-9 and _, beginning with a letter; left out: made from the name",
        },
        "source": object_of(
            {
                "kind": {"type": "string", "description": "One of GET /source-kinds."},
                "options": {"type": "object", "description": "As the kind's own schema says."},
                "secret": nullable(_SECRET),
            },
            required=("kind",),
            closed=True,
        ),
        "mapping": {
            "type": ["object", "null"],
            "description": "A mapping document; null: inferred from the first payloads.",
        },
        "retention": nullable(_RETENTION),
    },
    required=("name", "source"),
    closed=True,
)
_UPDATE = object_of(
    {
        "name": _NAME,
        "source": object_of({"kind": shapes.TEXT, "options": {"type": "object"}}, required=("options",), closed=True),
        "retention": nullable(_RETENTION),
        "drift": drift.POLICY,
    },
    required=(),
    closed=True,
)
_STREAM = object_of(
    {
        "state": {
            "type": "string",
            "enum": ["connecting", "connected", "waiting", "failed"],
            "description": "waiting: it will be tried again; failed: so it will, but somebody has to change something.",
        },
        "since": shapes.TIME,
        "error": {"type": "string", "description": "Why it is not connected, or not read."},
        "next_at": {**nullable(shapes.TIME), "description": "When it is tried again."},
        "owner": {"type": "string", "description": "The worker that has it; empty: none."},
        "failures": {**shapes.COUNT, "description": "In a row."},
        "failing_since": nullable(shapes.TIME),
        "messages": shapes.COUNT,
        "bytes": shapes.COUNT,
        "refused": {**shapes.COUNT, "description": "Messages that were too large."},
        "last_message": nullable(shapes.TIME),
    },
    description="Where the stream of a source that stays connected stands; null for others.",
)
_PIPELINE = define(
    "PipelineWithDrift",
    {"allOf": [shapes.PIPELINE, object_of({"drift": drift.POLICY, "stream": nullable(_STREAM)})], "type": "object"},
)
_KIND = object_of(
    {
        "kind": shapes.TEXT,
        "summary": shapes.TEXT,
        "pushed": {"type": "boolean"},
        "options": shapes.OBJECT,
        "example": shapes.OBJECT,
    }
)
_SCHEME = object_of(
    {
        "scheme": shapes.TEXT,
        "summary": shapes.TEXT,
        "signed": {"type": "boolean"},
        "default": {"type": "boolean"},
        "options": shapes.OBJECT,
    }
)
_TRIAL = define(
    "WebhookTrial",
    object_of(
        {
            "status": {"type": "integer"},
            "answer": {"type": "object", "description": "What a sender would be answered."},
            "request": object_of(
                {
                    "headers": {"type": "object", "description": "Without what is secret in them."},
                    "body": shapes.TEXT,
                }
            ),
            "seconds": {"type": "number"},
            "warnings": array_of(shapes.TEXT),
        }
    ),
)
_TAG = "Pipelines"
_READ, _WRITE = "pipelines.read", "pipelines.write"
_STATS = {"stats": {"type": "boolean", "default": False, "description": "With the counts of each."}}

OPERATIONS = (
    Operation(
        "GET",
        "/pipelines",
        "list_pipelines",
        _TAG,
        "The team's pipelines, oldest first",
        _READ,
        list_pipelines,
        page_of(shapes.PIPELINE),
        query={**PAGED, **_STATS},
    ),
    Operation(
        "POST",
        "/pipelines",
        "create_pipeline",
        _TAG,
        "Make a pipeline",
        _WRITE,
        create_pipeline,
        shapes.NEW_PIPELINE,
        status=201,
        body=_CREATE,
        keyed=True,
        tagged=True,
        detail="The answer holds the signing secret this once.",
    ),
    Operation(
        "GET",
        "/pipelines/{pipeline}",
        "get_pipeline",
        _TAG,
        "A pipeline with its counts",
        _READ,
        get_pipeline,
        _PIPELINE,
        tagged=True,
    ),
    Operation(
        "PATCH",
        "/pipelines/{pipeline}",
        "update_pipeline",
        _TAG,
        "Change name, source options, retention or what is done about drift",
        _WRITE,
        update_pipeline,
        _PIPELINE,
        body=_UPDATE,
        tagged=True,
        matched=True,
        detail="`source.options` replaces all options; write-only ones that are left out stay as they are.",
    ),
    Operation(
        "DELETE",
        "/pipelines/{pipeline}",
        "archive_pipeline",
        _TAG,
        "Archive a pipeline",
        _WRITE,
        archive_pipeline,
        status=204,
        matched=True,
        detail="Its address answers 404 from then on, its slug is free, and what it gathered is kept.",
    ),
    Operation(
        "POST",
        "/pipelines/{pipeline}/pause",
        "pause_pipeline",
        _TAG,
        "Pause a pipeline",
        _WRITE,
        pause_pipeline,
        shapes.PIPELINE,
        keyed=True,
        tagged=True,
        detail="Polling and mapping stop; a webhook goes on accepting, and what comes is held.",
    ),
    Operation(
        "POST",
        "/pipelines/{pipeline}/resume",
        "resume_pipeline",
        _TAG,
        "Go on where it was paused",
        _WRITE,
        resume_pipeline,
        shapes.PIPELINE,
        keyed=True,
        tagged=True,
    ),
    Operation(
        "POST",
        "/pipelines/{pipeline}/secret",
        "rotate_secret",
        _TAG,
        "Make a new signing secret",
        _WRITE,
        rotate_secret,
        object_of({"secret": {"type": "string", "description": "Shown this once."}}),
        status=201,
        keyed=True,
        body=object_of(
            {
                "secret": _SECRET,
                "keep_old": {
                    "type": "boolean",
                    "default": True,
                    "description": "Whether the one before stays valid too, until it is retired.",
                },
            },
            required=(),
            closed=True,
        ),
    ),
    Operation(
        "DELETE",
        "/pipelines/{pipeline}/secret/previous",
        "retire_secret",
        _TAG,
        "End the signing secret before the newest",
        _WRITE,
        retire_secret,
        status=204,
    ),
    Operation(
        "POST",
        "/pipelines/{pipeline}/test",
        "test_pipeline",
        _TAG,
        "Send a signed sample to a webhook",
        _WRITE,
        test_pipeline,
        _TRIAL,
        body=object_of(
            {
                "body": {
                    "type": ["string", "null"],
                    "maxLength": hook_trial.MAX_SAMPLE,
                    "description": "Left out: a sample as this scheme's senders send it.",
                },
                "content_type": {"type": ["string", "null"], "maxLength": 200},
            },
            required=(),
            closed=True,
        ),
        detail="It is signed with the newest secret and goes the road of every delivery, so that it becomes a payload; "
        "what a sender would be answered stands in `status` and `answer`. 404 where the source is no webhook.",
    ),
    Operation(
        "POST",
        "/pipelines/{pipeline}/poll",
        "poll_pipeline",
        _TAG,
        "Have a polled source asked now",
        _WRITE,
        poll_pipeline,
        shapes.PIPELINE,
        keyed=True,
        tagged=True,
        detail="The next run begins within a second, instead of when it is due.",
    ),
    Operation(
        "GET",
        "/source-kinds",
        "list_source_kinds",
        _TAG,
        "Kinds of source and signature schemes, with their options",
        _READ,
        list_source_kinds,
        object_of({"sources": array_of(_KIND), "schemes": array_of(_SCHEME)}),
    ),
)
