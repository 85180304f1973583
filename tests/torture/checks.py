"""What must be true after all of it, read from files, tables and log, and from nothing the product says of itself.

Each check answers with lines about what is wrong; no line, nothing wrong. Bronze is read with pyarrow alone and is the
ground the other checks stand on: what the reference makes of its bodies is what silver and rollups must hold.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow.parquet as pq

from bench._ground import Ground, Target
from dash_app.storage import bronze
from tests.torture.reference import FIELDS, records_of
from tests.torture.sender import Log
from tests.torture.world import World, factor_of, is_keyed

#: Lines of one check that are told; the rest is a number.
TOLD = 4
WIDTHS = {1: 60, 2: 3600, 3: 86400}
METRICS = ("n", "v", "times")

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """One payload as bronze has it."""

    pipeline: str
    body: bytes
    content_type: str
    delivery: str


@dataclass
class Verdict:
    """What the checks found. `counts`: what there was, so that an empty run is not taken for a good one."""

    findings: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, title: str, lines: Iterator[str]) -> None:
        found = list(lines)
        self.findings += [f"{title}: {line}" for line in found[:TOLD]]
        if len(found) > TOLD:
            self.findings.append(f"{title}: and {len(found) - TOLD} more")


def archive_all(ground: Ground, targets: list[Target]) -> None:
    """Has everything that waits archived now; the workers' archiver may be at it too."""
    for _ in range(200):
        for target in targets:
            bronze.archive(ground.app.database, ground.app.objects, target.pipeline)
        if not ground.value("SELECT count(*) FROM dash.unarchived"):
            return
    raise AssertionError("payloads that wait for bronze do not get there")


def everything(ground: Ground, targets: list[Target], world: World, log: Log) -> Verdict:
    verdict = Verdict()
    archive_all(ground, targets)
    rows: dict[int, Row] = {}
    verdict.add("manifest and objects", manifest(ground, rows))
    verdict.add("acknowledged and bronze", acknowledged(world, log, rows, verdict.counts))
    verdict.add("inbox", inbox(ground, rows))
    for target in targets:
        mine = {payload: row for payload, row in rows.items() if row.pipeline == str(target.pipeline)}
        wanted, rejects = expected(mine, 1, keyed=is_keyed(target))
        verdict.counts["payloads"] = verdict.counts.get("payloads", 0) + len(mine)
        verdict.counts["records"] = verdict.counts.get("records", 0) + len(wanted)
        verdict.counts["rejects"] = verdict.counts.get("rejects", 0) + sum(rejects.values())
        for tables in _written(ground, target):
            wanted, rejects = expected(mine, factor_of(tables.version), keyed=is_keyed(target))
            what = f"{target.slug}, generation {tables.generation} ({tables.state})"
            verdict.add(f"silver of {what}", silver(ground, tables, wanted))
            verdict.add(f"rollups of {what}", rollups(ground, tables, wanted))
            verdict.add(f"rejects of {what}", refused(ground, target, tables.generation, rejects))
            totals = (len(mine), len(wanted), sum(rejects.values()))
            verdict.add(f"counts of {what}", counts(ground, target, tables, *totals))
    verdict.add("left over", leftovers(ground))
    return verdict


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a generation that new payloads are written to, qualified and quoted."""

    generation: int
    state: str
    version: int
    table: str
    rollup: str
    dims: list[str]


def _written(ground: Ground, target: Target) -> list[Tables]:
    """The generation that is read, and the one that can be gone back to."""
    return [
        Tables(number, state, version, f'"{schema}"."{table}"', f'"{schema}"."{table}_rollup"', dims)
        for number, state, version, schema, table, dims in ground.rows(
            "SELECT g.generation, g.state, g.version, v.schema_name, v.table_name, v.dims FROM dash.generations g "
            "JOIN dash.silver_versions v USING (pipeline_id, generation, version) "
            "WHERE g.pipeline_id = %s AND g.state IN ('active', 'grace') ORDER BY 1",
            (target.pipeline,),
        )
    ]


def manifest(ground: Ground, rows: dict[int, Row]) -> Iterator[str]:
    """Every file of the manifest is there and is what it was; fills `rows` with what is in them."""
    named = set()
    for key, count, size, checksum, low, high, pipeline in ground.rows(
        "SELECT key, rows, bytes, checksum, min_payload, max_payload, pipeline_id::text FROM dash.bronze_files "
        "ORDER BY id"
    ):
        named.add(key)
        path = ground.folder / "bronze" / key
        if not path.is_file():
            yield f"{key} is in the manifest and not in the store"
            continue
        data = path.read_bytes()
        if (len(data), hashlib.sha256(data).hexdigest()) != (size, checksum):
            yield f"{key} is not what the manifest says it was"
        ids = []
        for row in pq.read_table(io.BytesIO(data)).to_pylist():
            payload = row["payload_id"]
            ids.append(payload)
            if payload in rows:
                yield f"payload {payload} stands in two files of the manifest"
            delivery = json.loads(row["headers"]).get("x-github-delivery", "")
            rows[payload] = Row(pipeline, row["body"], row["content_type"], delivery)
        if (len(ids), min(ids, default=0), max(ids, default=0)) != (count, low, high):
            yield f"{key} has other rows than the manifest says"
    for path in (ground.folder / "bronze").rglob("*.parquet"):
        key = str(path.relative_to(ground.folder / "bronze"))
        if key not in named:  # a crash between the object and its row; the collector's, and no payload may be new in it
            for payload in pq.read_table(io.BytesIO(path.read_bytes()))["payload_id"].to_pylist():
                if payload not in rows:
                    yield f"payload {payload} stands in {key} alone, which the manifest does not name"


def acknowledged(world: World, log: Log, rows: Mapping[int, Row], counts: dict[str, int]) -> Iterator[str]:
    """acked ⊆ bronze ⊆ sent; each delivery once, with one payload id; in = new + duplicate + refused."""
    by_delivery: defaultdict[str, list[int]] = defaultdict(list)
    for payload, row in rows.items():
        by_delivery[row.delivery].append(payload)
    for delivery, payloads in by_delivery.items():
        sent = world.deliveries.get(delivery)
        if sent is None:
            yield f"delivery {delivery} was never sent and is in bronze"
        elif sent.forged:
            yield f"delivery {delivery} has a wrong signature and is in bronze"
        elif len(payloads) > 1:
            yield f"delivery {delivery} was accepted {len(payloads)} times: payloads {payloads[:3]}"
        else:
            row = rows[payloads[0]]
            if (row.body, row.content_type, row.pipeline) != (sent.body, sent.content_type, str(sent.target.pipeline)):
                yield f"delivery {delivery} is not in bronze as it was sent"
    new, unknown, settled = Counter[str](), set(), set()
    tally = Counter[str]()
    for entry in log.entries():
        if entry.event == "unknown":
            unknown.add(entry.delivery)
            tally["unknown"] += 1
            continue
        settled.add(entry.delivery)
        tally["in"] += 1
        if entry.event == "refused":
            tally["refused"] += 1
            if not world.deliveries[entry.delivery].forged:
                yield f"delivery {entry.delivery} was refused with {entry.detail}"
            continue
        tally["duplicate" if entry.duplicate else "new"] += 1
        if world.deliveries[entry.delivery].forged:
            yield f"delivery {entry.delivery} has a wrong signature and was acknowledged"
        if entry.payload not in by_delivery.get(entry.delivery, []):
            yield f"delivery {entry.delivery} was acknowledged as payload {entry.payload}, which bronze does not have"
        if not entry.duplicate:
            new[entry.delivery] += 1
    for delivery, times in new.items():
        if times > 1:
            yield f"delivery {delivery} was acknowledged {times} times as new"
    # A delivery whose first answer was lost is new in the database and was answered as a duplicate, if at all.
    lost = {delivery for delivery in by_delivery if delivery not in new}
    for delivery in lost - unknown:
        yield f"delivery {delivery} is stored, was never answered as new, and no answer was lost"
    if tally["in"] != tally["new"] + tally["duplicate"] + tally["refused"]:
        yield f"in ≠ new + duplicate + refused: {dict(tally)}"
    if len(rows) != len(new) + len(lost):
        yield f"{len(rows)} payloads are stored, {len(new)} were acknowledged as new and {len(lost)} lost their answer"
    counts |= {f"answers {name}": number for name, number in sorted(tally.items())}
    counts |= {"deliveries settled": len(settled), "new with a lost answer": len(lost)}


def inbox(ground: Ground, rows: Mapping[int, Row]) -> Iterator[str]:
    for payload, delivery in ground.rows("SELECT id, headers::jsonb->>'x-github-delivery' FROM dash.payloads"):
        if payload not in rows:
            yield f"payload {payload} (delivery {delivery}) is in the inbox, was archived, and is not in bronze"


def expected(
    rows: Mapping[int, Row], factor: int, *, keyed: bool
) -> tuple[dict[Place, tuple[Any, ...]], dict[int, int]]:
    """What the reference makes of these payloads: records by (payload, index), and rejects by payload."""
    wanted: dict[Place, tuple[Any, ...]] = {}
    rejects: dict[int, int] = {}
    for payload, row in sorted(rows.items()):
        good, refused = records_of(row.content_type, row.body, factor)
        wanted |= {(payload, index): record for index, record in good.items()}
        if refused:
            rejects[payload] = refused
    if keyed:
        winners: dict[str, Place] = {}
        for place, record in sorted(wanted.items()):
            winners.setdefault(record[1], place)
        wanted = {place: wanted[place] for place in winners.values()}
    return wanted, rejects


def silver(ground: Ground, tables: Tables, wanted: Mapping[Place, tuple[Any, ...]]) -> Iterator[str]:
    found: Counter[Place] = Counter()
    if not _exists(ground, tables.table):
        if wanted:
            yield f"there is no table, and {len(wanted)} records belong into it"
        return
    columns = ", ".join(f'"{name}"' for name in FIELDS)
    for payload, index, *values in ground.rows(f"SELECT _payload, _index, _time, {columns} FROM {tables.table}"):
        place = (payload, index)
        found[place] += 1
        if place not in wanted:
            yield f"record {index} of payload {payload} is there and should not be"
        elif tuple(values) != wanted[place]:
            yield f"record {index} of payload {payload} is {tuple(values)}, should be {wanted[place]}"
    for place, times in found.items():
        if times > 1:
            yield f"record {place[1]} of payload {place[0]} is there {times} times"
    for payload, index in wanted.keys() - found.keys():
        yield f"record {index} of payload {payload} is missing"


def rollups(ground: Ground, tables: Tables, wanted: Mapping[Place, tuple[Any, ...]]) -> Iterator[str]:
    """Counts, sums and extremes of every grain, bucket and combination, added up from the reference's records."""
    if not _exists(ground, tables.rollup):
        return
    dims = tables.dims
    sums: defaultdict[tuple[Any, ...], list[list[float]]] = defaultdict(lambda: [[] for _ in METRICS])
    many: Counter[tuple[Any, ...]] = Counter()
    for record in wanted.values():
        named = dict(zip(FIELDS, record[1:], strict=True))
        for grain, width in WIDTHS.items():
            key = (grain, _bucket(record[0], width), *(named[dim] for dim in dims))
            many[key] += 1
            for number, metric in enumerate(METRICS):
                if named[metric] is not None:
                    sums[key][number].append(float(named[metric]))
    parts = [f"m{i}_{part}" for i in range(len(METRICS)) for part in ("count", "sum", "sumsq", "min", "max")]
    quoted = "".join(f', "{dim}"' for dim in dims)
    width = 2 + len(dims)
    for row in ground.rows(
        f"SELECT grain, extract(epoch FROM bucket)::int8{quoted}, _n, {', '.join(parts)} FROM {tables.rollup}"
    ):
        key, stored, rest = row[:width], row[width], row[width + 1 :]
        if key not in many:
            yield f"{key} is there and should not be"
            continue
        if stored != many.pop(key):
            yield f"{key} counts {stored} records"
        for number, metric in enumerate(METRICS):
            values = sums[key][number]
            should = (
                len(values),
                sum(values),
                sum(v * v for v in values),
                min(values, default=None),
                max(values, default=None),
            )
            if not all(map(_equal, rest[number * 5 : number * 5 + 5], should)):
                yield f"{key}, {metric}: {rest[number * 5 : number * 5 + 5]}, should be {should}"
    for key in many:
        yield f"{key} is missing"


def _bucket(time: datetime, width: int) -> int:
    seconds = int(time.timestamp())
    return seconds - seconds % width


def _equal(stored: Any, should: Any) -> bool:
    if stored is None or should is None:
        return stored is should
    return math.isclose(stored, should, rel_tol=1e-12, abs_tol=1e-12)


def refused(ground: Ground, target: Target, generation: int, wanted: Mapping[int, int]) -> Iterator[str]:
    found = dict(
        ground.rows(
            "SELECT payload, count(*) FROM dash.rejects WHERE pipeline_id = %s AND generation = %s GROUP BY 1",
            (target.pipeline, generation),
        )
    )
    for payload in found.keys() | wanted.keys():
        if found.get(payload, 0) != wanted.get(payload, 0):
            yield f"payload {payload} has {found.get(payload, 0)} rejects, should have {wanted.get(payload, 0)}"


def counts(ground: Ground, target: Target, tables: Tables, payloads: int, records: int, rejects: int) -> Iterator[str]:
    if tables.state != "active":
        found = ground.rows(
            "SELECT records, rejects FROM dash.generations WHERE pipeline_id = %s AND generation = %s",
            (target.pipeline, tables.generation),
        )
        if found != [(records, rejects)]:
            yield f"(records, rejects) are {found}, should be {(records, rejects)}"
        return
    found = ground.rows(
        "SELECT payloads, records, rejects FROM dash.pipeline_counts WHERE pipeline_id = %s", (target.pipeline,)
    )
    if payloads and found != [(payloads, records, rejects)]:
        yield f"(payloads, records, rejects) are {found}, should be {(payloads, records, rejects)}"


def leftovers(ground: Ground) -> Iterator[str]:
    for table in ("batches", "unarchived", "attempts"):
        left = ground.value(f"SELECT count(*) FROM dash.{table}")
        if left:
            yield f"{left} rows in {table}"


def _exists(ground: Ground, table: str) -> bool:
    return ground.value("SELECT to_regclass(%s)", (table,)) is not None
