"""One run of an HTTP poll: from a cursor to the pages that are there now.

A page is handed out only when it is known what follows it. So its cursor can name the place of the page after it, and
the last page of a run knows that it is the last. When something goes wrong meanwhile, the page in hand still goes out,
with the cursor of a run that is not complete, before the error does.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import httpx

from dash_app.domain.errors import DashError
from dash_app.pipelines.reach.guard import AddressNotAllowed
from dash_app.pipelines.sources.asking import Plan, ask, content_of, content_type_of, read, url_of
from dash_app.pipelines.sources.base import Page
from dash_app.pipelines.sources.fetching import (
    Fetched,
    HttpPollPermanent,
    HttpPollTransient,
    shown,
)
from dash_app.pipelines.sources.incremental import Mark
from dash_app.pipelines.sources.pagination import Answer, Position

#: For so long a run asks one page after the other, whatever comes of them; the next one goes on where it stopped.
MOST_SECONDS = 300.0
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
class State:
    """What a cursor says. `since`: the mark that this run asks from; `high`: the mark once it is complete."""

    position: Position | None = None
    since: Mark = field(default_factory=Mark)
    high: Mark = field(default_factory=Mark)
    #: Headers that ask whether the only page of the last run has changed.
    validators: Mapping[str, str] = field(default_factory=dict)
    #: The digest of the page before the position, and of one that came again in place of the next one. Should that
    #: come a third time, it is the end.
    last: str = ""
    repeated: str = ""

    def anew(self) -> State:
        """The same run from its beginning."""
        return State(None, self.since, self.since)

    def complete(self, validators: Mapping[str, str] | None = None) -> State:
        """Where the next run begins."""
        # Behind a mark that moved the next URL is another one, of which these validators know nothing.
        kept = validators if validators and self.high.value == self.since.value else {}
        return State(None, self.high, self.high, kept)


@dataclass(slots=True)
class Budget:
    """How many requests are left to a run, and how long it may go on asking."""

    left: int
    until: float = field(default_factory=lambda: time.monotonic() + MOST_SECONDS)

    def take(self) -> None:
        self.left -= 1

    @property
    def spent(self) -> bool:
        return self.left <= 0 or time.monotonic() > self.until


@dataclass(slots=True)
class _Trail:
    """Where a run has been: it ends where it would go in a circle."""

    resumed: bool
    asked: int = 0
    been: set[tuple[str, bytes | None]] = field(default_factory=set)
    digest: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    """One answer: its page (None: nothing in it), whether that is new, its records, and where the next one is."""

    high: Mark
    page: Page | None = None
    new: bool = False
    records: list[Any] | None = None
    following: Position | None = None
    validators: Mapping[str, str] = field(default_factory=dict)


class _Repeated(HttpPollTransient):
    """A page came again in place of the next one; `digest` is of its body."""

    def __init__(self, plan: Plan, url: httpx.URL, digest: str) -> None:
        super().__init__(f"{plan.method} {shown(url)}: a page came again in place of the next one")
        self.digest = digest


def run(
    plan: Plan, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime, budget: Budget | None = None
) -> Iterator[Page]:
    """The pages from `cursor` on; `base.PollSource.pages` says what comes out and what is raised. `budget`: the
    requests that are left, where it is not only this run's."""
    budget = budget or Budget(plan.max_pages)
    state = _load(plan, cursor)
    trail = _Trail(resumed=state.position is not None, digest=state.last)
    held: Page | None = None
    asked = 0
    while True:
        try:
            step = _step(plan, state, trail, client, now)
        except DashError as error:
            if trail.resumed and not asked and _void(error):
                state, trail = state.anew(), _Trail(resumed=False)
                continue
            if isinstance(error, _Repeated):
                state = replace(state, repeated=error.digest)
                held = held or Page(b"", "", str(plan.url))
            if held is not None:
                yield replace(held, cursor=_cursor(plan, state), last=False)
            raise
        asked += 1
        budget.take()
        if step.new:
            if held is not None:
                yield replace(held, cursor=_cursor(plan, state), last=False)
            held = step.page
        state = replace(state, high=step.high, last=trail.digest, repeated="")
        if step.following is None:
            state = state.complete(step.validators if asked == 1 and not trail.resumed else None)
            break
        state = replace(state, position=step.following)
        if budget.spent:
            break
    end = _cursor(plan, state)
    if held is not None:
        yield replace(held, cursor=end, last=True)
    elif end != cursor:
        # Nothing to store, yet the run came further: else it would begin at the same old place for ever.
        yield Page(b"", "", str(plan.url), cursor=end, last=True)


def listed(plan: Plan, client: httpx.Client, now: datetime) -> Iterator[list[Any]]:
    """The records of each page from the first on; none of it is a payload. Raises as `run` does."""
    state, trail = State(), _Trail(resumed=False)
    asked = f"{plan.method} {shown(plan.url)}"
    for _ in range(plan.max_pages):
        step = _step(plan, state, trail, client, now)
        if step.records is None and step.page is not None:
            raise HttpPollPermanent(f"{asked}: the listing has nothing at its data_selector (resolve.data_selector)")
        yield step.records or []
        if step.following is None:
            return
        state = replace(state, position=step.following)
    raise HttpPollPermanent(f"{asked}: the listing has more than {plan.max_pages} pages (max_pages)")


def _step(plan: Plan, state: State, trail: _Trail, client: httpx.Client, now: datetime) -> _Step:
    position = state.position or plan.paginator.first()
    url, content = url_of(plan, position, state.since), content_of(plan, position, state.since)
    trail.been.add((str(url), content))
    conditions = state.validators if state.position is None and plan.method == "GET" else {}
    try:
        fetched = ask(plan, url, content, client, now, conditions)
    except HttpPollPermanent as error:
        if trail.asked and plan.paginator.counts and error.answer in _BEYOND:
            return _Step(state.high)
        raise
    trail.asked += 1
    if fetched.ignored:
        return _Step(state.high)
    if fetched.body is None:
        return _Step(state.high, validators=state.validators)
    if not fetched.body.strip():
        return _Step(state.high, validators=_validators(fetched))
    digest = hashlib.sha256(fetched.body).hexdigest()[:32]
    again, trail.digest = digest in (trail.digest, state.repeated), digest
    # With marks, neither the page before once more nor a way back is an end before it has come again in another run:
    # a mark that moved past pages which a cache kept back would leave them out for good.
    doubted = plan.incremental is not None and digest != state.repeated
    if again and doubted:
        raise _Repeated(plan, url, digest)
    if again and plan.paginator.counts:
        return _Step(state.high)  # beyond the end the server gives its last page again

    content_type = content_type_of(plan, fetched.headers)
    found = read(plan, url, content_type, fetched.body)
    records = found.records
    if plan.paginator.counts and records is None and plan.selector is None:
        asked = f"{plan.method} {shown(url)}"
        raise HttpPollPermanent(f"{asked}: data_selector is needed to see where the pages of this answer end")
    try:
        answer = Answer(fetched.url, fetched.headers, found.document, None if records is None else len(records))
        following = _link(plan, state, plan.paginator.following(position, answer))
    except (httpx.InvalidURL, ValueError) as error:  # the latter comes from urllib, which joins the link to the URL
        raise HttpPollPermanent(f"{plan.method} {shown(url)}: the link to the next page is no URL") from error
    key = _key(plan, state, following) if following is not None else None
    if key in trail.been:
        if doubted and key != (str(url), content):
            raise _Repeated(plan, url, digest)
        following = None
    high, new = state.high, True
    if records is not None and not records and (found.certain or plan.paginator.counts):
        return _Step(high, following=following, validators=_validators(fetched))
    if plan.incremental is not None and records is not None:
        high, new = plan.incremental.advanced(high, records), plan.incremental.is_new(state.since, records)
        new = new and not again
    page = _page(plan, url, content_type, fetched)
    return _Step(high, page, new, records, following, _validators(fetched))


def _key(plan: Plan, state: State, position: Position) -> tuple[str, bytes | None]:
    """What tells one request of a run from another."""
    return str(url_of(plan, position, state.since)), content_of(plan, position, state.since)


def _link(plan: Plan, state: State, following: Position | None) -> Position | None:
    """The next position as a cursor may hold it; InvalidURL where it is no web page."""
    if following is None or "url" not in following:
        return following
    url = httpx.URL(following["url"])
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx.InvalidURL("neither http nor https")
    if plan.url.scheme == "https" and url.scheme == "http" and url.host == plan.url.host:
        # Servers behind a proxy often do not know that they are reached by https.
        url = url.copy_with(scheme="https", port=plan.url.port)
    for name in plan.auth.hidden_params():
        # A link that repeats the key which it was asked with.
        url = url.copy_remove_param(name) if name in url.params else url
    return {"url": str(url)}


def _page(plan: Plan, url: httpx.URL, content_type: str, fetched: Fetched) -> Page:
    headers = {name.lower(): value for name, value in fetched.headers.items() if name.lower() not in _DROPPED}
    return Page(fetched.body or b"", content_type, str(url), {**headers, **plan.named})


def _validators(fetched: Fetched) -> dict[str, str]:
    pairs = (("if-none-match", "etag"), ("if-modified-since", "last-modified"))
    return {ask: fetched.headers[said] for ask, said in pairs if _plain(fetched.headers.get(said, ""))}


def _plain(value: str) -> bool:
    return bool(value) and len(value) <= 1000 and value.isascii() and value.isprintable()


def _void(error: DashError) -> bool:
    """Whether an error of the first request from a stored position says that the position itself is no good."""
    return isinstance(error, AddressNotAllowed) or (isinstance(error, HttpPollPermanent) and error.answer in _EXPIRED)


def _load(plan: Plan, cursor: Mapping[str, Any] | None) -> State:
    if not cursor or cursor.get("options") != plan.fingerprint:
        start = plan.incremental.start() if plan.incremental else Mark()
        return State(None, start, start)
    return State(
        cursor.get("position"),
        Mark.from_json(cursor["since"]),
        Mark.from_json(cursor["high"]),
        cursor.get("validators", {}),
        cursor.get("last", ""),
        cursor.get("repeated", ""),
    )


def _cursor(plan: Plan, state: State) -> dict[str, Any]:
    found: dict[str, Any] = {
        "options": plan.fingerprint,
        "since": state.since.to_json(),
        "high": state.high.to_json(),
    }
    if state.position is not None:
        found["position"] = dict(state.position)
        if plan.incremental is not None:
            found |= {name: digest for name, digest in (("last", state.last), ("repeated", state.repeated)) if digest}
    elif state.validators:
        found["validators"] = dict(state.validators)
    return json.loads(json.dumps(found))
