"""What does not end in time is left behind; with too much of it a node refuses, and a worker ends."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from dash_app.domain.errors import TooManyRequests, Transient
from dash_app.pipelines.delivery import bounds
from dash_app.pipelines.delivery.bounds import Bounds
from tests.waiting import wait_until


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that would have been sent."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(bounds.os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(bounds, "GRACE_SECONDS", 0.0)
    return sent


@pytest.mark.parametrize("ends", [False, True])
def test_too_much_left_behind_ends_a_worker_and_makes_a_node_refuse(killed: list[tuple[int, int]], ends: bool) -> None:
    held, bound = threading.Event(), Bounds(2, ends_process=ends)
    for _ in range(2):
        with pytest.raises(Transient, match="no end within"):
            bound.run(held.wait, 0.001)
    if ends:
        assert killed == [(os.getpid(), signal.SIGTERM)]
    else:
        ran: list[int] = []
        with pytest.raises(TooManyRequests):
            bound.run(lambda: ran.append(1), 1)
        assert (ran, killed) == ([], [])
    held.set()
    wait_until(lambda: bound._left == 0)
    assert bound.run(lambda: "ok", 1) == "ok"
