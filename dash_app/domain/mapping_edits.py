"""Editing a mapping: every change is an operation, and `apply(document, operation)` gives the document after it.

A pure reducer stands behind form, tree and text alike, so that undo, tests and a shared draft need nothing of their
own. Operations are plain objects as the browser sends them; one that cannot be meant raises Invalid and changes
nothing. A document may be wrong in any way that YAML allows while somebody is still typing: what an operation does not
concern is left as it is.

- `add` `field` [`at`]: one more field, last or at a place.
- `set` `index` `key` `value`: a part of a field; null or "" takes it away. A new `name` is followed in `sql`, `where`
  and `tests`.
- `remove` `index`; `move` `index` `to`.
- `records` `path` [`rebase`]: where the records are; `rebase`: paths of fields, time and key go on naming the same
  places.
- `time` `path` [`format`]; `key` `paths`: null or [] takes it away.
- `on_duplicate`, `where`, `on_error` `value`.
- `replace` `document`: all of it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping_text import check_plain
from dash_app.domain.paths import format_path, parse_path
from dash_app.domain.specs import PathStep

Document = dict[str, Any]
Operation = Mapping[str, Any]

#: The order in which a document's parts stand, and those of a field.
PARTS = ("records", "time", "key", "on_duplicate", "fields", "where", "on_error", "tests")
FIELD_PARTS = ("name", "path", "from", "sql", "type", "unit", "role", "default")
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_FOLLOWED = re.compile(r"'(?:[^']|'')*'|\"(?P<quoted>[^\"]*)\"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)(?P<call>\s*\()?")


def apply(document: Mapping[str, Any], operation: Operation) -> Document:
    """The document after an operation; the one handed in is not changed. Raises Invalid."""
    name = operation.get("op")
    change = _OPERATIONS.get(name) if isinstance(name, str) else None
    if change is None:
        raise Invalid(f"'{str(name)[:40]}' is no operation; there are {', '.join(_OPERATIONS)}")
    made = copy.deepcopy(dict(document))
    replaced = change(made, operation)
    return ordered(made if replaced is None else replaced)


def ordered(document: Mapping[str, Any]) -> Document:
    """A document with its parts and those of its fields in the order in which they are written: stores keep none."""
    made = _ordered(document, PARTS)
    if isinstance(made.get("fields"), list):
        made["fields"] = [_ordered(one, FIELD_PARTS) if isinstance(one, Mapping) else one for one in made["fields"]]
    return made


def field_names(document: Mapping[str, Any]) -> set[str]:
    """Names that are taken, in small letters."""
    fields = document.get("fields")
    items = fields if isinstance(fields, list) else []
    return {str(one["name"]).lower() for one in items if isinstance(one, Mapping) and one.get("name")}


# Operations ----------------------------------------------------------------------------------------------------------


def _add(document: Document, operation: Operation) -> None:
    field = operation.get("field")
    if not isinstance(field, Mapping):
        raise Invalid("a field is an object with name and path")
    fields = _fields(document, make=True)
    at = operation.get("at")
    place = len(fields) if at is None else max(0, min(_whole(at), len(fields)))
    fields.insert(place, _ordered(copy.deepcopy(dict(field)), FIELD_PARTS))


def _set(document: Document, operation: Operation) -> None:
    fields, index = _at(document, operation)
    key, value = operation.get("key"), operation.get("value")
    if key not in FIELD_PARTS:
        raise Invalid(f"'{str(key)[:40]}' is no part of a field; there are {', '.join(FIELD_PARTS)}")
    field = dict(fields[index])
    before = field.get("name")
    if value is None or (value == "" and key not in ("name", "path", "sql")):
        field.pop(key, None)
    else:
        field[key] = copy.deepcopy(value)
    if key == "default" and field.get("type") == "integer" and isinstance(value, str) and _WHOLE.fullmatch(value):
        # As a form writes numbers that a browser would round.
        field[key] = int(value)
        check_plain(field[key])
    if key == "sql" and value is not None:
        # A field has one origin: what is computed has no path.
        field.pop("path", None)
        field.pop("from", None)
    elif key == "path" and value is not None:
        field.pop("sql", None)
    elif key == "from" and value == "record":
        field.pop("from")
    elif key == "type" and value not in ("number", "integer") and field.get("role") == "metric":
        field.pop("role")
    fields[index] = _ordered(field, FIELD_PARTS)
    if key == "name" and isinstance(before, str) and isinstance(value, str) and before and value and before != value:
        others = [one.get("name") for place, one in enumerate(fields) if place != index and isinstance(one, Mapping)]
        if before not in others:
            _follow(document, index, before, value)


def _remove(document: Document, operation: Operation) -> None:
    fields, index = _at(document, operation)
    del fields[index]


def _move(document: Document, operation: Operation) -> None:
    fields, index = _at(document, operation)
    to = max(0, min(_whole(operation.get("to")), len(fields) - 1))
    fields.insert(to, fields.pop(index))


def _records(document: Document, operation: Operation) -> None:
    path = operation.get("path") or None
    if operation.get("rebase"):
        _rebase(document, _steps(document.get("records")), _steps(path))
    _put(document, "records", path)


def _time(document: Document, operation: Operation) -> None:
    path, form = operation.get("path") or None, operation.get("format")
    if path is None:
        document.pop("time", None)
        return
    document["time"] = {"path": path} | ({"format": form} if form and form != "iso8601" else {})


def _key(document: Document, operation: Operation) -> None:
    paths = operation.get("paths") or []
    if not isinstance(paths, Sequence) or isinstance(paths, str):
        raise Invalid("a key is a list of paths")
    _put(document, "key", list(paths) or None)
    if not paths:
        document.pop("on_duplicate", None)


def _choice(name: str, default: str) -> Callable[[Document, Operation], None]:
    def change(document: Document, operation: Operation) -> None:
        value = operation.get("value") or None
        _put(document, name, None if value == default else value)

    return change


def _replace(_document: Document, operation: Operation) -> Document:
    given = operation.get("document")
    if not isinstance(given, Mapping):
        raise Invalid("a mapping is an object with fields")
    return copy.deepcopy(dict(given))


_OPERATIONS: dict[str, Callable[[Document, Operation], Document | None]] = {
    "add": _add,
    "set": _set,
    "remove": _remove,
    "move": _move,
    "records": _records,
    "time": _time,
    "key": _key,
    "on_duplicate": _choice("on_duplicate", "ignore"),
    "where": _choice("where", ""),
    "on_error": _choice("on_error", "reject"),
    "replace": _replace,
}


# Places and paths ----------------------------------------------------------------------------------------------------


def _fields(document: Document, *, make: bool = False) -> list[Any]:
    fields = document.get("fields")
    if fields is None and make:
        fields = document["fields"] = []
    if not isinstance(fields, list):
        raise Invalid("`fields` is not a list here; mend it in the text first")
    return fields


def _at(document: Document, operation: Operation) -> tuple[list[Any], int]:
    fields = _fields(document)
    index = _whole(operation.get("index"))
    if not 0 <= index < len(fields):
        raise Invalid(f"there is no field {index}")
    if not isinstance(fields[index], Mapping) and operation.get("op") == "set":
        raise Invalid(f"field {index} is not an object; mend it in the text first")
    return fields, index


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid("a place is a whole number")
    return value


def _put(document: Document, name: str, value: Any) -> None:
    if value is None:
        document.pop(name, None)
    else:
        document[name] = value


def _ordered(given: Mapping[str, Any], order: Sequence[str]) -> Document:
    """What is known in its order, then what is not."""
    return {name: given[name] for name in order if name in given} | {n: v for n, v in given.items() if n not in order}


def _steps(path: Any) -> tuple[PathStep, ...] | None:
    """The steps of a path, an array at the end of `records` taken element by element; None where it is no path."""
    if path is None:
        return ()
    try:
        return parse_path(path)
    except Invalid:
        return None


def relative(path: Sequence[PathStep], records: Sequence[PathStep]) -> tuple[PathStep, ...] | None:
    """What of a path lies below a place in `records`, whose wildcards stand for any name or index; None: it lies
    elsewhere."""
    if len(path) < len(records):
        return None
    if any(want is not None and want != step for want, step in zip(records, path, strict=False)):
        return None
    return tuple(path[len(records) :])


def _rebase(document: Document, old: tuple[PathStep, ...] | None, new: tuple[PathStep, ...] | None) -> None:
    """Has paths go on naming the same places when the records are somewhere else; those that cannot stay as they
    are."""
    if old is None or new is None or old == new:
        return

    def moved(path: Any) -> tuple[str, str] | None:
        steps = _steps(path)
        if steps is None or path is None:
            return None
        whole = (*old, *steps)
        below = relative(whole, new)
        if below is None and new and new[-1] is None:
            below = (
                relative(whole, new[:-1]) if len(whole) >= len(new) and isinstance(whole[len(new) - 1], int) else None
            )
        if below is not None and None not in below:
            return "record", format_path(below)
        return ("payload", format_path(whole)) if None not in whole else None

    for field in document.get("fields") or []:
        if not isinstance(field, dict) or field.get("from", "record") != "record" or "path" not in field:
            continue
        if found := moved(field["path"]):
            field["path"] = found[1]
            if found[0] == "payload":
                field["from"] = "payload"
    time = document.get("time")
    if isinstance(time, dict) and (found := moved(time.get("path"))) and found[0] == "record":
        time["path"] = found[1]
    key = document.get("key")
    if isinstance(key, list):
        document["key"] = [found[1] if (found := moved(one)) and found[0] == "record" else one for one in key]


def _follow(document: Document, index: int, before: str, after: str) -> None:
    """A new name in the expressions below the field, in `where` and in what tests expect."""
    for field in document["fields"][index + 1 :]:
        if isinstance(field, dict) and isinstance(field.get("sql"), str):
            field["sql"] = renamed(field["sql"], before, after)
    if isinstance(document.get("where"), str):
        document["where"] = renamed(document["where"], before, after)
    tests = document.get("tests")
    for test in tests if isinstance(tests, list) else []:
        if not isinstance(test, dict):
            continue
        records = test.get("records")
        if isinstance(records, list):
            test["records"] = [
                {(after if name == before else name): value for name, value in one.items()}
                if isinstance(one, dict)
                else one
                for one in records
            ]
        rejects = test.get("rejects")
        for reject in rejects if isinstance(rejects, list) else []:
            if isinstance(reject, dict) and reject.get("field") == before:
                reject["field"] = after


def renamed(expression: str, before: str, after: str) -> str:
    """An expression with a field's name changed wherever it stands as one: not in texts, not as a function."""

    def change(hit: re.Match[str]) -> str:
        if hit["quoted"] is not None:
            return f'"{after}"' if hit["quoted"].lower() == before.lower() else hit[0]
        if hit["word"] is not None and hit["call"] is None and hit["word"].lower() == before.lower():
            return after
        return hit[0]

    return _FOLLOWED.sub(change, expression)
