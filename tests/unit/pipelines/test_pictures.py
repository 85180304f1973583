"""Pictures of tiles: every kind is drawn, from what there is and from what there is not."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.image import imread

from dash_app.domain.tiles import TILES
from dash_app.pipelines.pictures.drawing import Panel, dashboard_pdf, dashboard_png, tile_png, watched_png
from dash_app.pipelines.pictures.kinds import DRAW
from dash_app.pipelines.pictures.look import Look
from dash_app.pipelines.pictures.page import PAGE_ROWS, sheets
from dash_app.pipelines.query import Column, QueryResult

START = datetime(2026, 1, 5, tzinfo=UTC)
END = START + timedelta(days=1)
TIMES = [START + timedelta(minutes=30 * n) for n in range(48)]
TIME = Column("time", "timestamp", "", "time")
SITE = Column("site", "text", "", "dimension")
VALUE = Column("value", "number", "°C", "metric")


def result(data: Mapping[str, Sequence[Any]], columns: Sequence[Column], every: int | None = 1_800_000) -> QueryResult:
    return QueryResult(pl.DataFrame(data, strict=False), columns, None, every, "rollup")  # type: ignore[arg-type]


SERIES = result({"time": TIMES, "value": [float(n % 7) for n in range(48)]}, [TIME, VALUE])
HOLES = result({"time": TIMES[::5], "value": [None, -1e12, 0.0, None, 1e12, None, 3.0, None, 1.0, 2.0]}, [TIME, VALUE])
GROUPS = result(
    {"time": TIMES * 2, "site": ["$x^2$ <b>"] * 48 + [None] * 48, "value": [float(n) for n in range(96)]},
    [TIME, SITE, VALUE],
)
CATEGORIES = result({"site": ["a", None, "語語語" * 40], "value": [3.5, 2.0, None]}, [SITE, VALUE], None)
ONE = result({"value": [73.2]}, [VALUE], None)
NOTHING = result({"value": [None]}, [VALUE], None)
STATES = result(
    {"time": TIMES, "site": ["a", "b"] * 24, "state": ["run", "stop", None, "run"] * 12},
    [TIME, SITE, Column("state", "text", "", "metric")],
)
PLACES = result(
    {"lat": [59.9, -33.9, None], "lon": [10.7, 151.2, 3.0], "value": [1.0, 2.0, 3.0]},
    [Column("lat", "number", "", "metric"), Column("lon", "number", "", "metric"), VALUE],
    None,
)
EMPTY = result({"time": [], "value": []}, [TIME, VALUE])
ANSWERS = {
    "series": [SERIES],
    "holes": [HOLES],
    "groups": [GROUPS],
    "categories": [CATEGORIES],
    "one": [ONE],
    "nothing": [NOTHING],
    "states": [STATES],
    "places": [PLACES],
    "none": [],
    "two": [SERIES, GROUPS],
}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "line": {"area": True, "stacked": "percent", "thresholds": [{"value": 3, "color": "red"}]},
    "stat": {"thresholds": [{"value": None, "color": "green"}, {"value": 3, "color": "red"}]},
    "gauge": {"min": 0, "max": 0},
    "heatmap": {"layout": "hours", "scheme": "diverging"},
    "text": {"markdown": "# Head\n\n**bold** and $x$ " * 20},
    "pie": {"donut": False, "most": 2},
    "table": {"columns": [{"name": "value"}]},
    "state": {"colors": {"run": "green"}},
}  # fmt: skip


def panel(kind: str, answers: Sequence[QueryResult], **more: Any) -> Panel:
    named = [("" if len(answers) < 2 else f"q{n}", one) for n, one in enumerate(answers)]
    return Panel(kind, "A title with $m^a_t_h$", more.pop("options", {}), named, START, END, "Europe/Oslo", **more)


def pixels(png: bytes) -> np.ndarray:
    return imread(io.BytesIO(png))


def test_every_kind_of_tile_has_a_picture() -> None:
    assert set(DRAW) == {kind.kind for kind in TILES}


@pytest.mark.parametrize("kind", sorted(DRAW))
def test_a_tile_is_drawn_whatever_it_is_given(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for answers in ANSWERS.values():
            for options in ({}, OPTIONS.get(kind, {})):
                made = tile_png(panel(kind, answers, options=options), width=200, height=120)
                assert pixels(made).shape == (192, 320, 4)
    assert not caplog.records


def test_what_is_drawn_differs_with_what_is_there() -> None:
    blank = pixels(tile_png(panel("line", [EMPTY])))
    drawn = pixels(tile_png(panel("line", [SERIES])))
    blue = np.array([int(Look.of("light")["series-1"][n : n + 2], 16) / 255 for n in (1, 3, 5)])
    assert (np.abs(drawn[..., :3] - blue).max(axis=-1) < 0.02).sum() > 200
    assert (np.abs(blank[..., :3] - blue).max(axis=-1) < 0.02).sum() == 0
    dark = pixels(tile_png(panel("line", [SERIES]), theme="dark"))
    assert dark[..., :3].mean() < 0.3 < drawn[..., :3].mean()


def test_an_alert_s_limit_is_in_its_picture_unless_it_is_far_off() -> None:
    points = [(at.timestamp() * 1000, float(n % 7)) for n, at in enumerate(TIMES)]
    red = np.array([int(Look.of("light")["fill-bad"][n : n + 2], 16) / 255 for n in (1, 3, 5)])

    def reds(**more: Any) -> int:
        return int((np.abs(pixels(watched_png(points, **more))[..., :3] - red).max(axis=-1) < 0.02).sum())

    assert reds() == 0
    assert reds(threshold=4.0) > 200
    assert reds(threshold=(1.0, 5.0), op="outside") > reds(threshold=4.0)
    assert reds(threshold=4.0, since=TIMES[30]) > reds(threshold=4.0)
    assert reds(threshold=1e9) == 0
    assert watched_png([(1.0, None)]).startswith(b"\x89PNG")
    assert watched_png([(1.0, 2.0), (1.0, 2.0)]).startswith(b"\x89PNG")


def test_a_dashboard_is_one_picture_and_a_document_of_pages() -> None:
    panels = [panel("line", [SERIES], x=0, y=12 * n, w=12, h=12) for n in range(3)]
    panels.append(panel("stat", [], x=0, y=40, w=12, h=4, error="no pipeline 'gone'"))
    made = dashboard_png("Title", "Range", panels)
    height, width, _ = pixels(made).shape
    assert width == 1920
    assert height > 3000
    paged = dashboard_pdf("Title", "Range", panels, at=START)
    assert paged.startswith(b"%PDF")
    assert paged.count(b"/Type /Page\n") + paged.count(b"/Type /Page ") == 4
    assert dashboard_png("Nothing", "", []).startswith(b"\x89PNG")


def test_rows_of_tiles_stay_together_on_a_page() -> None:
    panels = [
        panel("line", [], x=0, y=0, w=6, h=8),
        panel("line", [], x=6, y=0, w=6, h=4),
        panel("line", [], x=6, y=4, w=6, h=4),
        panel("line", [], x=0, y=8, w=12, h=8),
        panel("line", [], x=0, y=16, w=12, h=40),
    ]
    made = sheets("T", "S", panels)
    assert [[(one.y, one.h) for one in sheet.panels] for sheet in made] == [
        [(0, 8), (0, 4), (4, 4)],
        [(0, 8)],
        [(0, PAGE_ROWS)],
    ]
    assert [sheet.subtitle for sheet in made] == [f"S · page {n} of 3" for n in (1, 2, 3)]


def test_a_table_shows_the_newest_where_there_is_no_room_for_all() -> None:
    def drawn(answer: QueryResult) -> bytes:
        return tile_png(panel("table", [answer]), width=300, height=200)

    newest_first = result({"time": TIMES[::-1], "value": [float(n % 7) for n in range(48)][::-1]}, [TIME, VALUE])
    assert drawn(SERIES) == drawn(newest_first)
    # What is ordered by something else stays so.
    by_value = result({"time": [TIMES[2], TIMES[0], TIMES[1]], "value": [3.0, 2.0, 1.0]}, [TIME, VALUE])
    by_time = result({"time": TIMES[:3], "value": [2.0, 1.0, 3.0]}, [TIME, VALUE])
    assert drawn(by_value) != drawn(by_time)
