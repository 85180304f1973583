"""What sources that ask one URL for one answer have in common: where, with which headers, and how long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx
import param

from dash_app.pipelines.reach.headers import wrong_headers
from dash_app.pipelines.reach.urls import wrong_url
from dash_app.pipelines.sources.base import PollSource
from dash_app.pipelines.sources.encodings import ACCEPT_ENCODING
from dash_app.pipelines.sources.fetching import Fetched, Request, fetch, shown


class AskedOnce(PollSource):
    """Base of those sources."""

    secrets = frozenset({"secret_headers"})

    url = param.String(default="", doc="What to ask: an http or https URL without a log-in in it.")
    headers = param.Dict(default={}, doc="Headers to send, by name.")
    secret_headers = param.Dict(
        default={}, doc="Headers to send whose values are kept encrypted and never shown, such as Authorization."
    )
    timeout_seconds = param.Number(default=30, bounds=(1, 300), doc="Seconds that the answer may take.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if wrong := wrong_url(self.url, ("http", "https")):
            found.append(("url", wrong))
        for option in ("headers", "secret_headers"):
            found += wrong_headers(option, getattr(self, option))
        return found

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["url"]}

    @property
    def shown(self) -> str:
        return shown(httpx.URL(self.url))

    def ask(
        self, client: httpx.Client, now: datetime, *, accept: str, conditions: Mapping[str, str] | None = None
    ) -> Fetched:
        """The answer; `conditions`: headers that ask whether it has changed."""
        headers = {"accept": accept, "accept-encoding": ACCEPT_ENCODING, **(conditions or {})}
        for given in (self.headers, self.secret_headers):
            headers |= {name.lower(): value for name, value in given.items()}
        return fetch(
            client,
            Request("GET", httpx.URL(self.url), headers),
            timeout=float(self.timeout_seconds),
            limit=self.max_bytes,
            now=now,
            secrets=tuple(self.secret_headers.values()),
        )
