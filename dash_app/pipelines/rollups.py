"""What a batch adds to the rollups: per minute, hour and day the count, sums, extremes, first and last of each metric.

Minutes are computed from the records, hours from the minutes and days from the hours: every column merges
associatively, so that a partial result of any batch can be merged into what is stored, in any order of arrival.
First and last go by (_time, _payload, _index), so that they do not depend on how the stream was cut into batches.

Sums saturate at ±1e300: what is stored can always be added to again without leaving the range of a float.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from dash_app.domain.specs import FieldSpec
from dash_app.pipelines.rollups_few import FEW, rollup_few

MINUTE: Final = 1
HOUR: Final = 2
DAY: Final = 3

_WIDTHS: Final = {MINUTE: 60_000_000, HOUR: 3_600_000_000, DAY: 86_400_000_000}
_SUM_LIMIT: Final = 1e300

#: A dimension of more values than this in one batch is not kept, nor are more combinations of the kept ones.
MOST_VALUES: Final = 200
MOST_COMBINATIONS: Final = 2_000
#: Longer texts are content, not labels; they would also outgrow an index entry.
MOST_BYTES: Final = 200

_ORDER: Final = ["_time", "_payload", "_index"]
#: Names of the rollup's own columns; a dimension of such a name is not kept.
_OWN: Final = re.compile(r"grain|bucket|_.*|m\d+(_.*)?")


def rollup(frame: pl.DataFrame, metrics: Sequence[FieldSpec], dims: Sequence[str]) -> pl.DataFrame:
    """The rollup rows of `frame`, sorted by grain, bucket and dimensions.

    `frame` has `_time` (Datetime us, UTC), `_payload` (Int64), `_index` (Int32), the metrics and the dimensions.
    Columns of the answer: `grain` (Int16), `bucket` (Datetime us, UTC), the dimensions, `_n` (records), and for metric
    number i `m{i}_count` (Int64), `m{i}_sum` and `m{i}_sumsq` (Float64), `m{i}_min`, `m{i}_max`, `m{i}_first`,
    `m{i}_last` (Int64 for integer metrics, else Float64), and of the ends `m{i}_first_at` (Datetime), `m{i}_first_by`
    (Int64, the payload), `m{i}_last_at`, `m{i}_last_by`.
    A metric of which a bucket has no value counts 0, sums 0, and is null in the rest. NaN counts as no value.
    """
    # A record without a time is nobody's here; the database refuses it and names the column.
    if frame.height <= FEW and not frame.get_column("_time").null_count():
        return rollup_few(frame, metrics, dims, _WIDTHS, _SUM_LIMIT)
    return rollup_many(frame, metrics, dims)


def rollup_many(frame: pl.DataFrame, metrics: Sequence[FieldSpec], dims: Sequence[str]) -> pl.DataFrame:
    """As `rollup`, however few records there are."""
    keys = ["bucket", *dims]
    minutes = _by_minute(frame, metrics, dims)
    hours = _coarser(minutes, HOUR, len(metrics), keys)
    days = _coarser(hours, DAY, len(metrics), keys)
    grains = [
        part.select(pl.lit(grain, pl.Int16).alias("grain"), pl.all())
        for grain, part in ((MINUTE, minutes), (HOUR, hours), (DAY, days))
    ]
    return pl.concat(grains)


def choose_dims(frame: pl.DataFrame, dimensions: Sequence[FieldSpec]) -> list[str]:
    """Dimensions of this batch that a rollup should keep, in the order of the mapping.

    Text and boolean ones alone; those with the fewest values first, as long as a dimension has at most 200 values, all
    kept ones have at most 2,000 combinations, and none is nearly unique (more than a third of 60 or more records).
    """
    few: list[tuple[int, int, str]] = []
    for place, field in enumerate(dimensions):
        if field.type not in ("text", "boolean") or _OWN.fullmatch(field.name):
            continue
        column = frame.get_column(field.name)
        distinct = column.n_unique()
        if distinct > MOST_VALUES or (frame.height >= 60 and distinct > max(20, frame.height / 3)):
            continue
        longest = column.str.len_bytes().max() if field.type == "text" and column.dtype == pl.String else 0
        if (longest or 0) > MOST_BYTES:  # type: ignore[operator]
            continue
        few.append((distinct, place, field.name))
    combinations, kept = 1, []
    for distinct, place, name in sorted(few):
        if combinations * max(distinct, 1) > MOST_COMBINATIONS:
            break
        combinations *= max(distinct, 1)
        kept.append((place, name))
    return [name for _, name in sorted(kept)]


def _bucket(column: str, grain: int) -> pl.Expr:
    width = _WIDTHS[grain]
    time = pl.col(column)
    return (time.to_physical() // width * width).cast(pl.Datetime("us", "UTC")).alias("bucket")


def _saturated(expression: pl.Expr) -> pl.Expr:
    return expression.clip(-_SUM_LIMIT, _SUM_LIMIT)


def _by_minute(frame: pl.DataFrame, metrics: Sequence[FieldSpec], dims: Sequence[str]) -> pl.DataFrame:
    columns = [_bucket("_time", MINUTE), *(pl.col(d) for d in dims), *(pl.col(c) for c in _ORDER)]
    aggregates = [pl.len().cast(pl.Int64).alias("_n")]
    for i, metric in enumerate(metrics):
        name = f"_m{i}"
        value = pl.col(metric.name)
        value = value.cast(pl.Int64) if metric.type == "integer" else value.cast(pl.Float64).fill_nan(None)
        columns.append(value.alias(name))
        x = pl.col(name)
        number = x.cast(pl.Float64)
        aggregates += [
            x.count().cast(pl.Int64).alias(f"m{i}_count"),
            _saturated(number.sum()).alias(f"m{i}_sum"),
            _saturated((number * number).sum()).alias(f"m{i}_sumsq"),
            x.min().alias(f"m{i}_min"),
            x.max().alias(f"m{i}_max"),
        ]
        for end in ("first", "last"):
            aggregates += [
                getattr(x, end)(ignore_nulls=True).alias(f"m{i}_{end}"),
                getattr(pl.col("_time").filter(x.is_not_null()), end)().alias(f"m{i}_{end}_at"),
                getattr(pl.col("_payload").filter(x.is_not_null()), end)().alias(f"m{i}_{end}_by"),
            ]
    ordered = frame.select(columns)
    if not _is_sorted(ordered):
        ordered = ordered.sort(_ORDER)
    keys = ["bucket", *dims]
    return ordered.group_by(keys).agg(aggregates).sort(keys)


def _is_sorted(frame: pl.DataFrame) -> bool:
    """Whether rows stand in the order that decides first and last; most batches do as they come."""
    time, payload, index = (pl.col(c) for c in _ORDER)
    before = [c.shift(1) for c in (time, payload, index)]
    falls = (time < before[0]) | (
        (time == before[0]) & ((payload < before[1]) | ((payload == before[1]) & (index < before[2])))
    )
    return not frame.select(falls.any()).item()


def _coarser(parts: pl.DataFrame, grain: int, metrics: int, keys: list[str]) -> pl.DataFrame:
    """Rows of the next finer grain, sorted by bucket, merged into buckets of `grain`."""
    finer = parts.get_column("bucket")
    parts = parts.with_columns(_bucket("bucket", grain))
    if not parts.height or finer[0] == finer[-1]:
        return parts  # one finer bucket, as in most live batches: nothing to merge
    aggregates = [pl.col("_n").sum()]
    for i in range(metrics):
        aggregates += [
            pl.col(f"m{i}_count").sum(),
            _saturated(pl.col(f"m{i}_sum").sum()),
            _saturated(pl.col(f"m{i}_sumsq").sum()),
            pl.col(f"m{i}_min").min(),
            pl.col(f"m{i}_max").max(),
        ]
        # Finer buckets do not overlap, so their order is that of the records in them.
        aggregates += [pl.col(f"m{i}_first{part}").first(ignore_nulls=True) for part in ("", "_at", "_by")]
        aggregates += [pl.col(f"m{i}_last{part}").last(ignore_nulls=True) for part in ("", "_at", "_by")]
    return parts.group_by(keys).agg(aggregates).sort(keys)
