"""A folder that is watched: each file that appears in it is taken once, and left where it is.

Only folders below those that the setting `DASH_WATCH_ROOTS` names can be watched, and what leads out of them (symbolic
links, `..`) is not followed. A file is taken once it has not been changed for a while: whoever writes it slowly is
waited for. It must be readable by the worker, on the machine that the worker runs on.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import httpx
import param

from dash_app.domain.errors import Permanent, Transient
from dash_app.pipelines import cutting
from dash_app.pipelines.sources.base import Page
from dash_app.pipelines.sources.outside import Outside
from dash_app.pipelines.sources.taking import Lying, TakingSource

_MOST_FILES = 200_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class FolderRefused(Permanent):
    """The folder cannot be watched."""


class FolderSource(TakingSource):
    kind = "folder"
    #: One file's bad moment says nothing of the others here.
    most_missed: ClassVar[int] = 1_000_000
    summary = "A folder on the worker's machine; each file in it is taken once."
    example: ClassVar[Mapping[str, Any]] = {"folder": "/srv/in/orders", "pattern": "*.csv"}

    folder = param.String(default="", doc="The folder: an absolute path below one that DASH_WATCH_ROOTS names.")
    recursive = param.Boolean(default=False, doc="Whether folders within it are looked into as well.")
    settled_seconds = param.Integer(
        default=5, bounds=(0, 86_400), doc="A file is taken once it has not been changed for so many seconds."
    )

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if not self.folder.startswith("/") or "\x00" in self.folder or ".." in PurePosixPath(self.folder).parts:
            found.append(("folder", "is missing" if not self.folder else "is no absolute path without .. in it"))
        return found

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["folder"]}

    def pages(self, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime) -> Iterator[Page]:
        return self.fetch(cursor, Outside(client), now)

    def fetch(self, cursor: Mapping[str, Any] | None, outside: Outside, now: datetime) -> Iterator[Page]:
        folder = self._allowed(outside.roots)
        yield from self.take(self._lying(folder, now), outside, cursor)

    def _allowed(self, roots: Sequence[Path]) -> Path:
        """The folder, if it may be watched. What is not allowed and what is not there are told apart only below a
        root."""
        if not roots:
            raise FolderRefused("no folder can be watched here: the setting DASH_WATCH_ROOTS names none")
        wanted = Path(self.folder)
        if not any(wanted == root or root in wanted.parents for root in roots):
            raise FolderRefused(f"{self.folder} is not below a folder that DASH_WATCH_ROOTS names")
        try:
            found = wanted.resolve(strict=True)
        except (OSError, RuntimeError):
            raise FolderRefused(f"there is no folder {self.folder} on the worker's machine") from None
        if not any(found == root or root in found.parents for root in roots):
            raise FolderRefused(f"{self.folder} leads out of the folders that DASH_WATCH_ROOTS names")
        if not found.is_dir():
            raise FolderRefused(f"{self.folder} is no folder")
        return found

    def _lying(self, folder: Path, now: datetime) -> Iterator[Lying]:
        for name, about in sorted(self._files(folder), key=lambda one: str(folder / one[0])):
            if now.timestamp() - about.st_mtime >= self.settled_seconds:
                version = f"{about.st_mtime_ns}-{about.st_size}-{about.st_ino}"
                yield Lying(name, version, about.st_size, (folder / name).as_uri(), _Opening(folder, name, about))

    def _files(self, folder: Path) -> Iterator[tuple[str, os.stat_result]]:
        """Regular files that are not hidden, by their path within the folder; no symbolic link is followed."""
        waiting, count = [""], 0
        while waiting:
            within = waiting.pop()
            try:
                with _descended(folder, within) as handle:
                    found = list(_entries(handle))
            except (FileNotFoundError, _Diverted):
                if not within:
                    raise FolderRefused(f"{self.folder} is not the folder any more that it was") from None
                continue  # gone by now, or another thing
            except OSError as error:
                raise FolderRefused(f"{self.folder} cannot be read: {error.strerror}") from error
            for entry, about in found:
                name = f"{within}/{entry}" if within else entry
                if stat.S_ISDIR(about.st_mode) and self.recursive:
                    waiting.append(name)
                elif stat.S_ISREG(about.st_mode):
                    count += 1
                    if count > _MOST_FILES:
                        raise FolderRefused(f"{self.folder} holds more than {_MOST_FILES:,} files; move old ones away")
                    yield name, about


class _Diverted(Exception):
    """A symbolic link stands where a folder was."""


@contextmanager
def _descended(folder: Path, within: str) -> Iterator[int]:
    """A handle of a folder, come to step by step from the root of the file system, so that a symbolic link which is put
    into the place of any folder on the way leads nowhere. `folder` was resolved: no part of it is a link."""
    handle = os.open("/", _FOLDER)
    try:
        for part in (*folder.parts[1:], *PurePosixPath(within).parts):
            try:
                below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise _Diverted(part) from error
                raise
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def _entries(handle: int) -> Iterator[tuple[str, os.stat_result]]:
    """What is in a folder and not hidden."""
    with os.scandir(handle) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                with suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False)


class _Opening:
    """Opens a file if it is still the one that was found."""

    def __init__(self, folder: Path, name: str, about: os.stat_result) -> None:
        self._folder = folder
        self._name = PurePosixPath(name)
        self._about = about

    @contextmanager
    def __call__(self) -> Iterator[cutting.Reader]:
        try:
            with _descended(self._folder, str(self._name.parent)) as within:
                # Neither a link that was put in its place nor a pipe that nobody writes to.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                handle = os.open(self._name.name, flags, dir_fd=within)
        except (FileNotFoundError, _Diverted):
            raise Transient(f"{self._name.name} is gone") from None
        except OSError as error:
            raise FolderRefused(f"cannot be read: {error.strerror}") from error
        try:
            reader = _FileReader(handle, self._about)
            reader.check()
            yield reader
            reader.check()
        finally:
            os.close(handle)


class _FileReader:
    def __init__(self, handle: int, about: os.stat_result) -> None:
        self._handle = handle
        self._about = about
        self.size = about.st_size

    def read(self, start: int, stop: int) -> bytes:
        data = os.pread(self._handle, max(0, min(stop, self.size) - start), start)
        if len(data) < min(stop, self.size) - start:
            raise Transient("a file became shorter while it was read")
        return data

    def check(self) -> None:
        now, was = os.fstat(self._handle), self._about
        same = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) == (
            was.st_dev,
            was.st_ino,
            was.st_size,
            was.st_mtime_ns,
        )
        if not same:
            raise Transient("a file was changed while it was read")
