"""Sample payloads taken apart for looking at: what documents are in them, and which values stand at which paths.

Inference proposes from this, and drift compares with it. Nothing here decides what a value means for a mapping; it says
what is there, with the same reading of bodies that mapping has (`dash_app.pipelines.decode`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dash_app.domain.events import Payload
from dash_app.domain.specs import PathStep
from dash_app.pipelines.decode import (
    Decoder,
    Unreadable,
    body_kind,
    lines_of,
    parse_json,
    records_in,
    without_mark,
    xml_of,
)
from dash_app.pipelines.names import snake_case
from dash_app.pipelines.xml_document import Element

#: Records that are looked at, and how deep.
MAX_RECORDS = 500
MAX_DEPTH = 5
#: No more payloads are looked at once they are so large together.
MAX_BYTES = 4 * 1024 * 1024
#: An object of more members than this is a map: its keys are values, not names.
MAX_MEMBERS = 150

Path = tuple[PathStep, ...]

_WORD = re.compile(r"[^\W\d][\w $@.:#-]*")
_SERIAL = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|.*[0-9]{5}.*", re.IGNORECASE)
_POSITIONS = frozenset(["coordinates", "location", "position"])


@dataclass(slots=True)
class Leaf:
    """All values found at one path; arrays are values too, objects are not."""

    path: Path
    values: list[Any] = field(default_factory=list)
    #: The field type that inference gives it.
    kind: str = ""
    #: Whether some records have an object there: then nothing but JSON fits all of them.
    mixed: bool = False

    @property
    def name(self) -> str:
        # The text of an XML element with attributes is what the element is about.
        steps = (step for step in reversed(self.path) if isinstance(step, str) and step != "#text")
        return next(map(snake_case, steps), "")


@dataclass(frozen=True, slots=True)
class Samples:
    """Payloads of one kind with the documents in them: JSON values and lines, or (`textual`) rows, forms and XML."""

    payloads: Sequence[Payload]
    documents: Sequence[Any]
    textual: bool
    #: Whether each document is one line: then an array is a record, and not several.
    lines: bool

    def records(self, path: Path | None) -> list[Any]:
        """The first records that a mapping with this `records` finds."""
        if path is None and self.lines:
            return list(self.documents[:MAX_RECORDS])
        found = (record for document in self.documents for record in records_in(document, path))
        return list(itertools.islice(found, MAX_RECORDS))


def read_samples(payloads: Sequence[Payload]) -> Samples | None:
    """What the payloads hold, of the kind that most of them are: JSON, or texts (CSV and forms); None: nothing."""
    read: dict[bool, list[tuple[Payload, list[Any]]]] = {False: [], True: []}
    ids: set[int] = set()
    size = 0
    for payload in payloads:
        if size > MAX_BYTES:
            break
        size += len(payload.body)
        documents, textual = _documents(payload)
        if documents and payload.id not in ids:
            ids.add(payload.id)
            read[textual].append((payload, documents))
    textual = len(read[True]) > len(read[False])
    if not read[textual]:
        return None
    chosen = [payload for payload, _ in read[textual]]
    return Samples(
        chosen,
        [one for _, many in read[textual] for one in many],
        textual,
        any(body_kind(payload.content_type) == "lines" for payload in chosen),
    )


def _documents(payload: Payload) -> tuple[list[Any], bool]:
    body, kind = without_mark(payload.body), body_kind(payload.content_type)
    if kind == "xml":
        try:
            return [xml_of(body, payload.content_type)], True
        except Unreadable:
            return [], True
    if kind in ("csv", "form"):
        decoder = Decoder()
        decoder.payload(0, payload, body)
        return list(decoder.texts.records), True
    if kind == "lines":
        lines = itertools.islice(lines_of(body), MAX_RECORDS)
        return [value for line in lines if (value := _parsed(line)) is not None], False
    value = _parsed(body)
    return ([value] if value is not None else []), False


def _parsed(text: bytes) -> Any:
    try:
        return parse_json(text)
    except Unreadable:
        return None


def leaves_of(records: Sequence[Any]) -> list[Leaf]:
    """Every place with a value, in the order in which they come. Null is no value."""
    found: dict[Path, Leaf] = {}
    objects: set[Path] = set()
    for record in records:
        for path, value in values_of(record):
            if isinstance(value, dict):
                objects.add(path)
            elif value is not None:
                found.setdefault(path, Leaf(path)).values.append(value)
    for path in objects & found.keys():
        found[path].mixed = True
    inner = [path for path in found if any(path[:n] in found and found[path[:n]].mixed for n in range(1, len(path)))]
    for path in inner:
        del found[path]
    return list(found.values())


def values_of(record: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Scalars and arrays of a record with their paths, and objects before what is in them.

    Objects whose keys are ids or numbers rather than names are not entered, nor is anything deeper than five steps.
    """
    if isinstance(record, dict):
        if path:
            yield path, record
        if not path or (len(path) < MAX_DEPTH and len(record) <= MAX_MEMBERS and not has_serial_keys(record)):
            for name, child in record.items():
                yield from values_of(child, (*path, name))
    elif isinstance(record, list) and is_position(path, record):
        for number, one in enumerate(record):
            yield (*path, number), one
    elif isinstance(record, list) and not path:
        for number, one in enumerate(record[:MAX_MEMBERS]):
            yield from values_of(one, (number,))
    else:
        yield path, record


def is_position(path: Path, value: list[Any]) -> bool:
    """Whether an array is a point on a map: two or three numbers under such a name."""
    named = bool(path) and path[-1] in _POSITIONS and 2 <= len(value) <= 3
    return named and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)


def has_serial_keys(value: dict[str, Any]) -> bool:
    """Whether the keys of an object are ids or numbers rather than names."""
    return (
        not isinstance(value, Element)
        and bool(value)
        and all(not _WORD.fullmatch(key) or _SERIAL.fullmatch(key) for key in value)
    )
