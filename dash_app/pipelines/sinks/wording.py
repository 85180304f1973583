"""What a message of records says where no template makes its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: How many records, and how many characters of a value, are shown.
LISTED = 10
MOST_VALUE = 200


def wording(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text of a message of records without a template."""
    records = payload.get("records") or []
    pipeline = payload.get("pipeline", "")
    title = f"{pipeline}: a record" if len(records) == 1 else f"{pipeline}: {len(records):,} records"
    lines = [_line(record) for record in records[:LISTED]]
    if len(records) > LISTED:
        lines.append(f"… and {len(records) - LISTED:,} more")
    return title, "\n".join(lines)


def _line(record: Mapping[str, Any]) -> str:
    shown = [f"{name}: {_value(value)}" for name, value in record.items() if not name.startswith("_")]
    return f"{record.get('_time', '')}  {', '.join(shown)}".strip()


def _value(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= MOST_VALUE else f"{text[:MOST_VALUE]}…"
