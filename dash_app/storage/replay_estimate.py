"""What a replay would have to do, before anybody starts it: from the manifest and the inbox's notes alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dash_app.domain.ids import payload_id_time
from dash_app.storage.unit import Unit


@dataclass(frozen=True, slots=True)
class Estimate:
    """About how much a replay of payloads low ≤ id < high would map.

    `files` and `bytes` are those of bronze; of a file that lies across an end of the range all payloads are counted.
    `expired`: payloads received before then are gone, and what came of them is carried over; None: all are kept.
    `pace`: payloads a second of this pipeline's last replay that came to its end; None where there was none.
    """

    payloads: int
    files: int
    bytes: int
    expired: datetime | None
    pace: float | None

    @property
    def seconds(self) -> float | None:
        return self.payloads / self.pace if self.pace else None


def estimate(unit: Unit, pipeline: UUID, low: int, high: int) -> Estimate:
    params = {"pipeline": pipeline, "low": low, "high": high}
    kept = unit.row(
        "SELECT coalesce(sum(rows), 0)::bigint, count(*), coalesce(sum(bytes), 0)::bigint FROM bronze_files "
        "WHERE pipeline_id = %(pipeline)s AND expired_at IS NULL AND min_payload < %(high)s AND max_payload >= %(low)s",
        params,
    )
    hot: int = unit.value(
        "SELECT count(*) FROM unarchived, unnest(payload_ids) AS p WHERE pipeline_id = %(pipeline)s "
        "AND p >= %(low)s AND p < %(high)s",
        params,
    )
    pace: float | None = unit.value(
        "SELECT n.payloads / extract(epoch FROM r.ran)::float8 FROM replays r JOIN LATERAL "
        "(SELECT sum(payloads)::float8 AS payloads FROM replay_parts WHERE replay_id = r.id) n ON true "
        "WHERE r.pipeline_id = %(pipeline)s AND r.state = 'done' AND r.throttle IS NULL "
        "AND r.ran > interval '0.5 second' AND n.payloads > 0 ORDER BY r.created_at DESC LIMIT 1",
        params,
    )
    floor: int | None = unit.value("SELECT payloads_from FROM pipelines WHERE id = %(pipeline)s", params)
    assert kept is not None
    return Estimate(kept[0] + hot, kept[1], kept[2], payload_id_time(floor) if floor else None, pace)
