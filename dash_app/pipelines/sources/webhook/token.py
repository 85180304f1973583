"""A secret in a header, as it is: a bearer token, or what GitLab and others call a token.

It says who sends, and nothing of what: over an address without TLS it can be read and used by others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import param

from dash_app.domain.errors import BadSignature, Invalid
from dash_app.pipelines.sources.webhook.base import HEADER_NAME, Snippet, check, key_of, mac, wanted
from dash_app.pipelines.sources.webhook.delivery import ChosenDelivery

_PREFIX = re.compile(r"[A-Za-z0-9 =:,._/+-]{0,100}")


class Token(ChosenDelivery):
    kind = "token"
    title = "Token in a header"
    summary = "The secret itself in a header, such as a bearer token; the body is not signed."
    covers_body = False

    header = param.String(default="Authorization", doc="The header that holds the token, such as X-Gitlab-Token.")
    prefix = param.String(default="Bearer", doc="The word before the token in the header. Empty: the token alone.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if not HEADER_NAME.fullmatch(self.header):
            found.append(("header", f"'{self.header[:60]}' is not a header's name"))
        if not _PREFIX.fullmatch(self.prefix):
            found.append(("prefix", "may hold up to 100 letters, digits, spaces and = : , . _ / + -"))
        return found

    def check_secret(self, secret: str) -> None:
        super().check_secret(secret)
        if not secret.isascii():
            raise Invalid(problems=[("secret", "stands in a header as it is, and may hold ASCII characters alone")])

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        name, prefix = self.header.lower(), self.prefix.strip()
        given = wanted(headers, name)
        if prefix:
            # The names of HTTP's own schemes may be written in capitals.
            before, given = given[: len(prefix) + 1], given[len(prefix) + 1 :].strip()
            if before.lower() != f"{prefix} ".lower():
                raise BadSignature(f"header {name} does not begin with {prefix} and a space")
        # Hashed under a key, so that neither length nor beginning of the right one show in the time it takes.
        check([_digest(given)], [_digest(secret) for secret in secrets if secret])

    def secret_headers(self) -> frozenset[str]:
        return frozenset({self.header.lower()})

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        return {self.header: self._before + secret} | self.chosen_header(delivery)

    @property
    def _before(self) -> str:
        prefix = self.prefix.strip()
        return f"{prefix} " if prefix else ""

    def shell_snippet(self) -> Snippet:
        return Snippet((), ((self.header, f"{self._before}$secret"), *self.shell_header()))

    def code_snippet(self) -> Snippet:
        value = f"{self._before!r} + secret" if self._before else "secret"
        return Snippet((), ((self.header, value), *self.code_header()))

    def node_snippet(self) -> Snippet:
        value = f'"{self._before}" + secret' if self._before else "secret"
        return Snippet((), ((self.header, value), *self.node_header()))


def _digest(text: str) -> bytes:
    return mac(b"dash", key_of(text))
