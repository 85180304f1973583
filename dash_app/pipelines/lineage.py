"""The place of a record within the body it came from, so that a page can mark it there.

Records are counted as mapping counts them (`dash_app.pipelines.decode`): what is refused has a number too.
"""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from dash_app.domain.specs import PathStep
from dash_app.pipelines.decode import (
    Path,
    Unreadable,
    body_kind,
    lines_of,
    parse_json,
    value_at,
    without_mark,
)

#: Characters of a body that are shown, and of them before a record that is marked.
SHOWN: Final = 512 * 1024
_BEFORE: Final = 128 * 1024


@dataclass(frozen=True, slots=True)
class Body:
    """A body as text in three parts, of which the middle one has the lines of the record that was asked for ('': it was
    not found).

    `cut`: not all of it is shown. `pretty`: JSON that was laid out anew.
    """

    before: str
    record: str = ""
    after: str = ""
    cut: bool = False
    pretty: bool = False

    @property
    def text(self) -> str:
        return self.before + self.record + self.after


def lay_out(body: bytes, content_type: str, records: Path | None = None, index: int | None = None) -> Body:
    """A body made readable, with the record of number `index` under the path `records` apart.

    What is no JSON is shown as it came; bytes that are no UTF-8 as �. A place that is not there marks nothing.
    """
    plain = without_mark(body)
    kind = body_kind(content_type)
    made = None
    if kind == "lines":
        made = _lines(plain, records, index)
    elif kind == "csv":
        made = _rows(plain, index)
    elif kind not in ("form", "xml"):
        made = _document(plain, records, index)
    return _fit(_whole_lines(made) if made and made.record else made or Body(_text(plain)))


def _document(body: bytes, records: Path | None, index: int | None) -> Body | None:
    try:
        value = parse_json(body)
    except Unreadable:
        return None
    place = next((p for n, p in enumerate(_places(value, records)) if n == index), None) if index is not None else None
    if place is None:
        return Body(_pretty(value), pretty=True)
    # No sender can know it.
    hole = secrets.token_hex(16)
    before, _, after = _pretty(_with_hole(value, place, hole)).partition(f'"{hole}"')
    indent = before[before.rfind("\n") + 1 :]
    indent = indent[: len(indent) - len(indent.lstrip(" "))]
    return Body(before, _pretty(value_at(value, place)).replace("\n", "\n" + indent), after, pretty=True)


def _lines(body: bytes, records: Path | None, index: int | None) -> Body | None:
    if index is None:
        return None
    count = at = 0
    for raw in lines_of(body):
        at = body.index(raw, at)
        count += 1 if records is None else _records_of_line(raw, records)
        if index < count:
            before, after = body[:at], body[at + len(raw) :]
            return Body(_text(before), _text(raw), _text(after))
        at += len(raw)
    return None


def _records_of_line(raw: bytes, records: Path) -> int:
    try:
        return max(1, sum(1 for _ in _places(parse_json(raw), records)))
    except Unreadable:
        return 1


def _rows(body: bytes, index: int | None) -> Body | None:
    """CSV: the row after `index` others, the header and blank rows left aside."""
    text = _text(body)
    if index is None:
        return None
    lines = list(io.StringIO(text, newline=""))
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    at, count = 0, -1
    try:
        for row in rows:
            begin, at = at, rows.line_num
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if count == index:
                record = "".join(lines[begin:at]).rstrip("\r\n")
                before = "".join(lines[:begin])
                return Body(before, record, text[len(before) + len(record) :])
            count += 1
            if count == index + 1:
                break
    except csv.Error:
        return None
    return None


def _places(value: Any, path: Path | None) -> Iterator[Path]:
    """The place of each record, as `decode.records_in` finds them."""
    if path is None:
        yield from (((n,) for n in range(len(value))) if isinstance(value, list) else [()])
        return
    found: list[Path] = [()]
    for step in path:
        if step is None:
            found = [(*one, name) for one in found for name in _names(value_at(value, one))]
        else:
            found = [(*one, step) for one in found if value_at(value, (*one, step)) is not None]
    for one in found:
        here = value_at(value, one)
        if (not path or path[-1] is not None) and isinstance(here, list):
            yield from ((*one, n) for n in range(len(here)))
        else:
            yield one


def _names(value: Any) -> Sequence[PathStep]:
    if isinstance(value, dict):
        return list(value)
    return range(len(value)) if isinstance(value, list) else ()


def _with_hole(value: Any, place: Path, hole: str) -> Any:
    """A copy along the place, with `hole` where it leads."""
    if not place:
        return hole
    step, rest = place[0], place[1:]
    if isinstance(value, dict):
        return {name: _with_hole(one, rest, hole) if name == step else one for name, one in value.items()}
    assert isinstance(step, int)
    at = step + len(value) if step < 0 else step
    return [_with_hole(one, rest, hole) if n == at else one for n, one in enumerate(value)]


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _whole_lines(body: Body) -> Body:
    begin = body.before.rfind("\n") + 1
    end = body.after.find("\n") + 1 or len(body.after)
    return replace(
        body,
        before=body.before[:begin],
        record=body.before[begin:] + body.record + body.after[:end],
        after=body.after[end:],
    )


def _fit(body: Body) -> Body:
    """Cut to what is shown, around the record."""
    if len(body.text) <= SHOWN:
        return body
    if not body.record:
        return Body(body.before[:SHOWN], cut=True, pretty=body.pretty)
    before = body.before[-_BEFORE:]
    record = body.record[: SHOWN - len(before)]
    after = body.after[: SHOWN - len(before) - len(record)]
    return Body(before, record, after, cut=True, pretty=body.pretty)
