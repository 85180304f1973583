"""The durable inbox and its doorbell on a real database."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from dash_app.domain.errors import BufferFull, Unavailable
from dash_app.domain.events import Arrival
from dash_app.domain.ids import new_id, payload_id_floor, payload_id_time
from dash_app.storage import catalog, ledger, payloads, people
from dash_app.storage.engine import Database
from dash_app.storage.payloads import GroupCommit


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url, pool_size=4)
    yield made
    made.close()


@pytest.fixture
def team(database: Database) -> UUID:
    with database.ingest() as unit:
        made = people.create_team(unit, "acme", "Acme")
        unit.commit()
    return made


def make_pipeline(database: Database, team: UUID, slug: str = "orders") -> UUID:
    with database.team(team) as unit:
        made = catalog.create_pipeline(unit, team, slug=slug, name=slug, source_kind="webhook", source_options={})
        unit.commit()
    return made.id


def arrival(pipeline: UUID, team: UUID, body: bytes = b'{"n": 1}', delivery: str | None = None) -> Arrival:
    return Arrival(pipeline, team, body, headers={"x-event": "push"}, source="127.0.0.1", delivery=delivery)


def put(database: Database, *arrivals: Arrival) -> list[int]:
    with database.ingest() as unit:
        accepted = payloads.accept(unit, arrivals)
        unit.commit()
    return [a.payload for a in accepted]


def tasks(database: Database) -> list[list[object]]:
    with database.ingest() as unit:
        return [json.loads(bytes(data)) for (data,) in unit.rows("SELECT data FROM huey_task ORDER BY id")]


def test_an_accepted_payload_is_kept_as_it_came(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    (payload,) = put(database, arrival(pipeline, team, b"\x00\xff raw \n bytes"))
    with database.ingest() as unit:
        (loaded,) = payloads.load(unit, [payload])
    assert loaded.body == b"\x00\xff raw \n bytes"
    assert loaded.headers == {"x-event": "push"}
    assert loaded.source == "127.0.0.1"
    assert abs((payload_id_time(payload) - loaded.received_at).total_seconds()) < 1


def test_ids_rise_with_arrival_and_name_their_time(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    first = put(database, *[arrival(pipeline, team) for _ in range(50)])
    second = put(database, arrival(pipeline, team))
    assert first == sorted(first)
    assert len({*first, *second}) == 51
    assert second[0] > first[-1]
    assert payload_id_floor(payload_id_time(second[0])) <= second[0]


def test_a_resend_is_known_for_one(database: Database, team: UUID) -> None:
    pipeline, other = make_pipeline(database, team), make_pipeline(database, team, "returns")
    with database.ingest() as unit:
        first = payloads.accept(unit, [arrival(pipeline, team, delivery="a"), arrival(pipeline, team, delivery="a")])
        unit.commit()
        again = payloads.accept(
            unit, [arrival(pipeline, team, delivery="a"), arrival(other, team, delivery="a"), arrival(pipeline, team)]
        )
        unit.commit()
        stored = unit.value("SELECT count(*) FROM payloads")
    assert [a.duplicate for a in first] == [False, True]
    assert first[0].payload == first[1].payload == again[0].payload
    # The same id at another pipeline is another delivery; without an id there are no duplicates.
    assert [a.duplicate for a in again] == [True, False, False]
    assert stored == 3


def test_a_delivery_whose_commit_fails_is_not_remembered(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    with database.ingest() as unit:
        payloads.accept(unit, [arrival(pipeline, team, delivery="a")])
        unit.rollback()
        (again,) = payloads.accept(unit, [arrival(pipeline, team, delivery="a")])
        unit.commit()
    assert not again.duplicate


def test_two_nodes_that_get_the_same_delivery_keep_it_once(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    deliveries = [f"d{n}" for n in range(200)]
    start = threading.Barrier(4)

    def node(order: list[str]) -> list[payloads.Accepted]:
        start.wait()
        answers = []
        for at in range(0, len(order), 20):
            with database.ingest() as unit:
                group = [arrival(pipeline, team, delivery=d) for d in order[at : at + 20]]
                answers += payloads.accept(unit, group)
                unit.commit()
        return answers

    with ThreadPoolExecutor(4) as pool:
        orders = [deliveries, deliveries[::-1], deliveries[100:] + deliveries[:100], deliveries]
        answers = [a for answered in pool.map(node, orders) for a in answered]
    assert len({a.payload for a in answers}) == 200
    assert sum(not a.duplicate for a in answers) == 200


def test_accepting_rings_once_until_it_is_answered(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    put(database, arrival(pipeline, team))
    put(database, arrival(pipeline, team))
    rung = tasks(database)
    assert [task[1:] for task in rung] == [["dash_app.pipelines.tasks.ingest", None, 0, 0, None, [str(pipeline)]]]
    with database.ingest() as unit:
        payloads.answer_bell(unit, pipeline)
        unit.commit()
    put(database, arrival(pipeline, team))
    assert len(tasks(database)) == 2


def test_a_ring_waits_for_the_bell_that_is_being_answered(database: Database, team: UUID) -> None:
    """Who accepts while the bell is unanswered holds it, so that the worker sees what came before it goes to look."""
    pipeline = make_pipeline(database, team)
    put(database, arrival(pipeline, team))
    answered = threading.Event()

    def worker() -> bool:
        with database.ingest() as unit:
            payloads.answer_bell(unit, pipeline)
            unit.commit()
            answered.set()
            claim = payloads.claim(unit, pipeline, max_bytes=1 << 20, max_payloads=100)
            return claim is not None and len(claim.payload_ids) == 2

    with database.ingest() as unit, ThreadPoolExecutor(1) as pool:
        payloads.accept(unit, [arrival(pipeline, team)])
        saw_both = pool.submit(worker)
        assert not answered.wait(0.2), "the bell was answered while a commit still held it"
        unit.commit()
        assert saw_both.result(10)


def test_who_comes_to_rest_sees_what_was_accepted_meanwhile(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    with database.notes() as notes, database.ingest() as unit, ThreadPoolExecutor(1) as pool:
        put(database, arrival(pipeline, team))
        notes.execute("DELETE FROM batches")
        payloads.accept(unit, [arrival(pipeline, team)])
        rest = pool.submit(payloads.rest, notes, pipeline)
        while not unit.value("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not rest.done(), "the bell was answered while a commit still held it"
        unit.commit()
        assert rest.result(10) is False
        notes.execute("DELETE FROM batches")
        assert payloads.rest(notes, pipeline) is True


def test_the_sweep_finds_what_rang_in_vain(database: Database, team: UUID) -> None:
    pipeline, paused = make_pipeline(database, team), make_pipeline(database, team, "held")
    put(database, arrival(pipeline, team), arrival(paused, team))
    with database.team(team) as unit:
        catalog.update_pipeline(unit, paused, {"state": "paused"})
        unit.commit()
    with database.ingest() as unit:
        unit.execute("DELETE FROM huey_task")
        unit.commit()
        assert ledger.sweep(unit, age=3600) == []
        assert ledger.sweep(unit, age=0) == [pipeline]
        unit.commit()
        assert len(tasks(database)) == 1
        with database.ingest() as writer:
            assert payloads.lock_pipeline(writer, pipeline)
            assert ledger.sweep(unit, age=0) == [], "somebody is working on it"


def test_the_sweep_leaves_alone_what_has_a_task_already(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    put(database, arrival(pipeline, team))
    with database.ingest() as unit:
        assert ledger.sweep(unit, age=0) == []
        unit.execute("DELETE FROM huey_task")
        assert ledger.sweep(unit, age=0) == [pipeline]
        assert ledger.sweep(unit, age=0) == []


def test_one_writer_a_pipeline(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    with database.ingest() as one, database.ingest() as two:
        assert payloads.lock_pipeline(one, pipeline)
        assert not payloads.lock_pipeline(two, pipeline)
        one.rollback()
        assert payloads.lock_pipeline(two, pipeline)


def test_a_claim_is_bounded_and_in_order(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    ids = [put(database, arrival(pipeline, team, b"x" * 1000))[0] for _ in range(10)]
    with database.ingest() as unit:
        claim = payloads.claim(unit, pipeline, max_bytes=2500, max_payloads=100)
        assert claim is not None
        assert list(claim.payload_ids) == ids[:3]
        few = payloads.claim(unit, pipeline, max_bytes=1 << 20, max_payloads=2)
        assert few is not None
        assert list(few.payload_ids) == ids[:2]
        payloads.finish(unit, claim)
        rest = payloads.claim(unit, pipeline, max_bytes=1 << 20, max_payloads=100)
        assert rest is not None
        assert list(rest.payload_ids) == ids[3:]


def test_attempts_at_the_same_claim_are_counted(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    put(database, arrival(pipeline, team))
    with database.ingest() as unit:
        claim = payloads.claim(unit, pipeline, max_bytes=1 << 20, max_payloads=100)
        assert claim is not None
        assert [payloads.begin_attempt(unit, claim) for _ in range(3)] == [1, 2, 3]
        payloads.end_attempt(unit, pipeline)
        assert payloads.begin_attempt(unit, claim) == 1


def test_group_commit_answers_each_with_its_own(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    commits = GroupCommit(database)
    try:
        futures = [commits.submit(arrival(pipeline, team, str(n).encode(), delivery=str(n % 300))) for n in range(400)]
        answers = [future.result(10) for future in futures]
    finally:
        commits.close()
    assert sum(not a.duplicate for a in answers) == 300
    with database.ingest() as unit:
        bodies = {p.id: p.body for p in payloads.load(unit, list({a.payload for a in answers}))}
    assert all(int(bodies[a.payload]) % 300 == n % 300 for n, a in enumerate(answers))


def test_group_commit_refuses_what_it_cannot_hold(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    commits = GroupCommit(database, max_bytes=100)
    try:
        with pytest.raises(BufferFull):
            commits.submit(arrival(pipeline, team, b"x" * 101))
    finally:
        commits.close()
    with pytest.raises(BufferFull):
        commits.submit(arrival(pipeline, team))


def test_group_commit_comes_back_after_its_connection_was_cut(database: Database, team: UUID, postgres: str) -> None:
    pipeline = make_pipeline(database, team)
    commits = GroupCommit(database, lanes=1)
    try:
        assert not commits.submit(arrival(pipeline, team, delivery="a")).result(10).duplicate
        with psycopg.connect(database.url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'dash ingest'"
            )
        with pytest.raises(Unavailable):
            commits.submit(arrival(pipeline, team, delivery="b")).result(10)
        assert not commits.submit(arrival(pipeline, team, delivery="b")).result(10).duplicate
    finally:
        commits.close()


def test_a_team_sees_its_own_alone(database: Database, team: UUID) -> None:
    pipeline = make_pipeline(database, team)
    put(database, arrival(pipeline, team))
    with database.team(new_id()) as unit:
        assert unit.value("SELECT count(*) FROM payloads") == 0
        assert catalog.pipelines(unit) == []
    with database.anyone() as unit:
        assert unit.value("SELECT count(*) FROM payloads") == 0
    with database.team(team) as unit:
        assert unit.value("SELECT count(*) FROM payloads") == 1


def test_every_operational_table_is_under_forced_row_security(database: Database) -> None:
    infrastructure = {"alembic_version", "huey_kv", "huey_schedule", "huey_task", "huey_counter", "bells", "heartbeats"}
    with database.ingest() as unit:
        rows = unit.rows(
            "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity, pg_get_userbyid(c.relowner) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = 'dash' AND c.relkind IN ('r', 'p')"
        )
    assert {name for name, forced, _ in rows if not forced} == infrastructure
    assert {owner for _, _, owner in rows} == {"dash_owner"}


def test_the_application_cannot_read_password_hashes(database: Database, team: UUID) -> None:
    with database.team(team) as unit, pytest.raises(psycopg.errors.InsufficientPrivilege):
        unit.rows("SELECT password_hash FROM users")
