"""What an alert watches: its course over the last hours, the limit, and since when it is beyond."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from dash_app.pipelines.number_text import number_text
from dash_app.pipelines.pictures.look import Place
from dash_app.pipelines.pictures.panel import Points
from dash_app.pipelines.pictures.times import DAY_MS, broken, day, settle, time_axis, value_axis


def draw_watched(
    place: Place,
    points: Points,
    *,
    title: str,
    unit: str,
    threshold: float | Sequence[float] | None,
    op: str,
    since: datetime | None,
    zone: str,
) -> None:
    look = place.look
    known = [(at, value) for at, value in points if value is not None]
    if title:
        place.write(12, 10, place.fitted(title, place.w * 0.7, 13, 600), size=13, weight=600, va="top")
    if not known:
        place.write(place.w / 2, place.h / 2, "No data in this range", color="text-3", ha="center", va="center")
        return
    last = number_text(known[-1][1], unit)
    place.write(place.w - 12, 10, last, size=13, weight=600, va="top", ha="right")
    body = place.inner(12, 36 if title else 34, 12, 8)
    axes = body.axes()
    times, values = broken(points, None)
    color = look["series-1"]
    axes.plot(times, values, color=color, linewidth=1.4, solid_joinstyle="round", zorder=3)
    axes.plot([known[-1][0] / DAY_MS], [known[-1][1]], marker="o", markersize=4, color=color, zorder=4, clip_on=False)
    limits = [] if threshold is None else [threshold] if isinstance(threshold, int | float) else list(threshold)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    # A limit that is far off stays out of the picture rather than flattening what it is about.
    near = [one for one in limits if low - 3 * (high - low or 1) <= one <= high + 3 * (high - low or 1)]
    low, high = min([low, *near]), max([high, *near])
    air = (high - low or abs(high) or 1) * 0.12
    low, high = low - air, high + air
    axes.set_ylim(low, high)
    for begin, end in _beyond(limits, op, low, high):
        axes.axhspan(begin, end, color=look["bad-soft"], linewidth=0, zorder=0)
    for one in near:
        axes.axhline(one, color=look["fill-bad"], linewidth=1, dashes=(4, 3), zorder=2)
    first, final = (datetime.fromtimestamp(ends / 1000, UTC) for ends in (points[0][0], points[-1][0]))
    time_axis(axes, first, max(final, first + timedelta(minutes=1)), zone, body.w)
    if since is not None and first <= since <= final:
        axes.axvline(day(since), color=look["fill-bad"], linewidth=1, zorder=2)
    value_axis(axes, place, unit, body.h)
    settle(axes, body)


def _beyond(limits: Sequence[float], op: str, low: float, high: float) -> list[tuple[float, float]]:
    """Where values are that the condition speaks of."""
    if not limits:
        return []
    if len(limits) == 2:
        lesser, greater = sorted(limits)
        return [(lesser, greater)] if op == "inside" else [(low, min(lesser, high)), (max(greater, low), high)]
    limit = limits[0]
    if op.startswith("<"):
        return [(low, min(limit, high))] if limit > low else []
    return [(max(limit, low), high)] if limit < high else []
