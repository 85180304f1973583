"""Parent → child: the records of a listing say which URLs are asked, as `{name}` in the URL and its parameters.

The listing is read anew at the beginning of a run and is no payload itself. What is left of it stands in the cursor, so
that a run that breaks off goes on at the child where it stood, and each child has marks of its own. A child that is not
there any more (404, 410) is passed over; any other error ends the run at that child.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
import param

from dash_app.domain.errors import DashError, Invalid
from dash_app.domain.kinds import Kind, variants
from dash_app.domain.plain_text import is_storable
from dash_app.pipelines.sources import selecting
from dash_app.pipelines.sources.asking import Plan
from dash_app.pipelines.sources.auth import wrong_url
from dash_app.pipelines.sources.base import Page
from dash_app.pipelines.sources.fetching import HttpPollPermanent, shown
from dash_app.pipelines.sources.pagination import PAGINATORS, Paginator, make_paginator
from dash_app.pipelines.sources.polling import Budget, listed, run

#: `{station}` in a URL or a parameter.
PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,40})\}")
#: Records on the mark of a child that are known by their digests.
MAX_EDGE = 20
_GONE = frozenset({404, 410})

Child = Mapping[str, str]


class Resolve(Kind):
    """The option `resolve`."""

    kind = "resolve"
    summary = "A listing whose records say which URLs are asked."
    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paginator": variants(PAGINATORS.values())}

    url = param.String(default="", doc="The listing's URL, on the same host.")
    params = param.Dict(default={}, doc="Parameters of its query.")
    data_selector = param.String(
        default="", doc="The path to the records in a page of it. Empty: the page is an array."
    )
    paginator = param.Dict(default={"type": "single_page"}, doc="How to come to its next page.")
    fields = param.Dict(default={}, doc="For each {name} in url and params, the path to its value within a record.")
    max_parents = param.Integer(default=500, bounds=(1, 2000), doc="Records of the listing; with more, the run fails.")

    def problems(self) -> list[tuple[str, str]]:
        found = []
        if wrong := wrong_url(self.url):
            found.append(("url", wrong))
        if self.data_selector and (wrong := selecting.problem(self.data_selector)):
            found.append(("data_selector", wrong))
        if not self.fields:
            found.append(("fields", "is missing: the path within a record to each {name} of the URL"))
        for name, path in self.fields.items():
            if not isinstance(name, str) or not PLACE.fullmatch(f"{{{name}}}"):
                found.append((f"fields.{str(name)[:60]}", "is no name: letters, digits and _"))
            elif not isinstance(path, str) or selecting.problem(path):
                found.append((f"fields.{name}", "is no path"))
        try:
            self.make_paginator()
        except Invalid as error:
            found += error.problems
        return found

    def make_paginator(self) -> Paginator:
        return make_paginator(self.paginator)

    def children(self, records: list[Any]) -> Iterator[Child]:
        """What these records say; one in which a value is missing says nothing."""
        paths = {name: selecting.parse(path) for name, path in self.fields.items()}
        for record in records:
            found = {name: _text(selecting.first(record, path)) for name, path in paths.items()}
            if all(found.values()):
                yield found


@dataclass(frozen=True, slots=True)
class Family:
    """A listing and the plan of each child: `plan_of(child)`."""

    resolve: Resolve
    listing: Plan
    plan_of: Callable[[Child], Plan]
    fingerprint: str
    max_pages: int


def run_children(
    family: Family, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime
) -> Iterator[Page]:
    """The pages of every child; `base.PollSource.pages` says what comes out and what is raised."""
    budget = Budget(family.max_pages)
    stored = cursor if cursor and cursor.get("options") == family.fingerprint else {}
    kept: dict[str, Any] = dict(stored.get("kept", {}))
    left: list[Child] = list(stored.get("left", []))
    inner: Mapping[str, Any] | None = stored.get("child")
    if not left:
        left = _children(family, client, now)
        known = {_key(child) for child in left}
        kept = {key: one for key, one in kept.items() if key in known}
    held: Page | None = None
    url = str(family.listing.url)

    def outer(page: Page, current: Mapping[str, Any] | None, rest: list[Child]) -> Page:
        return replace(page, cursor=_cursor(family, rest, current, kept), last=False)

    while left and not budget.spent:
        child, rest = left[0], left[1:]
        plan, key, first = family.plan_of(child), _key(child), True
        inner = inner if inner is not None else kept.get(key)
        try:
            for page in run(plan, inner, client, now, budget):
                if held is not None:
                    yield held
                inner, first = page.cursor, False
                held = outer(page, inner, left)
        except DashError as error:
            if not (first and isinstance(error, HttpPollPermanent) and error.answer in _GONE):
                if held is not None:
                    yield held
                raise
            inner = None
            kept.pop(key, None)
        if inner is not None and "position" in inner:
            break  # the budget was spent in the middle of this child
        if inner is not None and (plan.incremental is not None or "validators" in inner):
            kept[key] = _slim(inner)
        left, inner = rest, None
        if held is not None:
            held = outer(held, None, left)
    end = _cursor(family, left, inner, kept)
    if held is not None:
        yield replace(held, cursor=end, last=True)
    elif end != cursor:
        yield Page(b"", "", url, cursor=end, last=True)


def first_child(family: Family, client: httpx.Client, now: datetime) -> tuple[Child | None, int]:
    """The first child of the listing's first page, and how many that page names. Raises as `run` does."""
    records = next(listed(family.listing, client, now), [])
    found = list(family.resolve.children(records))
    return (found[0] if found else None), len(found)


def _children(family: Family, client: httpx.Client, now: datetime) -> list[Child]:
    """What the listing says, each once, in its order."""
    found: dict[str, Child] = {}
    for records in listed(family.listing, client, now):
        found |= {_key(child): child for child in family.resolve.children(records)}
        if len(found) > family.resolve.max_parents:
            limit = family.resolve.max_parents
            asked = f"{family.listing.method} {shown(family.listing.url)}"
            raise HttpPollPermanent(f"{asked}: the listing names more than {limit} (resolve.max_parents)")
    return list(found.values())


def _cursor(
    family: Family, left: list[Child], inner: Mapping[str, Any] | None, kept: Mapping[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {"options": family.fingerprint, "left": [dict(child) for child in left], "kept": dict(kept)}
    if inner is not None:
        found["child"] = dict(inner)
    return found


def _slim(cursor: Mapping[str, Any]) -> dict[str, Any]:
    """The end of a child's run as it is kept for the next one. A thousand children share one cursor, so of the records
    on a mark only a few are known by name."""
    made = dict(cursor)
    for name in ("since", "high"):
        if len(made[name]["edge"]) > MAX_EDGE:
            made[name] = {**made[name], "edge": {}}
    return made


def _key(child: Child) -> str:
    return json.dumps(dict(child), sort_keys=True)


def _text(value: Any) -> str:
    """A value as it stands in a URL; '' where it cannot: nothing, an object, a step up the path, or no text."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        return ""
    text = str(value)
    return "" if text in (".", "..") or len(text) > 500 or not is_storable(text) else text


def places_in(*texts: str) -> set[str]:
    """The names in braces."""
    return {name for text in texts for name in PLACE.findall(text)}


def places_in_authority(url: str) -> set[str]:
    """The names in braces before the path of a URL: whoever writes into the listing would choose the host there."""
    scheme, _, rest = url.partition("://")
    return places_in(scheme, re.split(r"[/?#\\]", rest, maxsplit=1)[0])


def filled_url(text: str, child: Child) -> str:
    """A URL with the child's values in it, each percent-encoded as a whole."""
    return PLACE.sub(lambda hit: quote(child.get(hit[1], hit[0]), safe=""), text)


def filled(text: str, child: Child) -> str:
    """A parameter's text with the child's values in it."""
    return PLACE.sub(lambda hit: child.get(hit[1], hit[0]), text)
