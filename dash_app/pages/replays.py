"""What is done with a pipeline's replays, its versions and its payloads, and the dashboard of another day.

`POST /pipelines/{ref}/replays/{action}`; bodies and answers are JSON objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from dash_app.domain.errors import BadRequest, Invalid
from dash_app.domain.query import parse_time
from dash_app.pages import words
from dash_app.pages.plain import PageHandler

#: Digits of the greatest id.
_LONGEST_ID = len(str(2**63))


class ReplayActions(PageHandler):
    """Looking ahead, beginning, moving; the way back; payloads mapped again."""

    actions: ClassVar[frozenset[str]] = frozenset(
        {"plan", "start", "pause", "resume", "cancel", "throttle", "rollback", "discard", "again"}
    )

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        detail = await self.workspace.detail(names["ref"])
        pipeline = detail.pipeline
        said = self.body()
        match action:
            case "plan":
                start, end = _range(said)
                found = await self.workspace.replay_estimate(pipeline.id, start, end)
                return {
                    "payloads": found.payloads,
                    "files": found.files,
                    "size": words.size(found.bytes),
                    "seconds": found.seconds,
                    "expired": words.moment(found.expired) if found.expired else None,
                }
            case "start":
                version = _number(said, "version") or pipeline.mapping_version
                if version is None:
                    raise Invalid("this pipeline has no mapping yet; save one first")
                start, end = _range(said)
                throttle, note = _number(said, "throttle"), str(said.get("note") or "")
                made = await self.workspace.begin_replay(pipeline.id, version, start, end, throttle, note)
                return {"replay": str(made)}
            case "pause" | "resume" | "cancel":
                await self.workspace.move_replay(pipeline.id, str(said.get("replay", "")), action)
                return {}
            case "throttle":
                await self.workspace.throttle_replay(
                    pipeline.id, str(said.get("replay", "")), _number(said, "throttle")
                )
                return {}
            case "rollback" | "discard":
                moved = self.workspace.roll_back if action == "rollback" else self.workspace.discard
                return {"version": (await moved(pipeline.id)).mapping_version}
            case _:
                count, gone = await self._again(said, pipeline.id)
                return {"payloads": count, "gone": gone}

    async def _again(self, said: Mapping[str, Any], pipeline: UUID) -> tuple[int, int]:
        """How many payloads will be mapped again, and how many of a group are not kept any more."""
        if said.get("field"):
            return await self.workspace.map_group_again(pipeline, str(said["field"]), str(said.get("reason", "")))
        wanted = said.get("payloads")
        if not isinstance(wanted, list):
            raise BadRequest("'payloads' is a list of ids")
        ids = [
            int(one)
            for one in wanted
            if isinstance(one, str) and one.isascii() and one.isdecimal() and len(one) <= _LONGEST_ID
        ]
        if len(ids) != len(wanted) or any(one >= 1 << 63 for one in ids):
            raise BadRequest("'payloads' is a list of ids as a list of payloads shows them")
        return await self.workspace.map_again(pipeline, ids), 0


def _range(said: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    now = datetime.now(UTC)
    start, end = (parse_time(str(said[name]), now, place=name) if said.get(name) else None for name in ("from", "to"))
    if start and end and start >= end:
        raise Invalid("The range ends before it begins.")
    return start, end


def _number(said: Mapping[str, Any], name: str) -> int | None:
    given = said.get(name)
    if given in (None, ""):
        return None
    text = str(given)
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise BadRequest(f"'{name}' is a whole number")
    return int(text)
