"""Tokens of embeds: what was signed is read again, and nothing else."""

from __future__ import annotations

import base64
import time

from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.embeds import Embed
from dash_app.domain.ids import new_id
from dash_app.storage.vault import Vault
from dash_app.web.embeds import Signed, read, sign

OLD, NEW = "an old key of the house 0123456789", "a new key of the house 9876543210"
VAULT = Vault([NEW, OLD])


def signed(until: float) -> Signed:
    return Signed(
        new_id(), new_id(), "credential", "token", Embed("weather", "3", "https://a.example", int(until), "id")
    )


def test_what_was_signed_is_read() -> None:
    one = signed(time.time() + 60)
    assert read(VAULT, sign(VAULT, one)) == one
    # Signed before the keys were rotated.
    assert read(VAULT, sign(Vault([OLD]), one)) == one
    assert read(Vault([OLD]), sign(VAULT, one)) is None
    assert read(VAULT, sign(VAULT, signed(time.time() - 1))) is None


@given(st.data())
def test_a_changed_token_is_none(data: st.DataObject) -> None:
    token = sign(VAULT, signed(time.time() + 60))
    body, mark = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
    whole = bytearray(body + mark)
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    parts = (bytes(whole[: len(body)]), bytes(whole[len(body) :]))
    assert read(VAULT, ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)) is None


@given(st.one_of(st.text(max_size=100), st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,60}", fullmatch=True)))
def test_any_text_is_none(text: str) -> None:
    assert read(VAULT, text) is None
