"""The form of a bronze file: Parquet, one row a payload in order of id, body and headers byte for byte as received.

Rows are gathered in groups of about a MiB of bodies, and each group is compressed by itself. So a file is written with
little memory, and one payload is read from it with two small requests: the footer, and the one group whose range of ids
holds it. What a list shows of a payload stands before its headers and its body, side by side, so that a list is read
without them. Every page carries a checksum. The footer names team and pipeline, so that a file explains itself without
the manifest. The bytes depend on the rows alone: the same rows give the same file.
"""

from __future__ import annotations

import io
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dash_app.domain.events import Payload
from dash_app.storage.objects import ObjectDamaged, ObjectMissing, Objects

FORMAT = 1
SCHEMA = pa.schema(
    [
        pa.field("payload_id", pa.int64(), nullable=False),
        pa.field("received_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("content_type", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("headers", pa.string(), nullable=False),
        pa.field("body", pa.binary(), nullable=False),
    ]
)
_HEADING = ["payload_id", "received_at", "content_type", "source", "size"]
_WHOLE = ["payload_id", "received_at", "content_type", "headers", "body", "source"]
_REPEATING = ["content_type", "headers", "source"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: As much of a file's end as is read at once: the footer of a full file takes a fraction of it.
_TAIL = 1 << 16
#: Files up to this size are read with one request.
_SMALL = 1 << 18
#: As much of a file's groups as is read at once, and what may lie unread between two of them.
_STRETCH = 16 << 20
_GAP = 1 << 20


@dataclass(frozen=True, slots=True)
class Heading:
    """What a list shows of a payload. `size`: of its body, in bytes."""

    id: int
    received_at: datetime
    content_type: str
    size: int
    source: str


@dataclass(frozen=True, slots=True)
class BronzeFile:
    """One file as the manifest keeps it. `checksum`: SHA-256 in hex; ids are the first and the last in the file."""

    team: UUID
    pipeline: UUID
    key: str
    rows: int
    bytes: int
    checksum: str
    min_payload: int
    max_payload: int


class BronzeWriter:
    """Builds one file in memory. `add` groups of rows in order of id, then take `finish`."""

    def __init__(self, team: UUID, pipeline: UUID, compression: str = "zstd") -> None:
        about = json.dumps({"format": FORMAT, "team": str(team), "pipeline": str(pipeline)})
        self._schema = SCHEMA.with_metadata({"dash": about})
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(
            self._sink,
            self._schema,
            compression=compression,
            use_dictionary=_REPEATING,
            column_encoding={"payload_id": "DELTA_BINARY_PACKED", "received_at": "DELTA_BINARY_PACKED"},
            # The first and last of some bodies in the footer would help no reader.
            write_statistics=_HEADING,
            sorting_columns=[pq.SortingColumn(0)],
            write_page_checksum=True,
        )

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """One group, sorted by id: (id, received_at in µs since 1970, content_type, headers, body, source) a row."""
        if rows:
            given: dict[str, Sequence[Any]] = dict(zip(_WHOLE, zip(*rows, strict=True), strict=True))
            given["size"] = [len(body) for body in given["body"]]
            columns = [_column(field.type, given[field.name]) for field in SCHEMA]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema), row_group_size=len(rows))

    def finish(self) -> bytes:
        self._writer.close()
        data: bytes = self._sink.getvalue().to_pybytes()
        return data


def _column(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    # By way of Polars, because Arrow loads all of pandas into the worker to look at a list.
    if pa.types.is_dictionary(kind):
        return _column(kind.value_type, values).dictionary_encode()
    dtype = pl.Binary if kind == pa.binary() else pl.String if kind == pa.string() else pl.Int64
    return pl.Series(values, dtype=dtype).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(kind)


class BronzeReader:
    """Reads one file of `size` bytes, no more of it than is asked for. Raises ObjectMissing, ObjectDamaged."""

    def __init__(self, objects: Objects, key: str, size: int) -> None:
        self.key = key
        self._bytes = _Parts(objects, key, size)
        # The footer grows with the file.
        self._bytes.fetch(0 if size <= _SMALL else size - max(_TAIL, size >> 9), size)
        with _damage(key):
            self._file = pq.ParquetFile(self._bytes, page_checksum_verification=True)

    @property
    def about(self) -> dict[str, Any]:
        """What the footer says of the file: format, team and pipeline."""
        try:
            about: dict[str, Any] = json.loads(self._file.schema_arrow.metadata[b"dash"])
        except (KeyError, TypeError, ValueError):
            raise ObjectDamaged(f"{self.key} is not a bronze file") from None
        return about

    @property
    def rows(self) -> int:
        return int(self._file.metadata.num_rows)

    def ranges(self) -> list[tuple[int, int]]:
        """The first and the last id of each group."""
        groups = [self._file.metadata.row_group(n).column(0).statistics for n in range(self._file.num_row_groups)]
        return [(found.min, found.max) for found in groups]

    def ids(self) -> list[int]:
        """Every payload id in the file."""
        with _damage(self.key):
            return _values(self._file.read(columns=["payload_id"]).column(0))

    def find(self, ids: Sequence[int]) -> list[Payload]:
        """Those of the payloads that are in the file, in order of id."""
        found: list[Payload] = []
        wanted = sorted(ids)
        ranges = enumerate(self.ranges())
        groups = [n for n, (low, high) in ranges if bisect_left(wanted, low) < bisect_right(wanted, high)]
        for table in self._groups(groups):
            found += self._payloads(table.filter(pc.is_in(table.column(0), _column(pa.int64(), wanted))))
        return found

    def scan(self, start: int, stop: int) -> Iterator[Payload]:
        """The payloads with start ≤ id < stop, in order of id, a group in memory at a time."""
        groups = [n for n, (low, high) in enumerate(self.ranges()) if low < stop and high >= start]
        for table in self._groups(groups):
            ids = pl.Series(table.column(0))
            first, end = (int(ids.search_sorted(edge, side="left")) for edge in (start, stop))
            yield from self._payloads(table.slice(first, end - first))

    def raw(self) -> Iterator[tuple[Any, ...]]:
        """Every row as `BronzeWriter.add` takes it, in order of id, a group in memory at a time."""
        for table in self._groups(range(self._file.num_row_groups)):
            yield from zip(*(_values(table.column(name)) for name in _WHOLE), strict=True)

    def newest(self, after: int, before: int, limit: int) -> list[Heading]:
        """Up to `limit` payloads with after < id < before, the newest first, without reading headers and bodies."""
        found: list[Heading] = []
        for group, (low, high) in reversed(list(enumerate(self.ranges()))):
            if len(found) >= limit or high <= after:
                break
            if low < before:
                # A request for each group, since bodies lie between them; most of the time one is enough.
                self._bytes.fetch(*self._extent(group, _HEADING))
                with _damage(self.key):
                    table = self._file.read_row_group(group, columns=_HEADING)
                rows = zip(*(_values(table.column(name)) for name in _HEADING), strict=True)
                found += [
                    Heading(payload, _moment(received_at), content_type, size, source)
                    for payload, received_at, content_type, source, size in reversed(list(rows))
                    if after < payload < before
                ]
        return found[:limit]

    def _groups(self, groups: Sequence[int]) -> Iterator[pa.Table]:
        for stretch in self._stretches(groups):
            self._bytes.fetch(self._extent(stretch[0])[0], self._extent(stretch[-1])[1])
            for group in stretch:
                with _damage(self.key):
                    table = self._file.read_row_group(group)
                yield table

    def _stretches(self, groups: Sequence[int]) -> Iterator[list[int]]:
        """Groups that are fetched with one request: neighbours, as far as memory is spared."""
        stretch: list[int] = []
        begin = end = 0
        for group in groups:
            start, stop = self._extent(group)
            if stretch and (stop - begin > _STRETCH or start - end > _GAP):
                yield stretch
                stretch = []
            if not stretch:
                begin = start
            stretch.append(group)
            end = stop
        if stretch:
            yield stretch

    def _extent(self, group: int, names: Sequence[str] = SCHEMA.names) -> tuple[int, int]:
        """From the first byte of these columns of a group to the one after their last: they lie side by side."""
        about = self._file.metadata.row_group(group)
        columns = [about.column(SCHEMA.get_field_index(name)) for name in names]
        starts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
        stops = [start + column.total_compressed_size for start, column in zip(starts, columns, strict=True)]
        return min(starts), max(stops)

    def _payloads(self, table: pa.Table) -> list[Payload]:
        pipeline = UUID(self.about["pipeline"])
        columns = [_values(table.column(name)) for name in _WHOLE]
        plain: dict[str, Mapping[str, str]] = {}
        found = []
        for payload, received_at, content_type, headers, body, source in zip(*columns, strict=True):
            known = plain.get(headers)
            if known is None:
                known = plain[headers] = json.loads(headers)
            found.append(Payload(payload, pipeline, _moment(received_at), content_type, known, body, source))
        return found


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The column as Python values, times in µs since 1970; by way of Polars as in `_column`."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    values: list[Any] = pl.Series(column).to_list()
    return values


def describe(objects: Objects, key: str) -> BronzeFile:
    """The manifest's row of a file, from the file alone: what rebuilds a manifest that was lost.

    Raises ObjectMissing, and ObjectDamaged where it is no whole bronze file.
    """
    head = objects.head(key)
    if head is None:
        raise ObjectMissing(f"the object store has no object {key}")
    reader = BronzeReader(objects, key, head.size)
    about, ranges = reader.about, reader.ranges()
    checksum = sha256()
    for start in range(0, head.size, _STRETCH):
        checksum.update(objects.get(key, start, min(start + _STRETCH, head.size)))
    low, high = ranges[0][0], ranges[-1][1]
    team, pipeline = UUID(about["team"]), UUID(about["pipeline"])
    return BronzeFile(team, pipeline, key, reader.rows, head.size, checksum.hexdigest(), low, high)


@contextmanager
def _damage(key: str) -> Iterator[None]:
    """What the Parquet library says of bytes that are not right, as ObjectDamaged."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ObjectDamaged(f"{key} cannot be read: {str(error).splitlines()[0]}") from error


class _Parts(io.RawIOBase):
    """An object as a file of which only some stretches are here; what is read beyond them is fetched."""

    def __init__(self, objects: Objects, key: str, size: int) -> None:
        self._objects = objects
        self._key = key
        self._size = size
        self._at = 0
        self._parts: list[tuple[int, bytes]] = []

    def fetch(self, start: int, stop: int) -> None:
        """Has these bytes here; those that came for another stretch go, all but the file's end."""
        start = max(start, 0)
        if self._here(start, stop) is None:
            data = self._objects.get(self._key, start, stop)
            if len(data) != stop - start:
                raise ObjectDamaged(f"{self._key} is shorter than the manifest says")
            self._parts = [*self._parts[:1], (start, data)]

    def _here(self, start: int, stop: int) -> memoryview | None:
        for first, data in self._parts:
            if first <= start and stop <= first + len(data):
                return memoryview(data)[start - first : stop - first]
        return None

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        data = self._here(self._at, stop)
        if data is None:
            data = memoryview(self._objects.get(self._key, self._at, stop))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
