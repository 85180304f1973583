"""The tokens hold what docs/design.md promises: text is readable, and colour-blind people can tell series apart."""

from __future__ import annotations

import itertools
import math
import re

import pytest

from tests.e2e.tiles.harness import ASSETS

Rgb = tuple[float, float, float]
CSS = (ASSETS / "tokens.css").read_text("utf-8")

# Linear RGB as seen with full protanopia, deuteranopia, tritanopia (Machado, Oliveira and Fernandes 2009).
SIGHT = {
    "full": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def block(selector: str) -> dict[str, str]:
    found = re.search(re.escape(selector) + r"\s*\{([^}]*)\}", CSS)
    assert found is not None
    return dict(re.findall(r"--([\w-]+):\s*([^;]+);", found[1]))


THEMES = {"light": block(':root[data-theme="light"]'), "dark": block(':root[data-theme="dark"]')}


def linear(colour: str) -> Rgb:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return red, green, blue


def contrast(one: str, other: str) -> float:
    low, high = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(one), linear(other)))
    return (high + 0.05) / (low + 0.05)


def oklab(rgb: Rgb) -> Rgb:
    r, g, b = (min(1.0, max(0.0, c)) for c in rgb)
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    medium = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.793617785 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.428592205 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.808675766 * short,
    )


@pytest.mark.parametrize("theme", THEMES)
def test_text_reaches_aa(theme: str) -> None:
    tokens = THEMES[theme]
    for ground in ("canvas", "surface", "raised"):
        for text in ("text", "text-2", "accent"):
            assert contrast(tokens[text], tokens[ground]) >= 4.5, (text, ground)
    assert contrast(tokens["text-3"], tokens["surface"]) >= 4.5
    assert contrast(tokens["on-accent"], tokens["accent"]) >= 4.5
    for status in ("ok", "warn", "bad", "note", "idle"):
        assert contrast(tokens[status], tokens[f"{status}-soft"]) >= 4.5, status
        assert contrast(tokens[status], tokens["surface"]) >= 4.5, status


@pytest.mark.parametrize("theme", THEMES)
def test_series_stand_out_from_the_ground_and_from_each_other(theme: str) -> None:
    tokens = THEMES[theme]
    series = [tokens[f"series-{i}"] for i in range(1, 9)]
    assert all(contrast(colour, tokens["surface"]) >= 3 for colour in series)
    for sight, matrix in SIGHT.items():
        seen = []
        for colour in series:
            rgb = linear(colour)
            red, green, blue = (sum(k * c for k, c in zip(row, rgb, strict=True)) for row in matrix)
            seen.append(oklab((red, green, blue)))
        least = min(math.dist(one, other) for one, other in itertools.combinations(seen, 2))
        assert least >= 0.09, (theme, sight, least)


def test_the_preferred_dark_theme_is_the_chosen_one() -> None:
    assert block(':root:not([data-theme="light"])') == THEMES["dark"]
