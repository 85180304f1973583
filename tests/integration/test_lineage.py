"""Lineage against a real database: a payload with all that became of it, rejects in groups, the watched replay."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import pytest_asyncio

from dash_app.domain.changes import PipelineChanged, ReplayMoved
from dash_app.domain.errors import Invalid
from dash_app.live.replays_view import ReplaysView
from dash_app.live.subscriptions import open_view
from dash_app.pipelines import replay as replay_module
from dash_app.pipelines import rollout, setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.query import Queries
from dash_app.pipelines.replay import Replays
from dash_app.storage import bronze, catalog, lineage, replay_estimate
from dash_app.web.api import OPERATIONS
from dash_app.web.api.openapi import document
from tests.integration.conftest import House
from tests.integration.rest import House as Rest
from tests.integration.rest import opened

FIELDS = [{"name": "n", "path": "$.n", "type": "number"}, {"name": "site", "path": "$.site", "type": "text"}]
V1: dict[str, Any] = {"records": "$.rows", "fields": FIELDS}
V2: dict[str, Any] = {**V1, "fields": [*FIELDS, {"name": "twice", "sql": "n * 2", "type": "number"}]}


def rows(*values: Any) -> bytes:
    return json.dumps({"rows": [{"n": value, "site": "a"} for value in values]}).encode()


class Road:
    def __init__(self, house: House, mapping: Any = V1) -> None:
        self.house = house
        self.pipeline = house.pipeline("orders", mapping)
        self.ingest = Ingest(house.app)

    def post(self, *bodies: bytes) -> list[int]:
        made = self.house.put(self.pipeline, *bodies)
        self.ingest.run(self.pipeline)
        return made

    def save(self, mapping: Any, activate: Any = "now") -> UUID | None:
        with self.house.app.database.team(self.house.team) as unit:
            saved = setup.save_mapping(unit, self.pipeline, mapping, "tester", activate=activate)
            unit.commit()
        return saved.replay

    def replay(self, replay: UUID) -> None:
        work = Replays(self.house.app)
        while work.step(replay) != "ended":
            pass

    def trace(self, payload: int) -> lineage.Trace:
        with self.house.app.database.team(self.house.team) as unit:
            found = lineage.trace(unit, self.house.app.objects, self.pipeline, payload)
        assert found is not None
        return found


@pytest.fixture
def road(house: House) -> Road:
    return Road(house)


def test_a_payload_tells_its_records_with_their_version_and_its_rejects(road: Road) -> None:
    first, other = road.post(rows(1, "many", 3), rows(9))
    road.save(V2)
    (later,) = road.post(rows(5))
    found = road.trace(first)
    assert [(made.version, made.frame["_index"].to_list(), made.frame["n"].to_list()) for made in found.made] == [
        (1, [0, 2], [1.0, 3.0])
    ]
    assert "twice" not in found.made[0].frame.columns
    assert [(one.index, one.field, one.mapping_version) for one in found.rejects] == [(1, "n", 1)]
    assert (found.state, found.generation, found.records) == ("ingested", 1, 2)
    assert [(made.version, made.frame["twice"].to_list()) for made in road.trace(later).made] == [(2, [10.0])]
    with road.house.app.database.team(road.house.team) as unit:
        assert lineage.trace(unit, road.house.app.objects, road.pipeline, other + 1000) is None
        assert lineage.trace(unit, road.house.app.objects, UUID(int=1), first) is None


def test_after_a_replay_the_records_are_of_the_new_version(road: Road) -> None:
    (payload,) = road.post(rows(1, "many"))
    replay = road.save(V2, "after_replay")
    assert replay is not None
    road.replay(replay)
    found = road.trace(payload)
    assert [made.version for made in found.made] == [2]
    assert [one.mapping_version for one in found.rejects] == [2]
    assert found.generation == 2


def test_where_a_payload_rests_is_told_rightly_on_its_way(road: Road) -> None:
    (payload,) = road.post(rows(1))
    assert (road.trace(payload).stored, road.trace(payload).file) == ("inbox", None)
    bronze.archive(road.house.app.database, road.house.app.objects, road.pipeline)
    ((key,),) = road.house.rows("SELECT key FROM dash.bronze_files")
    assert (road.trace(payload).stored, road.trace(payload).file) == ("bronze", key)
    # A file whose range holds a later payload does not hold it yet.
    waiting = road.house.put(road.pipeline, rows(2))[0]
    with road.house.app.database.ingest() as unit:
        unit.execute("UPDATE bronze_files SET max_payload = %s", (waiting + 10,))
        unit.commit()
    found = road.trace(waiting)
    assert (found.stored, found.file, found.state, found.made) == ("inbox", None, "waiting", [])
    with road.house.app.database.ingest() as unit:
        unit.execute("DELETE FROM payloads WHERE id = %s", (payload,))
        unit.commit()
    assert road.trace(payload).payload.body == rows(1)


def test_rejects_are_grouped_by_field_and_reason_without_what_was_found(road: Road) -> None:
    ids = road.post(rows("n/a", "x"), rows("n/a", 1), b"{nope", rows(2))
    with road.house.app.database.team(road.house.team) as unit:
        first, second = lineage.reject_groups(unit, road.pipeline)
        assert (first.field, first.reason, first.rejects, first.payloads) == ("n", "number expected", 3, 2)
        assert "found text" in first.example
        assert (second.field, second.rejects) == ("body", 1)
        group = (unit, road.pipeline, first.field, first.reason)
        assert lineage.payloads_of_group(*group, limit=10) == [ids[1], ids[0]]
        assert lineage.payloads_of_group(*group, limit=1) == [ids[1]]
        assert {one.payload for one in lineage.rejects_of_group(*group, limit=10)} == {ids[0], ids[1]}
        assert lineage.rejects_of_group(unit, road.pipeline, "n", "nothing", limit=10) == []
        assert lineage.rejects_of_group(unit, road.pipeline, "n\x00", "'; --", limit=10) == []


def test_a_group_mapped_again_after_a_fix_is_gone(road: Road) -> None:
    road.post(rows("n/a", 1), rows("n/a"))
    road.save({**V1, "on_error": "null"})
    with road.house.app.database.team(road.house.team) as unit:
        wanted = lineage.payloads_of_group(unit, road.pipeline, "n", "number expected", limit=10)
        assert rollout.map_again(unit, catalog.pipeline(unit, road.pipeline), wanted, "tester") == 2
        unit.commit()
    with road.house.app.database.team(road.house.team) as unit:
        assert lineage.waiting_again(unit, road.pipeline) == 2
    assert road.trace(wanted[0]).state == "waiting"
    road.ingest.run(road.pipeline)
    with road.house.app.database.team(road.house.team) as unit:
        assert lineage.waiting_again(unit, road.pipeline) == 0
        assert lineage.reject_groups(unit, road.pipeline) == []
    assert [made.version for made in road.trace(wanted[0]).made] == [2]


def test_versions_are_kept_for_as_long_as_they_can_be_asked_for(road: Road) -> None:
    road.post(rows(1))
    road.save(V2)
    road.post(rows(2))

    def kept() -> set[int]:
        with road.house.app.database.team(road.house.team) as unit:
            found = lineage.kept_versions(unit, road.pipeline)
            for version in (1, 2, 3):
                try:
                    there = bool(catalog.versions(unit, road.pipeline, mapping=version))
                except Exception:
                    there = False
                assert there == (version in found), version
        return found

    assert kept() == {1, 2}
    replay = road.save({**V2, "fields": V2["fields"][:2]}, "after_replay")
    assert replay is not None
    road.replay(replay)
    assert kept() == {2, 3}
    with road.house.app.database.team(road.house.team) as unit:
        rollout.discard(unit, catalog.pipeline(unit, road.pipeline), "tester")
        unit.commit()
    assert kept() == {3}


# Replays, watched and estimated --------------------------------------------------------------------------------------


def test_what_a_replay_would_do_is_told_from_files_and_inbox(road: Road) -> None:
    road.post(rows(1), rows(2))
    bronze.archive(road.house.app.database, road.house.app.objects, road.pipeline)
    (later,) = road.post(rows(3))
    with road.house.app.database.team(road.house.team) as unit:
        found = replay_estimate.estimate(unit, road.pipeline, *rollout.bounds(None, None))
        assert (found.payloads, found.files, found.expired, found.seconds) == (3, 1, None, None)
        assert found.bytes > 0
        late = replay_estimate.estimate(unit, road.pipeline, later, later + 1)
        assert (late.payloads, late.files) == (1, 0)


def test_progress_is_told_as_it_moves(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "STEP_PAYLOADS", 1)
    road.post(*(rows(n) for n in range(3)))
    app = road.house.app
    request = {"kind": "replays", "query": {"pipeline": "orders"}}
    name, view = open_view(app.database, Queries(app.database), road.house.team, request)
    assert isinstance(view, ReplaysView)
    assert name == f"replays {road.pipeline}"
    table = view.snapshot()
    assert table.frame.is_empty()
    assert table.extra == {"active": 1, "generation": 1, "back": None, "back_until": None}
    assert view.moves is None
    replay = road.save(V2, "after_replay")
    assert replay is not None
    assert view.concerns(ReplayMoved(str(road.pipeline), str(replay)))
    assert view.concerns(PipelineChanged(str(road.pipeline)))
    assert not view.concerns(ReplayMoved(str(UUID(int=1)), str(replay)))
    work = Replays(app)
    seen = []
    for _ in range(3):
        work.step(replay)
        row = view.snapshot().frame.row(0, named=True)
        seen.append((row["state"], row["payloads"], row["payloads_total"], row["share"]))
    assert seen == [
        ("running", 0, 3, 0.0),
        ("running", 1, 3, pytest.approx(1 / 3)),
        ("running", 2, 3, pytest.approx(2 / 3)),
    ]
    assert view.moves is not None
    road.replay(replay)
    table = view.snapshot()
    assert (table.frame["state"][0], table.frame["share"][0], table.frame["records"][0]) == ("done", 1.0, 3)
    assert (table.extra["active"], table.extra["back"]) == (2, 1)
    assert table.extra["back_until"] is not None
    with pytest.raises(Invalid):
        open_view(app.database, Queries(app.database), road.house.team, {"kind": "replays", "query": {}})


# REST ----------------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def rest(database_url: str, tmp_path: Path) -> AsyncIterator[Rest]:
    async with opened(database_url, tmp_path) as made:
        yield made


async def test_lineage_over_rest(rest: Rest) -> None:
    made = await rest.pipeline()
    body = b'[{"n": 1, "site": "a"}, {"n": "many"}, {"n": 3}]'
    (payload,) = await rest.receive(made["id"], body)
    path = f"/pipelines/weather/payloads/{payload}/lineage"
    answer = await rest.call("GET", path, who="viewer")
    told = answer.json()
    schema = next(one.answer for one in OPERATIONS if one.name == "get_lineage")
    jsonschema.Draft202012Validator({**document(OPERATIONS), **(schema or {})}).validate(told)
    assert [(one["_index"], one["n"], one["_version"], one["_payload"]) for one in told["records"]] == [
        (0, 1, 1, str(payload)), (2, 3, 1, str(payload)),
    ]  # fmt: skip
    assert [(one["index"], one["field"]) for one in told["rejects"]] == [(1, "n")]
    assert told["generation"] == 1
    assert (told["payload"]["stored"], told["payload"]["file"], told["payload"]["size"]) == ("inbox", None, len(body))
    bronze.archive(rest.app.database, rest.app.objects, UUID(made["id"]))
    told = (await rest.call("GET", path)).json()
    assert told["payload"]["stored"] == "bronze"
    assert told["payload"]["file"].endswith(".parquet")
    nowhere = [await rest.call("GET", f"/pipelines/weather/payloads/{one}/lineage") for one in ("1", "x", str(1 << 63))]
    foreign = await rest.call("GET", path, who="stranger")
    assert [one.status_code for one in (*nowhere, foreign)] == [404] * 4
