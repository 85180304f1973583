"""Bars over time or over categories."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from dash_app.domain.tiles.base import STACKED, SeriesTile


class Bar(SeriesTile):
    """A bar for each bucket of time, or for each category; more groups stand beside or on top of each other."""

    kind = "bar"
    title = "Bar"
    summary = "Amounts by bucket of time or by category: how much of what."
    needs = "at least one number, and a time (`every`) or a group (`by`)"
    earlier = {"stacked": STACKED}
    example: ClassVar[dict[str, Any]] = {
        "kind": "bar",
        "title": "Days by weather",
        "query": {"pipeline": "weather", "select": [{"agg": "count", "as": "days"}], "by": ["weather"]},
        "options": {"orientation": "horizontal"},
    }

    orientation: Any = param.Selector(
        default="auto",
        objects=["auto", "vertical", "horizontal"],
        doc="Whether bars of categories stand or lie; auto lays them down when their names need the room.",
    )
    stacked: Any = param.Selector(
        default="auto",
        objects=["auto", "none", "normal", "percent"],
        doc="Several series on top of each other (auto does so), beside each other, or as shares of their sum.",
    )
    sorted = param.Boolean(
        default=True, doc="Put the longest bar first; otherwise they stand as the query orders them."
    )
    values: Any = param.Selector(
        default="auto",
        objects=["auto", "show", "hide"],
        doc="The number at each bar; auto writes it where a category has one bar.",
    )
