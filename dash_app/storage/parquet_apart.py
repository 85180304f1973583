"""Parquet files of others, decoded in a process of their own that may take just so much memory.

Some hundred bytes of a Parquet file can stand for gigabytes, and nothing that it says of its sizes has to be true. So a
child decodes; it asks for the bytes that it wants of the file, and hands over a batch when it is asked for one.
A child that ends without an answer has ended one file and nothing else. One that is done with a file waits for the
next: starting one takes longer than reading most files.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

from dash_app.domain.errors import DashError, Transient
from dash_app.storage.parquet_rows import Batch, ParquetRows, UnreadableTable

#: What a child may take, as data; what it brings along (Arrow, Polars) is within.
MEMORY = 1 << 30
#: The longest that one waits for a batch, in seconds.
WAIT = 120.0
#: Children that wait for work, of a whole process; and after how many files one is let go.
_KEPT = 2
_FILES = 200

#: Signals by which a child is ended from outside, through no fault of the file.
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class DecoderLost(Transient):
    """The process that decoded the file was ended."""


def batches(reader: Any, group: int = 0, row: int = 0) -> Iterator[tuple[Batch, int]]:
    """The batches of a file (`size`, `read(start, stop)`) from a place on, each with the number of rows of the whole
    file. Raises UnreadableTable, DecoderLost, and what the reader raises."""
    child = _taken()
    try:
        yield from child.batches(reader, group, row)
    except BaseException:
        # Also where nobody wants the rest: what it is in the middle of is not waited for.
        child.end()
        raise
    _give_back(child)


class _Child:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, MEMORY), name="parquet", daemon=True)
        self._process.start()
        theirs.close()
        self.files = 0

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def batches(self, reader: Any, group: int, row: int) -> Iterator[tuple[Batch, int]]:
        self.files += 1
        self._send(("file", reader.size, group, row))
        while True:
            what, *rest = self._answer()
            if what == "read":
                self._send(reader.read(*rest))
            elif what == "batch":
                yield rest[0], rest[1]
                self._send("next")
            elif what == "refused":
                raise UnreadableTable(rest[0])
            else:
                return

    def _send(self, what: Any) -> None:
        try:
            self._line.send(what)
        except OSError:
            raise self._gone() from None

    def _answer(self) -> Any:
        if not self._line.poll(WAIT):
            raise UnreadableTable(f"decoding a part of the file took longer than {WAIT:g} s")
        try:
            return self._line.recv()
        except (EOFError, OSError):
            raise self._gone() from None

    def _gone(self) -> DashError:
        self._process.join(10)
        code = self._process.exitcode or 0
        if -code in _FROM_OUTSIDE:
            return DecoderLost(f"the process that decoded the file was ended ({signal.Signals(-code).name})")
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        return UnreadableTable(f"decoding the file ended the process that did it ({how}): it needs too much memory")

    def end(self) -> None:
        self._line.close()
        self._process.kill()
        self._process.join()


_lock = threading.Lock()
_waiting: list[_Child] = []


def _taken() -> _Child:
    while True:
        with _lock:
            child = _waiting.pop() if _waiting else None
        if child is None:
            return _Child()
        if child.alive:
            return child
        child.end()


def _give_back(child: _Child) -> None:
    with _lock:
        if child.files < _FILES and len(_waiting) < _KEPT:
            _waiting.append(child)
            return
    child.end()


def close() -> None:
    """Ends the children that wait for work."""
    with _lock:
        ended, _waiting[:] = list(_waiting), []
    for child in ended:
        child.end()


# In the child --------------------------------------------------------------------------------------------------------


class _Asked:
    """The file, by way of the parent."""

    def __init__(self, line: Connection, size: int) -> None:
        self._line = line
        self.size = size

    def read(self, start: int, stop: int) -> bytes:
        self._line.send(("read", start, stop))
        data: bytes = self._line.recv()
        return data


def _serve(line: Connection, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A terminal tells all its processes of Ctrl-C; the parent says when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            _, size, group, row = line.recv()
            try:
                table = ParquetRows(_Asked(line, size))
                for batch in table.batches(group, row):
                    line.send(("batch", batch, table.rows))
                    line.recv()
                pa.default_memory_pool().release_unused()
                line.send(("end",))
            except UnreadableTable as error:
                line.send(("refused", error.message))
            except MemoryError:
                line.send(("refused", f"decoding the file needs more than {memory >> 20:,} MiB of memory"))
    except (EOFError, OSError):
        return  # the parent is gone, or has let go
