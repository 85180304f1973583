"""Files that lie somewhere, each taken once: what a watched folder and a bucket have in common.

A run takes what is new in the order of its name, cuts it into payloads, and notes it as taken together with its last
payload. The cursor says where in which file the run stands, so that one that breaks off goes on in the middle of a
large file. A file that cannot be read is told as the run's error, after all others have been taken, and stays in
front of the next run: mended or removed, the error is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from typing import Any

import param

from dash_app.domain.errors import DashError, Permanent
from dash_app.pipelines import cutting
from dash_app.pipelines.sources.base import Page, PollSource

#: The largest file that is taken.
MOST_BYTES = 2 << 30
#: Names that are looked up at a time.
_AT_ONCE = 1000


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


class TakingSource(PollSource):
    """Base of the sources that take files."""

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

    def take(
        self, lying: Iterable[Lying], unseen: Callable[[Sequence[str]], list[str]], cursor: Mapping[str, Any] | None
    ) -> Iterator[Page]:
        """The pages of what is new among files that come in order of name."""
        wrong: list[str] = []
        for one in islice(self._new(lying, unseen), self.max_files):
            where = (cursor or {}).get("at")
            begun = where["position"] if where and where["name"] == one.name and where["version"] == one.version else {}
            try:
                yield from self._cut(one, begun)
            except Permanent as error:
                wrong.append(f"{one.name[-80:]}: {error.message}")
        if wrong:
            more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise FilesTaken(f"cannot be taken: {'; '.join(wrong[:3])}{more}")

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

    def _cut(self, one: Lying, begun: Mapping[str, Any]) -> Iterator[Page]:
        if one.size > MOST_BYTES:
            raise FilesTaken(f"has {one.size:,} bytes; at most {MOST_BYTES:,} are taken")
        done = Page(b"", "", one.url, cursor={}, seen=(self._mark(one),))
        if not one.size:
            yield done
            return
        kind = cutting.format_of(one.name, self.content_type)
        with one.open() as reader:
            steps = partial(cutting.steps, reader, kind, self.content_type, most=self.max_bytes)
            if not begun:
                # A file that is broken at its end leaves nothing of itself behind.
                for _ in steps({}):
                    pass
            held: cutting.Step | None = None
            for step in steps(begun):
                if held is not None:
                    yield self._page(one, held, {"at": _place(one, held)})
                held = step
            yield replace(self._page(one, held, {}), seen=done.seen) if held is not None else done

    def _page(self, one: Lying, step: cutting.Step, cursor: Mapping[str, Any]) -> Page:
        bodies = [piece.body for piece in step.pieces] or [b""]
        kind = step.pieces[0].content_type if step.pieces else ""
        return Page(bodies[0], kind, one.url, {"dash-file": one.name}, cursor, last=False, further=tuple(bodies[1:]))


def _place(one: Lying, step: cutting.Step) -> dict[str, Any]:
    return {"name": one.name, "version": one.version, "position": dict(step.position)}
