"""Rollups against a slow reference that computes every bucket from its records, one at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.specs import FieldSpec
from dash_app.pipelines.rollups import choose_dims, rollup, rollup_many

METRICS = [FieldSpec("x", "number", role="metric"), FieldSpec("n", "integer", role="metric")]
DIMS = ["site", "on"]
SCHEMA: dict[str, Any] = {
    "_time": pl.Datetime("us", "UTC"),
    "_payload": pl.Int64,
    "_index": pl.Int32,
    "x": pl.Float64,
    "n": pl.Int64,
    "site": pl.String,
    "on": pl.Boolean,
}
START = datetime(2024, 2, 28, 22, 58, tzinfo=UTC)
Row = dict[str, Any]
Road = Callable[..., pl.DataFrame]

_times = st.one_of(
    st.integers(0, 4 * 3_600_000_000),
    st.integers(0, 5).map(lambda minutes: minutes * 60_000_000),  # ties, and the edges of buckets
    st.just(-60 * 366 * 86_400_000_000),  # before 1970
)


@st.composite
def batches(draw: st.DrawFn) -> list[Row]:
    """Records in the order of arrival: by payload, then index."""
    rows: list[Row] = []
    for payload in range(draw(st.integers(1, 5))):
        for index in range(draw(st.integers(1, 8))):
            rows.append(
                {
                    "_time": START + timedelta(microseconds=draw(_times)),
                    "_payload": payload,
                    "_index": index,
                    "x": draw(st.none() | st.floats(-1e6, 1e6)),
                    "n": draw(st.none() | st.integers(-(2**63), 2**63 - 1)),
                    "site": draw(st.sampled_from([None, "a", "b", "ü"])),
                    "on": draw(st.sampled_from([None, True, False])),
                }
            )
    return rows


def frame_of(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def floor(moment: datetime, grain: int) -> datetime:
    moment = moment.replace(second=0, microsecond=0)
    return moment if grain == 1 else moment.replace(minute=0) if grain == 2 else moment.replace(hour=0, minute=0)


def reference(rows: list[Row]) -> dict[tuple[Any, ...], dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        for grain in (1, 2, 3):
            groups.setdefault((grain, floor(row["_time"], grain), row["site"], row["on"]), []).append(row)
    answer = {}
    for key, members in groups.items():
        members.sort(key=lambda r: (r["_time"], r["_payload"], r["_index"]))
        made: dict[str, Any] = {"_n": len(members)}
        for i, metric in enumerate(METRICS):
            present = [r for r in members if r[metric.name] is not None]
            values = [r[metric.name] for r in present]
            made[f"m{i}_count"] = len(values)
            made[f"m{i}_sum"] = (math.fsum(values), math.fsum(map(abs, values)))
            made[f"m{i}_sumsq"] = (math.fsum(v * v for v in values), math.fsum(v * v for v in values))
            made[f"m{i}_min"] = min(values, default=None)
            made[f"m{i}_max"] = max(values, default=None)
            for end, place in (("first", 0), ("last", -1)):
                row = present[place] if present else {metric.name: None, "_time": None, "_payload": None}
                made |= {
                    f"m{i}_{end}": row[metric.name],
                    f"m{i}_{end}_at": row["_time"],
                    f"m{i}_{end}_by": row["_payload"],
                }
        answer[key] = made
    return answer


def keyed(frame: pl.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    key = ["grain", "bucket", *DIMS]
    return {tuple(row.pop(name) for name in key): row for row in frame.iter_rows(named=True)}


def assert_same(found: dict[tuple[Any, ...], dict[str, Any]], wanted: dict[tuple[Any, ...], dict[str, Any]]) -> None:
    assert found.keys() == wanted.keys()
    for key, row in wanted.items():
        assert found[key].keys() == row.keys()
        for name, value in row.items():
            if name.endswith(("_sum", "_sumsq")):
                total, size = value
                assert abs(found[key][name] - total) <= 1e-12 * size, (key, name)
            else:
                assert found[key][name] == value, (key, name)


def merged(parts: list[pl.DataFrame]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows of several rollups united as the database unites them."""
    stored: dict[tuple[Any, ...], dict[str, Any]] = {}
    for part in parts:
        for key, new in keyed(part).items():
            old = stored.setdefault(key, new)
            if old is new:
                continue
            old["_n"] += new["_n"]
            for i in range(len(METRICS)):
                for name in ("count", "sum", "sumsq"):
                    old[f"m{i}_{name}"] += new[f"m{i}_{name}"]
                for name, best in (("min", min), ("max", max)):
                    both = [v for v in (old[f"m{i}_{name}"], new[f"m{i}_{name}"]) if v is not None]
                    old[f"m{i}_{name}"] = best(both, default=None)
                for end, wins in (("first", lambda a, b: a < b), ("last", lambda a, b: a > b)):
                    places = [(side[f"m{i}_{end}_at"], side[f"m{i}_{end}_by"]) for side in (new, old)]
                    if places[0][0] is not None and (places[1][0] is None or wins(*places)):
                        old |= {f"m{i}_{end}{part}": new[f"m{i}_{end}{part}"] for part in ("", "_at", "_by")}
    return stored


@given(batches())
def test_every_bucket_is_what_its_records_say(rows: list[Row]) -> None:
    # Few records and many take roads of their own; both give the same rows in the same order.
    for road in (rollup, rollup_many):
        made = road(frame_of(rows), METRICS, DIMS)
        assert_same(keyed(made), reference(rows))
        assert made.equals(made.sort("grain", "bucket", *DIMS))


@given(rows=batches(), data=st.data())
def test_the_result_does_not_depend_on_the_cut(rows: list[Row], data: st.DataObject) -> None:
    cut = data.draw(st.lists(st.integers(0, rows[-1]["_payload"] + 1), max_size=3).map(sorted))
    edges = [0, *cut, rows[-1]["_payload"] + 1]
    parts = [[r for r in rows if low <= r["_payload"] < high] for low, high in pairwise(edges)]
    frames = [rollup(frame_of(part), METRICS, DIMS) for part in data.draw(st.permutations(parts)) if part]
    assert_same(merged(frames), reference(rows))


@given(batches(), st.randoms())
def test_the_order_of_the_rows_does_not_matter(rows: list[Row], random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    assert_same(keyed(rollup(frame_of(shuffled), METRICS, DIMS)), reference(rows))


@pytest.mark.parametrize("road", [rollup, rollup_many])
def test_the_shape_is_the_table_s(road: Road) -> None:
    row = {"_time": START, "_payload": 7, "_index": 0, "x": 1.5, "n": 2, "site": "a", "on": None}
    made = road(frame_of([row]), METRICS, ["site"])
    assert made.schema == {
        "grain": pl.Int16,
        "bucket": pl.Datetime("us", "UTC"),
        "site": pl.String,
        "_n": pl.Int64,
        **{
            f"m{i}_{name}": kind
            for i, value in enumerate((pl.Float64, pl.Int64))
            for name, kind in {
                "count": pl.Int64,
                "sum": pl.Float64,
                "sumsq": pl.Float64,
                "min": value,
                "max": value,
                "first": value,
                "first_at": pl.Datetime("us", "UTC"),
                "first_by": pl.Int64,
                "last": value,
                "last_at": pl.Datetime("us", "UTC"),
                "last_by": pl.Int64,
            }.items()
        },
    }
    assert made["bucket"].to_list() == [START, START.replace(minute=0), START.replace(hour=0, minute=0)]


@pytest.mark.parametrize("road", [rollup, rollup_many])
def test_an_empty_batch_and_a_batch_without_metrics_or_dimensions(road: Road) -> None:
    assert road(frame_of([]), METRICS, DIMS).height == 0
    row = {"_time": START, "_payload": 1, "_index": 0, "x": None, "n": None, "site": None, "on": None}
    assert road(frame_of([row, row]), [], []).select("grain", "_n").rows() == [(1, 2), (2, 2), (3, 2)]


@pytest.mark.parametrize("road", [rollup, rollup_many])
def test_nan_is_no_value_and_sums_saturate(road: Road) -> None:
    rows = [
        {"_time": START, "_payload": 1, "_index": i, "x": x, "n": None, "site": "a", "on": True}
        for i, x in enumerate([math.nan, 1e308, 1e308, math.nan])
    ]
    first = keyed(road(frame_of(rows), METRICS, DIMS))[(1, START, "a", True)]
    assert (first["_n"], first["m0_count"], first["m0_first"], first["m0_max"]) == (4, 2, 1e308, 1e308)
    assert (first["m0_sum"], first["m0_sumsq"]) == (1e300, 1e300)


def dimension(name: str, kind: Any = "text") -> FieldSpec:
    return FieldSpec(name, kind)


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        ({"site": ["a", "b"] * 100, "on": [True, False] * 100}, ["site", "on"]),
        ({"id": [f"id{i}" for i in range(200)], "site": ["a"] * 200}, ["site"]),  # nearly unique
        ({"id": [f"id{i % 90}" for i in range(200)]}, []),  # more than a third
        ({"id": [f"id{i}" for i in range(59)]}, ["id"]),  # too few records to tell
        ({"wide": [f"w{i % 201}" for i in range(2000)], "site": ["a"] * 2000}, ["site"]),
        ({"big": [f"b{i % 180}" for i in range(2000)], "mid": [f"m{i % 20}" for i in range(2000)]}, ["mid"]),
        ({"long": ["x" * 201] * 5}, []),
        ({"bucket": ["a"] * 5, "m0_first": ["a"] * 5, "_n": ["a"] * 5, "site": [None] * 5}, ["site"]),
    ],
)
def test_the_dimensions_worth_keeping(columns: dict[str, list[Any]], kept: list[str]) -> None:
    frame = pl.DataFrame(columns, schema={n: pl.Boolean if n == "on" else pl.String for n in columns})
    fields = [dimension(n, "boolean" if n == "on" else "text") for n in columns]
    assert choose_dims(frame, fields) == kept


def test_times_json_and_integers_are_not_dimensions_of_a_rollup() -> None:
    frame = pl.DataFrame({"t": [START], "j": ["{}"], "i": [1]})
    assert choose_dims(frame, [dimension("t", "timestamp"), dimension("j", "json"), dimension("i", "integer")]) == []
