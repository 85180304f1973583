"""Places are few for one team and for all, and come back however what took them ends."""

from __future__ import annotations

from uuid import UUID

import pytest

from dash_app.domain.errors import TooManyRequests
from dash_app.pipelines.places import Places

ONE, OTHER, THIRD = (UUID(int=n) for n in (1, 2, 3))


def test_a_team_has_its_own_and_all_have_so_many() -> None:
    places = Places(1, 2, "wait")
    with places.take(ONE):
        with pytest.raises(TooManyRequests, match="wait"), places.take(ONE):
            pass
        with places.take(OTHER), pytest.raises(TooManyRequests), places.take(THIRD):
            pass
        with places.take(THIRD):
            assert not places.free
    assert places.free


def test_a_place_comes_back_after_an_error() -> None:
    places = Places(1, 1, "wait")
    with pytest.raises(ZeroDivisionError), places.take(ONE):
        raise ZeroDivisionError
    assert places.free
    with places.take(ONE):
        pass
