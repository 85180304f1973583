"""Replays over REST: begun, watched, moved, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest_asyncio

from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.replay import Replays
from dash_app.storage import bronze
from tests.integration.rest import MAPPING, House, opened
from tests.integration.test_api import fits, problem

WIDER = {"fields": [*MAPPING["fields"], {"name": "thrice", "sql": "n * 3", "type": "number"}]}


@pytest_asyncio.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database_url, tmp_path) as made:
        yield made


async def work(house: House, replay: str) -> dict[str, Any]:
    """As a worker would, to the end."""

    def steps() -> None:
        replays = Replays(house.app)
        while replays.step(UUID(replay)) == "worked":
            pass

    await asyncio.to_thread(steps)
    found = (await house.call("GET", f"/replays/{replay}")).json()
    fits("get_replay", found)
    return dict(found)


async def total(house: House, field: str = "n") -> Any:
    select = [{"agg": "count", "as": "c"}, {"field": field, "agg": "sum", "as": "s"}]
    answer = await house.call("POST", "/query", {"pipeline": "weather", "select": select})
    (row,) = answer.json()["items"]
    return row["c"], row["s"]


async def test_a_mapping_goes_live_after_its_replay_and_is_taken_back(house: House) -> None:
    made = await house.pipeline()
    path = f"/pipelines/{made['id']}"
    await house.receive(made["id"], b'{"n": 1}', b'{"n": 2}')
    await asyncio.to_thread(bronze.archive, house.app.database, house.app.objects, UUID(made["id"]))
    saved = await house.call("POST", f"{path}/mappings", {"mapping": WIDER, "activate": "after_replay"}, who="editor")
    assert saved.status_code == 201
    fits("create_mapping", saved.json())
    replay = saved.json()["replay"]
    begun = (await house.call("GET", f"/replays/{replay}")).json()
    fits("get_replay", begun)
    assert (begun["state"], begun["mapping_version"], begun["author"]) == ("queued", 2, "editor@example.org")
    await house.receive(made["id"], b'{"n": 4}')
    states = (await house.call("GET", f"{path}/generations")).json()
    fits("list_generations", states)
    assert [(one["state"], one["mapping_version"]) for one in states["items"]] == [("shadow", 2), ("active", 1)]
    done = await work(house, replay)
    assert (done["state"], done["records"], done["files_done"], done["eta"]) == ("done", 2, done["files_total"], None)
    assert await total(house, "thrice") == (3, 21)
    assert (await house.call("GET", path)).json()["stats"]["records"] == 3
    back = await house.call("POST", f"{path}/rollback", who="editor")
    fits("roll_back", back.json())
    assert back.json()["mapping_version"] == 1
    problem(await house.call("POST", "/query", {"pipeline": "weather", "select": [{"field": "thrice"}]}), 422)
    assert (await house.call("POST", f"{path}/rollback")).json()["mapping_version"] == 2
    assert (await house.call("POST", f"{path}/discard")).status_code == 200
    told = problem(await house.call("POST", f"{path}/rollback"), 409)
    assert "nothing to go back to" in told["detail"]
    audit = (await house.call("GET", "/audit")).json()["items"]
    assert [one["action"] for one in audit][:5] == [
        "pipeline.discard", "pipeline.rollback", "pipeline.rollback", "replay.create", "mapping.create",
    ]  # fmt: skip


async def test_a_replay_is_paused_slowed_resumed_and_cancelled(house: House) -> None:
    made = await house.pipeline()
    path = f"/pipelines/{made['id']}/replays"
    await house.receive(made["id"], b'{"n": 1}')
    begun = await house.call("POST", path, {"throttle": 50, "note": "slowly"})
    assert begun.status_code == 202
    replay = begun.json()["id"]
    told = problem(await house.call("POST", path, {}), 409)
    assert "under way" in told["detail"]
    assert (await house.call("POST", f"/replays/{replay}/pause")).json()["state"] == "paused"
    slowed = await house.call("PATCH", f"/replays/{replay}", {"throttle": None})
    fits("update_replay", slowed.json())
    assert slowed.json()["throttle"] is None
    told = problem(await house.call("PATCH", f"/replays/{replay}", {"throttle": 0}), 422)
    assert told["errors"][0]["place"] == "throttle"
    assert (await house.call("POST", f"/replays/{replay}/resume")).json()["state"] == "queued"
    assert (await house.call("POST", f"/replays/{replay}/cancel")).json()["state"] == "cancelled"
    told = problem(await house.call("POST", f"/replays/{replay}/resume"), 409)
    assert "is cancelled; it cannot be resumed" in told["detail"]
    assert (await house.call("PATCH", f"/replays/{replay}", {"throttle": 1})).status_code == 409
    second = (await house.call("POST", path, {})).json()["id"]
    assert (await work(house, second))["state"] == "done"
    listed = (await house.call("GET", f"{path}?limit=1")).json()
    fits("list_replays", listed)
    assert [one["id"] for one in listed["items"]] == [second]
    rest = (await house.call("GET", f"{path}?limit=1&cursor={listed['next']}")).json()
    assert [(one["id"], one["note"]) for one in rest["items"]] == [(replay, "slowly")]
    assert rest["next"] is None


async def test_what_is_wrong_with_a_replay_is_named(house: House) -> None:
    made = await house.pipeline()
    path = f"/pipelines/{made['id']}/replays"
    for body, place in (
        ({"from": "yesterday"}, "from"),
        ({"from": "now", "to": "now-1d"}, "to"),
        ({"throttle": "fast"}, "throttle"),
        ({"mapping_version": "two"}, "mapping_version"),
        ({"mapping": {}}, "mapping"),
    ):
        told = problem(await house.call("POST", path, body), 422)
        assert told["errors"][0]["place"] == place
    problem(await house.call("POST", path, {"mapping_version": 9}), 404)
    empty = await house.pipeline("empty", mapping=None)
    told = problem(await house.call("POST", f"/pipelines/{empty['id']}/replays", {}), 422)
    assert "no mapping yet" in told["errors"][0]["message"]
    problem(await house.call("POST", path, {}, who="viewer"), 403)
    problem(await house.call("GET", f"{path}?cursor=bm8", who="viewer"), 400)


async def test_payloads_are_mapped_again(house: House) -> None:
    made = await house.pipeline()
    path = f"/pipelines/{made['id']}"
    good, bad = await house.receive(made["id"], b'{"n": 1}', b'{"n": "x"}')
    lenient = {**MAPPING, "on_error": "null"}
    assert (await house.call("POST", f"{path}/mappings", {"mapping": lenient})).status_code == 201
    (reject,) = (await house.call("GET", f"{path}/rejects")).json()["items"]
    again = await house.call("POST", f"{path}/payloads/again", {"payloads": [reject["payload"], str(good)]})
    assert (again.status_code, again.json()) == (202, {"payloads": 2})
    assert reject["payload"] == str(bad)
    await asyncio.to_thread(Ingest(house.app).run, UUID(made["id"]))
    assert (await house.call("GET", f"{path}/rejects")).json()["items"] == []
    assert await total(house) == (2, 1)
    told = problem(await house.call("POST", f"{path}/payloads/again", {"payloads": ["x"]}), 422)
    assert told["errors"][0]["place"] == "payloads[0]"
    problem(await house.call("POST", f"{path}/payloads/again", {"payloads": ["7"]}), 404)
