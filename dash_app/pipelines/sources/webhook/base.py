"""How a sender of webhooks proves that a body is its own.

A scheme checks the raw bytes as they came over the wire, before anything is decoded or parsed. Every comparison of
signatures takes the same time wherever they differ, every live secret is tried, and whatever stands in the headers the
only error is BadSignature: its message names what is missing or wrong and nothing of the secret or the right signature.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import re
import secrets
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from dash_app.domain.errors import BadSignature, Invalid
from dash_app.domain.kinds import Kind, Kinds

#: The body that snippets send.
SAMPLE = '{"temperature": 21.5, "site": "roof"}'

#: A delivery id up to this length is kept word for word; a longer one by its hash.
MAX_DELIVERY = 200

#: Names of headers as they occur; what else HTTP would allow has a meaning in shells, and snippets are pasted there.
HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
#: Seconds that a signed time may lie before or after the clock, in every scheme that signs one.
WINDOW = 300
_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A scheme's part of a script that signs: `lines` that make the values, and `headers` (name, value as source)."""

    lines: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]


class SignatureScheme(Kind):
    """Base of every scheme."""

    #: Options that work as they stand: for docs, forms and the contract suite.
    example: ClassVar[Mapping[str, Any]] = {}
    #: The name for people who choose.
    title: ClassVar[str] = ""
    #: False where anybody who knows the address can send: to be chosen by hand, and shown in red.
    signed: ClassVar[bool] = True
    #: False where the sender shows a secret that says nothing of the body.
    covers_body: ClassVar[bool] = True
    #: Where the secret stands, for senders that make it themselves; empty where any secret can be given to the sender.
    secret_from: ClassVar[str] = ""
    #: Seconds that a signed timestamp may differ from the clock; None where the scheme signs no time.
    window: ClassVar[int | None] = None

    def generate_secret(self) -> str:
        """A fresh secret of 256 bits."""
        return secrets.token_urlsafe(32)

    def check_secret(self, secret: str) -> None:
        """Nothing, or Invalid where a secret brought along cannot be used with this scheme."""
        if not secret:
            raise Invalid(problems=[("secret", "is empty")])
        if not secret.isprintable() or secret != secret.strip():
            raise Invalid(problems=[("secret", "holds spaces at its ends, or characters that cannot be printed")])

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
        """Nothing, or BadSignature.

        `body`: as received on the wire. `headers`: names in lower case. `secrets`: all that are live. `now`: seconds
        since 1970.
        """
        raise NotImplementedError

    def delivery_id(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """The sender's own id of this delivery, the same when it is sent again; None: no duplicate detection.

        `body` has its Content-Encoding undone.
        """
        raise NotImplementedError

    def delivery_window(self) -> int | None:
        """Seconds for which a delivery is known when it is sent again; None: as long as deliveries are remembered."""
        return None

    def challenge(self, body: bytes) -> str | None:
        """What a sender wants to hear back before it sends anything, where `body` asks for that; it is no payload.

        The signature has been checked, and `body` has its Content-Encoding undone.
        """
        return None

    def secret_headers(self) -> frozenset[str]:
        """Headers, in lower case, that hold the secret itself and are never kept with a payload."""
        return frozenset()

    def sign(self, body: bytes, secret: str, delivery: str, now: float) -> dict[str, str]:
        """The headers with which a sender sends `body` as the delivery `delivery`."""
        raise NotImplementedError

    def sample(self, delivery: str) -> str:
        """A body for trying out, as this scheme's senders send it."""
        return SAMPLE

    def curl(self, url: str, secret: str, body: str = SAMPLE) -> str:
        """A shell script that signs a sample with openssl and posts it with curl."""
        snippet = self.shell_snippet()
        lines = [f"url={shlex.quote(url)}"]
        if self.signed:
            lines.append(f"secret={shlex.quote(secret)}")
        lines += [f"body={shlex.quote(body)}", *snippet.lines]
        options = [("content-type", "application/json"), *snippet.headers]
        lines.append('curl -sS "$url" \\')
        lines += [f'  -H "{name}: {value}" \\' for name, value in options]
        lines.append('  --data-binary "$body"')
        return "\n".join(lines) + "\n"

    def python_snippet(self, url: str, secret: str, body: str = SAMPLE) -> str:
        """A short Python script, standard library alone, that signs a sample and posts it."""
        snippet = self.code_snippet()
        lines = ["import base64, hashlib, hmac, secrets, time, urllib.request"]
        lines.append(f"url, secret = {url!r}, {secret!r}" if self.signed else f"url = {url!r}")
        lines += [f"body = {body.encode()!r}", *snippet.lines]
        pairs = [("content-type", "'application/json'"), *snippet.headers]
        lines.append("headers = {" + ", ".join(f"{name!r}: {value}" for name, value in pairs) + "}")
        lines.append("print(urllib.request.urlopen(urllib.request.Request(url, body, headers)).read().decode())")
        return "\n".join(lines) + "\n"

    def javascript_snippet(self, url: str, secret: str, body: str = SAMPLE) -> str:
        """A short JavaScript module for Node without any package, that signs a sample and posts it."""
        snippet = self.node_snippet()
        lines = ['import { createHmac, randomUUID } from "node:crypto";']
        # JSON is JavaScript, and its escapes keep the file plain ASCII.
        secret_part = f", secret = {json.dumps(secret)}" if self.signed else ""
        lines += [f"const url = {json.dumps(url)}{secret_part};", f"const body = {json.dumps(body)};", *snippet.lines]
        pairs = [("content-type", '"application/json"'), *snippet.headers]
        lines.append("const headers = { " + ", ".join(f"{json.dumps(name)}: {value}" for name, value in pairs) + " };")
        lines.append('console.log(await (await fetch(url, { method: "POST", headers, body })).text());')
        return "\n".join(lines) + "\n"

    def shell_snippet(self) -> Snippet:
        """The shell lines that sign `$body` with `$secret`; values stand inside double quotes."""
        raise NotImplementedError

    def code_snippet(self) -> Snippet:
        """The Python lines that sign `body` with `secret`; values are expressions."""
        raise NotImplementedError

    def node_snippet(self) -> Snippet:
        """The JavaScript lines that sign `body` with `secret`; values are expressions."""
        raise NotImplementedError


def wanted(headers: Mapping[str, str], name: str) -> str:
    """The header's value without the spaces around it, or BadSignature where it is missing or not ASCII."""
    value = headers.get(name, "").strip()
    if not value:
        raise BadSignature(f"header {name} is missing")
    if not value.isascii() or not value.isprintable():
        raise BadSignature(f"header {name} is not plain ASCII")
    return value


def wanted_time(headers: Mapping[str, str], name: str) -> str:
    """The header with a number of seconds since 1970, as it was signed; BadSignature where it is missing or none."""
    text = wanted(headers, name)
    if not _SECONDS.fullmatch(text):
        raise BadSignature(f"header {name} is not a number of seconds")
    return text


def check_time(text: str, now: float, window: int) -> None:
    """Nothing where the signed time (digits) is near the clock, BadSignature otherwise."""
    age = now - int(text)
    if abs(age) > window:
        where = "old" if age > 0 else "in the future"
        raise BadSignature(f"timestamp is {abs(age):.0f} s {where}; {window} s are allowed")


def key_of(secret: str) -> bytes:
    """The bytes of a secret that is its own key."""
    return secret.encode("utf-8", "surrogatepass")


def mac(key: bytes, message: bytes, digest: str = "sha256") -> bytes:
    """The HMAC of a message."""
    return hmac.new(key, message, digest).digest()


def check(given: Iterable[bytes], expected: Iterable[bytes]) -> None:
    """Nothing where one of the given signatures is one of the expected ones, BadSignature otherwise.

    All pairs are compared, each in constant time, so that the time tells nothing of which one was near.
    """
    candidates = list(given)
    fits = False
    for right in expected:
        for candidate in candidates:
            fits |= hmac.compare_digest(candidate, right)
    if not fits:
        raise BadSignature("signature does not fit")


def shown_delivery(text: str) -> str | None:
    """A delivery id as it is kept: itself, or `sha256:…` where it is long or not plain ASCII; None for nothing."""
    text = text.strip()
    if not text:
        return None
    if len(text) <= MAX_DELIVERY and text.isascii() and text.isprintable():
        return text
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def load_schemes() -> Kinds[SignatureScheme]:
    """Every signature scheme: those of this folder, and those announced as `dash_app.signature_schemes`."""
    return Kinds.load("signature_schemes", importlib.import_module(__package__), SignatureScheme)
