"""The documents of rules, silences and maintenance windows: what is accepted, and what is said of the rest."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain import alerts
from dash_app.domain.alert_mutes import facts_of, matches, parse_silence, parse_window
from dash_app.domain.alerts import parse_alert, read_series, series_key, series_name
from dash_app.domain.errors import Invalid

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
RULE: dict[str, Any] = {
    "name": "Too hot",
    "slug": "too_hot",
    "query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}], "by": ["site"]},
    "condition": {"type": "threshold", "op": ">", "value": 30, "recover": 28},
}


def problems(document: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse_alert(document)
    return dict(caught.value.problems)


def test_a_rule_has_what_is_usual_where_it_says_nothing() -> None:
    spec = parse_alert(RULE)
    assert (spec.severity, spec.no_data_state, spec.enabled) == ("warning", "no_data", True)
    assert (spec.window, spec.pending_for, spec.repeat) == (timedelta(minutes=5), timedelta(), timedelta(hours=4))
    assert (spec.condition.value, spec.condition.recover) == ((30.0,), (28.0,))
    counted = parse_alert({**RULE, "query": {"pipeline": "weather"}})
    assert counted.measure is not None
    assert (counted.measure.agg, counted.measure.field) == ("count", None)
    watched = parse_alert({"name": "Still", "slug": "still", "pipeline": "weather", "watch": "stale"})
    assert (watched.watch, watched.condition.value) == ("stale", (600.0,))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": ""}, "name"),
        ({"name": "Too\r\nhot"}, "name"),
        ({"message": "a\x00b"}, "message"),
        ({"condition": {"type": "threshold", "op": "foo", "value": 1, "recover": 0}}, "condition.op"),
        ({"condition": {"type": "threshold", "op": ">", "value": int("9" * 400)}}, "condition.value"),
        ({"slug": "Too hot"}, "slug"),
        ({"slug": "firing"}, "slug"),
        ({"severity": "fatal"}, "severity"),
        ({"labels": {"a b": "c"}}, "labels.a b"),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"query": None}, "query"),
        ({"watch": "stale"}, "query"),
        ({"pipeline": "weather"}, "pipeline"),
        ({"query": {"pipeline": "weather", "every": "5m"}}, "query.every"),
        ({"query": {"pipeline": "weather", "select": [{"field": "temp"}]}}, "query.select"),
        ({"query": {"pipeline": "w", "select": [{"agg": "count"}, {"field": "a", "agg": "max"}]}}, "query.select"),
        ({"query": {"pipeline": "weather", "timezone": "Mars"}}, "query.timezone"),
        ({"condition": None}, "condition"),
        ({"condition": {"type": "magic"}}, "condition.type"),
        ({"condition": {"type": "threshold", "op": ">", "value": None}}, "condition.value"),
        ({"condition": {"type": "threshold", "op": "!=", "value": 1}}, "condition.op"),
        ({"condition": {"type": "threshold", "op": ">", "value": 1, "recover": 2}}, "condition.recover"),
        ({"condition": {"type": "threshold", "op": "outside", "value": 3}}, "condition.value"),
        ({"condition": {"type": "threshold", "op": "outside", "value": [3, 1]}}, "condition.value"),
        ({"condition": {"type": "threshold", "op": "inside", "value": [1, 3], "recover": [2, 4]}}, "condition.recover"),
        ({"condition": {"type": "threshold", "op": ">", "value": float("nan")}}, "condition.value"),
        ({"condition": {"type": "missing", "value": 1}}, "condition.value"),
        ({"condition": {"type": "change", "op": ">", "value": 1, "over": "90s"}}, "condition.over"),
        ({"condition": {"type": "quantile", "quantile": 2}}, "condition.quantile"),
        ({"condition": {"type": "anomaly", "weeks": 0}}, "condition.weeks"),
        ({"condition": {"type": "anomaly"}, "window": "7m"}, "window"),
        ({"window": "1s"}, "window"),
        ({"for": "soon"}, "for"),
        ({"every": "0s"}, "every"),
        ({"no_data_state": "alarm"}, "no_data_state"),
        ({"link": "javascript:alert(1)"}, "link"),
        ({"sinks": "mail"}, "sinks"),
        ({"repeat": "1s"}, "repeat"),
        ({"enabled": "yes"}, "enabled"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_with_its_place(change: dict[str, Any], place: str) -> None:
    found = problems({**RULE, **change})
    assert place in found, found
    assert found[place]


def test_a_watch_is_held_against_a_threshold_alone() -> None:
    rule = {"name": "Still", "slug": "still", "pipeline": "weather", "watch": "stale"}
    assert "condition.type" in problems({**rule, "condition": {"type": "missing"}})
    assert "pipeline" in problems({**rule, "pipeline": None})
    assert "watch" in problems({**rule, "watch": "mood"})


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=8), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["name", "slug", "query", "select", "by", "condition", "type", "op", "value", "recover", "window", "sinks"]
    ) | st.text(max_size=4), inner, max_size=6)
), max_leaves=20))  # fmt: skip
def test_nothing_that_is_sent_breaks_it(document: Any) -> None:
    for made in (document, {**RULE, "condition": document}, {**RULE, "query": document}, {**RULE, "window": document}):
        with suppress(Invalid):
            parse_alert(made)


def test_series_have_one_name_whatever_the_order() -> None:
    assert series_key({"b": 1, "a": None}) == series_key({"a": None, "b": 1}) == '{"a":null,"b":1}'
    assert read_series(series_key({"site": "Tromsø"})) == {"site": "Tromsø"}
    long = {f"dimension_{n}": f"{n}" + "\x01é" * 900 for n in range(10)}
    key = series_key(long)
    assert len(key.encode()) < 2000
    assert series_key(read_series(key)) == key
    assert key != series_key({**long, "dimension_0": long["dimension_0"] + "!"})
    assert series_name({"site": "roof", "level": None}) == "site = roof, level = (none)"


def test_every_condition_operator_and_watch_stands_in_the_docs() -> None:
    text = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text(encoding="utf-8")
    for name in (*alerts.CONDITIONS, *alerts.OPERATORS, *alerts.NO_DATA, *alerts.WATCHES, *alerts.SEVERITIES):
        assert f"`{name}`" in text, name
    for name in alerts.ALERT_KEYS:
        assert f"`{name}`" in text, name
    for name, limit in alerts.WATCH_LIMITS.items():
        assert f"| {limit:g} |" in next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))


# Silences and windows ------------------------------------------------------------------------------------------------


def test_silences_end() -> None:
    spec = parse_silence({"matchers": {"alert": "hot", "site": ["roof", "lab"]}, "duration": "2h"}, NOW)
    assert (spec.starts_at, spec.ends_at) == (NOW, NOW + timedelta(hours=2))
    wrong: list[dict[str, Any]] = [
        {"matchers": {}},
        {"matchers": {}, "duration": "2h", "to": "now+1h"},
        {"matchers": {}, "to": "now-1h"},
        {"matchers": {}, "from": "now-2h", "to": "now-1h"},
        {"matchers": {}, "duration": "9999w"},
        {"matchers": ["hot"], "duration": "2h"},
        {"matchers": {"alert": 1}, "duration": "2h"},
        {"matchers": {}, "duration": "2h", "sites": []},
    ]
    for document in wrong:
        with pytest.raises(Invalid) as caught:
            parse_silence(document, NOW)
        assert caught.value.problems


def test_relative_times_of_a_window_mean_when_it_was_written() -> None:
    spec = parse_window({"name": "Move", "from": "now+1h", "to": "now+3h"}, NOW)
    assert spec.document["from"] == (NOW + timedelta(hours=1)).isoformat()
    assert parse_window(spec.document, NOW + timedelta(days=3)).starts_at == spec.starts_at
    for document in (
        {"name": "x", "cron": "0 2 * *", "duration": "2h"},
        {"name": "x", "cron": "0 2 * * 6"},
        {"name": "x", "cron": "0 2 * * 6", "duration": "2h", "from": "now", "to": "now+1h"},
        {"name": "x", "cron": "0 2 * * 6", "duration": "2h", "timezone": "Mars"},
        {"name": "", "from": "now", "to": "now+1h"},
        {"name": "x", "from": "now+1h", "to": "now"},
    ):
        with pytest.raises(Invalid):
            parse_window(document, NOW)


def test_all_matchers_must_be_met_and_none_concern_everything() -> None:
    facts = facts_of("hot", "warning", "weather", {"team": "a"}, {"site": "roof", "level": 2.0, "open": True})
    assert matches({}, facts)
    assert matches({"alert": "hot", "site": ["lab", "roof"], "level": "2", "open": "true"}, facts)
    assert not matches({"alert": "hot", "site": "lab"}, facts)
    assert not matches({"nothing": "x"}, facts)
    # What a label is called cannot make an alert another one.
    assert facts_of("hot", "info", "w", {"alert": "cold"}, {"severity": "critical"})["alert"] == "hot"
