"""What keeps rules from harming others (long names, many series, slow reads, trials); what is told when one goes."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from dash_app.app import App
from dash_app.domain.errors import Conflict, Invalid, TooManyRequests
from dash_app.domain.query import TooSlow
from dash_app.pipelines import setup
from dash_app.pipelines.alerts import backtest
from dash_app.pipelines.alerts import evaluator as alerting
from dash_app.pipelines.alerts import look as alert_look
from dash_app.pipelines.alerts import setup as alert_setup
from dash_app.pipelines.alerts.evaluator import Evaluator
from dash_app.storage import alert_mutes, alert_reads, alert_watches, alerts, deliveries, sinks
from tests.integration.conftest import House
from tests.integration.test_alerting import MINUTE, Scene, live_intervals

BY_SITE: dict[str, Any] = {"pipeline": "weather", "select": [{"field": "temp", "agg": "max"}], "by": ["site"]}
P90: dict[str, Any] = {"pipeline": "weather", "select": [{"field": "temp", "agg": "p90"}]}


@pytest.fixture
def scene(house: House, open_app: Callable[[], App]) -> Scene:
    return Scene(house, open_app)


def errors(scene: Scene) -> dict[str, str]:
    return dict(scene.house.rows("SELECT slug, error FROM alerts"))


def test_a_long_value_has_a_short_name_and_harms_nobody(scene: Scene) -> None:
    many = scene.rule("many", query=BY_SITE)
    other = scene.rule("other")
    # Nothing in it repeats, so that no index makes it short.
    long = "".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyzæøå", k=9000))
    scene.feed((scene.now, 40.0, long), (scene.now, 40.0, long + "!"), (scene.now, 40.0, "roof"))
    scene.look(scene.now + MINUTE)
    states = scene.states(many)
    assert list(states.values()) == ["firing"] * 3
    assert max(len(key.encode()) for key in states) < 100
    assert scene.states(other) == {"{}": "firing"}
    with scene.house.app.database.team(scene.house.team) as unit:
        assert alert_setup.acknowledge(unit, "many", scene.author, series={"site": long}) == 1


def test_what_fires_is_not_cut_off_by_new_series(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_look, "MOST_SERIES", 2)
    many = scene.rule("many", query=BY_SITE, window="2m")
    scene.feed((scene.now, 40.0, "y"), (scene.now, 10.0, "z"))
    scene.look(scene.now + MINUTE)
    assert scene.states(many) == {'{"site":"y"}': "firing", '{"site":"z"}': "ok"}
    scene.feed(*((scene.now, 40.0, site) for site in "abc"), (scene.now, 10.0, "y"), (scene.now, 10.0, "z"))
    scene.look(scene.now + 2 * MINUTE)
    assert scene.states(many) == {'{"site":"y"}': "ok", '{"site":"z"}': "ok"}
    assert errors(scene)["many"].startswith("there are more than 1,000 series")
    scene.feed((scene.now, 10.0, "y"))
    scene.look(scene.now + 4 * MINUTE)
    assert errors(scene)["many"] == ""


def test_a_series_that_has_been_gone_for_days_is_forgotten_and_told_to_be_over(scene: Scene) -> None:
    many = scene.rule("many", query=BY_SITE)
    scene.feed((scene.now, 10.0, "roof"))
    scene.look(scene.now + MINUTE)
    # That it has data is noted once a day, in the same look as what changes.
    scene.now += timedelta(days=2)
    scene.feed((scene.now, 40.0, "roof"))
    scene.look(scene.now + MINUTE)
    assert scene.states(many) == {'{"site":"roof"}': "firing"}
    scene.look(scene.now + timedelta(days=6))
    assert scene.states(many) == {'{"site":"roof"}': "no_data"}
    # Another evaluator, which knows only what was written.
    scene.evaluator = scene.another()
    scene.look(scene.now + timedelta(days=2))
    assert scene.states(many) == {}
    told = [("many", "firing"), ("many", "no_data"), ("many", "resolved")]
    assert scene.messages() == told
    scene.look(scene.now + MINUTE)
    assert scene.messages() == told


def test_a_slow_rule_or_shape_fails_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerting, "PATIENCE", 0.2)
    monkeypatch.setattr(alert_watches, "drifts", lambda unit, *_: unit.value("SELECT 1 FROM pg_sleep(30)"))
    scene.rule("slow", query=None, pipeline="weather", watch="drift", condition=None)
    shared = scene.rule("shared")
    window = scene.rule("window", query=P90)
    scene.feed((scene.now, 40.0, "roof"))
    scene.look(scene.now + MINUTE)
    assert (scene.states(shared), scene.states(window)) == ({"{}": "firing"}, {"{}": "firing"})
    assert "took too long" in errors(scene)["slow"]
    assert [errors(scene)[slug] for slug in ("shared", "window")] == ["", ""]
    rule = next(one for one in scene.evaluator._known[scene.pipeline].plan.rules if one.spec.slug == "slow")
    assert rule.rests_until is not None
    assert rule.rests_until >= scene.now + alert_look.FAILED_REST

    where = scene.rule("where", query={**BY_SITE, "where": "site like 'r%'"})
    ask = alert_reads.MinuteReader.ask

    def slow(self: alert_reads.MinuteReader, unit: Any, *bounds: Any) -> Any:
        if b"like" in self.sql.lower():
            return ask(self, unit, *bounds)
        return unit.execute("SELECT FROM pg_sleep(30)")

    with monkeypatch.context() as broken:
        broken.setattr(alert_reads.MinuteReader, "ask", slow)
        scene.look(scene.now + MINUTE)
    assert "took too long" in errors(scene)["shared"]
    assert [errors(scene)[slug] for slug in ("window", "where")] == ["", ""]
    assert scene.states(where) == {'{"site":"roof"}': "firing"}
    scene.look(scene.now + MINUTE)
    assert errors(scene)["shared"] == ""


def test_rules_read_alone_wait_for_their_turn_and_those_that_share_do_not(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, shared = scene.rule("window", query=P90), scene.rule("shared")
    scene.feed((scene.now, 40.0, "roof"))
    scene.now += MINUTE
    with monkeypatch.context() as spent:
        spent.setattr(alerting, "ALLOWANCE", 0.0)
        scene.evaluator.look()
    assert (scene.states(window), scene.states(shared)) == ({}, {"{}": "firing"})
    # What was left is due a moment later.
    scene.now += timedelta(seconds=1)
    # A pipeline whose last look was slow is looked at all the same, in a transaction of its own.
    scene.evaluator._slow.add(scene.pipeline)
    assert scene.evaluator.look() == 0
    assert scene.states(window) == {"{}": "firing"}
    assert scene.evaluator._slow == set()


def test_a_team_pays_back_what_its_rules_took(scene: Scene) -> None:
    team, pipeline = uuid4(), uuid4()
    turn: Any = SimpleNamespace(team=team, pipeline=pipeline)
    assert scene.evaluator._allowance(team) == alert_look.ALLOWANCE
    scene.evaluator._spent(turn, 5.0)
    assert scene.evaluator._allowance(team) < 0
    assert scene.evaluator._allowance(uuid4()) == alert_look.ALLOWANCE
    assert pipeline in scene.evaluator._slow


def test_receivers_hear_of_the_end_of_what_is_deleted_or_changed(scene: Scene) -> None:
    scene.rule("gone")
    changed = scene.rule("changed", query=BY_SITE)
    scene.feed((scene.now, 40.0, "roof"))
    scene.look(scene.now + MINUTE)
    assert sorted(scene.messages()) == [("changed", "firing"), ("gone", "firing")]
    with scene.house.app.database.team(scene.house.team) as unit:
        alert_setup.delete_alert(unit, "gone", scene.author)
        found = alerts.get(unit, changed)
        alert_setup.update_alert(unit, "changed", {**found.document, "query": {"pipeline": "weather"}}, scene.author)
        unit.commit()
    assert scene.messages()[2:] == [("gone", "resolved"), ("changed", "resolved")]
    assert scene.events(changed)[-1] == ('{"site":"roof"}', "resolved", True)


def test_rules_of_archived_pipelines_do_not_fire(scene: Scene) -> None:
    scene.rule("hot")
    scene.feed((scene.now, 40.0, "roof"))
    scene.look(scene.now + MINUTE)
    with scene.house.app.database.team(scene.house.team) as unit:
        assert alerts.counts(unit)["firing"] == len(alerts.firing(unit)) == 1
        setup.archive(unit, "weather", scene.author)
        assert alerts.counts(unit)["firing"] == len(alerts.firing(unit)) == 0


def test_a_rule_tells_only_sinks_that_there_are_and_that_take_alerts(scene: Scene) -> None:
    with scene.house.app.database.team(scene.house.team) as unit:
        sinks.create(unit, scene.house.team, slug="table", name="Table", kind="postgres", options={})
        unit.commit()
    with pytest.raises(Invalid) as caught:
        scene.rule("hot", sinks=["hook", "table"])
    assert caught.value.problems == (("sinks[1]", "'table' is of the kind postgres, which takes records alone"),)
    with scene.house.app.database.team(scene.house.team) as unit:
        document = {"name": "a", "slug": "a", "query": {"pipeline": "weather"}, "condition": {"type": "missing"}}
        spec, pipeline, found = alert_setup.check_alert(unit, {**document, "sinks": ["hook"]})
        with scene.house.app.database.team(scene.house.team) as meanwhile:
            sinks.delete(meanwhile, scene.sink)
            meanwhile.commit()
        with pytest.raises(Conflict, match="deleted just now"):
            alerts.create(unit, scene.house.team, spec, pipeline.id, list(found.values()))


def test_few_trials_run_at_once_and_none_for_long(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.rule("hot")
    scene.feed((scene.now, 40.0, "roof"))
    with scene.house.app.database.team(scene.house.team) as unit:
        document = alerts.get(unit, "hot").document
        reach = {"start": scene.now - 10 * MINUTE, "end": scene.now + 10 * MINUTE, "now": scene.now + 10 * MINUTE}
        assert backtest.run(unit, document, **reach).fired == 1
        with backtest._places.take(scene.house.team), pytest.raises(TooManyRequests) as busy:
            backtest.run(unit, document, **reach)
        assert busy.value.retry_after == 5
        with backtest._places.take(uuid4()), backtest._places.take(uuid4()), pytest.raises(TooManyRequests):
            backtest.run(unit, document, **reach)
        assert backtest._places.free
        monkeypatch.setattr(backtest, "SECONDS", 0.0)
        with pytest.raises(TooSlow, match="shorter range"):
            backtest.run(unit, document, **reach)


def test_an_anomaly_is_held_against_the_same_hours_of_past_weeks(scene: Scene) -> None:
    rng = random.Random(11)
    begin = scene.now
    # The second hour is another one than the first: what is usual changes with it.
    usual = [(minute, 18.0 if minute < 60 else 28.0) for minute in range(-10, 130)]
    for week in (1, 2, 3):
        first = begin - timedelta(weeks=week)
        for site in ("roof", "lab"):
            scene.feed(
                *((first + minute * MINUTE, round(base + rng.uniform(-1, 1), 2), site) for minute, base in usual)
            )
    alert = scene.rule("odd", query={**BY_SITE, "select": [{"field": "temp", "agg": "avg"}]}, window="5m",
                       condition={"type": "anomaly", "weeks": 3, "deviations": 4}, no_data_state="ok")  # fmt: skip
    for minute in range(100):
        base = 18.0 if minute < 60 else 28.0
        odd = 12.0 if 20 <= minute < 30 or 80 <= minute < 85 else 0.0
        scene.feed((scene.now, base + odd, "roof"), (scene.now, base, "lab"))
        scene.look(scene.now + MINUTE)
    with scene.house.app.database.team(scene.house.team) as unit:
        tried = backtest.run(unit, alerts.get(unit, alert).document, start=begin + MINUTE, end=scene.now, now=scene.now)
        live = live_intervals(unit, alert)
    found = {(json.dumps(dict(i.series)), i.state, i.start, i.end) for i in tried.intervals}
    assert found == live
    fired = {(one[0], round((one[2] - begin) / MINUTE)) for one in live}
    assert {('{"site": "roof"}', 21), ('{"site": "roof"}', 81)} <= fired


def test_what_grows_is_kept_in_bounds(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    alert = scene.rule("hot")
    with scene.house.app.database.ingest() as unit:
        for what, days in (("pending", 15), ("pending", 13), ("firing", 15), ("firing", 401)):
            unit.execute(
                "INSERT INTO alert_events (alert_id, team_id, series, at, what) "
                "VALUES (%s, %s, '{}', now() - make_interval(days => %s), %s)",
                (alert, scene.house.team, days, what),
            )
        assert alerts.prune(unit) == 2
        unit.commit()
    monkeypatch.setattr(alert_mutes, "MOST_SILENCES", 1)
    monkeypatch.setattr(alert_mutes, "MOST_WINDOWS", 0)
    quiet = {"matchers": {"alert": "hot"}, "duration": "1h"}
    with scene.house.app.database.team(scene.house.team) as unit:
        first = alert_setup.create_silence(unit, scene.house.team, quiet, scene.author)
        with pytest.raises(Conflict, match="silences already"):
            alert_setup.create_silence(unit, scene.house.team, quiet, scene.author)
        alert_setup.end_silence(unit, first.id, scene.author)
        alert_setup.create_silence(unit, scene.house.team, quiet, scene.author)
        with pytest.raises(Conflict, match="windows already"):
            alert_setup.create_window(
                unit, scene.house.team, {"name": "N", "from": "now", "to": "now+1h"}, scene.author
            )


def test_the_time_is_the_databases_where_no_clock_is_given(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    alert = scene.rule("hot")
    scene.feed((scene.now, 40.0, "roof"))
    monkeypatch.setattr(deliveries, "clock", lambda unit: scene.now + MINUTE)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    Evaluator(scene.house.app).look()
    assert scene.house.rows("SELECT at FROM alert_events WHERE alert_id = %s", (alert,)) == [(scene.now + MINUTE,)]
