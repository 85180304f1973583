"""What two mapping documents say differently, field by field, as a person would tell it and not as lines of text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dash_app.domain.specs import FieldSpec, MappingSpec

#: `renamed`: another name for what is read from the same place.
What = Literal["added", "removed", "changed", "renamed", "moved"]

_PARTS = ("records", "time", "key", "on_duplicate", "where", "on_error")
_DEFAULTS = {
    "records": "the payload itself",
    "time": "when it was received",
    "key": "none",
    "on_duplicate": "ignore",
    "where": "every record",
    "on_error": "reject",
}


@dataclass(frozen=True, slots=True)
class MappingChange:
    """One thing that is said otherwise. `place`: a field's name, or a part of the document such as `where`; `part`:
    which part of the field, '' for the whole of it. Texts are '' where there is nothing on that side."""

    place: str
    what: What
    part: str = ""
    before: str = ""
    after: str = ""


def mapping_difference(a: MappingSpec, b: MappingSpec) -> list[MappingChange]:
    """Every difference between two mappings, the document's own parts first, then its fields in `b`'s order."""
    found = [
        MappingChange(part, "changed", "", before, after)
        for part in _PARTS
        if (before := _part(a, part)) != (after := _part(b, part))
    ]
    found += _fields(a, b)
    if a.tests != b.tests:
        found.append(MappingChange("tests", "changed", "", _counted(len(a.tests)), _counted(len(b.tests))))
    return found


def renamed(a: MappingSpec, b: MappingSpec) -> dict[str, str]:
    """Fields of `a` that `b` has under another name: old name → new name."""
    names_a, names_b = {field.name for field in a.fields}, {field.name for field in b.fields}
    sources: dict[str, list[str]] = {}
    for field in b.fields:
        if field.name not in names_a:
            sources.setdefault(_source(field), []).append(field.name)
    found = {}
    for field in a.fields:
        if field.name not in names_b and (names := sources.get(_source(field))):
            found[field.name] = names.pop(0)
    return found


def _fields(a: MappingSpec, b: MappingSpec) -> Iterator[MappingChange]:
    theirs = {field.name: field for field in a.fields}
    ours = {field.name: field for field in b.fields}
    names = renamed(a, b)
    back = {new: old for old, new in names.items()}
    for name, field in ours.items():
        if name in back:
            yield MappingChange(name, "renamed", "name", back[name], name)
            yield from _parts(theirs[back[name]], field, a, b)
        elif name in theirs:
            yield from _parts(theirs[name], field, a, b)
        else:
            yield MappingChange(name, "added", "", "", _whole(field, b))
    for name, field in theirs.items():
        if name not in ours and name not in names:
            yield MappingChange(name, "removed", "", _whole(field, a), "")
    before = [names.get(name, name) for name in theirs if names.get(name, name) in ours]
    after = [name for name in ours if name in theirs or name in back]
    if before != after:
        yield MappingChange("fields", "moved", "order", ", ".join(before), ", ".join(after))


def _parts(one: FieldSpec, two: FieldSpec, a: MappingSpec, b: MappingSpec) -> Iterator[MappingChange]:
    before, after = _described(one, a), _described(two, b)
    for part in before | after:
        if before.get(part, "") != after.get(part, ""):
            yield MappingChange(two.name, "changed", part, before.get(part, ""), after.get(part, ""))


def _described(field: FieldSpec, spec: MappingSpec) -> dict[str, str]:
    """The parts of a field as texts, each only where it says something."""
    written = next(one for one in spec.document["fields"] if one["name"] == field.name)
    parts = {
        "path": str(written.get("path") or ""),
        "sql": field.sql or "",
        "from": field.origin if field.origin != "record" else "",
        "type": field.type,
        "default": _json(field.default) if field.default is not None else "",
        "unit": field.unit,
        "role": field.role,
    }
    return {name: text for name, text in parts.items() if text}


def _whole(field: FieldSpec, spec: MappingSpec) -> str:
    parts = _described(field, spec)
    source = parts.get("sql") or parts.get("path", "")
    unit = f", {field.unit}" if field.unit else ""
    return f"{field.type}{unit} from {source}"


def _source(field: FieldSpec) -> str:
    """Where a field's value comes from: two fields with one source hold the same."""
    return json.dumps([field.origin, field.path, field.sql])


def _part(spec: MappingSpec, part: str) -> str:
    value: Any = spec.document.get(part)
    if part == "on_error":
        return spec.on_error
    if value is None or value == []:
        return _DEFAULTS[part]
    if part == "time" and isinstance(value, Mapping):
        return f"{value['path']} as {value.get('format') or 'iso8601'}"
    if part == "key" and isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _counted(count: int) -> str:
    return f"{count} test" if count == 1 else f"{count} tests"
