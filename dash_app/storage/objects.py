"""The door to the object store: a folder or an S3 bucket behind one protocol, chosen by a URL; and the folder itself.

In a folder a put is a temporary file beside its place, on the disk before it gets its name by a hard link, which unlike
a rename replaces nothing; and the name is on the disk before the answer.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dash_app.domain.errors import SettingsError
from dash_app.storage.object_store import (
    Head,
    ObjectDamaged,
    ObjectDiffers,
    ObjectMissing,
    Objects,
    ObjectsRefused,
    ObjectsUnavailable,
    check_key,
)

__all__ = [
    "Folder",
    "Head",
    "ObjectDamaged",
    "ObjectDiffers",
    "ObjectMissing",
    "Objects",
    "ObjectsRefused",
    "ObjectsUnavailable",
    "check_key",
    "open_objects",
]

_PARTIAL = ".partial"
#: What link() answers where the file system has no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def open_objects(url: str, endpoint: str | None = None) -> Objects:
    """The store at `file:///folder` or `s3://bucket/prefix`; nothing is touched yet. Raises SettingsError.

    `endpoint`: the web address of an S3-compatible service; None: Amazon's. Credentials come from the AWS_* variables.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.strip("/"):
        return Folder(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        # Only here: boto3 takes a third of a second to load, which a folder need not wait for.
        from dash_app.storage.s3 import S3

        return S3(parts.netloc, parts.path.strip("/"), endpoint)
    raise SettingsError("DASH_BRONZE_URL: not a place for bronze; file:///absolute/folder or s3://bucket/prefix")


class Folder:
    """Objects as files below a folder, which is made at the first put."""

    def __init__(self, path: Path) -> None:
        self._root = path

    def __repr__(self) -> str:
        return f"Folder({str(self._root)!r})"

    def put(self, key: str, data: bytes) -> str:
        target = self._path(key)
        checksum = sha256(data).hexdigest()
        with _translated("written"):
            self._make(target.parent)
            partial = target.with_name(f".{secrets.token_hex(8)}{_PARTIAL}")
            try:
                _write(partial, data)
                if sha256(partial.read_bytes()).hexdigest() != checksum:
                    raise ObjectDamaged(f"the bronze folder did not keep what was written to {key}")
                try:
                    _publish(partial, target)
                except FileExistsError:
                    if target.read_bytes() != data:
                        raise ObjectDiffers(f"{key} is stored already with other content and is not replaced") from None
                    # Whoever wrote it may have been cut short before it was on the disk.
                    _sync(target)
            finally:
                partial.unlink(missing_ok=True)
            _sync(target.parent)
        return checksum

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        with _translated("read"):
            try:
                with self._path(key).open("rb") as file:
                    file.seek(start)
                    return file.read() if stop is None else file.read(max(stop - start, 0))
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise ObjectMissing(f"the bronze folder has no object {key}") from None

    def head(self, key: str) -> Head | None:
        with _translated("read"):
            return self._head(key, self._path(key))

    def list(self, prefix: str = "") -> Iterator[Head]:
        with _translated("read"):
            yield from self._walk(self._root, "", prefix)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _translated("written"):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return
            _sync(path.parent)

    def tidy(self, before: datetime) -> int:
        removed = 0
        with _translated("written"):
            for folder, _, names in os.walk(self._root):
                for name in names:
                    path = Path(folder, name)
                    if name.startswith(".") and name.endswith(_PARTIAL):
                        with suppress(FileNotFoundError):  # its writer may be finishing just now
                            if _modified(path.stat()) < before:
                                path.unlink()
                                removed += 1
        return removed

    def check(self) -> None:
        with _translated("used"):
            self._root.mkdir(parents=True, exist_ok=True)
            if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
                raise ObjectsRefused(f"DASH_BRONZE_URL: this user cannot read and write the folder {self._root}")
            disk = os.statvfs(self._root)
            if disk.f_blocks and not disk.f_bavail:
                raise ObjectsUnavailable("DASH_BRONZE_URL: the disk of the bronze folder is full")

    def close(self) -> None:
        pass  # nothing is held open

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _make(self, folder: Path) -> None:
        """Makes the folder and what is missing above it, each noted on the disk in the folder that holds it."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            _sync(folder.parent)

    def _head(self, key: str, path: Path) -> Head | None:
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Head(key, found.st_size, _modified(found)) if path.is_file() else None

    def _walk(self, folder: Path, above: str, prefix: str) -> Iterator[Head]:
        try:
            # A folder sorts as if its name ended in '/', so that the order is that of whole keys.
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name + "/" * entry.is_dir())
        except FileNotFoundError:
            return
        for entry in entries:
            key = above + entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if f"{key}/".startswith(prefix) or prefix.startswith(f"{key}/"):
                    yield from self._walk(Path(entry.path), f"{key}/", prefix)
            elif key.startswith(prefix) and (found := self._head(key, Path(entry.path))) is not None:
                yield found


def _modified(found: os.stat_result) -> datetime:
    return datetime.fromtimestamp(found.st_mtime, UTC)


def _write(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(partial: Path, target: Path) -> None:
    """Gives the finished file its name; FileExistsError where the name is taken. A plain rename would replace."""
    try:
        os.link(partial, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links here: the name is reserved by an empty file. Cut short in between, it stays empty, which the
        # next put of this key finds to differ; nothing was released for it.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
        os.replace(partial, target)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """What the file system says, as an error that says whose business it is."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}:
            raise ObjectsRefused(f"DASH_BRONZE_URL: the bronze folder cannot be {what}: {reason}") from error
        raise ObjectsUnavailable(f"the bronze folder cannot be {what} right now: {reason}") from error
