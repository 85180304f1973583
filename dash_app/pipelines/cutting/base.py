"""What all ways of cutting share: pieces, steps, and the error of a file that cannot be cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dash_app.domain.errors import Permanent

#: The size that payloads are cut to, where records allow it.
TARGET = 1 << 20


class Damaged(Permanent):
    """The file cannot be read as what it is said to be."""

    title = "File not readable"


class Reader(Protocol):
    """A file's bytes, a stretch at a time."""

    @property
    def size(self) -> int: ...

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`, fewer only where the file ends sooner."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A payload to be, with the number of its records."""

    body: bytes
    content_type: str
    records: int


@dataclass(frozen=True, slots=True)
class Step:
    """Some pieces, and the place behind them: plain JSON. `consumed`: bytes of the file that are behind it."""

    pieces: tuple[Piece, ...]
    position: Mapping[str, Any]
    consumed: int


@dataclass(frozen=True, slots=True)
class Cut:
    """What was made of a window: its pieces, how many of its bytes that was, and what the next window must know."""

    pieces: tuple[Piece, ...]
    used: int
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a text file. `at`: where it begins in the file; `last`: whether the file ends with it."""

    data: bytes
    at: int
    last: bool
    content_type: str
    #: The bytes that a payload may have.
    most: int
