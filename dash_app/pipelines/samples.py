"""Payloads to try a mapping on: held for as long as somebody edits, searched, opened as a tree, and asked what field a
place in them would make.

A tree is answered a level at a time, so that a large payload costs what is looked at and not what it holds. Paths are
absolute: steps from the payload's document, with the line or row first where a payload is made of those.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.events import Payload
from dash_app.domain.paths import format_path
from dash_app.domain.specs import PathStep
from dash_app.pipelines.decode import (
    Decoder,
    Unreadable,
    body_kind,
    lines_of,
    parse_json,
    value_at,
    without_mark,
    xml_of,
)
from dash_app.pipelines.inference.infer import infer_mapping
from dash_app.pipelines.plan import Reading
from dash_app.pipelines.preview import Preview, preview
from dash_app.pipelines.suggest import cut_into_lines, field_like, handed_in, inferred, named_field, place_of
from dash_app.pipelines.trees import Node, children_of, tree_of

#: Documents and previews that are kept beside the payloads.
_DOCUMENTS = 2
_PREVIEWS = 8
MAX_PASTED = 1 << 20
#: Bodies whose readings this process keeps, of all that have an editor open; a reading takes several times as much.
_READ_BYTES = 24 << 20

Path = tuple[PathStep, ...]


class _Readings:
    """What was read of samples for their last preview, for as long as there is room: who was away longest goes
    first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: weakref.WeakKeyDictionary[Samples, MutableMapping[int, Reading]] = weakref.WeakKeyDictionary()

    def of(self, samples: Samples) -> MutableMapping[int, Reading]:
        with self._lock:
            kept = self._kept.pop(samples, {})
            room = self._most - samples.size
            for other in reversed(list(self._kept)):
                room -= other.size
                if room < 0:
                    del self._kept[other]
            self._kept[samples] = kept
        return kept


_readings = _Readings(_READ_BYTES)


class Samples:
    """Payloads of one pipeline, newest first. Its methods may be called from several threads."""

    def __init__(self, payloads: Sequence[Payload], *, pasted: bool = False) -> None:
        self.payloads = sorted(payloads, key=lambda payload: payload.id, reverse=True)
        #: Whether they were pasted by hand rather than received.
        self.pasted = pasted
        self.size = sum(len(payload.body) for payload in self.payloads)
        self._by_id = {payload.id: payload for payload in self.payloads}
        self._lock = threading.Lock()
        self._documents: OrderedDict[int, Any] = OrderedDict()
        self._previews: OrderedDict[bytes, Preview] = OrderedDict()

    @classmethod
    def of_text(cls, pipeline: UUID, text: str, content_type: str = "application/json") -> Samples:
        """One payload that somebody has pasted, as if it had come just now. Invalid where it is too long."""
        body = text.encode("utf-8", "replace")
        if len(body) > MAX_PASTED:
            raise Invalid(f"a sample has at most {MAX_PASTED:,} bytes, this one {len(body):,}")
        return cls(handed_in(pipeline, [body], content_type), pasted=True)

    def payload(self, number: int) -> Payload:
        found = self._by_id.get(number)
        if found is None:
            raise NotFound(f"payload {number} is not among the samples")
        return found

    def preview(self, document: Mapping[str, Any], unwanted: Any = lambda: False) -> Preview:
        """As `preview.preview` over these payloads. Documents that were tried lately are answered from memory."""
        key = orjson.dumps(document)
        with self._lock:
            known = self._previews.get(key)
        if known is None:
            known = preview(document, self.payloads, unwanted=unwanted, readings=_readings.of(self))
            with self._lock:
                self._previews[key] = known
                while len(self._previews) > _PREVIEWS:
                    self._previews.popitem(last=False)
        return known

    def search(self, text: str) -> list[int]:
        """Ids of the payloads in whose body or headers a text stands, in any case of ASCII letters."""
        wanted = text.encode("utf-8", "replace").lower()
        return [
            payload.id
            for payload in self.payloads
            if wanted in payload.body.lower()
            or any(
                wanted in f"{name}: {value}".encode("utf-8", "replace").lower()
                for name, value in payload.headers.items()
            )
        ]

    def infer(self) -> tuple[dict[str, Any], str] | None:
        """The mapping that inference proposes for these payloads, and a sentence on it."""
        return infer_mapping(list(reversed(self.payloads)))

    # -- a payload as a tree

    def document(self, number: int) -> Any:
        """What a payload holds: of lines and rows a list. Raises Invalid where it cannot be read."""
        with self._lock:
            if number in self._documents:
                self._documents.move_to_end(number)
                return self._documents[number]
        value = document_of(self.payload(number))
        with self._lock:
            self._documents[number] = value
            while len(self._documents) > _DOCUMENTS:
                self._documents.popitem(last=False)
        return value

    def tree(self, number: int) -> Node:
        """The root of a payload, opened as far as there is room for."""
        return tree_of(self.document(number))

    def children(self, number: int, path: Sequence[PathStep], start: int = 0) -> list[Node]:
        """The next children of the place at a path, those that are small opened already."""
        return children_of(value_at(self.document(number), tuple(path)), start)

    # -- from a place to a field

    def suggest(self, number: int, path: Sequence[PathStep], mapping: Mapping[str, Any]) -> dict[str, Any]:
        """The field that the place at a path would make under a mapping: name, path, from, type, unit, role.

        Raises Invalid where no field can read it.
        """
        payload = self.payload(number)
        origin, below = place_of(payload, self.document(number), tuple(path), mapping)
        value = value_at(self.document(number), tuple(path))
        name = next((step for step in reversed(path) if isinstance(step, str)), "value")
        field = field_like(name, [value, *self._others(payload, path)])
        return named_field(field, [step for step in path if isinstance(step, str)] or ["value"], mapping, origin, below)

    def suggest_header(self, number: int, header: str, mapping: Mapping[str, Any]) -> dict[str, Any]:
        """The field that a header would make."""
        if header not in self.payload(number).headers:
            raise Invalid(f"payload {number} has no header '{header[:60]}'")
        return named_field({"type": "text"}, [header.removeprefix("x-")], mapping, "headers", (header,))

    def suggest_time(self, number: int, path: Sequence[PathStep], mapping: Mapping[str, Any]) -> dict[str, Any]:
        """`{"path", "format"}` of a time at that place. Invalid where nothing says that it is one."""
        payload = self.payload(number)
        below = self._in_record(payload, path, mapping)
        values = [value_at(self.document(number), tuple(path)), *self._others(payload, path)]
        # Named like a time: that it is meant as one is said by whoever asks.
        found = inferred("timestamp", [value for value in values if value is not None])
        if found is None or "time" not in found:
            raise Invalid("this is no time that is known here; write its path and format by hand")
        return {"path": format_path(below), "format": found["time"].get("format", "iso8601")}

    def suggest_key(self, number: int, path: Sequence[PathStep], mapping: Mapping[str, Any]) -> list[str]:
        """The key with that place as one more part of it."""
        part = format_path(self._in_record(self.payload(number), path, mapping))
        known = mapping.get("key")
        parts = [str(one) for one in known] if isinstance(known, list) else []
        return [one for one in parts if one != part] if part in parts else [*parts, part]

    def suggest_records(self, number: int, path: Sequence[PathStep]) -> str | None:
        """The path to records that are the elements of the list at that place; None where they are so anyway."""
        payload = self.payload(number)
        steps = list(path)
        if cut_into_lines(payload) and steps:
            steps = steps[1:]
        if not isinstance(value_at(self.document(number), tuple(path)), list):
            raise Invalid("only a list holds records")
        if not steps:
            return None
        return format_path([None if isinstance(step, int) else step for step in steps] + [None])

    def _in_record(self, payload: Payload, path: Sequence[PathStep], mapping: Mapping[str, Any]) -> Path:
        origin, below = place_of(payload, self.document(payload.id), tuple(path), mapping)
        if origin != "record":
            raise Invalid("time and key are read from the record, and this lies outside of it")
        return below

    def _others(self, payload: Payload, path: Sequence[PathStep]) -> list[Any]:
        """Values at the same place in a few other payloads, and at its neighbours in lists."""
        found: list[Any] = []
        document = self.document(payload.id)
        for at, step in enumerate(path):
            if isinstance(step, int):
                parent = value_at(document, tuple(path[:at]))
                rest = tuple(path[at + 1 :])
                if rest and isinstance(parent, list):
                    found += [value_at(one, rest) for one in parent[:50]]
                break
        size = 0
        for other in self.payloads[:20]:
            size += len(other.body)
            if size > MAX_PASTED:
                break
            if other.id != payload.id and other.content_type == payload.content_type:
                try:
                    found.append(value_at(document_of(other), tuple(path)))
                except Invalid:
                    continue
        return [value for value in found if value is not None]


def document_of(payload: Payload) -> Any:
    """What a payload holds, by its content type; of lines and rows a list. Raises Invalid."""
    body, kind = without_mark(payload.body), body_kind(payload.content_type)
    try:
        if kind == "lines":
            return [parse_json(line) for line in itertools.islice(lines_of(body), 5000)]
        if kind in ("csv", "form"):
            decoder = Decoder(None)
            decoder.payload(0, payload, body)
            if decoder.refusals and not decoder.texts.records:
                raise Invalid(decoder.refusals[0].reason)
            return decoder.texts.records if kind == "csv" else decoder.texts.records[0]
        if kind == "xml":
            return xml_of(body, payload.content_type)
        return parse_json(body)
    except Unreadable as error:
        raise Invalid(str(error)) from None
