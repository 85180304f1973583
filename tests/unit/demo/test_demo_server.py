"""The loopback feeds over real HTTP, read as the pipelines' own documents say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from dash_app.demo.definitions import pipelines
from dash_app.demo.server import DemoServer
from dash_app.demo.state import DemoState

EPOCH = 1_700_000_000_000


class Running:
    def __init__(self, folder: Path) -> None:
        self.now = EPOCH
        self.server = DemoServer(DemoState.open(folder, EPOCH), now=lambda: self.now)


@pytest_asyncio.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path)
    running.server.start()
    yield running
    await running.server.stop()


async def get(demo: Running, path: str, **params: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=demo.server.url, trust_env=False) as client:
        return await client.get(path, params=params or None)


@pytest.mark.asyncio
async def test_weather_by_pages_and_then_only_what_is_new(demo: Running) -> None:
    seen: list[int] = []
    page: int | None = 1
    while page is not None:
        document = (await get(demo, "/weather", page=page, after=0)).json()
        seen += [record["sequence"] for record in document["data"]]
        assert document["has_more"] is (document["next"] is not None)
        page = document["next"]
    assert seen == list(range(1, 35_767))

    demo.now += 11_000
    fresh = (await get(demo, "/weather", after=seen[-1], per_page=3)).json()
    assert [record["sequence"] for record in fresh["data"]] == [35_767, 35_768, 35_769]
    assert fresh["next"] == 2
    rest = (await get(demo, "/weather", after=seen[-1], per_page=3, page=2)).json()
    assert [record["sequence"] for record in rest["data"]] == [35_770, 35_771]
    assert rest["next"] is None
    assert (await get(demo, "/weather", after=35_771)).json()["data"] == []


@pytest.mark.asyncio
async def test_pages_of_one_poll_do_not_shift_while_records_come_in(demo: Running) -> None:
    demo.now += 20_000
    first = (await get(demo, "/weather", after=35_766, per_page=4)).json()["data"]
    demo.now += 100_000
    second = (await get(demo, "/weather", after=35_766, per_page=4, page=2)).json()["data"]
    assert [record["sequence"] for record in first + second] == list(range(35_767, 35_775))


@pytest.mark.asyncio
async def test_earthquakes_by_cursor(demo: Running) -> None:
    seen: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 250, "after": 0}
    while True:
        document = (await get(demo, "/earthquakes", **params)).json()
        seen += document["features"]
        assert document["metadata"]["count"] == len(document["features"])
        if document["metadata"]["next_cursor"] is None:
            break
        params["cursor"] = document["metadata"]["next_cursor"]
    assert [feature["properties"]["sequence"] for feature in seen] == list(range(1, 597))

    demo.now += 3_000
    document = (await get(demo, "/earthquakes", after=596)).json()
    assert [feature["id"] for feature in document["features"]] == ["quake-00000597"]
    assert document["features"][0]["properties"]["time"] == EPOCH + 3_000


@pytest.mark.asyncio
async def test_the_pipelines_point_at_the_running_server(demo: Running) -> None:
    listing = (await get(demo, "/")).json()
    urls = {feed["name"]: demo.server.url + feed["url"] for feed in listing["feeds"]}
    polled = {p["slug"]: p["source"]["options"]["url"] for p in pipelines(demo.server.url) if p["slug"] != "ride"}
    assert polled == urls
    for url in urls.values():
        answer = await get(demo, url)
        assert answer.headers["content-type"] == "application/json"
        assert answer.status_code == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path",
    [
        "/weather?page=0",
        "/weather?page=x",
        "/weather?per_page=1001",
        "/weather?after=-1",
        "/weather?page=99999999999999999999999",
        "/weather?page=²",
        "/earthquakes?limit=0",
        "/earthquakes?cursor=abc",
        "/earthquakes?cursor=cTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk=",
        "/earthquakes?cursor=%F0",
    ],
)
async def test_nonsense_is_answered_400_with_a_reason(demo: Running, path: str) -> None:
    answer = await get(demo, path)
    assert answer.status_code == 400
    assert answer.json()["detail"]


@pytest.mark.asyncio
async def test_unknown_paths_are_json_too(demo: Running) -> None:
    answer = await get(demo, "/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")


@pytest.mark.asyncio
async def test_another_port_after_a_restart_goes_on_with_the_same_records(tmp_path: Path) -> None:
    pages = []
    for _ in range(2):
        demo = Running(tmp_path)
        assert demo.server.start() == demo.server.port > 0
        pages.append((await get(demo, "/weather", page=36)).json())
        await demo.server.stop()
        await demo.server.stop()
    assert pages[0] == pages[1]
    assert len(pages[0]["data"]) == 766
