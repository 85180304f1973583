"""What went wrong, as an RFC 9457 problem document: the one shape of every error of the API.

An error that is the caller's business says so in its own words. One that is ours says only that it is, with the number
under which the log has the rest. What is not there and what may not be seen answer the same bytes.
"""

from __future__ import annotations

import json
import math
from typing import Any

from dash_app.domain.errors import Conflict, DashError, Invalid, Transient, Unauthorized

CONTENT_TYPE = "application/problem+json"

_NOT_FOUND = "There is nothing here, or nothing that you may see."


def problem(status: int, title: str, detail: str, **more: Any) -> dict[str, Any]:
    return {"type": "about:blank", "title": title, "status": status, "detail": detail} | more


def problem_of(error: Exception, request_id: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The problem document of an error, and the headers that belong to it.

    Nothing of an unforeseen error is shown, and of one with a status of 500 or more only what its class says.
    """
    if not isinstance(error, DashError):
        return problem(500, "Internal error", "Something went wrong here; the log has it.", request_id=request_id), {}
    headers: dict[str, str] = {}
    if isinstance(error, Transient):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 1)))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="dash"'
    if error.status == 404:
        return problem(404, "Not found", _NOT_FOUND), headers
    if error.status >= 500:
        said = " ".join((type(error).__doc__ or DashError.__doc__ or "").split())
        return problem(error.status, error.title, said, request_id=request_id), headers
    made = problem(error.status, error.title, error.message)
    if isinstance(error, Conflict):
        # What was changed meanwhile, or where it goes on.
        made |= error.extra
    if isinstance(error, Invalid) and error.problems:
        made["errors"] = [{"place": place, "message": message} for place, message in error.problems]
    return made, headers


def encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
