"""Tables as hypertables: made where they are large, and then the same to everybody as plain ones.

Runs where DASH_TEST_TIMESCALE_URL names a superuser's URL of a PostgreSQL server that loads TimescaleDB (2.20 or newer,
with the community licence); each test in a database of its own there.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from dash_app import checkup, cli
from dash_app.domain.errors import Conflict, Transient
from dash_app.domain.specs import SilverVersion
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.query import Queries, to_items
from dash_app.storage import catalog, migrate, retention, silver, silver_read, timescale, timescale_upkeep
from dash_app.storage.silver_tables import qualified
from tests.integration.conftest import SECRET_KEY, House

SERVER = os.environ.get("DASH_TEST_TIMESCALE_URL")
pytestmark = pytest.mark.skipif(
    SERVER is None, reason="DASH_TEST_TIMESCALE_URL names no server that loads TimescaleDB (docs/settings.md)"
)

NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
MAPPING: Mapping[str, Any] = {
    "time": {"path": "$.t"},
    "fields": [
        {"name": "n", "path": "$.n", "type": "number", "unit": "°C", "role": "metric"},
        {"name": "site", "path": "$.site", "type": "text"},
    ],
}
KEYED: Mapping[str, Any] = {**MAPPING, "key": ["$.id"]}
REPLACING: Mapping[str, Any] = {**KEYED, "on_duplicate": "replace"}
#: No table is too small.
ANY_SIZE = 0


@pytest.fixture
def database_url() -> Iterator[str]:
    """URL of a database of the test's own; what it shares with the other tests is their name for it alone."""
    assert SERVER is not None
    name = f"dash_timescale_{os.urandom(6).hex()}"
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    parts = psycopg.conninfo.conninfo_to_dict(SERVER)
    where = "&".join(f"{key}={value}" for key, value in parts.items() if key != "dbname")
    try:
        migrate.upgrade(f"postgresql:///{name}?{where}")
        yield f"postgresql:///{name}?{where}"
    finally:
        with psycopg.connect(SERVER, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is a hypertable from the start, of chunks of a day."""
    monkeypatch.setattr(timescale, "LARGE_ROWS", ANY_SIZE)
    monkeypatch.setattr(timescale, "SPANS", (timedelta(days=1),))


def one(days: float, n: float, **more: Any) -> dict[str, Any]:
    """A record of noon, so many days ago."""
    moment = TODAY + timedelta(hours=12) - timedelta(days=days)
    return {"t": moment.isoformat(), "n": n, "site": "a", **more}


def ingest(house: House, pipeline: UUID, *records: Mapping[str, Any]) -> None:
    house.put(pipeline, json.dumps(records).encode())
    Ingest(house.app).run(pipeline)


def change(house: House, sql: str, *params: Any) -> None:
    with house.app.database.ingest() as unit:
        unit.execute(sql, params)
        unit.commit()


def versions(house: House, pipeline: UUID) -> list[SilverVersion]:
    with house.app.database.ingest() as unit:
        return [version for version in catalog.versions(unit, pipeline) if version.created]


def newest(house: House, pipeline: UUID) -> SilverVersion:
    return versions(house, pipeline)[0]


def table_of(house: House, pipeline: UUID) -> str:
    version = newest(house, pipeline)
    return qualified(version, version.table)


def is_hypertable(house: House, pipeline: UUID) -> bool:
    with house.app.database.ingest() as unit:
        return timescale.is_hypertable(unit, table_of(house, pipeline))


def chunks(house: House, pipeline: UUID) -> list[timescale.Chunk]:
    with house.app.database.ingest() as unit:
        return timescale.chunks_before(unit, table_of(house, pipeline), datetime(9000, 1, 1, tzinfo=UTC))


def pack(house: House) -> int:
    """Packs all that is a week old; how many chunks."""
    return timescale_upkeep.upkeep(house.app.database, datetime.now(UTC)).packed


def ask(house: House, *select: Mapping[str, Any], slug: str = "orders", **more: Any) -> list[dict[str, Any]]:
    document = {"pipeline": slug, "from": "now-400d/d", "to": "now+3d/d", "select": list(select), **more}
    return to_items(Queries(house.app.database).run(house.team, document))


def everything(house: House, slug: str) -> list[Any]:
    """What every kind of question says of a pipeline."""
    fields = [{"field": "n", "agg": agg, "as": agg} for agg in ("sum", "min", "max", "first", "last", "median")]
    counted = {"agg": "count", "as": "count"}
    # A filter below the rollup's grain, so that records are asked as well.
    odd = {"from": (TODAY - timedelta(days=20, seconds=7)).isoformat(), "to": (TODAY + timedelta(days=2)).isoformat()}
    with house.app.database.ingest() as unit:
        found = next(p for p in catalog.pipelines(unit) if p.slug == slug)
        made = catalog.versions(unit, found.id)
        rows = silver_read.latest(unit, made, 10_000, columns=list(made[0].columns)).frame.rows()
    return [
        ask(house, counted, *fields, slug=slug),
        ask(house, counted, *fields, slug=slug, every="1d", by=["site"]),
        ask(house, counted, *fields, slug=slug, every="1m"),
        ask(house, counted, *fields, slug=slug, **odd),
        rows,
        house.rows(f'SELECT _time, _index, n, site FROM team_acme."{slug}" ORDER BY n, _time, _index, site'),
    ]


# What is there -------------------------------------------------------------------------------------------------------


def test_the_extension_is_made_with_the_schema_and_reports_to_nobody(house: House) -> None:
    with house.app.database.ingest() as unit:
        found = timescale.look(unit)
    assert found.version is not None
    assert found.columnstore
    assert house.rows("SELECT current_setting('timescaledb.telemetry_level')") == [("off",)]
    findings = {one.name: one for one in checkup.examine(lambda: house.app.settings)}
    assert findings["timescaledb"].text == f"{found.version} is used for large tables"
    # Run again it changes nothing, whoever may do what.
    migrate.upgrade(house.app.database.url)


def test_what_the_licence_does_not_give_is_done_without(
    house: House, chunked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house.app.database.ingest() as unit:
        found = replace(timescale.look(unit), columnstore=False, reason="its licence here has no columnstore")
    # A server has one licence, and this one's is the community's.
    monkeypatch.setattr(timescale, "look", lambda unit: found)
    house.app.database.close()
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1), one(0, 2))
    assert is_hypertable(house, pipeline)
    assert pack(house) == 0
    assert ask(house, {"agg": "count", "as": "c"})[0]["c"] == 2
    assert (
        "no columnstore" in {one.name: one.text for one in checkup.examine(lambda: house.app.settings)}["timescaledb"]
    )


def test_a_schema_that_workers_may_not_use_means_plain_tables(house: House) -> None:
    with psycopg.connect(house.app.database.url, autocommit=True) as connection:
        connection.execute("DROP EXTENSION timescaledb")
    with psycopg.connect(house.app.database.url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA closed")
        connection.execute("CREATE EXTENSION timescaledb SCHEMA closed")
    house.app.database.close()
    with house.app.database.ingest() as unit:
        found = timescale.look(unit)
    assert found.version is None
    assert "dash_ingest may not use" in found.reason


# Which tables --------------------------------------------------------------------------------------------------------


def test_a_table_is_plain_until_one_before_it_was_large(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timescale, "LARGE_ROWS", 50)
    pipeline, other = house.pipeline(mapping=MAPPING), house.pipeline("other", mapping=MAPPING)
    ingest(house, pipeline, *(one(n % 10, n) for n in range(100)))
    ingest(house, other, one(0, 1))
    assert not is_hypertable(house, pipeline)
    change(house, f"ANALYZE {table_of(house, pipeline)}")
    more = {**MAPPING, "fields": [*MAPPING["fields"], {"name": "x", "path": "$.x", "type": "integer"}]}
    for each in (pipeline, other):
        with house.app.database.team(house.team) as unit:
            catalog.save_mapping(unit, each, more)
            unit.commit()
        ingest(house, each, one(0, 7, x=1))
    assert (is_hypertable(house, pipeline), is_hypertable(house, other)) == (True, False)
    # Ten days of ten rows each: it takes a month to fill a chunk.
    assert house.rows(f"SELECT time_interval FROM {timescale.DIMENSIONS}") == [(timedelta(days=30),)]
    # Both versions are read as one.
    assert ask(house, {"agg": "count", "as": "c"})[0]["c"] == 101
    assert len(house.silver("orders", "x")) == 101


@pytest.mark.parametrize(
    ("rows", "days", "span"),
    [
        (200_000_000, 1, timedelta(hours=1)),
        (10_000_000, 1, timedelta(days=1)),
        (10_000_000, 10, timedelta(days=7)),
        (10_000_000, 365, timedelta(days=30)),
    ],
)
def test_chunks_hold_some_millions_of_rows(house: House, rows: int, days: int, span: timedelta) -> None:
    change(house, "CREATE SCHEMA s")
    change(house, "CREATE TABLE s.r (grain int2, bucket timestamptz)")
    change(
        house,
        "INSERT INTO s.r SELECT 3, '2024-01-01'::timestamptz + n * interval '1 day' FROM generate_series(1, %s) n",
        days,
    )
    with house.app.database.ingest() as unit:
        assert timescale._span(unit, rows, "s.r") == span


# The same to everybody -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapping", [MAPPING, KEYED, REPLACING], ids=["no key", "ignore", "replace"])
def test_every_answer_is_that_of_a_plain_table(
    house: House, monkeypatch: pytest.MonkeyPatch, mapping: Mapping[str, Any]
) -> None:
    """Shuffled, weeks late, a third of it sent again with other values; and packed again and again on the way."""
    plain = house.pipeline("plain", mapping=mapping)
    ingest(house, plain, one(0, 0, id=-1))
    monkeypatch.setattr(timescale, "LARGE_ROWS", ANY_SIZE)
    monkeypatch.setattr(timescale, "SPANS", (timedelta(days=1),))
    monkeypatch.setattr(timescale_upkeep, "LOOSE_BYTES", 0)
    wide = house.pipeline("wide", mapping=mapping)
    ingest(house, wide, one(0, 0, id=-1))
    assert (is_hypertable(house, plain), is_hypertable(house, wide)) == (False, True)
    # A delete that unpacks more than this is an error unless it is asked for.
    with psycopg.connect(house.app.database.url, autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {connection.info.dbname} SET timescaledb.max_tuples_decompressed_per_dml_transaction = 1"
        )
    house.app.database.close()
    chance, packed = random.Random(7), 0
    for _ in range(6):
        records = [
            one(chance.uniform(0, 30), chance.randrange(1000), id=chance.randrange(200), site=chance.choice("abc"))
            for _ in range(60)
        ]
        for pipeline in (plain, wide):
            ingest(house, pipeline, *records)
        packed += pack(house)
    assert everything(house, "wide") == everything(house, "plain")
    # What is replaced stays in rows.
    assert (packed > 0) == (mapping is not REPLACING)
    assert any(chunk.packed for chunk in chunks(house, wide)) == (mapping is not REPLACING)


def test_payloads_can_be_taken_out_of_what_is_packed(house: House, chunked: None) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, *(one(20 + n % 3, n) for n in range(300)))
    ingest(house, pipeline, one(20, 1000), one(40, 2000))
    assert pack(house) == 4
    with psycopg.connect(house.app.database.url, autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {connection.info.dbname} SET timescaledb.max_tuples_decompressed_per_dml_transaction = 1"
        )
    house.app.database.close()
    (last,) = house.rows(f"SELECT max(_payload) FROM {table_of(house, pipeline)}")[0]
    with house.app.database.ingest() as unit:
        gone = silver.remove_payloads(unit, newest(house, pipeline), [last])
        unit.commit()
    assert [moment.date() for moment in sorted(gone)] == [(TODAY - timedelta(days=d)).date() for d in (40, 20)]
    (row,) = ask(house, {"agg": "count", "as": "c"}, {"field": "n", "agg": "sum", "as": "s"})
    assert (row["c"], row["s"]) == (300, sum(range(300)))


def test_a_chunk_that_is_being_written_is_packed_by_a_later_call(house: House, chunked: None) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1), one(20, 2), one(0, 3))
    oldest, *_ = chunks(house, pipeline)
    with psycopg.connect(house.app.database.url) as writer:
        writer.execute(f"LOCK TABLE {oldest.name} IN ROW EXCLUSIVE MODE")
        assert pack(house) == 1
    assert [chunk.packed for chunk in chunks(house, pipeline)] == [False, True, False]
    assert pack(house) == 1
    assert pack(house) == 0


def test_a_range_of_time_opens_no_other_chunk(house: House, chunked: None) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, *(one(n, n) for n in range(30)))
    pack(house)
    for first in (3, 20):
        plan = house.rows(
            f"EXPLAIN SELECT * FROM {table_of(house, pipeline)} WHERE _time >= %s AND _time < %s",
            (TODAY - timedelta(days=first), TODAY - timedelta(days=first - 2)),
        )
        opened = {word.strip('"') for (line,) in plan for word in line.split() if word.endswith("_chunk")}
        assert len(opened) == 2, plan


def test_a_version_is_dropped_with_its_chunks(house: House, chunked: None) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1), one(0, 2))
    pack(house)
    with house.app.database.ingest() as unit:
        assert silver.drop_view(unit, pipeline)
        silver.drop_version(unit, newest_of(unit, pipeline))
        unit.commit()
    assert house.rows("SELECT count(*) FROM timescaledb_information.chunks") == [(0,)]


def newest_of(unit: Any, pipeline: UUID) -> SilverVersion:
    return catalog.versions(unit, pipeline)[0]


# Times without sense -------------------------------------------------------------------------------------------------


def test_times_far_apart_do_not_make_chunks_without_number(house: House, chunked: None) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(0, 1))
    ingest(house, pipeline, *(one(-n * 17.3, n) for n in range(1000)), *(one(n * 13.1, n) for n in range(1000)))
    assert len(chunks(house, pipeline)) <= 2 * timescale.MOST_CHUNKS_AT_ONCE
    assert len(house.silver("orders", "n")) == 2001


def test_chunks_that_are_many_become_wider(house: House, chunked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timescale, "MOST_CHUNKS", 10)
    pipeline = house.pipeline(mapping=MAPPING)
    for n in range(0, 90, 3):
        ingest(house, pipeline, one(n * 10, n))
        timescale_upkeep.upkeep(house.app.database, NOW)
    assert len(chunks(house, pipeline)) <= 15
    (span,) = house.rows(f"SELECT time_interval FROM {timescale.DIMENSIONS}")[0]
    assert span > timedelta(days=300)


# Retention -----------------------------------------------------------------------------------------------------------


def keep(house: House, pipeline: UUID, **days: int | None) -> None:
    with house.app.database.team(house.team) as unit:
        catalog.update_pipeline(unit, pipeline, {"retention": days})
        unit.commit()


def apply(house: House, pipeline: UUID, now: datetime = NOW) -> retention.Removed:
    return retention.apply(house.app.database, house.app.objects, pipeline, now)


@pytest.mark.parametrize("packed", [False, True])
def test_whole_chunks_are_dropped_and_of_another_one_the_rows(
    house: House, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(timescale, "LARGE_ROWS", ANY_SIZE)
    monkeypatch.setattr(timescale, "SPANS", (timedelta(days=7),))
    monkeypatch.setattr(retention, "_ROWS", 20)
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, *(one(n % 60, n) for n in range(600)))
    if packed:
        assert pack(house) > 5
    before = ask(house, {"agg": "count", "as": "c"}, every="1d")
    keep(house, pipeline, record_days=30)
    assert apply(house, pipeline) == retention.Removed()
    held = len(chunks(house, pipeline))
    removed = apply(house, pipeline)
    # Days 31 to 59 of ten rows each.
    assert (removed.records, removed.more) == (290, False)
    assert len(chunks(house, pipeline)) <= held - 4
    first = TODAY - timedelta(days=30)
    assert house.rows(f"SELECT count(*), min(_time) >= %s FROM {table_of(house, pipeline)}", (first,)) == [(310, True)]
    assert ask(house, {"agg": "count", "as": "c"}, every="1d") == before
    assert apply(house, pipeline) == retention.Removed()


def test_a_chunk_that_is_being_read_goes_with_a_later_call(house: House, chunked: None) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1), one(39, 2), one(0, 3))
    keep(house, pipeline, record_days=30)
    apply(house, pipeline)
    oldest = chunks(house, pipeline)[0]
    with psycopg.connect(house.app.database.url) as reader:
        reader.execute(f"SELECT count(*) FROM {oldest.name}")
        assert apply(house, pipeline).records == 0
        assert oldest in chunks(house, pipeline)
    assert apply(house, pipeline).records == 2
    assert len(chunks(house, pipeline)) == 1


# Moving --------------------------------------------------------------------------------------------------------------


def test_a_large_table_is_moved_with_all_that_belongs_to_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = house.pipeline(mapping=KEYED)
    ingest(house, pipeline, *(one(n % 40, n, id=n) for n in range(400)))
    change(house, "GRANT SELECT ON team_acme.orders TO pg_monitor")
    change(house, f"ANALYZE {table_of(house, pipeline)}")
    with house.app.database.ingest() as unit:
        assert timescale_upkeep.large(unit) == []
    with pytest.raises(Conflict, match="nothing to move"):
        timescale_upkeep.move(house.app.database, newest(house, pipeline))
    monkeypatch.setattr(timescale, "LARGE_ROWS", 300)
    monkeypatch.setattr(timescale, "SPANS", (timedelta(days=1),))
    keep(house, pipeline, record_days=30)
    apply(house, pipeline)
    before = everything(house, "orders")[:5]
    with house.app.database.ingest() as unit:
        (found,) = timescale_upkeep.large(unit)
    assert (found.pipeline, found.rows) == ("orders", 400)
    # Days 0 to 30 are kept, and the rest does not come along.
    assert timescale_upkeep.move(house.app.database, found.version) == 310
    assert is_hypertable(house, pipeline)
    assert everything(house, "orders")[:5] == before
    version = newest(house, pipeline)
    table = f"{version.schema}.{version.table}"
    assert house.rows("SELECT obj_description(%s::regclass, 'pg_class') ~ %s", (table, f"pipeline {pipeline}")) == [
        (True,)
    ]
    assert house.rows("SELECT col_description(%s::regclass, 5)", (table,)) == [("°C",)]
    assert house.rows("SELECT has_table_privilege('dash_app', %s, 'SELECT')", (table,)) == [(True,)]
    assert house.rows("SELECT has_table_privilege('pg_monitor', 'team_acme.orders', 'SELECT')") == [(True,)]
    assert house.rows(
        "SELECT count(*) FROM pg_tables WHERE schemaname = %s AND tablename ~ '_(plain|chunks)$'", (version.schema,)
    ) == [(0,)]
    # What is written, claimed and packed from now on goes on.
    ingest(house, pipeline, one(0, 5, id=5), one(1, 1000, id=1000))
    assert ask(house, {"agg": "count", "as": "c"}, {"field": "n", "agg": "max", "as": "m"})[0] == {
        "c": 401,
        "m": 1000.0,
    }
    assert pack(house) >= 1
    with house.app.database.ingest() as unit:
        assert timescale_upkeep.large(unit) == []


def test_what_comes_while_a_table_is_moved_is_mapped_afterwards(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, *(one(n % 5, n) for n in range(100)))
    change(house, f"ANALYZE {table_of(house, pipeline)}")
    monkeypatch.setattr(timescale, "LARGE_ROWS", 50)
    copy = timescale_upkeep._copy
    seen: list[int] = []

    def meanwhile(*arguments: Any) -> int:
        rows = copy(*arguments)
        house.put(pipeline, json.dumps(one(0, 1000)).encode())
        # The lock turns the worker away, and whoever reads sees the table as it was.
        seen.append(Ingest(house.app).run(pipeline))
        seen.append(len(house.silver("orders", "n")))
        return rows

    monkeypatch.setattr(timescale_upkeep, "_copy", meanwhile)
    assert timescale_upkeep.move(house.app.database, newest(house, pipeline)) == 100
    assert seen == [0, 100]
    assert house.rows("SELECT count(*) FROM huey_task WHERE queue = 'ingest'")[0][0] >= 1
    Ingest(house.app).run(pipeline)
    assert len(house.silver("orders", "n")) == 101


def test_a_reader_who_stays_leaves_everything_as_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, *(one(n % 5, n) for n in range(100)))
    change(house, f"ANALYZE {table_of(house, pipeline)}")
    monkeypatch.setattr(timescale, "LARGE_ROWS", 50)
    monkeypatch.setattr(timescale_upkeep, "_TRIES", 2)
    with psycopg.connect(house.app.database.url) as reader:
        reader.execute("SELECT count(*) FROM team_acme.orders")
        with pytest.raises(Transient, match="queries held the table"):
            timescale_upkeep.move(house.app.database, newest(house, pipeline))
    assert not is_hypertable(house, pipeline)
    assert len(house.silver("orders", "n")) == 100
    assert timescale_upkeep.move(house.app.database, newest(house, pipeline)) == 100


def test_the_doctor_names_large_plain_tables_and_moves_them_when_told(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DASH_DATABASE_URL", house.app.database.url)
    monkeypatch.setenv("DASH_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("DASH_DATA_DIR", str(tmp_path))
    for slug, rows in (("orders", 100), ("visits", 60), ("small", 10)):
        pipeline = house.pipeline(slug, mapping=MAPPING)
        ingest(house, pipeline, *(one(n % 5, n) for n in range(rows)))
        change(house, f"ANALYZE {table_of(house, pipeline)}")
    monkeypatch.setattr(timescale, "LARGE_ROWS", 50)
    found = {one.name: one.text for one in checkup.examine(lambda: house.app.settings)}
    assert found["hypertables"].startswith("2 large tables are plain, as of 'orders' with 100 rows")
    with psycopg.connect(house.app.database.url) as reader:
        reader.execute("SELECT count(*) FROM team_acme.visits")
        monkeypatch.setattr(timescale_upkeep, "_TRIES", 1)
        assert cli.run(["doctor", "--hypertables"]) == 1
    said = capsys.readouterr().out
    assert "moved    orders, version 1: 100 rows\n" in said
    assert "left     visits, version 1: queries held the table for too long" in said
    assert cli.run(["doctor", "--hypertables", "--json"]) == 0
    moved = {"pipeline": "visits", "version": 1, "generation": 1, "rows": 60}
    said = capsys.readouterr().out
    assert json.loads(said[said.index("{\n") :]) == {"moved": [moved], "failed": []}
    assert "hypertables" not in {one.name for one in checkup.examine(lambda: house.app.settings)}
