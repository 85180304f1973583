"""Setting a pipeline up, and what one does with it as a whole: change, pause, resume, archive, give it another secret.

REST, pages and the demo come through here, so that a pipeline is the same whoever made it: its source checked by its
kind, its secrets in the vault and nowhere else, its mapping compiled before it is saved, its polls scheduled, and a
line in the audit trail, all in the transaction of the caller's unit of work, which the caller commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.access import Principal
from dash_app.domain.changes import PipelineChanged
from dash_app.domain.errors import Conflict, Invalid, NotFound
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import MappingVersion, Pipeline
from dash_app.pipelines import rollout
from dash_app.pipelines.alerts.ends import end_with_pipeline
from dash_app.pipelines.flow import check_upstream
from dash_app.pipelines.mapping import compile_mapping
from dash_app.pipelines.receive import SECRET
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.secret_hosts import check_hosts
from dash_app.pipelines.sources.base import PollSource, Source
from dash_app.pipelines.sources.pipeline import FromPipeline
from dash_app.storage import catalog, generations, ledger, people, replays, silver
from dash_app.storage.unit import Unit

#: A pipeline's retention: how many days something is kept; null, or left out: for ever.
RETENTION = ("payload_days", "record_days", "rollup_days")
MAX_DAYS = 36_500


#: When a version of a mapping that is saved becomes the one that counts.
Activate = Literal["now", "now_and_replay", "after_replay", "no"]


@dataclass(frozen=True, slots=True)
class Saved:
    """A version that was saved, and the replay that was queued for it."""

    version: MappingVersion
    replay: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Checked:
    """A source that its kind has accepted. `options` hold no secret; `secrets` are texts for the vault, by option."""

    source: Source
    kind: str
    options: Mapping[str, Any]
    secrets: Mapping[str, str]


def create_pipeline(
    unit: Unit, app: Resources, team: UUID, document: Mapping[str, Any], author: Principal | str
) -> tuple[Pipeline, str | None]:
    """A new active pipeline from its document, and its signing secret where it has one: shown this once.

    `document`: `{"name", "slug", "source": {"kind", "options", "secret"}, "mapping", "retention"}`; only `name` and the
    kind must be there, `mapping` null or absent has one inferred from the first payloads, and `secret` brings a
    sender's own secret along. Raises Invalid with every place that is wrong, Conflict where the slug is taken.
    """
    problems: list[tuple[str, str]] = []
    checked = _collect(problems, lambda: _check_source(app, document.get("source")))
    mapping = document.get("mapping")
    _collect(problems, lambda: check_mapping(mapping) if mapping is not None else None, "mapping")
    retention = document.get("retention") or {}
    _collect(problems, lambda: check_retention(retention))
    if checked is not None:
        checked = _collect(problems, lambda: _connected(unit, team, None, checked))
    if problems or checked is None:
        raise Invalid(problems=problems)
    secret = _signing_secret(checked.source, (document.get("source") or {}).get("secret"))
    name = str(document.get("name", ""))
    by = _name(author)
    made = catalog.create_pipeline(
        unit,
        team,
        slug=document.get("slug") or free_slug(unit, name),
        name=name,
        source_kind=checked.kind,
        source_options=checked.options,
        retention=retention,
        author=by,
    )
    _store_secrets(unit, app, team, made.id, checked)
    if secret:
        app.vault.put(unit, team, made.id, SECRET, secret)
    if mapping is not None:
        catalog.save_mapping(unit, made.id, mapping, author=by)
    if isinstance(checked.source, PollSource):
        ledger.schedule_poll(unit, team, made.id, wait=checked.source.first_wait(datetime.now(UTC)))
    _record(unit, author, team, "pipeline.create", made.id, {"slug": made.slug, "source": made.source_kind})
    return catalog.pipeline(unit, made.id), secret or None


def update_pipeline(
    unit: Unit,
    app: Resources,
    ref: str | UUID,
    changes: Mapping[str, Any],
    author: Principal | str,
    *,
    expected_revision: int | None = None,
) -> Pipeline:
    """Changes any of `name`, `source` (`{"options"}`: all anew, but secrets left out stay, unless another host is named
    that they would go to) and `retention`."""
    found = lock_pipeline(unit, ref)
    changed: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    if "name" in changes:
        changed["name"] = str(changes["name"]).strip()
        if not 1 <= len(changed["name"]) <= 200:
            problems.append(("name", "a name has 1 to 200 characters"))
    if "retention" in changes:
        changed["retention"] = changes["retention"] or {}
        _collect(problems, lambda: check_retention(changed["retention"]))
    checked = None
    if "source" in changes:
        asked = {"kind": found.source_kind} | dict(changes["source"] or {})
        if asked["kind"] != found.source_kind:
            problems.append(
                ("source.kind", f"a pipeline keeps its kind of source, here {found.source_kind}; make another pipeline")
            )
        else:
            kept = _stored_secrets(unit, app, found)
            checked = _collect(
                problems,
                lambda: _connected(
                    unit, found.team, found.id, _check_source(app, asked, kept, before=found.source_options)
                ),
            )
    if problems:
        raise Invalid(problems=problems)
    if checked is not None:
        changed["source_options"] = checked.options
        _store_secrets(unit, app, found.team, found.id, checked)
    made = catalog.update_pipeline(unit, found.id, changed, expected_revision=expected_revision)
    if checked is not None and isinstance(checked.source, PollSource):
        ledger.schedule_poll(unit, found.team, found.id)
        ledger.poll_now(unit, found.id, wait=checked.source.first_wait(datetime.now(UTC)))
    _record(unit, author, found.team, "pipeline.update", found.id, {"slug": found.slug, "changed": sorted(changes)})
    return made


def pause(unit: Unit, ref: str | UUID, author: Principal | str) -> Pipeline:
    """No more polls and no more mapping until `resume`; a webhook goes on accepting, and its payloads are held."""
    return _move(unit, ref, "paused", f"Paused by {_name(author)}.", author)


def resume(unit: Unit, ref: str | UUID, author: Principal | str) -> Pipeline:
    """Goes on where it was. Call `ring` once this is committed, so that what was held is mapped at once."""
    made = _move(unit, ref, "active", "", author)
    ledger.poll_again(unit, made.id)
    return made


def ring(app: Resources, pipeline: UUID) -> None:
    """Has the workers look at a pipeline now. (A sweep finds it within seconds too.)"""
    with app.database.ingest() as unit:
        ledger.ring(unit, pipeline)
        unit.commit()


def archive(unit: Unit, ref: str | UUID, author: Principal | str, *, expected_revision: int | None = None) -> Pipeline:
    """Ends a pipeline: its slug is free again, its address answers 404, what it gathered is kept. Whoever was told that
    an alert of its fires is told that this is over.

    Call `close_view` once this is committed.
    """
    pipeline = catalog.pipeline(unit, ref).id
    if replays.under_way(unit, pipeline):
        # No batch may be halfway to what the replay fills, and the lock comes before the row.
        rollout.hold(unit, pipeline)
    # The turns of evaluators come before the pipeline's row, as for whoever changes a rule.
    end_with_pipeline(unit, pipeline, by=_name(author))
    found = lock_pipeline(unit, pipeline)
    for one in replays.of_pipeline(unit, found.id, limit=1):
        if one.state in replays.OPEN:
            replays.move(unit, one.id, "cancelled")
            generations.end(unit, found.id, one.generation)
    note = f"Archived by {_name(author)}."
    made = catalog.update_pipeline(
        unit, found.id, {"state": "archived", "note": note}, expected_revision=expected_revision
    )
    _record(unit, author, found.team, "pipeline.archive", found.id, {"slug": found.slug})
    return made


def close_view(app: Resources, pipeline: UUID) -> None:
    """Takes the view of an archived pipeline away; one that somebody reads just now is taken away by maintenance."""
    with app.database.ingest() as unit:
        silver.refresh_view(unit, pipeline)
        unit.commit()


def save_mapping(
    unit: Unit,
    ref: str | UUID,
    document: Mapping[str, Any],
    author: Principal | str,
    *,
    note: str = "",
    activate: Activate = "now",
    base: int | None = None,
) -> Saved:
    """The next version of a pipeline's mapping, compiled to check it.

    `activate`: `now`, new payloads are mapped with it and what there is stays readable beside them; `now_and_replay`,
    the same until a replay of all payloads is swapped in; `after_replay`, the version before goes on alone until then;
    `no`, it is only kept. `base`: the newest version that the author has seen, 0 for none.

    Raises Invalid with every place that is wrong; Conflict where there is a newer version than `base`, or where a
    replay is under way that this version would get in the way of. Call `ring` once this is committed.
    """
    check_mapping(document)
    found = catalog.pipeline(unit, ref)
    replayed = activate in ("now_and_replay", "after_replay")
    if replayed:
        rollout.hold(unit, found.id)
    # Until there is a mapping there is nothing that could go on alone.
    at_once = activate in ("now", "now_and_replay") or (activate == "after_replay" and found.mapping_version is None)
    # A replay that begins at this moment is seen here, or waits for this commit and sees what was saved.
    catalog.lock(unit, found.id)
    if activate != "no" and replays.under_way(unit, found.id):
        raise Conflict("a replay is under way, which will put its own version in; wait for its end, or cancel it")
    made = catalog.save_mapping(
        unit,
        found.id,
        document,
        note=note,
        author=_name(author),
        activate=at_once,
        pipeline_note="" if at_once else None,
        base=base,
    )
    detail = {"version": made.version, "active": at_once, "activate": activate}
    _record(unit, author, found.team, "mapping.create", found.id, detail)
    replay = rollout.begin_replay(unit, found, made.version, author, note=note) if replayed else None
    return Saved(made, replay)


def rotate_secret(
    unit: Unit,
    app: Resources,
    ref: str | UUID,
    author: Principal | str,
    *,
    secret: str | None = None,
    keep_old: bool = True,
) -> str:
    """A new signing secret (or the one brought along), shown this once; `keep_old`: the one before stays valid too."""
    found = lock_pipeline(unit, ref)
    kind = app.sources[found.source_kind]
    # Sources that are not pushed have no signing secret, and may not be whole without the secrets that they do have.
    made = _signing_secret(kind.from_options(found.source_options) if kind.pushed else kind(), secret)
    if not made:
        raise Conflict("this pipeline's source has no signing secret")
    before = app.vault.get_all(unit, found.id, SECRET)
    app.vault.delete(unit, found.id, SECRET)
    app.vault.put(unit, found.team, found.id, SECRET, made, slot=0)
    if keep_old and before:
        app.vault.put(unit, found.team, found.id, SECRET, before[0], slot=1)
    unit.notify(PipelineChanged(str(found.id)))
    _record(unit, author, found.team, "pipeline.rotate_secret", found.id, {"slug": found.slug, "keep_old": keep_old})
    return made


def retire_secret(unit: Unit, app: Resources, ref: str | UUID, author: Principal | str) -> None:
    """Ends the secret before the newest one. NotFound where there is none."""
    found = lock_pipeline(unit, ref)
    if not app.vault.delete(unit, found.id, SECRET, slot=1):
        raise NotFound("there is no older secret")
    unit.notify(PipelineChanged(str(found.id)))
    _record(unit, author, found.team, "pipeline.retire_secret", found.id, {"slug": found.slug})


def free_slug(unit: Unit, name: str) -> str:
    """The slug of a name, with a number behind it where the team has such a pipeline already."""
    first = ids.slug_from(name)
    taken = {
        row[0]
        for row in unit.rows(
            "SELECT slug FROM pipelines WHERE state <> 'archived' AND starts_with(slug, %s)", (first[:36],)
        )
    }
    if first not in taken:
        return first
    return next(slug for number in range(2, 100_000) if (slug := f"{first[:35]}_{number}") not in taken)


def lock_pipeline(unit: Unit, ref: str | UUID) -> Pipeline:
    """The pipeline, changed by nobody else until this transaction ends: two who saw one revision cannot both win."""
    found = catalog.pipeline(unit, ref)
    unit.execute("SELECT 1 FROM pipelines WHERE id = %s FOR NO KEY UPDATE", (found.id,))
    return catalog.pipeline(unit, found.id)


# Checking ------------------------------------------------------------------------------------------------------------


def check_mapping(document: Any) -> None:
    """Nothing, or Invalid with every place of a mapping document that is wrong."""
    compile_mapping(parse_mapping(document))


def check_retention(document: Mapping[str, Any]) -> None:
    problems = []
    for name, days in document.items():
        if name not in RETENTION:
            problems.append((f"retention.{name}"[:80], f"unknown; there are {', '.join(RETENTION)}"))
        elif days is not None and not (isinstance(days, int) and not isinstance(days, bool) and 1 <= days <= MAX_DAYS):
            problems.append((f"retention.{name}", f"a number of days from 1 to {MAX_DAYS:,}, or null for ever"))
    records, rollups = document.get("record_days"), document.get("rollup_days")
    if not problems and rollups is not None and (records is None or rollups < records):
        # A query that rollups could answer would find nothing where the records are still there.
        problems.append(("retention.rollup_days", "rollups stay at least as long as records: record_days, or more"))
    if problems:
        raise Invalid(problems=problems)


def _check_source(
    app: Resources,
    document: Any,
    kept: Mapping[str, Any] | None = None,
    *,
    before: Mapping[str, Any] | None = None,
) -> _Checked:
    """`kept`: secrets that are stored already, as options; they hold where the document names no other secret, and no
    other host than the options `before`."""
    if not isinstance(document, Mapping):
        raise Invalid(
            problems=[
                ("source", f"an object with kind and options is needed; kinds are {', '.join(app.sources.names())}")
            ]
        )
    name = document.get("kind")
    if name not in app.sources:
        raise Invalid(
            problems=[("source.kind", f"'{str(name)[:60]}' is unknown; there are {', '.join(app.sources.names())}")]
        )
    kind = app.sources[str(name)]
    options = document.get("options") or {}
    if not isinstance(options, Mapping):
        raise Invalid(problems=[("source.options", "an object is needed")])
    made = kind.from_options(dict(kept or {}) | dict(options), "source.options")
    check_hosts(made, options, kept or {}, before or {}, "source.options")
    stored = made.to_options()
    given = {one: stored.pop(one) for one in kind.secrets if one in stored}
    return _Checked(made, kind.kind, stored, {one: made.secret_to_text(one, value) for one, value in given.items()})


def _connected(unit: Unit, team: UUID, pipeline: UUID | None, checked: _Checked) -> _Checked:
    """A source that takes another pipeline's records names it by its id, and comes round to nobody."""
    if not isinstance(checked.source, FromPipeline):
        return checked
    upstream = check_upstream(unit, team, pipeline, checked.source.pipeline)
    return replace(checked, options={**checked.options, "pipeline": upstream})


def _stored_secrets(unit: Unit, app: Resources, pipeline: Pipeline) -> dict[str, Any]:
    kind = app.sources[pipeline.source_kind]
    found = {one: app.vault.get_all(unit, pipeline.id, one) for one in kind.secrets}
    return {one: kind.secret_from_text(one, texts[0]) for one, texts in found.items() if texts}


def _store_secrets(unit: Unit, app: Resources, team: UUID, pipeline: UUID, checked: _Checked) -> None:
    for name in type(checked.source).secrets:
        app.vault.delete(unit, pipeline, name)
    for name, text in checked.secrets.items():
        app.vault.put(unit, team, pipeline, name, text)


def _signing_secret(source: Source, brought: str | None) -> str:
    """The secret that senders will sign with; empty where the source takes none. Raises Invalid."""
    if not source.pushed:
        if brought:
            raise Invalid(problems=[("source.secret", "this kind of source has no signing secret")])
        return ""
    signature = source.signature  # type: ignore[attr-defined]
    if not brought:
        return str(signature.generate_secret())
    try:
        signature.check_secret(brought)
    except Invalid as error:
        raise Invalid(problems=[(f"source.{place}", what) for place, what in error.problems]) from None
    return brought


def _move(unit: Unit, ref: str | UUID, state: str, note: str, author: Principal | str) -> Pipeline:
    found = lock_pipeline(unit, ref)
    if found.state == state:
        return found
    made = catalog.update_pipeline(unit, found.id, {"state": state, "note": note})
    _record(
        unit,
        author,
        found.team,
        f"pipeline.{'pause' if state == 'paused' else 'resume'}",
        found.id,
        {"slug": found.slug},
    )
    return made


def _collect(problems: list[tuple[str, str]], check: Any, place: str = "") -> Any:
    """What `check` answers; where it raises Invalid its problems are added, below `place`, and the answer is None."""
    try:
        return check()
    except Invalid as error:
        for where, what in error.problems or (("", error.message),):
            below = where if not place else f"{place}.{where}" if where else place
            problems.append((below, what))
    return None


def _name(author: Principal | str) -> str:
    return author.email if isinstance(author, Principal) else author


def _record(
    unit: Unit, author: Principal | str, team: UUID, action: str, target: UUID, detail: Mapping[str, Any]
) -> None:
    who = author if isinstance(author, Principal) else None
    people.record(unit, who, team, action, str(target), detail if who else {**detail, "by": _name(author)})
