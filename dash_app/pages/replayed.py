"""What the pages of replays, lineage and time travel show: frozen, and without a way back to the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dash_app.domain.events import Reject
    from dash_app.domain.specs import MappingVersion, Pipeline
    from dash_app.pipelines.lineage import Body
    from dash_app.storage.generations import Generation
    from dash_app.storage.lineage import RejectGroup, Trace
    from dash_app.storage.replays import Replay

#: How the states of a replay are shown.
REPLAY_BADGES = {
    "queued": "waiting",
    "running": "note",
    "paused": "paused",
    "done": "ok",
    "failed": "failing",
    "cancelled": "",
}
#: What a mapping version is to what is read: (words, badge).
VERSION_BADGES = {
    "read": ("Read", "ok"),
    "filling": ("Being filled", "note"),
    "grace": ("To go back to", "paused"),
    "kept": ("Kept", ""),
    "none": ("", ""),
}


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A mapping version. `state`: read | filling | grace | kept (some records that are read are of it) | none.

    `kept`: a dashboard can be shown as this version saw it.
    """

    version: MappingVersion
    state: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a pipeline's replays stand. `since`: from when on the active generation is read; `back`: what one can go
    back to, None once its grace is over."""

    active: Generation | None
    since: datetime | None
    back: Generation | None
    now: Replay | None
    past: Sequence[Replay]
    versions: Sequence[VersionLine]
    #: The one under way as the live view tells it.
    told: Mapping[str, Any]

    @property
    def shape(self) -> Sequence[Any]:
        """What its page is drawn anew for, as replays.js puts it together from the live view."""
        newest = self.now or next(iter(self.past), None)
        return (
            str(newest.id) if newest else None,
            newest.state if newest else None,
            newest.throttle if newest else None,
            self.active.generation if self.active else None,
            self.active.version if self.active else None,
            self.back.version if self.back else None,
        )


@dataclass(frozen=True, slots=True)
class Table:
    """Records that one mapping version made of a payload. `rows`: (number in the payload, cells)."""

    version: int
    columns: Sequence[tuple[str, str, bool]]
    rows: Sequence[tuple[int, Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Traced:
    """A payload's page. `record`: the number that was asked for; `opened`: how its file is read elsewhere, as
    (program, line)."""

    trace: Trace
    body: Body
    tables: Sequence[Table]
    record: int | None
    opened: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Refused:
    """The Rejects tab. `again`: payloads that are being mapped again just now."""

    groups: Sequence[RejectGroup]
    rejects: Sequence[Reject]
    again: int


@dataclass(frozen=True, slots=True)
class Travel:
    """A dashboard as earlier mapping versions saw it. `wanted`: by pipeline id; `kept`: whether it can be shown."""

    wanted: Sequence[tuple[Pipeline, int, bool]]
    #: What the dashboard's pipelines offer: (pipeline, versions, newest first).
    offered: Sequence[tuple[Pipeline, Sequence[int]]]

    @property
    def versions(self) -> Mapping[str, int]:
        """By whatever names a pipeline in a query."""
        return {name: version for one, version, _ in self.wanted for name in (one.slug, str(one.id))}
