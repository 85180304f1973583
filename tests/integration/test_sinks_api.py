"""Sinks over REST: made, tried out, changed by two, seen with every attempt, sent again, counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import pytest_asyncio
from standardwebhooks import Webhook

from dash_app.domain.access import Principal, Role
from dash_app.domain.errors import Invalid
from dash_app.domain.ids import new_id
from dash_app.pipelines.delivery import unsaved as sink_unsaved
from dash_app.pipelines.delivery.deliver import Deliver
from dash_app.storage import delivery_history
from dash_app.web.api import OPERATIONS
from dash_app.web.api.openapi import document
from dash_app.web.metrics import Metrics
from tests.integration.rest import House, opened
from tests.receiver import OK, receiver

OPENAPI = document(OPERATIONS)
KEY = "bearer-canary-5512"


@pytest_asyncio.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database_url, tmp_path, DASH_ALLOWED_NETWORKS="127.0.0.0/8") as made:
        yield made


async def ask(house: House, name: str, method: str, path: str, body: Any = None, **more: Any) -> Any:
    """The answer's body, which is held against the operation's own schema."""
    operation = next(one for one in OPERATIONS if one.name == name)
    answer = await house.call(method, path, body, **more)
    assert answer.status_code == operation.status, answer.text
    if operation.answer is None:
        return None
    told = answer.json()
    jsonschema.Draft202012Validator({**OPENAPI, **operation.answer}).validate(told)
    assert KEY not in answer.text
    return told


def sink(url: str, **more: Any) -> dict[str, Any]:
    options = {"url": url, "timeout_seconds": 2, "secret_headers": {"Authorization": f"Bearer {KEY}"}}
    return {"name": "Hot rooms", "kind": "webhook", "options": options, **more}


async def test_a_sink_from_its_making_to_its_end(house: House) -> None:
    answers = {1: "500", 2: "500"}
    with receiver(lambda id, count: answers.get(count, OK)) as hook:
        pipeline = await house.pipeline()
        whole = sink(hook.url, pipelines=["weather"], where="n > 1")
        shown = await ask(house, "preview_sink", "POST", "/sinks/preview", {"sink": whole})
        assert (shown["looked_at"], shown["messages"]) == (0, [])
        made = await ask(house, "create_sink", "POST", "/sinks", whole)
        secret = made["generated"]["secret"]
        assert (made["slug"], made["state"], made["revision"]) == ("hot_rooms", "active", 1)
        assert made["secrets"] == ["secret", "secret_headers"]
        assert made["options"] == {"url": hook.url, "timeout_seconds": 2}
        found = await ask(house, "get_sink", "GET", "/sinks/hot_rooms")
        assert "generated" not in found
        assert secret not in str(found)

        # A test at once; it fails as the other side does, and shows why.
        tested = await ask(house, "test_sink", "POST", "/sinks/hot_rooms/test")
        assert (tested["delivery"]["type"], tested["delivery"]["state"]) == ("test", "dead")
        assert (tested["attempt"]["status"], tested["attempt"]["outcome"]) == (500, "failed")
        assert "authorization: •••" in tested["attempt"]["request"]
        assert Webhook(secret).verify(hook.got[0].body, hook.got[0].headers)["type"] == "test"

        await house.receive(pipeline["id"], b'{"n": 1}', b'{"n": 2}')
        shown = await ask(house, "preview_sink", "POST", "/sinks/preview", {"sink": whole, "of": made["id"]})
        assert (shown["looked_at"], shown["kept"], len(shown["messages"])) == (2, 1, 1)
        deliver = Deliver(house.app)
        wanted = {one["slug"]: one for one in (await ask(house, "list_sinks", "GET", "/sinks"))["items"]}["hot_rooms"]
        assert (wanted["waiting"], wanted["dead"]) == (1, 0)
        (identity,) = house_rows(house, "SELECT id FROM sinks")
        await asyncio.to_thread(deliver.run, identity)
        page = await ask(house, "list_deliveries", "GET", "/sinks/hot_rooms/deliveries?limit=1")
        (waiting,) = page["items"]
        assert (waiting["state"], waiting["attempts"], waiting["records"]) == ("waiting", 1, 1)
        rest = await ask(house, "list_deliveries", "GET", f"/sinks/hot_rooms/deliveries?cursor={page['next']}")
        assert [one["type"] for one in rest["items"]] == ["test"]
        path = f"/sinks/hot_rooms/deliveries/{waiting['id']}"
        one = await ask(house, "get_delivery", "GET", path)
        assert one["payload"]["records"][0]["n"] == 2
        assert [attempt["status"] for attempt in one["tries"]] == [500]
        assert (await house.call("POST", f"{path}/resend")).status_code == 409
        await ask(house, "cancel_delivery", "POST", f"{path}/cancel")
        assert (await house.call("POST", f"{path}/cancel")).status_code == 409
        sent = await ask(house, "resend_delivery", "POST", f"{path}/resend")
        assert (sent["state"], sent["id"]) == ("waiting", waiting["id"])
        again = await ask(house, "resend_deliveries", "POST", "/sinks/hot_rooms/resend", {"from": "now-1h"})
        # The test that failed is not among them.
        assert again == {"messages": 0}
        await asyncio.to_thread(deliver.run, identity)
        await asyncio.to_thread(deliver.run, identity)
        await asyncio.to_thread(deliver.close)
        assert len({got.id for got in hook.got}) == 2
        assert all(Webhook(secret).verify(got.body, got.headers)["id"] == got.id for got in hook.got)

        metrics = Metrics()
        with house.app.database.ingest() as unit:
            metrics.sinks(delivery_history.totals(unit))
        text = metrics.text().decode()
        assert 'dash_sinks{kind="webhook",state="active"} 1.0' in text
        assert 'dash_deliveries{kind="webhook",state="sent"}' in text

        await ask(house, "pause_sink", "POST", "/sinks/hot_rooms/pause")
        await ask(house, "resume_sink", "POST", "/sinks/hot_rooms/resume")
        rotated = await ask(house, "rotate_sink_secret", "POST", "/sinks/hot_rooms/secret", {})
        assert rotated["secret"] not in (secret, "")
        await ask(house, "delete_sink", "DELETE", "/sinks/hot_rooms")
        assert (await house.call("GET", "/sinks/hot_rooms")).status_code == 404


def house_rows(house: House, sql: str) -> list[Any]:
    with house.app.database.ingest() as unit:
        return [row[0] for row in unit.rows(sql)]


async def test_two_who_change_a_sink_and_what_is_wrong_with_documents(house: House) -> None:
    whole = sink("https://example.org/x")
    made = await ask(house, "create_sink", "POST", "/sinks", whole)
    assert (await house.call("POST", "/sinks", {**whole, "slug": "hot_rooms"})).status_code == 409
    changed: dict[str, Any] = {"name": "Cold rooms", "options": {"url": "https://example.org/y"}}
    tag = {"If-Match": '"1"'}
    told = await ask(house, "update_sink", "PUT", f"/sinks/{made['id']}", changed, headers=tag)
    # Secrets that were left out are still there; the rest is as the document says.
    assert (told["revision"], told["name"], told["slug"]) == (2, "Cold rooms", "hot_rooms")
    assert told["secrets"] == ["secret", "secret_headers"]
    assert told["options"] == {"url": "https://example.org/y"}
    for method in ("PUT", "DELETE"):
        body = changed if method == "PUT" else None
        assert (await house.call(method, "/sinks/hot_rooms", body, headers=tag)).status_code == 412
    # Stored secrets go to no other host, neither from a saved document nor from one that is tried.
    away = {**changed, "options": {"url": "http://127.0.0.1:9/y"}}
    refused = await house.call("PUT", "/sinks/hot_rooms", away)
    assert refused.status_code == 422
    assert [one["place"] for one in refused.json()["errors"]] == ["options.secret_headers"]
    team = house.teams["ours"]
    author = Principal(new_id(), "ann@example.org", "Ann", team, "ours", "Ours", Role.admin)
    with pytest.raises(Invalid, match="say the secrets again"):
        sink_unsaved.try_unsaved(house.app, team, {**away, "kind": "webhook"}, author, of="hot_rooms")
    cleared = {**changed, "options": {**changed["options"], "secret_headers": {}}}
    assert (await ask(house, "update_sink", "PUT", "/sinks/hot_rooms", cleared))["secrets"] == ["secret"]
    assert (await house.call("PUT", "/sinks/hot_rooms", {**changed, "kind": "mqtt"})).status_code == 422
    wrong = await house.call("POST", "/sinks", {**whole, "options": {"url": "http://[", "secret_headers": "x"}})
    assert wrong.status_code == 422
    assert {one["place"] for one in wrong.json()["errors"]} == {"options.secret_headers"}
    for slug in ("preview", "new", "No"):
        assert (await house.call("POST", "/sinks", {**whole, "slug": slug})).status_code == 422
    kinds = await ask(house, "list_sink_kinds", "GET", "/sink-kinds", who="viewer")
    assert "webhook" in {one["kind"] for one in kinds["items"]}
    # What reaches into the private network says only that it is not allowed.
    inside = await ask(house, "create_sink", "POST", "/sinks", sink("http://10.1.2.3/x", name="Inside"))
    tested = await ask(house, "test_sink", "POST", f"/sinks/{inside['slug']}/test")
    assert tested["attempt"]["error"] == "address not allowed: 10.1.2.3"
    trail = (await house.call("GET", "/audit")).json()["items"]
    assert {"sink.create", "sink.update", "sink.test"} <= {one["action"] for one in trail}
