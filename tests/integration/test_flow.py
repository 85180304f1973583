"""Pipeline to pipeline: records that become payloads, in the transaction that writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dash_app.domain.errors import Invalid
from dash_app.pipelines import setup
from dash_app.pipelines.cutting import lines
from dash_app.storage import catalog, ledger, payloads, people
from tests.integration.conftest import MAPPING, House
from tests.integration.outside import Outdoors, outdoors

KEYED = {**MAPPING, "key": ["$.n"]}
DOWN = {
    "time": {"path": "$._time"},
    "fields": [
        {"name": "twice", "path": "$.twice", "type": "number"},
        {"name": "origin", "path": "$['dash-origin-payload']", "from": "headers", "type": "text"},
    ],
}


@pytest.fixture
def out(house: House, tmp_path: Path) -> Outdoors:
    return outdoors(house, tmp_path)


def test_records_become_payloads_that_name_their_origin(out: Outdoors) -> None:
    first = out.pipeline("first", KEYED)
    second = out.source("second", "pipeline", DOWN, pipeline="first")
    third = out.source(
        "third", "pipeline", {"fields": [{"name": "twice", "path": "$.twice", "type": "number"}]}, pipeline="second"
    )
    ids = out.put(first, b'[{"n": 1, "site": "a"}, {"n": 2}]', b'{"n": "wrong"}', b'{"n": 3}')
    out.ingest(first, second, third)
    assert out.silver("second", "twice, origin") == [(2.0, str(ids[0])), (4.0, str(ids[0])), (6.0, str(ids[2]))]
    assert out.silver("third", "twice") == [(2.0,), (4.0,), (6.0,)]
    same = (
        "SELECT (SELECT array_agg(_time ORDER BY n) FROM team_acme.first), "
        "(SELECT array_agg(_time ORDER BY twice) FROM team_acme.second)"
    )
    ((before, after),) = out.rows(same)
    assert before == after
    ((headers, body, source),) = out.rows(
        "SELECT headers, body, source FROM payloads WHERE pipeline_id = %s LIMIT 1", (second,)
    )
    assert json.loads(headers) == {"dash-origin-pipeline": "first", "dash-origin-payload": str(ids[0])}
    assert json.loads(body.split(b"\n")[0])["site"] == "a"
    assert source == "records of first"
    # What is no new record is not passed on: a key that was there, and payloads that are mapped again.
    out.put(first, b'{"n": 1}')
    with out.app.database.ingest() as unit:
        payloads.again(unit, first, ids)
        unit.commit()
    out.ingest(first, second, third)
    assert len(out.silver("second")) == 3


def test_what_is_rolled_back_is_not_passed_on(out: Outdoors, monkeypatch: pytest.MonkeyPatch) -> None:
    first = out.pipeline("first")
    second = out.source("second", "pipeline", DOWN, pipeline=str(first))
    out.put(first, b'{"n": 1}')

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "count", broken)
        with pytest.raises(RuntimeError):
            out.ingest(first)
    assert out.rows("SELECT count(*) FROM payloads WHERE pipeline_id = %s", (second,)) == [(0,)]
    out.ingest(first, second)
    assert len(out.silver("second")) == 1


def test_a_large_payload_comes_in_parts(out: Outdoors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "TARGET", 1000)
    first = out.pipeline("first")
    second = out.source("second", "pipeline", DOWN, pipeline="first")
    out.put(first, json.dumps([{"n": n} for n in range(200)]).encode())
    out.ingest(first, second)
    assert out.rows("SELECT count(*) > 5 FROM payloads WHERE pipeline_id = %s", (second,)) == [(True,)]
    assert [twice for (twice,) in out.silver("second", "twice")] == [2.0 * n for n in range(200)]


def test_loops_are_refused_and_named(out: Outdoors) -> None:
    out.pipeline("first")
    a = out.source("a", "pipeline", pipeline="first")
    out.source("b", "pipeline", pipeline="a")
    c = out.source("c", "pipeline", pipeline="b")

    def connect(pipeline: UUID, upstream: str) -> None:
        with out.app.database.team(out.team) as unit:
            changes = {"source": {"options": {"pipeline": upstream}}}
            setup.update_pipeline(unit, out.app, pipeline, changes, "test")
            unit.commit()

    for upstream, why in (
        ("c", "a → b → c → a"),
        ("a", "a → a"),
        ("nowhere", "no pipeline 'nowhere'"),
        ("", "is missing"),
    ):
        with pytest.raises(Invalid) as error:
            connect(a, upstream)
        ((place, what),) = error.value.problems
        assert (place, why in what) == ("source.options.pipeline", True), what
    connect(c, "first")
    connect(a, "c")


def test_another_teams_pipeline_is_not_there(out: Outdoors) -> None:
    with out.app.database.ingest() as unit:
        other = people.create_team(unit, "other", "Other")
        theirs = catalog.create_pipeline(
            unit, other, slug="theirs", name="Theirs", source_kind="webhook", source_options={}
        )
        unit.commit()
    with pytest.raises(Invalid, match="there is no pipeline"):
        out.source("mine", "pipeline", pipeline=str(theirs.id))
