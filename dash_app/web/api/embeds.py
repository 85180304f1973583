"""Embeds: a dashboard, or one of its tiles, for a frame in another page or a notebook."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from dash_app.domain.embeds import ORIGIN, Embed, shown_tiles
from dash_app.domain.errors import Invalid
from dash_app.storage import dashboards, people
from dash_app.web import embeds
from dash_app.web.api import shapes
from dash_app.web.api.operation import Call, Operation
from dash_app.web.api.schema import object_of

#: How long an embed can be opened, in minutes.
MINUTES = 60
MOST_MINUTES = 24 * 60


def create_embed(call: Call) -> Any:
    who, body = call.principal, call.body
    found = dashboards.get(call.unit, body["dashboard"])
    tile = body.get("tile")
    origin = body.get("origin")
    if origin is not None and not ORIGIN.fullmatch(origin):
        raise Invalid(
            problems=[("origin", "scheme, host and port of the page that frames it, such as https://wiki.example.org")]
        )
    until = int(time.time()) + 60 * body.get("minutes", MINUTES)
    embed = Embed(found.uid, None if tile is None else str(tile), origin, until, str(found.id))
    if tile is not None and not shown_tiles(embed, found.document):
        ids = ", ".join(str(one.get("id")) for one in found.document.get("tiles", ())) or "none"
        raise Invalid(problems=[("tile", f"'{str(tile)[:60]}' is no tile of this dashboard; there are {ids}")])
    token = embeds.sign(call.app.vault, embeds.Signed(who.user, who.team, who.credential, who.via, embed))
    people.record(call.unit, who, who.team, "dashboard.embed", found.uid, {"tile": embed.tile, "origin": origin})
    asked = {"embed": token} | ({"tile": embed.tile} if embed.tile else {})
    return {
        "url": f"{call.base_url}/embed/dashboards/{quote(found.uid)}?{urlencode(asked)}",
        "expires": datetime.fromtimestamp(until, UTC).isoformat(),
    }


OPERATIONS = (
    Operation(
        "POST",
        "/embeds",
        "create_embed",
        "Dashboards",
        "Make an address that shows a dashboard in a frame",
        "dashboards.read",
        create_embed,
        object_of({"url": shapes.TEXT, "expires": {**shapes.TEXT, "format": "date-time"}}),
        status=201,
        detail=(
            "Whoever has the address sees this dashboard, and can do nothing else, until it expires or whoever made it "
            "loses access or ends the session or token that it was made with."
        ),
        body=object_of(
            {
                "dashboard": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Its uid."},
                "tile": {"type": ["string", "integer", "null"], "maxLength": 100, "description": "This tile alone."},
                "origin": {
                    "type": ["string", "null"],
                    "maxLength": 300,
                    "description": "Whose pages may frame it; left out: anybody's who has the address.",
                    "examples": ["https://wiki.example.org"],
                },
                "minutes": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST_MINUTES,
                    "default": MINUTES,
                    "description": "How long it can be opened and stays open.",
                },
            },
            required=("dashboard",),
            closed=True,
        ),
    ),
)
