"""What an embed shows, and what may be asked within it.

Whoever holds an embed's token sees one dashboard (or one of its tiles) as its maker does, and nothing else: each thing
that is subscribed to is held against the document. What a viewer chooses (range, values of variables, filters on what
the tiles show) only ever narrows the dashboard's own questions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dash_app.domain.dashboards import sources_of
from dash_app.domain.errors import Forbidden
from dash_app.domain.query_filters import parse_filters
from dash_app.domain.templating import INTERVALS
from dash_app.domain.variables import ALL, Value, parse_variables, used

ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]{1,200}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
#: Parts of a query that a viewer may set: another page, another order, and what its range says.
_FREE = ("limit", "cursor", "order", "from", "to", "timezone", "name")


@dataclass(frozen=True, slots=True)
class Embed:
    """One dashboard shown elsewhere. `tile`: this one alone; `origin`: whose pages may frame it, None: anybody's;
    `until`: seconds since 1970; `identity`: the dashboard's id, since another one can get its uid."""

    dashboard: str
    tile: str | None
    origin: str | None
    until: int
    identity: str


def shown_tiles(embed: Embed, document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tiles of the dashboard that the embed shows; none where its tile is gone."""
    tiles = [tile for tile in document.get("tiles") or () if isinstance(tile, Mapping)]
    return [tile for tile in tiles if embed.tile is None or str(tile.get("id")) == embed.tile]


def shown_document(embed: Embed, document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as far as the embed's page needs it: annotations come from the live channel, and one tile alone has
    the variables that it uses."""
    shown = {key: value for key, value in document.items() if key != "annotations"}
    if embed.tile is None:
        return shown
    tiles = shown_tiles(embed, document)
    listed = {str(one.get("name")): one for one in _list(document, "templating") if isinstance(one, Mapping)}
    reached = _reached(listed, [query for tile in tiles for query in _queries(tile)])
    return shown | {
        "tiles": [{**tile, "gridPos": {"x": 0, "y": 0, "w": 12, "h": 8}} for tile in tiles],
        "templating": {"list": [one for name, one in listed.items() if name in reached]},
    }


def permit(embed: Embed, document: Mapping[str, Any], request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The subscription as it is to be answered; Forbidden where it asks for what the embed does not show.

    The page sends each filter for every tile: here as elsewhere one is left aside by tiles that it cannot be for.
    """
    kind = request.get("kind")
    listed = {str(one.get("name")): one for one in _list(document, "templating") if isinstance(one, Mapping)}
    everywhere = listed.keys()
    queries = [query for tile in shown_tiles(embed, document) for query in _queries(tile)]
    if embed.tile is not None:
        listed = _reached(listed, queries)
    if kind == "annotations" and request.get("dashboard") == embed.dashboard and embed.tile is None:
        sources = {str(one.get("name")): one for one in sources_of(document) if one.get("enable", True)}
        wanted = request.get("sources")
        if wanted is not None and not (isinstance(wanted, list) and {*map(str, wanted)} <= sources.keys()):
            raise Forbidden("this embed has no such source of annotations")
        names = [used_as_names(one["query"]) for one in sources.values() if isinstance(one.get("query"), Mapping)]
        _check_variables(request, everywhere, listed, frozenset[str]().union(*names))
        return request
    if kind == "values" and request.get("dashboard") == embed.dashboard:
        variable = next((one for one in listed.values() if _asks(one) == _asks(request.get("variable"))), None)
        if variable is None:
            raise Forbidden("this embed has no such variable")
        _check_variables(request, everywhere, listed, used_as_names(variable.get("query") or {}))
        return request
    if kind in ("dashboard", "pipelines", "replays", "records", "annotations", "values"):
        raise Forbidden(f"an embed shows what is in it; {kind} is not part of that")
    asked = request.get("query")
    if not isinstance(asked, Mapping) or _fixed(asked) not in [_fixed(query) for query in queries]:
        raise Forbidden("this embed's dashboard asks no such question")
    _check_variables(request, everywhere, listed, used_as_names(asked))
    # What is only counted or averaged is not shown: a filter on it would tell whether a value is there.
    same = [query for query in queries if query.get("pipeline") == asked.get("pipeline")]
    known = {name for query in same for name in _shown_fields(query)}
    whole = not asked.get("select") and not asked.get("by") and not asked.get("every")
    kept = [one for one in parse_filters(request.get("filters")) if whole or one.field in known]
    return {**request, "filters": [{"field": one.field, "op": one.op, "value": one.value} for one in kept]}


def used_as_names(query: Mapping[str, Any]) -> frozenset[str]:
    """Variables that decide what is asked, and not only which records of it."""
    return used({key: value for key, value in query.items() if key != "where"})


def _reached(listed: Mapping[str, Mapping[str, Any]], queries: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The variables that queries use, and those that these variables use in turn."""
    found: dict[str, Mapping[str, Any]] = {}
    ahead = {name for query in queries for name in used(query)}
    while ahead:
        name = ahead.pop()
        if name in listed and name not in found:
            found[name] = listed[name]
            ahead |= used(listed[name].get("query") or {})
    return found


def _check_variables(
    request: Mapping[str, Any],
    everywhere: Collection[str],
    declared: Mapping[str, Mapping[str, Any]],
    deciding: frozenset[str],
) -> None:
    """What the holder has chosen is what the page would let them choose. Values of query and text variables that only
    narrow a condition are theirs: what must stay hidden belongs into a hidden variable, or into the condition."""
    for name, value in parse_variables(request.get("variables")).items():
        one = declared.get(name)
        if one is None:
            if name in everywhere:
                continue  # another tile's: nothing that is asked here has it
            raise Forbidden(f"this embed has no variable '{name}'")
        texts = _texts(value)
        fixed = one.get("hide") or (name in deciding and one.get("type") in ("query", "text"))
        if fixed and set(texts) != set(_at_first(one)):
            raise Forbidden(f"'{name}' is not for choosing here")
        if fixed:
            continue
        if len(texts) != 1 and not one.get("multi"):
            raise Forbidden(f"'{name}' has one value at a time")
        if ALL in texts and not one.get("includeAll"):
            raise Forbidden(f"'{name}' cannot be All")
        if one.get("type") not in ("query", "text") and not set(texts) <= _offered(one):
            raise Forbidden(f"'{name}' has no such value to choose")


def _offered(variable: Mapping[str, Any]) -> set[str]:
    return (
        set(_options(variable))
        | set(_texts(variable.get("current") or []))
        | ({ALL} if variable.get("includeAll") else set())
    )


def _at_first(variable: Mapping[str, Any]) -> list[str]:
    """What the page chooses where nobody has chosen."""
    if variable.get("current") not in (None, ""):
        return _texts(variable["current"])
    return [ALL] if variable.get("includeAll") else _options(variable)[:1] or [""]


def _options(variable: Mapping[str, Any]) -> list[str]:
    options = variable.get("options") or (INTERVALS if variable.get("type") == "interval" else ())
    return [str(one.get("value", one.get("text")) if isinstance(one, Mapping) else one) for one in options]


def _texts(value: Value) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def _asks(variable: Any) -> Any:
    """What a variable asks for, whatever else its document says."""
    if not isinstance(variable, Mapping):
        return None
    return (variable.get("type"), variable.get("query"), variable.get("options"))


def _fixed(query: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in query.items() if key not in _FREE and value not in (None, [], "")}


def _queries(tile: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for query in (tile.get("query"), *(tile.get("queries") or ())):
        if isinstance(query, Mapping):
            yield query


def _shown_fields(query: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(name) for name in query.get("by") or ())
    columns = (one for one in query.get("select") or () if isinstance(one, Mapping) and not one.get("agg"))
    yield from (str(one.get("field")) for one in columns)


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    part = document.get(key)
    found = part.get("list") if isinstance(part, Mapping) else None
    return list(found) if isinstance(found, list | tuple) else []
