// Series out of all the frames of a tile: of one query or several, and of what was earlier. What a document says of one
// series (colour, label, unit, axis) is put in here.

import { formatNumber } from "../format.js";
import { roles, seriesOf } from "../frame.js";
import { thresholdColor } from "../theme-values.js";
import { cutOff, growingColumns } from "./cut.js";

/** More of them than this cannot be told apart; the legend says how many were left out. */
export const MOST_SERIES = 40;

/** How an earlier period is called. */
export const EARLIER = { previous: "the period before", "1h": "an hour before", "1d": "a day before", "1w": "a week before", "1M": "a month before", "1y": "a year before" };

/** What a chart over time lacks, or null. */
export function lacksSeries(frame) {
  const { time, values } = roles(frame);
  return time < 0 ? "A time" : values.length ? null : "A number";
}

/**
 * @typedef {{id: string, name: string, label: string, unit: string, color: string, dashed: boolean, paler: boolean, right: boolean,
 *   steps: boolean, earlier: boolean, cut: {first: boolean, last: boolean}, by: Record<string, any>, every: number | null, points: [number, number | null][],
 *   describe: (value: number) => string}} Series `points`: at times moved to where they are drawn
 * @returns {{shown: Series[], totals: Series[], left: number, sides: boolean}} `totals`: what was earlier, all of it together, one for each axis;
 *   `left`: how many were not taken
 */
export function collect(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const frames = size.frames?.length ? size.frames : [{ name: "", frame, shift: 0, earlier: false }];
  const several = frames.filter((each) => !each.earlier).length > 1;
  const now = new Map();
  const before = [];
  for (const each of frames) {
    const list = seriesOf(each.frame);
    const growing = growingColumns(each.query ?? tile.query);
    for (const series of list) {
      const parts = each.name && list.length === 1 ? [each.name] : [each.name, series.name];
      let name = several || each.name ? parts.filter(Boolean).join(" · ") : series.name;
      if (each.earlier) {
        before.push({ ...series, name, shift: each.shift, every: each.frame.every });
        continue;
      }
      // Two queries may well have a column of the same name.
      for (let n = 2; now.has(name); n += 1) name = `${parts.filter(Boolean).join(" · ")} (${n})`;
      const cut = growing.has(series.column) ? cutOff(series.points, each.frame, size) : { first: false, last: false };
      now.set(name, { ...series, name, every: each.frame.every, cut });
    }
  }
  const order = size.order ?? [];
  const names = [...order.filter((name) => now.has(name)), ...[...now.keys()].filter((name) => !order.includes(name))];
  const kept = names.slice(0, MOST_SERIES).map((name) => now.get(name));
  const units = kept.map((series) => wanted.series?.[series.name]?.unit ?? wanted.unit ?? series.unit ?? "");
  const placed = kept.some((series) => wanted.series?.[series.name]?.axis);
  const distinct = [...new Set(units)];
  const dressed = kept.map((series, i) => {
    const own = wanted.series?.[series.name] ?? {};
    const unit = units[i];
    return {
      ...series, id: series.name, label: own.label || series.name, unit, earlier: false, steps: own.steps ?? Boolean(wanted.steps),
      color: thresholdColor(own.color, theme, true) ?? theme.series[i % theme.series.length],
      dashed: i >= theme.series.length, paler: false,
      right: placed ? own.axis === "right" : distinct.length === 2 && unit === distinct[1],
      describe: (value) => formatNumber(value, { unit, decimals: wanted.decimals }),
    };
  });
  const words = EARLIER[size.compare] ?? "earlier";
  const earlier = dressed.flatMap((series) => {
    const found = before.find((each) => each.name === series.name);
    if (!found) return [];
    return [{ ...series, id: `${series.name}\u0000earlier`, label: `${series.label}, ${words}`, earlier: true, cut: { first: false, last: false }, every: found.every, points: found.points.map(([at, value]) => [at + found.shift, value]) }];
  });
  return { shown: [...dressed, ...earlier], totals: earlierTotals(before, dressed, size.hidden ?? new Set(), words, theme), left: now.size - kept.length, sides: dressed.some((each) => each.right) && dressed.some((each) => !each.right) };
}

/** What was earlier as one line: beside a stack a second one would be a tangle, but its height can be compared. */
function earlierTotals(before, dressed, hidden, words, theme) {
  const sides = new Map();
  for (const series of before) {
    if (hidden.has(series.name)) continue;
    const like = dressed.find((each) => each.name === series.name) ?? dressed[0];
    if (!like) continue;
    const side = sides.get(like.right) ?? { like, every: series.every, sums: new Map() };
    sides.set(like.right, side);
    for (const [at, value] of series.points) if (value !== null) side.sums.set(at + series.shift, (side.sums.get(at + series.shift) ?? 0) + value);
  }
  return [...sides].map(([right, { like, every, sums: found }]) => ({
    ...like, id: `\u0000total ${right}`, name: `\u0000total ${right}`, label: `All of it, ${words}`, color: theme.text2, right, every,
    earlier: true, total: true, dashed: false, steps: false, by: {}, cut: { first: false, last: false }, points: [...found].sort(([a], [b]) => a - b),
  }));
}

/** Give all series the same times, null where one has none: stacking goes by position. */
export function aligned(list) {
  const times = [...new Set(list.flatMap((series) => series.points.map(([at]) => at)))].sort((a, b) => a - b);
  return list.map((series) => {
    const at = new Map(series.points);
    return { ...series, points: times.map((time) => [time, at.get(time) ?? null]) };
  });
}

/** The largest value, or with stacking the largest sum, that the axis must hold. */
export function highest(list, stacked) {
  if (!stacked) return Math.max(0, ...list.map(({ points }) => points.reduce((most, [, value]) => Math.max(most, value ?? 0), 0)));
  const sums = new Map();
  for (const { points } of list) for (const [at, value] of points) sums.set(at, (sums.get(at) ?? 0) + (value ?? 0));
  return [...sums.values()].reduce((most, value) => Math.max(most, value), 0);
}

/** The sum of all sizes at each time, for shares of it. */
export function sums(list) {
  const found = new Map();
  for (const { points } of list) for (const [at, value] of points) found.set(at, (found.get(at) ?? 0) + Math.abs(value ?? 0));
  return found;
}

/** How a document says that values stand on each other: "none", "normal" or "percent". */
export const stackOf = (wanted, fallback = "none") => ({ true: "normal", false: "none" })[String(wanted)] ?? (wanted === "auto" || wanted === undefined ? fallback : wanted);

/** Entries of the legend. */
export const legendOf = (series) => series.filter((each) => !each.earlier).map(({ name, label, color, points, by, unit, describe, right }) => ({ name, label, color, points, by, unit, describe, right }));
