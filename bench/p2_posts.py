"""P2: single-record signed posts, acked durable, over 64 connections; beside a bare handler with the same commit.

Both receive for the same pipeline in the same database, in turns of a few seconds, so that a noisy neighbour hits both.
The workers run all the time, since a receiver that has the machine for itself is nobody's case; --no-workers leaves
them out. The ratio is of the medians of the turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from bench import _bodies, _cpu
from bench._ground import Ground, free_port
from bench._load import Orders, Report, send


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with Ground() as ground:
        machine = ground.machine()
        target = ground.pipeline("events", _bodies.ONE_MAPPING)
        ground.start_node()
        if not options.no_workers:
            ground.start_workers(2)
        bare_port = free_port()
        ground.start_module(
            "bare", "bench._bare", str(bare_port), str(target.pipeline), str(ground.team), target.secret
        )
        ground.wait_ready()
        ground.wait_ready(port=bare_port)
        turns: dict[str, list[Report]] = {"dash": [], "bare": []}
        used: dict[str, dict[str, float]] = {}
        for turn in range(options.turns + 1):
            for name, port in (("dash", ground.port), ("bare", bare_port)):
                seconds = options.seconds if turn else 2  # the first turn warms up and does not count
                before = _cpu.look(ground)
                report = send(
                    Orders(port, target.path, target.secret, 0, seconds, options.connections, prefix=f"{name}{turn}")
                )
                if turn:
                    turns[name].append(report)
                    for part, spent in _cpu.split(before, _cpu.look(ground)).items():
                        used.setdefault(name, {}).setdefault(part, 0.0)
                        used[name][part] = round(used[name][part] + spent, 2)
        stored = ground.value("SELECT count(*) FROM dash.payloads")
    rates = {name: [r.posts / (r.ended - r.began) for r in reports] for name, reports in turns.items()}
    # The receivers' own work, which a neighbour's load does not touch.
    cpu = {
        name: used[name][process] / sum(r.posts for r in turns[name])
        for name, process in (("dash", "node"), ("bare", "bare"))
    }
    dash, bare = statistics.median(rates["dash"]), statistics.median(rates["bare"])
    return {
        "figure": "P2",
        "posts_per_s": round(dash),
        "bare_posts_per_s": round(bare),
        "to_bare": round(dash / bare, 3),
        "reach_to_bare": 0.8,
        "receiver_cpu_ms_a_post": {name: round(seconds * 1000, 3) for name, seconds in cpu.items()},
        "to_bare_by_cpu": round(cpu["bare"] / cpu["dash"], 3),
        "post_p50_ms": statistics.median(r.p50 for r in turns["dash"]),
        "post_p99_ms": statistics.median(r.p99 for r in turns["dash"]),
        "bare_p50_ms": statistics.median(r.p50 for r in turns["bare"]),
        "errors": {name: sum(sum(r.errors.values()) for r in reports) for name, reports in turns.items()},
        "posts": {name: sum(r.posts for r in reports) for name, reports in turns.items()},
        "stored": stored,
        "connections": options.connections,
        "workers": 0 if options.no_workers else 2,
        "turn_rates": {name: [round(rate) for rate in found] for name, found in rates.items()},
        "sender_cpu_s": round(sum(r.cpu for reports in turns.values() for r in reports), 2),
        "cpu_seconds": used,
        "machine": machine,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="of one turn")
    parser.add_argument("--turns", type=int, default=4, help="of each")
    parser.add_argument("--full", action="store_true", help="turns of 10 s")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--no-workers", action="store_true")
    options = parser.parse_args()
    if options.full:
        options.seconds = 10
    result = measure(options)
    print(json.dumps(result), flush=True)
    for name, value in result.items():
        if name not in ("cpu_seconds", "machine"):
            print(f"{name:>24}  {value}", file=sys.stderr)
    for name, parts in result["cpu_seconds"].items():
        for part, spent in parts.items():
            print(f"{name:>8} {part:>36}  {spent:7.2f} s of CPU", file=sys.stderr)
    return 1 if any(result["errors"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
