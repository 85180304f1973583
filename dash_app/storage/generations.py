"""Generations of silver: which tables new payloads are written to, and which of them are read.

A generation is a set of version tables that is read as one. A pipeline points at one, the active generation. A replay
fills another beside it, the shadow; the swap moves the pointer in one commit, and the generation before it stays in
grace, so that going back is the same move. New payloads are written to all three, each under its own mapping
version: whichever is pointed at lacks nothing.

States: shadow → active ⇄ grace → ended → dropped. Whoever moves the pointer or begins a generation holds the pipeline's
lock (`payloads.await_pipeline`), so that no batch is halfway between two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from dash_app.domain.changes import PipelineChanged
from dash_app.domain.errors import Conflict, NotFound
from dash_app.storage.unit import Unit

#: How long the generation before a swap is kept, and written, so that one can go back to it.
GRACE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation of a pipeline. `state`: active | shadow | grace | ended | dropped."""

    generation: int
    state: str
    version: int | None
    created_at: datetime
    grace_until: datetime | None


@dataclass(frozen=True, slots=True)
class Target:
    """A generation that new payloads are written to, and its table of the mapping version that is written now.

    `cut`: payloads with a smaller id that were mapped before it began come by replay.
    """

    generation: int
    state: str
    version: int | None
    cut: int | None
    dims: tuple[str, ...]
    created: bool


@dataclass(frozen=True, slots=True)
class Writing:
    """What a worker asks before it maps: may it, and where to. `targets`: the active generation first. `passed_on`:
    sinks or other pipelines may want the records."""

    pipeline: UUID
    state: str
    targets: tuple[Target, ...]
    passed_on: bool = False

    @property
    def version(self) -> int | None:
        """The mapping version of the active generation."""
        return self.targets[0].version


_WRITING = """
SELECT p.state, g.generation, g.state, g.version, g.cut, coalesce(v.dims, '{}'), coalesce(v.created, false),
EXISTS (SELECT FROM sink_pipelines f WHERE f.pipeline_id = p.id) OR EXISTS (
  SELECT FROM pipelines d WHERE d.source_kind = 'pipeline' AND d.source_options ->> 'pipeline' = p.id::text)
FROM pipelines p
JOIN generations g ON g.pipeline_id = p.id AND g.state IN ('active', 'grace', 'shadow')
LEFT JOIN silver_versions v ON v.pipeline_id = p.id AND v.generation = g.generation AND v.version = g.version
WHERE p.id = %s ORDER BY g.state
"""


def writing(unit: Unit, pipeline: UUID) -> Writing | None:
    """One quick look, made anew for each claim."""
    rows = unit.rows(_WRITING, (pipeline,))
    if not rows:
        return None
    targets = [
        Target(number, state, version, cut, tuple(dims), made) for _, number, state, version, cut, dims, made, _ in rows
    ]
    return Writing(pipeline, rows[0][0], tuple(targets), rows[0][7])


def generations(unit: Unit, pipeline: UUID) -> list[Generation]:
    """A pipeline's generations whose tables are there, newest first."""
    return [
        Generation(*row)
        for row in unit.rows(
            "SELECT generation, state, version, created_at, grace_until FROM generations "
            "WHERE pipeline_id = %s AND state <> 'dropped' ORDER BY generation DESC",
            (pipeline,),
        )
    ]


def begin_first(unit: Unit, team: UUID, pipeline: UUID) -> None:
    """The generation that a new pipeline begins with; it has no mapping yet."""
    unit.execute(
        "INSERT INTO generations (team_id, pipeline_id, generation, state) VALUES (%s, %s, 1, 'active')",
        (team, pipeline),
    )


def activate(unit: Unit, pipeline: UUID, version: int) -> None:
    """From this commit on the active generation is written under this version; what it has stays readable beside it."""
    number: int = unit.value("SELECT generation FROM pipelines WHERE id = %s", (pipeline,))
    unit.execute(
        "UPDATE silver_versions SET state = 'history' WHERE pipeline_id = %s AND generation = %s AND state = 'active'",
        (pipeline, number),
    )
    _add_table(unit, pipeline, number, version)
    unit.execute(
        "UPDATE generations SET version = %s WHERE pipeline_id = %s AND generation = %s", (version, pipeline, number)
    )


def begin_shadow(unit: Unit, pipeline: UUID, version: int) -> tuple[int, int]:
    """A generation that a replay will fill, written by the live road from this commit on; answers (number, cut).

    Every payload that was mapped before has an id below the cut. Raises Conflict where another one is being filled.
    """
    if unit.value("SELECT 1 FROM generations WHERE pipeline_id = %s AND state = 'shadow'", (pipeline,)):
        raise Conflict("a replay of this pipeline is under way; wait for its end, or cancel it")
    row = unit.row(
        "INSERT INTO generations (team_id, pipeline_id, generation, state, version, cut) "
        "SELECT p.team_id, p.id, (SELECT max(generation) + 1 FROM generations WHERE pipeline_id = p.id), 'shadow', %s, "
        # A clock that was set back may have given out ids that lie ahead of it.
        "greatest(((extract(epoch FROM clock_timestamp()) * 1000)::bigint + 1) << 20, "
        "(SELECT max(id) + 1 FROM payloads WHERE pipeline_id = p.id), "
        "(SELECT max(max_payload) + 1 FROM bronze_files WHERE pipeline_id = p.id)) "
        "FROM pipelines p WHERE p.id = %s RETURNING generation, cut",
        (version, pipeline),
    )
    assert row is not None
    _add_table(unit, pipeline, row[0], version)
    return row[0], row[1]


def swap(unit: Unit, pipeline: UUID, generation: int) -> None:
    """Points the pipeline at another generation; the one that was read is in grace from now on, in the place of
    whatever was. The caller holds the pipeline's lock."""
    old: int = unit.value("SELECT generation FROM pipelines WHERE id = %s FOR NO KEY UPDATE", (pipeline,))
    # One generation a state at any moment, hence the way round.
    unit.execute(
        "UPDATE generations SET state = 'ended' WHERE pipeline_id = %s AND (state = 'grace' OR generation = %s)",
        (pipeline, generation),
    )
    # The counts of the pipeline are those of its active generation.
    unit.execute(
        "UPDATE generations g SET state = 'grace', grace_until = clock_timestamp() + %s, "
        "records = c.records, rejects = c.rejects FROM (SELECT coalesce(max(records), 0) AS records, "
        "coalesce(max(rejects), 0) AS rejects FROM pipeline_counts WHERE pipeline_id = %s) c "
        "WHERE g.pipeline_id = %s AND g.generation = %s",
        (GRACE, pipeline, pipeline, old),
    )
    version, records, rejects = unit.row(  # type: ignore[misc]
        "UPDATE generations SET state = 'active', grace_until = NULL WHERE pipeline_id = %s AND generation = %s "
        "RETURNING version, records, rejects",
        (pipeline, generation),
    )
    unit.execute(
        "UPDATE pipeline_counts SET records = %s, rejects = %s WHERE pipeline_id = %s", (records, rejects, pipeline)
    )
    # The replay that asked for these has ended.
    unit.execute("DELETE FROM replay_live WHERE pipeline_id = %s AND generation = %s", (pipeline, generation))
    unit.execute(
        "UPDATE pipelines SET generation = %s, mapping_version = %s, revision = revision + 1 WHERE id = %s",
        (generation, version, pipeline),
    )
    unit.notify(PipelineChanged(str(pipeline)))


def graced(unit: Unit, pipeline: UUID) -> Generation | None:
    """The generation that one can go back to; None where there is none."""
    return next((one for one in generations(unit, pipeline) if one.state == "grace"), None)


def of_mapping(unit: Unit, pipeline: UUID, version: int) -> int:
    """The generation that shows what a mapping version made of the payloads; NotFound where none does."""
    number: int | None = unit.value(
        "SELECT g.generation FROM generations g JOIN silver_versions v USING (pipeline_id, generation) "
        "WHERE g.pipeline_id = %(pipeline)s AND v.version = %(version)s "
        "AND (g.version = %(version)s AND g.state IN ('active', 'grace') OR g.state = 'active') "
        "ORDER BY g.version = %(version)s DESC, g.state LIMIT 1",
        {"pipeline": pipeline, "version": version},
    )
    if number is None:
        raise NotFound(f"what version {version} of this mapping made is not kept (any more)")
    return number


def count(unit: Unit, pipeline: UUID, generation: int, *, records: int, rejects: int) -> None:
    """Adds to the counts of a generation that is not the active one."""
    unit.execute(
        "UPDATE generations SET records = records + %s, rejects = rejects + %s "
        "WHERE pipeline_id = %s AND generation = %s",
        (records, rejects, pipeline, generation),
    )


def end(unit: Unit, pipeline: UUID, generation: int, *, over: bool = False) -> None:
    """Nothing is written to a generation any more, and its tables are dropped by `generation_upkeep`. The caller holds
    the pipeline's lock; the active generation is left as it is. `over`: only where its grace is."""
    unit.execute(
        "UPDATE generations SET state = 'ended' WHERE pipeline_id = %s AND generation = %s "
        "AND state IN ('shadow', 'grace') AND (NOT %s OR grace_until < clock_timestamp())",
        (pipeline, generation, over),
    )


def _add_table(unit: Unit, pipeline: UUID, generation: int, version: int) -> None:
    unit.execute(
        "INSERT INTO silver_versions (team_id, pipeline_id, generation, version, state, schema_name, table_name) "
        "SELECT p.team_id, p.id, %(generation)s, %(version)s, 'active', 'team_' || t.slug || '_data', "
        "'p_' || replace(p.id::text, '-', '') || CASE WHEN %(generation)s > 1 THEN '_g' || %(generation)s ELSE '' END "
        "|| '_v' || %(version)s FROM pipelines p JOIN teams t ON t.id = p.team_id WHERE p.id = %(pipeline)s "
        "ON CONFLICT (pipeline_id, generation, version) DO UPDATE SET state = 'active'",
        {"pipeline": pipeline, "generation": generation, "version": version},
    )
