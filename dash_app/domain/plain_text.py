"""Text that a database and every encoder takes.

What others say may hold NUL, which PostgreSQL keeps nowhere, and halves of surrogate pairs, which are no characters.
"""

from __future__ import annotations


def storable(text: str) -> str:
    """The text with a replacement character for each NUL and each lone surrogate."""
    if text.isascii():
        return text.replace("\x00", "\ufffd")
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_storable(text: str) -> bool:
    """Whether nothing in the text has to be replaced. (A pair of surrogates is its character, and yet no text.)"""
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text))
