// One tile: its frame on the page, its subscriptions, the rows it holds, and the state it is in (waiting, drawn, empty,
// wrong). What it draws with is a renderer of its kind; this file knows no kind but by what `tiles.js` says of it.

import { make, write } from "./elements.js";
import { download, fileName, toCsv } from "./export.js";
import { knownZone } from "./format.js";
import { interpolate, linksOf } from "./interpolate.js";
import { withOrigin, withoutOrigin } from "./lineage.js";
import { isRelative, resolveRange } from "./range.js";
import { adoptStyles } from "./styles.js";
import { readTheme, watchTheme } from "./theme-values.js";
import { showData } from "./tile-data.js";
import { saveImage } from "./tile-image.js";
import { tileMenu } from "./tile-menu.js";
import { partsOf } from "./tile-part.js";
import { TileState } from "./tile-state.js";
import { comparesWith, misfit, picks, RENDERERS, WITHOUT_QUERY } from "./tiles.js";

const dirty = new Set();
let painting = 0;
/** So many milliseconds of a frame are spent on drawing; what is left comes with the next, so that the first tiles are seen
 *  while the last are drawn, and a press is answered in between. */
const PAINT_MS = 10;
const NOTHING = { columns: [], data: [], ids: [], key: [], from: null, to: null, every: null, bucket: null, timezone: null, at: null, last: null };

/** Draw before the next repaint, once, however many frames arrive until then. */
function paintSoon(tile) {
  dirty.add(tile);
  painting ||= requestAnimationFrame(paintSome);
}

function paintSome() {
  const until = performance.now() + PAINT_MS;
  for (const each of [...dirty]) {
    dirty.delete(each);
    try {
      each.paint();
    } catch (error) {
      // One tile that cannot be drawn takes no other with it.
      console.error(`Tile “${each.tile.title ?? each.tile.id}” could not be drawn:`, error);
    }
    if (performance.now() > until) break;
  }
  painting = dirty.size ? requestAnimationFrame(paintSome) : 0;
}

/** Points a chart of this width can use; few distinct values, so that viewers share topics. */
export function pointsFor(kind, width) {
  if (kind === "bar") return [24, 48, 96].find((each) => each >= width / 14) ?? 96;
  if (kind === "heatmap") return [24, 48, 96].find((each) => each >= width / 16) ?? 96;
  if (kind === "stat" || kind === "gauge") return 60;
  return [150, 300, 600, 1200].find((each) => each >= width / 2) ?? 1200;
}

/** Whether a query's rows are records, and not aggregates. */
const asksForRecords = (query) => !query.every && !query.by?.length && !query.select?.some((each) => each.agg);

/** Kinds in which one row of records is one thing to press. */
const SHOWS_RECORDS = new Set(["table", "map"]);

const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

/**
 * @typedef {object} TileContext
 * @property {import("./live.js").LiveClient | null} [live] absent: the tile shows only what `receive` gives it
 * @property {{from: string, to: string} | null} range null: the subscription has none
 * @property {string} [timezone] IANA name; absent: the browser's
 * @property {boolean} [paused] one snapshot, then nothing more
 * @property {string} [refresh] a beat such as "5s" on which the server reads anew in place of telling what comes
 * @property {Record<string, any>} [variables] name → value, values or "$__all"
 * @property {{field: string, op: "=" | "!=", value: any}[]} [filters] what was clicked on elsewhere
 * @property {string | null} [compare] draw beside it what was so much earlier: "previous", "1d", "1w", "1M", "1y"
 * @property {(from: number, to: number) => void} [zoom] a range was dragged out (epoch ms)
 * @property {() => void} [zoomOut] a double click
 * @property {(at: number | null, tile: Tile) => void} [hover] the pointer is at this time
 * @property {(field: string, value: any, how: {exclude: boolean}) => void} [filter] show everything with (without) this value only
 * @property {(from: number, to: number | null, tile: Tile) => void} [annotate] write something at this time
 * @property {(tile: Tile) => void} [fullscreen] absent: the browser's own full screen
 * @property {(tile: Tile) => ({text: string, act: () => void, wrong?: boolean} | null)[]} [menu] more for the tile's menu, before its own
 * @property {boolean} [fixed] the server answers what the document asks and no other question
 * @property {(markdown: string) => Promise<string>} [markdown] a text tile's HTML, where its document has Markdown alone
 * @property {typeof import("./lineage.js").lineage} [lineage] rows and points lead to what they were made of
 */

export class Tile {
  /**
   * @param {HTMLElement} element becomes the tile
   * @param {object} tile the tile's document
   * @param {TileContext} context
   */
  constructor(element, tile, context) {
    Object.assign(this, { element, tile, context, problem: null, skew: 0, visible: true, annotations: [], asked: {} });
    this.zone = knownZone(context.timezone);
    this.theme = readTheme(element);
    this.divide();
    adoptStyles(element).then((added) => {
      if (!added || this.gone) return;
      this.theme = readTheme(element);
      this.renderer?.resize?.();
      paintSoon(this);
    });
    this.build();
    this.stopTheme = watchTheme(() => {
      this.theme = readTheme(element);
      paintSoon(this);
    });
    this.sizes = new ResizeObserver(() => {
      this.renderer?.resize?.();
      paintSoon(this);
      this.rethinkPoints();
    });
    this.sizes.observe(this.body);
    // Out of sight, frames are kept but not drawn; half a screen ahead of scrolling they are.
    this.sight = new IntersectionObserver(([entry]) => {
      this.visible = entry.isIntersecting;
      if (this.visible && this.late) paintSoon(this);
    }, { rootMargin: "50%" });
    this.sight.observe(element);
    this.onShown = () => {
      if (!document.hidden) paintSoon(this);
    };
    document.addEventListener("visibilitychange", this.onShown);
    this.subscribe();
    this.clock();
  }

  // What it asks for ------------------------------------------------------------------------------------------------

  /** Rows of one page of records, where the kind has pages. */
  get pageSize() {
    return this.tile.options?.pageSize ?? this.tile.query?.limit ?? 50;
  }

  /** How much earlier the picture is compared with, or null. */
  get shift() {
    return comparesWith(this.tile, this.context.compare ?? null);
  }

  divide() {
    for (const part of this.parts ?? []) part.close();
    this.shifted = this.shift;
    this.parts = partsOf(this.tile, this.shifted, this.rowsKept);
  }

  /** Records that are kept of a query for records; of aggregates all are. */
  get rowsKept() {
    return this.tile.kind === "table" ? this.pageSize : (this.tile.query?.limit ?? 1000);
  }

  /** The rows of the first query: what a tile of one query shows. */
  get store() {
    return this.parts[0].store;
  }

  get subscription() {
    return this.parts[0].subscription;
  }

  get waiting() {
    return !this.withoutQuery && this.parts.some((part) => !part.shift && part.waiting);
  }

  get withoutQuery() {
    return WITHOUT_QUERY.has(this.tile.kind);
  }

  request(part = this.parts[0]) {
    const { from: _from, to: _to, timezone: _zone, ...query } = part.query;
    const { context } = this;
    const kind = this.tile.request ?? this.tile.kind;
    if (this.tile.kind === "table" && asksForRecords(query)) query.limit = this.pageSize;
    const traced = context.lineage && !context.fixed && SHOWS_RECORDS.has(this.tile.kind) && asksForRecords(query);
    const request = { kind, query: { ...(traced ? withOrigin(query) : query), ...this.asked }, timezone: context.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone };
    if (context.range) {
      request.range = part.shift ? { ...context.range, shift: part.shift } : context.range;
      request.points = this.points;
    }
    if (context.variables && Object.keys(context.variables).length) request.variables = context.variables;
    const filters = context.filters?.filter((each) => !picks(this.tile, each));
    if (filters?.length) request.filters = filters;
    if (context.refresh && !context.paused) request.refresh = context.refresh;
    return request;
  }

  subscribe() {
    if (!this.context.live || !this.renderer || this.withoutQuery) return;
    this.points = pointsFor(this.tile.kind, this.body.clientWidth || 600);
    for (const part of this.parts) {
      const request = this.request(part);
      if (part.subscription) part.subscription.update(request);
      else part.subscription = this.context.live.subscribe(request, (message) => this.receive(message, part));
    }
  }

  rethinkPoints() {
    clearTimeout(this.rethinking);
    this.rethinking = setTimeout(() => {
      if (this.subscription && this.body.clientWidth && pointsFor(this.tile.kind, this.body.clientWidth) !== this.points) this.subscribe();
    }, 500);
  }

  /** Another page, order or condition of a table of records: laid over the tile's query until `reset`. */
  ask(asked) {
    if (same(asked, this.asked)) return;
    this.asked = asked;
    this.again();
  }

  /** Ask anew; the old picture stays, paler, until the answer is there. */
  again() {
    this.problem = null;
    for (const part of this.parts) part.problem = null;
    if (!this.withoutQuery) this.element.dataset.stale = "true";
    this.subscribe();
    paintSoon(this);
  }

  /** Read anew, also while paused. */
  refresh() {
    if (this.context.paused) this.frozen = null;
    this.subscribe();
  }

  // What it takes ---------------------------------------------------------------------------------------------------

  /** Take a frame: from a subscription, or handed in by a page that has no live channel. */
  receive(message, part = this.parts[0]) {
    if (!this.parts.includes(part)) return;
    part.receive(message);
    if (message.kind === "error") {
      if (!part.shift) this.fail(part.problem);
      return;
    }
    if (!this.problem?.rebuild) this.problem = this.parts.find((each) => each.problem && !each.shift)?.problem ?? null;
    if (part === this.parts[0] && message.kind === "snapshot" && this.relative && typeof message.to === "number") {
      const skew = message.to - Date.now();
      // Less than a bucket is rounding or the way here; more is a clock that is wrong.
      const moved = resolveRange(this.context.range, 0);
      this.skew = Math.abs(skew - (moved?.to ?? 0)) > Math.max(5000, message.every ?? 0) ? skew - (moved?.to ?? 0) : 0;
    }
    if (this.context.paused && message.kind === "snapshot") {
      part.close();
      this.frozen = this.window();
    }
    paintSoon(this);
  }

  fail(problem) {
    this.problem = problem;
    paintSoon(this);
  }

  /** Another range; the old picture stays until the new one is there. */
  setRange(range) {
    this.context.range = range;
    this.frozen = null;
    this.withoutPlace();
    this.again();
    this.clock();
  }

  /** A page of another answer means nothing. */
  withoutPlace() {
    const { cursor: _cursor, ...rest } = this.asked;
    this.asked = rest;
    this.renderer?.restart?.();
  }

  /**
   * Other variables, filters or period to compare with; what is not named stays as it is.
   * @param {{variables?: Record<string, any>, filters?: object[], compare?: string | null}} next
   */
  setParameters(next) {
    const { context } = this;
    const before = [context.variables, context.filters];
    Object.assign(context, next);
    const moved = this.shift !== this.shifted;
    if (moved) this.divideAgain();
    this.retitle();
    if (moved || !same(before, [context.variables, context.filters])) {
      this.withoutPlace();
      this.again();
    }
  }

  /** Parts anew, with the rows of those that stay. */
  divideAgain() {
    const before = this.parts;
    this.parts = [];
    this.shifted = this.shift;
    const next = partsOf(this.tile, this.shifted, this.rowsKept);
    this.parts = next.map((part) => before.find((each) => same([each.query, each.name, each.shift], [part.query, part.name, part.shift])) ?? part);
    for (const part of before) if (!this.parts.includes(part)) part.close();
    // A subscription speaks to the part it was made for, and those that stay keep theirs.
  }

  /** Rows `id, time, time_end, text, tags, color, tile` of the dashboard; the tile draws those that are everybody's or its own. */
  setAnnotations(rows) {
    this.annotations = (rows ?? []).filter((each) => each.tile == null || String(each.tile) === String(this.tile.id));
    paintSoon(this);
  }

  /** Another version of the tile's document, drawn with what is there until other rows come. */
  document(next) {
    const before = this.tile;
    this.tile = next;
    this.retitle();
    const kindChanged = before.kind !== next.kind;
    const queryChanged = !same([before.query, before.queries], [next.query, next.queries]);
    if (kindChanged) {
      this.problem = null;
      this.asked = {};
      this.rebuild();
    }
    if (kindChanged || queryChanged || this.shift !== this.shifted || this.pageSize !== this.store.limit && next.kind === "table") {
      // What the kinds have in common is the frame: rows that stay can be drawn at once.
      if (kindChanged && !queryChanged && next.kind !== "table" && before.kind !== "table") this.divideAgain();
      else if (queryChanged || next.kind === "table" || before.kind === "table") {
        const held = this.parts[0]?.store;
        this.divide();
        if (held?.filled && !kindChanged) {
          held.limit = this.parts[0].store.limit;
          this.parts[0].store = held;
          this.parts[0].waiting = false;
        }
        this.asked = {};
        this.renderer?.restart?.();
      } else this.divideAgain();
      this.again();
    }
    delete this.element.dataset.state;
    paintSoon(this);
  }

  /** Stop following (what is shown stays) or follow again (and fetch what was missed). */
  setPaused(paused) {
    if (this.context.paused === paused) return;
    this.context.paused = paused;
    if (paused) {
      this.frozen = this.window();
      for (const part of this.parts) if (!part.waiting) part.close();
    } else {
      this.frozen = null;
      this.subscribe();
    }
    paintSoon(this);
  }

  /** Show the time at which the pointer stands in another tile. */
  hover(at, own) {
    this.renderer?.hover?.(at, own);
  }

  // What it shows ---------------------------------------------------------------------------------------------------

  build() {
    const { element } = this;
    element.classList.add("tile");
    element.dataset.state = "waiting";
    element.replaceChildren();
    const head = make("header", "tile-head", element);
    this.title = make("h3", "", head);
    this.unit = make("span", "tile-unit", head);
    make("span", "grow", head);
    this.latest = make("span", "tile-latest", head);
    this.menu = tileMenu(head, "", () => this.menuItems());
    this.body = make("div", "tile-body", element);
    this.state = new TileState(element, () => this.tryAgain());
    this.retitle();
    this.rebuild();
  }

  /** The renderer anew. */
  rebuild() {
    this.renderer?.dispose();
    this.renderer = null;
    this.body.replaceChildren();
    for (const name of ["role", "aria-label"]) this.body.removeAttribute(name);
    this.element.dataset.kind = this.tile.kind;
    write(this.unit, "");
    write(this.latest, "");
    if (!this.parts.some((part) => part.store.filled) && !this.withoutQuery) this.state.waiting(this.tile.kind);
    const kind = Object.hasOwn(RENDERERS, this.tile.kind) ? RENDERERS[this.tile.kind] : null;
    if (kind) this.renderer = kind(this.body, this.tile, this.rendererContext());
    else this.fail({ title: `This page cannot draw “${this.tile.kind}”`, detail: `Kinds it knows: ${Object.keys(RENDERERS).join(", ")}.` });
    if (this.withoutQuery) paintSoon(this);
  }

  /** The title with the values of variables in it. */
  get name() {
    return interpolate(this.tile.title ?? "", this.context.variables);
  }

  retitle() {
    write(this.title, this.name);
    this.title.title = interpolate(this.tile.description ?? "", this.context.variables);
    this.menu.rename(`More about ${this.name || "this tile"}`);
  }

  menuItems() {
    const own = this.context.menu?.(this) ?? [];
    const links = this.links();
    const held = !this.withoutQuery;
    return [
      ...own,
      ...(own.length ? [null] : []),
      ...(this.context.fullscreen || this.element.requestFullscreen ? [{ text: "View full screen", act: () => this.fullScreen() }] : []),
      ...(held ? [{ text: "View data", act: () => this.viewData() }, { text: "Download CSV", act: () => this.downloadCsv() }] : []),
      { text: "Download PNG", act: () => this.downloadImage() },
      ...(links.length ? [null, ...links] : []),
    ];
  }

  /** The tile's links with everything known put in: variables, the range, and of a point its value and fields. */
  links(values = {}) {
    const { from, to } = this.window();
    return linksOf(this.tile.links, { ...this.context.variables, __from: from ?? "", __to: to ?? "", ...values });
  }

  /** The visible window in epoch ms on the server's clock, or what the frame says where the range cannot be read here. */
  window() {
    const now = Date.now() + this.skew;
    if (!this.context.range) return { from: null, to: null };
    const read = resolveRange(this.context.range, now);
    if (this.frozen && this.relative) return this.frozen;
    return read ?? { from: this.store.from, to: this.store.to };
  }

  get relative() {
    return Boolean(this.context.range) && isRelative(this.context.range);
  }

  rendererContext() {
    const { from, to } = this.window();
    const { context, tile } = this;
    return {
      tile, theme: this.theme, zone: this.zone, from, to, now: this.frozen && this.relative ? this.frozen.to : Date.now() + this.skew, open: this.relative && String(context.range.to).trim() === "now",
      variables: context.variables ?? {}, filters: context.filters ?? [], annotations: this.annotations, asked: this.asked,
      frames: this.frames(), compare: this.shifted, zoom: context.zoom, zoomOut: context.zoomOut,
      hover: (at) => context.hover?.(at, this),
      filter: context.filter, annotate: context.annotate && ((start, end) => context.annotate(start, end, this)),
      links: (values) => this.links(values),
      ask: context.live ? (asked) => this.ask(asked) : undefined,
      failed: (title, detail) => this.fail({ title, detail, rebuild: true }),
      markdown: context.markdown, fixed: context.fixed,
      lineage: tile.query?.pipeline || tile.queries?.length ? context.lineage : undefined,
    };
  }

  /** Every query's rows, those of an earlier time with `shift` (ms to add to be drawn under those of now). */
  frames() {
    return this.parts
      .filter((part) => part.store.filled)
      .map((part) => ({ name: part.name, query: part.query, frame: part.store.frame(), shift: part.shift ? part.moved : 0, earlier: Boolean(part.shift) }));
  }

  clock() {
    clearTimeout(this.timer);
    const { from, to } = this.window();
    const step = from != null && to != null ? (to - from) / Math.max(100, this.body.clientWidth) : 60_000;
    this.timer = setTimeout(() => {
      if (!document.hidden && !this.context.paused && this.relative && !this.waiting) paintSoon(this);
      this.clock();
    }, Math.min(60_000, Math.max(1000, step)));
  }

  tryAgain() {
    if (this.problem?.rebuild) this.rebuild();
    this.problem = null;
    for (const part of this.parts) {
      part.problem = null;
      if (!part.store.filled) part.waiting = true;
    }
    if (!this.store.filled) this.state.waiting(this.tile.kind);
    this.subscribe();
    paintSoon(this);
  }

  paint() {
    if (this.gone || document.hidden) return;
    if (!this.visible && this.painted) {
      this.late = true;
      return;
    }
    this.late = false;
    if (this.relative && !this.frozen) {
      const { from } = this.window();
      if (from != null) for (const part of this.parts) part.store.slide(from - (part.shift ? part.moved : 0));
    }
    const filled = this.parts.filter((part) => part.store.filled && !part.shift);
    const frame = filled.length ? filled[0].store.frame() : this.withoutQuery ? NOTHING : null;
    const empty = frame && !this.withoutQuery && filled.every((part) => !part.store.rows.size);
    const wrong = !this.problem && frame && !empty && this.renderer ? misfit(this.tile, frame) : null;
    const problem = wrong ?? this.problem;
    const state = problem && (!frame || wrong) ? "problem" : !frame ? "waiting" : empty && !this.renderer?.drawsEmpty ? "empty" : "drawn";
    if (state !== this.element.dataset.state || state === "problem") {
      this.element.dataset.state = state;
      if (state === "problem") this.state.say("problem-state", problem.title, problem.detail, Boolean(!wrong && this.context.live && this.renderer));
      if (state === "empty") this.state.empty(Boolean(this.context.range), frame.last);
      if (state === "waiting") this.state.waiting(this.tile.kind);
    }
    this.state.below(problem && frame && !wrong ? problem : null, Boolean(this.context.live));
    if (state !== "drawn") {
      write(this.latest, "");
      if (state === "empty" || wrong) delete this.element.dataset.stale;
      this.painted = state !== "waiting";
      return;
    }
    delete this.element.dataset.stale;
    const facts = this.renderer.draw(frame, this.rendererContext());
    if (facts) {
      this.painted = true;
      write(this.unit, facts.unit);
      write(this.latest, facts.latest);
      // A picture with something to press in it (a legend) is none to those who cannot see it.
      const role = facts.role ?? (this.body.querySelector("button, a, [tabindex]") ? "group" : "img");
      if (role) {
        this.body.setAttribute("role", role);
        this.body.setAttribute("aria-label", [this.name, facts.spoken ?? facts.latest].filter(Boolean).join(": ") || this.tile.kind);
      }
    }
  }

  // What one can take from it ---------------------------------------------------------------------------------------

  viewData() {
    const frames = this.frames().filter((each) => !each.earlier);
    if (!frames.length) frames.push({ name: "", query: this.tile.query, frame: NOTHING });
    showData(this.element, { title: this.name, frames, table: RENDERERS.table, tile: this.tile, context: this.rendererContext(), download: (frame, name) => this.downloadCsv(frame, name) });
  }

  /** A table gives what is seen of it. */
  downloadCsv(frame = this.renderer?.shown?.() ?? this.store.frame(), name = "") {
    download(`${fileName([this.name, name].filter(Boolean).join(" ") || "data")}.csv`, toCsv(withoutOrigin(frame, this.tile.query)));
  }

  downloadImage() {
    return saveImage(this);
  }

  fullScreen() {
    if (this.context.fullscreen) this.context.fullscreen(this);
    else this.element.requestFullscreen().catch((error) => console.warn("Full screen was refused:", error.message));
  }

  destroy() {
    this.gone = true;
    dirty.delete(this);
    clearTimeout(this.timer);
    clearTimeout(this.rethinking);
    for (const part of this.parts) part.close();
    this.stopTheme();
    this.sizes.disconnect();
    this.sight.disconnect();
    document.removeEventListener("visibilitychange", this.onShown);
    this.menu.destroy();
    this.renderer?.dispose();
    this.element.replaceChildren();
  }
}
