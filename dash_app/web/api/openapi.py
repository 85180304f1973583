"""The OpenAPI 3.1 document, made from the same declarations as the handlers, so that none can be missing from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dash_app.domain.access import ACTIONS
from dash_app.web.access import XSRF_HEADER
from dash_app.web.api.idempotency import HEADER
from dash_app.web.api.operation import Operation
from dash_app.web.api.schema import COMPONENTS
from dash_app.web.api.shapes import PROBLEM
from dash_app.web.problems import CONTENT_TYPE

PREFIX = "/api/v1"
#: What bodies are that are taken as they are.
BINARY = "application/offset+octet-stream"

_ABOUT = f"""\
Pipelines take in payloads, mappings make records of them, queries and dashboards show them.

**Who asks** is said by a bearer token (`Authorization: Bearer …`, made with `dash-app token create` or `POST /tokens`)
or by the session cookie of a browser; with the cookie, whatever is not a GET also needs the header `{XSRF_HEADER}` with
the `xsrf` of `GET /session`. A token acts in one team, with at most its owner's role.

**Ids** are opaque texts, times are ISO 8601 with an offset. A pipeline is named by its id or its slug. What a caller
may not see answers 404, exactly like what does not exist.

**Lists** take `limit` (up to 1,000) and `cursor`; `next` is the cursor of the following page, or null.

**Errors** are RFC 9457 problems; where a document is not valid, `errors` names each place.

**Repeating**: a POST with an `{HEADER}` can be sent again for a day, and gets the first answer again. **Changing** what
has an `ETag`: send it back as `If-Match`, and a change of somebody else's in between answers 412 instead of being lost.
"""

_PATHS = {
    "pipeline": "A pipeline's id or slug.",
    "version": "The number of a version.",
    "payload": "A payload's id.",
    "replay": "A replay's id.",
    "token": "A token's id.",
    "dashboard": "A dashboard's uid.",
    "comparison": "A comparison's id.",
    "annotation": "An annotation's id.",
    "upload": "An upload's id.",
    "template": "The name of a template.",
    "sink": "A sink's id or slug.",
    "delivery": "A message's id.",
    "alert": "A rule's id or slug.",
    "silence": "A silence's id.",
    "window": "A maintenance window's id.",
    "report": "A report's id or slug.",
}
_ERRORS = {
    "400": "The request cannot be understood.",
    "401": "Nobody is known by this token or session.",
    "403": "Your role may not do that, or the XSRF token is missing.",
    "404": "There is nothing here, or nothing that you may see.",
    "409": "The name is taken, or it does not go with the state that things are in.",
    "412": "If-Match names another revision than the one stored.",
    "413": "The body is larger than is taken here: 2 MiB, where nothing else is said.",
    "415": "The body has a Content-Encoding.",
    "422": "The document is not valid; `errors` names each place.",
    "429": "Too many requests; see Retry-After.",
    "503": "The database or the object store does not answer; see Retry-After.",
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dash",
            "version": _version(),
            "description": _ABOUT,
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": PREFIX}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "security": [{"bearer": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": dict(COMPONENTS),
            "responses": {f"Problem{status}": _problem(text) for status, text in _ERRORS.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "dash_session",
                    "description": f"With {XSRF_HEADER} on writes; behind TLS it is __Host-dash.",
                },
            },
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.summary,
        "description": _description(one),
        "responses": _responses(one),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": _PATHS[name]}
        for name in re.findall(r"\{(\w+)\}", one.path)
    ]
    parameters += [
        {"name": name, "in": "query", "schema": schema, "description": schema.get("description", "")}
        for name, schema in one.query.items()
    ]
    if one.keyed:
        parameters.append(_header(HEADER, "Makes sending this again safe: the same key gets the same answer."))
    if one.matched:
        parameters.append(_header("If-Match", "The ETag that the change is meant for."))
    parameters += [_header(name, said) for name, said in one.reads.items()]
    if parameters:
        made["parameters"] = parameters
    if one.binary:
        made["requestBody"] = {
            "required": True,
            "description": f"At most {one.binary:,} bytes, as they are.",
            "content": {BINARY: {"schema": {"type": "string", "contentMediaType": BINARY}}},
        }
    if one.body is not None:
        made["requestBody"] = {
            "required": bool(one.body.get("required")),
            "content": {"application/json": {"schema": one.body}},
        }
    return made


def _description(one: Operation) -> str:
    if one.action is None:
        return one.detail
    role = f"Asks for the role {ACTIONS[one.action].name} or a higher one."
    return f"{one.detail}\n\n{role}" if one.detail else role


def _responses(one: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": one.answer}} if one.answer is not None else {}
    content |= {kind: {"schema": {"type": "string", "contentMediaType": kind}} for kind in one.media}
    good: dict[str, Any] = {"description": "Done." if one.status == 204 else "As asked."}
    if content:
        good["content"] = content
    if one.tagged:
        good["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "The revision."}}
    statuses = ["400", "401", "403", "503"]
    statuses += ["404"] if "{" in one.path or one.name == "run_query" else []
    statuses += ["413", "415", "422"] if one.body is not None else ["413", "415"] if one.binary else []
    statuses += ["422"] if one.keyed and one.body is None else []
    statuses += ["409"] if one.method in ("POST", "PATCH", "PUT") else []
    statuses += ["412"] if one.matched else []
    return {str(one.status): good} | {
        status: {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)
    }


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": description}


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {CONTENT_TYPE: {"schema": PROBLEM}}}


def _version() -> str:
    try:
        return version("dash-app")
    except PackageNotFoundError:
        return "0"
