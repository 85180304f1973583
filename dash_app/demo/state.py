"""What the demo remembers between starts: its clock, and how far the webhook sender has come.

Two small JSON files under the data folder, replaced whole by a rename, so that a kill at any moment leaves either the
old or the new one. They are not synced to disk: after a power loss the sender may repeat itself, which its delivery
ids and the mapping's key make harmless.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from dash_app.demo.timeline import Clock
from dash_app.domain.errors import SettingsError

HEARTBEAT_MS = 60_000  #: how often a running demo notes that it is running
CATCH_UP_MS = 6 * 3_600_000  #: at most so much missed time is caught up after a stop; more becomes a pause


def wall_clock_ms() -> int:
    """Now, in milliseconds since 1970 in UTC."""
    return time.time_ns() // 1_000_000


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SettingsError(f"{path} is not readable JSON ({error}); delete it and the demo begins anew") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path} does not hold a JSON object; delete it and the demo begins anew")
    return document


def _write(path: Path, document: dict[str, Any]) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(document), encoding="utf-8")
    os.replace(beside, path)


class DemoState:
    """The demo's clock, kept in `<folder>/demo.json`. One running node per folder."""

    def __init__(self, path: Path, clock: Clock, alive_ms: int) -> None:
        self._path = path
        self.clock = clock
        self.alive_ms = alive_ms

    @classmethod
    def open(cls, folder: Path, now_ms: int | None = None) -> DemoState:
        """Reads the clock, or starts it at `now_ms` (default: now) when there is none yet.

        After more than `CATCH_UP_MS` off, the time between becomes a pause of the clock. Raises SettingsError for a
        damaged file.
        """
        now = wall_clock_ms() if now_ms is None else now_ms
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "demo.json"
        known = _read(path)
        if known is None:
            state = cls(path, Clock(now), now)
        else:
            try:
                pauses = tuple((int(start), int(end)) for start, end in known["pauses"])
                clock, alive = Clock(int(known["epoch_ms"]), pauses), int(known["alive_ms"])
            except (KeyError, TypeError, ValueError) as error:
                raise SettingsError(f"{path} is damaged ({error!r}); delete it and the demo begins anew") from error
            # Records may have gone out for up to one heartbeat after the last note; two keep their times untouched.
            pause = (alive + 2 * HEARTBEAT_MS, now - CATCH_UP_MS)
            if pause[0] < pause[1]:
                clock = Clock(clock.epoch_ms, (*clock.pauses, pause))
            state = cls(path, clock, max(alive, now))
        state._save()
        return state

    def beat(self, now_ms: int | None = None) -> None:
        """Notes that the demo is running; called each `HEARTBEAT_MS`. Never goes back when the wall clock does."""
        self.alive_ms = max(self.alive_ms, wall_clock_ms() if now_ms is None else now_ms)
        self._save()

    def _save(self) -> None:
        _write(self._path, {"epoch_ms": self.clock.epoch_ms, "pauses": self.clock.pauses, "alive_ms": self.alive_ms})


class Progress:
    """How far the sender has come, kept in `<folder>/demo-<feed>.json`.

    Records before `start` are acknowledged; `start` to `end` (not included) was on its way when the file was written.
    """

    def __init__(self, folder: Path, feed: str, epoch_ms: int) -> None:
        self._path = folder / f"demo-{feed}.json"
        self._epoch_ms = epoch_ms
        known = _read(self._path)
        # Numbers count from an epoch: under another one they mean nothing.
        if known is None or known.get("epoch_ms") != epoch_ms:
            self.start = self.end = 0
            return
        try:
            self.start, self.end = int(known["start"]), int(known["end"])
        except (KeyError, TypeError, ValueError) as error:
            raise SettingsError(f"{self._path} is damaged ({error!r}); delete it and the feed begins anew") from error

    def begin(self, end: int) -> None:
        """Writes down, before it is sent, that everything from the last `end` to this one goes in one delivery."""
        _write(self._path, {"epoch_ms": self._epoch_ms, "start": self.start, "end": end})
        self.end = end

    def acknowledged(self) -> None:
        """The delivery arrived. Kept in memory: the next `begin` writes it, and a repeat before that is a duplicate."""
        self.start = self.end
