"""Drafts of mappings: a text that is not saved yet, kept under an opaque id so that a link to it can be shared.

A draft never changes; who goes on with it shares another one. It belongs to its team like everything else, and is
forgotten after `KEPT`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from dash_app.domain.errors import NotFound, TooLarge
from dash_app.domain.mapping_text import MAX_TEXT_BYTES
from dash_app.storage.unit import Unit

KEPT = timedelta(days=30)
#: Drafts that `prune` forgets in one transaction.
_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Draft:
    """`base`: the newest version of the mapping when it was written, 0 where there was none."""

    id: str
    pipeline: UUID
    text: str
    base: int
    author: str
    created_at: datetime


def create(unit: Unit, team: UUID, pipeline: UUID, text: str, *, base: int, author: str = "") -> Draft:
    """Keeps a text under a new id that nobody can guess. TooLarge where no mapping could be as long."""
    if len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
        raise TooLarge(f"a mapping's text has at most {MAX_TEXT_BYTES:,} bytes")
    # PostgreSQL's text holds no NUL, and neither does a mapping that could ever be saved.
    text = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    name = secrets.token_urlsafe(18)
    row = unit.row(
        "INSERT INTO mapping_drafts (id, team_id, pipeline_id, content, base, author) VALUES (%s, %s, %s, %s, %s, %s) "
        "RETURNING created_at",
        (name, team, pipeline, text, base, author),
    )
    assert row is not None
    return Draft(name, pipeline, text, base, author, row[0])


def find(unit: Unit, pipeline: UUID, draft: str) -> Draft:
    """NotFound where this pipeline has no such draft, or has it no longer."""
    # A NUL would be an error of the database rather than a draft that is not there.
    row = unit.row(
        "SELECT content, base, author, created_at FROM mapping_drafts WHERE id = %s AND pipeline_id = %s",
        (draft.replace("\0", "")[:64], pipeline),
    )
    if row is None:
        raise NotFound(f"no draft '{draft[:64]}' of this mapping; drafts are kept for {KEPT.days} days")
    return Draft(draft, pipeline, *row)


def newest_version(unit: Unit, pipeline: UUID) -> int:
    """The number of the newest version of a mapping, which a draft is held against; 0 where there is none."""
    return int(unit.value("SELECT coalesce(max(version), 0) FROM mappings WHERE pipeline_id = %s", (pipeline,)))


def prune(unit: Unit, now: datetime) -> int:
    """Forgets drafts older than `KEPT`, a bounded number at a time; how many went."""
    return unit.execute(
        "DELETE FROM mapping_drafts WHERE id IN (SELECT id FROM mapping_drafts WHERE created_at < %s LIMIT %s)",
        (now - KEPT, _AT_ONCE),
    ).rowcount
