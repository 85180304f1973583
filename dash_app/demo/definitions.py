"""The demo's three pipelines as documents, just as anybody would post them to `/api/v1/pipelines`.

Options of `http_poll` carry the names dlt uses. `data_selector` finds the records in a page (to know whether there are
any and where `incremental` stands); what is stored is the whole page. `incremental.cursor_path` is read in each record,
the highest value is kept, and the next poll sends it as `cursor_param`; it stays the same over the pages of one poll.
"""

from __future__ import annotations

import copy
from typing import Any

Document = dict[str, Any]

_WEATHER: Document = {
    "name": "Weather",
    "slug": "weather",
    "source": {
        "kind": "http_poll",
        "options": {
            "url": "/weather",
            "headers": {"Accept": "application/json"},
            "interval_seconds": 4,
            "data_selector": "$.data[*]",
            "paginator": {"type": "page_number", "page_param": "page", "base_page": 1, "has_more_path": "$.has_more"},
            "incremental": {"cursor_param": "after", "cursor_path": "$.sequence", "initial_value": 0},
        },
    },
    "mapping": {
        "records": "$.data[*]",
        "time": {"path": "$.time", "format": "iso8601"},
        "key": ["$.sequence"],
        "on_duplicate": "ignore",
        "fields": [
            {"name": "site", "path": "$.site", "type": "text"},
            {"name": "kind", "path": "$.kind", "type": "text"},
            {"name": "weather", "path": "$.weather", "type": "text"},
            {"name": "temperature", "path": "$.temperature", "type": "number", "unit": "°C"},
            {"name": "high", "path": "$.high", "type": "number", "unit": "°C"},
            {"name": "low", "path": "$.low", "type": "number", "unit": "°C"},
            {"name": "precipitation", "path": "$.precipitation", "type": "number", "unit": "mm"},
            {"name": "wind", "path": "$.wind", "type": "number", "unit": "m/s"},
        ],
        "on_error": "reject",
    },
}

_EARTHQUAKES: Document = {
    "name": "Earthquakes",
    "slug": "earthquakes",
    "source": {
        "kind": "http_poll",
        "options": {
            "url": "/earthquakes",
            "headers": {"Accept": "application/geo+json, application/json"},
            "interval_seconds": 6,
            "data_selector": "$.features[*]",
            "paginator": {"type": "cursor", "cursor_path": "$.metadata.next_cursor", "cursor_param": "cursor"},
            "incremental": {"cursor_param": "after", "cursor_path": "$.properties.sequence", "initial_value": 0},
        },
    },
    "mapping": {
        "records": "$.features[*]",
        "time": {"path": "$.properties.time", "format": "epoch_ms"},
        "key": ["$.id"],
        "on_duplicate": "ignore",
        "fields": [
            {"name": "magnitude", "path": "$.properties.mag", "type": "number", "unit": "Mw"},
            {"name": "depth", "path": "$.geometry.coordinates[2]", "type": "number", "unit": "km"},
            {"name": "region", "path": "$.properties.region", "type": "text", "default": "unknown"},
            {"name": "depth_class", "path": "$.properties.depth_class", "type": "text"},
            {"name": "place", "path": "$.properties.place", "type": "text", "default": "unknown"},
            {"name": "longitude", "path": "$.geometry.coordinates[0]", "type": "number", "unit": "°"},
            {"name": "latitude", "path": "$.geometry.coordinates[1]", "type": "number", "unit": "°"},
            {
                "name": "energy",
                "sql": "pow(10, 1.5 * magnitude + 4.8) / 1000000000000",
                "type": "number",
                "unit": "TJ",
            },
        ],
        "where": "magnitude >= 0",
        "on_error": "reject",
    },
}

_RIDE: Document = {
    "name": "Ride",
    "slug": "ride",
    "source": {"kind": "webhook", "options": {"scheme": "standard_webhooks"}},
    "mapping": {
        "time": {"path": "$.timestamp", "format": "iso8601"},
        "key": ["$.id"],
        "on_duplicate": "ignore",
        "fields": [
            {"name": "effort", "path": "$.data.effort", "type": "text"},
            {"name": "power", "path": "$.data.power", "type": "number", "unit": "W"},
            {"name": "cadence", "path": "$.data.cadence", "type": "number", "unit": "1/min"},
            {"name": "speed", "path": "$.data.speed", "type": "number", "unit": "m/s"},
            {"name": "speed_kmh", "sql": "speed * 3.6", "type": "number", "unit": "km/h"},
            {"name": "altitude", "path": "$.data.altitude", "type": "number", "unit": "m"},
            {"name": "distance", "path": "$.data.distance", "type": "number", "unit": "m"},
        ],
        "on_error": "reject",
    },
}


def pipelines(feed_url: str) -> list[Document]:
    """The three documents, fresh copies; `feed_url` (scheme, host, port) is where the demo's own server listens now."""
    documents = copy.deepcopy([_WEATHER, _EARTHQUAKES, _RIDE])
    for document in documents:
        options = document["source"]["options"]
        if "url" in options:
            options["url"] = feed_url.rstrip("/") + options["url"]
    return documents
