// A band a group, coloured by the state it was in. Buckets that follow each other in one state are one stretch; where a
// bucket is missing nothing is known, and nothing is drawn.

import { readable } from "../color.js";
import { formatFullTime, formatNumber } from "../format.js";
import { isNumeric, label, timeColumn } from "../frame.js";
import { thresholdColor, thresholdFor } from "../theme-values.js";
import { base, tooltipElement } from "./axes.js";
import { cellTimeAxis, renderCell, rowAxis } from "./cells.js";
import { rowOf } from "./heatmap.js";

export const needs = "a time (`every`) and one text, boolean or number (`last`); groups (`by`) become rows";

const MOST_ROWS = 60;
const MOST_STATES = 24;

/** Columns of a frame as a state timeline uses them. */
function parts(frame) {
  const time = timeColumn(frame.columns);
  const key = new Set(frame.key ?? []);
  const groups = [], states = [];
  frame.columns.forEach((column, c) => {
    if (c === time || column.name.startsWith("_")) return;
    if (key.has(column.name)) groups.push(c);
    else if (column.type !== "json") states.push(c);
  });
  return { time, groups, states };
}

export function lacks(frame) {
  const { time, states } = parts(frame);
  if (time < 0 || !frame.every) return "A time in buckets";
  return states.length ? null : "A state";
}

/**
 * Stretches of one state, by group.
 * @returns {{rows: {name: string, by: Record<string, any>}[], stretches: {row: number, from: number, to: number, value: any, last: number}[], column: object}}
 */
export function stretches(frame) {
  const { time, groups, states } = parts(frame);
  const column = frame.columns[states[0]];
  const found = new Map();
  frame.data[time].forEach((at, r) => {
    const name = groups.map((c) => label(frame.data[c][r])).join(" · ") || column.name;
    let row = found.get(name);
    if (!row) {
      row = { name, by: Object.fromEntries(groups.map((c) => [frame.columns[c].name, frame.data[c][r] ?? null])), cells: [] };
      found.set(name, row);
    }
    row.cells.push([at, frame.data[states[0]][r]]);
  });
  const rows = [...found.values()].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const list = [];
  rows.slice(0, MOST_ROWS).forEach(({ cells }, row) => {
    let open = null;
    for (const [at, value] of cells) {
      if (open && open.value === value && at - open.to <= frame.every * 0.5) {
        open.to = at + frame.every;
        open.last = at;
        continue;
      }
      open = value === null ? null : { row, from: at, to: at + frame.every, value, last: at };
      if (open) list.push(open);
    }
  });
  return { rows, stretches: list, column };
}

/** @type {typeof import("../tiles.js").options} */
export function options(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const { rows, stretches: all, column } = stretches(frame);
  const numeric = isNumeric(column);
  const unit = wanted.unit ?? column.unit ?? "";
  const words = (value) => (numeric ? formatNumber(value, { unit, decimals: wanted.decimals }) : label(value));
  const order = [...(size.order ?? []), ...[...new Set(all.map((each) => label(each.value)))].sort()].filter((name, i, list) => list.indexOf(name) === i);
  const colorOf = (value) => {
    const named = thresholdColor(wanted.colors?.[label(value)], theme, true);
    if (named) return named;
    if (numeric && wanted.thresholds?.length) {
      const reached = thresholdFor(value, wanted.thresholds);
      return (reached && thresholdColor(reached.color, theme, true)) || theme.lineStrong;
    }
    if (typeof value === "boolean") return value ? theme.series[0] : theme.lineStrong;
    return theme.series[order.indexOf(label(value)) % theme.series.length];
  };
  const hidden = size.hidden ?? new Set();
  const seen = [...new Map(all.map((each) => [label(each.value), each.value])).entries()].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const shown = all.filter((each) => !hidden.has(label(each.value)));
  const data = shown.map((each) => [each.from, each.to, each.row]);
  const result = base(theme);
  const names = rows.slice(0, MOST_ROWS).map((row) => row.name);
  return {
    ...result,
    grid: { ...result.grid, left: 8, top: 4 },
    tooltip: { ...result.tooltip, trigger: "item", formatter: ({ dataIndex }) => {
      const each = shown[dataIndex];
      if (!each) return "";
      const end = each.to > (size.to ?? Infinity) ? "now" : formatFullTime(each.to, { zone: size.zone });
      return tooltipElement({
        title: `${formatFullTime(each.from, { zone: size.zone })} – ${end}`,
        rows: [{ color: colorOf(each.value), name: rows[each.row].name, value: words(each.value) }],
        note: formatNumber((Math.min(each.to, size.to ?? each.to) - each.from) / 1000, { unit: "s" }),
      });
    } },
    xAxis: cellTimeAxis(theme, size),
    yAxis: [rowAxis(names, theme, size)],
    series: [{
      id: "states", type: "custom", color: theme.series[0], data, clip: true, encode: { x: [0, 1], y: 2 },
      renderItem: renderCell({
        color: (_, index) => colorOf(shown[index].value), inset: names.length > 1 ? 0.12 : 0.04, font: theme.font,
        words: (index) => ({ text: words(shown[index].value), ink: readable(colorOf(shown[index].value), theme.text, theme.surface) }),
      }),
    }],
    facts: {
      unit: numeric ? unit : "", left: rows.length - names.length, time: true, kind: "last",
      legend: numeric && wanted.thresholds?.length ? [] : seen.slice(0, MOST_STATES).map(([name, value]) => ({ name, label: words(value), color: colorOf(value), points: null, text: "", by: {}, describe: words })),
      order, latest: "",
      spoken: names.slice(0, 8).map((name, row) => `${name} ${words(all.filter((each) => each.row === row).at(-1)?.value ?? null)}`).join(", "),
      pick: ({ dataIndex }) => {
        const each = shown[dataIndex];
        if (!each) return null;
        const by = { ...rows[each.row].by };
        return { title: `${rows[each.row].name}: ${words(each.value)}`, name: rows[each.row].name, by, value: each.value, row: rowOf(frame, each.last, by), time: each.from };
      },
      // What is drawn closes over the stretches: they are handed over whole.
      shape: [names, wanted.colors, wanted.thresholds, shown.map((each) => [each.row, each.from, label(each.value)]), size.width],
    },
  };
}
