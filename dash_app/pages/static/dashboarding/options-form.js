// A kind's options as a form, made from the kind's JSON schema: a kind that is new has its form already. Options that
// people know by other means than a text get their own input: units, colours, columns, thresholds, series.

import { h } from "../mapping/dom.js";
import { bind, checkbox, helpText, labelled, Lines, number, prune, select, words } from "./inputs.js";

/** Units that format.js knows, and what is often put behind a number as it is. */
export const UNITS = [
  ["short", "12.5k: short numbers"], ["percent", "0–100 → %"], ["percentunit", "0–1 → %"], ["bytes", "bytes, by 1024"], ["decbytes", "bytes, by 1000"], ["bytes/s", "bytes a second"],
  ["ns", "nanoseconds"], ["µs", "microseconds"], ["ms", "milliseconds"], ["s", "seconds"], ["min", "minutes"], ["h", "hours"], ["d", "days"],
  ["EUR", "euro"], ["USD", "US dollar"], ["GBP", "pound"], ["NOK", "Norwegian krone"], ["SEK", "Swedish krona"], ["CHF", "Swiss franc"], ["JPY", "yen"],
  ["°C", "degrees Celsius"], ["°F", "degrees Fahrenheit"], ["hPa", "hectopascal"], ["mm", "millimetres"], ["m", "metres"], ["km", "kilometres"], ["m/s", "metres a second"], ["km/h", "kilometres an hour"],
  ["W", "watt"], ["kW", "kilowatt"], ["kWh", "kilowatt hours"], ["V", "volt"], ["A", "ampere"], ["Hz", "hertz"], ["rpm", "turns a minute"], ["req/s", "requests a second"], ["ppm", "parts a million"],
];
export const COLORS = ["green", "yellow", "orange", "red", "blue", "violet", "grey", ...Array.from({ length: 8 }, (_none, at) => `series-${at + 1}`)];
const COLUMN_NAMES = ["lat", "lon", "value", "label"];

let lists = 0;

/** pageSize → Page size */
export const labelOf = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replace(/[A-Z]/g, (big, at) => (at ? ` ${big.toLowerCase()}` : big)).replaceAll("_", " ");

function withList(control, options) {
  const id = `list-${(lists += 1)}`;
  control.setAttribute("list", id);
  return h("div", { class: "with-list" }, control, h("datalist", { id }, ...options.map(([value, label]) => h("option", { value, label: label ?? value }))));
}

const unitInput = (props = {}) => h("input", { class: "input", placeholder: "as the field has it", spellcheck: "false", autocomplete: "off", ...props });
const colorSelect = (none, props = {}) => select([["", none], ...COLORS.map((name) => [name, name])], { class: "input color", ...props });

export class OptionsForm {
  /**
   * @param {{read: () => object, write: (options: object, what: string, join?: string) => void, columns: () => string[], series: () => string[]}} desk
   *   columns: of the answer; series: names that are on the picture
   */
  constructor(desk) {
    this.desk = desk;
    this.element = h("div", { class: "options-form" });
    this.bound = [];
    this.signature = "";
  }

  /** @param {{kind: string, schema: {properties: Record<string, object>}}} kind */
  show(kind) {
    const signature = JSON.stringify([kind.kind, this.desk.columns()]);
    if (signature !== this.signature) {
      this.signature = signature;
      this.bound = [];
      this.element.replaceChildren(...Object.entries(kind.schema.properties).map(([name, schema]) => this.#option(name, schema)));
    }
    for (const each of this.bound) each.show();
  }

  #get(name) {
    return this.desk.read()[name];
  }

  /** What is as it is by itself is not written down. */
  #set(name, value, schema) {
    const same = value === undefined || JSON.stringify(value) === JSON.stringify(schema?.default);
    const { [name]: _before, ...rest } = this.desk.read();
    this.desk.write(same ? rest : { ...rest, [name]: value }, `Change ${labelOf(name).toLowerCase()}`, `option ${name}`);
  }

  #bind(control, name, schema, { fallback = schema.default, ...how } = {}, read = (value) => value) {
    const made = bind(control, () => this.#get(name) ?? fallback, (value) => this.#set(name, read(value), schema), how);
    this.bound.push(made);
    return made.control;
  }

  #option(name, schema) {
    const place = `options.${name}`;
    const label = schema.title && schema.title !== name ? schema.title : labelOf(name);
    const help = schema.description ?? "";
    const of = { help, place };
    if (name === "thresholds") return this.#thresholds(schema, of);
    if (name === "columns") return this.#columns(schema, of);
    if (name === "series") return this.#series(schema, of);
    if (name === "colors") return this.#colors(schema, of);
    if (name === "unit") return labelled(label, withList(this.#bind(unitInput(), name, schema, {}, words), UNITS), of);
    if (COLUMN_NAMES.includes(name) && schema.type === "string") return labelled(label, this.#bind(select([["", "by its name"], ...this.desk.columns().map((one) => [one, one])]), name, schema, {}, words), of);
    if (name === "markdown") return labelled(label, this.#bind(h("textarea", { class: "input mono markdown", rows: "12" }), name, schema), of);
    if (schema.enum) return labelled(label, this.#bind(select(schema.enum.map((one) => [String(one), labelOf(String(one))])), name, schema, { as: (value) => ({ true: "normal", false: "none" })[String(value)] ?? value }), of);
    if (schema.type === "boolean") {
      const { control, element } = checkbox(label, of);
      this.#bind(control, name, schema);
      return element;
    }
    if (schema.type === "integer" || schema.type === "number") {
      const bounds = { min: schema.minimum ?? null, max: schema.maximum ?? null, step: schema.type === "integer" ? "1" : "any" };
      return labelled(label, this.#bind(h("input", { class: "input", type: "number", placeholder: schema.default ?? "automatic", ...bounds }), name, schema, { fallback: undefined }, number), of);
    }
    if (schema.type === "string") return labelled(label, this.#bind(h("input", { class: "input", spellcheck: "false" }), name, schema, {}, words), of);
    return labelled(label, this.#json(name, schema), of);
  }

  /** An option that has no input of its own: as JSON. */
  #json(name, schema) {
    const control = h("textarea", { class: "input mono", rows: "3", "data-late": "" });
    const read = (text) => {
      try {
        return text.trim() ? JSON.parse(text) : undefined;
      } catch {
        return text;
      }
    };
    return this.#bind(control, name, schema, { as: (value) => (value === undefined ? "" : JSON.stringify(value)) }, read);
  }

  #lines(of) {
    const made = new Lines(of);
    this.bound.push(made);
    return made.element;
  }

  #bound(control, read, write, how) {
    return bind(control, read, write, how);
  }

  #thresholds(schema, { help, place }) {
    const element = this.#lines({
      label: "Thresholds", add: "Threshold", place, most: 20,
      read: () => this.#get("thresholds") ?? [],
      write: (list) => this.#set("thresholds", list.length ? list : undefined, schema),
      fresh: () => {
        const last = (this.#get("thresholds") ?? []).findLast((one) => typeof one.value === "number");
        return { value: last ? last.value * 1.25 : 80, color: last ? "red" : "orange" };
      },
      line: (at, get, set) => {
        const from = h("input", { class: "input", type: "number", step: "any", placeholder: "the start", "aria-label": `From value ${at + 1}` });
        const color = colorSelect("no colour", { "aria-label": `Colour ${at + 1}` });
        const swatch = h("i", { class: "swatch" });
        const shows = [
          this.#bound(from, () => get().value ?? undefined, (value) => set({ value: number(value) })),
          this.#bound(color, () => get().color ?? "", (value) => set({ color: value })),
          { show: () => (swatch.dataset.color = get().color ?? "") },
        ];
        return { elements: [swatch, from, color], shows };
      },
    });
    element.append(helpText(help));
    return element;
  }

  #columns(schema, { help, place }) {
    const element = this.#lines({
      label: "Columns", add: "Column", place, most: 200, ordered: true,
      read: () => this.#get("columns") ?? [],
      write: (list) => this.#set("columns", list.length ? list : undefined, schema),
      fresh: () => {
        const used = new Set((this.#get("columns") ?? []).map((one) => one.field));
        return { field: this.desk.columns().find((name) => !used.has(name)) ?? this.desk.columns()[0] ?? "" };
      },
      line: (at, get, set) => {
        const n = at + 1;
        const field = select(this.desk.columns(), { "aria-label": `Column ${n}` });
        const title = h("input", { class: "input", placeholder: "title", "aria-label": `Title of column ${n}` });
        const unit = unitInput({ placeholder: "unit", "aria-label": `Unit of column ${n}` });
        const decimals = h("input", { class: "input", type: "number", min: "0", max: "12", placeholder: "digits", "aria-label": `Digits of column ${n}` });
        const color = select([["", "no colour"], ["thresholds", "by thresholds"], ["bar", "bar"], ["heat", "heat"]], { "aria-label": `Colour of column ${n}` });
        const hidden = h("input", { type: "checkbox", "aria-label": `Hide column ${n}` });
        const shows = [
          this.#bound(field, () => get().field, (value) => set({ field: value })),
          this.#bound(title, () => get().title, (value) => set({ title: words(value) })),
          this.#bound(unit, () => get().unit, (value) => set({ unit: words(value) })),
          this.#bound(decimals, () => get().decimals, (value) => set({ decimals: number(value) })),
          this.#bound(color, () => get().color ?? "", (value) => set({ color: words(value) })),
          this.#bound(hidden, () => get().hidden ?? false, (value) => set({ hidden: value || undefined })),
        ];
        return { elements: [h("div", { class: "part-grid" }, field, title, withList(unit, UNITS), decimals, color, h("label", { class: "check" }, hidden, h("span", { text: "hide" })))], shows };
      },
    });
    element.append(helpText(help));
    return element;
  }

  /** An object by names, as lines of {name, …}. */
  #byName(name, schema, { label, add, place, help, fresh, line }) {
    const read = () => Object.entries(this.#get(name) ?? {}).map(([key, value]) => (value && typeof value === "object" ? { "": key, ...value } : { "": key, value }));
    const plain = (entry) => {
      const { "": _key, ...rest } = entry;
      return "value" in rest ? rest.value : prune(rest);
    };
    const element = this.#lines({
      label, add, place, most: 60, read, fresh, line,
      write: (list) => this.#set(name, list.length ? Object.fromEntries(list.map((one) => [one[""], plain(one)])) : undefined, schema),
    });
    element.append(helpText(help));
    return element;
  }

  #nameInput(get, set, offered, label) {
    const control = h("input", { class: "input", placeholder: "name", "aria-label": label, spellcheck: "false", "data-late": "" });
    return [withList(control, offered.map((one) => [one])), this.#bound(control, () => get()[""] ?? "", (value) => set({ "": value }))];
  }

  #free(name, offered, start) {
    const used = Object.keys(this.#get(name) ?? {});
    const found = offered.find((one) => !used.includes(one));
    if (found !== undefined) return found;
    for (let n = used.length + 1; ; n += 1) if (!used.includes(`${start} ${n}`)) return `${start} ${n}`;
  }

  #series(schema, { help, place }) {
    return this.#byName("series", schema, {
      label: "Series", add: "Series", place, help,
      fresh: () => ({ "": this.#free("series", this.desk.series(), "series"), axis: "right" }),
      line: (at, get, set) => {
        const n = at + 1;
        const [name, named] = this.#nameInput(get, set, this.desk.series(), `Series ${n}`);
        const label = h("input", { class: "input", placeholder: "label", "aria-label": `Label of series ${n}` });
        const unit = unitInput({ placeholder: "unit", "aria-label": `Unit of series ${n}` });
        const axis = select([["", "left axis"], ["right", "right axis"]], { "aria-label": `Axis of series ${n}` });
        const color = colorSelect("own colour", { "aria-label": `Colour of series ${n}` });
        const steps = h("input", { type: "checkbox", "aria-label": `Series ${n} in steps` });
        const shows = [
          named,
          this.#bound(label, () => get().label, (value) => set({ label: words(value) })),
          this.#bound(unit, () => get().unit, (value) => set({ unit: words(value) })),
          this.#bound(axis, () => (get().axis === "right" ? "right" : ""), (value) => set({ axis: words(value) })),
          this.#bound(color, () => get().color ?? "", (value) => set({ color: words(value) })),
          this.#bound(steps, () => get().steps ?? false, (value) => set({ steps: value || undefined })),
        ];
        return { elements: [h("div", { class: "part-grid" }, name, label, withList(unit, UNITS), axis, color, h("label", { class: "check" }, steps, h("span", { text: "steps" })))], shows };
      },
    });
  }

  #colors(schema, { help, place }) {
    return this.#byName("colors", schema, {
      label: "Colours", add: "Colour", place, help,
      fresh: () => ({ "": this.#free("colors", this.desk.series(), "state"), value: "green" }),
      line: (at, get, set) => {
        const [name, named] = this.#nameInput(get, set, this.desk.series(), `State ${at + 1}`);
        const color = colorSelect("none", { "aria-label": `Colour of state ${at + 1}` });
        return { elements: [name, color], shows: [named, this.#bound(color, () => get().value ?? "", (value) => set({ value }))] };
      },
    });
  }
}
