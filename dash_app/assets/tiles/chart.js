// The living side of a chart tile: an ECharts instance fed with options, a legend of plain elements whose numbers follow
// the pointer, a crosshair shared with the other tiles, and dragging to zoom. Between two frames of the same series only
// data and axis ends are handed over.

import { loadECharts } from "../echarts.js";
import { formatFullTime, NONE } from "../format.js";
import { behindTime } from "../lineage.js";

/** Points of one bucket that a press lists. */
const MOST_POINTS = 12;

/** Last non-null value at or before `at`, or null once it lies more than `reach` ms back. */
function valueAt(points, at, reach) {
  let low = 0, high = points.length - 1, found = -1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= at) {
      found = middle;
      low = middle + 1;
    } else high = middle - 1;
  }
  if (found < 0) return null;
  return reach && at - points[found][0] > reach ? null : points[found][1];
}

function lastValue(points) {
  for (let i = points.length - 1; i >= 0; i -= 1) if (points[i][1] !== null) return points[i][1];
  return null;
}

function element(name, className, parent) {
  const made = document.createElement(name);
  made.className = className;
  parent?.append(made);
  return made;
}

/**
 * A renderer from a pure options function.
 * @param {Function} make see tiles.js
 */
export function chart(make) {
  return (body, tile, context) => new Chart(body, tile, context, make);
}

class Chart {
  constructor(body, tile, context, make) {
    Object.assign(this, { tile, make, order: [], shape: "", hidden: new Set(), frame: null, facts: null });
    this.canvas = element("div", "chart-canvas", body);
    this.legend = element("div", "legend", body);
    this.legend.hidden = true;
    this.cross = element("div", "crosshair", this.canvas);
    this.cross.hidden = true;
    this.chart = null;
    this.disposed = false;
    this.context = context;
    this.ready = loadECharts().then((echarts) => {
      if (this.disposed) return;
      this.chart = echarts.init(this.canvas, null, { renderer: "canvas" });
      // ECharts clears its container when it starts.
      this.canvas.append(this.cross);
      this.listen();
      if (this.frame) this.draw(this.frame, this.context);
    });
    this.ready.catch((error) => context.failed(error.message, "Reload the page; if it stays, the server's static files are incomplete."));
  }

  /** @returns {{unit: string, latest: string}} what the tile's head shows */
  draw(frame, context, again = false) {
    this.frame = frame;
    this.context = context;
    const size = { width: this.canvas.clientWidth, height: this.canvas.clientHeight, from: context.from, to: context.to, zone: context.zone, order: this.order, hidden: this.hidden };
    if (!size.width || !size.height) return null;
    const { facts, ...options } = this.make(this.tile, frame, context.theme, size);
    this.facts = facts;
    this.order = facts.time ? [...this.order, ...facts.legend.map((entry) => entry.name).filter((name) => !this.order.includes(name))].slice(-200) : [];
    this.drawLegend();
    // The legend may have taken room from the canvas: what is drawn must know.
    if (this.canvas.clientHeight !== size.height && !again) return this.draw(frame, context, true);
    if (this.chart) {
      if (this.chart.getHeight() !== this.canvas.clientHeight || this.chart.getWidth() !== this.canvas.clientWidth) this.chart.resize();
      const shape = JSON.stringify([options.series.map((each) => [each.id, each.color, each.yAxisIndex, each.stack]), options.yAxis.length, context.theme]);
      if (shape === this.shape) {
        this.chart.setOption({
          xAxis: options.xAxis, yAxis: options.yAxis, tooltip: { formatter: options.tooltip.formatter },
          series: options.series.map(({ id, type, data, showSymbol, symbolSize }) => ({ id, type, data, showSymbol, symbolSize })),
        }, { silent: true });
      } else {
        this.shape = shape;
        this.chart.setOption(options, { notMerge: true, silent: true });
        for (const name of this.hidden) this.chart.dispatchAction({ type: "legendUnSelect", name });
      }
    }
    const [only] = facts.legend;
    const latest = facts.legend.length === 1 && only.points ? lastValue(only.points) : null;
    return { unit: facts.unit, latest: latest === null ? "" : only.describe(latest) };
  }

  drawLegend(at = null) {
    const { legend, left, leftCategories = 0 } = this.facts;
    const notes = left > 0 ? `${left} more not drawn` : leftCategories > 0 ? `${leftCategories} more not shown` : "";
    const wanted = legend.length > 1 || notes;
    this.legend.hidden = !wanted;
    if (!wanted) return;
    const entries = legend.length > 1 ? legend : [];
    while (this.legend.children.length > entries.length) this.legend.lastChild.remove();
    entries.forEach((entry, i) => {
      let item = this.legend.children[i];
      if (!item || item.className === "legend-note") {
        item?.remove();
        item = element("button", "legend-item");
        item.type = "button";
        item.append(element("i", ""), element("span", ""), element("b", ""));
        item.addEventListener("click", () => this.toggle(item.title));
        item.addEventListener("pointerenter", () => this.chart?.dispatchAction({ type: "highlight", seriesName: item.title }));
        item.addEventListener("pointerleave", () => this.chart?.dispatchAction({ type: "downplay", seriesName: item.title }));
        this.legend.append(item);
      }
      const [swatch, name, number] = item.children;
      const value = !entry.points ? "" : at === null ? lastValue(entry.points) : valueAt(entry.points, at, this.frame.every);
      if (item.title !== entry.name) {
        item.title = entry.name;
        name.textContent = entry.name;
      }
      if (swatch.style.background !== entry.color) swatch.style.background = entry.color;
      const text = value === "" ? "" : value === null ? NONE : entry.describe(value);
      if (number.textContent !== text) number.textContent = text;
      item.setAttribute("aria-pressed", String(!this.hidden.has(entry.name)));
    });
    if (notes) element("span", "legend-note", this.legend).textContent = notes;
  }

  toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.chart?.dispatchAction({ type: this.hidden.has(name) ? "legendUnSelect" : "legendSelect", name });
    this.draw(this.frame, this.context);
  }

  listen() {
    const zr = this.chart.getZr();
    const timeAt = (x) => {
      const at = this.chart.convertFromPixel({ xAxisIndex: 0 }, x);
      return Array.isArray(at) ? at[0] : at;
    };
    zr.on("mousemove", ({ offsetX, offsetY }) => {
      if (!this.facts?.time) return;
      this.context.hover?.(this.chart.containPixel("grid", [offsetX, offsetY]) ? timeAt(offsetX) : null, this);
    });
    zr.on("globalout", () => this.context.hover?.(null, this));
    let start = null;
    const band = element("div", "zoom-band", this.canvas);
    band.hidden = true;
    const x = (event) => Math.min(Math.max(event.clientX - this.canvas.getBoundingClientRect().left, 0), this.canvas.clientWidth);
    const moved = (event) => {
      const [left, right] = [start, x(event)].sort((a, b) => a - b);
      band.hidden = right - left < 4;
      band.style.left = `${left}px`;
      band.style.width = `${right - left}px`;
    };
    const ended = (event) => {
      removeEventListener("pointermove", moved);
      removeEventListener("pointerup", ended);
      removeEventListener("pointercancel", ended);
      band.hidden = true;
      const [left, right] = [start, x(event)].sort((a, b) => a - b);
      start = null;
      if (event.type === "pointercancel" || right - left < 6) return;
      const from = Math.max(timeAt(left), this.context.from ?? -Infinity);
      const to = Math.min(timeAt(right), this.context.to ?? Infinity);
      if (to - from >= 1000) this.context.zoom(from, to);
    };
    // Fingers scroll the page; zooming is for pointers that hover.
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button || event.pointerType === "touch" || !this.facts?.time || !this.context.zoom) return;
      const box = this.canvas.getBoundingClientRect();
      if (!this.chart.containPixel("grid", [event.clientX - box.left, event.clientY - box.top])) return;
      start = x(event);
      addEventListener("pointermove", moved);
      addEventListener("pointerup", ended);
      addEventListener("pointercancel", ended);
    });
    // A press without a drag asks where a point comes from; with a second one it was a double click.
    zr.on("click", ({ offsetX, offsetY }) => {
      this.closeMenu();
      if (!this.facts?.time || !this.context.lineage || !this.chart.containPixel("grid", [offsetX, offsetY])) return;
      this.opening = setTimeout(() => this.openMenu(offsetX, offsetY, timeAt(offsetX)), 220);
    });
    this.canvas.addEventListener("dblclick", () => this.closeMenu());
    this.canvas.addEventListener("dblclick", () => this.context.zoomOut?.());
  }

  /** The points of a bucket, each with the way to the records behind it. */
  openMenu(x, y, at) {
    const found = this.frame && behindTime(this.frame, at, this.context);
    if (!found || this.disposed) return;
    this.menu = element("div", "menu point-menu", this.canvas);
    this.menu.setAttribute("role", "dialog");
    this.menu.setAttribute("aria-label", "Where these points come from");
    element("div", "menu-note", this.menu).textContent = formatFullTime(found.at, { zone: this.context.zone });
    for (const { name, point } of found.rows.slice(0, MOST_POINTS)) {
      const link = element("a", "", this.menu);
      link.href = this.context.lineage.recordsAddress(this.tile.query, point);
      link.textContent = name ? `Records behind ${name}` : "Records behind this point";
    }
    if (found.rows.length > MOST_POINTS) element("div", "menu-note", this.menu).textContent = `and ${found.rows.length - MOST_POINTS} more: see “View data”`;
    const { clientWidth, clientHeight } = this.canvas;
    this.menu.style.left = `${Math.max(0, Math.min(x + 8, clientWidth - this.menu.offsetWidth))}px`;
    this.menu.style.top = `${Math.max(0, Math.min(y + 8, clientHeight - this.menu.offsetHeight))}px`;
    this.menu.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.onOutside = (event) => {
      if (event.type === "keydown" ? event.key === "Escape" : !event.composedPath().includes(this.menu)) this.closeMenu();
    };
    addEventListener("pointerdown", this.onOutside);
    addEventListener("keydown", this.onOutside);
    this.menu.querySelector("a").focus({ preventScroll: true });
  }

  closeMenu() {
    clearTimeout(this.opening);
    if (!this.menu) return;
    this.menu.remove();
    this.menu = null;
    removeEventListener("pointerdown", this.onOutside);
    removeEventListener("keydown", this.onOutside);
  }

  /** Show (or with null hide) the time another tile's pointer is at. */
  hover(at, own) {
    if (!this.facts?.time || !this.chart || !this.frame) return;
    this.drawLegend(at);
    const x = at === null || own ? NaN : this.chart.convertToPixel({ xAxisIndex: 0 }, at);
    const inside = Number.isFinite(x) && at >= (this.context.from ?? -Infinity) && at <= (this.context.to ?? Infinity);
    this.cross.hidden = !inside;
    if (inside) this.cross.style.transform = `translateX(${Math.round(x)}px)`;
  }

  resize() {
    this.chart?.resize();
  }

  dispose() {
    this.disposed = true;
    this.closeMenu();
    this.chart?.dispose();
  }
}
