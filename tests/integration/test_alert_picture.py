"""The chart that goes along with an alert, read from the pipeline that its rule watches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from dash_app.domain.access import Principal, Role
from dash_app.domain.ids import new_id
from dash_app.pipelines.alerts import setup as alert_setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.pictures import alert as alert_picture
from dash_app.pipelines.pictures.alert import chart_of
from tests.integration.conftest import House

MAPPING = {
    "time": {"path": "$.t"},
    "fields": [
        {"name": "temp", "path": "$.temp", "type": "number", "unit": "°C"},
        {"name": "site", "path": "$.site", "type": "text"},
    ],
}


def test_an_alert_brings_its_chart(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    pipeline = house.pipeline("weather", MAPPING)
    bodies = [
        orjson.dumps({"t": (at - timedelta(minutes=5 * n)).isoformat(), "temp": 20 + n % 9, "site": "roof"})
        for n in range(1, 12)
    ]
    house.put(pipeline, *bodies)
    Ingest(house.app).run(pipeline)
    author = Principal(new_id(), "ann@example.com", "Ann", house.team, "acme", "Acme", Role.admin)
    rule: dict[str, Any] = {
        "name": "Hot",
        "slug": "hot",
        "query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}], "by": ["site"]},
        "condition": {"type": "threshold", "op": ">", "value": 25},
    }
    watch = {"name": "Stale", "slug": "stale", "pipeline": "weather", "watch": "stale",
             "condition": {"type": "threshold", "op": ">", "value": 60}}  # fmt: skip
    with house.app.database.team(house.team) as unit:
        for document in (rule, watch):
            alert_setup.create_alert(unit, house.team, document, author)
        unit.commit()
    facts = {"alert": "hot", "state": "firing", "series": {"site": "roof"}, "at": at.isoformat(), "unit": "°C"}
    made = chart_of(house.app, house.team, {**facts, "since": (at - timedelta(minutes=10)).isoformat()})
    assert made is not None
    assert (made.name, made.content_type) == ("chart.png", "image/png")
    assert made.data.startswith(b"\x89PNG")
    # What cannot be drawn leaves the message without a chart, and whole.
    with monkeypatch.context() as broken:
        broken.setattr(alert_picture, "_drawn", lambda *_: [][0])
        assert chart_of(house.app, house.team, facts) is None
    # The same message has the same chart at every attempt, whatever has come since.
    house.put(pipeline, orjson.dumps({"t": (at + timedelta(seconds=5)).isoformat(), "temp": 99, "site": "roof"}))
    Ingest(house.app).run(pipeline)
    again = chart_of(house.app, house.team, {**facts, "since": (at - timedelta(minutes=10)).isoformat()})
    assert again == made
    assert chart_of(house.app, house.team, {**facts, "series": {"site": "cellar"}}) is None
    assert chart_of(house.app, house.team, {**facts, "alert": "stale", "series": {}}) is None
    assert chart_of(house.app, house.team, {**facts, "alert": "gone"}) is None
    assert chart_of(house.app, new_id(), facts) is None
    assert chart_of(house.app, house.team, {"sink": "x"}) is None
