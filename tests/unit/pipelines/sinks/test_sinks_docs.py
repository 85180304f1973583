"""docs/sinks.md and the pages that it leads to name every kind of sink and every option."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dash_app.domain.delivery import BREAKER_FAILURES, BREAKER_LONGEST, GIVEN_UP_AFTER, SCHEDULE
from dash_app.pipelines.delivery.deliver import SINK_PLACES, TEAM_PLACES
from dash_app.pipelines.sinks import Sink, load_sinks
from dash_app.storage.delivery_history import KEEP_DEAD, KEEP_SENT, MOST_SENT

DOCS = Path(__file__).parents[4] / "docs"
SINKS = (DOCS / "sinks.md").read_text()
LED_TO = "\n".join((DOCS / name).read_text() for name in sorted(set(re.findall(r"\]\(([a-z-]+\.md)", SINKS))))


@pytest.mark.parametrize("kind", list(load_sinks()), ids=lambda kind: kind.kind)
def test_every_kind_and_its_options(kind: type[Sink]) -> None:
    assert f"`{kind.kind}`" in SINKS
    for name in set(kind.options()) - set(Sink.options()):
        assert f"`{name}`" in SINKS + LED_TO, name


def test_the_promises_are_those_of_the_code() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    line = " ".join(SINKS.split("- **Attempts**")[1].split("- **")[0].split())
    spans = re.findall(r"([0-9]+) (s|min|h)\b", line)
    assert [0, *(int(n) * units[unit] for n, unit in spans)] == list(SCHEDULE)
    assert (BREAKER_FAILURES, BREAKER_LONGEST / 60, GIVEN_UP_AFTER.days) == (5, 15, 5)
    assert (SINK_PLACES, TEAM_PLACES) == (4, 8)
    assert (KEEP_DEAD.days, KEEP_SENT.days, MOST_SENT) == (30, 7, 100_000)


def test_the_example_of_the_first_page_works() -> None:
    document = json.loads(re.findall(r"-d '\n(\{.*?\})'", SINKS, re.S)[0])
    load_sinks()[document["kind"]].from_options(document["options"])
