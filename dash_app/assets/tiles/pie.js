// Shares of a whole: a slice a group, the largest first, what is small together as one slice. Where there is room the
// slices are named beside them, else in the legend.

import { mixed } from "../color.js";
import { formatNumber } from "../format.js";
import { label, roles } from "../frame.js";
import { base, headUnit, tooltipElement } from "./axes.js";
import { isPicked, PALE, picks } from "./picked.js";

export const needs = "one number and a group (`by`), or several numbers; without `every`";

/** What was chosen by a click stands out among the others. */
export const pales = true;

export function lacks(frame) {
  const { time, dimensions, values } = roles(frame);
  if (!values.length) return "A number";
  if (time >= 0 && frame.every) return "A query without buckets of time";
  return dimensions.length || values.length > 1 ? null : "A group";
}

const OTHER = "other";
/** Slices of a smaller share stand too close together to be named beside the ring. */
const NAMED_SHARE = 0.04;

/**
 * Slices out of rows, greatest first, the least of them together.
 * @returns {{slices: {name: string, value: number, by: object, row: number | null, rest?: number}[], unit: string, left: number}} `left`: values
 *   below nought, which no slice can show
 */
export function slices(frame, most) {
  const { dimensions, values } = roles(frame);
  const count = frame.data[0]?.length ?? 0;
  const found = [];
  let left = 0;
  for (let r = 0; r < count; r += 1) {
    for (const c of values) {
      const value = frame.data[c][r];
      if (value === null) continue;
      if (value < 0) {
        left += 1;
        continue;
      }
      const name = [...dimensions.map((d) => label(frame.data[d][r])), ...(values.length > 1 ? [frame.columns[c].name] : [])].join(" · ");
      found.push({ name, value, by: Object.fromEntries(dimensions.map((d) => [frame.columns[d].name, frame.data[d][r] ?? null])), row: values.length > 1 ? null : r });
    }
  }
  found.sort((a, b) => b.value - a.value);
  const rest = found.slice(most);
  // One that is left over may as well be drawn itself.
  const drawn = rest.length > 1 ? [...found.slice(0, most), { name: OTHER, value: rest.reduce((sum, each) => sum + each.value, 0), by: {}, row: null, rest: rest.length }] : found;
  return { slices: drawn, unit: values.map((c) => frame.columns[c].unit).find(Boolean), left };
}

/** @type {typeof import("../tiles.js").options} */
export function options(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const { slices: list, unit: own, left } = slices(frame, wanted.most ?? 7);
  const unit = wanted.unit ?? own ?? "";
  const describe = (value) => formatNumber(value, { unit, decimals: wanted.decimals });
  const hidden = size.hidden ?? new Set();
  const visible = list.filter((each) => !hidden.has(each.name));
  const total = visible.reduce((sum, each) => sum + each.value, 0);
  const share = (value) => formatNumber(total ? (100 * value) / total : 0, { unit: "percent", decimals: 1 });
  // A group keeps its colour when another overtakes it.
  const order = [...(size.order ?? []), ...list.map((each) => each.name)].filter((name, i, all) => name !== OTHER && all.indexOf(name) === i);
  const colorOf = (each) => {
    if (each.rest) return theme.lineStrong;
    const place = order.indexOf(each.name);
    const color = theme.series[place % theme.series.length];
    return place < theme.series.length ? color : mixed(color, theme.surface, 0.4);
  };
  const beside = size.width >= 340 && size.height >= 150;
  const isPale = (each) => (each.rest ? (size.filters ?? []).some((filter) => picks(tile, filter)) : !isPicked(each.by, size.filters));
  const isNamed = (each) => beside && each.value >= NAMED_SHARE * total;
  const adds = (tile.query?.select ?? [{ agg: "count" }]).every(({ agg }) => agg === "count" || agg === "sum");
  const radius = Math.max(20, Math.min(size.width * (beside ? 0.25 : 0.46), size.height * (beside ? 0.37 : 0.46)));
  const result = base(theme);
  return {
    ...result,
    tooltip: { ...result.tooltip, trigger: "item", formatter: ({ dataIndex, color }) => {
      const each = visible[dataIndex];
      return each ? tooltipElement({ title: share(each.value), rows: [{ color, name: each.rest ? `${each.rest} others` : each.name, value: describe(each.value) }] }) : "";
    } },
    title: wanted.donut !== false && adds && radius > 44 ? {
      text: formatNumber(total, { unit: unit.length > 4 ? "" : unit, decimals: wanted.decimals, compact: total >= 1e5 }), left: "center", top: "middle", padding: 0,
      textStyle: { color: theme.text, fontSize: Math.min(24, radius * 0.28), fontWeight: 600, fontFamily: theme.font },
    } : { text: "" },
    series: [{
      id: "slices", type: "pie", animation: false, radius: wanted.donut === false ? [0, radius] : [radius * 0.62, radius], center: ["50%", "50%"], startAngle: 90,
      itemStyle: { borderColor: theme.surface, borderWidth: 1.5 }, emphasis: { scale: false, itemStyle: { opacity: 0.85 } },
      label: {
        show: beside, color: theme.text2, fontSize: 11, fontFamily: theme.font, width: Math.max(40, size.width / 2 - radius - 28), overflow: "truncate", minMargin: 4,
        formatter: ({ dataIndex }) => {
          const each = visible[dataIndex];
          return each ? `{b|${share(each.value)}}  ${each.rest ? OTHER : each.name}` : "";
        },
        rich: { b: { color: theme.text, fontWeight: 600, fontSize: 11, fontFamily: theme.font } },
      },
      labelLine: { show: beside, length: 8, length2: 8, lineStyle: { color: theme.axis } },
      data: visible.map((each) => ({ name: each.name, value: each.value, itemStyle: { color: colorOf(each), opacity: isPale(each) ? PALE : 1 }, ...(beside && !isNamed(each) ? { label: { show: false }, labelLine: { show: false } } : {}) })),
    }],
    facts: {
      unit: headUnit([unit]), left: 0, leftCategories: 0, time: false, keeps: true, kind: visible.every(isNamed) ? "none" : "last",
      legend: list.map((each) => ({ name: each.name, label: each.name, color: colorOf(each), points: null, by: each.by, text: hidden.has(each.name) ? "" : share(each.value), describe })),
      latest: left ? `${left} below 0 not drawn` : "",
      spoken: visible.slice(0, 5).map((each) => `${each.name} ${share(each.value)}`).join(", "),
      pick: ({ dataIndex }) => {
        const each = visible[dataIndex];
        return each && !each.rest ? each : null;
      },
      shape: [beside, wanted.donut, size.width, size.height, visible.map((each) => each.name)],
    },
  };
}
