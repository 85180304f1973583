"""Reports over REST, from their making to a mail that is opened; and buttons that try things out, which reach nothing
that they must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest_asyncio

from dash_app.domain.access import Principal, Role
from dash_app.domain.errors import Invalid
from dash_app.domain.ids import new_id
from dash_app.pipelines.delivery import unsaved as sink_unsaved
from dash_app.pipelines.report_making import make
from dash_app.pipelines.sinks import load_sinks
from dash_app.pipelines.sinks.apprise_process import PROCESSES
from dash_app.pipelines.sources import PollSource, load_sources
from dash_app.pipelines.sources.streaming import StreamSource
from dash_app.pipelines.trials import trial
from dash_app.web.api import OPERATIONS
from dash_app.web.api.openapi import document
from tests.contracts.test_reaching_out import AT_HAND, aimed
from tests.integration.rest import House, opened

OPENAPI = document(OPERATIONS)


@pytest_asyncio.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database_url, tmp_path) as made:
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
    return told


async def test_a_report_from_its_making_to_its_end(house: House) -> None:
    pipeline = await house.pipeline()
    await house.receive(pipeline["id"], b'{"n": 1}', b'{"n": 2}')
    board = (await house.call("POST", f"/pipelines/{pipeline['id']}/dashboard")).json()["uid"]
    hook = {"name": "Hook", "kind": "webhook", "options": {"url": "https://example.org/hook"}}
    assert (await house.call("POST", "/sinks", hook)).status_code == 201
    weekly = {"name": "Weekly", "dashboard": board, "cron": "0 7 * * 1", "timezone": "Europe/Oslo", "sinks": ["hook"]}
    made = await ask(house, "create_report", "POST", "/reports", weekly)
    assert (made["slug"], made["revision"], made["format"], made["last_run"]) == ("weekly", 1, ["png"], None)
    assert (await house.call("POST", "/reports", weekly)).status_code == 409
    wrong = await house.call("POST", "/reports", {**weekly, "cron": "daily"})
    assert wrong.status_code == 422
    assert [one["place"] for one in wrong.json()["errors"]] == ["cron"]

    run = await ask(house, "send_report", "POST", "/reports/weekly/send")
    assert (run["state"], run["asked_by"]) == ("queued", "admin@example.org")
    await asyncio.to_thread(make, house.app, UUID(run["id"]))
    (run,) = (await ask(house, "list_report_runs", "GET", "/reports/weekly/runs"))["items"]
    assert (run["state"], len(run["messages"])) == ("done", 1)
    (delivery,) = (await house.call("GET", "/sinks/hook/deliveries")).json()["items"]
    assert (delivery["id"], delivery["type"], delivery["origin"]) == (run["messages"][0], "report", "weekly")

    found = await house.call("GET", "/reports/weekly")
    changed = await house.call("PUT", "/reports/weekly", {**weekly, "enabled": False}, headers={"If-Match": '"7"'})
    assert changed.status_code == 412
    changed = await house.call(
        "PUT", "/reports/weekly", {**weekly, "enabled": False}, headers={"If-Match": found.headers["etag"]}
    )
    assert (changed.json()["revision"], changed.json()["next_at"]) == (2, None)
    listed = await ask(house, "list_reports", "GET", "/reports")
    assert [(one["slug"], one["last_run"]["state"]) for one in listed["items"]] == [("weekly", "done")]
    await ask(house, "delete_report", "DELETE", "/reports/weekly")
    assert (await house.call("GET", "/reports/weekly")).status_code == 404


async def test_buttons_that_try_a_source_or_a_sink_reach_nothing_inside(house: House) -> None:
    """Each kind that reaches a host, each pointed at the metadata service and at this machine."""
    author = Principal(new_id(), "ann@example.org", "Ann", house.teams["ours"], "ours", "Ours", Role.admin)
    tried = []
    for kind in load_sources():
        if kind.kind in AT_HAND:
            continue
        assert issubclass(kind, PollSource | StreamSource)
        for host in ("169.254.169.254", "localhost", "[::ffff:10.0.0.1]"):
            told = await asyncio.to_thread(trial.try_source, house.app, kind.kind, aimed(kind, host, 8443))
            assert not told.ok
            tried.append((kind.kind, host, " ".join(what for _, what in told.problems)))
    for sink in load_sinks():
        for host in ("169.254.169.254", "localhost", "[::ffff:10.0.0.1]"):
            asked = {"name": "Try", "kind": sink.kind, "options": aimed(sink, host, 8443)}
            try:
                told = await asyncio.to_thread(sink_unsaved.try_unsaved, house.app, house.teams["ours"], asked, author)
            except Invalid as error:
                tried.append((sink.kind, host, error.message))
                continue
            assert told.outcome != "sent"
            tried.append((sink.kind, host, told.error))
    PROCESSES.close()
    for kind_name, host, said in tried:
        assert said, kind_name
        rest = said.replace(host.strip("[]"), "")
        assert not [word for word in ("127.0.0.1", "::1", "10.0.0.1", "refused by", "unreachable") if word in rest], (
            said
        )
