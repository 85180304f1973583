"""How pages say what a rule watches, and when it fired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dash_app.pages.alert import intervals
from dash_app.pages.alerted import AlertDetail, Firing, condition_words, lasted, number, with_unit
from dash_app.pages.dashboard import with_limits
from dash_app.pages.reported import cron_words
from dash_app.storage.alerts import AlertEvent, AlertState

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUERY = {"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}], "by": ["site"]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {"query": QUERY, "condition": {"type": "threshold", "op": ">", "value": 30}, "for": "2m"},
            "avg of temp by site over 5m is above 30 °C, for 2m",
        ),
        (
            {"query": QUERY, "condition": {"type": "threshold", "op": "outside", "value": [5, 30]}, "window": "1h"},
            "avg of temp by site over 1h is outside 5 to 30 °C",
        ),
        (
            {"query": QUERY, "condition": {"type": "change", "by": "percent", "over": "1d", "op": ">", "value": 20}},
            "avg of temp by site over 5m changes within 1d by above 20 %",
        ),
        ({"query": {"select": []}, "condition": {"type": "missing"}}, "there are no records within 5m"),
        ({"pipeline": "orders", "watch": "stale"}, "stale of orders is above 600 s"),
    ],
    ids=["threshold", "band", "change", "missing", "watch"],
)
def test_a_rule_says_what_it_watches(document: dict[str, Any], words: str) -> None:
    assert condition_words(document, "°C") == words


def test_numbers_and_lengths_are_short() -> None:
    assert [number(each) for each in (None, 0.0, 30.95171, 1284312.4, 0.0237191)] == [
        "–",
        "0",
        "30.95",
        "1\u202f284\u202f312",
        "0.02372",
    ]
    assert with_unit(34.0, "°C") == "34 °C"
    assert [lasted(each) for each in (0, 45, 3 * 3600 + 12 * 60 + 5, 2 * 86_400)] == [
        "0 s",
        "45 s",
        "3 h 12 min",
        "2 d",
    ]


def event(number: int, what: str, minutes: int, **series: Any) -> AlertEvent:
    at = AT + timedelta(minutes=minutes)
    return AlertEvent(number, UUID(int=1), "hot", "Hot", "warning", series, at, what, 31.0, True, "", "", "")


def test_intervals_join_what_began_with_what_was_over() -> None:
    state = AlertState(
        *(UUID(int=1), "hot", "Hot", "warning", {}, UUID(int=2), "weather", {"site": "cellar"}, '{"site":"cellar"}'),
        *("firing", AT - timedelta(days=9), 35.0, "firing", None, "", ""),
    )
    events = [
        event(4, "firing", 30, site="roof"),
        event(3, "resolved", 20, site="roof"),
        event(2, "acknowledged", 12, site="roof"),
        event(1, "firing", 10, site="roof"),
    ]
    firing = Firing([state], {}, {})
    found = intervals(AlertDetail(None, "firing", firing, events, "", False))  # type: ignore[arg-type]
    start = round(AT.timestamp() * 1000)
    assert [(one["series"], one["from"] - start, one["to"] and one["to"] - start) for one in found] == [
        ("site = roof", 600_000, 1_200_000),
        ("site = roof", 1_800_000, None),
        ("site = cellar", -9 * 86_400_000, None),
    ]


def test_the_limits_of_alerts_stand_in_charts_over_time_alone() -> None:
    over_time = {"id": 1, "kind": "line", "query": {"every": "auto"}, "options": {"thresholds": [{"value": 5}]}}
    figure = {"id": 2, "kind": "stat", "query": {"every": "auto"}}
    made = with_limits({"tiles": [over_time, figure]}, {"1": [5.0, 30.0], "2": [1.0]})
    assert made["tiles"][0]["options"]["thresholds"] == [{"value": 5}, {"value": 30.0, "color": "bad"}]
    assert made["tiles"][1] == figure


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 7 * * 1", "Mondays at 07:00"),
        ("30 6 * * 1-5", "on workdays at 06:30"),
        ("0 7 * * *", "every day at 07:00"),
        ("0 7 1 * *", "on day 1 of each month at 07:00"),
        ("*/5 * * * *", "*/5 * * * *"),
        ("0 7 1 * 1", "0 7 1 * 1"),
    ],
)
def test_a_calendar_in_words(expression: str, words: str) -> None:
    assert cron_words(expression) == words
