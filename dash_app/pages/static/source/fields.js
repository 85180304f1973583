// A field for each option, by what its schema says; and those of options that hold more than one value: names with values, a
// group of options, a choice of kinds with options of their own, a list of groups.

import { h, iconButton } from "../mapping/dom.js";
import { areaInput, choiceInput, labelOf, linesInput, numberInput, same, secretInput, switchInput, textInput, titleOf } from "./inputs.js";

let made = 0;

/**
 * The input of one option: its element, what it holds, and a way to say what is wrong.
 * @param {{name: string, schema: object, value: unknown, example?: unknown, kept?: boolean, path: string, form: import('./kind-form.js').KindForm}} of
 */
export function field({ name, schema, value, example, kept = false, path, form }) {
  const id = `f${++made}`;
  const control = controlOf({ id, name, schema, value, example, kept, path, form });
  const wrong = h("span", { class: "wrong", role: "alert", hidden: true });
  // A choice of kinds has the words of the kind that is chosen.
  const help = schema.description && !schema.oneOf ? h("span", { class: "help", text: schema.description }) : null;
  const label = labelOf(name, schema);
  let node;
  if (control.toggle) node = h("div", { class: "field nested" }, h("label", { class: "check", for: id }, control.toggle, h("span", { text: label })), help, control.node, wrong);
  else if (control.own) node = h("fieldset", { class: "field nested" }, h("legend", { class: "label", text: label }), help, control.node, wrong);
  else if (control.inline) node = h("div", { class: "field" }, h("label", { class: "check", for: id }, control.node, h("span", { text: label })), help, wrong);
  else node = h("div", { class: "field" }, h("label", { for: id, text: label }), control.node, control.hint ?? null, help, wrong);
  node.dataset.option = path;
  const found = {
    node,
    path,
    name,
    control,
    say(text) {
      wrong.textContent = text;
      wrong.hidden = !text;
      for (const each of control.marked?.() ?? []) each.setAttribute("aria-invalid", String(Boolean(text)));
      if (text) for (let each = node.parentElement; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    },
  };
  form.fields.set(path, found);
  return found;
}

function controlOf(of) {
  const { schema } = of;
  if (schema.oneOf) return new VariantsInput(of);
  if (schema.items?.properties) return new GroupsInput(of);
  if (schema.properties) return new GroupInput(of);
  if ("enum" in schema) return choiceInput(of);
  if (schema.type === "boolean") return switchInput(of);
  if (schema.type === "integer" || schema.type === "number") return numberInput(of);
  if (schema.type === "array") return linesInput(of);
  if (schema.format === "json") return areaInput(of, "json");
  if (schema.type === "object") return new PairsInput(of);
  if (["sql", "pem", "text"].includes(schema.format) && !(schema.writeOnly && schema.format !== "pem")) return areaInput(of, schema.format);
  if (schema.writeOnly) return secretInput(of);
  return textInput(of);
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** Names with values, as rows: headers, parameters. */
export class PairsInput {
  own = true;

  constructor({ schema, value, example, kept, form, name }) {
    this.schema = schema;
    this.form = form;
    this.name = name;
    this.rows = h("div", { class: "pairs" });
    this.hint = example && typeof example === "object" ? Object.entries(example)[0] : null;
    const add = h("button", { type: "button", class: "button small", onclick: () => this.#add("", "", true) }, "Add");
    const note = schema.writeOnly && kept ? h("span", { class: "help", text: "Kept as they are; what you add here replaces all of them." }) : null;
    this.node = h("div", { class: "pairs-box" }, note, this.rows, h("div", {}, add));
    for (const [key, each] of Object.entries(value ?? {})) this.#add(key, each);
  }

  #add(key, value, focus = false) {
    const secret = this.schema.writeOnly;
    const names = h("input", { class: "input", "aria-label": "Name", placeholder: this.hint?.[0] ?? "Name", autocomplete: "off", spellcheck: "false" });
    const values = h("input", { class: "input", "aria-label": "Value", placeholder: secret ? "" : text(this.hint?.[1] ?? "Value"), type: secret ? "password" : "text", autocomplete: secret ? "new-password" : "off", spellcheck: "false" });
    names.value = key;
    values.value = text(value);
    const row = h("div", { class: "pair" }, names, values, iconButton("remove", "Remove", () => {
      row.remove();
      this.form.changed();
    }));
    // What is no text stays what it was, as long as nobody writes another.
    row.kept = { text: values.value, value };
    for (const each of [names, values]) each.addEventListener("input", () => this.form.changed());
    this.rows.append(row);
    if (focus) names.focus();
  }

  marked() {
    return [...this.rows.querySelectorAll("input")];
  }

  read() {
    const found = {};
    for (const row of this.rows.children) {
      const [names, values] = row.querySelectorAll("input");
      const key = names.value.trim();
      if (!key && !values.value) continue;
      if (!key) throw new Error("A name is missing");
      if (key in found) throw new Error(`${key} stands here twice`);
      found[key] = values.value === row.kept.text ? row.kept.value : values.value;
    }
    return this.schema.writeOnly && !Object.keys(found).length ? undefined : found;
  }
}

/** The options of a kind below another option. */
class Fields {
  constructor(properties, { value, path, form, kept = false, example, without = [] }) {
    this.properties = properties;
    this.fields = Object.entries(properties)
      .filter(([name]) => !without.includes(name))
      .map(([name, schema]) => field({ name, schema, value: value?.[name] ?? schema.default, example: example?.[name], kept: kept && Boolean(schema.writeOnly), path: `${path}.${name}`, form }));
    this.nodes = this.fields.map((each) => each.node);
    this.form = form;
  }

  /** Without those that are as by default. */
  read(problems) {
    const found = {};
    for (const one of this.fields) {
      try {
        const value = one.control.read(problems);
        if (value !== undefined && !same(value, this.properties[one.name].default)) found[one.name] = value;
      } catch (error) {
        problems?.push([one.path, error.message]);
      }
    }
    return found;
  }

  forget() {
    for (const path of [...this.form.fields.keys()]) if (this.fields.some((each) => path === each.path || path.startsWith(`${each.path}.`))) this.form.fields.delete(path);
  }
}

/** A group of options; one that is nothing by default is switched on first. */
export class GroupInput {
  own = true;

  constructor(of) {
    const { id, schema, value, form } = of;
    this.schema = schema;
    this.optional = schema.default === undefined || schema.default === null;
    this.on = !this.optional || Boolean(value);
    this.of = of;
    this.box = h("div", { class: "stack nested-fields" });
    this.toggle = this.optional && h("input", { id, type: "checkbox" });
    if (this.toggle) {
      this.toggle.checked = this.on;
      this.toggle.addEventListener("change", () => {
        this.on = this.toggle.checked;
        this.#draw();
        form.changed();
      });
    }
    this.node = this.box;
    this.#draw();
  }

  #draw() {
    this.fields?.forget();
    this.fields = this.on ? new Fields(this.schema.properties, this.of) : null;
    this.box.replaceChildren(...(this.fields?.nodes ?? []));
    this.box.hidden = !this.on;
  }

  read(problems) {
    return this.fields ? this.fields.read(problems) : null;
  }
}

/** One of several kinds, each with options of its own. */
export class VariantsInput {
  own = true;

  constructor(of) {
    const { id, schema, value, form, name } = of;
    this.of = of;
    [this.key] = schema.oneOf[0].required;
    this.kinds = new Map(schema.oneOf.map((one) => [one.properties[this.key].const, one]));
    const first = value?.[this.key] ?? schema.default?.[this.key] ?? this.kinds.keys().next().value;
    this.first = first;
    this.select = h("select", { id, "aria-label": titleOf(name) });
    for (const kind of this.kinds.keys()) this.select.append(h("option", { value: kind, text: titleOf(kind) }));
    this.select.value = first;
    this.select.addEventListener("change", () => {
      this.#draw({});
      form.changed();
    });
    this.words = h("span", { class: "help" });
    this.box = h("div", { class: "stack nested-fields" });
    this.node = h("div", { class: "stack tight" }, h("div", { class: "field" }, this.select, this.words), this.box);
    this.#draw(value ?? {});
  }

  #draw(value) {
    this.fields?.forget();
    const kind = this.kinds.get(this.select.value);
    this.words.textContent = kind?.description ?? "";
    const { kept, example } = this.of;
    // Secrets of another kind than the one that was saved are not kept.
    const fits = this.select.value === this.first;
    this.fields = new Fields(kind?.properties ?? {}, { ...this.of, value, kept: kept && fits, example: example?.[this.key] === this.select.value ? example : null, without: [this.key] });
    this.box.replaceChildren(...this.fields.nodes);
    this.box.hidden = !this.fields.nodes.length;
  }

  marked() {
    return [this.select];
  }

  read(problems) {
    return { [this.key]: this.select.value, ...this.fields.read(problems) };
  }
}

/** A list of groups. */
export class GroupsInput {
  own = true;

  constructor(of) {
    this.of = of;
    this.list = h("div", { class: "stack" });
    this.groups = [];
    this.node = h("div", { class: "stack tight" }, this.list, h("div", {}, h("button", { type: "button", class: "button small", text: "Add", onclick: () => {
      this.#add({}).nodes[0]?.querySelector("input, select")?.focus();
      of.form.changed();
    } })));
    for (const value of of.value ?? []) this.#add(value);
  }

  #add(value) {
    const { schema, form, path } = this.of;
    const fields = new Fields(schema.items.properties, { value, form, path: `${path}[${this.groups.length}]` });
    const box = h("div", { class: "nested-fields group-row" }, h("div", { class: "side-by-side grow" }, ...fields.nodes), iconButton("remove", "Remove this entry", () => {
      // The numbers of those behind it change, and with them the places that problems name.
      const left = this.groups.filter((each) => each !== fields).map((each) => each.read());
      for (const each of this.groups) each.forget();
      this.groups = [];
      this.list.replaceChildren();
      for (const each of left) this.#add(each);
      form.changed();
    }));
    this.groups.push(fields);
    this.list.append(box);
    return fields;
  }

  read(problems) {
    return this.groups.map((each) => {
      const found = each.read(problems);
      // What must be said is said, though it be as by default.
      for (const name of this.of.schema.items.required ?? []) found[name] ??= this.of.schema.items.properties[name].default;
      return found;
    });
  }
}
