"""Lineage: a payload, where it rests, and what became of it."""

from __future__ import annotations

from typing import Any

from dash_app.domain.errors import NotFound
from dash_app.pipelines.query import frame_items, record_columns
from dash_app.storage import lineage
from dash_app.storage.silver_columns import SYSTEM
from dash_app.web.api import shapes
from dash_app.web.api.operation import Call, Operation
from dash_app.web.api.schema import array_of, define, object_of


def get_lineage(call: Call) -> Any:
    found = call.pipeline()
    traced = lineage.trace(call.unit, call.app.objects, found.id, call.number("payload"))
    if traced is None:
        raise NotFound
    payload = traced.payload
    records: list[dict[str, Any]] = []
    for made in traced.made:
        columns = record_columns({**SYSTEM, **{field.name: field for field in made.fields}})
        records += ({**item, "_version": made.version} for item in frame_items(made.frame, columns))
    return {
        "payload": {
            "id": str(payload.id),
            "received_at": payload.received_at,
            "content_type": payload.content_type,
            "size": len(payload.body),
            "state": traced.state,
            "source": payload.source,
            "headers": dict(payload.headers),
            "stored": traced.stored,
            "file": traced.file,
        },
        "records": sorted(records, key=lambda item: item["_index"]),
        "rejects": [shapes.reject(one) for one in traced.rejects],
        "generation": traced.generation,
    }


LINEAGE = define(
    "Lineage",
    object_of(
        {
            "payload": object_of(
                {
                    "id": shapes.ID,
                    "received_at": shapes.TIME,
                    "content_type": shapes.TEXT,
                    "size": {**shapes.COUNT, "description": "Bytes of its body."},
                    "state": {"type": "string", "enum": ["waiting", "held", "ingested"]},
                    "source": shapes.TEXT,
                    "headers": {"type": "object", "additionalProperties": shapes.TEXT},
                    "stored": {"type": "string", "enum": ["inbox", "bronze"]},
                    "file": {"type": ["string", "null"], "description": "Its file's key in the bronze store."},
                }
            ),
            "records": array_of(
                object_of(
                    {
                        "_time": shapes.TIME,
                        "_received": shapes.TIME,
                        "_payload": shapes.ID,
                        "_index": shapes.COUNT,
                        "_version": {**shapes.COUNT, "description": "The mapping version that made it."},
                    },
                    description="And every field of that version, null where there is no value.",
                )
            ),
            "rejects": array_of(shapes.REJECT),
            "generation": {**shapes.COUNT, "description": "The set of tables that is read, which the records are in."},
        }
    ),
)

OPERATIONS = (
    Operation(
        "GET",
        "/pipelines/{pipeline}/payloads/{payload}/lineage",
        "get_lineage",
        "Data",
        "Where a payload rests and what became of it",
        "payloads.read",
        get_lineage,
        LINEAGE,
        detail="Up to 1,000 records of each mapping version and 1,000 rejects, in the payload's own order.",
    ),
)
