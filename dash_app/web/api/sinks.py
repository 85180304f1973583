"""Sinks: made, changed, paused, resumed, deleted, tried out; the kinds there are."""

from __future__ import annotations

from typing import Any

from dash_app.pipelines.delivery import setup as sink_setup
from dash_app.storage import delivery_history, sinks
from dash_app.storage.sinks import Sink
from dash_app.web.api import shapes as common
from dash_app.web.api import sink_shapes as shapes
from dash_app.web.api.operation import PAGED, Answer, Call, Operation
from dash_app.web.api.schema import Schema, array_of, nullable, object_of, page_of


def shown(call: Call, found: Sink) -> dict[str, Any]:
    return _all_shown(call, [found])[0]


def _all_shown(call: Call, found: list[Sink]) -> list[dict[str, Any]]:
    wanted = [one.id for one in found]
    counts = delivery_history.waiting(call.unit, wanted)
    names: dict[Any, list[str]] = {}
    for owner, name in call.unit.rows(
        "SELECT owner, name FROM secrets WHERE owner = ANY(%s) AND slot = 0 ORDER BY name", (wanted,)
    ):
        names.setdefault(owner, []).append(name)
    return [shapes.sink(one, names.get(one.id, []), counts.get(one.id, (0, 0))) for one in found]


def list_sinks(call: Call) -> Any:
    found = sinks.sinks(call.unit, limit=call.query["limit"] + 1, after=call.after_text())
    page = call.page(found, lambda one: one, lambda one: one.slug)
    return {**page, "items": _all_shown(call, page["items"])}


def create_sink(call: Call) -> Any:
    made = sink_setup.create_sink(call.unit, call.app, call.principal.team, call.body, call.principal)
    return {**shown(call, made.sink), "generated": dict(made.secrets)}


def get_sink(call: Call) -> Any:
    return shown(call, sinks.get(call.unit, call.path["sink"]))


def update_sink(call: Call) -> Any:
    made = sink_setup.update_sink(
        call.unit,
        call.app,
        call.path["sink"],
        call.body,
        call.principal,
        expected_revision=call.expected_revision(),
    )
    return shown(call, made)


def delete_sink(call: Call) -> Any:
    sink_setup.delete_sink(
        call.unit, call.app, call.path["sink"], call.principal, expected_revision=call.expected_revision()
    )
    return Answer()


def pause_sink(call: Call) -> Any:
    return shown(call, sink_setup.pause(call.unit, call.path["sink"], call.principal))


def resume_sink(call: Call) -> Any:
    return shown(call, sink_setup.resume(call.unit, call.path["sink"], call.principal))


def rotate_secret(call: Call) -> Any:
    secret = sink_setup.rotate_secret(
        call.unit,
        call.app,
        call.path["sink"],
        call.principal,
        secret=call.body.get("secret"),
        keep_old=call.body.get("keep_old", True),
    )
    return {"secret": secret}


def test_sink(call: Call) -> Any:
    # Units of its own: nothing is held open while the other side takes its time.
    done = sink_setup.test(call.app, call.principal.team, call.path["sink"], call.principal)
    return {"delivery": shapes.delivery_line(done.delivery), "attempt": shapes.attempt(done.attempt)}


def preview_sink(call: Call) -> Any:
    made = sink_setup.preview(
        call.unit,
        call.app,
        call.body["sink"],
        call.body.get("pipeline"),
        of=call.body.get("of"),
        limit=call.body.get("limit", 5),
    )
    return shapes.preview(made)


def list_kinds(call: Call) -> Any:
    return {"items": [shapes.sink_kind(one) for one in call.app.sinks]}


_DOCUMENT: dict[str, Schema] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 200},
    "slug": {
        **nullable(common.SLUG),
        "description": "1 to 41 of a-z, 0-9 and _, beginning with a letter; left out: made from the name",
    },
    "kind": {"type": "string", "description": "One of GET /sink-kinds."},
    "options": {"type": "object", "description": "As the kind's own schema says."},
    "pipelines": nullable(
        array_of(
            {"type": "string", "maxLength": 100},
            maxItems=100,
            description="Slugs or ids of those whose records it gets; none: alerts and reports alone.",
        )
    ),
    "where": {
        "type": ["string", "null"],
        "maxLength": 4000,
        "description": "Which records: the language of a mapping's where, over the pipeline's fields.",
    },
    "template": shapes.TEMPLATE,
    "batch": nullable(shapes.BATCH),
}
_CREATE = object_of(_DOCUMENT, required=("name", "kind"), closed=True)
_UPDATE = object_of(_DOCUMENT, required=("name",), closed=True)
_TAG = "Sinks"
READ, WRITE = "sinks.read", "sinks.write"
ONE = "/sinks/{sink}"

OPERATIONS = (
    Operation(
        "GET", "/sinks", "list_sinks", _TAG, "The team's sinks, by slug", READ, list_sinks, page_of(shapes.SINK),
        query=PAGED,
    ),
    Operation(
        "POST",
        "/sinks",
        "create_sink",
        _TAG,
        "Make a sink",
        WRITE,
        create_sink,
        shapes.NEW_SINK,
        status=201,
        body=_CREATE,
        keyed=True,
        tagged=True,
        detail="The answer holds secrets that were made with it this once.",
    ),
    Operation(
        "POST",
        "/sinks/preview",
        "preview_sink",
        _TAG,
        "What a sink would make of a pipeline's newest records",
        WRITE,
        preview_sink,
        shapes.PREVIEW,
        body=object_of(
            {
                "sink": _CREATE,
                "pipeline": {"type": "string", "description": "Left out: the sink's first."},
                "of": {"type": "string", "description": "The sink that is being changed: its secrets stand in."},
                "limit": {"type": "integer", "minimum": 1, "maximum": 20},
            },
            required=("sink",),
            closed=True,
        ),
        detail="Nothing is sent.",
    ),
    Operation("GET", ONE, "get_sink", _TAG, "A sink and how it fares", READ, get_sink, shapes.SINK, tagged=True),
    Operation(
        "PUT",
        ONE,
        "update_sink",
        _TAG,
        "Change a sink",
        WRITE,
        update_sink,
        shapes.SINK,
        body=_UPDATE,
        tagged=True,
        matched=True,
        detail="The whole document anew; its kind and slug stay, and so do write-only options that are left out.",
    ),
    Operation(
        "DELETE",
        ONE,
        "delete_sink",
        _TAG,
        "Delete a sink",
        WRITE,
        delete_sink,
        status=204,
        matched=True,
        detail="What waits for it is not sent.",
    ),
    Operation(
        "POST",
        f"{ONE}/pause",
        "pause_sink",
        _TAG,
        "Pause a sink",
        WRITE,
        pause_sink,
        shapes.SINK,
        keyed=True,
        tagged=True,
        detail="What is to be sent waits.",
    ),
    Operation(
        "POST",
        f"{ONE}/resume",
        "resume_sink",
        _TAG,
        "Go on after a pause, or after it was disabled",
        WRITE,
        resume_sink,
        shapes.SINK,
        keyed=True,
        tagged=True,
    ),
    Operation(
        "POST",
        f"{ONE}/secret",
        "rotate_sink_secret",
        _TAG,
        "Make a new signing secret",
        WRITE,
        rotate_secret,
        object_of({"secret": common.TEXT}),
        keyed=True,
        body=object_of(
            {
                "secret": {
                    "type": "string",
                    "minLength": 8,
                    "maxLength": 500,
                    "writeOnly": True,
                    "description": "One of your own; left out: one is made.",
                },
                "keep_old": {"type": "boolean", "description": "Whether both sign until the next change."},
            },
            required=(),
            closed=True,
        ),
        detail="Both sign until the next change, unless `keep_old` is false.",
    ),
    Operation(
        "POST",
        f"{ONE}/test",
        "test_sink",
        _TAG,
        "Send a test message now",
        WRITE,
        test_sink,
        shapes.TESTED,
        detail="It is attempted once, whatever the sink's state, and stands among the deliveries afterwards.",
    ),
    Operation(
        "GET",
        "/sink-kinds",
        "list_sink_kinds",
        _TAG,
        "Kinds of sink, with their options",
        READ,
        list_kinds,
        object_of({"items": array_of(shapes.SINK_KIND)}),
    ),
)  # fmt: skip
