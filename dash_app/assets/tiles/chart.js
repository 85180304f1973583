// The living side of a chart tile: an ECharts instance fed with options, a legend whose numbers follow the pointer, a
// crosshair shared with the other tiles, dragging to zoom, a press that asks what a point is about. Between two frames of
// the same shape only data and axis ends are handed over.

import { loadECharts } from "../echarts.js";
import { make as element } from "../elements.js";
import { formatFullTime } from "../format.js";
import { behindTime, originOf, pointOf } from "../lineage.js";
import { Annotations } from "./annotations.js";
import { dragZoom } from "./drag-zoom.js";
import { lastValue, Legend, valueAt } from "./legend.js";
import { filterItems, PointMenu } from "./point-menu.js";

/** Points of one bucket that a press lists. */
const MOST_POINTS = 12;

/**
 * A renderer from a pure options function.
 * @param {Function} make see tiles.js
 * @param {(echarts: object, chart: Chart) => void | Promise<void>} [setup] what a kind needs once before it can be drawn
 */
export function chart(make, setup) {
  return (body, tile, context) => new Chart(body, context, make, setup);
}

export class Chart {
  constructor(body, context, make, setup) {
    Object.assign(this, { make, context, order: [], shape: "", hidden: new Set(), frame: null, facts: null, chart: null, disposed: false });
    this.canvas = element("div", "chart-canvas", body);
    this.legend = new Legend(body, {
      toggle: (name) => this.toggle(name),
      only: (name) => this.only(name),
      point: (name) => this.chart?.dispatchAction({ type: name === null ? "downplay" : "highlight", ...(name === null ? {} : { seriesName: name }) }),
      more: (entry, event) => this.legendMenu(entry, event),
    });
    this.cross = element("div", "crosshair", this.canvas);
    this.cross.hidden = true;
    this.menu = new PointMenu(this.canvas);
    this.ready = loadECharts().then(async (echarts) => {
      await setup?.(echarts, this);
      if (this.disposed) return;
      this.chart = echarts.init(this.canvas, null, { renderer: "canvas" });
      // ECharts clears its container when it starts.
      this.annotations = new Annotations(this.canvas);
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
    const { from, to, now, zone, frames, compare, filters } = context;
    const size = { width: this.canvas.clientWidth, height: this.canvas.clientHeight, from, to, now, zone, order: this.order, hidden: this.hidden, frames, compare, filters, view: this.view };
    if (!size.width || !size.height) return null;
    const { facts, ...options } = this.make(context.tile, frame, context.theme, size);
    this.facts = facts;
    this.order = facts.time || facts.keeps ? [...this.order, ...facts.legend.map((entry) => entry.name).filter((name) => !this.order.includes(name))].slice(-200) : [];
    this.drawLegend();
    // The legend may have taken room from the canvas: what is drawn must know.
    if (this.canvas.clientHeight !== size.height && !again) return this.draw(frame, context, true);
    if (this.chart) {
      if (this.chart.getHeight() !== this.canvas.clientHeight || this.chart.getWidth() !== this.canvas.clientWidth) this.chart.resize();
      this.hand(options, facts, context);
      this.annotate();
      if (!this.begun) facts.started?.(this);
      this.begun = true;
      this.view = facts.view ?? null;
    }
    const [only] = facts.legend;
    const latest = facts.legend.length === 1 && only.points ? lastValue(only.points) : null;
    return { unit: facts.unit, latest: facts.latest ?? (latest === null || facts.kind === "table" ? "" : only.describe(latest)), spoken: facts.spoken };
  }

  /** Only data and axis ends where nothing else has changed. */
  hand(options, facts, context) {
    const shape = JSON.stringify([options.series.map((each) => [each.id, each.type, each.color, each.yAxisIndex, each.stack, each.name]), options.yAxis?.length, facts.shape, context.theme]);
    if (shape !== this.shape) {
      this.shape = shape;
      this.chart.setOption(options, { notMerge: true, silent: true });
      for (const name of this.hidden) this.chart.dispatchAction({ type: "legendUnSelect", name });
    } else if (facts.time) {
      this.chart.setOption({
        xAxis: options.xAxis, yAxis: options.yAxis, tooltip: { formatter: options.tooltip.formatter },
        series: options.series.map(({ id, type, data, showSymbol, symbolSize }) => ({ id, type, data, showSymbol, symbolSize })),
      }, { silent: true });
    } else this.chart.setOption(options, { silent: true });
  }

  drawLegend(at = null) {
    this.legend.draw(this.facts, this.hidden, at, this.frame.every);
  }

  annotate() {
    const { from, to, annotations = [], theme, zone } = this.context;
    if (!this.facts.time || from == null || to == null || !annotations.length) this.annotations.hide();
    else this.annotations.draw(annotations, (at) => this.chart.convertToPixel({ xAxisIndex: 0 }, at), { from, to, theme, zone });
  }

  toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.show([name]);
  }

  /** This series alone; when it is alone, all of them again. */
  only(name) {
    const others = this.facts.legend.map((entry) => entry.name).filter((each) => each !== name);
    const alone = others.every((each) => this.hidden.has(each)) && !this.hidden.has(name);
    this.hidden = new Set(alone ? [] : others);
    this.show([name, ...others]);
  }

  show(names) {
    for (const name of names) this.chart?.dispatchAction({ type: this.hidden.has(name) ? "legendUnSelect" : "legendSelect", name });
    this.draw(this.frame, this.context);
  }

  listen() {
    const zr = this.chart.getZr();
    const inside = (x, y) => Boolean(this.facts?.time) && this.chart.containPixel("grid", [x, y]);
    zr.on("mousemove", ({ offsetX, offsetY }) => {
      if (this.facts?.time) this.context.hover?.(inside(offsetX, offsetY) ? this.timeAt(offsetX) : null, this);
    });
    zr.on("globalout", () => this.context.hover?.(null, this));
    dragZoom(this.canvas, {
      can: (x, y) => Boolean(this.context.zoom) && inside(x, y),
      timeAt: (x) => this.timeAt(x),
      chosen: (left, right, { ctrlKey, metaKey }) => {
        const from = Math.max(left, this.context.from ?? -Infinity);
        const to = Math.min(right, this.context.to ?? Infinity);
        if (to - from < 1000) return;
        if (this.context.annotate && (ctrlKey || metaKey)) this.context.annotate(Math.round(from), Math.round(to));
        else {
          // The pointer stands where another time is now.
          this.chart.dispatchAction({ type: "hideTip" });
          this.chart.dispatchAction({ type: "updateAxisPointer", currTrigger: "leave" });
          this.context.zoom(from, to);
        }
      },
    });
    // A press without a drag asks what a point is about; with a second one it was a double click.
    zr.on("click", ({ offsetX, offsetY }) => {
      this.closeMenu();
      if (inside(offsetX, offsetY) && !this.facts.pick) this.opening = setTimeout(() => this.openMenu(offsetX, offsetY, this.timeAt(offsetX)), 220);
    });
    this.chart.on("click", (params) => {
      const point = this.facts?.pick?.(params);
      if (!point) return;
      const { filter } = this.context;
      const fields = Object.entries(point.by ?? {});
      const exclude = Boolean(params.event?.event?.shiftKey || params.event?.event?.altKey);
      if (filter && fields.length && !this.facts.time) for (const [field, value] of fields) filter(field, value, { exclude });
      else this.opening = setTimeout(() => this.pointMenu(point, params.event.offsetX, params.event.offsetY), this.facts.time ? 220 : 0);
    });
    this.chart.on("contextmenu", (params) => {
      const point = this.facts?.pick?.(params);
      if (point && this.pointMenu(point, params.event.offsetX, params.event.offsetY)) params.event.event.preventDefault();
    });
    this.canvas.addEventListener("dblclick", () => {
      this.closeMenu();
      if (this.facts?.time) this.context.zoomOut?.();
    });
  }

  timeAt(x) {
    const at = this.chart.convertFromPixel({ xAxisIndex: 0 }, x);
    return Array.isArray(at) ? at[0] : at;
  }

  /** What a point's links can name: its value and its fields. */
  linksFor(by, value) {
    return this.context.links?.({ __value: value ?? "", ...Object.fromEntries(Object.entries(by ?? {}).map(([field, each]) => [`__field:${field}`, each ?? ""])) }) ?? [];
  }

  /** The points of a bucket, each with the way to the records behind it, and what else can be done here. */
  openMenu(x, y, at) {
    if (!this.frame || this.disposed) return;
    const { context } = this;
    const query = context.tile.query ?? context.tile.queries?.[0];
    const found = behindTime(this.frame, at, context);
    const items = [];
    if (context.lineage && found && query) {
      for (const { name, point } of found.rows.slice(0, MOST_POINTS)) items.push({ text: name ? `Records behind ${name}` : "Records behind this point", href: context.lineage.recordsAddress(query, point) });
      if (found.rows.length > MOST_POINTS) items.push({ text: `and ${found.rows.length - MOST_POINTS} more: see “View data”` });
    }
    const nearest = this.nearest(at, y);
    if (nearest) items.push(...filterItems(nearest.entry.by, context.filter));
    if (context.annotate) items.push({ text: "Annotate here", act: () => context.annotate(Math.round(at), null) });
    items.push(...this.linksFor(nearest?.entry.by, nearest?.value));
    this.menu.open(x, y, { title: formatFullTime(found?.at ?? at, { zone: context.zone }), label: "Where these points come from", items });
  }

  /** The series whose line passes closest to the pointer. */
  nearest(at, y) {
    const reach = this.frame.every ? 1.5 * this.frame.every : undefined;
    let best = null;
    for (const entry of this.facts.legend) {
      if (!entry.points || this.hidden.has(entry.name)) continue;
      const value = valueAt(entry.points, at, reach);
      if (value === null) continue;
      const away = Math.abs(this.chart.convertToPixel({ yAxisIndex: entry.right && this.facts.sides ? 1 : 0 }, value) - y);
      if (!best || away < best.away) best = { entry, value, away };
    }
    return best;
  }

  /** What a bar, slice, cell or point of a map is about. */
  pointMenu(point, x, y) {
    const { context } = this;
    const items = [...filterItems(point.by, context.filter)];
    const behind = point.row == null ? null : pointOf(this.frame, point.row, context);
    if (behind && context.lineage && context.tile.query) items.push({ text: "Records behind it", href: context.lineage.recordsAddress(context.tile.query, behind) });
    const origin = point.record == null || behind ? null : originOf(this.frame, point.record, context.tile.query, context);
    if (origin) items.push({ text: origin.label, href: origin.href });
    if (context.annotate && point.time != null) items.push({ text: "Annotate here", act: () => context.annotate(point.time, null) });
    items.push(...this.linksFor(point.fields ?? point.by, point.value));
    return this.menu.open(x, y, { title: point.title ?? point.name, items });
  }

  legendMenu(entry, event) {
    const box = this.canvas.getBoundingClientRect();
    return this.menu.open(event.clientX - box.left, event.clientY - box.top, { title: entry.label, items: [...filterItems(entry.by, this.context.filter), ...this.linksFor(entry.by, entry.points ? lastValue(entry.points) : null)] });
  }

  closeMenu() {
    clearTimeout(this.opening);
    this.menu.close();
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
