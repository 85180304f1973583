"""Silver's tables and views: made at the first record of a version, typed by its mapping.

Each team has two schemas. The inner one (`team_<slug>_data`) has the version tables, their rollups and key ledgers, and
is read by the application alone; the open one (`team_<slug>`) has one view a pipeline, for BI tools. All belong to
`dash_ingest`. Field names come from people, so that every identifier goes through `quote`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

import psycopg

from dash_app.domain.errors import Invalid, Permanent
from dash_app.domain.specs import FieldSpec, FieldType, SilverVersion
from dash_app.storage import timescale
from dash_app.storage.ddl import comment, lock, patient, quote
from dash_app.storage.silver_views import refresh_view
from dash_app.storage.unit import Unit

#: PostgreSQL's type of a field.
COLUMN_TYPES: Final[dict[FieldType, str]] = {
    "number": "float8",
    "integer": "int8",
    "boolean": "bool",
    "text": "text",
    "timestamp": "timestamptz",
    "json": "jsonb",
}
#: The columns that every version table begins with.
SYSTEM: Final[dict[str, str]] = {
    "_time": "timestamptz",
    "_received": "timestamptz",
    "_payload": "int8",
    "_index": "int4",
}

INNER: Final = "_data"
#: A version's row in the catalog; takes `_whose`.
_WHOSE: Final = "pipeline_id = %s AND generation = %s AND version = %s"


def qualified(version: SilverVersion, table: str) -> str:
    """A table of the version's schema, quoted."""
    return f"{quote(version.schema)}.{quote(table)}"


def metrics(version: SilverVersion) -> list[FieldSpec]:
    return [field for field in version.columns if field.is_metric]


def create_team_schemas(unit: Unit, team_slug: str) -> None:
    """Makes the team's open and inner schema with their grants; does nothing where they are.

    Invalid for a slug that ends in `_data`: its open schema would be the inner schema of another team.
    """
    if team_slug.endswith(INNER):
        raise Invalid(problems=[("slug", f"'{team_slug}' ends in {INNER}, which names the tables of another team")])
    opened, inner = f"team_{team_slug}", f"team_{team_slug}{INNER}"
    if unit.value("SELECT to_regnamespace(%s) IS NOT NULL", (quote(inner),)):
        return
    lock(unit, inner)  # IF NOT EXISTS does not make two workers safe from each other
    unit.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(opened)}")
    unit.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(inner)}")
    unit.execute(f"REVOKE ALL ON SCHEMA {quote(opened)}, {quote(inner)} FROM PUBLIC")
    unit.execute(f"GRANT USAGE ON SCHEMA {quote(inner)} TO dash_app")
    unit.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {quote(inner)} GRANT SELECT ON TABLES TO dash_app")


def create_version(
    unit: Unit, version: SilverVersion, dims: Sequence[str], *, with_keys: bool = False, on_duplicate: str = "ignore"
) -> SilverVersion:
    """Makes the tables of a version, with a rollup of `dims`, and shows them in the pipeline's view.

    `with_keys`: the mapping has a key; with `on_duplicate` 'replace' an index finds the rows that will be replaced.
    Answers the version as it now stands; one that is created already is answered as it is.
    """
    lock(unit, f"{version.schema}.{version.table}")
    found = unit.row(f"SELECT created, dims, state FROM silver_versions WHERE {_WHOSE}", _whose(version))
    if found and found[2] == "dropped":
        raise Permanent("the tables of this generation have been dropped")
    if found and found[0]:
        return replace(version, created=True, dims=tuple(found[1]))
    create_team_schemas(unit, version.schema.removeprefix("team_").removesuffix(INNER))
    made = replace(version, dims=tuple(dims), created=True)
    table = qualified(made, made.table)
    columns = [f"{name} {kind} NOT NULL" for name, kind in SYSTEM.items()]
    columns += [f"{quote(field.name)} {COLUMN_TYPES[field.type]}" for field in made.columns]
    unit.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
    # 64 pages: a range of some thousand rows, so that the index of 100 million rows stays within a megabyte or two.
    unit.execute(
        f"CREATE INDEX ON {table} USING brin (_time, _payload) WITH (pages_per_range = 64, autosummarize = on)"
    )
    unit.execute(
        comment(
            "TABLE", table, f"pipeline {made.pipeline}, mapping version {made.version}, generation {made.generation}"
        )
    )
    for field in made.columns:
        if field.unit:
            unit.execute(comment("COLUMN", f"{table}.{quote(field.name)}", field.unit))
    span = timescale.interval_for(unit, made)
    if span is not None:
        timescale.make(unit, table, span, replaced=with_keys and on_duplicate == "replace")
    create_rollup(unit, made)
    if with_keys:
        keys = qualified(made, made.keys)
        # The key itself is not kept: 128 bits of a cryptographic hash stand for it.
        unit.execute(
            f"CREATE TABLE {keys} (key uuid PRIMARY KEY, payload int8 NOT NULL, index int4 NOT NULL, "
            "received timestamptz NOT NULL)"
        )
        unit.execute(f"CREATE INDEX ON {keys} USING brin (payload)")
        if on_duplicate == "replace":
            unit.execute(f"CREATE INDEX ON {table} (_payload, _index)")
    _store(unit, made)
    if unit.value("SELECT generation FROM pipelines WHERE id = %s", (made.pipeline,)) == made.generation:
        refresh_view(unit, made.pipeline)
    return made


def create_rollup(unit: Unit, version: SilverVersion) -> None:
    """Makes the rollup table of the version's `dims`; nothing of that name may be there."""
    kinds = {field.name: COLUMN_TYPES[field.type] for field in version.columns}
    columns = ["grain int2 NOT NULL", "bucket timestamptz NOT NULL"]
    columns += [f"{quote(dim)} {kinds[dim]}" for dim in version.dims]
    columns += ["_n int8 NOT NULL"]
    columns += [f"{name} {kind}" for name, kind in metric_columns(version)]
    table = qualified(version, version.rollup)
    # The newest buckets are updated again and again, on the same page as long as there is room.
    unit.execute(f"CREATE TABLE {table} ({', '.join(columns)}) WITH (fillfactor = 80)")
    unit.execute(f"CREATE UNIQUE INDEX ON {table} ({', '.join(rollup_key(version))}) NULLS NOT DISTINCT")


def metric_columns(version: SilverVersion) -> list[tuple[str, str]]:
    """Names and types of the rollup's columns for the metrics, in order."""
    columns = []
    for i, field in enumerate(metrics(version)):
        value = "int8" if field.type == "integer" else "float8"
        columns += [(f"m{i}_count", "int8"), (f"m{i}_sum", "float8"), (f"m{i}_sumsq", "float8")]
        columns += [(f"m{i}_min", value), (f"m{i}_max", value)]
        for end in ("first", "last"):
            columns += [(f"m{i}_{end}", value), (f"m{i}_{end}_at", "timestamptz"), (f"m{i}_{end}_by", "int8")]
    return columns


def rollup_key(version: SilverVersion) -> list[str]:
    return ["grain", "bucket", *map(quote, version.dims)]


_SUMMARIZE = """
SELECT brin_summarize_new_values(i.indexrelid) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_am m ON m.oid = x.relam AND m.amname = 'brin' WHERE i.indrelid = to_regclass(%s)
"""


def analyze(unit: Unit, version: SilverVersion) -> bool:
    """Tells the planner what is in a version's tables, and the block-range index what is in blocks that are new; False
    where autovacuum is at work there, and will.

    It is not waited for: after a second (`deadlock_timeout`) PostgreSQL would end it, perhaps halfway through a summary
    of a block-range index, which is then ill (`silver_ranges`).
    """
    if not version.created:
        return False
    try:
        with unit.driver.transaction():
            unit.execute("SET LOCAL lock_timeout = '500ms'")
            unit.execute(f"ANALYZE {qualified(version, version.table)}, {qualified(version, version.rollup)}")
            # Each full range asks autovacuum for its summary, which forgets what it has no place to note: after
            # millions of rows at once a query of the newest minutes would read most of the table.
            unit.execute(_SUMMARIZE, (qualified(version, version.table),))
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def set_dims(unit: Unit, version: SilverVersion, dims: Sequence[str]) -> SilverVersion:
    """The version with other dimensions in its rollup, as the catalog now has it."""
    made = replace(version, dims=tuple(dims))
    _store(unit, made)
    return made


def drop_version(unit: Unit, version: SilverVersion) -> bool:
    """Drops the tables of a version; False, with nothing changed, where a query held one for too long.

    Its pipeline's view must not show it any more.
    """
    names = [qualified(version, table) for table in (version.table, version.rollup, version.keys)]
    if not patient(unit, [f"DROP TABLE IF EXISTS {name}" for name in names]):
        return False
    unit.execute(f"UPDATE silver_versions SET state = 'dropped', created = false WHERE {_WHOSE}", _whose(version))
    return True


def current(unit: Unit, version: SilverVersion) -> SilverVersion:
    """The version as it is now, with a rollup that keeps its dimensions until this transaction ends: for a table that
    somebody else may be writing too."""
    while True:
        found = unit.row(f"SELECT created, dims FROM silver_versions WHERE {_WHOSE}", _whose(version))
        assert found is not None
        now = replace(version, created=found[0], dims=tuple(found[1]))
        if not now.created:
            return now
        unit.execute(f"LOCK TABLE {qualified(version, version.rollup)} IN ROW EXCLUSIVE MODE")
        if unit.row(f"SELECT created, dims FROM silver_versions WHERE {_WHOSE}", _whose(version)) == found:
            return now


def _store(unit: Unit, version: SilverVersion) -> None:
    unit.execute(
        f"UPDATE silver_versions SET created = true, dims = %s WHERE {_WHOSE}",
        (list(version.dims), *_whose(version)),
    )


def _whose(version: SilverVersion) -> tuple[UUID, int, int]:
    return version.pipeline, version.generation, version.version
