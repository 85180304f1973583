"""What goes wrong is told in words, and nothing of what nobody foresaw leaks."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from dash_app.domain.errors import Invalid, NotFound, Unavailable
from dash_app.pages.boundary import Problem, guarded, problem_of


def test_a_persons_own_error_is_told_as_it_is_and_not_logged() -> None:
    with capture_logs() as logs:
        found = problem_of(Invalid(problems=[("name", "is empty")]), "x")
    assert (found.status, found.problems, found.reference) == (422, (("name", "is empty"),), "")
    assert logs == []


def test_an_unforeseen_error_shows_a_number_that_the_log_has_too() -> None:
    with capture_logs() as logs:
        found = problem_of(RuntimeError("secret=hunter2"), "pipelines/new")
    assert found.status == 500
    assert "hunter2" not in found.detail + found.title
    assert [(line["reference"], line["where"]) for line in logs] == [(found.reference, "pipelines/new")]


def test_what_is_down_is_told_without_its_details() -> None:
    found = problem_of(Unavailable("connection to 10.0.0.7 refused"), "x")
    assert found.status == 503
    assert "10.0.0.7" not in found.detail
    assert found.reference


async def test_a_callback_never_raises_and_tells() -> None:
    told: list[Problem] = []

    async def fails() -> None:
        raise NotFound("no such thing")

    def fails_plainly(_event: object) -> None:
        raise NotFound("nor this")

    await guarded("x", told.append, fails)()
    await guarded("x", told.append, fails_plainly)(object())
    assert [problem.detail for problem in told] == ["no such thing", "nor this"]


async def test_a_callback_that_is_cancelled_stays_cancelled() -> None:
    async def stops() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await guarded("x", lambda problem: None, stops)()
