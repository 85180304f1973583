"""Files that are taken once each: where a run goes on, and what one file's trouble means for the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest

from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.pipelines.cutting import Reader, windows
from dash_app.pipelines.sources.base import Page
from dash_app.pipelines.sources.outside import Outside
from dash_app.pipelines.sources.taking import Lying, TakingSource


@dataclass
class Store:
    """Files in memory, and a house that notes what was taken of them. `broken`: errors by name."""

    files: dict[str, bytes]
    broken: dict[str, DashError] = field(default_factory=dict)
    cursor: Mapping[str, Any] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    read: int = 0

    def lying(self) -> Iterator[Lying]:
        for name, data in sorted(self.files.items()):
            yield Lying(name, str(len(data)), len(data), f"mem:///{name}", partial(self.open, name))

    @contextmanager
    def open(self, name: str) -> Iterator[Reader]:
        self.opened.append(name)
        if name in self.broken:
            raise self.broken[name]
        yield _Counted(self, self.files[name])

    def run(self, *, pages: int | None = None, trial: bool = False) -> str:
        """One run, which breaks off after so many pages; answers its error."""
        with httpx.Client() as client:
            outside = Outside(client, unseen=lambda names: [one for one in names if one not in self.seen], trial=trial)
            source: Any = TakingSource.from_options({"max_bytes": 1000})
            try:
                for number, page in enumerate(source.take(self.lying(), outside, self.cursor), 1):
                    self.store(page)
                    if number == pages:
                        return "broken off"
            except DashError as error:
                return f"{'Transient' if isinstance(error, Transient) else 'Permanent'}: {error.message}"
        return ""

    def store(self, page: Page) -> None:
        for body in (page.body, *page.further):
            self.lines += body.decode().split()
        self.seen |= set(page.seen)
        self.cursor = page.cursor


class _Counted:
    def __init__(self, store: Store, data: bytes) -> None:
        self._store = store
        self._data = data
        self.size = len(data)

    def read(self, start: int, stop: int) -> bytes:
        data = self._data[start:stop]
        self._store.read += len(data)
        return data


def lines_of(first: int, count: int) -> bytes:
    return b"".join(b'{"n":%d}\n' % n for n in range(first, first + count))


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WIDTH", 64)


def test_a_file_goes_on_where_it_broke_off_whatever_is_taken_before_it() -> None:
    store = Store({"b.ndjson": lines_of(0, 100)})
    store.run(pages=2)
    assert 0 < len(store.lines) < 100
    store.files["a.ndjson"] = lines_of(1000, 3)
    store.broken["b.ndjson"] = Transient("busy", retry_after=7)
    assert store.run() == "Transient: b.ndjson: busy"
    assert "a.ndjson" in store.seen
    del store.broken["b.ndjson"]
    assert store.run() == ""
    assert len(store.lines) == len(set(store.lines)) == 103
    assert store.cursor == {}


def test_one_file_that_is_not_to_be_had_now_hides_no_other() -> None:
    store = Store({f"{name}.ndjson": lines_of(n * 10, 1) for n, name in enumerate("abcd")})
    store.broken = {"a.ndjson": Transient("busy", retry_after=7), "c.ndjson": Permanent("refused")}
    assert store.run() == "Transient: a.ndjson: busy; cannot be taken: c.ndjson: refused"
    assert store.lines == ['{"n":10}', '{"n":30}']
    # With several in a row the store itself is away, and is not asked for all of its files.
    store = Store({f"{n}.ndjson": lines_of(n, 1) for n in range(9)})
    store.broken = {name: Transient("busy") for name in store.files}
    assert store.run() == "Transient: 0.ndjson: busy; 1.ndjson: busy; 2.ndjson: busy"
    assert len(store.opened) == 3


def test_the_place_in_a_file_that_is_gone_is_forgotten() -> None:
    store = Store({"a.ndjson": lines_of(0, 100)})
    store.run(pages=1)
    assert list(store.cursor["begun"]) == ["a.ndjson"]
    store.files = {}
    assert (store.run(), store.cursor) == ("", {})


def test_a_try_reads_no_more_than_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store({"a.ndjson": lines_of(0, 1000)})
    store.run(pages=1, trial=True)
    assert 0 < store.read <= 4 * 64
    assert store.lines[0] == '{"n":0}'
    monkeypatch.setattr("dash_app.pipelines.sources.taking._TRIED_BYTES", 500)
    endless = Store({f"{name}.ndjson": b'{"n":' + b"1" * 5000 for name in "abc"})
    assert "a try reads" in endless.run(trial=True)
    assert endless.read <= 500
    assert endless.opened == ["a.ndjson"]
