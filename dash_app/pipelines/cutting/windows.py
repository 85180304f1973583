"""Text files, a window at a time: a cutter takes what is whole of it, and the next window begins behind that."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dash_app.pipelines.cutting.base import Cut, Damaged, Reader, Step, Window

Cutter = Callable[[Window, Mapping[str, Any]], Cut]

#: As much as is read at once, and stored in one transaction.
WIDTH = 4 << 20
_WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_steps(
    reader: Reader, cutter: Cutter, content_type: str, position: Mapping[str, Any], most: int
) -> Iterator[Step]:
    """The steps of a text file from `position` on."""
    at, state, width = position.get("at", 0), position.get("state", {}), WIDTH
    if at == 0:
        at = _begin(reader)
    while at < reader.size:
        data = reader.read(at, min(at + width, reader.size))
        window = Window(data, at, at + len(data) >= reader.size, content_type, most)
        cut = cutter(window, state)
        if not cut.used:
            if window.last:
                raise Damaged(f"the file cannot be read on from byte {at:,}")
            if width > 2 * most + WIDTH:
                raise Damaged(
                    f"no record ends within {width:,} bytes from byte {at:,} on; the largest that is taken "
                    f"has {most:,} (max_bytes)"
                )
            width *= 2
            continue
        at, state, width = at + cut.used, cut.state, WIDTH
        yield Step(cut.pieces, {"at": at, "state": state}, at)


def _begin(reader: Reader) -> int:
    """Where the text begins: behind the mark that some programs put before UTF-8."""
    head = reader.read(0, 4)
    if head.startswith(_WIDE_MARKS):
        raise Damaged("the file is UTF-16 or UTF-32; save it as UTF-8")
    return len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0


def check_text(body: bytes, content_type: str, at: int) -> None:
    """Damaged where a piece is not UTF-8 and its content type names nothing else. `at`: where it begins in the file."""
    charset = charset_of(content_type)
    if charset not in ("utf-8", "utf8"):
        return
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged(
            f"byte {at + error.start:,} is not UTF-8; save the file as UTF-8, or name its encoding, such as "
            "text/csv; charset=windows-1252"
        ) from None


def charset_of(content_type: str) -> str:
    for part in content_type.split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return "utf-8"
