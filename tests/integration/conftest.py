"""A team, pipelines and an application over a fresh database, for tests that go the whole way to silver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dash_app.app import App
from dash_app.domain.events import Arrival
from dash_app.settings import Settings
from dash_app.storage import catalog, payloads, people

SECRET_KEY = "integration-tests-key-0123456789-abcdefghij"

MAPPING: Mapping[str, Any] = {
    "fields": [
        {"name": "n", "path": "$.n", "type": "number"},
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "twice", "sql": "n * 2", "type": "number"},
    ]
}


class House:
    """An application with one team, and short ways to do what tests do all the time."""

    def __init__(self, app: App, team: UUID) -> None:
        self.app = app
        self.team = team

    def pipeline(self, slug: str = "orders", mapping: Mapping[str, Any] | None = MAPPING) -> UUID:
        with self.app.database.team(self.team) as unit:
            made = catalog.create_pipeline(
                unit, self.team, slug=slug, name=slug, source_kind="webhook", source_options={"scheme": "github"}
            )
            if mapping is not None:
                catalog.save_mapping(unit, made.id, mapping)
            unit.commit()
        return made.id

    def put(self, pipeline: UUID, *bodies: bytes, kind: str = "application/json") -> list[int]:
        with self.app.database.ingest() as unit:
            accepted = payloads.accept(unit, [Arrival(pipeline, self.team, body, kind) for body in bodies])
            unit.commit()
        return [a.payload for a in accepted]

    def rows(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        with self.app.database.ingest() as unit:
            return unit.rows(sql, params)

    def silver(self, slug: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """Rows of a pipeline's open view, oldest first."""
        return self.rows(f'SELECT {columns} FROM team_acme."{slug}" ORDER BY _payload, _index')


@pytest.fixture
def open_app(database_url: str, tmp_path: Path) -> Iterator[Callable[[], App]]:
    """Opens applications over the test's database; all are closed at the end."""
    opened: list[App] = []

    def open_one() -> App:
        environ = {"DASH_DATABASE_URL": database_url, "DASH_SECRET_KEY": SECRET_KEY, "DASH_DATA_DIR": str(tmp_path)}
        opened.append(App.open(Settings.load([], environ, program="worker"), database_url, pool_size=4))
        return opened[-1]

    yield open_one
    for app in opened:
        app.close()


@pytest.fixture
def house(open_app: Callable[[], App]) -> House:
    app = open_app()
    with app.database.ingest() as unit:
        team = people.create_team(unit, "acme", "Acme")
        unit.commit()
    return House(app, team)
