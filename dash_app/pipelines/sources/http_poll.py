"""HTTP polling: a URL is asked every so often, page by page, and each page is a payload.

Every answer is stored, even if it is the same as the last one: a poll says what was the case at its time, and two equal
answers a minute apart are two facts. What is not stored is what the server itself calls unchanged (304), pages without
records, and, with `incremental`, pages without a new one. The cursor that comes with a page holds the place of the next
one, so a run that breaks off is taken up there; it is void when the options it was made under change.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

import httpx
import param

from dash_app.domain.errors import Invalid
from dash_app.pipelines.sources import selecting
from dash_app.pipelines.sources.base import Page, PollSource
from dash_app.pipelines.sources.encodings import ACCEPT_ENCODING
from dash_app.pipelines.sources.incremental import Incremental
from dash_app.pipelines.sources.pagination import make_paginator
from dash_app.pipelines.sources.polling import Plan, run

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
#: Headers that belong to the connection or to what polling itself does.
_OURS = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer", "expect"),
        *("accept-encoding", "if-none-match", "if-modified-since", "if-match", "if-range", "range", "cookie2"),
    }
)


class HttpPoll(PollSource):
    kind = "http_poll"
    summary = "A URL that is asked every so often; each page of the answer is a payload."
    secrets = frozenset({"secret_headers"})
    example: ClassVar[Mapping[str, Any]] = {
        "url": "https://api.example.org/v1/observations",
        "params": {"station": "oslo"},
        "data_selector": "$.items",
        "paginator": {"type": "json_link", "next_url_path": "links.next"},
        "incremental": {"cursor_path": "updated_at", "cursor_param": "since", "initial_value": "2024-01-01T00:00:00Z"},
    }

    url = param.String(default="", doc="What to ask: an http or https URL without a log-in in it.")
    method: Any = param.Selector(default="GET", objects=["GET"], doc="How to ask.")
    headers = param.Dict(default={}, doc="Headers to send, by name.")
    secret_headers = param.Dict(
        default={}, doc="Headers to send whose values are kept encrypted and never shown, such as Authorization."
    )
    params = param.Dict(default={}, doc="Parameters of the query, by name: text, numbers, true or false.")
    data_selector = param.String(
        default="",
        doc="The path to the records in a page. It decides what an empty or a new page is; mapping is separate.",
    )
    paginator = param.Dict(default={"type": "single_page"}, doc="How to come to the next page: a type and its options.")
    incremental = param.Dict(
        default=None,
        allow_None=True,
        doc="Asks for what came after the highest value seen: cursor_path, cursor_param, initial_value.",
    )
    timeout_seconds = param.Number(default=30, bounds=(1, 300), doc="Seconds that a page may take.")
    max_pages = param.Integer(
        default=100, bounds=(1, 10_000), doc="Pages asked for in one run; the next run goes on where it stopped."
    )

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if wrong := _wrong_url(self.url):
            found.append(("url", wrong))
        if self.data_selector and (wrong := selecting.problem(self.data_selector)):
            found.append(("data_selector", wrong))
        for option in ("headers", "secret_headers"):
            found += _wrong_headers(option, getattr(self, option))
        twice = {name.lower() for name in self.headers if isinstance(name, str)} & {
            name.lower() for name in self.secret_headers if isinstance(name, str)
        }
        found += [(f"headers.{name}", "stands in secret_headers as well") for name in sorted(twice)]
        for name, value in self.params.items():
            if not isinstance(name, str) or not name or not isinstance(value, str | int | float):
                found.append((f"params.{name}", "is neither text, a number, true nor false"))
        for make in (lambda: make_paginator(self.paginator), self._incremental):
            try:
                make()
            except Invalid as error:
                found += error.problems
        return found

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["url"]}

    def pages(self, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime) -> Iterator[Page]:
        given = {name.lower(): value for name, value in self.headers.items()}
        secret = {name.lower(): value for name, value in self.secret_headers.items()}
        plan = Plan(
            url=self._url,
            common={"accept": "application/json, */*;q=0.8", "accept-encoding": ACCEPT_ENCODING},
            headers=given | secret,
            secrets=tuple(secret.values()),
            paginator=make_paginator(self.paginator),
            incremental=self._incremental(),
            selector=selecting.parse(self.data_selector) if self.data_selector else None,
            fingerprint=self._fingerprint(),
            timeout=self.timeout_seconds,
            max_pages=self.max_pages,
            max_bytes=self.max_bytes,
        )
        return run(plan, cursor, client, now)

    def _incremental(self) -> Incremental | None:
        return None if self.incremental is None else Incremental.from_options(self.incremental, "incremental")

    def _url(self, more: Mapping[str, str]) -> httpx.URL:
        own = {name: _text(value) for name, value in self.params.items()}
        url = httpx.URL(self.url)
        # Only where something is added: merging writes the whole query anew, and some servers mind how it is written.
        return url.copy_merge_params(own | dict(more)) if own or more else url

    def _fingerprint(self) -> str:
        parts = [self.url, self.params, self.paginator, self.incremental, self.data_selector]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _text(value: str | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong_url(text: str) -> str | None:
    if not text:
        return "is missing: an http or https URL"
    if len(text) > 2000 or not text.isprintable() or " " in text:
        return "is no URL: up to 2,000 printable characters without spaces"
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        return f"is no URL: {error}"
    if url.scheme not in ("http", "https") or not url.host:
        return "begins with neither http:// nor https:// and a host"
    if url.port is not None and not 0 < url.port < 65536:
        return "has a port beyond 65535"
    if url.userinfo:
        return "holds a log-in; put it into secret_headers as Authorization"
    if url.fragment:
        return "ends in a fragment (#…), which servers never see"
    return None


def _wrong_headers(option: str, headers: Mapping[Any, Any]) -> list[tuple[str, str]]:
    found = []
    for name, value in headers.items():
        where = f"{option}.{str(name)[:60]}"
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            found.append((where, "is not a header's name"))
        elif name.lower() in _OURS:
            found.append((where, "is set by polling itself"))
        elif not isinstance(value, str) or not value.isascii() or not (value.isprintable() and value == value.strip()):
            # The value is not shown: it may be a secret, mistyped.
            found.append((where, "may hold printable ASCII text without spaces at its ends"))
    return found
