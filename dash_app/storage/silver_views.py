"""The open views: what BI tools see of a pipeline, under its slug.

A view unites the tables of all versions that are read. Its columns are those of the active version: what an older
version lacks is null there, and what it has under another type is cast where a value can be, else null.

A view's comment says of which pipeline, generation and versions it is. So a view that is out of date can be known for
one, whatever changed (a version, the slug, the pipeline's end) and whoever changed it: the role of the pages may not
touch views, and a long query of somebody's may keep the writer from replacing one at the moment. `repair_views` catches
up.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from dash_app.storage.ddl import comment, patient, quote
from dash_app.storage.unit import Unit

_NUMBER: Final = r"^\s*[+-]?(\d{1,200}(\.\d{0,200})?|\.\d{1,200})([eE][+-]?\d{1,2})?\s*$"
_INTEGER: Final = r"^\s*[+-]?\d{1,18}\s*$"

#: How a value of one type is read as another, `x` being the value; None of these can fail. Pairs not named are null.
_CASTS: Final[dict[tuple[str, str], str]] = {
    ("int8", "float8"): "x::float8",
    ("bool", "float8"): "x::int::float8",
    ("text", "float8"): f"CASE WHEN x ~ '{_NUMBER}' THEN x::float8 END",
    ("jsonb", "float8"): "CASE WHEN jsonb_typeof(x) = 'number' AND abs((x #>> '{}')::numeric) < 1e300 "
    "AND length(x #>> '{}') < 300 THEN (x #>> '{}')::float8 END",
    ("float8", "int8"): "CASE WHEN x = trunc(x) AND abs(x) < 9e18 THEN x::int8 END",
    ("bool", "int8"): "x::int::int8",
    ("text", "int8"): f"CASE WHEN x ~ '{_INTEGER}' THEN x::int8 END",
    (
        "jsonb",
        "int8",
    ): f"CASE WHEN jsonb_typeof(x) = 'number' AND (x #>> '{{}}') ~ '{_INTEGER}' THEN (x #>> '{{}}')::int8 END",
    ("text", "bool"): "CASE lower(x) WHEN 'true' THEN true WHEN 'false' THEN false END",
    ("jsonb", "bool"): "CASE WHEN jsonb_typeof(x) = 'boolean' THEN x::bool END",
    ("timestamptz", "text"): "to_char(x AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    ("jsonb", "text"): "CASE WHEN jsonb_typeof(x) = 'string' THEN x #>> '{}' ELSE x::text END",
    **{(kind, "text"): "x::text" for kind in ("int8", "float8", "bool")},
    **{(kind, "jsonb"): "to_jsonb(x)" for kind in ("int8", "float8", "bool", "text", "timestamptz")},
}

_PIPELINE = """
SELECT p.slug, p.state <> 'archived', v.schema_name, v.table_name, v.version, p.generation
FROM pipelines p JOIN silver_versions v ON v.pipeline_id = p.id AND v.generation = p.generation
WHERE p.id = %s AND v.created AND v.state IN ('active', 'history')
ORDER BY v.state = 'active' DESC, v.version DESC
"""
_COLUMNS = """
SELECT a.attname, t.typname, col_description(a.attrelid, a.attnum)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_VIEWS = """
SELECT n.nspname, c.relname, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
WHERE c.relkind = 'v' AND c.relowner = 'dash_ingest'::regrole AND starts_with(d.description, %s)
"""
_GRANTS = """
SELECT DISTINCT g.grantee::regrole::text, g.is_grantable FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g
WHERE c.oid = ANY(%s::oid[]) AND g.privilege_type = 'SELECT' AND g.grantee NOT IN (0, c.relowner)
"""
# What each view should say, against what is there; a pipeline with neither tables nor a view is not in it.
_STALE = """
WITH due AS (
  SELECT p.id, regexp_replace(max(v.schema_name), '_data$', '') AS schema, p.slug,
         format('pipeline %%s, versions %%s of generation %%s', p.id,
                string_agg(v.version::text, ', ' ORDER BY v.state = 'active' DESC, v.version DESC),
                p.generation) AS description
  FROM pipelines p JOIN silver_versions v ON v.pipeline_id = p.id AND v.generation = p.generation
  WHERE p.state <> 'archived' AND v.created AND v.state IN ('active', 'history') GROUP BY p.id, p.slug
), present AS (
  SELECT substring(d.description FROM '^pipeline ([0-9a-f-]{36}), versions ')::uuid AS id,
         n.nspname AS schema, c.relname AS slug, d.description
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
  WHERE c.relkind = 'v' AND c.relowner = 'dash_ingest'::regrole AND d.description ~ '^pipeline [0-9a-f-]{36}, versions '
)
SELECT coalesce(due.id, present.id) FROM due FULL JOIN present USING (id)
WHERE (due.schema, due.slug, due.description)
      IS DISTINCT FROM (present.schema::text, present.slug::text, present.description)
ORDER BY 1 LIMIT %s
"""


def cast(value: str, given: str, wanted: str) -> str:
    """SQL for `value` (SQL as well) of one column type as another; it never raises: what cannot be cast is null."""
    if given == wanted:
        return value
    return re.sub(r"\bx\b", lambda _: value, _CASTS.get((given, wanted), f"NULL::{wanted}"))


def refresh_view(unit: Unit, pipeline: UUID) -> bool:
    """Makes the pipeline's view what it should be: anew with its grants, under its present slug, or gone.

    False where a query that reads the view held it for too long: the old one stays, and `repair_views` comes later.
    """
    tables = unit.rows(_PIPELINE, (pipeline,))
    present = unit.rows(_VIEWS, (f"pipeline {pipeline}, versions ",))
    statements = [f"DROP VIEW {quote(schema)}.{quote(name)}" for schema, name, _ in present]
    if tables and tables[0][1]:
        slug, _, inner, _, _, generation = tables[0]
        view = f"{quote(inner.removesuffix('_data'))}.{quote(slug)}"
        grants = unit.rows(_GRANTS, ([oid for _, _, oid in present],))
        # An archived pipeline of the same slug may have left one.
        statements.append(f"DROP VIEW IF EXISTS {view}")
        named = [(f"{quote(s)}.{quote(t)}", v) for _, _, s, t, v, _ in tables]
        statements += _create(unit, pipeline, generation, view, named)
        statements += [f"GRANT SELECT ON {view} TO {role}{' WITH GRANT OPTION' * again}" for role, again in grants]
    return patient(unit, statements) if statements else True


def drop_view(unit: Unit, pipeline: UUID) -> bool:
    """Drops the view of a pipeline, as before its tables go; False where a query held it for too long."""
    present = unit.rows(_VIEWS, (f"pipeline {pipeline}, versions ",))
    statements = [f"DROP VIEW {quote(schema)}.{quote(name)}" for schema, name, _ in present]
    return patient(unit, statements) if statements else True


def repair_views(unit: Unit, limit: int = 100) -> list[UUID]:
    """Refreshes views that are not what they should be, after a rename, an archiving, or a refresh that was put off."""
    stale = [row[0] for row in unit.rows(_STALE, (limit,))]
    return [pipeline for pipeline in stale if refresh_view(unit, pipeline)]


def _create(unit: Unit, pipeline: UUID, generation: int, view: str, tables: list[tuple[str, int]]) -> list[str]:
    """`tables`: quoted names and versions, the one that gives the columns first."""
    newest, *older = [(table, unit.rows(_COLUMNS, (table,))) for table, _ in tables]
    selects = [f"SELECT {', '.join(quote(name) for name, _, _ in newest[1])} FROM {newest[0]}"]
    for table, columns in older:
        given = {name: kind for name, kind, _ in columns}
        fields = [
            f"{cast(quote(name), given[name], kind) if name in given else f'NULL::{kind}'} AS {quote(name)}"
            for name, kind, _ in newest[1]
        ]
        selects.append(f"SELECT {', '.join(fields)} FROM {table}")
    numbers = ", ".join(str(version) for _, version in tables)
    return [
        f"CREATE VIEW {view} AS {' UNION ALL '.join(selects)}",
        comment("VIEW", view, f"pipeline {pipeline}, versions {numbers} of generation {generation}"),
        *(comment("COLUMN", f"{view}.{quote(name)}", unit_) for name, _, unit_ in newest[1] if unit_),
    ]
