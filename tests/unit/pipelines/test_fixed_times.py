"""Times of one width give what the parser of texts gives, or are left to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.pipelines import fixed_times, times

MOMENTS = st.datetimes(timezones=st.just(UTC))


def written(moment: datetime, digits: int) -> str:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S").zfill(19)
    return text + (f".{moment.microsecond:06d}"[: digits + 1] if digits else "") + "Z"


@given(st.lists(MOMENTS, min_size=1, max_size=20), st.integers(0, 6))
def test_every_time_is_read_as_it_was_written(moments: list[datetime], digits: int) -> None:
    found = fixed_times.micros(pl.Series([written(moment, digits) for moment in moments]))
    assert found is not None
    cut = 10 ** (6 - digits)
    wanted = [
        (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) // cut * cut for moment in moments
    ]
    assert found.tolist() == wanted


@given(st.lists(st.text("0123456789-:TZ. +", min_size=18, max_size=27), min_size=1, max_size=4))
def test_whatever_is_written_the_two_ways_agree(texts: list[str]) -> None:
    series = pl.Series(texts)
    found = fixed_times.micros(series)
    if found is not None:
        slow = series.to_frame("t").select(times.in_range(times.iso8601(pl.col("t")))).to_series()
        assert found.tolist() == slow.to_physical().to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
        "2026-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00z",
        "2026-01-01T00:00:0xZ", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.1234567Z",
        "２026-01-01T00:0Z",
    ],
)  # fmt: skip
def test_what_is_of_another_form_is_left_to_the_parser(text: str) -> None:
    assert fixed_times.micros(pl.Series([text])) is None
    assert fixed_times.micros(pl.Series(["2024-02-29T23:59:59Z", text])) is None


def test_texts_of_two_widths_nulls_and_nothing_are_left_to_the_parser() -> None:
    assert fixed_times.micros(pl.Series(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"])) is None
    assert fixed_times.micros(pl.Series(["2026-01-01T00:00:00Z", None])) is None
    assert fixed_times.micros(pl.Series([], dtype=pl.String)) is None


def test_a_slice_is_read_from_where_it_begins() -> None:
    series = pl.Series(["x", "2024-02-29T23:59:59Z", "1970-01-01T00:00:01Z"]).slice(1)
    found = fixed_times.micros(series)
    assert found is not None
    assert np.array_equal(found, [1_709_251_199_000_000, 1_000_000])
