"""The unit of work: one connection, one transaction, one commit. Leaving without `commit` rolls back.

Changes announced with `notify` travel in the same transaction: whoever hears of a change can read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from dash_app.domain import changes

Params = Sequence[Any] | Mapping[str, Any] | None


class Unit:
    """Made by `Database.team`, `.ingest` and `.anyone`; stores take it and never commit themselves."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._session: Session | None = None
        self._changes: dict[str, None] = {}

    @property
    def session(self) -> Session:
        """SQLAlchemy's session on this transaction."""
        if self._session is None:
            self._session = Session(bind=self._connection, autoflush=True, expire_on_commit=False)
        return self._session

    @property
    def connection(self) -> sa.Connection:
        return self._connection

    @property
    def driver(self) -> psycopg.Connection[Any]:
        """psycopg's connection: for COPY and for statements that are written out."""
        if not self._connection.in_transaction():
            self._connection.begin()
        raw: psycopg.Connection[Any] = self._connection.connection.dbapi_connection  # type: ignore[assignment]
        return raw

    @property
    def lost(self) -> bool:
        """Whether the connection is gone, with whatever lived as long as it."""
        raw = self._connection.connection.dbapi_connection
        return raw is None or bool(raw.closed)

    def execute(self, sql: str, params: Params = None, *, binary: bool = False) -> psycopg.Cursor[Any]:
        """Runs one statement with psycopg's placeholders and answers its cursor. `binary`: results in binary format."""
        cursor = self.driver.cursor(binary=binary)
        cursor.execute(sql.encode(), params)
        return cursor

    def rows(self, sql: str, params: Params = None) -> list[tuple[Any, ...]]:
        return self.execute(sql, params).fetchall()

    def row(self, sql: str, params: Params = None) -> tuple[Any, ...] | None:
        return self.execute(sql, params).fetchone()

    def value(self, sql: str, params: Params = None) -> Any:
        """The first column of the first row; None where there is no row."""
        row = self.row(sql, params)
        return row[0] if row else None

    def notify(self, *announced: changes.Change) -> None:
        """Announces changes with this unit's commit; the same change twice is one."""
        self._changes.update(dict.fromkeys(map(changes.encode, announced)))

    def announce(self) -> None:
        """Hands what was notified so far to the server, which keeps it until the commit: a commit that others wait
        for then has nothing before it."""
        if self._changes:
            self.execute("SELECT pg_notify(%s, m) FROM unnest(%s::text[]) AS m", (changes.CHANNEL, list(self._changes)))
            self._changes.clear()

    @contextmanager
    def pipelined(self) -> Iterator[None]:
        """Within it statements go to the server without waiting for their answers, which nobody may ask for: a way
        there and back for all of them, the commit included. Their errors are raised by it, or at the end."""
        with self.driver.pipeline():
            yield

    def commit(self) -> None:
        if self._session is not None:
            self._session.flush()
        self.announce()
        self._connection.commit()

    def rollback(self) -> None:
        self._changes.clear()
        if self._session is not None:
            self._session.close()
            self._session = None
        self._connection.rollback()

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self.driver.cursor() as cursor:
            cursor.executemany(sql.encode(), rows)
