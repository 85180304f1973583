"""No signature: whoever knows the address can send. For trials and closed networks, and only when chosen by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dash_app.pipelines.sources.webhook.base import Snippet
from dash_app.pipelines.sources.webhook.delivery import ChosenDelivery


class Unsigned(ChosenDelivery):
    kind = "none"
    title = "None: nothing is signed"
    summary = "No signature: anybody who knows the address can send."
    signed = False
    covers_body = False

    def generate_secret(self) -> str:
        return ""

    def check_secret(self, secret: str) -> None:
        """Nothing: no secret is used."""

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        """Nothing, whatever was sent."""

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        return self.chosen_header(delivery)

    def shell_snippet(self) -> Snippet:
        return Snippet((), self.shell_header())

    def code_snippet(self) -> Snippet:
        return Snippet((), self.code_header())

    def node_snippet(self) -> Snippet:
        return Snippet((), self.node_header())
