// What happened when: annotations come over the live channel, merged from the dashboard's sources, and are handed to the
// tiles that they concern. Sources can be switched on and off here, for this page alone.

import { FrameStore } from "../frame.js";

/** The rows of a frame as objects. */
export function rowsOf(frame) {
  const names = frame.columns.map(({ name }) => name);
  return (frame.data[0] ?? []).map((_, r) => Object.fromEntries(names.map((name, c) => [name, frame.data[c][r]])));
}

/**
 * @typedef {{id: string, time: number, time_end: number | null, text: string, tags: string[], source: string, color: string, tile: string | null, author: string}} Row
 * @typedef {{name: string, source: "manual" | "query" | "replays" | "alerts", color: string, enable: boolean}} Source
 */

export class Annotations {
  /** @param {{live: import("../live.js").LiveClient | null, dashboard: string, where: () => object, changed: () => void}} tools `where`: range, timezone, variables */
  constructor(tools) {
    this.tools = tools;
    this.store = new FrameStore();
    /** @type {Row[]} */ this.rows = [];
    /** @type {Source[]} */ this.sources = [];
    /** @type {{source?: string, detail: string}[]} sources that could not be read, and why */ this.problems = [];
    /** @type {Set<string> | null} names of those that are on; null: as the document has it */ this.on = null;
    this.subscription = null;
    this.asked = "";
  }

  request() {
    return { kind: "annotations", dashboard: this.tools.dashboard, ...this.tools.where(), ...(this.on ? { sources: [...this.on] } : {}) };
  }

  /** Ask, or ask anew where something that matters has changed. */
  follow() {
    if (!this.tools.live || !this.tools.dashboard) return;
    const request = this.request();
    const asked = JSON.stringify(request);
    if (asked === this.asked) return;
    this.asked = asked;
    if (this.subscription) this.subscription.update(request);
    else this.subscription = this.tools.live.subscribe(request, (frame) => this.receive(frame));
  }

  receive(frame) {
    if (frame.kind === "error") this.problems = [{ detail: frame.detail || frame.title }];
    else {
      this.store.apply(frame);
      this.rows = rowsOf(this.store.frame());
      this.sources = frame.sources ?? [];
      this.problems = frame.problems ?? [];
    }
    this.tools.changed();
  }

  isOn(name) {
    return this.on ? this.on.has(name) : Boolean(this.sources.find((each) => each.name === name)?.enable);
  }

  switch(name, on) {
    const wanted = new Set(this.sources.map((each) => each.name).filter((each) => this.isOn(each)));
    if (on) wanted.add(name);
    else wanted.delete(name);
    this.on = wanted;
    this.follow();
  }

  close() {
    this.subscription?.close();
    this.subscription = null;
  }
}
