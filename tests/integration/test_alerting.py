"""Rules evaluated over a real database: what fires, who is told, and that history answers what live evaluation did."""

from __future__ import annotations

import json
import multiprocessing
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from dash_app.app import App
from dash_app.domain.access import Principal, Role
from dash_app.domain.changes import AlertChanged
from dash_app.domain.errors import Invalid
from dash_app.domain.ids import new_id
from dash_app.live.subscriptions import open_view
from dash_app.pipelines import setup
from dash_app.pipelines.alerts import backtest
from dash_app.pipelines.alerts import setup as alert_setup
from dash_app.pipelines.alerts.evaluator import Evaluator
from dash_app.pipelines.dashboards import create_dashboard
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.query import Queries
from dash_app.pipelines.replay import Replays
from dash_app.settings import Settings
from dash_app.storage import alerts, bronze, catalog, sinks
from tests.integration.conftest import SECRET_KEY, House
from tests.waiting import wait_until

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
REACH = {"from": "now-1h", "to": "now"}
MAPPING: Mapping[str, Any] = {
    "time": {"path": "$.t"},
    "fields": [
        {"name": "temp", "path": "$.temp", "type": "number", "unit": "°C"},
        {"name": "site", "path": "$.site", "type": "text"},
    ],
}


class Scene:
    """A pipeline, an evaluator whose clock is moved by hand, and short ways to feed and to ask."""

    def __init__(self, house: House, open_app: Callable[[], App]) -> None:
        self.house = house
        self.now = START
        self.pipeline = house.pipeline("weather", MAPPING)
        self.ingest = Ingest(house.app)
        self.evaluator = self.another()
        self.author = Principal(new_id(), "ann@example.com", "Ann", house.team, "acme", "Acme", Role.admin)
        with house.app.database.team(house.team) as unit:
            self.sink = sinks.create(
                unit, house.team, slug="hook", name="Hook", kind="webhook", options={"url": "https://example.com/"}
            ).id
            unit.commit()

    def another(self, app: App | None = None) -> Evaluator:
        return Evaluator(app or self.house.app, clock=lambda: self.now, base_url="https://dash.example")

    def rule(self, slug: str, **document: Any) -> UUID:
        base: dict[str, Any] = {
            "name": slug,
            "slug": slug,
            "query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}]},
            "condition": {"type": "threshold", "op": ">", "value": 30},
            "window": "5m",
            "sinks": ["hook"],
        }
        with self.house.app.database.team(self.house.team) as unit:
            made = alert_setup.create_alert(unit, self.house.team, base | document, self.author)
            unit.commit()
        return made.id

    def feed(self, *records: tuple[datetime, float | None, str]) -> None:
        body = [{"t": at.isoformat(), "temp": temp, "site": site} for at, temp, site in records]
        self.house.put(self.pipeline, json.dumps(body).encode())
        self.ingest.run(self.pipeline)
        times = [int(at.timestamp() * 1000) for at, _, _ in records]
        self.evaluator.touched(self.pipeline, min(times), max(times))

    def look(self, at: datetime | None = None) -> None:
        self.now = at or self.now
        self.evaluator.look(everything=True)

    def events(self, alert: UUID) -> list[tuple[str, str, bool]]:
        return self.house.rows("SELECT series, what, told FROM alert_events WHERE alert_id = %s ORDER BY id", (alert,))

    def states(self, alert: UUID) -> dict[str, str]:
        return dict(self.house.rows("SELECT series, state FROM alert_states WHERE alert_id = %s", (alert,)))

    def messages(self) -> list[tuple[str, str]]:
        """(origin, state) of what was put into the outbox, in order."""
        return self.house.rows("SELECT origin, payload ->> 'state' FROM deliveries ORDER BY id")


@pytest.fixture
def scene(house: House, open_app: Callable[[], App]) -> Scene:
    return Scene(house, open_app)


RULES: Mapping[str, Mapping[str, Any]] = {
    "mean": {"query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}], "by": ["site"]},
             "condition": {"type": "threshold", "op": ">", "value": 22, "recover": 20.5}, "for": "2m"},
    "roof": {"query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "max"}], "where": "site = 'roof'"},
             "condition": {"type": "threshold", "op": "outside", "value": [12, 25]}, "window": "2m"},
    "lab": {"query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "max"}], "where": "site = 'lab'"},
            "condition": {"type": "threshold", "op": "outside", "value": [12, 25]}, "window": "2m"},
    "yard": {"query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "max"}], "where": "'yard' = site"},
             "condition": {"type": "threshold", "op": "outside", "value": [12, 25]}, "keep_firing_for": "4m"},
    "few": {"query": {"pipeline": "weather"}, "condition": {"type": "threshold", "op": "<", "value": 25}},
    "sum": {"query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "sum"}], "by": ["site"]},
            "condition": {"type": "threshold", "op": ">=", "value": 200}, "window": "4m"},
    "jump": {"query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "last"}], "by": ["site"]},
             "condition": {"type": "change", "by": "absolute", "over": "10m", "op": "outside", "value": [-4, 4]},
             "window": "1m", "no_data_state": "keep"},
    "gone": {"query": {"pipeline": "weather", "by": ["site"]}, "condition": {"type": "missing"}, "window": "3m"},
    "p90": {"query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "p90"}], "by": ["site"]},
            "condition": {"type": "threshold", "op": ">", "value": 22}, "no_data_state": "firing"},
    "warm": {"query": {"pipeline": "weather", "select": [{"agg": "count"}], "where": "temp > 20"},
             "condition": {"type": "threshold", "op": ">", "value": 12}, "no_data_state": "ok"},
    "unusual": {"query": {"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}]},
                "condition": {"type": "quantile", "op": ">", "quantile": 0.9, "over": "1h"}, "window": "2m"},
}  # fmt: skip


def test_a_backtest_answers_what_live_evaluation_did(scene: Scene) -> None:
    made = {slug: scene.rule(slug, **document) for slug, document in RULES.items()}
    rng = random.Random(7)
    level = {"roof": 18.0, "lab": 18.0, "yard": 18.0}
    begin = scene.now
    for _ in range(100):
        minute = []
        for site in level:
            level[site] += rng.uniform(-1.6, 1.6) - (level[site] - 18) * 0.05
            silent = site == "lab" and rng.random() < 0.4
            count = 0 if silent else rng.randint(1, 3)
            minute += [
                (scene.now + timedelta(seconds=rng.uniform(0, 59.9)), round(level[site] + rng.uniform(-1, 1), 2), site)
                for _ in range(count)
            ]
        scene.feed(*minute)
        scene.look(scene.now + MINUTE)
    fired = 0
    with scene.house.app.database.team(scene.house.team) as unit:
        for slug, alert in made.items():
            document = alerts.get(unit, alert).document
            tried = backtest.run(unit, document, start=begin + MINUTE, end=scene.now, now=scene.now)
            assert tried.step == MINUTE, slug
            found = {(json.dumps(dict(i.series)), i.state, i.start, i.end) for i in tried.intervals}
            assert found == live_intervals(unit, alert), slug
            fired += tried.fired
    # It is no agreement about nothing.
    assert fired > 30


def live_intervals(unit: Any, alert: UUID) -> set[tuple[str, str, datetime, datetime | None]]:
    """Stretches of firing and of no data, from the transitions that live evaluation has noted."""
    found: set[tuple[str, str, datetime, datetime | None]] = set()
    open_ones: dict[str, tuple[str, datetime]] = {}
    for event in reversed(alerts.history(unit, alert, limit=10_000)):
        series = json.dumps(dict(event.series))
        if event.what in ("firing", "no_data", "resolved", "pending"):
            if series in open_ones:
                state, start = open_ones.pop(series)
                found.add((series, state, start, event.at))
            if event.what in ("firing", "no_data"):
                open_ones[series] = (event.what, event.at)
    return found | {(series, state, start, None) for series, (state, start) in open_ones.items()}


def test_many_evaluators_tell_each_transition_once(scene: Scene, open_app: Callable[[], App]) -> None:
    alert = scene.rule(
        "mean", query={**RULES["mean"]["query"]}, condition={"type": "threshold", "op": ">", "value": 30}
    )
    evaluators = [scene.evaluator, *(scene.another(open_app()) for _ in range(3))]
    hot = False
    with ThreadPoolExecutor(len(evaluators)) as pool:
        for _ in range(12):
            hot = not hot
            scene.now += timedelta(minutes=6)
            at = scene.now - timedelta(seconds=5)
            scene.feed((at, 40.0 if hot else 20.0, "roof"), (at, 20.0, "lab"))
            for one in evaluators:
                one.touched(scene.pipeline, *2 * [int(at.timestamp() * 1000)])
            # All at once, and each of them twice: one has the turn, the others leave it, or find nothing new.
            for done in [pool.submit(one.look, everything=True) for one in evaluators * 2]:
                done.result()
            scene.evaluator.look(everything=True)
    whats = [(what, told) for series, what, told in scene.events(alert) if "roof" in series]
    assert whats == [("firing", True), ("resolved", True)] * 6
    assert [state for _, state in scene.messages()] == ["firing", "resolved"] * 6


def test_messages_say_what_happened_in_the_words_of_the_rule(scene: Scene) -> None:
    scene.rule(
        "hot",
        query=RULES["mean"]["query"],
        severity="critical",
        labels={"service": "roof garden"},
        message="{{ series.site }} has {{ value }} {{ unit }}, which is {{ severity }}",
        link="https://example.com/runbook",
    )
    scene.rule("plain", query={"pipeline": "weather", "select": [{"field": "temp", "agg": "max"}]})
    scene.feed((scene.now, 41.5, "roof"))
    scene.look(scene.now + MINUTE)
    found = {
        origin: (title, body, link, payload)
        for origin, title, body, link, payload in scene.house.rows(
            "SELECT origin, title, body, link, payload FROM deliveries"
        )
    }
    title, body, link, payload = found["hot"]
    assert (title, body) == ("Firing: hot (site = roof)", "roof has 41.5 °C, which is critical")
    assert link == "https://example.com/runbook"
    assert payload["alert_link"] == "https://dash.example/alerts/hot"
    assert (payload["series"], payload["value"], payload["threshold"]) == ({"site": "roof"}, 41.5, 30)
    title, body, link, _ = found["plain"]
    assert title == "Firing: plain"
    assert "41.5 °C" in body
    assert "max of temp over 5m is above 30 °C" in body
    assert link == "https://dash.example/alerts/plain"


def test_what_a_swap_alone_changes_is_told_to_nobody(scene: Scene) -> None:
    alert = scene.rule("hot")
    scene.feed((scene.now, 25.0, "roof"))
    scene.look(scene.now + timedelta(seconds=30))
    assert scene.states(alert) == {"{}": "ok"}
    bronze.archive(scene.house.app.database, scene.house.app.objects, scene.pipeline)
    fields = [{"name": "temp", "sql": "raw + 10", "type": "number"}, {"name": "site", "path": "$.site", "type": "text"}]
    raised = {**MAPPING, "fields": [{"name": "raw", "path": "$.temp", "type": "number"}, *fields]}
    with scene.house.app.database.team(scene.house.team) as unit:
        saved = setup.save_mapping(unit, scene.pipeline, raised, "ann", activate="now_and_replay")
        unit.commit()
    replays = Replays(scene.house.app)
    assert saved.replay is not None
    while replays.step(saved.replay) != "ended":
        pass
    scene.look(scene.now + timedelta(seconds=20))
    # 35 now where it was 25: it fires, and is nobody's news, neither now nor when it is over.
    assert scene.states(alert) == {"{}": "firing"}
    assert scene.house.rows("SELECT what, told, muted FROM alert_events") == [
        ("firing", False, "history was mapped anew")
    ]
    scene.feed((scene.now, 0.0, "roof"), (scene.now, 0.0, "lab"), (scene.now, 0.0, "yard"))
    scene.look(scene.now + timedelta(seconds=20))
    assert scene.states(alert) == {"{}": "ok"}
    assert scene.messages() == []
    # What the records do from here on is told.
    scene.now += timedelta(minutes=7)
    scene.feed((scene.now, 30.0, "roof"))
    scene.look(scene.now + timedelta(seconds=20))
    assert scene.messages() == [("hot", "firing")]


def test_silence_holds_back_the_beginning_and_not_the_end(scene: Scene) -> None:
    scene.rule("hot", query={"pipeline": "weather", "select": [{"field": "temp", "agg": "last"}]}, repeat="10m")
    with scene.house.app.database.ingest() as unit:
        unit.execute(
            "INSERT INTO silences (id, team_id, matchers, starts_at, ends_at) VALUES (%s, %s, %s, %s, %s)",
            (new_id(), scene.house.team, json.dumps({"alert": "hot"}), scene.now, scene.now + timedelta(minutes=10)),
        )
        unit.commit()
    scene.feed((scene.now, 40.0, "roof"))
    scene.look(scene.now + MINUTE)
    assert scene.messages() == []
    ((what, muted),) = scene.house.rows("SELECT what, muted FROM alert_events")
    assert what == "firing"
    assert muted.startswith("silence")
    scene.now += timedelta(minutes=10)
    scene.feed((scene.now, 41.0, "roof"))
    scene.look(scene.now + timedelta(seconds=1))
    assert scene.messages() == [("hot", "firing")]
    with scene.house.app.database.team(scene.house.team) as unit:
        assert alert_setup.acknowledge(unit, "hot", scene.author, note="on it") == 1
        unit.commit()
    scene.now += timedelta(minutes=12)
    scene.feed((scene.now, 42.0, "roof"))
    scene.look(scene.now + timedelta(seconds=1))
    assert len(scene.messages()) == 1
    scene.feed((scene.now + timedelta(seconds=2), 3.0, "roof"))
    scene.look(scene.now + timedelta(seconds=3))
    assert scene.messages() == [("hot", "firing"), ("hot", "resolved")]
    with scene.house.app.database.team(scene.house.team) as unit:
        (state,) = alerts.states(unit, alerts.get(unit, "hot").id)
    assert (state.state, state.acknowledged_by) == ("ok", "")


def test_late_records_and_those_that_nobody_heard_of_count(scene: Scene) -> None:
    alert = scene.rule("many", query={"pipeline": "weather"}, condition={"type": "threshold", "op": ">=", "value": 5})
    scene.feed(*[(scene.now + timedelta(seconds=n), 1.0, "roof") for n in range(3)])
    scene.look(scene.now + timedelta(minutes=3))
    assert scene.states(alert) == {"{}": "ok"}
    # Two more for the same minute, three minutes late.
    scene.feed(*[(START + timedelta(seconds=n), 1.0, "lab") for n in range(2)])
    scene.look()
    assert scene.states(alert) == {"{}": "firing"}
    scene.now += timedelta(minutes=10)
    scene.look()
    assert scene.states(alert) == {"{}": "ok"}
    # Unheard: the next look finds it only because it was told that it may have been deaf.
    body = [{"t": (scene.now - timedelta(minutes=3)).isoformat(), "temp": 1, "site": "x"} for _ in range(6)]
    scene.house.put(scene.pipeline, json.dumps(body).encode())
    scene.ingest.run(scene.pipeline)
    scene.evaluator.heard(None)
    scene.look()
    assert scene.states(alert) == {"{}": "firing"}


def test_a_rule_that_cannot_be_evaluated_says_so_and_stops_no_other(scene: Scene) -> None:
    scene.rule("lost", query={"pipeline": "weather", "select": [{"field": "temp", "agg": "p90"}]})
    fine = scene.rule("fine", query={"pipeline": "weather"}, condition={"type": "threshold", "op": ">", "value": 0})
    with scene.house.app.database.team(scene.house.team) as unit:
        fields = [field for field in MAPPING["fields"] if field["name"] != "temp"]
        catalog.save_mapping(unit, scene.pipeline, {**MAPPING, "fields": fields})
        unit.commit()
    scene.feed((scene.now, 1.0, "roof"))
    scene.look(scene.now + MINUTE)
    errors = dict(scene.house.rows("SELECT slug, error FROM alerts"))
    assert "there is no field 'temp'" in errors["lost"]
    assert errors["fine"] == ""
    assert scene.states(fine) == {"{}": "firing"}


def test_pipelines_are_watched_themselves(scene: Scene) -> None:
    for what in ("stale", "rejects", "lag", "failing", "drift"):
        with scene.house.app.database.team(scene.house.team) as unit:
            document = alert_setup.watch_document(catalog.pipeline(unit, "weather"), what)
            alert_setup.create_alert(unit, scene.house.team, {**document, "sinks": ["hook"]}, scene.author)
            unit.commit()
    # Payloads bear the time of the database, whatever the clock of this test says.
    scene.now = datetime.now(UTC)
    scene.feed((scene.now, 1.0, "roof"))
    scene.house.put(scene.pipeline, b'[{"t": "never", "temp": 1}]')
    scene.ingest.run(scene.pipeline)
    scene.look(datetime.now(UTC))
    assert scene.messages() == [("weather_rejects", "firing")]
    scene.look(scene.now + timedelta(minutes=20))
    assert scene.messages()[1:] == [("weather_rejects", "resolved"), ("weather_stale", "firing")]
    scene.house.put(scene.pipeline, b'{"t": "2026-01-01T00:00:00Z", "temp": 1}')
    scene.look(datetime.now(UTC) + timedelta(minutes=2))
    told = scene.messages()[3:]
    assert ("weather_lag", "firing") in told
    with scene.house.app.database.team(scene.house.team) as unit:
        found = alerts.get(unit, "weather_lag").document
        with pytest.raises(Invalid, match="leaves no history"):
            backtest.run(unit, found)


def test_what_is_off_and_what_is_deleted_is_not_evaluated(scene: Scene) -> None:
    alert = scene.rule("hot")
    scene.feed((scene.now, 40.0, "roof"))
    with scene.house.app.database.team(scene.house.team) as unit:
        alert_setup.set_enabled(unit, "hot", scene.author, enabled=False)
        unit.commit()
    scene.look(scene.now + MINUTE)
    assert scene.events(alert) == []
    with scene.house.app.database.team(scene.house.team) as unit:
        alert_setup.set_enabled(unit, "hot", scene.author, enabled=True)
        unit.commit()
    scene.look()
    assert scene.events(alert) == [("{}", "firing", True)]
    with scene.house.app.database.team(scene.house.team) as unit:
        alert_setup.delete_alert(unit, "hot", scene.author)
        unit.commit()
    scene.look(scene.now + MINUTE)
    assert scene.house.rows("SELECT count(*) FROM alert_turns") == [(0,)]


def test_an_archived_pipeline_tells_that_what_fired_is_over(scene: Scene) -> None:
    alert = scene.rule("hot", query={**RULES["mean"]["query"]}, condition={"type": "threshold", "op": ">", "value": 30})
    calm = scene.rule("cold", condition={"type": "threshold", "op": "<", "value": -100})
    scene.feed((scene.now, 40.0, "roof"), (scene.now, 40.0, "lab"))
    scene.look(scene.now + MINUTE)
    assert scene.messages() == [("hot", "firing")] * 2
    with scene.house.app.database.team(scene.house.team) as unit:
        setup.archive(unit, "weather", scene.author)
        unit.commit()
    assert scene.messages()[2:] == [("hot", "resolved")] * 2
    texts = scene.house.rows("SELECT title, body FROM deliveries WHERE payload ->> 'state' = 'resolved' ORDER BY id")
    assert [title for title, _ in texts] == ["Resolved: hot (site = lab)", "Resolved: hot (site = roof)"]
    assert all("Its pipeline was archived." in body for _, body in texts)
    # The rule's history says so; nothing stands as firing, and nobody looks at it any more.
    assert scene.events(alert)[2:] == [('{"site":"lab"}', "resolved", True), ('{"site":"roof"}', "resolved", True)]
    assert (scene.states(alert), scene.states(calm)) == ({}, {})
    assert "was archived" in scene.house.rows("SELECT error FROM alerts WHERE slug = 'cold'")[0][0]
    scene.look(scene.now + 10 * MINUTE)
    assert (len(scene.messages()), scene.events(calm)) == (4, [])


def evaluate(url: str, folder: str) -> None:
    """An evaluator as a worker runs it, until its process is ended."""
    environ = {"DASH_DATABASE_URL": url, "DASH_SECRET_KEY": SECRET_KEY, "DASH_DATA_DIR": folder}
    app = App.open(Settings.load([], environ, program="worker"), url, pool_size=4)
    Evaluator(app).run(threading.Event())


def test_two_evaluator_processes_tell_each_transition_once_also_when_one_dies(
    scene: Scene, database_url: str, tmp_path: Path
) -> None:
    """By the database's own clock: both hear of all records, and either may have the turn of a pipeline."""
    slugs = [f"site_{number}" for number in range(6)]
    pipelines = {slug: scene.house.pipeline(slug, MAPPING) for slug in slugs}
    for slug in slugs:
        query = {"pipeline": slug, "select": [{"field": "temp", "agg": "last"}]}
        scene.rule(f"{slug}_hot", query=query)

    def feed(temp: float) -> None:
        for slug in slugs:
            body = {"t": datetime.now(UTC).isoformat(), "temp": temp, "site": "roof"}
            scene.house.put(pipelines[slug], json.dumps(body).encode())
            scene.ingest.run(pipelines[slug])

    def told() -> list[tuple[str, str]]:
        return scene.house.rows("SELECT origin, payload ->> 'state' FROM deliveries ORDER BY origin, id")

    spawned = multiprocessing.get_context("spawn")
    evaluators = [spawned.Process(target=evaluate, args=(database_url, str(tmp_path)), daemon=True) for _ in range(2)]
    expected: list[str] = []
    try:
        for one in evaluators:
            one.start()
        for number, temp in enumerate((40.0, 20.0, 41.0, 21.0)):
            if number == 2:
                evaluators[0].kill()
            feed(temp)
            expected.append("firing" if temp > 30 else "resolved")
            wait_until(lambda: len(told()) >= len(slugs) * len(expected), seconds=60)
    finally:
        for one in evaluators:
            one.kill()
            one.join(20)
    assert told() == [(f"{slug}_hot", state) for slug in slugs for state in expected]
    events = scene.house.rows(
        "SELECT a.slug, e.what FROM alert_events e JOIN alerts a ON a.id = e.alert_id ORDER BY 1, e.id"
    )
    assert events == told()


def test_what_fires_is_watched_and_noted_on_charts(scene: Scene) -> None:
    scene.rule("hot", query=RULES["mean"]["query"], condition=RULES["mean"]["condition"], severity="critical")
    scene.rule("few", **RULES["few"])
    database, team = scene.house.app.database, scene.house.team
    tile = {"id": 1, "kind": "stat", "gridPos": {"x": 0, "y": 0, "w": 4, "h": 4}, "query": {"pipeline": "weather"}}
    document = {
        "uid": "shop",
        "title": "Shop",
        "time": {"from": "now-1h", "to": "now"},
        "tiles": [tile],
        "annotations": {"list": [{"name": "Fired", "source": "alerts"}]},
    }
    # The channel goes by the real clock.
    scene.now = datetime.now(UTC) - timedelta(minutes=8)
    scene.feed((scene.now, 40.0, "roof"), (scene.now, 10.0, "lab"))
    scene.look(scene.now + timedelta(seconds=1))
    with database.team(team) as unit:
        create_dashboard(unit, team, document, scene.author)
        alert_setup.create_silence(unit, team, {"matchers": {"alert": "few"}, "duration": "1h"}, scene.author)
        unit.commit()
    queries = Queries(database)
    name, view = open_view(database, queries, team, {"kind": "alerts"})
    shown = view.snapshot()
    rows = list(shown.frame.select("alert", "series", "state", "value", "muted").iter_rows())
    assert rows[0] == ("hot", "site = roof", "firing", 40.0, "")
    assert rows[1][:3] == ("few", "", "firing")
    assert rows[1][4].startswith("silence of ann@example.com")
    assert shown.extra["counts"] == {"firing": 2, "no_data": 0, "pending": 0}
    assert view.concerns(AlertChanged("x"))
    assert name == "alerts"
    began = scene.now
    scene.look(scene.now + timedelta(minutes=7))
    _, notes = open_view(database, queries, team, {"kind": "annotations", "dashboard": "shop", "range": REACH})
    noted = notes.snapshot().frame
    found = noted.filter(pl.col("text") == "hot (site = roof): firing").row(0, named=True)
    assert (found["time"], found["time_end"], found["color"]) == (began, scene.now, "red")
    assert notes.concerns(AlertChanged("x"))
