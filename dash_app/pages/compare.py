"""Two versions of a mapping side by side: what differs in what they say, in what they make, and in what shows it.

All of the page's state stands in its address: `a` and `b` (versions) or `draft`, `over` (how many of the newest
payloads, or `all`), `from` and `to`, and `job`, a comparison over all payloads, which can be left and found again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.query import parse_time
from dash_app.domain.specs import MappingVersion
from dash_app.pages import compared as shown
from dash_app.pages.compared import Compared
from dash_app.pages.pipeline import tabs_of
from dash_app.pages.plain import PageHandler
from dash_app.pages.shell import Place

OVER = ("20", "100", "500", "1000", "all")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for. `b` None: the draft. Times are as they were written, '' for none."""

    a: int
    b: int | None
    draft: str
    over: str
    start: str
    end: str

    def address(self, base: str, **changes: Any) -> str:
        """This page's address with some of it changed; what is None is left out."""
        parts = {
            "a": self.a,
            "b": self.b,
            "draft": self.draft or None,
            "over": self.over if self.over != "100" else None,
            "from": self.start or None,
            "to": self.end or None,
        } | changes
        return f"{base}/compare?" + urlencode({name: value for name, value in parts.items() if value is not None})

    def range(self) -> tuple[datetime | None, datetime | None]:
        """Raises Invalid."""
        now = datetime.now(UTC)
        start = parse_time(self.start, now, place="from") if self.start else None
        end = parse_time(self.end, now, place="to") if self.end else None
        if start and end and start >= end:
            raise Invalid(problems=[("from", "the range ends before it begins")])
        return start, end


class CompareHandler(PageHandler):
    """`/pipelines/{ref}/compare`, and what is done there: `POST /pipelines/{ref}/compare/{start|cancel}`."""

    actions: ClassVar[frozenset[str]] = frozenset({"start", "cancel"})

    async def show(self, **names: str) -> None:
        detail = await self.workspace.detail(names["ref"])
        pipeline = detail.pipeline.id
        _, versions = await self.workspace.mapping(pipeline)
        job = self.get_query_argument("job", "")
        kept = await self.workspace.comparison(pipeline, job) if job else None
        asked = self._asked(versions, detail.pipeline.mapping_version, kept)
        found: Compared | None = kept
        wrong: Sequence[tuple[str, str]] = ()
        waits = 0
        if asked is not None and kept is None:
            try:
                start, end = asked.range()
                if asked.over == "all":
                    found = await self.workspace.last_comparison(pipeline, asked.a, asked.b, asked.draft, start, end)
                    waits = await self.workspace.count_payloads(pipeline, start, end)
                else:
                    found = await self.workspace.compare_sample(
                        pipeline, asked.a, asked.b, asked.draft, int(asked.over), start, end
                    )
            except Invalid as error:
                wrong = error.problems or (("", error.message),)
        part = bool(self.get_query_argument("part", ""))
        self.page(
            "compare_part.html" if part else "compare.html",
            Place("pipelines", f"{detail.pipeline.name}: versions compared", ("Pipelines", "/pipelines")),
            detail=detail,
            tabs=tabs_of(detail),
            tab="mapping",
            asked=asked,
            versions=versions,
            found=found,
            wrong=wrong,
            waits=waits,
            payloads=detail.line.stats.payloads,
            earlier=await self.workspace.comparisons(pipeline) if not part else (),
            shown=shown,
            over=OVER,
        )

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        detail = await self.workspace.detail(names["ref"])
        said = self.body()
        if action == "cancel":
            await self.workspace.cancel_comparison(detail.pipeline.id, str(said.get("job", "")))
            return {}
        asked = Asked(
            _number(said.get("a")) or 0,
            _number(said.get("b")),
            str(said.get("draft") or ""),
            "all",
            str(said.get("from") or ""),
            str(said.get("to") or ""),
        )
        job = await self.workspace.start_comparison(detail.pipeline.id, asked.a, asked.b, asked.draft, *asked.range())
        return {"address": asked.address(detail.line.address, job=job)}

    def _asked(self, versions: Sequence[MappingVersion], active: int | None, kept: Compared | None) -> Asked | None:
        """What the address asks for, with what it leaves out filled in; None where there is nothing to compare."""
        start, end = self.get_query_argument("from", ""), self.get_query_argument("to", "")
        if kept is not None and kept.comparison is not None:
            one = kept.comparison
            span = [moment.strftime("%Y-%m-%dT%H:%M") if moment else "" for moment in (one.from_time, one.to_time)]
            draft = self.get_query_argument("draft", "") if one.version_b is None else ""
            return Asked(one.version_a, one.version_b, draft, "all", *span)
        draft = self.get_query_argument("draft", "")
        over = self.get_query_argument("over", "100")
        over = over if over in OVER else "100"
        numbers = [version.version for version in versions]
        a, b = _number(self.get_query_argument("a", "")), _number(self.get_query_argument("b", ""))
        if draft:
            return Asked(a or active or numbers[0], None, draft, over, start, end) if numbers else None
        if a is None and b is None and len(numbers) < 2:
            return None
        if b is None:
            b = next((one for one in numbers if one != a), a)
        if a is None:
            a = active if active is not None and active != b else next((n for n in numbers if n < (b or 0)), b)
        return Asked(a or 0, b, "", over, start, end)


def _number(text: Any) -> int | None:
    """A version's number; None where there is none. NotFound for what can be none."""
    if text in (None, ""):
        return None
    said = str(text)
    # Its length first: a number of thousands of digits is an error to `int`.
    if not said.isascii() or not said.isdecimal() or len(said) > 10 or not 0 < int(said) < 1 << 31:
        raise NotFound(f"there is no version '{said[:40]}'")
    return int(said)
