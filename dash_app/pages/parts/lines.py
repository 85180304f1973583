"""On which line of a mapping's text a problem stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from dash_app.domain.mapping_text import MAX_TEXT_BYTES, compose_mapping_text, text_bytes

_LINE = re.compile(r"line (\d+)")
_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]|\.")


def line_of(message: str) -> int:
    """The line that a message begins with (`line 3, column 5: …`), or 0."""
    found = _LINE.match(message)
    return int(found[1]) if found else 0


def line_of_place(text: str, place: str, what: str) -> int:
    """`lines_of_places` for one place."""
    return lines_of_places(text, [(place, what)])[0]


def lines_of_places(text: str, places: Sequence[tuple[str, str]]) -> list[int]:
    """The line for each problem, a place and its words: of `fields[2].type` that of the key `type` in the third item
    below `fields`, or of what is nearest to it; 0 where nothing is found, and where the text is longer than a
    mapping's may be. The text is read once, and only where a line is not said by the problem itself."""
    lines = [line_of(what) or line_of(place) for place, what in places]
    if all(line or not place for line, (place, _) in zip(lines, places, strict=True)):
        return lines
    if text_bytes(text) > MAX_TEXT_BYTES:
        return lines
    try:
        root = compose_mapping_text(text)
    except (yaml.YAMLError, RecursionError):
        return lines
    return [line or _line(root, place) for line, (place, _) in zip(lines, places, strict=True)]


def _line(node: yaml.Node | None, place: str) -> int:
    line = 0
    for name, number in ((hit[1], hit[2]) for hit in _STEP.finditer(place) if hit[0] != "."):
        if name and isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == name), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif number and isinstance(node, yaml.SequenceNode) and len(number) < 8 and int(number) < len(node.value):
            node = node.value[int(number)]
            line = node.start_mark.line + 1
        else:
            break
    return line
