"""Rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import param

from dash_app.domain.tiles import shapes
from dash_app.domain.tiles.base import DrawnTile


class Table(DrawnTile):
    """Records, or the rows of an aggregate."""

    kind = "table"
    title = "Table"
    summary = "Rows to be read, sorted and filtered: which ones exactly."
    needs = "any columns"
    example: ClassVar[dict[str, Any]] = {
        "kind": "table",
        "title": "Latest observations",
        "query": {"pipeline": "weather", "select": [{"field": "site"}, {"field": "temperature"}]},
        "options": {"columns": [{"field": "temperature", "unit": "°C", "decimals": 1, "color": "bar"}]},
    }

    columns = param.List(
        default=[],
        doc="Columns in the order they stand in, each by its `field`: title, unit, decimals, colour (thresholds, bar, "
        "heat) and whether it is hidden. Columns that are not named follow.",
    )
    pageSize = param.Integer(default=50, bounds=(5, 500), doc="Rows of a page.")

    parts: ClassVar[Mapping[str, shapes.Schema]] = {
        **DrawnTile.parts,
        "columns": {
            "type": "array",
            "maxItems": 200,
            "items": shapes.record(
                ("field",),
                field=shapes.TEXT,
                title=shapes.TEXT,
                unit=shapes.UNIT,
                decimals=shapes.DECIMALS,
                color={"type": "string", "enum": ["none", "thresholds", "bar", "heat"]},
                hidden={"type": "boolean"},
            ),
        },
    }

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if found:
            return found
        seen: set[str] = set()
        for number, column in enumerate(self.columns):
            if column["field"] in seen:
                found.append((f"columns[{number}].field", f"'{column['field']}' is a column already"))
            seen.add(column["field"])
        return found
