"""Parquet: its rows become NDJSON, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dash_app.pipelines.cutting.base import Damaged, Reader, Step
from dash_app.pipelines.cutting.lines import line_pieces
from dash_app.storage import parquet_apart
from dash_app.storage.parquet_rows import UnreadableTable


def table_steps(reader: Reader, position: Mapping[str, Any], most: int) -> Iterator[Step]:
    """The steps of a Parquet file. A position is a row group and a row in it."""
    try:
        for batch, rows in parquet_apart.batches(reader, position.get("group", 0), position.get("row", 0)):
            pieces = tuple(line_pieces(batch.lines, most))
            # Rows have no place in the file; what is shown is their share of it.
            consumed = reader.size * batch.rows_behind // max(1, rows)
            yield Step(pieces, {"group": batch.group, "row": batch.row}, consumed)
    except UnreadableTable as error:
        raise Damaged(error.message) from None
