"""Charts over time: the axes, lines, areas and bars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dash_app.pipelines.number_text import number_text
from dash_app.pipelines.pictures.look import Place, ticks
from dash_app.pipelines.pictures.panel import Panel, Points, Series, series_of

DAY_MS = 86_400_000.0
_STACKED = {"normal": "normal", "True": "normal", "percent": "percent"}


def day(moment: datetime) -> float:
    """A time as matplotlib counts it: days since 1970."""
    return moment.timestamp() * 1000 / DAY_MS


def broken(points: Points, every: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Times in days and values, with a hole where buckets are missing."""
    if not points:
        return np.array([]), np.array([])
    beat = every or _beat(points)
    times: list[float] = []
    values: list[float] = []
    for at, value in points:
        if times and beat and at / DAY_MS - times[-1] > 1.5 * beat / DAY_MS:
            times.append(times[-1] + beat / DAY_MS)
            values.append(np.nan)
        times.append(at / DAY_MS)
        values.append(np.nan if value is None else value)
    return np.array(times), np.array(values)


def _beat(points: Points) -> float | None:
    steps = [b[0] - a[0] for a, b in pairwise(points) if b[0] > a[0]]
    return float(np.median(steps)) if len(steps) > 2 else None


def time_axis(axes: Axes, start: datetime, end: datetime, zone: str, width: float) -> None:
    """The times of a range on the clock of a zone, without words on each other."""
    clock = ZoneInfo(zone)
    axes.set_xlim(day(start), day(end))
    locator = AutoDateLocator(tz=clock, minticks=2, maxticks=max(3, int(width / 90)))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    long = (end - start).total_seconds()

    def text(value: float, _place: Any) -> str:
        at = datetime.fromtimestamp(round(value * DAY_MS / 1000), clock)
        if (at.hour, at.minute, at.second) == (0, 0, 0):
            return at.strftime("%Y" if (at.month, at.day) == (1, 1) and long > 86_400 * 90 else "%-d %b")
        return at.strftime("%H:%M:%S" if long < 300 else "%H:%M")

    axes.xaxis.set_major_formatter(FuncFormatter(text))


def value_axis(axes: Axes, place: Place, unit: str, height: float) -> None:
    """Round values with their unit and faint lines."""
    axes.yaxis.set_major_locator(MaxNLocator(nbins=max(2, int(height / 44)), steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: number_text(float(value), unit or "short")))
    axes.grid(axis="y", color=place.look["grid-line"], linewidth=0.72)
    axes.set_axisbelow(True)


def legend(place: Place, entries: Sequence[tuple[str, str, str]], *, rows: int = 1) -> float:
    """Names with colours and last values along the bottom; how much room they take."""
    x, y, shown = 0.0, place.h - 16.0 * rows + 2, 0
    row = 0
    for name, color, value in entries:
        text = f"{name}  {value}" if value else name
        wide = 18 + place.width_of(text, 11) + 12
        if x + wide > place.w and shown:
            row += 1
            x = 0.0
            if row >= rows:
                break
        top = y + row * 16
        place.figure.add_artist(_dot(place, x + 4, top + 6, color))
        place.write(x + 12, top, place.fitted(text, place.w - 24, 11), size=11, color="text-2", va="top")
        x += wide
        shown += 1
    if shown < len(entries):
        place.write(place.w, place.h - 14, f"+{len(entries) - shown}", size=11, color="text-3", va="top", ha="right")
    return 16.0 * rows + 6


def _dot(place: Place, x: float, y: float, color: str) -> Any:
    from matplotlib.patches import Ellipse

    return Ellipse(
        ((place.x + x) / place.width, 1 - (place.y + y) / place.height),
        8 / place.width,
        8 / place.height,
        facecolor=color,
        linewidth=0,
        transform=place.figure.transFigure,
    )


def color_of(series: Series, n: int, place: Place) -> str:
    own = series.options.get("color")
    return place.look.named(own, place.look.series(n)) if own else place.look.series(n)


def one_unit(panel: Panel, found: Sequence[Series]) -> str:
    if panel.unit is not None:
        return panel.unit
    units = {one.unit for one in found}
    return units.pop() if len(units) == 1 else ""


def label_room(axes: Axes, place: Place) -> float:
    """How wide the labels of the value axis are, in units."""
    low, high = axes.get_ylim()
    texts = [axes.yaxis.get_major_formatter()(v, 0) for v in axes.yaxis.get_major_locator().tick_values(low, high)]
    return max((place.width_of(text, 11) for text in texts), default=0.0) + 8


def settle(axes: Axes, place: Place) -> None:
    """Moves the axes so that their labels stand within the place, at its left and its bottom."""
    left, bottom = min(label_room(axes, place), place.w * 0.4), 20.0
    axes.set_position(
        (
            (place.x + left) / place.width,
            1 - (place.y + place.h - bottom) / place.height,
            max(place.w - left, 10) / place.width,
            max(place.h - bottom - 4, 10) / place.height,
        )
    )
    ticks(axes)


def thresholds(axes: Axes, panel: Panel, place: Place) -> None:
    low, high = axes.get_ylim()
    for step in panel.options.get("thresholds") or ():
        if step.get("value") is not None and low <= step["value"] <= high:
            axes.axhline(step["value"], color=place.look.named(step.get("color")), linewidth=0.9, dashes=(4, 3))


def line(panel: Panel, place: Place) -> None:
    found = series_of(panel)
    options = panel.options
    entries = [
        (one.options.get("label") or one.name, color_of(one, n, place), panel.text(one.last, one.unit))
        for n, one in enumerate(found)
    ]
    rows = 0 if options.get("legend") == "none" else 1 if len(found) < 6 or place.h < 160 else 2
    body = place.inner(bottom=legend(place, entries, rows=rows)) if rows and found else place
    axes = body.axes()
    stacked = _STACKED.get(str(options.get("stacked")), "none")
    if stacked != "none" and found:
        _stack(axes, found, place, share=stacked == "percent")
    else:
        for n, one in enumerate(found):
            times, values = broken(one.points, None if options.get("connect") else one.every)
            if options.get("connect"):
                kept = ~np.isnan(values)
                times, values = times[kept], values[kept]
            style: dict[str, Any] = {"color": color_of(one, n, place), "linewidth": 1.3, "solid_joinstyle": "round"}
            if n >= 8:
                style["dashes"] = (4, 2)
            step = "post" if one.options.get("steps", options.get("steps")) else "default"
            axes.plot(times, values, drawstyle="steps-post" if step == "post" else "default", **style)
            _dots(axes, times, values, style["color"], every=bool(options.get("points")))
            if options.get("area"):
                base = 0.0 if np.nanmin(values, initial=0.0) >= 0 else np.nanmin(values)
                axes.fill_between(
                    *(times, values, base),
                    color=style["color"],
                    alpha=0.14,
                    linewidth=0,
                    step="post" if step == "post" else None,
                )
    if options.get("log") and stacked == "none":
        axes.set_yscale("log")
    low, high = axes.get_ylim()
    least, most = options.get("min"), options.get("max")
    if options.get("area") or stacked != "none":
        low = min(low, 0.0)
    axes.set_ylim(least if least is not None else low, most if most is not None else high)
    time_axis(axes, panel.start, panel.end, panel.zone, body.w)
    if not (options.get("log") and stacked == "none"):
        value_axis(axes, place, "percent" if stacked == "percent" else one_unit(panel, found), body.h)
    thresholds(axes, panel, place)
    settle(axes, body)


def _dots(axes: Axes, times: np.ndarray, values: np.ndarray, color: str, *, every: bool) -> None:
    """A dot at each value, or at those alone that no line reaches."""
    known = ~np.isnan(values)
    if not every:
        before = np.concatenate([[False], known[:-1]]) if len(known) else known
        after = np.concatenate([known[1:], [False]]) if len(known) else known
        known = known & ~before & ~after
    axes.plot(times[known], values[known], linestyle="", marker="o", markersize=3, color=color)


def _stack(axes: Axes, found: Sequence[Series], place: Place, *, share: bool) -> None:
    times = np.array(sorted({at for one in found for at, _ in one.points}))
    rows = [np.array([dict(one.points).get(at) or 0.0 for at in times], dtype=float) for one in found]
    whole = np.sum(np.abs(rows), axis=0) if rows else np.array([])
    base = np.zeros(len(times))
    for n, (one, row) in enumerate(zip(found, rows, strict=True)):
        values = np.divide(100 * row, whole, out=np.zeros_like(row), where=whole > 0) if share else row
        color = color_of(one, n, place)
        axes.fill_between(times / DAY_MS, base, base + values, color=color, alpha=0.55, linewidth=0)
        axes.plot(times / DAY_MS, base + values, color=color, linewidth=1)
        base = base + values


def bars(panel: Panel, place: Place) -> None:
    """Bars between the ends of their buckets, on each other where there are several series."""
    found = series_of(panel)
    many = len(found) > 1
    entries = [(one.name, color_of(one, n, place), panel.text(one.last, one.unit)) for n, one in enumerate(found)]
    body = place.inner(bottom=legend(place, entries)) if many else place
    axes = body.axes()
    above: dict[float, float] = {}
    for n, one in enumerate(found):
        beat = (one.every or _beat(one.points) or 60_000.0) / DAY_MS
        kept = [(at / DAY_MS, value) for at, value in one.points if value is not None]
        if not kept:
            continue
        bottom = [above.get(at, 0.0) for at, _ in kept]
        axes.bar(
            [at + beat * 0.07 for at, _ in kept],
            [value for _, value in kept],
            width=beat * 0.86,
            bottom=bottom,
            align="edge",
            color=color_of(one, n, place),
            linewidth=0,
        )
        above |= {at: base + value for (at, value), base in zip(kept, bottom, strict=True)}
    time_axis(axes, panel.start, panel.end, panel.zone, body.w)
    value_axis(axes, place, one_unit(panel, found), body.h)
    thresholds(axes, panel, place)
    settle(axes, body)
