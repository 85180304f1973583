"""A tile to be drawn, and what its answers mean: series, figures, categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from dash_app.pipelines.number_text import number_text
from dash_app.pipelines.pictures.look import Place
from dash_app.pipelines.query import Column, QueryResult

#: Times in epoch milliseconds with their values.
Points = Sequence[tuple[float, float | None]]

MOST_SERIES = 40


@dataclass(frozen=True, slots=True)
class Panel:
    """A tile with what its queries answered.

    `x`, `y`, `w`, `h`: columns (of 12) and rows. `answers`: names of queries and their answers. `start`, `end`: the
    range of the picture. `error`: why there is no answer.
    """

    kind: str
    title: str
    options: Mapping[str, Any]
    answers: Sequence[tuple[str, QueryResult]]
    start: datetime
    end: datetime
    zone: str = "UTC"
    x: int = 0
    y: int = 0
    w: int = 12
    h: int = 8
    error: str = ""

    @property
    def unit(self) -> str | None:
        return self.options.get("unit")

    @property
    def decimals(self) -> int | None:
        return self.options.get("decimals")

    def text(self, value: Any, unit: str | None) -> str:
        return number_text(value, self.unit if self.unit is not None else (unit or ""), self.decimals)


@dataclass(frozen=True, slots=True)
class Series:
    """A line to be: `by` are the values of its dimensions."""

    name: str
    unit: str
    points: Points
    every: float | None
    by: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> float | None:
        return next((value for _, value in reversed(self.points) if value is not None), None)


def roles(result: QueryResult) -> tuple[str | None, list[Column], list[Column]]:
    """The time, the dimensions and the numbers of an answer."""
    time = next((c.name for c in result.columns if c.role == "time" and c.name in ("time", "_time")), None)
    rest = [c for c in result.columns if c.name != time and not c.name.startswith("_")]
    numbers = [c for c in rest if c.type in ("number", "integer") and c.role == "metric"]
    return time, [c for c in rest if c not in numbers and c.type != "json"], numbers


def word(value: Any) -> str:
    """A value of a dimension."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def series_of(panel: Panel) -> list[Series]:
    """The series of all of a tile's answers over time, the first `MOST_SERIES`."""
    found: list[Series] = []
    for query, result in panel.answers:
        time, dimensions, numbers = roles(result)
        if time is None or result.frame.is_empty():
            continue
        frame = result.frame.sort(time)
        names = [c.name for c in dimensions]
        parts = frame.partition_by(names, as_dict=True, maintain_order=True) if names else {(): frame}
        for key, part in parts.items():
            times = part[time].dt.timestamp("ms").to_list()
            for column in numbers:
                labels = [query, *map(word, key), *([column.name] if len(numbers) > 1 or not key else [])]
                name = " · ".join(filter(None, labels if query or key or len(numbers) > 1 else [column.name]))
                values = [None if v is None else float(v) for v in part[column.name].to_list()]
                own = (panel.options.get("series") or {}).get(name) or {}
                points = list(zip(times, values, strict=True))
                found.append(Series(name, column.unit, points, result.every_ms, tuple(map(word, key)), own))
    return found[:MOST_SERIES]


def figures_of(panel: Panel) -> list[tuple[str, str, float | None, Points]]:
    """Names, units, values and courses: the newest value of each series, or the values of each row."""
    made: list[tuple[str, str, float | None, Points]] = [
        (one.name, one.unit, one.last, one.points) for one in series_of(panel)
    ]
    for _, result in panel.answers:
        time, dimensions, numbers = roles(result)
        if time is not None and not result.frame.is_empty() and numbers:
            continue
        for row in result.frame.iter_rows(named=True):
            for column in numbers:
                labels = [word(row[d.name]) for d in dimensions]
                name = " · ".join([*labels, *([column.name] if len(numbers) > 1 or not labels else [])])
                value = row[column.name]
                made.append((name, column.unit, None if value is None else float(value), ()))
    return made


def categories_of(panel: Panel) -> tuple[list[str], list[tuple[str, str, list[float | None]]]]:
    """Names of groups, and for each number its name, unit and values; greatest first."""
    if not panel.answers:
        return [], []
    result = panel.answers[0][1]
    time, dimensions, numbers = roles(result)
    frame = result.frame
    if numbers and dimensions and panel.options.get("sorted", True):
        frame = frame.sort(pl.sum_horizontal(pl.col(c.name).cast(pl.Float64) for c in numbers), descending=True)
    if not dimensions:
        # One row of numbers, or the newest of several: each number is a group of its own.
        frame = frame.sort(time).tail(1) if time is not None else frame.tail(1)
        if frame.is_empty():
            return [], []
        return [c.name for c in numbers], [("", numbers[0].unit if numbers else "", [
            None if frame[c.name][0] is None else float(frame[c.name][0]) for c in numbers
        ])]  # fmt: skip
    names = [" · ".join(word(value) for value in row) for row in frame.select([d.name for d in dimensions]).iter_rows()]
    values = [(c.name, c.unit, [None if v is None else float(v) for v in frame[c.name].to_list()]) for c in numbers]
    return names, values


def threshold_color(panel: Panel, value: float | None, otherwise: str = "") -> str:
    """The colour's name at a value, by the tile's thresholds."""
    steps = sorted(
        panel.options.get("thresholds") or (),
        key=lambda one: float("-inf") if one.get("value") is None else one["value"],
    )
    found = otherwise
    for step in steps:
        if value is not None and (step.get("value") is None or value >= step["value"]):
            found = step["color"]
    return found


Draw = Callable[[Panel, Place], None]
