"""The rollup of a handful of records, record by record.

A live batch is mostly one record; for these a query of Polars costs a hundred times the work that is in it. What comes
out is the same (`rollups.rollup`, tests/unit/pipelines/test_rollups.py): minutes from the records, hours from the
minutes, days from the hours, first and last by (_time, _payload, _index).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from dash_app.domain.specs import FieldSpec

#: Up to so many records come here.
FEW: Final = 128

_MOMENT: Final = pl.Datetime("us", "UTC")
Key = tuple[Any, ...]


class _Metric:
    """What a bucket has of one metric. Ends are (value, time, payload)."""

    __slots__ = ("count", "first", "last", "least", "most", "squares", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = self.squares = 0.0
        self.least: Any = None
        self.most: Any = None
        self.first: tuple[Any, Any, Any] = (None, None, None)
        self.last: tuple[Any, Any, Any] = (None, None, None)

    def add(self, value: Any, time: int, payload: int) -> None:
        number = float(value)
        self._merge(1, number, number * number, value, value)
        self.last = (value, time, payload)
        if self.count == 1:
            self.first = self.last

    def join(self, later: _Metric) -> None:
        """Adds a finer bucket, none of which is earlier than what is here already."""
        if not later.count:
            return
        if not self.count:
            self.first = later.first
        self.last = later.last
        self._merge(later.count, later.sum, later.squares, later.least, later.most)

    def _merge(self, count: int, total: float, squares: float, least: Any, most: Any) -> None:
        self.least = least if not self.count else min(self.least, least)
        self.most = most if not self.count else max(self.most, most)
        self.count += count
        self.sum += total
        self.squares += squares

    def saturate(self, limit: float) -> None:
        self.sum = _clipped(self.sum, limit)
        self.squares = _clipped(self.squares, limit)

    def columns(self) -> tuple[Any, ...]:
        return (self.count, self.sum, self.squares, self.least, self.most, *self.first, *self.last)


class _Bucket:
    __slots__ = ("metrics", "records")

    def __init__(self, metrics: int) -> None:
        self.records = 0
        self.metrics = [_Metric() for _ in range(metrics)]


def rollup_few(
    frame: pl.DataFrame, metrics: Sequence[FieldSpec], dims: Sequence[str], widths: dict[int, int], limit: float
) -> pl.DataFrame:
    """As `rollups.rollup`. `widths`: of each grain, in microseconds, finest first; sums saturate at `limit`."""
    parts = _from_records(frame, metrics, dims, widths[min(widths)], limit)
    rows: list[tuple[Any, ...]] = []
    for grain, width in widths.items():
        parts = _coarser(parts, len(metrics), width, limit)
        for (bucket, *values), one in parts.items():
            columns = (column for metric in one.metrics for column in metric.columns())
            rows.append((grain, bucket, *values, one.records, *columns))
    return _frame(rows, frame, metrics, dims)


def _from_records(
    frame: pl.DataFrame, metrics: Sequence[FieldSpec], dims: Sequence[str], width: int, limit: float
) -> dict[Key, _Bucket]:
    time, *rest = (frame.get_column(name) for name in ("_time", "_payload", "_index"))
    order = [time.to_physical().to_list(), *(column.to_list() for column in rest)]
    values = [_values(frame.get_column(metric.name), metric) for metric in metrics]
    labels = [frame.get_column(dim).to_list() for dim in dims]
    buckets: dict[Key, _Bucket] = {}
    for row in sorted(range(frame.height), key=lambda row: tuple(column[row] for column in order)):
        at, payload = order[0][row], order[1][row]
        key = (at // width * width, *(label[row] for label in labels))
        one = buckets.get(key)
        if one is None:
            one = buckets[key] = _Bucket(len(metrics))
        one.records += 1
        for metric, column in zip(one.metrics, values, strict=True):
            if column[row] is not None:
                metric.add(column[row], at, payload)
    return _finished(buckets, limit)


def _values(column: pl.Series, metric: FieldSpec) -> list[Any]:
    if metric.type == "integer":
        return column.cast(pl.Int64).to_list()
    return [None if value is None or value != value else value for value in column.cast(pl.Float64).to_list()]


def _coarser(parts: dict[Key, _Bucket], metrics: int, width: int, limit: float) -> dict[Key, _Bucket]:
    """Buckets, in their order, united to those of `width`."""
    buckets: dict[Key, _Bucket] = {}
    for (bucket, *values), part in parts.items():
        key = (bucket // width * width, *values)
        one = buckets.get(key)
        if one is None:
            one = buckets[key] = _Bucket(metrics)
        one.records += part.records
        for metric, more in zip(one.metrics, part.metrics, strict=True):
            metric.join(more)
    return _finished(buckets, limit)


def _finished(buckets: dict[Key, _Bucket], limit: float) -> dict[Key, _Bucket]:
    """In the order of the frame, which is that in which all batches lock stored rows: nulls before values."""
    for one in buckets.values():
        for metric in one.metrics:
            metric.saturate(limit)
    return dict(sorted(buckets.items(), key=lambda item: [(value is not None, value) for value in item[0]]))


def _clipped(value: float, limit: float) -> float:
    return value if value != value else max(-limit, min(limit, value))


def _frame(
    rows: list[tuple[Any, ...]], frame: pl.DataFrame, metrics: Sequence[FieldSpec], dims: Sequence[str]
) -> pl.DataFrame:
    kinds: list[tuple[str, Any]] = [("grain", pl.Int16()), ("bucket", _MOMENT)]
    kinds += [(dim, frame.get_column(dim).dtype) for dim in dims]
    kinds.append(("_n", pl.Int64()))
    for i, metric in enumerate(metrics):
        value = pl.Int64() if metric.type == "integer" else pl.Float64()
        kinds += [(f"m{i}_count", pl.Int64()), (f"m{i}_sum", pl.Float64()), (f"m{i}_sumsq", pl.Float64())]
        kinds += [(f"m{i}_min", value), (f"m{i}_max", value)]
        for end in ("first", "last"):
            kinds += [(f"m{i}_{end}", value), (f"m{i}_{end}_at", _MOMENT), (f"m{i}_{end}_by", pl.Int64())]
    columns = zip(*rows, strict=True) if rows else [()] * len(kinds)
    named = zip(kinds, columns, strict=True)
    return pl.DataFrame([_series(name, list(values), kind) for (name, kind), values in named])


def _series(name: str, values: list[Any], kind: Any) -> pl.Series:
    if kind == _MOMENT:
        return pl.Series(name, values, pl.Int64()).cast(_MOMENT)
    return pl.Series(name, values, kind)
