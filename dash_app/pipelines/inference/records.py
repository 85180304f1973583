"""Where the records of a document are: the document itself, the elements of an array in it, or the members of a map.

An envelope holds records and words about itself (how many, which page); an event or an order may hold arrays as well,
and is a record all the same. What is known of an envelope: the array has a usual name, or a count beside it says how
long it is, or next to nothing stands outside of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dash_app.pipelines.inference.samples import Path, Samples, has_serial_keys
from dash_app.pipelines.names import snake_case
from dash_app.pipelines.xml_document import Element

#: Members whose array of objects is what the document is about.
_COLLECTIONS = [
    "data", "items", "results", "records", "features", "events", "rows", "entries", "readings", "measurements",
    "observations", "values", "hits", "points", "series", "samples", "messages", "result", "list",
]  # fmt: skip
#: What an envelope says of itself or of the answer that it is.
_ENVELOPE = re.compile(
    r"(?:^|_)(?:total|count|cnt|size|length|pages?|per_page|limit|offset|cursor|next|previous|prev|first|last|has_more|more|"
    r"links?|self|href|url|uri|status|state|success|ok|cod|code|errors?|messages?|version|ttl|took|jsonrpc|generated|"
    r"last_updated|updated|timestamp|time|date|api|object|type|kind|livemode|copyright|license|attribution|metadata|"
    r"meta|context|query|request_id|interval|start|end)$"
)
#: Members that hold what an envelope says.
_ABOUT = re.compile(r"(?:^|_)(?:meta|metadata|links?|context|pagination|paging|query|request|search_metadata)$")
_COUNT = re.compile(r"(?:^|_)(?:count|cnt|total|num|number|length|size|n)(?:_|$)")
_IDENTITY = frozenset(["id", "_id", "uuid", "guid", "number", "key"])
_IDENTITY_END = re.compile(r"(?:^|_)(?:id|uuid|guid)$")
#: Members of an attribute: a list of such is a way to write an object.
_ATTRIBUTE = frozenset(["key", "name", "label", "value", "text", "language", "lang", "type"])
#: Members of a map must be so alike; where their keys could be names, there must be so many.
_ALIKE = 0.8
_MANY_MEMBERS = 12
_EVENT_HEADERS = ("x-github-event", "x-gitlab-event", "x-shopify-topic", "x-event-type", "x-event-key", "ce-type")


@dataclass(frozen=True, slots=True)
class _Found:
    """A place that records may stand at, in one document."""

    path: Path
    elements: Sequence[dict[str, Any]]
    #: Whether the elements are the members of an object.
    is_map: bool = False


def event_header(headers: Any) -> str | None:
    """The name of the header that says what kind of event a payload is."""
    return next((name for name in _EVENT_HEADERS if name in headers), None)


def is_cloud_event(document: Any) -> bool:
    return isinstance(document, dict) and "specversion" in document


def records_path(samples: Samples) -> Path | None:
    """The path to the records, if they are not the documents themselves or their elements."""
    objects = [document for document in samples.documents if isinstance(document, dict)]
    if samples.lines or (samples.textual and not all(isinstance(one, Element) for one in objects)):
        return None
    if all(isinstance(one, list) and one and all(map(_is_list_of_objects, one)) for one in samples.documents):
        return (None, None)
    if len(objects) < len(samples.documents):
        return None
    if any(event_header(one.headers) for one in samples.payloads) or all(is_cloud_event(one) for one in objects):
        return None
    path = _within(objects, known=True)
    while path:
        # What was found may be an envelope again: resources with scopes with spans.
        elements = [element for one in objects for element in _at(one, path) if isinstance(element, dict)]
        further = _within(elements, known=False)
        if not further:
            return path
        path = (*path, *further)
    return None


def _at(document: Any, path: Path) -> list[Any]:
    found = [document]
    for step in path:
        if step is None:
            found = [
                child
                for one in found
                for child in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            ]
        else:
            found = [one[step] for one in found if isinstance(one, dict) and step in one]
    return found


def _within(objects: Sequence[dict[str, Any]], *, known: bool) -> Path | None:
    """The best place in most of these objects; `known`: a usual name alone says enough."""
    counts: dict[Path, int] = {}
    leaves: dict[Path, int] = {}
    sizes: dict[Path, int] = {}
    counted: set[Path] = set()
    maps: set[Path] = set()
    total = 0
    for one in objects:
        total += _leaves(one)
        for found in _places(one, ()):
            counts[found.path] = counts.get(found.path, 0) + 1
            leaves[found.path] = leaves.get(found.path, 0) + sum(map(_leaves, found.elements))
            sizes[found.path] = sizes.get(found.path, 0) + len(found.elements)
            if found.is_map:
                maps.add(found.path)
            if _is_counted(one, found):
                counted.add(found.path)
    usual = [path for path, count in counts.items() if count * 2 > len(objects)]
    if not usual:
        return None
    entity = any(_is_entity(one, usual) if known else _is_record(one) for one in objects)
    named = [path for path in usual if _rank(path) < len(_COLLECTIONS) and path not in maps]
    if known and named and not entity:
        return min(named, key=lambda path: (len(path), _rank(path)))
    sure = [path for path in usual if path in counted]
    if known and sure:
        return max(sure, key=lambda path: leaves[path])
    best = max(usual, key=lambda path: leaves[path])
    inside = sum(leaves[path] for path in usual) / max(total, 1)
    if known and inside >= 0.97 and sizes[best] >= 50 * len(objects):
        return best
    own = max(_own(one, usual) for one in objects)
    # A list of one is often a way to write a part of the record.
    several = sizes[best] > counts[best]
    nothing_else = own == 0 or (own <= 2 and (inside >= 0.5 or (known and several)))
    most = known and inside >= 0.8 and sizes[best] >= 2 * len(objects)
    return best if not entity and (nothing_else or most) else None


def _rank(path: Path) -> int:
    name = next((step.lower() for step in reversed(path) if isinstance(step, str)), "")
    return _COLLECTIONS.index(name) if name in _COLLECTIONS else len(_COLLECTIONS)


def _places(value: Any, path: Path) -> Iterator[_Found]:
    """Arrays of objects and maps to objects or to such arrays, none within another."""
    if isinstance(value, list):
        if path and _is_list_of_objects(value) and (_rank(path) < len(_COLLECTIONS) or not _are_attributes(value)):
            yield _Found((*path, None), value)
        return
    if not isinstance(value, dict) or len(path) > 3:
        return
    if (members := _members(value)) is not None:
        arrays = isinstance(next(iter(value.values())), list)
        yield _Found((*path, None, None) if arrays else (*path, None), members, is_map=not arrays)
        return
    if len(path) < 3:
        for name, child in value.items():
            yield from _places(child, (*path, name))


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _members(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """What an object maps its keys to, if it is a map: objects that are alike, or arrays of such."""
    children = list(value.values())
    if not children:
        return None
    arrays = all(isinstance(child, list) and child for child in children)
    members = [one for child in children for one in child] if arrays else children
    if not all(isinstance(one, dict) and one for one in members):
        return None
    if len(children) < _MANY_MEMBERS and not (has_serial_keys(value) or (arrays and not all(map(_is_name, value)))):
        return None
    shares: dict[str, int] = {}
    for one in members:
        for name in one:
            shares[name] = shares.get(name, 0) + 1
    common = sum(count >= _ALIKE * len(members) for count in shares.values())
    return members if common >= 2 or common == len(shares) else None


def _is_name(key: str) -> bool:
    """Whether a key looks as if a programmer had chosen it."""
    return bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key))


def _are_attributes(value: list[Any]) -> bool:
    return all(one and {name.lower() for name in one} <= _ATTRIBUTE for one in value)


def _leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_leaves, value.values()))
    if isinstance(value, list):
        return sum(map(_leaves, value))
    return value is not None


def _outside(value: Any, path: Path, places: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
    """Scalars that are in none of the places."""
    if any(path == place[: len(path)] and place[len(path)] is None for place in places if len(place) > len(path)):
        return
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _outside(child, (*path, name), places)
    elif not isinstance(value, list) and value is not None:
        yield path, value


def _own(document: dict[str, Any], places: Sequence[Path]) -> int:
    """How many scalars a document has of its own, beside the places and what an envelope says."""
    return sum(not _is_envelope(path) for path, _ in _outside(document, (), places))


def _is_envelope(path: Path) -> bool:
    names = [snake_case(str(step)) for step in path]
    return bool(_ENVELOPE.search(names[-1])) or any(map(_ABOUT.search, names[:-1]))


def _is_entity(document: dict[str, Any], places: Sequence[Path]) -> bool:
    """Whether a document has an identity and more to say than an envelope has: an order with its lines."""
    return any(name.lower() in _IDENTITY for name in document) and _own(document, places) >= 2


def _is_record(element: dict[str, Any]) -> bool:
    """Whether an element of an array is what somebody calls a thing, and not an envelope again."""
    return "geometry" in element or any(_IDENTITY_END.search(snake_case(name)) for name in element)


def _is_counted(document: dict[str, Any], found: _Found) -> bool:
    """Whether a number beside the place, or at the top, says how many elements it has (one says nothing)."""
    if len(found.elements) < 2:
        return False
    above = found.path[: max(0, len(found.path) - 2)] if found.path[-1] is None else ()
    parents = [document, *_at(document, above)]
    return any(
        isinstance(number, int) and not isinstance(number, bool) and number == len(found.elements)
        for parent in parents
        if isinstance(parent, dict)
        for name, number in parent.items()
        if _COUNT.search(snake_case(name))
    )
