"""Shares of a whole."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from dash_app.domain.tiles.base import DrawnTile


class Pie(DrawnTile):
    """A slice for each group."""

    kind = "pie"
    title = "Pie"
    summary = "Shares of a whole, for few groups: who has how much of it."
    needs = "one number and a group (`by`), or several numbers; without `every`"
    example: ClassVar[dict[str, Any]] = {
        "kind": "pie",
        "title": "Orders by country",
        "query": {"pipeline": "shop", "select": [{"agg": "count", "as": "orders"}], "by": ["country"]},
        "options": {"most": 6},
    }

    donut = param.Boolean(default=True, doc="A ring with the sum in its middle instead of a full circle.")
    most = param.Integer(default=7, bounds=(2, 12), doc="Slices that are drawn; what is left becomes one slice, other.")
