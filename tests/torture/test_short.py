"""The short form of the torture, and the test of the test: bugs planted on purpose are found."""

from __future__ import annotations

import re

import pytest

from tests.torture import sinks
from tests.torture.run import Plan, torture


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_or_doubled_whatever_dies() -> None:
    result = torture(Plan(seed=20260102, rounds=3, posts=40))
    assert result.findings == [], f"seed {result.seed}, after {result.faults}"
    assert result.rounds == 3
    assert result.counts["records"] > 100
    assert result.counts["answers duplicate"] > 0
    assert result.faults["replays"] > 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("bug", "faults", "told"),
    [
        ("ack_before_commit", ("node",), "was acknowledged as payload"),
        ("no_ledger", (), "was accepted 2 times"),
        ("id_after_last", (), "batches still wait"),
        ("queue_alone", ("workers",), "batches still wait"),
        # What a swap leaves out shows by what is missing or not counted, or where there is a key by what stands in its
        # place.
        ("swap_early", ("consumer",), "is missing|is there and should not be|counts of .* should be"),
        ("live_mapped_again", (), "is there 2 times"),
        ("live_forgets_the_shadow", (), "is missing"),
        ("released_before_the_manifest", (), "bronze does not have"),
    ],
)
def test_a_planted_bug_is_found(bug: str, faults: tuple[str, ...], told: str) -> None:
    replays = bug in ("swap_early", "live_mapped_again", "live_forgets_the_shadow")
    workers = 2 if replays else 1
    plan = Plan(seed=7, rounds=12, posts=60, workers=workers, bug=bug, faults=faults, drain_seconds=10, replays=replays)
    result = torture(plan)
    assert any(re.search(told, line) for line in result.findings), (
        f"not found in {result.rounds} rounds: {result.findings}"
    )


@pytest.mark.timeout(120)
def test_every_message_reaches_a_sink_that_fails_in_every_way_while_workers_die() -> None:
    result = sinks.torture(sinks.Plan(seed=20260103, deliveries=300, kills=1, seconds=90, whole=False))
    assert result.findings == []
    assert (result.deliveries, result.kills) == (300, 1)
    assert len(result.behaved) > 4
