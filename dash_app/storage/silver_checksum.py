"""A checksum of what a table of silver holds: equal where the same records are there, in whatever order."""

from __future__ import annotations

from dataclasses import dataclass

from dash_app.domain.specs import SilverVersion
from dash_app.storage.silver_tables import qualified
from dash_app.storage.unit import Unit


@dataclass(frozen=True, slots=True)
class Checksum:
    """`rows`, and the sum of the rows' 64-bit hashes modulo 2⁶⁴, in hexadecimal."""

    rows: int
    sum: str


def checksum(unit: Unit, version: SilverVersion) -> Checksum:
    """Of one version's records, over every column. Two tables with columns of the same types can be compared."""
    if not version.created:
        return Checksum(0, f"{0:016x}")
    rows, total = unit.row(  # type: ignore[misc]
        "SELECT count(*), coalesce(sum(hash_record_extended(t, 0)::numeric), 0) "
        f"FROM {qualified(version, version.table)} t"
    )
    return Checksum(rows, f"{int(total) % (1 << 64):016x}")
