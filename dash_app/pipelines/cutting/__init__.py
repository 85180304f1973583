"""A file becomes payloads: cut at the borders of its records, piece by piece, from any place where it stopped.

A file may be larger than memory, so it is read in windows and never whole. What comes out are steps: some payloads, and
the place from which the next step follows; whoever stores both in one transaction can be killed at any moment and takes
nothing twice. The same file gives the same steps, however often it is begun.

A payload of a piece means the same as a payload of the whole would: a part of a CSV file has the header again, a part
of a JSON array is an array. Rows of a Parquet file become NDJSON. Records that are wrong in themselves are left for the
mapping to reject one by one; `Damaged` is a file that cannot be told into records at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from dash_app.domain.errors import Invalid
from dash_app.pipelines.cutting.base import Damaged, Piece, Reader, Step
from dash_app.pipelines.cutting.lines import cut_lines
from dash_app.pipelines.cutting.rows import cut_rows
from dash_app.pipelines.cutting.tables import table_steps
from dash_app.pipelines.cutting.values import cut_values
from dash_app.pipelines.cutting.windows import text_steps

__all__ = ["FORMATS", "Damaged", "Piece", "Reader", "Step", "format_of", "steps"]

FORMATS = ("csv", "ndjson", "json", "parquet")

_BY_TYPE = {
    "text/csv": "csv",
    "application/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/json": "json",
    "text/json": "json",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}
_BY_SUFFIX = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".jsonlines": "ndjson",
    ".json": "json",
    ".geojson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_CUTTERS = {"csv": cut_rows, "ndjson": cut_lines, "json": cut_values}


def format_of(name: str, content_type: str = "") -> str:
    """csv | ndjson | json | parquet, by the content type, or where that says nothing by the name's ending.

    Raises Invalid where neither says it: what a file holds is not guessed from its bytes.
    """
    found = _BY_TYPE.get(content_type.partition(";")[0].strip().lower())
    found = found or _BY_SUFFIX.get(PurePosixPath(name).suffix.lower())
    if found is None:
        known = ", ".join(sorted(_BY_SUFFIX))
        raise Invalid(f"what is in '{name[-80:]}' cannot be told: its name should end in one of {known}, uncompressed")
    return found


def steps(reader: Reader, format: str, content_type: str, position: Mapping[str, Any], *, most: int) -> Iterator[Step]:
    """The steps from `position` on (empty: the beginning). `most`: the bytes that a payload may have.

    `content_type` is that of the file, of which CSV keeps the charset. Raises Damaged, and what `reader` raises.
    """
    if format == "parquet":
        return table_steps(reader, position, most)
    return text_steps(reader, _CUTTERS[format], content_type, position, most)
