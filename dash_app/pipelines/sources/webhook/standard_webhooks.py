"""Standard Webhooks (standardwebhooks.com), the default scheme.

The signature covers `id.timestamp.body`, so neither the id nor the time can be changed, and a captured delivery is
worthless after five minutes and recognised as a duplicate before. The header may hold several signatures, which is how
a sender rotates its secret.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterator, Mapping, Sequence

from dash_app.domain.errors import BadSignature, Invalid
from dash_app.pipelines.sources.webhook.base import (
    WINDOW,
    SignatureScheme,
    Snippet,
    check,
    check_time,
    key_of,
    mac,
    shown_delivery,
    wanted,
    wanted_time,
)

PREFIX = "whsec_"


class StandardWebhooks(SignatureScheme):
    kind = "standard_webhooks"
    title = "Standard Webhooks"
    summary = "Standard Webhooks: id, timestamp and body are signed; deliveries are recognised when sent again."
    window = WINDOW

    def generate_secret(self) -> str:
        return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()

    def check_secret(self, secret: str) -> None:
        super().check_secret(secret)
        if not _key(secret):
            raise Invalid(problems=[("secret", f"begins with {PREFIX}, but what follows is not base64")])

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        delivery = wanted(headers, "webhook-id")
        wanted(headers, "webhook-timestamp")
        given = list(_signatures(wanted(headers, "webhook-signature")))
        if not given:
            raise BadSignature("header webhook-signature holds no v1 signature")
        timestamp = wanted_time(headers, "webhook-timestamp")
        check_time(timestamp, now, WINDOW)
        message = _message(delivery, timestamp, body)
        check(given, [mac(key, message) for key in map(_key, secrets) if key])

    def delivery_id(self, headers: Mapping[str, str], body: bytes) -> str | None:
        return shown_delivery(headers.get("webhook-id", ""))

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        timestamp = str(int(now))
        signature = mac(_key(secret), _message(delivery, timestamp, body))
        return {
            "webhook-id": delivery,
            "webhook-timestamp": timestamp,
            "webhook-signature": "v1," + base64.b64encode(signature).decode(),
        }

    def shell_snippet(self) -> Snippet:
        return Snippet(
            (
                'id="msg_$(openssl rand -hex 12)"',
                'timestamp="$(date +%s)"',
                'hex() { od -An -v -tx1 | tr -d " \\n"; }',
                'case "$secret" in',
                '  whsec_*) key="$(printf %s "${secret#whsec_}" | openssl base64 -d -A | hex)" ;;',
                '  *) key="$(printf %s "$secret" | hex)" ;;',
                "esac",
                'signature="$(printf %s "$id.$timestamp.$body" |',
                '  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)"',
            ),
            (
                ("webhook-id", "$id"),
                ("webhook-timestamp", "$timestamp"),
                ("webhook-signature", "v1,$signature"),
            ),
        )

    def code_snippet(self) -> Snippet:
        return Snippet(
            (
                "id, at = 'msg_' + secrets.token_hex(12), str(int(time.time()))",
                "key = base64.b64decode(secret[6:] + '==') if secret.startswith('whsec_') else secret.encode()",
                "signature = base64.b64encode(hmac.digest(key, f'{id}.{at}.'.encode() + body, 'sha256')).decode()",
            ),
            (("webhook-id", "id"), ("webhook-timestamp", "at"), ("webhook-signature", "'v1,' + signature")),
        )

    def node_snippet(self) -> Snippet:
        return Snippet(
            (
                "const id = `msg_${randomUUID()}`, at = String(Math.floor(Date.now() / 1000));",
                'const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : secret;',
                'const signature = createHmac("sha256", key).update(`${id}.${at}.${body}`).digest("base64");',
            ),
            (("webhook-id", "id"), ("webhook-timestamp", "at"), ("webhook-signature", '"v1," + signature')),
        )


def _message(delivery: str, timestamp: str, body: bytes) -> bytes:
    return b".".join([delivery.encode(), timestamp.encode(), body])


def _key(secret: str) -> bytes:
    """The bytes that a secret stands for; nothing where `whsec_` is followed by something else than base64."""
    if not secret.startswith(PREFIX):
        return key_of(secret)
    text = secret.removeprefix(PREFIX).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _signatures(header: str) -> Iterator[bytes]:
    """The v1 signatures of the header as bytes; other versions, and what is not base64, are passed over."""
    for part in header.split():
        version, _, text = part.partition(",")
        if version == "v1" and text:
            try:
                yield base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                continue
