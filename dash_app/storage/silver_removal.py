"""Taking records out of silver by the payload that they came from, so that the payload can be mapped anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dash_app.domain.specs import SilverVersion
from dash_app.storage.silver_rollups import recompute_rollups
from dash_app.storage.silver_tables import qualified
from dash_app.storage.timescale import delete_rows
from dash_app.storage.unit import Unit


def remove_payloads(unit: Unit, version: SilverVersion, payloads: Sequence[int]) -> list[datetime]:
    """Deletes the records of these payloads, gives their keys free and computes their minutes anew; answers the time
    of each record that was there. The caller is the pipeline's writer.

    What lost a key to one of these records stays lost: only a replay maps it again.
    """
    if not version.created or not payloads:
        return []
    ids = list(payloads)
    # The bounds let the block-range index leave out most of the table.
    within = "= ANY(%s::bigint[]) AND {0} BETWEEN %s AND %s"
    bounds = (ids, min(ids), max(ids))
    table, keys = qualified(version, version.table), qualified(version, version.keys)
    times = delete_rows(unit, table, f"t._payload {within.format('t._payload')}", bounds)
    if unit.value("SELECT to_regclass(%s) IS NOT NULL", (keys,)):
        unit.execute(f"DELETE FROM {keys} WHERE payload {within.format('payload')}", bounds)
    recompute_rollups(unit, version, sorted({moment.replace(second=0, microsecond=0) for moment in times}))
    return times
