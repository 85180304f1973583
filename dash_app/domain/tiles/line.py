"""Lines and areas over time."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from dash_app.domain.tiles.base import STACKED, SeriesTile


class Line(SeriesTile):
    """A line for each value and group; several queries share one picture."""

    kind = "line"
    title = "Line"
    summary = "Values over time as lines or areas: how something moves."
    needs = "a time (`every`) and at least one number"
    queries = "many"
    earlier = {"stacked": STACKED}
    example: ClassVar[dict[str, Any]] = {
        "kind": "line",
        "title": "Temperature by site",
        "query": {
            "pipeline": "weather",
            "select": [{"field": "temperature", "agg": "avg"}],
            "by": ["site"],
            "every": "auto",
        },
        "options": {"unit": "°C", "decimals": 1, "legend": "table"},
    }

    area = param.Boolean(default=False, doc="Fill what lies below the line.")
    stacked: Any = param.Selector(
        default="none",
        objects=["none", "normal", "percent"],
        doc="Put series on top of each other: as they are, or as shares of their sum.",
    )
    steps = param.Boolean(
        default=False, doc="Hold each value until the next: for what changes at once, such as a state or a price."
    )
    connect = param.Boolean(default=False, doc="Draw the line across missing buckets instead of breaking it.")
    points = param.Boolean(default=False, doc="Draw a dot at each value.")
    min = param.Number(default=None, allow_None=True, doc="Where the axis begins.")
    max = param.Number(default=None, allow_None=True, doc="Where the axis ends.")
    log = param.Boolean(default=False, doc="A logarithmic axis; nought and less than nought are not drawn on it.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if self.min is not None and self.max is not None and self.min >= self.max:
            found.append(("max", f"{self.max} does not lie above min ({self.min})"))
        if self.log and self.min is not None and self.min <= 0:
            found.append(("min", "a logarithmic axis begins above 0"))
        if self.log and self.stacked != "none":
            found.append(("log", "stacked values have no meaning on a logarithmic axis; set stacked to none"))
        return found
