"""JSON Schema, the part of it that the API's own documents use: what is published is what bodies are checked with.

Known: $ref, type, enum, const, properties, required, additionalProperties, items, the bounds of numbers, texts and
arrays, pattern. A keyword that is not known is only for the reader of the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
Problems = list[tuple[str, str]]

#: Schemas by name, for the OpenAPI document and for `$ref`; filled by `define` while the modules of this folder load.
COMPONENTS: dict[str, Schema] = {}

_REF = "#/components/schemas/"
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def define(name: str, schema: Schema) -> Schema:
    """Names a schema for the document, and answers the reference to it."""
    COMPONENTS[name] = schema
    return {"$ref": _REF + name}


def object_of(
    properties: Mapping[str, Schema], *, required: tuple[str, ...] | None = None, closed: bool = False, **more: Any
) -> Schema:
    """An object with these properties; `required`: all of them unless named. `closed`: no others, as in requests."""
    names = list(properties) if required is None else list(required)
    return {
        "type": "object",
        "properties": dict(properties),
        "required": names,
        **({"additionalProperties": False} if closed else {}),
        **more,
    }


def array_of(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def nullable(schema: Schema) -> Schema:
    """This or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*kinds, "null"]}


def page_of(items: Schema) -> Schema:
    return object_of(
        {
            "items": array_of(items),
            "next": {"type": ["string", "null"], "description": "The cursor of the next page; null: there is none."},
        }
    )


def problems_of(schema: Schema, value: Any, place: str = "") -> Problems:
    """Each place where `value` does not fit, and what would be right there."""
    if "$ref" in schema:
        return problems_of(COMPONENTS[schema["$ref"].removeprefix(_REF)], value, place)
    if "anyOf" in schema:
        each = [problems_of(one, value, place) for one in schema["anyOf"]]
        return [] if any(not wrong for wrong in each) else each[0]
    if "type" in schema and not _is(schema["type"], value):
        return [(place, f"{_wanted(schema['type'])} is needed, found {_found(value)}")]
    if "enum" in schema and value not in schema["enum"]:
        return [(place, f"'{str(value)[:60]}' is unknown; one of {', '.join(map(str, schema['enum']))}")]
    if isinstance(value, str):
        return [(place, what) for what in _text(schema, value)]
    if isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        return [(place, what) for what in _number(schema, value)]
    if isinstance(value, list):
        return _array(schema, value, place)
    if isinstance(value, dict):
        return _object(schema, value, place)
    return []


def _is(kinds: str | list[str], value: Any) -> bool:
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)):
            return True
    return False


def _text(schema: Schema, value: str) -> list[str]:
    wrong = []
    if len(value) < schema.get("minLength", 0):
        wrong.append(
            "a text that is not empty is needed"
            if schema["minLength"] == 1
            else f"at least {schema['minLength']} characters are needed"
        )
    if len(value) > schema.get("maxLength", len(value)):
        wrong.append(f"at most {schema['maxLength']} characters, this has {len(value)}")
    if "pattern" in schema and not wrong and not re.search(schema["pattern"], value):
        wrong.append(f"'{value[:60]}' does not fit; {schema.get('description', 'it must match ' + schema['pattern'])}")
    return wrong


def _number(schema: Schema, value: float) -> list[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low is not None and value < low) or (high is not None and value > high):
        span = (
            f"from {low} to {high}"
            if low is not None and high is not None
            else f"at least {low}"
            if low is not None
            else f"at most {high}"
        )
        return [f"a number {span} is needed, found {str(value)[:40]}"]
    return []


def _array(schema: Schema, value: list[Any], place: str) -> Problems:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return [
            (
                place,
                f"{schema.get('minItems', 0)} to {schema.get('maxItems', 'any number of')} items, found {len(value)}",
            )
        ]
    if "items" not in schema:
        return []
    return [
        problem
        for number, item in enumerate(value)
        for problem in problems_of(schema["items"], item, f"{place}[{number}]")
    ]


def _object(schema: Schema, value: dict[str, Any], place: str) -> Problems:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    wrong = [(_at(place, name), "missing") for name in schema.get("required", ()) if name not in value]
    for name, item in value.items():
        if name in properties:
            wrong += problems_of(properties[name], item, _at(place, name))
        elif schema.get("additionalProperties") is False:
            wrong.append((_at(place, name)[:80], f"unknown; there are {', '.join(properties) or 'none'}"))
    return wrong


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _wanted(kinds: str | list[str]) -> str:
    names = {
        "object": "an object",
        "array": "an array",
        "string": "a text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "null": "null",
    }
    return " or ".join(names[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _found(value: Any) -> str:
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "an array",
        dict: "an object",
    }
    return names[type(value)]
