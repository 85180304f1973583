"""What fields a pipeline's payloads have been seen to have, and how they have drifted from its mapping.

A worker looks at samples of what came and keeps what it saw here; pages and REST read it. Sightings are of paths in
records, each with the kinds of value that stood there; events say what changed and what was done about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dash_app.domain.ids import payload_id_floor
from dash_app.storage.unit import Unit

#: Of the payloads that came since the last look only so many, the newest, are chosen from.
_CHOICE = 20_000


@dataclass(slots=True)
class Look:
    """Where looking at a pipeline stands: up to which payload, beside which mapping version, how many payloads."""

    policy: str = "keep"
    version: int | None = None
    position: int = 0
    looked_at: datetime | None = None
    payloads: int = 0


@dataclass(slots=True)
class Sighting:
    """A path in the records of a pipeline. `kinds`: values of each kind; `known`: kinds that are no news."""

    path: str
    first_seen: datetime
    last_seen: datetime
    kinds: dict[str, int] = field(default_factory=dict)
    example: str = ""
    payloads: int = 0
    #: The last payload with it, counted over all that were looked at.
    place: int = 0
    known: set[str] = field(default_factory=set)
    missed: bool = False
    #: Fields of a mapping for it, as inference would have them.
    proposal: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One change that was seen. `what`: new | changed | vanished | returned."""

    what: str
    path: str
    before: str
    after: str
    version: int
    handled: str
    id: int = 0
    at: datetime | None = None


def due(unit: Unit, *, limit: int = 500) -> list[UUID]:
    """Active pipelines with a mapping that have mapped something since they were looked at, the longest waiting
    first."""
    return [
        pipeline
        for (pipeline,) in unit.rows(
            "SELECT p.id FROM pipelines p JOIN pipeline_counts c ON c.pipeline_id = p.id "
            "LEFT JOIN drift d ON d.pipeline_id = p.id "
            "WHERE p.state = 'active' AND p.mapping_version IS NOT NULL "
            "AND (d.looked_at IS NULL OR c.last_ingested > d.looked_at) "
            "ORDER BY d.looked_at NULLS FIRST LIMIT %s",
            (limit,),
        )
    ]


def lock(unit: Unit, pipeline: UUID) -> bool:
    """Becomes the one who looks at a pipeline until this transaction ends; False where somebody else is."""
    return unit.value("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 9))", (str(pipeline),)) is True


def look(unit: Unit, pipeline: UUID) -> Look:
    row = unit.row(
        "SELECT policy, version, position, looked_at, payloads FROM drift WHERE pipeline_id = %s", (pipeline,)
    )
    return Look(*row) if row else Look()


def set_policy(unit: Unit, team: UUID, pipeline: UUID, policy: str) -> None:
    unit.execute(
        "INSERT INTO drift (pipeline_id, team_id, policy) VALUES (%s, %s, %s) "
        "ON CONFLICT (pipeline_id) DO UPDATE SET policy = excluded.policy",
        (pipeline, team, policy),
    )


def settled(unit: Unit, within: timedelta) -> datetime:
    """Before which moment, by the database's clock, all that was accepted is committed, as far as it ever is."""
    moment: datetime = unit.value("SELECT clock_timestamp() - %s::interval", (within,))
    return moment


def choose(unit: Unit, pipeline: UUID, after: int, until: datetime, *, limit: int) -> dict[int, int]:
    """Payloads beyond the id `after` that came before `until`, with the sizes of their bodies, in order: all of them,
    or `limit` spread evenly over the newest. The last one is always there, and at a first look (`after` 0) the first.

    They are looked for in the inbox alone, which keeps whatever came within the last hour.
    """
    rows = unit.rows(
        "WITH newest AS (SELECT id FROM payloads "
        "  WHERE pipeline_id = %(pipeline)s AND id > %(after)s AND id < %(until)s ORDER BY id DESC LIMIT %(choice)s), "
        "placed AS ("
        "  SELECT id, row_number() OVER (ORDER BY id DESC) - 1 AS place, count(*) OVER () AS many FROM newest), "
        "chosen AS (SELECT id FROM placed WHERE place %% greatest(1, (many + %(limit)s - 1) / %(limit)s) = 0 "
        "  UNION SELECT id FROM (SELECT id FROM payloads WHERE pipeline_id = %(pipeline)s AND %(after)s = 0 "
        "  AND id < %(until)s ORDER BY id LIMIT 10) first) "
        "SELECT p.id, octet_length(p.body) FROM payloads p JOIN chosen USING (id) ORDER BY 1",
        {
            "pipeline": pipeline,
            "after": after,
            "until": payload_id_floor(until),
            "choice": _CHOICE,
            "limit": limit,
        },
    )
    return dict(rows)


def sightings(unit: Unit, pipeline: UUID) -> dict[str, Sighting]:
    """By path, in the order in which they were first seen."""
    rows = unit.rows(
        "SELECT path, first_seen, last_seen, kinds, example, payloads, place, known, missed, coalesce(proposal, '[]') "
        "FROM field_sightings WHERE pipeline_id = %s ORDER BY first_seen, path",
        (pipeline,),
    )
    return {
        path: Sighting(path, first, last, kinds, example, payloads, place, set(known), missed, proposal)
        for path, first, last, kinds, example, payloads, place, known, missed, proposal in rows
    }


def save(unit: Unit, team: UUID, pipeline: UUID, at: Look, seen: Iterable[Sighting]) -> None:
    """Keeps where a look ended and what is known of these paths now. The policy stays as it is stored."""
    unit.execute(
        "INSERT INTO drift (pipeline_id, team_id, version, position, looked_at, payloads) "
        "VALUES (%s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (pipeline_id) DO UPDATE SET version = excluded.version, position = excluded.position, "
        "looked_at = excluded.looked_at, payloads = excluded.payloads",
        (pipeline, team, at.version, at.position, at.looked_at, at.payloads),
    )
    unit.executemany(
        "INSERT INTO field_sightings (pipeline_id, team_id, path, kinds, example, first_seen, last_seen, payloads, "
        "place, known, missed, proposal) VALUES (%s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s, %s, %s::jsonb) "
        "ON CONFLICT (pipeline_id, path) DO UPDATE SET kinds = excluded.kinds, example = excluded.example, "
        "last_seen = excluded.last_seen, payloads = excluded.payloads, place = excluded.place, known = excluded.known, "
        "missed = excluded.missed, proposal = excluded.proposal",
        [
            (
                pipeline,
                team,
                one.path,
                json.dumps(one.kinds),
                one.example,
                one.first_seen,
                one.last_seen,
                one.payloads,
                one.place,
                sorted(one.known),
                one.missed,
                json.dumps([dict(part) for part in one.proposal]),
            )
            for one in seen
        ],
    )


def add_events(unit: Unit, team: UUID, pipeline: UUID, happened: Sequence[Event]) -> None:
    if happened:
        unit.executemany(
            "INSERT INTO drift_events (team_id, pipeline_id, what, path, before, after, version, handled) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(team, pipeline, e.what, e.path, e.before, e.after, e.version, e.handled) for e in happened],
        )


def reported(unit: Unit, pipeline: UUID, since: int) -> list[Event]:
    """The last event of each path and change since a mapping version."""
    # A field vanishes and returns, again and again: of that the last event counts.
    one = "path, CASE WHEN what IN ('vanished', 'returned') THEN '' ELSE what || after END"
    return _events(
        unit,
        f"SELECT DISTINCT ON ({one}) what, path, before, after, version, handled, id, at FROM drift_events "
        f"WHERE pipeline_id = %s AND version >= %s ORDER BY {one}, id DESC",
        (pipeline, since),
    )


def events(unit: Unit, pipeline: UUID, *, limit: int) -> list[Event]:
    """A pipeline's events, newest first."""
    return _events(
        unit,
        "SELECT what, path, before, after, version, handled, id, at FROM drift_events WHERE pipeline_id = %s "
        "ORDER BY id DESC LIMIT %s",
        (pipeline, limit),
    )


def _events(unit: Unit, sql: str, params: Sequence[Any]) -> list[Event]:
    return [Event(*row) for row in unit.rows(sql, params)]


def dismiss(unit: Unit, pipeline: UUID, paths: Sequence[str]) -> list[str]:
    """What is seen at these paths is no news from now on, nor is that nothing is; answers those that there are."""
    return [
        path
        for (path,) in unit.rows(
            "UPDATE field_sightings SET missed = true, known = ARRAY(SELECT jsonb_object_keys(kinds)) "
            "WHERE pipeline_id = %s AND path = ANY(%s) RETURNING path",
            (pipeline, list(paths)),
        )
    ]


def prune_events(unit: Unit, *, keep_days: int = 90) -> int:
    """Forgets events older than `keep_days`, a bounded number at a time."""
    return unit.execute(
        "DELETE FROM drift_events WHERE id IN "
        "(SELECT id FROM drift_events WHERE at < now() - make_interval(days => %s) LIMIT 10000)",
        (keep_days,),
    ).rowcount
