"""P1: sustained ingest of signed 1,000-record NDJSON posts, acked durable, until silver, rollups and bronze have all.

A node of role ingestor, its workers, PostgreSQL and the sender share the machine. Beside it, in the same run and on the
same rows: the raw binary COPY into a table like silver's, and decoding with mapping alone. Nothing may be lost: records
in silver, records counted in rollups and payloads in bronze are compared with what was acknowledged. Bronze counts as
caught up once less than the 8 MiB wait that make a file; what is left is archived at the end and counted too.

On a machine that others use, `share_of_the_machine` tells what this run got of its processors, and
`records_per_cpu_second` is the figure that does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bench import _bodies, _cpu
from bench._ground import Ground, Target
from bench._load import Orders, Report, send
from dash_app.domain.events import Payload
from dash_app.domain.ids import new_id
from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines.mapping import compile_mapping
from dash_app.pipelines.rollups import rollup
from dash_app.storage import bronze, copy_binary

RECORDS = 1000
WANTED = {"clean": 200_000, "keyed": 100_000, "poison": 160_000}
TYPES = {"_time": "timestamptz", "_received": "timestamptz", "_payload": "int8", "_index": "int4"}


class Progress:
    """How far silver has come, looked up while the sender runs."""

    def __init__(self, ground: Ground, target: Target) -> None:
        self._ground, self._target = ground, target
        self.seen: list[tuple[float, int]] = []

    def look(self) -> int:
        """Payloads that are in silver (or refused)."""
        done: int = self._ground.value(
            "SELECT coalesce(sum(payloads), 0)::int8 FROM dash.pipeline_counts WHERE pipeline_id = %s",
            (self._target.pipeline,),
        )
        self.seen.append((time.monotonic(), done))
        return done

    def unarchived(self) -> int:
        left: int = self._ground.value("SELECT coalesce(sum(bytes), 0)::int8 FROM dash.unarchived")
        return left

    def wait(self, done: Callable[[], bool], seconds: float) -> float:
        """When it was done, on the monotonic clock."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not caught up {seconds:.0f} s after the last post")
            time.sleep(0.05)
        return time.monotonic()


def payloads_of(ground: Ground, keyed: bool, count: int = 48) -> list[Payload]:
    """About 4 MiB of what was sent, as one claim has it."""
    bodies = [b.data for b in _bodies.make(count, RECORDS)]
    if keyed:
        maker = _bodies.Keyed(RECORDS)
        bodies = [maker.next() for _ in range(count)]
    now = datetime.now(UTC)
    return [Payload(n + 1, new_id(), now, "application/x-ndjson", {}, body) for n, body in enumerate(bodies)]


def limits(ground: Ground, mapping: dict[str, Any], keyed: bool, rounds: int = 9) -> dict[str, float]:
    """Records a second of each step alone, on an idle machine: the medians."""
    spec = parse_mapping(mapping)
    plan = compile_mapping(spec)
    loaded = payloads_of(ground, keyed)
    frame = plan.run(loaded).frame
    types = {**TYPES, "a": "float8", "b": "float8", "site": "text"}
    kept = frame.select(list(types))
    data = copy_binary.encode(kept, list(types.values()))
    columns = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
    with ground.app.database.ingest() as unit:
        unit.execute(f'CREATE TABLE "team_bench_data".raw ({columns})')
        unit.execute('CREATE INDEX ON "team_bench_data".raw USING brin (_time, _payload)')
        unit.commit()

    def copy() -> None:
        with ground.app.database.ingest() as unit:
            with unit.driver.cursor().copy(b'COPY "team_bench_data".raw FROM STDIN (FORMAT BINARY)') as stream:
                stream.write(data)
            unit.commit()

    steps: dict[str, Callable[[], Any]] = {
        "raw_copy": copy,
        "decode_map": lambda: plan.run(loaded),
        "rollup": lambda: rollup(frame, spec.metrics, ["site"]),
        "encode": lambda: copy_binary.encode(kept, list(types.values())),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):  # side by side, so that a noisy neighbour hits all of them
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - began)
    return {name: len(frame) / statistics.median(taken) for name, taken in times.items()}


def verify(ground: Ground, target: Target, sent: Report) -> dict[str, int]:
    """What is missing (or too much, below zero) of what was acknowledged."""
    while bronze.archive(ground.app.database, ground.app.objects, target.pipeline).rows:
        pass
    silver, rollups, archived, rejects = (
        ground.value(f"SELECT count(*) FROM {target.table}"),
        ground.value(f"SELECT sum(_n)::int8 FROM {target.rollup} WHERE grain = 1"),
        ground.value(
            "SELECT coalesce(sum(rows), 0)::int8 FROM dash.bronze_files WHERE pipeline_id = %s", (target.pipeline,)
        ),
        ground.value("SELECT count(*) FROM dash.rejects WHERE pipeline_id = %s", (target.pipeline,)),
    )
    return {
        "silver": sent.records - silver,
        "rollups": sent.records - rollups,
        "bronze": sent.posts - archived,
        "rejects": sent.bad - rejects,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    variant = "keyed" if options.keyed else "poison" if options.poison else "clean"
    mapping = _bodies.KEYED_MAPPING if options.keyed else _bodies.MAPPING
    with Ground() as ground:
        machine = ground.machine()
        target = ground.pipeline("readings", mapping)
        ground.start_node()
        ground.start_workers(options.workers)
        ground.wait_ready()
        progress = Progress(ground, target)

        def orders(seconds: float, prefix: str, rate: float) -> Orders:
            return Orders(
                ground.port, target.path, target.secret, RECORDS, seconds, options.connections, rate / RECORDS,
                options.keyed, options.poison, options.poison_in == "payloads", prefix,
            )  # fmt: skip

        warm = send(orders(2, "w", 50_000)) if not options.keyed else None
        first = warm.posts if warm else 0
        progress.wait(lambda: progress.look() >= first, 60)
        progress.seen.clear()
        before = _cpu.look(ground)
        sent = send(orders(options.seconds, "d", options.rate), progress.look)
        if sent.errors or not sent.posts:
            raise RuntimeError(f"posts were not accepted: {sent.errors}")
        wanted = first + sent.posts
        silver_at = progress.wait(lambda: progress.look() >= wanted, 300)
        bronze_at = progress.wait(lambda: progress.unarchived() < bronze.DUE_BYTES, 300)
        used = _cpu.split(before, _cpu.look(ground))
        used["sender"] = sent.cpu
        at_end = max((done for at, done in progress.seen if at <= sent.ended), default=0)
        total = Report(posts=wanted, records=sent.records, bad=sent.bad)
        if warm:
            total.records += warm.records
            total.bad += warm.bad
        missing = verify(ground, target, total)
        ground.stop("worker")
        ground.stop("node")
        alone = limits(ground, mapping, options.keyed)
    seconds = sent.ended - sent.began
    everything = sent.records + sent.bad
    ingested = everything / (silver_at - sent.began)
    elapsed = max(silver_at, bronze_at) - sent.began
    caught_up = everything / elapsed
    spent = sum(used.values())
    return {
        "figure": "P1",
        "variant": variant if variant != "poison" else f"poison {options.poison} of {options.poison_in}",
        "reach_records_per_s": WANTED[variant],
        "seconds": round(seconds, 1),
        "offered_records_per_s": options.rate or "all that goes",
        "accepted_records_per_s": round(everything / seconds),
        "ingested_while_sending_per_s": round((at_end - first) * RECORDS / seconds),
        "ingested_records_per_s": round(ingested),
        "caught_up_records_per_s": round(caught_up),
        "caught_up_points_per_s": round(2 * caught_up),
        "silver_drain_s": round(silver_at - sent.ended, 2),
        "bronze_drain_s": round(bronze_at - sent.ended, 2),
        "records_per_cpu_second": round(everything / spent),
        "share_of_the_machine": round(spent / elapsed / (machine["cpus"] or 1), 2),
        "post_p50_ms": sent.p50,
        "post_p99_ms": sent.p99,
        "missing": missing,
        "raw_copy_rows_per_s": round(alone["raw_copy"]),
        "ingested_to_raw_copy": round(ingested / alone["raw_copy"], 3),
        "decode_map_records_per_s": round(alone["decode_map"]),
        "rollup_records_per_s": round(alone["rollup"]),
        "encode_records_per_s": round(alone["encode"]),
        "cpu_seconds": used,
        "workers": options.workers,
        "machine": machine,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="how long to send (default: 20)")
    parser.add_argument("--full", action="store_true", help="send for 60 s, as the figure asks")
    parser.add_argument("--rate", type=float, default=0, help="records a second to offer (default: all that goes)")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keyed", action="store_true", help="a mapping with a key; every record has a new one")
    parser.add_argument(
        "--poison", type=float, default=0.0, metavar="SHARE", help="bad records (0.01: one in a hundred)"
    )
    parser.add_argument(
        "--poison-in", choices=["records", "payloads"], default="records",
        help="whether SHARE is of records, spread over all payloads, or of payloads with one bad record each",
    )  # fmt: skip
    options = parser.parse_args()
    if options.keyed and options.poison:
        parser.error("--keyed and --poison are two variants")
    if options.full:
        options.seconds = 60
    result = measure(options)
    print(json.dumps(result), flush=True)
    for name, value in result.items():
        if name not in ("cpu_seconds", "machine"):
            print(f"{name:>32}  {value}", file=sys.stderr)
    for part, spent in result["cpu_seconds"].items():
        print(f"{part:>40}  {spent:7.2f} s of CPU", file=sys.stderr)
    lost = any(result["missing"].values())
    if lost:
        print("p1_ingest: what was acknowledged and what arrived differ", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
