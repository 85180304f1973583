"""Comparing two versions of a pipeline's mapping: at once over a sample, or by a worker over all of its payloads.

The worker's part is cut into turns. A turn reads payloads batch by batch, adds what differs to what was found before,
and commits the sum with its position after each; so nothing is lost but one batch when a worker dies, and nothing is
counted twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson
import structlog

from dash_app.domain.access import Principal
from dash_app.domain.errors import Conflict, DashError, Invalid, Transient
from dash_app.domain.ids import payload_id_floor
from dash_app.domain.mapping import load_mapping_text, parse_mapping
from dash_app.domain.specs import MappingSpec, Pipeline
from dash_app.pipelines.affected import AffectedAlert, AffectedTile, affected_alerts, affected_tiles
from dash_app.pipelines.compare import compare
from dash_app.pipelines.difference import Difference
from dash_app.pipelines.mapping import Plan, compile_mapping
from dash_app.pipelines.resources import Resources
from dash_app.storage import alerts, bronze, catalog, comparisons, dashboards, ledger, people
from dash_app.storage.comparisons import Comparison
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

SAMPLE: Final = 100
MOST_SAMPLED: Final = 1000
SAMPLE_BYTES: Final = 16 << 20
#: Comparisons of one pipeline that may be on their way together.
MOST_OPEN: Final = 3
#: After so long the next task in the queue gets its turn.
TURN_SECONDS: Final = 2.0
#: Turns that ended without keeping anything: more of them, and a payload ends its worker each time.
PATIENCE: Final = 3
#: Where a turn is queued, and as what.
QUEUE: Final = "replay"
TASK: Final = "dash_app.pipelines.tasks.compare"
_LAST_ID: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two mappings. `version` None: a document that is not saved."""

    version: int | None
    spec: MappingSpec
    plan: Plan

    @property
    def kept(self) -> str:
        """The document as a comparison keeps it; '' for a version, which keeps itself."""
        return orjson.dumps(dict(self.spec.document)).decode() if self.version is None else ""


def sides(
    unit: Unit,
    pipeline: Pipeline,
    a: int | None = None,
    b: int | None = None,
    document: Mapping[str, Any] | str | None = None,
) -> tuple[Side, Side]:
    """The two mappings: version `a` (None: the active one), and version `b` or, where it is given, a document or its
    text in YAML.

    Raises NotFound for a version that is not there, Invalid for a document that is wrong, each place below `mapping`.
    """
    if a is None and pipeline.mapping_version is None:
        raise Invalid(problems=[("a", "this pipeline has no mapping yet, so that there is nothing to compare with")])
    if b is None and document is None:
        raise Invalid(problems=[("b", "a version is needed, or a document as `mapping`")])
    if b is not None and document is not None:
        raise Invalid(problems=[("mapping", "either a version as `b` or a document, not both")])
    first = _version(unit, pipeline.id, a if a is not None else pipeline.mapping_version or 0)
    if document is None:
        return first, _version(unit, pipeline.id, b or 0)
    try:
        spec = parse_mapping(load_mapping_text(document) if isinstance(document, str) else document)
        return first, Side(None, spec, compile_mapping(spec))
    except Invalid as error:
        problems = error.problems or (("", error.message),)
        raise Invalid(
            problems=[(f"mapping.{place}" if place else "mapping", what) for place, what in problems]
        ) from None


def _version(unit: Unit, pipeline: UUID, version: int) -> Side:
    spec = parse_mapping(catalog.mapping(unit, pipeline, version).document)
    return Side(version, spec, compile_mapping(spec, version=version))


def compare_sample(
    unit: Unit,
    app: Resources,
    pipeline: UUID,
    a: Side,
    b: Side,
    *,
    limit: int = SAMPLE,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Difference:
    """What differs over the newest payloads received from `start` on and before `end`, duplicates of a key removed.

    At most `limit` payloads and SAMPLE_BYTES of bodies, and at least one; `Difference.payloads` says how many.
    """
    low, high = _bounds(start, end)
    wanted: list[int] = []
    size = 0
    for info in bronze.recent(unit, app.objects, pipeline, limit=limit, before=high):
        size += info.size
        if info.id < low or (wanted and size > SAMPLE_BYTES):
            break
        wanted.append(info.id)
    payloads = bronze.read_payloads(unit, app.objects, wanted, pipeline=pipeline)
    return compare(a.plan, b.plan, payloads, without_duplicates=True).bounded()


def start_comparison(
    unit: Unit,
    pipeline: Pipeline,
    a: Side,
    b: Side,
    author: Principal,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Comparison:
    """Has a worker compare all payloads received from `start` on and before `end` (None: now).

    Call `queue` once this is committed. Raises Conflict where as many are on their way as may be, Invalid where the
    range is none.
    """
    if start and end and start >= end:
        raise Invalid(problems=[("from", f"from ({start.isoformat()}) is not before to ({end.isoformat()})")])
    if comparisons.count_open(unit, pipeline.id) >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} comparisons of this pipeline are on their way; wait for one, or cancel it")
    low, high = _bounds(start, end or datetime.now(UTC))
    made = comparisons.create(
        unit,
        pipeline.team,
        pipeline.id,
        version_a=a.version or 0,
        version_b=b.version,
        document_b=b.kept,
        from_id=low,
        to_id=high,
        from_time=start,
        to_time=end,
        author=author.email,
    )
    detail = {"pipeline": pipeline.slug, "a": a.version, "b": b.version}
    people.record(unit, author, pipeline.team, "comparison.start", str(made.id), detail)
    return made


def sides_of(unit: Unit, comparison: Comparison) -> tuple[Side, Side]:
    """The two mappings of a comparison."""
    first = _version(unit, comparison.pipeline, comparison.version_a)
    if comparison.version_b is not None:
        return first, _version(unit, comparison.pipeline, comparison.version_b)
    spec = parse_mapping(orjson.loads(comparison.document_b))
    return first, Side(None, spec, compile_mapping(spec))


def last_comparison(
    unit: Unit, pipeline: UUID, a: Side, b: Side, *, start: datetime | None = None, end: datetime | None = None
) -> Comparison | None:
    """The newest comparison over all payloads of these two mappings and this range; None where there is none."""
    return comparisons.newest_of(
        unit,
        pipeline,
        version_a=a.version or 0,
        version_b=b.version,
        document_b=b.kept,
        from_time=start,
        to_time=end,
    )


def count_payloads(unit: Unit, pipeline: UUID, start: datetime | None = None, end: datetime | None = None) -> int:
    """About how many payloads there are to compare."""
    return comparisons.count_payloads(unit, pipeline, *_bounds(start, end))


def difference_of(comparison: Comparison) -> Difference | None:
    """What a comparison has found so far; None where it has not begun."""
    return Difference.from_document(orjson.loads(comparison.difference)) if comparison.difference else None


def tiles_of(unit: Unit, pipeline: Pipeline, a: Side, b: Side, difference: Difference) -> list[AffectedTile]:
    """Tiles of the team's dashboards, as they are now, that show something else under `b`."""
    return affected_tiles(dashboards.documents(unit), pipeline, a.spec, b.spec, difference)


def alerts_of(unit: Unit, pipeline: Pipeline, a: Side, b: Side, difference: Difference) -> list[AffectedAlert]:
    """The team's alerts, as they are now, that will see something else under `b`."""
    rules = [line.alert for line in alerts.lines(unit, pipeline=pipeline.id)]
    return affected_alerts(rules, a.spec, b.spec, difference)


def _bounds(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """A range of time as payload ids, clipped to those that there can be."""
    low = payload_id_floor(start) if start else 0
    high = payload_id_floor(end) if end else _LAST_ID
    return min(max(low, 0), _LAST_ID), min(max(high, 0), _LAST_ID)


def queue(app: Resources, comparison: UUID) -> None:
    """Has a worker take a turn soon. (The clock finds one that was not queued, a little later.)"""
    with app.database.ingest() as unit:
        ledger.enqueue_once(unit, QUEUE, TASK, str(comparison))
        unit.commit()


def queue_left(unit: Unit) -> None:
    """Queues comparisons again whose worker or whose task was lost."""
    for comparison in comparisons.left(unit):
        ledger.enqueue_once(unit, QUEUE, TASK, str(comparison))


# The worker's turn ---------------------------------------------------------------------------------------------------


def advance(app: Resources, comparison: UUID, *, turn: float = TURN_SECONDS) -> bool:
    """Works on a comparison for about `turn` seconds; whether something is left to do.

    What cannot be mended by trying again ends the comparison with its reason.
    """
    with app.database.ingest() as unit:
        found = comparisons.begin_turn(unit, comparison)
        if found is not None and found.attempts > PATIENCE:
            reason = f"the {PATIENCE} last turns ended without a result at payload {found.position} or soon after it"
            comparisons.end(unit, comparison, error=reason)
            found = None
        unit.commit()
    if found is None:
        return False
    try:
        return _turn(app, found, turn)
    except Transient:
        raise  # the clock queues it again
    except DashError as error:
        log.warning("comparison.failed", comparison=str(comparison), error=error.message)
        with app.database.ingest() as unit:
            comparisons.end(unit, comparison, error=error.message)
            unit.commit()
        return False


def _turn(app: Resources, found: Comparison, turn: float) -> bool:
    with app.database.ingest() as unit:
        a, b = sides_of(unit, found)
    total = difference_of(found) or compare(a.plan, b.plan, [])
    position = found.position
    began = last = time.monotonic()
    for payloads in bronze.scan(app.database.ingest, app.objects, found.pipeline, position, found.to_id):
        part = compare(a.plan, b.plan, payloads)
        total = total + part
        now = time.monotonic()
        with app.database.ingest() as unit:
            saved = comparisons.save(
                unit,
                found.id,
                position,
                position=payloads[-1].id + 1,
                difference=orjson.dumps(total.to_document()).decode(),
                payloads=len(payloads),
                records=part.records.after,
                seconds=now - last,
            )
            unit.commit()
        if not saved:
            return False
        position, last = payloads[-1].id + 1, now
        if now - began >= turn:
            return True
    with app.database.ingest() as unit:
        if not found.difference and not total.payloads:
            document = orjson.dumps(total.to_document()).decode()
            comparisons.save(
                unit, found.id, position, position=position, difference=document, payloads=0, records=0, seconds=0.0
            )
        comparisons.end(unit, found.id)
        unit.commit()
    return False
