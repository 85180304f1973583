"""Payload → records, one Python value at a time: what the body is, where its records are, and what is wrong with it.

This is the road that takes everything, and so the definition of what a payload means. The strict road
(`dash_app.pipelines.strict`) is quicker and only takes lines about which both would agree.

JSON here is RFC 8259 with these limits: UTF-8, no NaN and no infinities (also not written as 1e999), no half
surrogate pairs, at most `MAX_DEPTH` arrays and objects within each other; of a key that stands twice in one object the
last one counts.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

from dash_app.domain.events import Payload
from dash_app.domain.paths import format_path
from dash_app.domain.specs import PathStep
from dash_app.pipelines.xml_document import Element, NotXml, parse_xml

MAX_DEPTH = 100
MAX_RECORDS = 500_000
#: Of `{` and `[` in one JSON text: each may become an object of Python's, hundreds of bytes for two.
MAX_BRACKETS = 600_000
MAX_EXCERPT = 4096
JSON_BLANKS = b" \t\r\n"

_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
_BOM = b"\xef\xbb\xbf"
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "iso-8859-1", "latin1", "windows-1252"})

Path = tuple[PathStep, ...]


class Unreadable(Exception):
    """A body, a line or a row that cannot be read; the text says why. It ends as a reject, never outside this
    package."""


@dataclass(slots=True)
class Loose:
    """Records as Python values, in columns: which payload (its place in the batch), which place in it, what."""

    positions: list[int] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    #: The record as it was written, where that is a text of its own.
    raws: list[bytes | None] = field(default_factory=list)
    #: What `loose.columns_of` last made of places in these records, for who reads them again.
    columns: Mapping[Any, Any] = field(default_factory=dict)

    def add(self, position: int, index: int, record: Any, raw: bytes | None = None) -> None:
        self.positions.append(position)
        self.indexes.append(index)
        self.records.append(record)
        self.raws.append(raw)

    def excerpt(self, row: int) -> str:
        raw = self.raws[row]
        return excerpt_of(orjson.dumps(self.records[row]) if raw is None else raw)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reject in the making: `position` is the payload's place in the batch."""

    position: int
    index: int
    field: str
    reason: str
    excerpt: str = ""


@dataclass(slots=True)
class Decoder:
    """Takes payloads and lines of a batch, and sorts what is in them into typed records, texts and refusals.

    `records` is the mapping's path; `scalars` says whether a record may be something else than an object.
    """

    records: Path | None = None
    scalars: bool = False
    #: Records with JSON's types, and records whose values are all texts (CSV, forms, XML).
    typed: Loose = field(default_factory=Loose)
    texts: Loose = field(default_factory=Loose)
    refusals: list[Refusal] = field(default_factory=list)
    #: The whole payload, for fields with `from: payload`: JSON, forms, XML; lines and rows have no whole.
    whole: dict[int, Any] = field(default_factory=dict)

    def payload(self, position: int, payload: Payload, body: bytes) -> None:
        """Decode a whole payload by its content type; `body` is it without a byte order mark."""
        kind = body_kind(payload.content_type)
        try:
            if kind == "lines":
                self._lines(position, body)
            elif kind == "csv":
                self._csv(position, body, payload.content_type)
            elif kind == "form":
                self._value(position, _form(body, payload.content_type), self.texts, None)
            elif kind == "xml":
                self._value(position, xml_of(body, payload.content_type), self.texts, None)
            else:
                self._value(position, _document(body, payload.content_type), self.typed, body.strip(JSON_BLANKS))
        except Unreadable as error:
            self.refuse(position, -1, "body", str(error), body)

    def line(self, position: int, index: int, raw: bytes) -> int:
        """Decode one line of NDJSON that is not blank; gives the index after its records."""
        try:
            value = parse_json(raw)
            if self.records is not None:
                return self._each(position, index, value, self.typed, raw) or self._nothing(position, index, raw)
            self._record(position, index, value, self.typed, raw)
        except Unreadable as error:
            self.refuse(position, index, "body", str(error), raw)
        return index + 1

    def refuse(self, position: int, index: int, name: str, reason: str, raw: bytes = b"") -> None:
        self.refusals.append(Refusal(position, index, name, reason, excerpt_of(raw)))

    def _lines(self, position: int, body: bytes) -> None:
        if body.count(b"\n") >= MAX_RECORDS:
            raise Unreadable(f"more than {MAX_RECORDS:,} lines")
        index = 0
        for raw in lines_of(body):
            index = self.line(position, index, raw)
        if index == 0:
            self.refuse(position, -1, "records", "there are no records: every line is blank", body)

    def _value(self, position: int, value: Any, into: Loose, raw: bytes | None) -> None:
        self.whole[position] = value
        if self.records is None and not isinstance(value, list):
            self._record(position, 0, value, into, raw)
        elif not self._each(position, 0, value, into, raw):
            self._nothing(position, -1, raw or b"")

    def _each(self, position: int, first: int, value: Any, into: Loose, raw: bytes | None) -> int:
        """Every record in a value; gives the index after the last one, 0 where there is none."""
        found = records_in(value, self.records)
        if len(found) > MAX_RECORDS:
            raise Unreadable(f"more than {MAX_RECORDS:,} records")
        index = first
        for record in found:
            # A record that is all of the text is shown as that text, others as JSON of their own.
            self._record(position, index, record, into, raw if record is value else None)
            index += 1
        return index if index > first else 0

    def _nothing(self, position: int, index: int, raw: bytes) -> int:
        what = "the array is empty" if self.records is None else f"nothing is at {format_path(self.records)}"
        self.refuse(position, index, "records", f"there are no records: {what}", raw)
        return index + 1

    def _record(self, position: int, index: int, record: Any, into: Loose, raw: bytes | None) -> None:
        if isinstance(record, dict) or (self.scalars and record is not None):
            into.add(position, index, record, raw)
        else:
            text = orjson.dumps(record) if raw is None else raw
            self.refuse(position, index, "records", f"object expected, found {shown(record)}", text)

    def _csv(self, position: int, body: bytes, content_type: str) -> None:
        rows = csv.reader(io.StringIO(_text(body, content_type), newline=""), strict=True)
        header: list[str] = []
        kept: list[dict[str, str | None]] = []
        index = 0
        try:
            for row in rows:
                if not row or (len(row) == 1 and not row[0].strip()):
                    continue
                if not header:
                    header = _header(row)
                    continue
                if len(row) != len(header):
                    text = f"{len(header)} values expected as in the header, found {len(row)}"
                    self.refuse(position, index, "body", text, ",".join(row).encode())
                else:
                    record = {name: value or None for name, value in zip(header, row, strict=True)}
                    if self.records is None:
                        self.texts.add(position, index, record)
                    else:
                        kept.append(record)
                index += 1
                if index > MAX_RECORDS:
                    raise Unreadable(f"more than {MAX_RECORDS:,} rows; the rest is left out")
        except csv.Error as error:
            # What is behind the place where quoting breaks cannot be told into rows.
            self.refuse(
                position, index, "body", f"not valid CSV in line {rows.line_num}: {error}; the rest is left out"
            )
            index += 1
        except Unreadable as error:
            self.refuse(position, index, "body", str(error))
        if index == 0:
            text = "the header is all there is" if header else "the body is empty"
            self.refuse(position, -1, "records", f"there are no records: {text}", body)
        elif self.records is not None and not self._each(position, 0, kept, self.texts, None):
            self._nothing(position, -1, body)


@functools.lru_cache(maxsize=1024)
def body_kind(content_type: str) -> str:
    """json | lines | csv | form | xml, by the media type; what is not known is tried as JSON."""
    media = content_type.partition(";")[0].strip().lower()
    if media in _LINES:
        return "lines"
    if media in ("application/xml", "text/xml") or media.endswith("+xml"):
        return "xml"
    return {"text/csv": "csv", "application/x-www-form-urlencoded": "form"}.get(media, "json")


def without_mark(body: bytes) -> bytes:
    """A body without the byte order mark that some programs put before it."""
    return body[len(_BOM) :] if body.startswith(_BOM) else body


def lines_of(body: bytes) -> Iterator[bytes]:
    """The lines that are not blank, without the blanks around them. Only \\n ends a line."""
    for line in body.split(b"\n"):
        raw = line.strip(JSON_BLANKS)
        if raw:
            yield raw


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text. Raises Unreadable with the reason."""
    brackets = raw.count(b"[") + raw.count(b"{")
    if brackets > MAX_BRACKETS:
        raise Unreadable(f"more than {MAX_BRACKETS:,} objects and arrays")
    try:
        if brackets <= MAX_DEPTH:
            return orjson.loads(raw)
        # The parser has a limit of its own; brackets around the text leave just so many levels for it.
        wraps = _parser_depth() - MAX_DEPTH
        value = orjson.loads(b"".join((b"[" * wraps, raw, b"]" * wraps)))
        for _ in range(wraps):
            # `1],[2` closes the brackets and opens new ones.
            if len(value) != 1:
                raise Unreadable("not valid JSON: more than one value")
            value = value[0]
        return value
    except orjson.JSONDecodeError:
        raise Unreadable(_why(raw)) from None


def _why(raw: bytes) -> str:
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        text = error.msg.replace("surrogates not allowed", "it has bytes that are none")
        if "depth limit" not in text:
            return f"not valid JSON: {text}"
    return f"nested more than {MAX_DEPTH} deep"


@functools.cache
def _parser_depth() -> int:
    """How many arrays within each other the JSON parser reads."""
    low, high = MAX_DEPTH, 100_000
    while high - low > 1:
        middle = (low + high) // 2
        try:
            orjson.loads(b"[" * middle + b"]" * middle)
            low = middle
        except orjson.JSONDecodeError:
            high = middle
    return low


def value_at(value: Any, path: Path) -> Any:
    """What stands at a path without wildcards; None where nothing does."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        else:
            if not isinstance(value, list) or step is None or not -len(value) <= step < len(value):
                return None
            value = value[step]
    return value


def records_in(value: Any, path: Path | None) -> Sequence[Any]:
    """The records of a payload: what the path finds, or each element where that is an array and not yet taken apart."""
    if path is None:
        return value if isinstance(value, list) else [value]
    found: list[Any] = [value]
    for step in path:
        if step is None:
            found = [child for one in found for child in _members(one)]
        else:
            found = [child for one in found if (child := value_at(one, (step,))) is not None]
    if not path or path[-1] is not None:
        found = [child for one in found for child in (one if isinstance(one, list) else [one])]
    return found


def _members(value: Any) -> Sequence[Any]:
    if isinstance(value, Element):
        return [value]
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def shown(value: Any) -> str:
    """A value as a reason names it: text 'many', number 5, an array."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"boolean {str(value).lower()}"
    if isinstance(value, str):
        return f"text '{printable(value[:60])}'" + ("…" if len(value) > 60 else "")
    if isinstance(value, int | float):
        return f"number {value}"
    return "an array" if isinstance(value, list) else "an object"


def excerpt_of(raw: bytes) -> str:
    """The beginning of a text for showing, at most 4 KiB, with nothing in it that a database refuses."""
    cut = raw[:MAX_EXCERPT].decode("utf-8", "replace")
    return printable(cut if len(raw) <= MAX_EXCERPT else cut.rstrip("\ufffd") + "…")


def printable(text: str) -> str:
    return text.replace("\0", "\ufffd")


def _document(body: bytes, content_type: str) -> Any:
    if not body.strip(JSON_BLANKS):
        raise Unreadable("the body is empty")
    try:
        return parse_json(body)
    except Unreadable as error:
        media = content_type.partition(";")[0].strip().lower()
        known = not media or media.endswith(("/json", "+json"))
        raise Unreadable(
            str(error) if known else f"{error} (and {media[:60]} is none of the types known here)"
        ) from None


def _header(row: list[str]) -> list[str]:
    header = [name.strip() for name in row]
    twice = next((name for number, name in enumerate(header) if name in header[:number]), None)
    if twice is not None:
        raise Unreadable(f"the header has '{printable(twice[:60])}' twice")
    return header


def _form(body: bytes, content_type: str) -> Mapping[str, str | None]:
    text = _text(body, content_type)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError as error:
        raise Unreadable(f"not a valid form: {error}") from None
    if not pairs:
        raise Unreadable("the form is empty")
    return {name: value or None for name, value in pairs}


def xml_of(body: bytes, content_type: str) -> Element:
    """The value of an XML text. Raises Unreadable with the reason."""
    charset = _charset(content_type)
    try:
        # A document says itself how it is encoded; the header is believed where it names what is known here.
        encoding = charset if charset in _CHARSETS else None
        return parse_xml(body, max_depth=MAX_DEPTH, max_elements=MAX_BRACKETS, encoding=encoding)
    except NotXml as error:
        raise Unreadable(str(error)) from None


def _charset(content_type: str) -> str:
    for part in content_type.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "charset":
            return value.strip("\"' ").lower()
    return ""


def _text(body: bytes, content_type: str) -> str:
    charset = _charset(content_type) or "utf-8"
    if charset not in _CHARSETS:
        raise Unreadable(f"charset {charset[:40]} is not supported; send UTF-8")
    try:
        return body.decode(charset)
    except UnicodeDecodeError as error:
        raise Unreadable(f"not valid {charset}: {error.reason} at byte {error.start}") from None
