"""What the hypertables' code works out by itself: stretches of time, releases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from dash_app.storage.timescale import OLDEST, _numbers, stretches

START = datetime(2024, 3, 1, tzinfo=UTC)


def at(*hours: float) -> list[datetime]:
    return [START + timedelta(hours=hour) for hour in hours]


def test_stretches_hold_every_moment_and_no_long_gap() -> None:
    times = at(0, 0, 0.5, 1.4, 3, 50)
    assert list(stretches(times)) == [(times[0], times[3]), (times[4], times[4]), (times[5], times[5])]
    assert list(stretches([])) == []
    assert list(stretches(times[:1])) == [(times[0], times[0])]


@pytest.mark.parametrize("apart", [2.0, 30.0, 24.0 * 40])
def test_stretches_stay_few_where_times_are_many_and_far_apart(apart: float) -> None:
    times = at(*(n * apart for n in range(40)), *(n * apart + 100_000 for n in range(40)))
    found = list(stretches(times))
    assert len(found) <= 50
    assert all(any(low <= moment <= high for low, high in found) for moment in times)
    assert all(high < low for (_, high), (low, _) in pairwise(found))


def test_thousands_of_times_over_years_are_some_dozens_of_stretches() -> None:
    times = at(*(n * 5.0 for n in range(5000)))
    assert list(stretches(times)) == [(times[0], times[-1])]


@pytest.mark.parametrize(
    ("release", "new_enough"),
    [("2.19.3", False), ("2.20.0", True), ("2.30.0-dev", True), ("3.0", True), ("1.7", False)],
)
def test_a_release_is_compared_by_its_numbers(release: str, new_enough: bool) -> None:
    assert (_numbers(release) >= OLDEST) == new_enough
