"""Block-range indexes: one whose summary was broken off is found and mended, a sound one is left alone."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest

from dash_app.storage import silver_ranges
from tests.integration.conftest import House

ROWS = 200_000


def ranges_read(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """How many blocks the index takes for a match of what no row can meet."""
    connection.execute("SET enable_seqscan = off")
    plan = connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) SELECT FROM s.t WHERE _time = '-infinity'").fetchone()
    assert plan is not None
    top = plan[0][0]["Plan"]  # type: ignore[index]
    assert top["Node Type"] == "Bitmap Heap Scan"
    return int(top["Lossy Heap Blocks"])


def test_a_summary_that_was_broken_off_is_made_anew(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silver_ranges, "LARGE_BLOCKS", 100)
    monkeypatch.setattr(silver_ranges, "_RANGES", 7)
    monkeypatch.setattr(silver_ranges, "_WELL", 1)
    with psycopg.connect(house.app.database.url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA s AUTHORIZATION dash_ingest")
        connection.execute("SET ROLE dash_ingest")
        connection.execute("CREATE TABLE s.t (_time timestamptz, filler text) WITH (autovacuum_enabled = off)")
        connection.execute(
            "INSERT INTO s.t SELECT '2024-01-01'::timestamptz + n * interval '1 s', repeat('x', 60) "
            "FROM generate_series(1, %s) n",
            (ROWS,),
        )
        connection.execute("CREATE INDEX t_time ON s.t USING brin (_time) WITH (pages_per_range = 64)")
        connection.execute("ANALYZE s.t")
        assert ranges_read(connection) == 0
        assert silver_ranges.mend(house.app.database) == []
        # The first range loses its summary, and what makes it anew is cancelled on the way.
        for _ in range(200):
            connection.execute("SELECT brin_desummarize_range('s.t_time', 0)")
            connection.execute("SET statement_timeout = '1ms'")
            with suppress(psycopg.errors.QueryCanceled):
                connection.execute("SELECT brin_summarize_range('s.t_time', 0)")
            connection.execute("SET statement_timeout = 0")
            broken = ranges_read(connection)
            if broken > 64 and connection.execute("SELECT brin_summarize_range('s.t_time', 0)").fetchone() == (0,):
                break
        else:
            pytest.fail("no summary could be broken off")
        # It is not the one range alone that is read now.
        assert broken > 1000
        assert silver_ranges.mend(house.app.database) == ["t"]
        assert ranges_read(connection) == 0
        assert silver_ranges.mend(house.app.database) == []


def test_what_vacuum_is_at_work_on_is_left_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silver_ranges, "LARGE_BLOCKS", -1)
    with psycopg.connect(house.app.database.url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA s AUTHORIZATION dash_ingest")
        connection.execute("SET ROLE dash_ingest")
        connection.execute("CREATE TABLE s.t (_time timestamptz) WITH (autovacuum_enabled = off)")
        connection.execute("CREATE INDEX ON s.t USING brin (_time)")
        with connection.transaction():
            connection.execute("LOCK TABLE s.t IN SHARE UPDATE EXCLUSIVE MODE")
            assert silver_ranges.mend(house.app.database) == []
        assert silver_ranges.mend(house.app.database) == []
