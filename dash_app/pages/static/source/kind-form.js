// The form of a kind, made of its JSON schema alone: a kind that is dropped into its folder has one. What goes with one
// choice (a signature scheme) is shown with it; a choice of kinds (auth, paginator) has inputs of its own; headers are rows
// of names and values; secrets can be written and never read.

import { h } from "../mapping/dom.js";
import { field } from "./fields.js";
import { same } from "./inputs.js";

/**
 * @typedef {object} Facts as `pages/parts/form.py` `form_of` makes them
 * @property {object} schema
 * @property {object} example
 * @property {object} values
 * @property {string[]} kept
 * @property {Record<string, "main" | "schedule" | "more">} parts
 */

export class KindForm {
  /**
   * @param {HTMLElement} box
   * @param {Facts} facts
   * @param {() => void} changed
   * @param {HTMLElement | null} [extra] stands before what most people leave as it is
   */
  constructor(box, facts, changed, extra = null) {
    this.extra = extra;
    this.box = box;
    this.facts = facts;
    this.fields = new Map();
    this.changed = changed;
    this.values_ = structuredClone(facts.values ?? {});
    this.cleared = new Set();
    this.draw();
  }

  /** The schema of an option under what is chosen: a choice may bring other defaults and words. */
  schemaOf(name) {
    let schema = this.facts.schema.properties[name];
    for (const one of this.#conditions()) schema = one.then.properties?.[name] ?? schema;
    return schema;
  }

  #conditions() {
    const { schema } = this.facts;
    return (schema.allOf ?? []).filter((each) => {
      const [[option, wanted]] = Object.entries(each.if.properties);
      return (this.values_[option] ?? schema.properties[option].default) === wanted.const;
    });
  }

  /** The options that go with what is chosen. */
  #shown() {
    const allowed = this.#conditions().map((each) => new Set(each.then.propertyNames?.enum ?? Object.keys(this.facts.schema.properties)));
    return Object.keys(this.facts.parts).filter((name) => !this.facts.schema.properties[name]["x-part-of"] && allowed.every((names) => names.has(name)));
  }

  /** Options whose value decides which others there are. */
  #deciding() {
    return new Set((this.facts.schema.allOf ?? []).flatMap((each) => Object.keys(each.if.properties)));
  }

  draw() {
    const open = new Set([...this.box.querySelectorAll("details[open]")].map((each) => each.dataset.part));
    const focused = document.activeElement?.closest?.("[data-option]")?.dataset.option;
    this.fields.clear();
    const deciding = this.#deciding();
    const parts = { main: [], schedule: [], more: [] };
    for (const name of this.#shown()) {
      const schema = this.schemaOf(name);
      const one = field({ name, schema, value: this.values_[name] ?? schema.default, example: this.facts.example[name], kept: this.#kept(name), path: name, form: this });
      if (deciding.has(name)) this.#explain(one, name);
      parts[this.facts.parts[name]].push(one.node);
    }
    const nodes = [...parts.main];
    if (parts.schedule.length) nodes.push(h("fieldset", { class: "nested schedule" }, h("legend", { class: "label", text: "How often" }), h("div", { class: "side-by-side" }, ...parts.schedule)));
    if (this.extra) nodes.push(this.extra);
    if (parts.more.length) nodes.push(h("details", { class: "more", "data-part": "more", open: open.has("more") || !nodes.length }, h("summary", { text: "More options" }), h("div", { class: "stack" }, ...parts.more)));
    this.box.replaceChildren(...nodes);
    if (focused) this.box.querySelector(`[data-option="${CSS.escape(focused)}"] :is(input, select, textarea)`)?.focus();
  }

  #kept(name) {
    const also = Object.entries(this.facts.schema.properties).filter(([, each]) => each["x-part-of"] === name).map(([each]) => each);
    return [name, ...also].some((each) => this.facts.kept.includes(each));
  }

  /** The words of a choice below it, and the form drawn anew when another is made. */
  #explain(one, name) {
    const words = this.#conditions().find((each) => name in each.if.properties)?.then.description;
    if (words) one.node.querySelector(".help")?.replaceChildren(words);
    one.node.addEventListener("change", () => {
      const before = Object.fromEntries([...this.fields.keys()].filter((each) => !each.includes(".")).map((each) => [each, this.schemaOf(each).default]));
      for (const [each, value] of Object.entries(this.#read([]))) if (each === name || !same(value, before[each])) this.values_[each] = value;
      this.values_[name] = one.control.read();
      this.draw();
      this.changed();
    });
  }

  #read(problems) {
    const values = {};
    for (const name of this.#shown()) {
      const one = this.fields.get(name);
      if (!one) continue;
      try {
        const value = one.control.read(problems);
        if (value !== undefined) values[name] = value;
      } catch (error) {
        problems.push([name, error.message]);
      }
    }
    return values;
  }

  /**
   * The options that differ from the defaults, and those that decide.
   * @returns {{options: object, problems: [string, string][]}} `problems`: what cannot be read
   */
  read() {
    const problems = [];
    const options = {};
    const deciding = this.#deciding();
    for (const [name, value] of Object.entries(this.#read(problems))) {
      const schema = this.schemaOf(name);
      if (deciding.has(name) || schema.writeOnly || !same(value, schema.default ?? null)) options[name] = value;
    }
    return { options, problems };
  }

  /**
   * Says what is wrong beside each input.
   * @param {[string, string][]} problems (path of an option, words)
   * @param {(path: string) => boolean} [wanted] which ones are said
   * @returns {[string, string][]} those that belong to no input
   */
  show(problems, wanted = () => true) {
    const said = new Map();
    const others = [];
    for (const [place, words] of problems) {
      let path = place;
      let rest = "";
      while (path && !this.fields.has(path)) {
        const cut = Math.max(path.lastIndexOf("."), path.lastIndexOf("["));
        rest = path.slice(Math.max(cut, 0)) + rest;
        path = cut > 0 ? path.slice(0, cut) : "";
      }
      const hidden = Object.entries(this.facts.schema.properties).find(([name, each]) => each["x-part-of"] && place.split(/[.[]/)[0] === name);
      if (!path && hidden) path = hidden[1]["x-part-of"];
      const number = rest.match(/^[.[](\d+)/);
      const text = number ? `Entry ${Number(number[1]) + 1} ${words}` : rest ? `${rest.replace(/^\./, "")} ${words}` : words;
      if (!path) others.push([place, words]);
      else if (wanted(path) && !said.has(path)) said.set(path, text);
    }
    for (const [path, one] of this.fields) one.say(said.get(path) ?? "");
    return others;
  }

  /** Brings the first input that is wrong into view. */
  focusWrong() {
    const first = this.box.querySelector('[aria-invalid="true"]') ?? this.box.querySelector(".wrong:not([hidden])")?.closest("[data-option]")?.querySelector("input, select, textarea");
    first?.focus();
    return Boolean(first);
  }
}
