// Bars: over time buckets (upright, standing between the bucket's start and end) or over categories (longest first; lying
// down when the names need the room, with the number at the bar's end instead of an axis).

import { formatNumber } from "../format.js";
import { label, roles } from "../frame.js";
import { thresholdColor, thresholdFor } from "../theme-values.js";
import { base, headUnit, thresholdLines, timeAxis, timeTooltip, tooltipElement, valueAxis } from "./axes.js";
import { isPicked, PALE } from "./picked.js";
import { collect, highest, legendOf, MOST_SERIES, stackOf, sums } from "./series.js";

export const needs = "at least one number, and a time (`every`) or a group (`by`)";
/** What was chosen by a click stands out among the others. */
export const pales = true;
/** Shares of a whole have no height that could be compared. */
export const compares = (tile, wanted) => (tile.query?.every && tile.options?.stacked !== "percent" ? wanted : null);

export function lacks(frame) {
  const { time, dimensions, values } = roles(frame);
  if (!values.length) return "A number";
  return time < 0 && !dimensions.length && values.length < 2 ? "A time or a group" : null;
}

const CUT = 0.45; // how pale a bar is whose bucket is cut off
const ROW = 24; // height of a lying bar with its air

/** What is said of a bar whose bucket is cut off. */
function noteOf({ points, cut }) {
  const known = points.filter(([, value]) => value !== null);
  return (at) => (cut.last && at === known.at(-1)[0] ? "so far" : cut.first && at === known[0][0] ? "in part" : "");
}

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
 * A bar from its own ends: `[middle, bottom, top, value, start, end, height,
 * cut off]`. The library's bar series knows no bucket ends,
 * widens the time axis by half a bar, and does not stack over an axis of numbers.
 */
const renderBar = ({ earlier, opacity, words, font, ink }) => (params, api) => {
  const [left, low] = api.coord([api.value(4), api.value(1)]);
  const [right, high] = api.coord([api.value(5), api.value(2)]);
  const air = right - left > 4 ? Math.min(2, (right - left) * 0.14) : 0;
  const area = params.coordSys;
  const x = Math.max(left + air / 2, area.x);
  const width = Math.min(right - air / 2, area.x + area.width) - x;
  if (!(width > 0) || Number.isNaN(low) || Number.isNaN(high)) return undefined;
  const shape = { x, y: Math.min(low, high), width: Math.max(0.5, width), height: Math.abs(low - high) };
  const color = api.visual("color");
  // What was earlier is a line at its height, over the bar of now.
  if (earlier) return { type: "rect", shape: { ...shape, y: high - 1, height: 2 }, style: { fill: ink, opacity: 0.9 } };
  const bar = { type: "rect", shape, style: { fill: color, opacity: opacity * (api.value(7) ? CUT : 1) } };
  const text = words?.(api.value(3)) ?? "";
  if (!text || width < text.length * 5.5) return bar;
  const inside = { text, font: `11px ${font}`, fill: ink, align: "center", verticalAlign: "bottom", x: x + width / 2, y: Math.min(low, high) - 2 };
  return { type: "group", children: [bar, { type: "text", style: inside, silent: true }] };
};

function overTime(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const { shown: all, totals, left } = collect(tile, frame, theme, size);
  const shown = all.filter((each) => !each.earlier);
  const stack = stackOf(wanted.stacked, shown.length > 1 ? "normal" : "none");
  const stacked = stack !== "none";
  // Beside a stack an earlier stack would be a tangle: only its height is shown.
  const earlier = stacked && shown.length > 1 ? (stack === "percent" ? [] : totals) : all.filter((each) => each.earlier);
  const every = bucketOf(frame, shown);
  const hidden = size.hidden ?? new Set();
  const visible = shown.filter((each) => !hidden.has(each.name));
  const whole = stack === "percent" ? sums(visible) : null;
  const ups = new Map();
  const downs = new Map();
  const lines = thresholdLines(wanted.thresholds, theme, thresholdColor);
  const words = (each) => (wanted.values === "show" ? (value) => formatNumber(value, { unit: each.unit, decimals: wanted.decimals, compact: true }) : null);
  const list = [...shown, ...earlier];
  const series = list.map((each, i) => {
    const place = visible.findIndex((other) => other.name === each.name);
    const known = each.points.filter(([, value]) => value !== null);
    const data = place < 0 && !each.total ? [] : known.map(([at, raw], n) => {
      const middle = at + every / 2;
      if (each.total) return [middle, 0, raw, raw, at, at + every, raw, 0];
      const value = whole ? (100 * raw) / (whole.get(at) || 1) : raw;
      const cut = Number(!whole && ((each.cut.first && n === 0) || (each.cut.last && n === known.length - 1)));
      if (!stacked) return [middle, 0, value, raw, at + (every * place) / visible.length, at + (every * (place + 1)) / visible.length, value, cut];
      // Negative values pile up below nought.
      const pile = value < 0 ? downs : ups;
      const bottom = pile.get(at) ?? 0;
      pile.set(at, bottom + value);
      return [middle, bottom, bottom + value, raw, at, at + every, value, cut];
    });
    return {
      id: each.id, name: each.name, type: "custom", color: each.color, data, clip: wanted.values !== "show",
      renderItem: renderBar({ earlier: each.earlier, opacity: each.dashed ? 0.55 : 1, words: stacked ? null : words(each), font: theme.font, ink: theme.text2 }),
      encode: { x: 0, y: [1, 2], tooltip: 3 },
      z: each.earlier ? 3 : 2,
      markLine: i === 0 ? lines : undefined,
    };
  });
  const times = shown.flatMap((each) => each.points.map(([at]) => at));
  const first = times.reduce((least, at) => Math.min(least, at), Infinity);
  const last = times.reduce((most, at) => Math.max(most, at), -Infinity);
  // A bucket that begins before the range or ends after it is shown whole.
  const from = size.from == null ? undefined : Math.min(size.from, first);
  const to = size.to == null ? undefined : Math.max(size.to, last + every);
  const units = [...new Set(shown.map((each) => each.unit))];
  const unit = whole ? "percent" : units.length === 1 ? units[0] : "";
  const result = base(theme);
  return {
    ...result,
    ...(wanted.values === "show" ? { grid: { ...result.grid, top: 20 } } : {}),
    tooltip: { ...result.tooltip, trigger: "axis", formatter: timeTooltip(list.map((each) => ({ ...each, note: noteOf(each) })), { zone: size.zone, every, shift: every / 2, place: 3, ...(whole ? { share: 6 } : {}) }) },
    xAxis: timeAxis(theme, { ...size, from, to }),
    yAxis: [valueAxis(theme, { unit, zero: true, length: size.height, top: whole ? 100 : Math.max(highest(visible, stacked), highest(earlier, false)), max: whole ? 100 : null })],
    series,
    facts: {
      unit: headUnit(shown.map((each) => each.unit)), left, time: true, middle: every / 2, kind: wanted.legend ?? "last",
      legend: legendOf(shown), shape: [stack, wanted.values, wanted.thresholds, earlier.length],
    },
  };
}

/** Categories × series out of rows: the first dimension names the bar, the others (or several values) the colours. */
function grouped(frame) {
  const { dimensions, values } = roles(frame);
  const [first, ...rest] = dimensions;
  const categories = new Map();
  const found = new Map();
  const count = frame.data[0]?.length ?? 0;
  for (let r = 0; r < count; r += 1) {
    for (const c of values) {
      const category = first === undefined ? frame.columns[c].name : label(frame.data[first][r]);
      const parts = rest.map((d) => label(frame.data[d][r]));
      if (values.length > 1 && first !== undefined) parts.push(frame.columns[c].name);
      const name = parts.join(" · ");
      if (!found.has(name)) found.set(name, { name, unit: frame.columns[c].unit, by: Object.fromEntries(rest.map((d) => [frame.columns[d].name, frame.data[d][r] ?? null])) });
      if (!categories.has(category)) categories.set(category, { row: r, bars: new Map(), by: first === undefined ? {} : { [frame.columns[first].name]: frame.data[first][r] ?? null } });
      categories.get(category).bars.set(name, frame.data[c][r]);
    }
  }
  return { categories, names: [...found.values()], only: values.length === 1 ? frame.columns[values[0]].name : "" };
}

function overCategories(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const { categories, names, only } = grouped(frame);
  const several = names.length > 1;
  const stack = stackOf(wanted.stacked, several ? "normal" : "none");
  const stacked = stack !== "none" && several;
  const hidden = size.hidden ?? new Set();
  const dressed = names.slice(0, MOST_SERIES).map((each, i) => {
    const own = wanted.series?.[each.name] ?? {};
    const unit = own.unit ?? wanted.unit ?? each.unit ?? "";
    return { ...each, name: each.name || only || "value", key: each.name, label: own.label || each.name || only || "value", unit, color: thresholdColor(own.color, theme, true) ?? theme.series[i % theme.series.length], describe: (value) => formatNumber(value, { unit, decimals: wanted.decimals }) };
  });
  const visible = dressed.filter((each) => !hidden.has(each.name));
  const wholeOf = ({ bars }) => visible.reduce((sum, { key }) => sum + Math.abs(bars.get(key) ?? 0), 0);
  const rank = ({ bars }) => (stacked ? visible.reduce((sum, { key }) => sum + (bars.get(key) ?? 0), 0) : Math.max(...visible.map(({ key }) => bars.get(key) ?? -Infinity)));
  const ranked = [...categories];
  if (wanted.sorted !== false) ranked.sort(([, a], [, b]) => rank(b) - rank(a));
  const longest = Math.max(0, ...ranked.map(([name]) => name.length));
  const orientation = wanted.orientation ?? "auto";
  const lying = orientation === "auto" ? longest > 10 || ranked.length > 8 : orientation === "horizontal";
  const beside = several && !stacked ? Math.max(1, visible.length) : 1;
  const room = Math.max(1, Math.floor(lying ? (size.height - 8) / (beside > 1 ? 10 * beside + 10 : ROW) : size.width / Math.max(24, 12 * beside)));
  const shown = ranked.slice(0, room);
  const numbers = wanted.values === "show" || (wanted.values !== "hide" && !several);
  const shares = stacked && stack === "percent";
  const series = dressed.map((each) => ({
    id: each.key || "value", name: each.name, type: "bar", color: each.color,
    data: shown.map(([, category]) => {
      const value = category.bars.get(each.key) ?? null;
      const reached = several ? null : thresholdFor(value, wanted.thresholds);
      const color = reached && thresholdColor(reached.color, theme, true);
      const drawn = value === null || !shares ? value : (100 * value) / (wholeOf(category) || 1);
      const pale = !isPicked({ ...category.by, ...each.by }, size.filters);
      return { value: drawn, raw: value, ...(color || pale ? { itemStyle: { ...(color ? { color } : {}), ...(pale ? { opacity: PALE } : {}) } } : {}) };
    }),
    stack: stacked ? "all" : undefined,
    barMaxWidth: lying ? 14 : 40, barCategoryGap: lying ? "30%" : "28%", barGap: "8%",
    itemStyle: { borderRadius: stacked ? 0 : lying ? [0, 2, 2, 0] : [2, 2, 0, 0] },
    label: {
      show: numbers, position: stacked ? "inside" : lying ? "right" : "top", color: stacked ? theme.surface : theme.text2, fontSize: 11, fontFamily: theme.font,
      formatter: ({ data }) => (data?.raw == null ? "" : each.describe(data.raw)),
    },
    labelLayout: { hideOverlap: true },
    emphasis: { focus: "none" },
  }));
  const result = base(theme);
  const names_ = {
    type: "category", data: shown.map(([name]) => name), inverse: lying, axisTick: { show: false }, axisLine: { show: !lying, lineStyle: { color: theme.axis } },
    axisLabel: { color: theme.text2, fontSize: 11, fontFamily: theme.font, width: lying ? Math.min(200, size.width * 0.42) : size.width / Math.max(1, shown.length) - 4, overflow: "truncate", interval: 0 },
    axisPointer: { type: "shadow", shadowStyle: { color: theme.gridLine, opacity: 0.6 }, label: { show: false } },
  };
  const units = [...new Set(dressed.map((each) => each.unit))];
  const unit = shares ? "percent" : units.length === 1 ? units[0] : "";
  const axis = valueAxis(theme, { unit, zero: true, length: lying ? size.width / 1.6 : size.height, max: shares ? 100 : null });
  const bare = numbers && !several;
  if (bare) {
    axis.axisLabel = { show: false };
    axis.splitLine = { show: false };
    axis.max = "dataMax";
  }
  return {
    ...result,
    grid: { ...result.grid, right: lying && numbers && !stacked ? 64 : 12, top: lying ? 4 : 20 },
    tooltip: {
      ...result.tooltip, trigger: "axis",
      formatter: (params) => {
        const list = (Array.isArray(params) ? params : [params]).filter((each) => each.data?.raw != null);
        if (!list.length) return "";
        const rows = list.map((each) => {
          const entry = dressed[each.seriesIndex];
          return { color: each.color, name: entry.label, value: entry.describe(each.data.raw) + (shares ? ` (${formatNumber(each.data.value, { unit: "percent", decimals: 1 })})` : "") };
        });
        return tooltipElement({ title: list[0].name, rows: rows.slice(0, 12), more: Math.max(0, rows.length - 12) });
      },
    },
    xAxis: [lying ? axis : names_],
    yAxis: [lying ? names_ : axis],
    series,
    facts: {
      unit: bare ? "" : headUnit(dressed.map((each) => each.unit)), left: 0, leftCategories: ranked.length - shown.length, time: false, kind: wanted.legend ?? "last",
      legend: several ? dressed.map(({ name, label: words, color, by, describe }) => ({ name, label: words, color, points: null, by, describe })) : [],
      /** What a press on a bar is about. */
      pick: ({ seriesIndex, dataIndex }) => {
        const [name, category] = shown[dataIndex] ?? [];
        if (!category) return null;
        return { name, by: { ...category.by, ...dressed[seriesIndex]?.by }, value: category.bars.get(dressed[seriesIndex]?.key) ?? null, row: several ? null : category.row };
      },
      shape: [stack, lying, numbers, wanted.thresholds?.length],
    },
  };
}
