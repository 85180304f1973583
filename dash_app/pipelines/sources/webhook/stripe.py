"""Stripe's webhooks: `Stripe-Signature`, with the time and one or more HMAC-SHA256 of `time.body`.

Stripe makes the secret (`whsec_…`), and all of its text is the key. While it is being rolled, the header holds a
signature for each. The id of a delivery is that of the event in the body, which is signed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from dash_app.domain.errors import BadSignature
from dash_app.pipelines.sources.webhook.base import (
    WINDOW,
    SignatureScheme,
    Snippet,
    check,
    check_time,
    key_of,
    mac,
    wanted,
)
from dash_app.pipelines.sources.webhook.delivery import delivery_at

_HEADER = "stripe-signature"
_TIME = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")


class Stripe(SignatureScheme):
    kind = "stripe"
    title = "Stripe"
    summary = "Stripe: time and HMAC-SHA256 in Stripe-Signature; events are recognised when sent again."
    window = WINDOW
    secret_from = "Stripe shows it with the endpoint, under Signing secret."

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        timestamp, signatures = _parts(wanted(headers, _HEADER))
        check_time(timestamp, now, WINDOW)
        message = _message(timestamp, body)
        check(signatures, [mac(key_of(secret), message) for secret in secrets if secret])

    def delivery_id(self, headers: Mapping[str, str], body: bytes) -> str | None:
        return delivery_at(body, "$.id")

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        timestamp = str(int(now))
        signature = mac(key_of(secret), _message(timestamp, body)).hex()
        return {"Stripe-Signature": f"t={timestamp},v1={signature}"}

    def sample(self, delivery: str) -> str:
        event = {"id": f"evt_{delivery}", "object": "event", "type": "charge.succeeded"}
        charge = {"object": "charge", "amount": 2150, "currency": "eur"}
        return json.dumps({**event, "data": {"object": charge}})

    def shell_snippet(self) -> Snippet:
        return Snippet(
            (
                'timestamp="$(date +%s)"',
                'signature="$(printf %s "$timestamp.$body" | openssl dgst -sha256 -hmac "$secret" | sed "s/^.* //")"',
            ),
            (("Stripe-Signature", "t=$timestamp,v1=$signature"),),
        )

    def code_snippet(self) -> Snippet:
        return Snippet(
            (
                "at = str(int(time.time()))",
                "signature = hmac.new(secret.encode(), f'{at}.'.encode() + body, hashlib.sha256).hexdigest()",
            ),
            (("Stripe-Signature", "f't={at},v1={signature}'"),),
        )

    def node_snippet(self) -> Snippet:
        return Snippet(
            (
                "const at = Math.floor(Date.now() / 1000);",
                'const signature = createHmac("sha256", secret).update(`${at}.${body}`).digest("hex");',
            ),
            (("Stripe-Signature", "`t=${at},v1=${signature}`"),),
        )


def _message(timestamp: str, body: bytes) -> bytes:
    return timestamp.encode() + b"." + body


def _parts(header: str) -> tuple[str, list[bytes]]:
    """The time and the v1 signatures; those of other versions are passed over."""
    times: list[str] = []
    signatures: list[bytes] = []
    for part in header.split(","):
        name, equals, value = part.strip().partition("=")
        if not (name and equals and value):
            raise BadSignature(f"header {_HEADER} is not a list of name=value")
        if name == "t":
            times.append(value)
        elif name == "v1":
            if not _SIGNATURE.fullmatch(value):
                raise BadSignature(f"header {_HEADER} holds a v1 that is not 64 hexadecimal digits")
            signatures.append(bytes.fromhex(value))
    if len(times) != 1 or not _TIME.fullmatch(times[0]):
        raise BadSignature(f"header {_HEADER} does not hold one t with a number of seconds")
    if not signatures:
        raise BadSignature(f"header {_HEADER} holds no v1 signature")
    return times[0], signatures
