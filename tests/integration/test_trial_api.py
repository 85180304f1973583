"""Trying a source through the API: with stored secrets, and for no other host than theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest_asyncio
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.pipelines.poll import poll
from tests.integration.rest import House, opened


@pytest_asyncio.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database_url, tmp_path, DASH_ALLOWED_NETWORKS="127.0.0.0/8") as made:
        yield made


async def test_a_source_is_tried_with_its_stored_secrets_and_nothing_is_stored(
    house: House, httpserver: HTTPServer
) -> None:
    sent: list[str | None] = []

    def answer(request: Request) -> Response:
        sent.append(request.headers.get("authorization"))
        return Response('[{"id": 1}]', content_type="application/json")

    httpserver.expect_request("/api").respond_with_handler(answer)
    url = httpserver.url_for("/api")
    options: dict[str, Any] = {"url": url, "auth": {"type": "bearer", "token": "canary-5"}}
    body = {"name": "x", "slug": "x", "source": {"kind": "http_poll", "options": options}}
    made = await house.call("POST", "/pipelines", body, who="editor")
    assert made.status_code == 201
    assert "canary" not in made.text
    asked = {"kind": "http_poll", "options": {"url": url, "auth": {"type": "bearer"}}}
    alone = await house.call("POST", "/sources/try", asked, who="editor")
    assert alone.status_code == 200
    assert alone.json()["problems"] == [{"at": "options.auth.token", "message": "is missing"}]
    kept = await house.call("POST", "/sources/try", {**asked, "pipeline": "x"}, who="editor")
    assert (kept.json()["ok"], kept.json()["status"], kept.json()["count"]) == (True, 200, 1)
    assert "canary" not in kept.text
    assert sent == ["Bearer canary-5"]
    # What is stored goes where it was meant to go.
    other = {**asked["options"], "url": url.replace("localhost", "127.0.0.1")}
    away = await house.call("POST", "/sources/try", {**asked, "options": other, "pipeline": "x"}, who="editor")
    assert away.json()["problems"] == [{"at": "options.auth.token", "message": "is missing"}]
    assert len(sent) == 1
    counts = (await house.call("GET", "/pipelines/x", who="viewer")).json()["stats"]
    assert counts["payloads"] == 0


async def test_the_secret_of_auth_is_write_only_and_stays_when_it_is_left_out(
    house: House, httpserver: HTTPServer
) -> None:
    sent: list[str | None] = []

    def answer(request: Request) -> Response:
        sent.append(request.headers.get("authorization"))
        return Response("[1]", content_type="application/json")

    httpserver.expect_request("/api").respond_with_handler(answer)
    options = {"url": httpserver.url_for("/api"), "auth": {"type": "bearer", "token": "canary-6"}}
    body = {"name": "x", "slug": "x", "source": {"kind": "http_poll", "options": options}}
    made = (await house.call("POST", "/pipelines", body)).json()
    shown = await house.call("GET", "/pipelines/x", who="viewer")
    assert shown.json()["source"]["options"]["auth"] == {"type": "bearer"}
    assert "canary" not in shown.text
    kept = {"source": {"options": {**options, "auth": {"type": "bearer"}, "params": {"a": 1}}}}
    assert (await house.call("PATCH", "/pipelines/x", kept)).status_code == 200
    # What is stored goes to no other host; and it is not there that one would read it.
    away = {**kept["source"]["options"], "url": options["url"].replace("localhost", "127.0.0.1")}
    refused = await house.call("PATCH", "/pipelines/x", {"source": {"options": away}})
    assert refused.status_code == 422
    assert "auth_secrets" in refused.text
    assert "say the secrets again" in refused.text
    pipeline = UUID(made["id"])
    with house.app.reach.client() as client:
        await asyncio.to_thread(poll, house.app, pipeline, client)
    assert sent == ["Bearer canary-6"]
    # Another type asks for what belongs to it, and has no use for what belonged to the one before.
    other = {"source": {"options": {**options, "auth": {"type": "basic", "username": "me"}}}}
    assert (await house.call("PATCH", "/pipelines/x", other)).status_code == 200
    with house.app.database.ingest() as unit:
        assert unit.rows("SELECT name FROM secrets WHERE owner = %s", (pipeline,)) == []
    missing = {"source": {"options": {**options, "auth": {"type": "bearer"}}}}
    refused = await house.call("PATCH", "/pipelines/x", missing)
    assert refused.status_code == 422
    assert "auth.token" in refused.text
    # A source that is not pushed has no signing secret, whatever else it lacks.
    assert (await house.call("POST", "/pipelines/x/secret", {})).status_code == 409


async def test_who_may_and_what_is_there(house: House) -> None:
    asked = {"kind": "http_poll", "options": {"url": "http://169.254.169.254/"}}
    assert (await house.call("POST", "/sources/try", asked, who="viewer")).status_code == 403
    assert (await house.call("POST", "/sources/try", asked, who=None)).status_code == 401
    refused = (await house.call("POST", "/sources/try", asked, who="editor")).json()
    assert refused["problems"] == [{"at": "answer", "message": "address not allowed: 169.254.169.254"}]
    await house.pipeline("mine")
    for pipeline in ("mine", "none"):
        answer = await house.call("POST", "/sources/try", {**asked, "pipeline": pipeline}, who="editor")
        assert answer.status_code == {"mine": 409, "none": 404}[pipeline]
    theirs = await house.call("POST", "/sources/try", {**asked, "pipeline": "mine"}, who="stranger")
    assert theirs.status_code == 404
    assert (await house.call("POST", "/sources/try", {"options": {}}, who="editor")).status_code == 422
