"""A frame: the columns of a table, encoded once for all who see it (`docs/live.md`)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import polars as pl

FrameKind = Literal["snapshot", "update", "error"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to show. `key`: columns that name a row, so that a row sent again replaces itself; empty: all is
    replaced."""

    frame: pl.DataFrame
    columns: Sequence[Mapping[str, Any]]
    key: Sequence[str] = ()
    #: Range and bucket width that the rows cover, in epoch milliseconds and milliseconds.
    start: int | None = None
    end: int | None = None
    every: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def _column(series: pl.Series) -> list[Any]:
    if isinstance(series.dtype, pl.Datetime):
        return series.dt.epoch("ms").to_list()
    if series.dtype.is_float():
        # JSON has no NaN and no infinities.
        return series.to_frame().select(pl.when(pl.first().is_finite()).then(pl.first())).to_series().to_list()
    if series.dtype.is_decimal():
        return series.cast(pl.Float64).to_list()
    return series.to_list()


def encode(topic: str, seq: int, kind: FrameKind, table: Table, at: int | None = None) -> bytes:
    """The frame's JSON. `at` is when its newest rows were committed, in epoch milliseconds."""
    return orjson.dumps(
        {
            "topic": topic,
            "seq": seq,
            "kind": kind,
            "columns": [dict(column) for column in table.columns],
            "data": [_column(table.frame[column["name"]]) for column in table.columns],
            "key": list(table.key),
            "from": table.start,
            "to": table.end,
            "every": table.every,
            "at": at,
            **table.extra,
        },
        default=str,
    )


def packet(message: bytes) -> bytes:
    """A text message as a server puts it on a WebSocket (RFC 6455): whole, unmasked, and the same for everybody."""
    length = len(message)
    if length < 126:
        return struct.pack("!BB", 0x81, length) + message
    if length < 1 << 16:
        return struct.pack("!BBH", 0x81, 126, length) + message
    return struct.pack("!BBQ", 0x81, 127, length) + message


def encode_error(topic: str, title: str, detail: str) -> bytes:
    return orjson.dumps({"topic": topic, "kind": "error", "title": title, "detail": detail})
