"""P4: a replay of millions of records with two metrics under a changed mapping, while records come in live.

History is posted-like payloads of 1,000 records in bronze. Then, in the same run: the raw binary COPY of the same rows;
live posts alone; live posts beside the replay, with a reader who asks 20 times a second and must never see two
versions at once, and (with `--kills`) workers killed on the way. After the swap a second replay of the same mapping,
undisturbed, must give the same checksum, and going back and forward again must show each version whole.

Live latency is from the moment the payload was accepted until its rows were seen in the table that is read.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import psutil
import psycopg

from bench import _bodies, _cpu
from bench._ground import Ground, Target
from bench._load import Orders, send
from dash_app.domain.changes import CHANNEL
from dash_app.domain.errors import DashError
from dash_app.domain.events import Arrival, Payload
from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines import rollout, setup
from dash_app.pipelines.mapping import compile_mapping
from dash_app.pipelines.query import Queries
from dash_app.storage import bronze, catalog, copy_binary, payloads, replays, silver
from dash_app.storage.silver_checksum import checksum
from dash_app.storage.silver_tables import COLUMN_TYPES, SYSTEM

RECORDS = 1000
REACH = 0.5


def mapping(factor: int) -> dict[str, Any]:
    """Two metrics, one of them telling the version, and a dimension."""
    return {
        "time": {"path": "$.time"},
        "fields": [
            {"name": "a", "path": "$.a", "type": "number"},
            {"name": "v", "sql": f"a * 0 + {factor}", "type": "number"},
            {"name": "site", "path": "$.site", "type": "text"},
        ],
    }


class Bench:
    """One run on one ground."""

    def __init__(self, ground: Ground, options: argparse.Namespace) -> None:
        self.ground = ground
        self.options = options
        self.app = ground.app
        self.target: Target = ground.pipeline("history", mapping(1))
        self.random = random.Random(options.seed)

    def fill(self) -> None:
        """History, as if it had been posted: accepted, mapped by workers, archived."""
        bodies = [body.data for body in _bodies.make(self.options.records // RECORDS, RECORDS)]
        for first in range(0, len(bodies), 200):
            with self.app.database.ingest() as unit:
                payloads.accept(
                    unit,
                    [
                        Arrival(self.target.pipeline, self.target.team, body, "application/x-ndjson")
                        for body in bodies[first : first + 200]
                    ],
                )
                unit.commit()
        self.ground.wait_for(lambda: not self.ground.value("SELECT count(*) FROM dash.batches"), 600)
        while bronze.archive(self.app.database, self.app.objects, self.target.pipeline).rows:
            pass
        # As autovacuum leaves it after a while: who looks for the newest rows must not read all of history for them.
        with self.app.database.ingest() as unit:
            for version in catalog.versions(unit, self.target.pipeline):
                silver.analyze(unit, version)
            unit.commit()

    def copy_rate(self) -> float:
        """Rows a second of the raw binary COPY of rows like these, encoded already, into a table like silver's."""
        spec = parse_mapping(mapping(2))
        loaded = [
            Payload(n + 1, self.target.pipeline, _now(), "application/x-ndjson", {}, body.data)
            for n, body in enumerate(_bodies.make(200, RECORDS))
        ]
        kinds = {**SYSTEM, **{field.name: COLUMN_TYPES[field.type] for field in spec.fields}}
        frame = compile_mapping(spec).run(loaded).frame.select(list(kinds))
        data = copy_binary.encode(frame, list(kinds.values()))
        with self.app.database.ingest() as unit:
            columns = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
            unit.execute(f'CREATE TABLE "team_bench_data".raw ({columns})')
            unit.execute('CREATE INDEX ON "team_bench_data".raw USING brin (_time, _payload)')
            unit.commit()
        times = []
        for _ in range(9):
            began = time.perf_counter()
            with self.app.database.ingest() as unit:
                with unit.driver.cursor().copy(b'COPY "team_bench_data".raw FROM STDIN (FORMAT BINARY)') as stream:
                    stream.write(data)
                unit.commit()
            times.append(time.perf_counter() - began)
        with self.app.database.ingest() as unit:
            unit.execute('DROP TABLE "team_bench_data".raw')
            unit.commit()
        return len(frame) / statistics.median(times)

    # -- beside the replay

    def live(self, seconds: float) -> dict[str, Any]:
        """Posts at the rate that was asked for, for so long; latencies from accepted to seen."""
        options = self.options
        orders = Orders(
            self.ground.port, self.target.path, self.target.secret, 5, seconds, 4, options.live / 5, prefix=f"l{_now()}"
        )
        sent: list[Any] = []
        sender = threading.Thread(target=lambda: sent.append(send(orders)))
        seen: dict[int, float] = {}
        database = self.app.database
        with database.connect("ingest") as listening, database.connect("ingest") as reading:
            listening.execute(f"LISTEN {CHANNEL}")
            sender.start()
            quiet = swept = time.monotonic()
            first = self.ground.value("SELECT (extract(epoch FROM now()) * 1000)::int8 << 20")

            def look(window: str) -> None:
                for payload, late in reading.execute(
                    "SELECT _payload, extract(epoch FROM clock_timestamp() - min(_received))::float8 "
                    # By the payloads' ids, which have an index.
                    'FROM "team_bench".history WHERE _payload >= greatest(%s, '
                    "(extract(epoch FROM now() - %s::interval) * 1000)::int8 << 20) GROUP BY 1",
                    (first, window),
                ):
                    seen.setdefault(payload, late)

            while sender.is_alive() or time.monotonic() - quiet < 1.5:
                for _ in listening.notifies(timeout=0.2, stop_after=1):
                    quiet = time.monotonic()
                # What is very late is looked for too, if not as often: looking must not be what makes it late.
                wide = time.monotonic() - swept > 2
                swept = time.monotonic() if wide else swept
                with suppress(psycopg.Error):
                    look("15 s" if wide else "1 s")
            sender.join()
            self.settle()
            look("1 h")
        quantiles = np.quantile(list(seen.values()), [0.5, 0.99]) * 1000
        return {
            "posts": sent[0].posts,
            "records": sent[0].records,
            "errors": sent[0].errors,
            "seen": len(seen),
            "p50_ms": round(float(quantiles[0]), 1),
            "p99_ms": round(float(quantiles[1]), 1),
            "late_by_second": late_by_second(seen),
        }

    @contextmanager
    def watching(self, found: dict[str, Any]) -> Iterator[None]:
        stop = threading.Event()
        reader = threading.Thread(target=self._watch, args=(stop, found))
        reader.start()
        try:
            yield
        finally:
            stop.set()
            reader.join()

    def _watch(self, stop: threading.Event, found: dict[str, Any]) -> None:
        """Asks 20 times a second for the count and the sum that tells the versions apart."""
        queries = Queries(self.app.database)
        document = {
            "pipeline": "history",
            "select": [{"field": "v", "agg": "count", "as": "n"}, {"field": "v", "agg": "sum", "as": "s"}],
            "from": "2025-01-01",
            "to": "2040-01-01",
        }
        last = 0
        found |= {"asked": 0, "mixed": 0, "fell": 0, "errors": 0, "versions": []}
        while not stop.wait(0.05):
            try:
                row = queries.run(self.target.team, document).frame.row(0)
            except DashError as error:
                found["errors"] += 1
                found["error"] = error.message
                continue
            found["asked"] += 1
            ratio = row[1] / row[0]
            if ratio not in (1.0, 2.0):
                found["mixed"] += 1
            elif not found["versions"] or found["versions"][-1] != ratio:
                found["versions"].append(ratio)
            found["fell"] += row[0] < last
            last = row[0]

    def kill(self, count: int, replay: UUID) -> int:
        """Kills so many consumers of the worker, one after the other, while the replay runs."""
        worker = psutil.Process(self.ground.processes["worker"].pid)
        killed = 0
        while killed < count and self.state(replay).state in ("queued", "running"):
            # One that was killed may still be there by name.
            with suppress(psutil.Error):
                children = [one for one in worker.children() if "spawn_main" in " ".join(one.cmdline())]
                if children and self.state(replay).records:
                    self.random.choice(children).kill()
                    killed += 1
            time.sleep(self.random.uniform(0.4, 0.8))
        return killed

    # -- replays

    def begin(self, factor: int | None) -> UUID:
        with self.app.database.team(self.target.team) as unit:
            if factor is None:
                found = catalog.pipeline(unit, self.target.pipeline)
                made = rollout.begin_replay(unit, found, found.mapping_version or 1, "bench")
            else:
                saved = setup.save_mapping(
                    unit, self.target.pipeline, mapping(factor), "bench", activate="after_replay"
                )
                assert saved.replay is not None
                made = saved.replay
            unit.commit()
        return made

    def state(self, replay: UUID) -> replays.Replay:
        with self.app.database.ingest() as unit:
            return replays.get(unit, replay)

    def wait(self, replay: UUID, seconds: float = 900) -> replays.Replay:
        self.ground.wait_for(lambda: self.state(replay).state not in ("queued", "running"), seconds)
        done = self.state(replay)
        if done.state != "done":
            raise RuntimeError(f"the replay {done.state}: {done.error}")
        return done

    def memory(self, stop: threading.Event, found: dict[str, int]) -> None:
        """The largest resident size of any of the worker's processes, in MiB."""
        worker = psutil.Process(self.ground.processes["worker"].pid)
        while not stop.wait(0.2):
            for one in worker.children():
                with suppress(psutil.Error):
                    found["mib"] = max(found.get("mib", 0), one.memory_info().rss >> 20)

    def settle(self) -> None:
        self.ground.wait_for(lambda: not self.ground.value("SELECT count(*) FROM dash.batches"), 60)

    def checksums(self) -> dict[int, tuple[int, str]]:
        """By generation that is written."""
        found = {}
        with self.app.database.ingest() as unit:
            for (number,) in unit.rows(
                "SELECT generation FROM generations WHERE pipeline_id = %s AND state IN ('active', 'grace') ORDER BY 1",
                (self.target.pipeline,),
            ):
                (version,) = catalog.versions(unit, self.target.pipeline, generation=number)
                one = checksum(unit, version)
                found[number] = (one.rows, one.sum)
        return found

    def roll_back(self) -> None:
        with self.app.database.team(self.target.team) as unit:
            rollout.roll_back(unit, catalog.pipeline(unit, self.target.pipeline), "bench")
            unit.commit()


def late_by_second(seen: dict[int, float]) -> list[int]:
    """The greatest latency in milliseconds of what was accepted in each second, from the first on."""
    found: dict[int, float] = {}
    for payload, late in seen.items():
        second = (payload >> 20) // 1000
        found[second] = max(late, found.get(second, 0.0))
    return [round(found.get(second, 0.0) * 1000) for second in range(min(found), max(found) + 1)] if found else []


def _now() -> datetime:
    return datetime.now(UTC)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with Ground() as ground:
        result: dict[str, Any] = {
            "figure": "P4",
            "records": options.records,
            "kills": options.kills,
            "seed": options.seed,
        }
        machine = ground.machine()
        bench = Bench(ground, options)
        ground.start_node("ingestor")
        ground.start_workers(2)
        ground.wait_ready()
        bench.fill()
        result["copy_rows_per_s"] = round(bench.copy_rate())
        if options.live:
            # The first payloads compile plans and open connections.
            bench.live(3)
            # With the reader beside it as later: what is compared is with and without the replay.
            with bench.watching({}):
                result["live_alone"] = bench.live(options.live_seconds)
        # Alone: how fast it goes, and what it takes.
        over, size = threading.Event(), {}
        sampler = threading.Thread(target=bench.memory, args=(over, size))
        sampler.start()
        before = _cpu.look(ground)
        alone = bench.wait(bench.begin(None))
        result["cpu_seconds_alone"] = _cpu.split(before, _cpu.look(ground))
        over.set()
        sampler.join()
        result["replay_alone"] = _replay(alone, result["copy_rows_per_s"]) | {"largest_process_mib": size.get("mib")}
        if options.live:
            seen: dict[str, Any] = {}
            with bench.watching(seen):
                posted: list[dict[str, Any]] = []
                poster = threading.Thread(target=lambda: posted.append(bench.live(options.live_seconds)))
                poster.start()
                time.sleep(1)
                before = _cpu.look(ground)
                replay = bench.begin(2)
                result["killed"] = bench.kill(options.kills, replay)
                done = bench.wait(replay)
                result["cpu_seconds_beside"] = _cpu.split(before, _cpu.look(ground))
                poster.join()
                bench.settle()
                result["replay_beside_live"] = _replay(done, result["copy_rows_per_s"])
                result["live_beside_replay"] = posted[0]
                # Back and forward again, with posts in between.
                bench.roll_back()
                bench.live(2)
                bench.roll_back()
                bench.settle()
                time.sleep(0.2)
            result["reader"] = seen
            disturbed = bench.checksums()
            newest = max(disturbed)
            again = bench.wait(bench.begin(None))
            bench.settle()
            clean = bench.checksums()
            result["checksum"] = disturbed[newest]
            result["checksum_of_a_clean_run"] = clean[again.generation]
            result["equal"] = disturbed[newest] == clean[again.generation]
    return result | {"machine": machine}


def _replay(done: replays.Replay, copied: float) -> dict[str, Any]:
    rate = done.records / done.seconds
    return {
        "records": done.records,
        "rejects": done.rejects,
        "seconds": round(done.seconds, 2),
        "records_per_s": round(rate),
        "to_copy": round(rate / copied, 3),
        "reach": REACH,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000, help="of history")
    parser.add_argument("--full", action="store_true", help="5 million records, five kills")
    parser.add_argument("--live", type=int, default=500, help="records a second meanwhile; 0 for none")
    parser.add_argument("--live-seconds", type=float, default=15)
    parser.add_argument("--kills", type=int, default=0, help="consumers of the worker that are killed on the way")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.full:
        options.records, options.kills, options.live_seconds = 5_000_000, 5, 40
    result = measure(options)
    print(json.dumps(result, default=str), flush=True)
    for name in ("replay_alone", "replay_beside_live", "live_alone", "live_beside_replay", "reader", "equal"):
        print(f"{name}: {result.get(name)}", file=sys.stderr)
    wrong = result.get("equal") is False or (result.get("reader") or {}).get("mixed", 0)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
