"""Which messages of a browser the mapping's editor takes at all, before anything is done with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping_text import MAX_TEXT_BYTES, TOO_LONG, check_plain, text_bytes

#: A payload that is pasted, in bytes.
MAX_PASTE_BYTES = 1024 * 1024
#: What a message holds beside its text.
_BESIDE = 16 * 1024
_MAX_VALUES = 50_000


def refusal(message: Mapping[str, Any]) -> str:
    """Why a message is not taken, or '': texts that are too long together, too many values, and what could be neither
    kept nor sent back. Takes time in proportion to what is taken at most."""
    pasted = message.get("type") == "paste"
    limit = (MAX_PASTE_BYTES if pasted else MAX_TEXT_BYTES) + _BESIDE
    words = f"a payload that is pasted has at most {MAX_PASTE_BYTES:,} bytes" if pasted else TOO_LONG
    size = count = 0
    rest: list[Any] = [message]
    while rest:
        one = rest.pop()
        count += 1
        if isinstance(one, str):
            # Its length is known at once; the bytes are counted only of what may be short enough.
            size += len(one) if len(one) > limit else text_bytes(one)
        elif isinstance(one, Mapping | list):
            if len(one) > _MAX_VALUES:
                return "too many values"
            rest.extend([part for pair in one.items() for part in pair] if isinstance(one, Mapping) else one)
        if size > limit:
            return words
        if count > _MAX_VALUES:
            return "too many values"
    try:
        check_plain(message)
    except Invalid as error:
        return error.message
    return ""


def seq_of(message: Mapping[str, Any]) -> int | None:
    """The number that an answer carries; one that a browser cannot hold is none."""
    seq = message.get("seq")
    return seq if isinstance(seq, int) and not isinstance(seq, bool) and abs(seq) <= 2**53 else None
