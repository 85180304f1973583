"""How what was seen of a pipeline differs from its mapping now: worked out anew whenever somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import Pipeline
from dash_app.pipelines.drift_notes import KINDS, Watched, fits, watched_paths
from dash_app.storage import catalog, sightings
from dash_app.storage.sightings import Event, Look, Sighting
from dash_app.storage.unit import Unit

#: A field has vanished when so many payloads in a row are without it; one that was rare before, when it is missing for
#: so many times the gap that it usually has.
ABSENT = 200
GAPS = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """How what comes differs from the mapping now. `after`: kinds of value; `proposal`: fields that would take it."""

    what: Literal["new", "changed", "vanished"]
    path: str
    before: str
    after: str
    since: datetime
    proposal: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class SeenField:
    """A path in the records, seen or only mapped. `mapped`: the field that reads it, or 'time' or 'key'."""

    path: str
    kinds: Mapping[str, int]
    example: str
    first_seen: datetime | None
    last_seen: datetime | None
    payloads: int
    mapped: str
    #: new | changed | vanished | '': as the mapping has it, or no news.
    badge: str
    proposal: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All that is known of a pipeline's drift."""

    policy: str
    version: int | None
    payloads: int
    looked_at: datetime | None
    differences: Sequence[Difference]
    fields: Sequence[SeenField]
    events: Sequence[Event]


def report(unit: Unit, pipeline: Pipeline, *, limit: int = 100) -> Report:
    """What was seen of a pipeline, and its newest events."""
    at = sightings.look(unit, pipeline.id)
    seen = sightings.sightings(unit, pipeline.id)
    watched: dict[str, Watched] = {}
    differences: list[Difference] = []
    if pipeline.mapping_version is not None:
        spec = parse_mapping(catalog.mapping(unit, pipeline.id, pipeline.mapping_version).document)
        watched = watched_paths(spec)
        differences = differences_of(watched, at, seen)
    return Report(
        at.policy,
        pipeline.mapping_version,
        at.payloads,
        at.looked_at,
        differences,
        _fields(watched, seen, differences),
        sightings.events(unit, pipeline.id, limit=limit),
    )


def _fields(
    watched: Mapping[str, Watched], seen: Mapping[str, Sighting], differences: Sequence[Difference]
) -> list[SeenField]:
    badges = {one.path: one.what for one in differences}
    fields = [
        SeenField(
            one.path,
            one.kinds,
            one.example,
            one.first_seen,
            one.last_seen,
            one.payloads,
            watched[one.path].label if one.path in watched else "",
            badges.get(one.path, ""),
            one.proposal,
        )
        for one in seen.values()
    ]
    fields += [
        SeenField(path, {}, "", None, None, 0, one.label, "") for path, one in watched.items() if path not in seen
    ]
    order = {"new": 0, "changed": 1, "vanished": 2, "": 3}
    return sorted(fields, key=lambda one: order[one.badge])


def differences_of(watched: Mapping[str, Watched], at: Look, seen: Mapping[str, Sighting]) -> list[Difference]:
    """How what was seen differs from a mapping's paths, what is new first."""
    new, changed, vanished = [], [], []
    for one in seen.values():
        if one.path not in watched:
            if not one.known and not _is_covered(one.path, watched):
                new.append(Difference("new", one.path, "", kind_names(one.kinds), one.first_seen, one.proposal))
            continue
        kind = watched[one.path].type
        wrong = [name for name in one.kinds if name not in one.known and not fits(kind, name)]
        if wrong:
            changed.append(Difference("changed", one.path, kind, kind_names(wrong), one.last_seen))
        # Up to its last sighting: afterwards every payload would make the gap longer.
        gap = one.place / max(one.payloads, 1)
        if not one.missed and at.payloads - one.place >= max(ABSENT, GAPS * gap):
            vanished.append(Difference("vanished", one.path, kind or kind_names(one.kinds), "", one.last_seen))
    return [*new, *changed, *vanished]


def kind_names(kinds: Mapping[str, int] | Sequence[str]) -> str:
    return ", ".join(sorted(kinds, key=KINDS.index))


def _is_covered(path: str, watched: Mapping[str, Watched]) -> bool:
    """Whether the mapping reads what is around a path (a json field), or something inside of it."""
    return any(_is_below(path, other) or _is_below(other, path) for other in watched)


def _is_below(path: str, other: str) -> bool:
    return path.startswith(other) and path[len(other) : len(other) + 1] in (".", "[")
