"""Server-sent events: one HTTP answer that goes on for as long as both sides like.

The server's `id` is where it goes on: it is stored with the events, and sent as Last-Event-ID with the next connection.
A server without ids begins where it likes, and what it sent meanwhile is lost to us; most say so in their
documentation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar

import httpx
import param
import structlog

from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.pipelines.reach.waiting import waiting_client
from dash_app.pipelines.sources.event_stream import Event, EventStream
from dash_app.pipelines.sources.fetching import retry_after
from dash_app.pipelines.sources.streaming import Frame, HttpStream, Link

log = structlog.get_logger(__name__)

_AGAIN = frozenset({408, 425, 429})
#: Answers to a Last-Event-ID that mean it is no longer good.
_EXPIRED = frozenset({400, 404, 410, 412, 416, 422})


class Sse(HttpStream):
    kind = "sse"
    summary = "Server-sent events of a URL; events of a moment are a payload."
    example: ClassVar[Mapping[str, Any]] = {
        "url": "https://stream.example.org/v2/changes",
        "events": ["message"],
        "headers": {"accept-language": "en"},
    }

    events = param.List(default=[], item_type=str, doc="The types of event that are kept; without any, all are.")
    silence_seconds = param.Number(
        default=300,
        bounds=(5, 86_400),
        doc="After so many seconds without a sign, comments included, the connection is made anew.",
    )

    def frames(self, link: Link) -> AsyncIterator[Sequence[Frame]]:
        return self._frames(link)

    async def _frames(self, link: Link) -> AsyncIterator[Sequence[Frame]]:
        where = self.address()
        headers = self.request_headers() | {"accept": "text/event-stream", "cache-control": "no-store"}
        headers["accept-encoding"] = "identity"
        last = link.resume if isinstance(link.resume, str) else ""
        if last:
            # Ids are UTF-8, and so they are sent, as browsers do.
            headers["last-event-id"] = last.encode().decode("latin-1")
        timeout = httpx.Timeout(20, read=self.silence_seconds)
        stream = EventStream(self.max_bytes, last)
        async with waiting_client(link.reach.gate, link.reach.tls_context(), timeout) as client:
            try:
                answer = await client.open(_request(client, self.url, headers))
                if last and answer.status_code in _EXPIRED:
                    # The server no longer knows that event: what lies between is lost, what comes from now on is not.
                    log.warning("sse.resume_refused", url=where, status=answer.status_code)
                    await answer.aclose()
                    del headers["last-event-id"]
                    answer = await client.open(_request(client, self.url, headers))
            except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
                raise Permanent(f"{where}: the request cannot be made ({type(error).__name__})") from error
            except httpx.TooManyRedirects as error:
                raise Permanent(f"{where}: {error}") from error
            except httpx.HTTPError as error:
                raise Transient(f"{where}: {_reason(error, self.silence_seconds)}") from error
            try:
                _check(where, answer)
                link.connected()
                async for piece in answer.aiter_raw():
                    if found := [self._frame(event) for event in stream.feed(piece) if self._wanted(event)]:
                        yield found
            except httpx.HTTPError as error:
                message = f"{where}: {_reason(error, self.silence_seconds)}"
                raise Transient(message, retry_after=stream.retry) from error
            finally:
                await answer.aclose()
        raise Transient(f"{where}: the server ended the stream", retry_after=stream.retry)

    def _wanted(self, event: Event) -> bool:
        return not self.events or event.type in self.events

    def _frame(self, event: Event) -> Frame:
        refused = f"an event is larger than {self.max_bytes} bytes (max_bytes)" if event.too_large else ""
        return Frame(
            event.data.encode(),
            about={"event": event.type},
            id=event.id,
            resume=event.id or None,
            refused=refused,
        )


def _request(client: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> httpx.Request:
    return client.build_request("GET", url, headers=[(k.encode(), v.encode("latin-1")) for k, v in headers.items()])


def _check(where: str, answer: httpx.Response) -> None:
    status = answer.status_code
    if status == 204:
        raise Permanent(f"{where} answered 204: the server asks not to connect again")
    if status != 200:
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        message = f"{where} answered {status} {phrase}".rstrip()
        error: DashError = Permanent(message)
        if status in _AGAIN or status >= 500:
            after = retry_after(answer.headers.get("retry-after"), datetime.now(UTC))
            error = Transient(message, retry_after=after)
        raise error
    media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "text/event-stream":
        raise Permanent(f"{where} answered {media[:60] or 'no content type'}; a stream of events is text/event-stream")
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise Permanent(f"{where} answered with Content-Encoding {coding[:40]}, although identity was asked for")


def _reason(error: httpx.HTTPError, silence: float) -> str:
    if isinstance(error, httpx.ReadTimeout):
        return f"nothing came for {silence:g} s"
    if isinstance(error, httpx.TimeoutException):
        return "no connection in time"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the stream broke off or is not HTTP"
    if isinstance(error, httpx.ConnectError):
        return "the server's certificate is not accepted" if "CERTIFICATE" in str(error) else "no connection"
    return "the connection broke"
