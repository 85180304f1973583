"""What the torture's mapping makes of a body, written a second time: plain Python, a record at a time, nothing shared.

Agreement with it is what "exact values" means in the checks, so it is kept short enough to be believed by reading.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

FIELDS = ("id", "n", "v", "site", "up", "times")


def mapping(factor: int) -> dict[str, Any]:
    """The mapping whose `times` is v multiplied."""
    return {
        "time": {"path": "$.at"},
        "fields": [
            {"name": "id", "path": "$.id", "type": "text"},
            {"name": "n", "path": "$.n", "type": "integer"},
            {"name": "v", "path": "$.v", "type": "number"},
            {"name": "site", "path": "$.site", "type": "text", "default": "nowhere"},
            {"name": "up", "path": "$.up", "type": "boolean"},
            {"name": "times", "sql": f"v * {factor}", "type": "number"},
        ],
    }


def records_of(content_type: str, body: bytes, factor: int) -> tuple[dict[int, tuple[Any, ...]], int]:
    """(time, *FIELDS) of each valid record by its index in the payload, and how many rejects the payload has."""
    lines = body.split(b"\n") if content_type == "application/x-ndjson" else [body]
    parts: list[Any] = []
    for line in filter(None, lines):
        try:
            parsed = json.loads(line, parse_constant=lambda name: 1 / 0)
        except (ValueError, ZeroDivisionError):
            parsed = None
        parts += parsed if isinstance(parsed, list) else [parsed]
    good = {index: made for index, part in enumerate(parts) if (made := _record(part, factor)) is not None}
    return good, len(parts) - len(good) or (0 if parts else 1)


def _record(part: Any, factor: int) -> tuple[Any, ...] | None:
    wanted: dict[str, Any] = {"id": str, "n": int, "v": (int, float), "site": str, "up": bool}
    if not isinstance(part, dict):
        return None
    for name, kind in wanted.items():
        value = part.get(name)
        if value is not None and (not isinstance(value, kind) or (kind is not bool and isinstance(value, bool))):
            return None
    try:
        time = datetime.fromisoformat(part["at"])
    except (KeyError, ValueError):
        return None
    v = None if part.get("v") is None else float(part["v"])
    times = None if v is None else v * factor
    return time, part.get("id"), part.get("n"), v, part.get("site") or "nowhere", part.get("up"), times
