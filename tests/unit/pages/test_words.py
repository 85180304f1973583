"""Numbers, sizes and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dash_app.pages import words


@pytest.mark.parametrize(
    ("value", "said"), [(None, "–"), (0, "0"), (999, "999"), (1234, "1\u202f234"), (1_284_312, "1\u202f284\u202f312")]
)
def test_counts_are_grouped(value: int | None, said: str) -> None:
    assert words.count(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0 B"), (999, "999 B"), (1300, "1.3 kB"), (12_400, "12 kB"), (3_000_000_000, "3.0 GB")]
)
def test_sizes_have_their_largest_unit(value: int, said: str) -> None:
    assert words.size(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (0, "0 s"), (2.44, "2.4 s"), (89, "89 s"), (720, "12 min"), (7200, "2 h"), (432_000, "5 d")],
)
def test_lengths_have_their_largest_unit(value: float | None, said: str) -> None:
    assert words.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(30, "every 30 s"), (60, "every minute"), (300, "every 5 min"), (3600, "every hour"), (90, "every 90 s")],
)
def test_intervals(value: int, said: str) -> None:
    assert words.every(value) == said


def test_one_is_not_many() -> None:
    assert [words.plural(n, "reject") for n in (0, 1, 2)] == ["0 rejects", "1 reject", "2 rejects"]
    assert words.plural(3, "entry", "entries") == "3 entries"


def test_a_time_ticks_in_the_browser_and_says_the_whole_time() -> None:
    made = words.ago(datetime(2026, 1, 1, tzinfo=UTC))
    assert 'data-ago="1767225600000"' in made
    assert "2026-01-01 00:00:00 UTC" in made


def test_no_time_is_a_word_that_is_escaped() -> None:
    assert words.ago(None, "<never>") == "&lt;never&gt;"


def test_shares_are_whole_only_when_all_is_done_and_moments_are_in_utc() -> None:
    assert [words.share(value) for value in (None, 0.0, 0.999, 1.0)] == ["–", "0 %", "99 %", "100 %"]
    assert words.moment(datetime(2026, 3, 4, 7, 6, tzinfo=timezone(timedelta(hours=2)))) == "4 Mar 2026 05:06"
    assert words.left(None) == "–"
    assert words.left(datetime(2020, 1, 1, tzinfo=UTC)) == "0 s"


def test_cells_of_every_type() -> None:
    values = [None, True, 1.5, 12, "x" * 300, datetime(2026, 1, 1, 12, tzinfo=UTC)]
    assert [words.cell(value) for value in values] == ["–", "true", "1.5", "12", "x" * 200, "2026-01-01 12:00:00"]
