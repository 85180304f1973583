"""One HTTP request of a sink, and what its answer means. For every kind that speaks HTTP itself.

Of the answer a piece is read and the rest left unread, so that no one can hold a worker with a large or slow one. The
status decides: 2xx is success; 410 means that nothing will be taken any more; everything else may be mended on the
other side, and is tried again. Redirects are not followed: a body that was signed for one address is not handed on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

import httpx

from dash_app.domain.errors import Permanent, Transient
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.reach.urls import without_query
from dash_app.pipelines.sinks.base import Answer, Gone
from dash_app.pipelines.sources.fetching import retry_after

#: What is read of an answer, in bytes and (after its status is known) in seconds; what is shown of it and of a request.
READ_BYTES = 64 << 10
READ_SECONDS = 2.0
SHOWN = 2000


def post(
    reach: Reach,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    content: bytes,
    timeout: float,
    hidden: frozenset[str] = frozenset(),
    shown_url: str = "",
) -> Answer:
    """One request with its answer; raises Transient, Permanent or Gone, each with what went and came as `answer`.

    `hidden`: names of headers (lower case) whose values are not shown. `shown_url`: stands for a URL that is a secret
    itself.
    """
    where = shown_url or without_query(url)
    request = _request(method, where, headers, content, hidden)
    try:
        with reach.client(timeout) as client:
            made = client.build_request(method, url, headers=dict(headers), content=content, timeout=timeout)
            response = client.send(made, stream=True, follow_redirects=False)
            try:
                piece = _piece(response)
            finally:
                response.close()
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise Permanent(
            f"{where}: the request cannot be made ({type(error).__name__})", answer=Answer(0, request, "")
        ) from error
    except httpx.HTTPError as error:
        raise Transient(f"{where}: {_reason(error, timeout)}", answer=Answer(0, request, "")) from error
    answer = Answer(response.status_code, request, _response(response, piece))
    if response.is_success:
        return answer
    said = f"{where} answered {response.status_code} {_phrase(response.status_code)}".rstrip()
    if response.status_code == HTTPStatus.GONE:
        raise Gone(said, answer=answer)
    asked = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
    raise Transient(said, retry_after=asked, answer=answer)


def _piece(response: httpx.Response) -> bytes:
    """The beginning of the body, as it came. Read to the end where it is short, so that the connection can be kept."""
    pieces: list[bytes] = []
    size, until = 0, time.monotonic() + READ_SECONDS
    try:
        for piece in response.iter_raw():
            pieces.append(piece)
            size += len(piece)
            if size >= READ_BYTES or time.monotonic() > until:
                break
    except httpx.HTTPError:
        # The status has been said, and it is what counts.
        pass
    return b"".join(pieces)[:READ_BYTES]


def _request(method: str, url: str, headers: Mapping[str, str], content: bytes, hidden: frozenset[str]) -> str:
    lines = [f"{name}: {'•••' if name.lower() in hidden else value}" for name, value in headers.items()]
    return "\n".join([f"{method} {url}", *lines, "", _text(content)])


def _response(response: httpx.Response, piece: bytes) -> str:
    names = ("content-type", "retry-after", "location", "server")
    lines = [f"{name}: {response.headers[name][:300]}" for name in names if name in response.headers]
    first = f"{response.status_code} {_phrase(response.status_code)}".rstrip()
    if response.headers.get("content-encoding", "identity") != "identity":
        return "\n".join([first, *lines, "", f"({len(piece):,} bytes, {response.headers['content-encoding'][:40]})"])
    return "\n".join([first, *lines, "", _text(piece)])


def _text(content: bytes) -> str:
    text = content[: SHOWN + 4].decode("utf-8", "replace")
    return text if len(content) <= SHOWN else f"{text[:SHOWN]}… ({len(content):,} bytes)"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _reason(error: httpx.HTTPError, timeout: float) -> str:
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return f"no connection within {timeout:g} s"
    if isinstance(error, httpx.TimeoutException):
        return f"no whole answer within {timeout:g} s"
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({error})" if str(error) == "the host's name cannot be resolved" else "no connection"
    return "the connection broke before there was an answer"
