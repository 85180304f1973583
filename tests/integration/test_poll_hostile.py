"""10,000 records over 100 pages from a server that fails in every way: each record once in silver, whoever dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dash_app.pipelines import setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.poll import poll
from dash_app.pipelines.reach.guard import guarded_client
from dash_app.storage import ledger
from tests.integration.conftest import House
from tests.integration.hostile import Hostile, serving
from tests.integration.test_crash import worker
from tests.waiting import wait_until

COUNT, SIZE = 10_000, 100


def polled(house: House, url: str, **options: Any) -> UUID:
    document = {
        "name": "Feed",
        "slug": "feed",
        "source": {
            "kind": "http_poll",
            "options": {
                "url": url,
                "interval_seconds": 1,
                "timeout_seconds": 1,
                "max_pages": 1000,
                "data_selector": "$.items",
                "paginator": {"type": "cursor", "cursor_path": "next_cursor"},
                "incremental": {"cursor_path": "id", "cursor_param": "since", "initial_value": 0},
                **options,
            },
        },
        "mapping": {
            "records": "$.items[*]",
            "key": ["$.id"],
            "fields": [
                {"name": "id", "path": "$.id", "type": "integer", "role": "dimension"},
                {"name": "value", "path": "$.value", "type": "number"},
            ],
        },
    }
    with house.app.database.team(house.team) as unit:
        made, _ = setup.create_pipeline(unit, house.app, house.team, document, "test")
        unit.commit()
    return made.id


def complete(house: House) -> bool:
    """Whether the last run came to its end."""
    rows = house.rows("SELECT cursor ? 'position' FROM dash.polls WHERE cursor <> '{}'")
    return rows == [(False,)]


def check(house: House, count: int) -> None:
    """Every record once, as it was sent."""
    rows = house.silver("feed", "id, value")
    assert len(rows) == count
    assert sorted(rows) == [(n, n / 8) for n in range(count)]


def test_every_record_once_from_a_server_that_fails_in_every_way(house: House) -> None:
    feed = Hostile(
        COUNT,
        SIZE,
        {
            3: ["busy", "busy"],
            10: ["broken", "broken", "broken"],
            21: ["drip"],
            34: ["cut"],
            35: ["torn"],
            47: ["again"],
            60: ["reset"],
            61: ["busy", "cut", "again", "broken"],
            99: ["torn"],
        },
    )
    with serving(feed) as url, guarded_client(["127.0.0.0/8"]) as client:
        pipeline = polled(house, url)
        for _ in range(40):
            with house.app.database.ingest() as unit:
                ledger.poll_now(unit, pipeline)
                unit.commit()
            poll(house.app, pipeline, client)
            if complete(house):
                break
        assert complete(house)
        assert feed.left() == {}
        # From the reset on all came a second time, and the key keeps it apart.
        assert feed.asked.count(59) == 2
        Ingest(house.app).run(pipeline)
        check(house, COUNT)
        assert house.rows("SELECT state FROM dash.pipelines") == [("active",)]
        # What comes later is asked for alone, and found.
        feed.count += 50
        feed.asked.clear()
        with house.app.database.ingest() as unit:
            ledger.poll_now(unit, pipeline)
            unit.commit()
        poll(house.app, pipeline, client)
        assert feed.asked == [0]
        Ingest(house.app).run(pipeline)
        check(house, COUNT + 50)


@pytest.mark.timeout(600)
def test_every_record_once_although_the_worker_is_killed(
    house: House, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real worker, killed while a page is on its way; another one goes on behind the last page that was stored."""
    monkeypatch.setenv("DASH_ALLOWED_NETWORKS", "127.0.0.0/8")
    feed = Hostile(COUNT, SIZE, {20: ["broken"], 40: ["hold"], 70: ["again"], 80: ["torn"]})
    with serving(feed) as url:
        # Longer than anybody waits here: the worker is killed while it waits for the page.
        pipeline = polled(house, url, timeout_seconds=300)
        with worker(database_url, tmp_path) as first:
            assert feed.held.wait(120)
            os.killpg(first.pid, signal.SIGKILL)
            first.wait(20)
        feed.go_on.set()
        # The page before the one that was out had not been stored: what follows it was not known yet.
        (stored,) = house.rows("SELECT count(*) FROM dash.payloads")[0]
        assert stored == 39
        before = len(feed.asked)
        with worker(database_url, tmp_path):
            wait_until(lambda: complete(house), 200)
            wait_until(lambda: house.rows("SELECT FROM dash.pipeline_counts WHERE records >= %s", (COUNT,)), 120)
        assert min(feed.asked[before:]) == 39
    assert feed.left() == {}
    check(house, COUNT)
    assert [run.state for run in _runs(house, pipeline)].count("lost") == 1


def _runs(house: House, pipeline: UUID) -> list[ledger.Run]:
    with house.app.database.team(house.team) as unit:
        return ledger.runs(unit, pipeline, limit=100)
