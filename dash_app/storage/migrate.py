"""Brings a database to this release's shape. Run by one process at a time; the others wait and find nothing to do."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from dash_app.domain.errors import SettingsError, Unavailable
from dash_app.storage import timescale
from dash_app.storage.engine import sqlalchemy_url

#: Any number that no other advisory lock of Dash uses.
_MIGRATION_LOCK = 0x64617368


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _context(connection: sa.Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"version_table_schema": "dash"})


def upgrade(url: str) -> None:
    """Runs what is missing of the migrations, as the role that the URL names.

    That role must be able to create the roles dash_owner, dash_app and dash_ingest, or be a member of them already.
    Raises SettingsError with one line when the database is of a later release or the role may not do it,
    Unavailable when it cannot be reached.
    """
    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            _upgrade(connection)
            timescale.install(connection)
    except sa.exc.OperationalError as error:
        raise Unavailable(f"the database cannot be reached: {_line(error)}") from error
    except sa.exc.ProgrammingError as error:
        raise SettingsError(
            f"DASH_DATABASE_URL: migrations failed: {_line(error)}; "
            "the role needs CREATEROLE and CREATE on the database"
        ) from error
    finally:
        engine.dispose()


def _upgrade(connection: sa.Connection) -> None:
    # Held until the connection is closed, whatever ends it.
    connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
    connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS dash"))
    connection.commit()
    config = _config()
    config.attributes["connection"] = connection
    present = _context(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise SettingsError(
            f"DASH_DATABASE_URL: the database is at migration {present}, which this release does not know; "
            "run the release that wrote it, or a later one"
        )
    connection.rollback()
    command.upgrade(config, "head")
    connection.commit()


def _line(error: sa.exc.DBAPIError) -> str:
    """What the server said, on one line."""
    return " ".join(str(error.orig).split())[:300]


def at_head(connection: sa.Connection) -> bool:
    """Whether the database has every migration of this release."""
    present = _context(connection).get_current_revision()
    return present == ScriptDirectory.from_config(_config()).get_current_head()
