"""Drift over REST: read, dismissed, and its policy set with the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest_asyncio

from dash_app.pipelines import drift
from dash_app.web.api import OPERATIONS
from dash_app.web.api.openapi import document
from tests.integration.rest import House, opened

OPENAPI = document(OPERATIONS)


@pytest_asyncio.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database_url, tmp_path) as made:
        yield made


def fits(name: str, answer: Any) -> None:
    operation = next(one for one in OPERATIONS if one.name == name)
    jsonschema.Draft202012Validator({**OPENAPI, **(operation.answer or {})}).validate(answer)


async def look(house: House, pipeline: str) -> None:
    await asyncio.to_thread(drift.look, house.app, UUID(pipeline), settle=timedelta(seconds=-1))


async def test_differences_are_read_and_dismissed(house: House) -> None:
    pipeline = (await house.pipeline())["id"]
    empty = (await house.call("GET", f"/pipelines/{pipeline}/drift")).json()
    fits("get_drift", empty)
    assert (empty["policy"], empty["payloads"], empty["looked_at"], empty["events"]) == ("keep", 0, None, [])
    assert [(one["path"], one["mapped"], one["payloads"]) for one in empty["fields"]] == [
        ("$.n", "n", 0),
        ("$.site", "site", 0),
    ]
    await house.receive(pipeline, b'{"n": 1, "site": "a"}')
    await look(house, pipeline)
    await house.receive(pipeline, b'{"n": "x", "site": "a", "load_pct": 5}')
    await look(house, pipeline)
    read = (await house.call("GET", f"/pipelines/{pipeline}/drift", who="viewer")).json()
    fits("get_drift", read)
    assert [(one["what"], one["path"], one["before"], one["after"]) for one in read["differences"]] == [
        ("new", "$.load_pct", "", "integer"),
        ("changed", "$.n", "number", "text"),
    ]
    assert read["differences"][0]["proposal"] == [
        {"name": "load_pct", "path": "$.load_pct", "type": "number", "unit": "%"}
    ]
    assert {(one["what"], one["handled"], one["mapping_version"]) for one in read["events"]} == {
        ("new", "noted", 1),
        ("changed", "noted", 1),
    }
    refused = await house.call("POST", f"/pipelines/{pipeline}/drift/dismiss", {"paths": ["$.n"]}, who="viewer")
    assert refused.status_code == 403
    unknown = await house.call("POST", f"/pipelines/{pipeline}/drift/dismiss", {"paths": ["$.n", "$.no"]})
    assert unknown.status_code == 422
    assert unknown.json()["errors"] == [{"place": "paths[1]", "message": "nothing was seen at '$.no'"}]
    left = (await house.call("POST", f"/pipelines/{pipeline}/drift/dismiss", {"paths": ["$.n"]}, who="editor")).json()
    fits("dismiss_drift", left)
    # The call that failed has changed nothing, and this one no more than it was told.
    assert [one["path"] for one in left["differences"]] == ["$.load_pct"]
    wrong = await house.call("POST", f"/pipelines/{pipeline}/drift/dismiss", {"paths": []})
    assert wrong.status_code == 422


async def test_the_policy_is_set_with_the_pipeline(house: House) -> None:
    made = await house.pipeline()
    assert (await house.call("GET", f"/pipelines/{made['id']}")).json()["drift"] == "keep"
    changed = await house.call("PATCH", f"/pipelines/{made['id']}", {"drift": "evolve"})
    fits("update_pipeline", changed.json())
    assert changed.json()["drift"] == "evolve"
    assert changed.json()["revision"] == made["revision"] + 1
    assert (await house.call("GET", f"/pipelines/{made['id']}/drift")).json()["policy"] == "evolve"
    wrong = await house.call("PATCH", f"/pipelines/{made['id']}", {"drift": "ignore"})
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == [{"place": "drift", "message": "'ignore' is unknown; one of evolve, keep, pause"}]
    assert (await house.call("GET", f"/pipelines/{made['id']}")).json()["drift"] == "evolve"
    stale = await house.call("PATCH", f"/pipelines/{made['id']}", {"drift": "pause"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert (await house.call("GET", f"/pipelines/{made['id']}")).json()["drift"] == "evolve"
    entry = (await house.call("GET", "/audit")).json()["items"][0]
    assert (entry["action"], entry["detail"]["changed"]) == ("pipeline.update", ["drift"])


async def test_another_team_finds_nothing(house: House) -> None:
    pipeline = (await house.pipeline())["id"]
    await house.receive(pipeline, b'{"n": 1, "site": "a"}')
    await look(house, pipeline)
    for method, path, body in (("GET", "drift", None), ("POST", "drift/dismiss", {"paths": ["$.n"]})):
        answer = await house.call(method, f"/pipelines/{pipeline}/{path}", body, who="stranger")
        assert answer.status_code == 404
