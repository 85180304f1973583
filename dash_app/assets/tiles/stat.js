// One number, large: its unit small beside it, below it the change over the range and, where the frame has a series, its
// shape as a sparkline. With `by` columns there is one such number a group. Colour comes from thresholds alone.

import { formatNumber, formatFullTime, numberParts, NONE } from "../format.js";
import { label, roles, seriesOf } from "../frame.js";
import { thresholdColor, thresholdFor } from "../theme-values.js";

const SVG = "http://www.w3.org/2000/svg";
const MOST = 24;

/** @returns {{name: string, unit?: string, value: number | null, points: [number, number | null][] | null}[]} */
export function figures(frame) {
  const { time, dimensions, values } = roles(frame);
  if (time >= 0) {
    return seriesOf(frame).map((series) => {
      const known = series.points.filter(([, value]) => value !== null);
      return { name: series.name, unit: series.unit, value: known.at(-1)?.[1] ?? null, points: series.points };
    });
  }
  const found = [];
  const count = frame.data[0]?.length ?? 0;
  for (let r = 0; r < count; r += 1) {
    for (const c of values) {
      const name = [...dimensions.map((d) => label(frame.data[d][r])), ...(values.length > 1 || !dimensions.length ? [frame.columns[c].name] : [])].join(" · ");
      found.push({ name, unit: frame.columns[c].unit, value: frame.data[c][r], points: null });
    }
  }
  return found;
}

/** An SVG path through the points in a box of 100 × 32, broken where values are missing; null for fewer than two. */
export function sparkPath(points, every) {
  const known = points.filter(([, value]) => value !== null);
  if (known.length < 2) return null;
  const first = points[0][0], last = points.at(-1)[0];
  const low = Math.min(...known.map(([, value]) => value));
  const span = Math.max(...known.map(([, value]) => value)) - low || 1;
  let path = "";
  let before = null;
  for (const [at, value] of points) {
    if (value === null) {
      before = null;
      continue;
    }
    const x = ((at - first) / (last - first || 1)) * 100;
    const y = 30 - ((value - low) / span) * 28;
    path += `${before === null || (every && at - before > 1.5 * every) ? "M" : "L"}${x.toFixed(2)} ${y.toFixed(2)}`;
    before = at;
  }
  return path;
}

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Whether "20 % more" means anything: not on scales whose nought is arbitrary, and not of shares. */
const hasRatio = (unit) => !unit.startsWith("°") && !["percent", "%", "percentunit", "Mw", "pH", "dB"].includes(unit);

/** What the change line says, or "" where there is nothing to compare with. */
function change(figure, wanted, zone) {
  const known = figure.points?.filter(([, value]) => value !== null) ?? [];
  if (known.length < 2) return ["", ""];
  const [at, before] = wanted.change === "previous" ? known.at(-2) : known[0];
  const by = figure.value - before;
  const sign = by > 0 ? "+" : "";
  const arrow = by > 0 ? "↑" : by < 0 ? "↓" : "→";
  const since = wanted.change === "previous" ? "vs bucket before" : "vs start";
  const unit = wanted.unit ?? figure.unit ?? "";
  const percent = before > 0 && Math.abs(by / before) < 10 && wanted.change !== "value" && hasRatio(unit);
  const size = percent ? formatNumber((by / before) * 100, { unit: "percent", decimals: 1 }) : formatNumber(by, { unit, decimals: wanted.decimals });
  return [/[1-9]/.test(size) ? `${arrow} ${sign}${size} ${since}` : "→ no change", `${formatNumber(before, { unit })} at ${formatFullTime(at, { zone })}`];
}

/** Renderer; see tiles.js. */
export function stat(body, tile) {
  const wanted = tile.options ?? {};
  const grid = make("div", "stats");
  body.append(grid);
  const cells = [];

  function cell(index) {
    if (cells[index]) return cells[index];
    const name = make("div", "stat-name");
    const number = make("span", "stat-number");
    const unit = make("span", "stat-unit");
    const delta = make("div", "stat-change");
    const spark = document.createElementNS(SVG, "svg");
    spark.setAttribute("class", "stat-spark");
    spark.setAttribute("viewBox", "0 0 100 32");
    spark.setAttribute("preserveAspectRatio", "none");
    spark.setAttribute("aria-hidden", "true");
    const area = spark.appendChild(document.createElementNS(SVG, "path"));
    area.setAttribute("class", "spark-area");
    const path = spark.appendChild(document.createElementNS(SVG, "path"));
    path.setAttribute("class", "spark-line");
    path.setAttribute("vector-effect", "non-scaling-stroke");
    const box = make("div", "stat", name, make("div", "stat-value", number, unit), delta, spark);
    cells[index] = { box, name, number, unit, delta, spark, path, area };
    return cells[index];
  }

  return {
    draw(frame, context) {
      const list = figures(frame).slice(0, MOST);
      grid.dataset.many = String(list.length > 1);
      list.forEach((figure, i) => {
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
        parts.number.style.color = (reached && thresholdColor(reached.color, context.theme)) || "";
        const [text, title] = number === NONE ? ["", ""] : change(figure, wanted, context.zone);
        write(parts.delta, text);
        parts.delta.title = title;
        const path = wanted.sparkline !== false && figure.points ? sparkPath(figure.points, frame.every) : null;
        parts.spark.toggleAttribute("hidden", !path);
        if (path) {
          parts.path.setAttribute("d", path);
          parts.area.setAttribute("d", path.split("M").filter(Boolean).map((run) => {
            const xs = run.split("L").map((point) => point.split(" ")[0]);
            return `M${run}L${xs.at(-1)} 32L${xs[0]} 32Z`;
          }).join(""));
        }
        if (grid.children[i] !== parts.box) grid.append(parts.box);
      });
      while (grid.children.length > list.length) grid.lastChild.remove();
      return { unit: "", latest: "" };
    },
    dispose() {},
  };
}
