"""text/event-stream read as the HTML standard says (9.2.6), in whatever pieces it comes, within a limit."""

from __future__ import annotations

import codecs
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `id`: the last one that the stream has named, here or earlier. `too_large`: it was beyond the limit,
    and its data is gone."""

    data: str
    type: str = "message"
    id: str = ""
    too_large: bool = False


class EventStream:
    """Bytes in, events out. `retry`: the seconds that the server wants between two connections; None: none said."""

    def __init__(self, limit: int, last_id: str = "") -> None:
        self._limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line: list[str] = []
        self._line_size = 0
        self._after_cr = False
        self._first = True
        self._data: list[str] = []
        self._size = 0
        self._type = ""
        self._id = last_id
        self._too_large = False
        self.retry: float | None = None

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece ends."""
        text = self._decoder.decode(piece)
        if self._first and text:
            self._first = False
            text = text.removeprefix("\ufeff")
        if self._after_cr and text:
            # \r\n is one end of a line, also where a piece ends between the two.
            self._after_cr = False
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r") or (self._after_cr and not text)
        found: list[Event] = []
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for number, part in enumerate(lines):
            self._keep(part)
            if number < len(lines) - 1:
                line, self._line, self._line_size = "".join(self._line), [], 0
                if line:
                    self._field(line)
                elif (event := self._end()) is not None:
                    found.append(event)
        return found

    def _keep(self, part: str) -> None:
        if not part:
            return
        if self._line_size > self._limit + 100:
            self._too_large = True
            return
        self._line.append(part)
        self._line_size += len(part)

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            if self._too_large:
                return
            self._size += len(value) + 1
            if self._size > self._limit + 1:
                self._too_large = True
                self._data.clear()
            else:
                self._data.append(value)
        elif name == "event":
            self._type = value[:200]
        elif name == "id" and "\0" not in value:
            self._id = value[:2000]
        elif name == "retry" and value.isascii() and value.isdecimal():
            self.retry = min(float(value[:12]) / 1000, 3600.0)

    def _end(self) -> Event | None:
        event = None
        if self._too_large:
            event = Event("", self._type or "message", self._id, too_large=True)
        elif self._data:
            event = Event("\n".join(self._data), self._type or "message", self._id)
        self._data, self._size, self._type, self._too_large = [], 0, "", False
        return event
