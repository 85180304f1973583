// Lines over time: one line for each value and combination of dimensions. Missing buckets break the line; a point alone
// between two gaps is drawn as a dot, because a line of one point would be invisible.

import { formatNumber } from "../format.js";
import { seriesOf, withGaps } from "../frame.js";
import { thresholdColor } from "../theme-values.js";
import { base, headUnit, thresholdLines, timeAxis, timeTooltip, valueAxis } from "./axes.js";

/** More lines than this cannot be told apart; the legend says how many were left out. */
export const MOST_SERIES = 40;

const isolated = (points, i) => points[i][1] !== null && (points[i - 1]?.[1] ?? null) === null && (points[i + 1]?.[1] ?? null) === null;

/** Give all series the same times, null where one has none: stacking goes by position. */
function aligned(list) {
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

/** @type {typeof import("../tiles.js").options} */
export function options(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const all = seriesOf(frame, size.order);
  const shown = all.slice(0, MOST_SERIES);
  const drawn = wanted.stacked ? aligned(shown) : shown;
  const units = drawn.map((series) => wanted.unit ?? series.unit ?? "");
  const distinct = [...new Set(units)];
  const sides = distinct.length === 2;
  const describe = (index, value) => formatNumber(value, { unit: units[index], decimals: wanted.decimals });
  const zero = Boolean(wanted.area || wanted.stacked);
  const peak = highest(drawn, wanted.stacked);
  const axis = (unit, right) => valueAxis(theme, { unit, zero, right, length: size.height, spellUnit: sides, top: zero ? peak : null });
  const result = base(theme);
  const lines = thresholdLines(wanted.thresholds, theme, thresholdColor);
  const series = drawn.map((each, i) => {
    const color = theme.series[i % theme.series.length];
    const data = withGaps(each.points, frame.every);
    const lonely = data.some((_, at) => isolated(data, at));
    return {
      id: each.name, name: each.name, type: "line", data, color,
      yAxisIndex: sides && units[i] === distinct[1] ? 1 : 0,
      stack: wanted.stacked ? "all" : undefined,
      connectNulls: false,
      showSymbol: lonely, symbol: "circle",
      symbolSize: lonely ? (_, { dataIndex }) => (isolated(data, dataIndex) ? 5 : 0) : 6,
      // Beyond eight lines the palette comes round again, dashed.
      lineStyle: { width: drawn.length > 12 ? 1.25 : 1.75, type: i < theme.series.length ? "solid" : [5, 3], join: "round" },
      areaStyle: wanted.area || wanted.stacked ? { opacity: wanted.stacked ? 0.3 : 0.12, origin: wanted.stacked ? "auto" : "start" } : undefined,
      sampling: data.length > 4 * size.width && !lonely ? "lttb" : undefined,
      emphasis: { focus: "none", lineStyle: { width: 2.5 } },
      markLine: i === 0 ? lines : undefined,
    };
  });
  return {
    ...result,
    tooltip: { ...result.tooltip, trigger: "axis", formatter: timeTooltip(describe, { zone: size.zone, every: frame.every }) },
    xAxis: timeAxis(theme, size),
    yAxis: sides ? [axis(distinct[0], false), axis(distinct[1], true)] : [axis(distinct[0], false)],
    series,
    facts: {
      unit: headUnit(units), left: all.length - shown.length, time: true,
      legend: drawn.map((each, i) => ({ name: each.name, color: series[i].color, points: each.points, describe: (value) => describe(i, value) })),
    },
  };
}
