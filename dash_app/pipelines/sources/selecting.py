"""Values picked out of a JSON document by a path, for what a source has to know before any mapping runs.

The paths are the mapping's (RFC 9535's names, indexes and wildcards). Because polling options carry dlt's names, they
may also be written as dlt's users do, without the leading `$.`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from dash_app.domain.errors import Invalid
from dash_app.domain.paths import parse_path
from dash_app.domain.specs import PathStep

Path = tuple[PathStep, ...]


def parse(text: str) -> Path:
    """The steps of a path; Invalid where it is none."""
    if not text.startswith("$"):
        text = f"${text}" if text.startswith("[") else f"$.{text}"
    return parse_path(text)


def problem(text: str) -> str | None:
    """What is wrong with a path, or None."""
    try:
        parse(text)
    except Invalid as error:
        return error.message
    return None


def document(body: bytes) -> Any:
    """The JSON document in a body; ValueError where there is none, or one nested too deeply to be read."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def values(node: Any, path: Iterable[PathStep]) -> list[Any]:
    """Every value at the path, in the order of the document; nothing where the path leads nowhere."""
    found = [node]
    for step in path:
        found = [value for parent in found for value in _step(parent, step)]
    return found


def first(node: Any, path: Sequence[PathStep]) -> Any:
    """The first value at the path, or None."""
    return next(iter(values(node, path)), None)


def records(node: Any, path: Path) -> list[Any] | None:
    """The records that a path to them selects: the elements of the arrays there; None where the path leads nowhere.

    `$.items` and `$.items[*]` are the same here; a null in the place of an array is an empty one.
    """
    wild = bool(path) and path[-1] is None
    places = values(node, path[:-1] if wild else path)
    if not places:
        return None
    found: list[Any] = []
    for place in places:
        if isinstance(place, list):
            found += place
        elif isinstance(place, dict) and wild:
            found += place.values()
        elif place is not None:
            found.append(place)
    return found


def _step(node: Any, step: PathStep) -> Iterable[Any]:
    if step is None:
        return node if isinstance(node, list) else node.values() if isinstance(node, dict) else ()
    if isinstance(step, str):
        return (node[step],) if isinstance(node, dict) and step in node else ()
    return (node[step],) if isinstance(node, list) and -len(node) <= step < len(node) else ()
