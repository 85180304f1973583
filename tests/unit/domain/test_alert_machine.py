"""The states of an alert: what is bad, when it fires, and who hears of it. Properties over made-up histories."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.alert_machine import (
    Event,
    Observation,
    Reference,
    State,
    Timing,
    judge,
    percentile,
    rounded,
    step,
)
from dash_app.domain.alerts import Condition

START = datetime(2026, 1, 5, tzinfo=UTC)
GOOD, BAD, BETWEEN, NOTHING = (
    Observation(1.0, bad=False, good=True),
    Observation(9.0, bad=True, good=False),
    Observation(5.0, bad=False, good=False),
    Observation(None, bad=None, good=False),
)


@dataclass(frozen=True)
class Look:
    """One look of a made-up history: so long after the one before."""

    seen: Observation
    after: timedelta
    muted: bool = False
    quiet: bool = False


LOOKS = st.lists(
    st.builds(
        Look,
        st.sampled_from([GOOD, BAD, BETWEEN, NOTHING]),
        st.integers(1, 300).map(lambda s: timedelta(seconds=s)),
        st.booleans(),
        st.integers(0, 9).map(lambda n: n == 0),
    ),
    max_size=60,
)
SPANS = st.sampled_from([timedelta(), timedelta(minutes=1), timedelta(minutes=5)])
TIMINGS = st.builds(Timing, SPANS, SPANS, st.sampled_from(["ok", "no_data", "firing", "keep"]), SPANS)


def run(
    timing: Timing, looks: list[Look], *, mutes: bool = True, quiets: bool = True
) -> list[tuple[State, list[Event]]]:
    state, at, found = State(), START, []
    for look in looks:
        at += look.after
        state, events = step(timing, state, look.seen, at, muted=mutes and look.muted, quiet=quiets and look.quiet)
        found.append((state, events))
    return found


@given(TIMINGS, LOOKS)
def test_receivers_hear_of_ends_of_what_they_were_told_alone_and_of_nothing_twice(
    timing: Timing, looks: list[Look]
) -> None:
    last = ""
    for state, events in run(timing, looks, quiets=False):
        told = [event for event in events if event.tell]
        assert len(told) <= 1
        for event in told:
            if event.what == "repeated":
                assert last == event.after == "firing"
                continue
            now = "" if event.after in ("ok", "pending") else event.after
            assert now != last
            last = now
        assert state.told == last


@given(TIMINGS, LOOKS)
def test_what_is_told_changes_nothing_about_the_states(timing: Timing, looks: list[Look]) -> None:
    told, silent = run(timing, looks), run(timing, looks, mutes=False, quiets=False)
    assert [(s.state, s.since, s.value) for s, _ in told] == [(s.state, s.since, s.value) for s, _ in silent]


@given(TIMINGS, LOOKS)
def test_once_nothing_is_silent_receivers_know_where_it_stands(timing: Timing, looks: list[Look]) -> None:
    for look, (state, _) in zip(looks, run(timing, looks, quiets=False), strict=True):
        if not look.muted and state.state != "pending":
            assert state.told == (state.state if state.state in ("firing", "no_data") else "")


@given(TIMINGS, LOOKS)
def test_it_fires_after_it_was_bad_for_so_long_and_is_over_after_it_was_good_for_so_long(
    timing: Timing, looks: list[Look]
) -> None:
    bad_since = good_since = None
    at = START
    before = "ok"
    for look, (state, _) in zip(looks, run(timing, looks), strict=True):
        at += look.after
        bad, good = look.seen.bad, look.seen.good
        if bad is None:
            bad = {"firing": True, "ok": False}.get(timing.no_data_state)
            good = timing.no_data_state == "ok"
        if bad is not None:
            bad_since = (bad_since or at) if bad else None
            good_since = (good_since or at) if good else None
        elif timing.no_data_state == "no_data":
            bad_since = good_since = None
        if state.state == "firing" and before != "firing":
            assert bad_since is not None
            assert at - bad_since >= timing.pending_for
        if before == "firing" and state.state == "ok":
            assert good_since is not None
            assert at - good_since >= timing.keep_firing_for
        if before == "firing" and state.state == "pending":
            raise AssertionError("what fires does not wait again")
        before = state.state


@given(TIMINGS, LOOKS)
def test_every_change_of_state_is_one_event(timing: Timing, looks: list[Look]) -> None:
    before = "ok"
    for state, events in run(timing, looks):
        moved = [(event.before, event.after) for event in events if event.before != event.after]
        assert moved == ([(before, state.state)] if before != state.state else [])
        before = state.state


def test_a_rewriting_of_history_is_told_to_nobody_until_something_else_happens() -> None:
    timing = Timing(timedelta(), timedelta(), "ok", timedelta(minutes=1))
    minute = timedelta(minutes=1)
    looks = [
        Look(BAD, minute, quiet=True),
        Look(BAD, minute),
        Look(BAD, 5 * minute),
        Look(GOOD, minute),
        Look(BAD, minute),
    ]
    tells = [[event.tell for event in events] for _, events in run(timing, looks)]
    assert tells == [[False], [], [], [False], [True]]


def test_an_end_by_a_rewriting_of_history_is_not_told_either() -> None:
    timing = Timing(timedelta(), timedelta(), "ok", timedelta())
    minute = timedelta(minutes=1)
    found = run(timing, [Look(BAD, minute), Look(GOOD, minute, quiet=True), Look(GOOD, minute), Look(BAD, minute)])
    assert [[event.tell for event in events] for _, events in found] == [[True], [False], [], [True]]


def test_what_is_acknowledged_is_not_repeated() -> None:
    timing = Timing(timedelta(), timedelta(), "ok", timedelta(minutes=10))
    state, _ = step(timing, State(), BAD, START)
    later = START + timedelta(minutes=11)
    assert [event.what for event in step(timing, state, BAD, later)[1]] == ["repeated"]
    seen_to = State(**{name: getattr(state, name) for name in State.__slots__} | {"acknowledged": True})
    assert step(timing, seen_to, BAD, later)[1] == []
    over, _ = step(timing, seen_to, GOOD, later)
    assert not over.acknowledged


# Judging -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "limit", "recover", "value", "bad", "good"),
    [
        (">", (30.0,), None, 30.0, False, True),
        (">", (30.0,), None, 30.1, True, False),
        (">", (30.0,), (28.0,), 29.0, False, False),
        (">", (30.0,), (28.0,), 28.0, False, True),
        (">=", (30.0,), None, 30.0, True, False),
        ("<", (10.0,), (12.0,), 11.0, False, False),
        ("<=", (10.0,), None, 10.0, True, False),
        ("outside", (10.0, 20.0), None, 20.0, False, True),
        ("outside", (10.0, 20.0), (12.0, 18.0), 19.0, False, False),
        ("outside", (10.0, 20.0), (12.0, 18.0), 9.0, True, False),
        ("inside", (10.0, 20.0), None, 15.0, True, False),
        ("inside", (10.0, 20.0), (8.0, 22.0), 21.0, False, False),
        ("inside", (10.0, 20.0), (8.0, 22.0), 23.0, False, True),
    ],
)
def test_thresholds(
    op: str, limit: tuple[float, ...], recover: tuple[float, ...] | None, value: float, bad: bool, good: bool
) -> None:
    seen = judge(Condition("threshold", op, limit, recover), value)
    assert (seen.bad, seen.good) == (bad, good)


def test_a_change_is_held_against_what_was() -> None:
    more = Condition("change", ">", (50.0,), relative=True)
    assert judge(more, 3.0, Reference(2.0)) == Observation(50.0, bad=False, good=True)
    assert judge(more, 1.0, Reference(-4.0)).value == 125.0
    assert judge(more, 1.0, Reference(0.0)) == Observation(inf, bad=True, good=False)
    assert judge(more, 0.0, Reference(0.0)).bad is False
    assert judge(more, 1.0, Reference()).bad is None
    assert judge(more, 1.0).bad is None
    assert judge(Condition("change", "<", (-2.0,)), 1.0, Reference(4.0)) == Observation(-3.0, bad=True, good=False)


def test_what_is_unusual_needs_a_usual() -> None:
    anomaly = Condition("anomaly", deviations=3)
    assert judge(anomaly, 10.0, Reference(4.0, 1.5)).bad is True
    assert judge(anomaly, 8.5, Reference(4.0, 1.5)).bad is False
    assert judge(anomaly, 10.0, Reference()).bad is False
    assert judge(anomaly, 0.1 + 0.2, Reference(0.3, 0.0)).bad is False
    above = Condition("quantile", ">", quantile=0.9)
    assert judge(above, 5.0, Reference(4.0)).bad is True
    assert judge(above, 5.0).bad is False


def test_missing_is_bad_and_nothing_else_is_judged_without_data() -> None:
    missing = Condition("missing")
    assert judge(missing, None) == judge(missing, 0.0) == Observation(0.0, bad=True, good=False)
    assert judge(missing, 2.0) == Observation(2.0, bad=False, good=True)
    assert judge(Condition("threshold", ">", (1.0,)), None).bad is None
    assert judge(Condition("threshold", ">", (1.0,)), nan).bad is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_order_of_adding_decides_nothing(values: list[float]) -> None:
    shuffled = sorted(values)
    spread = max(map(abs, values)) or 1.0
    one, other = sum(values) / len(values), sum(shuffled) / len(values)
    # Where digits cancel there is less to compare than twelve of them.
    if abs(one) > spread * 1e-2:
        assert rounded(one) == pytest.approx(rounded(other), rel=1e-11)


def test_percentiles_lie_between_the_nearest_as_in_the_database() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert percentile([10.0, 20.0], 0.9) == 19.0
    assert percentile([7.0], 0.99) == 7.0
