"""A feed of numbered records behind a server that fails in every way a server can, where it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.waiting import wait_until


class Hostile:
    """`count` records in pages of `size`, the newest first, behind opaque cursors of one epoch.

    `faults`: for a page's number, what happens at its requests, one after the other, before it is answered as it
    should be. `busy` and `broken` are 429 and 500; `drip` takes for ever; `cut` and `torn` break off within the JSON
    and within the answer; `again` is the page before; `reset` makes every cursor so far invalid; `hold` waits for
    `go_on`.
    """

    def __init__(self, count: int, size: int, faults: dict[int, list[str]]) -> None:
        self.count, self.size, self.faults = count, size, faults
        self.pages = -(-count // size)
        self.epoch = 1
        self.asked: list[int] = []
        self.go_on = threading.Event()
        self.held = threading.Event()
        self.ended = threading.Event()
        self._lock = threading.Lock()

    def document(self, number: int, since: int) -> bytes:
        """The page of that number, from 0, of the records from `since` on."""
        numbers = [n for n in range(self.count - 1, -1, -1) if n >= since]
        found = numbers[number * self.size : (number + 1) * self.size]
        more = (number + 1) * self.size < len(numbers)
        cursor = f"{self.epoch}:{number + 1}" if more else None
        return json.dumps({"items": [{"id": n, "value": n / 8} for n in found], "next_cursor": cursor}).encode()

    def fault(self, number: int) -> str:
        with self._lock:
            self.asked.append(number)
            left = self.faults.get(number)
            return left.pop(0) if left else ""

    def left(self) -> dict[int, list[str]]:
        return {number: faults for number, faults in self.faults.items() if faults}


@contextmanager
def serving(feed: Hostile) -> Iterator[str]:
    """The feed's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            epoch, _, page = asked.get("cursor", [f"{feed.epoch}:0"])[0].partition(":")
            number = int(page)
            if int(epoch) != feed.epoch:
                return self._answer(410, b"the cursor has expired")
            since = int(asked.get("since", ["0"])[0])
            fault = feed.fault(number)
            body = feed.document(number, since)
            if fault == "busy":
                return self._answer(429, b"slow down", {"Retry-After": "1"})
            if fault == "broken":
                return self._answer(500, b"the disk is full")
            if fault == "reset":
                feed.epoch += 1
                return self._answer(410, b"the cursor has expired")
            if fault == "drip":
                return self._drip(body)
            if fault == "cut":
                return self._answer(200, body[: len(body) // 2])
            if fault == "torn":
                return self._answer(200, body[: len(body) // 2], {"Content-Length": str(len(body))})
            if fault == "again":
                return self._answer(200, feed.document(number - 1, since))
            if fault == "hold":
                feed.held.set()
                feed.go_on.wait(300)
            return self._answer(200, body)

        def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.close_connection = True
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def _drip(self, body: bytes) -> None:
            """A byte now and then, until the other side has had enough."""
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for at in range(len(body)):
                if feed.ended.wait(0.05):
                    return
                self.wfile.write(body[at : at + 1])
                self.wfile.flush()

        def handle(self) -> None:
            with suppress(OSError):  # the other side is gone, as it should be
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/feed"
    finally:
        feed.go_on.set()
        feed.ended.set()
        server.shutdown()
        server.server_close()
        wait_until(lambda: not thread.is_alive())
