"""From an HTTP request to an operation and back: who asks, may they, what did they send, what came of it.

Everything that can block runs in a bounded pool of threads. Every error becomes a problem document here.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from tornado.web import HTTPError, RequestHandler, stream_request_body

from dash_app.app import App
from dash_app.domain.access import Principal
from dash_app.domain.errors import (
    BadRequest,
    DashError,
    NotFound,
    TooLarge,
    Transient,
    Unauthorized,
    UnsupportedEncoding,
)
from dash_app.domain.strict_json import holds_nul
from dash_app.pipelines.query import Queries
from dash_app.web.access import Access
from dash_app.web.api.documents import MAX_BODY, read_body, read_query
from dash_app.web.api.idempotency import HEADER, IdempotencyKey, fingerprint
from dash_app.web.api.operation import Answer, Call, Operation
from dash_app.web.problems import CONTENT_TYPE, encode, problem, problem_of

log = structlog.get_logger(__name__)

THREADS = 12
#: What is read of a body that is too large before the answer is sent and the connection closed.
DRAIN_BYTES = 64 << 20
MOST_WAITING = 500
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,100}")
_READS = ("GET", "HEAD")
_POLICY = "default-src 'none'; frame-ancestors 'none'"


class Overloaded(Transient):
    """More is being asked than can be answered right now."""


@dataclass(frozen=True)
class Reply:
    """What goes out."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Api:
    """What the handlers of one node share. `close` when done."""

    def __init__(self, app: App, access: Access, queries: Queries) -> None:
        self.app = app
        self.access = access
        self.queries = queries
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="api")
        self._waiting = 0

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def perform(self, call: Call, key: IdempotencyKey | None) -> Reply:
        if self._waiting >= MOST_WAITING:
            raise Overloaded(retry_after=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _perform, call, key)
        finally:
            self._waiting -= 1


def _perform(call: Call, key: IdempotencyKey | None) -> Reply:
    """Runs the operation in one transaction; what it wants done afterwards is done once that is committed."""
    with call.stack:
        if key is not None and (before := key.answered(call.unit)) is not None:
            return Reply(before[0], before[1], {**before[2], "Idempotent-Replayed": "true"})
        reply = _reply(call.operation, call.operation.run(call))
        if key is not None:
            key.keep(call.unit, reply.status, reply.body, dict(reply.headers))
        if call.operation.method not in _READS:
            call.commit()
    for what in call.after:
        try:
            what()
        except DashError:
            # What the call asked for is committed, and what follows it is also found by the workers' sweeps.
            log.warning("api.afterwards", operation=call.operation.name, exc_info=True)
    return reply


def _reply(operation: Operation, result: Any) -> Reply:
    answer = result if isinstance(result, Answer) else Answer(result)
    headers = dict(answer.headers)
    status = answer.status or operation.status
    if operation.tagged and isinstance(answer.body, dict):
        headers["ETag"] = f'"{answer.body["revision"]}"'
    if answer.content_type is not None:
        headers["Content-Type"] = answer.content_type
        return Reply(status, answer.body, headers)
    if status == 204:
        return Reply(status, b"", headers)
    headers["Content-Type"] = "application/json"
    return Reply(status, orjson.dumps(answer.body, default=dict), headers)


class ProblemHandler(RequestHandler):
    """Base of everything below /api: headers that always hold, a request id, and errors as problems."""

    request_id = ""

    def check_xsrf_cookie(self) -> None:
        """Nothing: `Access.check_xsrf` looks at what a session sends, and a token needs none."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        given = self.request.headers.get("X-Request-Id", "")
        self.request_id = self.request_id or (given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
        self.set_header("X-Request-Id", self.request_id)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Content-Type", CONTENT_TYPE)

    def check_etag_header(self) -> bool:
        # An ETag names a revision for If-Match; counts beside it change without one, so that it says nothing of caches.
        return False

    def compute_etag(self) -> str | None:
        return None

    def fail(self, error: Exception) -> None:
        document, headers = problem_of(error, self.request_id)
        if not isinstance(error, DashError):
            log.error(
                "api.failed",
                method=self.request.method,
                path=self.request.path,
                request_id=self.request_id,
                exc_info=error,
            )
        elif error.status >= 500:
            log.warning("api.failed", path=self.request.path, request_id=self.request_id, error=error.message)
        self.set_status(document["status"])
        for name, value in headers.items():
            self.set_header(name, value)
        self.finish(encode(document))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What Tornado itself refuses, such as a request it cannot read."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, HTTPError) and status_code < 500:
            self.set_header("Content-Type", CONTENT_TYPE)
            self.finish(encode(problem(status_code, self._reason, "This request cannot be used.")))
        else:
            self.fail(error if isinstance(error, Exception) else RuntimeError(f"status {status_code}"))


class MissingHandler(ProblemHandler):
    """Whatever else is asked for below /api."""

    def prepare(self) -> None:
        self.fail(NotFound())


@stream_request_body
class OperationHandler(ProblemHandler):
    """The operations of one path, by method."""

    def initialize(self, api: Api, operations: Mapping[str, Operation]) -> None:
        self._api = api
        self._operations = operations
        self._pieces: list[bytes] = []
        self._size = 0
        operation = operations.get(str(self.request.method))
        self._most = (operation.binary if operation else 0) or MAX_BODY

    def prepare(self) -> None:
        # The server's own bound would hang up on the sender without an answer.
        self.request.connection.set_max_body_size(1 << 40)  # type: ignore[union-attr]

    def data_received(self, chunk: bytes) -> None:
        # What is too large is read and dropped for a bounded while, so that the sender comes to read the answer.
        self._size += len(chunk)
        if self._size <= self._most:
            self._pieces.append(chunk)
            return
        self._pieces.clear()
        if self._size > DRAIN_BYTES and not self._finished:
            self.set_header("Connection", "close")
            self.fail(_too_large(self._most))

    async def _answer(self, **path: str) -> None:
        try:
            reply = await self._reply(path)
        except Exception as error:
            if not self._finished:
                self.fail(error)
            return
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        # Tornado takes no body, not even an empty one, where there can be none.
        self.finish(reply.body if reply.status != 204 else None)

    get = head = post = put = patch = delete = options = _answer

    async def _reply(self, path: dict[str, str]) -> Reply:
        method = str(self.request.method)
        operation = self._operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            allowed = ", ".join(sorted({*self._operations, *(["HEAD"] if "GET" in self._operations else [])}))
            refused = problem(405, "Method not allowed", f"{method} is not for this address; it takes {allowed}.")
            return Reply(405, encode(refused), {"Allow": allowed})
        who = await self._who(operation)
        body, raw = self._body(operation), b"".join(self._pieces)
        access = self._api.access
        call = Call(
            app=self._api.app,
            queries=self._api.queries,
            principal=who,
            operation=operation,
            path={name: _path_text(value) for name, value in path.items()},
            query=_query(self.request.query_arguments, operation),
            body=body,
            headers=self.request.headers,
            base_url=self._api.app.settings.public_url or f"{self.request.protocol}://{self.request.host}",
            xsrf=access.xsrf(who),
            stack=ExitStack(),
            raw=raw if operation.binary else b"",
        )
        return await self._api.perform(call, self._key(operation, who, raw))

    async def _who(self, operation: Operation) -> Principal:
        who = await self._api.access.principal(self.request)
        if who is None:
            raise Unauthorized(
                "A token (Authorization: Bearer …) or a session is needed, and this is not one that is valid."
            )
        if operation.action is not None:
            who.require(operation.action)
        if operation.method not in _READS:
            self._api.access.check_xsrf(who, self.request)
        return who

    def _body(self, operation: Operation) -> dict[str, Any]:
        if self._size > self._most:
            raise _too_large(self._most)
        if operation.body is None:
            return {}
        if self.request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedEncoding("bodies are taken as they are here, without a Content-Encoding")
        raw = b"".join(self._pieces)
        if not raw and not operation.body.get("required"):
            raw = b"{}"
        document = read_body(raw, operation.body)
        if not operation.raw_text and holds_nul(document):
            raise BadRequest("a text in the body holds U+0000, which cannot be stored")
        return document

    def _key(self, operation: Operation, who: Principal, raw: bytes) -> IdempotencyKey | None:
        text = self.request.headers.get(HEADER)
        if text is None or not operation.keyed:
            return None
        request = fingerprint(operation.method, self.request.path, self.request.query, raw)
        return IdempotencyKey(self._api.app.vault, who.team, who.user, text, request)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"a body has at most {most:,} bytes here")


def _path_text(value: str) -> str:
    """A part of the path as it may be looked for. Raises NotFound: what no name can be is the name of nothing."""
    if "\x00" in value or len(value) > 200:
        raise NotFound
    return value


def _query(given: Mapping[str, list[bytes]], operation: Operation) -> dict[str, Any]:
    read = read_query(given, operation.query)
    if holds_nul(read):
        raise BadRequest("a parameter holds U+0000")
    return read
