"""One request and what its answer means: a whole body, nothing new, or an error that says whether to try again.

Nothing of an answer is used before all of it is there. Messages name the status and a piece of what the server said,
without the query (it may hold keys) and without the secrets that were sent, should the server echo them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote, quote_plus

import httpx

from dash_app.domain.errors import DashError, Permanent, PollStopped, TooLarge, Transient, UnsupportedEncoding
from dash_app.pipelines.sources.encodings import decode_body
from dash_app.pipelines.sources.response_actions import SEARCHED, ResponseAction, action_for

#: The longest that a server's Retry-After is believed, in seconds.
MAX_RETRY_AFTER = 86_400.0

_PIECE = 200
_AGAIN = frozenset({408, 425, 429})


class HttpPollError(DashError):
    """The poll failed."""

    #: The status that the server answered; None where there was no answer.
    answer: int | None = None
    #: The answer with the beginning of its body, for who looks at it; None where there was none.
    seen: Fetched | None = None


class HttpPollTransient(HttpPollError, Transient):
    """The poll failed, and the next one may not."""


class HttpPollPermanent(HttpPollError, Permanent):
    """The poll failed, and will until somebody changes something."""


class HttpPollStopped(HttpPollError, PollStopped):
    """The poll failed, and is not to go on until somebody has looked."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `params` are secret and put into the URL at the last moment; `content` is a body."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    content: bytes | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        return f"{self.method} {shown(self.url)}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer. `body` has its Content-Encoding undone and is None where nothing changed (304); `ignored`: it is
    empty because an action says that this answer means nothing."""

    url: httpx.URL
    status: int
    headers: httpx.Headers
    body: bytes | None
    ignored: bool = False


def fetch(
    client: httpx.Client,
    request: Request,
    *,
    timeout: float,
    limit: int,
    now: datetime,
    secrets: Iterable[str] = (),
    actions: Sequence[ResponseAction] = (),
) -> Fetched:
    """The answer; at most `limit` bytes; `timeout` in seconds. Raises HttpPollTransient, -Permanent or -Stopped."""
    url = request.url.copy_merge_params(dict(request.params)) if request.params else request.url
    asked = request.shown
    try:
        made = client.build_request(
            request.method, url, headers=dict(request.headers), content=request.content, timeout=timeout
        )
        response = client.send(made, stream=True)
        try:
            if response.status_code == 304 and _is_conditional(request):
                return Fetched(_without(response.url, request.params), 304, response.headers, None)
            if not response.is_success:
                return _refused(request, response, now, secrets, actions)
            body = decode_body(_read(response, limit), response.headers.get("content-encoding"), limit)
        finally:
            response.close()
    except TooLarge:
        raise HttpPollPermanent(f"{asked}: the answer is larger than {limit} bytes (max_bytes)") from None
    except UnsupportedEncoding as error:
        raise HttpPollTransient(f"{asked}: {error.message}") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise HttpPollPermanent(f"{asked}: the request cannot be made ({type(error).__name__})") from error
    except httpx.TooManyRedirects as error:
        raise HttpPollPermanent(f"{asked}: {error}") from error
    except httpx.HTTPError as error:
        raise HttpPollTransient(f"{asked}: {_reason(error, timeout)}") from error
    found = Fetched(_without(response.url, request.params), response.status_code, response.headers, body)
    if any(action.content for action in actions):
        return _acted(request, found, body[:SEARCHED].decode("utf-8", "replace"), now, secrets, actions)
    if actions:
        return _acted(request, found, "", now, secrets, actions)
    return found


def shown(url: httpx.URL) -> str:
    """A URL for messages: without its query and log-in."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))[:_PIECE]


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or a date), 0 to a day; None where it says nothing readable."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), MAX_RETRY_AFTER)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _read(response: httpx.Response, limit: int) -> bytes:
    """The raw bytes, or TooLarge as soon as there are more than the limit, which no encoding makes smaller."""
    pieces: list[bytes] = []
    size = 0
    for piece in response.iter_raw():
        size += len(piece)
        if size > limit:
            raise TooLarge
        pieces.append(piece)
    return b"".join(pieces)


def _is_conditional(request: Request) -> bool:
    return "if-none-match" in request.headers or "if-modified-since" in request.headers


def _without(url: httpx.URL, params: Mapping[str, str]) -> httpx.URL:
    """The URL without what was put in for this request alone: neither payloads nor cursors may hold it."""
    for name in params:
        if name in url.params:
            url = url.copy_remove_param(name)
    return url


def _refused(
    request: Request,
    response: httpx.Response,
    now: datetime,
    secrets: Iterable[str],
    actions: Sequence[ResponseAction],
) -> Fetched:
    text = _beginning(response)
    found = Fetched(_without(response.url, request.params), response.status_code, response.headers, b"")
    if action_for(actions, response.status_code, text) is not None:
        return _acted(request, found, text, now, secrets, actions)
    again = response.status_code in _AGAIN or response.status_code >= 500
    raise _error(HttpPollTransient if again else HttpPollPermanent, request, found, text, now, secrets)


def _acted(
    request: Request,
    found: Fetched,
    text: str,
    now: datetime,
    secrets: Iterable[str],
    actions: Sequence[ResponseAction],
) -> Fetched:
    """The answer as the actions read it."""
    action = action_for(actions, found.status, text)
    if action is None:
        return found
    if action == "ignore":
        return Fetched(found.url, found.status, found.headers, b"", ignored=True)
    kinds: Mapping[str, type[HttpPollError]] = {
        "retry": HttpPollTransient,
        "fail": HttpPollPermanent,
        "stop": HttpPollStopped,
    }
    raise _error(kinds[action], request, found, text, now, secrets, action)


def _error(
    kind: type[HttpPollError],
    request: Request,
    found: Fetched,
    text: str,
    now: datetime,
    secrets: Iterable[str],
    action: str = "",
) -> HttpPollError:
    phrase = HTTPStatus(found.status).phrase if found.status in set(HTTPStatus) else ""
    message = f"{request.method} {shown(found.url)} answered {found.status} {phrase}".rstrip()
    if piece := masked(text, secrets):
        message += f": {piece}"
    if action:
        message += f" (response_actions: {action})"
    error: HttpPollError
    if kind is HttpPollTransient:
        error = HttpPollTransient(message, retry_after=retry_after(found.headers.get("retry-after"), now))
    else:
        error = kind(message)
    error.answer = found.status
    error.seen = replace(found, body=text.encode())
    return error


def _beginning(response: httpx.Response) -> str:
    """The beginning of what the server said; nothing where it breaks off or cannot be decoded."""
    raw = b""
    try:
        for part in response.iter_raw(chunk_size=4096):
            raw += part
            if len(raw) >= SEARCHED:
                break
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raw = decode_body(raw, encoding, 16 * SEARCHED)
    except (httpx.HTTPError, TooLarge, UnsupportedEncoding):
        return ""  # the status is what matters, and it is there
    return raw[:SEARCHED].decode("utf-8", "replace")


def masked(text: str, secrets: Iterable[str], limit: int = _PIECE) -> str:
    """The beginning of a text on one line, without the secrets that a server may echo."""
    text = without_secrets(text, secrets)[: 20 * limit]
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= limit else text[:limit] + "…"


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """A text with every secret in it replaced by ***."""
    for secret in sorted(_telling(secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def without_secret_bytes(body: bytes, secrets: Iterable[str]) -> bytes:
    """As `without_secrets`, of a body."""
    for secret in sorted(_telling(secrets), key=len, reverse=True):
        body = body.replace(secret.encode(), b"***")
    return body


def _telling(secrets: Iterable[str]) -> set[str]:
    """The secrets and their words, also as they look in a URL: a server may echo the token of 'Bearer …' alone."""
    parts = {part for secret in secrets for part in (secret, *secret.split()) if len(part) > 3}
    return {
        form
        for part in parts
        for form in (part, quote(part), quote(part, safe=""), quote_plus(part), quote_plus(part, safe="/"))
    }


def _reason(error: httpx.HTTPError, timeout: float) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"no whole answer within {timeout:g} s"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the answer broke off or is not HTTP"
    if isinstance(error, httpx.ConnectError):
        return "the server's certificate is not accepted" if "CERTIFICATE" in str(error) else "no connection"
    return "the connection broke"
