"""Identifiers. Things are named by UUIDv7 (RFC 9562, section 5.7), so that new rows land at the end of an index."""

from __future__ import annotations

import re
import secrets
import time
from datetime import UTC, datetime
from uuid import UUID

from dash_app.domain.errors import Invalid

SLUG = re.compile(r"[a-z][a-z0-9_]{0,40}")

#: Low bits of a payload id that are a sequence; the bits above are milliseconds since 1970 by the database's clock.
PAYLOAD_SEQUENCE_BITS = 20


def new_id() -> UUID:
    """A fresh UUIDv7."""
    stamp = time.time_ns() // 1_000_000
    value = (stamp & (1 << 48) - 1) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return UUID(int=value)


def as_uuid(text: str) -> UUID | None:
    """`text` as a UUID, or None where it is not one: an id from outside is opaque and may be anything."""
    try:
        return UUID(text)
    except ValueError:
        return None


def check_slug(slug: str) -> str:
    """`slug`, or Invalid where it does not match `[a-z][a-z0-9_]{0,40}`."""
    if not SLUG.fullmatch(slug):
        raise Invalid(
            problems=[("slug", f"'{slug[:60]}' is not a slug: 1 to 41 of a-z, 0-9 and _, beginning with a letter")]
        )
    return slug


def slug_from(name: str) -> str:
    """A slug proposed for a name: 'Front door (EU)' → 'front_door_eu'."""
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:41]
    if not slug or not slug[0].isalpha():
        slug = f"p_{slug}"[:41].rstrip("_")
    return slug


def payload_id_floor(moment: datetime) -> int:
    """The smallest payload id that can have been given at `moment` or later."""
    return int(moment.timestamp() * 1000) << PAYLOAD_SEQUENCE_BITS


def payload_id_time(payload: int) -> datetime:
    """When a payload id was given, to the millisecond."""
    return datetime.fromtimestamp((payload >> PAYLOAD_SEQUENCE_BITS) / 1000, UTC)
