"""NDJSON: a record a line. Only `\\n` ends a line, and JSON has no bare one within a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash_app.pipelines.cutting.base import TARGET, Cut, Damaged, Piece, Window
from dash_app.pipelines.decode import Unreadable, parse_json

CONTENT_TYPE = "application/x-ndjson"


def cut_lines(window: Window, state: Mapping[str, Any]) -> Cut:
    """Pieces of whole lines. `state`: whether the first line was looked at."""
    used = len(window.data) if window.last else window.data.rfind(b"\n") + 1
    data = window.data[:used]
    known = bool(state.get("known"))
    if not known:
        first = next((line for line in data.split(b"\n", 1000) if line.strip()), b"")
        if first:
            try:
                # A file of another kind would give a reject for each of its lines.
                parse_json(first.strip())
            except Unreadable as error:
                raise Damaged(f"the first line is not JSON, so this is no NDJSON file: {error}") from None
            known = True
    return Cut(tuple(line_pieces(data, window.most, window.at)), used, {"known": known})


def line_pieces(data: bytes, most: int, at: int = 0) -> list[Piece]:
    """Whole lines in pieces of about `TARGET`, none of them larger than `most`. Raises Damaged."""
    pieces = []
    start = 0
    while start < len(data):
        end = len(data)
        if end - start > TARGET:
            end = data.rfind(b"\n", start, start + TARGET) + 1 or data.find(b"\n", start + TARGET) + 1 or len(data)
        body = data[start:end]
        if len(body) > max(most, min(TARGET, most)):
            raise Damaged(
                f"the line at byte {at + start:,} has {len(body):,} bytes; a payload has at most {most:,} (max_bytes)"
            )
        count = sum(1 for line in body.split(b"\n") if line.strip())
        if count:
            pieces.append(Piece(body, CONTENT_TYPE, count))
        start = end
    return pieces
