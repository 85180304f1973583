"""The clock: one among many, and what is due is on the queues once."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from dash_app.app import App
from dash_app.domain.errors import Unavailable
from dash_app.domain.ids import new_id
from dash_app.pipelines import schedule, setup
from dash_app.pipelines.schedule import Clock
from dash_app.pipelines.tasks import Queues
from dash_app.storage import catalog, ledger
from dash_app.storage.unit import Unit
from tests.integration.conftest import House
from tests.waiting import wait_until

PREFIX = "dash_app.pipelines.tasks."


@contextmanager
def ticking(app: App) -> Iterator[tuple[Clock, Unit]]:
    with app.database.own("ingest") as unit:
        yield Clock(app), unit


def queued(house: House) -> Counter[tuple[str, str, str]]:
    """(queue, task, argument) of everything that waits."""
    return Counter(
        (queue, json.loads(bytes(data))[1].removeprefix(PREFIX), json.loads(bytes(data))[6][0])
        for queue, data in house.rows("SELECT queue, data FROM dash.huey_task")
    )


def change(house: House, sql: str, *params: Any) -> None:
    with house.app.database.ingest() as unit:
        unit.execute(sql, params)
        unit.commit()


def polled(house: House, slug: str = "feed") -> UUID:
    document = {
        "name": slug,
        "slug": slug,
        "source": {"kind": "http_poll", "options": {"url": "https://api.example.org/feed"}},
    }
    with house.app.database.team(house.team) as unit:
        made, _ = setup.create_pipeline(unit, house.app, house.team, document, "test")
        unit.commit()
    return made.id


def test_one_clock_ticks_and_another_takes_over_when_it_is_gone(house: House, open_app: Callable[[], App]) -> None:
    other = open_app()
    pipeline = polled(house)
    with ticking(other) as (second, waiting):
        with ticking(house.app) as (first, unit):
            first.tick(unit)
            assert queued(house)["io", "poll", str(pipeline)] == 1
            change(house, "UPDATE polls SET queued_at = NULL")
            second.tick(waiting)
            assert queued(house)["io", "poll", str(pipeline)] == 1, "only one of the two is the clock"
            first.tick(unit)
            assert queued(house)["io", "poll", str(pipeline)] == 2
        change(house, "UPDATE polls SET queued_at = NULL")
        second.tick(waiting)
        assert queued(house)["io", "poll", str(pipeline)] == 3


def test_a_due_poll_is_queued_once_and_again_when_its_task_was_lost(house: House) -> None:
    pipeline, later, paused = polled(house), polled(house, "later"), polled(house, "paused")
    change(house, "UPDATE polls SET next_due = now() + interval '1 hour' WHERE pipeline_id = %s", later)
    with house.app.database.team(house.team) as unit:
        catalog.update_pipeline(unit, paused, {"state": "paused"})
        unit.commit()
    key = ("io", "poll", str(pipeline))
    with ticking(house.app) as (clock, unit):
        for _ in range(3):
            clock.tick(unit)
        assert {found for found in queued(house) if found[1] == "poll"} == {key}
        assert queued(house)[key] == 1
        # Waiting for a worker, however long, is not being lost; neither is running.
        change(house, "UPDATE polls SET queued_at = now() - interval '10 minutes'")
        clock.tick(unit)
        assert queued(house)[key] == 1
        change(house, "DELETE FROM huey_task")
        with house.app.database.own("ingest") as running:
            assert ledger.lock_poll(running, pipeline)
            running.commit()
            clock.tick(unit)
            assert key not in queued(house)
        clock.tick(unit)
        clock.tick(unit)
        assert queued(house)[key] == 1
        # Done: nothing to do until it is due again.
        with house.app.database.ingest() as done:
            ledger.poll_done(done, pipeline, wait=600, failed=False)
            done.commit()
        clock.tick(unit)
        assert queued(house)[key] == 1


def test_what_rang_in_vain_is_rung_again(house: House) -> None:
    pipeline = house.pipeline()
    house.put(pipeline, b'{"n": 1}')
    change(house, "DELETE FROM huey_task")
    with ticking(house.app) as (clock, unit):
        clock.tick(unit)
        assert queued(house)["ingest", "ingest", str(pipeline)] == 0, "it has rung only just now"
        change(house, "UPDATE bells SET rung_at = now() - interval '2 seconds'")
        change(house, "UPDATE batches SET created_at = now() - interval '2 seconds'")
        clock.tick(unit)
        clock.tick(unit)
    assert queued(house)["ingest", "ingest", str(pipeline)] == 1


def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done every so often is due at each tick."""
    monkeypatch.setattr(schedule, "ARCHIVE_SECONDS", 0.0)
    monkeypatch.setattr(schedule, "MAINTENANCE_SECONDS", 0.0)


def test_what_waits_for_the_archive_is_queued_and_does_not_pile_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    always(monkeypatch)
    old, fresh = house.pipeline("old"), house.pipeline("fresh")
    house.put(old, b"{}")
    house.put(fresh, b"{}")
    change(house, "UPDATE unarchived SET created_at = now() - interval '2 minutes' WHERE pipeline_id = %s", old)
    with ticking(house.app) as (clock, unit):
        for _ in range(5):
            clock.tick(unit)
        assert queued(house)["io", "archive", str(old)] == 1
        assert queued(house)["io", "archive", str(fresh)] == 0
        assert queued(house)["io", "maintain", ""] == 1
        # Taken from the queue, and still due: it is queued again.
        change(house, "DELETE FROM huey_task")
        clock.tick(unit)
        assert queued(house)["io", "archive", str(old)] == 1


def test_archive_and_maintenance_have_their_own_pace(house: House) -> None:
    with ticking(house.app) as (clock, unit):
        clock.tick(unit)
        assert queued(house)["io", "maintain", ""] == 1
        change(house, "DELETE FROM huey_task")
        clock.tick(unit)
        assert queued(house)["io", "maintain", ""] == 0


def test_a_poll_goes_before_the_archive(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch)
    pipeline = polled(house)
    house.put(pipeline, b"{}")
    change(house, "UPDATE unarchived SET created_at = now() - interval '2 minutes'")
    with ticking(house.app) as (clock, unit):
        clock.tick(unit)
    order = house.rows("SELECT data FROM dash.huey_task WHERE queue = 'io' ORDER BY priority DESC, id")
    names = [json.loads(bytes(data))[1].removeprefix(PREFIX) for (data,) in order]
    assert names.index("maintain") < names.index("poll") < names.index("archive")


def test_a_clock_that_loses_its_connection_asks_for_the_lock_anew(
    house: House, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "TICK_SECONDS", 0.01)
    pipeline = polled(house)
    clock, stop = Clock(house.app), threading.Event()
    thread = threading.Thread(target=clock.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: queued(house)["io", "poll", str(pipeline)] == 1)
        with psycopg.connect(database_url, autocommit=True) as admin:
            ended = admin.execute(
                "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
                "WHERE l.locktype = 'advisory' AND d.datname = current_database() AND l.pid <> pg_backend_pid()"
            ).fetchall()
        assert ended == [(True,)]
        change(house, "UPDATE polls SET queued_at = NULL")
        wait_until(lambda: queued(house)["io", "poll", str(pipeline)] == 2)
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def test_a_database_that_is_away_does_not_end_the_clock(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "TICK_SECONDS", 0.01)
    pipeline = polled(house)
    clock, stop, refused = Clock(house.app), threading.Event(), threading.Event()
    own = house.app.database.own

    def away(role: Any) -> Any:
        if not refused.is_set():
            refused.set()
            raise Unavailable
        return own(role)

    monkeypatch.setattr(house.app.database, "own", away)
    thread = threading.Thread(target=clock.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: queued(house)["io", "poll", str(pipeline)] == 1)
    finally:
        stop.set()
        thread.join(20)
    assert refused.is_set()


def test_maintenance_forgets_what_is_over(house: House) -> None:
    user = new_id()
    with house.app.database.ingest() as unit:
        unit.execute("INSERT INTO users (id, email, name, password_hash) VALUES (%s, 'a@b.c', 'A', '')", (user,))
        for name, expires in ((b"over", "-1 day"), (b"open", "1 day")):
            unit.execute(
                "INSERT INTO browser_sessions (hash, team_id, user_id, expires_at) "
                "VALUES (%s, %s, %s, now() + %s::interval)",
                (name, house.team, user, expires),
            )
        unit.execute(
            "INSERT INTO delivery_ledger SELECT %s, n::text, %s, n FROM generate_series(1, 60000) n",
            (new_id(), house.team),
        )
        unit.commit()
    Queues(house.app)._task_maintain("")
    assert [bytes(h) for (h,) in house.rows("SELECT hash FROM dash.browser_sessions")] == [b"open"]
    assert house.rows("SELECT count(*) FROM dash.delivery_ledger") == [(0,)]
