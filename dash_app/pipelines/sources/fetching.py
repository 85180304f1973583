"""One GET and what its answer means: a whole body, nothing new, or an error that says whether to try again.

Nothing of an answer is used before all of it is there. Messages name the status and a piece of what the server said,
without the query (it may hold keys) and without the secrets that were sent, should the server echo them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from dash_app.domain.errors import DashError, Permanent, TooLarge, Transient, UnsupportedEncoding
from dash_app.pipelines.sources.encodings import decode_body

#: The longest that a server's Retry-After is believed, in seconds.
MAX_RETRY_AFTER = 86_400.0

_PIECE = 200
_AGAIN = frozenset({408, 425, 429})


class HttpPollError(DashError):
    """The poll failed."""

    #: The status that the server answered; None where there was no answer.
    answer: int | None = None


class HttpPollTransient(HttpPollError, Transient):
    """The poll failed, and the next one may not."""


class HttpPollPermanent(HttpPollError, Permanent):
    """The poll failed, and will until somebody changes something."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer. `body` has its Content-Encoding undone and is None where nothing changed (304)."""

    url: httpx.URL
    status: int
    headers: httpx.Headers
    body: bytes | None


def fetch(
    client: httpx.Client,
    url: httpx.URL,
    headers: Mapping[str, str],
    *,
    timeout: float,
    limit: int,
    now: datetime,
    secrets: Iterable[str] = (),
) -> Fetched:
    """The answer to GET `url`; at most `limit` bytes; `timeout` in seconds. HttpPollTransient or HttpPollPermanent."""
    try:
        request = client.build_request("GET", url, headers=dict(headers), timeout=timeout)
        response = client.send(request, stream=True)
        try:
            if response.status_code == 304 and ("if-none-match" in headers or "if-modified-since" in headers):
                return Fetched(response.url, 304, response.headers, None)
            if not response.is_success:
                raise _refused(response, now, secrets)
            body = decode_body(_read(response, limit), response.headers.get("content-encoding"), limit)
        finally:
            response.close()
    except TooLarge:
        raise HttpPollPermanent(f"GET {shown(url)}: the answer is larger than {limit} bytes (max_bytes)") from None
    except UnsupportedEncoding as error:
        raise HttpPollTransient(f"GET {shown(url)}: {error.message}") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise HttpPollPermanent(f"GET {shown(url)}: the request cannot be made ({type(error).__name__})") from error
    except httpx.TooManyRedirects as error:
        raise HttpPollPermanent(f"GET {shown(url)}: {error}") from error
    except httpx.HTTPError as error:
        raise HttpPollTransient(f"GET {shown(url)}: {_reason(error, timeout)}") from error
    return Fetched(response.url, response.status_code, response.headers, body)


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


def _refused(response: httpx.Response, now: datetime, secrets: Iterable[str]) -> HttpPollError:
    status = response.status_code
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    message = f"GET {shown(response.url)} answered {status} {phrase}".rstrip()
    if piece := _piece(response, secrets):
        message += f": {piece}"
    error: HttpPollError
    if status in _AGAIN or status >= 500:
        error = HttpPollTransient(message, retry_after=retry_after(response.headers.get("retry-after"), now))
    else:
        error = HttpPollPermanent(message)
    error.answer = status
    return error


def _piece(response: httpx.Response, secrets: Iterable[str]) -> str:
    """The beginning of what the server said, on one line; nothing where it is encoded or breaks off."""
    raw = b""
    if response.headers.get("content-encoding", "identity") == "identity":
        try:
            for part in response.iter_raw(chunk_size=1024):
                raw += part
                if len(raw) >= 4096:
                    break
        except httpx.HTTPError:
            pass  # the status is what matters, and it is there
    text = raw[:4096].decode("utf-8", "replace")
    for secret in sorted(_telling(secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= _PIECE else text[:_PIECE] + "…"


def _telling(secrets: Iterable[str]) -> set[str]:
    """The secrets and their words: a server may echo the token of 'Bearer …' alone."""
    return {part for secret in secrets for part in (secret, *secret.split()) if len(part) > 3}


def _reason(error: httpx.HTTPError, timeout: float) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"no whole answer within {timeout:g} s"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the answer broke off or is not HTTP"
    if isinstance(error, httpx.ConnectError):
        return "the server's certificate is not accepted" if "CERTIFICATE" in str(error) else "no connection"
    return "the connection broke"
