"""A group of rejects mapped again, some of whose payloads are not kept any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from dash_app.domain.errors import NotFound
from dash_app.pages import workspace as module
from dash_app.pages.workspace import Workspace

PIPELINE = UUID(int=1)


class Alone(Workspace):
    """A workspace without a database."""

    def __init__(self) -> None:
        self.wanted: list[int] = []

    async def _read(self, action: str, function: Callable[[Any], Any]) -> Any:
        return function(None)

    async def map_again(self, pipeline: UUID, payloads: Sequence[int]) -> int:
        self.wanted = list(payloads)
        return len(payloads)


@pytest.mark.parametrize(("kept", "gone"), [({9, 7, 5}, 0), ({9, 5}, 1)])
async def test_what_is_kept_is_mapped_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch, kept: set[int], gone: int
) -> None:
    monkeypatch.setattr(module.lineage, "payloads_of_group", lambda *asked, limit: [9, 7, 5])
    monkeypatch.setattr(module.payloads, "known", lambda unit, pipeline, wanted: kept.intersection(wanted))
    workspace = Alone()
    assert await workspace.map_group_again(PIPELINE, "body", "no") == (len(kept), gone)
    assert set(workspace.wanted) == kept


async def test_a_group_of_which_nothing_is_kept_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.lineage, "payloads_of_group", lambda *asked, limit: [9, 7, 5])
    monkeypatch.setattr(module.payloads, "known", lambda *asked: set())
    with pytest.raises(NotFound, match="not kept any more"):
        await Alone().map_group_again(PIPELINE, "body", "no")
