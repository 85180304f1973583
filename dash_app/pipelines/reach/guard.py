"""The client with which sources and sinks reach out, and the addresses it refuses to reach.

A URL that a user writes must not become a way into the network that Dash runs in. So the check sits where it cannot be
talked around: at the moment of connecting, on the address itself. The name is resolved once, every address it has is
checked, and the connection goes to a checked address, so that neither `http://0x7f.1/` nor a name that resolves
differently the second time gets through. TLS still verifies the certificate against the name. Redirects pass
through the same door. The errors name the host that was asked for and nothing that was found out about the network.
"""

from __future__ import annotations

import http.cookiejar
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, cast

import httpcore
import httpx

from dash_app.domain.errors import Permanent
from dash_app.pipelines.reach.addresses import Network, is_allowed, is_own
from dash_app.pipelines.reach.attempts import AttemptStream, current

Resolver = Callable[[str, int], list[str]]

MAX_REDIRECTS = 5

#: Headers that say nothing of who asks, and so may follow a redirect to another host.
_HARMLESS = frozenset({"accept", "accept-encoding", "accept-language", "user-agent", "host", "connection"})


class AddressNotAllowed(Permanent):
    """The address is not allowed."""

    title = "Address not allowed"


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host as the system finds them, in its order; OSError where there are none."""
    # The system's resolver also reads '2130706433', '0x7f.1' and '0177.0.0.1': what it makes of them is checked.
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class Gate:
    """Decides which addresses may be reached. The defaults let the public internet through and nothing else."""

    networks: tuple[Network, ...] = ()
    #: (host, port) pairs, as they are named, that are reached without a check: the demo's own server.
    allow: frozenset[tuple[str, int]] = frozenset()
    #: This program's ports, refused on this machine's addresses even where the network is allowed.
    own_ports: frozenset[int] = frozenset()
    resolver: Resolver = resolve

    @classmethod
    def of(
        cls,
        networks: Iterable[Network | str],
        allow: frozenset[tuple[str, int]],
        own_ports: frozenset[int],
        resolver: Resolver,
    ) -> Gate:
        return cls(tuple(ip_network(network) for network in networks), allow, own_ports, resolver)

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be reached, at least one. AddressNotAllowed where there are none, OSError
        where the name cannot be resolved."""
        if not 0 < port < 65536:
            raise AddressNotAllowed(f"address not allowed: {host}")
        try:
            found = self.resolver(host, port)
        except UnicodeError as error:
            raise OSError("not a name") from error
        checked = [address for address in found if self._may(host, port, address)]
        if not checked:
            raise AddressNotAllowed(f"address not allowed: {host}")
        return checked

    def _may(self, host: str, port: int, text: str) -> bool:
        if (host, port) in self.allow:
            return True
        try:
            address = ip_address(text)
        except ValueError:
            return False
        if port in self.own_ports and is_own(address):
            return False
        return is_allowed(address, self.networks)


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only; everything above it (pool, TLS) knows nothing but the host's name."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            checked = self._gate.addresses(host, port)
        except OSError as error:
            raise httpcore.ConnectError("the host's name cannot be resolved") from error
        failure: Exception | None = None
        attempt = current()
        for address in checked:
            try:
                if attempt is not None:
                    attempt.check()
                stream = self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
                return TimedStream(stream)
            except TimeoutError as error:
                raise httpcore.ConnectTimeout("no connection in time") from error
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        if isinstance(failure, httpcore.ConnectTimeout):
            raise httpcore.ConnectTimeout("no connection in time") from failure
        raise httpcore.ConnectError("no connection") from failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        raise AddressNotAllowed("address not allowed: a socket file")


class TimedStream(AttemptStream):
    """A connection on which the read timeout counts from the end of the request, not from the last byte that came.

    A server that sends one byte every few seconds would otherwise hold a worker for as long as it likes.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._asked = time.monotonic()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if timeout is None:
            return self._stream.read(max_bytes, None)
        left = timeout - (time.monotonic() - self._asked)
        if left <= 0:
            raise httpcore.ReadTimeout("no whole answer in time")
        return self._stream.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.belongs()
        self._stream.write(buffer, timeout)
        self._asked = time.monotonic()

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            with self.shaking_hands():
                return TimedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no connection in time") from error

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class GuardedTransport(httpx.BaseTransport):
    """httpx over a pool that connects through a `GuardedBackend`.

    Built on httpcore's public parts instead of patching httpx's own transport: should either change, this fails and
    does not quietly fall back to connecting unchecked.
    """

    def __init__(self, backend: GuardedBackend, tls: ssl.SSLContext, *, most: int = 20, kept: int = 5) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls,
            max_connections=most,
            max_keepalive_connections=kept,
            keepalive_expiry=15,
            network_backend=backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with as_httpx(request):
            answer = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=cast(Iterable[bytes], request.stream),
                    extensions={k: v for k, v in request.extensions.items() if k == "timeout"},
                )
            )
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Stream(request, answer), extensions=answer.extensions
        )

    def close(self) -> None:
        self._pool.close()


class GuardedClient(httpx.Client):
    """A client that follows up to five redirects, each through the same check, and takes no secrets elsewhere.

    On another host only harmless headers go along. From https to http it does not go at all. Bodies of redirects
    are not read. Cookies are not kept, because one client serves many pipelines.
    """

    def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: Any = httpx.USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """The answer after redirects; `follow_redirects=False` gives the redirect itself."""
        for _ in range(MAX_REDIRECTS + 1):
            response = super().send(request, stream=True, auth=auth, follow_redirects=False)
            following = response.next_request
            if following is None or follow_redirects is False:
                if not stream:
                    try:
                        response.read()
                    finally:
                        response.close()
                return response
            response.close()
            request = redirected(request, following)
        raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects", request=request)


def guarded_client(
    allowed_networks: Iterable[Network | str] = (),
    *,
    allow: frozenset[tuple[str, int]] = frozenset(),
    own_ports: frozenset[int] = frozenset(),
    resolver: Resolver = resolve,
    tls: ssl.SSLContext | None = None,
    timeout: float = 30,
    gate: Gate | None = None,
    transport: httpx.BaseTransport | None = None,
) -> httpx.Client:
    """A client that reaches the public internet and the allowed networks, and nothing else.

    `gate` stands for the first four arguments. `allow` holds (host, port) pairs, as they stand in the URL, that are
    reached without a check: the demo's own server on the loopback. `own_ports` are this program's ports, refused on
    this machine's addresses even where the network is allowed. `tls` replaces the usual certificate authorities,
    `resolver` the system's. No proxy, netrc or certificate is taken from the environment. `timeout` is in seconds, for
    connecting and again for the whole answer. `transport`: a guarded one to send through, whose connections outlive the
    client, instead of a new one.
    Refusals are AddressNotAllowed; close the client after use.
    """
    if transport is None:
        backend = GuardedBackend(gate or Gate.of(allowed_networks, allow, own_ports, resolver))
        transport = GuardedTransport(backend, tls or httpx.create_ssl_context(trust_env=False))
    cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return GuardedClient(
        transport=transport,
        trust_env=False,
        cookies=cookies,
        timeout=timeout,
        headers={"user-agent": "dash-app"},
    )


def redirected(request: httpx.Request, following: httpx.Request) -> httpx.Request:
    """The request that follows a redirect, without what must not go there."""
    before, after = request.url, following.url
    if after.scheme not in ("http", "https") or not after.host:
        raise AddressNotAllowed(f"address not allowed: a redirect from {before.host} to something else than http")
    if before.scheme == "https" and after.scheme == "http":
        raise AddressNotAllowed(f"address not allowed: a redirect from https to http at {before.host}")
    elsewhere = (before.host, _port(before)) != (after.host, _port(after))
    upgraded = before.host == after.host and before.scheme == "http" and after.scheme == "https"
    if elsewhere and not upgraded:
        if following.method not in ("GET", "HEAD"):
            raise AddressNotAllowed(f"address not allowed: a redirect of a body from {before.host} to another host")
        for name in list(following.headers):
            if name.lower() not in _HARMLESS:
                del following.headers[name]
    return following


def _port(url: httpx.URL) -> int | None:
    return url.port or {"http": 80, "https": 443}.get(url.scheme)


@contextmanager
def as_httpx(request: httpx.Request) -> Iterator[None]:
    """Lets httpcore's errors pass as httpx's, which have the same names."""
    try:
        yield
    except Exception as error:
        for base in type(error).__mro__ if type(error).__module__.startswith("httpcore") else ():
            made = getattr(httpx, base.__name__, None)
            if isinstance(made, type) and issubclass(made, httpx.RequestError):
                raise made(str(error), request=request) from error
        raise


class _Stream(httpx.SyncByteStream):
    def __init__(self, request: httpx.Request, answer: httpcore.Response) -> None:
        self._request = request
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        with as_httpx(self._request):
            yield from self._answer.iter_stream()

    def close(self) -> None:
        with as_httpx(self._request):
            self._answer.close()
