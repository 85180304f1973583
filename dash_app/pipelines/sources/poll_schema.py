"""The JSON schemas of the options of an HTTP poll that are documents themselves, for forms and the API's reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash_app.domain.kinds import Kind
from dash_app.pipelines.sources.auth import TYPES
from dash_app.pipelines.sources.incremental import Incremental
from dash_app.pipelines.sources.pagination import PAGINATORS
from dash_app.pipelines.sources.resolving import Resolve
from dash_app.pipelines.sources.response_actions import ACTIONS, MAX_ENTRIES


def nested() -> dict[str, dict[str, Any]]:
    """Schemas by option, each with what is said of it beside the type `object` or `array`."""
    return {
        "auth": {"oneOf": _typed(TYPES)},
        "paginator": {"oneOf": _typed(PAGINATORS)},
        "incremental": _object_or_none(Incremental, ["cursor_path"]),
        "resolve": _object_or_none(Resolve, ["url", "fields"]),
        "json": {"type": ["object", "null"]},
        "response_actions": {
            "maxItems": MAX_ENTRIES,
            "items": {
                "type": "object",
                "properties": {
                    "status_code": {"description": "A status, or a class of them such as 5xx. Absent: any."},
                    "content": {"type": "string", "description": "A text in the body. Absent: any."},
                    "action": {"enum": list(ACTIONS)},
                },
                "required": ["action"],
                "additionalProperties": False,
            },
        },
    }


def _typed(kinds: Mapping[str, type[Kind]]) -> list[dict[str, Any]]:
    """One schema for each type of a document `{"type": …, options}`."""
    made = []
    for name, kind in kinds.items():
        schema = kind.json_schema()
        made.append(schema | {"properties": {"type": {"const": name}, **schema["properties"]}, "required": ["type"]})
    return made


def _object_or_none(kind: type[Kind], required: list[str]) -> dict[str, Any]:
    schema = {
        name: value for name, value in kind.json_schema().items() if name in ("properties", "additionalProperties")
    }
    return {"type": ["object", "null"], **schema, "required": required}
