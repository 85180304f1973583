"""A tile, a watched course or a whole dashboard, drawn.

Drawn by matplotlib from the frames that the pages draw, in the pages' colours and type (`assets/tokens.css`). Only its
objects are used, never pyplot, whose state is the whole process's; fonts and text layout are shared all the same, so
that one picture is drawn at a time. Importing this takes a second and tens of megabytes: where a picture is made.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from dash_app.pipelines.pictures.look import Look, Place
from dash_app.pipelines.pictures.page import HEAD, ROW, Sheet, draw_sheet, height_of, sheets
from dash_app.pipelines.pictures.panel import Panel, Points
from dash_app.pipelines.pictures.tile import draw_panel
from dash_app.pipelines.pictures.watched import draw_watched

__all__ = ["Panel", "Points", "dashboard_pdf", "dashboard_png", "tile_png", "watched_png"]

#: Pixels of a picture per unit of the layout, so that it is sharp on dense screens and still small.
SHARP = 1.6
WIDTH = 1200
#: The tallest picture, in units; what does not fit is left to the other formats.
MOST_HEIGHT = 6_000

_drawing = threading.Lock()


@contextmanager
def _alone() -> Iterator[None]:
    with _drawing, warnings.catch_warnings():
        # A text in a script that no font here has is drawn with boxes, which is no reason to fail.
        warnings.simplefilter("ignore")
        yield


def _figure(width: float, height: float, look: Look) -> Figure:
    made = Figure(figsize=(width / 100, height / 100), dpi=100 * SHARP, facecolor=look["canvas"])
    FigureCanvasAgg(made)
    return made


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", facecolor=figure.get_facecolor(), metadata={"Software": "Dash"})
    return out.getvalue()


def tile_png(panel: Panel, *, width: int = 640, height: int = 280, theme: str = "light") -> bytes:
    """One tile as PNG; `width` and `height` in units, of which a picture has `SHARP` pixels each."""
    look = Look.of(theme)
    with _alone():
        figure = _figure(width, height, look)
        figure.set_facecolor(look["surface"])
        draw_panel(panel, Place(figure, look, 0, 0, width, height, width, height), framed=False)
        return _png(figure)


def watched_png(
    points: Points,
    *,
    title: str = "",
    unit: str = "",
    threshold: float | Sequence[float] | None = None,
    op: str = ">",
    since: datetime | None = None,
    zone: str = "UTC",
    theme: str = "light",
    width: int = 640,
    height: int = 240,
) -> bytes:
    """The course of what an alert watches, with its limit, and shaded from `since` on, as PNG."""
    look = Look.of(theme)
    with _alone():
        figure = _figure(width, height, look)
        figure.set_facecolor(look["surface"])
        draw_watched(
            Place(figure, look, 0, 0, width, height, width, height),
            points,
            title=title,
            unit=unit,
            threshold=threshold,
            op=op,
            since=since,
            zone=zone,
        )
        return _png(figure)


def dashboard_png(title: str, subtitle: str, panels: Sequence[Panel], *, theme: str = "light") -> bytes:
    """A whole dashboard as one picture."""
    look = Look.of(theme)
    height = min(HEAD + height_of(panels), MOST_HEIGHT)
    shown = [one for one in panels if HEAD + (one.y + one.h) * ROW <= MOST_HEIGHT]
    with _alone():
        figure = _figure(WIDTH, height, look)
        draw_sheet(Sheet(title, subtitle, shown), figure, look, WIDTH, height)
        return _png(figure)


def dashboard_pdf(title: str, subtitle: str, panels: Sequence[Panel], *, at: datetime) -> bytes:
    """A dashboard as PDF: pages of A4's shape, lying, with the tiles of each row together."""
    look = Look.of("light")
    out = io.BytesIO()
    about = {"Title": title, "Creator": "Dash", "CreationDate": at, "ModDate": at}
    with _alone(), PdfPages(out, metadata=about) as pdf:
        made = sheets(title, subtitle, panels)
        for sheet in made:
            height = WIDTH / 1.4142
            figure = Figure(figsize=(WIDTH / 100, height / 100), dpi=100, facecolor=look["surface"])
            FigureCanvasAgg(figure)
            draw_sheet(sheet, figure, look, WIDTH, height)
            pdf.savefig(figure, facecolor=figure.get_facecolor())
    return out.getvalue()
