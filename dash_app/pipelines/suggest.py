"""From a place in a payload to the field that would read it: where it lies under a mapping, what it would be called and
of which type, as inference sees its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from dash_app.domain.errors import Invalid
from dash_app.domain.events import Payload
from dash_app.domain.ids import PAYLOAD_SEQUENCE_BITS
from dash_app.domain.mapping_edits import field_names, relative
from dash_app.domain.paths import format_path, parse_path
from dash_app.domain.specs import PathStep
from dash_app.pipelines.decode import body_kind, value_at
from dash_app.pipelines.inference.infer import infer_mapping
from dash_app.pipelines.names import field_name

Path = tuple[PathStep, ...]


def handed_in(pipeline: UUID, bodies: Sequence[bytes], content_type: str) -> list[Payload]:
    """Payloads that were never received, with ids as payloads of this moment would have them, so that what depends on
    ids does here what it does live."""
    now = datetime.now(UTC)
    first = int(now.timestamp() * 1000) << PAYLOAD_SEQUENCE_BITS
    return [
        Payload(first + number, pipeline, now, content_type, {}, body, "preview") for number, body in enumerate(bodies)
    ]


def place_of(payload: Payload, document: Any, path: Path, mapping: Mapping[str, Any]) -> tuple[str, Path]:
    """Where a place lies as a field names it: ("record", steps below the record) or ("payload", steps).

    Raises Invalid where it lies outside of the record in a payload that has no whole document.
    """
    try:
        records = parse_path(mapping["records"]) if mapping.get("records") else ()
    except Invalid:
        raise Invalid("the path of the records is not valid; mend it first") from None
    steps = path
    if cut_into_lines(payload):
        # The line is the document here, and without `records` the record.
        steps, document = path[1:], value_at(document, path[:1])
    elif not records and isinstance(document, list):
        return "record", steps[1:]
    below = relative(steps, records)
    # An array at the end of `records` is taken element by element.
    each = records and records[-1] is not None and isinstance(value_at(document, steps[: len(records)]), list)
    if below and each:
        below = below[1:]
    if below is not None:
        return "record", below
    if body_kind(payload.content_type) in ("lines", "csv"):
        raise Invalid("this lies outside of the records, and a payload of lines or rows has no whole to read it from")
    return "payload", steps


def cut_into_lines(payload: Payload) -> bool:
    return body_kind(payload.content_type) == "lines"


def named_field(
    field: dict[str, Any], words: Sequence[str], mapping: Mapping[str, Any], origin: str, below: Path
) -> dict[str, Any]:
    """A field with a name that is free: the last word that says something, or more of them where that one is taken."""
    taken = field_names(mapping)
    name = field_name(words[-1:], set())
    if name in taken and len(words) > 1:
        name = field_name(words[-2:], set())
    if name in taken:
        name = field_name([name], set(taken))
    made = {"name": name, "path": format_path(below)}
    if origin != "record":
        made["from"] = origin
    return made | {part: field[part] for part in ("type", "unit", "role") if part in field}


def field_like(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """Type, unit and role of a field with these values, as inference sees them."""
    present = [value for value in values if value is not None]
    if not present:
        return {"type": "text"}
    if any(isinstance(value, dict | list) for value in present):
        return {"type": "json"}
    found = inferred(name, present)
    if found is not None:
        for field in found["fields"]:
            if field["path"] == format_path([name]):
                return dict(field)
        if "time" in found:
            return {"type": "timestamp"} if all(isinstance(one, str) for one in present) else {"type": "number"}
    kinds = set(map(type, present))
    if kinds == {bool}:
        return {"type": "boolean"}
    return {"type": "number"} if kinds <= {int, float} else {"type": "text"} if kinds == {str} else {"type": "json"}


def inferred(name: str, values: Sequence[Any]) -> dict[str, Any] | None:
    """What inference proposes for records that have nothing but these values under this name."""
    bodies = [orjson.dumps({name: value}) for value in values[:100] if not isinstance(value, int) or abs(value) < 2**63]
    found = infer_mapping(handed_in(UUID(int=0), bodies, "application/json")) if bodies else None
    return found[0] if found else None
