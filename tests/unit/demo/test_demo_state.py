"""The demo's memory: the same shift after a restart, bounded catching up, damaged files named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dash_app.demo.state import CATCH_UP_MS, HEARTBEAT_MS, DemoState, Progress
from dash_app.demo.timeline import Clock
from dash_app.domain.errors import SettingsError

NOW = 1_700_000_000_000
HOUR = 3_600_000


def test_a_restart_keeps_the_epoch(tmp_path: Path) -> None:
    first = DemoState.open(tmp_path / "new", NOW)
    assert first.clock == Clock(NOW)
    assert DemoState.open(tmp_path / "new", NOW + 3 * HOUR).clock == Clock(NOW)


def test_a_long_stop_becomes_a_pause_that_leaves_six_hours_to_catch_up(tmp_path: Path) -> None:
    DemoState.open(tmp_path, NOW).beat(NOW + HOUR)
    later = NOW + 1_000 * HOUR
    clock = DemoState.open(tmp_path, later).clock
    assert clock.elapsed(later) == HOUR + 2 * HEARTBEAT_MS + CATCH_UP_MS
    # Opening it again right away adds nothing.
    assert DemoState.open(tmp_path, later + 1).clock == clock


def test_a_second_pause_follows_the_first(tmp_path: Path) -> None:
    for days in (0, 10, 20):
        clock = DemoState.open(tmp_path, NOW + days * 24 * HOUR).clock
    (_, end), (start, _) = clock.pauses
    assert end < start


def test_a_clock_set_back_does_not_move_the_heartbeat_back(tmp_path: Path) -> None:
    state = DemoState.open(tmp_path, NOW)
    state.beat(NOW - HOUR)
    assert state.alive_ms == NOW
    assert DemoState.open(tmp_path, NOW - 100 * HOUR).clock == Clock(NOW)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"epoch_ms": "x", "pauses": [], "alive_ms": 1}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "demo.json").write_text(text)
    with pytest.raises(SettingsError, match=r"demo\.json"):
        DemoState.open(tmp_path, NOW)


def test_progress_remembers_what_was_on_its_way(tmp_path: Path) -> None:
    progress = Progress(tmp_path, "ride", NOW)
    progress.begin(500)
    again = Progress(tmp_path, "ride", NOW)
    assert (again.start, again.end) == (0, 500)
    progress.acknowledged()
    progress.begin(501)
    again = Progress(tmp_path, "ride", NOW)
    assert (again.start, again.end) == (500, 501)


def test_progress_of_another_epoch_counts_for_nothing(tmp_path: Path) -> None:
    Progress(tmp_path, "ride", NOW).begin(500)
    assert Progress(tmp_path, "ride", NOW + 1).end == 0
