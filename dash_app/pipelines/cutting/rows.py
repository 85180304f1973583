"""CSV: each piece has the header again. The reader that finds the rows' borders is the one that will decode them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from dash_app.pipelines.cutting.base import TARGET, Cut, Damaged, Piece, Window
from dash_app.pipelines.cutting.windows import charset_of, check_text


class _Lines:
    """The lines of a text, and how many of its characters the reader has taken."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.taken = 0
        self.over = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._lines.readline()
        if not line:
            self.over = True
            raise StopIteration
        self.taken += len(line)
        return line


def cut_rows(window: Window, state: Mapping[str, Any]) -> Cut:
    """Pieces of whole rows. `state`: the header as it is written, and how many lines are behind us."""
    # Bytes as the characters of the same numbers: what matters here is ASCII, and places stay bytes.
    text = window.data.decode("latin-1")
    if not window.last:
        text = text[: _ends(text)]
    header, line = state.get("header", ""), state.get("line", 0)
    lines = _Lines(text)
    rows = csv.reader(lines, strict=True)
    kind = _content_type(window.content_type)
    room = min(TARGET, window.most)
    pieces: list[Piece] = []
    begun = border = count = 0  # where the piece in hand begins, where its last row ends, how many rows it has
    done_lines = 0

    def finish(end: int) -> None:
        body = (header + text[begun:end]).encode("latin-1")
        if len(body) > window.most:
            raise Damaged(
                f"a row near line {line + rows.line_num:,} has {len(body):,} bytes with its header; a payload has at "
                f"most {window.most:,} (max_bytes)"
            )
        check_text(body, kind, window.at + begun - len(header))
        pieces.append(Piece(body, kind, count))

    try:
        for row in rows:
            blank = not row or (len(row) == 1 and not row[0].strip())
            if not header:
                if not blank:
                    header = _header(text[border : lines.taken])
                begun = border = lines.taken
                done_lines = rows.line_num
                continue
            if count and lines.taken - begun + len(header) > room:
                finish(border)
                begun, count = border, 0
            border, done_lines = lines.taken, rows.line_num
            count += not blank
    except csv.Error as error:
        if window.last or not lines.over:
            text_of = "a quote is opened and never closed" if lines.over else str(error)
            raise Damaged(f"not valid CSV in line {line + rows.line_num:,}: {text_of}") from None
        # The window ends within a quoted value: the row is whole in the next one.
    if count:
        finish(border)
    return Cut(tuple(pieces), border, {"header": header, "line": line + done_lines})


def _ends(text: str) -> int:
    """Behind the last end of a line; a \\r at the very end may be the first half of one."""
    end = text.rfind("\n") + 1
    return end or text.rfind("\r", 0, max(0, len(text) - 1)) + 1


def _header(text: str) -> str:
    if "\x00" in text:
        raise Damaged("the header holds a zero byte, so this is no CSV file")
    if len(text) > TARGET // 4:
        raise Damaged(f"the header has {len(text):,} bytes; at most {TARGET // 4:,} are taken")
    return text if text.endswith(("\n", "\r")) else f"{text}\n"


def _content_type(given: str) -> str:
    charset = charset_of(given)
    return "text/csv" if charset in ("utf-8", "utf8") else f"text/csv; charset={charset}"
