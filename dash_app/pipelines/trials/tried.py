"""What came of trying a source out: plain values, for pages and the API alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from dash_app.domain.mapping import parse_mapping
from dash_app.domain.paths import format_path
from dash_app.domain.plain_text import storable
from dash_app.pipelines.inference.infer import infer_mapping
from dash_app.pipelines.preview import preview
from dash_app.pipelines.sources.fetching import without_secrets
from dash_app.pipelines.suggest import handed_in

#: How much of a body and how many records are shown, and how long a sample of a value.
MAX_TEXT = 16_384
MAX_RECORDS = 20
_SAMPLE = 80

_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class FieldFound:
    """A field of the proposed mapping. `sample`: a value of it, as text; '' where there is none."""

    name: str
    type: str
    path: str
    role: str
    sample: str = ""


@dataclass(frozen=True, slots=True)
class Pagination:
    """How the pages of an answer seem to follow each other. `paginator`: the option's value that would follow them."""

    paginator: Mapping[str, Any]
    #: A sentence for people: `the header Link names the next page`.
    why: str
    #: Whether the source as it stands would ask for the next page; where it would not, `paginator` is a suggestion.
    followed: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one try. Where there was no answer, `status` is None and `problems` says why."""

    ok: bool
    #: (option, what is wrong): `options.url`, `answer`, `records`, `mapping`.
    problems: Sequence[tuple[str, str]] = ()
    method: str = "GET"
    #: What was asked, without secrets.
    url: str = ""
    #: How many children the first page of a listing names; None: there is no listing.
    parents: int | None = None
    status: int | None = None
    reason: str = ""
    #: Of the answer, in lower case, without cookies.
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""
    #: Bytes of the body, and its beginning as text; `cut`: whether there is more.
    size: int = 0
    text: str = ""
    cut: bool = False
    seconds: float = 0.0
    pagination: Pagination | None = None
    #: Where records seem to be, for `data_selector`, where it is empty or leads nowhere.
    selector: str = ""
    #: How many records there are on this page; None: none can be told apart.
    count: int | None = None
    records: Sequence[Any] = ()
    #: The mapping that would be proposed, and a sentence about it.
    mapping: Mapping[str, Any] | None = None
    note: str = ""
    fields: Sequence[FieldFound] = ()


@dataclass(frozen=True, slots=True)
class Proposed:
    """A mapping for an answer, a sentence about it, its fields, and how many records it makes of the answer."""

    mapping: Mapping[str, Any] | None = None
    note: str = ""
    fields: tuple[FieldFound, ...] = ()
    count: int | None = None


def propose(body: bytes, content_type: str, headers: Mapping[str, str], secrets: Sequence[str] = ()) -> Proposed:
    """The mapping that would be proposed for a payload; without one where nothing in it can be used."""
    payloads = [replace(one, headers=headers) for one in handed_in(_NOBODY, [body], content_type)]
    found = infer_mapping(payloads)
    if found is None:
        return Proposed()
    document, note = found
    frame = preview(document, payloads).mapped.frame
    rows = frame.head(1).to_dicts()
    first = rows[0] if rows else {}
    fields = tuple(
        FieldFound(
            one.name,
            one.type,
            format_path(one.path) if one.path is not None else "",
            one.role,
            without_secrets(_text(first.get(one.name)), secrets),
        )
        for one in parse_mapping(document).fields
    )
    return Proposed(document, note, fields, frame.height)


def showable(value: Any) -> Any:
    """A value as any encoder of JSON takes it: text without NUL and halves of characters, and whole numbers beyond 64
    bits as the text of their digits."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(name)): showable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [showable(one) for one in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return _digits(value)
    return value


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # longer than Python writes
        return "a number of more than 4,300 digits"


def _text(value: Any) -> str:
    text = "" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
    return text if len(text) <= _SAMPLE else text[:_SAMPLE] + "…"
