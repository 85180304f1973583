"""The receiver: `POST /webhooks/{pipeline_id}`, answered 200 only after the payload is committed.

The body is read in pieces and never held beyond its cap. One that is too large is drained for a bounded while
before the answer, because a sender that is cut off in the middle of its body reads no answer at all.

Some senders ask first whether they may send: by GET (Meta's `hub.challenge`), by OPTIONS (CloudEvents) or in a signed
POST (Slack). Such a handshake is answered where the source says so, and stores nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from http import HTTPStatus
from typing import Any

import structlog
import tornado.web

from dash_app.domain.errors import BufferFull, DashError, Forbidden, NotFound, TooLarge
from dash_app.pipelines.receive import Challenge, Hook, Hooks
from dash_app.storage.payloads import GroupCommit
from dash_app.web.metrics import Metrics
from dash_app.web.problems import CONTENT_TYPE, encode, problem, problem_of

log = structlog.get_logger(__name__)

#: What is read of a body that is too large before the answer is sent and the connection closed.
DRAIN_BYTES = 64 << 20
#: Bodies from this size on are unfolded and checked in a thread, so that others do not wait for them.
ASIDE_BYTES = 256 << 10


@tornado.web.stream_request_body
class WebhookHandler(tornado.web.RequestHandler):
    """One delivery."""

    def initialize(self, hooks: Hooks, commits: GroupCommit, metrics: Metrics) -> None:
        self._hooks = hooks
        self._commits = commits
        self._metrics = metrics
        self._hook: Hook | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._limit = 0
        self._refused: DashError | None = None
        self._left = False
        self._began = time.perf_counter()
        self._request_id = secrets.token_hex(8)
        self._metrics.in_flight.enter()

    def check_xsrf_cookie(self) -> None:
        """A webhook proves itself by its signature."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")

    async def prepare(self) -> None:
        if self.request.method != "POST":
            return
        # Bounded by hand, at DRAIN_BYTES: Tornado's own bound hangs up before the sender can read why.
        self.request.connection.set_max_body_size(1 << 40)  # type: ignore[union-attr]
        try:
            hook = await self._find(self.path_args[0])
            hook.check_sender(self.request.remote_ip or "")
        except DashError as error:
            self._refused = error
            return
        self._hook = hook
        self._limit = hook.source.max_bytes
        length = self.request.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > self._limit:
            self._refused = TooLarge(f"the body is larger than {self._limit} bytes")

    async def _find(self, reference: str) -> Hook:
        """The hook of this address; NotFound where there is none."""
        try:
            hook = self._hooks.known(reference)
            if hook is None:
                hook = await asyncio.get_running_loop().run_in_executor(None, self._hooks.find, reference)
        except NotFound:
            raise NotFound("there is no such webhook") from None
        return hook

    def data_received(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._refused is None and self._size > self._limit:
            self._refused = TooLarge(f"the body is larger than {self._limit} bytes")
        if self._refused is None:
            self._pieces.append(chunk)
            return
        self._pieces.clear()
        if self._size > DRAIN_BYTES and not self._finished:
            self._answer_error(self._refused)

    async def post(self, _reference: str) -> None:
        if self._finished:
            return
        if self._refused is not None or self._hook is None:
            self._answer_error(self._refused or NotFound("there is no such webhook"))
            return
        raw = b"".join(self._pieces)
        self._pieces.clear()
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        source = self.request.remote_ip or ""
        try:
            if len(raw) < ASIDE_BYTES and "content-encoding" not in headers:
                arrival = self._hook.arrival(raw, headers, source, time.time())
            else:
                arrival = await asyncio.get_running_loop().run_in_executor(
                    None, self._hook.arrival, raw, headers, source, time.time()
                )
            if isinstance(arrival, Challenge):
                self._say(arrival.text)
                return
            accepted = await asyncio.wrap_future(self._commits.submit(arrival))
        except DashError as error:
            self._answer_error(error)
            return
        except Exception:
            log.exception("webhook.failed", pipeline=str(self._hook.pipeline), request_id=self._request_id)
            self._answer_error(BufferFull("the payload could not be stored; send it again", retry_after=2))
            return
        self._metrics.accepted(len(arrival.body), accepted.duplicate, time.perf_counter() - self._began)
        self.set_header("Content-Type", "application/json")
        self.finish(
            b'{"payload_id": "%d", "duplicate": %s}' % (accepted.payload, b"true" if accepted.duplicate else b"false")
        )

    async def get(self, reference: str) -> None:
        """A sender that asks by `hub.challenge` whether the address is ours."""
        try:
            hook = await self._find(reference)
            if not hook.verifies:
                self.send_error(405)
                return
            hook.check_sender(self.request.remote_ip or "")
            if self.get_query_argument("hub.mode", "") != "subscribe":
                raise Forbidden("hub.mode is not subscribe")
            challenge = self.get_query_argument("hub.challenge", "", strip=False)
            self._say(hook.verified(self.get_query_argument("hub.verify_token", "", strip=False), challenge))
        except DashError as error:
            self._answer_error(error)

    async def options(self, reference: str) -> None:
        """A sender of CloudEvents that asks whether it may send."""
        origin = self.request.headers.get("WebHook-Request-Origin", "").strip()
        try:
            hook = await self._find(reference)
            if not origin or not hook.source.allowed_origins:
                self.send_error(405)
                return
            hook.check_sender(self.request.remote_ip or "")
            if not hook.permits(origin):
                raise Forbidden("this origin is not among those that may send to this webhook")
            self.set_header("Allow", "POST")
            self.set_header("WebHook-Allowed-Origin", origin)
            # Deliveries a minute; asked for or not, this is how many are accepted.
            rate = hook.source.rate_limit
            self.set_header("WebHook-Allowed-Rate", str(max(1, int(rate * 60))) if rate else "*")
            self.finish()
        except DashError as error:
            self._answer_error(error)

    def _say(self, text: str) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(text)

    def _answer_error(self, error: DashError) -> None:
        self._metrics.refused(error.status)
        document, headers = problem_of(error, self._request_id)
        self.set_status(error.status)
        self.set_header("Content-Type", CONTENT_TYPE)
        for name, value in headers.items():
            self.set_header(name, value)
        if self._size > DRAIN_BYTES:
            self.set_header("Connection", "close")
        self.finish(encode(document))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Other methods and what Tornado itself refuses: the same shape as every other error."""
        self.set_header("Content-Type", CONTENT_TYPE)
        if status_code == 405:
            self.set_header("Allow", "POST")
        title = HTTPStatus(status_code).phrase
        self.finish(encode(problem(status_code, title, f"{title}: deliveries are posted here.")))

    def on_finish(self) -> None:
        self._leave()

    def on_connection_close(self) -> None:
        self._pieces.clear()
        self._leave()

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._metrics.in_flight.leave()
