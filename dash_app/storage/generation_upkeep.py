"""Dropping generations that nobody can go back to any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from dash_app.storage import catalog, generations, ledger, payloads, silver
from dash_app.storage.ddl import log
from dash_app.storage.engine import Database
from dash_app.storage.replays import OPEN
from dash_app.storage.unit import Unit

_PATIENCE: Final = timedelta(seconds=3)
#: Rejects of one transaction.
_ROWS: Final = 20_000
# What a replay still carries over from is kept.
_FREE = (
    "NOT EXISTS (SELECT FROM replays r WHERE r.pipeline_id = g.pipeline_id AND r.state = ANY(%(open)s) "
    "AND g.generation IN (r.source, r.generation))"
)


def drop_ended(database: Database) -> int:
    """Ends generations whose grace is over, and drops the tables of those that have ended; answers how many went.

    What somebody reads at the moment is left to the next call.
    """
    with database.ingest() as unit:
        over = unit.rows(
            "SELECT pipeline_id, generation FROM generations g "
            f"WHERE state = 'grace' AND grace_until < clock_timestamp() AND {_FREE}",
            {"open": list(OPEN)},
        )
    for pipeline, generation in over:
        with database.ingest() as unit:
            if payloads.await_pipeline(unit, pipeline, _PATIENCE):
                generations.end(unit, pipeline, generation, over=True)
                ledger.ring(unit, pipeline)
                unit.commit()
    with database.ingest() as unit:
        ended = unit.rows(
            f"SELECT pipeline_id, generation FROM generations g WHERE state = 'ended' AND {_FREE}", {"open": list(OPEN)}
        )
    return sum(_drop(database, pipeline, generation) for pipeline, generation in ended)


def _drop(database: Database, pipeline: UUID, generation: int) -> bool:
    with database.ingest() as unit:
        for version in catalog.versions(unit, pipeline, generation=generation):
            if not silver.drop_version(unit, version):
                return False
        unit.commit()
    with database.ingest() as unit:
        while _forget(unit, pipeline, generation):
            unit.commit()
        unit.execute("DELETE FROM replay_live WHERE pipeline_id = %s AND generation = %s", (pipeline, generation))
        unit.execute(
            "UPDATE generations SET state = 'dropped' WHERE pipeline_id = %s AND generation = %s AND state = 'ended'",
            (pipeline, generation),
        )
        unit.commit()
    log.info("generation.dropped", pipeline=str(pipeline), generation=generation)
    return True


def _forget(unit: Unit, pipeline: UUID, generation: int) -> int:
    return unit.execute(
        "DELETE FROM rejects WHERE id IN (SELECT id FROM rejects WHERE pipeline_id = %s AND generation = %s LIMIT %s)",
        (pipeline, generation, _ROWS),
    ).rowcount
