"""A user name and a password (RFC 7617), for senders that can sign nothing.

The password says who sends, and nothing of what: over an address without TLS both can be read and used by others.
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

_HEADER = "authorization"


class Basic(ChosenDelivery):
    kind = "basic"
    title = "User name and password"
    summary = "A user name and a password; the body is not signed."
    covers_body = False

    username = param.String(default="dash", doc="The user name. The password is the secret.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if not self.username or len(self.username) > 200 or ":" in self.username or not self.username.isprintable():
            found.append(("username", "may hold up to 200 printable characters without a colon"))
        elif any(character in self.username for character in "\"'`$\\"):
            # It stands in shell scripts that people paste.
            found.append(("username", "may hold none of \" ' ` $ \\"))
        return found

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        given = wanted(headers, _HEADER)
        scheme, _, text = given.partition(" ")
        if scheme.lower() != "basic":
            raise BadSignature(f"header {_HEADER} does not begin with Basic")
        try:
            pair = base64.b64decode(text.strip(), validate=True)
        except (ValueError, binascii.Error):
            raise BadSignature(f"header {_HEADER} is not base64") from None
        # Hashed under a key, so that neither length nor beginning of the right ones show in the time it takes.
        check([_digest(pair)], [_digest(self._pair(secret)) for secret in secrets if secret])

    def _pair(self, secret: str) -> bytes:
        return key_of(f"{self.username}:{secret}")

    def secret_headers(self) -> frozenset[str]:
        return frozenset({_HEADER})

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        credentials = base64.b64encode(self._pair(secret)).decode()
        return {"Authorization": f"Basic {credentials}"} | self.chosen_header(delivery)

    def shell_snippet(self) -> Snippet:
        sign = f'credentials="$(printf %s "{self.username}:$secret" | openssl base64 -A)"'
        return Snippet((sign,), (("Authorization", "Basic $credentials"), *self.shell_header()))

    def code_snippet(self) -> Snippet:
        sign = f"credentials = base64.b64encode(({self.username + ':'!r} + secret).encode()).decode()"
        return Snippet((sign,), (("Authorization", "'Basic ' + credentials"), *self.code_header()))

    def node_snippet(self) -> Snippet:
        name = json.dumps(self.username + ":")
        sign = f'const credentials = Buffer.from({name} + secret).toString("base64");'
        return Snippet((sign,), (("Authorization", '"Basic " + credentials'), *self.node_header()))


def _digest(text: bytes) -> bytes:
    return mac(b"dash", text)
