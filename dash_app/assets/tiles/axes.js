// What line and bar share: grid, axes, crosshair and tooltip, drawn with as little ink as they can be read with.

import { formatFullTime, formatNumber, timeTicks } from "../format.js";

/** Units that are spelled out at each number; the others stand once, in the tile's head. */
const SPELLED = new Set(["percent", "%", "percentunit", "bytes", "decbytes", "bytes/s", "decbytes/s", "B", "B/s", "ns", "us", "µs", "ms", "s", "min", "h", "d", "short"]);

/** The unit to put in a tile's head, or "" where numbers carry it or there is none or more than one. */
export function headUnit(units) {
  const distinct = [...new Set(units.filter(Boolean))];
  if (distinct.length !== 1 || SPELLED.has(distinct[0]) || /^[A-Z]{3}$/.test(distinct[0])) return "";
  return distinct[0];
}

const axisText = (theme) => ({ color: theme.text3, fontSize: 11, fontFamily: theme.font });

/** The parts of the options that all charts have. No animation: live data would never come to rest. */
export function base(theme) {
  return {
    animation: false,
    textStyle: { fontFamily: theme.font },
    grid: { left: 8, right: 12, top: 10, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    tooltip: {
      confine: true, transitionDuration: 0, className: "chart-tip", renderMode: "html", enterable: false, padding: 0, borderWidth: 0,
      backgroundColor: "transparent", extraCssText: "box-shadow:none", order: "seriesAsc",
    },
    legend: { show: false },
  };
}

/**
 * A time axis whose labels stand on round times of the viewer's zone. It is two axes in one place: the library's own time
 * axis carries the data (and stacks them rightly) but knows the browser's zone only and refuses labels of our choosing; a
 * plain axis over the same ends carries the labels.
 */
export function timeAxis(theme, size) {
  const ends = { min: size.from ?? undefined, max: size.to ?? undefined, position: "bottom", axisTick: { show: false }, splitLine: { show: false } };
  const ticks = size.from != null && size.to != null ? timeTicks(size.from, size.to, Math.max(2, Math.floor(size.width / 88)), size.zone) : [];
  const words = new Map(ticks.map((tick) => [tick.at, tick]));
  return [
    {
      ...ends, type: "time", axisLine: { lineStyle: { color: theme.axis } }, axisLabel: { show: false },
      // Hovering must not thicken every line: the pointer's time is not a choice of series.
      axisPointer: { type: "line", triggerEmphasis: false, lineStyle: { color: theme.text3, width: 1, type: "solid" }, label: { show: false } },
    },
    {
      ...ends, type: "value", scale: true, axisLine: { show: false }, axisPointer: { show: false },
      axisLabel: {
        ...axisText(theme),
        customValues: ticks.map((tick) => tick.at),
        hideOverlap: true,
        formatter: (at) => {
          const tick = words.get(at);
          return tick ? (tick.strong ? `{strong|${tick.label}}` : tick.label) : "";
        },
        rich: { strong: { color: theme.text2, fontWeight: 600, fontSize: 11, fontFamily: theme.font } },
      },
    },
  ];
}

/** Ticks at round multiples of 1024: the library knows tens only. */
function binarySteps(top, length) {
  const unit = 1024 ** Math.max(0, Math.floor(Math.log(top / 2) / Math.log(1024)));
  const least = top / unit / Math.max(2, Math.min(6, Math.floor(length / 48)));
  const interval = unit * ([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].find((each) => each >= least) ?? 2048);
  return { interval, max: Math.ceil(top / interval) * interval };
}

/** A value axis; `zero` makes it start at nought, up to `top`; `min` and `max` fix its ends, `log` makes each step a tenfold. */
export function valueAxis(theme, { unit, zero, right = false, length, spellUnit = false, top = null, min = null, max = null, log = false }) {
  const spelled = unit && (SPELLED.has(unit) || /^[A-Z]{3}$/.test(unit) || spellUnit);
  return {
    type: log ? "log" : "value",
    position: right ? "right" : undefined,
    scale: !zero && min === null,
    ...(top > 0 && unit?.startsWith("bytes") && max === null && !log ? binarySteps(top, length) : {}),
    ...(min === null ? {} : { min }),
    ...(max === null ? {} : { max }),
    splitNumber: Math.max(2, Math.min(6, Math.floor(length / 48))),
    axisLine: { show: false },
    axisTick: { show: false },
    splitLine: { show: !right, lineStyle: { color: theme.gridLine } },
    axisLabel: { ...axisText(theme), formatter: (value) => formatNumber(value, { unit: spelled ? unit : undefined, decimals: unit === "bytes" ? 0 : undefined, compact: true, figures: 6 }) },
    minorTick: { show: false },
    axisPointer: { show: false },
  };
}

/**
 * The tooltip as elements: text is set as text, so that no series name can become markup.
 * @param {{title: string, rows: {color: string, name: string, value: string, paler?: boolean}[], more?: number, note?: string}} content
 */
export function tooltipElement({ title, rows, more = 0, note = "" }) {
  const box = document.createElement("div");
  box.className = "tip";
  const head = document.createElement("div");
  head.className = "tip-title";
  head.textContent = title;
  box.append(head);
  for (const row of rows) {
    const swatch = document.createElement("i");
    swatch.style.background = row.color;
    if (row.paler) swatch.style.opacity = "0.5";
    const name = document.createElement("span");
    name.textContent = row.name;
    const value = document.createElement("b");
    value.textContent = row.value;
    const lineBox = document.createElement("div");
    lineBox.className = "tip-row";
    lineBox.append(swatch, name, value);
    box.append(lineBox);
  }
  for (const text of [more ? `and ${more} more` : "", note]) {
    if (!text) continue;
    const line = document.createElement("div");
    line.className = "tip-title";
    line.textContent = text;
    box.append(line);
  }
  return box;
}

/**
 * Tooltip of a chart over time: values at that time, largest first, at most twelve. `entries`, one a series, say how its
 * values read; `place`: where a point keeps its value; `shift`: how far it is drawn right of its time (ms).
 * @param {{label: string, describe: (value: number, share?: number) => string, earlier?: boolean, piece?: boolean, note?: (at: number) => string}[]} entries
 */
export function timeTooltip(entries, { zone, every, shift = 0, place = 1, share = -1 }) {
  return (params) => {
    // A piece that leads to a bucket that is cut off begins at a point that its line has already.
    const seen = (each, all) => entries[each.seriesIndex]?.piece && all.some((other) => other !== each && !entries[other.seriesIndex]?.piece && other.seriesName === each.seriesName && !entries[other.seriesIndex]?.earlier && other.value?.[0] === each.value[0]);
    const list = (Array.isArray(params) ? params : [params]).filter((each, _, all) => each.value?.[place] != null && !seen(each, all));
    if (!list.length) return "";
    const at = list[0].value[0] - shift;
    const rows = list
      .map((each) => {
        const entry = entries[each.seriesIndex];
        const part = share < 0 ? "" : ` (${formatNumber(each.value[share], { unit: "percent", decimals: 1 })})`;
        return { sort: each.value[place], color: each.color, name: entry.label, paler: entry.earlier, value: [entry.describe(each.value[place]) + part, entry.note?.(at)].filter(Boolean).join(" ") };
      })
      // What was earlier stands below all that is now.
      .sort((a, b) => Number(a.paler ?? false) - Number(b.paler ?? false) || b.sort - a.sort);
    return tooltipElement({ title: formatFullTime(at, { zone, every }), rows: rows.slice(0, 12), more: Math.max(0, rows.length - 12) });
  };
}

/** Thresholds as faint dashed lines in their status colours. */
export function thresholdLines(thresholds, theme, colorOf) {
  const data = (thresholds ?? [])
    .filter((each) => typeof each.value === "number")
    .map((each) => ({ yAxis: each.value, lineStyle: { color: colorOf(each.color, theme) ?? theme.text3 } }));
  if (!data.length) return undefined;
  return { silent: true, symbol: "none", animation: false, label: { show: false }, lineStyle: { type: [4, 4], width: 1, opacity: 0.8 }, data };
}
