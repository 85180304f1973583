"""On which line of a mapping's text a problem stands, as far as it can be found without a second parser."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LINE = re.compile(r"line (\d+)")
_PLACE = re.compile(r"([A-Za-z_]+)(?:\[(\d+)\])?")


def line_of(message: str) -> int:
    """The line that a message begins with (`line 3, column 5: …`), or 0."""
    found = _LINE.match(message)
    return int(found[1]) if found else 0


def line_of_place(text: str, place: str, what: str) -> int:
    """The line for a problem's place (`fields[2].type`): that of the third item below `fields`; 0 where none is
    found."""
    if (named := line_of(what)) or (named := line_of(place)):
        return named
    found = _PLACE.match(place)
    if not found:
        return 0
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines, 1) if re.match(rf"[\"']?{re.escape(found[1])}[\"']?\s*:", line)), 0)
    if not start or found[2] is None:
        return start
    items = _items(lines, start)
    return items[int(found[2])] if int(found[2]) < len(items) else start


def _items(lines: Sequence[str], start: int) -> list[int]:
    """Lines of the items (`- …`) of the list that begins after line `start`."""
    found: list[int] = []
    depth: int | None = None
    for number, line in enumerate(lines[start:], start + 1):
        indent = len(line) - len(line.lstrip())
        if line.lstrip().startswith("- "):
            depth = indent if depth is None else depth
            if indent == depth:
                found.append(number)
        elif line.strip() and not line.lstrip().startswith("#") and indent == 0:
            break
    return found
