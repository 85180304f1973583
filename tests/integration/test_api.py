"""REST against a real database: the contract's shapes, and every wrong way that is worth a line."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import pytest_asyncio

from dash_app.domain.access import ACTIONS, Role
from dash_app.pipelines.delivery import outbox
from dash_app.pipelines.sources.webhook import Webhook
from dash_app.storage import bronze, catalog, streams
from dash_app.web.api import OPERATIONS, Operation
from dash_app.web.api.openapi import document
from tests.integration.rest import MAPPING, House, opened

OPENAPI = document(OPERATIONS)


@pytest_asyncio.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database_url, tmp_path) as made:
        yield made


def fits(name: str, answer: Any) -> None:
    """Holds an answer's body against what the OpenAPI document says of it."""
    operation = next(one for one in OPERATIONS if one.name == name)
    jsonschema.Draft202012Validator({**OPENAPI, **(operation.answer or {})}).validate(answer)


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert {"type", "title", "detail"} <= told.keys()
    return dict(told)


# Pipelines ------------------------------------------------------------------------------------------------------------


async def test_a_pipeline_is_made_read_changed_paused_resumed_and_archived(house: House) -> None:
    made = await house.pipeline()
    fits("create_pipeline", made)
    assert made["webhook_url"] == f"{house.url}/webhooks/{made['id']}"
    assert made["secret"]
    assert made["mapping_version"] == 1
    read = await house.call("GET", f"/pipelines/{made['slug']}")
    fits("get_pipeline", read.json())
    assert "secret" not in read.json()
    assert made["secret"] not in read.text
    assert read.json()["stats"]["payloads"] == 0
    assert read.headers["ETag"] == f'"{read.json()["revision"]}"'
    changed = await house.call(
        "PATCH", f"/pipelines/{made['id']}", {"name": "Skies", "retention": {"payload_days": 30}}
    )
    assert changed.json()["name"] == "Skies"
    assert changed.json()["retention"] == {"payload_days": 30}
    paused = await house.call("POST", f"/pipelines/{made['id']}/pause")
    assert paused.json()["state"] == "paused"
    assert "admin@example.org" in paused.json()["note"]
    assert (await house.call("POST", f"/pipelines/{made['id']}/pause")).json()["revision"] == paused.json()["revision"]
    assert (await house.call("POST", f"/pipelines/{made['id']}/resume")).json()["state"] == "active"
    gone = await house.call("DELETE", f"/pipelines/{made['id']}")
    assert gone.status_code == 204
    assert gone.content == b""
    problem(await house.call("GET", f"/pipelines/{made['id']}"), 404)
    assert (await house.pipeline())["id"] != made["id"]
    audit = (await house.call("GET", "/audit")).json()
    fits("list_audit", audit)
    actions = [entry["action"] for entry in audit["items"]]
    assert actions[:2] == ["pipeline.create", "pipeline.archive"]
    assert {entry["actor"] for entry in audit["items"]} == {"admin@example.org"}


async def test_held_payloads_are_mapped_once_the_pipeline_is_resumed(house: House) -> None:
    made = await house.pipeline()
    await house.call("POST", f"/pipelines/{made['id']}/pause")
    await house.receive(made["id"], b'{"n": 1, "site": "a"}')
    listed = (await house.call("GET", f"/pipelines/{made['id']}/payloads")).json()
    assert [one["state"] for one in listed["items"]] == ["held"]
    with house.app.database.ingest() as unit:
        unit.execute("DELETE FROM huey_task")
        unit.execute("DELETE FROM bells")
        unit.commit()
    await house.call("POST", f"/pipelines/{made['id']}/resume")
    with house.app.database.ingest() as unit:
        assert unit.value("SELECT count(*) FROM bells") == 1


async def test_slugs_are_made_from_names_and_kept_apart(house: House) -> None:
    body = {"name": "Front door (EU)", "source": {"kind": "webhook"}}
    first, second = [(await house.call("POST", "/pipelines", body)).json() for _ in range(2)]
    assert (first["slug"], second["slug"]) == ("front_door_eu", "front_door_eu_2")
    assert first["mapping_version"] is None
    assert first["source"]["options"]["scheme"] == Webhook.param.scheme.default
    taken = await house.call("POST", "/pipelines", {**body, "slug": "front_door_eu"})
    assert "front_door_eu" in problem(taken, 409)["detail"]


WRONG_PIPELINES: list[tuple[dict[str, Any], str]] = [
    ({}, "name"),
    ({"name": "x"}, "source"),
    ({"name": 7, "source": {"kind": "webhook"}}, "name"),
    ({"name": "x", "source": {"kind": "webhook"}, "colour": "red"}, "colour"),
    ({"name": "x", "slug": "No Slug", "source": {"kind": "webhook"}}, "slug"),
    ({"name": "x", "source": {"kind": "carrier_pigeon"}}, "source.kind"),
    ({"name": "x", "source": {"kind": "webhook", "options": {"scheme": "wax"}}}, "source.options.scheme"),
    ({"name": "x", "source": {"kind": "webhook", "options": {"wings": 2}}}, "source.options.wings"),
    ({"name": "x", "source": {"kind": "webhook", "options": {"max_bytes": "many"}}}, "source.options.max_bytes"),
    ({"name": "x", "source": {"kind": "webhook"}, "mapping": {"fields": []}}, "mapping.fields"),
    ({"name": "x", "source": {"kind": "webhook"}, "retention": {"payload_days": 0}}, "retention.payload_days"),
    ({"name": "x", "source": {"kind": "http_poll", "options": {"url": "gopher://x"}}}, "source.options.url"),
]


async def test_a_wrong_pipeline_says_every_place(house: House) -> None:
    for body, place in WRONG_PIPELINES:
        told = problem(await house.call("POST", "/pipelines", body), 422)
        assert place in [error["place"] for error in told["errors"]], body
    assert (await house.call("GET", "/pipelines")).json()["items"] == []


async def test_write_only_options_go_to_the_vault_and_stay_when_left_out(house: House) -> None:
    options = {"url": "https://api.example.org/v1", "secret_headers": {"Authorization": "Bearer canary-4711"}}
    made = await house.call("POST", "/pipelines", {"name": "poll", "source": {"kind": "http_poll", "options": options}})
    assert made.status_code == 201, made.text
    assert made.json()["secret"] is None
    assert made.json()["webhook_url"] is None
    path = f"/pipelines/{made.json()['id']}"
    changed = await house.call("PATCH", path, {"source": {"options": {"url": "https://api.example.org/v2"}}})
    assert changed.json()["source"]["options"]["url"].endswith("/v2")
    for answer in (made, changed, await house.call("GET", path), await house.call("GET", "/audit")):
        assert "canary-4711" not in answer.text
    with house.app.database.ingest() as unit:
        found = catalog.pipeline(unit, made.json()["id"])
        kept = house.app.vault.get_all(unit, found.id, "secret_headers")
        assert json.loads(kept[0]) == {"Authorization": "Bearer canary-4711"}
        assert "canary" not in json.dumps(dict(found.source_options))
        assert unit.value("SELECT count(*) FROM polls WHERE pipeline_id = %s", (found.id,)) == 1
    told = problem(await house.call("PATCH", path, {"source": {"kind": "webhook", "options": {}}}), 422)
    assert told["errors"][0]["place"] == "source.kind"


async def test_a_stream_is_made_without_its_secrets_and_says_where_it_stands(house: House) -> None:
    options = {"url": "mqtts://broker.example.org", "topics": ["a/#"], "username": "u", "password": "swordfish-9481"}
    made = await house.call("POST", "/pipelines", {"name": "Feed", "source": {"kind": "mqtt", "options": options}})
    assert made.status_code == 201, made.text
    assert "swordfish" not in made.text
    assert made.json()["webhook_url"] is None
    path = f"/pipelines/{made.json()['id']}"
    assert (await house.call("GET", path)).json()["stream"] is None
    pipeline = UUID(made.json()["id"])
    with house.app.database.ingest() as unit:
        streams.begin_term(unit, pipeline, "worker:1")
        streams.move(unit, pipeline, 1, "failed", error="refused: not authorized", wait=60)
        unit.commit()
    stream = (await house.call("GET", path)).json()["stream"]
    assert (stream["state"], stream["error"]) == ("failed", "refused: not authorized")
    # Whoever had it has not shown itself.
    assert (stream["owner"], stream["failures"], stream["messages"]) == ("", 1, 0)
    assert stream["next_at"] > stream["since"]
    shape = OPENAPI["components"]["schemas"]["PipelineWithDrift"]["allOf"][1]["properties"]["stream"]
    jsonschema.validate(stream, shape)


async def test_a_webhook_is_tried_and_a_poll_asked_now(house: House) -> None:
    source = {"kind": "webhook", "options": {"scheme": "basic"}}
    hook = (await house.call("POST", "/pipelines", {"name": "Hook", "source": source})).json()
    tried = (await house.call("POST", f"/pipelines/{hook['id']}/test", {})).json()
    assert (tried["status"], tried["answer"]["duplicate"]) == (200, False)
    assert tried["request"]["headers"]["authorization"] == "…"
    assert hook["secret"] not in str(tried)
    sent = await house.call("GET", f"/pipelines/{hook['id']}/payloads/{tried['answer']['payload_id']}")
    assert sent.text == tried["request"]["body"]
    assert (await house.call("POST", f"/pipelines/{hook['id']}/test", {}, who="viewer")).status_code == 403
    assert (await house.call("POST", f"/pipelines/{hook['id']}/poll")).status_code == 409
    source = {"kind": "http_poll", "options": {"url": "https://api.example.org/v1", "interval_seconds": 3600}}
    poll = (await house.call("POST", "/pipelines", {"name": "Poll", "source": source})).json()
    assert (await house.call("POST", f"/pipelines/{poll['id']}/test", {})).status_code == 404
    assert (await house.call("POST", f"/pipelines/{poll['id']}/poll")).status_code == 200
    await house.call("POST", f"/pipelines/{poll['id']}/pause")
    assert (await house.call("POST", f"/pipelines/{poll['id']}/poll")).status_code == 409


async def test_signing_secrets_rotate_with_two_alive(house: House) -> None:
    made = await house.pipeline()
    path = f"/pipelines/{made['id']}/secret"

    def alive() -> list[str]:
        with house.app.database.ingest() as unit:
            return house.app.vault.get_all(unit, catalog.pipeline(unit, made["id"]).id, "webhook")

    assert alive() == [made["secret"]]
    second = (await house.call("POST", path)).json()["secret"]
    assert alive() == [second, made["secret"]]
    assert (await house.call("DELETE", f"{path}/previous")).status_code == 204
    problem(await house.call("DELETE", f"{path}/previous"), 404)
    assert alive() == [second]
    brought = await house.call("POST", path, {"secret": "brought-along-0815", "keep_old": False})
    assert brought.json() == {"secret": "brought-along-0815"}
    assert alive() == ["brought-along-0815"]


async def test_pages_of_pipelines_join_without_gap_or_double(house: House) -> None:
    made = [(await house.pipeline(f"p_{number}", mapping=None))["id"] for number in range(5)]
    found: list[str] = []
    cursor = ""
    while True:
        page = (await house.call("GET", f"/pipelines?limit=2&stats=true{cursor}")).json()
        fits("list_pipelines", page)
        assert all("stats" in item for item in page["items"])
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == made


# Revisions and repeats ------------------------------------------------------------------------------------------------


async def test_if_match_keeps_two_editors_from_overwriting_each_other(house: House) -> None:
    made = await house.pipeline()
    path = f"/pipelines/{made['id']}"
    tag = (await house.call("GET", path)).headers["ETag"]
    both = await asyncio.gather(
        *(house.call("PATCH", path, {"name": name}, headers={"If-Match": tag}) for name in ("one", "two"))
    )
    assert sorted(answer.status_code for answer in both) == [200, 412]
    for wrong in ('"999"', "3", 'W/"1"', "nonsense"):
        problem(await house.call("PATCH", path, {"name": "three"}, headers={"If-Match": wrong}), 412)
    problem(await house.call("DELETE", path, headers={"If-Match": tag}), 412)
    assert (await house.call("PATCH", path, {"name": "four"}, headers={"If-Match": "*"})).status_code == 200


async def test_the_same_key_and_request_get_the_same_answer_once(house: House) -> None:
    body = {"name": "Once", "source": {"kind": "webhook"}}
    key = {"Idempotency-Key": "order-1"}
    answers = await asyncio.gather(*(house.call("POST", "/pipelines", body, headers=key) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 3
    assert len((await house.call("GET", "/pipelines")).json()["items"]) == 1
    problem(await house.call("POST", "/pipelines", {**body, "name": "Other"}, headers=key), 422)
    other = await house.call("POST", "/pipelines", body, headers=key, who="editor")
    assert other.json()["id"] != answers[0].json()["id"]
    problem(await house.call("POST", "/pipelines", body, headers={"Idempotency-Key": "x" * 201}), 400)
    with house.app.database.ingest() as unit:
        for (answer,) in unit.rows("SELECT answer FROM idempotency_keys"):
            assert answers[0].json()["secret"].encode() not in bytes(answer)


async def test_a_failed_request_leaves_its_key_free(house: House) -> None:
    await house.pipeline("taken")
    key = {"Idempotency-Key": "again"}
    body = {"name": "x", "slug": "taken", "source": {"kind": "webhook"}}
    problem(await house.call("POST", "/pipelines", body, headers=key), 409)
    await house.call("DELETE", "/pipelines/taken")
    assert (await house.call("POST", "/pipelines", body, headers=key)).status_code == 201


# What came in ---------------------------------------------------------------------------------------------------------


async def test_records_payloads_rejects_and_their_lineage(house: House) -> None:
    made = await house.pipeline()
    path = f"/pipelines/{made['id']}"
    bodies = [b'{"n": 1, "site": "a"}', b'{"n": "many"}', b'[{"n": 2}, {"n": 3, "site": "b"}]']
    ids = [str(one) for one in await house.receive(made["id"], *bodies)]
    first = (await house.call("GET", f"{path}/records?limit=2")).json()
    fits("list_records", first)
    assert [(r["n"], r["site"], r["twice"]) for r in first["items"]] == [(3, "b", 6), (2, None, 4)]
    rest = (await house.call("GET", f"{path}/records?limit=2&cursor={first['next']}")).json()
    assert [r["n"] for r in rest["items"]] == [1]
    assert rest["next"] is None
    assert first["items"][0]["_payload"] == ids[2]
    assert re.search(r"[+-]\d\d:\d\d$", first["items"][0]["_time"])
    lineage = (await house.call("GET", f"{path}/records?payload={ids[2]}")).json()
    assert [(r["_index"], r["n"]) for r in lineage["items"]] == [(0, 2), (1, 3)]
    rejects = (await house.call("GET", f"{path}/rejects")).json()
    fits("list_rejects", rejects)
    (reject,) = rejects["items"]
    assert (reject["payload"], reject["field"], reject["mapping_version"]) == (ids[1], "n", 1)
    assert (await house.call("GET", f"{path}/rejects?payload={ids[0]}")).json()["items"] == []
    listed = (await house.call("GET", f"{path}/payloads")).json()
    fits("list_payloads", listed)
    assert [(one["id"], one["size"], one["state"]) for one in listed["items"]] == [
        (ident, len(body), "ingested") for ident, body in reversed(list(zip(ids, bodies, strict=True)))
    ]
    stats = (await house.call("GET", path)).json()["stats"]
    assert (stats["payloads"], stats["records"], stats["rejects"]) == (3, 3, 1)
    problem(await house.call("GET", f"{path}/records?cursor=nonsense"), 400)
    problem(await house.call("GET", f"{path}/payloads?cursor=nonsense"), 400)
    assert (await house.call("GET", f"{path}/runs")).json() == {"items": [], "next": None}


async def test_what_only_bronze_has_is_listed_and_tried_out_all_the_same(house: House) -> None:
    made = await house.pipeline()
    path = f"/pipelines/{made['id']}"
    ids = [str(one) for one in await house.receive(made["id"], b'{"n": 1}', b'{"n": 22}')]
    bronze.archive(house.app.database, house.app.objects, UUID(made["id"]))
    with house.app.database.ingest() as unit:
        unit.execute("DELETE FROM payloads")
        unit.commit()
    ids += [str(one) for one in await house.receive(made["id"], b'{"n": 333}')]
    first = (await house.call("GET", f"{path}/payloads?limit=2")).json()
    fits("list_payloads", first)
    rest = (await house.call("GET", f"{path}/payloads?limit=2&cursor={first['next']}")).json()
    assert [(one["id"], one["size"]) for one in [*first["items"], *rest["items"]]] == [
        (ids[2], 10), (ids[1], 9), (ids[0], 8),
    ]  # fmt: skip
    assert rest["next"] is None
    tried = (await house.call("POST", f"{path}/preview", {"limit": 2})).json()
    assert [record["n"] for record in tried["records"]] == [22, 333]


async def test_a_payload_comes_back_as_it_came_and_cannot_run(house: House) -> None:
    made = await house.pipeline(mapping=None)
    body = b"<script>alert(document.cookie)</script>"
    (ident,) = await house.receive(made["id"], body, content_type="text/html; charset=utf-8")
    answer = await house.call("GET", f"/pipelines/{made['id']}/payloads/{ident}")
    assert answer.content == body
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    other = await house.pipeline("other")
    for path in (f"/pipelines/{other['id']}/payloads/{ident}", f"/pipelines/{made['id']}/payloads/{1 << 80}"):
        problem(await house.call("GET", path), 404)


# Mappings -------------------------------------------------------------------------------------------------------------


async def test_mappings_are_versions_of_which_one_is_active(house: House) -> None:
    made = await house.pipeline()
    path = f"/pipelines/{made['id']}/mappings"
    wider = {"fields": [*MAPPING["fields"], {"name": "more", "path": "$.more", "type": "text"}]}
    saved = await house.call("POST", path, {"mapping": wider, "note": "wider", "activate": "no"})
    fits("create_mapping", saved.json())
    assert saved.status_code == 201
    assert saved.json() == {"version": 2, "replay": None}
    assert (await house.call("GET", f"/pipelines/{made['id']}")).json()["mapping_version"] == 1
    assert (await house.call("POST", path, {"mapping": wider})).json()["version"] == 3
    page = (await house.call("GET", path)).json()
    fits("list_mappings", page)
    assert [(one["version"], one["active"]) for one in page["items"]] == [(3, True), (2, False), (1, False)]
    one = (await house.call("GET", f"{path}/2")).json()
    assert (one["mapping"], one["note"], one["author"]) == (wider, "wider", "admin@example.org")
    for number in ("9", "0", "x", str(1 << 40)):
        problem(await house.call("GET", f"{path}/{number}"), 404)
    told = problem(await house.call("POST", path, {"mapping": wider, "base": 2}), 409)
    assert "version 3 was saved meanwhile" in told["detail"]
    told = problem(
        await house.call("POST", path, {"mapping": {"fields": [{"name": "n", "type": "numbr", "path": "$.n"}]}}), 422
    )
    assert "fields[0].type" in told["errors"][0]["place"]
    yaml = "fields:\n  - {name: n, path: $.n, type: number}\n"
    assert (await house.call("POST", path, {"mapping": yaml})).json()["version"] == 4


async def test_a_mapping_is_tried_out_and_nothing_is_kept(house: House) -> None:
    made = await house.pipeline()
    path = f"/pipelines/{made['id']}/preview"
    tried = {"mapping": MAPPING, "payloads": ['{"n": 21, "site": "a"}', '{"n": "x"}', '{"n": 1, "site": "\\u0000"}']}
    answer = (await house.call("POST", path, tried)).json()
    fits("preview_mapping", answer)
    assert [record["twice"] for record in answer["records"]] == [42]
    assert sorted(reject["field"] for reject in answer["rejects"]) == ["n", "site"]
    assert [field["name"] for field in answer["schema"]] == ["n", "site", "twice"]
    assert (await house.call("GET", f"/pipelines/{made['id']}")).json()["stats"]["payloads"] == 0
    await house.receive(made["id"], b'{"n": 5}')
    assert [r["n"] for r in (await house.call("POST", path, {})).json()["records"]] == [5]
    assert (await house.call("POST", path)).json()["payloads"] == 1
    for sql in ("__import__('os')", "read_csv('/etc/passwd')", "sum(n)", "now()", "(select 1)"):
        bad = {"fields": [*MAPPING["fields"], {"name": "bad", "sql": sql, "type": "number"}]}
        told = problem(await house.call("POST", path, {"mapping": bad, "payloads": ["{}"]}), 422)
        assert told["errors"][0]["place"].startswith("mapping.fields[3]")


# Queries --------------------------------------------------------------------------------------------------------------


async def test_a_query_answers_json_csv_and_arrow(house: House) -> None:
    made = await house.pipeline("numbers")
    await house.receive(made["id"], json.dumps([{"n": i, "site": "ab"[i % 2]} for i in range(10)]).encode())
    ask = {
        "pipeline": "numbers",
        "select": [{"field": "n", "agg": "sum", "as": "total"}, {"agg": "count"}],
        "from": "now-1h",
        "to": "now+1h",
    }
    answer = await house.call("POST", "/query", ask)
    fits("run_query", answer.json())
    assert answer.json()["items"] == [{"total": 45.0, "count": 10}]
    csv = await house.call("POST", "/query", ask, headers={"Accept": "text/csv"})
    assert csv.headers["content-type"].startswith("text/csv")
    assert csv.text.splitlines()[0] == "total,count"
    arrow = await house.call("POST", "/query", ask, headers={"Accept": "application/vnd.apache.arrow.stream"})
    assert arrow.content[:4] == b"\xff\xff\xff\xff"
    both = await house.call("POST", "/query", ask, headers={"Accept": "text/csv;q=0.5, application/json"})
    assert both.headers["content-type"] == "application/json"
    problem(await house.call("POST", "/query", {**ask, "pipeline": "nowhere"}), 404)
    for wrong in (
        {"where": "n; drop table x"},
        {"from": "yesterdayish"},
        {"select": [{"field": "nope", "agg": "sum"}]},
    ):
        assert problem(await house.call("POST", "/query", {**ask, **wrong}), 422)["errors"]
    problem(await house.call("POST", "/query", {**ask, "where": "site = '\x00'"}), 400)


# Dashboards -----------------------------------------------------------------------------------------------------------


async def test_dashboards_are_saved_whole_with_a_revision(house: House) -> None:
    document = {
        "title": "Weather now",
        "time": {"from": "now-24h", "to": "now"},
        "tiles": [
            {
                "id": 1,
                "kind": "stat",
                "title": "n",
                "gridPos": {"x": 0, "y": 0, "w": 3, "h": 3},
                "query": {"pipeline": "weather", "select": [{"field": "n", "agg": "avg"}]},
            }
        ],
    }
    made = await house.call("POST", "/dashboards", document)
    fits("create_dashboard", made.json())
    assert made.json()["uid"] == "weather_now"
    problem(await house.call("POST", "/dashboards", document), 409)
    page = (await house.call("GET", "/dashboards")).json()
    fits("list_dashboards", page)
    assert page["items"][0]["tiles"] == 1
    tag = made.headers["ETag"]
    saved = await house.call(
        "PUT", "/dashboards/weather_now", {**document, "title": "Later"}, headers={"If-Match": tag}
    )
    assert saved.json()["revision"] == made.json()["revision"] + 1
    problem(await house.call("PUT", "/dashboards/weather_now", document, headers={"If-Match": tag}), 412)
    problem(await house.call("DELETE", "/dashboards/weather_now", headers={"If-Match": tag}), 412)
    wrong = {
        **document,
        "tiles": [
            document["tiles"][0],
            {**document["tiles"][0], "kind": "cake", "gridPos": {"x": 11, "y": 0, "w": 3, "h": 1}},
        ],
    }
    places = {
        error["place"] for error in problem(await house.call("PUT", "/dashboards/weather_now", wrong), 422)["errors"]
    }
    assert places == {"tiles[1].id", "tiles[1].kind", "tiles[1].gridPos"}
    bad_query = {
        **document,
        "tiles": [{**document["tiles"][0], "query": {"pipeline": "weather", "select": [{"agg": "explode"}]}}],
    }
    told = problem(await house.call("PUT", "/dashboards/weather_now", bad_query), 422)
    assert told["errors"][0]["place"].startswith("tiles[0].query")
    assert (await house.call("DELETE", "/dashboards/weather_now")).status_code == 204
    problem(await house.call("GET", "/dashboards/weather_now"), 404)


async def test_a_dashboard_is_proposed_from_the_mapping_and_can_be_queried(house: House) -> None:
    made = await house.pipeline()
    proposed = await house.call("POST", f"/pipelines/{made['id']}/dashboard")
    fits("propose_dashboard", proposed.json())
    assert proposed.json()["uid"] == "weather"
    again = await house.call("POST", f"/pipelines/{made['id']}/dashboard")
    assert again.json()["uid"] == "weather_2"
    chosen = {one["name"]: one["current"] for one in proposed.json()["dashboard"]["templating"]["list"]}
    assert chosen == {"site": "$__all"}
    for tile in proposed.json()["dashboard"]["tiles"]:
        query = {**tile["query"], "from": "now-1h", "to": "now", "variables": chosen}
        if query.get("every") == "auto":
            query["every"] = "1m"
        assert (await house.call("POST", "/query", query)).status_code == 200, tile
    bare = await house.pipeline("bare", mapping=None)
    problem(await house.call("POST", f"/pipelines/{bare['id']}/dashboard"), 409)


# People ---------------------------------------------------------------------------------------------------------------


async def test_who_i_am_and_who_else_is_here(house: House) -> None:
    me = (await house.call("GET", "/session", who="viewer")).json()
    fits("get_session", me)
    assert (me["role"], me["team"]["schema"], me["xsrf"]) == ("viewer", "team_ours", None)
    assert "pipelines.write" not in me["actions"]
    teams = (await house.call("GET", "/teams")).json()
    fits("list_teams", teams)
    assert [team["slug"] for team in teams["items"]] == ["ours"]
    members = (await house.call("GET", "/members", who="viewer")).json()
    fits("list_members", members)
    assert {one["email"].split("@")[0] for one in members["items"]} == {"admin", "editor", "viewer"}


async def test_tokens_are_shown_once_have_at_most_my_role_and_end_at_once(house: House) -> None:
    made = await house.call("POST", "/tokens", {"name": "ci", "role": "viewer"}, who="editor")
    fits("create_token", made.json())
    house.tokens["ci"] = made.json()["token"]
    assert (await house.call("GET", "/session", who="ci")).json()["role"] == "viewer"
    problem(await house.call("POST", "/pipelines", {"name": "x", "source": {"kind": "webhook"}}, who="ci"), 403)
    problem(await house.call("POST", "/tokens", {"name": "up", "role": "admin"}, who="editor"), 403)
    assert (await house.call("POST", "/tokens", {"name": "own"}, who="editor")).json()["role"] == "editor"
    listed = await house.call("GET", "/tokens", who="editor")
    fits("list_tokens", listed.json())
    assert house.tokens["ci"] not in listed.text
    problem(await house.call("DELETE", f"/tokens/{made.json()['id']}", who="viewer"), 404)
    assert (await house.call("DELETE", f"/tokens/{made.json()['id']}", who="editor")).status_code == 204
    house.access.forget(str(house.users["editor"]))  # as the hub does when the database announces it
    problem(await house.call("GET", "/session", who="ci"), 401)


# The door -------------------------------------------------------------------------------------------------------------


UNREADABLE = [
    b"",
    b"{nope",
    b"[]",
    b"null",
    b'{"name": "a", "name": "b"}',
    b'{"name": NaN}',
    b'{"name": 1e999}',
    b'{"name": "\\ud800"}',
    b'{"name": "a\\u0000b", "source": {"kind": "webhook"}}',
    b'{"name": "\xff"}',
    b'{"name": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"name": ' + b"9" * 5000 + b"}",
]


async def test_a_body_that_can_be_read_in_two_ways_or_none_is_refused(house: House) -> None:
    for body in UNREADABLE:
        problem(await house.call("POST", "/pipelines", body), 400)


async def test_the_door_refuses_what_is_too_large_encoded_or_misspelt(house: House) -> None:
    problem(await house.call("POST", "/pipelines", b" " * ((2 << 20) + 1)), 413)
    problem(await house.call("POST", "/pipelines", b" " * (9 << 20)), 413)
    problem(await house.call("POST", "/pipelines", b"x", headers={"Content-Encoding": "gzip"}), 415)
    for query in ("limit=0", "limit=1001", "limit=ten", "limt=5", "limit=1&limit=2", "cursor=%00", "limit=%ff"):
        problem(await house.call("GET", f"/pipelines?{query}"), 400)
    refused = await house.call("PUT", "/pipelines", {})
    problem(refused, 405)
    assert refused.headers["Allow"] == "GET, HEAD, POST"
    for path in ("//api/v1/nothing", "//api/", "//api", "//api/v2/pipelines", "//api/v1/pipelines/"):
        problem(await house.call("GET", path), 404)
    problem(await house.call("GET", f"/pipelines/{'x' * 300}"), 404)
    problem(await house.call("GET", "/pipelines/a%00b"), 404)
    head = await house.call("HEAD", "/pipelines")
    assert (head.status_code, head.content) == (200, b"")


async def test_every_answer_has_a_request_id_and_an_accident_leaks_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await house.call("GET", "/pipelines", headers={"X-Request-Id": "trace-12345"})).headers[
        "X-Request-Id"
    ] == "trace-12345"
    assert len((await house.call("GET", "/pipelines", headers={"X-Request-Id": "a b"})).headers["X-Request-Id"]) == 32

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("password=hunter2 at /secret/path")

    monkeypatch.setattr(catalog, "pipelines", broken)
    answer = await house.call("GET", "/pipelines")
    told = problem(answer, 500)
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    assert told["request_id"] == answer.headers["X-Request-Id"]


async def test_the_document_and_the_docs_are_public_and_name_no_other_host(house: House) -> None:
    told = (await house.call("GET", "//api/openapi.json", who=None)).json()
    assert told["openapi"].startswith("3.1")
    assert told == json.loads(json.dumps(OPENAPI))
    page = await house.call("GET", "//api/docs", who=None)
    assert page.status_code == 200
    assert not re.search(r"https?://", page.text)
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    nonce = re.search(r"'nonce-([^']+)'", policy)
    assert nonce
    assert all(nonce.group(1) in tag for tag in re.findall(r"<(?:script|style)[^>]*>", page.text))


# Everything, as everybody ---------------------------------------------------------------------------------------------


def _address(operation: Operation, ours: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: ours[name.group(1)], operation.path)


def test_the_walk_knows_every_operation_of_the_document() -> None:
    documented = {(method.upper(), path) for path, methods in OPENAPI["paths"].items() for method in methods}
    assert documented == {(one.method, one.path) for one in OPERATIONS}
    assert len({one.name for one in OPERATIONS}) == len(OPERATIONS)
    assert all(one.action is None or one.action in ACTIONS for one in OPERATIONS)


async def test_nobody_and_revoked_tokens_get_nothing_anywhere(house: House) -> None:
    names = ("pipeline", "version", "payload", "token", "dashboard", "comparison", "replay", "annotation", "template")
    names += ("upload",)
    names += ("sink", "delivery")
    names += ("alert", "silence", "window")
    names += ("report",)
    ours = dict.fromkeys(names, "1")
    house.tokens["made_up"] = "dash_" + "x" * 43
    for operation in OPERATIONS:
        for who in (None, "made_up"):
            answer = await house.call(operation.method, _address(operation, ours), who=who)
            problem(answer, 401)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def _message(house: House, sink: UUID) -> str:
    with house.app.database.team(house.teams["ours"]) as unit:
        made = outbox.put(unit, house.app, house.teams["ours"], sink, "alert", {})
        unit.commit()
    return made


async def test_another_team_and_lesser_roles_on_every_operation(house: House) -> None:
    """What is another team's answers, byte for byte, like what is nowhere; what asks for a higher role is refused."""
    made = await house.pipeline()
    (payload,) = await house.receive(made["id"], b'{"n": 1}')
    token = (await house.call("POST", "/tokens", {"name": "t"})).json()["id"]
    dashboard = (await house.call("POST", f"/pipelines/{made['id']}/dashboard")).json()["uid"]
    scope = {"b": 1, "scope": "all"}
    comparison = (await house.call("POST", f"/pipelines/{made['id']}/comparisons", scope)).json()["id"]
    there = {"pipeline": made["id"], "version": "1", "payload": str(payload), "token": token, "dashboard": dashboard}
    there["comparison"] = comparison
    there["template"] = "weather"
    said = {"time": "now", "text": "a note"}
    there["annotation"] = (await house.call("POST", f"/dashboards/{dashboard}/annotations", said)).json()["id"]
    file = {"name": "a.csv", "size": 10}
    there["upload"] = (await house.call("POST", f"/pipelines/{made['id']}/uploads", file)).json()["id"]
    hook = {"name": "Hook", "kind": "webhook", "options": {"url": "https://example.org/hook"}}
    sink = (await house.call("POST", "/sinks", hook)).json()["id"]
    there |= {"sink": sink, "delivery": await asyncio.to_thread(_message, house, UUID(sink))}
    rule = {"name": "Much", "slug": "much", "query": {"pipeline": made["slug"]}, "condition": {"type": "missing"}}
    there["alert"] = (await house.call("POST", "/alerts", rule)).json()["id"]
    quiet = {"matchers": {"alert": "much"}, "duration": "2h"}
    there["silence"] = (await house.call("POST", "/silences", quiet)).json()["id"]
    patches = {"name": "Patches", "cron": "0 2 * * 6", "duration": "2h"}
    there["window"] = (await house.call("POST", "/maintenance-windows", patches)).json()["id"]
    weekly = {"name": "Weekly", "dashboard": dashboard, "cron": "0 7 * * 1"}
    there["report"] = (await house.call("POST", "/reports", weekly)).json()["id"]
    there["replay"] = (await house.call("POST", f"/pipelines/{made['id']}/replays", {})).json()["id"]
    nowhere = {
        "report": "019a0000-0000-7000-8000-00000000000b",
        "alert": "019a0000-0000-7000-8000-000000000008",
        "silence": "019a0000-0000-7000-8000-000000000009",
        "window": "019a0000-0000-7000-8000-00000000000a",
        "upload": "019a0000-0000-7000-8000-000000000007",
        "sink": "019a0000-0000-7000-8000-000000000005",
        "delivery": f"msg_{6:032x}",
        "replay": "019a0000-0000-7000-8000-000000000003",
        "comparison": "019a0000-0000-7000-8000-000000000002",
        "pipeline": "019a0000-0000-7000-8000-000000000000",
        "version": "1",
        "payload": "1",
        "token": "019a0000-0000-7000-8000-000000000001",
        "dashboard": "nothing",
        "template": "nothing",
        "annotation": "019a0000-0000-7000-8000-000000000004",
    }
    bodies: dict[str, Any] = {
        "update_pipeline": {"name": "stolen"},
        "create_mapping": {"mapping": MAPPING},
        "preview_mapping": {"mapping": MAPPING, "payloads": []},
        "create_upload": {"name": "stolen.csv", "size": 1},
        "update_sink": {"name": "stolen"},
        "update_alert": {"name": "stolen"},
        "update_report": {**weekly, "name": "stolen"},
        "forget_alert_series": {"series": {}},
        "update_maintenance_window": {**patches, "name": "stolen"},
        "update_dashboard": {"title": "stolen"},
        "create_dashboard_version": {"dashboard": {"title": "stolen"}},
        "copy_tile": {"tile": 1},
        "create_annotation": {"time": "now", "text": "stolen"},
        "update_annotation": {"time": "now", "text": "stolen"},
        "create_from_template": {"pipeline": made["id"]},
        "update_preferences": {"timezone": "UTC"},
        "update_replay": {"throttle": 1},
        "map_again": {"payloads": ["1"]},
        "dismiss_drift": {"paths": ["$.n"]},
        "run_query": {"pipeline": made["id"], "select": [{"agg": "count"}]},
    }
    for operation in OPERATIONS:
        body = bodies.get(operation.name, {} if operation.body else None)
        if "{" in operation.path or operation.name == "run_query":
            foreign = await house.call(operation.method, _address(operation, there), body, who="stranger")
            other = {**body, "pipeline": nowhere["pipeline"]} if operation.name == "run_query" else body
            absent = await house.call(operation.method, _address(operation, nowhere), other, who="stranger")
            problem(foreign, 404)
            assert foreign.content == absent.content, operation.name
            assert foreign.headers.keys() == absent.headers.keys()
        for who, role in (("viewer", Role.viewer), ("editor", Role.editor)):
            if operation.action and ACTIONS[operation.action] > role:
                problem(await house.call(operation.method, _address(operation, there), body, who=who), 403)
    for operation in ("/pipelines", "/dashboards", "/audit", "/tokens", "/members"):
        seen = await house.call("GET", operation, who="stranger")
        assert made["id"] not in seen.text
        assert "admin@example.org" not in seen.text
    untouched = (await house.call("GET", f"/pipelines/{made['id']}")).json()
    assert (untouched["name"], untouched["state"], untouched["mapping_version"]) == ("weather", "active", 1)
