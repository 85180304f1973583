"""JSON: an array in pieces that are arrays, values that follow one another in lines, or one value as it is.

Where a value ends is found by the standard library's scanner, over the bytes as characters of the same numbers: all
that JSON's structure is made of is ASCII, and places stay bytes. What the scanner takes and the decoder will not (NaN,
half a surrogate pair) goes into a payload of its own, so that it is one reject and costs no other record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dash_app.pipelines.cutting.base import TARGET, Cut, Damaged, Piece, Window
from dash_app.pipelines.cutting.lines import CONTENT_TYPE as LINES
from dash_app.pipelines.decode import Unreadable, parse_json

CONTENT_TYPE = "application/json"

#: Numbers are passed over as texts: Python makes none of more than some thousand digits.
_SCAN: Any = json.JSONDecoder(strict=True, parse_int=str).scan_once  # type: ignore[attr-defined]
_BLANK = re.compile(r"[ \t\r\n]*")


def cut_values(window: Window, state: Mapping[str, Any]) -> Cut:
    """Pieces of whole values. `state`: `mode`, array or values, once it is known; `open`, what an array expects."""
    text = window.data.decode("latin-1")
    if state.get("mode") is None:
        start = _skip(text, 0)
        if start == len(text):
            return Cut((), start, state)
        if text[start] == "[":
            return _array(window, text, start + 1, "first")
        return _values(window, text, start, alone=window.last and window.at <= 3)
    if state["mode"] == "array":
        return _array(window, text, 0, state["open"])
    return _values(window, text, 0, alone=False)


def _array(window: Window, text: str, at: int, expects: str) -> Cut:
    """`expects`: first (a value, or the end), value, or nothing (only blanks may follow)."""
    found: list[bytes] = []
    used = at
    while True:
        at = _skip(text, at)
        if at == len(text):
            break
        if expects == "nothing":
            raise _wrong(window, at, "something follows the end of the array")
        if expects == "first" and text[at] == "]":
            used, expects = at + 1, "nothing"
            at = used
            continue
        end = _value(window, text, at)
        border = _skip(text, end) if end is not None else len(text)
        if end is None or border == len(text):
            if window.last:
                raise _wrong(window, at, "the array is not closed: the file ends in the middle of it")
            break  # a number could go on in the next window, and what follows a value is part of its meaning here
        if text[border] not in ",]":
            raise _wrong(window, border, f"a comma or the end of the array is expected, not {text[border]!r}")
        found.append(window.data[at:end])
        expects = "value" if text[border] == "," else "nothing"
        at = used = border + 1
    if expects == "nothing":
        used = len(text)  # blanks
    elif window.last:
        raise _wrong(window, len(text), "the array is not closed: the file ends in the middle of it")
    pieces = [piece for group in _groups(window, found) for piece in _arrays(group)]
    return Cut(tuple(pieces), used, {"mode": "array", "open": expects})


def _values(window: Window, text: str, at: int, *, alone: bool) -> Cut:
    """Values that follow one another; `alone`: whether a single one would be all of the file."""
    found: list[bytes] = []
    used = 0
    while True:
        at = _skip(text, at)
        if at == len(text):
            used = at
            break
        end = _value(window, text, at)
        if end is None or (end == len(text) and not window.last):
            break
        found.append(window.data[at:end])
        at = used = end
    if alone and len(found) == 1:
        if len(found[0]) > window.most:
            raise _too_large(window, found[0])
        return Cut((Piece(found[0], CONTENT_TYPE, 1),), used, {"mode": "values"})
    pieces = []
    for group in _groups(window, found):
        # Between the values of a JSON text a line break is a blank, and within a string there is none.
        body = b"".join(one.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n" for one in group)
        pieces.append(Piece(body, LINES, len(group)))
    return Cut(tuple(pieces), used, {"mode": "values"})


def _value(window: Window, text: str, at: int) -> int | None:
    """Where the value at a place ends; None where it does not end within the window. Raises Damaged."""
    try:
        return int(_SCAN(text, at)[1])
    except StopIteration as stop:
        place, why = int(stop.value if stop.value is not None else at), "a value is expected"
    except json.JSONDecodeError as error:
        place, why = error.pos, error.msg
    except RecursionError:
        raise _wrong(window, at, "it is nested too deep") from None
    except ValueError as error:
        raise _wrong(window, at, str(error)) from None
    if window.last:
        raise _wrong(window, place, why)
    # What is wrong may be no more than that the window ends here; one that is wide enough says otherwise.
    if len(text) - at > window.most:
        raise Damaged(
            f"no JSON value ends within the {window.most:,} bytes that a payload may have (max_bytes) from byte "
            f"{window.at + at:,} on: {why}. A larger file is an array, or has one value a line"
        )
    return None


def _groups(window: Window, found: Sequence[bytes]) -> Iterator[list[bytes]]:
    room = min(TARGET, window.most)
    group: list[bytes] = []
    size = 0
    for one in found:
        if len(one) + 2 > window.most:
            raise _too_large(window, one)
        if group and size + len(one) + 2 > room:
            yield group
            group, size = [], 0
        group.append(one)
        size += len(one) + 1
    if group:
        yield group


def _arrays(group: list[bytes]) -> Iterator[Piece]:
    """The group as one array; where that cannot be decoded, in halves, until what is wrong stands alone."""
    body = b"[" + b",".join(group) + b"]"
    try:
        parse_json(body)
    except Unreadable:
        if len(group) > 1:
            middle = len(group) // 2
            yield from _arrays(group[:middle])
            yield from _arrays(group[middle:])
            return
    yield Piece(body, CONTENT_TYPE, len(group))


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _wrong(window: Window, at: int, why: str) -> Damaged:
    return Damaged(f"not valid JSON at byte {window.at + at:,}: {why[:1].lower()}{why[1:]}")


def _too_large(window: Window, value: bytes) -> Damaged:
    return Damaged(
        f"a JSON value has {len(value):,} bytes; a payload has at most {window.most:,} (max_bytes). A larger file is "
        "an array, or has one value a line"
    )
