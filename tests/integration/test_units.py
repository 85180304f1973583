"""A unit of work whose connection is cut: one kind of error, wherever it is noticed, and the next unit works."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from dash_app.domain.errors import Conflict, Unavailable
from dash_app.storage.unit import Unit
from tests.integration.conftest import House

Opened = Callable[[House], AbstractContextManager[Unit]]
UNITS: dict[str, Opened] = {
    "team": lambda house: house.app.database.team(house.team),
    "ingest": lambda house: house.app.database.ingest(),
    "own": lambda house: house.app.database.own("ingest"),
}


def cut(unit: Unit, url: str) -> None:
    """Ends the unit's connection from the server's side."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", (unit.driver.info.backend_pid,))


def ask(unit: Unit) -> Any:
    return unit.value("SELECT 1")


def ask_the_session(unit: Unit) -> Any:
    return unit.session.scalar(sa.text("SELECT 1"))


def commit(unit: Unit) -> None:
    unit.commit()


def commit_in_a_pipeline(unit: Unit) -> None:
    with unit.pipelined():
        unit.execute("SELECT 1")
        unit.commit()


@pytest.mark.parametrize("opened", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("act", [ask, ask_the_session, commit, commit_in_a_pipeline])
def test_a_lost_connection_is_unavailable(
    house: House, database_url: str, opened: Opened, act: Callable[[Unit], Any]
) -> None:
    def use() -> None:
        with opened(house) as unit:
            ask(unit)
            cut(unit, database_url)
            act(unit)

    with pytest.raises(Unavailable) as lost:
        use()
    assert "\n" not in lost.value.message
    with opened(house) as unit:
        assert ask(unit) == 1


@pytest.mark.parametrize("opened", UNITS.values(), ids=UNITS)
def test_other_errors_go_through_and_nothing_is_left(house: House, opened: Opened) -> None:
    def use() -> None:
        with opened(house) as unit:
            unit.execute("SELECT set_config('app.left_over', 'yes', true)")
            raise Conflict("theirs")

    with pytest.raises(Conflict, match="theirs"):
        use()
    with opened(house) as unit:
        assert not unit.value("SELECT current_setting('app.left_over', true)")


def test_what_is_pipelined_is_committed_whole_or_not_at_all(house: House) -> None:
    pipeline = house.pipeline()

    def refused() -> None:
        with house.app.database.ingest() as unit, unit.pipelined():
            unit.execute("UPDATE pipelines SET name = 'half' WHERE id = %s", (pipeline,))
            unit.execute("SELECT 1 / 0")
            unit.commit()

    with pytest.raises(sa.exc.DBAPIError, match="division by zero"):
        refused()
    with house.app.database.ingest() as unit:
        assert unit.value("SELECT name FROM pipelines WHERE id = %s", (pipeline,)) != "half"


def test_notes_are_there_for_others_at_once(house: House) -> None:
    pipeline = house.pipeline()
    with house.app.database.notes() as notes, house.app.database.ingest() as other:
        assert notes.value("SHOW synchronous_commit") == "off"
        notes.execute("UPDATE pipelines SET name = 'noted' WHERE id = %s", (pipeline,))
        assert other.value("SELECT name FROM pipelines WHERE id = %s", (pipeline,)) == "noted"
        notes.rollback()
    with house.app.database.ingest() as unit:
        assert unit.value("SELECT name FROM pipelines WHERE id = %s", (pipeline,)) == "noted"
