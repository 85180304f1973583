"""Records as a Parquet file that other programs read: typed columns, one a field.

A column's type is that of its values: booleans, numbers, text. `_time` and `_received` are times in UTC. What is an
object or a list, and a column whose values are of several kinds, is JSON as text, so that files of one pipeline can be
read together.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow.parquet as pq


def records_parquet(records: Sequence[Mapping[str, Any]], message: str, at: datetime) -> bytes:
    """One row a record, with `_message_id` and `_message_index` before its fields; the same records, the same bytes."""
    own = ("_message_id", "_message_index")
    names = list(dict.fromkeys(name for record in records for name in record if name not in own))
    columns = [
        pl.Series("_message_id", [message] * len(records), dtype=pl.String),
        pl.Series("_message_index", range(len(records)), dtype=pl.Int32),
        *(_column(name, [record.get(name) for record in records]) for name in names),
    ]
    out = io.BytesIO()
    table = pl.DataFrame(columns).to_arrow()
    pq.write_table(table.replace_schema_metadata({"dash.sent_at": at.isoformat()}), out, compression="zstd")
    return out.getvalue()


def _column(name: str, values: Sequence[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if name in ("_time", "_received") and kinds == {str}:
        return pl.Series(name, [None if one is None else datetime.fromisoformat(one) for one in values]).cast(
            pl.Datetime("us", "UTC")
        )
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds and kinds <= {int, float}:
        # Whole numbers too: of the same field the next file may hold others.
        return pl.Series(name, [None if one is None else float(one) for one in values], dtype=pl.Float64)
    texts = [one if one is None or isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in values]
    return pl.Series(name, texts, dtype=pl.String)
