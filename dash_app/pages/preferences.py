"""What a person prefers on every page; said from the user menu."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dash_app.domain.errors import BadRequest
from dash_app.pages.plain import PageHandler


class PreferencesActions(PageHandler):
    """`POST /preferences/timezone` with `timezone`: the IANA name of the zone that this person's times are shown in;
    empty: the browser's."""

    actions: ClassVar[frozenset[str]] = frozenset({"timezone"})

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        wanted = self.body().get("timezone")
        if not isinstance(wanted, str):
            raise BadRequest("'timezone' is the name of a time zone, or an empty text")
        return {"timezone": (await self.workspace.set_timezone(wanted)).timezone}
