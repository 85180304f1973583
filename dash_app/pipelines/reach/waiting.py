"""The guarded client for answers that take their time: streams that stay open, read in an event loop.

The same gate as `guard`'s: names are resolved once, in a thread, and a connection goes to a checked address alone. What
differs is time: a read may wait for as long as its own timeout says, for a stream has no end that one could wait for.
"""

from __future__ import annotations

import asyncio
import http.cookiejar
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import cast

import httpcore
import httpx

from dash_app.pipelines.reach.guard import MAX_REDIRECTS, AddressNotAllowed, Gate, as_httpx, redirected

#: A peer that is gone without a word is noticed within a minute.
KEEPALIVE: tuple[tuple[int, int, int], ...] = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)


class WaitingBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            checked = await asyncio.to_thread(self._gate.addresses, host, port)
        except OSError as error:
            raise httpcore.ConnectError("the host's name cannot be resolved") from error
        failure: Exception | None = None
        for address in checked:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, KEEPALIVE)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        if isinstance(failure, httpcore.ConnectTimeout):
            raise httpcore.ConnectTimeout("no connection in time") from failure
        raise httpcore.ConnectError("no connection") from failure

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise AddressNotAllowed("address not allowed: a socket file")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class WaitingTransport(httpx.AsyncBaseTransport):
    """httpx over a pool that connects through a `WaitingBackend`."""

    def __init__(self, gate: Gate, tls: ssl.SSLContext) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls, max_connections=4, max_keepalive_connections=0, network_backend=WaitingBackend(gate)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with as_httpx(request):
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=cast(AsyncIterable[bytes], request.stream),
                    extensions={k: v for k, v in request.extensions.items() if k == "timeout"},
                )
            )
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Stream(request, answer), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class WaitingClient(httpx.AsyncClient):
    """Follows up to five redirects, each through the same check, and takes no secrets elsewhere."""

    async def open(self, request: httpx.Request) -> httpx.Response:
        """The answer after redirects, its body not yet read; to be closed with `aclose`."""
        for _ in range(MAX_REDIRECTS + 1):
            response = await self.send(request, stream=True, follow_redirects=False)
            following = response.next_request
            if following is None:
                return response
            await response.aclose()
            request = redirected(request, following)
        raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects", request=request)


def waiting_client(gate: Gate, tls: ssl.SSLContext, timeout: httpx.Timeout) -> WaitingClient:
    """A client for one event loop, to be closed after use. Nothing is taken from the environment, no cookie is kept."""
    return WaitingClient(
        transport=WaitingTransport(gate, tls),
        trust_env=False,
        cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
        timeout=timeout,
        headers={"user-agent": "dash-app"},
    )


class _Stream(httpx.AsyncByteStream):
    def __init__(self, request: httpx.Request, answer: httpcore.Response) -> None:
        self._request = request
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with as_httpx(self._request):
            async for piece in self._answer.aiter_stream():
                yield piece

    async def aclose(self) -> None:
        with as_httpx(self._request):
            await self._answer.aclose()
