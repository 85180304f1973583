"""What is wrong with an address that somebody wrote, said before anything is connected to."""

from __future__ import annotations

from collections.abc import Sequence

import httpx


def without_query(text: str) -> str:
    """A URL for messages and payloads: its query may hold keys."""
    return str(httpx.URL(text).copy_with(userinfo=b"", query=None, fragment=None))[:500]


def wrong_url(text: str, schemes: Sequence[str], *, path: bool = True) -> str | None:
    """What is wrong with a URL, or None. `path`: it may name one."""
    begins = " or ".join(f"{scheme}://" for scheme in schemes)
    if not text:
        return f"is missing: a URL that begins with {begins}"
    if len(text) > 2000 or not text.isprintable() or " " in text:
        return "is no URL: up to 2,000 printable characters without spaces"
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        return f"is no URL: {error}"
    if url.scheme not in schemes or not url.host:
        return f"does not begin with {begins} and a host"
    if url.port is not None and not 0 < url.port < 65536:
        return "has a port beyond 65535"
    if url.userinfo:
        return "holds a log-in; it belongs into options of its own, which are kept encrypted"
    if url.fragment:
        return "ends in a fragment (#…), which servers never see"
    if not path and (url.path not in ("", "/") or url.query):
        return "has a path; a host and a port are all that is needed"
    return None
