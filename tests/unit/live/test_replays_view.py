"""How a replay's progress is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from dash_app.live.replays_view import pace_of, share_of, told
from dash_app.storage.replays import Replay


def replay(**more: Any) -> Replay:
    given: dict[str, Any] = {
        "id": UUID(int=1), "team": UUID(int=2), "pipeline": UUID(int=3), "generation": 2, "source": 1, "version": 2,
        "from_id": 0, "to_id": 9, "from_time": None, "to_time": None, "state": "running", "planned": True,
        "keep_before": None, "throttle": None, "error": "", "author": "a", "note": "",
        "created_at": datetime(2026, 3, 4, tzinfo=UTC), "finished_at": None, "seconds": 10.0, "files_done": 1,
        "files_total": 4, "payloads": 100, "expected": 400, "records": 1000, "rejects": 0, "wait": 0.0,
    }  # fmt: skip
    return Replay(**(given | more))


def test_share_is_unknown_before_the_plan_and_whole_only_at_the_end() -> None:
    assert share_of(replay(planned=False)) is None
    assert share_of(replay()) == 0.25
    # Parts that carry over hold no payloads.
    assert share_of(replay(payloads=0, expected=0)) == 0.25
    assert share_of(replay(payloads=0, expected=0, files_total=0)) == 1.0
    assert share_of(replay(state="done", payloads=0)) == 1.0
    assert share_of(replay(payloads=500)) == 1.0


def test_a_throttled_replay_is_never_told_faster_than_its_bound() -> None:
    assert pace_of(replay()) == (100.0, 30.0)
    rate, eta = pace_of(replay(throttle=10))
    assert rate == 10
    # 300 payloads are left, of ten records each.
    assert eta == pytest.approx(300)
    # Records that give way to others of their key leave nothing behind, but take their time.
    assert pace_of(replay(throttle=10, records=0)) == (0.0, 30.0)
    assert pace_of(replay(throttle=1_000_000)) == (100.0, 30.0)
    assert pace_of(replay(throttle=10, state="done")) == (100.0, None)


def test_a_row_has_what_the_view_names() -> None:
    from dash_app.live.replays_view import _COLUMNS

    assert list(told(replay())) == [column["name"] for column in _COLUMNS]
