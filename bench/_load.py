"""The sender, a process of its own: signed posts over kept-alive connections, one in flight on each, in one epoll loop.

Reads one JSON object on standard input and prints one on standard output (see `Orders` and `Report`). It is made to
cost little, since it shares the processors with what it measures: bodies and signatures are ready before it begins, and
of an answer it reads the status and the length. Latencies are from the moment a post was due (with a rate) or begun.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bench import _bodies
from bench._ground import ROOT


@dataclass(frozen=True)
class Orders:
    """What to send. `records`: in each post, 0 for single-record JSON. `rate`: posts a second, 0 for what goes."""

    port: int
    path: str
    secret: str
    records: int
    seconds: float
    connections: int
    rate: float = 0.0
    keyed: bool = False
    poison: float = 0.0
    whole: bool = False
    prefix: str = "d"
    #: The number of the first single record; each next one has the next number.
    first: int = 0


@dataclass
class Report:
    """What came of it. Times are of the monotonic clock, latencies in milliseconds.

    With a rate, post number n was due at `began` + n / rate, whether or not it could go out then.
    """

    posts: int = 0
    records: int = 0
    bad: int = 0
    bytes: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    began: float = 0.0
    ended: float = 0.0
    cpu: float = 0.0
    p50: float = 0.0
    p99: float = 0.0


class Requests:
    """The next post, ready to go out: head and body."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._key = orders.secret.encode()
        self._number = 0
        self._keyed = _bodies.Keyed(orders.records) if orders.keyed else None
        if orders.records and not orders.keyed:
            self._bodies = _bodies.make(240, orders.records, poison=orders.poison, whole=orders.whole)
        else:
            many = max(2000, int(orders.rate * orders.seconds * 1.2))
            self._bodies = [_bodies.Body(_bodies.one(orders.first + n), 1) for n in range(many)]
        kind = "application/x-ndjson" if orders.records else "application/json"
        self._start = f"POST {orders.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n".encode()
        self._heads = [self._head(body.data) for body in self._bodies]

    def _head(self, body: bytes) -> bytes:
        signature = hmac.new(self._key, body, hashlib.sha256).hexdigest()
        line = f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(body)}\r\nX-GitHub-Delivery: "
        return self._start + line.encode()

    def next(self) -> tuple[list[bytes], int, int]:
        """(head and body, records, bad ones among them)"""
        number = self._number
        self._number += 1
        tail = f"{self._orders.prefix}-{number}\r\n\r\n".encode()
        if self._keyed is not None:
            data = self._keyed.next()
            return [self._head(data) + tail, data], self._orders.records, 0
        body = self._bodies[number % len(self._bodies)]
        head = self._heads[number % len(self._bodies)]
        return [head + tail, body.data], body.records, body.bad


class Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.pending: list[memoryview] = []
        self.answer = b""
        self.since = 0.0
        self.records = self.bad = self.size = 0

    def flush(self) -> bool:
        """Sends what the socket takes; whether all of it went."""
        while self.pending:
            try:
                sent = self.socket.sendmsg(self.pending)
            except BlockingIOError:
                return False
            while self.pending and sent >= len(self.pending[0]):
                sent -= len(self.pending.pop(0))
            if sent:
                self.pending[0] = self.pending[0][sent:]
        return True


def run(orders: Orders) -> Report:
    requests, report, errors = Requests(orders), Report(), Counter[str]()
    connections = {c.socket.fileno(): c for c in (Connection(orders.port) for _ in range(orders.connections))}
    poll = select.epoll()
    for number in connections:
        poll.register(number, select.EPOLLIN)
    latencies: list[float] = []
    idle = list(connections.values())
    cpu = time.process_time()
    report.began = time.monotonic()
    end, due, step = report.began + orders.seconds, report.began, 1 / orders.rate if orders.rate else 0.0
    busy = 0
    while True:
        now = time.monotonic()
        while idle and now < end and (not step or due <= now):
            connection = idle.pop()
            parts, connection.records, connection.bad = requests.next()
            connection.size = len(parts[1])
            connection.pending = [memoryview(part) for part in parts]
            connection.since = due if step else now
            due += step
            busy += 1
            if not connection.flush():
                poll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
        if now >= end and not busy:
            break
        if now > end + 60:
            errors["no answer within 60 s"] += busy
            break
        wait = max(0.0, min(due, end) - now) if step and idle and now < end else 1.0
        for number, event in poll.poll(wait):
            connection = connections[number]
            if event & select.EPOLLOUT and connection.flush():
                poll.modify(number, select.EPOLLIN)
            if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                data = _receive(connection)
                if data is None:
                    errors["connection lost"] += 1
                    poll.unregister(number)
                    busy -= 1
                    continue
                if not (status := _answered(connection, data)):
                    continue
                busy -= 1
                idle.append(connection)
                if status != 200:
                    errors[str(status)] += 1
                    continue
                latencies.append(time.monotonic() - connection.since)
                report.posts += 1
                report.records += connection.records - connection.bad
                report.bad += connection.bad
                report.bytes += connection.size
    report.ended = time.monotonic()
    report.cpu = round(time.process_time() - cpu, 2)
    report.errors = dict(errors)
    if latencies:
        report.p50, report.p99 = (round(float(q) * 1000, 2) for q in np.quantile(latencies, [0.5, 0.99]))
    for connection in connections.values():
        connection.socket.close()
    return report


def _receive(connection: Connection) -> bytes | None:
    try:
        return connection.socket.recv(65536) or None
    except OSError:
        return None


def _answered(connection: Connection, data: bytes) -> int:
    """The status, once the answer is there in full; 0 before."""
    connection.answer += data
    head, found, body = connection.answer.partition(b"\r\n\r\n")
    if not found:
        return 0
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    if len(body) < int(length or 0):
        return 0
    connection.answer = b""
    return int(head[9:12])


def send(orders: Orders, during: Callable[[], Any] | None = None) -> Report:
    """Runs `orders` in a process of its own. `during` is called about ten times a second meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench._load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(orders)))
        process.stdin.close()
        deadline = time.monotonic() + orders.seconds + 120
        while process.poll() is None:
            if during is not None:
                during()
            if time.monotonic() > deadline:
                raise TimeoutError("the sender did not end")
            time.sleep(0.1)
        if process.returncode:
            raise RuntimeError(f"the sender ended with status {process.returncode}")
        return Report(**json.loads(process.stdout.read()))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    print(json.dumps(asdict(run(Orders(**json.load(sys.stdin))))))
