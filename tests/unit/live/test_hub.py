"""Topics: one read for all who watch, snapshots before updates, numbers without gaps."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from dash_app.domain.access import Principal, Role
from dash_app.domain.changes import AccessChanged, Change, DashboardChanged, RowsAdded
from dash_app.domain.embeds import Embed
from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.ids import new_id
from dash_app.live import hub as hub_module
from dash_app.live.frames import Table
from dash_app.live.hub import Hub
from dash_app.live.views import Touched

TEAM = new_id()


@dataclass
class Counting:
    """A view that counts how often it is read, and can be told to fail."""

    team: UUID = TEAM
    pause: float = 0.0
    moves: float | None = None
    snapshots: int = 0
    updates: list[Touched] = field(default_factory=list)
    failure: Exception | None = None

    def concerns(self, change: Change) -> bool:
        return isinstance(change, RowsAdded) and change.pipeline == "mine"

    def snapshot(self) -> Table:
        self.snapshots += 1
        if self.failure:
            raise self.failure
        return Table(pl.DataFrame({"n": [self.snapshots]}), [{"name": "n", "type": "integer"}], ("n",))

    def update(self, touched: Touched) -> Table | None:
        self.updates.append(touched)
        if touched.everything:
            return None
        return Table(pl.DataFrame({"n": [-len(self.updates)]}), [{"name": "n", "type": "integer"}], ("n",))


class Viewer:
    def __init__(self, role: Role = Role.viewer) -> None:
        self.principal = Principal(new_id(), "a@example.org", "A", TEAM, "main", "Main", role)
        self.frames: list[dict[str, Any]] = []
        self.cut = False
        self.asked_again = False
        self._some = asyncio.Event()

    def deliver(self, wire: bytes) -> None:
        self.frames.append(json.loads(wire[wire.index(b"{") :]))
        self._some.set()

    def revoked(self) -> None:
        self.cut = True

    def recheck(self) -> None:
        self.asked_again = True

    def wake(self) -> None:
        """Has `until` look again."""
        self._some.set()

    async def until(self, wanted: Callable[[list[dict[str, Any]]], bool]) -> None:
        while not wanted(self.frames):
            self._some.clear()
            await asyncio.wait_for(self._some.wait(), 5)


def added(pipeline: str = "mine", low: int = 10, high: int = 20) -> RowsAdded:
    return RowsAdded(pipeline, 1, 1, 0, low, high, 99)


def run(test: Callable[[Hub, Counting], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch) -> None:
    view = Counting()
    monkeypatch.setattr(hub_module, "open_for", lambda *_arguments: ("one", view))

    async def body() -> None:
        hub = Hub(None, None)  # type: ignore[arg-type]
        try:
            await test(hub, view)
        finally:
            hub.close()

    asyncio.run(body())


async def watch(hub: Hub, viewer: Viewer, identity: str = "t1") -> None:
    hub.connect(viewer)
    await hub.subscribe(viewer, identity, {})
    hub.begin(viewer, identity)
    await viewer.until(lambda frames: any(f["kind"] == "snapshot" for f in frames))


def test_a_viewer_gets_a_snapshot_then_updates_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        viewer = Viewer()
        await watch(hub, viewer)
        for n in range(3):
            hub.changed(added())
            await viewer.until(lambda frames, wanted=n + 2: len(frames) >= wanted)
        assert [f["kind"] for f in viewer.frames] == ["snapshot", "update", "update", "update"]
        assert [f["seq"] for f in viewer.frames] == [0, 1, 2, 3]
        assert viewer.frames[-1]["at"] == 99

    run(test, monkeypatch)


def test_many_viewers_cost_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        viewers = [Viewer() for _ in range(50)]
        for viewer in viewers:
            await watch(hub, viewer)
        assert hub.topics == 1
        assert view.snapshots == 1
        hub.changed(added())
        for viewer in viewers:
            await viewer.until(lambda frames: frames[-1]["kind"] == "update")
        assert len(view.updates) == 1

    run(test, monkeypatch)


def test_changes_that_gather_while_a_read_runs_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        viewer = Viewer()
        await watch(hub, viewer)
        for low in range(100):
            hub.changed(added(low=low, high=low + 1))
        await viewer.until(lambda frames: frames[-1]["kind"] == "update")
        assert len(view.updates) == 1
        assert (view.updates[0].low, view.updates[0].high) == (0, 100)

    run(test, monkeypatch)


def test_changes_of_others_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        viewer = Viewer()
        await watch(hub, viewer)
        hub.changed(added("theirs"))
        hub.changed(added())
        await viewer.until(lambda frames: frames[-1]["kind"] == "update")
        assert len(view.updates) == 1

    run(test, monkeypatch)


def test_after_deafness_everything_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        viewer = Viewer()
        await watch(hub, viewer)
        hub.returned()
        await viewer.until(lambda frames: len(frames) == 2)
        assert view.updates[0].everything
        assert viewer.asked_again

    run(test, monkeypatch)


def test_a_read_that_fails_is_told_and_the_next_one_works(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        view.failure = NotFound("no pipeline 'gone'")
        viewer = Viewer()
        hub.connect(viewer)
        await hub.subscribe(viewer, "t1", {})
        hub.begin(viewer, "t1")
        await viewer.until(lambda frames: bool(frames))
        assert viewer.frames[-1]["kind"] == "error"
        assert viewer.frames[-1]["detail"] == "no pipeline 'gone'"
        view.failure = None
        hub.changed(added())
        await viewer.until(lambda frames: len(frames) == 2)
        assert viewer.frames[-1]["kind"] == "snapshot", "there is nothing yet that an update could build on"

    run(test, monkeypatch)


def test_who_leaves_ends_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        one, two = Viewer(), Viewer()
        await watch(hub, one)
        await watch(hub, two)
        hub.disconnect(one)
        assert hub.topics == 1
        hub.unsubscribe(two, "t1")
        assert (hub.topics, hub.viewers) == (0, 1)

    run(test, monkeypatch)


def test_an_id_used_again_ends_what_it_stood_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        names = iter(range(100))
        monkeypatch.setattr(hub_module, "open_for", lambda *_arguments: (f"topic {next(names)}", Counting()))
        viewer = Viewer()
        hub.connect(viewer)
        for _ in range(5):
            await hub.subscribe(viewer, "t1", {})
            hub.begin(viewer, "t1")
        assert hub.topics == 1
        hub.disconnect(viewer)
        assert hub.topics == 0

    run(test, monkeypatch)


def test_a_refused_subscription_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        def refuse(*_arguments: Any) -> Any:
            raise Invalid(problems=[("query.pipeline", "missing")])

        monkeypatch.setattr(hub_module, "open_for", refuse)
        viewer = Viewer()
        hub.connect(viewer)
        with pytest.raises(Invalid):
            await hub.subscribe(viewer, "t1", {})
        assert hub.topics == 0

    run(test, monkeypatch)


def test_a_revocation_reaches_the_users_sockets_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        one, two = Viewer(), Viewer()
        hub.connect(one)
        hub.connect(two)
        hub.changed(AccessChanged(str(one.principal.user)))
        assert (one.cut, two.cut) == (True, False)

    run(test, monkeypatch)


def test_telling_many_leaves_the_loop_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is served between two slices, and who leaves meanwhile is told nothing more."""

    async def test(hub: Hub, view: Counting) -> None:
        monkeypatch.setattr(hub_module, "SLICE_SECONDS", 0.0)
        viewers = [Viewer() for _ in range(400)]
        for viewer in viewers:
            hub.connect(viewer)
            await hub.subscribe(viewer, "t1", {})
            hub.begin(viewer, "t1")
        for viewer in viewers:
            await viewer.until(lambda frames: len(frames) == 1)
        served = 0
        left: list[Viewer] = []

        async def others() -> None:
            nonlocal served
            while True:
                told = [viewer for viewer in viewers if len(viewer.frames) == 2]
                if 0 < len(told) < 400:
                    served += 1
                    if not left:
                        left.append(next(viewer for viewer in viewers if len(viewer.frames) == 1))
                        hub.unsubscribe(left[0], "t1")
                        left[0].wake()
                await asyncio.sleep(0)

        asking = asyncio.create_task(others())
        hub.changed(added())
        for viewer in viewers:
            await viewer.until(lambda frames, who=viewer: len(frames) == 2 or who in left)  # type: ignore[misc]
        asking.cancel()
        assert served > 5
        assert [len(viewer.frames) for viewer in left] == [1]

    run(test, monkeypatch)


def test_a_newcomers_snapshot_is_theirs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        monkeypatch.setattr(hub_module, "SHARED_SECONDS", -1.0)
        first, second = Viewer(), Viewer()
        await watch(hub, first)
        await watch(hub, second)
        assert view.snapshots == 2
        hub.changed(added())
        for viewer in (first, second):
            await viewer.until(lambda frames: frames[-1]["kind"] == "update")
            assert [frame["kind"] for frame in viewer.frames] == ["snapshot", "update"]

    run(test, monkeypatch)


def test_who_was_told_of_a_failure_gets_a_snapshot_when_a_newcomer_makes_it_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        first = Viewer()
        await watch(hub, first)
        view.failure = NotFound("away")
        hub.changed(added())
        hub.returned()
        await first.until(lambda frames: frames[-1]["kind"] == "error")
        view.failure = None
        await watch(hub, Viewer())
        await first.until(lambda frames: frames[-1]["kind"] == "snapshot")

    run(test, monkeypatch)


def test_who_comes_as_the_last_one_goes_sees_what_came_between(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        view.pause = 0.3  # the topic rests, while all of this happens
        old, new = Viewer(), Viewer()
        await watch(hub, old)
        hub.connect(new)
        await hub.subscribe(new, "t1", {})
        hub.changed(added())
        hub.begin(new, "t1")
        hub.disconnect(old)
        await new.until(lambda frames: bool(frames))
        assert new.frames[0]["data"] == [[2]]

    run(test, monkeypatch)


def test_an_embed_comes_again_when_its_dashboard_is_saved_or_may_have_been(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, _view: Counting) -> None:
        mine, other, team = Viewer(), Viewer(), Viewer()
        for viewer, identity in ((mine, "mine"), (other, "other")):
            viewer.principal = replace(viewer.principal, embed=Embed("d", None, None, 0, identity))
        for viewer in (mine, other, team):
            hub.connect(viewer)
        hub.changed(DashboardChanged("mine"))
        assert [mine.cut, other.cut, team.cut] == [True, False, False]
        hub.returned()
        assert [mine.cut, other.cut, team.cut] == [True, True, False]

    run(test, monkeypatch)


def test_what_lies_outside_of_the_range_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub, view: Counting) -> None:
        viewer = Viewer()
        await watch(hub, viewer)
        whole, asked = view.update, threading.Event()

        def outside(touched: Touched) -> Table:
            asked.set()
            return Table(pl.DataFrame(), [])

        monkeypatch.setattr(view, "update", outside)
        hub.changed(added())
        assert await asyncio.to_thread(asked.wait, 5)
        monkeypatch.setattr(view, "update", whole)
        hub.changed(added())
        await viewer.until(lambda frames: len(frames) > 1)
        assert [(frame["kind"], frame["seq"], len(frame["columns"])) for frame in viewer.frames] == [
            ("snapshot", 0, 1), ("update", 1, 1),
        ]  # fmt: skip

    run(test, monkeypatch)
