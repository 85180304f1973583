"""Somebody else's PostgreSQL: read a page of a query, or write records into a table.

The addresses to connect to were checked by whoever calls and are connected to as they are (`hostaddr`); the name is
what the server's certificate is verified against. Nothing is taken from this machine: no password file, no service
file, no certificate, no environment. Messages hold the host's name and what the server said, and never the password.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import certifi
import psycopg
from psycopg import sql

from dash_app.domain.errors import DashError, Permanent, Transient

Tls = Literal["verify-full", "require", "disable"]

#: Answers that may be another one later: connections, resources, locks, serialization, what an operator does.
_PASSING = ("08", "40", "53", "55", "57", "58")
#: What is fetched at once, going by the rows before: so many rows, and about so many bytes; and as much as there could
#: be at worst, where the rows that follow are as large as they may be.
_ROWS_AT_ONCE = 500
_BYTES_AT_ONCE = 1 << 20
_WORST_BYTES = 512 << 20
#: A connection may take so many times as long as a statement, and some seconds.
_PATIENCE, _PATIENCE_MORE = 2.0, 10.0
_MESSAGE_ID, _INDEX, _SENT_AT = "_message_id", "_message_index", "_sent_at"
#: The columns that hold what a record has no say in.
OWN_COLUMNS = (_MESSAGE_ID, _INDEX, _SENT_AT)
#: What every record has beside its fields, with the types that fit; left out where a table has no such columns.
SYSTEM_COLUMNS = {"_time": "timestamptz", "_received": "timestamptz", "_payload": "text", "_index": "int"}


class PostgresRefused(Permanent):
    """The database will not have it."""

    title = "Refused by the database"


class PostgresUnavailable(Transient):
    """The database cannot be reached right now."""


@dataclass(frozen=True)
class Target:
    """A database and who one is there. `addresses`: checked ones, tried in order; `ca`: certificates in PEM."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    addresses: Sequence[str]
    tls: Tls = "verify-full"
    ca: str = ""
    timeout: float = 30.0


@contextmanager
def connected(target: Target, *, read_only: bool) -> Iterator[psycopg.Connection[Any]]:
    """A connection in one transaction, which is not committed. Raises PostgresRefused or PostgresUnavailable."""
    with _certificates(target.ca) as roots, _said(target):
        opened = _connect(target, roots, read_only)
        with _ended_in_time(opened, target), opened as connection:
            yield connection


@contextmanager
def _ended_in_time(connection: psycopg.Connection[Any], target: Target) -> Iterator[None]:
    """Cuts the line of a server that keeps one waiting: its own time limits are the word of whoever runs it."""
    seconds = _PATIENCE * target.timeout + _PATIENCE_MORE
    # A handle of our own: it cannot come to stand for something else that is opened meanwhile.
    line = socket.socket(fileno=os.dup(connection.fileno()))
    late = threading.Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(seconds, cut)
    watch.daemon = True
    watch.start()
    try:
        yield
    except psycopg.Error as error:
        if late.is_set():
            raise PostgresUnavailable(f"{target.host}: no end within {seconds:g} s") from error
        raise
    finally:
        watch.cancel()
        watch.join()
        line.close()


def _connect(target: Target, roots: str, read_only: bool) -> psycopg.Connection[Any]:
    milliseconds = int(target.timeout * 1000)
    options = (
        f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds} -c TimeZone=UTC "
        f"-c DateStyle=ISO -c bytea_output=hex -c lock_timeout={milliseconds}"
    )
    if read_only:
        options += " -c default_transaction_read_only=on"
    return psycopg.connect(
        host=",".join([target.host] * len(target.addresses)),
        hostaddr=",".join(target.addresses),
        port=target.port,
        dbname=target.database,
        user=target.user,
        password=target.password,
        passfile=f"{roots}.none",
        sslmode=target.tls,
        # Where there is a file, libpq verifies by it even when encryption is all that is asked for.
        sslrootcert=roots if target.tls == "verify-full" or target.ca else f"{roots}.none",
        sslcert=f"{roots}.none",
        sslkey=f"{roots}.none",
        gssencmode="disable",
        # The password itself is told to nobody but a server that has proved who it is.
        require_auth="none,scram-sha-256,md5" + (",password" if target.tls == "verify-full" else ""),
        connect_timeout=max(2, int(min(target.timeout, 15))),
        tcp_user_timeout=milliseconds,
        keepalives_idle=10,
        application_name="dash",
        client_encoding="UTF8",
        options=options,
    )


@contextmanager
def _certificates(ca: str) -> Iterator[str]:
    """A file with the authorities to believe."""
    if not ca:
        yield certifi.where()
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(ca)
        file.flush()
        yield file.name


@contextmanager
def _said(target: Target) -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        state = error.sqlstate or ""
        if state.startswith("28") or state == "3D000":
            raise PostgresRefused(f"{target.host}: {_line(error, target)}") from error
        if state and not state.startswith(_PASSING):
            raise PostgresRefused(f"{target.host}: {_line(error, target)}") from error
        if not state:
            raise _no_connection(error, target) from error
        raise PostgresUnavailable(f"{target.host}: {_line(error, target)}") from error
    except psycopg.Error as error:
        passing = (error.sqlstate or "").startswith(_PASSING)
        kind = PostgresUnavailable if passing else PostgresRefused
        raise kind(f"{target.host}: {_line(error, target)}") from error


#: What libpq says of a connection that was not made, what is said here, and whether it can pass by itself.
_SIGNS = (
    ("certificate", "the server's certificate is not to be trusted for this name", False),
    ("pg_hba.conf", "the server lets nobody in from here as this user", False),
    ("password authentication failed", "the log-in is refused", False),
    ("no password supplied", "the server asks for a password", False),
    ("does not exist", "there is no such database or user", False),
    ("authentication method", "the server asks for a way to log in that is not taken here", False),
    ("ssl", "the server does not speak TLS as it should", True),
    ("too many", "the server has no connection left", True),
    ("starting up", "the server is starting up", True),
    ("shutting down", "the server is shutting down", True),
    ("timeout", "no answer in time", True),
    ("refused", "the connection is refused", True),
)


def _no_connection(error: psycopg.Error, target: Target) -> DashError:
    """Why there is no connection, without what libpq found out about addresses, the server's and ours."""
    where = f"no connection to {target.host} on port {target.port}"
    text = str(error).lower()
    for sign, what, passes in _SIGNS:
        if sign in text:
            return PostgresUnavailable(f"{where}: {what}") if passes else PostgresRefused(f"{where}: {what}")
    return PostgresUnavailable(where)


def _line(error: psycopg.Error, target: Target) -> str:
    diag = getattr(error, "diag", None)
    text = (diag.message_primary if diag else None) or str(error).split("\n", 1)[0] or type(error).__name__
    if target.password:
        text = text.replace(target.password, "•••")
    return text[:300]


# Reading -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as lines of JSON, and the greatest value of the cursor column among them as text (None: no rows)."""

    lines: bytes
    count: int
    last: str | None
    #: Whether more rows are there.
    more: bool


def read_page(
    target: Target,
    query: str,
    cursor_column: str,
    after: str | None,
    *,
    page_size: int,
    settle_seconds: int,
    bytes_about: int,
    most: int,
) -> Rows:
    """The next rows of a query in the order of a column, beginning after a value of it.

    Rows that share a value come together, so that the next page can begin behind it; a page ends early, at such a
    border, once it has `bytes_about`. Without a column all rows come. Raises PostgresRefused where a row, or rows that
    belong together, have more than `most` bytes.
    """
    with connected(target, read_only=True) as connection:
        connection.read_only = True
        statement, values = _select(query, cursor_column, after, page_size, settle_seconds)
        with connection.cursor(name="dash") as rows:
            rows.execute(_bounded(statement), {**values, "most": most})
            return _collect(_fetched(rows, most), cursor_column, page_size, bytes_about, most, target)


def _bounded(statement: sql.Composed) -> sql.Composed:
    """A row that is too large stays where it is, and comes as null. (OFFSET keeps each row from being made twice.)"""
    return sql.SQL(
        "SELECT CASE WHEN octet_length(p.line) <= %(most)s THEN p.line END, p.value FROM ({} OFFSET 0) AS p"
    ).format(statement)


def _fetched(rows: psycopg.ServerCursor[Any], most: int) -> Iterator[tuple[str | None, str | None]]:
    """The rows, at first one by one, then as many at a time as have about `_BYTES_AT_ONCE`."""
    worst = max(1, min(_ROWS_AT_ONCE, _WORST_BYTES // most))
    count = 1
    while batch := rows.fetchmany(count):
        size = sum(len(line or "") for line, _ in batch)
        yield from batch
        if len(batch) < count:
            return
        fitting = _BYTES_AT_ONCE * len(batch) // max(1, size)
        count = max(1, min(worst, fitting, 4 * count))


def _select(
    query: str, column: str, after: str | None, page_size: int, settle_seconds: int
) -> tuple[sql.Composed, dict[str, Any]]:
    # A line of its own: a query may end in a comment. Percent signs are the query's own.
    inner = sql.SQL("(\n{}\n) AS q").format(sql.SQL(query.replace("%", "%%")))
    if not column:
        return sql.SQL("SELECT row_to_json(q)::text AS line, NULL::text AS value FROM {}").format(inner), {}
    name = sql.SQL("q.{}").format(sql.Identifier(column))
    where = [sql.SQL("{} IS NOT NULL").format(name)]
    if after is not None:
        where.append(sql.SQL("{} > %(after)s").format(name))
    if settle_seconds:
        where.append(sql.SQL("{} <= now() - make_interval(secs => %(settle)s)").format(name))
    return sql.SQL(
        "SELECT row_to_json(q)::text AS line, {}::text AS value FROM {} WHERE {} ORDER BY {} "
        "FETCH FIRST %(size)s ROWS WITH TIES"
    ).format(name, inner, sql.SQL(" AND ").join(where), name), {
        "after": after,
        "settle": settle_seconds,
        "size": page_size,
    }


def _collect(
    rows: Iterator[tuple[str | None, str | None]],
    column: str,
    page_size: int,
    bytes_about: int,
    most: int,
    target: Target,
) -> Rows:
    lines: list[bytes] = []
    size = 0
    last: str | None = None
    for text, value in rows:
        if text is None and size >= bytes_about and column and value != last:
            return Rows(b"\n".join(lines), len(lines), last, True)
        if text is None:
            raise PostgresRefused(f"{target.host}: a row has more than {most:,} bytes (max_bytes)")
        line = text.encode()
        if column and value != last and size >= bytes_about:
            return Rows(b"\n".join(lines), len(lines), last, True)
        size += len(line) + 1
        if size > most:
            what = f"rows with the same {column}" if column else "the rows"
            raise PostgresRefused(f"{target.host}: {what} have more than {most:,} bytes (max_bytes)")
        lines.append(line)
        last = value
    return Rows(b"\n".join(lines), len(lines), last, bool(column) and len(lines) >= page_size)


# Writing -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and whether it and its columns are made where they are missing."""

    schema: str
    name: str
    create: bool = False

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def write_records(
    target: Target,
    table: Table,
    message: str,
    records: Sequence[Mapping[str, Any]],
    *,
    keep: bool = True,
) -> int:
    """Writes the records of one message, a row each, in one transaction; answers how many were new.

    A row is known by the message's id and its place in it, so that a message that is sent again changes nothing.
    `keep=False` takes everything back: to try it out. Raises PostgresRefused where the table does not fit.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    if wrong := [name for name in names if name in OWN_COLUMNS or not name or len(name.encode()) > 63]:
        raise PostgresRefused(f"a field named '{wrong[0][:80]}' cannot be a column")
    with connected(target, read_only=False) as connection:
        there = _columns(connection, table)
        if table.create:
            _make(connection, table, there, names, records)
        else:
            names = [name for name in names if name in there or name not in SYSTEM_COLUMNS]
        columns = [_MESSAGE_ID, _INDEX, _SENT_AT, *names]
        listed = sql.SQL(", ").join(map(sql.Identifier, columns))
        # The server turns JSON into the types that the table has.
        insert = sql.SQL(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb) "
            "ON CONFLICT ({key}) DO NOTHING"
        ).format(
            table=table.identifier,
            columns=listed,
            key=sql.SQL(", ").join(map(sql.Identifier, (_MESSAGE_ID, _INDEX))),
        )
        stamp = connection.execute("SELECT now()::text").fetchone()
        assert stamp is not None
        rows = [
            {_MESSAGE_ID: message, _INDEX: index, _SENT_AT: stamp[0], **record} for index, record in enumerate(records)
        ]
        try:
            new = connection.execute(insert, (json.dumps(rows, default=str),)).rowcount
        except psycopg.errors.InvalidColumnReference:
            raise PostgresRefused(
                f"the table {table} has no unique key over {_MESSAGE_ID} and {_INDEX}, by which a message that is sent "
                "again is known"
            ) from None
        if keep:
            connection.commit()
        else:
            connection.rollback()
        return new


def _columns(connection: psycopg.Connection[Any], table: Table) -> set[str]:
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
        (table.schema, table.name),
    )
    return {name for (name,) in rows}


def _make(
    connection: psycopg.Connection[Any],
    table: Table,
    there: set[str],
    names: Sequence[str],
    records: Sequence[Mapping[str, Any]],
) -> None:
    """The table and the columns that are missing, with types that fit these records."""
    if not there:
        connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} ({} text NOT NULL, {} int NOT NULL, {} timestamptz NOT NULL, "
                "PRIMARY KEY ({}, {}))"
            ).format(table.identifier, *map(sql.Identifier, (*OWN_COLUMNS, _MESSAGE_ID, _INDEX)))
        )
    for name in names:
        if name not in there:
            kind = SYSTEM_COLUMNS.get(name) or _type([record.get(name) for record in records])
            connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(
                    table.identifier,
                    sql.Identifier(name),
                    sql.SQL(kind),
                )
            )


def _type(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "boolean"
    if kinds and kinds <= {int, float}:
        # What is whole today may not be so tomorrow, and a column keeps the type it was made with.
        return "double precision"
    if kinds and kinds <= {dict, list}:
        return "jsonb"
    return "text"
