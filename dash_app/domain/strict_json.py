"""JSON that was sent, read strictly: one meaning a document, or a problem that says where.

What parsers disagree about (a key twice, NaN, a number beyond what a float holds, half a surrogate pair) is refused at
the door, so that nothing behind it has to think of these.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from dash_app.domain.errors import BadRequest

MAX_DEPTH: Final = 100


def read_json(body: bytes, what: str = "the body") -> dict[str, Any]:
    """The object that a request holds as JSON. `what`: how a message names it. Raises BadRequest."""
    if not body.strip():
        raise BadRequest(f"a JSON object is needed as {what}, and there is none")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{what} is not UTF-8: byte {error.start} cannot be read") from None
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
        # Half a surrogate pair passes the parser, and no encoder takes it.
        json.dumps(document, ensure_ascii=False).encode()
    except BadRequest:
        raise
    except json.JSONDecodeError as error:
        raise BadRequest(f"{what} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except UnicodeEncodeError:
        raise BadRequest(f"{what} holds half a surrogate pair, which is no text") from None
    except (ValueError, RecursionError):
        raise BadRequest(f"{what} is not JSON that can be used: a number too long, or nested too deep") from None
    if not isinstance(document, dict):
        raise BadRequest(f"a JSON object is needed as {what}, found {_name(document)}")
    if _depth(document) > MAX_DEPTH:
        raise BadRequest(f"{what} is nested deeper than {MAX_DEPTH} levels")
    return document


def holds_nul(value: Any) -> bool:
    """Whether a text anywhere in it holds U+0000, which PostgreSQL's text cannot keep."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(holds_nul(key) or holds_nul(one) for key, one in value.items())
    if isinstance(value, list):
        return any(map(holds_nul, value))
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadRequest(f"the key '{twice[:60]}' stands twice in one object")
    return made


def _constant(name: str) -> Any:
    raise BadRequest(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadRequest(f"the number {text[:40]} is larger than can be kept")
    return value


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            child
            for one in level
            if isinstance(one, dict | list)
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, dict | list)
        ]
    return deepest


def _name(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "an array"}
    return names[type(value)]
