"""Values picked out of a JSON document by a path, for what a source has to know before any mapping runs.

The paths are the mapping's (RFC 9535's names, indexes and wildcards). Because polling options carry dlt's names, they
may also be written as dlt's users do, without the leading `$.`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dash_app.domain.errors import Invalid
from dash_app.domain.paths import parse_path
from dash_app.domain.specs import PathStep
from dash_app.pipelines.xml_document import Element

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


def place_problem(text: str) -> str | None:
    """What is wrong with a path that names one place in an object, or None."""
    if wrong := problem(text):
        return wrong
    if not (steps := parse(text)) or not all(isinstance(step, str) for step in steps):
        return "leads through names alone, such as variables.cursor"
    return None


def put(node: Any, text: str, value: Any) -> Any:
    """A copy of an object with `value` at a place that `place_problem` has nothing against."""
    made = dict(node) if isinstance(node, Mapping) else {}
    place = made
    *above, last = parse(text)
    for step in above:
        inner = place.get(step)
        place[step] = dict(inner) if isinstance(inner, Mapping) else {}
        place = place[step]
    place[last] = value
    return made


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
        elif isinstance(place, dict) and wild and not isinstance(place, Element):
            found += place.values()
        elif place is not None:
            found.append(place)
    return found


def _step(node: Any, step: PathStep) -> Iterable[Any]:
    if step is None and isinstance(node, Element):
        return (node,)
    if step is None:
        return node if isinstance(node, list) else node.values() if isinstance(node, dict) else ()
    if isinstance(step, str):
        return (node[step],) if isinstance(node, dict) and step in node else ()
    return (node[step],) if isinstance(node, list) and -len(node) <= step < len(node) else ()
