"""Servers that stream on the loopback, and a process's streams run in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

from dash_app.app import App
from dash_app.pipelines import setup
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.streaming.streams import Streams
from dash_app.storage import ledger, streams
from tests.integration.conftest import House

LOOPBACK = Reach.of(["127.0.0.0/8"])


def streamed(house: House, kind: str, mapping: Mapping[str, Any] | None, **options: Any) -> UUID:
    """A pipeline with a stream as its source."""
    document = {"name": "Feed", "slug": "feed", "source": {"kind": kind, "options": options}, "mapping": mapping}
    with house.app.database.team(house.team) as unit:
        made, _ = setup.create_pipeline(unit, house.app, house.team, document, "tests")
        unit.commit()
    return made.id


def state_of(house: House, pipeline: UUID) -> streams.Stream | None:
    with house.app.database.ingest() as unit:
        return streams.stream(unit, pipeline)


def bodies(house: House, pipeline: UUID) -> list[tuple[str, str, Any, str]]:
    """The payloads of a pipeline in the order in which they came: body, content type, headers, source."""
    return house.rows(
        "SELECT convert_from(body, 'UTF8'), content_type, headers::jsonb, source FROM payloads "
        "WHERE pipeline_id = %s ORDER BY id",
        (pipeline,),
    )


class Running:
    """The streams of what might be a worker, in a thread."""

    def __init__(self, app: App, node: str) -> None:
        self._app = replace(app, reach=LOOPBACK)
        self._node = node
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._began = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._began.wait(10)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._began.set()
        beating = asyncio.create_task(self._beat())
        await Streams(self._app, self._node).run(self._stop)
        beating.cancel()

    async def _beat(self) -> None:
        def beat() -> None:
            with self._app.database.ingest() as unit:
                ledger.beat(unit, self._node, "worker.streams", {})
                unit.commit()

        while True:
            await asyncio.to_thread(beat)
            await asyncio.sleep(3)

    def stop(self) -> None:
        if self._thread.is_alive():
            assert self._loop is not None
            assert self._stop is not None
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)
        assert not self._thread.is_alive()


@contextmanager
def running(app: App, node: str = "one") -> Iterator[Running]:
    made = Running(app, node)
    try:
        yield made
    finally:
        made.stop()


class EventServer:
    """Server-sent events that a test puts in; it notes what each connection asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.events: SimpleQueue[bytes | None] = SimpleQueue()
        self.status = 200
        self.content_type = "text/event-stream"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(outer.status)
                self.send_header("Content-Type", outer.content_type)
                self.end_headers()
                while outer.status == 200:
                    try:
                        piece = outer.events.get(timeout=0.2)
                    except Empty:
                        piece = b": still here\n\n"
                    if piece is None:
                        return
                    try:
                        self.wfile.write(piece)
                    except OSError:
                        return

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/events"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def send(self, *events: str) -> None:
        for event in events:
            self.events.put(event.encode())

    def hang_up(self) -> None:
        self.events.put(None)

    def close(self) -> None:
        self.status = 503
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
