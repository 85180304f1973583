"""The list of dashboards: in folders, found by words, tags and stars; and what is done from it.

What is looked for stands in the address. While somebody types, the page's script asks for the list alone (`part=list`),
which is the same HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from dash_app.domain.dashboards import check_folder
from dash_app.domain.errors import BadRequest, Invalid
from dash_app.domain.specs import DashboardLine
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place

#: Tags that are offered, the most used.
MOST_TAGS = 16
SORTS = {"title": "By title", "changed": "Last changed"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for, as the address says it."""

    search: str = ""
    tag: str = ""
    starred: bool = False
    sort: str = "title"

    @property
    def filters(self) -> bool:
        return bool(self.search or self.tag or self.starred)

    def address(self, **changed: Any) -> str:
        values = {"search": self.search, "tag": self.tag, "starred": self.starred, "sort": self.sort} | changed
        written = {name: "1" if value is True else value for name, value in values.items() if value}
        if written.get("sort") == "title":
            del written["sort"]
        return "/dashboards" + (f"?{urlencode(written)}" if written else "")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with its dashboards; '' is none."""

    path: str
    lines: Sequence[DashboardLine]

    @property
    def parts(self) -> Sequence[str]:
        return self.path.split("/")


class DashboardsHandler(PageHandler):
    """`/dashboards`."""

    async def show(self, **names: str) -> None:
        sort = self.get_query_argument("sort", "title")
        asked = Asked(
            self.get_query_argument("search", "").replace("\0", "").strip()[:200],
            self.get_query_argument("tag", "").replace("\0", "")[:100],
            self.get_query_argument("starred", "") == "1",
            sort if sort in SORTS else "title",
        )
        every = await self.workspace.dashboards()
        if asked.filters:
            found = await self.workspace.dashboards(search=asked.search, tag=asked.tag, starred=asked.starred)
        else:
            found = every
        writes = self.workspace.principal.may("dashboards.write")
        values = {
            "asked": asked,
            "folders": folders(found, asked.sort),
            "total": len(every),
            "found": len(found),
            "writes": writes,
            "deleted": await self.workspace.deleted_dashboards() if writes and not asked.filters else [],
        }
        if self.get_query_argument("part", "") == "list":
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.finish(
                self.house.shell.render("dashboards_part.html", Place("", ""), self.principal, self.xsrf, values)
            )
            return
        lines = [] if every else await self.workspace.pipelines()
        self.page(
            "dashboards.html",
            Place("dashboards", "Dashboards"),
            **values,
            tags=tags(every, asked.tag),
            known=sorted({one.folder for one in every if one.folder}, key=str.lower),
            sorts=SORTS,
            lines=lines,
        )


class DashboardsActions(PageHandler):
    """`POST /dashboards/list/{action}` with the `uid` of a dashboard of the list."""

    actions: ClassVar[frozenset[str]] = frozenset({"star", "unstar", "copy", "move", "delete", "undelete"})

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        said = self.body()
        uid = said.get("uid")
        if not isinstance(uid, str):
            raise BadRequest("'uid' names a dashboard")
        match action:
            case "star" | "unstar":
                await self.workspace.star_dashboard(uid, action == "star")
                return {"starred": action == "star"}
            case "copy":
                made = await self.workspace.copy_dashboard(uid)
                return {"uid": made.uid, "title": made.title}
            case "move":
                return await self._move(uid, said.get("folder"))
            case "delete":
                await self.workspace.delete_dashboard(uid)
                return {}
            case _:
                return {"title": (await self.workspace.undelete_dashboard(uid)).title}

    async def _move(self, uid: str, folder: Any) -> Mapping[str, Any]:
        problems: list[tuple[str, str]] = []
        wanted = check_folder(folder, problems)
        if problems:
            raise Invalid(problems=problems)
        found = await self.workspace.dashboard(uid)
        before = str(found.document.get("folder") or "")
        document = {**found.document, "folder": wanted}
        note = f"Moved to {wanted}" if wanted else f"Moved out of {before}"
        await self.workspace.save_dashboard(uid, document, found.revision, note)
        return {"folder": wanted, "before": before}


def folders(lines: Sequence[DashboardLine], sort: str) -> list[Folder]:
    """Folders with their dashboards, by path; those that are in none come first, as the shortest path."""
    ordered: Sequence[DashboardLine] = lines
    if sort == "changed":
        ordered = sorted(lines, key=lambda one: one.updated_at, reverse=True)
    grouped: dict[str, list[DashboardLine]] = {}
    for one in ordered:
        grouped.setdefault(one.folder, []).append(one)
    return [Folder(path, grouped[path]) for path in sorted(grouped, key=lambda path: path.lower().split("/"))]


def tags(lines: Sequence[DashboardLine], chosen: str) -> list[tuple[str, int]]:
    """The tags used most, by name, each with how often; the chosen one is always among them."""
    counts = Counter(tag for one in lines for tag in one.tags)
    shown = dict(counts.most_common(MOST_TAGS))
    if chosen:
        shown.setdefault(chosen, counts[chosen])
    return sorted(shown.items(), key=lambda one: one[0].lower())
