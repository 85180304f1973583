"""Replays in the midst of a round: each under the other one of two mappings, swapped in, and at times taken back."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from typing import Any
from uuid import UUID

from bench._ground import Ground, Target
from dash_app.domain.errors import Conflict, DashError
from dash_app.pipelines import rollout, setup
from dash_app.storage import catalog, replays
from tests.torture.faults import Faults
from tests.torture.world import mapping_of

#: How likely a pipeline is replayed in a round, and taken back after it.
REPLAYED = 0.6
TAKEN_BACK = 0.3
_PATIENCE = 30.0


class Replaying:
    """Begins replays and sees them to their end; `done` counts what was done."""

    def __init__(self, ground: Ground, targets: list[Target], seed: int) -> None:
        self._ground, self._targets = ground, targets
        self._random = random.Random(seed ^ 0xBACC)
        self.done: Counter[str] = Counter()
        self._begun: dict[UUID, Target] = {}
        for target in targets:
            with ground.app.database.team(target.team) as unit:
                setup.save_mapping(unit, target.pipeline, mapping_of(target.slug, 2), "torture", activate="no")
                unit.commit()

    def begin(self) -> list[str]:
        """Some of the pipelines, while deliveries come in and others die; what went wrong."""
        found = []
        for target in self._targets:
            if self._random.random() > REPLAYED:
                continue
            try:
                self._begun[self._begin(target)] = target
                self.done["replays"] += 1
            except DashError as error:
                found.append(f"a replay of {target.slug} could not be begun: {error.message}")
        return found

    def _begin(self, target: Target) -> UUID:
        def begin(unit: Any) -> UUID:
            found = catalog.pipeline(unit, target.pipeline)
            version = 2 if found.mapping_version == 1 else 1
            return rollout.begin_replay(unit, found, version, "torture")

        made: UUID = self._try(target, begin)
        return made

    def settle(self, faults: Faults, seconds: float) -> list[str]:
        """Waits for their end, goes back from some of them, and answers what went wrong."""
        deadline = time.monotonic() + seconds
        found = []
        while self._begun and time.monotonic() < deadline:
            with contextlib.suppress(DashError):
                for replay in list(self._begun):
                    with self._ground.app.database.ingest() as unit:
                        state = replays.get(unit, replay)
                    if state.state == "failed":
                        found.append(f"the replay of {self._begun.pop(replay).slug} failed: {state.error}")
                    elif state.state == "done":
                        target = self._begun.pop(replay)
                        if self._random.random() < TAKEN_BACK:
                            self._try(target, lambda unit, t=target: self._take_back(unit, t))
                            self.done["taken back"] += 1
            faults.supervise()
            time.sleep(0.05)
        found += [
            f"the replay of {t.slug} has no end {seconds:.0f} s after the last fault" for t in self._begun.values()
        ]
        self._begun.clear()
        return found

    @staticmethod
    def _take_back(unit: Any, target: Target) -> None:
        rollout.roll_back(unit, catalog.pipeline(unit, target.pipeline), "torture")

    def _try(self, target: Target, what: Any) -> Any:
        """In a transaction of its own, again while the database is away. A commit whose answer was lost counts."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                with self._ground.app.database.team(target.team) as unit:
                    answer = what(unit)
                    unit.commit()
                    return answer
            except Conflict:
                with self._ground.app.database.ingest() as unit:
                    (newest,) = replays.of_pipeline(unit, target.pipeline, limit=1)
                if newest.state not in replays.OPEN:
                    raise
                return newest.id
            except DashError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
