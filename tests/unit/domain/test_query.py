"""The query document and its buckets: what is read, what is refused and with which words, and where the clock jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app.domain.buckets import GRAINS, MOST_EDGES, Grid, pieces
from dash_app.domain.errors import Invalid
from dash_app.domain.query import AGGREGATES, grid, parse_every, parse_query, parse_time
from dash_app.domain.specs import Measure

NOW = datetime(2026, 3, 29, 10, 30, 15, 250_000, tzinfo=UTC)  # the day on which Oslo's clock goes forward
OSLO = ZoneInfo("Europe/Oslo")


def ask(**more: Any) -> Any:
    return parse_query({"pipeline": "weather", **{key.rstrip("_"): value for key, value in more.items()}}, NOW)


def problems(**more: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        ask(**more)
    return dict(caught.value.problems)


# The document --------------------------------------------------------------------------------------------------------


def test_the_example_of_the_contract() -> None:
    spec = ask(
        select=[{"field": "temp", "agg": "avg", "as": "t"}, {"agg": "count"}], by=["site"], every="5m",
        from_="now-24h", to="now",
        where="site != 'lab'", limit=10000, timezone="Europe/Oslo",
    )  # fmt: skip
    assert spec.select == (Measure("t", "temp", "avg"), Measure("count", None, "count"))
    assert (spec.by, spec.every, spec.where, spec.limit, spec.timezone) == (
        ("site",),
        (5, "m"),
        "site != 'lab'",
        10000,
        "Europe/Oslo",
    )
    assert (spec.start, spec.end) == (NOW - timedelta(hours=24), NOW)
    assert spec.aggregated


def test_what_is_left_out() -> None:
    spec = ask()
    assert (spec.select, spec.by, spec.every, spec.limit, spec.timezone, spec.aggregated) == (
        (),
        (),
        None,
        1000,
        "UTC",
        False,
    )
    assert (spec.start, spec.end) == (NOW - timedelta(hours=24), NOW)
    assert ask(every="1h").select == ask(by=["site"]).select == (Measure("count", None, "count"),)
    assert ask(every="1h").limit == 10_000
    assert [m.name for m in ask(select=[{"field": "t", "agg": "avg"}, {"field": "t", "agg": "max"}]).select] == [
        "t_avg",
        "t_max",
    ]
    assert ask(where="  ").where is None


@pytest.mark.parametrize(
    ("value", "zone", "expected"),
    [
        ("now", "UTC", NOW),
        ("now-90s", "UTC", NOW - timedelta(seconds=90)),
        ("now+1h", "UTC", NOW + timedelta(hours=1)),
        ("now-30m", "UTC", NOW - timedelta(minutes=30)),
        ("now-2w", "UTC", NOW - timedelta(days=14)),
        ("now-1M", "UTC", datetime(2026, 2, 28, 10, 30, 15, 250_000, tzinfo=UTC)),
        ("now-1y", "UTC", NOW.replace(year=2025)),
        ("now+11M", "UTC", datetime(2027, 2, 28, 10, 30, 15, 250_000, tzinfo=UTC)),
        ("now/d", "UTC", datetime(2026, 3, 29, tzinfo=UTC)),
        ("now/d", "Europe/Oslo", datetime(2026, 3, 28, 23, tzinfo=UTC)),
        ("now-1d/d", "Europe/Oslo", datetime(2026, 3, 27, 23, tzinfo=UTC)),
        ("now/w", "UTC", datetime(2026, 3, 23, tzinfo=UTC)),
        ("now/M", "Europe/Oslo", datetime(2026, 2, 28, 23, tzinfo=UTC)),
        ("now/y", "UTC", datetime(2026, 1, 1, tzinfo=UTC)),
        ("now/h", "Asia/Kathmandu", datetime(2026, 3, 29, 10, 15, tzinfo=UTC)),
        ("now/d+6h", "UTC", datetime(2026, 3, 29, 6, tzinfo=UTC)),
        # The same time on the wall, on a day of 23 hours.
        ("now-1d", "Europe/Oslo", NOW - timedelta(hours=23)),
        ("2026-03-01T12:00:00Z", "Europe/Oslo", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00+05:45", "UTC", datetime(2026, 3, 1, 6, 15, tzinfo=UTC)),
        ("2026-03-01T12:00:00", "Europe/Oslo", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("2026-03-01", "Europe/Oslo", datetime(2026, 2, 28, 23, tzinfo=UTC)),
        (1_772_366_400_000, "Europe/Oslo", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("1772366400000", "UTC", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (0, "UTC", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_times(value: Any, zone: str, expected: datetime) -> None:
    assert parse_time(value, NOW, zone) == expected


@pytest.mark.parametrize(
    "value",
    ["yesterdayish", "", "now-", "now-1x", "now -1h", "now-1.5h", "12:00", True, [], {}, "now/q", "NaN", float("nan")],
)
def test_times_that_are_none(value: Any) -> None:
    found = problems(from_=value)
    assert list(found) == ["from"]
    assert "now-24h" in found["from"]


@pytest.mark.parametrize("value", ["now-9999y", "now+999999y", "now-999999w", 10**18, float("inf"), "0001-01-01"])
def test_times_out_of_all_range(value: Any) -> None:
    assert "years" in problems(from_=value)["from"]


@pytest.mark.parametrize(
    ("more", "place", "words"),
    [
        ({"pipeline": None}, "pipeline", "slug or id"),
        ({"pipeline": 5}, "pipeline", "slug or id"),
        ({"groupby": ["a"]}, "groupby", "it has pipeline, select"),
        ({"select": "temp"}, "select", "list"),
        ({"select": []}, "select", "leave it out"),
        ({"select": ["temp"]}, "select[0]", "object"),
        ({"select": [{"field": "t", "agg": "explode"}]}, "select[0].agg", ", ".join(AGGREGATES)),
        ({"select": [{"agg": "avg"}]}, "select[0].field", "only count"),
        ({"select": [{"field": 3, "agg": "avg"}]}, "select[0].field", "name"),
        ({"select": [{"field": "t", "agg": "avg", "as": "\n"}]}, "select[0].as", "printable"),
        ({"select": [{"field": "t", "alias": "x"}]}, "select[0].alias", "field, agg and as"),
        ({"select": [{"field": "t", "agg": "avg"}, {"field": "t"}]}, "select", "either every column"),
        ({"select": [{"field": "t"}], "every": "1h"}, "select", "needs an agg"),
        ({"select": [{"agg": "count"}, {"agg": "count"}]}, "select[1]", "two columns"),
        ({"select": [{"agg": "count", "as": "time"}], "every": "1h"}, "select[0]", "two columns"),
        ({"select": [{"agg": "count", "as": "site"}], "by": ["site"]}, "select[0]", "two columns"),
        ({"select": [{"field": "t", "as": "_time"}]}, "select[0]", "two columns"),
        ({"by": "site"}, "by", "list"),
        ({"by": [1]}, "by", "list"),
        ({"by": ["a", "a"]}, "by[1]", "two columns"),
        ({"every": "5 minutes"}, "every", "5m"),
        ({"every": "0m"}, "every", "5m"),
        ({"every": 300}, "every", "5m"),
        ({"from_": "now", "to": "now-1h"}, "from", "after"),
        ({"limit": 0}, "limit", "100,000"),
        ({"limit": 100_001}, "limit", "100,000"),
        ({"limit": True}, "limit", "100,000"),
        ({"limit": "10"}, "limit", "100,000"),
        ({"timezone": "Mars/Olympus"}, "timezone", "Europe/Oslo"),
        ({"timezone": "Europe"}, "timezone", "Europe/Oslo"),
        ({"timezone": "../../etc/passwd"}, "timezone", "Europe/Oslo"),
        ({"timezone": ""}, "timezone", "Europe/Oslo"),
        ({"where": 5}, "where", "text"),
        ({"where": "a\x00"}, "where", "text"),
        ({"where": "a = '\ud800'"}, "where", "text"),
        ({"pipeline": "\ud800"}, "pipeline", "slug or id"),
        ({"by": ["\ud800"]}, "by", "list"),
        ({"order": "count", "select": [{"field": "temp"}]}, "order", "one of the columns is meant"),
        ({"order": "size", "by": ["site"]}, "order", "site, count"),
        ({"cursor": "x", "by": ["site"]}, "cursor", "aggregates have none"),
    ],
)  # fmt: skip
def test_what_is_refused(more: dict[str, Any], place: str, words: str) -> None:
    found = problems(**more)
    assert list(found) == [place]
    assert words in found[place]


def test_all_problems_come_at_once() -> None:
    assert set(problems(every="x", limit=-1, timezone="x", from_="x")) == {"every", "limit", "timezone", "from"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(
        ["pipeline", "select", "by", "every", "from", "to", "where", "limit", "timezone", "order", "cursor"]
    ),
)
def test_anything_is_read_or_refused(value: Any, key: str) -> None:
    refused: Invalid | None = None
    try:
        parse_query({"pipeline": "weather", key: value}, NOW)
    except Invalid as error:
        refused = error
    assert refused is None or refused.problems


# Buckets -------------------------------------------------------------------------------------------------------------

ZONES = [
    "UTC",
    "Europe/Oslo",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Havana",
    "Pacific/Apia",
    "America/Sao_Paulo",
]
EVERY = ["1s", "10s", "1m", "7m", "30m", "1h", "2h", "6h", "7h", "12h", "1d", "3d", "1w", "2w", "1M", "3M", "1y", "5y"]
moments = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given as such


@settings(max_examples=80, deadline=None)
@given(moments, st.sampled_from(ZONES), st.sampled_from(EVERY), st.floats(0, 1))
def test_a_moment_lies_in_its_bucket_and_edges_are_all_buckets(
    moment: datetime, zone: str, every: str, share: float
) -> None:
    buckets = Grid(*parse_every(every), ZoneInfo(zone))
    begin = buckets.floor(moment)
    assert begin <= moment
    assert buckets.floor(begin) == begin
    width = timedelta(
        seconds=buckets.count
        * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2678400, "y": 31622400}[buckets.unit]
    )
    edges = buckets.edges(moment, moment + 5 * width)
    assert edges[0] == begin
    assert all(a < b for a, b in pairwise(edges))
    probe = moment + 5 * width * share
    if probe < moment + 5 * width:
        assert buckets.floor(probe) == max(edge for edge in edges if edge <= probe)
    even = buckets.uniform(moment, moment + 5 * width)
    if even:
        assert edges == [even[1] + n * timedelta(seconds=even[0]) for n in range(len(edges))]
    seconds = GRAINS[buckets.grain(moment, moment + 5 * width)]
    if seconds:
        assert all(edge.timestamp() % seconds == 0 for edge in edges[1:])


@pytest.mark.parametrize(
    ("every", "zone", "start", "walls"),
    [
        # Forward at 02:00: there is no 02:30, and the bucket from midnight has five hours.
        ("1h", "Europe/Oslo", "2026-03-29T00:00", ["00:00", "01:00", "03:00", "04:00"]),
        ("6h", "Europe/Oslo", "2026-03-29T00:00", ["00:00", "06:00", "12:00", "18:00"]),
        ("2h", "Europe/Oslo", "2026-03-29T00:00", ["00:00", "03:00", "04:00", "06:00"]),
        # Back at 03:00: the hour from 02:00 comes twice, and is two buckets of an hour.
        ("1h", "Europe/Oslo", "2025-10-26T01:00", ["01:00", "02:00", "02:00", "03:00"]),
        ("30m", "Europe/Oslo", "2025-10-26T02:00", ["02:00", "02:30", "02:00", "02:30", "03:00"]),
        ("2h", "Europe/Oslo", "2025-10-26T00:00", ["00:00", "02:00", "04:00", "06:00"]),
        ("1d", "Europe/Oslo", "2026-03-28T00:00", ["00:00", "00:00", "00:00"]),
        # Half an hour forward and back.
        ("1h", "Australia/Lord_Howe", "2025-10-05T01:00", ["01:00", "02:30", "03:00"]),
        ("1h", "Australia/Lord_Howe", "2026-04-05T00:00", ["00:00", "01:00", "02:00"]),
        # Midnight itself is skipped.
        ("1d", "America/Havana", "2025-03-08T00:00", ["00:00", "01:00", "00:00"]),
        ("1h", "Asia/Kathmandu", "2026-01-01T00:00", ["00:00", "01:00"]),
    ],
)
def test_edges_where_the_clock_jumps(every: str, zone: str, start: str, walls: list[str]) -> None:
    place = ZoneInfo(zone)
    begin = datetime.fromisoformat(start).replace(tzinfo=place)
    edges = Grid(*parse_every(every), place).edges(begin, begin.astimezone(UTC) + timedelta(days=9))[: len(walls)]
    assert [edge.astimezone(place).strftime("%H:%M") for edge in edges] == walls


def test_a_day_that_never_was_has_no_bucket() -> None:
    apia = ZoneInfo("Pacific/Apia")
    edges = Grid(1, "d", apia).edges(datetime(2011, 12, 29, tzinfo=apia), datetime(2012, 1, 1, tzinfo=apia))
    assert [edge.astimezone(apia).day for edge in edges] == [29, 31]


def test_weeks_begin_on_monday_and_quarters_with_their_first_month() -> None:
    assert Grid(1, "w", UTC).floor(NOW) == datetime(2026, 3, 23, tzinfo=UTC)
    assert Grid(3, "M", UTC).floor(NOW) == datetime(2026, 1, 1, tzinfo=UTC)
    assert Grid(10, "y", UTC).floor(NOW) == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "zone", "grain"),
    [
        ("1d", "UTC", 3), ("1w", "UTC", 3), ("1M", "UTC", 3), ("1h", "UTC", 2),
        ("6h", "UTC", 2), ("5m", "UTC", 1), ("90m", "UTC", 1), ("10s", "UTC", 0),
        ("1d", "Europe/Oslo", 2), ("1M", "Europe/Oslo", 2), ("1d", "Asia/Kathmandu", 1),
        ("1h", "Asia/Kathmandu", 1), ("1h", "Europe/Oslo", 2),
    ],
)  # fmt: skip
def test_the_coarsest_grain_that_fits(every: str, zone: str, grain: int) -> None:
    assert Grid(*parse_every(every), ZoneInfo(zone)).grain(NOW - timedelta(days=200), NOW) == grain


def test_too_many_buckets_are_refused() -> None:
    with pytest.raises(Invalid, match=f"{MOST_EDGES:,} buckets"):
        Grid(2, "h", OSLO).edges(NOW - timedelta(days=365 * 40), NOW)


def test_messages_can_be_printed() -> None:
    with pytest.raises(Invalid) as caught:
        parse_query(
            {"pipeline": "weather", "\ud800": 1, "every": "\ud800", "from": "\ud800", "timezone": "\ud800"}, NOW
        )
    assert len(caught.value.problems) == 4
    assert str(caught.value).encode()


def test_two_thousand_years_are_answered_at_once() -> None:
    assert Grid(1, "s", ZoneInfo("UTC")).uniform(datetime(2, 1, 1, tzinfo=UTC), NOW) == (
        1,
        datetime(2, 1, 1, tzinfo=UTC),
    )
    assert Grid(1, "s", OSLO).uniform(datetime(2, 1, 1, tzinfo=UTC), NOW) is None


def test_a_query_knows_its_buckets() -> None:
    assert grid(ask(every="1d", timezone="Europe/Oslo")) == Grid(1, "d", OSLO)
    assert grid(ask()) is None


@given(moments, st.integers(0, 10**15), st.integers(0, 3))
def test_pieces_cover_a_range_once(start: datetime, microseconds: int, grain: int) -> None:
    end = start + timedelta(microseconds=microseconds)
    cut = pieces(start, end, grain)
    assert all(a < b for _, a, b in cut)
    assert [a for _, a, _ in cut] + [end] == [start] + [b for _, _, b in cut] or start == end
    assert all(one <= grain for one, _, _ in cut)
    for one, a, b in cut:
        if one:
            assert all(edge.timestamp() % GRAINS[one] == 0 and edge.microsecond == 0 for edge in (a, b))
    # Nothing that a finer grain reads could have been read from a coarser one in its whole.
    for finer, a, b in cut:
        for coarser in range(finer + 1, grain + 1):
            width = timedelta(seconds=GRAINS[coarser])
            first = a + (datetime(1970, 1, 1, tzinfo=UTC) - a) % width
            assert first + width > b
