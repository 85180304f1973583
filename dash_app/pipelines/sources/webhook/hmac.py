"""HMAC of the raw body in a header: what most senders without a standard of their own do."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

import param

from dash_app.domain.errors import BadSignature
from dash_app.pipelines.sources.webhook.base import HEADER_NAME, Snippet, check, key_of, mac, wanted
from dash_app.pipelines.sources.webhook.delivery import ChosenDelivery

_PREFIX = re.compile(r"[A-Za-z0-9 =:,._/+-]{0,100}")


class Hmac(ChosenDelivery):
    kind = "hmac"
    title = "HMAC in a header"
    summary = "HMAC of the raw body in a header; header, hash, encoding and prefix of your choice."

    header = param.String(default="x-webhook-signature", doc="The header that holds the signature.")
    hash: Any = param.Selector(default="sha256", objects=["sha256", "sha1", "sha512"], doc="The hash under the HMAC.")
    encoding: Any = param.Selector(default="hex", objects=["hex", "base64"], doc="How the signature is written.")
    prefix = param.String(default="", doc="What stands before the signature in the header, such as sha256=.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if not HEADER_NAME.fullmatch(self.header):
            found.append(("header", f"'{self.header[:60]}' is not a header's name"))
        if not _PREFIX.fullmatch(self.prefix):
            found.append(("prefix", "may hold up to 100 letters, digits, spaces and = : , . _ / + -"))
        return found

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        name, prefix = self.header.lower(), self.prefix.strip()
        given = wanted(headers, name)
        if not given.startswith(prefix):
            raise BadSignature(f"header {name} does not begin with {prefix}")
        text = given.removeprefix(prefix).strip()
        try:
            signature = bytes.fromhex(text) if self.encoding == "hex" else base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            raise BadSignature(f"header {name} is not {self.encoding}") from None
        check([signature], [mac(key_of(secret), body, self.hash) for secret in secrets if secret])

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        raw = mac(key_of(secret), body, self.hash)
        text = raw.hex() if self.encoding == "hex" else base64.b64encode(raw).decode()
        return {self.header: self.prefix + text} | self.chosen_header(delivery)

    def shell_snippet(self) -> Snippet:
        end = 'sed "s/^.* //"' if self.encoding == "hex" else "openssl base64 -A"
        binary = "" if self.encoding == "hex" else " -binary"
        sign = f'signature="$(printf %s "$body" | openssl dgst -{self.hash} -hmac "$secret"{binary} | {end})"'
        return Snippet((sign,), ((self.header, f"{self.prefix}$signature"), *self.shell_header()))

    def code_snippet(self) -> Snippet:
        text = "raw.hex()" if self.encoding == "hex" else "base64.b64encode(raw).decode()"
        sign = f"raw = hmac.new(secret.encode(), body, hashlib.{self.hash}).digest()"
        value = f"{self.prefix!r} + {text}" if self.prefix else text
        return Snippet((sign,), ((self.header, value), *self.code_header()))

    def node_snippet(self) -> Snippet:
        sign = f'const signature = createHmac("{self.hash}", secret).update(body).digest("{self.encoding}");'
        value = f'"{self.prefix}" + signature' if self.prefix else "signature"
        return Snippet((sign,), ((self.header, value), *self.node_header()))
