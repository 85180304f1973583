// What a tile asks, as a form: pipeline, measures, groups, buckets, condition, order. It edits the query document alone
// (query-edits.js); the same document stands beside it as JSON (document-text.js).

import { h, icon, iconButton } from "../mapping/dom.js";
import { bind, markPlaces, number, select, words } from "./inputs.js";
import { addMeasure, AGGREGATES, aggregatesFor, asksRecords, columnsOf, followMeasure, followPipeline, removeMeasure, set, setMeasure, setMode, setPipeline, SYSTEM_FIELDS } from "./query-edits.js";
import { Where } from "./where.js";

const WIDTHS = [["auto", "automatic"], ["", "none"], ["10s"], ["1m"], ["5m"], ["15m"], ["1h"], ["6h"], ["1d"], ["1w"], ["1M"]];
const MOST_QUERIES = 8;
const letter = (at) => String.fromCharCode(65 + at);

export class QueryBuilder {
  /**
   * @param {{pipelines: {slug: string, name: string}[], fields: (pipeline: string) => Promise<object[]>, known: (pipeline: string) => object[] | null,
   *   values: (pipeline: string, field: string) => Promise<any[]>, variables: () => string[], many: () => boolean,
   *   read: () => object, write: (tile: object, what: string, join?: string) => void}} desk
   */
  constructor(desk) {
    this.desk = desk;
    this.at = 0;
    this.tabs = h("div", { class: "query-tabs" });
    this.body = h("div", { class: "query-form" });
    this.left = h("div", { class: "query-left" });
    this.element = h("div", { class: "query-builder" }, this.tabs, this.body, this.left);
    this.signature = "";
    this.problems = [];
  }

  // -- the document

  #queries() {
    const tile = this.desk.read();
    return Array.isArray(tile.queries) ? tile.queries : [tile.query ?? {}];
  }

  get query() {
    const list = this.#queries();
    this.at = Math.min(this.at, list.length - 1);
    return list[this.at];
  }

  /** Where the query that is shown stands in the tile. */
  get place() {
    return Array.isArray(this.desk.read().queries) ? `queries[${this.at}]` : "query";
  }

  #write(next, what = "Change the query", join = "", follow = undefined) {
    const { name } = this.query;
    const one = name ? { name, ...next } : next;
    this.#writeAll(this.#queries().map((each, at) => (at === this.at ? one : each)), what, join && `${join} ${this.at}`, follow);
  }

  #writeAll(list, what, join, follow = (tile) => tile) {
    const { query: _query, queries: _queries, ...rest } = this.desk.read();
    const plain = ({ name: _name, ...query }) => query;
    this.desk.write(follow(list.length > 1 ? { ...rest, queries: list } : { ...rest, query: plain(list[0]) }), what, join);
  }

  #fields() {
    return this.desk.known(this.query.pipeline) ?? [];
  }

  #typeOf(name) {
    return [...this.#fields(), ...SYSTEM_FIELDS].find((field) => field.name === name)?.type;
  }

  // -- what is shown

  show() {
    const { query } = this;
    const { pipeline } = query;
    if (pipeline && !this.desk.known(pipeline)) {
      this.desk.fields(pipeline).then(() => this.query.pipeline === pipeline && this.show(), () => {});
    }
    const list = this.#queries();
    const signature = JSON.stringify([this.at, list.length, list.map((one) => one.name ?? ""), pipeline, asksRecords(query), query.select?.length ?? 0, query.by ?? [], asksRecords(query) ? query.select : query.select?.map((one) => one.field ?? ""), columnsOf(query), this.#fields().length, this.desk.many(), this.desk.variables()]);
    if (signature !== this.signature) {
      this.signature = signature;
      this.#build();
    }
    for (const each of this.bound) each.show();
    this.where.grow();
    this.mark(this.problems);
  }

  /** @param {[string, string][]} problems relative to the tile */
  mark(problems) {
    this.problems = problems;
    const { place } = this;
    const own = problems.filter(([where]) => where === place || where.startsWith(`${place}.`)).map(([where, what]) => [where.slice(place.length + 1), what]);
    const rest = markPlaces(this.body, own);
    this.left.replaceChildren(...rest.map(([where, what]) => h("p", { class: "wrong", role: "alert", text: where ? `${where}: ${what}` : what })));
    [...this.tabs.querySelectorAll("[data-query]")].forEach((tab, at) => tab.classList.toggle("is-wrong", problems.some(([where]) => where.startsWith(`queries[${at}]`))));
  }

  #build() {
    const root = this.element.getRootNode();
    const key = root.activeElement?.dataset?.key;
    this.bound = [];
    this.#buildTabs();
    const records = asksRecords(this.query);
    this.body.replaceChildren(
      this.#pipeline(),
      this.#mode(records),
      records ? this.#columns() : this.#measures(),
      ...(records ? [] : [this.#groups(), this.#bucket()]),
      this.#condition(),
      this.#order(records),
    );
    if (key) this.body.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  }

  #buildTabs() {
    const list = this.#queries();
    const many = this.desk.many();
    this.tabs.hidden = !many;
    if (!many) return;
    const tab = (one, at) => h("button", { type: "button", "data-query": String(at), "aria-pressed": String(at === this.at), onclick: () => {
      this.at = at;
      this.show();
    } }, one.name || letter(at));
    const add = h("button", { class: "button small", type: "button", disabled: list.length >= MOST_QUERIES, onclick: () => {
      const { name: _name, ...copy } = this.query;
      const named = list.map((one, at) => (one.name ? one : { name: letter(at), ...one }));
      this.at = list.length;
      this.#writeAll([...named, { name: letter(list.length), ...copy }], "Add a query");
    } }, icon("plus"), "Query");
    const remove = list.length > 1 ? iconButton("remove", `Remove query ${list[this.at].name || letter(this.at)}`, () => this.#writeAll(list.filter((_one, at) => at !== this.at), "Remove a query")) : null;
    const name = list.length > 1 ? h("input", { class: "input query-name", "aria-label": "Name of this query", placeholder: "name", "data-key": "name" }) : null;
    if (name) this.bound.push(bind(name, () => this.query.name ?? "", (value) => {
      const { name: _name, ...rest } = this.query;
      const next = value ? { name: value, ...rest } : rest;
      this.#writeAll(list.length ? this.#queries().map((each, at) => (at === this.at ? next : each)) : [], "Name a query", `query-name ${this.at}`);
    }));
    this.tabs.replaceChildren(h("div", { class: "segments", role: "group", "aria-label": "Queries" }, ...list.map(tab)), ...[add, name, remove].filter(Boolean));
  }

  #bind(control, read, write, how) {
    const made = bind(control, read, write, how);
    this.bound.push(made);
    return control;
  }

  #line(label, place, ...controls) {
    return h("div", { class: "setting", "data-place": place }, h("span", { class: "label", text: label }), h("div", { class: "controls" }, ...controls), h("span", { class: "wrong", hidden: true, role: "alert" }));
  }

  #variables() {
    const names = this.desk.variables();
    return names.length ? [h("optgroup", { label: "Variables" }, ...names.map((name) => h("option", { value: `$${name}`, text: `$${name}` })))] : [];
  }

  #fieldOptions(able = () => true) {
    const fields = this.#fields().filter(able);
    const option = (field) => h("option", { value: field.name, text: field.unit ? `${field.name} (${field.unit})` : field.name });
    const group = (label, types) => {
      const found = fields.filter((field) => types.includes(field.type));
      return found.length ? [h("optgroup", { label }, ...found.map(option))] : [];
    };
    return [...group("Numbers", ["number", "integer"]), ...group("Text", ["text", "boolean"]), ...group("Times", ["timestamp"]), ...group("JSON", ["json"]), ...(SYSTEM_FIELDS.some(able) ? [h("optgroup", { label: "Of every record" }, ...SYSTEM_FIELDS.filter(able).map(option))] : []), ...this.#variables()];
  }

  #pipeline() {
    const control = select([["", "choose a pipeline"], ...this.desk.pipelines.map((one) => [one.slug, one.name]), ...this.#variables()], { "aria-label": "Pipeline", "data-key": "pipeline" });
    this.#bind(control, () => this.query.pipeline ?? "", async (value) => {
      this.where?.forget();
      const fields = value ? await this.desk.fields(value).catch(() => []) : [];
      const [before, own] = [this.query, this.#fields()];
      const after = setPipeline(before, value, fields);
      this.#write(after, "Choose a pipeline", "", (tile) => followPipeline(tile, before, after, own, fields));
    });
    return this.#line("Pipeline", "pipeline", control);
  }

  #mode(records) {
    const button = (mode, text, pressed) => h("button", { type: "button", "data-key": `mode-${mode}`, "aria-pressed": String(pressed), onclick: () => pressed || this.#write(setMode(this.query, mode), mode === "records" ? "Ask for records" : "Ask for aggregates") }, text);
    return this.#line("Show", "mode", h("div", { class: "segments", role: "group", "aria-label": "What is asked for" }, button("aggregates", "Aggregates", !records), button("records", "Records", records)));
  }

  #measures() {
    const list = this.query.select?.length ? this.query.select : [{ agg: "count" }];
    const get = (at) => (this.query.select?.length ? this.query.select : [{ agg: "count" }])[at] ?? {};
    const change = (at, what, join) => {
      const before = this.query;
      const after = setMeasure(before, at, what, (name) => this.#typeOf(name));
      this.#write(after, "Change a measure", join, (tile) => followMeasure(tile, before, after, at, this.#fields()));
    };
    const rows = list.map((one, at) => {
      const able = one.field && !one.field.startsWith("$") && this.#typeOf(one.field) ? aggregatesFor(this.#typeOf(one.field)) : AGGREGATES;
      const agg = select([...able, ...this.#variables()], { "aria-label": `Aggregate ${at + 1}`, "data-key": `agg-${at}`, class: "input agg" });
      const field = select([["", "records"], ...this.#fieldOptions()], { "aria-label": `Field ${at + 1}`, "data-key": `field-${at}` });
      const as = h("input", { class: "input as", "aria-label": `Name ${at + 1}`, placeholder: "named", "data-key": `as-${at}`, spellcheck: "false" });
      this.#bind(agg, () => get(at).agg ?? "count", (value) => {
        // Only count can do without a field.
        const first = get(at).field || value === "count" ? {} : { field: this.#fields().find((each) => aggregatesFor(each.type).some(([name]) => name === value))?.name };
        change(at, { agg: value, ...first });
      });
      this.#bind(field, () => get(at).field ?? "", (value) => change(at, { field: words(value), ...(value ? {} : { agg: "count" }) }));
      this.#bind(as, () => get(at).as ?? "", (value) => change(at, { as: words(value) }, `as-${at}`));
      return h("div", { class: "measure", "data-place": `select[${at}]` }, agg, h("span", { class: "muted", text: "of" }), field, as, list.length > 1 ? iconButton("remove", `Remove measure ${at + 1}`, () => this.#write(removeMeasure(this.query, at), "Remove a measure")) : null, h("span", { class: "wrong", hidden: true, role: "alert" }));
    });
    const add = h("button", { class: "button small", type: "button", "data-key": "add-measure", onclick: () => {
      const used = new Set((this.query.select ?? []).map((one) => one.field));
      const free = this.#fields().find((field) => field.role === "metric" && !used.has(field.name)) ?? this.#fields().find((field) => field.type === "number" || field.type === "integer");
      this.#write(addMeasure(this.query, free ? { field: free.name, agg: "avg", as: free.name } : { agg: "count", as: "records" }), "Add a measure");
    } }, icon("plus"), "Measure");
    return this.#line("Measures", "select", h("div", { class: "measures" }, ...rows, h("div", {}, add)));
  }

  #chips(list, label, add, change) {
    const chip = (name, at) => h("span", { class: "choice-chip" }, h("span", { text: name }), h("button", { type: "button", "aria-label": `Remove ${name}`, "data-key": `${label}-${at}`, onclick: () => change(list.filter((_one, index) => index !== at)) }, icon("remove")));
    const more = select([["", add], ...this.#fieldOptions((field) => !list.includes(field.name) && (label === "column" || field.type !== "json"))], { "aria-label": add, "data-key": `${label}-add`, class: "input add-field" });
    more.addEventListener("change", () => more.value && change([...list, more.value]));
    return h("div", { class: "chips" }, ...list.map(chip), more);
  }

  #columns() {
    const list = (this.query.select ?? []).map((one) => one.field).filter(Boolean);
    return this.#line("Columns", "select", this.#chips(list, "column", list.length ? "add a field" : "all fields; choose some", (next) => this.#write(set(this.query, "select", next.map((field) => this.query.select?.find((one) => one.field === field) ?? { field })), "Choose columns")));
  }

  #groups() {
    return this.#line("Group by", "by", this.#chips(this.query.by ?? [], "group", this.query.by?.length ? "and" : "nothing", (next) => this.#write(set(this.query, "by", next), "Group by")));
  }

  #bucket() {
    const control = select([...WIDTHS.map(([value, text = `every ${value}`]) => [value, text]), ["custom", "another width…"], ...this.#variables()], { "aria-label": "Bucket", "data-key": "every" });
    const own = h("input", { class: "input every", "aria-label": "Width of a bucket", placeholder: "90s", hidden: true, spellcheck: "false" });
    const known = (value) => !value || WIDTHS.some(([name]) => name === value) || value.startsWith("$");
    control.addEventListener("change", () => {
      own.hidden = control.value !== "custom";
      if (!own.hidden) own.focus();
    });
    own.addEventListener("change", () => own.value.trim() && this.#write(set(this.query, "every", own.value.trim()), "Choose a bucket"));
    this.#bind(control, () => this.query.every ?? "", (value) => value !== "custom" && this.#write(set(this.query, "every", value), "Choose a bucket"), {
      as: (value) => {
        own.hidden = known(value);
        if (!known(value)) own.value = value;
        return known(value) ? (value ?? "") : "custom";
      },
    });
    return this.#line("Bucket", "every", control, own);
  }

  #condition() {
    this.where = new Where({ fields: () => this.#fields(), variables: this.desk.variables, values: (field) => this.desk.values(this.query.pipeline, field) });
    this.where.input.dataset.key = "where";
    this.where.input.setAttribute("aria-label", "Filter");
    this.#bind(this.where.input, () => this.query.where ?? "", (value) => this.#write(set(this.query, "where", value.trim() ? value : ""), "Filter", "where"));
    return this.#line("Filter", "where", this.where.element);
  }

  #order(records) {
    const columns = records ? ["_time", ...this.#fields().filter((field) => field.type !== "json").map((field) => field.name)] : columnsOf(this.query);
    const order = select([["", records ? "newest first" : "as they come"], ...columns.map((name) => [name, name]), ...this.#variables()], { "aria-label": "Order by", "data-key": "order" });
    const way = select([["-", "greatest first"], ["", "least first"]], { "aria-label": "Direction", "data-key": "way", class: "input way" });
    const limit = h("input", { class: "input limit", type: "number", min: "1", max: "100000", "aria-label": "Limit", placeholder: records ? "1000" : "10000", "data-key": "limit" });
    const bare = () => (this.query.order ?? "").replace(/^-/, "");
    const write = (name, sign) => this.#write(set(this.query, "order", name ? `${sign}${name}` : ""), "Order");
    this.#bind(order, bare, (value) => write(value, bare() ? way.value : "-"));
    this.#bind(way, () => ((this.query.order ?? "-").startsWith("-") ? "-" : ""), (value) => bare() && write(bare(), value));
    this.bound.push({ show: () => (way.hidden = !bare()) });
    this.#bind(limit, () => this.query.limit, (value) => this.#write(set(this.query, "limit", number(value)), "Limit", "limit"));
    return h("div", { class: "setting-pair" }, this.#line("Order by", "order", order, way), this.#line("Limit", "limit", limit));
  }
}
