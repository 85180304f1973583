// Lines over time: one line for each value and combination of dimensions. Missing buckets break the line; a point alone
// between two gaps is drawn as a dot, because a line of one point would be invisible. What was earlier is dashed and
// paler, below what is now. Of what is counted or summed, the way to a bucket that is cut off is dotted.

import { beatOf, withGaps } from "../frame.js";
import { thresholdColor } from "../theme-values.js";
import { cutPieces, wholePoints } from "./cut.js";
import { base, headUnit, thresholdLines, timeAxis, timeTooltip, valueAxis } from "./axes.js";
import { aligned, collect, highest, lacksSeries, legendOf, stackOf, sums } from "./series.js";

export const needs = "a time (`every`) and at least one number";
export const lacks = lacksSeries;
/** Shares of a whole have no height that could be compared. */
export const compares = (tile, wanted) => (stackOf(tile.options?.stacked) === "percent" ? null : wanted);

const isolated = (points, i) => points[i][1] !== null && (points[i - 1]?.[1] ?? null) === null && (points[i + 1]?.[1] ?? null) === null;

/** What is said of a value in a bucket that is cut off. */
const noteOf = ({ points, cut }) => (at) => (cut.last && at === points.at(-1)[0] ? "so far" : cut.first && at === points[0][0] ? "in part" : "");

/** @type {typeof import("../tiles.js").options} */
export function options(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const stack = stackOf(wanted.stacked);
  const stacked = stack !== "none";
  const { shown, totals, left, sides } = collect(tile, frame, theme, size);
  const now = shown.filter((each) => !each.earlier);
  const hidden = size.hidden ?? new Set();
  const visible = now.filter((each) => !hidden.has(each.name));
  const whole = stack === "percent" ? sums(visible) : null;
  // Series that stand on each other end together.
  const cut = { first: now.some((each) => each.cut.first), last: now.some((each) => each.cut.last) };
  // What was earlier was read up to the same moment: its last bucket is as incomplete, and is left out.
  const begin = Math.max(-Infinity, ...now.filter((each) => each.cut.first).map(({ points }) => points[0][0]));
  const end = Math.min(Infinity, ...now.filter((each) => each.cut.last).map(({ points }) => points.at(-1)[0]));
  const full = (each) => (each.earlier ? { ...each, points: each.points.filter(([at]) => at > begin && at < end) } : each);
  const drawn = (stacked ? [...aligned(now).map((each) => ({ ...each, cut })), ...(whole ? [] : totals)] : shown).map(full);
  const zero = Boolean(wanted.area || stacked) && !wanted.log;
  const peak = stack === "percent" ? 100 : highest(visible, stacked);
  const axis = (list, right) => {
    const units = [...new Set(list.map((each) => each.unit))];
    const unit = stack === "percent" ? "percent" : units.length === 1 ? units[0] : "";
    return valueAxis(theme, {
      unit, zero, right, length: size.height, spellUnit: sides, top: zero ? peak : null, log: wanted.log,
      min: right ? null : wanted.min ?? null, max: right ? null : (wanted.max ?? (stack === "percent" ? 100 : null)),
    });
  };
  const lines = thresholdLines(wanted.thresholds, theme, thresholdColor);
  // Shares of a whole are shares of what there is of it, in a bucket that is cut off too.
  const pieces = drawn.filter((each) => !whole && (each.cut.first || each.cut.last)).map((each) => ({ ...each, id: `${each.id}\u0000cut`, piece: true, every: beatOf(each.points, each.every), points: cutPieces(each.points, each.cut), note: noteOf(each) }));
  const entries = [...drawn.map((each) => (whole ? each : { ...each, points: wholePoints(each.points, each.cut) })), ...pieces];
  const series = entries.map((each, i) => {
    let { points } = each;
    if (wanted.log) points = points.map(([at, value]) => [at, value > 0 ? value : null]);
    if (whole) points = points.map(([at, value]) => [at, value === null ? null : (100 * value) / (whole.get(at) || 1), value]);
    const data = wanted.connect && !each.piece ? points.filter(([, value]) => value !== null) : withGaps(points, each.every ?? frame.every);
    const lonely = data.some((_, at) => isolated(data, at));
    return {
      id: each.id, name: each.name, type: "line", data, color: each.color,
      yAxisIndex: sides && each.right ? 1 : 0,
      stack: stacked && !each.total ? `${each.right ? "right" : "all"}${each.piece ? " cut" : ""}` : undefined,
      stackStrategy: "samesign",
      connectNulls: Boolean(wanted.connect) && !each.piece,
      step: each.steps ? "end" : false,
      showSymbol: Boolean(wanted.points) || lonely, symbol: "circle",
      symbolSize: wanted.points ? 5 : lonely ? (_, { dataIndex }) => (isolated(data, dataIndex) ? 5 : 0) : 6,
      // Beyond eight lines the palette comes round again, dashed.
      lineStyle: { width: each.earlier ? 1.25 : drawn.length > 12 ? 1.25 : 1.75, type: each.piece ? [2, 3] : each.earlier ? [4, 4] : each.dashed ? [7, 3] : "solid", opacity: each.earlier && !each.total ? 0.55 : 1, join: "round" },
      areaStyle: (wanted.area || stacked) && !each.earlier ? { opacity: stacked ? 0.3 : 0.12, origin: stacked ? "auto" : "start" } : undefined,
      sampling: data.length > 4 * size.width && !lonely ? "lttb" : undefined,
      emphasis: { focus: "none", lineStyle: { width: 2.5 } },
      z: each.total ? 3 : each.earlier ? 1 : 2,
      markLine: i === 0 ? lines : undefined,
    };
  });
  const result = base(theme);
  const leftList = now.filter((each) => !sides || !each.right), rightList = now.filter((each) => each.right);
  return {
    ...result,
    tooltip: { ...result.tooltip, trigger: "axis", formatter: timeTooltip(entries, { zone: size.zone, every: frame.every, ...(whole ? { place: 2, share: 1 } : {}) }) },
    xAxis: timeAxis(theme, size),
    yAxis: sides ? [axis(leftList, false), axis(rightList, true)] : [axis(now, false)],
    series,
    facts: {
      unit: sides ? "" : headUnit(now.map((each) => each.unit)), left, time: true, sides, kind: wanted.legend ?? "last",
      legend: legendOf(now),
      shape: [stack, wanted.log, wanted.steps, wanted.area, wanted.connect, wanted.points, wanted.thresholds, wanted.min, wanted.max],
    },
  };
}
