// One number, large: its unit small beside it, below it how it changed and, where the frame has a series, its shape as a
// sparkline of whole buckets, over the shape of the time it is compared with. With `by` columns there is one such number a group. Colour
// comes from thresholds, and the change's from which way is better.

import { readable } from "../color.js";
import { make, write } from "../elements.js";
import { formatNumber, formatFullTime, numberParts, NONE } from "../format.js";
import { beatOf, label, roles, seriesOf } from "../frame.js";
import { thresholdColor, thresholdFor } from "../theme-values.js";
import { cutOff, growingColumns, wholePoints } from "./cut.js";
import { valueAt } from "./legend.js";
import { filterItems, PointMenu } from "./point-menu.js";
import { EARLIER } from "./series.js";

export const needs = "at least one number; with a time (`every`) its course is drawn too";
export const lacks = (frame) => (roles(frame).values.length ? null : "A number");

/** A tile's own period goes before the page's. */
export function compares(tile, wanted) {
  const own = tile.options?.compare;
  return own && own !== "start" && own !== "none" ? own : wanted;
}

const SVG = "http://www.w3.org/2000/svg";
const MOST = 24;

/** @returns {{name: string, unit?: string, value: number | null, at: number | null, by: Record<string, any>, points: [number, number | null][] | null}[]} */
export function figures(frame) {
  const { time, dimensions, values } = roles(frame);
  if (time >= 0) {
    return seriesOf(frame).map((series) => {
      const known = series.points.filter(([, value]) => value !== null).at(-1);
      return { name: series.name, unit: series.unit, column: series.column, value: known?.[1] ?? null, at: known?.[0] ?? null, by: series.by, points: series.points };
    });
  }
  const found = [];
  const count = frame.data[0]?.length ?? 0;
  for (let r = 0; r < count; r += 1) {
    for (const c of values) {
      const name = [...dimensions.map((d) => label(frame.data[d][r])), ...(values.length > 1 || !dimensions.length ? [frame.columns[c].name] : [])].join(" · ");
      found.push({ name, unit: frame.columns[c].unit, value: frame.data[c][r], at: null, by: Object.fromEntries(dimensions.map((d) => [frame.columns[d].name, frame.data[d][r] ?? null])), points: null });
    }
  }
  return found;
}

/** Ends of time and value that hold all of these points; null without a value. */
export function extent(...lists) {
  const all = lists.flat().filter(([, value]) => value !== null);
  if (!all.length) return null;
  const ends = (place) => all.reduce(([low, high], point) => [Math.min(low, point[place]), Math.max(high, point[place])], [Infinity, -Infinity]);
  return { time: ends(0), value: ends(1) };
}

/** An SVG path through the points in a box of 100 × 32, broken where values are missing; null for fewer than two. */
export function sparkPath(points, every, within = extent(points)) {
  if (points.filter(([, value]) => value !== null).length < 2) return null;
  const [first, last] = within.time, [low, high] = within.value;
  const beat = beatOf(points, every);
  let path = "";
  let before = null;
  for (const [at, value] of points) {
    if (value === null) {
      before = null;
      continue;
    }
    const x = ((at - first) / (last - first || 1)) * 100;
    const y = 30 - ((value - low) / (high - low || 1)) * 28;
    path += `${before === null || (beat && at - before > 1.5 * beat) ? "M" : "L"}${x.toFixed(2)} ${y.toFixed(2)}`;
    before = at;
  }
  return path;
}

/** Whether "20 % more" means anything: not on scales whose nought is arbitrary, and not of shares. */
const hasRatio = (unit) => !unit.startsWith("°") && !["percent", "%", "percentunit", "Mw", "pH", "dB"].includes(unit);

/**
 * What the change line says; `way` is 1 up, -1 down, 0 none.
 * @param {object} figure @param {{value: number | null, at: number | null, words: string} | null} earlier
 * @returns {{text: string, title: string, way: number}}
 */
export function change(figure, earlier, wanted, zone) {
  const none = { text: "", title: "", way: 0 };
  if (!earlier || figure.value === null) return none;
  if (earlier.value === null) return { ...none, text: `Nothing ${earlier.words}` };
  const by = figure.value - earlier.value;
  const unit = wanted.unit ?? figure.unit ?? "";
  const percent = earlier.value > 0 && Math.abs(by / earlier.value) < 10 && hasRatio(unit);
  const size = percent ? formatNumber((by / earlier.value) * 100, { unit: "percent", decimals: 1 }) : formatNumber(by, { unit, decimals: wanted.decimals });
  const when = earlier.at === null ? earlier.words : `at ${formatFullTime(earlier.at, { zone })}`;
  const title = `${formatNumber(earlier.value, { unit, decimals: wanted.decimals })} ${when}`;
  if (!/[1-9]/.test(size)) return { text: `→ no change vs ${earlier.short}`, title, way: 0 };
  return { text: `${by > 0 ? "↑ +" : "↓ "}${size} vs ${earlier.short}`, title, way: Math.sign(by) };
}

/**
 * A figure of whole buckets: what is counted or summed is not held against the others while its bucket fills, nor is the
 * first one, of which a part lies before the range. `soFar`: the number itself is of a bucket that still fills.
 */
export function wholeFigure(figure, frame, query, context) {
  if (!figure.points || !growingColumns(query).has(figure.column)) return figure;
  const known = figure.points.filter(([, value]) => value !== null);
  const cut = cutOff(known, frame, context);
  const points = wholePoints(known, cut);
  if (!cut.first && !cut.last) return figure;
  return { ...figure, value: points.at(-1)[1], at: points.at(-1)[0], points, soFar: cut.last };
}

/** What a figure is compared with, or null. */
function before(figure, frames, wanted, compare) {
  if (compare) {
    const then = frames.find((each) => each.earlier);
    if (!then) return null;
    const words = EARLIER[compare] ?? "earlier";
    const found = figures(then.frame).find((each) => each.name === figure.name);
    if (figure.at === null || !found?.points) return { value: found?.value ?? null, at: null, words, short: words };
    return { value: valueAt(found.points, figure.at - then.shift, then.frame.every), at: figure.at - then.shift, words, short: words, points: found.points.map(([at, value]) => [at + then.shift, value]) };
  }
  if (wanted.compare === "none") return null;
  const known = figure.points?.filter(([, value]) => value !== null) ?? [];
  return known.length < 2 ? null : { value: known[0][1], at: known[0][0], words: "at the start", short: "start" };
}

/** Renderer; see tiles.js. */
export function renderer(body) {
  const grid = make("div", "stats", body);
  const menu = new PointMenu(body);
  const cells = [];
  let latest = { list: [], context: null };

  function path(parent, className) {
    const made = parent.appendChild(document.createElementNS(SVG, "path"));
    made.setAttribute("class", className);
    if (className !== "spark-area") made.setAttribute("vector-effect", "non-scaling-stroke");
    return made;
  }

  function cell(index) {
    if (cells[index]) return cells[index];
    const box = make("div", "stat");
    const name = make("div", "stat-name", box);
    const value = make("div", "stat-value", box);
    const number = make("span", "stat-number", value);
    const unit = make("span", "stat-unit", value);
    const delta = make("div", "stat-change", box);
    const spark = document.createElementNS(SVG, "svg");
    for (const [key, text] of Object.entries({ class: "stat-spark", viewBox: "0 0 100 32", preserveAspectRatio: "none", "aria-hidden": "true" })) spark.setAttribute(key, text);
    box.append(spark);
    cells[index] = { box, name, number, unit, delta, spark, area: path(spark, "spark-area"), then: path(spark, "spark-then"), path: path(spark, "spark-line") };
    const more = (event) => {
      const figure = latest.list[index];
      if (!figure || menu.element?.contains(event.target)) return;
      const { filter, links } = latest.context;
      const fields = Object.fromEntries(Object.entries(figure.by ?? {}).map(([field, each]) => [`__field:${field}`, each ?? ""]));
      const items = [...filterItems(figure.by, filter), ...(links?.({ __value: figure.value ?? "", ...fields }) ?? [])];
      const place = body.getBoundingClientRect();
      if (menu.open(event.clientX - place.left, event.clientY - place.top, { title: figure.name, items })) event.preventDefault();
    };
    box.addEventListener("click", more);
    box.addEventListener("contextmenu", more);
    return cells[index];
  }

  function sparkline(parts, figure, then, frame, wanted) {
    const [first, last] = [figure.points?.[0]?.[0], figure.points?.at(-1)?.[0]];
    const earlier = then?.points?.filter(([at]) => figure.soFar === undefined || (at >= first && at <= last)) ?? [];
    const within = figure.points && wanted.sparkline !== false ? extent(figure.points, earlier) : null;
    const drawn = within && sparkPath(figure.points, frame.every, within);
    parts.spark.toggleAttribute("hidden", !drawn);
    if (!drawn) return;
    parts.path.setAttribute("d", drawn);
    parts.then.setAttribute("d", sparkPath(earlier, frame.every, within) || "");
    parts.area.setAttribute("d", drawn.split("M").filter(Boolean).map((run) => {
      const xs = run.split("L").map((point) => point.split(" ")[0]);
      return `M${run}L${xs.at(-1)} 32L${xs[0]} 32Z`;
    }).join(""));
  }

  return {
    draw(frame, context) {
      const wanted = context.tile?.options ?? {};
      const { theme, zone, frames = [], compare } = context;
      const list = figures(frame).slice(0, MOST);
      latest = { list, context };
      grid.dataset.many = String(list.length > 1);
      const spoken = list.map((figure, i) => {
        const parts = cell(i);
        const unit = wanted.unit ?? figure.unit;
        const large = Math.abs(figure.value ?? 0) >= 1e7;
        const [number, shown] = numberParts(figure.value, { unit, decimals: wanted.decimals, compact: large, figures: 3 });
        write(parts.name, list.length > 1 ? figure.name : "");
        parts.name.title = figure.name;
        write(parts.number, number);
        write(parts.unit, shown);
        parts.number.title = figure.value === null ? "No value" : formatNumber(figure.value, { unit });
        const reached = thresholdFor(figure.value, wanted.thresholds);
        const ground = Boolean(reached) && wanted.colored === "background";
        const color = (reached && thresholdColor(reached.color, theme, ground)) || "";
        parts.box.classList.toggle("on-color", Boolean(ground && color));
        parts.box.style.setProperty("--ground", ground ? color : "");
        parts.box.style.setProperty("--ink", ground ? readable(color, "#ffffff", "#101216") : "");
        parts.number.style.color = ground ? "" : color;
        const full = wholeFigure(figure, frame, context.tile?.query, context);
        // An earlier period is cut off where this one is: those two can be held against each other as they are.
        const told = compare ? figure : full;
        const then = number === NONE ? null : before(told, frames, wanted, compare);
        const { text: changed, title, way } = change(told, then, wanted, zone);
        const text = told.soFar ? [`so far · last full ${formatNumber(told.value, { unit, decimals: wanted.decimals, compact: large })}`, changed].filter(Boolean).join(" ") : changed;
        write(parts.delta, text);
        parts.delta.title = title;
        const good = { up: 1, down: -1 }[wanted.better];
        parts.delta.dataset.way = !good || !way ? "" : way === good ? "good" : "bad";
        sparkline(parts, full, then, frame, wanted);
        if (grid.children[i] !== parts.box) grid.append(parts.box);
        return [list.length > 1 ? figure.name : "", number, shown, text].filter(Boolean).join(" ");
      });
      while (grid.children.length > list.length) grid.lastChild.remove();
      return { unit: "", latest: "", role: "group", spoken: spoken.join(", ") };
    },
    dispose() {
      menu.close();
    },
  };
}
