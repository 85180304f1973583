// What belongs to the dashboard as a whole: its name and place, its time, its variables, where annotations come from, links.

import { describeRange } from "../range-text.js";
import { h, icon } from "../mapping/dom.js";
import { bind, checkbox, labelled, Lines, markPlaces, select, words } from "./inputs.js";
import { COLORS } from "./options-form.js";
import { outstanding } from "./query-edits.js";
import { linesOfLinks } from "./tile-editor.js";
import { startingVariable, withField } from "./variable-edits.js";

const TABS = [["general", "General"], ["variables", "Variables"], ["annotations", "Annotations"], ["links", "Links"]];
const RANGES = [["now-5m", "last 5 minutes"], ["now-15m", "last 15 minutes"], ["now-1h", "last hour"], ["now-6h", "last 6 hours"], ["now-24h", "last 24 hours"], ["now-7d", "last 7 days"], ["now-30d", "last 30 days"], ["now-90d", "last 90 days"], ["now-1y", "last year"]];
const REFRESH = [["live", "live: as it comes"], ["off", "off: when it is opened"], ["5s", "every 5 seconds"], ["10s", "every 10 seconds"], ["30s", "every 30 seconds"], ["1m", "every minute"], ["5m", "every 5 minutes"], ["15m", "every 15 minutes"], ["1h", "every hour"]];
const TYPES = [["query", "Query: the values of a field"], ["custom", "Custom: a list"], ["text", "Text: whatever is typed"], ["interval", "Interval: width of buckets"]];
const SOURCES = [["manual", "written by hand"], ["query", "records of a pipeline"], ["replays", "replays"], ["alerts", "alerts that fired"]];
const zones = () => (typeof Intl.supportedValuesOf === "function" ? Intl.supportedValuesOf("timeZone") : []);
const list = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);

export class Settings {
  /** @param {object} desk pipelines, fields, known, preview(variable) → values
   *  @param {{read: () => object, write: (document: object, what: string, join?: string) => void}} acts */
  constructor(desk, { read, write }) {
    this.desk = desk;
    this.read = read;
    this.write = write;
    this.bound = [];
    this.tabs = h("div", { class: "segments", role: "group", "aria-label": "Settings" }, ...TABS.map(([name, text]) => h("button", { type: "button", "data-tab": name, onclick: () => this.tab(name) }, text)));
    this.parts = { general: this.#general(), variables: h("div", { class: "stack" }), annotations: this.#annotations(), links: this.#links() };
    this.left = h("div", { class: "stack" });
    for (const [name, part] of Object.entries(this.parts)) part.dataset.tab = name;
    const close = h("button", { class: "button primary", type: "button", text: "Done", onclick: () => this.element.close() });
    this.element = h("dialog", { class: "settings-dialog", "aria-label": "Dashboard settings" }, h("div", { class: "dialog-head" }, h("h2", { text: "Settings" }), this.tabs, h("span", { class: "grow" }), close), h("div", { class: "dialog-body" }, this.left, ...Object.values(this.parts)));
    this.element.addEventListener("click", (event) => event.target === this.element && this.element.close());
    this.variables = new Variables(desk, { read: () => this.read().templating?.list ?? [], write: (next, what, join) => this.#list("templating", next, what, join), document: this.read, whole: this.write });
    this.parts.variables.append(this.variables.element);
    this.tab("general");
  }

  open(tab) {
    if (tab) this.tab(tab);
    this.show();
    if (!this.element.open) this.element.showModal();
  }

  tab(name) {
    for (const each of this.tabs.children) each.setAttribute("aria-pressed", String(each.dataset.tab === name));
    for (const [key, part] of Object.entries(this.parts)) part.hidden = key !== name;
  }

  show() {
    for (const each of this.bound) each.show();
    this.variables.show();
  }

  /** @param {[string, string][]} problems of the whole document */
  mark(problems) {
    const own = problems.filter(([place]) => !place.startsWith("tiles"));
    const rest = markPlaces(this.element, own);
    this.left.replaceChildren(...rest.map(([place, what]) => h("p", { class: "wrong", role: "alert", text: place ? `${place}: ${what}` : what })));
    const of = { variables: "templating", annotations: "annotations", links: "links" };
    for (const each of this.tabs.children) {
      const start = of[each.dataset.tab];
      each.classList.toggle("is-wrong", own.some(([place]) => (start ? place.startsWith(start) : !Object.values(of).some((other) => place.startsWith(other)))));
    }
    return own.length;
  }

  #set(key, value, what) {
    const { [key]: _before, ...rest } = this.read();
    this.write(value === undefined ? rest : { ...rest, [key]: value }, what, key);
  }

  #list(key, next, what, join) {
    const { [key]: _before, ...rest } = this.read();
    this.write(next.length ? { ...rest, [key]: { list: next } } : rest, what, join);
  }

  #bind(control, read, write, how) {
    this.bound.push(bind(control, read, write, how));
    return control;
  }

  #general() {
    const text = (key, what, props, tag = "input") => this.#bind(h(tag, { class: "input", ...props }), () => this.read()[key], (value) => this.#set(key, key === "title" ? value : words(value), what));
    const zone = h("input", { class: "input", list: "settings-zones", placeholder: "the viewer's own", spellcheck: "false", "data-late": "" });
    this.#bind(zone, () => this.read().timezone, (value) => this.#set("timezone", words(value.trim()), "Change the time zone"));
    const time = select(RANGES);
    this.#bind(time, () => (this.read().time?.to === "now" ? this.read().time.from : this.read().time ? `${this.read().time.from} – ${this.read().time.to}` : "now-24h"), (value) => this.#set("time", { from: value, to: "now" }, "Change the time"), { strange: () => describeRange(this.read().time) });
    const refresh = select(REFRESH);
    this.#bind(refresh, () => this.read().refresh ?? "live", (value) => this.#set("refresh", value, "Change the refresh"));
    const tags = h("input", { class: "input", placeholder: "production, web", "data-late": "" });
    this.#bind(tags, () => this.read().tags, (value) => this.#set("tags", list(value).length ? list(value) : undefined, "Change tags"), { as: (value) => (value ?? []).join(", ") });
    const folders = h("datalist", { id: "settings-folders" }, ...this.desk.folders.map((one) => h("option", { value: one })));
    return h("div", { class: "stack" },
      labelled("Title", text("title", "Rename the dashboard", { maxlength: "200" }), { place: "title" }),
      labelled("Description", text("description", "Describe the dashboard", { rows: "3", maxlength: "4000" }, "textarea"), { place: "description" }),
      h("div", { class: "columns" },
        labelled("Folder", text("folder", "Move to a folder", { placeholder: "Operations/Web", list: "settings-folders", "data-late": "" }), { place: "folder", help: "Names with / between them." }),
        labelled("Tags", tags, { place: "tags", help: "With commas between them." })),
      h("div", { class: "columns" }, labelled("Time when it is opened", time, { place: "time" }), labelled("Refresh", refresh, { place: "refresh" }), labelled("Time zone", zone, { place: "timezone" })),
      h("datalist", { id: "settings-zones" }, ...zones().map((one) => h("option", { value: one }))), folders);
  }

  #annotations() {
    const lines = new Lines({
      label: "", add: "Source", place: "annotations.list", most: 10,
      read: () => this.read().annotations?.list ?? [],
      write: (next, join) => this.#list("annotations", next, "Change annotations", join),
      fresh: () => {
        const used = (this.read().annotations?.list ?? []).map((one) => one.source);
        const source = used.includes("manual") ? "query" : "manual";
        const name = (text) => ((this.read().annotations?.list ?? []).some((one) => one.name === text) ? `${text} ${used.length + 1}` : text);
        return source === "manual" ? { name: name("Annotations"), source } : { name: name("Events"), source, query: { pipeline: this.desk.pipelines[0]?.slug ?? "" } };
      },
      line: (at, get, set) => {
        const n = at + 1;
        const on = h("input", { type: "checkbox", "aria-label": `Source ${n} is shown` });
        const name = h("input", { class: "input", placeholder: "name", "aria-label": `Name of source ${n}`, maxlength: "60" });
        const source = select(SOURCES, { "aria-label": `Source ${n}` });
        const color = select([["", "own colour"], ...COLORS.map((one) => [one, one])], { "aria-label": `Colour of source ${n}` });
        const pipeline = select(this.desk.pipelines.map((one) => [one.slug, one.name]), { "aria-label": `Pipeline of source ${n}` });
        const where = h("input", { class: "input mono", placeholder: "filter, such as kind = 'deploy'", "aria-label": `Filter of source ${n}`, spellcheck: "false" });
        const text = h("input", { class: "input", placeholder: "text: a field, or ${field} in words", "aria-label": `Text of source ${n}` });
        const query = h("div", { class: "part-grid" }, pipeline, where, text);
        const ask = (change) => set({ query: Object.fromEntries(Object.entries({ ...get().query, ...change }).filter(([, value]) => value !== undefined)) });
        const shows = [
          bind(on, () => get().enable !== false, (value) => set({ enable: value ? undefined : false })),
          bind(name, () => get().name, (value) => set({ name: value })),
          bind(source, () => get().source, (value) => set({ source: value, ...(value === "query" ? { query: get().query ?? { pipeline: this.desk.pipelines[0]?.slug ?? "" } } : { query: undefined, text: undefined }) })),
          bind(color, () => get().color ?? "", (value) => set({ color: words(value) })),
          bind(pipeline, () => get().query?.pipeline ?? "", (value) => ask({ pipeline: value })),
          bind(where, () => get().query?.where, (value) => ask({ where: words(value) })),
          bind(text, () => get().text, (value) => set({ text: words(value) })),
          { show: () => (query.hidden = get().source !== "query") },
        ];
        return { elements: [h("div", { class: "stack tight" }, h("div", { class: "part-grid" }, name, source, color, h("label", { class: "check" }, on, h("span", { text: "shown" }))), query)], shows };
      },
    });
    this.bound.push(lines);
    return h("div", { class: "stack" }, h("p", { class: "muted", text: "Marks on the time axis of every chart: what somebody wrote there, records that tell of events, replays. What is written by hand is shown, listed here or not." }), lines.element);
  }

  #links() {
    const lines = new Lines({ ...linesOfLinks(() => this.read().links, (next) => this.#set("links", next.length ? next : undefined, "Change links")), label: "" });
    this.bound.push(lines);
    return h("div", { class: "stack" }, h("p", { class: "muted", text: "Beside the title. ${__from}, ${__to} and ${name} of a variable may stand in the address." }), lines.element);
  }
}

/** The list of variables: each with its type's own inputs, and the values that it offers right now. */
class Variables {
  /** @param {object} desk @param {object} acts read and write: the list; document and whole: what it is a part of */
  constructor(desk, { read, write, document, whole }) {
    Object.assign(this, { desk, read, write, document, whole });
    this.cards = [];
    this.list = h("div", { class: "stack" });
    this.none = h("p", { class: "muted", text: "None yet. A variable is a choice above the tiles: $name in a query becomes what is chosen, ${name} in a title its text." });
    const add = h("button", { class: "button", type: "button", onclick: () => this.#add() }, icon("plus"), "Variable");
    this.element = h("div", { class: "stack", "data-place": "templating" }, this.none, this.list, h("span", { class: "wrong", hidden: true }), h("div", {}, add));
  }

  async #add() {
    const pipeline = this.desk.pipelines[0]?.slug ?? "";
    const { group } = outstanding(await this.desk.fields(pipeline).catch(() => []));
    this.write([...this.read(), startingVariable(this.read(), pipeline, group?.name)], "Add a variable");
  }

  show() {
    const items = this.read();
    this.none.hidden = items.length > 0;
    while (this.cards.length > items.length) this.cards.pop().element.remove();
    while (this.cards.length < items.length) this.#card(this.cards.length);
    for (const card of this.cards) card.show();
  }

  #card(at) {
    const place = `templating.list[${at}]`;
    const get = () => this.read()[at] ?? {};
    const set = (change, what = "Change a variable", join = `${Object.keys(change)[0]} ${at}`) => this.write(this.read().map((one, index) => (index === at ? Object.fromEntries(Object.entries({ ...one, ...change }).filter(([, value]) => value !== undefined)) : one)), what, join);
    const ask = (change) => set({ query: Object.fromEntries(Object.entries({ ...get().query, ...change }).filter(([, value]) => value !== undefined)) });
    const bound = [];
    const put = (control, read, write, how) => {
      bound.push(bind(control, read, write, how));
      return control;
    };
    const name = put(h("input", { class: "input mono", spellcheck: "false", maxlength: "41" }), () => get().name, (value) => set({ name: value.trim() }));
    const label = put(h("input", { class: "input", placeholder: "its name" }), () => get().label, (value) => set({ label: words(value) }));
    const type = put(select(TYPES), () => get().type, (value) => {
      const { name: kept, label: said, hide } = get();
      const fresh = { query: { query: { pipeline: this.desk.pipelines[0]?.slug ?? "", field: "" } }, custom: { options: ["one", "two"] }, interval: { options: ["1m", "5m", "1h", "auto"], current: "auto" }, text: { current: "" } }[value];
      this.write(this.read().map((one, index) => (index === at ? Object.fromEntries(Object.entries({ name: kept, label: said, hide, type: value, ...fresh }).filter(([, part]) => part !== undefined)) : one)), "Change a variable's type");
    });
    const pipeline = put(select(this.desk.pipelines.map((one) => [one.slug, one.name])), () => get().query?.pipeline ?? "", (value) => ask({ pipeline: value }));
    const field = h("select", { class: "input" });
    put(field, () => get().query?.field ?? "", (value) => this.whole(withField(this.document(), at, { ...get().query, field: value }), "Change a variable's field"));
    const where = put(h("input", { class: "input mono", placeholder: "all; earlier variables may stand in it", spellcheck: "false" }), () => get().query?.where, (value) => ask({ where: words(value) }));
    const options = put(h("input", { class: "input", placeholder: "one, two, three", "data-late": "" }), () => get().options, (value) => set({ options: list(value) }), { as: (value) => (value ?? []).map((one) => (typeof one === "object" ? one.value : one)).join(", ") });
    const text = put(h("input", { class: "input" }), () => (typeof get().current === "string" ? get().current : ""), (value) => set({ current: words(value) }));
    const flag = (words_, key) => {
      const made = checkbox(words_);
      put(made.control, () => get()[key] ?? false, (value) => set(key === "includeAll" && !value && get().current === "$__all" ? { includeAll: undefined, current: undefined } : { [key]: value || undefined }));
      return made.element;
    };
    const values = h("p", { class: "values muted", role: "status" });
    const query = h("div", { class: "columns" }, labelled("Pipeline", pipeline, { place: `${place}.query.pipeline` }), labelled("Field", field, { place: `${place}.query.field` }), labelled("Filter", where, { place: `${place}.query.where` }));
    const chosen = labelled("Options", options, { place: `${place}.options`, help: "With commas between them." });
    const typed = labelled("At first", text, { place: `${place}.current` });
    const flags = h("div", { class: "flags" }, flag("several at once", "multi"), flag("“All” can be chosen", "includeAll"), flag("hidden", "hide"));
    const swap = (to) => {
      const next = [...this.read()];
      next.splice(to, 0, ...next.splice(at, 1));
      this.write(next, "Move a variable");
    };
    const button = (of, label_, act) => h("button", { class: "button quiet icon small", type: "button", "aria-label": `${label_} variable ${at + 1}`, title: label_, onclick: act }, icon(of));
    const element = h("div", { class: "card variable", "data-place": place }, h("div", { class: "columns" }, labelled("Name", name, { place: `${place}.name` }), labelled("Label", label, { place: `${place}.label` }), labelled("Type", type, { place: `${place}.type` })), query, chosen, typed, flags, values, h("span", { class: "wrong", hidden: true, role: "alert" }), h("div", { class: "card-acts" }, at > 0 ? button("up", "Move up", () => swap(at - 1)) : null, button("trash", "Remove", () => this.write(this.read().filter((_one, index) => index !== at), "Remove a variable"))));
    this.list.append(element);
    let shown = "";
    this.cards.push({
      element,
      show: () => {
        const one = get();
        query.hidden = one.type !== "query";
        chosen.hidden = one.type !== "custom" && one.type !== "interval";
        typed.hidden = one.type !== "text";
        flags.hidden = one.type === "text" || one.type === "interval";
        const fields = this.desk.known(one.query?.pipeline);
        if (one.type === "query" && one.query?.pipeline && !fields) this.desk.fields(one.query.pipeline).then(() => this.show(), () => {});
        const names = (fields ?? []).filter((each) => each.type !== "json").map((each) => each.name);
        if ([...field.options].map((each) => each.value).join() !== ["", ...names].join()) {
          const before = field.value;
          field.replaceChildren(h("option", { value: "", text: "choose a field" }), ...names.map((each) => h("option", { value: each, text: each })));
          field.value = names.includes(one.query?.field) ? one.query.field : before;
        }
        for (const each of bound) each.show();
        if (one.type === "query" && fields && field.value !== (one.query?.field ?? "")) field.value = one.query?.field ?? "";
        this.#preview(one, values, JSON.stringify([one.type, one.query, at && this.read().slice(0, at)]), () => shown, (key) => (shown = key));
      },
    });
  }

  #preview(one, values, key, before, keep) {
    if (one.type !== "query" || !one.query?.pipeline || !one.query?.field) {
      values.textContent = "";
      keep("");
      return;
    }
    if (before() === key) return;
    keep(key);
    values.textContent = "Reading values…";
    clearTimeout(values.timer);
    values.timer = setTimeout(() => this.desk.preview(one).then((found) => {
      if (before() !== key) return;
      values.textContent = found.length ? `Now: ${found.slice(0, 12).join(", ")}${found.length > 12 ? `, and ${found.length - 12} more` : ""}` : "No values in the dashboard's time.";
    }, (error) => before() === key && (values.textContent = error.message)), 300);
  }
}
