"""When a message is tried again, and when a sink is given up: decided here, purely, from how an attempt ended.

Nothing here knows a clock, a database or a network: `now` comes from outside, and what is to be written goes back as
values, so that days of failure are played through in a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

#: Seconds from the end of one attempt to the next; the first is made at once. Standard Webhooks' own schedule, and on
#: to a day. After the last one the message is a dead letter.
SCHEDULE = (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
#: Each is longer or shorter by this part of itself at most, so that what failed together is not tried together.
JITTER = 0.1
#: The longest time that the other side may ask a message to wait, and a whole sink, in seconds.
MOST_ASKED = 24 * 3600.0
MOST_HELD = 3600.0
#: So many failures in a row open the breaker: nothing is sent for a while, and then one message as a probe.
BREAKER_FAILURES = 5
BREAKER_FIRST = 5.0
BREAKER_LONGEST = 15 * 60.0
#: A sink that has failed for so long, with nothing that succeeded in between, is disabled.
GIVEN_UP_AFTER = timedelta(days=5)
#: Between two attempts at what failed lies less than this: the longest wait, and the longest hold. A failure after a
#: longer silence is a first one: nothing tells that the sink failed all that time.
LONGEST_SILENCE = timedelta(seconds=SCHEDULE[-1] * (1 + JITTER) + MOST_HELD)

#: `sent`; `failed`: may succeed later; `refused`: this message never will; `gone`: none will.
Outcome = Literal["sent", "failed", "refused", "gone"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a sink stood when the attempt ended."""

    failures: int = 0
    failing_since: datetime | None = None
    hold_until: datetime | None = None
    #: When it failed last.
    failed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the message and of its sink."""

    #: waiting | sent | dead
    state: str
    #: When a waiting message is due again.
    next_at: datetime | None
    standing: Standing
    #: Why the sink is to be disabled; '': it is not.
    disabled: str = ""


def judge(
    now: datetime,
    *,
    attempts: int,
    outcome: Outcome,
    standing: Standing,
    retry_after: float | None = None,
    jitter: float = 0.0,
    once: bool = False,
) -> Verdict:
    """What follows from an attempt that has ended `now`.

    `attempts`: how many there have been, with this one. `retry_after`: seconds that the other side asked for.
    `jitter`: from -1 to 1. `once`: the message is not tried again, whatever happens (tests).
    """
    if outcome == "sent":
        return Verdict("sent", None, Standing())
    if outcome == "refused":
        # The other side is there, and said of this message that it does not want it.
        return Verdict("dead", None, standing)
    failures = standing.failures + 1
    since = standing.failing_since or now
    if standing.failed_at is not None and now - standing.failed_at > LONGEST_SILENCE:
        since = now
    hold = _hold(now, failures, retry_after, jitter)
    if standing.hold_until is not None and (hold is None or hold < standing.hold_until):
        hold = standing.hold_until
    after = Standing(failures, since, hold, now)
    if outcome == "gone":
        return Verdict("dead", None, after, "the other side answered that it is gone for good")
    disabled = ""
    if now - since >= GIVEN_UP_AFTER:
        disabled = f"every attempt failed for {GIVEN_UP_AFTER.days} days"
    if once or attempts >= len(SCHEDULE):
        return Verdict("dead", None, after, disabled)
    wait = SCHEDULE[attempts] * (1 + JITTER * jitter)
    if retry_after is not None:
        wait = max(wait, min(retry_after, MOST_ASKED))
    return Verdict("waiting", now + timedelta(seconds=wait), after, disabled)


def _hold(now: datetime, failures: int, retry_after: float | None, jitter: float) -> datetime | None:
    """Until when nothing is to be sent to this sink."""
    wait = min(retry_after, MOST_HELD) if retry_after is not None else 0.0
    if failures >= BREAKER_FAILURES:
        doubled = BREAKER_FIRST * 2.0 ** min(failures - BREAKER_FAILURES, 20)
        wait = max(wait, min(doubled, BREAKER_LONGEST) * (1 + JITTER * jitter))
    return now + timedelta(seconds=wait) if wait > 0 else None


def is_open(standing: Standing, now: datetime) -> bool:
    """Whether the breaker is open."""
    return standing.failures >= BREAKER_FAILURES and standing.hold_until is not None and now < standing.hold_until
