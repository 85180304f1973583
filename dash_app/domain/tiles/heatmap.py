"""A field of coloured cells."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from dash_app.domain.tiles.base import DrawnTile


class Heatmap(DrawnTile):
    """Time across; groups, or the days of the week, below each other."""

    kind = "heatmap"
    title = "Heatmap"
    summary = "Values as colours by time and group, or by hour and weekday: when it is much."
    needs = "a time (`every`) and one number; the layout series also a group (`by`)"
    example: ClassVar[dict[str, Any]] = {
        "kind": "heatmap",
        "title": "Orders by hour",
        "query": {"pipeline": "shop", "select": [{"agg": "count", "as": "orders"}], "every": "1h"},
        "options": {"layout": "hours", "scheme": "green"},
    }

    layout: Any = param.Selector(
        default="series",
        objects=["series", "hours"],
        doc="Groups over time, or the hour of the day by the day of the week (mean of all weeks in the range).",
    )
    scheme: Any = param.Selector(
        default="blue",
        objects=["blue", "green", "orange", "violet", "grey", "diverging"],
        doc="One colour that grows stronger; or two from nought, for values on both sides of it.",
    )
