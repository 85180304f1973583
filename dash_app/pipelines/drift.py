"""Drift: what comes is held against the mapping, and what differs is seen, kept, and handled as the pipeline wishes.

A worker looks at each pipeline that has mapped something since its last look, about three times a minute and beside the
road that payloads take: it reads a sample of what came, notes which paths its records have and which kinds of value
stand there, and compares. A difference is reported once. What was there before the mapping was saved is no news, since
whoever saved it could see it, and neither is what somebody has dismissed.

Three things can differ: a path is new, a field's values are of another kind than the mapping says, a field has
vanished. The policy `keep` reports them. `evolve` also adds new fields, in a version of its own that counts from then
on; it never changes or removes a field. `pause` also pauses the pipeline when something is new or changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from dash_app.domain.changes import PipelineChanged
from dash_app.domain.errors import Conflict, Invalid
from dash_app.domain.events import Payload
from dash_app.domain.mapping import MAX_FIELDS, MAX_METRICS, parse_mapping
from dash_app.domain.specs import MappingVersion, Pipeline
from dash_app.pipelines import drift_report, setup
from dash_app.pipelines.drift_notes import Watched, note, watched_paths
from dash_app.pipelines.drift_report import Difference, Report, differences_of, kind_names, report
from dash_app.pipelines.names import field_name
from dash_app.pipelines.resources import Resources
from dash_app.storage import bronze, catalog, sightings
from dash_app.storage.sightings import Event, Look, Sighting
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

__all__ = ["POLICIES", "Difference", "Report", "dismiss", "look", "report", "set_policy"]

POLICIES = ("evolve", "keep", "pause")
AUTHOR = "drift"

#: Of what came since the last look: payloads, and their bytes.
LOOK_PAYLOADS = 200
LOOK_BYTES = 16 << 20
#: Whatever was accepted so long ago is committed: nothing can come into view below it.
SETTLE = timedelta(seconds=5)
#: Fields that one look adds.
_MOST_ADDED = 50


# Changing ------------------------------------------------------------------------------------------------------------


def set_policy(unit: Unit, pipeline: Pipeline, policy: str) -> None:
    """Sets what is to be done about drift. Raises Invalid for a policy that there is not."""
    if policy not in POLICIES:
        raise Invalid(problems=[("drift", f"'{str(policy)[:60]}' is unknown; one of {', '.join(POLICIES)}")])
    sightings.set_policy(unit, pipeline.team, pipeline.id, policy)
    unit.notify(PipelineChanged(str(pipeline.id)))


def dismiss(unit: Unit, pipeline: Pipeline, paths: Sequence[str]) -> None:
    """What is seen at these paths is no news from now on. Raises Invalid with those where nothing was seen."""
    found = sightings.dismiss(unit, pipeline.id, paths)
    missing = [
        (f"paths[{place}]", f"nothing was seen at '{path[:200]}'")
        for place, path in enumerate(paths)
        if path not in found
    ]
    if missing:
        raise Invalid(problems=missing)
    unit.notify(PipelineChanged(str(pipeline.id)))


# Looking -------------------------------------------------------------------------------------------------------------


def look(app: Resources, pipeline: UUID, *, settle: timedelta = SETTLE) -> list[Event]:
    """One look at what came since the last one, and what is to be done about it, in one commit; answers the news.

    Nothing where somebody else is looking, or where there is no mapping. `settle`: see SETTLE.
    """
    with app.database.ingest() as unit:
        if not sightings.lock(unit, pipeline):
            return []
        found = catalog.pipeline(unit, pipeline, archived=True)
        if found.state != "active" or found.mapping_version is None:
            return []
        at = sightings.look(unit, pipeline)
        seen = sightings.sightings(unit, pipeline)
        active = catalog.mapping(unit, pipeline, found.mapping_version)
        base = _base(unit, active)
        if at.version is not None and at.version < base.version:
            _know(seen.values(), base.created_at)
        at.version = active.version
        until = sightings.settled(unit, settle)
        loaded = _read(unit, app, pipeline, at, until)
        at.looked_at = until
        spec = parse_mapping(active.document)
        # A mapping that was written before anything came says nothing of the fields that it leaves out.
        blank = not seen and base.author != "inference" and all(one.received_at > base.created_at for one in loaded)
        note(loaded, spec, at, seen, known_until=None if blank else base.created_at)
        watched = watched_paths(spec)
        news = _news(unit, found, base.version, watched, at, seen)
        handled = _handle(unit, found, active, at, news, differences_of(watched, at, seen))
        sightings.save(unit, found.team, pipeline, at, seen.values())
        sightings.add_events(unit, found.team, pipeline, handled)
        if handled:
            unit.notify(PipelineChanged(str(pipeline)))
        unit.commit()
    if any(event.handled.startswith("added") for event in handled):
        setup.ring(app, pipeline)
    return handled


def _base(unit: Unit, active: MappingVersion) -> MappingVersion:
    """The version that somebody has decided on: the active one, or the one that it has evolved from."""
    if active.author != AUTHOR:
        return active
    older = (one for one in catalog.mappings(unit, active.pipeline) if one.version < active.version)
    return next((one for one in older if one.author != AUTHOR), active)


def _know(seen: Iterable[Sighting], before: datetime) -> None:
    """Whoever saved a mapping at this moment could see what was there."""
    for one in seen:
        if one.first_seen <= before:
            one.known = set(one.kinds)
            one.missed = True


def _read(unit: Unit, app: Resources, pipeline: UUID, at: Look, until: datetime) -> list[Payload]:
    """A sample of the payloads that came since, in order of arrival, bounded in bytes; moves the position."""
    sizes = sightings.choose(unit, pipeline, at.position, until, limit=LOOK_PAYLOADS)
    if not sizes:
        return []
    ids = list(sizes)
    at.position = ids[-1]
    while sum(sizes[one] for one in ids) > LOOK_BYTES and len(ids) > 1:
        # The newest stays.
        ids = ids[-1::-2][::-1]
    return bronze.read_payloads(unit, app.objects, ids, pipeline=pipeline)


# Handling ------------------------------------------------------------------------------------------------------------


def _news(
    unit: Unit,
    pipeline: Pipeline,
    since: int,
    watched: Mapping[str, Watched],
    at: Look,
    seen: Mapping[str, Sighting],
) -> list[Event]:
    """What was not reported yet since somebody decided on a mapping."""
    told = sightings.reported(unit, pipeline.id, since)
    before = {(one.what, one.path, one.after) for one in told}
    gone = {one.path for one in told if one.what == "vanished"}
    version = at.version or 0
    news = []
    now = differences_of(watched, at, seen)
    for one in now:
        if one.what == "vanished":
            if one.path not in gone:
                news.append(Event("vanished", one.path, one.before, "", version, "noted"))
        elif one.what == "new":
            if not any(what == "new" and path == one.path for what, path, _ in before):
                news.append(Event("new", one.path, "", one.after, version, "noted"))
        else:
            news += [
                Event("changed", one.path, one.before, kind, version, "noted")
                for kind in one.after.split(", ")
                if ("changed", one.path, kind) not in before
            ]
    still = {one.path for one in now if one.what == "vanished"}
    for path in sorted(gone - still):
        if path in seen and seen[path].place > 0 and at.payloads - seen[path].place < drift_report.ABSENT:
            news.append(Event("returned", path, "", kind_names(seen[path].kinds), version, "noted"))
    return news


def _handle(
    unit: Unit,
    pipeline: Pipeline,
    active: MappingVersion,
    at: Look,
    news: Sequence[Event],
    differences: Sequence[Difference],
) -> list[Event]:
    """Does what the policy says, and answers the events with what was done."""
    if at.policy == "pause":
        urgent = [event for event in news if event.what in ("new", "changed")]
        if not urgent:
            return list(news)
        setup.pause(unit, pipeline.id, AUTHOR)
        catalog.update_pipeline(unit, pipeline.id, {"note": f"Paused by drift: {_sentence(urgent)}."})
        log.info("drift.paused", pipeline=str(pipeline.id), what=_sentence(urgent))
        return [_with(event, "paused") if event in urgent else event for event in news]
    new = [one for one in differences if one.what == "new" and one.proposal]
    if at.policy != "evolve" or not new:
        return list(news)
    return _evolve(unit, pipeline, active, at, news, new)


def _evolve(
    unit: Unit,
    pipeline: Pipeline,
    active: MappingVersion,
    at: Look,
    news: Sequence[Event],
    new: Sequence[Difference],
) -> list[Event]:
    document, added = evolved(active.document, new)
    others = [event for event in news if event.path not in added]
    if not added:
        return others
    note = f"drift: added {', '.join(name for names in added.values() for name in names)}"
    newest = max(one.version for one in catalog.mappings(unit, pipeline.id))
    try:
        saved = setup.save_mapping(unit, pipeline.id, document, AUTHOR, note=note[:500], activate="now", base=newest)
    except (Conflict, Invalid) as error:
        # A replay is under way, or somebody saves: the next look tries again, and reports it then.
        log.info("drift.not_added", pipeline=str(pipeline.id), why=error.message)
        return others
    version = saved.version.version
    catalog.update_pipeline(unit, pipeline.id, {"note": f"Version {version} of the mapping was made by {note}."})
    log.info("drift.added", pipeline=str(pipeline.id), version=version, paths=list(added))
    at.version = version
    kinds = {one.path: one.after for one in new}
    made = [Event("new", path, "", kinds[path], active.version, f"added in version {version}") for path in added]
    return [*made, *others]


def evolved(document: Mapping[str, Any], new: Sequence[Difference]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """A mapping document with fields for what is new behind those that it has, as far as a mapping can hold them; and
    their names by path."""
    grown = deepcopy(dict(document))
    spec = parse_mapping(document)
    taken = {one.name.lower() for one in spec.fields}
    metrics = len(spec.metrics)
    added: dict[str, list[str]] = {}
    for one in new[:_MOST_ADDED]:
        if len(grown["fields"]) + len(one.proposal) > MAX_FIELDS:
            break
        renamed: dict[str, str] = {}
        for part in one.proposal:
            made = dict(part)
            made["name"] = renamed[part["name"]] = field_name([part["name"]], taken)
            for before, after in renamed.items():
                if "sql" in made:
                    made["sql"] = re.sub(rf"\b{re.escape(before)}\b", after, made["sql"])
            if made["type"] in ("number", "integer") and made.get("role") != "dimension":
                metrics += 1
                if metrics > MAX_METRICS:
                    made["role"] = "dimension"
            grown["fields"].append(made)
        added[one.path] = list(renamed.values())
    return grown, added


def _sentence(events: Sequence[Event]) -> str:
    """What happened, for a person."""
    said = [
        f"new field {one.path}" if one.what == "new" else f"{one.path} is {one.after}, and was {one.before}"
        for one in events[:4]
    ]
    more = f" and {len(events) - 4} more" if len(events) > 4 else ""
    return "; ".join(said)[:400] + more


def _with(event: Event, handled: str) -> Event:
    return Event(event.what, event.path, event.before, event.after, event.version, handled)
