"""From the inbox to silver: one claim, one transaction, each payload once."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import polars as pl
import psycopg
import pytest

from dash_app.domain.changes import RowsAdded, decode
from dash_app.domain.errors import Permanent
from dash_app.pipelines import ingest as ingest_module
from dash_app.pipelines.ingest import Ingest
from dash_app.storage import bronze, catalog, ledger, payloads
from tests.integration.conftest import House


def body(n: Any, site: str = "a") -> bytes:
    return json.dumps({"n": n, "site": site}).encode()


def test_a_payload_becomes_typed_rows_and_rollups(house: House) -> None:
    pipeline = house.pipeline()
    house.put(pipeline, body(1), b'[{"n": 2, "site": "b"}, {"n": 3, "site": "b"}]')
    assert Ingest(house.app).run(pipeline) == 1
    assert house.silver("orders", "n, site, twice, _index") == [
        (1.0, "a", 2.0, 0),
        (2.0, "b", 4.0, 0),
        (3.0, "b", 6.0, 1),
    ]
    table = f"team_acme_data.p_{pipeline.hex}_v1_rollup"
    day = house.rows(f"SELECT site, _n, m0_sum, m0_min, m0_max FROM {table} WHERE grain = 3 ORDER BY site")
    assert day == [("a", 1, 1.0, 1.0, 1.0), ("b", 2, 5.0, 2.0, 3.0)]
    assert house.rows("SELECT count(*) FROM dash.batches") == [(0,)]


def test_counts_and_rejects_add_up(house: House) -> None:
    pipeline = house.pipeline()
    house.put(pipeline, body(1), body("many"), b"{nope", b"[]", b'{"n": NaN}')
    Ingest(house.app).run(pipeline)
    with house.app.database.team(house.team) as unit:
        stats = catalog.stats(unit, [pipeline])[pipeline]
        rejects = [r for _, r in ledger.rejects(unit, pipeline, limit=10)]
    assert (stats.payloads, stats.records, stats.rejects, stats.pending) == (5, 1, 4, 0)
    assert {r.field for r in rejects} >= {"n", "records"}
    assert all(r.reason and r.mapping_version == 1 for r in rejects)


def test_a_commit_is_announced_with_the_times_it_touched(house: House) -> None:
    mapping = {"time": {"path": "$.t"}, "fields": [{"name": "n", "path": "$.n", "type": "number"}]}
    pipeline = house.pipeline(mapping=mapping)
    house.put(pipeline, b'{"t": "2026-01-02T03:04:05Z", "n": 1}', b'{"t": "2026-01-01T00:00:00Z", "n": 2}')
    with house.app.database.connect("app") as connection:
        connection.execute("LISTEN dash_changes")
        Ingest(house.app).run(pipeline)
        heard = [decode(n.payload) for n in connection.notifies(timeout=5, stop_after=1)]
    (change,) = [c for c in heard if isinstance(c, RowsAdded)]
    assert (change.pipeline, change.version, change.rows) == (str(pipeline), 1, 2)
    assert change.time_min == int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    assert change.time_max == int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp() * 1000)


def test_a_paused_pipeline_holds_and_goes_on_where_it_was(house: House) -> None:
    pipeline = house.pipeline()
    with house.app.database.team(house.team) as unit:
        catalog.update_pipeline(unit, pipeline, {"state": "paused"})
        unit.commit()
    house.put(pipeline, body(1))
    assert Ingest(house.app).run(pipeline) == 0
    with house.app.database.team(house.team) as unit:
        assert catalog.stats(unit, [pipeline])[pipeline].pending == 1
        assert [p.state for p in bronze.recent(unit, house.app.objects, pipeline, limit=5)] == ["held"]
        catalog.update_pipeline(unit, pipeline, {"state": "active"})
        unit.commit()
    house.put(pipeline, body(2))
    Ingest(house.app).run(pipeline)
    assert house.silver("orders", "n") == [(1.0,), (2.0,)]


def test_what_was_held_until_its_body_was_archived_comes_from_bronze(house: House) -> None:
    pipeline = house.pipeline()
    house.put(pipeline, body(1), body(2))
    assert bronze.archive(house.app.database, house.app.objects, pipeline).rows == 2
    with house.app.database.ingest() as unit:
        unit.execute("DELETE FROM payloads")
        unit.commit()
    Ingest(house.app).run(pipeline)
    assert house.silver("orders", "n") == [(1.0,), (2.0,)]


def test_a_mapping_is_inferred_from_what_comes_first(house: House) -> None:
    pipeline = house.pipeline(mapping=None)
    now = datetime.now(UTC).replace(microsecond=0)
    lines = [
        json.dumps({"at": (now + timedelta(seconds=n)).isoformat(), "celsius": 20.5 + n, "room": "ab"[n % 2]})
        for n in range(20)
    ]
    house.put(pipeline, *[line.encode() for line in lines])
    Ingest(house.app).run(pipeline)
    with house.app.database.team(house.team) as unit:
        found = catalog.pipeline(unit, pipeline)
    assert found.mapping_version == 1
    assert "inferred" in found.note.lower()
    rows = house.silver("orders", "_time, celsius, room")
    assert rows[0] == (now, 20.5, "a")
    assert len(rows) == 20


def test_a_mapping_saved_meanwhile_counts_and_none_is_inferred_on_top(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = house.pipeline(mapping=None)
    house.put(pipeline, b'{"n": 1, "site": "a"}')
    infer = ingest_module.infer_mapping

    def slow(loaded: Any) -> Any:
        with house.app.database.team(house.team) as unit:
            catalog.save_mapping(unit, pipeline, {"fields": [{"name": "mine", "path": "$.n", "type": "number"}]})
            unit.commit()
        return infer(loaded)

    monkeypatch.setattr(ingest_module, "infer_mapping", slow)
    Ingest(house.app).run(pipeline)
    assert house.silver("orders", "mine") == [(1.0,)]
    assert house.rows("SELECT version FROM dash.mappings") == [(1,)]


def test_what_cannot_be_read_without_a_mapping_is_rejected_and_kept(house: House) -> None:
    pipeline = house.pipeline(mapping=None)
    (payload,) = house.put(pipeline, b"\xff\xfe not json")
    Ingest(house.app).run(pipeline)
    with house.app.database.team(house.team) as unit:
        ((_, reject),) = ledger.rejects(unit, pipeline, limit=10)
        assert reject.payload == payload
    assert house.rows("SELECT count(*) FROM dash.batches") == [(0,)]


def test_a_new_mapping_counts_from_its_commit_on_and_history_stays(house: House) -> None:
    pipeline = house.pipeline()
    house.put(pipeline, body(1))
    worker = Ingest(house.app)
    worker.run(pipeline)
    with house.app.database.team(house.team) as unit:
        catalog.save_mapping(unit, pipeline, {"fields": [{"name": "m", "path": "$.n", "type": "number"}]})
        unit.commit()
    house.put(pipeline, body(7))
    worker.run(pipeline)
    assert house.silver("orders", "m") == [(None,), (7.0,)]


def test_many_workers_map_each_payload_once(house: House) -> None:
    pipeline = house.pipeline()
    for n in range(40):
        house.put(pipeline, *[body(n * 10 + k) for k in range(10)])
    with ThreadPoolExecutor(4) as pool:
        workers = [Ingest(house.app) for _ in range(4)]
        list(pool.map(lambda worker: worker.run(pipeline), workers))
    Ingest(house.app).run(pipeline)
    assert sorted(n for (n,) in house.silver("orders", "n")) == [float(n) for n in range(400)]


def test_keys_are_counted_once_across_batches(house: House) -> None:
    mapping = {
        "key": ["$.id"],
        "fields": [{"name": "id", "path": "$.id", "type": "text"}, {"name": "n", "path": "$.n", "type": "number"}],
    }
    pipeline = house.pipeline(mapping=mapping)
    worker = Ingest(house.app)
    for start in (0, 5):
        house.put(pipeline, *[json.dumps({"id": f"k{k}", "n": start}).encode() for k in range(start, start + 10)])
        worker.run(pipeline)
    rows = house.silver("orders", "id, n")
    assert len(rows) == len({key for key, _ in rows}) == 15
    table = f"team_acme_data.p_{pipeline.hex}_v1_rollup"
    assert house.rows(f"SELECT sum(_n)::int, sum(m0_sum) FROM {table} WHERE grain = 3") == [(15, 25.0)]


@pytest.mark.parametrize("rule", ["ignore", "replace"])
def test_a_key_counts_once_across_versions_of_the_mapping(house: House, rule: str) -> None:
    fields = [{"name": "id", "path": "$.id", "type": "text"}, {"name": "n", "path": "$.n", "type": "number"}]
    mapping = {"key": ["$.id"], "on_duplicate": rule, "fields": fields}
    pipeline = house.pipeline(mapping=mapping)
    worker = Ingest(house.app)
    for n in range(3):
        house.put(pipeline, *[json.dumps({"id": f"k{k}", "n": n}).encode() for k in range(n, n + 4)])
        worker.run(pipeline)
        with house.app.database.team(house.team) as unit:
            catalog.save_mapping(unit, pipeline, {**mapping, "fields": [fields[0], {**fields[1], "unit": f"u{n}"}]})
            unit.commit()
    house.put(pipeline, b'{"id": "k0", "n": 9}', b'{"id": "new", "n": 9}')
    worker.run(pipeline)
    first = {"k0": 0, "k1": 0, "k2": 0, "k3": 0, "k4": 1, "k5": 2, "new": 9}
    last = {"k0": 9, "k1": 1, "k2": 2, "k3": 2, "k4": 2, "k5": 2, "new": 9}
    expected = first if rule == "ignore" else last
    rows = house.silver("orders", "id, n")
    assert sorted(rows) == sorted((key, float(n)) for key, n in expected.items())
    tables = house.rows("SELECT table_name FROM dash.silver_versions WHERE created")
    rolled = [
        house.rows(
            "SELECT coalesce(sum(_n), 0)::int, coalesce(sum(m0_sum), 0) "
            f"FROM team_acme_data.{table}_rollup WHERE grain = 3"
        )[0]
        for (table,) in tables
    ]
    assert (sum(n for n, _ in rolled), sum(total for _, total in rolled)) == (7, sum(expected.values()))
    assert house.rows("SELECT records FROM dash.pipeline_counts") == [(7,)]


class Poison(Exception):
    pass


def test_a_payload_that_kills_its_worker_stands_alone_after_three_tries(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan stands in for a parser with a crash in it: wherever the poison is mapped in-process, the try ends."""
    pipeline = house.pipeline()
    house.put(pipeline, body(1), body(2, "poison"), body(3))
    worker = Ingest(house.app)
    ends = {"careful": 0}

    def crash(*_arguments: Any) -> Any:
        raise Poison

    def isolated(document: Any, loaded: Any) -> Any:
        ends["careful"] += 1
        return map_isolated(document, loaded, limits)

    map_isolated = ingest_module.map_isolated
    from dash_app.pipelines.isolate import Limits

    limits = Limits(wall=60)
    monkeypatch.setattr("dash_app.pipelines.mapping.Plan.run", crash)
    monkeypatch.setattr(ingest_module, "map_isolated", isolated)
    for _ in range(3):
        with pytest.raises(Poison):
            worker.run(pipeline)
    assert ends["careful"] == 0
    worker.run(pipeline)
    assert ends["careful"] == 1
    assert [n for (n,) in house.silver("orders", "n")] == [1.0, 2.0, 3.0]


def test_rows_that_the_database_refuses_are_rejected_one_payload_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = house.pipeline()
    house.put(pipeline, body(1), body(2), body(3))
    worker = Ingest(house.app)
    copy_rows = ingest_module.silver.copy_rows

    def refuse(unit: Any, version: Any, frame: pl.DataFrame) -> Any:
        if 2.0 in frame["n"].to_list():
            try:
                unit.execute("SELECT 1 / 0")
            except psycopg.DataError as error:
                raise Permanent("PostgreSQL refuses column 'n': division by zero") from error
        return copy_rows(unit, version, frame)

    monkeypatch.setattr(ingest_module.silver, "copy_rows", refuse)
    for _ in range(ingest_module.PATIENCE):
        with pytest.raises(Exception, match="division by zero"):
            worker.run(pipeline)
    worker.run(pipeline)
    assert [n for (n,) in house.silver("orders", "n")] == [1.0, 3.0]
    with house.app.database.team(house.team) as unit:
        ((_, reject),) = ledger.rejects(unit, pipeline, limit=10)
    assert "division by zero" in reject.reason


def test_nobody_is_called_for_what_comes_while_one_works(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = house.pipeline()
    writing = ingest_module.write
    more = iter([body(2), body(3)])

    def meanwhile(*arguments: Any) -> Any:
        for one in more:
            house.put(pipeline, one)
            break
        return writing(*arguments)

    monkeypatch.setattr(ingest_module, "write", meanwhile)
    house.put(pipeline, body(1))
    assert Ingest(house.app).run(pipeline) == 3
    assert house.silver("orders", "n") == [(1.0,), (2.0,), (3.0,)]
    assert house.rows("SELECT count(*) FROM dash.huey_task WHERE queue = 'ingest'") == [(1,)]
    house.put(pipeline, body(4))
    assert house.rows("SELECT count(*) FROM dash.huey_task WHERE queue = 'ingest'") == [(2,)]


def test_a_turn_that_is_over_leaves_the_rest_to_the_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = house.pipeline()
    monkeypatch.setattr(ingest_module, "TURN_SECONDS", -1.0)
    monkeypatch.setattr(ingest_module, "CLAIM_PAYLOADS", 1)
    for n in range(3):
        house.put(pipeline, body(n))
    for done in (1, 2, 3):
        assert Ingest(house.app).run(pipeline) == 1
        # One call for each turn that something is left for.
        assert house.rows("SELECT count(*) FROM dash.huey_task WHERE queue = 'ingest'") == [(min(done, 2) + 1,)]
    assert house.rows("SELECT count(*) FROM dash.bells") == [(0,)]


def test_work_left_by_one_that_found_the_lock_taken_is_not_forgotten(house: House) -> None:
    """A ring that is turned away by the lock leaves its work to the holder, who looks once more after letting go."""
    pipeline = house.pipeline()
    house.put(pipeline, body(1))
    holder, turned_away = Ingest(house.app), Ingest(house.app)
    entered, go_on = threading.Event(), threading.Event()
    account = holder._account

    def slow(*arguments: Any) -> None:
        entered.set()
        assert go_on.wait(10)
        account(*arguments)

    holder._account = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(holder.run, pipeline)
        assert entered.wait(10)
        house.put(pipeline, body(2))
        assert turned_away.run(pipeline) == 0
        go_on.set()
        assert running.result(10) == 2
    assert [n for (n,) in house.silver("orders", "n")] == [1.0, 2.0]


def test_one_that_is_turned_away_looks_once_more_after_taking_the_ring_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who held the lock rings in the transaction that holds it, and finds the bell rung."""
    pipeline = house.pipeline()
    house.put(pipeline, body(1))
    answer = payloads.answer_bell
    with house.app.database.ingest() as holder:
        assert payloads.lock_pipeline(holder, pipeline)

        def meanwhile(*arguments: Any) -> None:
            ledger.ring(holder, pipeline)
            holder.commit()
            answer(*arguments)

        monkeypatch.setattr(payloads, "answer_bell", meanwhile)
        assert Ingest(house.app).run(pipeline) == 1
    assert house.silver("orders", "n") == [(1.0,)]


def test_what_fails_leaves_the_bell_to_be_rung_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = house.pipeline()
    house.put(pipeline, body(1))

    def broken(*_arguments: Any) -> Any:
        raise RuntimeError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(ingest_module, "write", broken)
        with pytest.raises(RuntimeError):
            Ingest(house.app).run(pipeline)
    house.put(pipeline, body(2))
    assert house.rows("SELECT count(*) FROM dash.huey_task WHERE queue = 'ingest'") == [(2,)]


KEYED: dict[str, Any] = {
    "time": {"path": "$.t"},
    "key": ["$.site"],
    "fields": [{"name": "n", "path": "$.n", "type": "number"}, {"name": "site", "path": "$.site", "type": "text"}],
}


def at(minute: float, site: str | None, n: float = 1) -> bytes:
    moment = datetime(2026, 1, 2, 3, 0, tzinfo=UTC) + timedelta(minutes=minute)
    return json.dumps({"t": moment.isoformat(), "site": site, "n": n}).encode()


def put_again(house: House, pipeline: UUID, wanted: list[int]) -> None:
    """Has these payloads wait to be mapped, whatever waits already gone."""
    with house.app.database.ingest() as unit:
        unit.execute("DELETE FROM batches")
        unit.execute(
            "INSERT INTO batches (team_id, pipeline_id, payload_ids, bytes) VALUES (%s, %s, %s, 1)",
            (house.team, pipeline, sorted(wanted)),
        )
        unit.commit()


@pytest.mark.parametrize("mode", ["ignore", "replace"])
@pytest.mark.parametrize("seed", range(3))
def test_counted_is_what_silver_has(house: House, monkeypatch: pytest.MonkeyPatch, mode: str, seed: int) -> None:
    """However batches are cut, in whatever order they are mapped, and whoever takes a key from whom on the way."""
    rng = random.Random(seed)
    pipeline = house.pipeline(mapping=KEYED | {"on_duplicate": mode})
    bodies = [
        b"[%s]" % b",".join(at(rng.choice([0, 0.5, 7, 90]), rng.choice("abcdefgh")) for _ in range(rng.randint(1, 4)))
        for _ in range(40)
    ]
    ids = house.put(pipeline, *bodies)
    rng.shuffle(ids)
    held = 0
    while ids:
        size = rng.randint(1, 12)
        part, ids = ids[:size], ids[size:]
        if not ids:
            # The last ones payload by payload, as after a worker's death.
            monkeypatch.setattr(ingest_module, "PATIENCE", 0)
        put_again(house, pipeline, part)
        assert Ingest(house.app).run(pipeline) == 1
        with house.app.database.team(house.team) as unit:
            counted = catalog.stats(unit, [pipeline])[pipeline].records
        ((held,),) = house.rows("SELECT count(*) FROM team_acme.orders")
        assert counted == held
        table = f"team_acme_data.p_{pipeline.hex}_v1_rollup"
        assert house.rows(f"SELECT sum(_n) FROM {table} WHERE grain = 3") == [(held,)]
    assert held == len({record["site"] for text in bodies for record in json.loads(text)})


@pytest.mark.parametrize("mode", ["ignore", "replace"])
def test_a_row_that_lost_its_key_is_announced_with_its_time(house: House, mode: str) -> None:
    pipeline = house.pipeline(mapping=KEYED | {"on_duplicate": mode})
    first, second = house.put(pipeline, at(5, "a"), at(60, "a"))
    early, late = (first, second) if mode == "replace" else (second, first)
    put_again(house, pipeline, [early])
    Ingest(house.app).run(pipeline)
    put_again(house, pipeline, [late])
    with house.app.database.connect("app") as connection:
        connection.execute("LISTEN dash_changes")
        Ingest(house.app).run(pipeline)
        heard = [decode(n.payload) for n in connection.notifies(timeout=5, stop_after=1)]
    (change,) = [c for c in heard if isinstance(c, RowsAdded)]
    start = int(datetime(2026, 1, 2, 3, 0, tzinfo=UTC).timestamp() * 1000)
    assert (change.rows, change.time_min, change.time_max) == (1, start + 5 * 60_000, start + 60 * 60_000)
    assert [site for (site,) in house.silver("orders", "site")] == ["a"]
