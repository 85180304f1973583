"""How sinks, deliveries and attempts look in JSON, each beside the schema that says so."""

from __future__ import annotations

from typing import Any

import orjson

from dash_app.pipelines.delivery.outbox import message_id
from dash_app.pipelines.delivery.trial import Preview, Rendered
from dash_app.pipelines.sinks.base import Sink as SinkKind
from dash_app.storage.deliveries import Attempt
from dash_app.storage.delivery_history import Delivery
from dash_app.storage.sinks import Sink
from dash_app.web.api.schema import Schema, array_of, define, nullable, object_of
from dash_app.web.api.shapes import COUNT, ID, OBJECT, SLUG, TEXT, TIME

STATES = ("active", "paused", "disabled")
DELIVERY_STATES = ("waiting", "sent", "dead", "cancelled")
TEMPLATE: Schema = nullable(
    object_of(
        {
            "title": {"type": ["string", "null"], "maxLength": 20_000},
            "body": {"type": ["string", "null"], "maxLength": 20_000},
        },
        required=(),
        closed=True,
        description="Jinja; what makes title and text of messages of records. null: a plain wording.",
    )
)
BATCH: Schema = object_of(
    {
        "size": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "Records in a message at most."},
        "seconds": {
            "type": "number",
            "minimum": 0,
            "maximum": 3600,
            "description": "How long records wait for more of them; 0: not at all.",
        },
    },
    required=(),
    closed=True,
)
_HEALTH = object_of(
    {
        "failures": {"type": "integer", "description": "Attempts in a row that failed."},
        "failing_since": nullable(TIME),
        "hold_until": nullable(
            {**TIME, "description": "Nothing is sent before: the breaker is open, or it was asked."}
        ),
        "sent": COUNT,
        "failed": {"type": "integer", "minimum": 0, "description": "Attempts that failed, ever."},
        "sent_at": nullable(TIME),
        "failed_at": nullable(TIME),
        "error": {"type": "string", "description": "Of the last attempt that failed."},
    }
)
SINK = define(
    "Sink",
    object_of(
        {
            "id": ID,
            "slug": SLUG,
            "name": TEXT,
            "kind": TEXT,
            "options": {"type": "object", "description": "Without secrets."},
            "secrets": array_of(TEXT, description="Names of write-only options that have a value."),
            "pipelines": array_of(SLUG, description="Whose records it gets."),
            "where": TEXT,
            "template": TEMPLATE,
            "batch": object_of({"size": COUNT, "seconds": {"type": "number"}}),
            "state": {"type": "string", "enum": list(STATES)},
            "note": {"type": "string", "description": "Why it is in this state."},
            "health": _HEALTH,
            "waiting": {"type": "integer", "description": "Messages that wait, counted up to 10,000."},
            "dead": {"type": "integer", "description": "Dead letters without tests, counted up to 10,000."},
            "revision": {"type": "integer", "description": "Grows by one with every change; also the ETag."},
            "created_at": TIME,
            "updated_at": TIME,
            "updated_by": TEXT,
        }
    ),
)
NEW_SINK = define(
    "NewSink",
    {
        "allOf": [
            SINK,
            object_of(
                {
                    "generated": {
                        "type": "object",
                        "description": "Secrets that were made with it, by option: shown this once.",
                    }
                }
            ),
        ],
        "type": "object",
    },
)


def sink(one: Sink, secrets: list[str], counts: tuple[int, int]) -> dict[str, Any]:
    health = one.health
    return {
        "id": str(one.id),
        "slug": one.slug,
        "name": one.name,
        "kind": one.kind,
        "options": dict(one.options),
        "secrets": secrets,
        "pipelines": list(one.pipelines),
        "where": one.where,
        "template": dict(one.template) if one.template else None,
        "batch": {"size": one.batch_size, "seconds": one.batch_seconds},
        "state": one.state,
        "note": one.note,
        "health": {name: getattr(health, name) for name in health.__slots__},
        "waiting": counts[0],
        "dead": counts[1],
        "revision": one.revision,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "updated_by": one.updated_by,
    }


SINK_KIND = define(
    "SinkKind",
    object_of(
        {
            "kind": TEXT,
            "summary": TEXT,
            "tells_people": {"type": "boolean", "description": "Whether it takes messages of alerts and reports."},
            "batches": {"type": "boolean", "description": "Whether it takes several records at once by default."},
            "options": {"type": "object", "description": "JSON Schema of its options."},
            "example": OBJECT,
        }
    ),
)


def sink_kind(one: type[SinkKind]) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "summary": one.summary,
        "tells_people": one.tells_people,
        "batches": one.batches,
        "options": one.json_schema(),
        "example": dict(one.example),
    }


# Deliveries ----------------------------------------------------------------------------------------------------------

_DELIVERY: dict[str, Schema] = {
    "id": {"type": "string", "description": "The message's, the same at every attempt: webhook-id."},
    "type": {"type": "string", "enum": ["records", "alert", "report", "test"]},
    "origin": {"type": "string", "description": "The slug of the pipeline, alert or report that it comes from."},
    "title": TEXT,
    "records": {"type": "integer", "description": "How many records it holds."},
    "state": {"type": "string", "enum": list(DELIVERY_STATES)},
    "attempts": {"type": "integer", "description": "Since it was last put into the outbox."},
    "next_at": nullable({**TIME, "description": "When a waiting one is due."}),
    "in_hand": {"type": "boolean", "description": "Being attempted just now."},
    "error": {"type": "string", "description": "Of the last attempt, or why it is dead."},
    "created_at": TIME,
    "done_at": nullable(TIME),
}
ATTEMPT = define(
    "DeliveryAttempt",
    object_of(
        {
            "number": {"type": "integer"},
            "at": TIME,
            "milliseconds": COUNT,
            "outcome": {"type": "string", "enum": ["sent", "failed", "refused", "gone"]},
            "status": {"type": "integer", "description": "Of HTTP; 0: there was none."},
            "request": {"type": "string", "description": "What was sent, shortened, secrets masked."},
            "response": {"type": "string", "description": "What came back, shortened, secrets masked."},
            "error": TEXT,
        }
    ),
)
DELIVERY_LINE = define("DeliveryLine", object_of(_DELIVERY))
DELIVERY = define(
    "Delivery",
    object_of(
        {
            **_DELIVERY,
            "text": TEXT,
            "link": TEXT,
            "payload": OBJECT,
            "tries": array_of(ATTEMPT, description="Newest first, those before it was sent again too."),
        }
    ),
)
TESTED = define("SinkTest", object_of({"delivery": DELIVERY_LINE, "attempt": ATTEMPT}))


def delivery_line(one: Delivery) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _DELIVERY} | {"id": message_id(one.id)}


def delivery(one: Delivery, payload: bytes, tries: list[Attempt]) -> dict[str, Any]:
    return {
        **delivery_line(one),
        "text": one.text,
        "link": one.link,
        "payload": orjson.loads(payload),
        "tries": [attempt(each) for each in tries],
    }


def attempt(one: Attempt) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


PREVIEW = define(
    "SinkPreview",
    object_of(
        {
            "looked_at": {"type": "integer", "description": "How many of the newest records were looked at."},
            "kept": {"type": "integer", "description": "How many of them `where` keeps."},
            "messages": array_of(
                object_of(
                    {
                        "title": TEXT,
                        "text": TEXT,
                        "records": array_of({}),
                        "error": {"type": "string", "description": "Why it would be a dead letter; empty: it is fine."},
                    }
                ),
                description="The newest messages that this would make.",
            ),
        }
    ),
)


def preview(one: Preview) -> dict[str, Any]:
    return {
        "looked_at": one.looked_at,
        "kept": one.kept,
        "messages": [_rendered(each) for each in one.messages],
    }


def _rendered(one: Rendered) -> dict[str, Any]:
    return {
        "title": one.message.title if one.message else "",
        "text": one.message.text if one.message else "",
        "records": list(one.records),
        "error": one.error,
    }
