"""Shapes of answers, without a database: automatic bucket widths, JSON rows, CSV cells, Arrow bytes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from dash_app.domain.query import parse_every, parse_query
from dash_app.pipelines.query import Column, QueryResult, frame_items, pick_every, to_arrow, to_csv, to_items

NOW = datetime(2026, 3, 29, 10, 30, tzinfo=UTC)


def result(frame: pl.DataFrame, *columns: Column, timezone: str = "UTC") -> QueryResult:
    spec = parse_query({"pipeline": "weather", "every": "1h", "timezone": timezone}, NOW)
    return QueryResult(frame, columns, spec, 3_600_000, "rollup")


@pytest.mark.parametrize(
    ("length", "points", "width"),
    [
        (timedelta(minutes=1), 100, "1s"),
        (timedelta(hours=1), 100, "1m"),
        (timedelta(hours=1), 360, "10s"),
        (timedelta(hours=24), 100, "15m"),
        (timedelta(hours=24), 24, "1h"),
        (timedelta(days=7), 200, "1h"),
        (timedelta(days=365), 400, "1d"),
        (timedelta(days=365), 100, "1w"),
        (timedelta(days=3650), 100, "1M"),
        (timedelta(days=36500), 10, "1M"),
        (timedelta(0), 0, "1s"),
    ],
)
def test_automatic_buckets_are_the_narrowest_that_fit(length: timedelta, points: int, width: str) -> None:
    assert pick_every(length, points) == width
    parse_every(width)


def test_json_rows() -> None:
    frame = pl.DataFrame(
        {
            "time": [datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)],
            "t": [float("nan"), 1.5],
            "n": [None, 2**62],
            "p": [2**62 + 1, None],
            "tags": ['{"a": [1]}', None],
        }
    )
    columns = (
        Column("time", "timestamp", "", "time"),
        Column("t", "number", "°C", "metric"),
        Column("n", "integer", "", "metric"),
        Column("p", "integer", "", "metric", is_id=True),
        Column("tags", "json", "", "dimension"),
    )
    expected = [
        {"time": "2026-03-29T01:30:00+01:00", "t": None, "n": None, "p": str(2**62 + 1), "tags": {"a": [1]}},
        {"time": "2026-03-29T03:30:00+02:00", "t": 1.5, "n": 2**62, "p": None, "tags": None},
    ]
    assert to_items(result(frame, *columns, timezone="Europe/Oslo")) == expected
    assert frame_items(frame, columns)[0]["time"] == "2026-03-29T00:30:00+00:00"
    assert frame_items(frame.head(0), columns) == []


def test_csv_cells_are_no_formulas() -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "plain", "a=b", "", None, 'quo"ted,']
    frame = pl.DataFrame({"=note": texts, "n": [-1.0] * len(texts)})
    written = to_csv(result(frame, Column("=note", "text", "", "dimension"), Column("n", "number", "", "metric")))
    rows = list(csv.reader(io.StringIO(written, newline="")))
    assert rows[0] == ["'=note", "n"]
    assert [row[0] for row in rows[1:]] == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@x",
        "'\tx",
        "'\rx",
        "plain",
        "a=b",
        "",
        "",
        'quo"ted,',
    ]
    assert {row[1] for row in rows[1:]} == {"-1.0"}


def test_csv_times_have_the_offset_of_the_zone() -> None:
    frame = pl.DataFrame({"time": [datetime(2026, 3, 29, 1, tzinfo=UTC)], "n": [3]})
    columns = (Column("time", "timestamp", "", "time"), Column("n", "integer", "", "metric"))
    assert to_csv(result(frame, *columns, timezone="Europe/Oslo")) == "time,n\n2026-03-29T03:00:00+02:00,3\n"


def test_arrow_is_a_stream() -> None:
    answer = result(
        pl.DataFrame({"n": [1, 2], "site": ["a", None]}),
        Column("n", "integer", "", "metric"),
        Column("site", "text", "", "dimension"),
    )
    stream = to_arrow(answer)
    assert stream[:4] == b"\xff\xff\xff\xff"
    assert pl.read_ipc_stream(stream).equals(answer.frame)
    empty = replace(answer, frame=answer.frame.head(0))
    assert pl.read_ipc_stream(to_arrow(empty)).schema == answer.frame.schema
