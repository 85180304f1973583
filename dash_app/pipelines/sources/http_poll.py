"""HTTP polling: a URL is asked every so often, page by page, and each page is a payload.

Every answer is stored, even if it is the same as the last one: a poll says what was the case at its time, and two equal
answers a minute apart are two facts. What is not stored is what the server itself calls unchanged (304), pages without
records, and, with `incremental`, pages without a new one. The cursor that comes with a page holds the place of the next
one, so a run that breaks off is taken up there; it is void when the options it was made under change.
"""

from __future__ import annotations

import hashlib
import json as json_module
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, Self

import httpx
import param

from dash_app.domain.errors import Invalid
from dash_app.domain.kinds import group, variants
from dash_app.pipelines.sources import selecting
from dash_app.pipelines.sources.asking import AUTO, FORMATS, Plan
from dash_app.pipelines.sources.auth import TYPES, Auth, make_auth, split, wrong_url
from dash_app.pipelines.sources.base import Page, PollSource
from dash_app.pipelines.sources.encodings import ACCEPT_ENCODING
from dash_app.pipelines.sources.incremental import Incremental
from dash_app.pipelines.sources.oauth import Tokens
from dash_app.pipelines.sources.outside import Outside
from dash_app.pipelines.sources.pagination import PAGINATORS, make_paginator
from dash_app.pipelines.sources.poll_schema import nested
from dash_app.pipelines.sources.polling import run
from dash_app.pipelines.sources.resolving import (
    Child,
    Family,
    Resolve,
    filled,
    filled_url,
    places_in,
    places_in_authority,
    run_children,
)
from dash_app.pipelines.sources.response_actions import ENTRY, parse_actions

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
#: Headers that belong to the connection or to what polling itself does.
_OURS = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer", "expect"),
        *("accept-encoding", "if-none-match", "if-modified-since", "if-match", "if-range", "range", "cookie2"),
    }
)
#: The largest JSON that is sent, in bytes.
MAX_BODY = 1 << 18


class HttpPoll(PollSource):
    kind = "http_poll"
    summary = "A URL that is asked every so often; each page of the answer is a payload."
    secrets = frozenset({"secret_headers", "auth_secrets"})
    example: ClassVar[Mapping[str, Any]] = {
        "url": "https://api.example.org/v1/observations",
        "params": {"station": "oslo"},
        "data_selector": "$.items",
        "paginator": {"type": "json_link", "next_url_path": "links.next"},
        "incremental": {"cursor_path": "updated_at", "cursor_param": "since", "initial_value": "2024-01-01T00:00:00Z"},
    }

    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "json": {"format": "json"},
        "auth": variants(TYPES.values()),
        "auth_secrets": {"x-part-of": "auth"},
        "paginator": variants(PAGINATORS.values()),
        "incremental": group(Incremental),
        "response_actions": {"items": ENTRY},
        "resolve": group(Resolve),
    }

    url = param.String(default="", doc="What to ask: an http or https URL without a log-in in it.")
    method: Any = param.Selector(default="GET", objects=["GET", "POST"], doc="How to ask.")
    params = param.Dict(default={}, doc="Parameters of the query, by name: text, numbers, true or false.")
    json = param.Dict(default=None, allow_None=True, doc="The JSON object that a POST sends.")
    headers = param.Dict(default={}, doc="Headers to send, by name.")
    secret_headers = param.Dict(
        default={}, doc="Headers to send whose values are kept encrypted and never shown, such as X-Api-Key."
    )
    auth = param.Dict(
        default={"type": "none"},
        doc="Who asks: a type (none, bearer, basic, api_key, oauth2_client_credentials) and more.",
    )
    auth_secrets = param.Dict(
        default={}, doc="The secret parts of auth, kept encrypted and never shown; what auth says of them is put here."
    )
    format: Any = param.Selector(
        default=AUTO, objects=[AUTO, *FORMATS], doc="What the answer is; auto: what its Content-Type says."
    )
    data_selector = param.String(
        default="",
        doc="The path to the records in a page. It decides what an empty or a new page is; mapping is separate.",
    )
    paginator = param.Dict(default={"type": "single_page"}, doc="How to come to the next page: a type and its options.")
    incremental = param.Dict(
        default=None,
        allow_None=True,
        doc="Asks for what came after the highest value seen: cursor_path, cursor_param, initial_value, lag.",
    )
    response_actions = param.List(
        default=[], doc="What certain answers mean: status_code, content, action (ignore, retry, fail, stop)."
    )
    resolve = param.Dict(
        default=None,
        allow_None=True,
        doc="A listing whose records say what is asked, as {name} in url and params: url, data_selector, fields.",
    )
    timeout_seconds = param.Number(default=30, bounds=(1, 300), doc="Seconds that a page may take.")
    max_pages = param.Integer(
        default=100, bounds=(1, 10_000), doc="Pages asked for in one run; the next run goes on where it stopped."
    )

    @classmethod
    def from_options(cls, options: Mapping[str, Any], where: str = "options") -> Self:
        given = dict(options)
        auth, secrets = given.get("auth"), given.get("auth_secrets", {})
        if auth is not None and not isinstance(auth, Mapping):
            # Said here, because param's own message would repeat the value, and somebody wrote a token there.
            raise Invalid(problems=[(f"{where}.auth", "is not an object with a type and its options")])
        if isinstance(auth, Mapping) and isinstance(secrets, Mapping):
            given["auth"], found = split(auth)
            # A secret that is left out stays; those of another type than the one before do not.
            names = _secret_names(given["auth"])
            given["auth_secrets"] = {name: value for name, value in {**secrets, **found}.items() if name in names}
            if not given["auth_secrets"]:
                del given["auth_secrets"]
        return super().from_options(given, where)

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if leading := places_in_authority(self.url):
            what = (
                f"has {{{min(leading)}}} before its path; what a listing says may stand in the path and the query alone"
            )
            found.append(("url", what))
        elif wrong := wrong_url(_example(self.url)):
            found.append(("url", wrong))
        if self.data_selector and (wrong := selecting.problem(self.data_selector)):
            found.append(("data_selector", wrong))
        for option in ("headers", "secret_headers"):
            found += _wrong_headers(option, getattr(self, option))
        twice = {name.lower() for name in self.headers if isinstance(name, str)} & {
            name.lower() for name in self.secret_headers if isinstance(name, str)
        }
        found += [(f"headers.{name}", "stands in secret_headers as well") for name in sorted(twice)]
        found += _wrong_params("params", self.params)
        for make in (
            lambda: make_paginator(self.paginator),
            self._incremental,
            lambda: make_auth(self.auth, self.auth_secrets),
            lambda: parse_actions(self.response_actions),
            self._resolve,
        ):
            try:
                make()
            except Invalid as error:
                found += error.problems
        return found or self._contradictions()

    def _contradictions(self) -> list[tuple[str, str]]:
        """What is wrong with options that are right each by itself."""
        found = []
        if self.method == "GET" and self.json is not None:
            found.append(("json", "goes with POST; a GET has no body"))
        if self.method == "POST" and self.json is not None:
            try:
                if len(json_module.dumps(self.json, allow_nan=False).encode()) > MAX_BODY:
                    found.append(("json", f"is larger than {MAX_BODY} bytes"))
            except (TypeError, ValueError, UnicodeError):
                found.append(("json", "is not JSON"))
        if self.json is None:
            for option, kind in (("paginator", make_paginator(self.paginator)), ("incremental", self._incremental())):
                found += [
                    (f"{option}.{name}", "needs json, which it puts the value into")
                    for name in (kind.options() if kind else ())
                    if name.endswith("_body_path") and getattr(kind, name)
                ]
        resolve = self._resolve()
        if resolve is not None:
            places = places_in(self.url, *(value for value in self.params.values() if isinstance(value, str)))
            found += [
                (f"resolve.fields.{name}", f"stands nowhere: put {{{name}}} into url or params")
                for name in sorted(set(resolve.fields) - places)
            ]
            found += [
                ("url", f"{{{name}}} is not among resolve.fields") for name in sorted(places - set(resolve.fields))
            ]
            own, other = httpx.URL(_example(self.url)), httpx.URL(resolve.url)
            if (own.scheme, own.host, own.port) != (other.scheme, other.host, other.port):
                found.append(("resolve.url", "is on another host than url"))
        return found

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        schema = super().json_schema()
        for name, more in nested().items():
            schema["properties"][name] |= more
        return schema | {"required": ["url"]}

    def pages(self, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime) -> Iterator[Page]:
        return self._pages(cursor, client, now, Tokens())

    def fetch(self, cursor: Mapping[str, Any] | None, outside: Outside, now: datetime) -> Iterator[Page]:
        return self._pages(cursor, outside.client, now, outside.tokens)

    def _pages(
        self, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime, tokens: Tokens
    ) -> Iterator[Page]:
        family = self.family(tokens)
        if family is not None:
            return run_children(family, cursor, client, now)
        return run(self.plan(tokens), cursor, client, now)

    def plan(self, tokens: Tokens, child: Child | None = None) -> Plan:
        """What a run works with; `child`: the values for the names in braces."""
        given = {name.lower(): value for name, value in self.headers.items()}
        secret = {name.lower(): value for name, value in self.secret_headers.items()}
        params = {name: text_of(value) for name, value in self.params.items()}
        auth = self._auth()
        url, fingerprint, named = self.url, self._fingerprint(), {}
        if child is not None:
            url = filled_url(url, child)
            params = {name: filled(text, child) for name, text in params.items()}
            fingerprint = f"{fingerprint} {json_module.dumps(dict(child), sort_keys=True)}"
            named = {f"dash-parent-{name.lower()}": value for name, value in child.items()}
        return Plan(
            url=httpx.URL(url),
            params=params,
            method=self.method,
            document=self.json,
            common={"accept": "application/json, */*;q=0.8", "accept-encoding": ACCEPT_ENCODING},
            headers=given | secret,
            secrets=(*secret.values(), *auth.hidden()),
            auth=auth,
            tokens=tokens,
            actions=parse_actions(self.response_actions),
            paginator=make_paginator(self.paginator),
            incremental=self._incremental(),
            selector=selecting.parse(self.data_selector) if self.data_selector else None,
            format=self.format,
            named=named,
            fingerprint=fingerprint,
            timeout=self.timeout_seconds,
            max_pages=self.max_pages,
            max_bytes=self.max_bytes,
        )

    def family(self, tokens: Tokens) -> Family | None:
        """The listing and its children; None where one URL is asked."""
        resolve = self._resolve()
        if resolve is None:
            return None
        own = self.plan(tokens, {})
        listing = Plan(
            url=httpx.URL(resolve.url),
            params={name: text_of(value) for name, value in resolve.params.items()},
            common=own.common,
            headers=own.headers,
            secrets=own.secrets,
            auth=own.auth,
            tokens=tokens,
            paginator=resolve.make_paginator(),
            # Its records are read from it, so an answer of another shape is an error and no empty listing.
            selector=selecting.parse(resolve.data_selector or "$"),
            timeout=self.timeout_seconds,
            max_pages=self.max_pages,
            max_bytes=self.max_bytes,
        )
        return Family(
            resolve, listing, lambda child: self.plan(tokens, child), self._fingerprint(), max_pages=self.max_pages
        )

    def _auth(self) -> Auth:
        return make_auth(self.auth, self.auth_secrets)

    def _incremental(self) -> Incremental | None:
        return None if self.incremental is None else Incremental.from_options(self.incremental, "incremental")

    def _resolve(self) -> Resolve | None:
        return None if self.resolve is None else Resolve.from_options(self.resolve, "resolve")

    def _fingerprint(self) -> str:
        parts: list[Any] = [self.url, self.params, self.paginator, self.incremental, self.data_selector]
        # Only where they say something: cursors of before there were these stay good.
        more = {"method": self.method, "json": self.json, "resolve": self.resolve, "format": self.format}
        usual = {"method": "GET", "json": None, "resolve": None, "format": AUTO}
        if more != usual:
            parts.append(more)
        return hashlib.sha256(json_module.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _secret_names(auth: Mapping[str, Any]) -> frozenset[str]:
    """The secret parts of this type of `auth`."""
    kind = auth.get("type", "none")
    known = TYPES.get(kind) if isinstance(kind, str) else None
    return known.secrets if known else frozenset()


def text_of(value: str | int | float) -> str:
    """A parameter's value as it is sent."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _example(url: str) -> str:
    """A URL with something in every place that a parent fills."""
    return filled_url(url, dict.fromkeys(places_in(url), "x"))


def _wrong_params(option: str, params: Mapping[Any, Any]) -> list[tuple[str, str]]:
    return [
        (f"{option}.{str(name)[:60]}", "is neither text, a number, true nor false")
        for name, value in params.items()
        if not isinstance(name, str) or not name or not isinstance(value, str | int | float)
    ]


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
