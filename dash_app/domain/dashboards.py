"""Dashboard documents: what is accepted as one (`docs/dashboards.md`).

A dashboard is a grid of 12 columns with tiles; each tile has a kind, a place and what it asks. The whole document is
checked at once, and every place that is wrong is named: sizes, ids, places, variables, options by the tile's kind, and
each query by the parser that will run it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dash_app.domain import ids, variables
from dash_app.domain.errors import Invalid
from dash_app.domain.query import parse_query, parse_time
from dash_app.domain.templating import Tried, check_templating
from dash_app.domain.tiles import TILES
from dash_app.domain.zones import is_zone

COLUMNS = 12
MAX_TILES = 60
MAX_BYTES = 512 * 1024
MAX_ROW = 2000
MAX_TAGS = 20
MAX_FOLDERS = 5
MAX_QUERIES = 8
MAX_LINKS = 20
MAX_SOURCES = 10
#: Annotations that one source gives at most.
MAX_ANNOTATIONS = 500

#: Addresses of pages, which no dashboard can have.
RESERVED = ("new",)
SOURCES = ("manual", "query", "replays", "alerts")
#: What every dashboard has, named or not: annotations are shown where they were written.
MANUAL: Mapping[str, Any] = {"name": "Annotations", "source": "manual", "enable": True}

TOP = (
    "uid", "title", "description", "folder", "tags", "time", "refresh", "timezone", "templating", "annotations",
    "links", "tiles",
)  # fmt: skip
TILE = ("id", "kind", "title", "description", "gridPos", "query", "queries", "options", "time", "links")
_SOURCE = ("name", "source", "color", "enable", "query", "text", "tags")

_REFRESH = re.compile(r"([1-9][0-9]{0,3})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_COLOR = re.compile(r"[a-z][a-z0-9-]{0,40}")
_ADDRESS = re.compile(r"https?://[^/\s]|mailto:\S|/(?!/)|[?#]", re.IGNORECASE)

Problems = list[tuple[str, str]]


def check_dashboard(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as it is stored, `uid` from the title where it has none. Raises Invalid with all that is wrong."""
    problems: Problems = []
    if len(json.dumps(document)) > MAX_BYTES:
        raise Invalid(problems=[("", f"a dashboard has at most {MAX_BYTES:,} bytes as JSON")])
    if _has_huge(document):
        raise Invalid(problems=[("", "whole numbers in a dashboard are of 64 bits")])
    _unknown(document, TOP, "", problems)
    title = _text(document, "title", "", problems, most=200, needed=True)
    _text(document, "description", "", problems, most=4000)
    made = dict(document)
    if made.get("uid") is None:
        made["uid"] = free_of_pages(ids.slug_from(title or ""))
    if not isinstance(made["uid"], str) or not ids.SLUG.fullmatch(made["uid"]) or made["uid"] in RESERVED:
        problems.append(("uid", f"1 to 41 of a-z, 0-9 and _, beginning with a letter, and not {', '.join(RESERVED)}"))
    if "folder" in made:
        made["folder"] = check_folder(made["folder"], problems)
    if "tags" in made:
        made["tags"] = _tags(made["tags"], "tags", problems)
    made.setdefault("time", {"from": "now-24h", "to": "now"})
    made.setdefault("refresh", "live")
    _refresh(made["refresh"], problems)
    zone = _timezone(made, problems)
    span = _time(made["time"], "time", zone, problems)
    context = _Context(span, zone, check_templating(made.get("templating"), problems))
    _annotations(made.get("annotations"), context, problems)
    _links(made.get("links"), "links", problems)
    made["tiles"] = _tiles(made.get("tiles"), context, problems)
    if problems:
        raise Invalid(problems=problems)
    return made


def _has_huge(value: Any) -> bool:
    """Whether a whole number in it is larger than JSON is read with elsewhere."""
    if isinstance(value, Mapping):
        return any(map(_has_huge, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_huge, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def free_of_pages(uid: str) -> str:
    """A uid that no page's address hides."""
    return f"{uid}_1" if uid in RESERVED else uid


def search_text(document: Mapping[str, Any]) -> str:
    """What a search for dashboards looks in, in lower case: title, description, folder, tags, tiles and pipelines."""
    parts = [document.get(key) for key in ("title", "uid", "description", "folder")]
    parts += document.get("tags") or ()
    for tile in document.get("tiles") or ():
        parts.append(tile.get("title"))
        parts += pipelines_of(tile)
    return " ".join(str(part) for part in dict.fromkeys(parts) if part).lower()


def queries_of(tile: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The queries of a tile, none, one or several."""
    several = tile.get("queries")
    found = several if isinstance(several, list) else [tile.get("query")]
    return [one for one in found if isinstance(one, Mapping)]


def pipelines_of(tile: Mapping[str, Any]) -> list[str]:
    """Slugs and ids of the pipelines that a tile asks, as it names them; not what a variable decides."""
    found = [str(query["pipeline"]) for query in queries_of(tile) if query.get("pipeline")]
    return [name for name in dict.fromkeys(found) if not name.startswith("$")]


def sources_of(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The sources of a dashboard's annotations; what is written by hand is among them, first unless it has a place."""
    listed: list[Mapping[str, Any]] = [dict(one) for one in (document.get("annotations") or {}).get("list") or ()]
    if not any(one.get("source") == "manual" for one in listed):
        listed.insert(0, dict(MANUAL))
    return listed


# Parts ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Context:
    """What the queries of a document stand in: its range, its zone, and values for its variables."""

    span: Mapping[str, Any]
    zone: str
    tried: Tried


def _tiles(value: Any, context: _Context, problems: Problems) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_TILES:
        problems.append(("tiles", f"a list of at most {MAX_TILES} tiles is needed"))
        return []
    seen: set[str] = set()
    for number, tile in enumerate(value):
        place = f"tiles[{number}]"
        if not isinstance(tile, Mapping):
            problems.append((place, "a tile is an object with id, kind, gridPos and query"))
            continue
        identity = tile.get("id")
        if isinstance(identity, bool) or not isinstance(identity, int | str) or not 1 <= len(str(identity)) <= 60:
            problems.append((f"{place}.id", "a number or a short text is needed"))
        elif str(identity) in seen:
            problems.append((f"{place}.id", f"'{identity}' is another tile's already"))
        seen.add(str(identity))
        _tile(tile, place, context, problems)
    return value


def _tile(tile: Mapping[str, Any], place: str, context: _Context, problems: Problems) -> None:
    _unknown(tile, TILE, place, problems)
    _text(tile, "title", place, problems, most=200)
    _text(tile, "description", place, problems, most=4000)
    _place(tile.get("gridPos"), f"{place}.gridPos", problems)
    _links(tile.get("links"), f"{place}.links", problems)
    span = context.span
    if tile.get("time") is not None:
        span = _time(tile["time"], f"{place}.time", context.zone, problems)
    kind, options = tile.get("kind"), tile.get("options", {})
    known = isinstance(kind, str) and kind in TILES
    if not known:
        problems.append((f"{place}.kind", f"'{str(kind)[:60]}' is unknown; one of {', '.join(TILES.names())}"))
    if not isinstance(options, Mapping):
        problems.append((f"{place}.options", "an object is needed"))
    elif known:
        try:
            TILES[str(kind)].from_options(options, where=f"{place}.options")
        except Invalid as error:
            problems += error.problems or [(f"{place}.options", error.message)]
    _queries(tile, TILES[str(kind)].queries if known else "one", place, span, context, problems)


def _queries(
    tile: Mapping[str, Any],
    allowed: str,
    place: str,
    span: Mapping[str, Any],
    context: _Context,
    problems: Problems,
) -> None:
    """A tile's `query` or `queries`; `allowed`: none, one or many."""
    several = tile.get("queries")
    if allowed == "none":
        for name in ("query", "queries"):
            if tile.get(name) is not None:
                problems.append((f"{place}.{name}", f"a {tile.get('kind')} tile asks nothing"))
        return
    if several is None:
        _query(tile.get("query"), f"{place}.query", span, context, problems)
        return
    if allowed != "many":
        many = ", ".join(one.kind for one in TILES if one.queries == "many")
        problems.append((f"{place}.queries", f"a {tile.get('kind')} tile has one query; several go with {many}"))
    elif tile.get("query") is not None:
        problems.append((f"{place}.queries", "either query or queries"))
    elif not isinstance(several, list) or not 2 <= len(several) <= MAX_QUERIES:
        problems.append((f"{place}.queries", f"a list of 2 to {MAX_QUERIES} queries; a single one stands under query"))
    else:
        for number, one in enumerate(several):
            where = f"{place}.queries[{number}]"
            if isinstance(one, Mapping):
                _text(one, "name", where, problems, most=60)
                one = {key: part for key, part in one.items() if key != "name"}
            _query(one, where, span, context, problems)


def _query(value: Any, place: str, span: Mapping[str, Any], context: _Context, problems: Problems) -> None:
    if not isinstance(value, Mapping):
        problems.append((place, "a query is needed"))
        return
    before = len(problems)
    for name in ("from", "to", "cursor"):
        if name in value:
            problems.append(
                (f"{place}.{name}", "the dashboard's time decides; a tile of its own time has it under `time`")
            )
    if len(problems) > before or not span:
        return
    for values in context.tried.all():
        try:
            query = variables.apply(value, values)
            # A live tile picks its own bucket width for 'auto'; here any width will do.
            every = {"every": "1m"} if query.get("every") == "auto" else {}
            parse_query({**span, "timezone": context.zone, **query, **every}, datetime.now(UTC))
        except Invalid as error:
            found = error.problems or (("", error.message),)
            problems += [(f"{place}.{where}" if where else place, what) for where, what in found]
            return


def _place(value: Any, place: str, problems: Problems) -> None:
    numbers: list[Any] = [value.get(name) for name in ("x", "y", "w", "h")] if isinstance(value, Mapping) else []
    if len(numbers) != 4 or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        problems.append((place, "an object of whole numbers x, y, w, h is needed"))
        return
    x, y, w, h = numbers
    if not (x >= 0 and w >= 1 and x + w <= COLUMNS and 0 <= y <= MAX_ROW and 1 <= h <= 60):
        problems.append((place, f"x + w stay within {COLUMNS} columns, y within {MAX_ROW} rows, h is 1 to 60"))


def _annotations(value: Any, context: _Context, problems: Problems) -> None:
    if value is None:
        return
    listed = value.get("list", []) if isinstance(value, Mapping) and set(value) <= {"list"} else None
    if not isinstance(listed, list) or len(listed) > MAX_SOURCES:
        problems.append(("annotations", f'such as {{"list": []}}, with at most {MAX_SOURCES} sources'))
        return
    names: set[str] = set()
    kinds: set[str] = set()
    for number, source in enumerate(listed):
        place = f"annotations.list[{number}]"
        if not isinstance(source, Mapping):
            problems.append((place, "a source is an object with name and source"))
            continue
        _unknown(source, _SOURCE, place, problems)
        name = _text(source, "name", place, problems, most=60, needed=True)
        if name is not None:
            if name in names:
                problems.append((f"{place}.name", f"'{name}' is another source's already"))
            names.add(name)
        kind = source.get("source")
        if not isinstance(kind, str) or kind not in SOURCES:
            problems.append((f"{place}.source", f"one of {', '.join(SOURCES)}"))
        else:
            if kind in ("manual", "replays", "alerts") and kind in kinds:
                problems.append((f"{place}.source", f"one source of {kind} is all of them"))
            kinds.add(kind)
        color = source.get("color")
        if color is not None and (not isinstance(color, str) or not _COLOR.fullmatch(color)):
            problems.append((f"{place}.color", "a colour such as green, orange, red or blue, or the name of a token"))
        if not isinstance(source.get("enable", True), bool):
            problems.append((f"{place}.enable", "true or false"))
        _text(source, "text", place, problems, most=500)
        if source.get("tags") is not None:
            _tags(source["tags"], f"{place}.tags", problems)
        if kind == "query":
            _annotation_query(source.get("query"), f"{place}.query", context, problems)
        elif source.get("query") is not None:
            problems.append((f"{place}.query", "only a source of type query has one"))


def _annotation_query(value: Any, place: str, context: _Context, problems: Problems) -> None:
    if isinstance(value, Mapping):
        _unknown(value, ("pipeline", "where", "limit"), place, problems)
        limit = value.get("limit", 100)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_ANNOTATIONS:
            problems.append((f"{place}.limit", f"1 to {MAX_ANNOTATIONS}"))
            return
    _query(value, place, context.span, context, problems)


def _links(value: Any, place: str, problems: Problems) -> None:
    if value is None:
        return
    if not isinstance(value, list) or len(value) > MAX_LINKS:
        problems.append(
            (place, f'a list of at most {MAX_LINKS} links, such as {{"title": "Runbook", "url": "https://…"}}')
        )
        return
    for number, link in enumerate(value):
        where = f"{place}[{number}]"
        if not isinstance(link, Mapping):
            problems.append((where, "a link is an object with title and url"))
            continue
        _unknown(link, ("title", "url"), where, problems)
        _text(link, "title", where, problems, most=100, needed=True)
        url = _text(link, "url", where, problems, most=2000, needed=True)
        # What a variable puts in later must not decide what kind of address it is.
        if url is not None and not _ADDRESS.match(url):
            problems.append((f"{where}.url", "an address begins with https://, http://, mailto:, /, ? or #"))


def check_folder(value: Any, problems: Problems) -> str:
    """A folder as it is stored, such as Operations/Web: its parts without blanks around them; '' is none."""
    if value is None:
        return ""
    parts = [part.strip() for part in value.split("/")] if isinstance(value, str) else []
    parts = parts if any(parts) else [] if isinstance(value, str) else ["\n"]
    if len(parts) > MAX_FOLDERS or any(not part or len(part) > 60 or not part.isprintable() for part in parts):
        problems.append(
            ("folder", f"at most {MAX_FOLDERS} names of 1 to 60 characters with / between them, such as Operations/Web")
        )
        return ""
    return "/".join(parts)


def _tags(value: Any, place: str, problems: Problems) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_TAGS or not all(isinstance(one, str) for one in value):
        problems.append((place, f"a list of at most {MAX_TAGS} texts"))
        return []
    made = [one.strip() for one in value]
    for number, one in enumerate(made):
        if not 1 <= len(one) <= 40 or not one.isprintable():
            problems.append((f"{place}[{number}]", "a text of 1 to 40 characters"))
    return list(dict.fromkeys(made))


def _refresh(value: Any, problems: Problems) -> None:
    read = _REFRESH.fullmatch(value) if isinstance(value, str) else None
    if value not in ("live", "off") and not (read and 5 <= int(read[1]) * _SECONDS[read[2]] <= 3600):
        problems.append(("refresh", "live, off, or how often it is read again, from 5s to 1h"))


def _timezone(document: Mapping[str, Any], problems: Problems) -> str:
    zone = document.get("timezone")
    if zone is None:
        return "UTC"
    if not is_zone(zone):
        problems.append(
            ("timezone", "the IANA name of a time zone, such as Europe/Oslo or UTC; left out: the viewer's")
        )
        return "UTC"
    return str(zone)


def _time(value: Any, place: str, zone: str, problems: Problems) -> dict[str, Any]:
    """The range as the keys of a query; empty where it is wrong."""
    if not isinstance(value, Mapping) or set(value) != {"from", "to"}:
        problems.append((place, 'a range is needed, such as {"from": "now-24h", "to": "now"}'))
        return {}
    now = datetime.now(UTC)
    wrong: Problems = []
    for name in ("from", "to"):
        try:
            parse_time(value[name], now, zone, f"{place}.{name}")
        except Invalid as error:
            wrong += error.problems
    problems += wrong
    return {} if wrong else {"from": value["from"], "to": value["to"]}


def _text(
    document: Mapping[str, Any], key: str, place: str, problems: Problems, *, most: int, needed: bool = False
) -> str | None:
    value = document.get(key)
    where = f"{place}.{key}" if place else key
    if value is None and not needed:
        return None
    if not isinstance(value, str) or len(value) > most or (needed and not value.strip()):
        problems.append((where, f"a text of {1 if needed else 0} to {most} characters is needed"))
        return None
    return value


def _unknown(document: Mapping[str, Any], known: tuple[str, ...], place: str, problems: Problems) -> None:
    for key in document:
        if key not in known:
            problems.append(((f"{place}.{key}" if place else str(key))[:80], f"unknown; there are {', '.join(known)}"))
