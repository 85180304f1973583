"""Queries against a naive reference: whatever the road (rollups, records, both), the answer is that of a plain loop."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from dash_app.domain import ids
from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.query import TooSlow
from dash_app.domain.specs import SilverVersion
from dash_app.pipelines import expression_plan
from dash_app.pipelines.expressions import parse_filter
from dash_app.pipelines.query import Queries, QueryResult, to_arrow, to_csv, to_items
from dash_app.pipelines.rollups import rollup
from dash_app.storage import catalog, embedded, filters, silver, silver_read, silver_running
from dash_app.storage.engine import Database
from dash_app.storage.silver_columns import Binder

NOW = datetime(2026, 6, 15, 12, 34, 56, 789_000, tzinfo=UTC)
FIELDS = [
    {"name": "temp", "path": "$.temp", "type": "number", "unit": "°C"},
    {"name": "hits", "path": "$.hits", "type": "integer"},
    {"name": "site", "path": "$.site", "type": "text"},
    {"name": "ok", "path": "$.ok", "type": "boolean"},
    {"name": "note", "path": "$.note", "type": "text"},
    {"name": "seen", "path": "$.seen", "type": "timestamp"},
    {"name": "tags", "path": "$.tags", "type": "json"},
]
DTYPES = {
    "number": pl.Float64,
    "integer": pl.Int64,
    "text": pl.String,
    "boolean": pl.Boolean,
    "timestamp": pl.Datetime("us", "UTC"),
    "json": pl.String,
}
Record = dict[str, Any]


class House:
    """One team with a database of its own, and a short way to pipelines with records."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            # A copy of a database does not inherit who may make schemas in it.
            connection.execute(
                SQL("GRANT CREATE ON DATABASE {} TO dash_ingest").format(Identifier(connection.info.dbname))
            )
        self.database = Database(url, pool_size=2)
        self.queries = Queries(self.database)
        self.team = ids.new_id()
        with self.database.ingest() as unit:
            unit.execute("INSERT INTO teams (id, slug, name) VALUES (%s, 'lab', 'Lab')", (self.team,))
            unit.commit()

    def pipeline(self, slug: str) -> UUID:
        with self.database.team(self.team) as unit:
            made = catalog.create_pipeline(
                unit, self.team, slug=slug, name=slug, source_kind="webhook", source_options={}
            )
            unit.commit()
        return made.id

    def mapping(self, pipeline: UUID, fields: Sequence[Mapping[str, Any]]) -> None:
        with self.database.team(self.team) as unit:
            catalog.save_mapping(unit, pipeline, {"fields": list(fields)})
            unit.commit()

    def versions(self, pipeline: UUID) -> list[SilverVersion]:
        with self.database.team(self.team) as unit:
            return catalog.versions(unit, pipeline)

    def add(
        self, pipeline: UUID, records: Sequence[Record], dims: Sequence[str] = ("site", "ok"), batches: int = 3
    ) -> None:
        """Writes records to the active version in several batches, as workers would."""
        with self.database.ingest() as unit:
            version = catalog.versions(unit, pipeline)[0]
            if not version.created:
                version = silver.create_version(
                    unit, version, [d for d in dims if d in {f.name for f in version.columns}]
                )
            size = max(1, -(-len(records) // batches))
            for at in range(0, len(records), size):
                frame = as_frame(records[at : at + size], version)
                metrics = [f for f in version.columns if f.is_metric]
                version = silver.write(unit, version, frame, rollup(frame, metrics, version.dims)).version
            newest = max((ids.payload_id_time(r["_payload"]) for r in records), default=None)
            unit.execute(
                "INSERT INTO pipeline_counts (pipeline_id, team_id, last_received) VALUES (%s, %s, %s) "
                "ON CONFLICT (pipeline_id) DO UPDATE SET last_received = excluded.last_received",
                (pipeline, self.team, newest),
            )
            unit.commit()

    def ask(self, pipeline: str, *select: Any, **more: Any) -> QueryResult:
        document = {"pipeline": pipeline, **({"select": list(select)} if select else {}), **more}
        return self.queries.run(self.team, {k.rstrip("_"): v for k, v in document.items()}, NOW)


def as_frame(records: Sequence[Record], version: SilverVersion) -> pl.DataFrame:
    schema: dict[str, Any] = {
        "_time": DTYPES["timestamp"],
        "_received": DTYPES["timestamp"],
        "_payload": pl.Int64,
        "_index": pl.Int32,
    }
    schema |= {f.name: DTYPES[f.type] for f in version.columns}
    return pl.DataFrame([{name: r.get(name) for name in schema} for r in records], schema=schema)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    made = House(database_url)
    yield made
    made.database.close()


def invent(seed: int, number: int, start: datetime, length: timedelta, *, payloads_of: int = 1) -> list[Record]:
    """Records spread over a range, often on round edges, with nulls, ties and records of one payload at one time."""
    dice = random.Random(seed)
    sequence = count(1)
    records: list[Record] = []
    while len(records) < number:
        time = start + timedelta(microseconds=dice.randrange(int(length / timedelta(microseconds=1))))
        shape = dice.random()
        if shape < 0.15:
            time = time.replace(minute=0, second=0, microsecond=0)
        elif shape < 0.3:
            time = time.replace(second=0, microsecond=0)
        payload = ids.payload_id_floor(NOW - timedelta(seconds=number)) + (next(sequence) << 20)
        for index in range(dice.randint(1, payloads_of)):
            records.append(
                {
                    "_time": time,
                    "_received": NOW,
                    "_payload": payload,
                    "_index": index,
                    "temp": None if dice.random() < 0.1 else round(dice.gauss(10, 5), 3),
                    "hits": None if dice.random() < 0.1 else dice.choice([0, 1, 5, -3, 2**53 + 1, -(2**40) - 7]),
                    "site": dice.choice(["a", "B", "é", "", None]),
                    "ok": dice.choice([True, False, None]),
                    "note": dice.choice(["x", "y", "=cmd()", None]),
                    "seen": None if dice.random() < 0.5 else time - timedelta(days=1),
                    "tags": None if dice.random() < 0.5 else '{"k": [1, 2]}',
                }
            )
    dice.shuffle(records)
    return records


# The reference -------------------------------------------------------------------------------------------------------


def percentile(values: list[float], share: float) -> float:
    values = sorted(values)
    place = share * (len(values) - 1)
    low = math.floor(place)
    return values[low] + (values[min(low + 1, len(values) - 1)] - values[low]) * (place - low)


def reference_aggregate(agg: str, field: str | None, records: list[Record]) -> Any:
    if field is None:
        return len(records)
    ordered = sorted(records, key=lambda r: (r["_time"], r["_payload"], r["_index"]))
    values = [r[field] for r in ordered if r[field] is not None]
    if agg == "count":
        return len(values)
    if agg == "count_distinct":
        return len(set(values))
    if not values:
        return None
    if agg in ("min", "max", "first", "last"):
        return {"min": min, "max": max, "first": lambda v: v[0], "last": lambda v: v[-1]}[agg](values)
    if agg in ("sum", "avg"):
        total = math.fsum(map(float, values))
        return total if agg == "sum" else total / len(values)
    if agg == "stddev":
        mean = math.fsum(map(float, values)) / len(values)
        return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else None
    return percentile([float(v) for v in values], {"median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}[agg])


def wall_bucket(time: datetime, every: str, zone: ZoneInfo) -> str:
    """A bucket's name on the wall: by the calendar, written out one unit at a time and without the code under test."""
    amount, unit = int(every[:-1]), every[-1]
    local = time.astimezone(zone)
    if unit in "smh":
        width = amount * {"s": 1, "m": 60, "h": 3600}[unit]
        second = local.hour * 3600 + local.minute * 60 + local.second
        at = second // width * width
        # Both rounds of an hour that comes twice are buckets of their own, unless a bucket is longer than the jump.
        rounds = str(local.utcoffset()) if width <= 3600 else ""
        return f"{local.date()} {at} {rounds}"
    if unit == "d":
        return str(local.date()) if amount == 1 else str((local.date() - date(1970, 1, 1)).days // amount)
    if unit == "w":
        return str(local.date() - timedelta(days=local.weekday()))
    return f"{local.year}" if unit == "y" else f"{local.year}-{(local.month - 1) // amount}"


def reference(
    records: Sequence[Record],
    start: datetime,
    end: datetime,
    select: Sequence[Mapping[str, Any]],
    by: Sequence[str],
    every: str | None,
    zone: str,
) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Record]] = defaultdict(list)
    for record in records:
        if start <= record["_time"] < end:
            bucket = wall_bucket(record["_time"], every, ZoneInfo(zone)) if every else None
            groups[bucket, *(record[name] for name in by)].append(record)
    if not by and not every and not groups:
        groups[(None,)] = []
    return {key: [reference_aggregate(m["agg"], m.get("field"), rows) for m in select] for key, rows in groups.items()}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return type(a) is type(b) and a == b


def compare(result: QueryResult, wanted: dict[Any, list[Any]], by: Sequence[str], every: str | None, zone: str) -> None:
    rows = result.frame.rows()
    keys = int(every is not None) + len(by)
    found = {}
    for row in rows:
        bucket = wall_bucket(row[0], every, ZoneInfo(zone)) if every else None
        key = (bucket, *row[int(every is not None) : keys])
        assert key not in found, f"{key} came twice"
        found[key] = list(row[keys:])
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        for number, (a, b) in enumerate(zip(found[key], values, strict=True)):
            assert same(a, b), (key, number, a, b)
    if every:
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)


MERGEABLE = ("count", "sum", "avg", "min", "max", "first", "last", "stddev")
ALL = [{"agg": "count"}] + [{"agg": agg, "field": field} for field in ("temp", "hits") for agg in MERGEABLE]
WHOLE = [{"agg": agg, "field": "temp"} for agg in ("median", "p90", "p95", "p99", "count_distinct")] + [
    {"agg": "count_distinct", "field": "note"},
    {"agg": "last", "field": "note"},
    {"agg": "first", "field": "ok"},
    {"agg": "max", "field": "note"},
    {"agg": "min", "field": "seen"},
    {"agg": "count", "field": "tags"},
]
SPAN = (datetime(2026, 3, 20, 3, 17, 21, 5, tzinfo=UTC), datetime(2026, 4, 12, 19, 44, 3, tzinfo=UTC))
AUTUMN = (datetime(2025, 10, 20, tzinfo=UTC), datetime(2025, 11, 3, tzinfo=UTC))


@pytest.mark.parametrize("seed", range(4))
def test_every_aggregate_is_the_reference(house: House, seed: int) -> None:
    """Random ranges × groups × buckets × zones, over rollups and over records."""
    dice = random.Random(1000 + seed)
    span = SPAN if seed % 2 else AUTUMN
    records = invent(seed, 1500, span[0], span[1] - span[0])
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    house.add(pipeline, records)
    roads = set()
    for _ in range(60):
        zone = dice.choice(["UTC", "Europe/Oslo", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"])
        every = dice.choice(
            [None, None, "1s", "10s", "1m", "5m", "30m", "1h", "6h", "12h", "1d", "3d", "1w", "1M", "3M", "1y"]
        )
        if zone == "Australia/Lord_Howe" and every in ("1h", "6h", "12h"):
            every = "30m"  # its clock jumps by half an hour; the unit tests of buckets have it
        by = dice.choice([(), (), ("site",), ("ok",), ("site", "ok"), ("note",)])
        length = (span[1] - span[0]) * dice.choice([0.001, 0.05, 0.4, 1, 1.5])
        start = span[0] + (span[1] - span[0]) * dice.random() * 0.8 - timedelta(days=1)
        start = dice.choice(
            [start, start.replace(second=0, microsecond=0), start.replace(hour=0, minute=0, second=0, microsecond=0)]
        )
        end = start + dice.choice([length, timedelta(days=3), timedelta(hours=1), timedelta(seconds=30)])
        select = dice.choice([ALL, ALL, WHOLE, ALL[:1], dice.sample(ALL, 3)])
        result = house.ask(
            "weather", *({**m, "as": f"c{n}"} for n, m in enumerate(select)),
            by=list(by), every=every, from_=start.isoformat(), to=end.isoformat(), timezone=zone, limit=100_000,
        )  # fmt: skip
        roads.add(result.source)
        compare(result, reference(records, start, end, select, by, every, zone), by, every, zone)
    assert roads == {"rollup", "records"}


def test_records_of_one_payload_and_time(house: House) -> None:
    """First and last of records that share payload and time go by their place in the payload, whatever rollups know."""
    start = datetime(2026, 6, 1, tzinfo=UTC)
    records = invent(7, 900, start, timedelta(days=2), payloads_of=5)
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    house.add(pipeline, records, batches=1)
    select = [{"agg": agg, "field": field} for agg in ("first", "last") for field in ("temp", "hits")]
    for by, every in [((), None), ((), "1h"), (("site",), "1h"), (("site", "ok"), "1h")]:
        result = house.ask(
            "weather",
            *({**m, "as": f"c{n}"} for n, m in enumerate(select)),
            by=list(by),
            every=every,
            from_="2026-06-01",
            to="2026-06-03",
        )
        compare(
            result, reference(records, start, start + timedelta(days=2), select, by, every, "UTC"), by, every, "UTC"
        )


def test_a_small_deviation_of_large_values_is_not_lost(house: House) -> None:
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    base = datetime(2026, 6, 1, tzinfo=UTC)
    records = [
        {
            "_time": base + timedelta(minutes=n),
            "_received": NOW,
            "_payload": (n + 1) << 20,
            "_index": 0,
            "temp": 1e9 + n % 3,
        }
        for n in range(600)
    ]
    house.add(pipeline, records)
    result = house.ask("weather", {"agg": "stddev", "field": "temp", "as": "s"}, from_="2026-06-01", to="2026-06-02")
    assert result.source == "records"
    assert result.frame["s"].to_list() == [pytest.approx(reference_aggregate("stddev", "temp", records), rel=1e-9)]


def test_days_in_oslo_when_the_clock_changes(house: House) -> None:
    """The 29th of March has 23 hours, the 26th of October 25; a bucket of an hour comes twice there."""
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    hours = [AUTUMN[0] + timedelta(hours=n) for n in range(14 * 24)] + [
        datetime(2026, 3, 28, tzinfo=UTC) + timedelta(hours=n) for n in range(72)
    ]
    house.add(
        pipeline,
        [
            {"_time": t, "_received": NOW, "_payload": (n + 1) << 20, "_index": 0, "temp": 1.0}
            for n, t in enumerate(hours)
        ],
    )
    ask = {"from_": "2025-10-25", "to": "2025-10-28", "timezone": "Europe/Oslo"}
    days = to_items(house.ask("weather", {"agg": "count"}, every="1d", **ask))
    assert days == [
        {"time": "2025-10-25T00:00:00+02:00", "count": 24},
        {"time": "2025-10-26T00:00:00+02:00", "count": 25},
        {"time": "2025-10-27T00:00:00+01:00", "count": 24},
    ]
    hourly = to_items(
        house.ask(
            "weather",
            {"agg": "count"},
            every="1h",
            from_="2025-10-26T01:00",
            to="2025-10-26T04:00",
            timezone="Europe/Oslo",
        )
    )
    assert [row["time"][11:] for row in hourly] == [
        "01:00:00+02:00",
        "02:00:00+02:00",
        "02:00:00+01:00",
        "03:00:00+01:00",
    ]
    (spring,) = to_items(
        house.ask("weather", {"agg": "count"}, every="1d", from_="2026-03-29", to="2026-03-30", timezone="Europe/Oslo")
    )
    assert spring == {"time": "2026-03-29T00:00:00+01:00", "count": 23}


def test_versions_side_by_side(house: House) -> None:
    """History is read under the newest mapping: missing fields null, changed types cast where they can be."""
    pipeline = house.pipeline("weather")
    base = datetime(2026, 6, 1, tzinfo=UTC)

    def rows(first: int, **values: Any) -> list[Record]:
        return [
            {"_time": base + timedelta(hours=n), "_received": NOW, "_payload": (first + n) << 20, "_index": 0, **values}
            for n in range(48)
        ]

    house.mapping(
        pipeline,
        [
            FIELDS[2],
            {"name": "temp", "path": "$.t", "type": "text"},
            {"name": "hits", "path": "$.h", "type": "integer"},
        ],
    )
    house.add(
        pipeline, [*rows(1, site="a", temp="12.5", hits=2), *rows(100, site="a", temp="warm", hits=3)], dims=["site"]
    )
    house.mapping(pipeline, [*FIELDS[:4]])
    house.add(pipeline, rows(1000, temp=7.5, hits=5, site="b", ok=True), dims=["site", "ok"])
    span = {"from_": "2026-06-01", "to": "2026-06-04"}
    assert to_items(house.ask("weather", {"agg": "count"}, {"field": "hits", "agg": "sum"}, **span)) == [
        {"count": 144, "hits_sum": 480.0}
    ]
    sites = house.ask("weather", {"field": "hits", "agg": "max"}, by=["site"], **span)
    assert (sites.source, sites.frame.rows()) == ("rollup", [("a", 3), ("b", 5)])
    temps = house.ask(
        "weather",
        {"field": "temp", "agg": "avg", "as": "t"},
        {"field": "temp", "agg": "count", "as": "n"},
        by=["site"],
        **span,
    )
    assert (temps.source, temps.frame.rows()) == ("mixed", [("a", 12.5, 48), ("b", 7.5, 48)])
    assert house.ask("weather", {"agg": "count"}, where="ok", **span).frame.rows() == [(48,)]
    assert house.ask("weather", {"agg": "count"}, by=["ok"], **span).frame.rows() == [(True, 48), (None, 96)]
    oldest = house.ask("weather", limit=144, **span).frame.row(-1, named=True)
    assert (oldest["temp"], oldest["hits"], oldest["ok"]) == (12.5, 2, None)


def test_conditions(house: House) -> None:
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    records = invent(3, 400, NOW - timedelta(hours=20), timedelta(hours=19))
    house.add(pipeline, records)
    for where, holds, source in [
        ("site = 'a'", lambda r: r["site"] == "a", "rollup"),
        ("site in ('a', 'B') and not ok", lambda r: r["site"] in ("a", "B") and r["ok"] is False, "rollup"),
        ("temp > 10 or note = 'x'", lambda r: (r["temp"] or -99) > 10 or r["note"] == "x", "records"),
        ("site is null", lambda r: r["site"] is None, "rollup"),
    ]:
        result = house.ask("weather", {"agg": "count"}, {"agg": "avg", "field": "temp", "as": "t"}, where=where)
        kept = [r for r in records if holds(r)]
        assert result.source == source, where
        assert same(result.frame["count"][0], len(kept)), where
        assert same(result.frame["t"][0], reference_aggregate("avg", "temp", kept)), where


EXPRESSIONS = [
    "temp / hits", "temp % 3", "temp % -2.5", "-temp", "temp + hits * 2", "round(temp)", "round(temp, 2)",
    "sqrt(temp)", "ln(temp)", "log2(temp)", "log10(temp)", "power(temp, 2)", "power(temp, 0.5)", "power(2, temp)",
    "exp(temp)", "abs(temp)", "sign(temp)", "ceil(temp)", "floor(temp)", "trunc(temp)", "cbrt(temp)", "sin(temp)",
    "asin(temp / 30)", "acos(temp / 5)", "atan2(temp, hits)", "degrees(temp)", "radians(temp)", "pi()",
    "least(temp, hits, 3)", "greatest(temp, null)", "coalesce(temp, hits)", "nullif(hits, 0)", "length(note)",
    "strpos(note, 'm')", "upper(site)", "lower(site)", "trim(note)", "left(note, 2)", "right(note, 2)",
    "substr(note, 2)", "substr(note, 2, 1)", "replace(note, 'c', 'dd')", "concat(site, note)", "site || note",
    "split_part(note, 'm', 2)", "starts_with(note, '=')", "ends_with(note, ')')", "contains(note, 'md')",
    "contains(note, site)", "date_part('hour', seen)", "date_part('week', seen)", "date_part('dow', seen)",
    "date_part('second', seen)", "date_part('epoch', seen)", "date_trunc('week', seen)", "date_trunc('month', seen)",
    "to_timestamp(temp * 1000)", "seen > '2026-03-30'", "seen = '2026-03-30T00:00:00+02:00'", "temp between 3 and 10",
    "temp > 1 and hits > 0 or ok", "not ok", "ok is null", "ok is not null", "site < 'a'", "site >= 'a'",
    "greatest(site, note)", "site in ('a', null)", "note like '=%'", "note like '%\\'", "note ilike '%CMD%'",
    "site like '_'", "case when temp > 10 then 'hot' when temp > 0 then site else null end",
    "case site when 'a' then 1 else temp end", "try_cast(site as number)", "try_cast(note as timestamp)",
    "try_cast('1e5' as number) + temp", "try_cast('12' as integer) + hits", "try_cast(temp as integer)",
    "try_cast(temp as text)", "try_cast(hits as text)", "try_cast(ok as text)", "try_cast(ok as number)",
    "try_cast('yes' as boolean) and ok", "try_cast(hits as boolean)", "try_cast(seen as text)",
    "try_cast('2024-02-29T12:00' as timestamp)", "try_cast('2023-02-29' as timestamp)",
    "try_cast('1900-02-29' as timestamp)",
]  # fmt: skip


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_condition_means_in_the_database_what_it_means_in_a_mapping(
    records_table: tuple[Database, SilverVersion, pl.DataFrame], text: str
) -> None:
    """Each expression, as PostgreSQL computes it and as Polars does; infinities and NaN of Polars are null here."""
    database, version, frame = records_table
    wrapped = f"({text}) is not null"
    tree = parse_filter(wrapped, {f.name: f.type for f in version.columns}).args[0].args[0]  # type: ignore[union-attr]
    program = expression_plan.program(tree, "step")
    worked, _ = program.columns(frame)
    polars = worked.select(program.value.alias("x"))["x"]
    polars = (
        polars.extend_constant(None, frame.height - 1)
        if len(polars) == 1 < frame.height and polars[0] is None
        else polars
    )
    if len(polars) == 1 and frame.height > 1:
        polars = polars.new_from_index(0, frame.height)
    bind = Binder()
    sql = filters._Writer(lambda name: f'"{name}"', bind).of(tree)
    with database.ingest() as unit:
        rows = unit.rows(f'SELECT {sql} FROM {version.schema}."{version.table}" ORDER BY _payload, _index', bind.params)
    assert len(rows) == len(polars)
    for (mine,), theirs in zip(rows, polars.to_list(), strict=True):
        if isinstance(theirs, float) and not math.isfinite(theirs):
            theirs = None
        if isinstance(mine, float) and isinstance(theirs, float):
            assert math.isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-9)
        else:
            assert mine == theirs


@pytest.fixture(scope="module")
def records_table(postgres: str, template: str) -> Iterator[tuple[Database, SilverVersion, pl.DataFrame]]:
    """One table of records for all expressions, and the same records as a frame."""
    name = "test_expressions"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    house = House(postgres.replace(f"/{embedded.DATABASE}?", f"/{name}?", 1))
    try:
        pipeline = house.pipeline("weather")
        house.mapping(pipeline, FIELDS)
        records = sorted(invent(11, 200, SPAN[0], SPAN[1] - SPAN[0]), key=lambda r: (r["_payload"], r["_index"]))
        house.add(pipeline, records)
        (version,) = house.versions(pipeline)
        yield house.database, version, as_frame(records, version)
    finally:
        house.database.close()
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_newest_records_page_by_page(house: House) -> None:
    """Each record once, newest payload first, whatever gaps there are between the payloads, and over both versions."""
    pipeline = house.pipeline("weather")
    dice = random.Random(5)
    moment, records = NOW - timedelta(days=900), []
    for _ in range(150):
        moment += timedelta(seconds=dice.choice([0.001, 0.5, 30, 4000, 900_000]))
        payload = ids.payload_id_floor(moment) + len(records)
        records += [
            {
                "_time": NOW - timedelta(minutes=dice.randrange(3000)),
                "_received": moment,
                "_payload": payload,
                "_index": i,
                "temp": float(i),
            }
            for i in range(dice.randint(1, 4))
        ]
    house.mapping(pipeline, FIELDS[:1])
    house.add(pipeline, records[:200])
    house.mapping(pipeline, FIELDS[:3])
    house.add(pipeline, records[200:], dims=["site"])
    newest = sorted(((r["_payload"], r["_index"]) for r in records), reverse=True)
    found: list[tuple[int, int]] = []
    cursor = None
    with house.database.team(house.team) as unit:
        versions = catalog.versions(unit, pipeline)
        while True:
            page = silver_read.latest(unit, versions, 37, cursor)
            assert page.frame.columns == ["_time", "_received", "_payload", "_index", "temp", "hits", "site"]
            found += page.frame.select("_payload", "_index").rows()
            cursor = page.next
            if cursor is None:
                break
        assert found == newest
        one = silver_read.records_of(unit, versions, records[10]["_payload"])
        assert one["_index"].to_list() == sorted(
            r["_index"] for r in records if r["_payload"] == records[10]["_payload"]
        )
        with pytest.raises(Invalid, match="cursor"):
            silver_read.latest(unit, versions, 5, "bogus")
    within = [r for r in records if NOW - timedelta(hours=24) <= r["_time"] < NOW]
    pages: list[dict[str, Any]] = []
    result = house.ask("weather", {"field": "temp"}, {"field": "_payload"}, limit=20)
    pages += to_items(result)
    while result.next:
        result = house.ask("weather", {"field": "temp"}, {"field": "_payload"}, limit=20, cursor=result.next)
        pages += to_items(result)
    assert [(row["_payload"], row["temp"]) for row in pages] == [
        (str(r["_payload"]), r["temp"])
        for r in sorted(within, key=lambda r: (r["_payload"], r["_index"]), reverse=True)
    ]


def test_a_burst_behind_a_trickle_is_read_in_parts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silver_read, "_DENSE", 50)
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS[:1])
    burst = [(NOW - timedelta(days=30) + timedelta(milliseconds=n), n) for n in range(400)]
    trickle = [(NOW - timedelta(days=n), 400 - n) for n in range(3)]
    rows = [
        {"_time": t, "_received": t, "_payload": ids.payload_id_floor(t) + n, "_index": 0, "temp": 1.0}
        for t, n in burst + trickle
    ]
    house.add(pipeline, rows)
    with house.database.team(house.team) as unit:
        page = silver_read.latest(unit, catalog.versions(unit, pipeline), 100)
    assert page.frame["_payload"].to_list() == sorted((r["_payload"] for r in rows), reverse=True)[:100]


def test_limits_and_order(house: House) -> None:
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    house.add(pipeline, invent(9, 600, NOW - timedelta(hours=10), timedelta(hours=10)))
    everything = house.ask("weather", {"agg": "count"}, every="1h").frame
    newest = house.ask("weather", {"agg": "count"}, every="1h", limit=3)
    assert newest.truncated
    assert newest.frame.rows() == everything.rows()[-3:]
    top = house.ask("weather", {"agg": "count"}, by=["site"], order="-count", limit=2)
    assert top.truncated
    assert (
        top.frame["count"].to_list()
        == sorted(house.ask("weather", {"agg": "count"}, by=["site"]).frame["count"], reverse=True)[:2]
    )
    assert house.ask("weather", {"agg": "count"}, by=["site"]).frame["site"].to_list() == ["", "B", "a", "é", None]
    assert house.ask("weather", {"agg": "count"}, every="1h", order="-time").frame.rows() == everything.rows()[::-1]


def test_shapes(house: House) -> None:
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    row = {
        "_time": NOW - timedelta(hours=1),
        "_received": NOW,
        "_payload": ids.payload_id_floor(NOW),
        "_index": 0,
        "temp": 1.5,
        "hits": 2,
        "note": "=cmd()",
        "tags": '{"k": [1, 2]}',
    }
    house.add(pipeline, [row])
    result = house.ask("weather", timezone="Asia/Kathmandu")
    (item,) = to_items(result)
    assert item == {
        "_time": "2026-06-15T17:19:56.789000+05:45", "_received": "2026-06-15T18:19:56.789000+05:45",
        "_payload": str(row["_payload"]), "_index": 0,
        "temp": 1.5, "hits": 2, "site": None, "ok": None, "note": "=cmd()", "seen": None, "tags": {"k": [1, 2]},
    }  # fmt: skip
    described = {c.name: (c.type, c.role, c.unit) for c in result.columns}
    assert described["_time"] == ("timestamp", "time", "")
    assert described["temp"] == ("number", "metric", "°C")
    assert described["site"] == ("text", "dimension", "")
    lines = to_csv(house.ask("weather", {"field": "temp"}, {"field": "note", "as": "+note"})).splitlines()
    assert lines == ["_time,temp,'+note", "2026-06-15T11:34:56.789000+00:00,1.5,'=cmd()"]
    totals = house.ask("weather", {"agg": "count"}, {"agg": "avg", "field": "temp", "as": "t"}, every="1h")
    assert totals.every_ms == 3_600_000
    assert to_arrow(totals)[:4] == b"\xff\xff\xff\xff"
    assert pl.read_ipc_stream(to_arrow(totals)).rows() == totals.frame.rows()


def test_nothing_to_read_has_the_right_shape(house: House) -> None:
    pipeline = house.pipeline("empty")
    assert to_items(house.ask("empty", {"agg": "count"})) == [{"count": 0}]
    assert house.ask("empty").frame.columns == ["_time", "_received", "_payload", "_index"]
    house.mapping(pipeline, FIELDS)
    assert to_items(house.ask("empty", {"agg": "count"}, {"agg": "avg", "field": "temp", "as": "t"})) == [
        {"count": 0, "t": None}
    ]
    assert to_items(house.ask("empty", {"agg": "count"}, every="1h")) == []
    house.add(pipeline, [{"_time": NOW - timedelta(days=400), "_received": NOW, "_payload": 1 << 20, "_index": 0}])
    for where in (None, "hits > 3"):
        nothing = house.ask(
            "empty", {"agg": "count"}, {"agg": "last", "field": "hits"}, {"agg": "median", "field": "temp"}, where=where
        )
        assert to_items(nothing) == [{"count": 0, "hits_last": None, "temp_median": None}]
        assert nothing.frame.dtypes == [pl.Int64, pl.Int64, pl.Float64]


def test_what_is_wrong_says_what_would_be_right(house: House) -> None:
    house.mapping(house.pipeline("weather"), FIELDS)
    with pytest.raises(NotFound, match="no pipeline 'nowhere'"):
        house.ask("nowhere", {"agg": "count"})
    for place, message, more in [
        ("select[0].field", "no field 'tmp'; there are temp, hits", {"select": [{"agg": "avg", "field": "tmp"}]}),
        (
            "select[0].agg",
            "sum cannot be taken of 'site' .text.; it can of temp, hits",
            {"select": [{"agg": "sum", "field": "site"}]},
        ),
        ("by[0]", "no field 'city'", {"select": [{"agg": "count"}], "by": ["city"]}),
        ("by[0]", "json", {"select": [{"agg": "count"}], "by": ["tags"]}),
        ("where", "position 2", {"where": "n; drop table x"}),
        ("where", "no field 'n'", {"where": "n > 3"}),
        ("where", "true or false", {"where": "temp"}),
    ]:
        with pytest.raises(Invalid, match=message) as caught:
            house.ask("weather", **more)
        assert [p for p, _ in caught.value.problems] == [place]


def test_other_teams_pipelines_are_not_there(house: House) -> None:
    house.mapping(house.pipeline("weather"), FIELDS)
    with pytest.raises(NotFound, match="no pipeline 'weather'"):
        house.queries.run(ids.new_id(), {"pipeline": "weather", "select": [{"agg": "count"}]}, NOW)


def test_tables_exchanged_on_the_way_are_looked_up_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollup may lose a dimension, or a version be dropped, after the catalog was read and before the statement."""
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    house.add(pipeline, invent(1, 50, NOW - timedelta(hours=10), timedelta(hours=9)))
    (version,) = house.versions(pipeline)
    answers = [[replace(version, dims=("note",))], [version]]
    monkeypatch.setattr(catalog, "versions", lambda unit, pipeline, **_: answers.pop(0))
    result = house.ask("weather", {"agg": "count"}, by=["note"])
    assert (result.source, result.frame["count"].sum()) == ("records", 50)
    answers = [[replace(version, table="gone")]] * 2
    with pytest.raises(silver_running.Moved):
        house.ask("weather", {"agg": "count"}, by=["note"])


def test_a_slow_query_is_stopped_and_named(house: House) -> None:
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    house.add(pipeline, invent(1, 20_000, NOW - timedelta(hours=10), timedelta(hours=10)), batches=1)
    impatient = Queries(house.database, patience=0.001)
    with pytest.raises(TooSlow, match=r"0\.001 s"):
        impatient.run(
            house.team,
            {"pipeline": "weather", "select": [{"agg": "median", "field": "temp"}], "by": ["note"], "every": "1s"},
            NOW,
        )
