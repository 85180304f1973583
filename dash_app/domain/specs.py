"""What people write down: pipelines, mappings, queries, dashboards, each as a frozen dataclass.

Documents come from the editor, the API and files alike. Parsing one (`parse_…` in the module of that document) gives
the dataclass or `Invalid` with every problem found; `document` keeps what was written, word for word, for showing
it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

FieldType = Literal["number", "integer", "boolean", "text", "timestamp", "json"]
Role = Literal["metric", "dimension"]
PathStep = str | int | None  #: a member name, an index, or None for a wildcard


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a mapping: either `path` (steps below `origin`) or `sql` over the fields above it."""

    name: str
    type: FieldType
    path: tuple[PathStep, ...] | None = None
    origin: Literal["record", "payload", "headers"] = "record"
    sql: str | None = None
    default: Any = None
    unit: str = ""
    role: Role = "dimension"

    @property
    def is_metric(self) -> bool:
        return self.role == "metric"


@dataclass(frozen=True, slots=True)
class TimeSpec:
    """Where a record's time stands. `format`: iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns, or a strptime pattern."""

    path: tuple[PathStep, ...]
    format: str = "iso8601"


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """A validated mapping document (`docs/mapping.md`)."""

    fields: tuple[FieldSpec, ...]
    records: tuple[PathStep, ...] | None = None
    time: TimeSpec | None = None
    key: tuple[tuple[PathStep, ...], ...] = ()
    on_duplicate: Literal["ignore", "replace"] = "ignore"
    where: str | None = None
    on_error: Literal["reject", "null"] = "reject"
    tests: tuple[Mapping[str, Any], ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[FieldSpec, ...]:
        return tuple(f for f in self.fields if f.is_metric)

    @property
    def dimensions(self) -> tuple[FieldSpec, ...]:
        return tuple(f for f in self.fields if not f.is_metric)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline as the catalog keeps it. `state`: active | paused | archived."""

    id: UUID
    team: UUID
    slug: str
    name: str
    state: str
    source_kind: str
    #: Options of the source without its secrets.
    source_options: Mapping[str, Any]
    #: The version that is written now; None until there is a mapping.
    mapping_version: int | None
    retention: Mapping[str, Any]
    created_at: datetime
    #: Grows by one with every change: the ETag.
    revision: int
    #: A sentence about why it is as it is: 'inferred from the first 3 payloads', 'paused by …', the last poll error.
    note: str = ""
    #: The set of silver tables that is read.
    generation: int = 1


@dataclass(frozen=True, slots=True)
class MappingVersion:
    """One immutable version of a pipeline's mapping."""

    pipeline: UUID
    version: int
    document: Mapping[str, Any]
    note: str
    author: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PipelineStats:
    """Counts of a pipeline, as `GET pipelines/{id}` shows them; `pending` payloads wait or are held."""

    payloads: int
    records: int
    rejects: int
    pending: int
    lag_seconds: float | None
    last_received: datetime | None
    bronze_files: int
    bronze_bytes: int


@dataclass(frozen=True, slots=True)
class Measure:
    """One selected column of a query: a field, aggregated or (`agg` None) as it is."""

    name: str
    field: str | None
    agg: str | None


@dataclass(frozen=True, slots=True)
class QuerySpec:
    """A parsed query. `start` ≤ time < `end`; `every` is (count, unit) with units s m h d w M y, or None."""

    pipeline: str
    select: tuple[Measure, ...]
    by: tuple[str, ...]
    every: tuple[int, str] | None
    start: datetime
    end: datetime
    where: str | None
    limit: int
    timezone: str
    descending: bool = False
    cursor: str | None = None
    #: The result's column that it is ordered by; '': by time, then by the columns of `by`.
    order: str = ""
    #: As this version of the mapping saw it; None: as it is read today.
    mapping: int | None = None

    @property
    def aggregated(self) -> bool:
        return any(measure.agg for measure in self.select) or self.every is not None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard's stored document (`docs/dashboards.md`) with its place and revision."""

    id: UUID
    team: UUID
    uid: str
    title: str
    document: Mapping[str, Any]
    revision: int
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True)
class DashboardLine:
    """A dashboard as a list shows it. `tiles`: how many; `starred`: by the one who asks."""

    id: UUID
    uid: str
    title: str
    description: str
    folder: str
    tags: Sequence[str]
    tiles: int
    revision: int
    updated_at: datetime
    updated_by: str
    starred: bool


@dataclass(frozen=True, slots=True)
class DeletedDashboard:
    """A dashboard that can still be brought back, until `kept_until`. `tiles`: how many it has."""

    uid: str
    title: str
    folder: str
    tiles: int
    deleted_at: datetime
    kept_until: datetime


@dataclass(frozen=True, slots=True)
class DashboardVersion:
    """One saved state of a dashboard. `note`: why, in the words of who saved it. `document`: empty in long lists."""

    revision: int
    document: Mapping[str, Any]
    note: str
    author: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SilverVersion:
    """One version's tables in a generation: where a pipeline's mapped rows are, and what columns they have.

    `state`: active (the one of its generation that is written), history (read beside the active one), dropped. `dims`:
    dimensions that the rollup keeps. Records before `records_from` and buckets before `rollups_from` have expired and
    are not read.
    """

    pipeline: UUID
    version: int
    schema: str
    table: str
    state: str
    columns: Sequence[FieldSpec]
    dims: tuple[str, ...]
    created: bool
    records_from: datetime | None = None
    rollups_from: datetime | None = None
    generation: int = 1

    @property
    def rollup(self) -> str:
        return f"{self.table}_rollup"

    @property
    def keys(self) -> str:
        return f"{self.table}_keys"
