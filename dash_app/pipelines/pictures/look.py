"""Colours and type of pictures, taken from the pages' own tokens, and places in units of theirs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.text import Text

_TOKEN = re.compile(r"--([a-z0-9-]+):\s*(#[0-9a-fA-F]{6});")
_FONT = re.compile(r"--font:\s*([^;]+);")
#: What a document calls a colour, and the token of an area in it.
_NAMED = {
    "green": "fill-ok",
    "ok": "fill-ok",
    "yellow": "fill-warn",
    "amber": "fill-warn",
    "warn": "fill-warn",
    "red": "fill-bad",
    "bad": "fill-bad",
    "orange": "series-2",
    "blue": "series-1",
    "violet": "fill-note",
    "purple": "fill-note",
    "note": "fill-note",
    "grey": "fill-idle",
    "gray": "fill-idle",
    "idle": "fill-idle",
    "teal": "series-3",
    "accent": "accent",
    "text": "text",
    "transparent": "sunken",
}


@cache
def _tokens() -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    text = files("dash_app.assets").joinpath("tokens.css").read_text(encoding="utf-8")
    themes = {}
    for theme in ("light", "dark"):
        begin = text.index(f':root[data-theme="{theme}"]')
        themes[theme] = dict(_TOKEN.findall(text[begin : text.index("}", begin)]))
    found = _FONT.search(text)
    families = tuple(name.strip().strip('"') for name in found[1].split(",")) if found else ()
    return themes, families


@cache
def _family() -> str:
    known = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in _tokens()[1] if name in known), "DejaVu Sans")


@cache
def _font(size: float, weight: int) -> FontProperties:
    # A hundred units are an inch, of which 72 points. Fonts that are not variable come in two weights.
    weight = 700 if weight >= 600 else 400
    return FontProperties(family=[_family(), "DejaVu Sans"], size=size * 0.72, weight=weight)


@dataclass(frozen=True)
class Look:
    """A theme."""

    colors: dict[str, str]

    @classmethod
    def of(cls, theme: str) -> Look:
        return cls(_tokens()[0]["dark" if theme == "dark" else "light"])

    def __getitem__(self, token: str) -> str:
        return self.colors[token]

    def series(self, n: int) -> str:
        return self.colors[f"series-{n % 8 + 1}"]

    def named(self, color: Any, otherwise: str = "") -> str:
        """The colour that a document names."""
        text = str(color or "")
        if text in self.colors:
            return self.colors[text]
        return self.colors.get(_NAMED.get(text, ""), otherwise or self.colors["accent"])


def font(size: float = 12, weight: int = 400) -> FontProperties:
    return _font(size, weight)


@dataclass(frozen=True)
class Place:
    """A rectangle of a figure in units, from its upper left corner; `width` and `height` are the whole figure's."""

    figure: Figure
    look: Look
    x: float
    y: float
    w: float
    h: float
    width: float
    height: float

    def inner(self, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> Place:
        return Place(
            *(self.figure, self.look, self.x + left, self.y + top),
            *(max(self.w - left - right, 1), max(self.h - top - bottom, 1), self.width, self.height),
        )

    def axes(self) -> Axes:
        """Axes over all of it, without a frame, in the look of the pages."""
        box = (self.x / self.width, 1 - (self.y + self.h) / self.height, self.w / self.width, self.h / self.height)
        made = self.figure.add_axes(box)
        made.patch.set_alpha(0)
        for spine in made.spines.values():
            spine.set_visible(False)
        made.tick_params(length=0, colors=self.look["text-3"], pad=5)
        return made

    def blank(self) -> Axes:
        """Axes in units from the upper left corner, for words and shapes."""
        made = self.axes()
        made.set_xlim(0, self.w)
        made.set_ylim(self.h, 0)
        made.set_xticks([])
        made.set_yticks([])
        return made

    def write(
        self, x: float, y: float, text: str, *, size: float = 12, weight: int = 400, color: str = "text", **more: Any
    ) -> Text:
        """A text at a place in units; never read as mathematics. `color`: a token or a colour."""
        return self.figure.text(
            (self.x + x) / self.width,
            1 - (self.y + y) / self.height,
            text,
            fontproperties=font(size, weight),
            color=self.look.colors.get(color, color),
            parse_math=False,
            **more,
        )

    def box(self, fill: str, line: str, radius: float = 6) -> None:
        """A rounded card over all of it."""
        axes = self.blank()
        axes.add_patch(
            FancyBboxPatch(
                (0.5, 0.5),
                self.w - 1,
                self.h - 1,
                boxstyle=f"round,pad=0,rounding_size={radius}",
                facecolor=self.look[fill],
                edgecolor=self.look[line],
                linewidth=0.72,
            )
        )

    def fill(self, color: str) -> None:
        self.blank().add_patch(Rectangle((0, 0), self.w, self.h, facecolor=color, linewidth=0))

    def width_of(self, text: str, size: float = 12, weight: int = 400) -> float:
        """About how wide a text is, in units."""
        return len(text) * size * (0.56 if weight < 600 else 0.6)

    def fitted(self, text: str, room: float, size: float = 12, weight: int = 400) -> str:
        """The text, cut to about so much room."""
        most = int(room / (size * (0.56 if weight < 600 else 0.6)))
        return text if len(text) <= most else f"{text[: max(most - 1, 1)].rstrip()}…"


def ticks(axes: Axes, size: float = 11) -> None:
    """Labels of both axes in our type, read as text alone."""
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontproperties(font(size))
        label.set_parse_math(False)
