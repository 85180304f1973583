"""Connections to PostgreSQL, and who one is on them.

A connection takes one of two roles: `dash_app`, which sees the one team named in its transaction, and
`dash_ingest`, which
sees all of them and is for the receiver and the workers. Everything here blocks; servers call it from threads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
import sqlalchemy as sa

from dash_app.domain.errors import SettingsError, Unavailable
from dash_app.storage.unit import Unit

Role = Literal["app", "ingest"]

#: Settings under which a commit that was answered can still be lost: a server with any of these is refused.
_DURABILITY = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_write", "remote_apply", "local"),
}


def sqlalchemy_url(url: str) -> str:
    """`url` for SQLAlchemy with psycopg 3."""
    parts = urlsplit(url)
    rest = urlunsplit(("x", *parts[1:])) if parts.netloc else f"x://{parts.path}?{parts.query}"
    return "postgresql+psycopg" + rest[1:]


def _options(role: Role) -> str:
    # A transaction left open by a stalled process must not hold its locks for ever; a dead peer is noticed in seconds.
    return (
        f"-c role=dash_{role} -c search_path=dash,pg_temp -c timezone=UTC -c idle_in_transaction_session_timeout=60000 "
        "-c client_connection_check_interval=5000"
    )


_NOT_DURABLE = " -c synchronous_commit=off"
_KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30000,
    "connect_timeout": 10,
}


class Database:
    """The pools of one process. `close` when done; opening connects to nothing yet."""

    def __init__(self, url: str, *, pool_size: int = 8, name: str = "dash") -> None:
        self.url = url
        engine = partial(
            sa.create_engine,
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            pool_pre_ping=True,
            pool_use_lifo=True,
            # A connection that has touched thousands of tables keeps their catalog entries: made anew now and then.
            pool_recycle=300,
        )
        self._engines: dict[Role, sa.Engine] = {
            role: engine(connect_args={"options": _options(role), "application_name": f"{name} {role}", **_KEEPALIVE})
            for role in ("app", "ingest")
        }
        options = _options("ingest") + _NOT_DURABLE
        self._notes = engine(
            isolation_level="AUTOCOMMIT",
            connect_args={"options": options, "application_name": f"{name} notes", **_KEEPALIVE},
        )

    def close(self) -> None:
        for engine in (*self._engines.values(), self._notes):
            engine.dispose()

    @contextmanager
    def team(self, team: UUID) -> Iterator[Unit]:
        """A unit of work that sees this team alone, under row security."""
        with self._unit("app") as unit:
            unit.execute("SELECT set_config('app.team_id', %s, true)", (str(team),))
            yield unit

    @contextmanager
    def ingest(self) -> Iterator[Unit]:
        """A unit of work of the receiver or a worker, which sees every team."""
        with self._unit("ingest") as unit:
            yield unit

    @contextmanager
    def notes(self) -> Iterator[Unit]:
        """As `ingest`, but each statement is a transaction of its own, whose commit nobody waits for: for what a worker
        notes beside its work, and that does no harm where a crash of the server loses it."""
        with self._held(self._notes) as connection:
            yield Unit(connection)

    @contextmanager
    def anyone(self) -> Iterator[Unit]:
        """A unit of work before a team is known: it can call the narrow look-ups and nothing else."""
        with self._unit("app") as unit:
            yield unit

    @contextmanager
    def _unit(self, role: Role) -> Iterator[Unit]:
        with self._connection(role) as connection:
            unit = Unit(connection)
            try:
                yield unit
            finally:
                unit.rollback()

    @contextmanager
    def own(self, role: Role) -> Iterator[Unit]:
        """A unit on a connection outside the pool, closed at the end: for locks that live as long as it does."""
        with self._connection(role) as connection:
            connection.detach()
            yield Unit(connection)

    @contextmanager
    def _connection(self, role: Role) -> Iterator[sa.Connection]:
        with self._held(self._engines[role]) as connection:
            yield connection

    @contextmanager
    def _held(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        """A connection of the pool; Unavailable wherever it is lost, be it while giving it back."""
        try:
            connection = engine.connect()
        except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
            raise Unavailable("the database cannot be reached") from error
        try:
            with connection:
                yield connection
        except (sa.exc.OperationalError, psycopg.OperationalError) as error:
            raise Unavailable(f"the database did not answer: {str(error).splitlines()[0]}") from error

    def connect(self, role: Role, *, autocommit: bool = True, durable: bool = True) -> psycopg.Connection[Any]:
        """A connection of one's own, outside the pools: for LISTEN, for the queue, for the group commit.

        `durable`: commits wait for the disk. Without it a crash of the server can lose the last of them.
        """
        try:
            return psycopg.connect(
                self.url,
                autocommit=autocommit,
                options=_options(role) + ("" if durable else _NOT_DURABLE),
                application_name=f"{'dash' if durable else 'queue'} {role}",
                **_KEEPALIVE,
            )
        except psycopg.OperationalError as error:
            raise Unavailable("the database cannot be reached") from error

    async def listen(self, channel: str, *, idle: float = 5.0) -> AsyncIterator[str | None]:
        """Payloads of a channel's notifications; None once listening has begun and after each `idle` seconds of
        silence.

        Raises Unavailable when the connection is lost: the caller re-reads and listens anew.
        """
        try:
            async for heard in self._listen(channel, idle):
                yield heard
        except (psycopg.Error, OSError) as error:
            raise Unavailable(f"notifications cannot be heard: {' '.join(str(error).split())[:200]}") from error

    async def _listen(self, channel: str, idle: float) -> AsyncIterator[str | None]:
        connection = await psycopg.AsyncConnection.connect(
            self.url,
            autocommit=True,
            options=_options("app"),
            application_name="dash listen",
            **_KEEPALIVE,
        )
        async with connection:
            await connection.execute(f'LISTEN "{channel}"'.encode())
            yield None
            while True:
                heard = False
                async for notification in connection.notifies(timeout=idle, stop_after=1):
                    heard = True
                    yield notification.payload
                if not heard:
                    await connection.execute("SELECT 1")
                    yield None

    def check_durable(self) -> None:
        """SettingsError where an acknowledged commit could be lost by this server's settings."""
        with self.ingest() as unit:
            for setting, allowed in _DURABILITY.items():
                value = unit.value(f"SHOW {setting}")
                if value not in allowed:
                    raise SettingsError(
                        f"DASH_DATABASE_URL: the server runs with {setting} = {value}, so that what was "
                        f"acknowledged can be lost; "
                        f"set it to {' or '.join(allowed)}"
                    )
