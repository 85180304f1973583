"""The error boundary: what goes wrong becomes a sentence for the person and a line in the log, under one number.

Panel answers a page function that raises with status 200 and an empty page, and swallows what callbacks raise; every
page and every callback therefore passes through here. An error that is the person's business is told in its own words;
of any other one only the number is shown, and the log has the rest.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from dash_app.domain.errors import DashError, Invalid

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as a person is told of it. `problems`: (place, message) pairs; `reference`: the number in the log, or
    ''."""

    status: int
    title: str
    detail: str
    problems: tuple[tuple[str, str], ...] = ()
    reference: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "detail": self.detail,
            "problems": [list(each) for each in self.problems],
            "reference": self.reference,
        }


def problem_of(error: BaseException, where: str) -> Problem:
    """What to tell of an error; one that nobody foresaw is logged with its trace."""
    if isinstance(error, DashError) and error.status < 500:
        found = error.problems if isinstance(error, Invalid) else ()
        return Problem(error.status, error.title, error.message, tuple(found))
    reference = secrets.token_hex(4)
    if isinstance(error, DashError):
        log.warning("page.failed", where=where, reference=reference, error=error.message)
        said = " ".join((type(error).__doc__ or "").split())
        return Problem(error.status, error.title, said, (), reference)
    log.error("page.failed", where=where, reference=reference, exc_info=error)
    return Problem(
        500, "Something went wrong here", "The server's log has the details under the number below.", (), reference
    )


Tell = Callable[[Problem], None]


def guarded(where: str, tell: Tell, function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, None]]:
    """`function` (plain or async) as a callback that never raises: what it raises is told."""

    async def call(*arguments: Any, **named: Any) -> None:
        try:
            answer = function(*arguments, **named)
            if inspect.isawaitable(answer):
                await answer
        except Exception as error:
            tell(problem_of(error, where))

    return call
