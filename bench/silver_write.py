"""How fast silver is written: the raw binary COPY of the same rows, then with rollups, with a key, and in small.

Starts a server of its own, with durable settings, unless DASH_BENCH_URL names a superuser's URL; the database it makes
there is dropped at the end. Every batch is committed. Prints one JSON line; rates are rows a second, and ratios are to
the raw COPY.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import psycopg

from dash_app.domain.ids import new_id
from dash_app.domain.specs import FieldSpec, SilverVersion
from dash_app.pipelines.rollups import rollup
from dash_app.storage import copy_binary, embedded, silver
from dash_app.storage.engine import Database
from dash_app.storage.migrate import upgrade

FIELDS = (FieldSpec("a", "number", role="metric"), FieldSpec("b", "number", role="metric"), FieldSpec("site", "text"))
TYPES = ["timestamptz", "timestamptz", "int8", "int4", "float8", "float8", "text"]
START = 1_735_689_600_000_000


def batch(first: int, rows: int, *, per_second: int = 100_000, metrics: int = 2) -> pl.DataFrame:
    """Records number `first` and on: 1,000 a payload, 50 sites, in the order of time."""
    number = np.arange(first, first + rows)
    time_us = pl.Series(START + number * 1_000_000 // per_second).cast(pl.Datetime("us", "UTC"))
    values = np.random.default_rng(first).normal(20, 5, (rows, 2))
    return pl.DataFrame(
        {
            "_time": time_us,
            "_received": time_us,
            "_payload": number // 1000,
            "_index": (number % 1000).astype(np.int32),
            **{name: values[:, i] for i, name in enumerate(("a", "b")[:metrics])},
            "site": pl.select(pl.format("s{}", 1000 + pl.lit(pl.Series(number % 50)))).to_series(),
        }
    )


@contextmanager
def server() -> Iterator[str]:
    """URL of an empty, migrated database."""
    given, folder, running = os.environ.get("DASH_BENCH_URL"), None, None
    if given is None:
        folder = Path(tempfile.mkdtemp(prefix="dash-bench-"))
        running = embedded.start(folder)
    root = given or running.url  # type: ignore[union-attr]
    name = f"bench_{new_id().hex}"
    info = psycopg.conninfo.conninfo_to_dict(root)
    url = f"postgresql:///{name}?" + "&".join(f"{k}={v}" for k, v in info.items() if k != "dbname")
    try:
        with psycopg.connect(root, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        upgrade(url)
        yield url
    finally:
        with psycopg.connect(root, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        if running is not None and folder is not None:
            running.stop()
            shutil.rmtree(folder)


def new_version(
    database: Database, team: UUID, fields: tuple[FieldSpec, ...] = FIELDS, **options: Any
) -> SilverVersion:
    with database.ingest() as unit:
        pipeline = new_id()
        slug = f"p{pipeline.hex[-12:]}"
        unit.execute(
            "INSERT INTO pipelines (id, team_id, slug, name, source_kind) VALUES (%s, %s, %s, %s, 'webhook')",
            (pipeline, team, slug, slug),
        )
        unit.execute(
            "INSERT INTO mappings (team_id, pipeline_id, version, document) VALUES (%s, %s, 1, '{}')", (team, pipeline)
        )
        made = SilverVersion(pipeline, 1, "team_bench_data", f"p_{pipeline.hex}_v1", "active", fields, (), False)
        unit.execute(
            "INSERT INTO silver_versions (team_id, pipeline_id, version, schema_name, table_name) "
            "VALUES (%s, %s, 1, %s, %s)",
            (team, pipeline, made.schema, made.table),
        )
        made = silver.create_version(unit, made, ["site"], **options)
        unit.commit()
    return made


def copy_alone(database: Database, version: SilverVersion, frame: pl.DataFrame) -> float:
    """The limit: encoded already, one write, one commit, the same table with its index."""
    data = copy_binary.encode(frame, TYPES)
    began = time.perf_counter()
    with database.ingest() as unit:
        with unit.driver.cursor().copy(
            f'COPY "{version.schema}"."{version.table}" FROM STDIN (FORMAT BINARY)'.encode()
        ) as copy:
            copy.write(data)
        unit.commit()
    return time.perf_counter() - began


def whole(database: Database, version: SilverVersion, frame: pl.DataFrame, rule: str | None = None) -> None:
    with database.ingest() as unit:
        kept = silver.claim_keys(unit, version, frame, rule).frame if rule else frame
        metrics = [field for field in version.columns if field.is_metric]
        if kept.height:
            silver.write(unit, version, kept, rollup(kept, metrics, version.dims))
        unit.commit()


def seconds(work: Callable[..., Any], *given: Any) -> float:
    began = time.perf_counter()
    work(*given)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="batches of each kind")
    parser.add_argument("--ledger", type=int, default=2_000_000, help="keys in the ledger before the keyed batches")
    options = parser.parse_args()
    size, rounds = 60_000, options.rounds
    with server() as url:
        database = Database(url)
        team = new_id()
        with database.ingest() as unit:
            unit.execute("INSERT INTO teams (id, slug, name) VALUES (%s, 'bench', 'bench')", (team,))
            unit.commit()
        plain, rolled, small = (new_version(database, team) for _ in range(3))
        keyed = new_version(database, team, with_keys=True)
        replacing = new_version(database, team, with_keys=True, on_duplicate="replace")
        copy_times, write_times, small_times, encode_times, rollup_times = [], [], [], [], []
        for i in range(rounds + 2):  # side by side, so that a noisy neighbour hits both
            frame = batch(i * size, size)
            copy_times.append(copy_alone(database, plain, frame))
            write_times.append(seconds(whole, database, rolled, frame))
            encode_times.append(seconds(copy_binary.encode, frame, TYPES))
            rollup_times.append(seconds(rollup, frame, FIELDS[:2], ["site"]))
            small_times += [seconds(whole, database, small, frame[j * 1000 : (j + 1) * 1000]) for j in range(10)]

        with database.ingest() as unit:
            keys = f'"{keyed.schema}"."{keyed.keys}"'
            unit.execute(
                f"INSERT INTO {keys} SELECT gen_random_uuid(), n, 0, now() FROM generate_series(1, %s) n",
                (options.ledger,),
            )
            unit.commit()
        named = [
            batch(i * size, size).with_columns(_key=pl.format("key-{}", pl.int_range(i * size, (i + 1) * size)))
            for i in range(rounds + 2)
        ]
        key_times, resent_times, beside_times = [], [], []
        for i, frame in enumerate(named):
            key_times.append(seconds(whole, database, keyed, frame, "ignore"))
            beside_times.append(copy_alone(database, plain, batch((i + 100) * size, size)))
            resent_times.append(seconds(whole, database, keyed, frame, "ignore"))
        for frame in named[:3]:
            whole(database, replacing, frame, "replace")
        later = [
            f.with_columns(pl.col("_payload") + 10_000_000, pl.col("_time").dt.offset_by("1h"))[::20] for f in named[:3]
        ]
        replace_times = [seconds(whole, database, replacing, frame, "replace") for frame in later]

        one = new_version(database, team, (FIELDS[0], FIELDS[2]))
        single, single_write = [], []
        for i in range(300):
            frame = batch(i, 1, metrics=1)
            single.append(seconds(whole, database, one, frame))
            ready = rollup(frame, FIELDS[:1], ["site"])
            with database.ingest() as unit:
                unit.value("SELECT 1")
                single_write.append(seconds(silver.write, unit, one, frame, ready))
                unit.commit()
        with database.ingest() as unit:
            version = unit.value("SHOW server_version")
        database.close()

    def rate(times: list[float], rows: int) -> float:
        return rows / statistics.median(times)

    copied = rate(copy_times[2:], size)
    print(
        json.dumps(
            {
                "bench": "silver_write",
                "copy_rows_per_s": round(copied),
                "write_60k_rows_per_s": round(rate(write_times[2:], size)),
                "write_60k_to_copy": round(rate(write_times[2:], size) / copied, 3),
                "write_1k_rows_per_s": round(rate(small_times[20:], 1000)),
                "write_1k_to_copy": round(rate(small_times[20:], 1000) / copied, 3),
                "keyed_60k_rows_per_s": round(rate(key_times[2:], size)),
                "keyed_60k_to_copy": round(rate(key_times[2:], size) / rate(beside_times[2:], size), 3),
                "resent_60k_rows_per_s": round(rate(resent_times[2:], size)),
                "resent_60k_to_copy": round(rate(resent_times[2:], size) / rate(beside_times[2:], size), 3),
                "replaced_3k_rows_per_s": round(rate(replace_times, size // 20)),
                "ledger_keys_before": options.ledger,
                "encode_60k_ms": round(statistics.median(encode_times) * 1e3, 2),
                "rollup_60k_ms": round(statistics.median(rollup_times) * 1e3, 2),
                "single_record_transaction_ms": round(statistics.median(single[50:]) * 1e3, 2),
                "single_record_write_ms": round(statistics.median(single_write[50:]) * 1e3, 2),
                "batches": rounds,
                "cores": os.cpu_count(),
                "machine": platform.machine(),
                "python": platform.python_version(),
                "postgresql": version,
            }
        )
    )


if __name__ == "__main__":
    main()
