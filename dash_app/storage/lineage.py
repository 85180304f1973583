"""Where things come from: a payload with where it rests and what became of it, and rejects told into groups.

Records are those of the generation that is read; each carries the mapping version whose table it stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import polars as pl

from dash_app.domain.events import Payload, Reject
from dash_app.domain.specs import FieldSpec
from dash_app.storage import bronze, catalog, ledger, payloads, silver_read
from dash_app.storage.bronze_reading import covering
from dash_app.storage.objects import Objects
from dash_app.storage.parquet import BronzeReader
from dash_app.storage.unit import Unit

#: Rejects, newest first, that are told into groups.
GROUPED: Final = 100_000
#: Records and rejects of one payload that are traced.
MOST_TRACED: Final = 1000
#: What a reason has before it, apart from the value that was found: the reason of a group.
_HEAD: Final = r"regexp_replace(split_part(reason, ', found ', 1), '[0-9][0-9,.]*', '…', 'g')"


@dataclass(frozen=True, slots=True)
class Made:
    """Records of a payload that one mapping version made, with the fields of that version."""

    version: int
    fields: Sequence[FieldSpec]
    #: `_time`, `_received`, `_payload`, `_index` and the fields, in the order of the payload.
    frame: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Trace:
    """One payload and what became of it.

    `state`: waiting | held | ingested. `stored`: bronze once a file of the manifest holds it, named by `file` (its
    key), until then inbox. `generation`: the one that is read. `rejects`: in the order of the payload.
    """

    payload: Payload
    state: Literal["waiting", "held", "ingested"]
    stored: Literal["inbox", "bronze"]
    file: str | None
    made: Sequence[Made]
    rejects: Sequence[Reject]
    generation: int

    @property
    def records(self) -> int:
        return sum(one.frame.height for one in self.made)


@dataclass(frozen=True, slots=True)
class RejectGroup:
    """Rejects of one field for one kind of reason. `rejects` and `payloads` count the newest `GROUPED` alone."""

    field: str
    reason: str
    rejects: int
    payloads: int
    newest: datetime
    #: One of them, whole.
    example: str


def trace(unit: Unit, objects: Objects, pipeline: UUID, payload: int) -> Trace | None:
    """A payload of a pipeline; None where the unit sees none such. Raises what reading bronze and silver raises."""
    found = bronze.read_payload(unit, objects, payload, pipeline=pipeline)
    if found is None:
        return None
    versions = catalog.versions(unit, pipeline)
    generation: int = unit.value("SELECT generation FROM pipelines WHERE id = %s", (pipeline,))
    made = []
    for version in versions:
        frame = silver_read.records_of(unit, [version], payload, limit=MOST_TRACED) if version.created else None
        if frame is not None and frame.height:
            made.append(Made(version.version, version.columns, frame))
    refused = [one for _, one in ledger.rejects(unit, pipeline, limit=MOST_TRACED, payload=payload)]
    file = _file_of(unit, objects, pipeline, payload)
    return Trace(
        payload=found,
        state=_state(unit, pipeline, payload),
        stored="bronze" if file else "inbox",
        file=file,
        made=made,
        rejects=sorted(refused, key=lambda one: one.index),
        generation=generation,
    )


def _file_of(unit: Unit, objects: Objects, pipeline: UUID, payload: int) -> str | None:
    waits = "SELECT 1 FROM unarchived WHERE pipeline_id = %s AND payload_ids @> ARRAY[%s]::bigint[]"
    if payloads.load(unit, [payload]) and unit.value(waits, (pipeline, payload)):
        return None
    for file in covering(unit, [payload], pipeline):
        # A range says that it may be there; the file says whether it is.
        if BronzeReader(objects, file.key, file.bytes).find([payload]):
            return file.key
    return None


def _state(unit: Unit, pipeline: UUID, payload: int) -> Literal["waiting", "held", "ingested"]:
    row = unit.row(
        "SELECT p.state FROM batches b JOIN pipelines p ON p.id = b.pipeline_id "
        "WHERE b.pipeline_id = %s AND b.payload_ids @> ARRAY[%s]::bigint[]",
        (pipeline, payload),
    )
    if row is None:
        return "ingested"
    return "held" if row[0] == "paused" else "waiting"


def waiting_again(unit: Unit, pipeline: UUID) -> int:
    """How many payloads that were mapped before wait to be mapped again."""
    count: int = unit.value(
        "SELECT count(DISTINCT p) FROM batches, unnest(payload_ids) AS p WHERE pipeline_id = %s AND again", (pipeline,)
    )
    return count


# Rejects in groups ---------------------------------------------------------------------------------------------------


_NEWEST = """
SELECT id, payload, index, field, reason, excerpt, mapping_version, at FROM rejects WHERE pipeline_id = %(pipeline)s
AND generation = (SELECT generation FROM pipelines WHERE id = %(pipeline)s) ORDER BY id DESC LIMIT %(grouped)s
"""


def reject_groups(unit: Unit, pipeline: UUID, *, limit: int = 50) -> list[RejectGroup]:
    """The newest rejects by field and reason, the largest group first. What was found, and numbers, make no group."""
    rows = unit.rows(
        f"SELECT field, {_HEAD} AS head, count(*), count(DISTINCT payload), max(at), "
        f"(array_agg(reason ORDER BY id DESC))[1] FROM ({_NEWEST}) AS r GROUP BY 1, 2 "
        "ORDER BY 3 DESC, 1, 2 LIMIT %(limit)s",
        {"pipeline": pipeline, "grouped": GROUPED, "limit": limit},
    )
    return [RejectGroup(*row) for row in rows]


def rejects_of_group(unit: Unit, pipeline: UUID, field: str, reason: str, *, limit: int) -> list[Reject]:
    """The rejects of a group, newest first."""
    rows = unit.rows(
        f"SELECT payload, index, field, reason, excerpt, mapping_version, at FROM ({_NEWEST}) AS r "
        f"WHERE field = %(field)s AND {_HEAD} = %(reason)s ORDER BY id DESC LIMIT %(limit)s",
        _group(pipeline, field, reason) | {"limit": limit},
    )
    return [Reject(*row) for row in rows]


def payloads_of_group(unit: Unit, pipeline: UUID, field: str, reason: str, *, limit: int) -> list[int]:
    """Payloads with a reject of a group, newest first."""
    rows = unit.rows(
        f"SELECT DISTINCT payload FROM ({_NEWEST}) AS r WHERE field = %(field)s AND {_HEAD} = %(reason)s "
        "ORDER BY payload DESC LIMIT %(limit)s",
        _group(pipeline, field, reason) | {"limit": limit},
    )
    return [payload for (payload,) in rows]


def _group(pipeline: UUID, field: str, reason: str) -> dict[str, Any]:
    return {
        "pipeline": pipeline,
        "grouped": GROUPED,
        "field": field.replace("\x00", "\ufffd"),
        "reason": reason.replace("\x00", "\ufffd"),
    }


# Versions ------------------------------------------------------------------------------------------------------------


def kept_versions(unit: Unit, pipeline: UUID) -> set[int]:
    """Mapping versions of which it can be asked what they made of the payloads (`catalog.versions(mapping=…)`)."""
    rows = unit.rows(
        "SELECT DISTINCT v.version FROM generations g JOIN silver_versions v USING (pipeline_id, generation) "
        "WHERE g.pipeline_id = %s AND (g.state = 'active' OR g.state = 'grace' AND g.version = v.version)",
        (pipeline,),
    )
    return {version for (version,) in rows}
