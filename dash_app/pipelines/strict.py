"""Many lines of JSON → columns in one parse: the strict road, which takes only what the loose road would read the same.

Polars reads lines with a schema several times as fast as Python makes objects of them, but it is no judge: with
`ignore_errors` it leaves out what does not fit, of a key that stands twice it takes the first, it makes texts of
numbers, and an array a few thousand deep ends the process. So its answer is held against the bytes it came from. With
a handful of passes over the buffer we know where each key of the mapping stands (`"name":`) and how the value behind
it begins, and a line is accepted only if each key stands there exactly as often as a value came out of it, or once as
null. Lines that fail this go the loose road, one by one; they cost more, and nobody else's time.

Left aside from the start: payloads with \\u escapes (keys can hide in them), lines that are no `{…}`, blanks before a
colon, and mappings that need more than names and plain types (`StrictRoad.of` gives None for those).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from dash_app.pipelines.decode import JSON_BLANKS, MAX_DEPTH
from dash_app.pipelines.loose import EXACT, KEY_SEPARATOR, LONGEST_KEY, Leaf

_DTYPES: Mapping[str, pl.DataType] = {
    "number": pl.Float64(),
    "seconds": pl.Float64(),
    "integer": pl.Int64(),
    "ticks": pl.Int64(),
    "boolean": pl.Boolean(),
    "text": pl.String(),
    "moment": pl.String(),
}
_QUOTE, _COLON, _OPEN, _CLOSE, _BRACKET, _NEWLINE, _RETURN, _SPACE = b'":{}[\n\r '
_NUMERALS = list(b"-0123456789")
#: Blank lines before the first, so that eight bytes can be read before every key.
_MARGIN = b"\n" * 8

_TRIED_TOGETHER = 32

_Ints = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Strict:
    """What came of a buffer: for each line the body it is in (`body`) and its place there, which ones are blank, which
    ones are left to the loose road; and a frame with a row for each of the others, in order.
    """

    body: _Ints
    starts: _Ints
    ends: _Ints
    blank: _Flags
    loose: _Flags
    frame: pl.DataFrame
    buffer: bytes

    def line(self, number: int) -> bytes:
        return self.buffer[self.starts[number] : self.ends[number]].strip(JSON_BLANKS)


@dataclass(frozen=True, slots=True)
class _Node:
    """A place in the schema: an object on the way, or a value."""

    path: tuple[str, ...]
    dtype: pl.DataType | None

    @property
    def expression(self) -> pl.Expr:
        expression = pl.col(self.path[0])
        for name in self.path[1:]:
            expression = expression.struct.field(name)
        return expression


@dataclass(frozen=True, slots=True)
class StrictRoad:
    """The strict road of one mapping."""

    leaves: tuple[Leaf, ...]
    schema: Mapping[str, Any]
    nodes: Mapping[str, tuple[_Node, ...]]
    #: Keys read for identity alone, which may be texts or numbers.
    untyped: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, leaves: Sequence[Leaf]) -> StrictRoad | None:
        """The road for these leaves, or None where some need what only the loose road can give."""
        dtypes: dict[tuple[str, ...], pl.DataType] = {}
        keys = set()
        for leaf in leaves:
            path = tuple(step for step in leaf.path if isinstance(step, str) and _plain(step))
            if len(path) != len(leaf.path) or not path:
                return None
            if leaf.want == "key":
                keys.add(path)
            elif leaf.want not in _DTYPES or dtypes.setdefault(path, _DTYPES[leaf.want]) != _DTYPES[leaf.want]:
                return None
        untyped = frozenset(keys - dtypes.keys())
        dtypes |= dict.fromkeys(untyped, pl.String())
        objects = {path[:size] for path in dtypes for size in range(1, len(path))}
        if not dtypes or objects & dtypes.keys():
            return None
        nodes: dict[str, tuple[_Node, ...]] = {}
        for path in objects | dtypes.keys():
            nodes[path[-1]] = (*nodes.get(path[-1], ()), _Node(path, dtypes.get(path)))
        if any(path in untyped and len(nodes[path[-1]]) > 1 for path in untyped):
            return None
        return cls(tuple(leaves), _schema(dtypes), nodes, untyped)

    def takes(self, body: bytes) -> bool:
        """Whether a body can go this road at all."""
        return b"\\" not in body or b"\\u" not in body

    def read(self, bodies: Sequence[bytes]) -> Strict | None:
        """Read the lines of bodies (each `takes`-able); None where the parser gives up, which it does for the whole
        buffer."""
        buffer = b"\n".join((_MARGIN[:-1], *bodies, b""))
        scan = _Scan.of(buffer, bodies)
        frame = scan.parse(self.schema)
        if frame is None and scan.without_broken_lines():
            frame = scan.parse(self.schema)
        return None if frame is None else self._verified(scan, frame)

    def _verified(self, scan: _Scan, frame: pl.DataFrame) -> Strict:
        every = [node for nodes in self.nodes.values() for node in nodes]
        flags = frame.select(node.expression.is_not_null().alias(str(number)) for number, node in enumerate(every))
        present = {node: column.to_numpy() for node, column in zip(every, flags.iter_columns(), strict=True)}
        values = frame.select(
            node.expression.alias(leaf.column) for leaf in self.leaves for node in self.nodes[str(leaf.path[-1])]
            if node.path == leaf.path
        )  # fmt: skip
        firsts: dict[tuple[str, ...], npt.NDArray[np.uint8]] = {}
        for name, nodes in self.nodes.items():
            at, first = scan.key(name)
            found = sum(int(present[node].sum()) for node in nodes)
            textual = any(node.dtype == pl.String() and node.path not in self.untyped for node in nodes)
            if len(at) != found or (textual and (first != _QUOTE).any()):
                scan.compare(at, first, [present[node] for node in nodes], textual=textual)
            for node in nodes:
                if node.path in self.untyped:
                    firsts[node.path] = scan.by_row(at, first)
        for leaf in self.leaves:
            if leaf.want == "key":
                part, sure = _key_part(pl.col(leaf.column), values.schema[leaf.column], firsts.get(_names(leaf)))
                told = values.select(part=part, sure=sure)
                values = values.with_columns(told["part"].alias(leaf.column))
                scan.leave(~told["sure"].to_numpy())
        return scan.result(values)


def _names(leaf: Leaf) -> tuple[str, ...]:
    return tuple(str(step) for step in leaf.path)


def _plain(name: str) -> bool:
    """Whether a key can be written in one way only where there are no \\u escapes."""
    return not any(char in '"\\/' or char < " " for char in name)


def _schema(dtypes: Mapping[tuple[str, ...], pl.DataType]) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    below: dict[str, dict[tuple[str, ...], pl.DataType]] = {}
    for path, dtype in dtypes.items():
        if len(path) == 1:
            schema[path[0]] = dtype
        else:
            below.setdefault(path[0], {})[path[1:]] = dtype
    return schema | {name: pl.Struct(_schema(rest)) for name, rest in below.items()}


def _key_part(value: pl.Expr, dtype: pl.DataType, first: npt.NDArray[np.uint8] | None) -> tuple[pl.Expr, pl.Expr]:
    """A column as parts of a key (`loose.key_part`), and where that is sure to be right."""
    if dtype == pl.Int64():
        return "n" + value.cast(pl.String), pl.lit(True)
    if dtype == pl.Float64():
        whole = (value == value.floor()) & (value.abs() < EXACT)
        return "n" + value.cast(pl.Int64, strict=False).cast(pl.String), whole | value.is_null()
    if dtype == pl.Boolean():
        return "b" + value.cast(pl.String), pl.lit(True)
    short = value.str.len_bytes() <= LONGEST_KEY
    simple = short & ~value.str.contains_any(["\\", KEY_SEPARATOR]) | value.is_null()
    if first is None:
        return "s" + value, simple
    begins = pl.lit(pl.Series(first))
    text = begins == _QUOTE
    number = begins.is_in(_NUMERALS) & value.str.contains(r"^(?:0|-?[1-9][0-9]{0,14})$")
    return pl.when(text).then("s" + value).otherwise("n" + value), (text & simple) | number | value.is_null()


@dataclass(slots=True)
class _Scan:
    """A buffer of lines, and what passes over its bytes tell."""

    buffer: bytes
    bytes_: npt.NDArray[np.uint8]
    starts: _Ints
    ends: _Ints
    body: _Ints
    blank: _Flags
    loose: _Flags
    #: Which lines the parser sees as rows.
    rows: _Ints
    keys: _Ints
    words: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, buffer: bytes, bodies: Sequence[bytes]) -> _Scan:
        array = np.frombuffer(buffer, np.uint8)
        newlines = np.flatnonzero(array == _NEWLINE)[len(_MARGIN) - 1 :]
        starts, ends = newlines[:-1] + 1, newlines[1:].copy()
        ends -= array[ends - 1] == _RETURN
        ends = np.maximum(ends, starts)
        first = len(_MARGIN) + np.concatenate(([0], np.cumsum([len(body) + 1 for body in bodies])[:-1]))
        body = np.searchsorted(first, starts, side="right") - 1
        blank = ends == starts
        colon = array == _COLON
        keys = np.flatnonzero((array[:-1] == _QUOTE) & colon[1:])
        scan = cls(
            buffer=buffer, bytes_=array, starts=starts, ends=ends, body=body, blank=blank,
            loose=~blank & ((array[starts] != _OPEN) | (array[ends - 1] != _CLOSE)),
            rows=np.flatnonzero(ends - starts > 1), keys=keys,
            words=np.ndarray((len(buffer) - 7,), "<u8", buffer, strides=(1,))[keys - 6],
        )  # fmt: skip
        apart = np.flatnonzero(colon[1:] & (array[:-1] <= _SPACE))
        scan.loose[scan.line_of(apart)] = True
        opens = (array == _OPEN) | (array == _BRACKET)
        # Every line that stays has one at least, so no line can have many unless all together have more than that.
        if np.count_nonzero(opens) - np.count_nonzero(~scan.loose & ~blank) >= MAX_DEPTH:
            at = np.flatnonzero(opens)
            scan.loose |= np.searchsorted(at, ends) - np.searchsorted(at, starts) > MAX_DEPTH
        scan.blank_out(np.flatnonzero(scan.loose))
        return scan

    def line_of(self, at: _Ints) -> _Ints:
        return np.searchsorted(self.starts, at, side="right") - 1

    def blank_out(self, lines: _Ints) -> None:
        """Put `{}` where these lines are, so that the parser sees a row without values."""
        if not len(lines):
            return
        room = np.array(self.bytes_)
        for start, end in zip(self.starts[lines].tolist(), self.ends[lines].tolist(), strict=True):
            room[start:end] = _SPACE
            if end - start > 1:
                room[start : start + 2] = _OPEN, _CLOSE
        self.bytes_ = room
        kept = np.ones(len(self.keys), np.bool_)
        firsts, lasts = np.searchsorted(self.keys, self.starts[lines]), np.searchsorted(self.keys, self.ends[lines])
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            kept[first:last] = False
        self.keys, self.words = self.keys[kept], self.words[kept]

    def parse(self, schema: Mapping[str, Any]) -> pl.DataFrame | None:
        text = self.buffer if self.bytes_.flags.writeable is False else self.bytes_.tobytes()
        try:
            frame = pl.read_ndjson(text, schema=schema, ignore_errors=True)
        except pl.exceptions.PolarsError:
            return None
        return frame if frame.height == len(self.rows) else None

    def without_broken_lines(self) -> bool:
        """Leave lines that are no JSON, after the parser gave up without saying where; whether there are any.

        A look at a few lines at once is quicker than one at each; what joins to valid JSON by accident is found by the
        parser.
        """
        broken = []
        lines = self.rows[~self.loose[self.rows]]
        for first in range(0, len(lines), _TRIED_TOGETHER):
            some = lines[first : first + _TRIED_TOGETHER].tolist()
            texts = [self.buffer[self.starts[line] : self.ends[line]] for line in some]
            if not _is_json(b"[" + b",".join(texts) + b"]"):
                broken += [line for line, text in zip(some, texts, strict=True) if not _is_json(text)]
        at = np.array(broken, np.int64)
        self.loose[at] = True
        self.blank_out(at)
        return bool(broken)

    def key(self, name: str) -> tuple[_Ints, npt.NDArray[np.uint8]]:
        """Where `"name":` stands, and how the value behind it begins."""
        pattern = f'"{name}":'.encode()
        found = self._ending(self.words, pattern[-8:])
        at = self.keys[found]
        for cut in range(len(pattern) - 8, 0, -8):
            piece = pattern[max(cut - 8, 0) : cut]
            words = np.ndarray((len(self.buffer) - 7,), "<u8", self.buffer, strides=(1,))[
                at + 2 - len(pattern) + cut - 8
            ]
            at = at[self._ending(words, piece)]
        first = self.bytes_[at + 2]
        spaced = np.flatnonzero(first == _SPACE)
        first[spaced] = self.bytes_[at[spaced] + 3]
        return at, first

    @staticmethod
    def _ending(words: npt.NDArray[np.uint64], piece: bytes) -> _Ints:
        """Which of these eight bytes end with `piece`."""
        target = np.uint64(int.from_bytes(piece.rjust(8, b"\0"), "little"))
        if len(piece) == 8:
            return np.flatnonzero(words == target)
        mask = np.uint64((1 << 64) - (1 << 8 * (8 - len(piece))))
        return np.flatnonzero((words & mask) == target)

    def compare(
        self, at: _Ints, first: npt.NDArray[np.uint8], present: Iterable[npt.NDArray[np.bool_]], *, textual: bool
    ) -> None:
        """Leave lines to the loose road where a key does not stand as often as values came out, nor once as null."""
        lines = self.line_of(at)
        written = np.bincount(lines, minlength=len(self.starts))
        read = np.zeros(len(self.starts), np.int64)
        read[self.rows] = np.sum(list(present), axis=0)
        nulls = np.bincount(lines[first == ord("n")], minlength=len(self.starts))
        self.loose |= ~((written == read) | ((written == 1) & (read == 0) & (nulls == 1)))
        if textual:
            self.loose[lines[(first != _QUOTE) & (first != ord("n"))]] = True

    def by_row(self, at: _Ints, first: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """For each row how the value of a key begins (that stands there once, or the line is loose)."""
        by_line = np.zeros(len(self.starts), np.uint8)
        by_line[self.line_of(at)] = first
        return by_line[self.rows]

    def leave(self, rows: _Flags) -> None:
        self.loose[self.rows[rows]] = True

    def result(self, values: pl.DataFrame) -> Strict:
        sure = ~self.loose[self.rows]
        frame = values if sure.all() else values.filter(pl.Series(sure))
        return Strict(self.body, self.starts, self.ends, self.blank, self.loose, frame, self.buffer)


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
