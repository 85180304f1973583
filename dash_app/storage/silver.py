"""Writing silver: a batch's rows and their rollups, within the transaction of whoever calls.

The order within one transaction: `create_version` where the version has no tables yet, `claim_keys` where the mapping
has a key, then the rollup of what was kept (`pipelines.rollups`), then `write`. Rows go in by binary COPY, rollups by
merging. A dimension that turns out to have too many values is taken out of the rollup on the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl
import psycopg

from dash_app.domain.errors import Permanent
from dash_app.domain.specs import SilverVersion
from dash_app.storage import copy_binary
from dash_app.storage.ddl import log, quote
from dash_app.storage.silver_keys import Claimed, claim_keys
from dash_app.storage.silver_removal import remove_payloads
from dash_app.storage.silver_rollups import (
    drop_dim,
    drop_oversized,
    merge_rollups,
    recompute_rollups,
    watch_cardinality,
)
from dash_app.storage.silver_tables import (
    COLUMN_TYPES,
    SYSTEM,
    analyze,
    create_team_schemas,
    create_version,
    current,
    drop_version,
    qualified,
)
from dash_app.storage.silver_views import drop_view, refresh_view, repair_views
from dash_app.storage.timescale import bound_chunks
from dash_app.storage.unit import Unit

__all__ = [
    "Claimed",
    "Written",
    "analyze",
    "claim_keys",
    "copy_rows",
    "create_team_schemas",
    "create_version",
    "current",
    "drop_dim",
    "drop_version",
    "drop_view",
    "merge",
    "merge_rollups",
    "recompute_rollups",
    "refresh_view",
    "remove_payloads",
    "repair_views",
    "watch_cardinality",
    "write",
]


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did: rows added, and the version as it stands now (with fewer `dims` where one was dropped)."""

    rows: int
    version: SilverVersion


def write(unit: Unit, version: SilverVersion, frame: pl.DataFrame, rollup: pl.DataFrame) -> Written:
    """Adds the rows of `frame` and merges their `rollup`, which has the version's `dims`.

    `frame` has `_time`, `_received`, `_payload`, `_index` and the version's fields; more columns are left alone. Raises
    Permanent, naming the column, for a value that PostgreSQL refuses: the transaction cannot go on then.
    """
    return Written(copy_rows(unit, version, frame), merge(unit, version, rollup))


def merge(unit: Unit, version: SilverVersion, rollup: pl.DataFrame) -> SilverVersion:
    """Merges the rollup of rows that `copy_rows` has added; the version as it stands then. As `write`."""
    try:
        return _merge(unit, version, rollup)
    except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
        raise _refused(version, error) from error


def copy_rows(unit: Unit, version: SilverVersion, frame: pl.DataFrame) -> int:
    """Adds rows without their rollup; as `write`."""
    kinds = {**SYSTEM, **{field.name: COLUMN_TYPES[field.type] for field in version.columns}}
    bound_chunks(unit, qualified(version, version.table), frame.get_column("_time"))
    data = copy_binary.encode(frame.select(list(kinds)), list(kinds.values()))
    statement = f"COPY {qualified(version, version.table)} ({', '.join(map(quote, kinds))}) FROM STDIN (FORMAT BINARY)"
    try:
        with unit.driver.cursor() as cursor:
            with cursor.copy(statement.encode()) as copy:
                copy.write(data)
            return cursor.rowcount
    except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded, psycopg.errors.NotNullViolation) as error:
        raise _refused(version, error) from error


def _merge(unit: Unit, version: SilverVersion, rollup: pl.DataFrame) -> SilverVersion:
    given = version.dims
    version = drop_oversized(unit, version, rollup)
    new_in_days = merge_rollups(unit, version, rollup, given)
    # Only a day that got new combinations can have too many of them.
    while new_in_days and (dim := watch_cardinality(unit, version, rollup)):
        made = drop_dim(unit, version, dim)
        if made is None:
            break
        version = made
    return version


def _refused(version: SilverVersion, error: psycopg.Error) -> Permanent:
    """`error` as one that says which column is at fault, as far as PostgreSQL says it."""
    where = f"column '{error.diag.column_name}'" if error.diag.column_name else ""
    for line in (error.diag.context or "").splitlines():
        # COPY t, line 3, column name: …
        if line.startswith("COPY ") and (found := line.partition(", column ")[2]):
            where = f"column '{found.partition(': ')[0]}'"
    # A hypertable's own check says it in the message alone.
    if not where and (named := re.search(r'column "(.+?)" violates', error.diag.message_primary or "")):
        where = f"column '{named[1]}'"
    log.warning(
        "silver.refused",
        pipeline=str(version.pipeline),
        version=version.version,
        where=where,
        reason=error.diag.message_primary,
    )
    return Permanent(f"PostgreSQL refuses {where or 'a row'}: {error.diag.message_primary or error}")
