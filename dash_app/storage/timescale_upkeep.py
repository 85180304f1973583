"""Hypertables in the course of time: packing what is over, keeping chunks few, moving a table that has grown large.

`upkeep` is called again and again, does a little, and may be ended anywhere. `move` is for a table that was made before
it was large (or before TimescaleDB was there): it is copied while its pipeline's mapping waits; what comes meanwhile
is accepted and kept, and queries read the old table until one commit puts the new one in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final

import psycopg
import structlog

from dash_app.domain.errors import Conflict, Transient
from dash_app.domain.specs import SilverVersion
from dash_app.storage import ledger, payloads, timescale
from dash_app.storage.ddl import comment, patient, quote
from dash_app.storage.engine import Database
from dash_app.storage.silver_tables import qualified
from dash_app.storage.silver_views import refresh_view
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: Chunks whose times are over for so long are packed.
COLUMNSTORE_AFTER: Final = timedelta(days=7)
#: Rows that came late lie beside what is packed, and are packed with it when they are so many bytes.
LOOSE_BYTES: Final = 1 << 20
#: How long a writer is waited for, and a reader each time that the tables are to be exchanged.
_PATIENCE: Final = timedelta(seconds=30)
_TRIES: Final = 20

#: Somebody holds the chunk, or it is gone, or TimescaleDB has a reason of its own: none that ends the maintenance.
_NOT_NOW: Final = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.QueryCanceled,
    psycopg.ProgrammingError,
    psycopg.InternalError,
    psycopg.NotSupportedError,
)

_LARGE = """
SELECT p.slug, v.pipeline_id, v.generation, v.version, v.schema_name, v.table_name, c.reltuples::int8
FROM silver_versions v JOIN pipelines p ON p.id = v.pipeline_id
JOIN pg_class c ON c.oid = to_regclass(format('%%I.%%I', v.schema_name, v.table_name))
WHERE v.created AND v.state <> 'dropped' AND p.state <> 'archived' AND NOT c.relhassubclass
  AND (c.reltuples >= %s OR c.relpages::int8 * current_setting('block_size')::int8 >= %s)
  AND NOT EXISTS (SELECT FROM timescaledb_information.hypertables h
                  WHERE h.hypertable_schema = v.schema_name AND h.hypertable_name = v.table_name)
ORDER BY c.reltuples, c.oid LIMIT 1000
"""
# Chunks of silver's tables that are over and not packed, or have loose rows beside what is packed, oldest first. One of
# which retention is removing a part is left to it.
_UNPACKED = """
SELECT format('%%I.%%I', c.chunk_schema, c.chunk_name) FROM timescaledb_information.hypertables h
JOIN silver_versions v ON v.schema_name = h.hypertable_schema AND v.table_name = h.hypertable_name
JOIN pipelines p ON p.id = v.pipeline_id
JOIN timescaledb_information.chunks c USING (hypertable_schema, hypertable_name)
WHERE h.compression_enabled AND c.range_end < %s AND (p.records_from IS NULL OR c.range_start >= p.records_from)
  AND (NOT c.is_compressed OR pg_relation_size(format('%%I.%%I', c.chunk_schema, c.chunk_name)::regclass) > %s)
ORDER BY c.range_end LIMIT 1000
"""
_CROWDED = """
SELECT format('%%I.%%I', h.hypertable_schema, h.hypertable_name), d.time_interval
FROM timescaledb_information.hypertables h
JOIN timescaledb_information.dimensions d USING (hypertable_schema, hypertable_name)
JOIN silver_versions v ON v.schema_name = h.hypertable_schema AND v.table_name = h.hypertable_name
WHERE h.num_chunks > %s
"""


@dataclass(frozen=True, slots=True)
class Large:
    """A plain table that would be a hypertable if it were made today. `rows` is PostgreSQL's estimate."""

    pipeline: str
    version: SilverVersion
    rows: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a call of `upkeep` did: chunks packed, tables whose chunks to come are wider now."""

    packed: int = 0
    widened: int = 0


def upkeep(database: Database, now: datetime, *, budget: timedelta = timedelta(seconds=20)) -> Kept:
    """Packs chunks that are over, one a transaction, for about `budget`, and widens chunks where they are too many.

    A chunk that somebody writes or reads for long is left to the next call.
    """
    deadline = monotonic() + budget.total_seconds()
    with database.ingest() as unit:
        found = timescale.support(unit)
        if found.version is None:
            return Kept()
        widened = 0
        for table, span in unit.rows(_CROWDED, (timescale.MOST_CHUNKS,)):
            # The more there are, the wider: whoever sends times without sense gets few chunks more for each step.
            wider = next((one for one in timescale.WIDER if one > span), None)
            if wider is not None:
                timescale.widen(unit, table, wider)
                widened += 1
        unit.commit()
        waiting = unit.rows(_UNPACKED, (now - COLUMNSTORE_AFTER, LOOSE_BYTES)) if found.columnstore else []
        unit.rollback()
    packed = 0
    for (chunk,) in waiting:
        if monotonic() > deadline:
            break
        packed += _pack(database, found.schema, chunk)
    return Kept(packed, widened)


def _pack(database: Database, schema: str, chunk: str) -> bool:
    with database.ingest() as unit:
        try:
            unit.execute("SELECT set_config('lock_timeout', '1s', true)")
            unit.execute(f"SELECT {schema}.compress_chunk(%s::regclass, if_not_compressed => true)", (chunk,))
            unit.commit()
        except _NOT_NOW as error:
            log.info("timescale.not_packed", chunk=chunk, reason=str(error).splitlines()[0])
            return False
    return True


# Moving --------------------------------------------------------------------------------------------------------------


def large(unit: Unit) -> list[Large]:
    """Plain tables that have grown large, the smallest first; none where there is no TimescaleDB."""
    if timescale.support(unit).version is None:
        return []
    return [
        Large(slug, SilverVersion(pipeline, version, schema, table, "", (), (), True, generation=generation), rows)
        for slug, pipeline, generation, version, schema, table, rows in unit.rows(
            _LARGE, (timescale.LARGE_ROWS, timescale.LARGE_BYTES)
        )
    ]


def move(database: Database, version: SilverVersion) -> int:
    """Makes a version's plain table a hypertable; answers how many rows it has. Expired rows do not come along.

    The pipeline's mapping waits for as long as the rows are copied, which is half a minute for ten million; queries
    go on, but for the moment in which the tables are exchanged. Raises Conflict where there is nothing to move, and
    Transient, with nothing changed, where a writer or a reader would not let go.
    """
    table, aside, fresh = (qualified(version, version.table + end) for end in ("", "_plain", "_chunks"))
    with database.ingest() as unit:
        if not payloads.await_pipeline(unit, version.pipeline, _PATIENCE):
            raise Transient("the pipeline's writer is at work; try again", retry_after=10)
        try:
            # A replay writes without the pipeline's lock: this keeps every writer away, and no reader.
            if not patient(unit, [f"LOCK TABLE {table} IN SHARE MODE"], "30s"):
                raise Transient("a replay writes this table; try again when it has ended", retry_after=60)
            rows = _copy(unit, version, table, fresh)
            if not any(_exchange(unit, version, table, aside, fresh) for _ in range(_TRIES)):
                raise Transient("queries held the table for too long; try again", retry_after=60)
            unit.execute(f"DROP TABLE {aside}")
            unit.commit()
        finally:
            unit.rollback()
            # Whoever was turned away by the lock meanwhile has left its work to us.
            if payloads.waiting(unit, version.pipeline):
                ledger.ring(unit, version.pipeline)
                unit.commit()
    log.info("timescale.moved", pipeline=str(version.pipeline), version=version.version, rows=rows)
    return rows


def _copy(unit: Unit, version: SilverVersion, table: str, fresh: str) -> int:
    span = timescale.interval_for(unit, version)
    if span is None or timescale.is_hypertable(unit, table):
        raise Conflict("there is nothing to move: no TimescaleDB, a table that is small, or one that is moved already")
    # With its columns' comments and its indexes; the comment on the table itself does not come along.
    unit.execute(f"CREATE TABLE {fresh} (LIKE {table} INCLUDING ALL)")
    said = unit.value("SELECT obj_description(%s::regclass, 'pg_class')", (table,))
    unit.execute(comment("TABLE", fresh, said or ""))
    # The index of payloads is there where rows are replaced.
    replaced: bool = unit.value(
        "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam "
        "WHERE i.indrelid = %s::regclass AND m.amname = 'btree')",
        (table,),
    )
    timescale.make(unit, fresh, span, replaced=replaced)
    row: Any = unit.row("SELECT records_from FROM pipelines WHERE id = %s", (version.pipeline,))
    since = row[0] if row and row[0] else datetime(1, 1, 1, tzinfo=UTC)
    escaped = fresh.replace("%", "%%"), table.replace("%", "%%")
    return unit.execute(f"INSERT INTO {escaped[0]} SELECT * FROM {escaped[1]} WHERE _time >= %s", (since,)).rowcount


def _exchange(unit: Unit, version: SilverVersion, table: str, aside: str, fresh: str) -> bool:
    """Puts `fresh` in the place of `table`; False, with nothing changed, where a reader held something for too long."""
    named = [
        f"ALTER TABLE {table} RENAME TO {quote(version.table + '_plain')}",
        f"ALTER TABLE {fresh} RENAME TO {quote(version.table)}",
    ]
    done = False
    with unit.driver.transaction():
        done = patient(unit, named) and refresh_view(unit, version.pipeline)
        if not done:
            raise psycopg.Rollback
    return done
