"""Release of records: none twice, none left out, the same after any restart, bounded after a long stop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.demo.timeline import Clock, Feed, release_time, released, released_count

EPOCH = 1_700_000_000_000
FEED = Feed(
    name="numbers",
    note="",
    cadence_ms=2_000,
    offsets_ms=(-5_000, -5_000, -1_500, -10, 0),
    rows=tuple({"row": letter} for letter in "abcde"),
    render=lambda number, time_ms, row: {"n": number, "t": time_ms, **row},
)


@st.composite
def clocks(draw: st.DrawFn) -> Clock:
    marks = EPOCH
    pauses = []
    for before, length in draw(st.lists(st.tuples(st.integers(1, 60_000), st.integers(1, 60_000)), max_size=3)):
        pauses.append((marks + before, marks + before + length))
        marks += before + length
    return Clock(EPOCH, tuple(pauses))


def read_all(clock: Clock, moments: list[tuple[int, int]]) -> tuple[list[dict[str, object]], int]:
    """Reads on from where it was at each (now, limit), as a poller does."""
    cursor, seen = 0, []
    for now, limit in moments:
        records, cursor = released(FEED, clock, now, cursor, limit)
        seen += records
    return seen, cursor


def test_history_ends_at_the_epoch_and_then_the_records_follow_again() -> None:
    records, cursor = released(FEED, Clock(EPOCH), EPOCH + 4_000, 0, 100)
    assert [(r["row"], r["t"] - EPOCH) for r in records] == [
        ("a", -5_000),
        ("b", -5_000),
        ("c", -1_500),
        ("d", -10),
        ("e", 0),
        ("a", 2_000),
        ("b", 4_000),
    ]
    assert cursor == 7


@given(clocks(), st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 40)), min_size=1, max_size=30))
def test_reading_in_any_portions_gives_each_record_once_in_order(clock: Clock, steps: list[tuple[int, int]]) -> None:
    moments = sorted((EPOCH + after, limit) for after, limit in steps)
    seen, cursor = read_all(clock, moments)
    assert [r["n"] for r in seen] == list(range(cursor))
    whole, _ = released(FEED, clock, moments[-1][0], 0, 10**6)
    assert seen == whole[:cursor]


@given(clocks(), st.integers(0, 400_000))
def test_a_record_is_out_exactly_from_its_own_time_on(clock: Clock, after: int) -> None:
    now = EPOCH + after
    count = released_count(FEED, clock, now)
    times = [release_time(FEED, clock, n) for n in range(count + 1)]
    assert times == sorted(times)
    assert times[count - 1] <= now < times[count]


def test_the_clock_set_back_takes_nothing_back() -> None:
    _, cursor = released(FEED, Clock(EPOCH), EPOCH + 10_000, 0, 100)
    assert released(FEED, Clock(EPOCH), EPOCH - 50_000, cursor, 100) == ([], cursor)
    assert released_count(FEED, Clock(EPOCH), EPOCH - 50_000) == len(FEED.rows)


def test_a_pause_moves_what_follows_and_leaves_what_was_before() -> None:
    plain, paused = Clock(EPOCH), Clock(EPOCH, ((EPOCH + 5_000, EPOCH + 1_005_000),))
    assert [release_time(FEED, paused, n) for n in range(7)] == [release_time(FEED, plain, n) for n in range(7)]
    assert release_time(FEED, paused, 7) == EPOCH + 1_006_000
    assert released_count(FEED, paused, EPOCH + 1_000_000) == 7


def test_a_record_due_exactly_when_a_pause_begins_is_out_before_it() -> None:
    paused = Clock(EPOCH, ((EPOCH + 4_000, EPOCH + 90_000),))
    assert release_time(FEED, paused, 6) == EPOCH + 4_000
    assert released_count(FEED, paused, EPOCH + 4_000) == 7


@pytest.mark.parametrize(("cursor", "limit"), [(-1, 1), (0, -1)])
def test_negative_positions_are_refused(cursor: int, limit: int) -> None:
    with pytest.raises(ValueError, match="start at 0"):
        released(FEED, Clock(EPOCH), EPOCH, cursor, limit)


def test_a_feed_whose_last_offset_is_not_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="the last one 0"):
        Feed("x", "", 1, (0, 1), ({}, {}), FEED.render)
