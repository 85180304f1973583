"""What goes wrong: processes killed without warning, connections cut, the database gone; and that each comes back.

A killed process is started anew at once, as a supervisor would. `heal` waits until it works again, so that the next
fault meets a system that was working, not one that still lies where the last one left it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import psutil
import psycopg

from bench._ground import Ground, Target
from dash_app.domain.errors import DashError
from dash_app.domain.events import Arrival
from dash_app.storage import embedded, payloads
from tests.torture.sender import Log
from tests.torture.world import World

#: How often each is drawn. A kill of everything else is a kill of the database too, as far as a client can tell.
KINDS = {"node": 4, "workers": 5, "consumer": 3, "backends": 4, "postmaster": 2}
HEAL_SECONDS = 60.0


class NotHealed(Exception):
    """Something that was killed did not come back to work."""


class Faults:
    """Does faults to one ground and keeps count of them."""

    def __init__(self, ground: Ground, seed: int, workers: int) -> None:
        self._ground, self._workers = ground, workers
        self._random = random.Random(seed ^ 0x5EED)
        self.done: Counter[str] = Counter()
        #: What nobody killed and ended all the same.
        self.ended: list[str] = []
        self._since = datetime.now(UTC)

    def draw(self, count: int) -> list[str]:
        return self._random.choices(list(KINDS), list(KINDS.values()), k=count)

    def do(self, kind: str) -> None:
        self._since = datetime.now(UTC)
        actions: dict[str, Callable[[], None]] = {
            "node": self._node,
            "workers": self._all_workers,
            "consumer": self._consumer,
            "backends": self._backends,
            "postmaster": self._postmaster,
        }
        actions[kind]()
        self.done[kind] += 1

    def heal(self, kind: str) -> None:
        """Until what was hit works again; NotHealed after a minute."""
        checks = {"node": self._node_answers, "workers": self._new_worker, "consumer": self._new_worker}
        check = checks.get(kind, self._node_answers)
        deadline = time.monotonic() + HEAL_SECONDS
        while not check():
            if time.monotonic() > deadline:
                raise NotHealed(f"{HEAL_SECONDS:.0f} s after the fault '{kind}' it is not back")
            self.supervise()
            time.sleep(0.1)

    def supervise(self) -> None:
        """Starts what ended by itself, as a supervisor would, and remembers it: only a kill may end them."""
        for name, process in list(self._ground.processes.items()):
            if process.poll() is not None:
                self.ended.append(f"{name} ended by itself with status {process.returncode}")
                self._ground.kill(name)
                self._start(name)

    def _start(self, name: str) -> None:
        if name == "node":
            self._ground.start_node()
        else:
            self._ground.start_workers(self._workers)

    # -- the faults

    def _node(self) -> None:
        self._ground.kill("node")
        self._start("node")

    def _all_workers(self) -> None:
        self._ground.kill("worker")
        self._start("worker")

    def _consumer(self) -> None:
        """One consumer alone; its parent notices and starts another."""
        try:
            children = [
                child
                for child in psutil.Process(self._ground.processes["worker"].pid).children()
                if "resource_tracker" not in " ".join(child.cmdline())
            ]
        except psutil.NoSuchProcess:
            return
        if children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._random.choice(children).pid, signal.SIGKILL)

    def _backends(self) -> None:
        """Cuts half of the connections that node and workers have."""
        # The superuser's own connection: the roles of the product may not end each other's.
        with psycopg.connect(self._ground.server.url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND application_name <> '' AND application_name NOT LIKE 'bench%%' AND hashint4(pid + %s) %% 2 = 0",
                (self._random.randrange(1000),),
            )

    def _postmaster(self) -> None:
        """SIGKILL to the server; its children notice by themselves, and it recovers from its log."""
        old = self._ground.server
        os.kill(old.pid, signal.SIGKILL)
        self._ground.server = embedded.start(self._ground.folder)
        old.stop()

    # -- back to work

    def _node_answers(self) -> bool:
        return self._ground.answers()

    def _new_worker(self) -> bool:
        try:
            return bool(
                self._ground.value("SELECT count(*) FROM dash.heartbeats WHERE started_at > %s", (self._since,))
            )
        except DashError:
            return False


class SlowCommits(threading.Thread):
    """A second source beside the node, as a poll is: accepts a payload, and commits only a while later.

    What commits late stands before what committed early. Readers that remember the last id they saw lose it.
    """

    def __init__(self, ground: Ground, world: World, log: Log, target: Target, number: int) -> None:
        super().__init__(daemon=True)
        self._ground, self._world, self._log, self._target = ground, world, log, target
        self._round = number
        self._random = random.Random(number ^ 0x510)
        self.stopping = threading.Event()
        self.made = 0

    def run(self) -> None:
        while not self.stopping.wait(self._random.uniform(0.05, 0.3)):
            self.made += 1
            delivery = self._world.direct(f"slow-{self._round}-{self.made}", self._target)
            arrival = Arrival(
                self._target.pipeline,
                self._target.team,
                delivery.body,
                delivery.content_type,
                {"x-github-delivery": delivery.id},
                "slow",
                delivery.id,
            )
            try:
                with self._ground.app.database.ingest() as unit:
                    (accepted,) = payloads.accept(unit, [arrival])
                    time.sleep(self._random.uniform(0.02, 0.15))
                    unit.commit()
            except DashError as error:
                self._log.write(delivery.id, "unknown", 0, False, type(error).__name__)
            else:
                self._log.write(delivery.id, "acked", accepted.payload, accepted.duplicate, "")
