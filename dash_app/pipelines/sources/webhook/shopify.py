"""Shopify's webhooks: `X-Shopify-Hmac-Sha256`, the base64 of the HMAC-SHA256 of the body under the app's client secret.

Shopify signs the body alone: neither the id of a delivery nor the topic in `X-Shopify-Topic` are covered.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence

import param

from dash_app.domain.errors import BadSignature
from dash_app.pipelines.sources.webhook.base import Snippet, check, key_of, mac, wanted
from dash_app.pipelines.sources.webhook.delivery import ChosenDelivery

_HEADER = "x-shopify-hmac-sha256"


class Shopify(ChosenDelivery):
    kind = "shopify"
    title = "Shopify"
    summary = "Shopify: HMAC-SHA256 of the body as base64 in X-Shopify-Hmac-Sha256."
    secret_from = "Shopify shows it as the app's client secret, or below the webhooks of the shop's notifications."

    delivery_header = param.String(
        default="X-Shopify-Webhook-Id",
        doc="The header with the sender's id of a delivery, by which a resend is recognised. Empty: none.",
    )

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        given = wanted(headers, _HEADER)
        try:
            signature = base64.b64decode(given, validate=True)
        except (ValueError, binascii.Error):
            raise BadSignature(f"header {_HEADER} is not base64") from None
        check([signature], [mac(key_of(secret), body) for secret in secrets if secret])

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        text = base64.b64encode(mac(key_of(secret), body)).decode()
        return {"X-Shopify-Hmac-Sha256": text, "X-Shopify-Topic": "orders/create"} | self.chosen_header(delivery)

    def sample(self, delivery: str) -> str:
        return json.dumps({"id": 820982911946154508, "total_price": "199.00", "currency": "EUR"})

    def shell_snippet(self) -> Snippet:
        sign = 'signature="$(printf %s "$body" | openssl dgst -sha256 -hmac "$secret" -binary | openssl base64 -A)"'
        named = (("X-Shopify-Hmac-Sha256", "$signature"), ("X-Shopify-Topic", "orders/create"))
        return Snippet((sign,), (*named, *self.shell_header()))

    def code_snippet(self) -> Snippet:
        sign = "signature = base64.b64encode(hmac.digest(secret.encode(), body, 'sha256')).decode()"
        named = (("X-Shopify-Hmac-Sha256", "signature"), ("X-Shopify-Topic", "'orders/create'"))
        return Snippet((sign,), (*named, *self.code_header()))

    def node_snippet(self) -> Snippet:
        sign = 'const signature = createHmac("sha256", secret).update(body).digest("base64");'
        named = (("X-Shopify-Hmac-Sha256", "signature"), ("X-Shopify-Topic", '"orders/create"'))
        return Snippet((sign,), (*named, *self.node_header()))
