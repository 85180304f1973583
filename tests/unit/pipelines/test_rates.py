"""How much may come in a second."""

from __future__ import annotations

import pytest

from dash_app.domain.errors import TooManyRequests
from dash_app.pipelines.rates import Rates


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(rates: Rates[str], key: str, per_second: float, times: int) -> int:
    count = 0
    for _ in range(times):
        try:
            rates.take(key, per_second)
        except TooManyRequests:
            continue
        count += 1
    return count


def test_a_second_holds_what_it_says_and_fills_again() -> None:
    clock = Clock()
    rates: Rates[str] = Rates(clock)
    assert taken(rates, "a", 5, 20) == 5
    clock.now += 0.4
    assert taken(rates, "a", 5, 20) == 2
    clock.now += 60
    assert taken(rates, "a", 5, 20) == 5


def test_keys_do_not_share() -> None:
    rates: Rates[str] = Rates(Clock())
    assert taken(rates, "a", 1, 3) == taken(rates, "b", 1, 3) == 1


def test_less_than_one_a_second_says_how_long_to_wait() -> None:
    clock = Clock()
    rates: Rates[str] = Rates(clock)
    rates.take("a", 0.1)
    with pytest.raises(TooManyRequests, match=r"more than 0\.1 a second") as error:
        rates.take("a", 0.1)
    assert error.value.retry_after == pytest.approx(10)
    clock.now += 10
    rates.take("a", 0.1)
