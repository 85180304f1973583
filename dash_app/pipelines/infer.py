"""Sample payloads → a mapping that is right about them, and careful about those to come.

A proposal that is wrong later loses data, so doubt decides for what loses least: a number is `number` although all
samples are whole; a time is taken only where every record has one; and there is a key only where a name and the values
both say that it is an event's identity, because the id of a device, taken for one, would make all its later records
duplicates.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dash_app.domain.errors import Invalid
from dash_app.domain.events import Payload
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.paths import format_path
from dash_app.domain.specs import PathStep
from dash_app.pipelines.decode import Decoder, Unreadable, body_kind, lines_of, parse_json, records_in, without_mark
from dash_app.pipelines.expression_plan import FALSE_TEXTS, INTEGER_TEXT, NUMBER_TEXT, TRUE_TEXTS
from dash_app.pipelines.mapping import compile_mapping
from dash_app.pipelines.names import field_name, snake_case, unit_of
from dash_app.pipelines.times import iso8601_series

MAX_FIELDS = 40
MAX_SAMPLES = 500
MAX_DEPTH = 5
#: No more payloads are looked at once they are so large together.
MAX_BYTES = 4 * 1024 * 1024

Path = tuple[PathStep, ...]

#: Members whose array of objects is what the payload is about.
_COLLECTIONS = [
    "data",
    "items",
    "results",
    "records",
    "features",
    "events",
    "rows",
    "entries",
    "readings",
    "measurements",
    "observations",
    "values",
    "hits",
    "points",
    "series",
    "samples",
    "messages",
]
#: Objects that only wrap: a time in one of these is the record's own, one in another object is that object's.
_WRAPPERS = frozenset(
    [
        "properties",
        "data",
        "attributes",
        "payload",
        "event",
        "meta",
        "metadata",
        "header",
        "body",
        "record",
        "reading",
        "fields",
        "detail",
    ]
)
_TIME_NAMES = [
    "timestamp",
    "time",
    "ts",
    "datetime",
    "date_time",
    "event_time",
    "occurred_at",
    "observed_at",
    "measured_at",
    "recorded_at",
    "created_at",
    "created",
    "date",
    "published_at",
    "published",
    "sent_at",
    "updated_at",
    "updated",
    "last_updated",
    "epoch",
    "when",
]
_TIME_HINT = re.compile(r"time|date|epoch|_at$|^at$|^ts$|_ts$|when|created|updated|published|last_reported")
_EPOCHS = (("epoch_s", 1), ("epoch_ms", 1000), ("epoch_us", 10**6), ("epoch_ns", 10**9))
_EVENT_IDS = frozenset(
    ["event_id", "eventid", "uuid", "guid", "message_id", "messageid", "delivery_id", "transaction_id"]
)
_OPAQUE = re.compile(
    r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-9a-f]{24}|[0-9A-HJKMNP-TV-Z]{26}", re.IGNORECASE
)
_IDENTITY = re.compile(r"(?:^|_)(?:id|uuid|guid|code|port|pid|zip|zipcode|postcode|serial|year|version|number|no|nr)$")
_LINK = re.compile(r"(?:^|_)(?:url|uri|href|link|links|node_id|gravatar_id)$")
_EVENT_HEADERS = ("x-github-event", "x-gitlab-event", "x-shopify-topic", "x-event-type", "x-event-key", "ce-type")


@dataclass(slots=True)
class _Leaf:
    """All values found at one path."""

    path: Path
    values: list[Any] = field(default_factory=list)
    kind: str = ""

    @property
    def name(self) -> str:
        return next((snake_case(step) for step in reversed(self.path) if isinstance(step, str)), "")


@dataclass(frozen=True, slots=True)
class _Samples:
    payloads: Sequence[Payload]
    documents: Sequence[Any]
    textual: bool


def infer_mapping(payloads: Sequence[Payload]) -> tuple[dict[str, Any], str] | None:
    """A mapping document for payloads like these, and a sentence on it for people; None where nothing in them can be
    used."""
    samples = _read(payloads)
    if samples is None:
        return None
    records_path = _records_path(samples)
    records = [record for document in samples.documents for record in records_in(document, records_path)][:MAX_SAMPLES]
    leaves = _leaves(records, textual=samples.textual)
    if not leaves:
        return None
    time = _time(leaves, len(records), samples)
    fields = _fields([leaf for leaf in leaves if time is None or leaf.path != time[0].path], samples)
    if not fields:
        fields = _fields(leaves, samples)
    document: dict[str, Any] = {}
    if records_path is not None:
        document["records"] = format_path(records_path)
    if time is not None:
        form = {} if time[1] == "iso8601" else {"format": time[1]}
        document["time"] = {"path": format_path(time[0].path), **form}
    key = _key(leaves, len(records), samples)
    if key:
        document["key"] = [format_path(leaf.path) for leaf in key]
    document["fields"] = fields
    return _tried(document, samples)


def _tried(document: dict[str, Any], samples: _Samples) -> tuple[dict[str, Any], str] | None:
    """The document and its note, if it makes records of these very payloads; without time and key if only so."""
    for parts in (document, {name: part for name, part in document.items() if name not in ("time", "key")}):
        try:
            mapped = compile_mapping(parse_mapping(parts)).run(samples.payloads)
        except Invalid:
            continue
        if mapped.frame.height:
            count = len(samples.payloads)
            source = "the first payload" if count == 1 else f"the first {count} payloads"
            number = len(parts["fields"])
            time = f"time from {parts['time']['path']}" if "time" in parts else "time is when it was received"
            return parts, f"inferred from {source}: {number} field{'s' if number != 1 else ''}, {time}"
    return None


def _read(payloads: Sequence[Payload]) -> _Samples | None:
    """What the payloads hold, of the kind that most of them are: JSON, or texts (CSV and forms)."""
    read: dict[bool, list[tuple[Payload, list[Any]]]] = {False: [], True: []}
    ids: set[int] = set()
    size = 0
    for payload in payloads:
        if size > MAX_BYTES:
            break
        size += len(payload.body)
        body, kind = without_mark(payload.body), body_kind(payload.content_type)
        if kind in ("csv", "form"):
            decoder = Decoder()
            decoder.payload(0, payload, body)
            documents: list[Any] = list(decoder.texts.records)
        elif kind == "lines":
            lines = itertools.islice(lines_of(body), MAX_SAMPLES)
            documents = [value for line in lines if (value := _parsed(line)) is not None]
        else:
            value = _parsed(body)
            documents = [value] if value is not None else []
        if documents and payload.id not in ids:
            ids.add(payload.id)
            read[kind in ("csv", "form")].append((payload, documents))
    textual = len(read[True]) > len(read[False])
    if not read[textual]:
        return None
    return _Samples(
        [payload for payload, _ in read[textual]], [one for _, many in read[textual] for one in many], textual
    )


def _parsed(text: bytes) -> Any:
    try:
        return parse_json(text)
    except Unreadable:
        return None


def _records_path(samples: _Samples) -> Path | None:
    """Where the records are, if not the documents themselves or their elements."""
    objects = [document for document in samples.documents if isinstance(document, dict)]
    lines = any(body_kind(payload.content_type) == "lines" for payload in samples.payloads)
    if lines or len(objects) < len(samples.documents) or any(_event_header(one) for one in samples.payloads):
        return None
    if all("specversion" in one for one in objects):  # CloudEvents
        return None
    found: dict[Path, int] = {}
    for document in objects:
        for path in _arrays(document, ()):
            found[path] = found.get(path, 0) + 1
    usual = [path for path, count in found.items() if count * 2 > len(objects)]
    known = [path for path in usual if str(path[-1]).lower() in _COLLECTIONS]
    if known:
        best = min(known, key=lambda path: (len(path), _COLLECTIONS.index(str(path[-1]).lower())))
        return (*best, None)
    if len(usual) == 1 and len(usual[0]) == 1:
        scalars = max(sum(not isinstance(value, dict | list) for value in one.values()) for one in objects)
        return (*usual[0], None) if scalars <= 2 else None
    return None


def _arrays(value: Any, path: Path) -> Iterator[Path]:
    """Paths to arrays of objects, not within other arrays."""
    if isinstance(value, dict) and len(path) < 3:
        for name, child in value.items():
            yield from _arrays(child, (*path, name))
    elif isinstance(value, list) and path and value and all(isinstance(one, dict) for one in value):
        yield path


def _leaves(records: Sequence[Any], *, textual: bool) -> list[_Leaf]:
    """Every place with a value, its type decided, in the order in which they come."""
    found: dict[Path, _Leaf] = {}
    for record in records:
        for path, value in _scalars(record, ()):
            if value is not None:
                found.setdefault(path, _Leaf(path)).values.append(value)
    for leaf in found.values():
        leaf.kind = _text_kind(leaf) if textual else _json_kind(leaf)
    return [leaf for leaf in found.values() if leaf.kind]


def _scalars(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        if len(path) < MAX_DEPTH:
            for name, child in value.items():
                yield from _scalars(child, (*path, name))
    elif isinstance(value, list):
        pair = path and path[-1] in ("coordinates", "location", "position") and 2 <= len(value) <= 3
        if pair and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value):
            for number, one in enumerate(value):
                yield (*path, number), one
    else:
        yield path, value


def _json_kind(leaf: _Leaf) -> str:
    kinds = set(map(type, leaf.values))
    if kinds == {bool}:
        return "boolean"
    if kinds <= {int, float}:
        return "integer" if kinds == {int} and _is_identity(leaf) else "number"
    if kinds == {str}:
        return "timestamp" if _all_times(leaf.values) else "text"
    return "json"


def _text_kind(leaf: _Leaf) -> str:
    values = [value.strip() for value in leaf.values]
    if all(re.fullmatch(NUMBER_TEXT, value) for value in values):
        # 007 and +47… are no numbers, although they look like some.
        odd = any(re.match(r"[+-]?0[0-9]|\+", value) for value in values)
        whole = all(re.fullmatch(INTEGER_TEXT, value) for value in values)
        if odd or any(len(value) > 300 for value in values):
            return "text"
        return "integer" if whole and _is_identity(leaf) and all(len(value) < 19 for value in values) else "number"
    words = {value.lower() for value in values}
    if words <= {*TRUE_TEXTS, *FALSE_TEXTS} and max(map(len, words)) > 1:
        return "boolean"
    return "timestamp" if _all_times(values) else "text"


def _is_identity(leaf: _Leaf) -> bool:
    """Whether whole numbers are names rather than amounts."""
    values = [value for value in leaf.values if isinstance(value, int)]
    if any(not -(2**63) <= value < 2**63 for value in values):
        return False
    return bool(_IDENTITY.search(leaf.name)) or any(abs(value) > 2**53 for value in values)


def _all_times(values: Sequence[str]) -> bool:
    if any(len(value) < 10 or not value[:4].isdigit() or "-" not in value for value in values):
        return False
    return not iso8601_series(pl.Series("text", values, pl.String)).has_nulls()


def _time(leaves: Sequence[_Leaf], count: int, samples: _Samples) -> tuple[_Leaf, str] | None:
    """The leaf with the records' time and its format: all records have it, and its name or its values say so."""
    if any(_event_header(payload) for payload in samples.payloads):
        leaves = [leaf for leaf in leaves if len(leaf.path) == 1]
    candidates: list[tuple[tuple[int, int, int], _Leaf, str]] = []
    for place, leaf in enumerate(leaves):
        if len(leaf.values) < count or not all(isinstance(step, str) for step in leaf.path):
            continue
        if any(str(step).lower() not in _WRAPPERS for step in leaf.path[:-1]):
            continue
        form = "iso8601" if leaf.kind == "timestamp" else _epoch(leaf)
        if form is not None:
            rank = _TIME_NAMES.index(leaf.name) if leaf.name in _TIME_NAMES else len(_TIME_NAMES)
            candidates.append(((rank, len(leaf.path), place), leaf, form))
    if not candidates:
        return None
    _, leaf, form = min(candidates, key=lambda one: one[0])
    return leaf, form


def _epoch(leaf: _Leaf) -> str | None:
    """The unit in which all values are between 2001 and 2099, if the name speaks of time."""
    if leaf.kind not in ("number", "integer") or not _TIME_HINT.search(leaf.name):
        return None
    values = [float(value) for value in leaf.values]
    for form, scale in _EPOCHS:
        whole = scale < 10**6 or all(value.is_integer() for value in values)
        if whole and all(10**9 * scale <= value < 4.1 * 10**9 * scale for value in values):
            return form
    return None


def _key(leaves: Sequence[_Leaf], count: int, samples: _Samples) -> list[_Leaf]:
    top = {leaf.path[0]: leaf for leaf in leaves if len(leaf.path) == 1 and len(leaf.values) == count}
    if all(isinstance(one, dict) and "specversion" in one for one in samples.documents):
        return [top["source"], top["id"]] if {"source", "id"} <= top.keys() else []
    for name, leaf in top.items():
        texts = [str(value) for value in leaf.values]
        if len(set(texts)) < count:
            continue
        if str(name).lower() in _EVENT_IDS and count >= 3:
            return [leaf]
        if str(name).lower() == "id" and count >= 20 and all(_OPAQUE.fullmatch(text) for text in texts):
            return [leaf]
    return []


def _event_header(payload: Payload) -> str | None:
    return next((name for name in _EVENT_HEADERS if name in payload.headers), None)


def _fields(leaves: Sequence[_Leaf], samples: _Samples) -> list[dict[str, Any]]:
    """The fields, most telling first when there are too many, in the order in which they come."""
    taken: set[str] = set()
    fields: list[dict[str, Any]] = []
    header = _event_header(samples.payloads[0])
    if header is not None:
        name = field_name(["event"], taken)
        fields.append({"name": name, "path": f"$['{header}']", "from": "headers", "type": "text"})
    chosen = [leaf for leaf in leaves if not _is_noise(leaf)] or list(leaves)
    best = sorted(range(len(chosen)), key=lambda place: (_worth(chosen[place]), place))[: MAX_FIELDS - len(fields)]
    for place in sorted(best):
        leaf = chosen[place]
        name = field_name(_telling(leaf.path), taken)
        made: dict[str, Any] = {"name": name, "path": format_path(leaf.path), "type": leaf.kind}
        unit = unit_of(name) if leaf.kind in ("number", "integer") else ""
        if unit:
            made["unit"] = unit
        if leaf.kind in ("number", "integer") and _is_identity(leaf):
            made["role"] = "dimension"
        fields.append(made)
    return fields


def _telling(path: Path) -> Sequence[PathStep]:
    """The steps of a path that its name is made of: wrappers at its beginning say nothing."""
    if path and path[-2:-1] == ("coordinates",) and path[-1] in (0, 1, 2):
        return [("longitude", "latitude", "altitude")[int(path[-1])]]
    steps = list(path)
    while len(steps) > 1 and str(steps[0]).lower() in _WRAPPERS:
        steps = steps[1:]
    return steps


def _is_noise(leaf: _Leaf) -> bool:
    """Links, long texts, times as numbers, and constants that only say what kind of object this is."""
    if leaf.kind != "text":
        return _epoch(leaf) is not None
    if leaf.path == ("specversion",):
        return True
    texts: Mapping[str, None] = dict.fromkeys(map(str, leaf.values))
    lengths = [len(text) for text in texts]
    if _LINK.search(leaf.name) or sum(lengths) / len(lengths) > 200:
        return True
    return all(text.startswith(("http://", "https://")) for text in texts) or set(texts) <= {"Feature", "Point"}


def _worth(leaf: _Leaf) -> tuple[int, int]:
    """Smaller is more telling: near the top, amounts before words, words that come again before those that never do."""
    distinct = len({str(value) for value in leaf.values})
    varied = leaf.kind == "text" and len(leaf.values) >= 20 and distinct > len(leaf.values) / 2
    order = {"number": 0, "boolean": 1, "text": 1, "timestamp": 2, "integer": 2, "json": 4}[leaf.kind]
    return len(leaf.path), order + 2 * varied
