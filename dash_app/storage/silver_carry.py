"""Carrying records over from one generation to another, where their payloads are gone or are not to be mapped again.

What is carried stands in the other generation as it is read today: under the newest mapping's names and types, null
where a version lacks a field. The caller is the pipeline's one writer, so that the live road writes neither of the two
meanwhile; a replay's workers may be writing the other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from dash_app.domain.specs import FieldSpec, SilverVersion
from dash_app.storage.ddl import quote
from dash_app.storage.silver_columns import SYSTEM, cast, column
from dash_app.storage.silver_keys import claim_hashed
from dash_app.storage.silver_rollups import recompute_rollups, rollup_columns, united
from dash_app.storage.silver_tables import COLUMN_TYPES, metric_columns, metrics, qualified, rollup_key
from dash_app.storage.unit import Unit

#: Rows of one step: for so long the pipeline's live road waits.
CARRY_ROWS = 100_000
_NARROWER = 8
#: Records of these payloads come by the live road.
_NOT_LIVE = (
    "NOT EXISTS (SELECT FROM replay_live l WHERE l.pipeline_id = %(pipeline)s AND l.generation = %(generation)s "
    "AND l.payload = {payload})"
)


def window(unit: Unit, sources: Sequence[SilverVersion], low: int, high: int) -> int:
    """The end of a range of payload ids from `low` on, `high` at most, that holds no more rows than a step carries."""
    if not sources:
        return high
    parts = " UNION ALL ".join(
        f"(SELECT 1 FROM {_name(one, one.table)} WHERE _payload >= %(low)s AND _payload < %(end)s LIMIT %(most)s)"
        for one in sources
    )
    end = high
    while end > low + 1:
        found = unit.value(f"SELECT count(*) FROM ({parts}) AS r", {"low": low, "end": end, "most": CARRY_ROWS + 1})
        if found <= CARRY_ROWS:
            break
        end = max(low + 1, low + (end - low) // _NARROWER)
    return end


def carry_records(
    unit: Unit,
    sources: Sequence[SilverVersion],
    target: SilverVersion,
    low: int,
    high: int,
    *,
    since: datetime | None,
    keyed: Sequence[SilverVersion] = (),
    on_duplicate: str = "ignore",
) -> int:
    """Carries the records of the payloads low ≤ id < high with a time from `since` on; answers how many there are more.

    `keyed`: those of the sources that have the same key as the target: their records keep their keys, and lose them to
    better ones.
    """
    bounds: dict[str, Any] = {
        "pipeline": target.pipeline, "generation": target.generation, "low": low, "high": high, "since": since,
    }  # fmt: skip
    within = "{p} >= %(low)s AND {p} < %(high)s"
    columns = [*SYSTEM.values(), *target.columns]
    names = ", ".join(_escaped(quote(field.name)) for field in columns)
    carried, moved = 0, False
    for source in sources:
        lost, beaten = _keys(unit, source, target, bounds, on_duplicate) if source in keyed else (([], []), 0)
        values = ", ".join(_escaped(column(source, field)) for field in columns)
        count = unit.execute(
            f"INSERT INTO {_name(target, target.table)} ({names}) SELECT {values} FROM {_name(source, source.table)} x "
            f"WHERE {within.format(p='_payload')} AND (%(since)s::timestamptz IS NULL OR _time >= %(since)s) "
            f"AND {_NOT_LIVE.format(payload='x._payload')} AND NOT EXISTS (SELECT FROM "
            "unnest(%(payloads)s::int8[], %(indexes)s::int4[]) AS b(p, i) WHERE b.p = x._payload AND b.i = x._index)",
            bounds | {"payloads": lost[0], "indexes": lost[1]},
        ).rowcount
        carried += count - beaten
        moved = moved or count > 0
    if moved:
        minutes = unit.rows(
            f"SELECT DISTINCT date_trunc('minute', _time, 'UTC') FROM {_name(target, target.table)} "
            f"WHERE {within.format(p='_payload')}",
            bounds,
        )
        recompute_rollups(unit, target, sorted(minute for (minute,) in minutes))
    return carried


def _keys(
    unit: Unit, source: SilverVersion, target: SilverVersion, bounds: dict[str, Any], on_duplicate: str
) -> tuple[tuple[list[int], list[int]], int]:
    """Lets the records take their keys in the target; answers (payloads, indexes) of those that found a better one, and
    how many there lost theirs to one of these."""
    holders = unit.rows(
        f"SELECT key, payload, index, received FROM {_name(source, source.keys)} k "
        f"WHERE payload >= %(low)s AND payload < %(high)s AND {_NOT_LIVE.format(payload='k.payload')} ORDER BY key",
        bounds,
    )
    if not holders:
        return ([], []), 0
    keys, payloads, indexes, received = zip(*holders, strict=True)
    rows = pl.DataFrame(
        {
            "_key": pl.Series([key.bytes for key in keys], dtype=pl.Binary),
            "_payload": pl.Series(payloads, dtype=pl.Int64),
            "_index": pl.Series(indexes, dtype=pl.Int32),
            "_received": pl.Series(received, dtype=pl.Datetime("us", "UTC")),
            "_row": pl.int_range(len(keys), dtype=pl.Int32, eager=True),
        }
    )
    won, replaced = claim_hashed(unit, target, rows, on_duplicate)
    lost = rows.filter(~pl.col("_row").is_in(pl.Series(won, dtype=pl.Int32).implode()))
    return (lost["_payload"].to_list(), lost["_index"].to_list()), len(replaced)


def carry_rollups(unit: Unit, sources: Sequence[SilverVersion], target: SilverVersion, before: datetime) -> None:
    """Makes the target's buckets before a day those of the sources: their records have expired, and cannot be mapped
    again where payloads have too."""
    table = _name(target, target.rollup)
    unit.execute(f"DELETE FROM {table} WHERE bucket < %s", (before,))
    key = [_escaped(one) for one in rollup_key(target)]
    for grain in (1, 2, 3):
        parts = [
            f"(SELECT {', '.join(_as_of(source, target))} FROM {_name(source, source.rollup)} x "
            f"WHERE grain = {grain} AND bucket < %(before)s)"
            for source in sources
        ]
        unit.execute(
            f"INSERT INTO {table} ({', '.join(rollup_columns(target))}) "
            f"SELECT {', '.join([*(f'r.{one}' for one in key), *united(len(metrics(target)), 'r')])} "
            f"FROM ({' UNION ALL '.join(parts)}) AS r GROUP BY {', '.join(f'r.{one}' for one in key)}",
            {"before": before},
        )


def _as_of(source: SilverVersion, target: SilverVersion) -> list[str]:
    """A source's rollup row in the columns of the target's."""
    kinds = {field.name: field for field in target.columns}
    values = ["grain", "bucket"]
    for dim in target.dims:
        kept = dim in source.dims
        value = column(source, kinds[dim]) if kept else f"NULL::{COLUMN_TYPES[kinds[dim].type]}"
        values.append(f"{value} AS {quote(dim)}")
    values.append("_n")
    have = {field.name: (number, field) for number, field in enumerate(metrics(source))}
    for number, field in enumerate(metrics(target)):
        values += _metric(number, field, have.get(field.name), dict(metric_columns(target)))
    return [_escaped(value) for value in values]


def _metric(number: int, field: FieldSpec, have: tuple[int, FieldSpec] | None, kinds: dict[str, str]) -> list[str]:
    made = []
    for name, kind in kinds.items():
        if not name.startswith(f"m{number}_"):
            continue
        what = name.partition("_")[2]
        if have is None:
            nothing = "0" if what in ("count", "sum", "sumsq") else "NULL"
            made.append(f"{nothing}::{kind} AS {name}")
            continue
        value = f"m{have[0]}_{what}"
        if what in ("min", "max", "first", "last"):
            value = cast(value, _stored(have[1]), _stored(field))
        made.append(f"{value} AS {name}")
    return made


def _stored(field: FieldSpec) -> Any:
    """The type that a metric's extremes have in a rollup."""
    return "integer" if field.type == "integer" else "number"


def carry_rejects(unit: Unit, pipeline: Any, source: int, target: int, low: int, high: int) -> int:
    """Carries the rejects of the payloads low ≤ id < high; answers how many."""
    return unit.execute(
        "INSERT INTO rejects (team_id, pipeline_id, generation, payload, index, field, reason, excerpt, "
        "mapping_version, at) "
        "SELECT team_id, pipeline_id, %(generation)s, payload, index, field, reason, excerpt, mapping_version, at "
        "FROM rejects x WHERE pipeline_id = %(pipeline)s AND generation = %(source)s "
        f"AND payload >= %(low)s AND payload < %(high)s AND {_NOT_LIVE.format(payload='x.payload')} ORDER BY id",
        {"pipeline": pipeline, "source": source, "generation": target, "low": low, "high": high},
    ).rowcount


def _name(version: SilverVersion, table: str) -> str:
    return _escaped(qualified(version, table))


def _escaped(name: str) -> str:
    return name.replace("%", "%%")
