// Lines over time: one line for each value and combination of dimensions. Missing buckets break the line; a point alone
// between two gaps is drawn as a dot, because a line of one point would be invisible. What was earlier is dashed and
// paler, below what is now.

import { withGaps } from "../frame.js";
import { thresholdColor } from "../theme-values.js";
import { base, headUnit, thresholdLines, timeAxis, timeTooltip, valueAxis } from "./axes.js";
import { aligned, collect, highest, lacksSeries, legendOf, stackOf, sums } from "./series.js";

export const needs = "a time (`every`) and at least one number";
export const lacks = lacksSeries;
export const compares = (_tile, wanted) => wanted;

const isolated = (points, i) => points[i][1] !== null && (points[i - 1]?.[1] ?? null) === null && (points[i + 1]?.[1] ?? null) === null;

/** @type {typeof import("../tiles.js").options} */
export function options(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const stack = stackOf(wanted.stacked);
  const stacked = stack !== "none";
  const { shown, left, sides } = collect(tile, frame, theme, size);
  const now = shown.filter((each) => !each.earlier);
  const hidden = size.hidden ?? new Set();
  const visible = now.filter((each) => !hidden.has(each.name));
  const drawn = stacked ? [...aligned(now), ...shown.filter((each) => each.earlier && stack === "none")] : shown;
  const whole = stack === "percent" ? sums(visible) : null;
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
  const series = drawn.map((each, i) => {
    let points = each.points;
    if (wanted.log) points = points.map(([at, value]) => [at, value > 0 ? value : null]);
    if (whole) points = points.map(([at, value]) => [at, value === null ? null : (100 * value) / (whole.get(at) || 1), value]);
    const data = wanted.connect ? points.filter(([, value]) => value !== null) : withGaps(points, each.every ?? frame.every);
    const lonely = data.some((_, at) => isolated(data, at));
    return {
      id: each.id, name: each.name, type: "line", data, color: each.color,
      yAxisIndex: sides && each.right ? 1 : 0,
      stack: stacked ? (each.right ? "right" : "all") : undefined,
      stackStrategy: "samesign",
      connectNulls: Boolean(wanted.connect),
      step: each.steps ? "end" : false,
      showSymbol: Boolean(wanted.points) || lonely, symbol: "circle",
      symbolSize: wanted.points ? 5 : lonely ? (_, { dataIndex }) => (isolated(data, dataIndex) ? 5 : 0) : 6,
      // Beyond eight lines the palette comes round again, dashed.
      lineStyle: { width: each.earlier ? 1.25 : drawn.length > 12 ? 1.25 : 1.75, type: each.earlier ? [4, 4] : each.dashed ? [7, 3] : "solid", opacity: each.earlier ? 0.55 : 1, join: "round" },
      areaStyle: (wanted.area || stacked) && !each.earlier ? { opacity: stacked ? 0.3 : 0.12, origin: stacked ? "auto" : "start" } : undefined,
      sampling: data.length > 4 * size.width && !lonely ? "lttb" : undefined,
      emphasis: { focus: "none", lineStyle: { width: 2.5 } },
      z: each.earlier ? 1 : 2,
      markLine: i === 0 ? lines : undefined,
    };
  });
  const result = base(theme);
  const leftList = now.filter((each) => !sides || !each.right), rightList = now.filter((each) => each.right);
  return {
    ...result,
    tooltip: { ...result.tooltip, trigger: "axis", formatter: timeTooltip(drawn, { zone: size.zone, every: frame.every, ...(whole ? { place: 2, share: 1 } : {}) }) },
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
