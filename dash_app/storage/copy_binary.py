"""Polars columns → PostgreSQL's binary format, without a step of Python per row.

A row of a binary COPY is a count and, for each column, a length and its bytes. Whatever has the same width in every row
(the count, all lengths, the values of columns without nulls) is laid out as numpy records; only values whose width
differs from row to row break such a segment. Segments are then scattered to the places where rows begin, with one
assignment through a view of the output whose items overlap (one starts at every byte). Values of varying width go the
same way in pieces of 1, 2, 4, 8 … bytes, by the bits of their lengths: the work grows with the logarithm of the length.

The same fields without the counts are an array parameter (`array`), so that `unnest` can take a frame in one statement.

A handful of rows costs more to lay out than to write, so these are packed value by value: a live batch is mostly one
record, and its rollup three rows of some thirty columns.

Format: PostgreSQL documentation, COPY, "Binary Format"; `src/backend/utils/adt/*recv` for the values.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dash_app.domain.errors import Permanent

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"

#: Types of one width: the type's id in PostgreSQL's catalog, numpy's format, and the Polars type that it is read from.
_FIXED: Final[dict[str, tuple[int, str, pl.DataType]]] = {
    "float8": (701, ">f8", pl.Float64()),
    "int8": (20, ">i8", pl.Int64()),
    "int4": (23, ">i4", pl.Int32()),
    "int2": (21, ">i2", pl.Int16()),
    "bool": (16, "u1", pl.UInt8()),
    "timestamptz": (1184, ">i8", pl.Datetime("us", "UTC")),
}
#: A length and a value of each.
_PACK: Final = {
    "float8": struct.Struct(">id"),
    "int8": struct.Struct(">iq"),
    "int4": struct.Struct(">ii"),
    "int2": struct.Struct(">ih"),
    "bool": struct.Struct(">iB"),
    "timestamptz": struct.Struct(">iq"),
}
_NULL: Final = struct.pack(">i", -1)
#: Types of any width: the id, what stands before the bytes, and the Polars type.
_VARYING: Final[dict[str, tuple[int, bytes, pl.DataType]]] = {
    "text": (25, b"", pl.String()),
    "jsonb": (3802, b"\x01", pl.String()),
    "bytea": (17, b"", pl.Binary()),
    "uuid": (2950, b"", pl.Binary()),
}
#: Up to so many rows are packed value by value.
_FEW: Final = 96
#: Microseconds from 1970 to 2000, where PostgreSQL's clock begins, and the first moment it knows (4714 BC).
_EPOCH: Final = 946_684_800_000_000
_EARLIEST: Final = -211_813_488_000_000_000 + _EPOCH

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Varying:
    """The bytes of one column's values: where each starts in `source`, and how many there are."""

    source: Bytes
    starts: Offsets
    lengths: Offsets
    prefix: bytes = b""
    #: Rows that have a value; None: all.
    rows: npt.NDArray[np.bool_] | None = None


class _Layout:
    """Collects fields in the order of the stream, then writes all rows at once."""

    def __init__(self, height: int) -> None:
        self.height = height
        self._formats: list[str] = []
        self._values: list[Any] = []
        self._parts: list[npt.NDArray[Any] | _Varying] = []

    def fixed(self, form: str, values: Any) -> None:
        """Values of one width, an array or one for all rows."""
        self._formats.append(form)
        self._values.append(values)

    def varying(self, part: _Varying) -> None:
        self._close()
        self._parts.append(part)

    def _segment(self, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        kind = np.dtype([(f"f{i}", form) for i, form in enumerate(self._formats)])
        records = np.empty(self.height, kind) if out is None else out.view(kind)
        for name, values in zip(kind.names or (), self._values, strict=True):
            records[name] = values
        return records

    def _close(self) -> None:
        if self._formats:
            self._parts.append(self._segment())
            self._formats, self._values = [], []

    def write(self, head: bytes, tail: bytes) -> memoryview:
        if not self._parts:  # every row has the same width: the records are the stream
            width = sum(np.dtype(form).itemsize for form in self._formats)
            out = np.empty(len(head) + width * self.height + len(tail), np.uint8)
            if width:
                self._segment(out[len(head) : len(out) - len(tail)])
        else:
            self._close()
            widths = np.zeros(self.height, np.int64)
            for part in self._parts:
                widths += _widths(part)
            out = np.empty(len(head) + int(widths.sum()) + len(tail), np.uint8)
            places = np.cumsum(widths) - widths + len(head)
            for part in self._parts:
                if isinstance(part, _Varying):
                    _scatter_varying(out, places, part)
                else:
                    _scatter(out, places, part)
                places = places + _widths(part)
        out[: len(head)] = np.frombuffer(head, np.uint8)
        out[len(out) - len(tail) :] = np.frombuffer(tail, np.uint8)
        return out.data


def encode(frame: pl.DataFrame, types: Sequence[str]) -> memoryview:
    """`frame` as a binary COPY stream; `types` are PostgreSQL's names of the types, in the order of the columns.

    Knows float8, int8, int4, int2, bool, timestamptz (from Datetime), text, jsonb (from String), bytea and uuid (from
    Binary). Columns of another type are cast strictly. Raises Permanent with the column's name for a value the type
    cannot hold.
    """
    if frame.height <= _FEW:
        columns = [_packed(series, name) for series, name in zip(frame.get_columns(), types, strict=True)]
        count = struct.pack(">h", len(types))
        rows = zip(*columns, strict=True) if columns else [()] * frame.height
        return memoryview(b"".join([_HEADER, *(b"".join((count, *row)) for row in rows), _TRAILER]))
    layout = _Layout(frame.height)
    layout.fixed(">i2", len(types))
    for series, name in zip(frame.get_columns(), types, strict=True):
        _field(layout, series, name)
    return layout.write(_HEADER, _TRAILER)


def array(series: pl.Series, name: str) -> memoryview:
    """`series` as a parameter of the type `name[]`, in binary format; the same types as `encode`."""
    element = (_FIXED.get(name) or _VARYING[name])[0]
    height = len(series)
    if not height:
        return memoryview(struct.pack(">iii", 0, 0, element))
    head = struct.pack(">iiiii", 1, int(series.null_count() > 0), element, height, 1)
    if height <= _FEW:
        return memoryview(b"".join([head, *_packed(series, name)]))
    layout = _Layout(height)
    _field(layout, series, name)
    return layout.write(head, b"")


def _cast(series: pl.Series, name: str) -> pl.Series:
    """The series as what the type is read from; times as microseconds since 1970."""
    kind = (_FIXED.get(name) or _VARYING[name])[2]
    try:
        if series.dtype != kind:
            series = series.cast(kind, strict=True)
    except pl.exceptions.PolarsError as error:
        raise Permanent(f"column '{series.name}' does not fit {name}: {str(error).splitlines()[0]}") from error
    return series.to_physical() if name == "timestamptz" else series


def _packed(series: pl.Series, name: str) -> list[bytes]:
    """The fields of a few rows: the length of each value and its bytes."""
    values = _cast(series, name).to_list()
    if name in _FIXED:
        pack = _PACK[name].pack
        width = _PACK[name].size - 4
        if name == "timestamptz":
            if any(value is not None and value < _EARLIEST for value in values):
                raise _too_early(series)
            values = [None if value is None else value - _EPOCH for value in values]
        return [_NULL if value is None else pack(width, value) for value in values]
    prefix = _VARYING[name][1]
    data = [value.encode() if isinstance(value, str) else value for value in values]
    if name == "uuid" and any(value is not None and len(value) != 16 for value in data):
        raise _no_uuid(series)
    return [
        _NULL if value is None else b"".join((struct.pack(">i", len(prefix) + len(value)), prefix, value))
        for value in data
    ]


def _too_early(series: pl.Series) -> Permanent:
    return Permanent(f"column '{series.name}' has a time before 4714 BC, which PostgreSQL cannot hold")


def _no_uuid(series: pl.Series) -> Permanent:
    return Permanent(f"column '{series.name}' has a uuid that is not 16 bytes long")


def _field(layout: _Layout, series: pl.Series, name: str) -> None:
    if name in _FIXED:
        _fixed(layout, _cast(series, name), name)
    else:
        _text(layout, _cast(series, name), name)


def _fixed(layout: _Layout, series: pl.Series, name: str) -> None:
    form = _FIXED[name][1]
    present = series.is_not_null().to_numpy() if series.null_count() else None
    values = (series if present is None else series.fill_null(0)).to_numpy()
    if name == "timestamptz":
        earliest = series.min()
        if earliest is not None and int(earliest) < _EARLIEST:  # type: ignore[arg-type]
            raise _too_early(series)
        values = values - _EPOCH
    width = np.dtype(form).itemsize
    if present is None:
        layout.fixed(">i4", width)
        layout.fixed(form, values)
        return
    layout.fixed(">i4", np.where(present, width, -1))
    source = values.astype(form).view(np.uint8)
    starts = np.arange(len(values), dtype=np.int64) * width
    layout.varying(_Varying(source, starts, np.where(present, width, 0)))


def _text(layout: _Layout, series: pl.Series, name: str) -> None:
    prefix = _VARYING[name][1]
    arrow = series.to_arrow()
    _, offsets_buffer, data = arrow.buffers()
    offsets = (
        np.frombuffer(offsets_buffer, np.int64, len(series) + 1, arrow.offset * 8)
        if len(series)
        else np.zeros(1, np.int64)
    )
    source = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    lengths = np.diff(offsets)
    present = None
    if series.null_count():
        present = series.is_not_null().to_numpy()
        lengths = np.where(present, lengths, 0)
    if name == "uuid" and not (lengths[present if present is not None else ...] == 16).all():
        raise _no_uuid(series)
    counted = lengths + len(prefix)
    layout.fixed(">i4", counted if present is None else np.where(present, counted, -1))
    layout.varying(_Varying(source, offsets[:-1], lengths, prefix, present))


def _widths(part: npt.NDArray[Any] | _Varying) -> int | Offsets:
    if not isinstance(part, _Varying):
        return part.dtype.itemsize
    if not part.prefix:
        return part.lengths
    return part.lengths + len(part.prefix) * (1 if part.rows is None else part.rows)


def _window(buffer: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """`buffer` as items of `width` bytes of which one starts at every byte."""
    return np.ndarray((len(buffer) - width + 1,), f"V{width}", buffer, strides=(1,))


def _scatter(out: Bytes, places: Offsets, records: npt.NDArray[Any]) -> None:
    if len(places):
        _window(out, records.dtype.itemsize)[places] = records.view(f"V{records.dtype.itemsize}")


def _scatter_varying(out: Bytes, places: Offsets, part: _Varying) -> None:
    if part.prefix:
        rows = places if part.rows is None else places[part.rows]
        _scatter(out, rows, np.full(len(rows), np.frombuffer(part.prefix, f"V{len(part.prefix)}")[0]))
        places = places + len(part.prefix)  # rows without a value have no bytes to write either
    longest = int(part.lengths.max(initial=0))
    for bit in range(longest.bit_length()):
        width = 1 << bit
        rows = np.flatnonzero(part.lengths & width)
        if len(rows):
            # The pieces of a value stand in the order of their bits, smallest first.
            done = part.lengths[rows] & (width - 1)
            _window(out, width)[places[rows] + done] = _window(part.source, width)[part.starts[rows] + done]
