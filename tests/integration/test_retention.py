"""Retention: what is old goes, as a whole and for good, and nobody is misled on the way."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dash_app.domain.errors import Invalid
from dash_app.domain.ids import payload_id_floor
from dash_app.pipelines import schedule, setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.query import Queries, to_items
from dash_app.pipelines.schedule import Clock
from dash_app.pipelines.tasks import Queues, name_of
from dash_app.storage import bronze, catalog, payloads, retention
from dash_app.storage.retention import Removed
from tests.integration.conftest import House

NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
MAPPING: Mapping[str, Any] = {
    "time": {"path": "$.t"},
    "fields": [
        {"name": "n", "path": "$.n", "type": "number"},
        {"name": "site", "path": "$.site", "type": "text"},
    ],
}
KEYED: Mapping[str, Any] = {**MAPPING, "key": ["$.id"], "on_duplicate": "replace"}


class Crash(BaseException):
    """The process is gone at this point."""


def one(days: float, n: float, **more: Any) -> dict[str, Any]:
    """A record of noon, so many days ago."""
    moment = TODAY + timedelta(hours=12) - timedelta(days=days)
    return {"t": moment.isoformat(), "n": n, "site": "a", **more}


def ingest(house: House, pipeline: UUID, *records: Mapping[str, Any]) -> None:
    house.put(pipeline, json.dumps(records).encode())
    Ingest(house.app).run(pipeline)


def keep(house: House, pipeline: UUID, **days: int | None) -> None:
    with house.app.database.team(house.team) as unit:
        setup.check_retention(days)
        catalog.update_pipeline(unit, pipeline, {"retention": days})
        unit.commit()


def apply(house: House, pipeline: UUID, now: datetime = NOW, **options: Any) -> Removed:
    return retention.apply(house.app.database, house.app.objects, pipeline, now, **options)


def ask(house: House, *select: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
    document = {"pipeline": "orders", "from": "now-400d/d", "to": "now+3d/d", **more}
    document |= {"select": list(select)} if select else {}
    return to_items(Queries(house.app.database).run(house.team, document))


def total(house: House, **more: Any) -> tuple[int, float]:
    (row,) = ask(house, {"agg": "count", "as": "c"}, {"field": "n", "agg": "sum", "as": "s"}, **more)
    return row["c"], row["s"]


def stored(house: House, pipeline: UUID, suffix: str = "") -> int:
    count: int = house.rows(f"SELECT count(*) FROM team_acme_data.p_{pipeline.hex}_v1{suffix}")[0][0]
    return count


def change(house: House, sql: str, *params: Any) -> None:
    with house.app.database.ingest() as unit:
        unit.execute(sql, params)
        unit.commit()


# Records and rollups -------------------------------------------------------------------------------------------------


def test_without_days_everything_stays(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(300, 1), one(0, 2))
    assert [apply(house, pipeline) for _ in range(2)] == [Removed()] * 2
    assert total(house) == (2, 3.0)


def test_records_go_by_whole_days_and_their_rollups_answer_as_before(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1), one(31, 2), one(30, 4, site="b"), one(29, 8), one(0, 16))
    keep(house, pipeline, record_days=30)
    select = [{"agg": "count"}, *({"field": "n", "agg": agg} for agg in ("sum", "avg", "min", "max", "first", "last"))]
    before = [ask(house, *select, **how) for how in ({}, {"every": "1d"}, {"every": "5m", "by": ["site"]})]
    # Hidden first, and nothing is removed yet.
    assert apply(house, pipeline) == Removed()
    assert stored(house, pipeline) == 5
    hidden = ask(house, {"field": "n", "agg": "median", "as": "m"}, every="1d")
    assert [row["m"] for row in hidden] == [4.0, 8.0, 16.0]
    assert apply(house, pipeline).records == 2
    assert stored(house, pipeline) == 3
    assert [ask(house, *select, **how) for how in ({}, {"every": "1d"}, {"every": "5m", "by": ["site"]})] == before
    assert ask(house, {"field": "n", "agg": "median", "as": "m"}, every="1d") == hidden
    assert apply(house, pipeline) == Removed()


def test_edges_below_a_minute_find_nothing_on_a_day_that_has_expired(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1), one(10, 2))
    keep(house, pipeline, record_days=30)
    noon = TODAY + timedelta(hours=12)

    def around(days: float) -> int:
        start = noon - timedelta(days=days, seconds=10)
        (row,) = ask(
            house,
            {"agg": "count", "as": "c"},
            **{"from": start.isoformat(), "to": (start + timedelta(seconds=20)).isoformat()},
        )
        count: int = row["c"]
        return count

    assert (around(40), around(10)) == (1, 1)
    for _ in range(3):
        apply(house, pipeline)
        assert (around(40), around(10)) == (0, 1)


def test_what_the_records_would_settle_is_left_to_the_rollups_once_they_are_gone(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    # One payload, one time, two sites: the rollup cannot tell which of them is the last.
    ingest(house, pipeline, one(40, 1, site="a"), one(40, 2, site="b"), one(40, 1e200, site="c"))
    keep(house, pipeline, record_days=30)
    apply(house, pipeline)
    apply(house, pipeline)
    (row,) = ask(house, {"agg": "count", "as": "c"}, {"field": "n", "agg": "last", "as": "l"})
    assert row["c"] == 3
    assert row["l"] in (1.0, 2.0, 1e200)


def test_records_that_come_when_their_day_is_gone_are_counted_and_not_kept(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1), one(0, 2))
    keep(house, pipeline, record_days=30)
    apply(house, pipeline)
    apply(house, pipeline)
    ingest(house, pipeline, one(40, 4), one(50, 8))
    assert total(house) == (4, 15.0)
    assert stored(house, pipeline) == 3
    assert [row["n"] for row in ask(house)] == [2.0]
    # Once a day, and not at each call: the days that are gone are not looked through again and again.
    assert apply(house, pipeline) == Removed()
    assert apply(house, pipeline, NOW + timedelta(days=1)).records == 2
    assert stored(house, pipeline) == 1
    assert total(house) == (4, 15.0)


def test_a_key_replaced_on_a_day_that_is_gone_is_added_and_wipes_nothing(house: House) -> None:
    pipeline = house.pipeline(mapping=KEYED)
    ingest(house, pipeline, one(40, 1, id=1), one(40, 2, id=2), one(5, 4, id=3), one(5, 8, id=4))
    keep(house, pipeline, record_days=30)
    apply(house, pipeline)
    # Hidden and still there, as between two calls; then gone.
    ingest(house, pipeline, one(40, 16, id=1))
    assert total(house, to="now-20d/d") == (3, 19.0)
    assert apply(house, pipeline).records == 2
    ingest(house, pipeline, one(40, 32, id=2), one(4, 64, id=1))
    assert total(house, to="now-20d/d") == (4, 51.0)
    # Where the records are there a replaced one leaves no trace, as ever.
    ingest(house, pipeline, one(5, 128, id=3))
    assert total(house, **{"from": "now-20d/d"}) == (3, 200.0)
    (day,) = ask(house, {"field": "n", "agg": "max", "as": "m"}, every="1d", **{"from": "now-6d/d", "to": "now-4d/d"})
    assert day["m"] == 128.0


def test_rollups_go_after_their_own_days(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(100, 1), one(60, 2), one(0, 4))
    keep(house, pipeline, record_days=30, rollup_days=90)
    apply(house, pipeline)
    assert total(house) == (2, 6.0)
    removed = apply(house, pipeline)
    assert (removed.records, removed.rollups) == (2, 3)
    assert total(house) == (2, 6.0)
    ingest(house, pipeline, one(100, 8), one(60, 16))
    assert total(house) == (3, 22.0)
    assert apply(house, pipeline).rollups == 3


def test_a_day_that_is_gone_stays_gone_when_the_days_are_made_more(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1))
    keep(house, pipeline, record_days=30)
    apply(house, pipeline)
    apply(house, pipeline)
    keep(house, pipeline, record_days=90)
    ingest(house, pipeline, one(40, 2))
    apply(house, pipeline)
    assert ask(house) == []
    assert total(house) == (2, 3.0)


def test_many_rows_go_in_batches_and_a_call_that_is_cut_short_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_ROWS", 300)
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, *(one(40 + n % 7, n) for n in range(1500)), one(0, 1))
    keep(house, pipeline, record_days=30)
    apply(house, pipeline)
    batches: list[str] = []
    removed = apply(house, pipeline, budget=timedelta(0), at=batches.append)
    assert removed.more
    assert 0 < removed.records < 1500
    gone = removed.records
    assert len(batches) == 1
    removed = apply(house, pipeline, at=batches.append)
    assert (removed.more, removed.records + gone) == (False, 1500)
    assert 5 <= len(batches) <= 7
    assert total(house)[0] == 1501


def test_a_crash_between_batches_is_gone_on_with(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_ROWS", 100)
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, *(one(40, n) for n in range(1000)))
    keep(house, pipeline, record_days=30)

    def crash(point: str) -> None:
        if point in ("after_hiding", "after_batch"):
            raise Crash

    for _ in range(2):
        with pytest.raises(Crash):
            apply(house, pipeline, at=crash)
        assert ask(house) == []
    assert 0 < stored(house, pipeline) < 1000
    apply(house, pipeline)
    assert stored(house, pipeline) == 0
    assert total(house)[0] == 1000


def test_ingest_goes_on_while_rows_are_removed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_ROWS", 50)
    pipeline = house.pipeline(mapping=KEYED)
    ingest(house, pipeline, *(one(40, 1, id=n) for n in range(2000)))
    keep(house, pipeline, record_days=30)
    apply(house, pipeline)
    live: list[int] = []

    def at(point: str) -> None:
        # Between any two batches a payload of now, one too late, and a key that is held on a day that goes.
        n = len(live)
        if point == "after_batch" and n < 20:
            live.append(n)
            ingest(house, pipeline, one(0, 1, id=10_000 + n), one(40, 1, id=20_000 + n), one(0, 1, id=n))

    removed = apply(house, pipeline, at=at)
    assert not removed.more
    many = len(live)
    assert many > 5
    assert total(house, **{"from": "now/d"}) == (2 * many, 2.0 * many)
    assert total(house, to="now/d")[0] == 2000 + many
    assert len(ask(house)) == 2 * many


def test_a_writer_that_is_turned_away_comes_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1))
    keep(house, pipeline, record_days=30)
    waited = payloads.await_pipeline

    def meanwhile(*args: Any) -> bool:
        locked = waited(*args)
        # A worker answers the bell now and finds the pipeline busy.
        thread = threading.Thread(target=ingest, args=(house, pipeline, one(0, 2)))
        thread.start()
        thread.join()
        return locked

    monkeypatch.setattr(payloads, "await_pipeline", meanwhile)
    apply(house, pipeline)
    assert house.rows("SELECT pipeline_id FROM dash.bells") == [(pipeline,)]


def test_hiding_is_left_to_the_next_call_where_a_writer_does_not_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PATIENCE", timedelta(milliseconds=20))
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1))
    keep(house, pipeline, record_days=30)
    with house.app.database.ingest() as unit:
        assert payloads.lock_pipeline(unit, pipeline)
        assert apply(house, pipeline) == Removed()
        assert len(ask(house)) == 1
    apply(house, pipeline)
    assert ask(house) == []


def test_the_days_of_a_pipeline_are_checked() -> None:
    setup.check_retention({"payload_days": 1, "record_days": 30, "rollup_days": 30})
    setup.check_retention({"record_days": 30, "rollup_days": None})
    for wrong in ({"record_days": 30, "rollup_days": 29}, {"rollup_days": 30}):
        with pytest.raises(Invalid) as refused:
            setup.check_retention(wrong)
        assert [place for place, _ in refused.value.problems] == ["retention.rollup_days"]


# Keys and rejects ----------------------------------------------------------------------------------------------------


def age(house: House, pipeline: UUID, days: float, *names: str) -> None:
    """Makes all that a pipeline has come by look as if it had come so many days earlier."""
    by = int(timedelta(days=days).total_seconds() * 1000) << 20
    table = f"team_acme_data.p_{pipeline.hex}_v1"
    if house.rows("SELECT to_regclass(%s)", (table,)) != [(None,)]:
        change(house, f"UPDATE {table} SET _payload = _payload - %s", by)
        change(house, f"UPDATE {table}_keys SET payload = payload - %s", by)


def test_keys_are_forgotten_with_their_records_and_not_before_a_week(house: House) -> None:
    pipeline = house.pipeline(mapping=KEYED)
    ingest(house, pipeline, one(9, 1, id=1))
    age(house, pipeline, 9)
    ingest(house, pipeline, one(5, 2, id=2), one(0, 4, id=3))
    keep(house, pipeline, record_days=2)
    apply(house, pipeline)
    removed = apply(house, pipeline)
    assert (removed.records, removed.keys) == (2, 1)
    assert stored(house, pipeline, "_keys") == 2


def test_the_key_of_a_record_that_is_still_there_is_kept(house: House) -> None:
    pipeline = house.pipeline(mapping=KEYED)
    # A forecast: it came long ago and is of tomorrow.
    ingest(house, pipeline, one(-1, 1, id=1), one(20, 2, id=2))
    age(house, pipeline, 20)
    keep(house, pipeline, record_days=10)
    apply(house, pipeline)
    removed = apply(house, pipeline)
    assert (removed.records, removed.keys) == (1, 0)
    ingest(house, pipeline, one(-1, 4, id=1))
    assert total(house, **{"from": "now/d", "to": "now+3d/d"}) == (1, 4.0)


def test_rejects_go_with_the_days_of_payloads_or_after_ninety(house: House) -> None:
    pipeline, other = house.pipeline(mapping=MAPPING), house.pipeline("other", mapping=MAPPING)
    for each in (pipeline, other):
        for _ in range(2):
            ingest(house, each, {"t": "never"})
    keep(house, pipeline, payload_days=10)
    first = "(SELECT min(id) FROM dash.rejects WHERE pipeline_id = %s)"
    change(house, f"UPDATE dash.rejects SET at = %s WHERE id = {first}", NOW - timedelta(days=11), pipeline)
    change(house, f"UPDATE dash.rejects SET at = %s WHERE id = {first}", NOW - timedelta(days=91), other)
    with house.app.database.ingest() as unit:
        assert set(retention.expired(unit, NOW)) == {pipeline, other}
    assert (apply(house, pipeline).rejects, apply(house, other).rejects) == (1, 1)
    with house.app.database.ingest() as unit:
        assert retention.expired(unit, NOW) == [pipeline]
    assert house.rows("SELECT count(*) FROM dash.rejects") == [(2,)]


# Bronze --------------------------------------------------------------------------------------------------------------


def accept_at(house: House, pipeline: UUID, moment: datetime, *bodies: bytes, mapped: bool = True) -> list[int]:
    """Payloads archived as they would have been had they come at that moment, and let go by the inbox."""
    ids = [payload_id_floor(moment) + n for n in range(len(bodies))]
    for payload, body in zip(ids, bodies, strict=True):
        change(
            house,
            "INSERT INTO dash.payloads VALUES (%s, %s, %s, %s, 'application/json', '{}', '', %s)",
            payload, house.team, pipeline, moment, body,
        )  # fmt: skip
    for table in ("unarchived",) if mapped else ("unarchived", "batches"):
        change(
            house,
            f"INSERT INTO dash.{table} (team_id, pipeline_id, payload_ids, bytes) VALUES (%s, %s, %s, 1)",
            house.team, pipeline, ids,
        )  # fmt: skip
    assert bronze.archive(house.app.database, house.app.objects, pipeline).files == 1
    change(house, "DELETE FROM dash.payloads WHERE id = ANY(%s)", ids)
    return ids


def objects(house: House) -> int:
    return len(list(house.app.objects.list()))


def read(house: House, pipeline: UUID, ids: list[int]) -> list[bytes]:
    with house.app.database.ingest() as unit:
        return [one.body for one in bronze.read_payloads(unit, house.app.objects, ids, pipeline=pipeline)]


def test_files_of_payloads_go_once_the_newest_in_them_is_old(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    old = accept_at(house, pipeline, NOW - timedelta(days=40), b"1", b"2")
    new = accept_at(house, pipeline, NOW - timedelta(days=20), b"3")
    keep(house, pipeline, payload_days=30)
    assert read(house, pipeline, [*old, *new]) == [b"1", b"2", b"3"]
    # Hidden first: whoever reads the file at this moment finds it to the end.
    assert apply(house, pipeline).files == 0
    assert (read(house, pipeline, [*old, *new]), objects(house)) == ([b"3"], 2)
    with house.app.database.team(house.team) as unit:
        assert catalog.stats(unit, [pipeline])[pipeline].bronze_files == 1
        assert [one.id for one in bronze.recent(unit, house.app.objects, pipeline, limit=9)] == new
    removed = apply(house, pipeline)
    assert (removed.files, removed.bytes > 0, objects(house)) == (1, True, 1)
    assert house.rows("SELECT count(*) FROM dash.bronze_files") == [(1,)]
    ((left,),) = bronze.scan(house.app.database.ingest, house.app.objects, pipeline, 0, 1 << 62)
    assert left.body == b"3"


@pytest.mark.parametrize("point", ["before_object", "after_object"])
def test_a_crash_around_an_object_leaves_nothing_for_ever(house: House, point: str) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    accept_at(house, pipeline, NOW - timedelta(days=40), b"1")
    keep(house, pipeline, payload_days=30)
    apply(house, pipeline)

    def crash(here: str) -> None:
        if here == point:
            raise Crash

    with pytest.raises(Crash):
        apply(house, pipeline, at=crash)
    assert apply(house, pipeline).files == 1
    assert (objects(house), house.rows("SELECT count(*) FROM dash.bronze_files")) == (0, [(0,)])


def test_an_orphan_whose_payloads_have_expired_is_collected(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    accept_at(house, pipeline, NOW - timedelta(days=40), b"1")
    # As a crash before the manifest's commit leaves it, and nobody came to adopt it.
    change(house, "DELETE FROM dash.bronze_files")
    later = datetime.now(UTC) + timedelta(days=2)
    assert len(bronze.collect_orphans(house.app.database, house.app.objects, now=later).kept) == 1
    keep(house, pipeline, payload_days=30)
    apply(house, pipeline)
    assert bronze.collect_orphans(house.app.database, house.app.objects, now=later).removed == 1
    assert objects(house) == 0


def test_payloads_that_wait_in_a_paused_pipeline_never_expire(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    before = accept_at(house, pipeline, NOW - timedelta(days=50), b"{}")
    with house.app.database.team(house.team) as unit:
        catalog.update_pipeline(unit, pipeline, {"state": "paused"})
        unit.commit()
    body = json.dumps(one(40, 7)).encode()
    accept_at(house, pipeline, NOW - timedelta(days=40), body, mapped=False)
    keep(house, pipeline, payload_days=30)
    apply(house, pipeline)
    assert apply(house, pipeline).files == 1
    assert read(house, pipeline, before) == []
    with house.app.database.team(house.team) as unit:
        catalog.update_pipeline(unit, pipeline, {"state": "active"})
        unit.commit()
    Ingest(house.app).run(pipeline)
    assert total(house) == (1, 7.0)
    apply(house, pipeline)
    assert apply(house, pipeline).files == 1
    assert objects(house) == 0


def test_pipelines_with_nothing_to_remove_are_not_asked_about(house: House) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    with house.app.database.ingest() as unit:
        assert retention.expired(unit, NOW) == []
    keep(house, pipeline, record_days=None, payload_days=None)
    with house.app.database.ingest() as unit:
        assert retention.expired(unit, NOW) == []
    keep(house, pipeline, record_days=5)
    with house.app.database.ingest() as unit:
        assert retention.expired(unit, NOW) == [pipeline]


# The clock -----------------------------------------------------------------------------------------------------------


def test_the_clock_queues_a_task_for_each_pipeline_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "RETAIN_AFTER", 0.0)
    pipeline = house.pipeline(mapping=MAPPING)
    house.pipeline("other", mapping=MAPPING)
    keep(house, pipeline, record_days=30)
    for _ in range(2):
        with house.app.database.own("ingest") as unit:
            Clock(house.app).tick(unit)
    queued = [json.loads(bytes(data)) for (data,) in house.rows("SELECT data FROM dash.huey_task")]
    assert [task[6] for task in queued if task[1] == name_of("retain")] == [[str(pipeline)]]


def test_the_task_removes_and_comes_again_where_time_was_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = house.pipeline(mapping=MAPPING)
    ingest(house, pipeline, one(40, 1))
    keep(house, pipeline, record_days=30)
    apply(house, pipeline)
    change(house, "DELETE FROM dash.huey_task")
    queues = Queues(house.app)
    try:
        monkeypatch.setattr(retention, "monotonic", iter(range(0, 100_000, 60)).__next__)
        queues._task_retain(str(pipeline))
        ((data,),) = house.rows("SELECT data FROM dash.huey_task")
        assert json.loads(bytes(data))[1] == name_of("retain")
        monkeypatch.undo()
        queues._task_retain(str(pipeline))
    finally:
        queues.close()
    assert (stored(house, pipeline), total(house)) == (0, (1, 1.0))
