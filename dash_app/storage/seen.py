"""What a pipeline has taken once and does not take again: objects of a bucket, files of a folder, entries of a feed.

Names are kept as their SHA-256, so that any length of name takes the same little room. They are noted in the
transaction that stores the payload, and stay for as long as the pipeline does: what is still there a year later must
not come again.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from dash_app.storage.unit import Unit


def unseen(unit: Unit, pipeline: UUID, names: Sequence[str]) -> list[str]:
    """Those of the names that were not noted yet, each once, in their order."""
    by_digest = {_digest(name): name for name in names}
    taken = {
        bytes(digest)
        for (digest,) in unit.rows(
            "SELECT digest FROM objects_seen WHERE pipeline_id = %s AND digest = ANY(%s)", (pipeline, list(by_digest))
        )
    }
    return [name for digest, name in by_digest.items() if digest not in taken]


def note(unit: Unit, team: UUID, pipeline: UUID, names: Sequence[str]) -> None:
    """Takes the names, once and for all."""
    unit.execute(
        "INSERT INTO objects_seen (pipeline_id, digest, team_id) SELECT %s, unnest(%s::bytea[]), %s "
        "ON CONFLICT DO NOTHING",
        (pipeline, list({_digest(name): None for name in names}), team),
    )


def prune(unit: Unit, *, limit: int = 50_000) -> int:
    """Forgets what archived pipelines have taken, a bounded number at a time."""
    return unit.execute(
        "DELETE FROM objects_seen WHERE ctid = ANY(ARRAY(SELECT s.ctid FROM objects_seen s "
        "JOIN pipelines p ON p.id = s.pipeline_id WHERE p.state = 'archived' LIMIT %s))",
        (limit,),
    ).rowcount


def _digest(name: str) -> bytes:
    return sha256(name.encode("utf-8", "surrogatepass")).digest()
