"""One number, large."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from dash_app.domain.tiles.base import DrawnTile


class Stat(DrawnTile):
    """The newest value, how it changed, and its shape; one for each group."""

    kind = "stat"
    title = "Stat"
    summary = "One number, large, with its change and its shape: how it stands now."
    needs = "at least one number; with a time (`every`) its course is drawn too"
    example: ClassVar[dict[str, Any]] = {
        "kind": "stat",
        "title": "Records today",
        "query": {"pipeline": "weather", "select": [{"agg": "count"}]},
        "options": {"compare": "1d", "better": "up"},
    }

    sparkline = param.Boolean(default=True, doc="Draw the course of the value behind it, where the query has `every`.")
    compare: Any = param.Selector(
        default="start",
        objects=["start", "none", "previous", "1d", "1w", "1M", "1y"],
        doc="What the change is against: the range's first value, nothing, the range just before, or the same range a "
        "day, week, month or year ago.",
    )
    better: Any = param.Selector(
        default="none",
        objects=["none", "up", "down"],
        doc="Which way is good: the change is then green or red.",
    )
    colored: Any = param.Selector(
        default="value", objects=["value", "background"], doc="Whether a threshold colours the number or the ground."
    )
