"""Sample payloads → a mapping that is right about them, and careful about those to come.

A proposal that is wrong later loses data, so doubt decides for what loses least: a number is `number` although all
samples are whole; a time is taken only where every record has one; and there is a key only where a name and the values
both say that it is an event's identity, because the id of a device, taken for one, would make all its later records
duplicates. What is proposed has been run over the samples: a field that would refuse one of them is made wider.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dash_app.domain.errors import Invalid
from dash_app.domain.events import Payload
from dash_app.domain.mapping import MAX_METRICS, parse_mapping
from dash_app.domain.paths import format_path
from dash_app.pipelines.expression_plan import NUMBER_TEXT
from dash_app.pipelines.inference.fields import proposed_fields, telling_leaves, typed_leaves, word_in
from dash_app.pipelines.inference.records import event_header, is_cloud_event, records_path
from dash_app.pipelines.inference.samples import Leaf, Path, Samples, leaves_of, read_samples
from dash_app.pipelines.inference.times import time_of
from dash_app.pipelines.mapping import compile_mapping
from dash_app.pipelines.names import field_name
from dash_app.pipelines.plan import Mapped

MAX_FIELDS = 40
#: How often a proposal is tried and made wider: a record names one thing that is wrong with it at a time.
_ROUNDS = 8

_EVENT_IDS = frozenset(
    ["event_id", "eventid", "uuid", "guid", "message_id", "messageid", "delivery_id", "transaction_id"]
)
_OPAQUE = re.compile(
    r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-9a-f]{24}|[0-9A-HJKMNP-TV-Z]{26}", re.IGNORECASE
)
_NUMBER = re.compile(NUMBER_TEXT)


@dataclass(slots=True)
class _Proposal:
    """A document in the making, and what people should know of it."""

    document: dict[str, Any]
    samples: Samples
    remarks: list[str] = field(default_factory=list)


def infer_mapping(payloads: Sequence[Payload]) -> tuple[dict[str, Any], str] | None:
    """A mapping document for payloads like these, and a sentence on it for people; None where nothing in them can be
    used."""
    samples = read_samples(payloads)
    if samples is None:
        return None
    path = records_path(samples)
    records = samples.records(path)
    found = leaves_of(records)
    columns = _columns(found)
    aside = {leaf.path for leaf in columns}
    leaves = typed_leaves([leaf for leaf in found if leaf.path not in aside], textual=samples.textual)
    if not leaves and columns:
        # Nothing but columns: they are kept whole, so that the payload is a record.
        leaves = [_as_json(leaf) for leaf in columns]
    if not leaves:
        return None
    made = _Proposal({}, samples)
    if columns:
        made.remarks.append(_on_columns(columns))
    if samples.textual and any(_is_amount(str(leaf.path[-1])) for leaf in found):
        made.remarks.append("the first row looks like data, and a CSV needs a row of names above it")
    if path is not None:
        made.document["records"] = format_path(path)
    events = any(event_header(payload.headers) for payload in samples.payloads)
    time = time_of(leaves, len(records), shallow=events or all(map(is_cloud_event, samples.documents)))
    if time is not None:
        form = {} if time[1] == "iso8601" else {"format": time[1]}
        made.document["time"] = {"path": format_path(time[0].path), **form}
    key = _key(leaves, len(records), samples)
    if key:
        made.document["key"] = [format_path(leaf.path) for leaf in key]
    others = [leaf for leaf in leaves if time is None or leaf.path != time[0].path]
    _add_fields(made, others or leaves, len(records))
    return _tried(made)


def _tried(made: _Proposal) -> tuple[dict[str, Any], str] | None:
    """The document and its note, if it makes records of these very payloads; what refuses some of them is made wider
    or left out."""
    mapped = _run(made)
    for _ in range(_ROUNDS):
        if mapped is None:
            if not _without(made, "key", "time"):
                return None
        elif not _widen(made, _refusing(mapped)):
            break
        mapped = _run(made)
    if mapped is None or not mapped.frame.height:
        return None
    parts, count = made.document, len(made.samples.payloads)
    number = len(parts["fields"])
    source = "the first payload" if count == 1 else f"the first {count} payloads"
    time = f"time from {parts['time']['path']}" if "time" in parts else "time is when it was received"
    note = f"inferred from {source}: {number} field{'s' if number != 1 else ''}, {time}"
    return parts, "; ".join([note, *dict.fromkeys(made.remarks)])[:500]


def _run(made: _Proposal) -> Mapped | None:
    try:
        return compile_mapping(parse_mapping(made.document)).run(made.samples.payloads)
    except Invalid:
        return None


def _refusing(mapped: Mapped) -> dict[str, int]:
    """How many records each place of the mapping refuses."""
    found: dict[str, int] = {}
    for reject in mapped.rejects:
        found[reject.field] = found.get(reject.field, 0) + 1
    return found


def _widen(made: _Proposal, refused: Mapping[str, int]) -> bool:
    """Changes what refuses records; False where nothing does that a change could mend (a body that is broken)."""
    changed = False
    for part in ("time", "key"):
        if refused.get(part) and _without(made, part):
            changed = True
    widest = "text" if made.samples.textual else "json"
    for one in made.document["fields"]:
        if refused.get(one["name"]) and one.get("type") != widest and "path" in one:
            _leave_out(made.document, one["name"])
            one["type"] = widest
            one.pop("unit", None)
            one.pop("role", None)
            changed = True
    return changed


def _leave_out(document: dict[str, Any], name: str) -> None:
    """Takes computed fields out that read a field which is about to change."""
    document["fields"] = [one for one in document["fields"] if name not in str(one.get("sql", ""))]


def _without(made: _Proposal, *parts: str) -> bool:
    return bool([made.document.pop(part) for part in parts if part in made.document])


def _key(leaves: Sequence[Leaf], count: int, samples: Samples) -> list[Leaf]:
    top = {leaf.path[0]: leaf for leaf in leaves if len(leaf.path) == 1 and len(leaf.values) == count}
    if all(map(is_cloud_event, samples.documents)):
        return [top["source"], top["id"]] if {"source", "id"} <= top.keys() else []
    for name, leaf in top.items():
        if leaf.kind == "json":
            continue
        texts = [str(value) for value in leaf.values]
        if len(set(texts)) < count:
            continue
        if str(name).lower() in _EVENT_IDS and count >= 3:
            return [leaf]
        if str(name).lower() == "id" and count >= 20 and all(_OPAQUE.fullmatch(text) for text in texts):
            return [leaf]
    return []


def _columns(found: Sequence[Leaf]) -> list[Leaf]:
    """Arrays that stand side by side, each a column of a table: the same parent, as long as each other, scalars."""
    by_parent: dict[Path, list[Leaf]] = {}
    for leaf in found:
        if leaf.path and not leaf.mixed and all(_is_column(value) for value in leaf.values):
            by_parent.setdefault(leaf.path[:-1], []).append(leaf)
    columns = []
    for group in by_parent.values():
        first = [len(value) for value in group[0].values]
        alike = [leaf for leaf in group if [len(value) for value in leaf.values] == first]
        if len(alike) >= 2 and len(alike) == len(group):
            columns += alike
    return columns


def _is_column(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 2 and not any(isinstance(one, list | dict) for one in value)


def _on_columns(columns: Sequence[Leaf]) -> str:
    places: dict[str, list[str]] = {}
    for leaf in columns:
        places.setdefault(format_path(leaf.path[:-1]), []).append(str(leaf.path[-1]))
    shown = " and ".join(f"{place} ({', '.join(names[:4])})" for place, names in list(places.items())[:2])
    return f"columns side by side in {shown} are not taken apart: a mapping reads rows"


def _is_amount(name: str) -> bool:
    """Whether the name of a column is a number, and not the year that it is of."""
    bare = name.strip()
    return bool(_NUMBER.fullmatch(bare)) and not re.fullmatch(r"(?:1[5-9]|2[01])[0-9]{2}", bare)


def _as_json(leaf: Leaf) -> Leaf:
    leaf.kind = "json"
    return leaf


def _add_fields(made: _Proposal, leaves: Sequence[Leaf], count: int) -> None:
    """The fields, most telling first when there are too many, in the order in which they come."""
    taken: set[str] = set()
    fields: list[dict[str, Any]] = []
    header = event_header(made.samples.payloads[0].headers)
    if header is not None:
        name = field_name(["event"], taken)
        fields.append({"name": name, "path": f"$['{header}']", "from": "headers", "type": "text"})
    for leaf in telling_leaves(leaves, count, MAX_FIELDS - len(fields)):
        fields += proposed_fields(leaf, taken, textual=made.samples.textual)
        word = word_in(leaf) if leaf.kind == "number" else None
        if word is not None:
            made.document["on_error"] = "null"
            made.remarks.append(f"values that are no numbers, like '{word[:30]}' in {leaf.name}, become null")
    metrics = [one for one in fields if one["type"] in ("number", "integer") and one.get("role") != "dimension"]
    for one in metrics[MAX_METRICS:]:
        one["role"] = "dimension"
    made.document["fields"] = fields
