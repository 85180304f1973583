"""Tokens of embeds: what they say is signed and readable, so that nothing is stored for them.

A token names its maker, and is good for as long as the maker may still see the dashboard's team and the credential that
it was made with is live: whoever is shut out takes their embeds with them. It grants reading one dashboard and nothing
else, and stands in the address of a frame, where it ends after minutes or hours.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from dataclasses import dataclass
from uuid import UUID

import orjson

from dash_app.domain.embeds import Embed
from dash_app.storage.vault import Vault

_PURPOSE = "embeds"
_LONGEST = 2_000
#: Which words a token has, in which order.
_RELEASE = 2


@dataclass(frozen=True, slots=True)
class Signed:
    """A token's words: who made it, by which credential, for what."""

    user: UUID
    team: UUID
    credential: str
    via: str
    embed: Embed


def sign(vault: Vault, signed: Signed) -> str:
    """The token, fit for an address."""
    embed = signed.embed
    words = [_RELEASE, str(signed.user), str(signed.team), signed.via, signed.credential]
    body = orjson.dumps([*words, embed.dashboard, embed.tile, embed.origin, embed.until, embed.identity])
    return f"{_text(body)}.{_text(hmac.digest(vault.derive(_PURPOSE), body, 'sha256'))}"


def read(vault: Vault, token: str) -> Signed | None:
    """What a token says; None for one that was not made here, or is over."""
    try:
        if len(token) > _LONGEST:
            return None
        body, mark = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
    except (ValueError, binascii.Error):
        return None
    rights = [hmac.digest(key, body, "sha256") for key in vault.derive_all(_PURPOSE)]
    if not any([hmac.compare_digest(mark, right) for right in rights]):  # noqa: C419 - all of them, in any case
        return None
    release, *words = orjson.loads(body)
    if release != _RELEASE:
        return None
    user, team, via, credential, dashboard, tile, origin, until, identity = words
    if until <= time.time():
        return None
    return Signed(UUID(user), UUID(team), credential, via, Embed(dashboard, tile, origin, until, identity))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
