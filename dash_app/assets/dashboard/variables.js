// The variables of a dashboard: what each offers, what is chosen, and what has to be asked again when another is chosen.
// Values of a query come over the live channel; those that depend on an earlier variable are asked for with its value.

import { FrameStore } from "../frame.js";
import { shownValue } from "../interpolate.js";
import { ALL } from "./state.js";

/** What stands for a variable in a query: `$name` or `${name}`. */
const MENTION = /\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))/g;
const INTERVALS = ["1m", "5m", "15m", "1h", "1d", "auto"];

/** What a custom or interval variable offers, as {text, value}. */
const written = (variable) => (variable.options ?? (variable.type === "interval" ? INTERVALS : [])).map((each) => (typeof each === "object" && each !== null ? { text: String(each.text ?? each.value), value: each.value } : { text: String(each), value: each }));

/** The names of earlier variables that `variable` is asked for with. */
export function needs(variable, earlier) {
  const query = variable.query ?? {};
  const names = new Set([...`${query.where ?? ""} ${query.pipeline ?? ""} ${query.field ?? ""}`.matchAll(MENTION)].map(([, braced, plain]) => braced ?? plain));
  return earlier.filter(({ name }) => names.has(name)).map(({ name }) => name);
}

/** What is chosen where nobody has chosen: the document's value, all, or the first; undefined while that is not known. */
export function fallback(variable, options) {
  if (variable.current !== undefined && variable.current !== null && variable.current !== "") return variable.current;
  if (variable.type === "text") return "";
  if (variable.includeAll) return ALL;
  return options?.[0]?.value;
}

/** `value` as far as it is on offer; undefined where nothing of it is. */
export function within(value, options) {
  if (value === ALL || value === undefined) return value;
  const known = new Set(options.map((each) => String(each.value)));
  if (!Array.isArray(value)) return known.has(String(value)) ? value : undefined;
  const kept = value.filter((each) => known.has(String(each)));
  return kept.length ? kept : undefined;
}

/** A value in the words of its options. */
export function textOf(value, options = []) {
  if (value === ALL) return shownValue(ALL);
  const words = new Map(options.map((each) => [String(each.value), each.text]));
  return shownValue([value ?? ""].flat().map((each) => words.get(String(each)) ?? each));
}

/**
 * One variable as it stands.
 * @typedef {object} Entry
 * @property {object} variable of the document
 * @property {{text: string, value: any}[] | null} options null: not known yet
 * @property {any} value undefined: not known yet
 * @property {{title: string, detail?: string} | null} problem why its values could not be read
 * @property {boolean} pending a new answer is awaited
 * @property {boolean} truncated there are more values than are told
 */

export class Variables {
  /**
   * @param {object[]} list of the document
   * @param {object} tools
   * @param {import("../live.js").LiveClient | null} tools.live
   * @param {string} [tools.dashboard] its uid
   * @param {() => {range: object, timezone: string}} tools.where what queries are asked with
   * @param {(settled: boolean) => void} tools.changed something is different; `settled`: and nothing is awaited
   */
  constructor(list, tools) {
    this.tools = tools;
    this.chosen = {};
    /** @type {Map<string, Entry & {subscription: any, store: FrameStore, needs: string[], recheck: boolean}>} */
    this.entries = new Map();
    list.forEach((variable, i) => {
      const options = variable.type === "query" ? null : written(variable);
      this.entries.set(variable.name, { variable, options, value: undefined, problem: null, pending: false, truncated: false, recheck: false, subscription: null, store: new FrameStore(), needs: needs(variable, list.slice(0, i)) });
    });
  }

  /** Take what was chosen (by name; what is not in it is as the document has it), and ask for what follows from it. */
  choose(chosen) {
    this.chosen = { ...chosen };
    const moved = new Set();
    for (const [name, entry] of this.entries) {
      const before = JSON.stringify(entry.value);
      entry.value = chosen[name] ?? fallback(entry.variable, entry.options) ?? (entry.problem ? entry.value : undefined);
      if (JSON.stringify(entry.value) !== before) moved.add(name);
    }
    this.ask(moved);
  }

  /** Ask again for every query's values: the range is another. */
  refresh() {
    this.ask(new Set(), true);
  }

  /** Subscribe to values that are not watched yet, and anew to those that need one of `moved`, or to all. */
  ask(moved, all = false) {
    const values = this.values();
    for (const entry of this.entries.values()) {
      if (entry.variable.type !== "query" || !this.tools.live) continue;
      // What a query needs may not be known yet: the answer that makes it known asks on.
      if (entry.needs.some((name) => values[name] === undefined)) continue;
      const follows = entry.needs.some((name) => moved.has(name));
      if (entry.subscription && !follows && !all) continue;
      const variables = Object.fromEntries(entry.needs.map((name) => [name, values[name]]));
      const request = { kind: "values", dashboard: this.tools.dashboard, variable: entry.variable, ...this.tools.where(), variables };
      entry.pending = true;
      if (entry.subscription) {
        entry.recheck ||= follows;
        entry.subscription.update(request);
      } else entry.subscription = this.tools.live.subscribe(request, (frame) => this.receive(entry, frame));
    }
  }

  receive(entry, frame) {
    const name = entry.variable.name;
    const before = JSON.stringify(entry.value);
    entry.pending = false;
    if (frame.kind === "error") {
      entry.problem = { title: frame.title, detail: frame.detail };
      // Without its values the rest still has to be shown: for all of them, or for none.
      entry.value ??= entry.variable.includeAll ? ALL : "";
    } else {
      entry.problem = null;
      entry.store.apply(frame);
      entry.options = (entry.store.frame().data[0] ?? []).filter((value) => value !== null).map((value) => ({ text: String(value), value: String(value) }));
      entry.truncated = Boolean(frame.truncated);
      if (entry.recheck) {
        // What was chosen under another value above it may be no choice any more.
        const kept = within(entry.value, entry.options);
        if (JSON.stringify(kept) !== JSON.stringify(entry.value)) {
          if (kept === undefined) delete this.chosen[name];
          else this.chosen[name] = kept;
        }
        entry.value = kept ?? within(fallback(entry.variable, entry.options), entry.options) ?? (entry.variable.includeAll ? ALL : entry.options[0]?.value);
      }
      entry.value ??= fallback(entry.variable, entry.options) ?? "";
    }
    entry.recheck = false;
    this.ask(new Set(JSON.stringify(entry.value) === before ? [] : [name]));
    this.tools.changed(this.settled);
  }

  /** Whether every value is known, and none is awaited that a choice above it may have changed. */
  get settled() {
    return [...this.entries.values()].every((entry) => entry.value !== undefined && !(entry.pending && entry.recheck));
  }

  /** Names and values, as the server takes them. */
  values() {
    return Object.fromEntries([...this.entries].map(([name, entry]) => [name, entry.value]));
  }

  retry(name) {
    const entry = this.entries.get(name);
    entry.problem = null;
    entry.pending = true;
    entry.subscription?.refresh();
    this.tools.changed(this.settled);
  }

  close() {
    for (const entry of this.entries.values()) entry.subscription?.close();
    this.entries.clear();
  }
}
