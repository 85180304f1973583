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


class ChosenDelivery(SignatureScheme):
    """Base of the schemes whose delivery id is the user's choice; the header is asked first, then the path."""

    delivery_header = param.String(
        default="", doc="The header with the sender's id of a delivery, by which a resend is recognised. Empty: none."
    )
    delivery_path = param.String(default="", doc="The path to that id in a JSON body, such as $.event.id. Empty: none.")

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
            return shown_delivery(_text_at(body, self.delivery_path))
        return None


def _text_at(body: bytes, path: str) -> str:
    """The text or number at the path, digit for digit as it was written; empty where there is none."""
    try:
        # Numbers stay text: as floats, two ids above 2^53 could become one, and a payload would be lost as a duplicate.
        found: Any = selecting.first(json.loads(body, parse_int=str, parse_float=str), selecting.parse(path))
    except (ValueError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""
