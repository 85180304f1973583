"""Slack's requests: `X-Slack-Signature`, an HMAC-SHA256 of version, time and body.

Before the Events API sends anything it asks whether the address is ours (`url_verification`), in a signed request, and
wants its challenge back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import param

from dash_app.domain.errors import BadSignature
from dash_app.pipelines.sources.webhook.base import WINDOW, Snippet, check, check_time, key_of, mac, wanted, wanted_time
from dash_app.pipelines.sources.webhook.delivery import ChosenDelivery

_SIGNATURE = re.compile(r"v0=([0-9a-fA-F]{64})")
_MAX_CHALLENGE = 1000


class Slack(ChosenDelivery):
    kind = "slack"
    title = "Slack"
    summary = "Slack: events, commands and interactions, signed with the app's signing secret."
    window = WINDOW
    secret_from = "Slack shows it with the app, under Basic Information, Signing Secret."

    delivery_path = param.String(
        default="$.event_id", doc="The path to the id of a delivery in a JSON body. Empty: none is looked for."
    )

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        wanted(headers, "x-slack-request-timestamp")
        given = _SIGNATURE.fullmatch(wanted(headers, "x-slack-signature"))
        if given is None:
            raise BadSignature("header x-slack-signature is not v0= and 64 hexadecimal digits")
        timestamp = wanted_time(headers, "x-slack-request-timestamp")
        check_time(timestamp, now, WINDOW)
        message = _message(timestamp, body)
        check([bytes.fromhex(given[1])], [mac(key_of(secret), message) for secret in secrets if secret])

    def challenge(self, body: bytes) -> str | None:
        if b'"url_verification"' not in body or len(body) > 10_000:
            return None
        try:
            asked: Any = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(asked, dict) or asked.get("type") != "url_verification":
            return None
        text = asked.get("challenge")
        fits = isinstance(text, str) and 0 < len(text) <= _MAX_CHALLENGE and text.isascii() and text.isprintable()
        return text if fits else None

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        timestamp = str(int(now))
        signature = mac(key_of(secret), _message(timestamp, body)).hex()
        made = {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={signature}"}
        return made | self.chosen_header(delivery)

    def sample(self, delivery: str) -> str:
        event = {"type": "app_mention", "user": "U2147483697", "text": "Hello", "ts": "1355517523.000005"}
        return json.dumps({"type": "event_callback", "event_id": f"Ev{delivery}", "event": event})

    def shell_snippet(self) -> Snippet:
        return Snippet(
            (
                'timestamp="$(date +%s)"',
                'signature="$(printf %s "v0:$timestamp:$body" |',
                '  openssl dgst -sha256 -hmac "$secret" | sed "s/^.* //")"',
            ),
            (
                ("X-Slack-Request-Timestamp", "$timestamp"),
                ("X-Slack-Signature", "v0=$signature"),
                *self.shell_header(),
            ),
        )

    def code_snippet(self) -> Snippet:
        return Snippet(
            (
                "at = str(int(time.time()))",
                "signature = hmac.new(secret.encode(), f'v0:{at}:'.encode() + body, hashlib.sha256).hexdigest()",
            ),
            (("X-Slack-Request-Timestamp", "at"), ("X-Slack-Signature", "'v0=' + signature"), *self.code_header()),
        )

    def node_snippet(self) -> Snippet:
        return Snippet(
            (
                "const at = String(Math.floor(Date.now() / 1000));",
                'const signature = createHmac("sha256", secret).update(`v0:${at}:${body}`).digest("hex");',
            ),
            (("X-Slack-Request-Timestamp", "at"), ("X-Slack-Signature", '"v0=" + signature'), *self.node_header()),
        )


def _message(timestamp: str, body: bytes) -> bytes:
    return f"v0:{timestamp}:".encode() + body
