"""No signature: whoever knows the address can send. For trials and closed networks, and only when chosen by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dash_app.pipelines.sources.webhook.base import Snippet
from dash_app.pipelines.sources.webhook.delivery import ChosenDelivery


class Unsigned(ChosenDelivery):
    kind = "none"
    summary = "No signature: anybody who knows the address can send."
    signed = False

    def generate_secret(self) -> str:
        return ""

    def check_secret(self, secret: str) -> None:
        """Nothing: no secret is used."""

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        """Nothing, whatever was sent."""

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        return {self.delivery_header: delivery} if self.delivery_header else {}

    def shell_snippet(self) -> Snippet:
        headers = ((self.delivery_header, "$(openssl rand -hex 16)"),) if self.delivery_header else ()
        return Snippet((), headers)

    def code_snippet(self) -> Snippet:
        headers = ((self.delivery_header, "secrets.token_hex(16)"),) if self.delivery_header else ()
        return Snippet((), headers)
