"""Paths into a JSON document: the part of RFC 9535 (JSONPath) that names one place, or all elements of an array.

A path begins with `$` and goes on with member names (`.name`, `['any name']`, `["any name"]`), indexes (`[3]`, `[-1]`
from the end) and wildcards (`[*]`, `.*`). Parsed, it is a tuple of steps: `str` a member, `int` an index, `None` a
wildcard. Everything else of the RFC (slices, filters, descendants, several selectors) is refused with its position,
because a field must have one value and a batch must not depend on the order of members.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dash_app.domain.errors import Invalid
from dash_app.domain.specs import PathStep

MAX_PATH_LENGTH = 1000
MAX_STEPS = 50

#: Member names that need no brackets: RFC 9535's member-name-shorthand.
_SHORTHAND = re.compile(r"[A-Za-z_\u0080-\ud7ff\ue000-\U0010ffff][0-9A-Za-z_\u0080-\ud7ff\ue000-\U0010ffff]*")
_INDEX = re.compile(r"(0|-?[1-9][0-9]*)[ \t\r\n]*\]")
_BLANK = re.compile(r"[ \t\r\n]*")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "/": "/", "\\": "\\"}
#: RFC 9535 keeps indexes within I-JSON's exact integers.
_LARGEST_INDEX = 2**53 - 1


def parse_path(text: str) -> tuple[PathStep, ...]:
    """The steps of a path; `$` alone is the empty tuple.

    Raises Invalid with the position (counted from 1) and what was expected there.
    """
    if not isinstance(text, str):
        raise Invalid(f"a path is text that begins with $, not {type(text).__name__}")
    if len(text) > MAX_PATH_LENGTH:
        raise Invalid(f"a path has at most {MAX_PATH_LENGTH} characters, this one has {len(text)}")
    if not text.startswith("$"):
        raise Invalid(f"position 1 of path '{text[:60]}': a path begins with $")
    steps: list[PathStep] = []
    at = 1
    while at < len(text):
        if text[at] == ".":
            at = _dotted(text, at + 1, steps)
        elif text[at] == "[":
            at = _bracketed(text, _BLANK.match(text, at + 1).end(), steps)  # type: ignore[union-attr]
        else:
            raise _wrong(text, at, "'.' or '[' expected")
    if len(steps) > MAX_STEPS:
        raise Invalid(f"a path has at most {MAX_STEPS} steps, this one has {len(steps)}")
    return tuple(steps)


def format_path(steps: Sequence[PathStep]) -> str:
    """The path of these steps, in the form that `parse_path` reads back to the same steps."""
    text = "$"
    for step in steps:
        if step is None:
            text += "[*]"
        elif isinstance(step, int):
            text += f"[{step}]"
        elif _SHORTHAND.fullmatch(step):
            text += f".{step}"
        else:
            text += f"['{_escaped(step)}']"
    return text


def _dotted(text: str, at: int, steps: list[PathStep]) -> int:
    if text.startswith("*", at):
        steps.append(None)
        return at + 1
    if text.startswith(".", at):
        raise _wrong(text, at, "'..' (descendants) is not supported; name every step")
    name = _SHORTHAND.match(text, at)
    if name is None:
        raise _wrong(text, at, "a name or * expected; write other names as ['…']")
    steps.append(name.group())
    return name.end()


def _bracketed(text: str, at: int, steps: list[PathStep]) -> int:
    if text[at : at + 1] in ("'", '"'):
        name, at = _quoted(text, at)
        steps.append(name)
    elif text.startswith("*", at):
        steps.append(None)
        at += 1
    else:
        index = _INDEX.match(text, at)
        if index is None:
            raise _wrong(text, at, "a quoted name, an index or * expected")
        if abs(int(index.group(1))) > _LARGEST_INDEX:
            raise _wrong(text, at, "an index within ±(2^53 − 1) expected")
        steps.append(int(index.group(1)))
        return index.end()
    at = _BLANK.match(text, at).end()  # type: ignore[union-attr]
    if not text.startswith("]", at):
        raise _wrong(text, at, "']' expected")
    return at + 1


def _quoted(text: str, start: int) -> tuple[str, int]:
    quote = text[start]
    name = ""
    at = start + 1
    while at < len(text) and text[at] != quote:
        char = text[at]
        if char < " ":
            raise _wrong(text, at, "control characters are written as \\u00XX")
        if char != "\\":
            name += char
            at += 1
            continue
        escape = text[at + 1 : at + 2]
        if escape == quote or escape in _ESCAPES:
            name += _ESCAPES.get(escape, escape)
            at += 2
        elif escape == "u" and re.fullmatch(r"[0-9A-Fa-f]{4}", text[at + 2 : at + 6]):
            name += chr(int(text[at + 2 : at + 6], 16))
            at += 6
        else:
            raise _wrong(text, at, "unknown escape")
    if at >= len(text):
        raise _wrong(text, start, "this quote is never closed")
    try:
        # Two \u escapes may be one character written as a surrogate pair; half a pair is no character at all.
        return name.encode("utf-16", "surrogatepass").decode("utf-16"), at + 1
    except UnicodeDecodeError:
        raise _wrong(text, start, "half a surrogate pair is not a character") from None


def _escaped(name: str) -> str:
    out = name.replace("\\", "\\\\").replace("'", "\\'")
    return re.sub(r"[\x00-\x1f]", lambda hit: f"\\u{ord(hit.group()):04x}", out)


def _wrong(text: str, at: int, what: str) -> Invalid:
    found = f", found '{text[at]}'" if at < len(text) else ", found the end"
    return Invalid(f"position {at + 1} of path '{text[:60]}': {what}{found if 'expected' in what else ''}")
