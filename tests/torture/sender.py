"""The client: threads that post signed deliveries, keep a log of the answers, and send again what they do not know of.

The log is the judge's evidence, so each line is on disk before the client goes on. An answer that never came says
nothing: the delivery is sent again under its id, as every serious sender does. Three in ten are sent twice on purpose,
some of those at the same moment by two threads.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.torture.world import Delivery

DUPLICATES = 0.3
TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class Entry:
    """What one attempt came to. `event`: acked | refused | unknown; `detail`: payload id and duplicate, or why."""

    delivery: str
    event: str
    payload: int = 0
    duplicate: bool = False
    detail: str = ""


class Log:
    """Lines of JSON, each synced before `write` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")
        self._lock = threading.Lock()

    def write(self, *entry: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            os.fdatasync(self._file.fileno())

    def entries(self) -> Iterator[Entry]:
        with self._path.open("rb") as lines:
            for line in lines:
                delivery, event, payload, duplicate, detail = json.loads(line)
                yield Entry(delivery, event, payload, duplicate, detail)

    def close(self) -> None:
        self._file.close()


class Gate:
    """Holds the senders back until the fault that belongs to their place in the stream has been done."""

    def __init__(self, limit: int) -> None:
        self._condition = threading.Condition()
        self._limit = limit
        self.taken = 0

    def open_to(self, limit: int) -> None:
        with self._condition:
            self._limit = max(self._limit, limit)
            self._condition.notify_all()

    def take(self, deadline: float) -> bool:
        """Waits for a place; False once it is past the deadline."""
        with self._condition:
            while self.taken >= self._limit:
                if not self._condition.wait(max(0.0, deadline - time.monotonic())):
                    return False
            self.taken += 1
            return True


class Senders:
    """Posts a queue of deliveries to `port` over several threads."""

    def __init__(self, port: int, log: Log, seed: int, *, threads: int = 8, pause: float = 0.01) -> None:
        self._port, self._log = port, log
        self._threads, self._pause, self._seed = threads, pause, seed
        self._queue: deque[Delivery] = deque()
        self._lock = threading.Lock()
        self.unsettled: list[str] = []

    def run(self, deliveries: list[Delivery], gate: Gate, seconds: float) -> None:
        """Returns once each is acked or refused, or the time is over (then `unsettled` names what is left)."""
        rng = random.Random(self._seed + len(deliveries))
        for delivery in deliveries:
            self._queue.append(delivery)
            if rng.random() < DUPLICATES:
                # Now and then right behind, so that two threads have it in hand at once; else some places later.
                self._queue.insert(max(0, len(self._queue) - rng.choice([1, 1, 5, 20])), delivery)
        deadline = time.monotonic() + seconds
        threads = [threading.Thread(target=self._work, args=(n, gate, deadline)) for n in range(self._threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, number: int, gate: Gate, deadline: float) -> None:
        rng = random.Random(self._seed * 1000 + number)
        connection: http.client.HTTPConnection | None = None
        while gate.take(deadline):
            with self._lock:
                if not self._queue:
                    break
                delivery = self._queue.popleft()
            wait = 0.05
            while True:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
                settled, alive = self._attempt(connection, delivery)
                if not alive:
                    connection.close()
                    connection = None
                if settled:
                    break
                if time.monotonic() > deadline:
                    with self._lock:
                        self.unsettled.append(delivery.id)
                    break
                time.sleep(wait * rng.uniform(0.5, 1.5))
                wait = min(wait * 1.5, 0.5)
            time.sleep(self._pause * rng.uniform(0, 2))
        if connection is not None:
            connection.close()

    def _attempt(self, connection: http.client.HTTPConnection, delivery: Delivery) -> tuple[bool, bool]:
        """(whether something is known of it now, whether the connection can be used again)"""
        body = delivery.body
        headers = {
            "Content-Type": delivery.content_type,
            "X-GitHub-Delivery": delivery.id,
            "X-Hub-Signature-256": delivery.target.sign(body + b"!" if delivery.forged else body),
        }
        try:
            connection.request("POST", delivery.target.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._log.write(delivery.id, "unknown", 0, False, type(error).__name__)
            return False, False
        if response.status == 200:
            told = json.loads(answer)
            self._log.write(delivery.id, "acked", int(told["payload_id"]), bool(told["duplicate"]), "")
            return True, True
        if response.status in (429, 500, 503):
            self._log.write(delivery.id, "unknown", 0, False, str(response.status))
            return False, not response.will_close
        self._log.write(delivery.id, "refused", 0, False, str(response.status))
        return True, not response.will_close
