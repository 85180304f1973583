"""Comparisons against a real database: a sample, all of bronze in turns, workers that die, and whose business it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import pytest_asyncio

from dash_app.app import App
from dash_app.domain import ids
from dash_app.domain.access import Principal, Role
from dash_app.domain.errors import Conflict, Invalid, NotFound, Permanent
from dash_app.domain.events import Payload
from dash_app.domain.specs import Pipeline
from dash_app.pipelines import comparisons as module
from dash_app.pipelines.compare import compare
from dash_app.pipelines.comparisons import PATIENCE, QUEUE, TASK
from dash_app.pipelines.tasks import Queues
from dash_app.storage import bronze, catalog, comparisons
from dash_app.storage.comparisons import Comparison
from dash_app.web.api import OPERATIONS
from dash_app.web.api.openapi import document
from tests.integration.conftest import MAPPING, House
from tests.integration.rest import House as Rest
from tests.integration.rest import opened

OPENAPI = document(OPERATIONS)
CHANGED: dict[str, Any] = {
    "fields": [
        {"name": "n", "path": "$.n", "type": "number", "unit": "kg"},
        {"name": "site", "path": "$.site", "type": "text", "default": "lab"},
        {"name": "twice", "sql": "n * 2 + 1", "type": "number"},
    ],
    "where": "n < 90",
}


class Bench:
    """A pipeline with two versions and 100 payloads, a part of them archived, and short ways to compare them."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.app = house.app
        self.id = house.pipeline()
        with self.app.database.team(house.team) as unit:
            catalog.save_mapping(unit, self.id, CHANGED, activate=False)
            unit.commit()
        self.payloads = house.put(self.id, *(self.body(n) for n in range(60)))
        bronze.archive(self.app.database, self.app.objects, self.id)
        self.payloads += house.put(self.id, *(self.body(n) for n in range(60, 100)))
        self.who = Principal(ids.new_id(), "kari@example.org", "Kari", house.team, "acme", "Acme", Role.viewer)

    @staticmethod
    def body(n: int) -> bytes:
        return json.dumps({"n": "bad" if n % 10 == 0 else n, **({"site": "roof"} if n % 2 else {})}).encode()

    def start(self, **more: Any) -> Comparison:
        with self.app.database.team(self.house.team) as unit:
            pipeline = self.pipeline()
            a, b = module.sides(unit, pipeline, 1, None if "document" in more else 2, more.pop("document", None))
            made = module.start_comparison(unit, pipeline, a, b, self.who, **more)
            unit.commit()
        return made

    def pipeline(self) -> Pipeline:
        with self.app.database.team(self.house.team) as unit:
            return catalog.pipeline(unit, self.id)

    def get(self, comparison: Comparison) -> Comparison:
        with self.app.database.team(self.house.team) as unit:
            return comparisons.get(unit, comparison.id)

    def whole(self) -> Any:
        """What comes out in one go."""
        with self.app.database.ingest() as unit:
            a, b = module.sides(unit, self.pipeline(), 1, 2)
            every = bronze.read_payloads(unit, self.app.objects, self.payloads, pipeline=self.id)
        return compare(a.plan, b.plan, every).bounded()


@pytest.fixture
def bench(house: House) -> Bench:
    return Bench(house)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    """Lets a scan give seven payloads at a time, and calls what a test hands in before each batch with its number."""
    scan = bronze.scan
    watching: list[Callable[[int], None]] = []

    def scan_slowly(*args: Any, **options: Any) -> Iterator[list[Payload]]:
        for number, batch in enumerate(scan(*args, **{**options, "max_rows": 7})):
            for watch in watching:
                watch(number)
            yield batch

    monkeypatch.setattr(bronze, "scan", scan_slowly)
    return watching.append


class Killed(BaseException):
    """A worker's end, which no handler of errors sees."""


def test_all_payloads_are_compared_wherever_they_are(bench: Bench) -> None:
    made = bench.start()
    assert (made.state, made.total, made.payloads) == ("queued", 100, 0)
    assert module.advance(bench.app, made.id) is False
    done = bench.get(made)
    assert (done.state, done.payloads, done.share) == ("done", 100, 1.0)
    found = module.difference_of(done)
    assert found == bench.whole()
    assert found is not None
    # 10 of 100 are rejected on either side, and the nine from 91 on fail the condition; 45 sites gain a default.
    assert (found.records.before, found.records.after, found.gone) == (90, 81, 9)
    assert done.records == 81


@pytest.mark.parametrize("dies_at", [0, 1, 5, 14])
def test_a_killed_workers_successor_goes_on_from_there(
    bench: Bench, small_batches: Callable[[Callable[[int], None]], None], dies_at: int
) -> None:
    made = bench.start()
    dying = [True]

    def die(number: int) -> None:
        if number == dies_at and dying:
            dying.clear()
            raise Killed

    small_batches(die)
    with pytest.raises(Killed):
        module.advance(bench.app, made.id)
    left = bench.get(made)
    assert (left.state, left.payloads) == ("running", 7 * dies_at)
    assert left.position == (bench.payloads[7 * dies_at - 1] + 1 if dies_at else left.from_id)
    assert module.advance(bench.app, made.id) is False
    done = bench.get(made)
    assert (done.state, done.payloads) == ("done", 100)
    found, whole = module.difference_of(done), bench.whole()
    assert found is not None
    assert (found.equal, found.changed, found.gone, found.rejects) == (
        whole.equal, whole.changed, whole.gone, whole.rejects,
    )  # fmt: skip
    assert found.fields[1:2] == whole.fields[1:2]
    assert [one.count for pair in found.totals.values() for one in pair if one] == [
        one.count for pair in whole.totals.values() for one in pair if one
    ]


def test_turns_are_bounded_and_each_takes_up_where_the_last_one_stopped(
    bench: Bench, small_batches: Callable[[Callable[[int], None]], None]
) -> None:
    made = bench.start()
    small_batches(lambda number: None)
    turns = 1
    while module.advance(bench.app, made.id, turn=0):
        now = bench.get(made)
        assert (now.state, now.payloads) == ("running", min(7 * turns, 100))
        assert now.rate is not None
        assert now.eta is not None
        turns += 1
    # Fifteen batches, and one turn that finds nothing left.
    assert turns == 16
    assert module.difference_of(bench.get(made)).payloads == 100  # type: ignore[union-attr]


def test_two_workers_at_once_count_nothing_twice(
    bench: Bench, small_batches: Callable[[Callable[[int], None]], None]
) -> None:
    made = bench.start()
    inner: list[bool] = []

    def overtake(number: int) -> None:
        if number == 3 and not inner:
            inner.append(True)
            assert module.advance(bench.app, made.id, turn=0) is True

    small_batches(overtake)
    # The other one has saved the fourth batch; this one's is thrown away, and it leaves the rest to the other.
    assert module.advance(bench.app, made.id) is False
    assert (bench.get(made).state, bench.get(made).payloads) == ("running", 28)
    assert module.advance(bench.app, made.id) is False
    done = bench.get(made)
    assert (done.state, done.payloads) == ("done", 100)
    assert module.difference_of(done).equal == bench.whole().equal  # type: ignore[union-attr]


def test_one_that_is_cancelled_stops_and_keeps_what_it_has(
    bench: Bench, small_batches: Callable[[Callable[[int], None]], None]
) -> None:
    made = bench.start()

    def cancel(number: int) -> None:
        if number == 2:
            with bench.app.database.team(bench.house.team) as unit:
                comparisons.cancel(unit, made.id)
                unit.commit()

    small_batches(cancel)
    assert module.advance(bench.app, made.id) is False
    ended = bench.get(made)
    assert (ended.state, ended.payloads) == ("cancelled", 14)
    assert module.difference_of(ended).payloads == 14  # type: ignore[union-attr]
    assert module.advance(bench.app, made.id) is False
    with bench.app.database.team(bench.house.team) as unit:
        assert comparisons.cancel(unit, made.id).finished_at == ended.finished_at


def test_a_payload_that_ends_every_worker_ends_the_comparison(
    bench: Bench, small_batches: Callable[[Callable[[int], None]], None]
) -> None:
    made = bench.start()

    def die(number: int) -> None:
        raise Killed

    small_batches(die)
    for _ in range(PATIENCE):
        with pytest.raises(Killed):
            module.advance(bench.app, made.id)
    assert module.advance(bench.app, made.id) is False
    failed = bench.get(made)
    assert failed.state == "failed"
    assert "without a result" in failed.error


def test_what_cannot_be_mended_ends_it_with_its_reason(
    bench: Bench, small_batches: Callable[[Callable[[int], None]], None]
) -> None:
    made = bench.start()

    def damaged(number: int) -> None:
        raise Permanent("a file of bronze is damaged")

    small_batches(damaged)
    assert module.advance(bench.app, made.id) is False
    assert (bench.get(made).state, bench.get(made).error) == ("failed", "a file of bronze is damaged")


def test_one_without_payloads_is_done_and_empty(house: House) -> None:
    bench = Bench.__new__(Bench)
    bench.house, bench.app, bench.id = house, house.app, house.pipeline()
    bench.who = Principal(ids.new_id(), "k@example.org", "K", house.team, "acme", "Acme", Role.viewer)
    made = bench.start(document=CHANGED)
    assert (made.total, made.version_b) == (0, None)
    assert module.advance(bench.app, made.id) is False
    found = module.difference_of(bench.get(made))
    assert found is not None
    assert (found.payloads, found.records.before, [one.name for one in found.fields]) == (0, 0, ["n", "site", "twice"])


def test_a_range_of_time_takes_its_payloads_alone(bench: Bench) -> None:
    middle = ids.payload_id_time(bench.payloads[70]) + timedelta(milliseconds=1)
    expected = sum(ids.payload_id_time(one) < middle for one in bench.payloads)
    made = bench.start(start=datetime(2020, 1, 1, tzinfo=UTC), end=middle)
    assert module.advance(bench.app, made.id) is False
    assert bench.get(made).payloads == expected
    none = bench.start(start=middle + timedelta(days=1), end=middle + timedelta(days=2))
    assert none.total == 0
    with pytest.raises(Invalid, match="not before"):
        bench.start(start=middle, end=middle)


def test_a_sample_takes_the_newest_and_removes_duplicates(bench: Bench) -> None:
    with bench.app.database.team(bench.house.team) as unit:
        pipeline = catalog.pipeline(unit, bench.id)
        a, b = module.sides(unit, pipeline, 1, 2)
        found = module.compare_sample(unit, bench.app, bench.id, a, b, limit=30)
        assert (found.payloads, found.rejected.before) == (30, 3)
        keyed = {**MAPPING, "key": ["$.site"]}
        a, b = module.sides(unit, pipeline, 1, None, keyed)
        found = module.compare_sample(unit, bench.app, bench.id, a, b, limit=30)
        assert found.duplicates.after == 14
        before = module.compare_sample(
            unit, bench.app, bench.id, a, b, end=ids.payload_id_time(bench.payloads[0]) - timedelta(seconds=1)
        )
        assert before.payloads == 0


def test_what_is_wrong_with_a_side_is_said_at_its_place(bench: Bench) -> None:
    with bench.app.database.team(bench.house.team) as unit:
        pipeline = catalog.pipeline(unit, bench.id)
        with pytest.raises(NotFound):
            module.sides(unit, pipeline, 1, 7)
        with pytest.raises(Invalid, match="not both"):
            module.sides(unit, pipeline, 1, 2, CHANGED)
        with pytest.raises(Invalid, match=r"mapping\.fields\[0\]\.type"):
            module.sides(unit, pipeline, 1, None, {"fields": [{"name": "n", "path": "$.n", "type": "numbr"}]})
        with pytest.raises(Invalid, match="line 1"):
            module.sides(unit, pipeline, 1, None, "fields: [")
        a, b = module.sides(unit, pipeline, None, None, "fields:\n  - {name: n, path: $.n, type: number}\n")
        assert (a.version, b.version) == (1, None)


def test_the_newest_of_the_same_two_and_the_same_range_is_found_again(bench: Bench) -> None:
    week = datetime(2026, 1, 1, tzinfo=UTC)
    first, draft = bench.start(), bench.start(document=CHANGED)
    ranged = bench.start(start=week)
    with bench.app.database.team(bench.house.team) as unit:
        pipeline = bench.pipeline()

        def found(*given: Any, **span: Any) -> UUID | None:
            one = module.last_comparison(unit, bench.id, *module.sides(unit, pipeline, *given), **span)
            return one.id if one else None

        assert found(1, 2) == first.id
        assert found(1, None, CHANGED) == draft.id
        assert found(1, 2, start=week) == ranged.id
        assert found(2, 1) is None
        assert found(1, None, MAPPING) is None
        assert found(1, 2, end=week) is None
        # A list shows neither documents nor differences.
        assert {one.document_b for one in comparisons.of_pipeline(unit, bench.id, limit=9)} == {""}


def test_no_more_of_one_pipeline_than_may_be_are_on_their_way(bench: Bench) -> None:
    for _ in range(module.MOST_OPEN):
        made = bench.start()
    with pytest.raises(Conflict, match="cancel"):
        bench.start()
    with bench.app.database.team(bench.house.team) as unit:
        comparisons.cancel(unit, made.id)
        unit.commit()
    bench.start()


def test_the_clock_finds_what_was_left_and_a_task_works_on_it(bench: Bench) -> None:
    made = bench.start()
    queued = f"SELECT count(*) FROM dash.huey_task WHERE queue = '{QUEUE}' AND convert_from(data, 'UTF8') LIKE %s"

    def sweep() -> int:
        with bench.app.database.ingest() as unit:
            module.queue_left(unit)
            unit.commit()
            return int(unit.value(queued, (f'%"{TASK}"%{made.id}%',)))

    assert sweep() == 0
    with bench.app.database.ingest() as unit:
        unit.execute("UPDATE comparisons SET touched_at = now() - interval '1 minute'")
        unit.commit()
    assert (sweep(), sweep()) == (1, 1)
    queues = Queues(bench.app)
    try:
        task = queues._queues[QUEUE]._registry.string_to_task(TASK)
        assert task is not None
        queues._task_compare(str(made.id))
    finally:
        queues.close()
    assert bench.get(made).state == "done"
    with bench.app.database.ingest() as unit:
        unit.execute("UPDATE comparisons SET finished_at = now() - interval '31 days'")
        assert comparisons.prune(unit) == 1
        unit.commit()


# REST ----------------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def rest(database_url: str, tmp_path: Path) -> AsyncIterator[Rest]:
    async with opened(database_url, tmp_path) as made:
        yield made


def fits(name: str, answer: Any) -> None:
    operation = next(one for one in OPERATIONS if one.name == name)
    jsonschema.Draft202012Validator({**OPENAPI, **(operation.answer or {})}).validate(answer)


async def test_the_api_compares_a_sample_at_once(rest: Rest) -> None:
    made = await rest.pipeline()
    path = f"/pipelines/{made['slug']}/comparisons"
    await rest.call("POST", f"/pipelines/{made['id']}/dashboard")
    await rest.receive(made["id"], *(Bench.body(n) for n in range(20)))
    changed = {"fields": [CHANGED["fields"][0], CHANGED["fields"][1]], "where": "n > 4"}
    answer = await rest.call("POST", path, {"mapping": changed, "limit": 15}, who="viewer")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    fits("create_comparison", told)
    assert (told["id"], told["state"], told["a"], told["b"], told["payloads"]) == (None, "done", 1, None, 15)
    difference = told["difference"]
    assert (difference["records"], difference["gone"]) == ({"before": 14, "after": 14}, 0)
    assert {one["name"]: one["kinds"].keys() for one in difference["fields"]} == {
        "n": set(), "site": {"gained"}, "twice": {"removed"},
    }  # fmt: skip
    assert isinstance(difference["fields"][1]["kinds"]["gained"]["examples"][0]["payload"], str)
    assert [one["place"] for one in told["mapping_changes"]] == ["where", "n", "site", "twice"]
    broken = [one for one in told["tiles"] if one["effect"] == "breaks"]
    assert broken
    assert {one["dashboard"] for one in broken} == {"weather"}
    assert all("twice" in one["fields"] for one in broken)
    with rest.app.database.ingest() as unit:
        assert unit.value("SELECT count(*) FROM comparisons") == 0


async def test_the_api_has_a_worker_compare_everything(rest: Rest) -> None:
    made = await rest.pipeline()
    path = f"/pipelines/{made['id']}/comparisons"
    await rest.receive(made["id"], *(Bench.body(n) for n in range(20)))
    assert (await rest.call("POST", f"/pipelines/{made['id']}/mappings", {"mapping": CHANGED})).status_code == 201
    body = {"a": 1, "b": 2, "scope": "all", "from": "now-7d"}
    begun = await rest.call("POST", path, body, headers={"Idempotency-Key": "k"})
    assert begun.status_code == 202, begun.text
    again = await rest.call("POST", path, body, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["id"]) == (202, begun.json()["id"])
    fits("create_comparison", begun.json())
    one = f"/comparisons/{begun.json()['id']}"
    with rest.app.database.ingest() as unit:
        queued = unit.value("SELECT convert_from(data, 'UTF8') FROM huey_task WHERE queue = %s", (QUEUE,))
    assert TASK in queued
    assert begun.json()["id"] in queued
    waiting = (await rest.call("GET", one)).json()
    fits("get_comparison", waiting)
    assert (waiting["state"], waiting["difference"], waiting["total"]) == ("queued", None, 20)
    await asyncio.to_thread(module.advance, rest.app, UUID(begun.json()["id"]))
    done = (await rest.call("GET", one, who="viewer")).json()
    fits("get_comparison", done)
    assert (done["state"], done["payloads"], done["difference"]["payloads"]) == ("done", 20, 20)
    second = (await rest.call("POST", path, body)).json()["id"]
    cancelled = await rest.call("POST", f"/comparisons/{second}/cancel")
    fits("cancel_comparison", cancelled.json())
    assert cancelled.json()["state"] == "cancelled"
    page = (await rest.call("GET", f"{path}?limit=1")).json()
    fits("list_comparisons", page)
    assert [item["id"] for item in page["items"]] == [second]
    rest_of_it = (await rest.call("GET", f"{path}?limit=1&cursor={page['next']}")).json()
    assert ([item["id"] for item in rest_of_it["items"]], rest_of_it["next"]) == ([begun.json()["id"]], None)
    assert (await rest.call("GET", f"{path}?cursor=eA")).status_code == 400


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "b"),
        ({"b": 1, "mapping": CHANGED}, "mapping"),
        ({"mapping": {"fields": []}}, "mapping.fields"),
        ({"mapping": "fields: ["}, "mapping"),
        ({"b": 1, "from": "yesterday"}, "from"),
        ({"b": 1, "scope": "all", "from": "now", "to": "now-1h"}, "from"),
        ({"b": 1, "limit": 1001}, "limit"),
        ({"b": 2**40}, "b"),
        ({"b": 1, "scope": "some"}, "scope"),
    ],
)
async def test_the_api_says_what_is_wrong_and_where(rest: Rest, body: dict[str, Any], place: str) -> None:
    made = await rest.pipeline()
    answer = await rest.call("POST", f"/pipelines/{made['id']}/comparisons", body)
    assert answer.status_code == 422, answer.text
    assert place in [one["place"] for one in answer.json()["errors"]]


async def test_another_team_finds_none_of_it(rest: Rest) -> None:
    made = await rest.pipeline()
    path = f"/pipelines/{made['id']}/comparisons"
    begun = (await rest.call("POST", path, {"b": 1, "scope": "all"})).json()["id"]
    for method, address, body in (
        ("POST", path, {"b": 1}),
        ("GET", path, None),
        ("GET", f"/comparisons/{begun}", None),
        ("POST", f"/comparisons/{begun}/cancel", None),
    ):
        assert (await rest.call(method, address, body, who="stranger")).status_code == 404, address
    assert (await rest.call("GET", f"/comparisons/{begun}")).json()["state"] == "queued"
    assert (await rest.call("POST", path, {"b": 9})).status_code == 404
    nothing = await rest.pipeline("empty", mapping=None)
    answer = await rest.call("POST", f"/pipelines/{nothing['id']}/comparisons", {"mapping": CHANGED})
    assert answer.status_code == 422
    assert "no mapping yet" in answer.json()["detail"]


def test_row_security_hides_it_from_another_teams_unit(bench: Bench, open_app: Callable[[], App]) -> None:
    made = bench.start()
    with bench.app.database.team(ids.new_id()) as unit, pytest.raises(NotFound):
        comparisons.get(unit, made.id)
