"""One run of an HTTP poll: from a cursor to the pages that are there now.

A page is handed out only when it is known what follows it. So its cursor can name the place of the page after it, and
the last page of a run knows that it is the last. When something goes wrong meanwhile, the page in hand still goes out,
with the cursor of a run that is not complete, before the error does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import httpx

from dash_app.domain.errors import DashError
from dash_app.pipelines.reach.guard import AddressNotAllowed
from dash_app.pipelines.sources import selecting
from dash_app.pipelines.sources.base import Page
from dash_app.pipelines.sources.fetching import (
    Fetched,
    HttpPollError,
    HttpPollPermanent,
    HttpPollTransient,
    fetch,
    shown,
)
from dash_app.pipelines.sources.incremental import Incremental, Mark
from dash_app.pipelines.sources.pagination import Answer, Paginator, Position

#: Answers to a stored position that mean it is no longer good: the run begins anew.
_EXPIRED = frozenset({400, 404, 410, 416, 422})
#: Answers to a page number or offset that mean there are no more pages.
_BEYOND = frozenset({400, 404, 416})

#: Headers that say something of the connection or of the encoding that was undone, or that are the server's secrets.
_DROPPED = frozenset(
    {
        *("connection", "content-encoding", "content-length", "keep-alive", "proxy-authenticate", "set-cookie"),
        *("set-cookie2", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run needs to know of its source."""

    #: The first page's URL with these parameters more.
    url: Callable[[Mapping[str, str]], httpx.URL]
    #: What every request carries, and what only those to the source's own host do.
    common: Mapping[str, str]
    headers: Mapping[str, str]
    secrets: tuple[str, ...]
    paginator: Paginator
    incremental: Incremental | None
    selector: selecting.Path | None
    #: What a cursor depends on; made under another one it is void.
    fingerprint: str
    timeout: float
    max_pages: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class State:
    """What a cursor says. `since`: the mark that this run asks from; `high`: the mark once it is complete."""

    position: Position | None = None
    since: Mark = field(default_factory=Mark)
    high: Mark = field(default_factory=Mark)
    #: Headers that ask whether the only page of the last run has changed.
    validators: Mapping[str, str] = field(default_factory=dict)

    def anew(self) -> State:
        """The same run from its beginning."""
        return State(None, self.since, self.since)

    def complete(self, validators: Mapping[str, str] | None = None) -> State:
        """Where the next run begins."""
        # Behind a mark that moved the next URL is another one, of which these validators know nothing.
        kept = validators if validators and self.high.value == self.since.value else {}
        return State(None, self.high, self.high, kept)


@dataclass(slots=True)
class _Trail:
    """Where a run has been: it ends where it would go in a circle."""

    resumed: bool
    asked: int = 0
    urls: set[str] = field(default_factory=set)
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class _Step:
    """One answer: its page (None: nothing in it), whether that is new, and where the next one is."""

    high: Mark
    page: Page | None = None
    new: bool = False
    following: Position | None = None
    validators: Mapping[str, str] = field(default_factory=dict)


def run(plan: Plan, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime) -> Iterator[Page]:
    """The pages from `cursor` on; `base.PollSource.pages` says what comes out and what is raised."""
    state = _load(plan, cursor)
    trail = _Trail(resumed=state.position is not None)
    held: Page | None = None
    asked = 0
    while True:
        try:
            step = _step(plan, state, trail, client, now)
        except DashError as error:
            if trail.resumed and not asked and _void(error):
                state, trail = state.anew(), _Trail(resumed=False)
                continue
            if held is not None:
                yield replace(held, cursor=_cursor(plan, state), last=False)
            raise
        asked += 1
        if step.new:
            if held is not None:
                yield replace(held, cursor=_cursor(plan, state), last=False)
            held = step.page
        state = replace(state, high=step.high)
        if step.following is None:
            state = state.complete(step.validators if asked == 1 and not trail.resumed else None)
            break
        state = replace(state, position=step.following)
        if asked >= plan.max_pages:
            break
    end = _cursor(plan, state)
    if held is not None:
        yield replace(held, cursor=end, last=True)
    elif end != cursor:
        # Nothing to store, yet the run came further: else it would begin at the same old place for ever.
        yield Page(b"", "", str(plan.url({})), cursor=end, last=True)


def _step(plan: Plan, state: State, trail: _Trail, client: httpx.Client, now: datetime) -> _Step:
    position = state.position or plan.paginator.first()
    url = _url(plan, state, position)
    trail.urls.add(str(url))
    headers = dict(plan.common)
    if _same_host(url, plan.url({})):
        headers |= plan.headers
    if state.position is None:
        headers |= state.validators
    try:
        fetched = fetch(client, url, headers, timeout=plan.timeout, limit=plan.max_bytes, now=now, secrets=plan.secrets)
    except HttpPollPermanent as error:
        if trail.asked and plan.paginator.counts and error.answer in _BEYOND:
            return _Step(state.high)
        raise
    trail.asked += 1
    if fetched.body is None:
        return _Step(state.high, validators=state.validators)
    if not fetched.body.strip():
        return _Step(state.high, validators=_validators(fetched))
    digest = hashlib.sha256(fetched.body).digest()
    if plan.paginator.counts and digest == trail.digest:
        return _Step(state.high)  # beyond the end the server gives its last page again
    trail.digest = digest

    document = _document(plan, url, fetched.body)
    records, certain = _records(plan, document)
    if plan.paginator.counts and records is None and plan.selector is None:
        raise HttpPollPermanent(f"GET {shown(url)}: data_selector is needed to see where the pages of this answer end")
    try:
        answer = Answer(fetched.url, fetched.headers, document, None if records is None else len(records))
        following = _checked(plan, state, plan.paginator.following(position, answer), trail)
    except (httpx.InvalidURL, ValueError) as error:  # the latter comes from urllib, which joins the link to the URL
        raise HttpPollPermanent(f"GET {shown(url)}: the link to the next page is no URL") from error
    high, new = state.high, True
    if records is not None and not records and (certain or plan.paginator.counts):
        return _Step(high, following=following, validators=_validators(fetched))
    if plan.incremental is not None and records is not None:
        high, new = plan.incremental.advanced(high, records), plan.incremental.is_new(state.since, records)
    return _Step(high, _page(url, fetched), new, following, _validators(fetched))


def _url(plan: Plan, state: State, position: Position) -> httpx.URL:
    if "url" in position:
        return httpx.URL(position["url"])
    since = plan.incremental.params(state.since) if plan.incremental else {}
    return plan.url(since | dict(position.get("params", {})))


def _checked(plan: Plan, state: State, following: Position | None, trail: _Trail) -> Position | None:
    """The next position, or None where it was asked for already; InvalidURL where it is no web page."""
    if following is None:
        return None
    url, own = _url(plan, state, following), plan.url({})
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx.InvalidURL("neither http nor https")
    if "url" in following and own.scheme == "https" and url.scheme == "http" and url.host == own.host:
        # Servers behind a proxy often do not know that they are reached by https.
        url = url.copy_with(scheme="https", port=own.port)
        following = {"url": str(url)}
    return None if str(url) in trail.urls else following


def _document(plan: Plan, url: httpx.URL, body: bytes) -> Any:
    """The answer's JSON where something here looks into it; None where nothing does or it is none."""
    needed = plan.paginator.reads or plan.selector is not None or plan.incremental is not None
    if not needed and not plan.paginator.looks and body.strip() != b"[]":
        return None
    try:
        return selecting.document(body)
    except ValueError as error:
        if not needed:
            return None
        raise HttpPollTransient(f"GET {shown(url)}: the answer is not JSON") from error


def _records(plan: Plan, document: Any) -> tuple[list[Any] | None, bool]:
    """The records in an answer (None: not found), and whether that is certain or a guess."""
    if plan.selector is not None:
        return selecting.records(document, plan.selector), True
    if isinstance(document, list):
        return document, True
    arrays = [value for value in document.values() if isinstance(value, list)] if isinstance(document, dict) else []
    return (arrays[0], False) if len(arrays) == 1 else (None, False)


def _page(url: httpx.URL, fetched: Fetched) -> Page:
    headers = {name.lower(): value for name, value in fetched.headers.items() if name.lower() not in _DROPPED}
    return Page(fetched.body or b"", headers.get("content-type", "application/json"), str(url), headers)


def _validators(fetched: Fetched) -> dict[str, str]:
    pairs = (("if-none-match", "etag"), ("if-modified-since", "last-modified"))
    return {ask: fetched.headers[said] for ask, said in pairs if _plain(fetched.headers.get(said, ""))}


def _plain(value: str) -> bool:
    return bool(value) and len(value) <= 1000 and value.isascii() and value.isprintable()


def _same_host(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _void(error: DashError) -> bool:
    """Whether an error of the first request from a stored position says that the position itself is no good."""
    return isinstance(error, AddressNotAllowed) or (isinstance(error, HttpPollError) and error.answer in _EXPIRED)


def _load(plan: Plan, cursor: Mapping[str, Any] | None) -> State:
    if not cursor or cursor.get("options") != plan.fingerprint:
        start = plan.incremental.start() if plan.incremental else Mark()
        return State(None, start, start)
    return State(
        cursor.get("position"),
        Mark.from_json(cursor["since"]),
        Mark.from_json(cursor["high"]),
        cursor.get("validators", {}),
    )


def _cursor(plan: Plan, state: State) -> dict[str, Any]:
    found: dict[str, Any] = {
        "options": plan.fingerprint,
        "since": state.since.to_json(),
        "high": state.high.to_json(),
    }
    if state.position is not None:
        found["position"] = dict(state.position)
    elif state.validators:
        found["validators"] = dict(state.validators)
    return json.loads(json.dumps(found))
