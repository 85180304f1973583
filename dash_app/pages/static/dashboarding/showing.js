// What the tiles in the editor show: range, pace, zone, values of variables. The same state as on the dashboard's page, kept
// in the address in the same words, so that one goes from there to here and back without losing it.

import { choicesBar } from "../dashboard/choices.js";
import { beatLength, equal, readState, toggleFilter, writeState } from "../dashboard/state.js";
import { Variables } from "../dashboard/variables.js";
import { knownZone } from "../format.js";
import { FrameStore } from "../frame.js";
import { absolute, isRelative, normalise, settle, widen } from "../range.js";
import { rangeControl } from "../range-control.js";
import { h } from "../mapping/dom.js";

export class Showing {
  /**
   * @param {{definition: () => object, uid: string, live: import("../live.js").LiveClient, zone: string, moved: () => void, paced: () => void, parameters: () => void}} tools
   *   moved: the range is another, or (true) the zone; paced: live or not; parameters: variables or filters
   */
  constructor(tools) {
    this.tools = tools;
    this.state = readState(location.search, tools.definition());
    // In this page's address a tile is the one that is edited; the editor has its own word for it.
    this.state.tile = null;
    this.before = [];
    this.place = h("div", { class: "choices-place" });
    this.control = rangeControl({ onRange: (range) => this.set({ range: normalise(range) }), onRefresh: (refresh) => this.set({ refresh }), onZone: (timezone) => this.set({ timezone }) });
    this.declare();
  }

  /** The variables of the document as it is now. */
  declare() {
    const list = this.tools.definition().templating?.list ?? [];
    if (this.declared && equal(list, this.declared)) return;
    this.declared = list;
    this.variables?.close();
    this.choices?.destroy();
    this.variables = new Variables(list, { live: this.tools.live, dashboard: this.tools.uid, where: () => this.where(), changed: (settled) => this.#follow(settled) });
    this.choices = choicesBar({ variables: this.variables, onChoose: (name, value) => this.set({ variables: { ...this.state.variables, [name]: value } }), onFilters: (filters) => this.set({ filters }) });
    this.place.replaceChildren(this.choices.element);
    const known = new Set(list.map((one) => one.name));
    this.state.variables = Object.fromEntries(Object.entries(this.state.variables).filter(([name]) => known.has(name)));
    this.variables.choose(this.state.variables);
    this.write();
    if (this.variables.settled) this.tools.parameters();
  }

  get zone() {
    const { timezone } = this.state;
    return timezone === "browser" ? undefined : knownZone(timezone ?? this.tools.definition().timezone ?? (this.tools.zone || undefined));
  }

  where() {
    return { range: settle(this.state.range, Date.now(), this.zone), timezone: this.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone };
  }

  /** The range of a tile: its own, unless somebody has zoomed. */
  reach(tile) {
    return settle(tile.time && isRelative(this.state.range) ? normalise(tile.time) : this.state.range, Date.now(), this.zone);
  }

  get paused() {
    return this.state.refresh === "off";
  }

  /** What every tile is made with, beside its range. */
  context() {
    const { state } = this;
    return {
      live: this.tools.live, timezone: this.zone, paused: this.paused, refresh: beatLength(state.refresh) ? state.refresh : undefined,
      variables: this.variables.values(), filters: state.filters, compare: state.compare,
      zoom: (from, to) => {
        this.before.push(this.state.range);
        this.set({ range: absolute(from, to) });
      },
      zoomOut: () => this.set({ range: this.before.pop() ?? widen(this.state.range, Date.now(), this.zone) }),
      filter: (field, value, { exclude = false } = {}) => this.set({ filters: toggleFilter(this.state.filters, field, value, exclude) }),
    };
  }

  parameters() {
    return { variables: this.variables.values(), filters: this.state.filters, compare: this.state.compare };
  }

  set(changes) {
    const last = this.state;
    const next = { ...last, ...changes };
    if (equal(next, last)) return;
    this.state = next;
    const differs = (name) => !equal(next[name], last[name]);
    if (differs("variables")) this.variables.choose(next.variables);
    if (differs("range") || differs("timezone")) {
      this.variables.refresh();
      this.tools.moved(differs("timezone"));
    }
    if (differs("refresh")) this.tools.paced();
    if ((differs("variables") || differs("filters")) && this.variables.settled) this.tools.parameters();
    this.write();
    this.keep();
  }

  #follow(settled) {
    this.write();
    if (settled) this.tools.parameters();
  }

  /** The controls say what is in force. */
  write() {
    const { range, refresh, timezone } = this.state;
    this.control.show({ range, refresh, zone: this.zone, chosen: timezone, usual: null });
    this.choices.show(this.state.filters);
  }

  /** The state into this page's address; `edit`: the tile that is open. */
  keep(edit = new URLSearchParams(location.search).get("tile")) {
    const address = writeState(new URL(location.href), this.state, this.tools.definition());
    if (edit) address.searchParams.set("tile", edit);
    if (address.href !== location.href) history.replaceState(history.state, "", address);
  }

  /** Where the dashboard is looked at, as it is shown here. */
  viewer() {
    const address = writeState(new URL(location.href), this.state, this.tools.definition());
    address.pathname = address.pathname.replace(/\/edit$/, "");
    address.searchParams.delete("tile");
    return address.href;
  }

  /** One answer of the live channel about the values of a variable. */
  values(variable) {
    return new Promise((resolve, reject) => {
      const request = { kind: "values", dashboard: this.tools.uid, variable, ...this.where(), variables: this.variables.values() };
      const watching = this.tools.live.subscribe(request, (frame) => {
        watching.close();
        if (frame.kind === "error") reject(new Error(frame.detail || frame.title));
        else {
          const store = new FrameStore();
          store.apply(frame);
          resolve((store.frame().data[0] ?? []).filter((value) => value !== null));
        }
      });
    });
  }
}
