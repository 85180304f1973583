"""Rows of a Parquet file that somebody else has written, as lines of JSON, with bounded memory.

Column chunks are read through a small buffer and decoded a batch at a time. Types that JSON does not have become text:
times in ISO 8601 (without a zone where they have none), bytes as the text they are or else in base64. Decimals become
numbers. What has no such form (unions, calendar intervals, bytes within lists) is refused by the column's name.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dash_app.domain.errors import DashError, Permanent
from dash_app.storage.uploads import RandomFile

#: A batch is about as many bytes of Arrow, going by what the file says of its row groups.
_BATCH_BYTES = 1 << 20
_MOST_ROWS = 10_000
_BUFFER = 1 << 20
_MOST_COLUMNS = 2_000


class UnreadableTable(Permanent):
    """The file is no Parquet file that can be read."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`lines`: NDJSON. `group` and `row`: the place behind them; `rows_behind`: of the whole file."""

    lines: bytes
    group: int
    row: int
    rows_behind: int


class ParquetRows:
    """A file with `size` and `read(start, stop)`. Raises UnreadableTable, here and in `batches`."""

    def __init__(self, reader: Any) -> None:
        try:
            self._file = pq.ParquetFile(
                pa.PythonFile(RandomFile(reader), mode="r"),
                buffer_size=_BUFFER,
                pre_buffer=False,
                page_checksum_verification=True,
            )
            schema = self._file.schema_arrow
        except DashError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UnreadableTable(f"not a Parquet file that can be read: {_said(error)}") from error
        if len(schema.names) > _MOST_COLUMNS:
            raise UnreadableTable(f"the file has {len(schema.names):,} columns; at most {_MOST_COLUMNS:,} are taken")
        if len(set(schema.names)) < len(schema.names):
            raise UnreadableTable("two columns have the same name")
        for field in schema:
            if wrong := _without_form(field.type):
                raise UnreadableTable(f"the column '{field.name[:80]}' holds {wrong}, which JSON has no form for")
        self.rows: int = self._file.metadata.num_rows

    def batches(self, group: int = 0, row: int = 0) -> Iterator[Batch]:
        """The rows from a place on."""
        metadata = self._file.metadata
        behind = sum(metadata.row_group(n).num_rows for n in range(min(group, metadata.num_row_groups)))
        for number in range(group, metadata.num_row_groups):
            about = metadata.row_group(number)
            size = _batch_rows(about.total_byte_size, about.num_rows)
            at = 0
            for lines, count in self._lines(number, size, skip=row if number == group else 0):
                at += count
                if lines:
                    whole = at >= about.num_rows
                    yield Batch(lines, number + whole, 0 if whole else at, behind + at)
            behind += about.num_rows

    def _lines(self, group: int, size: int, skip: int) -> Iterator[tuple[bytes, int]]:
        """NDJSON and rows of each batch; batches within `skip` come empty."""
        try:
            at = 0
            for batch in self._file.iter_batches(batch_size=size, row_groups=[group], use_threads=False):
                count, new = batch.num_rows, max(0, at + batch.num_rows - max(at, skip))
                at += count
                yield (_ndjson(batch.slice(count - new)) if new else b""), count
        except DashError:
            raise
        except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise UnreadableTable(f"the row group {group} cannot be read: {_said(error)}") from error


def _batch_rows(size: int, rows: int) -> int:
    each = max(1, size // max(1, rows))
    return max(1, min(_MOST_ROWS, _BATCH_BYTES // each))


def _ndjson(batch: pa.RecordBatch) -> bytes:
    frame = pl.DataFrame(pl.from_arrow(batch))
    made: list[pl.Expr | pl.Series] = []
    for name, kind in frame.schema.items():
        column = pl.col(name)
        if kind == pl.Binary:
            made.append(pl.Series(name, [_text(value) for value in frame[name]], dtype=pl.String))
        elif isinstance(kind, pl.Decimal):
            # A whole number of more digits than a bigint has stays what it is, as text.
            wide = not kind.scale and (kind.precision or 38) > 18
            made.append(column.cast(pl.String if wide else pl.Float64 if kind.scale else pl.Int64))
        elif kind in (pl.Categorical, pl.Enum):
            made.append(column.cast(pl.String))
    out = io.BytesIO()
    frame.with_columns(made).write_ndjson(out)
    return out.getvalue()


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode() if value is not None else None


def _without_form(kind: pa.DataType, *, nested: bool = False) -> str | None:
    if pa.types.is_union(kind):
        return "a union"
    if pa.types.is_interval(kind):
        return "a calendar interval"
    if nested and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)):
        return "bytes within a list or a structure"
    if pa.types.is_nested(kind):
        inner = (kind.field(number).type for number in range(kind.num_fields))
        return next((wrong for one in inner if (wrong := _without_form(one, nested=True))), None)
    return None


def _said(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
