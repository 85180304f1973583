// A rule's chart: the values that it watches, its limits as dashed lines that are always in sight, and bands for the times
// at which it fired. It is a line tile, with all that tiles have; frames are handed in, or come over the live channel.

import { Tile } from "../tile.js";
import { lasted, limitsOf } from "./conditions.js";

/** More bands than a chart can tell apart become those that touch each other. */
const MOST_BANDS = 80;

/**
 * Bands for intervals, as the annotations of a tile.
 * @param {{series: string, state?: string, from: number, to: number | null, value?: number | null}[]} intervals epoch ms
 * @param {{verb?: string, now?: number}} [how]
 */
export function bands(intervals, { verb = "Fired", now = Date.now() } = {}) {
  const all = intervals.map((each) => ({ ...each, to: each.to ?? now, many: 1 })).sort((a, b) => a.from - b.from);
  // What fired is never lost among times without data.
  const kinds = [["firing", verb, "bad"], ["no_data", "No data", "warn"]];
  return kinds.flatMap(([state, words, color]) => joined(all.filter((each) => (each.state ?? "firing") === state)).map((each, at) => ({
    id: `${state} ${at}`, time: each.from, time_end: each.to, tags: [], tile: null, color,
    text: each.many > 1 ? `${words} ${each.many} times` : [`${words} for ${lasted(each.to - each.from)}`, each.series].filter(Boolean).join(": "),
  })));
}

/** Intervals that are closer than a chart can show, as one. */
function joined(list) {
  if (list.length <= MOST_BANDS) return list;
  const near = (list.at(-1).to - list[0].from) / 300;
  const made = [];
  for (const each of list) {
    const last = made.at(-1);
    if (last && each.from - last.to <= near) Object.assign(last, { to: Math.max(last.to, each.to), many: last.many + 1 });
    else made.push({ ...each });
  }
  return made;
}

export class AlertChart {
  /** @param {HTMLElement} element @param {{live?: object | null, range: {from: string, to: string}, timezone?: string, title: string, zoom?: Function, zoomOut?: Function, lineage?: object}} options */
  constructor(element, { live = null, range, timezone, title, zoom, zoomOut, lineage }) {
    this.element = element;
    this.condition = null;
    this.unit = "";
    this.tile = new Tile(element, { kind: "line", title, query: {}, options: {} }, { live: null, range, timezone, zoom, zoomOut, lineage });
    this.live = live;
    const { receive } = this.tile;
    // Where the values lie decides whether the limits are in sight by themselves.
    this.tile.receive = (...arguments_) => {
      receive.apply(this.tile, arguments_);
      this.reach();
    };
  }

  /** What is drawn: `query` is asked for where the chart has a live channel. */
  draw({ query = {}, condition, unit = "", title }) {
    this.condition = condition;
    this.unit = unit;
    this.tile.context.live = this.live;
    this.tile.document({ ...this.tile.tile, ...(title === undefined ? {} : { title }), query, options: this.options() });
  }

  options() {
    const thresholds = limitsOf(this.condition);
    return { thresholds, ...(this.unit ? { unit: this.unit } : {}), ...this.ends(thresholds) };
  }

  /** The ends of the axis where a limit lies beyond the values. */
  ends(thresholds) {
    const frame = this.tile.store.filled ? this.tile.store.frame() : null;
    if (!frame || !thresholds.length) return {};
    let low = Infinity;
    let high = -Infinity;
    frame.columns.forEach((column, at) => {
      if (column.type !== "number" && column.type !== "integer") return;
      for (const value of frame.data[at]) {
        if (value === null) continue;
        if (value < low) low = value;
        if (value > high) high = value;
      }
    });
    if (low > high) return {};
    const values = thresholds.map((each) => each.value);
    const least = Math.min(low, ...values);
    const most = Math.max(high, ...values);
    const room = (most - least || Math.abs(most) || 1) * 0.08;
    // Ends that are round stay while the values move a little.
    const step = 10 ** Math.floor(Math.log10(room));
    return { ...(least < low ? { min: Math.floor((least - room) / step) * step } : {}), ...(most > high ? { max: Math.ceil((most + room) / step) * step } : {}) };
  }

  reach() {
    const next = this.options();
    if (JSON.stringify(next) !== JSON.stringify(this.tile.tile.options)) this.tile.document({ ...this.tile.tile, options: next });
  }

  /** A frame as the live channel would send it. */
  receive(frame) {
    this.tile.receive({ kind: "snapshot", seq: 1, topic: "", ...frame });
  }

  setRange(range) {
    this.tile.setRange(range);
  }

  mark(intervals, how) {
    this.tile.setAnnotations(bands(intervals, how));
  }

  stale(on) {
    this.tile.element.classList.toggle("is-stale", on);
  }
}

