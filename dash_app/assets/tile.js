// One tile: its frame on the page, its subscription, the rows it holds, and the state it is in (waiting, drawn, empty,
// wrong). What it draws with is a renderer of its kind; this file knows no kind.

import { ago } from "./ago.js";
import { download, toCsv } from "./export.js";
import { knownZone } from "./format.js";
import { FrameStore } from "./frame.js";
import { isRelative, resolveRange } from "./range.js";
import { adoptStyles } from "./styles.js";
import { readTheme, watchTheme } from "./theme-values.js";
import { RENDERERS } from "./tiles.js";

const dirty = new Set();
let painting = 0;

/** Draw before the next repaint, once, however many frames arrive until then. */
function paintSoon(tile) {
  dirty.add(tile);
  painting ||= requestAnimationFrame(() => {
    painting = 0;
    const due = [...dirty];
    dirty.clear();
    for (const each of due) {
      try {
        each.paint();
      } catch (error) {
        // One tile that cannot be drawn takes no other with it.
        console.error(`Tile “${each.tile.title ?? each.tile.id}” could not be drawn:`, error);
      }
    }
  });
}

function make(tag, className, parent, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

/** Points a chart of this width can use; few distinct values, so that viewers share topics. */
export function pointsFor(kind, width) {
  if (kind === "bar") return [24, 48, 96].find((each) => each >= width / 14) ?? 96;
  if (kind === "stat") return 60;
  return [150, 300, 600, 1200].find((each) => each >= width / 2) ?? 1200;
}

/**
 * @typedef {object} TileContext
 * @property {import("./live.js").LiveClient | null} [live] absent: the tile shows only what `receive` gives it
 * @property {{from: string, to: string} | null} range null: the subscription has none
 * @property {string} [timezone] IANA name; absent: the browser's
 * @property {boolean} [paused] one snapshot, then nothing more
 * @property {(from: number, to: number) => void} [zoom] a range was dragged out (epoch ms)
 * @property {() => void} [zoomOut] a double click
 * @property {(at: number | null, tile: Tile) => void} [hover] the pointer is at this time
 * @property {typeof import("./lineage.js").lineage} [lineage] rows and points lead to what they were made of
 */

export class Tile {
  /**
   * @param {HTMLElement} element becomes the tile
   * @param {object} tile the tile's document
   * @param {TileContext} context
   */
  constructor(element, tile, context) {
    Object.assign(this, { element, tile, context, subscription: null, problem: null, waiting: true, skew: 0, visible: true });
    this.zone = knownZone(context.timezone);
    this.store = new FrameStore({ limit: tile.kind === "table" ? (tile.query?.limit ?? 1000) : null });
    this.theme = readTheme(element);
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

  build() {
    const { element, tile } = this;
    element.classList.add("tile");
    element.dataset.kind = tile.kind;
    element.dataset.state = "waiting";
    element.replaceChildren();
    const head = make("header", "tile-head", element);
    this.title = make("h3", "", head, tile.title ?? "");
    if (tile.description) this.title.title = tile.description;
    this.unit = make("span", "tile-unit", head);
    make("span", "grow", head);
    this.latest = make("span", "tile-latest", head);
    this.menu(head);
    this.body = make("div", "tile-body", element);
    this.strip = make("div", "tile-strip", element);
    this.strip.hidden = true;
    this.state = make("div", "tile-state", element);
    this.waitingState();
    const kind = RENDERERS[tile.kind];
    if (kind) this.renderer = kind(this.body, tile, this.rendererContext());
    else this.fail({ title: `This page cannot draw “${tile.kind}”`, detail: `Kinds it knows: ${Object.keys(RENDERERS).join(", ")}.` });
  }

  menu(head) {
    const box = make("details", "tile-menu", head);
    const open = make("summary", "", box, "⋯");
    open.setAttribute("aria-label", `More about ${this.tile.title || "this tile"}`);
    const list = make("div", "menu", box);
    const item = (text, act) => {
      const button = make("button", "", list, text);
      button.type = "button";
      button.addEventListener("click", () => {
        box.open = false;
        act();
      });
    };
    item("View data", () => this.viewData());
    item("Download CSV", () => this.downloadCsv());
    this.onOutside = (event) => {
      if (box.open && (event.type === "keydown" ? event.key === "Escape" : !event.composedPath().includes(box))) box.open = false;
    };
    addEventListener("pointerdown", this.onOutside);
    addEventListener("keydown", this.onOutside);
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
    return {
      theme: this.theme, zone: this.zone, from, to, open: this.relative && String(this.context.range.to).trim() === "now",
      zoom: this.context.zoom, zoomOut: this.context.zoomOut,
      hover: (at) => this.context.hover?.(at, this),
      failed: (title, detail) => this.fail({ title, detail, rebuild: true }),
      lineage: this.tile.query?.pipeline ? this.context.lineage : undefined,
    };
  }

  request() {
    const { from: _from, to: _to, timezone: _zone, ...query } = this.tile.query ?? {};
    const kind = this.tile.request ?? this.tile.kind;
    const timezone = this.context.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
    return this.context.range ? { kind, query, range: this.context.range, timezone, points: this.points } : { kind, query, timezone };
  }

  subscribe() {
    if (!this.context.live || !this.renderer) return;
    this.points = pointsFor(this.tile.kind, this.body.clientWidth || 600);
    const request = this.request();
    if (this.subscription) this.subscription.update(request);
    else this.subscription = this.context.live.subscribe(request, (message) => this.receive(message));
  }

  rethinkPoints() {
    clearTimeout(this.rethinking);
    this.rethinking = setTimeout(() => {
      if (this.subscription && this.body.clientWidth && pointsFor(this.tile.kind, this.body.clientWidth) !== this.points) this.subscribe();
    }, 500);
  }

  /** Take a frame: from the subscription, or handed in by a page that has no live channel. */
  receive(message) {
    if (message.kind === "error") {
      this.fail({ title: message.title || "This tile could not be read", detail: message.detail });
      return;
    }
    if (!this.problem?.rebuild) this.problem = null;
    this.waiting = false;
    this.store.apply(message);
    if (message.kind === "snapshot" && this.relative && typeof message.to === "number") {
      const skew = message.to - Date.now();
      // Less than a bucket is rounding or the way here; more is a clock that is wrong.
      const moved = resolveRange(this.context.range, 0);
      this.skew = Math.abs(skew - (moved?.to ?? 0)) > Math.max(5000, message.every ?? 0) ? skew - (moved?.to ?? 0) : 0;
    }
    if (this.context.paused && message.kind === "snapshot") {
      this.subscription?.close();
      this.subscription = null;
      this.frozen = this.window();
    }
    paintSoon(this);
  }

  fail(problem) {
    this.problem = problem;
    this.waiting = false;
    paintSoon(this);
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

  /** Another range; the old picture stays until the new one is there. */
  setRange(range) {
    this.context.range = range;
    this.frozen = null;
    this.problem = null;
    this.element.dataset.stale = "true";
    this.subscribe();
    this.clock();
  }

  /** Stop following (what is shown stays) or follow again (and fetch what was missed). */
  setPaused(paused) {
    if (this.context.paused === paused) return;
    this.context.paused = paused;
    if (paused) {
      this.frozen = this.window();
      if (!this.waiting) {
        this.subscription?.close();
        this.subscription = null;
      }
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

  waitingState() {
    this.state.replaceChildren();
    this.state.className = "tile-state waiting";
    this.state.setAttribute("aria-label", "Loading");
    for (const width of this.tile.kind === "stat" ? ["48%", "32%"] : ["100%", "86%", "94%", "72%"]) make("span", "skeleton", this.state).style.width = width;
  }

  say(className, title, detail, action) {
    this.state.className = `tile-state ${className}`;
    this.state.removeAttribute("aria-label");
    this.state.replaceChildren();
    make("strong", "", this.state, title);
    if (detail) make("p", "", this.state, detail);
    if (action) this.retryButton(this.state);
  }

  retryButton(parent) {
    const button = make("button", "button small", parent, "Try again");
    button.type = "button";
    button.addEventListener("click", () => {
      if (this.problem?.rebuild) {
        this.renderer.dispose();
        this.body.replaceChildren();
        this.renderer = RENDERERS[this.tile.kind](this.body, this.tile, this.rendererContext());
      }
      this.problem = null;
      if (!this.store.filled) {
        this.waiting = true;
        this.waitingState();
      }
      this.subscribe();
      paintSoon(this);
    });
  }

  paint() {
    if (this.gone || document.hidden) return;
    if (!this.visible && this.painted) {
      this.late = true;
      return;
    }
    this.late = false;
    if (this.relative && !this.frozen) this.store.slide(this.window().from);
    const frame = this.store.filled ? this.store.frame() : null;
    const empty = frame && !(frame.data[0]?.length);
    const state = this.problem && !frame ? "problem" : this.waiting && !frame ? "waiting" : empty ? "empty" : "drawn";
    if (state !== this.element.dataset.state || state === "problem") {
      this.element.dataset.state = state;
      if (state === "problem") this.say("problem-state", this.problem.title, this.problem.detail, Boolean(this.context.live && this.renderer));
      if (state === "empty") this.say("empty-state", this.context.range ? "No data in this range" : "Nothing yet", frame.last != null ? `Last record ${ago(frame.last)}` : "");
    }
    this.drawStrip(Boolean(this.problem && frame));
    if (!frame || empty) {
      this.latest.textContent = "";
      this.painted = state !== "waiting";
      return;
    }
    delete this.element.dataset.stale;
    const facts = this.renderer.draw(frame, this.rendererContext());
    if (facts) {
      this.painted = true;
      if (this.unit.textContent !== facts.unit) this.unit.textContent = facts.unit;
      if (this.latest.textContent !== facts.latest) this.latest.textContent = facts.latest;
      if (this.tile.kind !== "table") this.body.setAttribute("role", this.tile.kind === "stat" ? "group" : "img");
      this.body.setAttribute("aria-label", [this.tile.title, facts.latest].filter(Boolean).join(": "));
    }
  }

  /** Something is wrong, but there is a picture: keep it and say so in a line below. */
  drawStrip(wanted) {
    this.strip.hidden = !wanted;
    if (!wanted) return;
    this.strip.replaceChildren();
    make("span", "", this.strip, [this.problem.title, this.problem.detail].filter(Boolean).join(": "));
    if (this.context.live) this.retryButton(this.strip);
  }

  viewData() {
    const frame = this.store.frame();
    const dialog = make("dialog", "data-dialog", this.element);
    const head = make("header", "tile-head", dialog);
    make("h3", "", head, this.tile.title || "Data");
    make("span", "tile-unit", head, `${(frame.data[0]?.length ?? 0).toLocaleString()} rows`);
    make("span", "grow", head);
    const save = make("button", "button small", head, "Download CSV");
    save.addEventListener("click", () => this.downloadCsv(frame));
    const close = make("button", "button small", head, "Close");
    close.addEventListener("click", () => dialog.close());
    const body = make("div", "data-body", dialog);
    if (frame.data[0]?.length) RENDERERS.table(body, { query: this.tile.query, options: { unit: this.tile.options?.unit } }).draw(frame, this.rendererContext());
    else make("p", "empty", body, "No rows in this range.");
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    dialog.showModal();
  }

  downloadCsv(frame = this.store.frame()) {
    const name = (this.tile.title || "data").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").toLowerCase();
    download(`${name || "data"}.csv`, toCsv(frame));
  }

  destroy() {
    this.gone = true;
    dirty.delete(this);
    clearTimeout(this.timer);
    clearTimeout(this.rethinking);
    this.subscription?.close();
    this.stopTheme();
    this.sizes.disconnect();
    this.sight.disconnect();
    document.removeEventListener("visibilitychange", this.onShown);
    removeEventListener("pointerdown", this.onOutside);
    removeEventListener("keydown", this.onOutside);
    this.renderer?.dispose();
    this.element.replaceChildren();
  }
}
