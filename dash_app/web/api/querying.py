"""`POST /query`: aggregates and records, as JSON, as CSV or as an Arrow stream."""

from __future__ import annotations

from typing import Any

from dash_app.pipelines import query
from dash_app.web.api import shapes
from dash_app.web.api.operation import Answer, Call, Operation
from dash_app.web.api.schema import array_of, object_of

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
CSV = "text/csv"


def run_query(call: Call) -> Any:
    wanted = preferred(call.headers.get("Accept", ""))
    result = call.queries.run(call.principal.team, call.body)
    headers = {"X-Truncated": "true" if result.truncated else "false", "Vary": "Accept"}
    if wanted == ARROW:
        return Answer(query.to_arrow(result), content_type=ARROW, headers=headers)
    if wanted == CSV:
        return Answer(
            query.to_csv(result).encode(), content_type="text/csv; charset=utf-8; header=present", headers=headers
        )
    columns = [{"name": c.name, "type": c.type, "unit": c.unit, "role": c.role} for c in result.columns]
    body = {
        "items": query.to_items(result),
        "next": result.next,
        "columns": columns,
        "source": result.source,
        "truncated": result.truncated,
    }
    return Answer(body, headers=headers)


def preferred(accept: str) -> str:
    """The best of our content types for an Accept header; JSON where it names none of them."""
    best, found = 0.0, JSON
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if name in (JSON, ARROW, CSV) and weight > best:
            best, found = weight, name
    return found


_COLUMN = object_of({"name": shapes.TEXT, "type": shapes.TEXT, "unit": shapes.TEXT, "role": shapes.TEXT})
_MEASURE = object_of(
    {
        "field": shapes.TEXT,
        "agg": {
            "type": "string",
            "description": "count, sum, avg, min, max, first, last, stddev, median, p90, p95, p99, count_distinct",
        },
        "as": shapes.TEXT,
    },
    required=(),
)

OPERATIONS = (
    Operation(
        "POST",
        "/query",
        "run_query",
        "Data",
        "Ask for aggregates or records",
        "query.run",
        run_query,
        object_of(
            {
                "items": array_of({"type": "object"}),
                "next": {"type": ["string", "null"]},
                "columns": array_of(_COLUMN),
                "source": {"type": "string", "enum": ["rollup", "records", "mixed"]},
                "truncated": {"type": "boolean", "description": "Whether the limit cut rows off."},
            }
        ),
        # The parser of queries says what is wrong with one, with places; this is what a reader needs.
        body={
            "type": "object",
            "properties": {
                "pipeline": {"description": "A slug or an id.", "examples": ["weather"]},
                "select": {"description": "What to compute; left out: the records.", "items": _MEASURE},
                "by": {"description": "Fields to group by."},
                "every": {"description": "Width of buckets of time: 10s, 5m, 1h, 1d, 1w, 1M.", "examples": ["5m"]},
                "from": {"description": "now-24h, now-1d/d, or ISO 8601; included.", "examples": ["now-24h"]},
                "to": {"description": "Likewise; not included.", "examples": ["now"]},
                "where": {"description": "A condition on fields.", "examples": ["site != 'lab'"]},
                "limit": {"description": "How many rows at most."},
                "timezone": {
                    "description": "For buckets of a day and more, and for times.",
                    "examples": ["Europe/Oslo"],
                },
                "mapping": {
                    "type": ["integer", "null"],
                    "description": "As this version of the mapping saw it, while what it made is kept.",
                },
                "order": {"description": "A column to sort by, with - before it for the greatest first."},
                "variables": {
                    "type": ["object", "null"],
                    "description": "Values in place of `$name` in the query: one, several, or `$__all`.",
                    "examples": [{"site": ["roof", "lab"]}],
                },
                "filters": {
                    "type": ["array", "null"],
                    "description": "Records with (`=`) or without (`!=`) a value; fields it lacks are left aside.",
                    "examples": [[{"field": "site", "op": "=", "value": "roof"}]],
                },
                "cursor": {"description": "`next` of the page before, where records are asked for."},
            },
            "required": ["pipeline"],
        },
        media=(ARROW, CSV),
        detail=f"`Accept: {ARROW}` answers an Arrow IPC stream, `Accept: {CSV}` CSV with a header.",
    ),
)
