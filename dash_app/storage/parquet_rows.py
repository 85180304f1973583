"""Rows of a Parquet file that somebody else has written, as lines of JSON, with bounded memory.

Column chunks are read through a small buffer and decoded a batch at a time, first a single row and then as many as the
rows before let fit. What a file says of its sizes binds nobody, so `storage/parquet_apart.py` does this in a process
that may take just so much memory. Types that JSON does not have become text:
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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dash_app.domain.errors import DashError, Permanent
from dash_app.storage.uploads import RandomFile

#: A batch is about as many bytes, going by the rows before it; one that is this much larger is read again in parts.
_BATCH_BYTES = 1 << 20
_TOO_LARGE = 16 << 20
#: As much as a single row may have.
_ROW_BYTES = 64 << 20
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
        self._names = sum(len(field.name) + len(str(field.type)) for field in schema)

    def batches(self, group: int = 0, row: int = 0) -> Iterator[Batch]:
        """The rows from a place on."""
        metadata = self._file.metadata
        behind = sum(metadata.row_group(n).num_rows for n in range(min(group, metadata.num_row_groups)))
        for number in range(group, metadata.num_row_groups):
            rows = metadata.row_group(number).num_rows
            for lines, at in self._lines(number, row if number == group else 0):
                whole = at >= rows
                yield Batch(lines, number + whole, 0 if whole else at, behind + at)
            behind += rows

    def _lines(self, group: int, at: int) -> Iterator[tuple[bytes, int]]:
        """NDJSON of each batch of a row group from a row on, and the row behind it."""
        rows, known = 1, False
        while rows:
            try:
                # How many rows at a time it is to be anew, from `at` on; 0: all have been read.
                rows_now, rows = rows, 0
                for batch, stop in self._from(group, rows_now, at):
                    weight = self._weight(batch)
                    each = max(1, weight // batch.num_rows)
                    if not known:
                        known, rows = True, max(1, min(_MOST_ROWS, _BATCH_BYTES // each))
                        if rows > 1:
                            break
                        rows = 0
                    if weight > _TOO_LARGE and batch.num_rows > 1:
                        rows = max(1, min(_BATCH_BYTES // each, batch.num_rows // 2))
                        break
                    if weight > _ROW_BYTES:
                        raise UnreadableTable(
                            f"row {stop:,} of the row group {group} has {weight:,} bytes once it is unpacked; at most "
                            f"{_ROW_BYTES:,} are taken"
                        )
                    at = stop
                    yield _ndjson(batch), at
            except DashError:
                raise
            except MemoryError as error:
                if rows_now == 1:
                    raise UnreadableTable(
                        f"a row of the row group {group} needs more memory than one may have: {_said(error)}"
                    ) from error
                rows = max(1, rows_now // 16)
            except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
                raise UnreadableTable(f"the row group {group} cannot be read: {_said(error)}") from error

    def _from(self, group: int, size: int, at: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Batches of the rows from `at` on, and the row behind each."""
        stop = 0
        for batch in self._file.iter_batches(batch_size=size, row_groups=[group], use_threads=False):
            stop += batch.num_rows
            if stop > at:
                yield batch.slice(max(0, batch.num_rows - (stop - at))), stop

    def _weight(self, batch: pa.RecordBatch) -> int:
        """About the bytes of a batch as NDJSON, as far as they can be known before they are made: names stand in each
        row, and a value that rows share in each of them."""
        weight = int(batch.nbytes) + batch.num_rows * self._names
        for column in batch.columns:
            if pa.types.is_dictionary(column.type):
                weight += _spread(column)
        return weight


def _spread(column: pa.DictionaryArray) -> int:
    """The bytes of a column's values, each counted wherever it stands."""
    values = column.dictionary
    try:
        return int(pc.sum(pc.binary_length(values).take(column.indices)).as_py() or 0)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return int(values.nbytes) // max(1, len(values)) * len(column)


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
