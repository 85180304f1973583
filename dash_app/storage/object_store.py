"""What an object store is: bytes under a key that are written once and never altered.

`put` creates and never replaces; when it returns, the store holds exactly these bytes, checked. Putting the same bytes
again is success, so that a put whose answer was lost can simply be repeated; other bytes under a taken key are
`ObjectDiffers`. Nothing under a key can be seen half written. One contract suite holds every store to this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dash_app.domain.errors import Conflict, Invalid, NotFound, Permanent, Transient

#: What a key is made of: names joined by '/', none of them hidden, none of them able to leave the folder.
_KEY = re.compile(r"(?:[A-Za-z0-9_=][A-Za-z0-9_=.,-]{0,199})(?:/[A-Za-z0-9_=][A-Za-z0-9_=.,-]{0,199})*")
_KEY_LENGTH = 800


class ObjectsUnavailable(Transient):
    """The object store does not answer right now."""


class ObjectsRefused(Permanent):
    """The object store refuses this access."""

    status = 503
    title = "Object store not usable"


class ObjectMissing(NotFound):
    """The object store has no such object."""

    status = 503
    title = "Object missing"


class ObjectDiffers(Conflict):
    """Another object is stored under this key, and objects are never replaced."""


class ObjectDamaged(Permanent):
    """An object does not hold the bytes that were stored."""

    status = 503
    title = "Object damaged"


@dataclass(frozen=True, slots=True)
class Head:
    """An object without its bytes. `checksum`: SHA-256 in hex as noted by its writer, None where nothing was noted."""

    key: str
    size: int
    modified: datetime
    checksum: str | None = None


class Objects(Protocol):
    """A store of objects. Every method may raise ObjectsUnavailable (try again) or ObjectsRefused (set it up right)."""

    def put(self, key: str, data: bytes) -> str:
        """Stores `data` under a new key and answers its SHA-256 in hex, once the store is known to hold it.

        Raises ObjectDiffers where other bytes are stored there, ObjectDamaged where the store kept something else.
        """
        ...

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes from `start` to before `stop` (None: the end), fewer where it ends sooner. Raises ObjectMissing."""
        ...

    def head(self, key: str) -> Head | None:
        """The object's size and time; None where there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[Head]:
        """The objects whose keys begin with `prefix`, in order of key; `prefix` need not end at a '/'."""
        ...

    def delete(self, key: str) -> None:
        """Removes an object; one that is not there is no error."""
        ...

    def tidy(self, before: datetime) -> int:
        """Removes what writes that were cut short before that time left behind outside any key; answers how many."""
        ...

    def close(self) -> None:
        """Lets go of its connections."""

    def check(self) -> None:
        """Raises what is wrong when the store cannot be used; one cheap request, for readiness."""
        ...


def check_key(key: str) -> str:
    """`key`, or Invalid where it is not made of plain names: keys become paths."""
    if len(key) > _KEY_LENGTH or not _KEY.fullmatch(key):
        raise Invalid(f"not the key of an object: {key[:100]!r}")
    return key
