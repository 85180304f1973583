"""P5: a dashboard of eight tiles over a year, with millions of records behind it.

The year is written by the code that ingest writes with (binary COPY, minute, hour and day rollups merged in the same
transaction), in the order of time. Then the eight queries are asked as the live channel asks them: one after another,
and all at once by four readers, which is what opening the dashboard costs the node. Beside them stand the same eight
over the records, which is what they would cost without rollups. Ranges end now, so that each begins and ends in the
middle of a minute, whose rest comes from the records.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from bench._ground import Ground, Target
from dash_app.domain.expressions import Tree
from dash_app.domain.ids import PAYLOAD_SEQUENCE_BITS
from dash_app.domain.query import parse_query
from dash_app.domain.specs import FieldSpec
from dash_app.pipelines.expressions import parse_filter
from dash_app.pipelines.query import Queries
from dash_app.pipelines.rollups import rollup
from dash_app.storage import catalog, filters, silver, silver_ranges, silver_read

MAPPING: dict[str, Any] = {
    "fields": [
        {"name": "power", "path": "$.power", "type": "number", "unit": "W"},
        {"name": "temp", "path": "$.temp", "type": "number", "unit": "°C"},
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "state", "path": "$.state", "type": "text"},
    ]
}
DIMS = ("site", "state")
SITES = [f"site {letter}" for letter in "abcd"]
STATES = ["on", "off"]
REACH = {"p95_ms": 150, "times_faster": 100}
CHUNK = 500_000
YEAR = timedelta(days=365)

TILES: dict[str, dict[str, Any]] = {
    "line: mean a day": {"select": [{"field": "power", "agg": "avg"}], "every": "1d"},
    "line: extremes by 6 hours": {
        "select": [{"field": "temp", "agg": "min"}, {"field": "temp", "agg": "max"}],
        "every": "6h",
    },
    "line: a day in Oslo by site": {
        "select": [{"field": "power", "agg": "avg"}],
        "by": ["site"],
        "every": "1d",
        "timezone": "Europe/Oslo",
    },
    "stat: records": {"select": [{"agg": "count"}]},
    "gauge: newest": {"select": [{"field": "power", "agg": "last"}]},
    "bar: sum by site": {"select": [{"field": "power", "agg": "sum"}], "by": ["site"]},
    "table: by site and state": {
        "select": [
            {"field": "power", "agg": agg} for agg in ("count", "avg", "min", "max", "last", "stddev")
        ],
        "by": ["site", "state"],
    },
    "heatmap: days where it is on": {
        "select": [{"field": "temp", "agg": "avg"}],
        "by": ["site"],
        "every": "1d",
        "where": "state = 'on'",
    },
}  # fmt: skip


class Year:
    """A pipeline with a year of records, evenly spread."""

    def __init__(self, ground: Ground, records: int) -> None:
        self.ground = ground
        self.records = records
        self.end = datetime.now(UTC).replace(microsecond=0)
        self.target: Target = ground.pipeline(f"year_{records}", MAPPING)
        self.queries = Queries(ground.app.database, patience=600)

    def fill(self) -> float:
        """Writes all records; seconds."""
        began = time.monotonic()
        with self.ground.app.database.ingest() as unit:
            version = catalog.versions(unit, self.target.pipeline)[0]
            version = silver.create_version(unit, version, DIMS)
            unit.commit()
        metrics = [f for f in version.columns if f.is_metric]
        for frame in self._frames():
            with self.ground.app.database.ingest() as unit:
                version = silver.write(unit, version, frame, rollup(frame, metrics, version.dims)).version
                unit.commit()
        if version.dims != DIMS:
            raise RuntimeError(f"the rollup has lost dimensions: {version.dims}")
        with self.ground.app.database.connect("ingest") as connection:
            connection.autocommit = True
            connection.execute(f"VACUUM ANALYZE {self.target.table}")
            connection.execute(f"VACUUM ANALYZE {self.target.rollup}")
        # To vacuum by hand ends an autovacuum, which may spoil the block-range index; workers mend such.
        silver_ranges.mend(self.ground.app.database)
        return time.monotonic() - began

    def _frames(self) -> Iterator[pl.DataFrame]:
        chance = np.random.default_rng(5)
        first = int((self.end - YEAR).timestamp() * 1_000_000)
        step = int(YEAR / timedelta(microseconds=1)) / self.records
        for at in range(0, self.records, CHUNK):
            number = np.arange(at, min(at + CHUNK, self.records))
            times = (first + number * step).astype(np.int64)
            moments = pl.Series(times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
            yield pl.DataFrame(
                {
                    "_time": moments,
                    "_received": moments,
                    # One payload a thousand records, as posts in bulk are.
                    "_payload": ((times[(number // 1000) * 1000 - at] // 1000) << PAYLOAD_SEQUENCE_BITS),
                    "_index": pl.Series(number % 1000, dtype=pl.Int32),
                    "power": np.round(chance.normal(500, 120, len(number)), 2),
                    "temp": np.round(chance.normal(12, 8, len(number)), 2),
                    "site": pl.Series(np.array(SITES)[chance.integers(0, len(SITES), len(number))]),
                    "state": pl.Series(np.array(STATES)[chance.integers(0, len(STATES), len(number))]),
                }
            )

    def document(self, tile: str) -> dict[str, Any]:
        return {"pipeline": self.target.slug, "from": "now-1y", "to": "now", **TILES[tile]}

    def ask(self, tile: str) -> float:
        """Milliseconds of one query."""
        began = time.perf_counter()
        result = self.queries.run(self.ground.team, self.document(tile))
        took = (time.perf_counter() - began) * 1000
        if result.frame.is_empty():
            raise RuntimeError(f"nothing for {tile}")
        return took

    def scan(self, tile: str) -> float:
        """Milliseconds of the same over the records alone."""
        with self.ground.app.database.team(self.ground.team) as unit:
            spec = parse_query(self.document(tile), datetime.now(UTC))
            versions = catalog.versions(unit, self.target.pipeline)
            fields = {f.name: f for f in silver_read.newest_fields(versions)}
            tree = _filter(spec.where, fields) if spec.where else None
            condition = filters.condition(tree) if tree is not None else silver_read.everything
            began = time.perf_counter()
            silver_read.aggregates(unit, versions, spec, fields, condition, rollups=False, patience=1200)
            return (time.perf_counter() - began) * 1000


def _filter(where: str, fields: Mapping[str, FieldSpec]) -> Tree:
    return parse_filter(where, {name: field.type for name, field in fields.items()})


def one_size(ground: Ground, records: int, options: argparse.Namespace) -> dict[str, Any]:
    year = Year(ground, records)
    print(f"writing {records:,} records", file=sys.stderr)
    filled = year.fill()
    size, rollups, rows = ground.rows(
        "SELECT pg_total_relation_size(%s), pg_total_relation_size(%s), (SELECT reltuples::int8 FROM pg_class "
        "WHERE oid = %s::regclass)",
        (year.target.table, year.target.rollup, year.target.rollup),
    )[0]
    for tile in TILES:
        year.ask(tile)
    alone: dict[str, list[float]] = {tile: [year.ask(tile) for _ in range(options.rounds)] for tile in TILES}
    together, opened = [], []
    with ThreadPoolExecutor(4) as readers:
        for _ in range(options.rounds):
            began = time.perf_counter()
            together += list(readers.map(year.ask, TILES))
            opened.append((time.perf_counter() - began) * 1000)
    scans = {tile: year.scan(tile) for tile in TILES} if options.scan else {}
    each = [one for many in alone.values() for one in many]
    usual = {tile: float(np.median(many)) for tile, many in alone.items()}
    factors = {tile: scans[tile] / usual[tile] for tile in scans}
    return {
        "records": records,
        "p50_ms": _quantile(each, 0.5),
        "p95_ms": _quantile(each, 0.95),
        "opened_p50_ms": _quantile(opened, 0.5),
        "opened_p95_ms": _quantile(opened, 0.95),
        "together_p95_ms": _quantile(together, 0.95),
        "tiles": {
            tile: {"p50_ms": _quantile(many, 0.5), "p95_ms": _quantile(many, 0.95)}
            | ({"scan_ms": round(scans[tile]), "times_faster": round(factors[tile])} if scans else {})
            for tile, many in alone.items()
        },
        "times_faster_least": round(min(factors.values())) if factors else None,
        "times_faster_all": round(sum(scans.values()) / sum(float(np.median(m)) for m in alone.values()))
        if scans
        else None,
        "table_bytes": size,
        "rollup_bytes": rollups,
        "rollup_rows": rows,
        "written_per_s": round(records / filled),
    }


def _quantile(values: list[float], share: float) -> float:
    return round(float(np.quantile(values, share)), 1)


def exponent(results: list[dict[str, Any]], key: str) -> float | None:
    """How `key` grows with the records: the slope of the logarithms."""
    points = [(math.log(r["records"]), math.log(r[key])) for r in results if r.get(key)]
    if len(points) < 2:
        return None
    x, y = zip(*points, strict=True)
    return round(float(np.polyfit(x, y, 1)[0]), 2)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    results = []
    machine: dict[str, Any] = {}
    for records in options.records:
        # A ground of its own for each size: what was read before is not in its memory.
        with Ground() as ground:
            machine = machine or ground.machine()
            results.append(one_size(ground, records, options))
    keys = ("p50_ms", "p95_ms", "opened_p95_ms", "rollup_bytes", "table_bytes")
    return {
        "figure": "P5",
        "reach": REACH,
        "rounds": options.rounds,
        "results": results,
        "exponents": {key: exponent(results, key) for key in keys},
        "machine": machine,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[390_625, 1_562_500, 6_250_000])
    parser.add_argument("--full", action="store_true", help="6.25, 25 and 100 million records; needs 25 GB")
    parser.add_argument("--rounds", type=int, default=20, help="of all eight queries")
    parser.add_argument("--no-scan", dest="scan", action="store_false", help="without the same over the records")
    options = parser.parse_args()
    if options.full:
        options.records = [6_250_000, 25_000_000, 100_000_000]
    result = measure(options)
    print(json.dumps(result), flush=True)
    for one in result["results"]:
        print({key: value for key, value in one.items() if key != "tiles"}, file=sys.stderr)
        for tile, figures in one["tiles"].items():
            print(f"  {tile}: {figures}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
