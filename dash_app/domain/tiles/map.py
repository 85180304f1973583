"""Points on a map."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from dash_app.domain.tiles.base import DrawnTile


class Map(DrawnTile):
    """A point for each row, on a map of the world that needs no network."""

    kind = "map"
    title = "Map"
    summary = "Rows as points on a map: where it is."
    needs = "a column of latitudes and one of longitudes, in degrees"
    example: ClassVar[dict[str, Any]] = {
        "kind": "map",
        "title": "Earthquakes",
        "query": {
            "pipeline": "earthquakes",
            "select": [{"field": "latitude"}, {"field": "longitude"}, {"field": "magnitude"}, {"field": "place"}],
            "limit": 500,
        },
        "options": {"value": "magnitude", "label": "place", "unit": "Mw"},
    }

    lat = param.String(default="", doc="The column of latitudes (north is positive). Without it one that is called so.")
    lon = param.String(default="", doc="The column of longitudes (east is positive). Without it one that is called so.")
    value = param.String(
        default="", doc="The column whose value gives a point its size and, by thresholds, its colour."
    )
    label = param.String(default="", doc="The column that names a point.")
    cluster = param.Boolean(default=False, doc="Put points that lie close together into one, with their number.")
