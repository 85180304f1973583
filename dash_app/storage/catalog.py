"""What a team has set up: pipelines with their mappings' versions. Changes carry an optimistic lock.

Every function takes a unit of work and leaves the commit to its owner. Under a team's unit row security shows that
team's rows alone, so that what another team has is not found, exactly like what does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from dash_app.domain import ids
from dash_app.domain.changes import PipelineChanged
from dash_app.domain.errors import Conflict, Invalid, NotFound, PreconditionFailed
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import MappingVersion, Pipeline, PipelineStats, SilverVersion
from dash_app.storage import generations
from dash_app.storage.tables import MappingRow, PipelineRow, SilverVersionRow, Team
from dash_app.storage.unit import Unit


def _pipeline(row: PipelineRow) -> Pipeline:
    return Pipeline(
        id=row.id,
        team=row.team_id,
        slug=row.slug,
        name=row.name,
        state=row.state,
        source_kind=row.source_kind,
        source_options=row.source_options,
        mapping_version=row.mapping_version,
        retention=row.retention,
        created_at=row.created_at,
        revision=row.revision,
        note=row.note,
        generation=row.generation,
    )


def _find_pipeline(unit: Unit, ref: str | UUID, *, archived: bool = False) -> PipelineRow:
    wanted = ref if isinstance(ref, UUID) else ids.as_uuid(ref)
    where = PipelineRow.id == wanted if wanted else PipelineRow.slug == str(ref)
    statement = sa.select(PipelineRow).where(where)
    if not archived:
        statement = statement.where(PipelineRow.state != "archived")
    row = unit.session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise NotFound(f"no pipeline '{str(ref)[:80]}'")
    return row


# Teams ---------------------------------------------------------------------------------------------------------------


def team_slug(unit: Unit, team: UUID) -> str:
    slug = unit.session.scalar(sa.select(Team.slug).where(Team.id == team))
    if slug is None:
        raise NotFound("no such team")
    return slug


# Pipelines -----------------------------------------------------------------------------------------------------------


def create_pipeline(
    unit: Unit,
    team: UUID,
    *,
    slug: str,
    name: str,
    source_kind: str,
    source_options: Mapping[str, Any],
    retention: Mapping[str, Any] | None = None,
    author: str = "",
    note: str = "",
) -> Pipeline:
    """A new active pipeline without a mapping; Conflict where the slug is taken."""
    ids.check_slug(slug)
    if not name.strip() or len(name) > 200:
        raise Invalid(problems=[("name", "a name has 1 to 200 characters")])
    taken = unit.session.scalar(
        sa.select(PipelineRow.id).where(
            PipelineRow.slug == slug, PipelineRow.team_id == team, PipelineRow.state != "archived"
        )
    )
    if taken:
        raise Conflict(f"there is a pipeline '{slug}' already; choose another slug")
    row = PipelineRow(
        id=ids.new_id(),
        team_id=team,
        slug=slug,
        name=name.strip(),
        state="active",
        source_kind=source_kind,
        source_options=dict(source_options),
        mapping_version=None,
        retention=dict(retention or {}),
        note=note,
        created_by=author,
    )
    unit.session.add(row)
    try:
        unit.session.flush()
    except sa.exc.IntegrityError as error:
        raise Conflict(f"there is a pipeline '{slug}' already; choose another slug") from error
    unit.session.refresh(row)
    generations.begin_first(unit, team, row.id)
    unit.notify(PipelineChanged(str(row.id)))
    return _pipeline(row)


def pipeline(unit: Unit, ref: str | UUID, *, archived: bool = False) -> Pipeline:
    """The pipeline with this id or slug; NotFound otherwise."""
    return _pipeline(_find_pipeline(unit, ref, archived=archived))


def lock(unit: Unit, pipeline_id: UUID) -> Pipeline:
    """The pipeline as it is, changed by nobody else until this transaction ends."""
    unit.execute("SELECT FROM pipelines WHERE id = %s FOR NO KEY UPDATE", (pipeline_id,))
    return pipeline(unit, pipeline_id, archived=True)


def pipelines(unit: Unit, *, limit: int = 1000, after: UUID | None = None) -> list[Pipeline]:
    """Pipelines that are not archived, oldest first, beginning after an id."""
    statement = sa.select(PipelineRow).where(PipelineRow.state != "archived").order_by(PipelineRow.id).limit(limit)
    if after is not None:
        statement = statement.where(PipelineRow.id > after)
    return [_pipeline(row) for row in unit.session.scalars(statement)]


def update_pipeline(
    unit: Unit, ref: str | UUID, changes: Mapping[str, Any], *, expected_revision: int | None = None
) -> Pipeline:
    """Sets any of name, slug, state, source_options, retention, note; PreconditionFailed where another revision is
    stored."""
    row = _find_pipeline(unit, ref)
    if expected_revision is not None and row.revision != expected_revision:
        raise PreconditionFailed(f"the pipeline is at revision {row.revision}, not {expected_revision}; read it again")
    if "slug" in changes:
        ids.check_slug(changes["slug"])
    for name, value in changes.items():
        setattr(row, name, dict(value) if isinstance(value, Mapping) else value)
    row.revision += 1
    try:
        unit.session.flush()
    except sa.exc.IntegrityError as error:
        raise Conflict(f"there is a pipeline '{changes.get('slug')}' already; choose another slug") from error
    unit.notify(PipelineChanged(str(row.id)))
    return _pipeline(row)


# Mappings and their tables -------------------------------------------------------------------------------------------


def save_mapping(
    unit: Unit,
    ref: str | UUID,
    document: Mapping[str, Any],
    *,
    note: str = "",
    author: str = "",
    activate: bool = True,
    pipeline_note: str | None = None,
    base: int | None = None,
) -> MappingVersion:
    """The next version of a pipeline's mapping. `activate`: it is what new payloads are mapped with from this
    commit on, and what the version before has written stays readable beside it.

    `base`: the newest version that the author has seen, 0 for none; Conflict where there is a newer one.
    """
    parse_mapping(document)
    row = unit.session.scalars(
        sa.select(PipelineRow).where(PipelineRow.id == _find_pipeline(unit, ref).id).with_for_update()
    ).one()
    last = unit.session.scalar(sa.select(sa.func.max(MappingRow.version)).where(MappingRow.pipeline_id == row.id)) or 0
    if base is not None and base != last:
        raise Conflict(f"version {last} was saved meanwhile, and this one was made from version {base}", newest=last)
    made = MappingRow(
        team_id=row.team_id, pipeline_id=row.id, version=last + 1, document=dict(document), note=note, author=author
    )
    unit.session.add(made)
    unit.session.flush()
    unit.session.refresh(made)
    if activate:
        generations.activate(unit, row.id, made.version)
        row.mapping_version = made.version
        row.revision += 1
        if pipeline_note is not None:
            row.note = pipeline_note
    unit.session.flush()
    unit.notify(PipelineChanged(str(row.id)))
    return _mapping(made)


def _mapping(row: MappingRow) -> MappingVersion:
    return MappingVersion(
        pipeline=row.pipeline_id,
        version=row.version,
        document=row.document,
        note=row.note,
        author=row.author,
        created_at=row.created_at,
    )


def mapping(unit: Unit, pipeline_id: UUID, version: int) -> MappingVersion:
    row = unit.session.get(MappingRow, (pipeline_id, version))
    if row is None:
        raise NotFound(f"no version {version} of this mapping")
    return _mapping(row)


def mappings(unit: Unit, pipeline_id: UUID) -> list[MappingVersion]:
    """Every version of a pipeline's mapping, newest first."""
    statement = sa.select(MappingRow).where(MappingRow.pipeline_id == pipeline_id).order_by(MappingRow.version.desc())
    return [_mapping(row) for row in unit.session.scalars(statement)]


def versions(
    unit: Unit, pipeline_id: UUID, *, generation: int | None = None, mapping: int | None = None
) -> list[SilverVersion]:
    """The versions whose rows are read together, the active one first, then newest first.

    `generation`: those of another one than the pipeline points at. `mapping`: as this version of the mapping saw it,
    which is the generation that is or was written under it, or else the active one without what later versions wrote;
    NotFound where neither is there (any more).
    """
    where = [SilverVersionRow.pipeline_id == pipeline_id, SilverVersionRow.state.in_(["active", "history"])]
    if mapping is not None:
        generation = generations.of_mapping(unit, pipeline_id, mapping)
        where.append(SilverVersionRow.version <= mapping)
    number = PipelineRow.generation if generation is None else generation
    statement = (
        sa.select(SilverVersionRow, MappingRow.document, PipelineRow.records_from, PipelineRow.rollups_from)
        .join(PipelineRow, PipelineRow.id == SilverVersionRow.pipeline_id)
        .join(
            MappingRow,
            sa.and_(
                MappingRow.pipeline_id == SilverVersionRow.pipeline_id, MappingRow.version == SilverVersionRow.version
            ),
        )
        .where(*where, SilverVersionRow.generation == number)
        .order_by((SilverVersionRow.state == "active").desc(), SilverVersionRow.version.desc())
    )
    return [
        SilverVersion(
            pipeline=row.pipeline_id,
            version=row.version,
            schema=row.schema_name,
            table=row.table_name,
            state=row.state,
            columns=parse_mapping(document).fields,
            dims=tuple(row.dims),
            created=row.created,
            records_from=records_from,
            rollups_from=rollups_from,
            generation=row.generation,
        )
        for row, document, records_from, rollups_from in unit.session.execute(
            statement.execution_options(populate_existing=True)
        )
    ]


def pipeline_floor(unit: Unit, pipeline_id: UUID) -> datetime | None:
    """From which time on records of a pipeline are kept; None: all are."""
    floor: datetime | None = unit.value("SELECT records_from FROM pipelines WHERE id = %s", (pipeline_id,))
    return floor


# Counts --------------------------------------------------------------------------------------------------------------

_STATS = """
SELECT p.id, coalesce(c.payloads, 0) + coalesce(w.fresh, 0), coalesce(c.records, 0), coalesce(c.rejects, 0),
       coalesce(w.waiting, 0), extract(epoch FROM now() - w.oldest)::float8, greatest(c.last_received, w.newest),
       coalesce(b.files, 0), coalesce(b.bytes, 0)
FROM pipelines p
LEFT JOIN pipeline_counts c ON c.pipeline_id = p.id
LEFT JOIN LATERAL (SELECT sum(cardinality(payload_ids))::bigint AS waiting, min(created_at) AS oldest,
                          sum(cardinality(payload_ids)) FILTER (WHERE NOT again)::bigint AS fresh,
                          max(created_at) FILTER (WHERE NOT again) AS newest
                   FROM batches WHERE pipeline_id = p.id) w ON true
LEFT JOIN LATERAL (SELECT count(*) AS files, sum(bytes)::bigint AS bytes FROM bronze_files WHERE pipeline_id =
p.id AND expired_at IS NULL) b ON true
WHERE p.id = ANY(%s)
"""


def stats(unit: Unit, pipeline_ids: Sequence[UUID]) -> dict[UUID, PipelineStats]:
    """Counts by pipeline. `lag_seconds` is the age of the oldest payload that waits; 0 when none does."""
    return {
        row[0]: PipelineStats(
            payloads=row[1],
            records=row[2],
            rejects=row[3],
            pending=row[4],
            lag_seconds=max(0.0, row[5]) if row[5] is not None else 0.0,
            last_received=row[6],
            bronze_files=row[7],
            bronze_bytes=row[8],
        )
        for row in unit.rows(_STATS, (list(pipeline_ids),))
    }
