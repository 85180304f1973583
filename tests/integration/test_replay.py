"""Replay: history mapped anew beside the live road, swapped in by one commit, and taken back by another."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dash_app.app import App
from dash_app.domain.errors import Conflict, Invalid, NotFound, Permanent
from dash_app.domain.ids import payload_id_floor
from dash_app.domain.specs import SilverVersion
from dash_app.pipelines import ingest as ingest_module
from dash_app.pipelines import replay as replay_module
from dash_app.pipelines import rollout, setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.query import Queries, to_items
from dash_app.pipelines.replay import Replays
from dash_app.storage import bronze, catalog, generation_upkeep, generations, ledger, replays, retention, silver
from dash_app.storage.silver_checksum import Checksum, checksum
from tests.integration.conftest import House

FIELDS = [
    {"name": "n", "path": "$.n", "type": "number"},
    {"name": "site", "path": "$.site", "type": "text"},
]
V1: Mapping[str, Any] = {"time": {"path": "$.t"}, "fields": FIELDS}
V2: Mapping[str, Any] = {**V1, "fields": [*FIELDS, {"name": "twice", "sql": "n * 2", "type": "number"}]}
NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def body(n: Any, minutes: float = 0, site: str = "a", **more: Any) -> bytes:
    moment = NOW + timedelta(minutes=minutes)
    return json.dumps({"n": n, "site": site, "t": moment.isoformat(), **more}).encode()


class Road:
    """A pipeline's live road and its replays, one step at a time."""

    def __init__(self, house: House, mapping: Mapping[str, Any] = V1) -> None:
        self.house = house
        self.pipeline = house.pipeline("orders", mapping)
        self.ingest = Ingest(house.app)
        self.replays = Replays(house.app)

    def post(self, *bodies: bytes) -> list[int]:
        """Posted and mapped."""
        ids = self.house.put(self.pipeline, *bodies)
        self.ingest.run(self.pipeline)
        return ids

    def archive(self) -> None:
        bronze.archive(self.house.app.database, self.house.app.objects, self.pipeline)

    def save(self, mapping: Mapping[str, Any], activate: Any, **more: Any) -> setup.Saved:
        with self.house.app.database.team(self.house.team) as unit:
            saved = setup.save_mapping(unit, self.pipeline, mapping, "tester", activate=activate, **more)
            unit.commit()
        return saved

    def begin(self, version: int, **more: Any) -> UUID:
        with self.house.app.database.team(self.house.team) as unit:
            made = rollout.begin_replay(unit, catalog.pipeline(unit, self.pipeline), version, "tester", **more)
            unit.commit()
        return made

    def run(self, replay: UUID | None, most: int = 1000) -> replays.Replay:
        """Steps until it ends."""
        assert replay is not None
        for _ in range(most):
            if self.replays.step(replay) == "ended":
                break
        with self.house.app.database.ingest() as unit:
            return replays.get(unit, replay)

    def act(self, function: Callable[..., Any], *more: Any) -> Any:
        with self.house.app.database.team(self.house.team) as unit:
            answer = function(unit, catalog.pipeline(unit, self.pipeline), *more)
            unit.commit()
        return answer

    def versions(self, generation: int | None = None) -> list[SilverVersion]:
        with self.house.app.database.ingest() as unit:
            return catalog.versions(unit, self.pipeline, generation=generation)

    def checksum(self, generation: int | None = None) -> Checksum:
        (version,) = self.versions(generation)
        with self.house.app.database.ingest() as unit:
            return checksum(unit, version)

    def rollup(self, generation: int | None = None) -> list[list[Any]]:
        (version,) = self.versions(generation)
        rows = self.house.rows(
            f'SELECT * FROM {version.schema}."{version.rollup}" ORDER BY grain, bucket, {", ".join(version.dims) or 1}'
        )
        return [
            [v.timestamp() if isinstance(v, datetime) else v for v in row if not isinstance(v, str)] for row in rows
        ]

    def ask(self, *select: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
        document = {"pipeline": "orders", "from": "2020-01-01", "to": "2040-01-01", "select": list(select), **more}
        return to_items(Queries(self.house.app.database).run(self.house.team, document))

    def stats(self) -> tuple[int, int, int]:
        with self.house.app.database.ingest() as unit:
            found = catalog.stats(unit, [self.pipeline])[self.pipeline]
        return found.payloads, found.records, found.rejects


@pytest.fixture
def road(house: House) -> Road:
    return Road(house)


COUNT = {"agg": "count", "as": "c"}
SUM = {"field": "n", "agg": "sum", "as": "s"}
TWICE = {"field": "twice", "agg": "sum", "as": "d"}


# The whole way -------------------------------------------------------------------------------------------------------


def test_history_is_mapped_anew_and_swapped_in(road: Road) -> None:
    road.post(body(1), body(2, 1, "b"), b'{"n": "many"}')
    road.archive()
    road.post(body(4, 2))  # still in the inbox
    saved = road.save(V2, "now_and_replay")
    # Until the swap: the new mapping from now on, history beside it.
    road.post(body(8, 3))
    assert road.ask(COUNT, SUM, TWICE) == [{"c": 4, "s": 15.0, "d": 16.0}]
    done = road.run(saved.replay)
    assert (done.state, done.records, done.rejects, done.payloads) == ("done", 3, 1, 4)
    assert road.ask(COUNT, SUM, TWICE) == [{"c": 4, "s": 15.0, "d": 30.0}]
    assert road.stats() == (5, 4, 1)
    assert road.house.silver("orders", "n, site, twice") == [
        (1.0, "a", 2.0), (2.0, "b", 4.0), (4.0, "a", 8.0), (8.0, "a", 16.0),
    ]  # fmt: skip
    with road.house.app.database.ingest() as unit:
        (reject,) = [one for _, one in ledger.rejects(unit, road.pipeline, limit=10)]
        assert catalog.pipeline(unit, road.pipeline).mapping_version == 2
    assert reject.mapping_version == 2


def test_after_replay_the_old_version_goes_on_alone_until_the_swap(road: Road) -> None:
    road.post(body(1))
    saved = road.save(V2, "after_replay")
    road.post(body(2))
    with pytest.raises(Invalid, match="twice"):
        road.ask(TWICE)
    road.run(saved.replay)
    assert road.ask(COUNT, TWICE) == [{"c": 2, "d": 6.0}]


def test_the_same_mapping_gives_the_same_silver(road: Road) -> None:
    for n in range(40):
        road.post(body(n, n * 7.5, "ab"[n % 2]), body(n / 3, -n, "c"))
        if n % 9 == 0:
            road.archive()
    before, rollup, stats = road.checksum(), road.rollup(), road.stats()
    done = road.run(road.begin(1))
    assert (done.state, done.payloads) == ("done", 80)
    (version,) = road.versions()
    assert version.generation == 2
    assert before.rows == 80
    assert road.checksum() == before
    assert road.rollup() == [pytest.approx(row, rel=1e-12) for row in rollup]
    assert road.stats() == stats


def test_payloads_that_wait_at_the_cut_come_once(road: Road) -> None:
    road.post(body(1))
    waiting = road.house.put(road.pipeline, body(2), body(4))
    saved = road.save(V2, "now_and_replay")
    assert saved.replay is not None
    # Planned, and a part mapped, while they wait.
    for _ in range(2):
        road.replays.step(saved.replay)
    assert road.house.rows("SELECT count(*) FROM dash.replay_live") == [(0,)]
    road.ingest.run(road.pipeline)
    assert sorted(road.house.rows("SELECT payload FROM dash.replay_live")) == [(one,) for one in waiting]
    road.run(saved.replay)
    assert road.ask(COUNT, SUM) == [{"c": 3, "s": 7.0}]


def test_payloads_mapped_live_before_the_replay_comes_to_them_come_once(road: Road) -> None:
    road.post(body(1))
    road.house.put(road.pipeline, body(2), body(4))
    saved = road.save(V2, "after_replay")
    road.ingest.run(road.pipeline)
    road.archive()
    assert road.run(saved.replay).records == 1
    assert road.ask(COUNT, SUM, TWICE) == [{"c": 3, "s": 7.0, "d": 14.0}]


def test_a_paused_pipeline_is_replayed_and_what_it_holds_waits(road: Road) -> None:
    road.post(body(1))
    with road.house.app.database.team(road.house.team) as unit:
        setup.pause(unit, road.pipeline, "tester")
        unit.commit()
    road.house.put(road.pipeline, body(2))
    road.run(road.save(V2, "after_replay").replay)
    assert road.ask(COUNT, TWICE) == [{"c": 1, "d": 2.0}]
    with road.house.app.database.team(road.house.team) as unit:
        setup.resume(unit, road.pipeline, "tester")
        unit.commit()
    road.ingest.run(road.pipeline)
    assert road.ask(COUNT, TWICE) == [{"c": 2, "d": 6.0}]


# Steps and parts -----------------------------------------------------------------------------------------------------


def test_a_step_that_dies_leaves_nothing_and_the_next_goes_on(
    road: Road, monkeypatch: pytest.MonkeyPatch, open_app: Callable[[], App]
) -> None:
    monkeypatch.setattr(replay_module, "STEP_PAYLOADS", 3)
    for n in range(10):
        road.post(body(n))
    road.archive()
    replay = road.begin(1)
    road.replays.step(replay)  # plan
    road.replays.step(replay)
    original = replays.progress

    def dies(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(replays, "progress", dies)
    with pytest.raises(RuntimeError, match="killed"):
        road.replays.step(replay)
    monkeypatch.setattr(replays, "progress", original)
    road.replays = Replays(open_app())  # another worker
    done = road.run(replay)
    assert (done.state, done.records) == ("done", 10)
    assert road.ask(COUNT, SUM) == [{"c": 10, "s": 45.0}]


def test_two_workers_share_the_parts(road: Road, monkeypatch: pytest.MonkeyPatch, open_app: Callable[[], App]) -> None:
    monkeypatch.setattr("dash_app.storage.replay_plan.PART_BYTES", 1)
    for n in range(6):
        road.post(body(n, n))
        road.archive()
    replay = road.begin(1)
    road.replays.step(replay)
    with road.house.app.database.ingest() as unit:
        held = replays.take_part(unit, replay)
        with road.house.app.database.ingest() as other:
            second = replays.take_part(other, replay)
        assert held is not None
        assert second is not None
        assert held.number != second.number
    done = road.run(replay)
    assert done.files_total == done.files_done == 6
    assert road.ask(COUNT, SUM) == [{"c": 6, "s": 15.0}]


def test_paused_resumed_and_cancelled(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "STEP_PAYLOADS", 1)
    for n in range(4):
        road.post(body(n))
    replay = road.begin(1)
    road.replays.step(replay)
    road.replays.step(replay)
    with road.house.app.database.ingest() as unit:
        replays.move(unit, replay, "paused")
        unit.commit()
    assert road.replays.step(replay) == "ended"
    with pytest.raises(Conflict, match="under way"):
        road.begin(1)
    with pytest.raises(Conflict, match="under way"):
        road.save(V2, "now")
    with road.house.app.database.ingest() as unit:
        assert replays.move(unit, replay, "queued").payloads == 1
        unit.commit()
    assert road.replays.step(replay) == "worked"
    generation = road.versions()[0].generation + 1
    with road.house.app.database.ingest() as unit:
        replays.move(unit, replay, "cancelled")
        generations.end(unit, road.pipeline, generation)
        unit.commit()
        with pytest.raises(Conflict, match="is cancelled; it cannot be resumed"):
            replays.move(unit, replay, "queued")
    assert road.replays.step(replay) == "ended"
    assert generation_upkeep.drop_ended(road.house.app.database) == 1
    assert road.house.rows("SELECT count(*) FROM pg_class WHERE relname ~ '_g2_v1'") == [(0,)]
    road.post(body(9))
    assert road.ask(COUNT) == [{"c": 5}]
    assert road.run(road.begin(1)).state == "done"
    assert road.ask(COUNT) == [{"c": 5}]


def test_a_replay_whose_bronze_is_gone_fails_with_its_reason_and_can_go_on(road: Road) -> None:
    road.post(body(1))
    road.archive()
    ((key,),) = road.house.rows("SELECT key FROM dash.bronze_files")
    # Nothing of it in the inbox either.
    with road.house.app.database.ingest() as unit:
        unit.execute("DELETE FROM payloads")
        unit.commit()
    objects = road.house.app.objects
    data = objects.get(key)
    objects.delete(key)
    replay = road.begin(1)
    assert road.replays.run(replay) is False
    with road.house.app.database.ingest() as unit:
        found = replays.get(unit, replay)
    assert found.state == "failed"
    assert key in found.error
    assert road.ask(COUNT) == [{"c": 1}]
    objects.put(key, data)
    with road.house.app.database.ingest() as unit:
        replays.move(unit, replay, "queued")
        unit.commit()
    assert road.run(replay).state == "done"
    assert road.ask(COUNT) == [{"c": 1}]


def test_a_throttled_replay_waits_between_its_steps(road: Road) -> None:
    road.post(*(body(n) for n in range(50)))
    replay = road.begin(1, throttle=10)
    road.replays.step(replay)
    assert road.replays.step(replay) == "worked"
    with road.house.app.database.ingest() as unit:
        found = replays.get(unit, replay)
        assert 3 < found.wait <= 5
        assert replays.running(unit) == []
        replays.throttle(unit, replay, None)
        assert replays.running(unit) == [replay]


# Back and forward ----------------------------------------------------------------------------------------------------


def test_going_back_and_forward_lacks_nothing(road: Road) -> None:
    road.post(body(1), b"{nope")
    road.run(road.save(V2, "after_replay").replay)
    road.post(body(2), b"{no")  # between swap and way back: in both
    assert road.act(rollout.roll_back, "tester").mapping_version == 1
    assert road.ask(COUNT, SUM) == [{"c": 2, "s": 3.0}]
    assert road.stats() == (4, 2, 2)
    with pytest.raises(Invalid, match="twice"):
        road.ask(TWICE)
    road.post(body(4))
    assert road.act(rollout.roll_back, "tester").mapping_version == 2
    assert road.ask(COUNT, SUM, TWICE) == [{"c": 3, "s": 7.0, "d": 14.0}]
    assert road.stats() == (5, 3, 2)
    road.act(rollout.discard, "tester")
    with pytest.raises(Conflict, match="nothing to go back to"):
        road.act(rollout.roll_back, "tester")
    assert generation_upkeep.drop_ended(road.house.app.database) == 1
    assert len(road.house.rows("SELECT 1 FROM dash.rejects")) == 2


def test_grace_ends_by_itself(road: Road) -> None:
    road.post(body(1))
    road.run(road.begin(1))
    assert generation_upkeep.drop_ended(road.house.app.database) == 0
    with road.house.app.database.ingest() as unit:
        unit.execute("UPDATE generations SET grace_until = now() - interval '1 second' WHERE state = 'grace'")
        unit.commit()
    assert generation_upkeep.drop_ended(road.house.app.database) == 1
    assert [one.generation for one in road.versions()] == [2]
    road.post(body(2))
    assert road.ask(COUNT) == [{"c": 2}]


def test_a_mapping_saved_during_grace_is_undone_by_going_back(road: Road) -> None:
    road.post(body(1))
    road.run(road.save(V2, "after_replay").replay)
    road.save({**V1, "fields": FIELDS[:1]}, "now")
    road.post(body(2))
    assert road.ask(COUNT, SUM) == [{"c": 2, "s": 3.0}]
    assert road.act(rollout.roll_back, "tester").mapping_version == 1
    assert road.ask(COUNT, {"field": "site", "agg": "count", "as": "k"}) == [{"c": 2, "k": 2}]


def test_time_travel_reads_what_a_version_saw(road: Road) -> None:
    road.post(body(1))
    road.save(V2, "now")
    road.post(body(2))
    with road.house.app.database.ingest() as unit:
        assert [v.version for v in catalog.versions(unit, road.pipeline, mapping=1)] == [1]
    assert road.ask(COUNT, SUM, mapping=1) == [{"c": 1, "s": 1.0}]
    road.run(road.begin(2))
    road.post(body(4))
    assert road.ask(COUNT, TWICE) == [{"c": 3, "d": 14.0}]
    # The generation of before has the rows of version 2 as they came.
    assert road.ask(COUNT, TWICE, mapping=2) == [{"c": 3, "d": 14.0}]
    with pytest.raises(NotFound, match="version 1"):
        road.ask(COUNT, mapping=1)


# Keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "kept"), [("ignore", [1.0, 3.0, 6.0]), ("replace", [4.0, 5.0, 6.0])])
def test_who_won_a_key_wins_it_again(road: Road, monkeypatch: pytest.MonkeyPatch, rule: str, kept: list[float]) -> None:
    keyed = {**V1, "key": ["$.id"], "on_duplicate": rule}
    monkeypatch.setattr(replay_module, "STEP_PAYLOADS", 1)
    road.save(keyed, "now")
    road.post(body(1, id="x"))
    road.post(body(3, id="y"), body(4, id="x"))
    road.archive()
    road.house.put(road.pipeline, body(5, id="y"))
    replay = road.begin(2)
    road.replays.step(replay)
    # The live road takes a key in the shadow before the replay comes to its first holder.
    road.ingest.run(road.pipeline)
    road.post(body(6, id="z"))
    assert road.run(replay).state == "done"
    assert sorted(n for (n,) in road.house.silver("orders", "n")) == kept
    assert road.ask(COUNT, SUM) == [{"c": 3, "s": sum(kept)}]
    assert road.stats()[1] == 3


# What is not mapped anew ---------------------------------------------------------------------------------------------


def test_a_range_is_mapped_anew_and_the_rest_carried_over(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dash_app.storage.silver_carry.CARRY_ROWS", 2)
    days = [_post_at(road, NOW + timedelta(days=day), body(2**day, day * 1440, "ab"[day % 2])) for day in range(6)]
    assert len({one >> 20 for one in days}) == 6
    with road.house.app.database.ingest() as unit:
        ledger.add_rejects(unit, road.house.team, road.pipeline, 1, [_reject(days[0]), _reject(days[3])])
        unit.commit()
    replay = road.save(V2, "no")
    replay_id = road.begin(
        replay.version.version, start=NOW + timedelta(days=2, hours=-1), end=NOW + timedelta(days=4, hours=-1)
    )
    done = road.run(replay_id)
    assert (done.state, done.payloads, done.records, done.rejects) == ("done", 2, 6, 1)
    assert road.ask(COUNT, SUM, TWICE) == [{"c": 6, "s": 63.0, "d": 24.0}]
    assert road.ask(COUNT, SUM, every="1d", by=["site"])[0] == {
        "time": "2026-03-04T00:00:00+00:00", "site": "a", "c": 1, "s": 1.0,
    }  # fmt: skip
    assert [row["c"] for row in road.ask(COUNT, every="1d")] == [1] * 6


def test_records_of_expired_payloads_are_carried_over_with_their_keys(road: Road) -> None:
    keyed = {**V1, "key": ["$.id"]}
    road.save(keyed, "now")
    _post_at(road, NOW, body(1, id="x"))
    _post_at(road, NOW + timedelta(days=1), body(2, 1440, id="y"))
    with road.house.app.database.ingest() as unit:
        unit.execute("UPDATE pipelines SET payloads_from = %s", (payload_id_floor(NOW + timedelta(hours=12)),))
        unit.execute("DELETE FROM payloads WHERE id < %s", (payload_id_floor(NOW + timedelta(hours=12)),))
        unit.commit()
    replay = road.begin(2)
    # Repeats the key of a record that is carried over, and reaches the shadow before it.
    road.post(body(4, id="x"))
    done = road.run(replay)
    assert done.payloads == 1
    assert road.ask(COUNT, SUM) == [{"c": 2, "s": 3.0}]
    road.post(body(8, id="x"))
    assert road.ask(COUNT, SUM) == [{"c": 2, "s": 3.0}]


def test_rollups_that_outlive_their_records_and_payloads_are_carried_over(road: Road) -> None:
    _post_at(road, NOW, body(1), body(2, 0, "b"))
    _post_at(road, NOW + timedelta(days=40), body(4, 40 * 1440))
    later = NOW + timedelta(days=41)
    with road.house.app.database.ingest() as unit:
        catalog.update_pipeline(unit, road.pipeline, {"retention": {"record_days": 30}})
        unit.execute("UPDATE pipelines SET payloads_from = %s", (payload_id_floor(NOW + timedelta(hours=12)),))
        unit.execute("DELETE FROM payloads WHERE id < %s", (payload_id_floor(NOW + timedelta(hours=12)),))
        unit.commit()
    for _ in range(2):
        retention.apply(road.house.app.database, road.house.app.objects, road.pipeline, later)
    before = road.ask(COUNT, SUM, {"field": "n", "agg": "max", "as": "m"}, every="1d", by=["site"])
    saved = road.save(V2, "after_replay")
    road.post(body(16, 1))  # a late record of a day that has expired, in both generations
    road.run(saved.replay)
    after = road.ask(COUNT, SUM, {"field": "n", "agg": "max", "as": "m"}, every="1d", by=["site"])
    before[0] |= {"c": 2, "s": 17.0, "m": 16.0}
    assert after == before
    assert road.ask(TWICE, **{"from": "2026-04-01"}) == [{"d": 8.0}]


def test_expired_records_whose_payloads_are_there_are_rolled_up_and_not_kept(road: Road) -> None:
    _post_at(road, NOW, body(1))
    _post_at(road, NOW + timedelta(days=40), body(4, 40 * 1440))
    with road.house.app.database.ingest() as unit:
        unit.execute("UPDATE pipelines SET records_from = %s", (NOW.replace(hour=0, minute=0) + timedelta(days=10),))
        unit.commit()
    road.run(road.save(V2, "after_replay").replay)
    assert road.ask(COUNT, SUM, TWICE) == [{"c": 2, "s": 5.0, "d": 10.0}]
    assert road.checksum().rows == 1


# Payloads mapped again -----------------------------------------------------------------------------------------------


def test_a_payload_mapped_again_replaces_what_came_of_it(road: Road) -> None:
    first, second = road.post(
        body(1), b'[{"n": "x", "t": "2026-03-04T05:06:00Z"}, {"n": 3, "t": "2026-03-04T05:07:00Z"}]'
    )
    road.post(body(8, 1))
    assert road.stats() == (3, 3, 1)
    road.save({**V1, "on_error": "null"}, "now")
    assert road.act(rollout.map_again, [second], "tester") == 1
    road.ingest.run(road.pipeline)
    assert road.stats() == (3, 4, 0)
    assert road.ask(COUNT, SUM) == [{"c": 4, "s": 12.0}]
    assert road.ask(COUNT, SUM, every="1m")[-1]["c"] >= 1
    with road.house.app.database.ingest() as unit:
        assert ledger.rejects(unit, road.pipeline, limit=10) == []
    # Twice asked for is once mapped.
    road.act(rollout.map_again, [first, second], "tester")
    road.act(rollout.map_again, [second], "tester")
    road.ingest.run(road.pipeline)
    assert road.stats() == (3, 4, 0)
    assert road.ask(COUNT, SUM) == [{"c": 4, "s": 12.0}]


def test_a_key_is_free_again_for_the_payload_that_is_mapped_again(road: Road) -> None:
    road.save({**V1, "key": ["$.id"]}, "now")
    first, second = road.post(body(1, id="x"), body(2, id="y"))
    road.act(rollout.map_again, [first, second], "tester")
    road.ingest.run(road.pipeline)
    assert road.ask(COUNT, SUM) == [{"c": 2, "s": 3.0}]
    road.post(body(4, id="x"))
    assert road.ask(COUNT, SUM) == [{"c": 2, "s": 3.0}]


def test_what_cannot_be_mapped_again_is_said(road: Road) -> None:
    (one,) = road.post(body(1))
    with pytest.raises(NotFound, match="no payload '7'"):
        road.act(rollout.map_again, [7], "tester")
    with pytest.raises(Invalid, match="1 to 1,000"):
        road.act(rollout.map_again, [], "tester")
    road.begin(1)
    with pytest.raises(Conflict, match="under way"):
        road.act(rollout.map_again, [one], "tester")


def test_another_pipelines_payload_is_not_mapped_whatever_is_asked_for(road: Road) -> None:
    before = road.post(body(1))[0]
    other = road.house.pipeline("other", V1)
    (foreign,) = road.house.put(other, body(7777))
    Ingest(road.house.app).run(other)
    after = road.post(body(2))[0]
    road.archive()
    assert before < foreign < after  # within the range of a file of ours, which is all that is asked at first
    road.act(rollout.map_again, [foreign, after], "tester")
    road.ingest.run(road.pipeline)
    assert road.ask(COUNT, SUM) == [{"c": 2, "s": 3.0}]
    assert road.house.silver("other", "n") == [(7777.0,)]


def test_what_came_of_a_payload_that_has_expired_meanwhile_stays(road: Road) -> None:
    first, second = road.post(body(1), body(2))
    road.act(rollout.map_again, [first, second], "tester")
    with road.house.app.database.ingest() as unit:
        unit.execute("DELETE FROM payloads WHERE id = %s", (first,))
        unit.commit()
    road.ingest.run(road.pipeline)
    assert road.ask(COUNT, SUM) == [{"c": 2, "s": 3.0}]


# Beside others -------------------------------------------------------------------------------------------------------


def test_a_range_is_replayed_where_everything_was_refused_before(road: Road) -> None:
    road.save({**V1, "where": "n > 100"}, "now")
    _post_at(road, NOW, body(1))
    _post_at(road, NOW + timedelta(days=2), body(2, 2880))
    version = road.save(V1, "no").version.version
    done = road.run(road.begin(version, start=NOW + timedelta(days=1)))
    assert (done.state, done.payloads) == ("done", 1)
    assert road.ask(COUNT, SUM) == [{"c": 1, "s": 2.0}]


def test_a_replay_paused_or_cancelled_while_it_is_planned_stays_so(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    road.post(body(1))
    replay = road.begin(1)
    original = replay_module.replay_plan.parts

    def paused(*given: Any) -> Any:
        with road.house.app.database.ingest() as unit:
            replays.move(unit, replay, "paused")
            unit.commit()
        return original(*given)

    monkeypatch.setattr(replay_module.replay_plan, "parts", paused)
    assert road.replays.step(replay) == "ended"
    monkeypatch.setattr(replay_module.replay_plan, "parts", original)
    with road.house.app.database.ingest() as unit:
        assert replays.get(unit, replay).state == "paused"
        replays.move(unit, replay, "queued")
        unit.commit()
    assert road.run(replay).state == "done"


def test_tables_of_a_dropped_generation_are_not_made_again(road: Road) -> None:
    road.post(body(1))
    replay = road.begin(1)
    road.replays.step(replay)
    (version,) = road.versions(2)
    with road.house.app.database.ingest() as unit:
        replays.move(unit, replay, "cancelled")
        generations.end(unit, road.pipeline, 2)
        unit.commit()
    assert generation_upkeep.drop_ended(road.house.app.database) == 1
    with road.house.app.database.ingest() as unit, pytest.raises(Permanent, match="have been dropped"):
        silver.create_version(unit, replace(version, created=False), [])


def test_nothing_is_replayed_before_a_version_is_live(house: House) -> None:
    pipeline = house.pipeline("fresh", None)
    with house.app.database.team(house.team) as unit:
        setup.save_mapping(unit, pipeline, V1, "tester", activate="no")
        unit.commit()
    with house.app.database.team(house.team) as unit, pytest.raises(Conflict, match="make one live first"):
        rollout.begin_replay(unit, catalog.pipeline(unit, pipeline), 1, "tester")


def test_days_are_not_hidden_while_a_replay_is_under_way(road: Road) -> None:
    _post_at(road, NOW, body(1))
    with road.house.app.database.ingest() as unit:
        catalog.update_pipeline(unit, road.pipeline, {"retention": {"record_days": 30}})
        unit.commit()
    replay = road.begin(1)
    road.replays.step(replay)
    later = NOW + timedelta(days=50)
    retention.apply(road.house.app.database, road.house.app.objects, road.pipeline, later)
    assert road.house.rows("SELECT records_from FROM dash.pipelines") == [(None,)]
    road.run(replay)
    retention.apply(road.house.app.database, road.house.app.objects, road.pipeline, later)
    assert road.house.rows("SELECT records_from IS NULL FROM dash.pipelines") == [(False,)]


def test_what_the_shadow_cannot_take_does_not_stop_what_is_read(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    road.post(body(1))
    replay = road.begin(1)
    road.replays.step(replay)
    original = ingest_module.write
    carefully = ingest_module.write_carefully

    def broken(unit: Any, target: Any, *given: Any, **more: Any) -> Any:
        if target.shared:
            raise RuntimeError("the shadow is held")
        return original(unit, target, *given, **more)

    def broken_carefully(unit: Any, target: Any, *given: Any, **more: Any) -> Any:
        if target.shared:
            raise RuntimeError("the shadow is held")
        return carefully(unit, target, *given, **more)

    monkeypatch.setattr(ingest_module, "write", broken)
    monkeypatch.setattr(ingest_module, "write_carefully", broken_carefully)
    road.house.put(road.pipeline, body(2))
    for _ in range(ingest_module.PATIENCE):
        with pytest.raises(RuntimeError, match="held"):
            road.ingest.step(road.pipeline)
    assert road.ingest.step(road.pipeline) == "worked"
    assert road.ask(COUNT, SUM) == [{"c": 2, "s": 3.0}]
    with road.house.app.database.ingest() as unit:
        found = replays.get(unit, replay)
    assert found.state == "cancelled"
    assert "the shadow is held" in found.error


# Bad requests --------------------------------------------------------------------------------------------------------


def test_a_replay_that_makes_no_sense_is_refused(road: Road) -> None:
    with pytest.raises(NotFound, match="version 7"):
        road.begin(7)
    with pytest.raises(Invalid, match="after its beginning"):
        road.begin(1, start=NOW, end=NOW)
    with pytest.raises(Invalid, match="records a second"):
        road.begin(1, throttle=0)
    assert road.run(road.begin(1)).state == "done"  # nothing there is no error
    assert road.house.rows("SELECT count(*) FROM dash.generations WHERE state = 'shadow'") == [(0,)]


def test_who_saves_on_top_of_a_version_that_was_not_seen_is_told(road: Road) -> None:
    road.save(V2, "now", base=1)
    with pytest.raises(Conflict, match="version 2 was saved meanwhile"):
        road.save(V1, "now", base=1)


def _post_at(road: Road, moment: datetime, *bodies: bytes) -> int:
    """Posts and maps payloads as if they had come at that moment; the id of the first."""
    ids = road.post(*bodies)
    first = payload_id_floor(moment)
    with road.house.app.database.ingest() as unit:
        for number, one in enumerate(ids):
            new = first + number
            unit.execute("UPDATE payloads SET id = %s, received_at = %s WHERE id = %s", (new, moment, one))
            unit.execute("UPDATE unarchived SET payload_ids = array_replace(payload_ids, %s, %s)", (one, new))
            for version in catalog.versions(unit, road.pipeline):
                if not version.created:
                    continue
                table = f'{version.schema}."{version.table}"'
                unit.execute(
                    f"UPDATE {table} SET _payload = %s, _received = %s WHERE _payload = %s", (new, moment, one)
                )
                if unit.value("SELECT to_regclass(%s) IS NOT NULL", (f"{version.schema}.{version.keys}",)):
                    keys = f'{version.schema}."{version.keys}"'
                    unit.execute(
                        f"UPDATE {keys} SET payload = %s, received = %s WHERE payload = %s", (new, moment, one)
                    )
        unit.commit()
    return first


def _reject(payload: int) -> Any:
    from dash_app.domain.events import Reject

    return Reject(payload, 0, "n", "number expected")


# Beside the live road ------------------------------------------------------------------------------------------------


def _state(road: Road, replay: UUID) -> str:
    with road.house.app.database.ingest() as unit:
        return replays.get(unit, replay).state


def test_what_waits_is_mapped_before_a_step_begins(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    road.post(body(1))
    replay = road.begin(1)
    road.house.put(road.pipeline, body(2, 1))
    monkeypatch.setattr(replay_module, "_LIVE_LAG", 0.0)
    monkeypatch.setattr(replay_module, "_GIVE_WAY_SECONDS", 600.0)
    states = []

    def sleep(_seconds: float) -> None:
        states.append(_state(road, replay))
        road.ingest.step(road.pipeline)

    monkeypatch.setattr(replay_module.time, "sleep", sleep)
    while _state(road, replay) != "done":
        road.replays.run(replay)
    assert states == ["queued"], "it waited until all was mapped, and then did not wait any more"
    assert road.ask(COUNT) == [{"c": 2}]


def test_a_replay_goes_on_beside_a_road_that_is_always_late(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    road.post(body(1))
    replay = road.begin(1)
    road.house.put(road.pipeline, body(2, 1))
    monkeypatch.setattr(replay_module, "_LIVE_LAG", 0.0)
    monkeypatch.setattr(replay_module, "_GIVE_WAY_SECONDS", 0.0)
    while _state(road, replay) != "done":
        road.replays.run(replay)
    road.ingest.step(road.pipeline)
    assert road.ask(COUNT) == [{"c": 2}]


def test_beside_the_live_road_a_machine_has_few_places_for_steps(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module.os, "cpu_count", lambda: 4)
    road.post(body(1))
    replay = road.begin(1)
    database = road.house.app.database
    with database.ingest() as one, database.ingest() as other:
        places = [replays.take_place(unit, platform.node(), 2) for unit in (one, other)]
        assert places == [True, True]
        assert road.replays.run(replay) is False
        assert _state(road, replay) == "queued"
    with database.ingest() as unit:
        unit.execute("UPDATE pipeline_counts SET last_ingested = clock_timestamp() - interval '1 hour'")
        assert replays.take_place(unit, platform.node(), 1)
        unit.commit()
    while _state(road, replay) != "done":
        road.replays.run(replay)


def test_only_what_the_live_road_could_map_is_late(road: Road) -> None:
    database = road.house.app.database
    with database.ingest() as unit:
        assert (replays.live_lag(unit), replays.live_lately(unit, 60)) == (0.0, False)
    road.house.put(road.pipeline, body(1))
    with database.ingest() as unit:
        assert replays.live_lag(unit) > 0
        unit.execute("UPDATE pipelines SET state = 'paused' WHERE id = %s", (road.pipeline,))
        assert replays.live_lag(unit) == 0.0
    # Not committed: it is not paused.
    road.ingest.run(road.pipeline)
    with database.ingest() as unit:
        assert replays.live_lately(unit, 60)
