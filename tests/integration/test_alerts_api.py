"""Rules, states, silences and windows over HTTP: what is answered, and what is refused with its place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest_asyncio

from dash_app.pipelines.alerts.evaluator import Evaluator
from dash_app.web.api import OPERATIONS
from dash_app.web.api.openapi import document
from tests.integration.rest import House, opened

OPENAPI = document(OPERATIONS)

MAPPING = {
    "time": {"path": "$.t"},
    "fields": [{"name": "n", "path": "$.n", "type": "number"}, {"name": "site", "path": "$.site", "type": "text"}],
}
RULE: dict[str, Any] = {
    "name": "Much",
    "slug": "much",
    "query": {"pipeline": "weather", "select": [{"field": "n", "agg": "max"}], "by": ["site"]},
    "condition": {"type": "threshold", "op": ">", "value": 10},
    "window": "30m",
}


@pytest_asyncio.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database_url, tmp_path) as made:
        yield made


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    return dict(answer.json())


def fits(name: str, answer: Any) -> Any:
    """The answer, which is what the document says of it."""
    assert answer.status_code < 300, answer.text
    operation = next(one for one in OPERATIONS if one.name == name)
    jsonschema.Draft202012Validator({**OPENAPI, **(operation.answer or {})}).validate(answer.json())
    return answer.json()


async def test_a_rule_from_its_making_to_its_end(house: House) -> None:
    pipeline = (await house.pipeline(mapping=MAPPING))["id"]
    made = await house.call("POST", "/alerts", RULE, who="editor")
    assert made.status_code == 201, made.text
    assert made.json()["document"] == RULE
    fits("create_alert", made)
    (line,) = fits("list_alerts", await house.call("GET", "/alerts?search=muc&pipeline=weather"))["items"]
    assert (line["slug"], line["state"], line["series"], line["error"]) == ("much", "", 0, "")
    now = datetime.now(UTC)
    records = [
        {"t": (now - timedelta(minutes=5)).isoformat(), "n": n, "site": site} for n, site in ((50, "a"), (1, "b"))
    ]
    await house.receive(pipeline, json.dumps(records).encode())
    await asyncio.to_thread(Evaluator(house.app).look)

    (state,) = fits("list_firing_alerts", await house.call("GET", "/alerts/firing", who="viewer"))["items"]
    assert (state["alert"], state["series"], state["state"], state["value"]) == ("much", {"site": "a"}, "firing", 50.0)
    assert [one["state"] for one in (await house.call("GET", "/alerts/much/states")).json()["items"]] == [
        "firing",
        "ok",
    ]
    seen = {"series": {"site": "a"}, "note": "looking"}
    problem(await house.call("POST", "/alerts/much/acknowledge", seen, who="viewer"), 403)
    assert (await house.call("POST", "/alerts/much/acknowledge", seen)).json() == {"acknowledged": 1}
    problem(await house.call("POST", "/alerts/much/acknowledge", {"series": {"site": "b"}}), 422)
    page = fits("list_alert_history", await house.call("GET", "/alerts/much/history?limit=1"))
    assert [(one["what"], one["note"]) for one in page["items"]] == [("acknowledged", "looking")]
    page = (await house.call("GET", f"/alerts/much/history?cursor={page['next']}")).json()
    assert [(one["what"], one["value"], one["told"]) for one in page["items"]] == [("firing", 50.0, False)]

    asked = {"document": RULE, "from": "now-1h"}
    tried = fits("run_backtest", await house.call("POST", "/alerts/backtest", asked, who="viewer"))
    assert (tried["fired"], tried["series"], tried["step"]) == (1, 2, 60.0)
    assert tried["intervals"][0]["series"] == {"site": "a"}
    assert len(tried["points"]) == 2
    far = {"document": RULE, "from": "now-200d"}
    assert problem(await house.call("POST", "/alerts/backtest", far), 422)["errors"][0]["place"] == "from"

    stale = {"If-Match": '"7"'}
    problem(await house.call("PUT", "/alerts/much", {**RULE, "name": "More"}, headers=stale), 412)
    saved = await house.call(
        "PUT", "/alerts/much", {**RULE, "name": "More"}, headers={"If-Match": made.headers["ETag"]}
    )
    assert (saved.json()["name"], saved.json()["revision"]) == ("More", 2)
    # What is watched is the same: what fires goes on.
    assert len((await house.call("GET", "/alerts/firing")).json()["items"]) == 1
    await house.call("PUT", "/alerts/much", {**RULE, "query": {"pipeline": "weather"}})
    assert (await house.call("GET", "/alerts/much/states")).json()["items"] == []
    assert (await house.call("DELETE", "/alerts/much")).status_code == 204
    problem(await house.call("GET", "/alerts/much"), 404)


async def test_a_rule_is_held_against_its_pipeline_before_it_is_saved(house: House) -> None:
    await house.pipeline(mapping=MAPPING)
    wrong = {
        **RULE,
        "query": {"pipeline": "weather", "select": [{"field": "site", "agg": "max"}], "where": "n >"},
        "message": "{{ valu }}",
        "sinks": ["nobody"],
    }
    found = {one["place"]: one["message"] for one in problem(await house.call("POST", "/alerts", wrong), 422)["errors"]}
    assert found.keys() == {"query.where", "message", "sinks[0]"}
    assert "did you mean 'value'?" in found["message"]
    wrong["query"] = {"pipeline": "weather", "select": [{"field": "site", "agg": "max"}]}
    found = {one["place"]: one["message"] for one in problem(await house.call("POST", "/alerts", wrong), 422)["errors"]}
    assert found["query.select[0].field"].endswith("fields that are numbers: n")
    elsewhere = {**RULE, "query": {"pipeline": "nowhere"}}
    assert problem(await house.call("POST", "/alerts", elsewhere), 422)["errors"][0]["place"] == "query.pipeline"
    assert (await house.call("POST", "/alerts", RULE)).status_code == 201
    problem(await house.call("POST", "/alerts", RULE), 409)
    # "a\x00" as a cursor
    problem(await house.call("GET", "/alerts?cursor=YQA"), 400)


async def test_silences_and_windows(house: House) -> None:
    made = await house.call(
        "POST", "/silences", {"matchers": {"severity": "info"}, "duration": "2h", "comment": "move"}
    )
    assert made.status_code == 201, made.text
    found = fits("list_silences", await house.call("GET", "/silences"))["items"]
    assert [one["comment"] for one in found] == ["move"]
    assert (await house.call("DELETE", f"/silences/{made.json()['id']}")).status_code == 204
    assert (await house.call("GET", "/silences")).json()["items"] == []
    assert len((await house.call("GET", "/silences?ended=true")).json()["items"]) == 1
    problem(await house.call("POST", "/silences", {"matchers": {}}), 422)

    patches = {"name": "Patches", "cron": "0 2 * * 6", "timezone": "Europe/Oslo", "duration": "2h"}
    window = await house.call("POST", "/maintenance-windows", patches)
    fits("create_maintenance_window", window)
    assert (window.json()["name"], window.json()["revision"]) == ("Patches", 1)
    path = f"/maintenance-windows/{window.json()['id']}"
    now = {"name": "Now", "from": "now-1m", "to": "now+1h"}
    saved = await house.call("PUT", path, now, headers={"If-Match": window.headers["ETag"]})
    assert (saved.json()["open"], saved.json()["revision"]) == (True, 2)
    problem(await house.call("PUT", path, now, headers={"If-Match": window.headers["ETag"]}), 412)
    wrong = problem(await house.call("POST", "/maintenance-windows", {**patches, "cron": "0 2 31 2 *"}), 422)
    assert wrong["errors"][0]["place"] == "cron"
    assert (await house.call("DELETE", path)).status_code == 204
    assert (await house.call("GET", "/maintenance-windows")).json()["items"] == []
