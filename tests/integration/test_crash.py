"""A worker killed between claim and commit: a real process, SIGKILL, and every record exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.integration.conftest import SECRET_KEY, House
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@contextmanager
def worker(database_url: str, data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    environ = {
        **os.environ,
        "DASH_DATABASE_URL": database_url,
        "DASH_SECRET_KEY": SECRET_KEY,
        "DASH_DATA_DIR": str(data_dir),
    }
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "worker.py"), "--workers", "1"], env=environ, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


@pytest.mark.timeout(180)
def test_a_worker_killed_before_its_commit_loses_and_doubles_nothing(
    house: House, database_url: str, tmp_path: Path
) -> None:
    pipeline = house.pipeline()
    count = 200
    with psycopg.connect(database_url) as blocker:
        # Rows are in silver's table by then, rollups merged, and the commit waits behind this lock.
        blocker.execute("LOCK TABLE dash.pipeline_counts IN ACCESS EXCLUSIVE MODE")
        with worker(database_url, tmp_path) as first:
            for start in range(0, count, 20):
                house.put(
                    pipeline, *[json.dumps({"n": n, "site": "ab"[n % 2]}).encode() for n in range(start, start + 20)]
                )
            wait_until(
                lambda: house.rows(
                    # Whoever only looks at the counts waits as well.
                    "SELECT FROM pg_locks WHERE relation = 'dash.pipeline_counts'::regclass AND NOT granted "
                    "AND mode = 'RowExclusiveLock'"
                )
            )
            assert house.rows("SELECT count FROM dash.attempts") == [(1,)]
            os.killpg(first.pid, signal.SIGKILL)
            first.wait(20)
        blocker.rollback()
    assert house.rows("SELECT to_regclass(%s)", ("team_acme.orders",)) == [(None,)], "nothing may be half done"
    with worker(database_url, tmp_path):
        wait_until(lambda: house.rows("SELECT FROM dash.pipeline_counts WHERE payloads = %s", (count,)))
    assert sorted(n for (n,) in house.silver("orders", "n")) == [float(n) for n in range(count)]
    table = f"team_acme_data.p_{pipeline.hex}_v1_rollup"
    assert house.rows(f"SELECT sum(_n)::int FROM {table} WHERE grain = 3") == [(count,)]
