// Bars: over time buckets (upright, one bar a bucket, standing between the bucket's start and end) or over categories
// (longest first; lying down when the names need the room, with the number at the bar's end instead of an axis).

import { formatNumber } from "../format.js";
import { label, roles, seriesOf } from "../frame.js";
import { thresholdColor } from "../theme-values.js";
import { base, headUnit, thresholdLines, timeAxis, timeTooltip, tooltipElement, valueAxis } from "./axes.js";
import { highest, MOST_SERIES } from "./line.js";

const ROW = 24; // height of a lying bar with its air

/** @type {typeof import("../tiles.js").options} */
export function options(tile, frame, theme, size) {
  return roles(frame).time >= 0 ? overTime(tile, frame, theme, size) : overCategories(tile, frame, theme, size);
}

/** The usual distance of buckets, where the frame does not say. */
function bucketOf(frame, list) {
  if (frame.every) return frame.every;
  let least = Infinity;
  for (const { points } of list) for (let i = 1; i < points.length; i += 1) least = Math.min(least, points[i][0] - points[i - 1][0] || Infinity);
  return Number.isFinite(least) ? least : 60_000;
}

/**
 * A bar from its own ends: `[middle, bottom, top, value, start, end]`. The library's bar series knows no bucket ends,
 * widens the time axis by half a bar, and does not stack over an axis of numbers.
 */
function renderBar(params, api) {
  const [left, low] = api.coord([api.value(4), api.value(1)]);
  const [right, high] = api.coord([api.value(5), api.value(2)]);
  const air = right - left > 4 ? Math.min(2, (right - left) * 0.14) : 0;
  const area = params.coordSys;
  const x = Math.max(left + air / 2, area.x);
  const width = Math.min(right - air / 2, area.x + area.width) - x;
  if (!(width > 0) || Number.isNaN(low) || Number.isNaN(high)) return undefined;
  return { type: "rect", shape: { x, y: Math.min(low, high), width: Math.max(0.5, width), height: Math.abs(low - high) }, style: { fill: api.visual("color"), opacity: api.visual("opacity") } };
}

function overTime(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const all = seriesOf(frame, size.order);
  const shown = all.slice(0, MOST_SERIES);
  const stacked = wanted.stacked ?? shown.length > 1;
  const every = bucketOf(frame, shown);
  const units = shown.map((series) => wanted.unit ?? series.unit ?? "");
  const describe = (index, value) => formatNumber(value, { unit: units[index], decimals: wanted.decimals });
  const hidden = size.hidden ?? new Set();
  const visible = shown.filter((each) => !hidden.has(each.name));
  const ups = new Map();
  const downs = new Map();
  const lines = thresholdLines(wanted.thresholds, theme, thresholdColor);
  const series = shown.map((each, i) => {
    const place = visible.indexOf(each);
    const data = place < 0 ? [] : each.points.filter(([, value]) => value !== null).map(([at, value]) => {
      const middle = at + every / 2;
      if (!stacked) return [middle, 0, value, value, at + (every * place) / visible.length, at + (every * (place + 1)) / visible.length];
      // Negative values pile up below nought.
      const pile = value < 0 ? downs : ups;
      const bottom = pile.get(at) ?? 0;
      pile.set(at, bottom + value);
      return [middle, bottom, bottom + value, value, at, at + every];
    });
    return {
      id: each.name, name: each.name, type: "custom", color: theme.series[i % theme.series.length], data, clip: true,
      renderItem: renderBar, encode: { x: 0, y: [1, 2], tooltip: 3 },
      itemStyle: { opacity: i < theme.series.length ? 1 : 0.55 },
      markLine: i === 0 ? lines : undefined,
    };
  });
  const times = shown.flatMap((each) => each.points.map(([at]) => at));
  const first = times.reduce((least, at) => Math.min(least, at), Infinity);
  const last = times.reduce((most, at) => Math.max(most, at), -Infinity);
  // A bucket that begins before the range or ends after it is shown whole.
  const from = size.from == null ? undefined : Math.min(size.from, first);
  const to = size.to == null ? undefined : Math.max(size.to, last + every);
  const result = base(theme);
  return {
    ...result,
    tooltip: { ...result.tooltip, trigger: "axis", formatter: timeTooltip(describe, { zone: size.zone, every, shift: every / 2, place: 3 }) },
    xAxis: timeAxis(theme, { ...size, from, to }),
    yAxis: [valueAxis(theme, { unit: units[0], zero: true, length: size.height, top: highest(visible, stacked) })],
    series,
    facts: {
      unit: headUnit(units), left: all.length - shown.length, time: true,
      legend: shown.map((each, i) => ({ name: each.name, color: series[i].color, points: each.points, describe: (value) => describe(i, value) })),
    },
  };
}

/** Categories × series out of rows: the first dimension names the bar, the others (or several values) the colours. */
function grouped(frame) {
  const { dimensions, values } = roles(frame);
  const [first, ...rest] = dimensions;
  const categories = new Map();
  const names = [];
  const count = frame.data[0]?.length ?? 0;
  for (let r = 0; r < count; r += 1) {
    for (const c of values) {
      const category = first === undefined ? frame.columns[c].name : label(frame.data[first][r]);
      const parts = rest.map((d) => label(frame.data[d][r]));
      if (values.length > 1 && first !== undefined) parts.push(frame.columns[c].name);
      const name = parts.join(" · ");
      if (!names.includes(name)) names.push(name);
      if (!categories.has(category)) categories.set(category, new Map());
      categories.get(category).set(name, frame.data[c][r]);
    }
  }
  const unit = values.map((c) => frame.columns[c].unit).find(Boolean);
  return { categories, names, unit, only: values.length === 1 ? frame.columns[values[0]].name : "" };
}

function overCategories(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const { categories, names, unit: own, only } = grouped(frame);
  const unit = wanted.unit ?? own ?? "";
  const describe = (value) => formatNumber(value, { unit, decimals: wanted.decimals });
  const stacked = wanted.stacked ?? names.length > 1;
  const total = (bars) => (stacked ? [...bars.values()].reduce((sum, value) => sum + (value ?? 0), 0) : Math.max(...[...bars.values()].map((value) => value ?? -Infinity)));
  const ranked = [...categories].sort(([, a], [, b]) => total(b) - total(a));
  const longest = Math.max(0, ...ranked.map(([name]) => name.length));
  const lying = wanted.orientation ? wanted.orientation === "horizontal" : longest > 10 || ranked.length > 8;
  const room = Math.max(1, Math.floor(lying ? (size.height - 8) / ROW : size.width / 24));
  const shown = ranked.slice(0, room);
  const several = names.length > 1;
  const series = names.slice(0, MOST_SERIES).map((name, i) => ({
    id: name || "value", name: name || only || "value", type: "bar", color: theme.series[i % theme.series.length],
    data: shown.map(([, bars]) => bars.get(name) ?? null),
    stack: stacked && several ? "all" : undefined,
    barMaxWidth: lying ? 14 : 40, barCategoryGap: lying ? "30%" : "28%",
    itemStyle: { borderRadius: several ? 0 : lying ? [0, 2, 2, 0] : [2, 2, 0, 0] },
    label: several ? { show: false } : {
      show: true, position: lying ? "right" : "top", color: theme.text2, fontSize: 11, fontFamily: theme.font, formatter: ({ value }) => (value == null ? "" : describe(value)),
    },
    emphasis: { focus: "none" },
  }));
  const result = base(theme);
  const names_ = {
    type: "category", data: shown.map(([name]) => name), inverse: lying, axisTick: { show: false }, axisLine: { show: !lying, lineStyle: { color: theme.axis } },
    axisLabel: { color: theme.text2, fontSize: 11, fontFamily: theme.font, width: lying ? Math.min(200, size.width * 0.42) : size.width / Math.max(1, shown.length) - 4, overflow: "truncate", interval: 0 },
    axisPointer: { type: "shadow", shadowStyle: { color: theme.gridLine, opacity: 0.6 }, label: { show: false } },
  };
  const numbers = valueAxis(theme, { unit, zero: true, length: lying ? size.width / 1.6 : size.height });
  if (!several) {
    numbers.axisLabel = { show: false };
    numbers.splitLine = { show: false };
    numbers.max = "dataMax";
  }
  return {
    ...result,
    grid: { ...result.grid, right: lying && !several ? 64 : 12, top: lying ? 4 : 20 },
    tooltip: {
      ...result.tooltip, trigger: "axis",
      formatter: (params) => {
        const list = (Array.isArray(params) ? params : [params]).filter((each) => each.value != null);
        if (!list.length) return "";
        const rows = list.map((each) => ({ color: each.color, name: each.seriesName, value: describe(each.value) }));
        return tooltipElement({ title: list[0].name, rows: rows.slice(0, 12), more: Math.max(0, rows.length - 12) });
      },
    },
    xAxis: [lying ? numbers : names_],
    yAxis: [lying ? names_ : numbers],
    series,
    facts: {
      unit: several ? headUnit([unit]) : "", left: 0, leftCategories: ranked.length - shown.length, time: false,
      legend: several ? series.map((each) => ({ name: each.name, color: each.color, points: null, describe })) : [],
    },
  };
}
