"""One run of a report: the dashboard's tiles are asked, drawn, and put into the outbox of each of its sinks.

Whoever has the run's lease makes it. Its messages are put in the transaction that marks the run as done and finds it
still the maker's own, so that each sink gets one message however many workers have tried.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import structlog

from dash_app.domain import variables
from dash_app.domain.dashboards import queries_of
from dash_app.domain.errors import DashError, Permanent
from dash_app.domain.query import parse_time
from dash_app.domain.specs import Dashboard
from dash_app.domain.templating import defaults
from dash_app.domain.variables import ALL
from dash_app.pipelines.delivery import outbox
from dash_app.pipelines.number_text import time_text
from dash_app.pipelines.query import Queries, QueryResult, pick_every, to_csv
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sinks.base import File
from dash_app.storage import dashboards, reports, sinks
from dash_app.storage.reports import MOST_ATTEMPTS, Report, Run
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

#: Buckets of a picture per column of the grid.
POINTS_PER_COLUMN = 16
#: Rows that a table of records asks for; a picture shows fewer.
MOST_ROWS = 1000
#: Files of more tiles than so many come as one archive.
MOST_LOOSE = 3
#: Bytes of all files of a report; what is beyond is left out, CSV first.
MOST_BYTES = 15 << 20

_NAME = re.compile(r"[^a-z0-9]+")
_MENTION = re.compile(r"\$\{([A-Za-z][A-Za-z0-9_]*)\}|\$([A-Za-z][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile with its answers, by the names of its queries; `error`: why there are none."""

    id: str
    kind: str
    title: str
    options: Mapping[str, Any]
    place: Mapping[str, int]
    start: datetime
    end: datetime
    answers: Sequence[tuple[str, QueryResult]]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A report as it is sent."""

    title: str
    text: str
    payload: Mapping[str, Any]
    link: str
    files: Sequence[File]


def make(app: Resources, run_id: UUID, *, base_url: str = "") -> None:
    """Makes one run and puts it into the outbox. Does nothing where it is another's, done or gone."""
    with app.database.ingest() as unit:
        run = reports.take_run(unit, run_id, datetime.now(UTC))
        unit.commit()
    if run is None:
        return
    error = ""
    made: Made | None = None
    try:
        with app.database.team(run.team) as unit:
            found = reports.get(unit, run.report)
            board = dashboards.get(unit, found.dashboard)
        made = report_of(app, found, board, run.due_at, base_url=base_url)
    except Permanent as problem:
        error = problem.message
    except DashError as problem:
        error = problem.message
        if run.attempts < MOST_ATTEMPTS:
            _finish(app, run, state="queued", error=error)
            return
    except Exception as problem:
        log.exception("report.broke", report=str(run.report))
        error = f"Internal error ({type(problem).__name__}); the worker's log says more."
    if made is None:
        _finish(app, run, state="failed", error=error)
        return
    with app.database.team(run.team) as unit:
        targets = sinks.find(unit, list(reports.get(unit, run.report).sinks))
    with app.database.ingest() as unit:
        messages = [_put(unit, app, run, sink, found, made) for sink in targets.values()]
        size = sum(len(one.data) for one in made.files)
        now = datetime.now(UTC)
        # Where another maker's lease has begun meanwhile, these messages are not put.
        if reports.finish_run(unit, run, state="done", now=now, messages=messages, bytes=size):
            unit.commit()
            log.info("report.made", report=found.slug, sinks=len(messages), bytes=size)


def _put(unit: Unit, app: Resources, run: Run, sink: UUID, found: Report, made: Made) -> str:
    return outbox.put(
        unit,
        app,
        run.team,
        sink,
        "report",
        made.payload,
        title=made.title,
        text=made.text,
        origin=found.slug,
        link=made.link,
        files=made.files,
    )


def _finish(app: Resources, run: Run, *, state: str, error: str) -> None:
    with app.database.ingest() as unit:
        reports.finish_run(unit, run, state=state, now=datetime.now(UTC), error=error)
        unit.commit()
    log.warning("report.failed", report=str(run.report), attempt=run.attempts, error=error)


# Making --------------------------------------------------------------------------------------------------------------


def report_of(app: Resources, found: Report, board: Dashboard, at: datetime, *, base_url: str = "") -> Made:
    """The report as of a moment: its title, its facts and its files."""
    document = board.document
    wanted = found.document
    span = wanted.get("range") or document["time"]
    zone = found.timezone
    values = {**defaults(document), **(wanted.get("variables") or {})}
    start, end = (parse_time(span[key], at, zone, f"range.{key}") for key in ("from", "to"))
    tiles = tiles_of(Queries(app.database), found.team, document, values, start, end, zone, at)
    stretch = f"{time_text(start, zone)} to {time_text(end, zone)}"
    payload = {
        "report": found.slug,
        "name": found.name,
        "dashboard": document["title"],
        "dashboard_uid": board.uid,
        "range": {"from": start.isoformat(timespec="seconds"), "to": end.isoformat(timespec="seconds")},
        "timezone": zone,
        "variables": values,
        "at": at.isoformat(timespec="seconds"),
        "tiles": [
            {"title": one.title, "kind": one.kind} | ({"error": one.error} if one.error else {}) for one in tiles
        ],
    }
    link = _link(base_url, board.uid, start, end, values)
    files = _files(found, str(document["title"]), stretch, tiles, zone, at)
    return Made(found.name, str(wanted.get("message") or ""), payload | {"link": link}, link, files)


def tiles_of(
    queries: Queries,
    team: UUID,
    document: Mapping[str, Any],
    values: Mapping[str, Any],
    start: datetime,
    end: datetime,
    zone: str,
    now: datetime,
) -> list[Tile]:
    """The dashboard's tiles with their answers. One that fails says why and leaves the others be."""
    made = []
    for tile in document.get("tiles") or ():
        begin, finish = start, end
        title = _filled(str(tile.get("title") or ""), values)
        answers: list[tuple[str, QueryResult]] = []
        error = ""
        try:
            if own := tile.get("time"):
                begin, finish = (parse_time(own[key], now, zone, f"time.{key}") for key in ("from", "to"))
            for query in queries_of(tile):
                asked = _asked(query, tile, values, begin, finish, zone)
                answers.append((str(query.get("name") or ""), queries.run(team, asked, now)))
        except DashError as problem:
            answers, error = [], problem.message
        made.append(
            Tile(
                *(str(tile.get("id", "")), tile["kind"], title, dict(tile.get("options") or {}), tile["gridPos"]),
                *(begin, finish, answers, error),
            )
        )
    return made


def _asked(
    query: Mapping[str, Any],
    tile: Mapping[str, Any],
    values: Mapping[str, Any],
    start: datetime,
    end: datetime,
    zone: str,
) -> dict[str, Any]:
    """The query as it is asked: its variables put in, its buckets as narrow as there is room for."""
    asked = {key: value for key, value in variables.apply(query, dict(values)).items() if key != "name"}
    if asked.get("every") == "auto":
        asked["every"] = pick_every(end - start, POINTS_PER_COLUMN * int(tile["gridPos"]["w"]))
    if not asked.get("every") and not any(
        "agg" in one for one in asked.get("select") or () if isinstance(one, Mapping)
    ):
        asked.setdefault("limit", MOST_ROWS)
    return asked | {"from": start.isoformat(), "to": end.isoformat(), "timezone": asked.get("timezone") or zone}


def _filled(text: str, values: Mapping[str, Any]) -> str:
    """A title with the values of variables in it."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in values:
            return found[0]
        given = values[name]
        listed = given if isinstance(given, list) else [given]
        return "All" if ALL in listed else ", ".join(map(str, listed))

    return _MENTION.sub(value, text)


def _files(found: Report, title: str, stretch: str, tiles: Sequence[Tile], zone: str, at: datetime) -> list[File]:
    formats = found.document.get("format") or ["png"]
    files: list[File] = []
    if {"png", "pdf"} & set(formats):
        # Where a picture is made, and nowhere else: it takes a second and tens of megabytes.
        from dash_app.pipelines.pictures.drawing import Panel, dashboard_pdf, dashboard_png

        panels = [
            Panel(
                one.kind,
                one.title,
                one.options,
                one.answers,
                one.start,
                one.end,
                zone,
                x=int(one.place["x"]),
                y=int(one.place["y"]),
                w=int(one.place["w"]),
                h=int(one.place["h"]),
                error=one.error,
            )
            for one in tiles
        ]
        if "png" in formats:
            files.append(File(f"{found.slug}.png", "image/png", dashboard_png(title, stretch, panels)))
        if "pdf" in formats:
            files.append(File(f"{found.slug}.pdf", "application/pdf", dashboard_pdf(title, stretch, panels, at=at)))
    if "csv" in formats:
        files += _tables(found.slug, tiles)
    kept: list[File] = []
    size = 0
    for one in files:
        size += len(one.data)
        if size > MOST_BYTES:
            break
        kept.append(one)
    return kept


def _tables(slug: str, tiles: Sequence[Tile]) -> list[File]:
    """The answers of the tiles as CSV, as one archive where they are many."""
    tables: dict[str, bytes] = {}
    for one in tiles:
        for name, result in one.answers:
            stem = _NAME.sub("_", f"{one.title or one.kind}_{name}".lower()).strip("_")[:60] or one.kind
            unique, number = stem, 2
            while unique in tables:
                unique, number = f"{stem}_{number}", number + 1
            tables[unique] = to_csv(result).encode()
    if len(tables) <= MOST_LOOSE:
        return [File(f"{name}.csv", "text/csv", data) for name, data in tables.items()]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in tables.items():
            # One time for all, so that the same answers make the same archive.
            archive.writestr(zipfile.ZipInfo(f"{name}.csv", (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return [File(f"{slug}-csv.zip", "application/zip", out.getvalue())]


def _link(base_url: str, uid: str, start: datetime, end: datetime, values: Mapping[str, Any]) -> str:
    """The dashboard at the report's range, where it is known how people reach it."""
    if not base_url:
        return ""
    asked: list[tuple[str, str]] = [
        ("from", str(round(start.timestamp() * 1000))),
        ("to", str(round(end.timestamp() * 1000))),
    ]
    for name, value in values.items():
        asked += [(f"var-{name}", str(one)) for one in (value if isinstance(value, list) else [value])]
    return f"{base_url.rstrip('/')}/dashboards/{quote(uid)}?{urlencode(asked)}"
