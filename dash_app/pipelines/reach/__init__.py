"""Reaching out: the one way from Dash to a host that somebody named.

Sources, sinks and their test buttons connect through here and nowhere else, so that no address of the network that
Dash runs in can be reached by naming it. What speaks HTTP takes `client()`; what has a protocol of its own (SMTP, MQTT,
WebSocket) takes a connected socket from `connect`; what insists on connecting itself (libpq, boto3) is given an address
from `addresses`, and the name for its certificate.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field

import httpx

from dash_app.domain.errors import Transient
from dash_app.pipelines.reach.addresses import Network
from dash_app.pipelines.reach.attempts import current
from dash_app.pipelines.reach.guard import AddressNotAllowed, Gate, Resolver, guarded_client, resolve

__all__ = ["AddressNotAllowed", "Gate", "Reach", "Resolver", "guarded_client", "resolve"]

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Reach:
    """What may be reached, and the ways there. Cheap to copy; holds no connection."""

    gate: Gate = field(default_factory=Gate)
    #: Replaces the usual certificate authorities.
    tls: ssl.SSLContext | None = None
    #: The installation's mail server (`smtp://…`, `smtps://…`), for sinks that name none.
    mail: str | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        allowed_networks: Iterable[Network | str] = (),
        *,
        allow: frozenset[tuple[str, int]] = frozenset(),
        own_ports: frozenset[int] = frozenset(),
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
        mail: str | None = None,
    ) -> Reach:
        """Reaches the public internet and the allowed networks; the arguments are those of `guarded_client`."""
        return cls(Gate.of(allowed_networks, allow, own_ports, resolver), tls, mail)

    def client(self, timeout: float = TIMEOUT_SECONDS) -> httpx.Client:
        """A blocking HTTP client, to be closed after use."""
        return guarded_client(gate=self.gate, tls=self.tls, timeout=timeout)

    def addresses(self, host: str, port: int) -> list[str]:
        """The host's addresses that may be reached, at least one; they are to be connected to as they are.

        Raises AddressNotAllowed where none may be reached, Transient where the name cannot be resolved.
        """
        try:
            return self.gate.addresses(host, port)
        except OSError as error:
            raise Transient(f"the name {host} cannot be resolved") from error

    def connect(self, host: str, port: int, timeout: float = TIMEOUT_SECONDS) -> socket.socket:
        """A TCP connection to the host, on which `timeout` (seconds) stands for each read and write.

        TLS is the caller's: `tls_context().wrap_socket(sock, server_hostname=host)`. Raises AddressNotAllowed, or
        Transient where no address answers.
        """
        attempt = current()
        for address in self.addresses(host, port):
            try:
                if attempt is not None:
                    attempt.check()
                made = socket.create_connection((address, port), timeout)
                if attempt is not None:
                    attempt.hold(made)
                return made
            except OSError:
                continue
        raise Transient(f"no connection to {host} on port {port}")

    def tls_context(self) -> ssl.SSLContext:
        """What certificates are verified with."""
        return self.tls or httpx.create_ssl_context(trust_env=False)
