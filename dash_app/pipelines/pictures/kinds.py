"""How each kind of tile is drawn, but those over time (`times`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.patches import Rectangle, Wedge

from dash_app.pipelines.number_text import NONE, number_text, time_text
from dash_app.pipelines.pictures.look import Place, ticks
from dash_app.pipelines.pictures.panel import (
    Draw,
    Panel,
    Points,
    categories_of,
    figures_of,
    roles,
    series_of,
    threshold_color,
    word,
)
from dash_app.pipelines.pictures.times import DAY_MS, bars, broken, legend, line, time_axis

MOST_FIGURES = 12
MOST_ROWS = 60
ROW = 24.0

_STRONG = {"blue": "series-1", "green": "fill-ok", "orange": "series-2", "violet": "fill-note", "grey": "text"}


def scale(place: Place, scheme: str) -> LinearSegmentedColormap:
    """From near the surface to a strong colour; with `diverging` from one colour over grey to another."""
    look = place.look
    if scheme == "diverging":
        return LinearSegmentedColormap.from_list("dash", [look["series-1"], look["sunken"], look["series-2"]])
    strong, surface = look[_STRONG.get(scheme, "series-1")], np.array(to_rgb(look["surface"]))
    weak = tuple(surface + (np.array(to_rgb(strong)) - surface) * 0.08)
    return LinearSegmentedColormap.from_list("dash", [weak, to_rgb(strong)])


def readable(place: Place, ground: Any) -> str:
    """The colour of words on a ground."""
    red, green, blue = to_rgb(ground)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    return "#ffffff" if light < 0.55 else "#1b1f27"


def bar(panel: Panel, place: Place) -> None:
    if any(roles(result)[0] for _, result in panel.answers):
        bars(panel, place)
        return
    names, values = categories_of(panel)
    if not names or not values:
        return
    _, unit, numbers = values[0]
    most = int(place.h / ROW)
    shown = list(zip(names, numbers, strict=True))[: most if len(names) <= most else most - 1]
    axes = place.blank()
    room = min(max(place.width_of(name, 12) for name, _ in shown) + 12, place.w * 0.4)
    texts = [panel.text(value, unit) for _, value in shown]
    right = max(place.width_of(text, 12) for text in texts) + 8
    top = max((value or 0.0 for _, value in shown), default=0.0) or 1.0
    for n, ((name, value), text) in enumerate(zip(shown, texts, strict=True)):
        y = n * ROW
        long = max(value or 0.0, 0.0) / top * (place.w - room - right)
        color = place.look.named(threshold_color(panel, value), place.look.series(0))
        axes.add_patch(Rectangle((room, y + 4), long, ROW - 8, facecolor=color, linewidth=0))
        place.write(0, y + ROW / 2, place.fitted(name, room - 8), color="text-2", va="center")
        place.write(room + long + 6, y + ROW / 2, text, va="center")
    if len(shown) < len(names):
        place.write(0, len(shown) * ROW + ROW / 2, f"and {len(names) - len(shown):,} more", color="text-3", va="center")


def stat(panel: Panel, place: Place) -> None:
    found = figures_of(panel)[:MOST_FIGURES]
    columns, rows = _layout(len(found), place.w, place.h)
    wide, tall = place.w / columns, place.h / rows
    for n, (name, unit, value, points) in enumerate(found):
        cell = place.inner((n % columns) * wide, (n // columns) * tall)
        cell = Place(cell.figure, cell.look, cell.x, cell.y, wide - 8, tall - 4, cell.width, cell.height)
        if (
            len([one for one in points if one[1] is not None]) > 1
            and panel.options.get("sparkline", True)
            and tall > 88
        ):
            _spark(cell, points)
        text = panel.text(value, unit)
        size = min(40.0, tall * 0.42, cell.w / max(len(text), 1) / 0.58)
        color = threshold_color(panel, value)
        top = 4.0
        if len(found) > 1:
            cell.write(0, top, cell.fitted(name, cell.w, 12), size=12, color="text-2", va="top")
            top += 18
        shade = place.look.named(color) if color else place.look["text"]
        cell.write(0, top, text, size=max(size, 11), weight=600, color=shade, va="top")


def _spark(cell: Place, points: Points) -> None:
    tall = min(cell.h * 0.4, 48)
    axes = cell.inner(top=cell.h - tall).axes()
    axes.set_axis_off()
    times, values = broken(points, None)
    axes.plot(times, values, color=cell.look.series(0), linewidth=1.1)
    low = np.nanmin(values)
    axes.fill_between(times, values, low, color=cell.look.series(0), alpha=0.12, linewidth=0)
    axes.margins(0, 0.06)


def _layout(count: int, width: float, height: float) -> tuple[int, int]:
    """Columns and rows that leave the least room empty."""
    best, size = (1, max(count, 1)), 0.0
    for columns in range(1, max(count, 1) + 1):
        rows = ceil(max(count, 1) / columns)
        found = min(width / columns, height / rows * 2.2)
        if found > size:
            best, size = (columns, rows), found
    return best


def gauge(panel: Panel, place: Place) -> None:
    found = figures_of(panel)[:MOST_FIGURES]
    columns, rows = _layout(len(found), place.w, place.h * 1.4)
    wide, tall = place.w / columns, place.h / rows
    least, most = float(panel.options.get("min", 0)), float(panel.options.get("max", 100))
    for n, (name, unit, value, _) in enumerate(found):
        left, top = (n % columns) * wide, (n // columns) * tall
        cell = Place(
            *(place.figure, place.look, place.x + left, place.y + top, wide, tall), *(place.width, place.height)
        )
        axes = cell.blank()
        axes.set_aspect("equal", adjustable="datalim")
        radius = max(min(wide / 2 - 12, (tall - (18 if len(found) > 1 else 0)) * 0.62 - 4), 12)
        x, y = wide / 2, radius + 6
        thick = max(radius * 0.16, 5)
        share = 0.0 if value is None else min(max((value - least) / (most - least or 1), 0), 1)
        # y points down: angles run the other way round.
        axes.add_patch(Wedge((x, y), radius, 155, 385, width=thick, facecolor=place.look["sunken"], linewidth=0))
        color = place.look.named(threshold_color(panel, value), place.look["accent"])
        axes.add_patch(Wedge((x, y), radius, 155, 155 + 230 * share, width=thick, facecolor=color, linewidth=0))
        text = panel.text(value, unit)
        size = max(min(radius * 0.42, radius * 2 / max(len(text), 1)), 11)
        cell.write(x, y, text, size=size, weight=600, ha="center", va="center")
        if len(found) > 1:
            cell.write(
                x, y + radius * 0.62 + 8, cell.fitted(name, wide - 8), color="text-2", ha="center", va="top", size=12
            )


def table(panel: Panel, place: Place) -> None:
    if not panel.answers:
        return
    result = panel.answers[0][1]
    wanted = [one["name"] for one in panel.options.get("columns") or () if isinstance(one, Mapping) and one.get("name")]
    hidden = {
        one["name"] for one in panel.options.get("columns") or () if isinstance(one, Mapping) and one.get("hidden")
    }
    columns = [c for c in result.columns if not c.name.startswith("_") or c.name == "_time"]
    columns.sort(key=lambda c: wanted.index(c.name) if c.name in wanted else len(wanted))
    columns = [c for c in columns if c.name not in hidden][: max(int(place.w / 90), 1)]
    most = max(int((place.h - ROW) / ROW), 1)
    frame = _newest_first(result.frame)
    frame = frame.head(most if frame.height <= most else most - 1)
    cells = []
    for column in columns:
        cells.append([_cell(panel, value, column.unit, column.type) for value in frame[column.name].to_list()])
    names = ["Time" if c.name in ("_time", "time") else c.name for c in columns]
    needs = [
        max(place.width_of(text, 12) for text in (name, *values)) + 20
        for name, values in zip(names, cells, strict=True)
    ]
    needs = _widths(needs, [c.type in ("text", "json") for c in columns], place.w)
    x = 0.0
    axes = place.blank()
    for n in range(frame.height + 1):
        axes.axhline((n + 1) * ROW, color=place.look["line"], linewidth=0.72)
    for column, name, values, need in zip(columns, names, cells, needs, strict=True):
        wide = need
        right = column.type in ("number", "integer")
        at, side = (x + wide - 12, "right") if right else (x, "left")
        place.write(at, ROW / 2, place.fitted(name, wide - 12), color="text-2", weight=500, va="center", ha=side)
        for n, text in enumerate(values):
            shown = place.fitted(text, wide - 12)
            place.write(at, ROW * (n + 1.5), shown, va="center", ha=side)
        x += wide
    left = result.frame.height - frame.height
    if left:
        place.write(0, ROW * (frame.height + 1.5), f"and {left:,} more", color="text-3", va="center")


def _newest_first(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows that come by their time as the page shows them: where there is no room for all the newest are seen."""
    name = next((one for one in ("_time", "time") if one in frame.columns), None)
    return frame.reverse() if name is not None and frame[name].is_sorted() else frame


def _widths(needs: list[float], yields: list[bool], room: float) -> list[float]:
    """Widths of columns: texts give way to times and numbers; what is left over goes to all."""
    rest = room - sum(needs)
    if rest >= 0:
        return [need + rest / len(needs) for need in needs]
    soft = sum(need for need, soft in zip(needs, yields, strict=True) if soft)
    share = max((soft + rest) / soft, 0.25) if soft else 1.0
    made = [need * share if soft else need for need, soft in zip(needs, yields, strict=True)]
    return [one * min(room / sum(made), 1.0) for one in made]


def _cell(panel: Panel, value: Any, unit: str, type: str) -> str:
    if value is None:
        return NONE
    if type == "timestamp":
        return time_text(value, panel.zone, "%Y-%m-%d %H:%M:%S")
    if type in ("number", "integer") and not isinstance(value, bool):
        return panel.text(value, unit)
    return " ".join(word(value).split())


def heatmap(panel: Panel, place: Place) -> None:
    found = series_of(panel)[:MOST_ROWS]
    if not found:
        return
    colors = scale(place, str(panel.options.get("scheme", "blue")))
    if panel.options.get("layout") == "hours":
        names, edges, grid = _by_hour(panel)
    else:
        names = [one.name for one in found]
        times = sorted({at for one in found for at, _ in one.points})
        beat = found[0].every or (times[1] - times[0] if len(times) > 1 else 60_000)
        edges = [at / DAY_MS for at in (*times, times[-1] + beat)]
        place_of = {at: n for n, at in enumerate(times)}
        grid = np.full((len(found), len(times)), np.nan)
        for row, one in enumerate(found):
            for at, value in one.points:
                grid[row, place_of[at]] = np.nan if value is None else value
    room = min(max(place.width_of(name, 11) for name in names) + 10, place.w * 0.3)
    body = place.inner(left=room, bottom=20)
    axes = body.axes()
    if np.isnan(grid).all():
        return
    axes.pcolormesh(edges, np.arange(len(names) + 1), np.ma.masked_invalid(grid), cmap=colors, linewidth=0)
    axes.set_ylim(len(names), 0)
    axes.set_yticks(np.arange(len(names)) + 0.5, [place.fitted(name, room - 8, 11) for name in names])
    if panel.options.get("layout") == "hours":
        axes.set_xticks([0.5, 6.5, 12.5, 18.5], ["00", "06", "12", "18"])
    else:
        time_axis(axes, panel.start, panel.end, panel.zone, body.w)
    ticks(axes)


def _by_hour(panel: Panel) -> tuple[list[str], list[float], np.ndarray]:
    zone = ZoneInfo(panel.zone)
    sums, counts = np.zeros((7, 24)), np.zeros((7, 24))
    for one in series_of(panel)[:1]:
        for at, value in one.points:
            if value is not None:
                moment = datetime.fromtimestamp(at / 1000, zone)
                sums[moment.weekday(), moment.hour] += value
                counts[moment.weekday(), moment.hour] += 1
    grid = np.divide(sums, counts, out=np.full((7, 24), np.nan), where=counts > 0)
    return ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], [float(n) for n in range(25)], grid


def pie(panel: Panel, place: Place) -> None:
    names, values = categories_of(panel)
    if not values:
        return
    _, unit, numbers = values[0]
    kept = [(name, value) for name, value in zip(names, numbers, strict=True) if value is not None and value > 0]
    kept.sort(key=lambda one: -one[1])
    most = int(panel.options.get("most", 7))
    rest = sum(value for _, value in kept[most:])
    slices = kept[:most] + ([("other", rest)] if rest else [])
    whole = sum(value for _, value in slices)
    if not whole:
        return
    axes = place.blank()
    axes.set_aspect("equal", adjustable="datalim")
    radius = min(place.h / 2 - 6, place.w * 0.24)
    x, y, angle = radius + 6, place.h / 2, -90.0
    ring = panel.options.get("donut", True)
    for n, (_, value) in enumerate(slices):
        color = place.look["fill-idle"] if n == len(slices) - 1 and rest else place.look.series(n)
        turn = 360 * value / whole
        axes.add_patch(
            Wedge(
                *((x, y), radius, angle, angle + turn),
                width=radius * 0.36 if ring else None,
                facecolor=color,
                edgecolor=place.look["surface"],
                linewidth=1,
            )
        )
        angle += turn
    if ring:
        text = panel.text(whole, unit)
        size = max(min(radius * 0.26, radius * 2 / len(text)), 9)
        place.write(x, y, text, size=size, weight=600, ha="center", va="center")
    side = place.inner(left=2 * radius + 28)
    top = max(side.h / 2 - len(slices) * 10, 0)
    for n, (name, value) in enumerate(slices):
        if top + n * 20 + 14 > side.h:
            break
        color = place.look["fill-idle"] if n == len(slices) - 1 and rest else place.look.series(n)
        row = Place(side.figure, side.look, side.x, side.y + top + n * 20, side.w, 16, side.width, side.height)
        share = number_text(100 * value / whole, "percent", 0)
        text = f"{panel.text(value, unit)}   {share}" if side.w > 260 else share
        legend(row, [(row.fitted(name, row.w - row.width_of(text, 11) - 24, 11), color, "")])
        row.write(row.w, 2, text, size=11, color="text-2", ha="right", va="top")


def state(panel: Panel, place: Place) -> None:
    if not panel.answers:
        return
    result = panel.answers[0][1]
    time, _, _ = roles(result)
    rest = [c for c in result.columns if c.name != time and not c.name.startswith("_")]
    states = [c for c in rest if c.role == "metric"] or rest[-1:]
    if time is None or not states:
        return
    column = states[0]
    groups = [c.name for c in rest if c.name != column.name and c.role == "dimension"]
    beat = result.every_ms or 60_000
    rows: dict[str, list[tuple[float, Any]]] = {}
    wanted = result.frame.sort(time).select(*([time, *groups, column.name]))
    for values in wanted.iter_rows():
        name = " · ".join(map(word, values[1:-1])) or column.name
        rows.setdefault(name, []).append((values[0].timestamp() * 1000, values[-1]))
    names = sorted(rows)[:MOST_ROWS]
    seen = list(dict.fromkeys(word(value) for name in names for _, value in rows[name] if value is not None))
    own = panel.options.get("colors") or {}
    colors = {one: place.look.named(own[one]) if one in own else place.look.series(n) for n, one in enumerate(seen)}
    entries = [(one, colors[one], "") for one in seen[:12]]
    body = place.inner(bottom=legend(place, entries))
    room = min(max(place.width_of(name, 11) for name in names) + 10, place.w * 0.3)
    body = body.inner(left=room, bottom=20)
    axes = body.axes()
    for n, name in enumerate(names):
        for at, value in rows[name]:
            if value is not None:
                color = colors[word(value)]
                axes.add_patch(Rectangle((at / DAY_MS, n + 0.12), beat / DAY_MS, 0.76, facecolor=color, linewidth=0))
    axes.set_ylim(len(names), 0)
    axes.set_yticks(np.arange(len(names)) + 0.5, [place.fitted(name, room - 8, 11) for name in names])
    time_axis(axes, panel.start, panel.end, panel.zone, body.w)
    ticks(axes)


@cache
def _coasts() -> list[np.ndarray]:
    """Coasts and borders, as the pages have them: the lines of a TopoJSON file, each place as a step from the last."""
    world = json.loads(files("dash_app.assets").joinpath("tiles/world.json").read_text(encoding="utf-8"))
    scale, translate = world["transform"]["scale"], world["transform"]["translate"]
    lines = [np.cumsum(np.array(arc, dtype=float), axis=0) * scale + translate for arc in world["arcs"]]
    # What steps over the 180th meridian would be a line across the whole world.
    return [line for line in lines if np.abs(np.diff(line[:, 0])).max(initial=0) < 180]


def points_map(panel: Panel, place: Place) -> None:
    if not panel.answers:
        return
    result = panel.answers[0][1]
    names = {c.name.lower(): c.name for c in result.columns if c.type in ("number", "integer")}

    def column(option: str, usual: tuple[str, ...]) -> str | None:
        wanted = str(panel.options.get(option) or "").lower()
        return names.get(wanted) if wanted else next((names[one] for one in usual if one in names), None)

    lat, lon = column("lat", ("lat", "latitude")), column("lon", ("lon", "lng", "long", "longitude"))
    if lat is None or lon is None:
        place.write(place.w / 2, place.h / 2, "No columns of latitudes and longitudes", color="text-3", ha="center")
        return
    rest = [name for key, name in names.items() if name not in (lat, lon) and not key.startswith("_")]
    value = column("value", ()) or (rest[0] if rest else None)
    frame = result.frame.drop_nulls([lat, lon]).head(5000)
    if frame.is_empty():
        return
    x, y = frame[lon].to_numpy().astype(float), frame[lat].to_numpy().astype(float)
    axes = place.axes()
    west, east, south, north = x.min(), x.max(), y.min(), y.max()
    tall = max((north - south) * 1.2, (east - west) * 1.2 * place.h / place.w * 0.6, 4.0)
    wide = tall * place.w / place.h / 0.6
    middle_x, middle_y = (west + east) / 2, (south + north) / 2
    if wide >= 350:
        middle_x, middle_y, wide = 0.0, 15.0, 360.0
        tall = wide * 0.6 * place.h / place.w
    axes.set_xlim(middle_x - wide / 2, middle_x + wide / 2)
    axes.set_ylim(middle_y - tall / 2, middle_y + tall / 2)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.patch.set_alpha(1)
    axes.patch.set_facecolor(place.look["sunken"])
    axes.add_collection(LineCollection(_coasts(), colors=place.look["line-strong"], linewidths=0.6))
    color: Any = place.look.series(0)
    size: Any = 16.0
    if value is not None:
        numbers = frame[value].cast(float, strict=False).fill_null(0.0).to_numpy()
        spread = numbers.max() - numbers.min()
        size = 8 + 60 * ((numbers - numbers.min()) / spread if spread else np.zeros_like(numbers))
        if panel.options.get("thresholds"):
            color = [place.look.named(threshold_color(panel, float(one)), place.look.series(0)) for one in numbers]
    axes.scatter(x, y, s=size, c=color, alpha=0.75, linewidths=0.4, edgecolors=place.look["surface"])


def text(panel: Panel, place: Place) -> None:
    """Words without their marks: pictures have no links."""
    y = 0.0
    for raw in str(panel.options.get("markdown", "")).splitlines():
        head = raw.startswith("#")
        plain = raw.lstrip("#").strip() if head else raw
        for mark in ("**", "__", "`"):
            plain = plain.replace(mark, "")
        size, weight = (15, 600) if head else (13, 400)
        for part in _wrapped(plain, int(place.w / (size * 0.52))) or [""]:
            if y + size > place.h:
                return
            place.write(0, y, part, size=size, weight=weight, va="top")
            y += size * 1.5


def _wrapped(words: str, most: int) -> list[str]:
    lines, current = [], ""
    for one in words.split():
        if current and len(current) + 1 + len(one) > most:
            lines.append(current)
            current = one
        else:
            current = f"{current} {one}".strip()
    return [*lines, current] if current else lines


DRAW: Mapping[str, Draw] = {
    "line": line,
    "bar": bar,
    "stat": stat,
    "gauge": gauge,
    "table": table,
    "heatmap": heatmap,
    "pie": pie,
    "state": state,
    "map": points_map,
    "text": text,
}
