"""Mending block-range indexes: a summary that was broken off makes a query read the whole table after it.

PostgreSQL summarizes a range of blocks by putting a placeholder first, which matches every query. Where a summary is
broken off (a server that is killed, an autovacuum that makes way for a lock), the placeholder stays for good; and a
scan takes every range after it for a match as well. Answers stay right, and take seconds for milliseconds.

Nothing in the catalog shows it, so that it is tried: a query that no row can meet reads next to nothing, or is ill.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg
import structlog

from dash_app.storage.ddl import quote
from dash_app.storage.engine import Database
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: Smaller tables are read whole in no time.
LARGE_BLOCKS: Final = 8_192
#: How long a probe may read, and how many ranges it may read and still be well: those that nobody has summarized yet.
_PROBE: Final = "1s"
_WELL: Final = 16
#: Locks are waited for half a second: after one (`deadlock_timeout`) PostgreSQL ends the autovacuum that has them.
_PATIENT: Final = "SELECT set_config('lock_timeout', '500ms', true)"
#: Ranges of one transaction.
_RANGES: Final = 500

_INDEXES = """
SELECT i.indexrelid, i.indrelid, n.nspname, t.relname, t.relpages,
       coalesce((SELECT option_value::int FROM pg_options_to_table(x.reloptions)
                 WHERE option_name = 'pages_per_range'), 128)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam AND m.amname = 'brin'
JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0] AND a.attname = '_time'
WHERE t.relowner = 'dash_ingest'::regrole AND t.relkind = 'r' AND t.relpages > %s ORDER BY i.indexrelid
"""


def mend(database: Database) -> list[str]:
    """Looks at the index of every large table and chunk, and makes its summaries anew where it is ill.

    Answers which tables' were. Writers and readers are not kept waiting; what vacuum is at work on is left alone.
    """
    with database.ingest() as unit:
        found = unit.rows(_INDEXES, (LARGE_BLOCKS,))
    mended = []
    for index, table, schema, name, blocks, per_range in found:
        with database.ingest() as unit:
            try:
                unit.execute(f"{_PATIENT}, brin_summarize_new_values(%s)", (index,))
                unit.commit()
                if _well(unit, table, f"{quote(schema)}.{quote(name)}", per_range):
                    continue
                unit.rollback()
                _anew(unit, index, range(0, blocks, per_range))
            except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable) as error:
                log.info("ranges.put_off", table=name, reason=str(error).splitlines()[0])
                continue
        mended.append(name)
        log.warning("ranges.mended", table=name, ranges=len(range(0, blocks, per_range)))
    return mended


def _well(unit: Unit, table: int, name: str, per_range: int) -> bool:
    unit.execute(f"{_PATIENT}, set_config('enable_seqscan', 'off', true)")
    before = _blocks(unit, table)
    try:
        with unit.driver.transaction():
            unit.execute("SELECT set_config('statement_timeout', %s, true)", (_PROBE,))
            unit.execute(f"SELECT FROM {name} WHERE _time = '-infinity' LIMIT 1")
    except psycopg.errors.QueryCanceled:
        pass
    return _blocks(unit, table) - before <= _WELL * per_range


def _blocks(unit: Unit, table: int) -> int:
    """Blocks of a table that this transaction has asked for."""
    count: int = unit.value("SELECT pg_stat_get_xact_blocks_fetched(%s::oid)", (table,))
    return count


def _anew(unit: Unit, index: int, starts: Sequence[int]) -> None:
    """Each range is without a summary for as long as it is read: a query reads it then, as the few that are new."""
    for first in range(0, len(starts), _RANGES):
        part: Any = list(starts[first : first + _RANGES])
        unit.execute(_PATIENT)
        unit.execute(
            "SELECT brin_desummarize_range(%s, b), brin_summarize_range(%s, b) FROM unnest(%s::int8[]) AS b",
            (index, index, part),
        )
        unit.commit()
