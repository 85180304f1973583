"""What tests share: one throw-away PostgreSQL a run, its schema made once as a template, a copy of it for each test."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dash_app.storage import embedded

_numbers = itertools.count(1)


def _of(url: str, database: str) -> str:
    """The same server's URL for another database."""
    return url.replace(f"/{embedded.DATABASE}?", f"/{database}?", 1)


#: What takes minutes a module begins first, so that at the end all processes still have something to do.
_FIRST = ("torture", "e2e", "integration", "contracts")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return _FIRST.index(folder) if folder in _FIRST else len(_FIRST)

    items.sort(key=place)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a superuser on an empty database of a PostgreSQL that is gone, data and all, after the run."""
    # Not pytest's own folder: nobody but its owner may enter that, and under root the server is another user.
    folder = Path(tempfile.mkdtemp(prefix="dash-test-"))
    try:
        server = embedded.start(folder, durable=False)
        try:
            yield server.url
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """Name of a database with all migrations applied, to be copied; nothing stays connected to it."""
    # Here, so that tests without a database do not load them.
    from dash_app.storage.migrate import upgrade
    from tests import passwords

    passwords.make_cheap()
    name = "template_dash"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    upgrade(_of(postgres, name))
    return name


@pytest.fixture
def database_url(postgres: str, template: str) -> Iterator[str]:
    """URL of a superuser on a fresh copy of the migrated database, dropped after the test."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        # Privileges on a database belong to its entry in the cluster and are not copied with it.
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO dash_owner, dash_ingest")
    try:
        yield _of(postgres, name)
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
