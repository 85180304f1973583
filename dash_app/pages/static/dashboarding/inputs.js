// Inputs that show a part of the document and say what becomes of it. What stands in an input is replaced only when the
// document says something else than the input itself has said: a number that is half typed stays as it is typed.

import { h, icon } from "../mapping/dom.js";

let counter = 0;

/** An id for a label and its input; they stand in one shadow root. */
const fresh = () => `in-${(counter += 1)}`;

/**
 * @param {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} control
 * @param {() => any} read what the document says
 * @param {(value: any) => void} write what the input says
 * @returns {{control: HTMLElement, show: () => void}}
 */
export function bind(control, read, write, { as = (value) => value ?? "", from = (value) => value, strange = (value) => `${value} (unknown)` } = {}) {
  const box = control.type === "checkbox";
  let said;
  control.addEventListener(box || control.tagName === "SELECT" || control.dataset.late ? "change" : "input", () => {
    write(box ? control.checked : from(control.value));
    said = JSON.stringify(read() ?? null);
  });
  return {
    control,
    show() {
      const now = read();
      const text = JSON.stringify(now ?? null);
      if (text === said) return;
      said = text;
      if (box) control.checked = Boolean(now);
      else if (control.value !== String(as(now))) {
        control.value = String(as(now));
        if (control.tagName === "SELECT" && control.value !== String(as(now))) {
          // The document says what is not on offer: it is shown, not changed.
          control.append(h("option", { value: String(as(now)), text: strange(as(now)) }));
          control.value = String(as(now));
        }
      }
    },
  };
}

/** Help in words; what stands between backticks is code. */
export const helpText = (text) => h("span", { class: "help" }, ...text.split("`").map((part, at) => (at % 2 ? h("code", { text: part }) : part)));

/** A label with its control, help and place for what is wrong. `place`: the document's name of it, for problems. */
export function labelled(text, control, { help = "", place = "", beside = null, className = "" } = {}) {
  const target = control.matches("input, select, textarea") ? control : control.querySelector("input, select, textarea");
  if (target && !target.id) target.id = fresh();
  const wrong = h("span", { class: "wrong", hidden: true, role: "alert" });
  const label = target ? h("label", { for: target.id, text }) : h("span", { class: "label", text });
  return h("div", { class: `field ${className}`, "data-place": place || null }, beside ? h("div", { class: "label-line" }, label, beside) : label, control, help ? helpText(help) : null, wrong);
}

/** A checkbox with its words behind it. */
export function checkbox(text, { help = "", place = "" } = {}) {
  const control = h("input", { type: "checkbox" });
  return { control, element: h("div", { class: "field", "data-place": place || null }, h("label", { class: "check" }, control, h("span", { text })), help ? helpText(help) : null, h("span", { class: "wrong", hidden: true, role: "alert" })) };
}

export const select = (options, props = {}) => h("select", { class: "input", ...props }, ...options.map((one) => (Array.isArray(one) ? h("option", { value: one[0], text: one[1] ?? one[0] }) : one)));

/**
 * Say at each place within `root` what is wrong there.
 * @param {[string, string][]} problems relative to what `root` edits
 * @returns {[string, string][]} those for which there is no place
 */
export function markPlaces(root, problems) {
  const places = [...root.querySelectorAll("[data-place]")];
  const found = new Map(places.map((each) => [each, []]));
  const left = [];
  for (const [place, what] of problems) {
    // The longest place that it is in: options.thresholds[1].value is told at the thresholds.
    const at = places.filter((each) => place === each.dataset.place || place.startsWith(`${each.dataset.place}.`) || place.startsWith(`${each.dataset.place}[`)).sort((a, b) => b.dataset.place.length - a.dataset.place.length)[0];
    if (at) found.get(at).push(what);
    else left.push([place, what]);
  }
  for (const [each, texts] of found) {
    const wrong = each.querySelector(":scope > .wrong");
    const control = each.matches("input, select, textarea") ? each : each.querySelector("input, select, textarea");
    control?.setAttribute("aria-invalid", String(texts.length > 0));
    if (!wrong) continue;
    wrong.hidden = !texts.length;
    wrong.textContent = texts.join("; ");
  }
  return left;
}

/** A list of things of one shape: each line has its own inputs, a way to remove it, and to move it. */
export class Lines {
  /**
   * @param {{label: string, add: string, read: () => any[], write: (list: any[], join?: string) => void, fresh: () => any,
   *   line: (at: number, get: () => any, set: (change: object) => void) => {elements: Node[], shows: {show: () => void}[]}, most?: number,
   *   place?: string, ordered?: boolean}} of
   */
  constructor(of) {
    this.of = of;
    this.rows = [];
    this.list = h("div", { class: "line-list" });
    this.more = h("button", { class: "button small", type: "button", onclick: () => of.write([...this.items(), of.fresh()]) }, icon("plus"), of.add);
    this.element = h("div", { class: "field", "data-place": of.place ?? null }, of.label ? h("span", { class: "label", text: of.label }) : null, this.list, h("span", { class: "wrong", hidden: true, role: "alert" }), h("div", {}, this.more));
  }

  items() {
    const list = this.of.read();
    return Array.isArray(list) ? list : [];
  }

  show() {
    const items = this.items();
    while (this.rows.length > items.length) this.rows.pop().element.remove();
    while (this.rows.length < items.length) this.#row(this.rows.length);
    for (const { shows } of this.rows) for (const each of shows) each.show();
    this.more.disabled = items.length >= (this.of.most ?? 50);
  }

  #row(at) {
    const { of } = this;
    const get = () => this.items()[at] ?? {};
    const set = (change) => of.write(this.items().map((one, index) => (index === at ? prune({ ...one, ...change }) : one)), `${of.label}[${at}]`);
    const { elements, shows } = of.line(at, get, set);
    const move = (to) => {
      const list = [...this.items()];
      list.splice(to, 0, ...list.splice(at, 1));
      of.write(list);
    };
    const button = (name, words, act) => h("button", { class: "button quiet icon small", type: "button", "aria-label": `${words} ${at + 1}`, title: words, onclick: act }, icon(name));
    const up = of.ordered && at > 0 ? button("up", "Move up", () => move(at - 1)) : null;
    const element = h("div", { class: "line-row", "data-place": of.place ? `${of.place}[${at}]` : null }, ...elements, up, button("remove", "Remove", () => of.write(this.items().filter((_one, index) => index !== at))), h("span", { class: "wrong", hidden: true, role: "alert" }));
    this.list.append(element);
    this.rows.push({ element, shows });
  }
}

/** An object without what is undefined. */
export const prune = (value) => Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined));

/** A number as it was typed: undefined where there is none, the text where it is no number, so that the server says so. */
export const number = (text) => (String(text).trim() === "" ? undefined : Number.isFinite(Number(text)) ? Number(text) : text);
/** A text, or undefined. */
export const words = (text) => (text === "" ? undefined : text);
