// A field of cells coloured by their value: groups over time, or hours of the day by days of the week. The colours come
// from the tokens, near the surface where it is little, so that what stands out is much.

import { colorAt, readable, schemeColors } from "../color.js";
import { formatFullTime, formatNumber, toWall } from "../format.js";
import { roles, seriesOf } from "../frame.js";
import { base, headUnit, tooltipElement } from "./axes.js";
import { cellTimeAxis, renderCell, rowAxis } from "./cells.js";

export const needs = "a time (`every`) and one number; the layout series also a group (`by`)";

const MOST_ROWS = 100;
const HOUR = 3_600_000, DAY = 24 * HOUR;

export function lacks(frame, tile) {
  const { time, values } = roles(frame);
  if (time < 0 || !frame.every) return "A time in buckets";
  if (!values.length) return "A number";
  if (tile.options?.layout === "hours" && frame.every > HOUR) return "A bucket of an hour or less";
  return null;
}

/** Seven names of days, Monday first, in the reader's language. */
const dayNames = () => [...Array(7).keys()].map((i) => new Intl.DateTimeFormat(undefined, { weekday: "short", timeZone: "UTC" }).format(Date.UTC(2024, 0, 1 + i)));

/**
 * The mean of the values of each hour of each weekday, on the clock of `zone`.
 * @returns {{cells: [number, number, number, number][], weeks: number}} `[hour, weekday, mean, how many]`, Monday 0
 */
export function byHour(points, zone) {
  const found = new Map();
  for (const [at, value] of points) {
    if (value === null) continue;
    const wall = toWall(at, zone);
    const hour = Math.floor((wall % DAY) / HOUR);
    // The epoch was a Thursday.
    const weekday = (Math.floor(wall / DAY) + 3) % 7;
    const key = weekday * 24 + hour;
    const cell = found.get(key) ?? [hour, weekday, 0, 0];
    cell[2] += value;
    cell[3] += 1;
    found.set(key, cell);
  }
  return [...found.values()].map(([hour, weekday, sum, count]) => [hour, weekday, sum / count, count]);
}

/** Where the colours begin and end. Around nought both sides weigh the same. */
export function ends(values, scheme) {
  const low = Math.min(...values), high = Math.max(...values);
  if (scheme === "diverging") {
    const far = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return [-far, far];
  }
  // Counts begin at nought: the least of them is not "none".
  return low >= 0 && low < high * 0.5 ? [0, high || 1] : [low, high === low ? low + 1 : high];
}

/** The scale below the cells. */
function scaleBar(colors, [low, high], describe, theme, size) {
  const width = Math.min(160, size.width * 0.4);
  const words = (text, at, align) => ({ type: "text", style: { text, x: at, y: 0, fill: theme.text3, font: `11px ${theme.font}`, align, verticalAlign: "middle" } });
  return [{
    id: "scale", type: "group", left: 8, bottom: 4, silent: true,
    children: [
      words(describe(low), 0, "left"),
      { type: "rect", shape: { x: 0, y: 8, width, height: 6, r: 3 }, style: { fill: { type: "linear", x: 0, y: 0, x2: 1, y2: 0, colorStops: colors.map((color, i) => ({ offset: i / (colors.length - 1), color })) } } },
      words(describe(high), width, "right"),
    ],
  }];
}

/** @type {typeof import("../tiles.js").options} */
export function options(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const hours = wanted.layout === "hours";
  const list = seriesOf(frame, size.order);
  const unit = wanted.unit ?? list.find((each) => each.unit)?.unit ?? "";
  const describe = (value) => formatNumber(value, { unit, decimals: wanted.decimals, figures: 3 });
  const colors = schemeColors(wanted.scheme ?? "blue", theme);
  const result = base(theme);
  const shown = hours ? [] : list.slice(0, MOST_ROWS);
  const cells = hours
    ? byHour(list.flatMap((each) => each.points), size.zone)
    : shown.flatMap((each, row) => each.points.filter(([, value]) => value !== null).map(([at, value]) => [at, at + frame.every, row, value]));
  const place = hours ? 2 : 3;
  const span = ends(cells.length ? cells.map((cell) => cell[place]) : [0], wanted.scheme);
  const color = (value) => colorAt(colors, (value - span[0]) / (span[1] - span[0]));
  const words = dayNames();
  const data = hours ? cells.map(([hour, weekday, mean, count]) => [hour, hour + 1, weekday, mean, count]) : cells;
  const big = hours && size.width > 900;
  const series = {
    id: "cells", type: "custom", color: colors.at(-1), data, clip: true, encode: { x: [0, 1], y: 2, tooltip: 3 },
    renderItem: renderCell({
      color: (api) => color(api.value(3)), inset: 0, font: theme.font,
      words: big ? (index) => ({ text: formatNumber(data[index][3], { decimals: wanted.decimals, compact: true, figures: 3 }), ink: readable(color(data[index][3]), theme.text, theme.surface) }) : undefined,
    }),
  };
  const tip = (params) => {
    const [start, , row, value, count] = params.value;
    const name = hours ? "" : (shown[row]?.name ?? "");
    const title = hours ? `${words[row]}, ${String(start).padStart(2, "0")}:00–${String(start + 1).padStart(2, "0")}:00` : formatFullTime(start, { zone: size.zone, every: frame.every });
    return tooltipElement({ title, rows: [{ color: color(value), name: name || (hours ? `mean of ${count}` : ""), value: describe(value) }] });
  };
  return {
    ...result,
    grid: { ...result.grid, left: 8, top: 4, bottom: 26 },
    tooltip: { ...result.tooltip, trigger: "item", formatter: tip },
    graphic: scaleBar(colors, span, describe, theme, size),
    xAxis: hours ? [{
      type: "value", min: 0, max: 24, interval: size.width < 480 ? 6 : 3, axisLine: { show: false }, axisTick: { show: false }, splitLine: { show: false }, axisPointer: { show: false },
      axisLabel: { color: theme.text3, fontSize: 11, fontFamily: theme.font, formatter: (hour) => `${String(hour).padStart(2, "0")}:00` },
    }] : cellTimeAxis(theme, size),
    yAxis: [hours ? rowAxis(words, theme, size) : rowAxis(shown.map((each) => each.name), theme, size)],
    series: [series],
    facts: {
      unit: headUnit([unit]), left: list.length - (hours ? list.length : shown.length), time: !hours, legend: [], latest: "",
      spoken: cells.length ? `${describe(span[0])} to ${describe(span[1])}` : "",
      pick: ({ value }) => {
        if (hours || !value) return null;
        const each = shown[value[2]];
        return each && { title: formatFullTime(value[0], { zone: size.zone, every: frame.every }), name: each.name, by: each.by, value: value[3], row: rowOf(frame, value[0], each.by), time: value[0] };
      },
      shape: [hours, wanted.scheme, shown.map((each) => each.name), size.width, size.height, wanted.unit, wanted.decimals, span],
    },
  };
}

/** The row of a frame at a time and these values of its dimensions; null where there is none. */
export function rowOf(frame, at, by) {
  const { time } = roles(frame);
  const fields = Object.entries(by).map(([field, value]) => [frame.columns.findIndex((column) => column.name === field), value]);
  const row = frame.data[time].findIndex((each, r) => each === at && fields.every(([c, value]) => (frame.data[c][r] ?? null) === value));
  return row < 0 ? null : row;
}
