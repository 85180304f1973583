"""States over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import param

from dash_app.domain.tiles import shapes
from dash_app.domain.tiles.base import DrawnTile


class State(DrawnTile):
    """A band for each group, coloured by the state it was in."""

    kind = "state"
    title = "State timeline"
    summary = "What state each thing was in, and how long: up or down, open or closed."
    needs = "a time (`every`) and one text, boolean or number (`last`); groups (`by`) become rows"
    example: ClassVar[dict[str, Any]] = {
        "kind": "state",
        "title": "Doors",
        "query": {
            "pipeline": "devices",
            "select": [{"field": "state", "agg": "last"}],
            "by": ["device"],
            "every": "auto",
        },
        "options": {"colors": {"open": "yellow", "closed": "green"}},
    }

    colors = param.Dict(
        default={},
        doc="The colour of each state, under its value as text. Other states get colours of the palette; numbers "
        "those of the thresholds, where there are any.",
    )

    parts: ClassVar[Mapping[str, shapes.Schema]] = {
        **DrawnTile.parts,
        "colors": {"type": "object", "additionalProperties": shapes.COLOR},
    }
