"""A value between its ends."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from dash_app.domain.tiles.base import DrawnTile


class Gauge(DrawnTile):
    """Where the newest value stands between a least and a greatest; one for each group."""

    kind = "gauge"
    title = "Gauge"
    summary = "A value between its least and its greatest: how full, how fast, how near a limit."
    needs = "at least one number"
    example: ClassVar[dict[str, Any]] = {
        "kind": "gauge",
        "title": "Humidity",
        "query": {"pipeline": "weather", "select": [{"field": "humidity", "agg": "last"}]},
        "options": {"unit": "percent", "thresholds": [{"color": "green"}, {"value": 80, "color": "yellow"}]},
    }

    min = param.Number(default=0, doc="The value at the gauge's beginning.")
    max = param.Number(default=100, doc="The value at the gauge's end.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if self.min >= self.max:
            found.append(("max", f"{self.max} does not lie above min ({self.min})"))
        return found
