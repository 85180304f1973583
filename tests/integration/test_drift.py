"""What comes is held against the mapping: seen once, kept, and handled as the pipeline wishes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from dash_app.domain.errors import Invalid
from dash_app.domain.specs import MappingVersion, Pipeline
from dash_app.pipelines import drift, drift_report, setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.schedule import Clock
from dash_app.pipelines.tasks import Queues
from dash_app.storage import catalog, sightings
from dash_app.storage.sightings import Event
from tests.integration.conftest import House

#: Everything that is committed is looked at, and not only what came some seconds ago.
NOW = timedelta(seconds=-1)


def send(house: House, pipeline: UUID, *bodies: Any) -> None:
    """Payloads, accepted and mapped."""
    house.put(pipeline, *[json.dumps(body).encode() for body in bodies])
    Ingest(house.app).run(pipeline)


def look(house: House, pipeline: UUID) -> list[Event]:
    return drift.look(house.app, pipeline, settle=NOW)


def told(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(event.what, event.path, event.handled) for event in events]


def policy(house: House, pipeline: UUID, name: str) -> None:
    with house.app.database.team(house.team) as unit:
        drift.set_policy(unit, catalog.pipeline(unit, pipeline), name)
        unit.commit()


def report(house: House, pipeline: UUID) -> drift.Report:
    with house.app.database.team(house.team) as unit:
        return drift.report(unit, catalog.pipeline(unit, pipeline))


def state(house: House, pipeline: UUID) -> tuple[Pipeline, list[MappingVersion]]:
    with house.app.database.team(house.team) as unit:
        return catalog.pipeline(unit, pipeline), catalog.mappings(unit, pipeline)


@pytest.fixture
def watched(house: House) -> UUID:
    """A pipeline whose mapping was inferred from {n, site}, looked at once."""
    pipeline = house.pipeline(mapping=None)
    send(house, pipeline, {"n": 1, "site": "a"})
    assert look(house, pipeline) == []
    return pipeline


def test_what_was_there_when_the_mapping_was_made_is_no_news(house: House, watched: UUID) -> None:
    send(house, watched, {"n": 2, "site": "b"})
    assert look(house, watched) == []
    seen = report(house, watched)
    assert seen.payloads == 2
    assert {(one.path, one.mapped, one.badge, one.payloads) for one in seen.fields} == {
        ("$.n", "n", "", 2),
        ("$.site", "site", "", 2),
    }
    assert seen.policy == "keep"


def test_a_new_field_is_told_once_and_stays_a_difference(house: House, watched: UUID) -> None:
    send(house, watched, {"n": 2, "site": "b", "temp_c": 20.5})
    assert told(look(house, watched)) == [("new", "$.temp_c", "noted")]
    send(house, watched, {"n": 3, "site": "b", "temp_c": 21})
    assert look(house, watched) == []
    seen = report(house, watched)
    assert [(one.what, one.path, one.after) for one in seen.differences] == [("new", "$.temp_c", "number, integer")]
    assert seen.differences[0].proposal == [{"name": "temp_c", "path": "$.temp_c", "type": "number", "unit": "°C"}]
    assert [(event.what, event.path, event.after) for event in seen.events] == [("new", "$.temp_c", "number")]
    assert state(house, watched)[0].mapping_version == 1


def test_a_mapping_written_by_hand_is_silent_about_what_it_leaves_out(house: House) -> None:
    pipeline = house.pipeline()
    send(house, pipeline, {"n": 1, "site": "a", "left": "out"})
    assert look(house, pipeline) == []
    send(house, pipeline, {"n": 1, "site": "a", "left": "out", "right": 1})
    assert told(look(house, pipeline)) == [("new", "$.right", "noted")]


def test_values_of_another_kind(house: House, watched: UUID) -> None:
    send(house, watched, {"n": "many", "site": "a"}, {"n": {"value": 1}, "site": "a"}, {"n": 2.5, "site": "b"})
    found = look(house, watched)
    assert [(one.what, one.path, one.before, one.after) for one in found] == [
        ("changed", "$.n", "number", "text"),
        ("changed", "$.n", "number", "object"),
    ]
    assert look(house, watched) == []


def test_a_field_vanishes_and_returns(house: House, watched: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_report, "ABSENT", 5)
    monkeypatch.setattr(drift_report, "GAPS", 2)
    send(house, watched, *[{"n": n} for n in range(4)])
    assert look(house, watched) == []
    send(house, watched, *[{"n": n} for n in range(4)])
    assert told(look(house, watched)) == [("vanished", "$.site", "noted")]
    assert look(house, watched) == []
    send(house, watched, {"n": 1, "site": "a"})
    assert told(look(house, watched)) == [("returned", "$.site", "noted")]
    send(house, watched, *[{"n": n} for n in range(12)])
    assert told(look(house, watched)) == [("vanished", "$.site", "noted")]


def test_evolve_adds_what_is_new_and_leaves_the_rest(house: House, watched: UUID) -> None:
    policy(house, watched, "evolve")
    send(house, watched, {"n": "many", "site": "b", "temp_c": 20.5, "Site": "x", "price": "0.25"})
    found = look(house, watched)
    assert told(found) == [
        ("new", "$.temp_c", "added in version 2"),
        ("new", "$.Site", "added in version 2"),
        ("new", "$.price", "added in version 2"),
        ("changed", "$.n", "noted"),
    ]
    pipeline, versions = state(house, watched)
    assert pipeline.mapping_version == 2
    assert "drift: added temp_c, site_2, price_text, price" in pipeline.note
    assert (versions[0].author, versions[0].note) == ("drift", "drift: added temp_c, site_2, price_text, price")
    assert versions[0].document["fields"][:2] == versions[1].document["fields"]
    assert versions[0].document["fields"][2:] == [
        {"name": "temp_c", "path": "$.temp_c", "type": "number", "unit": "°C"},
        {"name": "site_2", "path": "$.Site", "type": "text"},
        {"name": "price_text", "path": "$.price", "type": "text"},
        {"name": "price", "sql": "try_cast(price_text as number)", "type": "number"},
    ]
    assert look(house, watched) == []
    send(house, watched, {"n": 5, "site": "b", "temp_c": 21, "Site": "y", "price": "0.5"})
    assert house.silver("orders", "n, temp_c, site_2, price")[-1] == (5.0, 21.0, "y", 0.5)
    assert look(house, watched) == []
    assert [(one.what, one.path) for one in report(house, watched).differences] == [("changed", "$.n")]


def test_evolve_later_adds_what_was_only_noted_before(house: House, watched: UUID) -> None:
    send(house, watched, {"n": 2, "site": "b", "temp_c": 20.5})
    assert told(look(house, watched)) == [("new", "$.temp_c", "noted")]
    policy(house, watched, "evolve")
    send(house, watched, {"n": 2, "site": "b"})
    assert told(look(house, watched)) == [("new", "$.temp_c", "added in version 2")]


def test_evolve_waits_while_a_replay_is_under_way(house: House, watched: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    policy(house, watched, "evolve")
    send(house, watched, {"n": 2, "site": "b", "temp_c": 20.5})
    monkeypatch.setattr(setup.replays, "under_way", lambda *_: True)
    assert look(house, watched) == []
    assert state(house, watched)[0].mapping_version == 1
    assert [one.path for one in report(house, watched).differences] == ["$.temp_c"]
    monkeypatch.undo()
    assert told(look(house, watched)) == [("new", "$.temp_c", "added in version 2")]


def test_pause_stops_for_what_is_new_and_not_again_for_the_same(house: House, watched: UUID) -> None:
    policy(house, watched, "pause")
    send(house, watched, {"n": "many", "site": "b", "temp_c": 20.5})
    assert {handled for _, _, handled in told(look(house, watched))} == {"paused"}
    pipeline, versions = state(house, watched)
    assert pipeline.state == "paused"
    assert pipeline.note == "Paused by drift: new field $.temp_c; $.n is text, and was number."
    assert len(versions) == 1
    assert look(house, watched) == []
    with house.app.database.team(house.team) as unit:
        setup.resume(unit, watched, "somebody")
        unit.commit()
    send(house, watched, {"n": "many", "site": "b", "temp_c": 20.5})
    assert look(house, watched) == []
    assert state(house, watched)[0].state == "active"


def test_what_is_dismissed_is_known(house: House, watched: UUID) -> None:
    send(house, watched, {"n": "many", "site": "b", "temp_c": 20.5})
    look(house, watched)
    with house.app.database.team(house.team) as unit:
        pipeline = catalog.pipeline(unit, watched)
        drift.dismiss(unit, pipeline, ["$.temp_c", "$.n"])
        with pytest.raises(Invalid) as raised:
            drift.dismiss(unit, pipeline, ["$.n", "$.nowhere"])
        assert raised.value.problems == (("paths[1]", "nothing was seen at '$.nowhere'"),)
        unit.commit()
    assert report(house, watched).differences == []
    policy(house, watched, "evolve")
    send(house, watched, {"n": "many", "site": "b", "temp_c": 20.5})
    assert look(house, watched) == []
    assert state(house, watched)[0].mapping_version == 1


def test_whoever_saves_a_mapping_has_seen_what_there_was(house: House, watched: UUID) -> None:
    send(house, watched, {"n": 2, "site": "b", "temp_c": 20.5})
    look(house, watched)
    document = {"fields": [{"name": "n", "path": "$.n", "type": "number"}]}
    with house.app.database.team(house.team) as unit:
        setup.save_mapping(unit, watched, document, "somebody")
        unit.commit()
    send(house, watched, {"n": 2, "site": "b", "temp_c": 20.5, "later": True})
    assert told(look(house, watched)) == [("new", "$.later", "noted")]


def test_a_look_goes_on_where_the_last_one_ended_and_takes_a_sample_of_much(
    house: House, watched: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "LOOK_PAYLOADS", 10)
    send(house, watched, *[{"n": n, "site": "a"} for n in range(95)], {"n": 1, "site": "a", "last": 1})
    assert told(look(house, watched)) == [("new", "$.last", "noted")]
    assert 9 <= report(house, watched).payloads - 1 <= 10
    before = report(house, watched).payloads
    assert look(house, watched) == []
    assert report(house, watched).payloads == before


def test_large_payloads_are_bounded_together(house: House, watched: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "LOOK_BYTES", 4000)
    send(house, watched, *[{"n": n, "site": "a" * 1000} for n in range(20)], {"n": 1, "site": "a", "last": 1})
    assert told(look(house, watched)) == [("new", "$.last", "noted")]
    assert report(house, watched).payloads <= 6


def test_unreadable_payloads_and_rows(house: House) -> None:
    pipeline = house.pipeline(mapping=None)
    house.put(pipeline, b"n,site,code\n1,a,007\n2,b,008\n", kind="text/csv")
    Ingest(house.app).run(pipeline)
    assert look(house, pipeline) == []
    house.put(pipeline, b"n,site,code\n3,5,7\n", b"n,site,code,ok\nnone,a,1,true\n", b'"broken', kind="text/csv")
    Ingest(house.app).run(pipeline)
    assert [(one.what, one.path, one.after) for one in look(house, pipeline)] == [
        ("new", "$.ok", "boolean"),
        ("changed", "$.n", "text"),
    ]


def test_pipelines_that_have_something_to_look_at_are_due(house: House) -> None:
    pipeline = house.pipeline()
    empty = house.pipeline("empty")
    assert pipelines_due(house) == []
    send(house, pipeline, {"n": 1, "site": "a"})
    assert pipelines_due(house) == [pipeline]
    drift.look(house.app, pipeline, settle=timedelta(0))
    assert pipelines_due(house) == []
    send(house, pipeline, {"n": 1, "site": "a"})
    assert pipelines_due(house) == [pipeline]
    with house.app.database.own("ingest") as unit:
        Clock(house.app).tick(unit)
    queued = house.rows("SELECT convert_from(data, 'UTF8')::json FROM dash.huey_task WHERE queue = 'io'")
    assert [task[6] for (task,) in queued if task[1].endswith(".drift")] == [[str(pipeline)]]
    assert empty not in pipelines_due(house)
    before = report(house, pipeline).looked_at
    Queues(house.app)._task_drift(str(pipeline))
    assert report(house, pipeline).looked_at not in {None, before}


def pipelines_due(house: House) -> list[UUID]:
    with house.app.database.ingest() as unit:
        return sightings.due(unit)


def test_one_look_at_a_time(house: House, watched: UUID) -> None:
    send(house, watched, {"n": 2, "site": "b", "temp_c": 20.5})
    with house.app.database.ingest() as unit:
        assert sightings.lock(unit, watched)
        assert look(house, watched) == []
    assert told(look(house, watched)) == [("new", "$.temp_c", "noted")]


def test_a_policy_that_there_is_not(house: House, watched: UUID) -> None:
    with pytest.raises(Invalid) as raised:
        policy(house, watched, "ignore")
    assert raised.value.problems == (("drift", "'ignore' is unknown; one of evolve, keep, pause"),)


def test_another_team_sees_nothing(house: House, watched: UUID) -> None:
    from dash_app.storage import people

    with house.app.database.ingest() as unit:
        other = people.create_team(unit, "other", "Other")
        unit.commit()
    with house.app.database.team(other) as unit:
        assert sightings.sightings(unit, watched) == {}
        assert sightings.dismiss(unit, watched, ["$.n"]) == []
        assert sightings.events(unit, watched, limit=10) == []


def test_names_that_a_database_would_refuse(house: House, watched: UUID) -> None:
    policy(house, watched, "evolve")
    send(house, watched, {"n": 1, "site": "a", "\0": "\0x", "": 2, "x" * 2000: 3, "é'\"\\": 4, "y" * 480: "z" * 5000})
    found = look(house, watched)
    assert [event.handled for event in found] == ["added in version 2"] * 4
    assert "$['\\u0000']" in {event.path for event in found}
    send(house, watched, {"n": 2, "site": "b", "": 5})
    assert house.silver("orders", "n, value_2")[-1] == (2.0, 5.0)
    assert look(house, watched) == []
