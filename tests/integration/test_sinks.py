"""Sinks from a record to the other side: filtered, batched, signed, tried again, given up, and seen in all of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from standardwebhooks import Webhook

from dash_app.app import App
from dash_app.domain.errors import Invalid
from dash_app.domain.ids import new_id
from dash_app.pipelines import rollout
from dash_app.pipelines.delivery import deliver as deliver_module
from dash_app.pipelines.delivery import outbox
from dash_app.pipelines.delivery import setup as sink_setup
from dash_app.pipelines.delivery.deliver import SINK_PLACES, THREADS, Deliver
from dash_app.pipelines.delivery.document import MOST_SINKS_OF_PIPELINE
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.sinks.webhook import WebhookSink
from dash_app.pipelines.sources.webhook.standard_webhooks import StandardWebhooks
from dash_app.settings import Settings
from dash_app.storage import catalog, deliveries, delivery_history, people, sinks
from dash_app.storage.unit import Unit
from tests.integration.conftest import SECRET_KEY, House
from tests.receiver import DRIP, HALF, HANG, HUGE, OK, RESET, receiver
from tests.waiting import wait_until


class FakeClock:
    """The time that deliveries go by; it stands still until it is moved."""

    def __init__(self) -> None:
        # Ahead of the database's, by which messages are due when they are put.
        self.now = datetime.now(UTC) + timedelta(hours=1)

    def __call__(self, unit: Unit) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Outward(House):
    """A house whose sinks may reach the loopback, and that delivers by a clock of the test's."""

    def __init__(self, app: App, team: UUID) -> None:
        super().__init__(app, team)
        self.clock = FakeClock()
        self.deliver = Deliver(app, clock=self.clock, jitter=lambda: 0.0)
        self.ingest = Ingest(app)

    def sink(self, url: str, **document: Any) -> UUID:
        options = {"url": url, "timeout_seconds": 1, **document.pop("options", {})}
        with self.app.database.team(self.team) as unit:
            made = sink_setup.create_sink(
                unit, self.app, self.team, {"name": "Hook", "kind": "webhook", "options": options, **document}, "test"
            )
            unit.commit()
        return made.sink.id

    def secret(self, sink: UUID) -> str:
        with self.app.database.team(self.team) as unit:
            return self.app.vault.get_all(unit, sink, "secret")[0]

    def put(self, sink: UUID, count: int = 1, **more: Any) -> list[str]:  # type: ignore[override]
        with self.app.database.team(self.team) as unit:
            made = [
                outbox.put(unit, self.app, self.team, sink, "alert", {"n": n}, **{"title": f"alert {n}", **more})
                for n in range(count)
            ]
            unit.commit()
        return made

    def post(self, pipeline: UUID, *bodies: Mapping[str, Any]) -> None:
        super().put(pipeline, *(orjson.dumps(body) for body in bodies))
        self.ingest.run(pipeline)

    def listed(self, sink: UUID) -> list[delivery_history.Delivery]:
        with self.app.database.team(self.team) as unit:
            return delivery_history.listed(unit, sink)

    def attempts(self, message: str) -> list[deliveries.Attempt]:
        with self.app.database.team(self.team) as unit:
            return delivery_history.attempts(unit, UUID(message.removeprefix("msg_")))

    def get(self, sink: UUID) -> sinks.Sink:
        with self.app.database.team(self.team) as unit:
            return sinks.get(unit, sink)


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[Outward]:
    environ = {
        "DASH_DATABASE_URL": database_url,
        "DASH_SECRET_KEY": SECRET_KEY,
        "DASH_DATA_DIR": str(tmp_path),
        "DASH_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    app = App.open(Settings.load([], environ, program="worker"), database_url, pool_size=4)
    with app.database.ingest() as unit:
        team = people.create_team(unit, "acme", "Acme")
        unit.commit()
    made = Outward(app, team)
    yield made
    made.deliver.close()
    app.close()


def test_records_are_filtered_signed_and_delivered_once(house: Outward) -> None:
    with receiver() as hook:
        pipeline = house.pipeline()
        sink = house.sink(hook.url, pipelines=["orders"], where="n > 1")
        house.post(pipeline, {"n": 1, "site": "lab"}, {"n": 2, "site": "roof"}, {"n": 3, "site": "roof"})
        house.deliver.run(sink)
        house.deliver.run(sink)
        got = [orjson.loads(one.body) for one in hook.got]
        assert [[r["n"] for r in one["data"]["records"]] for one in got] == [[2], [3]]
        assert [one["type"] for one in got] == ["records"] * 2
        assert got[0]["data"]["records"][0]["twice"] == 4
        for one in hook.got:
            assert Webhook(house.secret(sink)).verify(one.body, one.headers)["id"] == one.id
        assert {one.state for one in house.listed(sink)} == {"sent"}
        # One connection for both, kept open in between.
        assert hook.connections == 1


def test_a_record_that_is_rolled_back_was_never_put(house: Outward) -> None:
    pipeline = house.pipeline()
    sink = house.sink("http://127.0.0.1:9/x", pipelines=["orders"])
    with house.app.database.ingest() as unit:
        outbox.put(unit, house.app, house.team, sink, "alert", {})
        unit.rollback()
    assert house.listed(sink) == []
    # A replay, and payloads mapped again, are quiet: what was delivered is not delivered anew.
    (payload,) = House.put(house, pipeline, b'{"n": 1}')
    house.ingest.run(pipeline)
    assert len(house.listed(sink)) == 1
    with house.app.database.ingest() as unit:
        rollout.map_again(unit, catalog.pipeline(unit, pipeline), [payload], "test")
        unit.commit()
    house.ingest.run(pipeline)
    assert len(house.listed(sink)) == 1


def test_batches_by_size_and_by_time(house: Outward) -> None:
    with receiver() as hook:
        pipeline = house.pipeline()
        sink = house.sink(hook.url, pipelines=["orders"], batch={"size": 3, "seconds": 60})

        def sent() -> list[list[float]]:
            house.deliver.run(sink)
            return [[r["n"] for r in orjson.loads(one.body)["data"]["records"]] for one in hook.got]

        house.post(pipeline, {"n": 1}, {"n": 2})
        assert sent() == []
        house.post(pipeline, *({"n": n} for n in range(3, 9)))
        assert sent() == [[1, 2, 3], [4, 5, 6]]
        with house.app.database.ingest() as unit:
            assert outbox.close_batches(unit, datetime.now(UTC)) == 0
            assert outbox.close_batches(unit, datetime.now(UTC) + timedelta(seconds=61)) == 1
            unit.commit()
        assert sent()[2:] == [[7, 8]]
        assert house.rows("SELECT count(*) FROM batch_parts") == [(0,)]


FAILURES = {"500": 500, "429:7": 429, "302": 302, RESET: 0, HANG: 0, DRIP: 0}


def test_what_fails_is_tried_again_with_the_same_id(house: Outward) -> None:
    for number, (behaved, status) in enumerate(FAILURES.items()):

        def behave(id: str, count: int, behaved: str = behaved) -> str:
            return behaved if count == 1 else OK

        with receiver(behave) as hook:
            sink = house.sink(hook.url, name=f"Hook {number}")
            (message,) = house.put(sink)
            house.deliver.run(sink)
            (one,) = house.listed(sink)
            assert (one.state, one.attempts) == ("waiting", 1), behaved
            assert one.next_at == house.clock.now + timedelta(seconds=7 if behaved == "429:7" else 5), behaved
            house.deliver.run(sink)
            assert hook.count() == 1
            house.clock.pass_by(7)
            house.deliver.run(sink)
            assert [got.id for got in hook.got] == [message, message]
            assert hook.got[0].body == hook.got[1].body
            sent, failed = house.attempts(message)
            assert (failed.outcome, failed.status, sent.outcome, sent.status) == ("failed", status, "sent", 200)
            assert failed.request.startswith(f"POST {hook.url}")
            assert failed.error
            assert house.get(sink).health.failures == 0


def test_a_success_is_one_whatever_follows_its_status(house: Outward) -> None:
    for behaved in (HUGE, HALF):
        with receiver(lambda id, count, behaved=behaved: behaved) as hook:  # type: ignore[misc]
            sink = house.sink(hook.url, name=behaved)
            (message,) = house.put(sink)
            house.deliver.run(sink)
            assert {one.state for one in house.listed(sink)} == {"sent"}
            assert len(house.attempts(message)[0].response) < 1100


def test_the_schedule_ends_in_a_dead_letter_that_can_be_sent_again(house: Outward) -> None:
    with receiver(lambda id, count: OK if count > 10 else "500") as hook:
        sink = house.sink(hook.url)
        (message,) = house.put(sink)
        waits = []
        for _ in range(10):
            house.deliver.run(sink)
            (one,) = house.listed(sink)
            if one.next_at:
                waits.append((one.next_at - house.clock.now).total_seconds())
                house.clock.pass_by(waits[-1])
        assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
        assert (one.state, one.attempts, hook.count()) == ("dead", 10, 10)
        with house.app.database.team(house.team) as unit:
            assert sink_setup.resend(unit, sink, "test") == 1
            unit.commit()
        house.clock.pass_by(3600)
        house.deliver.run(sink)
        assert {one.state for one in house.listed(sink)} == {"sent"}
        assert {got.id for got in hook.got} == {message}
        assert [a.number for a in house.attempts(message)] == [1, *range(10, 0, -1)]


def test_410_disables_keeps_the_rest_and_tells_the_team(house: Outward) -> None:
    with receiver(lambda id, count: "410") as gone, receiver() as people_told:
        sink, other = house.sink(gone.url, name="Gone"), house.sink(people_told.url, name="Team")
        fed = house.sink(people_told.url, name="Fed", pipelines=[str(house.pipeline())])
        house.put(sink, 3)
        house.deliver.run(sink)
        assert gone.count() == 1
        found = house.get(sink)
        assert found.state == "disabled"
        assert "410" in found.note
        assert {one.state for one in house.listed(sink)} == {"dead"}
        # What is put now is kept as well, and not sent.
        house.put(sink)
        house.deliver.run(sink)
        assert len([one for one in house.listed(sink) if one.state == "dead"]) == 4
        house.deliver.run(other)
        house.deliver.run(fed)
        (told,) = people_told.got
        assert orjson.loads(told.body)["data"]["series"] == {"sink": "gone"}
        assert house.rows("SELECT target FROM audit WHERE action = 'sink.disable'") == [(str(sink),)]


def test_a_sink_is_changed_while_an_attempt_disables_it(house: Outward) -> None:
    """Both lock the sink before its health: the one waits for the other, and neither is torn down."""
    with receiver(lambda id, count: "410") as gone:
        sink = house.sink(gone.url)
        house.put(sink)
        with house.app.database.team(house.team) as unit:
            found = sinks.lock(unit, sink)
            worker = threading.Thread(target=house.deliver.run, args=(sink,))
            worker.start()
            with house.app.database.ingest() as other:
                waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('tuple', 'transactionid')"
                wait_until(lambda: bool(other.value(waiting)))
            sinks.move(unit, found.id, "active", "")
            unit.commit()
        worker.join()
    assert house.get(sink).state == "disabled"
    assert [one.state for one in house.listed(sink)] == ["dead"]


def test_a_failing_sink_is_given_up_after_five_days(house: Outward) -> None:
    with receiver(lambda id, count: "503") as hook:
        sink = house.sink(hook.url)
        for _ in range(6):
            house.put(sink)
            house.clock.pass_by(86_400)
            house.deliver.run(sink)
        found = house.get(sink)
        assert (found.state, "5 days" in found.note) == ("disabled", True)


def test_an_open_breaker_costs_one_probe_and_closes_with_a_success(house: Outward) -> None:
    down = [True]
    with receiver(lambda id, count: "500" if down[0] else OK) as hook:
        sink = house.sink(hook.url)
        house.put(sink, 20)
        for _ in range(12):
            house.deliver.run(sink)
        assert hook.count() == 5
        house.clock.pass_by(4)
        house.deliver.run(sink)
        assert hook.count() == 5
        house.clock.pass_by(2)
        house.deliver.run(sink)
        # One probe failed, and it is open for twice as long.
        assert hook.count() == 6
        down[0] = False
        house.clock.pass_by(11)
        house.deliver.run(sink)
        house.clock.pass_by(300)
        house.deliver.run(sink)
        assert {one.state for one in house.listed(sink)} == {"sent"}


def test_a_lease_keeps_others_away_and_ends_with_its_worker(house: Outward) -> None:
    with receiver() as hook:
        sink = house.sink(hook.url)
        messages = house.put(sink, 3)
        dead = Deliver(house.app, clock=house.clock)
        hand = dead._take(sink)
        assert hand is not None
        house.deliver.run(sink)
        assert hook.count() == 0
        with house.app.database.ingest() as unit:
            assert deliveries.due_sinks(unit, house.clock.now) == []
            # A second later than the lease ends the clock finds it.
            assert deliveries.due_sinks(unit, house.clock.now + timedelta(seconds=20)) == [sink]
        house.clock.pass_by(20)
        house.deliver.run(sink)
        assert sorted(got.id for got in hook.got) == sorted(messages)
        # The one that was thought dead comes back: it does harm to nothing that is done.
        dead.attempt(hand, hand.messages[0])
        dead.close()
        assert {one.state for one in house.listed(sink)} == {"sent"}


def test_places_are_bounded_by_sink_and_team(house: Outward) -> None:
    with receiver() as hook:
        made = [house.sink(hook.url, name=f"Hook {n}") for n in range(4)]
        for sink in made:
            house.put(sink, 210)
        hands = [house.deliver._take(sink) for sink in made for _ in range(5)]
        taken = [hand for hand in hands if hand is not None]
        by_sink = {sink: sum(hand.sink.id == sink for hand in taken) for sink in made}
        assert list(by_sink.values()) == [4, 4, 0, 0]
        # Where the last attempt failed one place is enough.
        with house.app.database.ingest() as unit:
            unit.execute("UPDATE deliveries SET lease = NULL, next_at = created_at WHERE state = 'waiting'")
            unit.execute("UPDATE sink_health SET failures = 1 WHERE sink_id = %s", (made[0],))
            unit.commit()
        assert [house.deliver._take(made[0]) is not None for _ in range(3)] == [True, False, False]


def test_a_paused_sink_holds_and_a_deleted_one_forgets(house: Outward) -> None:
    with receiver() as hook:
        sink = house.sink(hook.url)
        with house.app.database.team(house.team) as unit:
            sink_setup.pause(unit, sink, "test")
            unit.commit()
        house.put(sink, 2)
        house.deliver.run(sink)
        assert (hook.count(), {one.state for one in house.listed(sink)}) == (0, {"waiting"})
        with house.app.database.team(house.team) as unit:
            sink_setup.resume(unit, sink, "test")
            unit.commit()
        house.deliver.run(sink)
        assert hook.count() == 2
        house.put(sink, 2)
        with house.app.database.team(house.team) as unit:
            sink_setup.delete_sink(unit, house.app, sink, "test")
            unit.commit()
        house.deliver.run(sink)
        assert hook.count() == 2
        with house.app.database.ingest() as unit:
            assert delivery_history.prune(unit, datetime.now(UTC)) == 4
            delivery_history.prune(unit, datetime.now(UTC))
            unit.commit()
        for table in ("sinks", "sink_health", "deliveries", "delivery_attempts", "secrets"):
            assert house.rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_secrets_are_masked_wherever_an_attempt_shows_them(house: Outward) -> None:
    key = "s3cr3t-canary-71"
    with receiver(lambda id, count: "500") as hook:
        # The other side is told the secret and says it again; the URL's query is not shown either.
        sink = house.sink(
            f"{hook.url}?token=visible-to-editors",
            options={"secret_headers": {"Authorization": f"Bearer {key}", "X-Echo": key}},
        )
        (message,) = house.put(sink, title=f"told {key}")
        house.deliver.run(sink)
        assert hook.got[0].headers["authorization"] == f"Bearer {key}"
        (attempt,) = house.attempts(message)
        assert "•••" in attempt.request
        for text in (attempt.request, attempt.response, attempt.error, house.get(sink).health.error):
            assert key not in text
            assert house.secret(sink) not in text
        assert key not in str(house.rows("SELECT options FROM sinks"))


def test_a_test_is_tried_at_once_and_once(house: Outward) -> None:
    with receiver(lambda id, count: "500") as hook:
        sink = house.sink(hook.url)
        with house.app.database.team(house.team) as unit:
            sink_setup.pause(unit, sink, "test")
            unit.commit()
        done = sink_setup.test(house.app, house.team, sink, "test")
        assert (done.delivery.state, done.attempt.outcome, done.attempt.status) == ("dead", "failed", 500)
        assert (hook.count(), house.get(sink).health.failures, house.get(sink).state) == (1, 0, "paused")
    with receiver() as hook:
        assert sink_setup.test(house.app, house.team, house.sink(hook.url, name="B"), "test").delivery.state == "sent"


def test_a_test_that_failed_is_no_dead_letter_to_be_sent_again_with_the_others(house: Outward) -> None:
    with receiver(lambda id, count: "500") as hook:
        sink = house.sink(hook.url)
        done = sink_setup.test(house.app, house.team, sink, "test")
    with house.app.database.team(house.team) as unit:
        assert delivery_history.waiting(unit, [sink]) == {sink: (0, 0)}
        assert sink_setup.resend(unit, sink, "test") == 0
        assert sink_setup.resend(unit, sink, "test", delivery=done.delivery.id) == 1
        unit.rollback()


def test_a_message_that_cannot_be_made_holds_up_no_other(house: Outward, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as hook:
        sink = house.sink(hook.url)
        house.put(sink, 1, title="bad")
        house.put(sink, 1, title="good")
        real = deliver_module.message_of
        monkeypatch.setattr(
            deliver_module,
            "message_of",
            lambda **given: real(**given | ({"at": 1 / 0} if given["title"] == "bad" else {})),
        )
        house.deliver.run(sink)
        states = {one.title: (one.state, one.attempts) for one in house.listed(sink)}
        assert states == {"bad": ("waiting", 1), "good": ("sent", 1)}
        assert house.get(sink).health.failures == 0


def test_a_chart_that_takes_its_time_does_not_use_up_the_lease(house: Outward, monkeypatch: pytest.MonkeyPatch) -> None:
    other: list[int] = []

    def made(real: Any = deliver_module.message_of, **given: Any) -> Any:
        house.clock.pass_by(8)
        with house.app.database.ingest() as unit:
            now = house.clock.now
            other.append(len(deliveries.take(unit, sink, now, lease=new_id(), until=now, most=9)))
        return real(**given)

    monkeypatch.setattr(deliver_module, "chart_of", lambda *_: house.clock.pass_by(8))
    monkeypatch.setattr(deliver_module, "message_of", made)
    monkeypatch.setattr(WebhookSink, "draws", True)
    with receiver() as hook:
        sink = house.sink(hook.url)
        house.put(sink)
        house.deliver.run(sink)
        assert (other, hook.count()) == ([0], 1)


def test_a_lease_that_is_lost_while_a_chart_is_drawn_sends_nothing(
    house: Outward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has the message in hand by then, or it was cancelled."""
    other = new_id()

    def drawn(*_: Any) -> None:
        house.clock.pass_by(60)
        with house.app.database.ingest() as unit:
            until = house.clock.now + timedelta(seconds=60)
            deliveries.take(unit, sink, house.clock.now, lease=other, until=until, most=1)
            unit.commit()

    monkeypatch.setattr(deliver_module, "chart_of", drawn)
    monkeypatch.setattr(WebhookSink, "draws", True)
    with receiver() as hook:
        sink = house.sink(hook.url)
        (first, _) = house.put(sink, 2)
        house.deliver.run(sink)
        # The rest of the hand was lost as well, and the turn has come to its end.
        assert hook.count() == 0
        assert house.attempts(first) == []
        assert house.rows("SELECT lease, state FROM deliveries WHERE lease IS NOT NULL") == [(other, "waiting")]
        assert house.get(sink).health.failures == 0


def test_what_is_sent_again_lately_is_not_forgotten_by_its_age(house: Outward) -> None:
    with receiver() as hook:
        sink = house.sink(hook.url)
        house.put(sink, 2)
        with house.app.database.ingest() as unit:
            deliveries.bury(unit, sink, "test", house.clock.now)
            unit.commit()
        house.clock.pass_by(29 * 86_400)
        with house.app.database.ingest() as unit:
            assert deliveries.resend(unit, sink, house.clock.now) == 2
            unit.commit()
        house.clock.pass_by(2 * 86_400)
        with house.app.database.ingest() as unit:
            assert delivery_history.prune(unit, house.clock.now) == 0
            unit.commit()
        house.deliver.run(sink)
        assert hook.count() == 2
        house.clock.pass_by(6 * 86_400)
        with house.app.database.ingest() as unit:
            assert delivery_history.prune(unit, house.clock.now) == 0
            assert delivery_history.prune(unit, house.clock.now + timedelta(days=2)) == 2
            unit.rollback()


def test_a_hand_is_cut_by_bytes_and_a_pipeline_feeds_a_bounded_number_of_sinks(
    house: Outward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "HAND_BYTES", 20)
    house.pipeline()
    first = house.sink("http://127.0.0.1:9/x", name="S0", pipelines=["orders"])
    house.put(first, 6)
    with house.app.database.ingest() as unit:
        now = house.clock.now
        taken = [
            len(deliveries.take(unit, first, now, lease=new_id(), until=now + timedelta(seconds=9), most=50))
            for _ in range(3)
        ]
        unit.rollback()
    # Seven bytes each: the one that fills it is the last.
    assert taken == [3, 3, 0]
    for number in range(1, MOST_SINKS_OF_PIPELINE):
        house.sink("http://127.0.0.1:9/x", name=f"S{number}", pipelines=["orders"])
    with pytest.raises(Invalid, match="orders go to 20 sinks already"):
        house.sink("http://127.0.0.1:9/x", name="One more", pipelines=["orders"])
    # One that is among them can still be changed.
    document = {"name": "S", "options": {"url": "http://127.0.0.1:9/y"}, "pipelines": ["orders"]}
    with house.app.database.team(house.team) as unit:
        assert sink_setup.update_sink(unit, house.app, first, document, "test").name == "S"


def test_a_preview_shows_what_would_be_sent_and_sends_nothing(house: Outward) -> None:
    pipeline = house.pipeline()
    house.post(pipeline, *({"n": n, "site": "roof"} for n in range(5)))
    document = {
        "name": "Hook",
        "kind": "webhook",
        "options": {"url": "https://example.org/x"},
        "pipelines": ["orders"],
        "where": "n >= 2",
        "batch": {"size": 2},
    }
    with house.app.database.team(house.team) as unit:
        made = sink_setup.preview(unit, house.app, document)
        assert (made.looked_at, made.kept) == (5, 3)
        assert [[r["n"] for r in one.records] for one in made.messages] == [[3, 4], [2]]
        assert made.messages[0].message is not None
        assert "site: roof" in made.messages[0].message.text
    assert house.rows("SELECT count(*) FROM deliveries") == [(0,)]


def test_a_condition_that_the_mapping_outgrew_keeps_its_records_as_dead_letters(house: Outward) -> None:

    pipeline = house.pipeline()
    sink = house.sink("http://127.0.0.1:9/x", pipelines=["orders"], where="site = 'roof'")
    with house.app.database.team(house.team) as unit:
        catalog.save_mapping(unit, pipeline, {"fields": [{"name": "n", "path": "$.n", "type": "number"}]})
        unit.commit()
    house.post(pipeline, {"n": 1}, {"n": 2})
    (one,) = house.listed(sink)
    assert (one.state, one.records) == ("dead", 2)
    assert "site" in one.error


def test_a_template_that_fails_makes_a_dead_letter_which_is_sent_once_it_is_mended(house: Outward) -> None:
    with receiver() as hook:
        pipeline = house.pipeline()
        document = {"pipelines": ["orders"], "options": {"body": "text"}}
        bad = {"title": "{{ record.site | upper }}", "body": "{% for r in records %}{{ 6 / r.n }};{% endfor %}"}
        sink = house.sink(hook.url, template=bad, **document)
        house.post(pipeline, {"n": 0, "site": "a"}, {"n": 2, "site": "b"})
        house.deliver.run(sink)
        assert [one.body for one in hook.got] == [b"3.0;"]
        (dead,) = [one for one in house.listed(sink) if one.state == "dead"]
        assert "template's body" in dead.error
        assert house.get(sink).health.failures == 0
        with house.app.database.team(house.team) as unit:
            whole = {"name": "Hook", **document, "template": {"body": "n is {{ record.n }}"}}
            whole["options"] = {"url": hook.url, **document["options"]}
            sink_setup.update_sink(unit, house.app, sink, whole, "test")
            sink_setup.resend(unit, sink, "test", delivery=dead.id)
            unit.commit()
        house.clock.pass_by(60)
        house.deliver.run(sink)
        assert (hook.got[-1].body, hook.got[-1].id) == (b"n is 0.0", outbox.message_id(dead.id))
        # The secret was left out, and is still the one that signs.
        StandardWebhooks().verify(hook.got[-1].body, hook.got[-1].headers, [house.secret(sink)], time.time())
        with house.app.database.team(house.team) as unit, pytest.raises(Invalid) as error:
            sink_setup.update_sink(unit, house.app, sink, {**whole, "template": {"body": "{{ recrd }}"}}, "test")
        assert error.value.problems[0][0] == "template.body"


def test_while_a_secret_changes_both_sign(house: Outward) -> None:
    with receiver() as hook:
        sink = house.sink(hook.url)
        before = house.secret(sink)
        with house.app.database.team(house.team) as unit:
            after = sink_setup.rotate_secret(unit, house.app, sink, "test")
            unit.commit()
        house.put(sink)
        house.deliver.run(sink)
        for secret in (before, after):
            Webhook(secret).verify(hook.got[0].body, hook.got[0].headers)


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "", "kind": "fax"}, ["name", "kind"]),
    ({"options": {"url": "ftp://x"}}, ["options.url"]),
    ({"options": {"url": "https://u:p@example.org/"}}, ["options.url"]),
    ({"options": {"headers": {"a\r\nb": "x", "x": "a\nb", "Host": "x"}}}, ["options.headers.a\r\nb"]),
    ({"options": {"secret": "whsec_!!!"}}, ["options.secret"]),
    ({"pipelines": ["nothing"]}, ["pipelines[0]"]),
    ({"where": "n > 1"}, ["where"]),
    ({"pipelines": ["orders"], "where": "nosuch > 1"}, ["where"]),
    ({"batch": {"size": 0, "seconds": 3601}}, ["batch.size", "batch.seconds"]),
    ({"template": {"text": "x"}}, ["template"]),
]


def test_a_wrong_document_says_every_place(house: Outward) -> None:
    house.pipeline()
    for document, places in WRONG:
        whole = {"name": "Hook", "kind": "webhook", **document}
        whole["options"] = {"url": "https://example.org/x", **document.get("options", {})}
        with house.app.database.team(house.team) as unit, pytest.raises(Invalid) as error:
            sink_setup.create_sink(unit, house.app, house.team, whole, "test")
        assert {place for place, _ in error.value.problems} >= set(places), document


def test_a_worker_that_ends_finishes_its_attempt_and_gives_the_rest_back(house: Outward) -> None:
    reached, answer = threading.Event(), threading.Event()

    def slowly(id: str, count: int) -> str:
        reached.set()
        answer.wait(10)
        return OK

    with receiver(slowly) as hook:
        sink = house.sink(hook.url, options={"timeout_seconds": 30})
        house.put(sink, 5)
        ending = Deliver(house.app, clock=house.clock)
        ending.submit(sink)
        assert reached.wait(10)
        ending.stop()
        answer.set()
        ending.close()
        assert sorted(one.state for one in house.listed(sink)) == ["sent", *["waiting"] * 4]
        # At once, and not when the lease would have ended.
        with house.app.database.ingest() as unit:
            assert deliveries.due_sinks(unit, house.clock.now) == [sink]
        house.deliver.run(sink)
        assert {one.state for one in house.listed(sink)} == {"sent"}
        assert hook.count() == 5


def test_a_sink_that_hangs_holds_up_neither_the_clock_nor_other_sinks(house: Outward) -> None:
    with receiver(lambda id, count: HANG) as hangs, receiver() as good:
        silent = house.sink(hangs.url, name="Silent", options={"timeout_seconds": 60})
        healthy = house.sink(good.url, name="Healthy")
        house.put(silent, 300)
        house.put(healthy, 20)
        deliver = Deliver(house.app, clock=house.clock)
        for _ in range(THREADS):
            deliver.submit(silent)
        wait_until(lambda: hangs.count() == SINK_PLACES, 20, "for the places of the sink that hangs")
        deliver.submit(healthy)
        wait_until(lambda: good.count() == 20, 20, "for the healthy sink")
        assert hangs.count() == SINK_PLACES
    # Now that the other side is gone the attempts end, and with them the threads.
    deliver.close()
