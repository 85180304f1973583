"""The migrated database: what the models say of it, that migrating again changes nothing, and who may do it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dash_app.app import App
from dash_app.domain.errors import DashError, SettingsError
from dash_app.node import first_user
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.tasks import Queues
from dash_app.settings import Settings
from dash_app.storage import catalog, embedded, ledger, migrate, people
from dash_app.storage.engine import sqlalchemy_url
from dash_app.storage.tables import Base
from tests.integration.conftest import SECRET_KEY, House


def _ours(_object: object, name: str | None, kind: str, _reflected: bool, counterpart: object | None) -> bool:
    """Tables with a model, their columns and types: other tables, indexes and constraints are the migrations' own."""
    if kind == "table":
        return f"dash.{name}" in Base.metadata.tables
    return kind == "column"


def differences(connection: sa.Connection) -> list[object]:
    """What models and tables do not agree on."""
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _parents: kind != "schema" or name == "dash",
        "include_object": _ours,
        "compare_type": True,
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))


def test_the_models_say_what_the_migrations_made(database_url: str) -> None:
    engine = sa.create_engine(sqlalchemy_url(database_url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert differences(connection) == []
        # That the comparison sees anything at all: a type, a null and a column that are otherwise.
        connection.execute(sa.text("ALTER TABLE dash.pipelines ALTER COLUMN note TYPE varchar(20)"))
        connection.execute(sa.text("ALTER TABLE dash.pipelines ALTER COLUMN name DROP NOT NULL"))
        connection.execute(sa.text("ALTER TABLE dash.pipelines ADD COLUMN more int"))
        assert len(differences(connection)) == 3


def _picture(url: str) -> list[tuple[object, ...]]:
    """Everything in the schema with its owner and its rights."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT c.oid, c.relname, c.relkind, c.relowner, c.relacl::text, c.xmin::text FROM pg_class c "
            "WHERE c.relnamespace = 'dash'::regnamespace ORDER BY c.oid"
        ).fetchall()


def test_migrating_again_changes_nothing(database_url: str) -> None:
    before = _picture(database_url)
    migrate.upgrade(database_url)
    assert _picture(database_url) == before
    engine = sa.create_engine(sqlalchemy_url(database_url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert migrate.at_head(connection)


def test_a_database_of_a_later_release_is_refused_with_one_line(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE dash.alembic_version SET version_num = '9999'")
    with pytest.raises(SettingsError, match="9999") as refused:
        migrate.upgrade(database_url)
    assert "\n" not in refused.value.message
    engine = sa.create_engine(sqlalchemy_url(database_url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert not migrate.at_head(connection)


# Without a superuser -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def managed() -> Iterator[str]:
    """URL of a superuser on a server of its own, where nobody has made Dash's roles yet."""
    folder = Path(tempfile.mkdtemp(prefix="dash-managed-"))
    try:
        server = embedded.start(folder, durable=False)
        try:
            yield server.url
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def customer(managed: str, name: str, attributes: str) -> str:
    """A role that is no superuser and owns a database of its name, as a provider hands them out; the database's URL."""
    with psycopg.connect(managed, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN NOSUPERUSER {attributes}".encode())
        connection.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
    parts = urlsplit(managed)
    return urlunsplit(parts._replace(netloc=f"{name}:@", path=f"/{name}"))


def whole_way(url: str, folder: Path) -> None:
    """From an empty database to typed rows, an archived payload and the maintenance, as the URL's role."""
    migrate.upgrade(url)
    migrate.upgrade(url)
    environ = {"DASH_DATABASE_URL": url, "DASH_SECRET_KEY": SECRET_KEY, "DASH_DATA_DIR": str(folder)}
    app = App.open(Settings.load([], environ, program="worker"), url, pool_size=4)
    try:
        with pytest.raises(SettingsError, match="fsync = off"):
            app.database.check_durable()
        assert first_user(app) is not None
        with app.database.ingest() as unit:
            team = people.find_team(unit)
            people.create_team(unit, "acme", "Acme")
            unit.commit()
        house = House(app, team)
        pipeline = house.pipeline()
        house.put(pipeline, b'{"n": 1, "site": "a"}', b'{"n": "many"}')
        assert Ingest(app).run(pipeline) == 1
        assert house.rows("SELECT n, site, twice FROM team_main.orders") == [(1.0, "a", 2.0)]
        with app.database.team(team) as unit:
            assert catalog.stats(unit, [pipeline])[pipeline].rejects == 1
            unit.execute(f'SELECT FROM team_main_data."p_{pipeline.hex}_v1"')
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                unit.execute("SELECT password_hash FROM users")
        queues = Queues(app)
        try:
            queues._task_archive(str(pipeline))
            queues._task_maintain("")
        finally:
            queues.close()
        with app.database.ingest() as unit:
            assert unit.value("SELECT rows FROM bronze_files") == 2
            assert ledger.sweep(unit, age=0) == []
            unit.execute("SELECT dash.ensure_payload_partitions(5)")
            first = unit.value("SELECT part FROM dash.payload_partitions(9223372036854775807) LIMIT 1")
            unit.execute("SELECT dash.drop_payload_partition(%s)", (first,))
            unit.rollback()
    finally:
        app.close()


def test_a_role_that_may_make_roles_goes_the_whole_way(managed: str, tmp_path: Path) -> None:
    url = customer(managed, "makes_roles", "CREATEROLE")
    whole_way(url, tmp_path)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)


def test_a_role_that_was_given_the_roles_goes_the_whole_way(managed: str, tmp_path: Path) -> None:
    url = customer(managed, "given_roles", "")
    with psycopg.connect(managed, autocommit=True) as connection:
        for role in ("dash_owner", "dash_app", "dash_ingest"):
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                connection.execute(f"CREATE ROLE {role}".encode())
            connection.execute(f"GRANT {role} TO given_roles".encode())
    whole_way(url, tmp_path)


def test_a_role_that_may_not_is_told_so_in_one_line_and_leaves_nothing(managed: str) -> None:
    url = customer(managed, "may_nothing", "")
    with pytest.raises(SettingsError, match=r"DASH_DATABASE_URL: .*CREATEROLE") as refused:
        migrate.upgrade(url)
    assert "\n" not in refused.value.message
    with psycopg.connect(url) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'dash'::regnamespace AND relname = 'teams'"
        ).fetchone() == (0,)


def test_a_role_that_may_not_even_make_a_schema_is_told_so_in_one_line(managed: str) -> None:
    customer(managed, "owns_it", "")
    with psycopg.connect(managed, autocommit=True) as connection:
        connection.execute("CREATE ROLE visitor LOGIN NOSUPERUSER")
    parts = urlsplit(managed)
    with pytest.raises(SettingsError, match=r"DASH_DATABASE_URL: .*CREATE on the database") as refused:
        migrate.upgrade(urlunsplit(parts._replace(netloc="visitor:@", path="/owns_it")))
    assert "\n" not in refused.value.message


def test_a_database_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DashError) as refused:
        migrate.upgrade(f"postgresql://nobody:geheim-9@/dash?host={tmp_path}")
    assert "\n" not in refused.value.message
    assert "geheim-9" not in refused.value.message
