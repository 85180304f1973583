"""Names of time zones as people write them."""

from __future__ import annotations

from zoneinfo import ZoneInfo


def is_zone(name: object) -> bool:
    """Whether it is an IANA name of a time zone that is known here, such as Europe/Oslo or UTC."""
    if not isinstance(name, str) or not name or len(name) > 60:
        return False
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; 'Europe' is a folder
        return False
    return True
