"""What is wrong with headers that somebody wrote, said before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
#: Headers that belong to the connection, or to what is done with the answer.
OURS = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer", "expect"),
        *("accept-encoding", "if-none-match", "if-modified-since", "if-match", "if-range", "range", "cookie2"),
    }
)


def wrong_headers(option: str, headers: Mapping[Any, Any], ours: frozenset[str] = OURS) -> list[tuple[str, str]]:
    """What is wrong with headers to send, by place; values are not shown, for they may be secrets, mistyped."""
    found = []
    for name, value in headers.items():
        where = f"{option}.{str(name)[:60]}"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            found.append((where, "is not a header's name"))
        elif name.lower() in ours:
            found.append((where, "is set by the request itself"))
        elif not isinstance(value, str) or not value.isascii() or not (value.isprintable() and value == value.strip()):
            found.append((where, "may hold printable ASCII text without spaces at its ends"))
    return found
