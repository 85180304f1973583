"""Uploads over HTTP: begun, sent in chunks, resumed, refused, cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from dash_app.pipelines import uploads as road
from dash_app.pipelines.ingest import Ingest
from dash_app.storage import uploads
from tests.integration.rest import MAPPING, House, opened

DATA = b"n,site\n" + b"".join(b"%d,%s\n" % (n, b"oslo" * 20) for n in range(5000))


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database_url, tmp_path) as made:
        document = {"name": "Orders", "slug": "orders", "source": {"kind": "upload"}, "mapping": MAPPING}
        assert (await made.call("POST", "/pipelines", document)).status_code == 201
        yield made


async def begin(house: House, **body: Any) -> dict[str, Any]:
    answer = await house.call("POST", "/pipelines/orders/uploads", {"name": "rows.csv", "size": len(DATA), **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def patch(
    house: House, upload: str, offset: Any, data: bytes, headers: Mapping[str, str] | None = None, who: str = "editor"
) -> httpx.Response:
    given = {"Authorization": f"Bearer {house.tokens[who]}", "Upload-Offset": str(offset), **(headers or {})}
    return await house.client.patch(
        f"{house.url}/api/v1/pipelines/orders/uploads/{upload}", content=data, headers=given
    )


async def test_a_file_is_sent_in_chunks_and_watched(house: House) -> None:
    made = await begin(house)
    assert (made["state"], made["offset"], made["format"], made["progress"]) == ("receiving", 0, "csv", 0.0)
    half = 256 << 10
    checked = {"Upload-Checksum": f"sha256 {sha256(DATA[:half]).hexdigest()}"}
    answer = await patch(house, made["id"], 0, DATA[:half], checked)
    assert (answer.status_code, answer.json()["offset"], answer.headers["Upload-Offset"]) == (200, half, str(half))
    wrong = await patch(house, made["id"], 0, DATA[:half])
    assert (wrong.status_code, wrong.json()["offset"]) == (409, half)
    seen = await house.call("HEAD", f"/pipelines/orders/uploads/{made['id']}", who="viewer")
    assert (seen.status_code, seen.headers["Upload-Offset"], seen.content) == (200, str(half), b"")
    last = await patch(house, made["id"], half, DATA[half:])
    assert (last.status_code, last.json()["state"]) == (200, "checking")
    with house.app.database.ingest() as unit:
        queued = unit.value("SELECT convert_from(data, 'UTF8')::json -> 6 ->> 0 FROM huey_task WHERE queue = 'io'")
        found = uploads.get(
            unit, uploads.of_pipeline(unit, uploads.get(unit, UUID(made["id"])).pipeline, limit=1)[0].id
        )
    assert queued == made["id"]
    assert not road.work(house.app, found.id)
    Ingest(house.app).run(found.pipeline)
    (listed,) = (await house.call("GET", "/pipelines/orders/uploads", who="viewer")).json()["items"]
    assert (listed["state"], listed["records"], listed["progress"], listed["error"]) == ("done", 5000, 1.0, "")
    assert (await house.call("GET", "/pipelines/orders/records?limit=1")).json()["items"][0]["n"] == 4999.0


async def test_what_is_refused(house: House) -> None:
    made = await begin(house)
    chunk = DATA[: 128 << 10]
    for offset, data, headers, status, word in (
        ("", chunk, {}, 400, "Upload-Offset is missing"),
        ("-1", chunk, {}, 400, "Upload-Offset is missing"),
        (0, b"", {}, 400, "empty"),
        (0, chunk[:1000], {}, 400, "at least 65,536 bytes"),
        (0, DATA + b"x", {}, 400, "beyond the end"),
        (0, b"x" * (road.MOST_CHUNK + 1), {}, 413, "8,388,608"),
        (0, chunk, {"Upload-Checksum": f"sha256 {'0' * 64}"}, 400, "checksum"),
        (0, chunk, {"Upload-Checksum": "md5 abc"}, 400, "sha256"),
        (0, chunk, {"Content-Encoding": "gzip"}, 415, "Content-Encoding"),
        (7, chunk, {}, 409, "goes on at byte 0"),
    ):
        answer = await patch(house, made["id"], offset, data, headers)
        assert (answer.status_code, word in answer.text) == (status, True), answer.text
    assert (await patch(house, made["id"], 0, chunk, who="viewer")).status_code == 403
    for body, place in (
        ({"name": "a.xlsx"}, "content_type"),
        ({"size": road.MOST_BYTES + 1}, "size"),
        ({"name": "\n.csv"}, "name"),
    ):
        answer = await house.call("POST", "/pipelines/orders/uploads", {"name": "rows.csv", "size": 10, **body})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["place"] == place
    assert (await house.call("GET", "/pipelines/orders/uploads/none")).status_code == 404
    assert [head.key for head in house.app.objects.list(uploads.PREFIX)] == []


async def test_an_upload_is_cancelled_once(house: House) -> None:
    made = await begin(house)
    await patch(house, made["id"], 0, DATA[: 128 << 10])
    path = f"/pipelines/orders/uploads/{made['id']}"
    assert (await house.call("DELETE", path, who="viewer")).status_code == 403
    assert (await house.call("DELETE", path)).status_code == 204
    assert (await house.call("DELETE", path)).status_code == 409
    assert "cancelled" in (await patch(house, made["id"], 128 << 10, DATA[128 << 10 :])).text
    road.work(house.app, UUID(made["id"]))
    assert [head.key for head in house.app.objects.list(uploads.PREFIX)] == []
