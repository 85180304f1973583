"""What travels along the road: payloads as they arrived, records as mapped, rejects with their reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Arrival:
    """A payload before it is stored: what came in, and for whom."""

    pipeline: UUID
    team: UUID
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Where it came from: an address, a URL and page, a topic.
    source: str = ""
    #: The sender's own id of this delivery; None: no duplicate detection.
    delivery: str | None = None
    #: Seconds for which an earlier delivery of this id makes this one a resend; None: as long as it is remembered.
    delivery_window: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an arrival: its id, or the id of the earlier payload that it repeats."""

    payload: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Payload:
    """One stored payload. `body` has its Content-Encoding undone; `headers` are in lower case."""

    id: int
    pipeline: UUID
    received_at: datetime
    content_type: str
    headers: Mapping[str, str]
    body: bytes
    source: str = ""


@dataclass(frozen=True, slots=True)
class PayloadInfo:
    """A payload without its body. `state`: waiting | held | ingested."""

    id: int
    received_at: datetime
    content_type: str
    size: int
    state: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """A record (or a whole payload, `index` −1) that the mapping could not use, and why."""

    payload: int
    index: int
    field: str
    reason: str
    #: The part of the payload that was refused, as JSON text, cut at 4 KiB.
    excerpt: str = ""
    mapping_version: int = 0
    at: datetime | None = None


Record = Mapping[str, Any]
