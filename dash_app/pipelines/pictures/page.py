"""A dashboard's tiles on one picture, or on the pages of a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from dash_app.pipelines.pictures.look import Look, Place
from dash_app.pipelines.pictures.panel import Panel
from dash_app.pipelines.pictures.tile import draw_panel

#: As on the pages: a row is 40 units high with 8 between; the head has a title and a line below.
ROW = 48.0
GAP = 8.0
HEAD = 76.0
MARGIN = 24.0
#: Rows that a lying page takes below its head.
PAGE_ROWS = 15


@dataclass(frozen=True)
class Sheet:
    """A page: its title, the line below, and its tiles."""

    title: str
    subtitle: str
    panels: Sequence[Panel]


def height_of(panels: Sequence[Panel]) -> float:
    """The height of the tiles, in units."""
    return max((one.y + one.h for one in panels), default=2) * ROW + MARGIN - GAP


def draw_sheet(sheet: Sheet, figure: Figure, look: Look, width: float, height: float) -> None:
    whole = Place(figure, look, 0, 0, width, height, width, height)
    title = whole.fitted(sheet.title, width - 2 * MARGIN, 20, 600)
    whole.write(MARGIN, 20, title, size=20, weight=600, va="top")
    whole.write(MARGIN, 50, sheet.subtitle, size=12, color="text-2", va="top")
    column = (width - 2 * MARGIN + GAP) / 12
    for one in sheet.panels:
        place = Place(
            *(figure, look, MARGIN + one.x * column, HEAD + one.y * ROW),
            *(one.w * column - GAP, one.h * ROW - GAP, width, height),
        )
        draw_panel(one, place)


def sheets(title: str, subtitle: str, panels: Sequence[Panel]) -> list[Sheet]:
    """The tiles on pages: those that stand beside each other stay together, and one that is too tall is made to fit."""
    rows: list[list[Panel]] = []
    for one in sorted(panels, key=lambda panel: (panel.y, panel.x)):
        if rows and one.y < max(other.y + other.h for other in rows[-1]):
            rows[-1].append(one)
        else:
            rows.append([one])
    pages: list[list[Panel]] = [[]]
    used = 0
    for row in rows:
        top = row[0].y
        tall = max(one.y + one.h for one in row) - top
        shrink = min(1.0, PAGE_ROWS / tall)
        need = min(tall, PAGE_ROWS)
        if used and used + need > PAGE_ROWS:
            pages.append([])
            used = 0
        for one in row:
            begin, end = round((one.y - top) * shrink), round((one.y + one.h - top) * shrink)
            pages[-1].append(replace(one, y=used + begin, h=max(end - begin, 1)))
        used += need
    count = len(pages)
    numbered = [f"{subtitle} · page {n} of {count}" if count > 1 else subtitle for n in range(1, count + 1)]
    return [Sheet(title, line, page) for line, page in zip(numbered, pages, strict=True)]
