"""How one page of an HTTP answer leads to the next.

A paginator keeps nothing between pages: it looks at one answer and says where the next one is, as a `Position`, plain
JSON that is stored with the page. So a run can be taken up where it broke off, by whichever worker comes next. The
names of types and options are those of dlt's REST source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx
import param

from dash_app.domain.errors import Invalid, Permanent
from dash_app.domain.kinds import Kind
from dash_app.domain.plain_text import is_storable
from dash_app.pipelines.sources import selecting

#: Where the next page is: {} for the first; {"params": {name: text}} beside the source's own; {"body": {path: value}},
#: what is put into the source's own JSON; or {"url": all of it}.
Position = Mapping[str, Any]

_END = (None, "", False, 0, "0")

#: Places where APIs are known to put the next page's URL, and (place, parameter) of the next page's cursor.
_LINK_PLACES = (
    *("next", "links.next", "links.next.href", "_links.next", "_links.next.href", "paging.next", "pagination.next"),
    *("pagination.next_url", "meta.next", "next_page_url", "next_url", "nextLink", "['@odata.nextLink']", "info.next"),
)
_CURSOR_PLACES = (
    ("next_cursor", "cursor"),
    ("response_metadata.next_cursor", "cursor"),
    ("meta.next_cursor", "cursor"),
    ("pagination.next_cursor", "cursor"),
    ("nextPageToken", "pageToken"),
    ("next_page_token", "page_token"),
)
#: Places of a page's number and of the number of pages, and the parameter that asks for a page.
_PAGE_PLACES = (
    *(("page", "total_pages", "page"), ("page", "pages", "page"), ("current_page", "last_page", "page")),
    *(("meta.page", "meta.total_pages", "page"), ("meta.current_page", "meta.last_page", "page")),
    *(("meta.current_page", "meta.total_pages", "page"), ("pagination.page", "pagination.total_pages", "page")),
    *(("pagination.page", "pagination.pages", "page"), ("pagination.current_page", "pagination.total_pages", "page")),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a paginator sees of a page: where it came from, its headers, its JSON (None: none), how many records."""

    url: httpx.URL
    headers: httpx.Headers
    document: Any
    count: int | None


class Paginator(Kind):
    """Base of the paginators. `kind` is what documents call `type`."""

    #: Whether the end shows only when a page has no records, so that the records have to be found.
    counts: ClassVar[bool] = False
    #: Whether it reads the JSON of an answer and cannot go on without; or looks into it where it is JSON.
    reads: ClassVar[bool] = False
    looks: ClassVar[bool] = False
    paths: ClassVar[tuple[str, ...]] = ()

    def first(self) -> Position:
        """Where a run begins."""
        return {}

    def following(self, position: Position, answer: Answer) -> Position | None:
        """Where the page after this one is, or None where this was the last."""
        return None

    def problems(self) -> list[tuple[str, str]]:
        found = []
        for name in self.paths:
            text = getattr(self, name)
            if text and (wrong := selecting.problem(text)):
                found.append((name, wrong))
        return found + [
            (name, wrong) for name in self.body_paths if (wrong := selecting.place_problem(getattr(self, name)))
        ]

    @property
    def body_paths(self) -> tuple[str, ...]:
        """The options that name a place in the request's JSON."""
        return tuple(name for name in self.options() if name.endswith("_body_path") and getattr(self, name))

    @property
    def sends_body(self) -> bool:
        """Whether it puts something into the request's JSON, so that there has to be one."""
        return bool(self.body_paths)


class SinglePage(Paginator):
    kind = "single_page"
    summary = "One request a run."


class PageNumber(Paginator):
    kind = "page_number"
    summary = "page=1, page=2, … until a page is empty or the total is reached."
    counts = True
    reads = True
    paths = ("total_path", "has_more_path")

    page_param = param.String(default="page", doc="The parameter with the page's number.")
    page_body_path = param.String(default="", doc="The place in the request's JSON for it, instead of a parameter.")
    base_page = param.Integer(default=1, bounds=(0, None), doc="The number of the first page.")
    page_size_param = param.String(default="per_page", doc="The parameter with the page's size, sent with page_size.")
    page_size = param.Integer(default=None, bounds=(1, None), allow_None=True, doc="Records to ask for in a page.")
    total_path = param.String(default="", doc="The path to the number of pages. Empty: until a page is empty.")
    has_more_path = param.String(default="", doc="The path to a true or false that says whether more follows.")

    def first(self) -> Position:
        return self._at(self.base_page)

    def following(self, position: Position, answer: Answer) -> Position | None:
        page = int(_sent(position, self.page_param, self.page_body_path))
        total = _whole(answer.document, self.total_path)
        # A short page is no sign of the end: many APIs cap the size below what was asked for.
        if (
            not answer.count
            or _is_over(answer.document, self.has_more_path)
            or (total is not None and page + 1 - self.base_page >= total)
        ):
            return None
        return self._at(page + 1)

    def _at(self, page: int) -> Position:
        size = {} if self.page_size is None else {self.page_size_param: str(self.page_size)}
        if self.page_body_path:
            return {"body": {self.page_body_path: page}} | ({"params": size} if size else {})
        return {"params": {self.page_param: str(page)} | size}


class Offset(Paginator):
    kind = "offset"
    summary = "offset=0, offset=100, … until a page is empty or the total is reached."
    counts = True
    reads = True
    paths = ("total_path", "has_more_path")

    limit = param.Integer(default=100, bounds=(1, None), doc="Records to ask for in a page.")
    limit_param = param.String(default="limit", doc="The parameter with the limit.")
    offset = param.Integer(default=0, bounds=(0, None), doc="The offset of the first record.")
    offset_param = param.String(default="offset", doc="The parameter with the offset.")
    limit_body_path = param.String(default="", doc="The place in the request's JSON for the limit.")
    offset_body_path = param.String(default="", doc="The place in the request's JSON for the offset.")
    total_path = param.String(default="", doc="The path to the number of records. Empty: until a page is empty.")
    has_more_path = param.String(default="", doc="The path to a true or false that says whether more follows.")

    def first(self) -> Position:
        return self._at(self.offset)

    def following(self, position: Position, answer: Answer) -> Position | None:
        # By what came, not by what was asked for: a server that caps the limit would otherwise make us skip records.
        reached = int(_sent(position, self.offset_param, self.offset_body_path)) + (answer.count or 0)
        total = _whole(answer.document, self.total_path)
        if (
            not answer.count
            or _is_over(answer.document, self.has_more_path)
            or (total is not None and reached - self.offset >= total)
        ):
            return None
        return self._at(reached)

    def _at(self, offset: int) -> Position:
        params: dict[str, str] = {}
        body: dict[str, int] = {}
        for value, name, place in (
            (offset, self.offset_param, self.offset_body_path),
            (self.limit, self.limit_param, self.limit_body_path),
        ):
            if place:
                body[place] = value
            else:
                params[name] = str(value)
        return ({"params": params} if params else {}) | ({"body": body} if body else {})


class Cursor(Paginator):
    kind = "cursor"
    summary = "The answer holds a cursor, which the next request sends back."
    reads = True
    paths = ("cursor_path", "has_more_path")

    cursor_path = param.String(default="cursors.next", doc="The path to the next page's cursor in the answer.")
    cursor_param = param.String(default="cursor", doc="The parameter that sends it back.")
    cursor_body_path = param.String(default="", doc="The place in the request's JSON for it, instead of a parameter.")
    has_more_path = param.String(default="", doc="The path to a true or false that says whether more follows.")

    def following(self, position: Position, answer: Answer) -> Position | None:
        if _is_over(answer.document, self.has_more_path):
            return None
        return _by_cursor(answer, self.cursor_path, self.cursor_param, self.cursor_body_path)


class JsonLink(Paginator):
    kind = "json_link"
    summary = "The answer holds the URL of the next page."
    reads = True
    paths = ("next_url_path",)

    next_url_path = param.String(default="next", doc="The path to the next page's URL in the answer.")

    def following(self, position: Position, answer: Answer) -> Position | None:
        return _by_link(answer, self.next_url_path)


class HeaderLink(Paginator):
    kind = "header_link"
    summary = 'The header Link names the next page: <…>; rel="next".'

    links_next_key = param.String(default="next", doc="The rel of the link to the next page.")

    def following(self, position: Position, answer: Answer) -> Position | None:
        return _by_header(answer, self.links_next_key)


class Auto(Paginator):
    kind = "auto"
    summary = "Looks in every answer for a link, a cursor or the page's number in the usual places; else one page."
    looks = True

    def following(self, position: Position, answer: Answer) -> Position | None:
        found = detect(answer)
        return found.following if found else None


@dataclass(frozen=True, slots=True)
class Detected:
    """How an answer says that it goes on: where, the paginator that would follow it, and a sentence about it."""

    following: Position
    paginator: Mapping[str, Any]
    why: str


def detect(answer: Answer) -> Detected | None:
    """Where the next page is by what this answer says of itself; None where it says nothing, or that it is the last."""
    if found := _by_header(answer, "next"):
        return Detected(found, {"type": "header_link"}, "the header Link names the next page")
    for place in _LINK_PLACES:
        # A bare word under 'next' is a cursor of a parameter nobody named; only what looks like a link is one.
        if found := _by_link(answer, place, certain=False):
            document = {"type": "json_link", "next_url_path": place}
            return Detected(found, document, f"the answer has a link to the next page at {place}")
    for place, name in _CURSOR_PLACES:
        if found := _by_cursor(answer, place, name):
            document = {"type": "cursor", "cursor_path": place, "cursor_param": name}
            return Detected(found, document, f"the answer has the next page's cursor at {place}")
    for place, pages, name in _PAGE_PLACES:
        number, total = _whole(answer.document, place), _whole(answer.document, pages)
        if number is not None and total is not None and 0 <= number < total:
            following = {"params": {name: str(number + 1)}}
            paged = {"type": "page_number", "page_param": name, "total_path": pages}
            return Detected(following, paged, f"the answer is page {number} of {total} by {place} and {pages}")
    return None


PAGINATORS: dict[str, type[Paginator]] = {
    paginator.kind: paginator for paginator in (SinglePage, PageNumber, Offset, Cursor, JsonLink, HeaderLink, Auto)
}


def make_paginator(document: Mapping[str, Any], where: str = "paginator") -> Paginator:
    """The paginator of `{"type": …, options}`; Invalid names every option that is unknown or wrong."""
    kind = document.get("type")
    if not isinstance(kind, str) or kind not in PAGINATORS:
        raise Invalid(problems=[(f"{where}.type", f"{str(kind)[:60]!r} is unknown; there are {', '.join(PAGINATORS)}")])
    return PAGINATORS[kind].from_options({k: v for k, v in document.items() if k != "type"}, where)


def _by_header(answer: Answer, rel: str) -> Position | None:
    for link in httpx.Response(200, headers={"link": answer.headers.get("link", "")}).links.values():
        if rel in (link.get("rel") or "").split() and link.get("url"):
            return {"url": str(answer.url.join(link["url"]))}
    return None


def _by_link(answer: Answer, path: str, certain: bool = True) -> Position | None:
    link = _at(answer.document, path)
    if not isinstance(link, str) or not link:
        return None
    if not certain and not link.startswith(("http://", "https://", "/", "?")):
        return None
    return {"url": str(answer.url.join(link))}


def _by_cursor(answer: Answer, path: str, name: str, place: str = "") -> Position | None:
    cursor = _at(answer.document, path)
    if isinstance(cursor, dict | list) or cursor in _END or not isinstance(cursor, str | int | float):
        return None
    if isinstance(cursor, str) and not is_storable(cursor):
        # It would be kept with the page, which could not be stored then, in this run or any other.
        raise Permanent(f"the next page's cursor at {path} holds NUL or half a character, and cannot be kept")
    return {"body": {place: cursor}} if place else {"params": {name: str(cursor)}}


def _sent(position: Position, name: str, place: str) -> Any:
    """What a position sends under a parameter, or at a place in the request's JSON."""
    return position["body"][place] if place else position["params"][name]


def _whole(document: Any, path: str) -> int | None:
    """The whole number at the path; None where there is none, or no path."""
    found = _at(document, path) if path else None
    if isinstance(found, str) and len(found) < 19 and found.isdecimal():
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _is_over(document: Any, path: str) -> bool:
    """Whether the answer says in so many words that nothing follows."""
    found = _at(document, path) if path else True
    return found is False or (isinstance(found, str) and found.lower() == "false")


def _at(document: Any, path: str) -> Any:
    return selecting.first(document, selecting.parse(path))
