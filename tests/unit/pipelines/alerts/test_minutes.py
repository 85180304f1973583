"""Windows put together from minutes: the same as over the records themselves, whichever way they are taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.alert_mutes import Window
from dash_app.domain.errors import Invalid
from dash_app.domain.ids import new_id
from dash_app.domain.specs import Measure
from dash_app.pipelines.alerts import mutes as alert_mutes
from dash_app.pipelines.alerts.backtest_values import slid, whole
from dash_app.pipelines.alerts.minutes import MERGED, Columns, Minutes, finished, minute_of, moment_of, partial

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
FIRST = minute_of(START)

#: (second, value) of records within twenty minutes.
RECORDS = st.lists(st.tuples(st.integers(0, 20 * 60 - 1), st.none() | st.integers(-50, 50)), max_size=60)


def rows(columns: Columns, records: list[tuple[int, Any]]) -> list[tuple[Any, ...]]:
    """What the database would answer by the minute."""
    found = []
    for minute in range(20):
        here = [value for second, value in sorted(records, key=lambda r: r[0]) if second // 60 == minute]
        if not here:
            continue
        values = [whole(str(m.agg), m.field, here) for m in columns.select]
        found.append((moment_of(FIRST + minute), "roof", *values))
    return found


@given(RECORDS, st.sampled_from(MERGED), st.integers(1, 8), st.integers(1, 20))
def test_whole_minutes_give_what_the_records_give(
    records: list[tuple[int, Any]], agg: str, width: int, end: int
) -> None:
    measure = Measure("", "temp", agg)
    columns = Columns.of([measure])
    minutes = Minutes(columns)
    made = rows(columns, records)
    minutes.put(FIRST, FIRST + end, [row for row in made if minute_of(row[0]) < FIRST + end], 1)
    inside = [v for s, v in sorted(records, key=lambda r: r[0]) if (end - width) * 60 <= s < end * 60]
    expected = whole(agg, "temp", inside)
    found = minutes.values(measure, width, START + timedelta(minutes=end)).get(("roof",))
    assert found == (expected if expected is None else pytest.approx(expected))
    parts: list[Any] = [None] * 20
    for row in made:
        parts[minute_of(row[0]) - FIRST] = partial(columns, measure, row[2:], 1.0)
    part = slid(agg, parts, width)[end]
    shown = None if part is None else finished(agg, part)
    assert shown == (expected if expected is None else pytest.approx(expected))


@given(st.lists(st.integers(0, 19), max_size=12), RECORDS, RECORDS)
def test_minutes_read_again_replace_what_was_held(
    again: list[int], before: list[tuple[int, Any]], after: list[tuple[int, Any]]
) -> None:
    """Whatever is read anew in whatever order, the windows are those of what was read last."""
    measure = Measure("", "temp", "sum")
    columns = Columns.of([measure])
    one, fresh = Minutes(columns), Minutes(columns)
    old, new = rows(columns, before), rows(columns, after)
    one.put(FIRST, FIRST + 20, old, 1)
    now = START + timedelta(minutes=19, seconds=30)
    for minute in again:
        one.values(measure, 7, now)
        one.put(FIRST + minute, FIRST + minute + 1, [r for r in new if minute_of(r[0]) == FIRST + minute], 1)
    mixed = [r for r in new if minute_of(r[0]) - FIRST in again] + [
        r for r in old if minute_of(r[0]) - FIRST not in again
    ]
    fresh.put(FIRST, FIRST + 20, mixed, 1)
    assert one.values(measure, 7, now) == pytest.approx(fresh.values(measure, 7, now))


def test_between_whole_minutes_the_oldest_counts_in_part() -> None:
    count, total = Measure("", None, "count"), Measure("", "temp", "sum")
    columns = Columns.of([count, total])
    minutes = Minutes(columns)
    records = [(second, 1) for second in range(0, 240, 20)]  # three a minute, in four of them
    minutes.put(FIRST, FIRST + 4, rows(columns, records), 1)
    half = START + timedelta(minutes=3, seconds=30)
    # Half of the first minute, two whole ones, and the three of the minute that runs.
    assert minutes.values(total, 3, half)[("roof",)] == pytest.approx(1.5 + 6 + 3)
    assert minutes.values(count, 3, half)[("roof",)] == 2 + 6 + 3
    assert minutes.values(count, 3, half, over=True)[("roof",)] == 9


# Windows of maintenance ----------------------------------------------------------------------------------------------


def window(**document: Any) -> Window:
    made = {"name": "Patches", **document}
    alert_mutes.check_window(made, START)
    return Window(new_id(), "Patches", made, 1, START, "ann@example.com")


@pytest.mark.parametrize(
    ("at", "open_then"),
    [
        ("2026-01-10T00:59:00Z", False),
        ("2026-01-10T01:00:00Z", True),
        ("2026-01-10T02:59:59Z", True),
        ("2026-01-10T03:00:00Z", False),
        ("2026-07-11T00:30:00Z", True),  # two in the morning is an hour earlier in summer
        ("2026-07-11T02:30:00Z", False),
        ("2026-01-11T01:30:00Z", False),  # a Sunday
    ],
)
def test_a_window_opens_by_the_clock_on_the_wall(at: str, open_then: bool) -> None:
    spec = alert_mutes.read_window(window(cron="0 2 * * 6", timezone="Europe/Oslo", duration="2h"))
    assert alert_mutes.is_open(spec, datetime.fromisoformat(at)) is open_then


def test_a_cron_that_means_nothing_is_refused() -> None:
    for cron in ("0 2 31 2 *", "99 2 * * *", "0 2 * * funday"):
        with pytest.raises(Invalid) as caught:
            window(cron=cron, duration="1h")
        assert caught.value.problems[0][0] == "cron"
