"""Which paths the records of some payloads have, and of which kinds the values there are: what drift keeps.

A look notes what it sees in `Sighting`s, old ones grown and new ones made. At the paths that the mapping reads it asks
as the mapping does; elsewhere it goes through the record as inference does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import polars as pl

from dash_app.domain.events import Payload
from dash_app.domain.paths import format_path
from dash_app.domain.specs import MappingSpec
from dash_app.pipelines import times
from dash_app.pipelines.decode import value_at
from dash_app.pipelines.expression_plan import FALSE_TEXTS, NUMBER_TEXT, TRUE_TEXTS
from dash_app.pipelines.inference.fields import proposed_fields, typed_leaves
from dash_app.pipelines.inference.samples import Leaf, Path, read_samples, values_of
from dash_app.storage.sightings import Look, Sighting

KINDS = ("number", "integer", "boolean", "text", "time", "array", "object")
#: Records of one look, of all its payloads together.
LOOK_RECORDS = 1_000
#: Paths that are kept of one pipeline; what has more has keys that are values.
MAX_PATHS = 500
#: Longer ones (in characters) are passed over: they would not fit an entry of the database's index.
MAX_PATH_LENGTH = 500
_EXAMPLE = 120

_NUMBER = re.compile(NUMBER_TEXT)
#: The kinds of value that fit a field's type.
_FITS: Mapping[str, frozenset[str]] = {
    "number": frozenset(["number", "integer"]),
    "integer": frozenset(["integer"]),
    "boolean": frozenset(["boolean"]),
    "text": frozenset(["text", "time"]),
    "timestamp": frozenset(["time"]),
}


@dataclass(frozen=True, slots=True)
class Watched:
    """A path that the mapping reads from the record. `type`: of the field, or '' where any value will do."""

    path: Path
    label: str
    type: str


def watched_paths(spec: MappingSpec) -> dict[str, Watched]:
    """The paths into a record that a mapping reads, by their text."""
    found: dict[str, Watched] = {}
    for one in spec.fields:
        whole = one.origin == "payload" and spec.records is None
        if one.path and (one.origin == "record" or whole):
            found.setdefault(format_path(one.path), Watched(one.path, one.name, one.type))
    if spec.time is not None and spec.time.path:
        form = spec.time.format
        kind = "timestamp" if form == "iso8601" else "text" if "%" in form else "number"
        found.setdefault(format_path(spec.time.path), Watched(spec.time.path, "time", kind))
    for path in spec.key:
        if path:
            found.setdefault(format_path(path), Watched(path, "key", ""))
    return found


def fits(kind: str, found: str) -> bool:
    """Whether a value of the kind `found` can stand in a field of the type `kind`."""
    return kind not in _FITS or found in _FITS[kind]


@dataclass(slots=True)
class _Place:
    """What one look has seen at a path: values of payloads from before the mapping (`old`), and of those after it."""

    leaf: Leaf
    old: list[Any] = field(default_factory=list)
    payloads: int = 0
    first: datetime | None = None
    last: datetime | None = None
    place: int = 0
    counted: int = -1


def note(
    loaded: Sequence[Payload], spec: MappingSpec, at: Look, seen: dict[str, Sighting], *, known_until: datetime | None
) -> None:
    """Adds what these payloads hold to the sightings, and counts the payloads.

    What came until `known_until` is no news: somebody could see it when the mapping was saved. None: nothing here is.
    """
    watched = watched_paths(spec)
    reads = dict.fromkeys(one.path for one in watched.values())
    places: dict[Path, _Place] = {}
    textual = False
    each = max(1, LOOK_RECORDS // max(1, len(loaded)))
    for payload in loaded:
        at.payloads += 1
        samples = read_samples([payload])
        if samples is None:
            continue
        textual = textual or samples.textual
        old = known_until is None or payload.received_at <= known_until
        records = samples.records(spec.records)
        for record in records[:: max(1, len(records) // each)]:
            for path, value in _values(record, reads):
                place = places.get(path)
                if place is None:
                    place = places[path] = _Place(Leaf(path))
                (place.old if old else place.leaf.values).append(value)
                if place.counted != at.payloads:
                    place.counted = at.payloads
                    place.payloads += 1
                    place.place = at.payloads
                    place.first = place.first or payload.received_at
                    place.last = payload.received_at
    for path, place in places.items():
        text = format_path(path)
        if len(text) <= MAX_PATH_LENGTH:
            _merge(seen, text, place, watched.get(text), textual=textual)


def _values(record: Any, reads: Mapping[Path, None]) -> Iterator[tuple[Path, Any]]:
    """What stands at the mapping's own paths, and everything else but objects, which only hold something."""
    for path in reads:
        value = value_at(record, path)
        if value is not None:
            yield path, value
    for path, value in values_of(record):
        if path and value is not None and not isinstance(value, dict) and path not in reads:
            yield path, value


def _merge(seen: dict[str, Sighting], text: str, place: _Place, mapped: Watched | None, *, textual: bool) -> None:
    one = seen.get(text)
    if one is None:
        if len(seen) >= MAX_PATHS and mapped is None:
            return
        assert place.first is not None
        one = seen[text] = Sighting(text, place.first, place.first)
    kind = mapped.type if mapped is not None else ""
    for values, is_news in ((place.old, False), (place.leaf.values, True)):
        for name in kinds_of(values, kind, textual=textual):
            one.kinds[name] = one.kinds.get(name, 0) + 1
            if not is_news:
                one.known.add(name)
    one.payloads += place.payloads
    one.place = place.place
    one.last_seen = max(one.last_seen, place.last or one.last_seen)
    one.missed = False
    latest = (place.leaf.values or place.old)[-1]
    one.example = _shown(latest)
    if mapped is None and not one.known and not one.proposal:
        leaves = typed_leaves([place.leaf], textual=textual)
        taken: set[str] = set()
        one.proposal = [part for leaf in leaves for part in proposed_fields(leaf, taken, textual=textual)]


def kinds_of(values: Sequence[Any], wanted: str = "", *, textual: bool = False) -> list[str]:
    """The kind of each value: number, integer, boolean, text, time, array or object.

    `wanted`: the type of the field that reads them. In CSV and forms (`textual`) all values are texts, and of the kind
    that they can be read as, that of the field if possible.
    """
    texts = [value for value in values if isinstance(value, str)]
    moments = set(_times(texts))
    return [_kind(value, moments, wanted, textual=textual) for value in values]


def _times(texts: Sequence[str]) -> Iterator[str]:
    able = [text for text in dict.fromkeys(texts) if len(text.strip()) >= 10 and text.strip()[:4].isdigit()]
    if able:
        read = times.iso8601_series(pl.Series("text", [text.strip() for text in able], pl.String))
        yield from (text for text, moment in zip(able, read, strict=True) if moment is not None)


def _kind(value: Any, moments: set[str], wanted: str, *, textual: bool) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "number"
    if isinstance(value, float):
        return "integer" if value.is_integer() and abs(value) <= 2**53 else "number"
    if isinstance(value, list):
        return "array"
    if isinstance(value, dict):
        return "object"
    if not textual:
        return "time" if value in moments else "text"
    return _read_as(value.strip(), value in moments, wanted)


def _read_as(bare: str, is_time: bool, wanted: str) -> str:
    """The kind of a text in a CSV."""
    if wanted == "text":
        return "text"
    if bare.lower() in (*TRUE_TEXTS, *FALSE_TEXTS) and (wanted == "boolean" or (len(bare) > 1 and not bare.isdigit())):
        return "boolean"
    if _NUMBER.fullmatch(bare):
        odd = not wanted and re.match(r"[+-]?0[0-9]|\+", bare)
        return "text" if odd else "integer" if re.fullmatch(r"[+-]?[0-9]+", bare) else "number"
    return "time" if is_time else "text"


def _shown(value: Any) -> str:
    """A value as an example, cut short."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = text.replace("\0", "\ufffd")
    return text if len(text) <= _EXAMPLE else text[: _EXAMPLE - 1] + "…"
