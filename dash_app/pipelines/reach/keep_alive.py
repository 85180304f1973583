"""A way out whose connections are kept: for whoever sends often to the same hosts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import httpx

from dash_app.pipelines.reach import TIMEOUT_SECONDS, Reach
from dash_app.pipelines.reach.guard import GuardedBackend, GuardedTransport, guarded_client


class _Lent(httpx.BaseTransport):
    """The kept transport, which stays open when the client that borrowed it is closed."""

    def __init__(self, kept: GuardedTransport) -> None:
        self._kept = kept

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._kept.handle_request(request)


@dataclass(frozen=True)
class KeptReach(Reach):
    """As the `Reach` it is made of; its HTTP clients share one pool of connections. Close it when done."""

    kept: GuardedTransport = field(kw_only=True, compare=False)

    @classmethod
    def over(cls, reach: Reach, *, most: int, kept: int) -> Self:
        """`most`: connections at a time; `kept`: idle ones, each for some seconds."""
        transport = GuardedTransport(GuardedBackend(reach.gate), reach.tls_context(), most=most, kept=kept)
        return cls(reach.gate, reach.tls, reach.mail, kept=transport)

    def client(self, timeout: float = TIMEOUT_SECONDS) -> httpx.Client:
        return guarded_client(timeout=timeout, transport=_Lent(self.kept))

    def close(self) -> None:
        self.kept.close()
