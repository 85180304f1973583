"""When a message is tried again and a sink given up, played through on a clock that only the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dash_app.domain.delivery import (
    BREAKER_FAILURES,
    BREAKER_LONGEST,
    MOST_ASKED,
    MOST_HELD,
    SCHEDULE,
    Standing,
    Verdict,
    is_open,
    judge,
)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = 3600.0


def failed(now: datetime = START, *, attempts: int = 1, standing: Standing | None = None, **more: object) -> Verdict:
    return judge(now, attempts=attempts, outcome="failed", standing=standing or Standing(), **more)  # type: ignore[arg-type]


def test_the_schedule_is_the_promised_one_and_ends_in_a_dead_letter() -> None:
    now, standing, waits = START, Standing(), []
    for attempt in range(1, len(SCHEDULE) + 1):
        verdict = judge(now, attempts=attempt, outcome="failed", standing=standing)
        standing = verdict.standing
        if verdict.next_at is None:
            break
        waits.append((verdict.next_at - now).total_seconds())
        now = verdict.next_at
    assert [0, *waits] == [0, 5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
    assert (attempt, verdict.state, verdict.disabled) == (10, "dead", "")
    assert now - START == timedelta(seconds=sum(SCHEDULE))


@pytest.mark.parametrize(("jitter", "seconds"), [(-1.0, 270), (0.0, 300), (1.0, 330)])
def test_jitter_moves_a_wait_by_a_tenth_at_most(jitter: float, seconds: float) -> None:
    assert failed(attempts=2, jitter=jitter).next_at == START + timedelta(seconds=seconds)


def test_what_the_other_side_asks_for_is_honoured_within_bounds() -> None:
    # Longer than the schedule: that long, and the whole sink waits with it.
    asked = failed(retry_after=90)
    assert asked.next_at == asked.standing.hold_until == START + timedelta(seconds=90)
    # Shorter: the schedule's time for the message, the asked time for the sink.
    short = failed(attempts=3, retry_after=2)
    assert short.next_at == START + timedelta(seconds=1800)
    assert short.standing.hold_until == START + timedelta(seconds=2)
    forever = failed(retry_after=1e9)
    assert forever.next_at == START + timedelta(seconds=MOST_ASKED)
    assert forever.standing.hold_until == START + timedelta(seconds=MOST_HELD)


def test_the_breaker_opens_after_failures_in_a_row_ever_longer_and_closes_with_the_first_success() -> None:
    standing, now, opened = Standing(), START, []
    for _ in range(30):
        verdict = failed(now, standing=standing)
        standing = verdict.standing
        opened.append((standing.hold_until - now).total_seconds() if standing.hold_until else 0.0)
        assert is_open(standing, now) is (standing.failures >= BREAKER_FAILURES)
        # The probe comes when it is over.
        now = standing.hold_until or now
        assert not is_open(standing, now)
    assert opened[:8] == [0, 0, 0, 0, 5, 10, 20, 40]
    assert max(opened) == opened[-1] == BREAKER_LONGEST
    assert judge(now, attempts=1, outcome="sent", standing=standing).standing == Standing()


def test_a_dead_sink_costs_few_attempts_a_day() -> None:
    """However many messages wait: probes are all that is sent while the breaker is open."""
    standing, now, attempts = Standing(), START, 0
    while now < START + timedelta(days=1):
        attempts += 1
        standing = failed(now, standing=standing).standing
        now = max(now + timedelta(seconds=1), standing.hold_until or now)
    assert attempts < 120


def test_a_hold_that_was_asked_for_is_not_shortened_by_a_later_failure() -> None:
    standing = failed(retry_after=600).standing
    later = failed(START + timedelta(seconds=1), standing=standing)
    assert later.standing.hold_until == START + timedelta(seconds=600)


def test_gone_disables_at_once_and_refused_ends_the_message_alone() -> None:
    gone = judge(START, attempts=1, outcome="gone", standing=Standing())
    assert (gone.state, bool(gone.disabled)) == ("dead", True)
    refused = judge(START, attempts=1, outcome="refused", standing=Standing())
    assert (refused.state, refused.disabled, refused.next_at) == ("dead", "", None)
    # It says nothing about the sink: neither the breaker nor the five days count it.
    assert refused.standing == Standing()
    old = Standing(BREAKER_FAILURES, START - timedelta(days=6), failed_at=START - timedelta(hours=1))
    assert judge(START, attempts=1, outcome="refused", standing=old) == Verdict("dead", None, old)


def test_five_days_of_failure_disable_and_one_success_in_between_does_not() -> None:
    since = Standing(50, START)
    assert not failed(START + timedelta(days=5, seconds=-1), standing=since).disabled
    assert failed(START + timedelta(days=5), standing=since).disabled == "every attempt failed for 5 days"
    mended = judge(START + timedelta(days=3), attempts=1, outcome="sent", standing=since).standing
    assert not failed(START + timedelta(days=6), standing=mended).disabled


def test_a_quiet_sink_is_not_given_up_at_its_first_failure_in_days() -> None:
    standing = failed().standing
    later = START + timedelta(days=6)
    verdict = failed(later, standing=standing)
    assert (verdict.disabled, verdict.standing.failing_since) == ("", later)
    # Silence that the schedule and a hold explain is none.
    waited = START + timedelta(seconds=SCHEDULE[-1] * 1.1 + MOST_HELD)
    assert failed(waited, standing=standing).standing.failing_since == START


def test_a_test_message_is_tried_once() -> None:
    assert failed(once=True).state == "dead"
    assert judge(START, attempts=1, outcome="sent", standing=Standing(), once=True).state == "sent"
