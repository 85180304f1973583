"""Takes secrets out of what is shown of an attempt: as they are, and as they look in a URL, in JSON, in base64, and at
the end of a text that was cut."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "•••"
#: What is shorter would be found in ordinary words.
SHORTEST = 4
#: Where a text may have been cut before it came here, and a secret with it: at its end, at the end of one of its lines,
#: and before the sign that says so.
_CUT = re.compile(r"(?=…)|(?=\r?\n)|\Z")
#: A log-in by name and password, as it stands in a header.
_BASIC = re.compile(r"\bBasic[ +]+([A-Za-z0-9+/_-]{4,}={0,2})", re.IGNORECASE)


def words(values: Iterable[Any]) -> tuple[str, ...]:
    """All texts within secret options, the longest first: a secret may hold another one."""
    found: set[str] = set()
    for value in values:
        _gather(value, found)
    return tuple(sorted((one for one in found if len(one) >= SHORTEST), key=lambda one: (-len(one), one)))


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets."""
    known = tuple(secrets)
    if not known or not text:
        return text
    text = _BASIC.sub(lambda found: _without_login(found, known), text)
    for secret in known:
        if secret in text:
            text = text.replace(secret, MASK)
    for cut in [found.start() for found in _CUT.finditer(text)][::-1]:
        if (begin := _begun(text, cut, known)) < cut:
            text = text[:begin] + MASK + text[cut:]
    return text


def _begun(text: str, end: int, secrets: Iterable[str]) -> int:
    """Where a secret begins that was cut at `end`, the earliest of them; `end` where none was."""
    first = end
    for secret in secrets:
        at = text.find(secret[:SHORTEST], max(0, end - len(secret) + 1), end)
        while 0 <= at < first:
            if secret.startswith(text[at:end]):
                first = at
            else:
                at = text.find(secret[:SHORTEST], at + 1, end)
    return first


def _without_login(found: re.Match[str], secrets: Iterable[str]) -> str:
    login = _decoded(found[1])
    # What was cut ends in the middle of the password.
    if any(one in login for one in secrets) or _begun(login, len(login), secrets) < len(login):
        return found[0].replace(found[1], MASK)
    return found[0]


def _decoded(token: str) -> str:
    whole = token.rstrip("=").replace("-", "+").replace("_", "/")
    whole = whole[: len(whole) - (len(whole) % 4 == 1)]
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4)).decode("utf-8", "replace")
    except binascii.Error:
        return ""


def _gather(value: Any, found: set[str]) -> None:
    if isinstance(value, Mapping):
        for one in value.values():
            _gather(one, found)
    elif isinstance(value, list | tuple):
        for one in value:
            _gather(one, found)
    elif isinstance(value, str) and value:
        texts = {value, value.strip(), value.rpartition(" ")[2]}
        for login in _BASIC.findall(value):
            texts |= {name for name in (_decoded(login), _decoded(login).partition(":")[2]) if "\ufffd" not in name}
        for one in texts - {""}:
            found |= {one, quote(one, safe=""), quote_plus(one), repr(one)[1:-1]}
            found |= {json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1], *_within_base64(one)}


def _within_base64(text: str) -> Iterable[str]:
    """How a text looks in the base64 of a longer one: by where it begins there, and without the ends, which hold parts
    of what is beside it."""
    raw = text.encode("utf-8", "replace")
    yield base64.b64encode(raw).decode()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        inner = whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        # Shorter ones would be found in any base64, that of a picture say.
        if len(inner) >= 2 * SHORTEST:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
