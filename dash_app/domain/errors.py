"""Every error Dash raises on purpose, under one base.

An error carries what its receiver needs to decide: `status` is the HTTP answer, and `Transient` or `Permanent` say
whether trying again can help. The docstring is the message when none is given; messages name what is wrong and what
would be right, because they are shown to people as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class DashError(Exception):
    """Something went wrong."""

    status = 500
    title = "Internal error"

    def __init__(self, message: str | None = None, **extra: Any) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.extra: Mapping[str, Any] = extra

    @property
    def message(self) -> str:
        return str(self.args[0])


class Transient(DashError):
    """It may work when tried again."""

    status = 503
    title = "Temporarily unavailable"

    def __init__(self, message: str | None = None, *, retry_after: float | None = None, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after


class Permanent(DashError):
    """Trying again cannot help."""

    status = 422
    title = "Not possible"


class PollStopped(Permanent):
    """The answer says that nothing more is to be asked until somebody has looked."""


class SettingsError(Permanent):
    """A setting is wrong: one line with its name, what is wrong, and what would be right."""


class Unavailable(Transient):
    """The database cannot be reached right now."""


class BufferFull(Transient):
    """More is arriving than can be stored right now."""


class TooManyRequests(Transient):
    """Too many requests."""

    status = 429
    title = "Too many requests"


class Invalid(Permanent):
    """A document is not valid; `problems` lists each place and what is wrong with it."""

    title = "Not valid"

    def __init__(self, message: str | None = None, problems: Sequence[tuple[str, str]] = (), **extra: Any) -> None:
        if message is None and problems:
            message = "; ".join(f"{where}: {what}" if where else what for where, what in problems)
        super().__init__(message, **extra)
        self.problems = tuple(problems)


class BadRequest(Permanent):
    """The request cannot be understood."""

    status = 400
    title = "Bad request"


class Unauthorized(Permanent):
    """Who is asking is not known."""

    status = 401
    title = "Not authorized"


class BadSignature(Unauthorized):
    """The signature does not fit this body and this pipeline's secret."""


class Forbidden(Permanent):
    """This role may not do that."""

    status = 403
    title = "Forbidden"


class NotFound(Permanent):
    """There is nothing here."""

    status = 404
    title = "Not found"


class Conflict(Permanent):
    """Somebody else changed it first, or the name is taken."""

    status = 409
    title = "Conflict"


class PreconditionFailed(Conflict):
    """The stored version is another than the one named in If-Match."""

    status = 412
    title = "Precondition failed"


class TooLarge(Permanent):
    """The body is larger than accepted."""

    status = 413
    title = "Too large"


class UnsupportedEncoding(Permanent):
    """The body's Content-Encoding cannot be undone."""

    status = 415
    title = "Unreadable encoding"
