"""Records that gather until a message of them is full, or its time has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dash_app.storage.unit import Unit


@dataclass(frozen=True, slots=True)
class Part:
    """Records that gather in a batch: an array, how many, and when a message is made of them at the latest."""

    team: UUID
    sink: UUID
    pipeline: UUID
    records: bytes
    count: int
    due_at: datetime


def gather(unit: Unit, parts: Sequence[Part]) -> None:
    """Adds to batches that are not full yet."""
    unit.executemany(
        "INSERT INTO batch_parts (team_id, sink_id, pipeline_id, records, count, bytes, due_at) "
        "VALUES (%s, %s, %s, %s::json, %s, %s, %s)",
        [(p.team, p.sink, p.pipeline, p.records.decode(), p.count, len(p.records), p.due_at) for p in parts],
    )


def gathered(unit: Unit, sink: UUID, pipeline: UUID) -> tuple[int, int]:
    """How many records wait in a batch, and how many bytes."""
    row = unit.row(
        "SELECT coalesce(sum(count), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM batch_parts "
        "WHERE sink_id = %s AND pipeline_id = %s",
        (sink, pipeline),
    )
    assert row is not None
    return row[0], row[1]


def take_batch(unit: Unit, sink: UUID, pipeline: UUID) -> list[Part]:
    """Takes out what has gathered, in order. Two never take the same: the second waits and finds nothing."""
    rows = unit.rows(
        "WITH taken AS (DELETE FROM batch_parts WHERE id IN ("
        "  SELECT id FROM batch_parts WHERE sink_id = %s AND pipeline_id = %s ORDER BY id FOR UPDATE"
        ") RETURNING id, team_id, sink_id, pipeline_id, records::text, count, due_at) "
        "SELECT team_id, sink_id, pipeline_id, records, count, due_at FROM taken ORDER BY id",
        (sink, pipeline),
    )
    return [Part(team, s, p, text.encode(), count, due) for team, s, p, text, count, due in rows]


def due_batches(unit: Unit, now: datetime, *, limit: int = 200) -> list[tuple[UUID, UUID]]:
    """(sink, pipeline) of batches whose time has come, in the one order that all take them in."""
    return [
        (sink, pipeline)
        for sink, pipeline in unit.rows(
            "SELECT DISTINCT sink_id, pipeline_id FROM batch_parts WHERE due_at <= %s "
            "ORDER BY sink_id, pipeline_id LIMIT %s",
            (now, limit),
        )
    ]
