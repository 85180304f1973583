"""A message is shown before there is one, with a value that would make it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dash_app.domain.alerts import parse_alert
from dash_app.pipelines.alerts import words

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def rule(**more: Any) -> Any:
    return parse_alert(
        {
            "name": "Too hot",
            "slug": "too_hot",
            "query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}], "by": ["site"]},
            "condition": {"type": "threshold", "op": ">", "value": 30},
            "window": "5m",
            **more,
        }
    )


@pytest.mark.parametrize(
    ("op", "value", "fires"),
    [
        (">", 30, lambda v: v > 30),
        (">=", -5, lambda v: v >= -5),
        ("<", 0, lambda v: v < 0),
        ("<=", 200, lambda v: v <= 200),
        ("outside", [10, 20], lambda v: not 10 <= v <= 20),
        ("inside", [10, 20], lambda v: 10 <= v <= 20),
    ],
    ids=["above", "at_least", "below", "at_most", "outside", "inside"],
)
def test_the_example_has_a_value_that_fires_and_one_that_does_not(op: str, value: Any, fires: Any) -> None:
    spec = rule(condition={"type": "threshold", "op": op, "value": value})
    assert fires(words.example(spec, AT)["value"])
    assert not fires(words.example(spec, AT, state="resolved")["value"])
    assert words.example(spec, AT, state="no_data")["value"] is None


def test_the_example_reads_as_a_message_does() -> None:
    spec = rule(message="{{ series.site }}: {{ value }} {{ unit }}, over {{ threshold }}")
    facts = words.example(spec, AT, series={"site": "roof", "other": "x"}, unit="°C")
    assert words.title_of(facts) == "Firing: Too hot (site = roof)"
    assert words.text_of(spec, facts) == "roof: 33.0 °C, over 30.0"
    assert words.title_of(words.example(spec, AT, state="resolved")) == "Resolved: Too hot (site = …)"
    assert words.title_of(words.example(spec, AT, state="no_data")) == "No data: Too hot (site = …)"
    assert words.plain(words.example(rule(condition={"type": "missing"}), AT)).startswith("site = …: it fires.")


def test_a_template_is_checked_with_a_number_whatever_the_condition() -> None:
    for condition in ({"type": "missing"}, {"type": "quantile", "op": ">", "quantile": 0.9, "over": "1h"}):
        assert words.problems(rule(condition=condition, message="{{ value + 1 }}")) == []
    assert "valeu" in words.problems(rule(message="{{ valeu }}"))[0]
