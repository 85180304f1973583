// A value between a least and a greatest, as the filled part of an arc; the thresholds are a thin arc around it. With `by`
// columns there is one gauge a group.

import { formatNumber } from "../format.js";
import { roles } from "../frame.js";
import { thresholdColor, thresholdFor } from "../theme-values.js";
import { base, tooltipElement } from "./axes.js";
import { figures } from "./stat.js";

export const needs = "at least one number";
export const lacks = (frame) => (roles(frame).values.length ? null : "A number");

const MOST = 12;
const START = 205, END = -25;

/** Rows and columns of `count` gauges, each about 4:3, that leave the least room empty. */
export function layout(count, width, height) {
  let best = { columns: 1, rows: count, size: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const size = Math.min(width / columns, (height / rows) * 1.25);
    if (size > best.size) best = { columns, rows, size };
  }
  return best;
}

/** The arc of thresholds as the library takes it: `[share up to which, colour]`. */
export function arcs(thresholds, min, max, theme) {
  const steps = [...(thresholds ?? [])].map((each) => ({ from: each.value ?? -Infinity, color: thresholdColor(each.color, theme, true) ?? theme.lineStrong })).sort((a, b) => a.from - b.from);
  const shares = [];
  const share = (value) => Math.min(1, Math.max(0, (value - min) / (max - min)));
  if (!steps.length || share(steps[0].from) > 0) shares.push([steps.length ? share(steps[0].from) : 1, theme.sunken]);
  steps.forEach((step, i) => shares.push([i + 1 < steps.length ? share(steps[i + 1].from) : 1, step.color]));
  return shares.filter(([to], i) => to > (shares[i - 1]?.[0] ?? 0));
}

/** @type {typeof import("../tiles.js").options} */
export function options(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const min = wanted.min ?? 0, max = wanted.max ?? 100;
  const all = figures(frame);
  const list = all.slice(0, MOST);
  const { columns, rows } = layout(list.length, size.width, size.height);
  const width = size.width / columns, height = size.height / rows;
  const named = list.length > 1;
  const outer = Math.max(24, Math.min(width * 0.44, (height - (named ? 24 : 8)) * 0.62));
  const thick = Math.max(6, outer * 0.16);
  const hasArc = Boolean(wanted.thresholds?.length);
  const words = (figure) => (figure.value === null ? "–" : formatNumber(figure.value, { unit: wanted.unit ?? figure.unit, decimals: wanted.decimals, figures: 3, compact: Math.abs(figure.value) >= 1e5 }));
  const series = list.flatMap((figure, i) => {
    const center = [width * ((i % columns) + 0.5), height * Math.floor(i / columns) + outer + (height - outer * 1.45 - (named ? 18 : 0)) / 2];
    const reached = thresholdFor(figure.value, wanted.thresholds);
    const color = (reached && thresholdColor(reached.color, theme, true)) || theme.series[0];
    const shared = { type: "gauge", center, startAngle: START, endAngle: END, min, max, pointer: { show: false }, axisTick: { show: false }, splitLine: { show: false }, anchor: { show: false }, animation: false };
    const unit = wanted.unit ?? figure.unit;
    return [
      {
        ...shared, id: `${figure.name}\u0000arc`, name: figure.name, radius: outer, silent: true, splitNumber: 1, detail: { show: false }, title: { show: false }, data: [],
        axisLine: { lineStyle: { width: hasArc ? 3 : 0, color: arcs(wanted.thresholds, min, max, theme) } },
        axisLabel: { show: outer > 80, distance: thick, color: theme.text3, fontSize: 11, fontFamily: theme.font, formatter: (value) => formatNumber(value, { unit: unit === "percent" || unit === "percentunit" ? unit : undefined, compact: true }) },
      },
      {
        ...shared, id: figure.name || "value", name: figure.name, radius: outer - (hasArc ? 6 : 0), color,
        progress: { show: figure.value !== null, width: thick, itemStyle: { color }, overlap: false },
        axisLine: { lineStyle: { width: thick, color: [[1, theme.sunken]] } }, axisLabel: { show: false },
        title: { show: named, offsetCenter: [0, outer * 0.62], width: width - 8, overflow: "truncate", color: theme.text2, fontSize: 12, fontFamily: theme.font },
        detail: { valueAnimation: false, offsetCenter: [0, "4%"], color: theme.text, fontSize: Math.max(14, Math.min(34, outer * 0.34)), fontWeight: 600, fontFamily: theme.font, formatter: () => words(figure) },
        data: [{ value: figure.value === null ? min : Math.min(max, Math.max(min, figure.value)), name: figure.name }],
      },
    ];
  });
  const result = base(theme);
  return {
    ...result,
    tooltip: { ...result.tooltip, trigger: "item", formatter: ({ seriesIndex }) => {
      const figure = list[Math.floor(seriesIndex / 2)];
      const rest = figure.value === null ? "" : `${formatNumber(min, { unit: wanted.unit ?? figure.unit })} to ${formatNumber(max, { unit: wanted.unit ?? figure.unit })}`;
      return tooltipElement({ title: named ? figure.name : rest, rows: [{ color: series[seriesIndex].color, name: figure.name, value: words(figure) }] });
    } },
    series,
    facts: {
      unit: "", left: all.length - list.length, time: false, legend: [], latest: "",
      spoken: list.map((figure) => [named ? figure.name : "", words(figure)].filter(Boolean).join(" ")).join(", "),
      pick: ({ seriesIndex }) => {
        const figure = list[Math.floor(seriesIndex / 2)];
        return figure && { name: figure.name, by: figure.by, value: figure.value, row: null };
      },
      shape: [min, max, columns, rows, size.width, size.height, wanted.thresholds],
    },
  };
}
