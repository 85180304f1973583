"""One tile: its card, its head, and its content by kind."""

from __future__ import annotations

from dash_app.pipelines.pictures.kinds import DRAW
from dash_app.pipelines.pictures.look import Place
from dash_app.pipelines.pictures.panel import Panel


def draw_panel(panel: Panel, place: Place, *, framed: bool = True) -> None:
    """The tile with its card and its head."""
    if framed:
        place.box("surface", "line")
    top = 8.0
    if panel.title:
        place.write(12, 12, place.fitted(panel.title, place.w - 24, 13, 600), size=13, weight=600, va="top")
        top = 36
    inner = place.inner(12, top, 12, 10)
    if panel.error:
        _say(inner, panel.error, "bad")
    elif panel.kind != "text" and all(result.frame.is_empty() for _, result in panel.answers):
        _say(inner, "No data in this range")
    else:
        draw = DRAW.get(panel.kind)
        if draw is None:
            _say(inner, f"Tiles of the kind {panel.kind} have no picture")
        else:
            draw(panel, inner)


def _say(place: Place, text: str, color: str = "text-3") -> None:
    place.write(
        place.w / 2, place.h / 2, place.fitted(text, place.w, 12), size=12, color=color, ha="center", va="center"
    )
