"""What crosses NOTIFY: each message comes back as it was, and what nobody knows is no error."""

from __future__ import annotations

from typing import get_args

import pytest

from dash_app.domain.changes import (
    AccessChanged,
    AlertChanged,
    AnnotationsChanged,
    Change,
    DashboardChanged,
    PayloadsAccepted,
    PipelineChanged,
    PresenceChanged,
    ReplayMoved,
    RowsAdded,
    SinkChanged,
    decode,
    encode,
)
from dash_app.domain.ids import new_id

PIPELINE = str(new_id())
MESSAGES: list[Change] = [
    RowsAdded(PIPELINE, 3, 100, 2, 1_763_900_000_000, 1_763_900_001_000, 1_763_900_002_000),
    RowsAdded(PIPELINE, 1, 0, 5, None, None, 1_763_900_002_000),
    PayloadsAccepted(PIPELINE, 7),
    PipelineChanged(PIPELINE),
    ReplayMoved(PIPELINE, str(new_id())),
    DashboardChanged(str(new_id())),
    AnnotationsChanged(str(new_id())),
    PresenceChanged(str(new_id())),
    SinkChanged(str(new_id())),
    AlertChanged(str(new_id())),
    AccessChanged(str(new_id())),
]


def test_every_message_of_the_union_is_tried_here() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(Change))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was_and_fits_a_notification(message: Change) -> None:
    assert decode(encode(message)) == message
    assert len(encode(message).encode()) < 8000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        "{}",
        '{"type": "Later", "pipeline": "x"}',
        '{"type": "PipelineChanged"}',
        '{"type": "PipelineChanged", "pipeline": "x", "more": 1}',
        '{"type": null}',
        '{"type": ["PipelineChanged"]}',
    ],
)
def test_what_this_release_does_not_know_is_none(text: str) -> None:
    assert decode(text) is None
