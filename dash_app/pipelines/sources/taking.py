"""Files that lie somewhere, each taken once: what a watched folder and a bucket have in common.

A run takes what is new in the order of its name, cuts it into payloads, and notes it as taken together with its last
payload. The cursor keeps the place in every file that was begun and not taken to its end, so that each goes on where it
broke off, whatever is taken before it. A file that cannot be read is told as the run's error, after all others have
been taken, and stays in front of the next run: mended or removed, the error is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, ClassVar

import param

from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.pipelines import cutting
from dash_app.pipelines.sources.base import MIB, Page, PollSource
from dash_app.pipelines.sources.outside import Outside

#: The largest file that is taken.
MOST_BYTES = 2 << 30
#: Names that are looked up at a time.
_AT_ONCE = 1000
#: Files that were begun and not taken to their end; with more a run ends, and the next one goes on with these.
_MOST_BEGUN = 100
#: As much of all files as a try reads.
_TRIED_BYTES = 32 * MIB


@dataclass(frozen=True, slots=True)
class Lying:
    """A file. `version` changes with what it holds; `open` answers a reader of it."""

    name: str
    version: str
    size: int
    url: str
    open: Callable[[], AbstractContextManager[cutting.Reader]]


class FilesTaken(Permanent):
    """Files cannot be read."""


class FilesMissed(Transient):
    """Files cannot be read right now."""


class _TriedEnough(FilesTaken):
    """A try has read as much as it may, and has found no record."""


class TakingSource(PollSource):
    """Base of the sources that take files."""

    #: With so many files in a row that are not to be had right now, others are not either.
    most_missed: ClassVar[int] = 3

    pattern = param.String(default="*", doc="Which files by name, such as *.csv; * stands for anything, also for /.")
    content_type = param.String(
        default="", doc="What the files hold, where their names' endings do not say it, such as text/csv."
    )
    changed: Any = param.Selector(
        default="ignore",
        objects=["ignore", "again"],
        doc="Whether a file that was taken, and holds something else by now, is ignored or taken again as a whole.",
    )
    max_files = param.Integer(default=1000, bounds=(1, 100_000), doc="Files taken in one run.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if not self.pattern or len(self.pattern) > 500 or not self.pattern.isprintable():
            found.append(("pattern", "is a pattern such as *.csv"))
        if self.content_type:
            try:
                cutting.format_of("", self.content_type)
            except DashError:
                found.append(
                    ("content_type", "is none that can be cut: text/csv, application/x-ndjson, application/json")
                )
        return found

    def take(self, lying: Iterable[Lying], outside: Outside, cursor: Mapping[str, Any] | None) -> Iterator[Page]:
        """The pages of what is new among files that come in order of name."""
        wrong: list[str] = []
        missed: list[tuple[str, Transient]] = []
        begun: dict[str, Any] = dict((cursor or {}).get("begun", {}))
        met: set[str] = set()
        in_a_row, whole = 0, True
        tried = _Tried() if outside.trial else None
        for one in self._new(lying, outside.unseen):
            if len(met) >= self.max_files:
                whole = False
                break
            met.add(one.name)
            if begun.get(one.name, {}).get("version") != one.version:
                begun.pop(one.name, None)
            in_a_row += 1
            try:
                yield from self._cut(one, begun, tried)
                in_a_row = 0
            except _TriedEnough:
                raise
            except Transient as error:
                missed.append((one.name, error))
                if in_a_row >= self.most_missed or len(begun) >= _MOST_BEGUN:
                    whole = False
                    break
            except Permanent as error:
                in_a_row = 0
                wrong.append(f"{one.name[-80:]}: {error.message}")
        if whole and (gone := begun.keys() - met):
            # Nobody will go on with files that are not there any more.
            yield Page(b"", "", "", cursor=_cursor({name: begun[name] for name in begun if name not in gone}))
        told = f"cannot be taken: {_told(wrong)}" if wrong else ""
        if missed:
            first = missed[0][1]
            names = _told([f"{name[-80:]}: {error.message}" for name, error in missed])
            raise FilesMissed("; ".join(filter(None, (names, told))), retry_after=first.retry_after) from first
        if wrong:
            raise FilesTaken(told)

    def _new(self, lying: Iterable[Lying], unseen: Callable[[Sequence[str]], list[str]]) -> Iterator[Lying]:
        batch: list[Lying] = []
        for one in lying:
            if fnmatchcase(one.name, self.pattern) or fnmatchcase(one.name.rpartition("/")[2], self.pattern):
                batch.append(one)
            if len(batch) >= _AT_ONCE:
                yield from self._of_batch(batch, unseen)
                batch = []
        yield from self._of_batch(batch, unseen)

    def _of_batch(self, batch: list[Lying], unseen: Callable[[Sequence[str]], list[str]]) -> Iterator[Lying]:
        new = set(unseen([self._mark(one) for one in batch])) if batch else set()
        yield from (one for one in batch if self._mark(one) in new)

    def _mark(self, one: Lying) -> str:
        return f"{one.name}\n{one.version}" if self.changed == "again" else one.name

    def _cut(self, one: Lying, begun: dict[str, Any], tried: _Tried | None) -> Iterator[Page]:
        """The pages of a file; `begun`, the places in files, is kept up with them."""
        if one.size > MOST_BYTES:
            raise FilesTaken(f"has {one.size:,} bytes; at most {MOST_BYTES:,} are taken")
        held: cutting.Step | None = None
        if one.size:
            kind = cutting.format_of(one.name, self.content_type)
            with one.open() as opened:
                reader = tried.over(opened) if tried else opened
                steps = partial(cutting.steps, reader, kind, self.content_type, most=self.max_bytes)
                position = begun.get(one.name, {}).get("position", {})
                if not position and not tried:
                    # A file that is broken at its end leaves nothing of itself behind.
                    for _ in steps({}):
                        pass
                for step in steps(position):
                    if held is not None:
                        begun[one.name] = {"version": one.version, "position": dict(held.position)}
                        yield self._page(one, held, begun)
                    held = step
        begun.pop(one.name, None)
        yield self._page(one, held, begun, seen=(self._mark(one),))

    def _page(self, one: Lying, step: cutting.Step | None, begun: Mapping[str, Any], seen: Sequence[str] = ()) -> Page:
        pieces = step.pieces if step else ()
        bodies = [piece.body for piece in pieces] or [b""]
        kind = pieces[0].content_type if pieces else ""
        headers = {"dash-file": one.name}
        return Page(bodies[0], kind, one.url, headers, _cursor(begun), last=False, seen=seen, further=tuple(bodies[1:]))


class _Tried:
    """What a try may read, of all files together: enough for a look, and no more than a node that serves others can
    bear."""

    def __init__(self) -> None:
        self._left = _TRIED_BYTES

    def over(self, reader: cutting.Reader) -> cutting.Reader:
        return _Measured(reader, self)

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _TriedEnough(
                f"a try reads {_TRIED_BYTES // MIB} MiB of the files at most, and no record ends within them"
            )


class _Measured:
    def __init__(self, reader: cutting.Reader, tried: _Tried) -> None:
        self._reader = reader
        self._tried = tried

    @property
    def size(self) -> int:
        return self._reader.size

    def read(self, start: int, stop: int) -> bytes:
        self._tried.take(max(0, min(stop, self.size) - start))
        return self._reader.read(start, stop)


def _cursor(begun: Mapping[str, Any]) -> dict[str, Any]:
    return {"begun": dict(begun)} if begun else {}


def _told(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - 3} more" if len(texts) > 3 else ""
    return "; ".join(texts[:3]) + more
