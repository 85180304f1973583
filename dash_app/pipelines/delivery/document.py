"""The document of a sink: what is wrong with it, and what of it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.specs import Pipeline
from dash_app.pipelines.delivery.messages import check_template
from dash_app.pipelines.delivery.record_filter import RecordFilter
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.secret_hosts import check_hosts
from dash_app.pipelines.sinks.base import Sink as SinkKind
from dash_app.storage import catalog, silver_read, sinks
from dash_app.storage.sinks import Sink
from dash_app.storage.unit import Unit

MOST_PIPELINES = 100
#: What is received is written once for every sink that gets it, in the transaction that takes it in.
MOST_SINKS_OF_PIPELINE = 20
#: Batches of a kind that sends several records at once, unless its document says otherwise.
BATCH_SIZE = 500
BATCH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Checked:
    """A document that can be saved. `options` hold no secret; `secrets` are texts for the vault, by option."""

    name: str
    made: SinkKind
    options: Mapping[str, Any]
    secrets: Mapping[str, str]
    pipelines: Sequence[Pipeline]
    where: str
    template: Mapping[str, str] | None
    batch_size: int
    batch_seconds: float


def stored_secrets(unit: Unit, app: Resources, found: Sink) -> dict[str, Any]:
    """A sink's secrets as options; empty where its kind is not there any more."""
    if found.kind not in app.sinks:
        return {}
    kind = app.sinks[found.kind]
    texts = {name: app.vault.get_all(unit, found.id, name) for name in kind.secrets}
    return {name: kind.secret_from_text(name, stored[0]) for name, stored in texts.items() if stored}


def check(
    unit: Unit,
    app: Resources,
    document: Mapping[str, Any],
    *,
    kept: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    sink: UUID | None = None,
) -> Checked:
    """The document as it can be saved, or Invalid with every place that is wrong. `kept`: secrets that are stored
    already; they hold where the document names no other. `before`: the options that they were given with, which name
    every host they may go to; left out where nothing is sent. `sink`: the one that is changed, where there is one."""
    problems: list[tuple[str, str]] = []
    name = str(document.get("name") or "").strip()
    if not 1 <= len(name) <= 200:
        problems.append(("name", "a name has 1 to 200 characters"))
    made = _kind(app, document, kept or {}, before, problems)
    pipelines = _pipelines(unit, document.get("pipelines"), sink, problems)
    where = str(document.get("where") or "").strip()
    if where and not pipelines:
        problems.append(("where", "is about records, and this sink gets those of no pipeline"))
    for one in pipelines if where else ():
        _check_where(unit, one, where, problems)
    template = document.get("template") or None
    if template is not None:
        problems += check_template(template)
    size, seconds = _batch(document.get("batch"), made, problems)
    if problems or made is None:
        raise Invalid(problems=problems)
    stored = made.to_options()
    given = {one: stored.pop(one) for one in type(made).secrets if one in stored}
    secrets = {one: made.secret_to_text(one, value) for one, value in given.items()}
    chosen = {part: template[part] for part in ("title", "body") if template.get(part)} if template else None
    return Checked(name, made, stored, secrets, pipelines, where, chosen or None, size, seconds)


def _kind(
    app: Resources,
    document: Mapping[str, Any],
    kept: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    problems: list[tuple[str, str]],
) -> SinkKind | None:
    wanted = document.get("kind")
    if wanted not in app.sinks:
        problems.append(("kind", f"'{str(wanted)[:60]}' is unknown; there are {', '.join(app.sinks.names())}"))
        return None
    options = document.get("options") or {}
    if not isinstance(options, Mapping):
        problems.append(("options", "an object is needed"))
        return None
    try:
        made = app.sinks[str(wanted)].from_options({**kept, **options})
        if before is not None:
            check_hosts(made, options, kept, before)
        return made
    except Invalid as error:
        problems += error.problems
        return None


def _pipelines(unit: Unit, refs: Any, sink: UUID | None, problems: list[tuple[str, str]]) -> list[Pipeline]:
    if refs is None:
        return []
    if not isinstance(refs, list) or len(refs) > MOST_PIPELINES:
        problems.append(("pipelines", f"a list of at most {MOST_PIPELINES} slugs or ids is needed"))
        return []
    found: dict[UUID, Pipeline] = {}
    for number, ref in enumerate(refs):
        try:
            one = catalog.pipeline(unit, str(ref))
        except NotFound:
            problems.append((f"pipelines[{number}]", f"there is no pipeline '{str(ref)[:60]}'"))
        else:
            found[one.id] = one
    crowded = sinks.crowded(unit, list(found), sink, MOST_SINKS_OF_PIPELINE)
    problems += [
        ("pipelines", f"the records of {one.slug} go to {MOST_SINKS_OF_PIPELINE} sinks already; take it out of another")
        for one in found.values()
        if one.id in crowded
    ]
    return list(found.values())


def _check_where(unit: Unit, pipeline: Pipeline, where: str, problems: list[tuple[str, str]]) -> None:
    """A pipeline without a mapping has no fields yet: its records are held against the condition when they come."""
    if pipeline.mapping_version is None:
        return
    fields = silver_read.newest_fields(catalog.versions(unit, pipeline.id))
    try:
        RecordFilter.of(where, fields)
    except Invalid as error:
        problems.append(("where", f"{error.problems[0][1]} (pipeline {pipeline.slug})"))


def _batch(given: Any, made: SinkKind | None, problems: list[tuple[str, str]]) -> tuple[int, float]:
    batches = made is not None and made.batches
    size, seconds = (BATCH_SIZE, BATCH_SECONDS) if batches else (1, 0.0)
    if given is None:
        return size, seconds
    if not isinstance(given, Mapping) or set(given) - {"size", "seconds"}:
        problems.append(("batch", "an object with size and seconds is needed"))
        return size, seconds
    size = given.get("size", size)
    seconds = given.get("seconds", 0.0)
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 1000:
        problems.append(("batch.size", "a whole number from 1 to 1,000"))
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 3600:
        problems.append(("batch.seconds", "a number of seconds from 0 to 3,600"))
    return size, seconds
