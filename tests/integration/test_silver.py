"""Silver in PostgreSQL: what is written is there once, the rollups say what the records say, and the views follow."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import polars as pl
import psycopg
import pytest
from psycopg.types.json import Jsonb

from dash_app.domain.errors import Invalid, Permanent
from dash_app.domain.ids import new_id
from dash_app.domain.specs import FieldSpec, SilverVersion
from dash_app.pipelines.rollups import rollup
from dash_app.storage import silver
from dash_app.storage.engine import Database
from dash_app.storage.silver_rollups import MOST_BYTES, MOST_COMBINATIONS
from dash_app.storage.unit import Unit

START = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
FIELDS = (
    FieldSpec("temp %", "number", unit="°C", role="metric"),
    FieldSpec("hits", "integer", role="metric"),
    FieldSpec("site", "text"),
    FieldSpec('o"k', "boolean"),
    FieldSpec("at", "timestamp"),
    FieldSpec("extra", "json"),
)
KINDS: dict[str, Any] = {
    "number": pl.Float64,
    "integer": pl.Int64,
    "boolean": pl.Boolean,
    "text": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "json": pl.String,
}
SYSTEM: dict[str, Any] = {
    "_time": KINDS["timestamp"],
    "_received": KINDS["timestamp"],
    "_payload": pl.Int64,
    "_index": pl.Int32,
}
DIMS = ("site", 'o"k')


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    # Grants on a database are not copied from its template; the migration gives this one.
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"GRANT CREATE ON DATABASE {connection.info.dbname} TO dash_ingest")
    made = Database(database_url)
    yield made
    made.close()


def a_team(unit: Unit, slug: str = "acme") -> UUID:
    team = new_id()
    unit.execute("INSERT INTO teams (id, slug, name) VALUES (%s, %s, %s)", (team, slug, slug))
    return team


def a_pipeline(unit: Unit, team: UUID, slug: str = "weather") -> UUID:
    pipeline = new_id()
    unit.execute(
        "INSERT INTO pipelines (id, team_id, slug, name, source_kind) VALUES (%s, %s, %s, %s, 'webhook')",
        (pipeline, team, slug, slug),
    )
    return pipeline


def a_version(
    unit: Unit,
    team: UUID,
    pipeline: UUID,
    number: int = 1,
    fields: Sequence[FieldSpec] = FIELDS,
    team_slug: str = "acme",
) -> SilverVersion:
    made = SilverVersion(
        pipeline, number, f"team_{team_slug}_data", f"p_{pipeline.hex}_v{number}", "active", fields, (), False
    )
    unit.execute(
        "INSERT INTO mappings (team_id, pipeline_id, version, document) VALUES (%s, %s, %s, %s)",
        (team, pipeline, number, Jsonb({})),
    )
    unit.execute("UPDATE silver_versions SET state = 'history' WHERE pipeline_id = %s", (pipeline,))
    unit.execute(
        "INSERT INTO silver_versions (team_id, pipeline_id, version, schema_name, table_name) "
        "VALUES (%s, %s, %s, %s, %s)",
        (team, pipeline, number, made.schema, made.table),
    )
    return made


def version_of(unit: Unit, **options: Any) -> SilverVersion:
    team = a_team(unit)
    return silver.create_version(unit, a_version(unit, team, a_pipeline(unit, team)), DIMS, **options)


def record(payload: int, index: int = 0, minute: float = 0, **values: Any) -> dict[str, Any]:
    return {
        "_time": START + timedelta(minutes=minute),
        "_received": START + timedelta(days=1, seconds=payload),
        "_payload": payload,
        "_index": index,
        "temp %": 1.0,
        "hits": 1,
        "site": "a",
        'o"k': True,
        "at": START,
        "extra": '{"k": 1}',
        **values,
    }


def frame_of(rows: Sequence[dict[str, Any]], fields: Sequence[FieldSpec] = FIELDS) -> pl.DataFrame:
    schema = {**SYSTEM, **{f.name: KINDS[f.type] for f in fields}}
    if any("_key" in row for row in rows):
        schema["_key"] = pl.String
    return pl.DataFrame(rows, schema=schema, orient="row")


def put(
    unit: Unit, version: SilverVersion, rows: Sequence[dict[str, Any]], on_duplicate: str | None = None
) -> SilverVersion:
    """One batch, as ingest writes it."""
    frame = frame_of(rows, version.columns)
    if on_duplicate:
        frame = silver.claim_keys(unit, version, frame, on_duplicate).frame
    metrics = [f for f in version.columns if f.is_metric]
    return silver.write(unit, version, frame, rollup(frame, metrics, version.dims)).version


def table(version: SilverVersion, name: str | None = None) -> str:
    return f'"{version.schema}"."{name or version.table}"'


def stored(unit: Unit, version: SilverVersion) -> list[tuple[int, int]]:
    return unit.rows(f"SELECT _payload, _index FROM {table(version)} ORDER BY 1, 2")


def rollup_rows(unit: Unit, version: SilverVersion) -> dict[tuple[Any, ...], dict[str, Any]]:
    cursor = unit.execute(f"SELECT * FROM {table(version, version.rollup)}")
    names = [column.name for column in cursor.description or ()]
    width = 2 + len(version.dims)
    return {row[:width]: dict(zip(names[width:], row[width:], strict=True)) for row in cursor.fetchall()}


def assert_rollup_is_of_its_records(unit: Unit, version: SilverVersion) -> None:
    cursor = unit.execute(f"SELECT * FROM {table(version)}")
    names = [column.name for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) | {"extra": None} for row in cursor.fetchall()]
    frame = frame_of(rows, version.columns)
    metrics = [f for f in version.columns if f.is_metric]
    width = 2 + len(version.dims)
    wanted = rollup(frame, metrics, version.dims)
    found = rollup_rows(unit, version)
    assert found.keys() == {row[:width] for row in wanted.rows()}
    for row in wanted.rows():
        pairs = dict(zip(wanted.columns[width:], row[width:], strict=True))
        for name, value in pairs.items():
            if name.endswith(("_sum", "_sumsq")):
                assert found[row[:width]][name] == pytest.approx(value, rel=1e-12, abs=1e-9), (row[:width], name)
            else:
                assert found[row[:width]][name] == value, (row[:width], name)


def some_records(seed: int, count: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        record(
            i // 3,
            i % 3,
            rng.choice([0, 0.5, 1, 59.9, 600, 3000]),
            **{
                "temp %": rng.choice([None, rng.uniform(-50, 50)]),
                "hits": rng.choice([None, rng.randint(-(10**12), 10**12), 2**63 - 1]),
                "site": rng.choice([None, "a", "b", "é"]),
                'o"k': rng.choice([None, True, False]),
            },
        )
        for i in range(count)
    ]


# Tables --------------------------------------------------------------------------------------------------------------


def test_the_schemas_are_made_once_and_closed_to_others(database: Database) -> None:
    with database.ingest() as unit:
        silver.create_team_schemas(unit, "acme")
        silver.create_team_schemas(unit, "acme")
        version = version_of(unit)
        put(unit, version, [record(1)])
        unit.commit()
    with database.anyone() as unit:
        assert unit.value(f"SELECT count(*) FROM {table(version)}") == 1
        assert unit.value(f"SELECT count(*) FROM {table(version, version.rollup)}") == 3
    for statement in (
        f"DELETE FROM {table(version)}",
        'SELECT count(*) FROM "team_acme".weather',
        'CREATE TABLE "team_acme_data".x ()',
    ):
        with database.anyone() as unit, pytest.raises(psycopg.errors.InsufficientPrivilege):
            unit.execute(statement)


def test_a_team_cannot_open_the_inner_schema_of_another(database: Database) -> None:
    with database.ingest() as unit, pytest.raises(Invalid, match="_data"):
        silver.create_team_schemas(unit, "acme_data")


def test_a_version_is_made_once(database: Database) -> None:
    with database.ingest() as unit:
        team = a_team(unit)
        given = a_version(unit, team, a_pipeline(unit, team))
        made = silver.create_version(unit, given, DIMS)
        again = silver.create_version(unit, given, ["site"])
        assert made == again == replace(given, created=True, dims=DIMS)
        assert unit.row("SELECT created, dims FROM silver_versions") == (True, list(DIMS))
        assert unit.value("SELECT col_description(%s::regclass, 5)", (table(made),)) == "°C"


@pytest.mark.parametrize("name", ["", "x" * 64, "a\0b"])
def test_a_name_that_postgresql_would_cut_is_refused(database: Database, name: str) -> None:
    with database.ingest() as unit:
        team = a_team(unit)
        given = a_version(unit, team, a_pipeline(unit, team), fields=(FieldSpec(name, "text"),))
        with pytest.raises(Invalid, match="cannot name"):
            silver.create_version(unit, given, ())


def test_what_is_written_is_there(database: Database) -> None:
    with database.ingest() as unit:
        version = version_of(unit)
        rows = [
            record(1, 0, site='comma, "quote"\n', at=None, extra=None),
            record(1, 1, **{"temp %": None, "hits": -(2**63), 'o"k': None}),
        ]
        assert silver.write(unit, version, frame_of(rows), rollup(frame_of(rows), FIELDS[:2], DIMS)).rows == 2
        found = unit.rows(f"SELECT * FROM {table(version)} ORDER BY _index")
    assert found[0][4:] == (1.0, 1, 'comma, "quote"\n', True, None, None)
    assert found[1][:4] == (rows[1]["_time"], rows[1]["_received"], 1, 1)
    assert found[1][4:] == (None, -(2**63), "a", None, START, {"k": 1})


def test_a_value_that_postgresql_refuses_names_its_column(database: Database) -> None:
    with database.ingest() as unit:
        version = version_of(unit)
        with pytest.raises(Permanent, match="column 'site'"):
            put(unit, version, [record(1, site="a\0b")])
    with database.ingest() as unit:
        version = version_of(unit)
        with pytest.raises(Permanent, match="column 'extra'"):
            put(unit, version, [record(1, extra="{")])
    with database.ingest() as unit:
        version = version_of(unit)
        with pytest.raises(Permanent, match="column '_time'"):
            put(unit, version, [record(1, _time=None)])


# Rollups -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_rollups_do_not_depend_on_batches(database: Database, seed: int) -> None:
    rows = some_records(seed, 120)
    with database.ingest() as unit:
        version = version_of(unit)
        rng = random.Random(seed)
        cuts = sorted(rng.sample(range(1, 40), 5))
        parts = [
            [r for r in rows if low <= r["_payload"] < high] for low, high in zip([0, *cuts], [*cuts, 40], strict=True)
        ]
        for part in rng.sample(parts, len(parts)):
            put(unit, version, part)
        assert_rollup_is_of_its_records(unit, version)


@pytest.mark.parametrize("seed", range(2))
def test_computed_anew_they_are_the_same(database: Database, seed: int) -> None:
    with database.ingest() as unit:
        version = version_of(unit)
        rows = [*some_records(seed, 60), record(90, **{"temp %": 1e-200}), record(91, minute=9000, **{"temp %": 2e200})]
        put(unit, version, rows)
        unit.execute(f"UPDATE {table(version, version.rollup)} SET _n = -1, m0_sum = 7, m1_first = 3")
        silver.recompute_rollups(unit, version, [row["_time"].replace(second=0, microsecond=0) for row in rows])
        assert_rollup_is_of_its_records(unit, version)


def test_sums_saturate_where_a_float_ends(database: Database) -> None:
    with database.ingest() as unit:
        version = version_of(unit)
        for payload in range(3):
            put(unit, version, [record(payload, **{"temp %": 1.7e308})])
        row = rollup_rows(unit, version)[(1, START, "a", True)]
        assert (row["m0_count"], row["m0_sum"], row["m0_sumsq"], row["m0_max"]) == (3, 1e300, 1e300, 1.7e308)


def test_a_dimension_of_too_many_values_goes(database: Database) -> None:
    with database.ingest() as unit:
        version = version_of(unit)
        put(unit, version, [record(1, site="a"), record(1, 1, site="b", **{'o"k': False})])
        many = [record(2 + i, site=f"s{i}", **{"temp %": float(i)}) for i in range(MOST_COMBINATIONS)]
        version = put(unit, version, many)
        assert version.dims == ('o"k',)
        assert unit.value("SELECT dims FROM silver_versions") == ['o"k']
        put(unit, version, [record(5000, site="z", **{"temp %": -5.0})])
        assert_rollup_is_of_its_records(unit, version)
        unit.commit()
    with database.anyone() as unit:
        assert (
            unit.value(f"SELECT sum(_n) FROM {table(version, version.rollup)} WHERE grain = 3") == MOST_COMBINATIONS + 3
        )


def test_a_value_too_long_for_the_index_takes_its_dimension_with_it(database: Database) -> None:
    with database.ingest() as unit:
        version = version_of(unit)
        put(unit, version, [record(1)])
        long = "".join(random.Random(1).choices("abcdefghij", k=MOST_BYTES * 20))
        version = put(
            unit, version, [record(2, site=long), record(2, 1, site="b", hits=7), record(3, site="c", minute=70)]
        )
        assert version.dims == ('o"k',)
        assert_rollup_is_of_its_records(unit, version)


def test_a_reader_of_the_rollup_puts_the_change_off(database: Database) -> None:
    with database.ingest() as unit:
        version = version_of(unit)
        unit.commit()
        with database.anyone() as reader:
            reader.value(f"SELECT count(*) FROM {table(version, version.rollup)}")
            kept = put(unit, version, [record(i, site=f"s{i}") for i in range(MOST_COMBINATIONS + 1)])
            assert kept.dims == DIMS
            unit.commit()
        # The next batch that brings new combinations tries again.
        assert put(unit, version, [record(9000, site="new")]).dims == ('o"k',)


# Keys ----------------------------------------------------------------------------------------------------------------


def test_the_first_of_a_key_stays(database: Database) -> None:
    with database.ingest() as unit:
        version = version_of(unit, with_keys=True)
        put(
            unit,
            version,
            [record(5, 0, _key="k"), record(5, 1, _key="k"), record(5, 2, _key="l"), record(4, 0, _key="l")],
            "ignore",
        )
        assert stored(unit, version) == [(4, 0), (5, 0)]
        put(
            unit,
            version,
            [record(6, 0, _key="k"), record(6, 1, _key="m"), record(6, 2, _key=None), record(6, 3, _key=None)],
            "ignore",
        )
        assert stored(unit, version) == [(4, 0), (5, 0), (6, 1), (6, 2), (6, 3)]
        assert_rollup_is_of_its_records(unit, version)


def test_an_earlier_record_that_comes_late_wins_its_key(database: Database) -> None:
    with database.ingest() as unit:
        version = version_of(unit, with_keys=True)
        put(unit, version, [record(5, 0, 3, _key="k", **{"temp %": 100.0}), record(5, 1, 3, _key="l")], "ignore")
        put(unit, version, [record(2, 0, 1, _key="k", **{"temp %": 2.0})], "ignore")
        assert stored(unit, version) == [(2, 0), (5, 1)]
        assert_rollup_is_of_its_records(unit, version)


def test_the_newest_of_a_key_replaces(database: Database) -> None:
    with database.ingest() as unit:
        version = version_of(unit, with_keys=True, on_duplicate="replace")
        put(unit, version, [record(1, i, i / 4, _key=f"k{i}", **{"temp %": float(i)}) for i in range(20)], "replace")
        batch = [record(2, i, i, _key=f"k{i}", **{"temp %": -float(i)}) for i in range(0, 20, 2)]
        put(unit, version, [*batch, record(2, 40, 0, _key="k0"), record(2, 41, 5000, _key="k0", site="b")], "replace")
        put(unit, version, [record(0, 0, 9, _key="k3")], "replace")  # late and older: it loses
        assert stored(unit, version) == sorted(
            [(1, i) for i in range(1, 20, 2)] + [(2, i) for i in range(2, 20, 2)] + [(2, 41)]
        )
        assert_rollup_is_of_its_records(unit, version)


@pytest.mark.parametrize("rule", ["ignore", "replace"])
@pytest.mark.parametrize("seed", range(3))
def test_who_wins_does_not_depend_on_the_order_of_batches(database: Database, rule: str, seed: int) -> None:
    rng = random.Random(seed)
    rows = [row | {"_key": rng.choice(["a", "b", "c", "d", "ee" * 50])} for row in some_records(seed, 60)]
    batches = [[r for r in rows if r["_payload"] % 7 == part] for part in range(7)]
    rng.shuffle(batches)
    best: dict[str, tuple[int, int]] = {}
    for row in rows:
        place = (row["_payload"], row["_index"])
        best[row["_key"]] = (min if rule == "ignore" else max)(best.get(row["_key"], place), place)
    with database.ingest() as unit:
        version = version_of(unit, with_keys=True, on_duplicate=rule)
        for batch in batches:
            put(unit, version, batch, rule)
        assert stored(unit, version) == sorted(best.values())
        assert_rollup_is_of_its_records(unit, version)


# Views ---------------------------------------------------------------------------------------------------------------


def test_the_view_unites_versions_under_the_newest_types(database: Database) -> None:
    old = (
        FieldSpec("v", "text"),
        FieldSpec("n", "number", role="metric"),
        FieldSpec("gone", "text"),
        FieldSpec("j", "json"),
    )
    new = (
        FieldSpec("v", "number", role="metric"),
        FieldSpec("n", "integer", role="metric"),
        FieldSpec("fresh", "boolean"),
        FieldSpec("j", "text"),
    )
    base = {"_time": START, "_received": START}
    with database.ingest() as unit:
        team = a_team(unit)
        pipeline = a_pipeline(unit, team)
        first = silver.create_version(unit, a_version(unit, team, pipeline, 1, old), ())
        before = [("1.5e2", 3.0, '"s"'), ("x", 2.5, "[1]"), ("1e999", 1e300, "null"), (None, None, None)]
        put(
            unit,
            first,
            [base | {"_payload": 1, "_index": i, "v": v, "n": n, "j": j} for i, (v, n, j) in enumerate(before)],
        )
        unit.execute("GRANT SELECT ON team_acme.weather TO dash_app WITH GRANT OPTION")
        second = silver.create_version(unit, a_version(unit, team, pipeline, 2, new), ())
        put(unit, second, [base | {"_payload": 2, "_index": 0, "v": 7.0, "n": 8, "fresh": True, "j": "t"}])
        assert unit.rows("SELECT v, n, fresh, j FROM team_acme.weather ORDER BY _payload, _index") == [
            (150.0, 3, None, "s"),
            (None, None, None, "[1]"),
            (None, None, None, "null"),
            (None, None, None, None),
            (7.0, 8, True, "t"),
        ]
        assert unit.value("SELECT has_table_privilege('dash_app', 'team_acme.weather', 'SELECT WITH GRANT OPTION')")


def views(unit: Unit) -> list[str]:
    return [
        name for (name,) in unit.rows("SELECT viewname::text FROM pg_views WHERE schemaname = 'team_acme' ORDER BY 1")
    ]


def test_views_follow_renames_and_archiving(database: Database) -> None:
    with database.ingest() as unit:
        version = version_of(unit)
        assert (views(unit), silver.repair_views(unit)) == (["weather"], [])
        unit.execute("UPDATE pipelines SET slug = 'climate'")
        assert silver.repair_views(unit) == [version.pipeline]
        assert (views(unit), silver.repair_views(unit)) == (["climate"], [])
        unit.execute("UPDATE pipelines SET state = 'archived'")
        team = unit.value("SELECT id FROM teams")
        other = silver.create_version(unit, a_version(unit, team, a_pipeline(unit, team, "climate")), ())
        silver.repair_views(unit)
        assert views(unit) == ["climate"]
        put(unit, other, [record(1)])
        assert unit.value("SELECT count(*) FROM team_acme.climate") == 1
        assert silver.drop_view(unit, other.pipeline)
        silver.drop_version(unit, other)
        assert views(unit) == []


def test_a_long_query_puts_the_view_off_and_the_rows_go_in(database: Database, database_url: str) -> None:
    with database.ingest() as unit:
        team = a_team(unit)
        pipeline = a_pipeline(unit, team)
        silver.create_version(unit, a_version(unit, team, pipeline), DIMS)
        unit.commit()
        with psycopg.connect(database_url) as reader:
            reader.execute("SELECT count(*) FROM team_acme.weather")
            second = silver.create_version(unit, a_version(unit, team, pipeline, 2), DIMS)
            put(unit, second, [record(1)])
            unit.commit()
            assert unit.value("SELECT count(*) FROM team_acme.weather") == 0
        assert silver.repair_views(unit) == [pipeline]
        assert unit.value("SELECT count(*) FROM team_acme.weather") == 1
