"""P6: many live viewers on one web process: how long after its commit an update is with each of them.

A node of its own for each number of viewers, who all watch one chart; five payloads a second are mapped and committed
here. The viewers are raw sockets in a process of their own (`_viewers`), which reads each frame from its socket and
takes the time since its commit. On the machine of a figure, PostgreSQL, the mapping, the node and the viewers share
the cores: with two, the viewers' reading takes from the second what the node's sending leaves of the first. Meanwhile
somebody else asks the node for something small ten times a second: telling viewers must not hold up a request.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import psutil

from bench._ground import EMAIL, ROOT, Ground, Target
from dash_app.domain.access import Role
from dash_app.domain.events import Arrival
from dash_app.pipelines.ingest import Ingest
from dash_app.storage import payloads, people

MAPPING: dict[str, Any] = {
    "fields": [
        {"name": "value", "path": "$.value", "type": "number"},
        {"name": "site", "path": "$.site", "type": "text"},
    ]
}
REQUEST = {
    "kind": "line",
    "query": {
        "pipeline": "viewed",
        "select": [{"field": "value", "agg": "avg", "as": "mean"}, {"agg": "count"}],
        "by": ["site"],
        "every": "1m",
    },
    "range": {"from": "now-1h", "to": "now"},
}
SITES = 4
REACH = {"viewers": 10_000, "updates_per_s": 5, "p99_ms": 250, "kb_each": 20}


class Feed(threading.Thread):
    """Payloads at a fixed rate, each accepted, mapped and committed at once."""

    def __init__(self, ground: Ground, target: Target, rate: float) -> None:
        super().__init__(daemon=True)
        self._ground, self._target, self._rate = ground, target, rate
        self._ingest = Ingest(ground.app)
        self._ended = threading.Event()
        self.commits = 0
        self.late = 0

    def run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            self.one()
            due += 1 / self._rate
            if time.monotonic() > due:
                self.late += 1

    def one(self) -> None:
        records = [{"value": self.commits % 100 + site, "site": f"site {site}"} for site in range(SITES)]
        body = json.dumps(records).encode()
        with self._ground.app.database.ingest() as unit:
            payloads.accept(unit, [Arrival(self._target.pipeline, self._target.team, body, "application/json")])
            unit.commit()
        self._ingest.run(self._target.pipeline)
        self.commits += 1

    def stop(self) -> None:
        self._ended.set()
        self.join()


class Asker(threading.Thread):
    """Somebody else, whose requests are small; `waits`: milliseconds for each."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._ended = threading.Event()
        self.waits: list[float] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._ended.wait(0.1):
            began = time.monotonic()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            self.waits.append((time.monotonic() - began) * 1000)
        connection.close()

    def stop(self) -> None:
        self._ended.set()
        self.join()


def crowd(ground: Ground, target: Target, token: str, count: int, options: argparse.Namespace) -> dict[str, Any]:
    ground.start_node("web", "web")
    ground.wait_ready()
    web = psutil.Process(ground.processes["web"].pid)
    feed = Feed(ground, target, options.rate)
    feed.one()
    command = [sys.executable, "-m", "bench._viewers", "--port", str(ground.port), "--token", token]
    command += ["--count", str(count), "--request", json.dumps(REQUEST)]
    # Pages and statements are loaded by a first viewer, so that the memory counted is that of one more.
    with subprocess.Popen(
        [*command[:-3], "1", *command[-2:]], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        first.communicate("\n\n")
    before = web.memory_info().rss
    began = time.monotonic()
    viewers = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert viewers.stdin is not None
    assert viewers.stdout is not None
    try:
        if viewers.stdout.readline() != "ready\n":
            raise RuntimeError("the viewers did not all come to watch")
        connecting = time.monotonic() - began
        after = web.memory_info().rss
        feed.start()
        time.sleep(2)
        asker = Asker(ground.port)
        asker.start()
        cpu, commits, start = sum(web.cpu_times()[:2]), feed.commits, time.monotonic()
        viewers.stdin.write("\n")
        viewers.stdin.flush()
        time.sleep(options.seconds)
        length, commits = time.monotonic() - start, feed.commits - commits
        cpu = sum(web.cpu_times()[:2]) - cpu
        asker.stop()
        viewers.stdin.write("\n")
        viewers.stdin.flush()
        found: dict[str, Any] = json.loads(viewers.stdout.readline())
        feed.stop()
        viewers.wait(20)
    finally:
        if viewers.poll() is None:
            viewers.kill()
        ground.stop("web")
    waits = np.quantile(asker.waits, [0.5, 0.99])
    return {
        "viewers": count,
        "p50_ms": found.get("p50_ms"),
        "p90_ms": found.get("p90_ms"),
        "p99_ms": found.get("p99_ms"),
        "max_ms": found["max_ms"],
        "commits_per_s": round(commits / length, 2),
        "updates_per_s": round(found["frames"] / count / length, 2),
        "kb_each": round((after - before) / 1024 / count, 1),
        "web_cpu": round(cpu / length, 2),
        "us_per_frame": round(cpu / max(found["frames"], 1) * 1e6, 1),
        "viewers_cpu": round(found["cpu_s"] / length, 2),
        "connects_per_s": round(count / connecting),
        "request_p50_ms": round(float(waits[0]), 1),
        "request_p99_ms": round(float(waits[1]), 1),
        "closed": found["closed"],
        "gaps": found["gaps"],
    }


def exponent(results: list[dict[str, Any]], key: str) -> float | None:
    """How `key` grows with the viewers: the slope of the logarithms."""
    points = [(math.log(r["viewers"]), math.log(r[key])) for r in results if r.get(key)]
    if len(points) < 2:
        return None
    x, y = zip(*points, strict=True)
    return round(float(np.polyfit(x, y, 1)[0]), 2)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with Ground() as ground:
        machine = ground.machine()
        target = ground.pipeline("viewed", MAPPING)
        with ground.app.database.team(ground.team) as unit:
            (user,) = (member.user for member in people.members(unit) if member.email == EMAIL)
            _, token = people.create_token(unit, ground.team, user, "viewers", Role.viewer)
            unit.commit()
        results = [crowd(ground, target, token, count, options) for count in options.viewers]
    return {
        "figure": "P6",
        "reach": REACH,
        "rate_per_s": options.rate,
        "seconds": options.seconds,
        "results": results,
        "exponents": {key: exponent(results, key) for key in ("p99_ms", "web_cpu", "kb_each")},
        "machine": machine,
        "shared": "PostgreSQL, mapping, node and viewers on the same cores",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, nargs="+", default=[625, 2500, 10_000])
    parser.add_argument("--seconds", type=float, default=15, help="of each number of viewers")
    parser.add_argument("--rate", type=float, default=5, help="commits a second")
    result = measure(parser.parse_args())
    print(json.dumps(result), flush=True)
    for one in result["results"]:
        print(one, file=sys.stderr)
    return 1 if any(one["closed"] or one["gaps"] for one in result["results"]) else 0


if __name__ == "__main__":
    sys.exit(main())
