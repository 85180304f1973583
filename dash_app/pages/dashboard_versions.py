"""The states that a dashboard was saved in: who saved what when, two of them compared, any of them restored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from dash_app.domain.dashboard_changes import Change, Detail, changes, summary
from dash_app.domain.errors import BadRequest, NotFound
from dash_app.domain.specs import DashboardVersion
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place

#: Versions that the page lists.
MOST_SHOWN = 100
LONGEST_VALUE = 400
BADGES = {"added": "ok", "removed": "failing", "changed": "rejects", "moved": "note"}


@dataclass(frozen=True, slots=True)
class Told:
    """A change as the page shows it. `parts`: (name, before, after), as texts; '' where there is nothing."""

    subject: str
    what: str
    badge: str
    parts: Sequence[tuple[str, str, str]]


class VersionsHandler(PageHandler):
    """`/dashboards/{uid}/versions?from=3&to=5`: what is compared stands in the address."""

    async def show(self, **names: str) -> None:
        uid = names["uid"]
        found, versions = await self.workspace.dashboard_versions(uid, MOST_SHOWN + 1)
        old, new = self._compared([one.revision for one in versions])
        sides = {one: (await self.workspace.dashboard_version(uid, one)).document for one in {old, new}}
        values = {
            "dashboard": found,
            "old": old,
            "new": new,
            "changes": [told(one) for one in changes(sides[old], sides[new])] if old != new else [],
        }
        if self.get_query_argument("part", "") == "changes":
            self.set_header("Content-Type", "text/html; charset=utf-8")
            place = Place("", "")
            self.finish(self.house.shell.render("dashboard_changes.html", place, self.principal, self.xsrf, values))
            return
        self.page(
            "dashboard_versions.html",
            Place("dashboards", "Versions", (found.title, f"/dashboards/{found.uid}")),
            **values,
            versions=versions[:MOST_SHOWN],
            more=max(0, len(versions) - MOST_SHOWN),
            summaries=await asyncio.to_thread(summaries, versions[: MOST_SHOWN + 1]),
            writes=self.workspace.principal.may("dashboards.write"),
        )

    def _compared(self, known: Sequence[int]) -> tuple[int, int]:
        """The two revisions that the address names, the older first; without it the last two. NotFound for one that is
        not kept."""
        new = self._revision("to") or known[0]
        before = next((one for one in known if one < new), new)
        old = self._revision("from") or before
        for one in (old, new):
            if one not in known:
                raise NotFound(f"version {one} of this dashboard is not there")
        return min(old, new), max(old, new)

    def _revision(self, name: str) -> int | None:
        text = self.get_query_argument(name, "")
        if not text:
            return None
        if not text.isascii() or not text.isdecimal() or len(text) > 9:
            raise BadRequest(f"'{name}' is the number of a version")
        return int(text)


class VersionsActions(PageHandler):
    """`POST /dashboards/{uid}/versions/restore` with `revision` and the `base` that the page shows as the newest."""

    actions: ClassVar[frozenset[str]] = frozenset({"restore"})

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        said = self.body()
        revision, base = said.get("revision"), said.get("base")
        numbers = [one for one in (revision, base) if one is not None]
        if revision is None or not all(isinstance(one, int) and not isinstance(one, bool) for one in numbers):
            raise BadRequest("'revision' is the number of a revision")
        made = await self.workspace.restore_dashboard(names["uid"], revision, base)
        return {"revision": made.revision}


def summaries(versions: Sequence[DashboardVersion]) -> dict[int, str]:
    """What each version changed of the one before it, in one line; of the oldest nothing is known."""
    return {new.revision: summary(changes(old.document, new.document), most=2) for new, old in pairwise(versions)}


def told(change: Change) -> Told:
    parts = [(name, _shown(detail, before), _shown(detail, after)) for name, detail, before, after in _parts(change)]
    return Told(change.subject[:1].upper() + change.subject[1:], change.what, BADGES[change.what], parts)


def _parts(change: Change) -> list[tuple[str, Detail, Any, Any]]:
    if change.what in ("added", "removed") and change.place.startswith("tiles."):
        # A whole tile as JSON says less than what it is and where.
        return []
    return [("" if one.name == change.place else one.name, one, one.before, one.after) for one in change.details]


def _shown(detail: Detail, value: Any) -> str:
    if value is None or value == "":
        return ""
    if detail.name == "gridPos" and isinstance(value, Mapping):
        return f"{value.get('w')} × {value.get('h')} at column {value.get('x')}, row {value.get('y')}"
    if detail.name == "time" and isinstance(value, Mapping):
        return f"{value.get('from')} to {value.get('to')}"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        text = ", ".join(value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
