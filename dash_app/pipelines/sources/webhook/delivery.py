"""Delivery ids for schemes that name none of their own: a header, or a place in the body, of the user's choice.

Without a choice nothing is recognised as sent again, because guessing would drop payloads that merely look alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import param

from dash_app.pipelines.sources import selecting
from dash_app.pipelines.sources.webhook.base import HEADER_NAME, SignatureScheme, shown_delivery
from dash_app.storage.payloads import DELIVERY_WINDOW

#: How long deliveries are remembered, in hours: the longest window there is.
MOST_HOURS = int(DELIVERY_WINDOW.total_seconds() // 3600)


class ChosenDelivery(SignatureScheme):
    """Base of the schemes whose delivery id is the user's choice; the header is asked first, then the path."""

    delivery_header = param.String(
        default="", doc="The header with the sender's id of a delivery, by which a resend is recognised. Empty: none."
    )
    delivery_path = param.String(default="", doc="The path to that id in a JSON body, such as $.event.id. Empty: none.")
    delivery_window_hours = param.Integer(
        default=MOST_HOURS,
        bounds=(1, MOST_HOURS),
        doc="For so many hours the same id is a resend; after them it is a new delivery.",
    )

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if self.delivery_header and not HEADER_NAME.fullmatch(self.delivery_header):
            found.append(("delivery_header", f"'{self.delivery_header[:60]}' is not a header's name"))
        if self.delivery_path and (wrong := selecting.problem(self.delivery_path)):
            found.append(("delivery_path", wrong))
        return found

    def delivery_id(self, headers: Mapping[str, str], body: bytes) -> str | None:
        if self.delivery_header and (found := headers.get(self.delivery_header.lower())):
            return shown_delivery(found)
        if self.delivery_path:
            return delivery_at(body, self.delivery_path)
        return None

    def delivery_window(self) -> int | None:
        return None if self.delivery_window_hours == MOST_HOURS else self.delivery_window_hours * 3600

    def chosen_header(self, delivery: str) -> dict[str, str]:
        """What a sender says of a delivery beside its signature."""
        return {self.delivery_header: delivery} if self.delivery_header else {}

    def shell_header(self) -> tuple[tuple[str, str], ...]:
        return ((self.delivery_header, "$(openssl rand -hex 16)"),) if self.delivery_header else ()

    def code_header(self) -> tuple[tuple[str, str], ...]:
        return ((self.delivery_header, "secrets.token_hex(16)"),) if self.delivery_header else ()

    def node_header(self) -> tuple[tuple[str, str], ...]:
        return ((self.delivery_header, "randomUUID()"),) if self.delivery_header else ()


def delivery_at(body: bytes, path: str) -> str | None:
    """The delivery id at a path of a JSON body, as it is kept; None where there is none."""
    return shown_delivery(_text_at(body, path))


def _text_at(body: bytes, path: str) -> str:
    """The text or number at the path, digit for digit as it was written; empty where there is none."""
    try:
        # Numbers stay text: as floats, two ids above 2^53 could become one, and a payload would be lost as a duplicate.
        found: Any = selecting.first(json.loads(body, parse_int=str, parse_float=str), selecting.parse(path))
    except (ValueError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""
