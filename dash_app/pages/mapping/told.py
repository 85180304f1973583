"""What the browser's side of the mapping's editor is told, as plain JSON values.

Ids of payloads are texts there: a browser's numbers end at 2^53. Times are epoch milliseconds, as in all frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping_changes import Change, changes, merged
from dash_app.domain.mapping_history import History
from dash_app.domain.paths import parse_path
from dash_app.pages.parts.lines import line_of, lines_of_places

if TYPE_CHECKING:
    from dash_app.domain.events import Payload, Reject
    from dash_app.domain.specs import MappingVersion, PathStep
    from dash_app.pipelines.preview import Preview
    from dash_app.pipelines.samples import Samples
    from dash_app.pipelines.trees import Node

#: Records and rejects that a page shows.
ROWS = 50
#: Problems of a document that are told; of more only the number.
PROBLEMS = 50
_EXCERPT = 160
_CELL = 200

Json = dict[str, Any]


def state(history: History, saved: str) -> Json:
    """The document as form and text, where its paths lead, and what can be undone."""
    now = history.present
    return {
        "text": now.text,
        "document": _for_form(now.document),
        "marks": marks(now.document),
        "unreadable": [line_of(now.problem), now.problem] if now.problem else None,
        "lost_comments": now.lost_comments,
        "blank": now.blank,
        "undo": len(history.past),
        "redo": len(history.future),
        "unsaved": now.text != saved,
    }


def _for_form(document: Mapping[str, Any]) -> Json:
    """A document with the defaults that a browser would round as texts."""
    fields = document.get("fields")
    if not isinstance(fields, list):
        return dict(document)
    return dict(document) | {
        "fields": [
            dict(one) | {"default": str(one["default"])}
            if isinstance(one, Mapping) and isinstance(one.get("default"), int) and abs(one["default"]) > 2**53
            else one
            for one in fields
        ]
    }


def marks(document: Mapping[str, Any]) -> Json:
    """Paths of a document as steps, so that places of a tree can be told to be mapped."""
    fields = document.get("fields")
    time, key = document.get("time"), document.get("key")
    return {
        "records": _steps(document.get("records")),
        "fields": [
            [str(one.get("name", "")), str(one.get("from") or "record"), steps]
            for one in (fields if isinstance(fields, list) else [])
            if isinstance(one, Mapping) and (steps := _steps(one.get("path"))) is not None
        ],
        "time": _steps(time.get("path")) if isinstance(time, Mapping) else None,
        "key": [steps for one in (key if isinstance(key, list) else []) if (steps := _steps(one)) is not None],
    }


def _steps(path: Any) -> list[PathStep] | None:
    try:
        return list(parse_path(path)) if isinstance(path, str) else None
    except Invalid:
        return None


def payload_list(samples: Samples) -> Json:
    return {
        "pasted": samples.pasted,
        "payloads": [
            {
                "id": str(one.id),
                "at": _millis(one.received_at),
                "type": one.content_type.partition(";")[0],
                "size": len(one.body),
                "source": one.source,
                "excerpt": " ".join(one.body[: 4 * _EXCERPT].decode("utf-8", "replace").split())[:_EXCERPT],
            }
            for one in samples.payloads
        ],
    }


def payload_head(payload: Payload) -> Json:
    return {
        "id": str(payload.id),
        "at": _millis(payload.received_at),
        "type": payload.content_type,
        "size": len(payload.body),
        "source": payload.source,
        "headers": list(payload.headers.items()),
    }


def node(one: Node) -> list[Any]:
    """[step, kind, text, size, children or null]"""
    return [one.step, one.kind, one.text, one.size, nodes(one.children) if one.children is not None else None]


def nodes(many: Sequence[Node]) -> list[list[Any]]:
    return [node(one) for one in many]


def problems(text: str, found: Sequence[tuple[str, str]]) -> list[Json]:
    """What is wrong with a document: the place, the words, and the line of the text (0: not known). Of many problems
    the first are told, and how many more there are."""
    shown = found[:PROBLEMS]
    lines = lines_of_places(text, shown)
    listed = [{"place": place, "what": what, "line": line} for (place, what), line in zip(shown, lines, strict=True)]
    more = len(found) - len(shown)
    return [*listed, *([{"place": "", "what": f"and {more:,} more like these", "line": 0}] if more else [])]


def preview(made: Preview) -> Json:
    frame = made.mapped.frame
    names = ["_time", *(field.name for field in made.spec.fields)]
    shown = frame.tail(ROWS).reverse()
    rows = [[cell(value) for value in row] for row in shown.select(names).rows()]
    return {
        "columns": [
            {"name": "_time", "type": "timestamp", "unit": "", "role": "", "nulls": 0},
            *(
                {"name": f.name, "type": f.type, "unit": f.unit, "role": f.role, "nulls": made.nulls[f.name]}
                for f in made.spec.fields
            ),
        ],
        "rows": rows,
        "from": [[str(payload), index] for payload, index in shown.select("_payload", "_index").rows()],
        "records": frame.height,
        "payloads": made.payloads,
        "clean": made.clean,
        "filtered": made.mapped.filtered,
        "rejected": len(made.mapped.rejects),
        "rejects": [reject(one) for one in made.mapped.rejects[-ROWS:][::-1]],
        "refused": {str(payload): count for payload, count in made.refused.items()},
        "groups": [
            {
                "field": one.field,
                "reason": one.reason,
                "payloads": one.payloads,
                "rejects": one.rejects,
                "first": str(one.first.payload),
            }
            for one in made.groups
        ],
        "tests": len(made.spec.tests),
        "failures": list(made.failures),
    }


def reject(one: Reject) -> Json:
    return {
        "payload": str(one.payload),
        "index": one.index,
        "field": one.field,
        "reason": one.reason,
        "excerpt": one.excerpt[:1000],
    }


def cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return _millis(value)
    if isinstance(value, str):
        return value if len(value) <= _CELL else value[:_CELL] + "…"
    # A browser reads whole numbers up to 2^53 exactly; longer ones are shown as they are.
    return str(value) if isinstance(value, int) and abs(value) > 2**53 else value


def versions(found: Sequence[MappingVersion], active: int | None) -> Json:
    return {
        "active": active,
        "versions": [
            {
                "version": one.version,
                "note": one.note,
                "author": one.author,
                "at": _millis(one.created_at),
                "fields": len(one.document.get("fields") or ()),
            }
            for one in found
        ],
    }


def conflict(base: Mapping[str, Any], newest: MappingVersion, mine: Mapping[str, Any]) -> Json:
    """What somebody else changed since `base`, and what I did, part by part side by side."""
    theirs = {one.place: one for one in changes(base, newest.document)}
    own = {one.place: one for one in changes(base, mine)}
    _, both = merged(base, newest.document, mine)
    places = [*own, *(place for place in theirs if place not in own)]
    return {
        "version": newest.version,
        "author": newest.author,
        "note": newest.note,
        "at": _millis(newest.created_at),
        "rows": [
            {
                "place": place,
                "both": place in both,
                "before": _part((theirs.get(place) or own[place]).before),
                "theirs": _change(theirs.get(place)),
                "mine": _change(own.get(place)),
            }
            for place in places
        ],
    }


def _change(one: Change | None) -> Json | None:
    """What a part became; of a field that is still there only what differs."""
    if one is None:
        return None
    after = one.after
    if isinstance(one.before, Mapping) and isinstance(after, Mapping):
        gone = {name: "–" for name in one.before if name not in after}
        after = {name: part for name, part in after.items() if one.before.get(name) != part} | gone
    return {"kind": one.kind, "after": _part(after)}


def _part(value: Any) -> str:
    """A part of a document on one line."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_part(part)}" for name, part in value.items() if name != "name")
    if isinstance(value, list):
        return ", ".join(map(_part, value)) if len(value) <= 20 else f"{len(value)} of them"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
