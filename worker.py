"""Starts the workers: consumers that map payloads, one that waits for others, one that stays connected, one that
evaluates rules, and the clock.

Each consumer is a process of its own, spawned and never forked: Polars' threads do not survive a fork. A consumer
that ends
is started anew. SIGTERM or SIGINT ends all of them once they have finished what is in hand.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from types import FrameType

import structlog

from dash_app.app import App
from dash_app.domain.errors import DashError
from dash_app.logs import configure_logs
from dash_app.pipelines.alerts.evaluator import Evaluator
from dash_app.pipelines.delivery.deliver import QUEUE_THREADS
from dash_app.pipelines.schedule import Clock
from dash_app.pipelines.streaming.streams import Streams
from dash_app.pipelines.tasks import DELIVER, INGEST, IO, REPLAY, Queues
from dash_app.settings import Settings
from dash_app.storage import embedded, ledger

log = structlog.get_logger("worker")

#: Of a small claim's time half is spent waiting for the database; with one thread fifty pipelines that get a payload a
#: second wait for each other.
INGEST_THREADS = 2
#: Threads of the consumer that waits for others.
IO_THREADS = 8
#: The process that owns streams; it takes nothing from a queue.
STREAMS = "streams"
STREAM_CONNECTIONS = 8
#: The process that evaluates rules, so that nothing starves it; it takes nothing from a queue either.
ALERTS = "alerts"
BEAT_SECONDS = 3.0
REPLAY_NICE = 10
#: One maps while the other waits for the database.
REPLAY_THREADS = 2
#: How often the consumers are looked at.
WATCH_SECONDS = 0.25
#: One that has lasted for so long is started at once when it ends; others wait longer each time, and so long at most.
STEADY_SECONDS = 60.0
LONGEST_PAUSE = 15.0
#: How long a consumer may take to finish what is in hand.
DRAIN_SECONDS = 8.0
#: Given by a node that supervises this process: its first line on standard input tells what it allows, and the end of
#: standard input that it is gone.
SUPERVISED = "--supervised"


@dataclass(frozen=True)
class Orders:
    """What a consumer process is started with."""

    settings: Settings
    database_url: str
    allowed_addresses: tuple[tuple[str, int], ...] = field(default=())


def consume(orders: Orders, queue: str, threads: int) -> None:
    """One consumer process, until it is told to end or its parent is gone."""
    configure_logs(orders.settings.log_format, component=f"worker.{queue}")
    if queue == REPLAY:
        # What comes in now is mapped before what came in long ago.
        os.nice(REPLAY_NICE)
    app = App.open(
        orders.settings,
        orders.database_url,
        name=f"worker {queue}",
        pool_size=4 + threads,
        allowed_addresses=orders.allowed_addresses,
    )
    queues = Queues(app, base_url=orders.settings.public_url or "")
    consumer = queues.consumer(queue, threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threading.Thread(target=_beat, args=(app, queue), daemon=True).start()
    try:
        consumer.run()
    finally:
        queues.close()
        app.close()


def stream(orders: Orders) -> None:
    """One process of streams, until it is told to end or its parent is gone."""
    configure_logs(orders.settings.log_format, component=f"worker.{STREAMS}")
    app = App.open(
        orders.settings,
        orders.database_url,
        name=f"worker {STREAMS}",
        pool_size=STREAM_CONNECTIONS,
        allowed_addresses=orders.allowed_addresses,
    )
    asyncio.Runner().run(_stream(app))
    app.close()
    sys.stdout.flush()
    # A thread may still wait for a host that does not answer, and there is nothing left that it could hold up.
    os._exit(0)


async def _stream(app: App) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # A Ctrl-C on the terminal reaches every process, and the parent decides what to make of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threading.Thread(target=_beat, args=(app, STREAMS), daemon=True).start()
    await Streams(app, app.node).run(stop)


def alert(orders: Orders) -> None:
    """One process that evaluates rules, until it is told to end or its parent is gone."""
    configure_logs(orders.settings.log_format, component=f"worker.{ALERTS}")
    app = App.open(orders.settings, orders.database_url, name=f"worker {ALERTS}", pool_size=4)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    # A Ctrl-C on the terminal reaches every process, and the parent decides what to make of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threading.Thread(target=_beat, args=(app, ALERTS), daemon=True).start()
    try:
        Evaluator(app, base_url=orders.settings.public_url or "").run(stop)
    finally:
        app.close()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(DRAIN_SECONDS)
        os._exit(1)


def _beat(app: App, queue: str) -> None:
    while True:
        try:
            with app.database.ingest() as unit:
                ledger.beat(unit, app.node, f"worker.{queue}", {})
                unit.commit()
        except DashError as error:
            log.warning("worker.no_heartbeat", error=error.message)
        time.sleep(BEAT_SECONDS)


#: Processes that are no consumers of a queue: what they run, and what it takes beside the orders.
_PROCESSES: dict[str, tuple[Callable[..., None], tuple[object, ...]]] = {STREAMS: (stream, ()), ALERTS: (alert, ())}


class Workers:
    """The consumer processes of one machine."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._context = multiprocessing.get_context("spawn")
        workers = orders.settings.workers
        everything = [(INGEST, INGEST_THREADS)] * workers
        everything += [(IO, IO_THREADS), (DELIVER, QUEUE_THREADS), (STREAMS, 0), (ALERTS, 0)]
        everything += [(REPLAY, REPLAY_THREADS)] * workers
        self._wanted = [one for one in everything if one[0] in orders.settings.worker_roles]
        self._processes: list[BaseProcess] = [self._start(*wanted) for wanted in self._wanted]

    def _start(self, queue: str, threads: int) -> BaseProcess:
        target, more = _PROCESSES.get(queue, (consume, (queue, threads)))
        process = self._context.Process(target=target, args=(self._orders, *more), name=f"dash-{queue}")
        process.start()
        return process

    def watch(self, stop: threading.Event) -> None:
        """Starts anew what has ended, until told to stop; one that ends again and again is started ever more slowly,
        and holds up none of the others."""
        began = [time.monotonic()] * len(self._wanted)
        pauses = [0.0] * len(self._wanted)
        while not stop.wait(WATCH_SECONDS):
            for number, process in enumerate(self._processes):
                lasted = time.monotonic() - began[number]
                if process.is_alive() or lasted < pauses[number]:
                    continue
                pauses[number] = min(max(2 * pauses[number], 1.0), LONGEST_PAUSE) if lasted < STEADY_SECONDS else 0.0
                queue = self._wanted[number][0]
                began[number] = time.monotonic()
                try:
                    log.warning("worker.restarted", queue=queue, exitcode=self._processes[number].exitcode)
                    self._processes[number] = self._start(*self._wanted[number])
                except OSError as error:
                    log.error("worker.not_started", queue=queue, error=str(error))

    def end(self) -> None:
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + DRAIN_SECONDS
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                log.warning("worker.killed", name=process.name)
                process.kill()
                process.join()


def run(orders: Orders, stop: threading.Event) -> None:
    """Workers and clock, until told to stop."""
    app = App.open(orders.settings, orders.database_url, name="clock", pool_size=2)
    with app.database.ingest() as unit:
        # Asked once before consumers are started: a wrong address should be one line and an end, not a loop.
        unit.execute("SELECT 1")
    workers = Workers(orders)
    watcher = threading.Thread(target=workers.watch, args=(stop,), daemon=True)
    watcher.start()
    try:
        Clock(app).run(stop)
    finally:
        stop.set()
        watcher.join()
        workers.end()
        app.close()


def _stop_with_supervisor(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def main(argv: Sequence[str]) -> int:
    """Status 0 after an orderly end, 1 where a setting is wrong or the database cannot be reached."""
    supervised = SUPERVISED in argv
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    server = None
    try:
        settings = Settings.load([a for a in argv if a != SUPERVISED], os.environ, program="worker")
        configure_logs(settings.log_format, component="worker")
        addresses: tuple[tuple[str, int], ...] = ()
        if supervised:
            addresses = tuple((host, port) for host, port in json.loads(sys.stdin.readline())["allowed_addresses"])
            threading.Thread(target=_stop_with_supervisor, args=(stop,), daemon=True).start()
        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
        url = settings.database_url
        if url is None:
            server = embedded.running(settings.data_dir) or embedded.start(settings.data_dir)
            url = server.url
        # Read when the consumers load Polars: more threads than cores among them only wait for each other.
        os.environ.setdefault("POLARS_MAX_THREADS", str(max(1, (os.cpu_count() or 1) // settings.workers)))
        run(Orders(settings, url, addresses), stop)
    except DashError as error:
        print(f"worker: {error.message}", file=sys.stderr)
        return 1
    finally:
        if server is not None and not server.adopted:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
