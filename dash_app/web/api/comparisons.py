"""Comparing two versions of a mapping, or a version with one that is not saved yet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dash_app.domain.errors import BadRequest
from dash_app.domain.ids import as_uuid
from dash_app.domain.query import parse_time
from dash_app.domain.specs import Pipeline
from dash_app.pipelines import comparisons as compared
from dash_app.pipelines.affected import AffectedAlert, AffectedTile
from dash_app.pipelines.comparisons import Side
from dash_app.pipelines.difference import Difference
from dash_app.pipelines.mapping_difference import MappingChange, mapping_difference
from dash_app.storage import catalog, comparisons
from dash_app.storage.comparisons import Comparison
from dash_app.web.api import shapes
from dash_app.web.api.operation import PAGED, Answer, Call, Operation, uuid_of
from dash_app.web.api.schema import array_of, define, nullable, object_of, page_of


def create_comparison(call: Call) -> Any:
    found = call.pipeline()
    a, b = compared.sides(call.unit, found, call.body.get("a"), call.body.get("b"), call.body.get("mapping"))
    start, end = _moment(call, "from"), _moment(call, "to")
    if call.body.get("scope", "sample") == "sample":
        limit = call.body.get("limit") or compared.SAMPLE
        difference = compared.compare_sample(call.unit, call.app, found.id, a, b, limit=limit, start=start, end=end)
        return {
            **_NOT_KEPT,
            "pipeline": str(found.id),
            "a": a.version,
            "b": b.version,
            "from": start,
            "to": end,
            "payloads": difference.payloads,
            "total": difference.payloads,
            "records": difference.records.after,
            **_found(call, found, a, b, difference),
        }
    made = compared.start_comparison(call.unit, found, a, b, call.principal, start=start, end=end)
    call.then(lambda: compared.queue(call.app, made.id))
    return Answer(_line(made) | _NOTHING, status=202)


def list_comparisons(call: Call) -> Any:
    found = call.pipeline()
    after = call.after_text()
    before = as_uuid(after) if after is not None else None
    if after is not None and before is None:
        raise BadRequest("parameter 'cursor' is not one that `next` named")
    listed = comparisons.of_pipeline(call.unit, found.id, limit=call.query["limit"] + 1, before=before)
    return call.page(listed, _line, lambda one: one.id)


def get_comparison(call: Call) -> Any:
    found = comparisons.get(call.unit, uuid_of(call.path["comparison"]))
    difference = compared.difference_of(found)
    if difference is None:
        return _line(found) | _NOTHING
    a, b = compared.sides_of(call.unit, found)
    return _line(found) | _found(call, catalog.pipeline(call.unit, found.pipeline), a, b, difference)


def cancel_comparison(call: Call) -> Any:
    return _line(comparisons.cancel(call.unit, uuid_of(call.path["comparison"])))


def _moment(call: Call, place: str) -> datetime | None:
    given = call.body.get(place)
    return parse_time(given, datetime.now(UTC), place=place) if given is not None else None


# Shapes --------------------------------------------------------------------------------------------------------------

_NOTHING: dict[str, Any] = {"difference": None, "mapping_changes": [], "tiles": [], "alerts": []}
_NOT_KEPT: dict[str, Any] = {
    "id": None,
    "scope": "sample",
    "state": "done",
    "rate": None,
    "eta": None,
    "error": "",
    "author": None,
    "created_at": None,
    "finished_at": None,
}


def _line(one: Comparison) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "pipeline": str(one.pipeline),
        "scope": "all",
        "a": one.version_a,
        "b": one.version_b,
        "from": one.from_time,
        "to": one.to_time,
        "state": one.state,
        "payloads": one.payloads,
        "total": max(one.total, one.payloads) if one.is_open else one.payloads,
        "records": one.records,
        "rate": one.rate,
        "eta": one.eta,
        "error": one.error,
        "author": one.author,
        "created_at": one.created_at,
        "finished_at": one.finished_at,
    }


def _found(call: Call, pipeline: Pipeline, a: Side, b: Side, difference: Difference) -> dict[str, Any]:
    return {
        "difference": difference.to_document(),
        "mapping_changes": [_change(one) for one in mapping_difference(a.spec, b.spec)],
        "tiles": [_affected(one) for one in compared.tiles_of(call.unit, pipeline, a, b, difference)],
        "alerts": [_affected(one) for one in compared.alerts_of(call.unit, pipeline, a, b, difference)],
    }


def _change(one: MappingChange) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


def _affected(one: AffectedTile | AffectedAlert) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__} | {"fields": list(one.fields), "why": list(one.why)}


_SIDES = object_of({"before": shapes.COUNT, "after": shapes.COUNT})
_ANY: dict[str, Any] = {"description": "A JSON value, long texts cut."}
_EXAMPLE = object_of({"payload": shapes.ID, "index": shapes.COUNT, "before": _ANY, "after": _ANY})
_TALLY = object_of({"count": shapes.COUNT, "examples": array_of(_EXAMPLE)})
_SHAPE = nullable(object_of({"type": shapes.TEXT, "unit": shapes.TEXT, "role": shapes.TEXT}))
_NUMBER: dict[str, Any] = {"type": "number"}
_FIELD = object_of(
    {
        "name": shapes.TEXT,
        "before": _SHAPE,
        "after": _SHAPE,
        "equal": shapes.COUNT,
        "kinds": {
            "type": "object",
            "additionalProperties": _TALLY,
            "description": "changed, gained (null before), lost (null after), retyped (written alike in another type), "
            "rounding (numbers within 1e-9 of their size), added, removed; each with the first examples.",
        },
        "shift": nullable(
            object_of(
                {
                    "count": shapes.COUNT,
                    "total": _NUMBER,
                    "total_size": _NUMBER,
                    "largest_by": _NUMBER,
                    "largest": _EXAMPLE,
                },
                description="How far numbers moved (times: in seconds), after − before, over those that differ.",
            )
        ),
    }
)
_TOTALS = nullable(
    object_of(
        {
            "count": shapes.COUNT,
            "sum": _NUMBER,
            "min": {"type": ["number", "null"]},
            "max": {"type": ["number", "null"]},
        }
    )
)
_ROW = object_of({"payload": shapes.ID, "index": shapes.COUNT, "why": shapes.TEXT, "values": shapes.OBJECT})
_WHY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": shapes.COUNT,
    "description": "By why the other side has them not: rejected, filtered (by where), duplicate, elsewhere.",
}
_REJECT_GROUP = object_of(
    {
        "turn": {"type": "string", "enum": ["new", "gone", "changed"]},
        "field_before": shapes.TEXT,
        "reason_before": shapes.TEXT,
        "field_after": shapes.TEXT,
        "reason_after": shapes.TEXT,
        "count": shapes.COUNT,
        "examples": array_of(
            object_of(
                {
                    "payload": shapes.ID,
                    "index": {"type": "integer"},
                    "before": shapes.TEXT,
                    "after": shapes.TEXT,
                    "excerpt": shapes.TEXT,
                }
            )
        ),
    }
)
DIFFERENCE = define(
    "Difference",
    object_of(
        {
            "aligned": {
                "type": "string",
                "enum": ["place", "key"],
                "description": "What makes rows of both sides one: their payload and index, or their key.",
            },
            "keyed": {"type": "boolean", "description": "Whether duplicates of a key were removed."},
            "payloads": shapes.COUNT,
            "bytes": shapes.COUNT,
            "records": _SIDES,
            "filtered": _SIDES,
            "rejected": _SIDES,
            "duplicates": _SIDES,
            "equal": shapes.COUNT,
            "rounded": shapes.COUNT,
            "changed": shapes.COUNT,
            "gone": shapes.COUNT,
            "new": shapes.COUNT,
            "gone_why": _WHY,
            "new_why": _WHY,
            "gone_rows": array_of(_ROW),
            "new_rows": array_of(_ROW),
            "time": _FIELD,
            "fields": array_of(_FIELD),
            "totals": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": _TOTALS, "minItems": 2, "maxItems": 2},
                "description": "By metric: before and after.",
            },
            "rejects": array_of(_REJECT_GROUP),
            "rejects_beyond": {"type": "object", "additionalProperties": shapes.COUNT},
        }
    ),
)
_LINE: dict[str, Any] = {
    "id": {"type": ["string", "null"], "description": "null: of a sample, which is not kept."},
    "pipeline": shapes.ID,
    "scope": {"type": "string", "enum": ["sample", "all"]},
    "a": {"type": "integer"},
    "b": {"type": ["integer", "null"], "description": "null: the document that was handed in."},
    "from": nullable(shapes.TIME),
    "to": nullable(shapes.TIME),
    "state": {"type": "string", "enum": ["queued", "running", "done", "failed", "cancelled"]},
    "payloads": {**shapes.COUNT, "description": "Compared so far."},
    "total": {**shapes.COUNT, "description": "There are to compare, about."},
    "records": shapes.COUNT,
    "rate": {"type": ["number", "null"], "description": "Records a second."},
    "eta": {"type": ["number", "null"], "description": "Seconds that are left."},
    "error": shapes.TEXT,
    "author": {"type": ["string", "null"]},
    "created_at": nullable(shapes.TIME),
    "finished_at": nullable(shapes.TIME),
}
LINE = define("ComparisonLine", object_of(_LINE))
_AFFECTED: dict[str, Any] = {
    "effect": {"type": "string", "enum": ["breaks", "changes"]},
    "fields": array_of(shapes.TEXT),
    "why": array_of(shapes.TEXT),
}
COMPARISON = define(
    "Comparison",
    object_of(
        {
            **_LINE,
            "difference": nullable(DIFFERENCE),
            "mapping_changes": array_of(
                object_of(
                    {
                        "place": shapes.TEXT,
                        "what": {"type": "string", "enum": ["added", "removed", "changed", "renamed", "moved"]},
                        "part": shapes.TEXT,
                        "before": shapes.TEXT,
                        "after": shapes.TEXT,
                    }
                )
            ),
            "tiles": array_of(
                object_of(
                    {
                        "dashboard": shapes.SLUG,
                        "dashboard_title": shapes.TEXT,
                        "tile": shapes.TEXT,
                        "title": shapes.TEXT,
                        **_AFFECTED,
                    }
                ),
                description="Tiles of dashboards that will be refused, or show something else.",
            ),
            "alerts": array_of(
                object_of(
                    {
                        "alert": shapes.SLUG,
                        "name": shapes.TEXT,
                        **_AFFECTED,
                    }
                ),
                description="Alerts whose rule will be refused, or see something else.",
            ),
        }
    ),
)
_VERSION: dict[str, Any] = {"type": ["integer", "null"], "minimum": 1, "maximum": (1 << 31) - 1}
_TIME: dict[str, Any] = {
    "type": ["string", "null"],
    "maxLength": 60,
    "description": "When they were received: ISO 8601, or relative such as now-7d.",
}
_TAG = "Comparisons"

OPERATIONS = (
    Operation(
        "GET",
        "/pipelines/{pipeline}/comparisons",
        "list_comparisons",
        _TAG,
        "Comparisons over all payloads, newest first",
        "pipelines.read",
        list_comparisons,
        page_of(LINE),
        query=PAGED,
    ),
    Operation(
        "POST",
        "/pipelines/{pipeline}/comparisons",
        "create_comparison",
        _TAG,
        "Compare two versions of a mapping",
        "payloads.read",
        create_comparison,
        COMPARISON,
        keyed=True,
        detail="Over a sample the answer is the difference, and nothing is kept; over all payloads it is 202, with the "
        "`id` of what a worker then works on.",
        body=object_of(
            {
                "a": {**_VERSION, "description": "The version before; left out: the active one."},
                "b": {**_VERSION, "description": "The version after; or"},
                "mapping": {
                    "type": ["object", "string", "null"],
                    "description": "a document that is not saved, or the same as text in YAML.",
                },
                "scope": {
                    "type": "string",
                    "enum": ["sample", "all"],
                    "default": "sample",
                    "description": "sample: the newest payloads, duplicates of a key removed. all: every payload that "
                    "is kept, each record as it comes.",
                },
                "limit": {
                    "type": ["integer", "null"],
                    "minimum": 1,
                    "maximum": compared.MOST_SAMPLED,
                    "description": f"Payloads of a sample, {compared.SAMPLE} unless said.",
                },
                "from": _TIME,
                "to": _TIME,
            },
            required=(),
            closed=True,
        ),
    ),
    Operation(
        "GET",
        "/comparisons/{comparison}",
        "get_comparison",
        _TAG,
        "How far a comparison is, and what it has found",
        "payloads.read",
        get_comparison,
        COMPARISON,
    ),
    Operation(
        "POST",
        "/comparisons/{comparison}/cancel",
        "cancel_comparison",
        _TAG,
        "End a comparison",
        "payloads.read",
        cancel_comparison,
        LINE,
        keyed=True,
        detail="What it has found stays.",
    ),
)
