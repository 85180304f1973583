"""Takes secrets out of what is shown of an attempt: as they are, and as they look in a URL or in a Basic log-in."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "•••"
#: What is shorter would be found in ordinary words.
SHORTEST = 4
#: Where a text was cut before it came here: a secret may have been cut with it.
_CUT = re.compile(r"(?=… \([\d,]+ bytes\))")


def words(values: Iterable[Any]) -> tuple[str, ...]:
    """All texts within secret options, the longest first: a secret may hold another one."""
    found: set[str] = set()
    for value in values:
        _gather(value, found)
    return tuple(sorted((one for one in found if len(one) >= SHORTEST), key=lambda one: (-len(one), one)))


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
        for cut in [found.start() for found in _CUT.finditer(text)][::-1]:
            for length in range(min(len(secret) - 1, cut), SHORTEST - 1, -1):
                if text.endswith(secret[:length], 0, cut):
                    text = text[: cut - length] + MASK + text[cut:]
                    break
    return text


def _gather(value: Any, found: set[str]) -> None:
    if isinstance(value, Mapping):
        for one in value.values():
            _gather(one, found)
    elif isinstance(value, list | tuple):
        for one in value:
            _gather(one, found)
    elif isinstance(value, str) and value:
        for one in {value, value.strip(), value.rpartition(" ")[2]}:
            raw = one.encode("utf-8", "replace")
            found |= {one, quote(one, safe=""), quote_plus(one), base64.b64encode(raw).decode(), repr(one)[1:-1]}
