"""The demo's dashboards as documents: one a pipeline, and one over all of them.

A grid of 12 columns. A stat whose query has `every` shows its last bucket and draws the others as its sparkline; one
without shows the single number. A tile's own `time` goes before the dashboard's. Records released live come far more
often than those of the history, so these tiles compare means, extremes and shares, and never a count against time.
"""

from __future__ import annotations

import copy
from typing import Any

from dash_app.demo.datasets import NOTES

Document = dict[str, Any]


def _measure(agg: str, field: str | None = None, name: str | None = None) -> Document:
    measure = {"agg": agg, "as": name or field or agg}
    return measure | {"field": field} if field else measure


def _query(pipeline: str, *select: Document, **more: Any) -> Document:
    return {"pipeline": pipeline, "select": list(select), **more}


def _tiles(*tiles: tuple[str, str, tuple[int, int, int, int], Document | None, Document]) -> list[Document]:
    """(kind, title, (x, y, w, h), query, options) → tiles, numbered from 1; a text has no query."""
    return [
        {
            "id": number,
            "kind": kind,
            "title": title,
            "gridPos": dict(zip(("x", "y", "w", "h"), place, strict=True)),
            **({"query": query} if query else {}),
            "options": options,
        }
        for number, (kind, title, place, query, options) in enumerate(tiles, 1)
    ]


def _dashboard(uid: str, title: str, description: str, start: str, tiles: list[Document]) -> Document:
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "time": {"from": start, "to": "now"},
        "refresh": "live",
        "tiles": tiles,
    }


_SEATTLE = "site = 'Seattle'"
_SEATTLE_NORMAL = "site = 'Seattle' and kind = 'normal'"
_OBSERVED = "kind = 'observation'"
_POWER = [{"value": 0, "color": "green"}, {"value": 190, "color": "yellow"}, {"value": 260, "color": "red"}]
_MAGNITUDE = [{"value": 0, "color": "green"}, {"value": 6, "color": "yellow"}, {"value": 7, "color": "red"}]

_WEATHER = _dashboard(
    "weather",
    "Weather",
    NOTES["weather"],
    "now-365d",
    _tiles(
        (
            "stat",
            "Seattle, normal temperature",
            (0, 0, 3, 3),
            _query("weather", _measure("last", "temperature"), every="1d", where=_SEATTLE_NORMAL),
            {"unit": "°C", "decimals": 1, "sparkline": True},
        ),
        (
            "stat",
            "San Francisco, normal temperature",
            (3, 0, 3, 3),
            _query("weather", _measure("last", "temperature"), every="1d", where="site = 'San Francisco'"),
            {"unit": "°C", "decimals": 1, "sparkline": True},
        ),
        (
            "stat",
            "Seattle, highest of the year",
            (6, 0, 3, 3),
            _query("weather", _measure("max", "high"), where=_OBSERVED),
            {"unit": "°C", "decimals": 1},
        ),
        (
            "stat",
            "Seattle, latest wind",
            (9, 0, 3, 3),
            _query("weather", _measure("last", "wind"), every="1d", where=_OBSERVED),
            {"unit": "m/s", "decimals": 1, "sparkline": True},
        ),
        (
            "line",
            "Seattle: highs and lows against the 30-year normal",
            (0, 3, 12, 8),
            _query(
                "weather",
                _measure("avg", "high"),
                _measure("avg", "temperature", "normal"),
                _measure("avg", "low"),
                every="1d",
                where=_SEATTLE,
            ),
            {"unit": "°C", "decimals": 1},
        ),
        (
            "line",
            "Normal temperature by site",
            (0, 11, 6, 7),
            _query("weather", _measure("avg", "temperature"), by=["site"], every="1d", where="kind = 'normal'"),
            {"unit": "°C", "decimals": 1, "area": True},
        ),
        (
            "bar",
            "Seattle: rain a day, mean of each week",
            (6, 11, 6, 7),
            _query("weather", _measure("avg", "precipitation"), every="1w", where=_OBSERVED),
            {"unit": "mm", "decimals": 1, "orientation": "vertical"},
        ),
        (
            "bar",
            "Seattle: days by weather",
            (0, 18, 4, 8),
            _query("weather", _measure("count", name="days"), by=["weather"], where=_OBSERVED),
            {"unit": "days", "decimals": 0, "orientation": "horizontal"},
        ),
        (
            "table",
            "Seattle: latest daily observations",
            (4, 18, 8, 8),
            _query(
                "weather",
                *({"field": name} for name in ("weather", "high", "low", "precipitation", "wind")),
                where=_OBSERVED,
                limit=50,
            ),
            {"decimals": 1},
        ),
        (
            "heatmap",
            "Seattle: days of each weather, by week",
            (0, 26, 12, 6),
            _query("weather", _measure("count", name="days"), by=["weather"], every="1w", where=_OBSERVED),
            {"unit": "days", "decimals": 0, "scheme": "blue"},
        ),
    ),
)

_EARTHQUAKES = _dashboard(
    "earthquakes",
    "Earthquakes",
    NOTES["earthquakes"],
    "now-120d",
    _tiles(
        (
            "stat",
            "Earthquakes",
            (0, 0, 3, 3),
            _query("earthquakes", _measure("count")),
            {"unit": "", "decimals": 0},
        ),
        (
            "stat",
            "Strongest",
            (3, 0, 3, 3),
            _query("earthquakes", _measure("max", "magnitude")),
            {"unit": "Mw", "decimals": 1, "thresholds": _MAGNITUDE},
        ),
        (
            "stat",
            "Latest magnitude",
            (6, 0, 3, 3),
            _query("earthquakes", _measure("last", "magnitude"), every="1d"),
            {"unit": "Mw", "decimals": 1, "thresholds": _MAGNITUDE, "sparkline": True},
        ),
        (
            "stat",
            "Deepest",
            (9, 0, 3, 3),
            _query("earthquakes", _measure("max", "depth")),
            {"unit": "km", "decimals": 0},
        ),
        (
            "line",
            "Strongest and mean magnitude a day",
            (0, 3, 12, 7),
            _query(
                "earthquakes",
                _measure("max", "magnitude", "strongest"),
                _measure("avg", "magnitude", "mean"),
                every="1d",
            ),
            {"unit": "Mw", "decimals": 1},
        ),
        (
            "map",
            "Where they were",
            (0, 10, 12, 10),
            _query(
                "earthquakes",
                *({"field": name} for name in ("latitude", "longitude", "magnitude", "depth", "place")),
                limit=2000,
            ),
            {
                "value": "magnitude",
                "label": "place",
                "unit": "Mw",
                "decimals": 1,
                "thresholds": [{"color": "blue"}, {"value": 6, "color": "orange"}, {"value": 7, "color": "red"}],
            },
        ),
        (
            "bar",
            "Earthquakes by region",
            (0, 20, 6, 7),
            _query("earthquakes", _measure("count"), by=["region"]),
            {"unit": "", "decimals": 0, "orientation": "horizontal"},
        ),
        (
            "pie",
            "Energy released by depth",
            (6, 20, 6, 7),
            _query("earthquakes", _measure("sum", "energy"), by=["depth_class"]),
            {"unit": "TJ", "decimals": 0},
        ),
        (
            "line",
            "Mean depth by day",
            (0, 27, 5, 8),
            _query("earthquakes", _measure("avg", "depth"), every="1d"),
            {"unit": "km", "decimals": 0, "area": True},
        ),
        (
            "table",
            "Latest earthquakes",
            (5, 27, 7, 8),
            _query("earthquakes", *({"field": name} for name in ("magnitude", "depth", "place")), limit=50),
            {
                "decimals": 1,
                "thresholds": _MAGNITUDE,
                "columns": [{"field": "magnitude", "color": "thresholds"}, {"field": "depth", "color": "bar"}],
            },
        ),
    ),
)

_RIDE = _dashboard(
    "ride",
    "Ride",
    NOTES["ride"],
    "now-1h",
    _tiles(
        (
            "stat",
            "Power",
            (0, 0, 3, 3),
            _query("ride", _measure("last", "power"), every="1m"),
            {"unit": "W", "decimals": 0, "thresholds": _POWER, "sparkline": True},
        ),
        (
            "stat",
            "Speed",
            (3, 0, 3, 3),
            _query("ride", _measure("last", "speed_kmh"), every="1m"),
            {"unit": "km/h", "decimals": 1, "sparkline": True},
        ),
        (
            "stat",
            "Cadence",
            (6, 0, 3, 3),
            _query("ride", _measure("last", "cadence"), every="1m"),
            {"unit": "1/min", "decimals": 0, "sparkline": True},
        ),
        (
            "stat",
            "Highest power",
            (9, 0, 3, 3),
            _query("ride", _measure("max", "power")),
            {"unit": "W", "decimals": 0},
        ),
        (
            "line",
            "Power, mean of 10 seconds",
            (0, 3, 12, 8),
            _query("ride", _measure("avg", "power"), every="10s"),
            {"unit": "W", "decimals": 0, "area": True},
        ),
        (
            "line",
            "Speed",
            (0, 11, 6, 7),
            _query("ride", _measure("avg", "speed_kmh", "mean"), _measure("max", "speed_kmh", "fastest"), every="1m"),
            {"unit": "km/h", "decimals": 1},
        ),
        (
            "line",
            "Altitude",
            (6, 11, 3, 7),
            _query("ride", _measure("avg", "altitude"), every="10s"),
            {"unit": "m", "decimals": 0, "area": True},
        ),
        (
            "gauge",
            "Cadence",
            (9, 11, 3, 7),
            _query("ride", _measure("last", "cadence")),
            {
                "unit": "1/min",
                "decimals": 0,
                "min": 0,
                "max": 120,
                "thresholds": [{"color": "yellow"}, {"value": 70, "color": "green"}, {"value": 105, "color": "yellow"}],
            },
        ),
        (
            "bar",
            "Seconds by effort",
            (0, 18, 5, 8),
            _query("ride", _measure("count", name="seconds"), by=["effort"]),
            {"unit": "s", "decimals": 0, "orientation": "horizontal"},
        ),
        (
            "table",
            "Latest samples",
            (5, 18, 7, 8),
            _query(
                "ride", *({"field": name} for name in ("power", "speed_kmh", "cadence", "altitude", "effort")), limit=50
            ),
            {"decimals": 1},
        ),
        (
            "state",
            "Effort",
            (0, 26, 12, 3),
            _query("ride", _measure("last", "effort"), every="10s"),
            {},
        ),
    ),
)

_OVERVIEW = _dashboard(
    "demo_overview",
    "Everything live",
    "Three pipelines on real data: two polled over HTTP, one posted as signed webhooks. All times are moved so that"
    " the history ended at the demo's first start; since then the same records follow with the time of their release.",
    "now-7d",
    _tiles(
        (
            "stat",
            "Ride: power",
            (0, 0, 3, 3),
            _query("ride", _measure("last", "power"), every="1m"),
            {"unit": "W", "decimals": 0, "thresholds": _POWER, "sparkline": True},
        ),
        (
            "stat",
            "Ride: speed",
            (3, 0, 3, 3),
            _query("ride", _measure("last", "speed_kmh"), every="1m"),
            {"unit": "km/h", "decimals": 1, "sparkline": True},
        ),
        (
            "stat",
            "Seattle, normal temperature",
            (6, 0, 3, 3),
            _query("weather", _measure("last", "temperature"), every="1h", where=_SEATTLE_NORMAL),
            {"unit": "°C", "decimals": 1, "sparkline": True},
        ),
        (
            "stat",
            "Latest earthquake",
            (9, 0, 3, 3),
            _query("earthquakes", _measure("last", "magnitude"), every="1h"),
            {"unit": "Mw", "decimals": 1, "thresholds": _MAGNITUDE, "sparkline": True},
        ),
        (
            "line",
            "Ride: power in the last hour",
            (0, 3, 12, 7),
            _query("ride", _measure("avg", "power"), every="10s"),
            {"unit": "W", "decimals": 0, "area": True},
        ),
        (
            "line",
            "Normal temperature by site, each hour",
            (0, 10, 7, 7),
            _query("weather", _measure("avg", "temperature"), by=["site"], every="1h", where="kind = 'normal'"),
            {"unit": "°C", "decimals": 1},
        ),
        (
            "bar",
            "Earthquakes by region",
            (7, 10, 5, 7),
            _query("earthquakes", _measure("count"), by=["region"]),
            {"unit": "", "decimals": 0, "orientation": "horizontal"},
        ),
        (
            "bar",
            "Ride: seconds by effort",
            (0, 17, 5, 8),
            _query("ride", _measure("count", name="seconds"), by=["effort"]),
            {"unit": "s", "decimals": 0, "orientation": "horizontal"},
        ),
        (
            "table",
            "Latest earthquakes",
            (5, 17, 7, 8),
            _query("earthquakes", *({"field": name} for name in ("magnitude", "depth", "place")), limit=50),
            {"decimals": 1},
        ),
        (
            "text",
            "About these numbers",
            (0, 25, 12, 4),
            None,
            {
                "markdown": "Weather and earthquakes are **polled** over HTTP, the ride arrives as signed **webhooks**:"
                " three pipelines, one dashboard each ([weather](/dashboards/weather),"
                " [earthquakes](/dashboards/earthquakes), [ride](/dashboards/ride)).\n\nPress a point to see the"
                " records behind it, drag over a chart to zoom all of them, double-click to go back."
            },
        ),
    ),
)
# Ten-second buckets over a week would be thousands of empty ones around one ride.
for _tile in _OVERVIEW["tiles"]:
    if "query" in _tile and _tile["query"]["pipeline"] == "ride" and "every" in _tile["query"]:
        _tile["time"] = {"from": "now-1h", "to": "now"}


def dashboards() -> list[Document]:
    """All four documents, fresh copies; the one over everything comes first."""
    return copy.deepcopy([_OVERVIEW, _WEATHER, _EARTHQUAKES, _RIDE])
