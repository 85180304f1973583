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


@pytest.mark.parametrize("opened", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("act", [ask, ask_the_session, commit])
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
