"""Who wins a key: the ledger of keys, asked before rows are written.

The ledger has a row for each key, with the record that holds it. `ignore`: the first record by (received, payload,
index) wins; `replace`: the last by (payload, index). A record that comes with a key nobody holds takes it. One that
finds a holder loses, or, where it beats the holder, takes its place: the holder's row is deleted and the rollups of its
minute are computed anew. That is the rule for `replace`, and for `ignore` it happens where records arrive out of order,
so that a replay and the live stream agree in the end, whichever of them was there first.

A key is kept as BLAKE2b of 128 bits: with 10 billion keys in a ledger the odds that any two share one are 2e-19.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final

import polars as pl

from dash_app.domain.specs import SilverVersion
from dash_app.storage.silver_rollups import Array, execute, recompute_rollups
from dash_app.storage.silver_tables import qualified
from dash_app.storage.timescale import delete_rows
from dash_app.storage.unit import Unit

_SOURCE: Final = "unnest(%b::uuid[], %b::int8[], %b::int4[], %b::timestamptz[])"
#: Whether a new record `n` takes the key from its holder `k`.
_BETTER: Final = {
    "ignore": "(n.received, n.payload, n.index) < (k.received, k.payload, k.index)",
    "replace": "(n.payload, n.index) > (k.payload, k.index)",
}
_RANK: Final = {"ignore": ["_received", "_payload", "_index"], "replace": ["_payload", "_index"]}


@dataclass(frozen=True, slots=True)
class Claimed:
    """What came of claiming keys. `frame`: the records that won, in their order and without `_key`; `replaced`: the
    `_time` of each row that was deleted because it lost its key to one of them."""

    frame: pl.DataFrame
    replaced: Sequence[datetime] = ()


def claim_keys(
    unit: Unit,
    version: SilverVersion,
    frame: pl.DataFrame,
    on_duplicate: str = "ignore",
    earlier: Sequence[SilverVersion] = (),
) -> Claimed:
    """Lets the records of `frame` take their keys (`_key`, String or Binary).

    Records whose key is null are kept: they have no identity. Holders that lose their key to one of these records are
    deleted here, and their rollups computed anew; the records answered are for the caller to roll up and write.
    `earlier`: versions with the same key whose rows are read beside this one's; their holders count as its own would.
    """
    rank, last = _RANK[on_duplicate], on_duplicate == "replace"
    rows = frame.select(
        "_received",
        "_payload",
        "_index",
        _key=pl.col("_key").cast(pl.Binary),
        _row=pl.int_range(pl.len(), dtype=pl.Int32),
    )
    nameless = rows.filter(pl.col("_key").is_null()).get_column("_row")
    keyed = (
        rows.drop_nulls("_key")
        .sort(rank, descending=last, maintain_order=True)
        .unique("_key", keep="first", maintain_order=True)
    )
    # Sorted, so that two writers of one ledger take keys in the same order and never wait for each other in a circle.
    hashed = keyed.with_columns(
        _key=pl.Series([blake2b(key, digest_size=16).digest() for key in keyed["_key"]], dtype=pl.Binary)
    ).sort("_key")
    replaced: list[datetime] = []
    for one in earlier if hashed.height else ():
        hashed, beaten = _against(unit, one, hashed, on_duplicate)
        replaced += beaten
    won, beaten = claim_hashed(unit, version, hashed, on_duplicate) if hashed.height else ([], [])
    replaced += beaten
    if len(won) + len(nameless) == frame.height:
        return Claimed(frame.drop("_key"), replaced)
    kept = pl.concat([pl.Series("_row", won, pl.Int32), nameless]).sort()
    return Claimed(frame.drop("_key")[kept], replaced)


def _against(
    unit: Unit, earlier: SilverVersion, rows: pl.DataFrame, on_duplicate: str
) -> tuple[pl.DataFrame, list[datetime]]:
    """`rows` without those that lose to a holder of an earlier version; holders that lose to one are deleted there, and
    their times answered. A key stands in one version's ledger at a time."""
    keys = qualified(earlier, earlier.keys)
    met = execute(
        unit,
        f"SELECT o.key, o.payload, o.index, o.beaten FROM {_SOURCE} AS n(key, payload, index, received) "
        f"CROSS JOIN LATERAL (SELECT k.key, k.payload, k.index, {_BETTER[on_duplicate]} AS beaten "
        f"FROM {keys} k WHERE k.key = n.key FOR UPDATE) o",
        _parameters(rows),
    ).fetchall()
    lost = pl.Series([key.bytes for key, _, _, beaten in met if not beaten], dtype=pl.Binary)
    beaten = [holder for holder in met if holder[3]]
    replaced: list[datetime] = []
    if beaten:
        unit.execute(f"DELETE FROM {keys} WHERE key = ANY(%s)", ([holder[0] for holder in beaten],))
        replaced = _delete(unit, earlier, [holder[1] for holder in beaten], [holder[2] for holder in beaten])
    return rows.filter(~pl.col("_key").is_in(lost.implode())), replaced


def _parameters(rows: pl.DataFrame) -> list[Array]:
    kinds = (("_key", "uuid"), ("_payload", "int8"), ("_index", "int4"), ("_received", "timestamptz"))
    return [Array(rows.get_column(name), kind) for name, kind in kinds]


def claim_hashed(
    unit: Unit, version: SilverVersion, rows: pl.DataFrame, on_duplicate: str
) -> tuple[list[int], list[datetime]]:
    """Numbers (`_row`) of the rows that hold their key now, and the times of those deleted for them.

    `rows`: one a key, in order of their keys: `_key` (the 16 bytes that the ledger keeps), `_payload`, `_index`,
    `_received`, `_row`.
    """
    keys = qualified(version, version.keys)
    parameters = _parameters(rows)
    taken = execute(
        unit,
        f"WITH taken AS (INSERT INTO {keys} (key, payload, index, received) SELECT * FROM {_SOURCE} "
        "ON CONFLICT DO NOTHING RETURNING payload, index) "
        "SELECT array_agg(payload), array_agg(index) FROM taken",
        parameters,
    ).fetchone()
    payloads, indexes = taken or (None, None)
    if payloads is not None and len(payloads) == rows.height:
        return rows.get_column("_row").to_list(), []
    won = _places(rows, payloads or [], indexes or [])
    # A later statement, so that it sees what another transaction committed while the first one waited for it. Holders
    # that win are not touched; the others are locked and, where somebody changed them meanwhile, compared again. One
    # look-up a key, written so that no plan can read a ledger of millions for it.
    beaten = execute(
        unit,
        "SELECT n.key, n.payload, n.index, n.received, o.payload, o.index "
        f"FROM {_SOURCE} AS n(key, payload, index, received) "
        f"CROSS JOIN LATERAL (SELECT k.payload, k.index FROM {keys} k WHERE k.key = n.key "
        f"AND {_BETTER[on_duplicate]} FOR UPDATE) o",
        parameters,
    ).fetchall()
    replaced: list[datetime] = []
    if beaten:
        key, payload, index, received, old_payload, old_index = map(list, zip(*beaten, strict=True))
        unit.execute(
            f"INSERT INTO {keys} (key, payload, index, received) "
            "SELECT * FROM unnest(%s::uuid[], %s::int8[], %s::int4[], %s::timestamptz[]) ON CONFLICT (key) "
            "DO UPDATE SET payload = excluded.payload, index = excluded.index, received = excluded.received",
            (key, payload, index, received),
        )
        won += _places(rows, payload, index)
        replaced = _delete(unit, version, old_payload, old_index)
    return won, replaced


def _places(rows: pl.DataFrame, payloads: list[int], indexes: list[int]) -> list[int]:
    winners = pl.DataFrame({"_payload": payloads, "_index": indexes}, schema={"_payload": pl.Int64, "_index": pl.Int32})
    found = rows.join(winners, on=["_payload", "_index"], how="semi")
    return found.get_column("_row").to_list()


def _delete(unit: Unit, version: SilverVersion, payloads: list[int], indexes: list[int]) -> list[datetime]:
    """Takes rows out of silver and out of its rollups; answers the time of each that was there."""
    table = qualified(version, version.table)
    times = delete_rows(
        unit,
        table,
        # The bounds let the block-range index leave out most of the table where there is no index of payloads.
        "t._payload = g.payload AND t._index = g.index AND t._payload BETWEEN %s AND %s",
        (min(payloads), max(payloads)),
        using="unnest(%s::int8[], %s::int4[]) AS g(payload, index)",
        own=(payloads, indexes),
    )
    recompute_rollups(unit, version, sorted({moment.replace(second=0, microsecond=0) for moment in times}))
    return times
