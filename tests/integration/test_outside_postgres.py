"""Somebody else's PostgreSQL: a query as a source, a table as a sink; a real server behind a TCP port."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dash_app.domain.errors import DashError
from dash_app.pipelines.reach import AddressNotAllowed, Reach
from dash_app.pipelines.sinks.base import Message
from dash_app.pipelines.sinks.postgres import PostgresSink
from dash_app.storage.outside_postgres import PostgresRefused, PostgresUnavailable
from tests.integration.conftest import House
from tests.integration.outside import REACH, Outdoors, outdoors, over_tcp

MESSAGE = "msg_" + "0" * 31


@pytest.fixture
def shop(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE public.shop (id int, n float8, site text, at timestamptz DEFAULT now(), tags jsonb)"
        )
        yield connection


@pytest.fixture
def server(database_url: str) -> Iterator[dict[str, Any]]:
    with over_tcp(database_url) as options:
        yield options


@pytest.fixture
def out(house: House, tmp_path: Path) -> Outdoors:
    return outdoors(house, tmp_path)


QUERY = "SELECT id, n, site, at, tags, '100%' AS share FROM public.shop -- all of it"


def test_rows_come_once_in_the_order_of_the_cursor_column(
    out: Outdoors, shop: psycopg.Connection[Any], server: dict[str, Any]
) -> None:
    shop.execute("INSERT INTO public.shop SELECT g / 3, g, 'a', now(), '[1]' FROM generate_series(0, 299) g")
    pipeline = out.source("rows", "postgres", query=QUERY, cursor_column="id", page_size=10, max_pages=4, **server)
    run = out.run(pipeline)
    # Rows that share a value come together: three each, and so twelve a page.
    assert (run.error, run.payloads) == ("", 4)
    assert out.rows("SELECT count(*), max(n) FROM team_acme.rows") == [(48, 47.0)]
    for _ in range(6):
        assert out.run(pipeline).error == ""
    assert out.rows("SELECT count(*), count(DISTINCT n) FROM team_acme.rows") == [(300, 300)]
    assert out.run(pipeline).payloads == 0
    shop.execute("INSERT INTO public.shop VALUES (100, 1000, 'b'), (50, 1001, 'late'), (NULL, 1002, 'none')")
    assert out.run(pipeline).payloads == 1
    assert out.rows("SELECT n FROM team_acme.rows WHERE n >= 1000") == [(1000.0,)]
    assert out.rows("SELECT count(*) FROM payloads WHERE source LIKE 'postgresql://127.0.0.1:%%' ")[0][0] > 0


def test_young_rows_are_left_to_a_later_run(
    out: Outdoors, shop: psycopg.Connection[Any], server: dict[str, Any]
) -> None:
    shop.execute("INSERT INTO public.shop VALUES (1, 1, 'old', now() - interval '1 hour'), (2, 2, 'young', now())")
    pipeline = out.source("rows", "postgres", query=QUERY, cursor_column="at", settle_seconds=600, **server)
    assert out.run(pipeline).error == ""
    assert out.rows("SELECT site FROM team_acme.rows") == [("old",)]
    shop.execute("UPDATE public.shop SET at = now() - interval '11 minutes' WHERE id = 2")
    out.run(pipeline)
    assert out.rows("SELECT site FROM team_acme.rows ORDER BY n") == [("old",), ("young",)]


def test_without_a_column_every_run_stores_all_rows(
    out: Outdoors, shop: psycopg.Connection[Any], server: dict[str, Any]
) -> None:
    shop.execute("INSERT INTO public.shop VALUES (1, 1, 'a'), (2, 2, 'b')")
    pipeline = out.source("rows", "postgres", query=QUERY, **server)
    out.run(pipeline)
    out.run(pipeline)
    assert out.rows("SELECT count(*) FROM team_acme.rows") == [(4,)]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"query": "WITH gone AS (DELETE FROM public.shop RETURNING *) SELECT * FROM gone"}, "data-modifying"),
        ({"query": "SELECT 1 AS id) q; DELETE FROM public.shop; --"}, "syntax error|multiple commands"),
        ({"query": "SELECT set_config('transaction_read_only', 'off', false) AS id"}, "read-write mode|read_only"),
        ({"query": "SELECT pg_sleep(30)::text AS id", "timeout_seconds": 1}, "statement timeout"),
        ({"query": "SELECT id FROM public.nowhere"}, "does not exist"),
        ({"query": QUERY, "cursor_column": "nowhere"}, "does not exist"),
        ({"query": QUERY, "database": "nowhere"}, "no such database"),
        ({"query": QUERY, "tls": "verify-full"}, "no connection to 127.0.0.1 on port [0-9]+: the server does not"),
        ({"query": "SELECT repeat('x', 1000) AS id FROM generate_series(1, 100)", "max_bytes": 5000}, "5,000 bytes"),
        ({"query": "SELECT 1 AS id, repeat('x', 9000) AS n", "max_bytes": 5000}, "a row has more than 5,000 bytes"),
    ],
    ids=["delete", "two", "writable", "slow", "table", "column", "database", "tls", "large", "large row"],
)
def test_what_the_database_refuses_is_said(
    out: Outdoors, shop: psycopg.Connection[Any], server: dict[str, Any], options: dict[str, Any], why: str
) -> None:
    shop.execute("INSERT INTO public.shop VALUES (1, 1, 'a')")
    pipeline = out.source("rows", "postgres", **{"cursor_column": "id", **server, **options})
    run = out.run(pipeline)
    assert run.payloads == 0
    assert re.search(why, run.error), run.error
    assert shop.execute("SELECT count(*) FROM public.shop").fetchone() == (1,)


# The sink ------------------------------------------------------------------------------------------------------------


def message(records: list[dict[str, Any]], kind: Any = "records", number: int = 1) -> Message:
    at = datetime(2024, 5, 1, tzinfo=UTC)
    return Message(f"{MESSAGE}{number}", kind, at, "acme", "orders", "", "", {"pipeline": "orders", "records": records})


RECORDS = [
    {"_time": "2024-05-01T00:00:00+00:00", "n": 1.5, "site": 'o"slo', "ok": True, "tags": {"a": [1]}},
    {"_time": "2024-05-01T00:00:01+00:00", "n": None, "site": "bergen", "more": "x"},
]


def test_records_become_rows_and_a_resend_adds_none(shop: psycopg.Connection[Any], server: dict[str, Any]) -> None:
    sink = PostgresSink.from_options({"table": "public.ta ble", "create_table": True, **server})
    assert "2 rows added" in sink.send(message(RECORDS), REACH).response
    assert sink.send(message(RECORDS), REACH).response == "0 rows added, 2 were there already"
    assert "1 rows added" in sink.send(message([{"n": 7, "late": [1]}], number=2), REACH).response
    rows = shop.execute(
        'SELECT _message_id, _message_index, _time, n, site, ok, tags, more, late FROM public."ta ble" ORDER BY 1, 2'
    )
    at = datetime(2024, 5, 1, tzinfo=UTC)
    assert rows.fetchall() == [
        (MESSAGE + "1", 0, at, 1.5, 'o"slo', True, {"a": [1]}, None, None),
        (MESSAGE + "1", 1, at.replace(second=1), None, "bergen", None, None, "x", None),
        (MESSAGE + "2", 0, None, 7.0, None, None, None, None, [1]),
    ]


def test_a_test_leaves_nothing_behind(shop: psycopg.Connection[Any], server: dict[str, Any]) -> None:
    sink = PostgresSink.from_options({"table": "tried", "create_table": True, **server})
    assert "taken back" in sink.send(message(RECORDS, "test"), REACH).response
    assert shop.execute("SELECT to_regclass('public.tried')").fetchone() == (None,)


def test_a_table_that_does_not_fit_is_said(shop: psycopg.Connection[Any], server: dict[str, Any]) -> None:
    shop.execute("CREATE TABLE public.bare (n float8)")
    shop.execute(
        "CREATE TABLE public.typed (_message_id text, _message_index int, _sent_at timestamptz, n int, PRIMARY KEY "
        "(_message_id, _message_index))"
    )
    shop.execute("CREATE TABLE public.keyless (_message_id text, _message_index int, _sent_at timestamptz, n float8)")
    for table, records, why in (
        ("nowhere", [{"n": 1}], "does not exist"),
        ("bare", [{"n": 1}], "_message_id"),
        ("typed", [{"n": 1, "site": "a"}], "site"),
        ("typed", [{"n": "many"}], "invalid input syntax"),
        ("keyless", [{"n": 1}], "no unique key over _message_id and _message_index"),
        ("typed", [{"_sent_at": 1}], "cannot be a column"),
    ):
        sink = PostgresSink.from_options({"table": table, **server})
        with pytest.raises(PostgresRefused, match=why):
            sink.send(message(records), REACH)


def test_what_every_record_has_is_left_out_where_the_table_lacks_it(
    shop: psycopg.Connection[Any], server: dict[str, Any]
) -> None:
    shop.execute(
        "CREATE TABLE public.own (_message_id text, _message_index int, _sent_at timestamptz, n float8, _index int, "
        "UNIQUE (_message_id, _message_index))"
    )
    sink = PostgresSink.from_options({"table": "own", **server})
    sink.send(message([{"_time": "2024-05-01T00:00:00+00:00", "_payload": "9", "_index": 3, "n": 1}]), REACH)
    assert shop.execute("SELECT n, _index, _message_index FROM public.own").fetchall() == [(1.0, 3, 0)]


def test_connections_go_through_the_guard(server: dict[str, Any]) -> None:
    sink = PostgresSink.from_options({"table": "a", **server})
    with pytest.raises(AddressNotAllowed):
        sink.send(message(RECORDS), Reach())
    # The name leads elsewhere, and the connection follows the address that was checked.
    named = PostgresSink.from_options({"table": "nowhere", **server, "host": "db.example.org"})
    here = Reach.of(["127.0.0.0/8"], resolver=lambda host, port: ["127.0.0.1"])
    with pytest.raises(DashError, match=r"db\.example\.org: relation .* does not exist"):
        named.send(message(RECORDS), here)
    closed = PostgresSink.from_options({"table": "a", **server, "port": 1, "password": "sword-fish"})
    with pytest.raises(PostgresUnavailable) as error:
        closed.send(message(RECORDS), REACH)
    assert error.value.message == "no connection to 127.0.0.1 on port 1: the connection is refused"
