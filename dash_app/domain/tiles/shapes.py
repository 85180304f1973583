"""Options that have parts: lists and objects, described once as JSON Schema and checked by the same description.

Only the words that `problems` knows may stand in such a schema: type, enum, pattern, minimum, maximum, maxLength,
maxItems, items, properties, required, additionalProperties.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

#: Colours by their plain names; those of a status are the tokens of that status.
WORDS = ("green", "yellow", "orange", "red", "blue", "violet", "grey")
#: Names of tokens (`assets/tokens.css`) that a colour may be given by as well.
TOKENS = ("accent", "ok", "warn", "bad", "note", "idle", *(f"series-{n}" for n in range(1, 9)))

COLOR: Schema = {
    "type": "string",
    "pattern": f"^({'|'.join((*WORDS, *TOKENS))}|#([0-9a-fA-F]{{3}}|[0-9a-fA-F]{{6}}))$",
    "examples": [*WORDS, "series-1", "#3d63dd"],
    "description": f"One of {', '.join(WORDS)}; a token such as accent or series-1; or #rrggbb.",
}
UNIT: Schema = {"type": "string", "maxLength": 40}
TEXT: Schema = {"type": "string", "maxLength": 200}
DECIMALS: Schema = {"type": "integer", "minimum": 0, "maximum": 12}


def record(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object of these properties and no other."""
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
    }


def problems(value: Any, schema: Schema, place: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a value, with the place of each part; empty where it is right."""
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        kinds = [kind] if isinstance(kind, str) else kind
        yield place, f"{_shown(value)} is not {' or '.join(_A[name] for name in kinds)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield place, f"{_shown(value)} is not one of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, str):
        yield from _text(value, schema, place)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        low, high = schema.get("minimum"), schema.get("maximum")
        if (low is not None and value < low) or (high is not None and value > high):
            yield place, f"{value} is not from {low} to {high}"
    elif isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            yield place, f"at most {schema['maxItems']} are meant, not {len(value)}"
        for number, item in enumerate(value):
            yield from problems(item, schema.get("items", {}), f"{place}[{number}]")
    elif isinstance(value, dict):
        yield from _object(value, schema, place)


_A = {
    "string": "a text", "number": "a number", "integer": "a whole number", "boolean": "true or false",
    "array": "a list", "object": "an object", "null": "null",
}  # fmt: skip


def _is(value: Any, kind: str | list[str]) -> bool:
    if not isinstance(kind, str):
        return any(_is(value, each) for each in kind)
    if isinstance(value, bool):
        return kind == "boolean"
    types: dict[str, Any] = {
        "string": str, "number": int | float, "integer": int, "array": list, "object": dict, "null": type(None),
    }  # fmt: skip
    return kind in types and isinstance(value, types[kind])


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _text(value: str, schema: Schema, place: str) -> Iterator[tuple[str, str]]:
    if len(value) > schema.get("maxLength", len(value)):
        yield place, f"at most {schema['maxLength']} characters are meant, not {len(value)}"
    elif "pattern" in schema and not re.search(schema["pattern"], value):
        yield place, f"{_shown(value)} does not fit. {schema.get('description', schema['pattern'])}"


def _object(value: dict[Any, Any], schema: Schema, place: str) -> Iterator[tuple[str, str]]:
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{place}.{name}", "is needed"
    for name, part in value.items():
        inner = f"{place}.{str(name)[:60]}"
        if name in known:
            yield from problems(part, known[name], inner)
        elif rest is False:
            yield inner, f"is unknown; there are {', '.join(known)}"
        else:
            yield from problems(part, rest, inner)
