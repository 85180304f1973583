"""Reading what a caller sent by the schema that an operation declares, or a problem that says where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dash_app.domain.errors import BadRequest, Invalid
from dash_app.domain.strict_json import read_json
from dash_app.web.api.schema import problems_of

MAX_BODY = 2 << 20


def read_body(body: bytes, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The body as an object that fits its schema. Raises BadRequest where it is no object, Invalid where it does not
    fit."""
    document = read_json(body)
    wrong = problems_of(schema, document)
    if wrong:
        raise Invalid(problems=wrong)
    return document


def read_query(given: Mapping[str, list[bytes]], declared: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The parameters behind the `?`, each by its schema, with defaults. Raises BadRequest."""
    for name in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise BadRequest(f"parameter '{name[:60]}' is unknown here; there are {known}")
    read: dict[str, Any] = {}
    for name, schema in declared.items():
        if name not in given:
            read[name] = schema.get("default")
            continue
        if len(given[name]) > 1:
            raise BadRequest(f"parameter '{name}' is given more than once")
        try:
            text = given[name][0].decode("utf-8")
        except UnicodeDecodeError:
            raise BadRequest(f"parameter '{name}' is not UTF-8") from None
        value = _parameter(text, schema)
        wrong = problems_of(schema, value)
        if wrong:
            raise BadRequest(f"parameter '{name}': {wrong[0][1]}")
        read[name] = value
    return read


def _parameter(text: str, schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "integer" and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text
