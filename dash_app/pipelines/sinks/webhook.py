"""A signed webhook: each message is posted to a URL, as Standard Webhooks says (standardwebhooks.com).

Three headers go along: `webhook-id`, the same at every attempt, by which a receiver recognises what it has already;
`webhook-timestamp`, of the attempt; and `webhook-signature` over both and the body. While a secret is being changed
there are two signatures, and receivers with either secret accept.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
import param

from dash_app.domain.errors import Invalid, Permanent
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.reach.urls import wrong_url
from dash_app.pipelines.sinks.base import Answer, Message, Sink
from dash_app.pipelines.sinks.posting import post
from dash_app.pipelines.sources.webhook.standard_webhooks import StandardWebhooks

_SCHEME = StandardWebhooks()  # type: ignore[no-untyped-call]
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_MOST_HEADERS = 50
#: Headers that this kind or HTTP itself sets.
_OURS = frozenset(
    (
        *("host", "content-length", "transfer-encoding", "connection", "content-encoding", "te", "upgrade", "trailer"),
        *("webhook-id", "webhook-timestamp", "webhook-signature", "expect", "keep-alive", "proxy-authorization"),
    )
)


class WebhookSink(Sink):
    kind = "webhook"
    summary = "Posts each message as JSON to a URL, signed by Standard Webhooks."
    secrets = frozenset({"secret", "secret_headers"})
    unsent = frozenset({"secret"})
    example: ClassVar[Mapping[str, Any]] = {"url": "https://example.org/hooks/dash", "headers": {"x-source": "dash"}}

    url = param.String(default="", doc="Where to: an http or https URL without a log-in in it.")
    method: Any = param.Selector(default="POST", objects=["POST", "PUT", "PATCH"], doc="How to send.")
    headers = param.Dict(default={}, doc="Headers to send, by name.")
    secret_headers = param.Dict(
        default={}, doc="Headers whose values are kept encrypted and never shown, such as Authorization."
    )
    signed = param.Boolean(
        default=True, doc="Whether messages are signed. Off, the receiver cannot tell who has sent them."
    )
    secret = param.String(
        default="", doc="What messages are signed with: whsec_ and base64, or any text. Left out: one is made."
    )
    body: Any = param.Selector(
        default="message",
        objects=["message", "payload", "text"],
        doc="What is sent: the whole message, its payload alone, or the text that the template made.",
    )
    content_type = param.String(default="text/plain; charset=utf-8", doc="Of the body, where that is the text.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if wrong := wrong_url(self.url, ("https", "http")):
            found.append(("url", wrong))
        for option in ("headers", "secret_headers"):
            found += wrong_headers(option, getattr(self, option))
        twice = {str(name).lower() for name in self.headers} & {str(name).lower() for name in self.secret_headers}
        found += [(f"headers.{name}", "stands in secret_headers as well") for name in sorted(twice)]
        if self.secret:
            try:
                _SCHEME.check_secret(self.secret)
            except Invalid as error:
                found += error.problems
        if self.secret and not self.signed:
            found.append(("signed", "is off, and yet there is a secret"))
        if not self.content_type.isascii() or not self.content_type.isprintable() or "/" not in self.content_type:
            found.append(("content_type", "is no content type, such as text/plain"))
        return found

    def generate_secrets(self) -> dict[str, str]:
        return {"secret": _SCHEME.generate_secret()} if self.signed and not self.secret else {}

    def send(self, message: Message, reach: Reach) -> Answer:
        kind, content = self._content(message)
        own = {name.lower(): value for name, value in (self.headers | self.secret_headers).items()}
        headers = {"content-type": kind, **own}
        # The id goes along unsigned too: a receiver must be able to tell what it has already.
        headers |= {"webhook-id": message.id, "webhook-timestamp": str(int(time.time()))}
        if self.signed:
            headers |= self._signature(message.id, content)
        return post(
            reach,
            self.method,
            self.url,
            headers=headers,
            content=content,
            timeout=float(self.timeout_seconds),
            hidden=frozenset(name.lower() for name in self.secret_headers),
        )

    def _signature(self, id: str, content: bytes) -> dict[str, str]:
        secrets = [one for one in (self.secret, self.previous.get("secret", "")) if one]
        if not secrets:
            raise Permanent("there is no secret to sign with; give this sink one, or switch 'signed' off")
        now = time.time()
        made = [_SCHEME.sign(content, one, id, now) for one in secrets]
        return {**made[0], "webhook-signature": " ".join(one["webhook-signature"] for one in made)}

    def _content(self, message: Message) -> tuple[str, bytes]:
        if self.body == "text":
            return self.content_type, message.text.encode("utf-8", "replace")
        if self.body == "payload":
            return "application/json", orjson.dumps(message.payload, default=str)
        whole: dict[str, Any] = {
            "id": message.id,
            "type": message.type,
            "timestamp": message.at.isoformat(),
            "team": message.team,
            "origin": message.origin,
            "title": message.title,
            "text": message.text,
            "link": message.link,
            "data": message.payload,
        }
        if message.files:
            whole["files"] = [
                {
                    "name": file.name,
                    "content_type": file.content_type,
                    "data": base64.b64encode(file.data).decode(),
                }
                for file in message.files
            ]
        return "application/json", orjson.dumps(whole, default=str)


def wrong_headers(option: str, headers: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """What is wrong with headers that somebody wrote; values are never shown, they may be secrets."""
    found = []
    if len(headers) > _MOST_HEADERS:
        return [(option, f"at most {_MOST_HEADERS} headers")]
    for name, value in headers.items():
        where = f"{option}.{str(name)[:60]}"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            found.append((where, "is not a header's name"))
        elif name.lower() in _OURS:
            found.append((where, "is set by sending itself"))
        elif not isinstance(value, str) or not value.isascii() or not (value.isprintable() and value == value.strip()):
            found.append((where, "may hold printable ASCII text without spaces at its ends"))
        elif len(value) > 4000:
            found.append((where, "has at most 4,000 characters"))
    return found
