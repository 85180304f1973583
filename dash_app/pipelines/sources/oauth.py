"""Access tokens by OAuth2 client credentials: asked for once, used until shortly before they expire.

Tokens live in the memory of the process that asked and nowhere else. A token that the API refuses is forgotten, so that
the next request asks for a new one; were it refused as well, that is the answer.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import httpx

from dash_app.pipelines.sources.fetching import HttpPollPermanent, HttpPollTransient, Request, fetch, shown

#: A token is renewed so long before its end that a request under way does not outlive it, in seconds.
EARLY = 30.0
#: The largest answer that a token comes in, in bytes, and how long it may take, in seconds.
MAX_ANSWER = 1 << 16
TIMEOUT = 30.0
_MAX_KEPT = 1000


@dataclass(frozen=True, slots=True, repr=False)
class Grant:
    """What a token is asked for with. `expires_in`: seconds, where the server says nothing."""

    url: str
    client_id: str
    client_secret: str
    scope: str
    in_header: bool
    data: tuple[tuple[str, str], ...]
    expires_in: int

    @property
    def key(self) -> str:
        parts = [self.url, self.client_id, self.client_secret, self.scope, self.in_header, self.data]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, repr=False)
class _Token:
    text: str
    until: datetime
    #: Whether it has been used: one that is refused at its first use is no better asked for again.
    used: bool = False


class Tokens:
    """The tokens of a process. Threads may share it; two that need the same token at once may both ask for it."""

    def __init__(self) -> None:
        self._kept: dict[str, _Token] = {}
        self._lock = threading.Lock()

    def get(self, grant: Grant, client: httpx.Client, now: datetime) -> str:
        """A token that holds. Raises HttpPollTransient or HttpPollPermanent where none is given."""
        key = grant.key
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and now < kept.until:
                self._kept[key] = _Token(kept.text, kept.until, True)
                return kept.text
        made = _ask(grant, client, now)
        with self._lock:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[key] = made
        return made.text

    def forget(self, grant: Grant) -> bool:
        """The token is refused; whether it was one that had been used before, and a new one may do."""
        with self._lock:
            kept = self._kept.pop(grant.key, None)
        return kept is not None and kept.used


def _ask(grant: Grant, client: httpx.Client, now: datetime) -> _Token:
    form = {"grant_type": "client_credentials", **({"scope": grant.scope} if grant.scope else {}), **dict(grant.data)}
    headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
    if grant.in_header:
        pair = f"{quote_plus(grant.client_id)}:{quote_plus(grant.client_secret)}"
        headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        form |= {"client_id": grant.client_id, "client_secret": grant.client_secret}
    url = httpx.URL(grant.url)
    request = Request("POST", url, headers, str(httpx.QueryParams(form)).encode())
    answer = fetch(client, request, timeout=TIMEOUT, limit=MAX_ANSWER, now=now, secrets=(grant.client_secret,))
    try:
        document: Any = json.loads(answer.body or b"")
    except ValueError:
        raise HttpPollTransient(f"POST {shown(url)}: the answer with the token is not JSON") from None
    text = document.get("access_token") if isinstance(document, Mapping) else None
    if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable():
        raise HttpPollPermanent(f"POST {shown(url)}: the answer holds no access_token")
    return _Token(text, now + timedelta(seconds=max(_seconds(document, grant.expires_in) - EARLY, 1.0)))


def _seconds(document: Mapping[str, Any], otherwise: int) -> float:
    said = document.get("expires_in")
    if isinstance(said, str) and said.isascii() and said.isdecimal():
        said = int(said[:9])
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said < 1e9:
        return float(otherwise)
    return float(said)
