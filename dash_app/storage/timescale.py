"""TimescaleDB where it is there: hypertables for tables that have grown large, their columnstore, dropping of chunks.

A version's table begins plain, and most stay so: thousands of pipelines must not become thousands of hypertables. One
becomes a hypertable when it is made and an earlier table of its pipeline was large (`interval_for`), or when it is
moved (`timescale_upkeep.move`). Chunks are cut by `_time`. What is over for a week goes to the columnstore
(`timescale_upkeep.upkeep`), which late rows can still join; tables whose rows are replaced stay in rows, since each
replacement would unpack what is around it.

Nothing here is an error where TimescaleDB is not there, is too old, or may not be used: `support` says why, and tables
are plain. Background policies are not used: they run as the tables' owner, which cannot log in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

import polars as pl
import psycopg
import sqlalchemy as sa
import structlog
from psycopg import sql

from dash_app.domain.specs import SilverVersion
from dash_app.storage.ddl import patient, quote
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: The oldest release whose functions are those used here.
OLDEST: Final = (2, 20)
#: From this size on, by rows or by bytes of the heap, a pipeline's next table is a hypertable. Below it a chunk's fixed
#: cost (planning, locks, an index each) is more than what it saves: a day of ten million rows is deleted in seconds.
LARGE_ROWS: Final = 10_000_000
LARGE_BYTES: Final = 1 << 30
#: The shortest of these spans that holds so many rows is a chunk's. Days begin at midnight UTC, as retention's do.
SPANS: Final = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30))
CHUNK_ROWS: Final = 5_000_000
#: Wider spans, for tables with times so far apart that chunks would be without number: a query locks each of them.
WIDER: Final = (*SPANS, timedelta(days=360), timedelta(days=3_600), timedelta(days=36_000))
MOST_CHUNKS: Final = 1_000
MOST_CHUNKS_AT_ONCE: Final = 100
_LOOK_AGAIN: Final = 300.0

DIMENSIONS: Final = "timescaledb_information.dimensions"
#: Picks a table's rows from the views of that schema; takes the table (quoted, with its schema).
WHOSE: Final = "to_regclass(format('%%I.%%I', hypertable_schema, hypertable_name)) = to_regclass(%s)"

_LOOK = """
SELECT a.default_version, e.extversion, n.nspname::text, current_setting('timescaledb.disable_load', true) IS NOT NULL,
       current_setting('timescaledb.license', true), coalesce(has_schema_privilege(n.oid, 'USAGE'), false)
FROM pg_available_extensions a LEFT JOIN pg_extension e ON e.extname = a.name
LEFT JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE a.name = 'timescaledb'
"""
_EARLIER = """
SELECT c.oid::regclass::text, format('%%I.%%I', v.schema_name, v.table_name || '_rollup'), c.relhassubclass,
       c.reltuples::int8, c.relpages::int8 * current_setting('block_size')::int8
FROM silver_versions v JOIN pg_class c ON c.oid = to_regclass(format('%%I.%%I', v.schema_name, v.table_name))
WHERE v.pipeline_id = %s AND v.created
"""


@dataclass(frozen=True, slots=True)
class Support:
    """What this server can do. `version`: TimescaleDB's, where hypertables can be made; `schema`: of its functions,
    quoted; `reason`: why not, or what is missing."""

    version: str | None = None
    schema: str = "public"
    columnstore: bool = False
    reason: str = ""


_known: WeakKeyDictionary[sa.Engine, tuple[float, Support]] = WeakKeyDictionary()


# What is there -------------------------------------------------------------------------------------------------------


def support(unit: Unit) -> Support:
    """What the server of this unit can do; asked again every five minutes."""
    engine = unit.connection.engine
    known = _known.get(engine)
    if known is None or monotonic() - known[0] > _LOOK_AGAIN:
        known = monotonic(), look(unit)
        _known[engine] = known
    return known[1]


def look(unit: Unit) -> Support:
    """As `support`, asked anew."""
    found = unit.row(_LOOK)
    if found is None:
        return Support(reason="not there")
    default, version, schema, loaded, licence, usable = found
    if version is None and not loaded:
        return Support(reason=f"{default} is there, but the server does not load it: shared_preload_libraries lacks it")
    if version is None:
        return Support(reason=f"{default} is there, but not in this database: CREATE EXTENSION timescaledb")
    if not loaded:
        return Support(reason=f"{version} is in this database, but the server does not load it")
    if _numbers(version) < OLDEST:
        return Support(reason=f"{version} is older than {'.'.join(map(str, OLDEST))}")
    if not usable:
        return Support(reason=f"{version} is in schema {schema}, which dash_ingest may not use")
    if licence != "timescale":
        return Support(version, quote(schema), False, "its licence here has no columnstore")
    return Support(version, quote(schema), True)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit())


def install(connection: sa.Connection) -> None:
    """Creates the extension where the server has it loaded and the connecting role may. A refusal changes nothing.

    Its reports to its makers are turned off for this database, which nobody asked for when they installed Dash.
    """
    unit = Unit(connection)
    try:
        found = unit.row(_LOOK)
        # CREATE EXTENSION for what is not preloaded ends the connection.
        if found is None or found[1] is not None or not found[3]:
            return
        unit.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        unit.commit()
        log.info("timescale.created", version=found[0])
        name = quote(unit.value("SELECT current_database()"))
        unit.execute(f"ALTER DATABASE {name} SET timescaledb.telemetry_level = 'off'")
        unit.commit()
    except psycopg.Error as error:
        log.info("timescale.refused", reason=str(error).splitlines()[0])
    finally:
        unit.rollback()


# Hypertables ---------------------------------------------------------------------------------------------------------


def interval_for(unit: Unit, version: SilverVersion) -> timedelta | None:
    """How wide the chunks of a table are to be that is about to be made; None: it is to be plain."""
    found = support(unit)
    if found.version is None:
        return None
    largest, rollup, size = 0, "", 0
    for table, its_rollup, chunked, rows, heap in unit.rows(_EARLIER, (version.pipeline,)):
        if chunked:
            rows = unit.value(f"SELECT {found.schema}.approximate_row_count(%s::regclass)", (table,))
        if rows >= largest:
            largest, rollup, size = rows, its_rollup, heap
    if largest < LARGE_ROWS and size < LARGE_BYTES:
        return None
    return _span(unit, max(largest, 1), rollup)


def _span(unit: Unit, rows: int, rollup: str) -> timedelta:
    """A chunk's span for a table of so many rows with this rollup (quoted), which knows on how many days they are."""
    days = 0
    if rollup and unit.value("SELECT to_regclass(%s) IS NOT NULL", (rollup,)):
        days = unit.value(f"SELECT count(DISTINCT bucket) FROM {rollup} WHERE grain = 3")
    a_second = rows / max(days, 1) / 86_400
    return next((span for span in SPANS if a_second * span.total_seconds() >= CHUNK_ROWS), SPANS[-1])


def make(unit: Unit, table: str, span: timedelta, *, replaced: bool) -> None:
    """Makes an empty table (quoted, with its schema) a hypertable. `replaced`: its rows are, so that they stay rows."""
    found = support(unit)
    unit.execute(
        f"SELECT {found.schema}.create_hypertable(%s::regclass, {found.schema}.by_range('_time', %s::interval), "
        "create_default_indexes => false)",
        (table, span),
    )
    if found.columnstore and not replaced:
        unit.execute(
            f"ALTER TABLE {table} SET (timescaledb.compress, timescaledb.compress_segmentby = '', "
            "timescaledb.compress_orderby = '_time, _payload, _index')"
        )


def chunked(unit: Unit, table: str) -> bool:
    """Whether a table (quoted, with its schema) is a hypertable with chunks; silver has no other children."""
    if support(unit).version is None:
        return False
    return bool(unit.value("SELECT relhassubclass FROM pg_class WHERE oid = to_regclass(%s)", (table,)))


def is_hypertable(unit: Unit, table: str) -> bool:
    """Whether a table (quoted, with its schema) is a hypertable, be it without a chunk yet."""
    return support(unit).version is not None and bool(
        unit.value(f"SELECT count(*) FROM {DIMENSIONS} WHERE {WHOSE}", (table,))
    )


def bound_chunks(unit: Unit, table: str, times: pl.Series) -> None:
    """Before rows of these times are written: widens the chunks to come where they would need too many at once."""
    low, high = times.min(), times.max()
    if not isinstance(low, datetime) or not isinstance(high, datetime):
        return
    # A hundred of the narrowest chunks hold them: nothing is to be asked for what nearly every batch is.
    if high - low < SPANS[0] * MOST_CHUNKS_AT_ONCE or support(unit).version is None:
        return
    span: timedelta | None = unit.value(f"SELECT time_interval FROM {DIMENSIONS} WHERE {WHOSE}", (table,))
    seconds = times.dt.epoch("s")
    if span is None or _chunks(seconds, span) <= MOST_CHUNKS_AT_ONCE:
        return
    wider = (one for one in WIDER if one > span and _chunks(seconds, one) <= MOST_CHUNKS_AT_ONCE)
    widen(unit, table, next(wider, WIDER[-1]))


def _chunks(seconds: pl.Series, span: timedelta) -> int:
    return (seconds // int(span.total_seconds())).n_unique()


def widen(unit: Unit, table: str, span: timedelta) -> None:
    """Makes the chunks to come of a hypertable (quoted) so wide; those that are there stay."""
    unit.execute(f"SELECT {support(unit).schema}.set_chunk_time_interval(%s::regclass, %s::interval)", (table, span))
    log.warning("timescale.widened", table=table, days=span.days, reason="times too far apart for so many chunks")


# Rows ----------------------------------------------------------------------------------------------------------------


def delete_rows(
    unit: Unit, table: str, where: str, params: Sequence[Any], *, using: str = "", own: Sequence[Any] = ()
) -> list[datetime]:
    """Deletes rows `t` of a version's table (quoted, with its schema), chunked or not; answers their `_time` (UTC).

    `where` takes `params`; `using` is another table of the statement with its alias, and takes `own`.
    """
    given, beside = (*own, *params), f"USING {using} " if using else ""
    if not chunked(unit, table):
        gone = unit.rows(f"DELETE FROM {table} t {beside}WHERE {where} RETURNING t._time", given)
        return [moment.astimezone(UTC) for (moment,) in gone]
    # Found first: a delete from the columnstore unpacks all that its constants cannot rule out, and by default fails
    # where that is much.
    joined = f"{table} t, {using}" if using else f"{table} t"
    times = [moment for (moment,) in unit.rows(f"SELECT t._time FROM {joined} WHERE {where} ORDER BY 1", given)]
    if times:
        unpack(unit)
    for low, high in stretches(times):
        unit.execute(f"DELETE FROM {table} t {beside}WHERE {where} AND t._time BETWEEN %s AND %s", (*given, low, high))
    return [moment.astimezone(UTC) for moment in times]


def unpack(unit: Unit) -> None:
    """Lets this transaction unpack as much of a columnstore as its deletes touch."""
    unit.execute("SELECT set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true)")


def stretches(times: Sequence[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Stretches of time, both ends included, that hold these moments (sorted): some dozens at most."""
    for gap in (timedelta(hours=1), timedelta(days=1), timedelta(days=30)):
        ends = [i for i, (before, after) in enumerate(pairwise(times)) if after - before > gap]
        if len(ends) < 50:
            break
    else:
        ends = []
    first = 0
    for end in (*ends, len(times) - 1) if times else ():
        yield times[first], times[end]
        first = end + 1


# Retention -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a hypertable. `name`: quoted, with its schema; `packed`: it is in the columnstore."""

    name: str
    start: datetime
    end: datetime
    packed: bool


def chunks_before(unit: Unit, table: str, before: datetime) -> list[Chunk]:
    """Chunks of a hypertable that begin before a moment, oldest first."""
    found = unit.rows(
        "SELECT format('%%I.%%I', chunk_schema, chunk_name), range_start, range_end, is_compressed "
        f"FROM timescaledb_information.chunks WHERE {WHOSE} AND range_start < %s ORDER BY range_start",
        (table, before),
    )
    return [Chunk(*row) for row in found]


def drop_chunk(unit: Unit, table: str, chunk: Chunk) -> int | None:
    """Drops a hypertable's oldest chunk; answers how many rows it had.

    None, with nothing changed, where somebody reads or writes it: a waiting drop would have every reader wait.
    """
    rows: int = unit.value(f"SELECT count(*) FROM {chunk.name}")
    oldest, end = (sql.Literal(value).as_string(None) for value in (table, chunk.end))
    dropped = patient(unit, [f"SELECT {support(unit).schema}.drop_chunks({oldest}::regclass, older_than => {end})"])
    return rows if dropped else None


def delete_before(unit: Unit, table: str, chunk: Chunk, before: datetime) -> int:
    """Deletes what a packed chunk has before a moment; answers how many rows."""
    unpack(unit)
    name = table.replace("%", "%%")
    return unit.execute(f"DELETE FROM {name} WHERE _time >= %s AND _time < %s", (chunk.start, before)).rowcount
