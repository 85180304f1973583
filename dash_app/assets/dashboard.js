// A dashboard document on a page: the grid of tiles, and one state for all of them (range, refresh, zone, variables,
// filters, comparison, full screen) that the address keeps. It needs no framework; a Panel component and a plain page call
// the same functions. What only the dashboard's own page has (keys, people, annotations written by hand) builds on its events.

import { Annotations } from "./dashboard/annotations.js";
import { choicesBar } from "./dashboard/choices.js";
import { Grid } from "./dashboard/grid.js";
import { beatLength, equal, initialState, readState, toggleFilter, writeState } from "./dashboard/state.js";
import { Variables } from "./dashboard/variables.js";
import { make } from "./elements.js";
import { knownZone } from "./format.js";
import { liveClient, showConnection } from "./live.js";
import { rangeControl } from "./range-control.js";
import { absolute, isRelative, normalise, resolveRange, settle, widen } from "./range.js";
import { adoptStyles } from "./styles.js";
import { Tile } from "./tile.js";

const DEFAULT_RANGE = { from: "now-24h", to: "now" };
/** How often it is asked whether "today" has become another day. */
const CALENDAR_EVERY = 15_000;

/**
 * @typedef {object} Options
 * @property {string} [liveUrl] address of the live channel; absent: nothing moves, tiles wait for `tile(id).receive`
 * @property {string} [timezone] the zone of the document or the person: an IANA name; absent: the browser's
 * @property {string} [zoneWords] whose zone that is, such as "Dashboard"
 * @property {string} [uid] of the dashboard, where annotations and values of variables are to be asked for
 * @property {HTMLElement} [toolbar] where the range control goes (default: above the tiles)
 * @property {boolean} [address] keep the state in the address (default true)
 * @property {boolean} [controls] show range control, variables and filters (default true)
 * @property {{text: string, href: string}} [add] where tiles are added, for a dashboard without any
 * @property {(zone: string) => void} [keepZone] make a zone the person's own
 * @property {object} [tile] more for the context of each tile: lineage, annotate, menu
 * @property {object} [lineage] of lineage.js, where rows and points are to lead to their records and payloads
 */

/** Events: "state" (something was chosen or came from the address), "annotations", "document". */
export class DashboardView extends EventTarget {
  /** @param {HTMLElement} element @param {object} definition @param {Options} options */
  constructor(element, definition, options) {
    super();
    Object.assign(this, { element, definition, options, shown: false });
    const { liveUrl, address = true, controls = true } = options;
    adoptStyles(element, ["dashboard.css"]);
    this.client = liveUrl ? liveClient(liveUrl) : null;
    this.address = address;
    /** @type {import("./dashboard/state.js").State} */
    this.state = address ? readState(location.search, definition) : initialState(definition);
    this.before = []; // ranges to go back to on double click
    this.pace = this.state.refresh === "off" ? "live" : this.state.refresh; // what following again means
    element.classList.add("dashboard");
    this.grid = new Grid((tile) => this.contextOf(tile), options.add);
    this.annotations = new Annotations({ live: this.client, dashboard: options.uid, where: () => ({ ...this.where(), variables: this.variables.values() }), changed: () => this.annotate() });
    this.declare();
    this.bar = make("div", "dashboard-bar");
    const connection = make("span", "", this.bar);
    this.control = rangeControl({
      onRange: (range) => this.setRange(range), onRefresh: (refresh) => this.set({ refresh }, { replace: true }),
      onZone: (timezone) => this.set({ timezone }), keepZone: options.keepZone,
    });
    this.bar.append(this.control.element);
    if (controls) {
      if (options.toolbar) options.toolbar.append(this.bar);
      else this.choices.element.before(this.bar);
    }
    this.stopConnection = this.client && controls ? showConnection(this.client, connection) : () => {};
    this.onPop = () => {
      this.before.length = 0;
      this.take(readState(location.search, this.definition));
    };
    if (address) addEventListener("popstate", this.onPop);
    this.calendar = setInterval(() => this.turn(), CALENDAR_EVERY);
    this.variables.choose(this.state.variables);
    this.begin();
    this.write();
  }

  /** Variables of the document, and the line in which they are chosen. */
  declare() {
    this.variables?.close();
    this.choices?.destroy();
    this.variables = new Variables(this.definition.templating?.list ?? [], {
      live: this.client, dashboard: this.options.uid, where: () => this.where(), changed: (settled) => this.follow(settled),
    });
    this.choices = choicesBar({
      variables: this.variables, onChoose: (name, value) => this.choose(name, value), onFilters: (filters) => this.set({ filters }),
      onGone: () => this.grid.focusFirst(),
    });
    if (this.options.controls ?? true) this.element.before(this.choices.element);
  }

  /** The tiles, once it is known what they are to ask. Until then what the page came with stays. */
  begin() {
    if (this.shown || !this.variables.settled) return;
    this.shown = true;
    this.grid.full = this.state.tile;
    this.element.replaceChildren(this.grid.element);
    this.grid.show(this.definition.tiles ?? []);
    this.annotations.follow();
  }

  contextOf(tile) {
    const { state } = this;
    return {
      ...this.options.tile, lineage: this.options.lineage ?? this.options.tile?.lineage, live: this.client, range: this.reachOf(tile), timezone: this.zone,
      paused: state.refresh === "off", refresh: beatLength(state.refresh) ? state.refresh : undefined, compare: state.compare, filters: state.filters,
      variables: this.variables.values(), zoom: (from, to) => this.zoom(from, to), zoomOut: () => this.zoomOut(), hover: (at, source) => this.hover(at, source),
      filter: (field, value, { exclude = false } = {}) => this.set({ filters: toggleFilter(this.state.filters, field, value, exclude) }),
      fullscreen: (shown) => this.set({ tile: this.state.tile === String(shown.tile.id) ? null : String(shown.tile.id) }),
    };
  }

  /** The zone in force; undefined: the browser's. */
  get zone() {
    const { timezone } = this.state;
    return timezone === "browser" ? undefined : knownZone(timezone ?? this.options.timezone);
  }

  /** A tile may have a range of its own; one that somebody has zoomed to is everybody's. */
  reachOf(tile) {
    const range = tile.time && isRelative(this.state.range) ? normalise(tile.time) : this.state.range;
    return settle(range, Date.now(), this.zone);
  }

  /** What variables and annotations are asked for with. */
  where() {
    return { range: settle(this.state.range, Date.now(), this.zone), timezone: this.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone };
  }

  // What is chosen --------------------------------------------------------------------------------------------------

  /**
   * Choose something.
   * @param {Partial<import("./dashboard/state.js").State>} changes
   * @param {{replace?: boolean}} [how] `replace`: it is no step to go back from
   */
  set(changes, { replace = false } = {}) {
    const next = { ...this.state, ...changes };
    if (equal(next, this.state)) return;
    this.take(next);
    this.keep(replace);
  }

  keep(replace) {
    if (!this.address) return;
    const address = writeState(new URL(location.href), this.state, this.definition);
    if (address.href !== location.href) history[replace ? "replaceState" : "pushState"](history.state, "", address);
  }

  /** Show another state; the address is not touched. */
  take(next) {
    const last = this.state;
    if (equal(next, last)) return;
    this.state = next;
    if (next.refresh !== "off") this.pace = next.refresh;
    const differs = (name) => !equal(next[name], last[name]);
    if (differs("timezone")) this.grid.renew();
    else if (differs("range") || differs("refresh")) this.move(differs("range"));
    if (differs("variables")) this.variables.choose(next.variables);
    if (differs("range") || differs("timezone")) this.variables.refresh();
    if (differs("tile")) this.grid.fill(next.tile);
    this.parametrise();
    this.write();
    this.dispatchEvent(new Event("state"));
  }

  /** Range and pace to the tiles. */
  move(moved) {
    const { refresh } = this.state;
    const paused = refresh === "off", beat = beatLength(refresh) ? refresh : undefined;
    for (const tile of this.grid.tiles.values()) {
      const other = tile.context.refresh !== beat;
      tile.context.refresh = beat;
      if (moved) {
        tile.context.paused = paused;
        tile.setRange(this.reachOf(tile.tile));
      } else if (tile.context.paused !== paused) tile.setPaused(paused);
      else if (other) tile.refresh();
    }
  }

  parametrise() {
    if (!this.variables.settled) return;
    const { filters, compare } = this.state;
    const variables = this.variables.values();
    for (const tile of this.grid.tiles.values()) tile.setParameters({ variables, filters, compare });
    if (this.shown) this.annotations.follow();
  }

  choose(name, value) {
    this.set({ variables: { ...this.state.variables, [name]: value } });
  }

  /** A variable's values came: what was chosen may be none any more, and tiles may now know what to ask. */
  follow(settled) {
    this.write();
    if (!settled) return;
    if (!equal(this.variables.chosen, this.state.variables)) {
      this.state = { ...this.state, variables: { ...this.variables.chosen } };
      this.keep(true);
    }
    this.begin();
    this.parametrise();
    this.dispatchEvent(new Event("state"));
  }

  /** The controls say what is in force. */
  write() {
    const { range, refresh, timezone } = this.state;
    const usual = knownZone(this.options.timezone);
    this.control.show({ range, refresh, zone: this.zone, chosen: timezone, usual: usual ? { name: usual, words: this.options.zoneWords ?? "Usual" } : null });
    this.choices.show(this.state.filters);
  }

  /** A day, week or month may have begun since: ranges that the calendar cuts are asked for anew. */
  turn() {
    if (this.state.refresh === "off") return;
    let turned = false;
    for (const tile of this.grid.tiles.values()) {
      const range = this.reachOf(tile.tile);
      if (!tile.context.range || equal(range, tile.context.range)) continue;
      tile.setRange(range);
      turned = true;
    }
    if (turned) {
      this.variables.refresh();
      this.annotations.follow();
    }
  }

  // Time ------------------------------------------------------------------------------------------------------------

  range() {
    return this.state.range;
  }

  /** @param {{from: string, to: string}} next @throws {RangeError} for what is no range */
  setRange(next) {
    const read = normalise(next);
    if (!resolveRange(read, Date.now(), this.zone)) throw new RangeError(`Not a time range: ${next.from} to ${next.to}`);
    this.before.length = 0;
    this.set({ range: read });
  }

  setLive(live) {
    this.set({ refresh: live ? this.pace : "off" }, { replace: true });
  }

  zoom(from, to) {
    this.before.push(this.state.range);
    this.set({ range: absolute(from, to) });
  }

  /** Back to what was there before zooming in, or else twice as much. */
  zoomOut() {
    this.set({ range: this.before.pop() ?? widen(this.state.range, Date.now(), this.zone) });
  }

  /** The pointer is at this time in one chart: it is so in all. */
  hover(at, source) {
    this.pointed = { at, source };
    this.pointing ||= requestAnimationFrame(() => {
      this.pointing = 0;
      for (const each of this.grid.tiles.values()) each.hover(this.pointed.at, each === this.pointed.source);
    });
  }

  // What is shown ---------------------------------------------------------------------------------------------------

  /** @returns {Tile | undefined} */
  tile(id) {
    return this.grid.tiles.get(String(id));
  }

  annotate() {
    for (const tile of this.grid.tiles.values()) tile.setAnnotations(this.annotations.rows);
    this.dispatchEvent(new Event("annotations"));
  }

  /** Take over another version of the document: tiles that stay do not flash, what was chosen stays chosen. */
  document(next) {
    const before = this.definition;
    this.definition = next;
    const declared = !equal(before.templating ?? {}, next.templating ?? {});
    if (declared) this.declare();
    this.take(this.address ? readState(location.search, next) : this.state);
    if (declared) this.variables.choose(this.state.variables);
    if (this.shown) this.grid.show(next.tiles ?? []);
    this.parametrise();
    this.annotate();
    this.write();
    this.dispatchEvent(new Event("document"));
  }

  destroy() {
    removeEventListener("popstate", this.onPop);
    cancelAnimationFrame(this.pointing);
    clearInterval(this.calendar);
    this.variables.close();
    this.annotations.close();
    this.grid.clear();
    this.stopConnection();
    this.control.destroy();
    this.choices.destroy();
    this.bar.remove();
    this.element.replaceChildren();
    this.element.classList.remove("dashboard");
  }
}

/**
 * Mount a dashboard.
 * @param {HTMLElement} element must be in the page; what is in it goes when the tiles are there
 * @param {object} definition the dashboard's document
 * @param {Options} [options]
 */
export const mountDashboard = (element, definition, options = {}) => new DashboardView(element, definition, options);

/**
 * Mount one tile alone, without a range control.
 * @param {HTMLElement} element must be in the page and have a height
 * @param {object} tile the tile's document
 * @param {{liveUrl?: string, timezone?: string, range?: {from: string, to: string}, frame?: object}} [options]
 *   frame: a first frame to draw at once (a snapshot message), for pages that have it already
 * @returns {{destroy: () => void, setRange: (range: {from: string, to: string}) => void, receive: (message: object) => void}}
 */
export function mountTile(element, tile, { liveUrl, timezone, range = DEFAULT_RANGE, frame, lineage } = {}) {
  const mounted = new Tile(element, tile, { live: liveUrl ? liveClient(liveUrl) : null, range: normalise(range), timezone, lineage });
  if (frame) mounted.receive({ kind: "snapshot", ...frame });
  return {
    setRange: (next) => mounted.setRange(normalise(next)),
    receive: (message) => mounted.receive(message),
    destroy: () => mounted.destroy(),
  };
}
