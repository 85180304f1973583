"""What one request of a poll is made of, and what its answer holds, before anything is known of a run.

The body is kept as it came. It is read here only as far as a source has to: to find its records, and with them the
marks and the end of the pages; what becomes of it is the mapping's business, which reads it by the same rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx

from dash_app.domain.events import Payload
from dash_app.pipelines.decode import Decoder, Unreadable, body_kind, lines_of, without_mark, xml_of
from dash_app.pipelines.sources import selecting
from dash_app.pipelines.sources.auth import Auth, Credentials, NoAuth
from dash_app.pipelines.sources.fetching import Fetched, HttpPollError, HttpPollTransient, Request, fetch, shown
from dash_app.pipelines.sources.incremental import Incremental, Mark
from dash_app.pipelines.sources.oauth import Tokens
from dash_app.pipelines.sources.pagination import Paginator, Position
from dash_app.pipelines.sources.response_actions import ResponseAction
from dash_app.pipelines.xml_document import Element

#: Content types by the option `format`; what is stored with a page, so that the mapping reads it so.
FORMATS: Mapping[str, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "xml": "application/xml",
}
AUTO = "auto"

_NOBODY, _NEVER = UUID(int=0), datetime.fromtimestamp(0, UTC)
_KINDS = {"json": "JSON", "lines": "NDJSON", "csv": "CSV", "xml": "XML"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run needs to know of its source."""

    #: The first page's URL as it was written, and the parameters that are put to it.
    url: httpx.URL
    paginator: Paginator
    params: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    #: The request's JSON; None: it has no body.
    document: Any = None
    #: What every request carries, and what only those to the source's own host do.
    common: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    auth: Auth = field(default_factory=NoAuth)
    tokens: Tokens = field(default_factory=Tokens)
    actions: tuple[ResponseAction, ...] = ()
    incremental: Incremental | None = None
    selector: selecting.Path | None = None
    format: str = AUTO
    #: Headers that each page gets beside those of the answer.
    named: Mapping[str, str] = field(default_factory=dict)
    #: What a cursor depends on; made under another one it is void.
    fingerprint: str = ""
    timeout: float = 30.0
    max_pages: int = 100
    max_bytes: int = 10 << 20


@dataclass(frozen=True, slots=True)
class Read:
    """What an answer holds. `records`: None where none can be told apart; `certain`: whether that is more than a
    guess."""

    document: Any = None
    records: list[Any] | None = None
    certain: bool = False


def url_of(plan: Plan, position: Position, mark: Mark) -> httpx.URL:
    """The URL that asks for a position. InvalidURL where that holds none."""
    if "url" in position:
        return httpx.URL(position["url"])
    since = plan.incremental.sent(mark)[0] if plan.incremental else {}
    more = dict(plan.params) | since | dict(position.get("params", {}))
    # Only where something is added: merging writes the whole query anew, and some servers mind how it is written.
    return plan.url.copy_merge_params(more) if more else plan.url


def content_of(plan: Plan, position: Position, mark: Mark) -> bytes | None:
    """The request's body."""
    if plan.document is None:
        return None
    document = plan.document
    since = plan.incremental.sent(mark)[1] if plan.incremental else {}
    for place, value in {**since, **position.get("body", {})}.items():
        document = selecting.put(document, place, value)
    return json.dumps(document, ensure_ascii=False).encode()


def ask(
    plan: Plan,
    url: httpx.URL,
    content: bytes | None,
    client: httpx.Client,
    now: datetime,
    conditions: Mapping[str, str] | None = None,
) -> Fetched:
    """One request; asked a second time with new credentials where the server refuses those that it had taken before."""
    own = same_host(url, plan.url)
    headers = dict(plan.common) | (dict(plan.headers) if own else {}) | dict(conditions or {})
    if content is not None:
        headers.setdefault("content-type", "application/json")
    while True:
        known = plan.auth.credentials(client, plan.tokens, now) if own else Credentials()
        request = Request(plan.method, url, headers | dict(known.headers), content, known.params)
        try:
            return fetch(
                client,
                request,
                timeout=plan.timeout,
                limit=plan.max_bytes,
                now=now,
                secrets=(*plan.secrets, *known.headers.values(), *known.params.values()),
                actions=plan.actions,
            )
        except HttpPollError as error:
            if error.answer != 401 or not own or not plan.auth.refused(plan.tokens):
                raise


def same_host(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def content_type_of(plan: Plan, headers: Mapping[str, str]) -> str:
    """The content type that a page is stored with: what the option says, else what the server does."""
    said = headers.get("content-type", "")
    if plan.format == AUTO:
        return said or FORMATS["json"]
    charset = next((part.strip() for part in said.split(";")[1:] if part.strip().lower().startswith("charset=")), "")
    # JSON is UTF-8 whatever a server calls it.
    return f"{FORMATS[plan.format]}; {charset}" if charset and plan.format in ("csv", "xml") else FORMATS[plan.format]


def read(plan: Plan, url: httpx.URL, content_type: str, body: bytes) -> Read:
    """What is in a body, as far as something here looks into it. HttpPollTransient where it has to be read and
    cannot."""
    needed = plan.paginator.reads or plan.selector is not None or plan.incremental is not None
    if not needed and not plan.paginator.looks and body.strip() != b"[]":
        return Read()
    kind = body_kind(content_type)
    try:
        document = document_of(body, content_type)
    except ValueError as error:
        if not needed:
            return Read()
        why = f": {error}" if kind in ("csv", "xml") else ""
        asked = f"{plan.method} {shown(url)}"
        raise HttpPollTransient(f"{asked}: the answer is not {_KINDS.get(kind, 'JSON')}{why}") from None
    return records_of(plan, document, content_type)


def records_of(plan: Plan, document: Any, content_type: str) -> Read:
    """The records in a document: its lines or rows, what is at the selector, its elements, or its only array."""
    if body_kind(content_type) in ("lines", "csv"):
        return Read(document, document, True)
    if plan.selector is not None:
        found = selecting.records(document, plan.selector)
        # An element that is not there is how XML says that there are none.
        return Read(document, [] if found is None and isinstance(document, Element) else found, True)
    if isinstance(document, list):
        return Read(document, document, True)
    arrays = [value for value in document.values() if isinstance(value, list)] if isinstance(document, dict) else []
    return Read(document, arrays[0], False) if len(arrays) == 1 else Read(document)


def document_of(body: bytes, content_type: str) -> Any:
    """The document in a body, rows and lines as an array; ValueError where there is none."""
    kind = body_kind(content_type)
    plain = without_mark(body)
    try:
        if kind == "lines":
            return _lines(plain)
        if kind == "csv":
            return _rows(plain, content_type)
        if kind == "xml":
            return xml_of(plain, content_type)
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except Unreadable as error:
        raise ValueError(str(error)) from None


def _lines(body: bytes) -> list[Any]:
    """The lines that can be read. One that cannot becomes a reject and stops nobody; where none can, this is none."""
    found, broken = [], 0
    for line in lines_of(body):
        try:
            found.append(json.loads(line))
        except ValueError:
            broken += 1
    if broken and not found:
        raise ValueError("no line is JSON")
    return found


def _rows(body: bytes, content_type: str) -> list[Any]:
    decoder = Decoder()
    payload = Payload(0, _NOBODY, _NEVER, content_type, {}, body)
    decoder.payload(0, payload, body)
    if decoder.refusals and not decoder.texts.records and decoder.refusals[0].field == "body":
        raise ValueError(decoder.refusals[0].reason)
    return list(decoder.texts.records)
