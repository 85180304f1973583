"""Where stored secrets may go: to the hosts that they were given for, over connections that are protected as they were
then, and to no other that somebody names later.

Secrets are write-only. Whoever may change a source or a sink, and could point it at a host of his own with the stored
secrets left in place, would read them there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from dash_app.domain.errors import Invalid
from dash_app.domain.kinds import Kind

#: Options that say how a connection is encrypted, and how much is known of who is at its other end.
_PROTECTING = ("tls", "security")
_AUTHORITY = "ca_certificate"
_STRENGTH = {"verify-full": 2, "tls": 2, "starttls": 2, "require": 1, "disable": 0, "none": 0}

Host = tuple[str, str, int | None]


def named_hosts(value: Any) -> set[Host]:
    """Every host that options name, as `host` or in a URL, wherever in them it stands."""
    if isinstance(value, Mapping):
        named = {
            (name, str(value[name]).lower(), value.get("port")) for name in ("host", "endpoint") if value.get(name)
        }
        return named | {host for one in value.values() for host in named_hosts(one)}
    if isinstance(value, list | tuple):
        return {host for one in value for host in named_hosts(one)}
    if not isinstance(value, str) or "://" not in value:
        return set()
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        return set()
    return {(url.scheme, url.host, url.port)}


def check_hosts(
    made: Kind, given: Mapping[str, Any], kept: Mapping[str, Any], before: Mapping[str, Any], where: str = "options"
) -> None:
    """Nothing, or Invalid where a host is new, or the way there less protected, and a stored secret would go to it.

    `made`: of the options `given` and of the secrets `kept`, which were given with the options `before`. A secret that
    is said again may go wherever its sayer likes.
    """
    kind = type(made)
    fresh = named_hosts(made.to_options()) - named_hosts(before) - named_hosts(kept)
    weaker = _weaker(made, before)
    if not fresh and not weaker:
        return
    said = _texts(given)
    unsaid = sorted(
        name
        for name in (kind.secrets & set(kept)) - kind.unsent
        if _texts(getattr(made, name)) & _texts(kept[name]) - said
    )
    if unsaid:
        what = (
            "say the secrets again: they would go to a host they were not given for"
            if fresh
            else f"say the secrets again: with {weaker} the connection is not protected as it was when they were given"
        )
        raise Invalid(problems=[(f"{where}.{name}", what) for name in unsaid])


def _weaker(made: Kind, before: Mapping[str, Any]) -> str:
    """The option, with its value, that protects a connection less than the options of before, or for another host; ''
    where none does. (What says so in its URL is another host there.)"""
    known = made.param.objects(instance=False)
    for name in _PROTECTING:
        if name in known:
            now, then = str(getattr(made, name)), str(before.get(name, known[name].default))
            if _STRENGTH.get(now, 0) < _STRENGTH.get(then, 0):
                return f"{name} {now}"
    # Who signs certificates says who is at the other end.
    if _AUTHORITY in known and getattr(made, _AUTHORITY) != before.get(_AUTHORITY, ""):
        return f"another {_AUTHORITY}"
    return ""


def _texts(value: Any) -> set[str]:
    """Every text within a value, but empty ones."""
    if isinstance(value, Mapping):
        return {text for one in value.values() for text in _texts(one)}
    if isinstance(value, list | tuple):
        return {text for one in value for text in _texts(one)}
    return {value} if isinstance(value, str) and value else set()
