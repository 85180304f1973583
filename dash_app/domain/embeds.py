"""What an embed shows, and what may be asked within it.

Whoever holds an embed's token sees one dashboard (or one of its tiles) as its maker does, and nothing else: each thing
that is subscribed to is held against the document. What a viewer chooses (range, values of variables, filters on what
the tiles show) only ever narrows the dashboard's own questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dash_app.domain.errors import Forbidden
from dash_app.domain.query_filters import parse_filters
from dash_app.domain.variables import ALL, Value, parse_variables, used

ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]{1,200}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
#: Parts of a query that a viewer may set: another page, another order, and what its range says.
_FREE = ("limit", "cursor", "order", "mapping", "from", "to", "timezone", "name")


@dataclass(frozen=True, slots=True)
class Embed:
    """One dashboard shown elsewhere. `tile`: this one alone; `origin`: whose pages may frame it, None: anybody's;
    `until`: seconds since 1970."""

    dashboard: str
    tile: str | None
    origin: str | None
    until: int


def shown_tiles(embed: Embed, document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tiles of the dashboard that the embed shows; none where its tile is gone."""
    tiles = [tile for tile in document.get("tiles") or () if isinstance(tile, Mapping)]
    return [tile for tile in tiles if embed.tile is None or str(tile.get("id")) == embed.tile]


def permit(embed: Embed, document: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Nothing, or Forbidden where a subscription asks for what the embed does not show."""
    kind = request.get("kind")
    listed = [one for one in _list(document, "templating") if isinstance(one, Mapping)]
    if kind == "annotations" and request.get("dashboard") == embed.dashboard:
        _check_variables(request, listed)
        return
    if kind == "values" and request.get("dashboard") == embed.dashboard:
        if any(_asks(one) == _asks(request.get("variable")) for one in listed):
            _check_variables(request, listed)
            return
        raise Forbidden("this embed has no such variable")
    if kind in ("dashboard", "pipelines", "replays", "records", "annotations", "values"):
        raise Forbidden(f"an embed shows one dashboard; {kind} is not part of it")
    queries = [query for tile in shown_tiles(embed, document) for query in _queries(tile)]
    asked = request.get("query")
    if not isinstance(asked, Mapping) or _fixed(asked) not in [_fixed(query) for query in queries]:
        raise Forbidden("this embed's dashboard asks no such question")
    _check_variables(request, listed, used_as_names(asked))
    known = {name for query in queries for name in _fields(query)}
    whole = not asked.get("select") and not asked.get("by") and not asked.get("every")
    for one in parse_filters(request.get("filters")):
        if one.field not in known and not whole:
            raise Forbidden(f"this embed cannot be filtered by '{one.field[:60]}'")


def used_as_names(query: Mapping[str, Any]) -> frozenset[str]:
    """Variables that decide what is asked, and not only which records of it."""
    return used({key: value for key, value in query.items() if key != "where"})


def _check_variables(
    request: Mapping[str, Any], listed: list[Mapping[str, Any]], deciding: frozenset[str] = frozenset()
) -> None:
    declared = {str(one.get("name")): one for one in listed}
    for name, value in parse_variables(request.get("variables")).items():
        one = declared.get(name)
        if one is None:
            raise Forbidden(f"this embed's dashboard has no variable '{name}'")
        free = one.get("type") in ("query", "text") and name not in deciding
        if not free and not set(_texts(value)) <= _offered(one):
            raise Forbidden(f"'{name}' has no such value to choose")


def _offered(variable: Mapping[str, Any]) -> set[str]:
    options = variable.get("options") or ()
    found = {str(one.get("value", one.get("text")) if isinstance(one, Mapping) else one) for one in options}
    return found | set(_texts(variable.get("current") or [])) | ({ALL} if variable.get("includeAll") else set())


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


def _fields(query: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(name) for name in query.get("by") or ())
    yield from (str(one.get("field")) for one in query.get("select") or () if isinstance(one, Mapping))


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    part = document.get(key)
    found = part.get("list") if isinstance(part, Mapping) else None
    return list(found) if isinstance(found, list | tuple) else []
