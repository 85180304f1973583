"""The limit of open files is raised as far as the hard one, and never past what anybody needs."""

from __future__ import annotations

import resource

import pytest

from dash_app import open_files


@pytest.mark.parametrize(
    ("soft", "hard", "attained", "asked"),
    [
        (1024, 20_000, 20_000, [(20_000, 20_000)]),
        (1024, resource.RLIM_INFINITY, open_files.MOST, [(open_files.MOST, resource.RLIM_INFINITY)]),
        (20_000, 20_000, 20_000, []),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, open_files.MOST, []),
        (1 << 21, 1 << 30, 1 << 21, []),
    ],
)
def test_the_limit(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, attained: int, asked: list[tuple[int, int]]
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _what, limits: set_to.append(limits))
    assert open_files.attainable() == attained
    assert open_files.raise_limit() == attained
    assert set_to == asked


def test_a_kernel_that_grants_less(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_what: int, _limits: tuple[int, int]) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, 20_000))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert open_files.raise_limit() == 1024
