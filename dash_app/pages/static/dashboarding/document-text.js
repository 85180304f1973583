// A part of the document as JSON text, editable. What is typed becomes the document as soon as it can be read; what the
// document becomes elsewhere is shown here, unless the text says the same already.

import { textArea } from "../text-area.js";
import { h } from "../mapping/dom.js";
import { same } from "./merge.js";

const WIDTH = 78;

/** JSON as people write it: what fits on a line stands on one. */
export function pretty(value, indent = "") {
  const flat = inline(value);
  if (indent.length + flat.length <= WIDTH || value === null || typeof value !== "object") return flat;
  const next = `${indent}  `;
  const items = Array.isArray(value) ? value.map((one) => pretty(one, next)) : Object.entries(value).filter(([, one]) => one !== undefined).map(([key, one]) => `${JSON.stringify(key)}: ${pretty(one, next)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return items.length ? `${open}\n${items.map((one) => next + one).join(",\n")}\n${indent}${close}` : open + close;
}

function inline(value) {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (value && typeof value === "object") {
    const parts = Object.entries(value).filter(([, one]) => one !== undefined).map(([key, one]) => `${JSON.stringify(key)}: ${inline(one)}`);
    return parts.length ? `{${parts.join(", ")}}` : "{}";
  }
  return JSON.stringify(value) ?? "null";
}

/** The line (from 1) on which a text stops being JSON, and why, or null; engines word it differently. */
export function mistake(text) {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    const line = /line (\d+)/.exec(error.message)?.[1];
    const position = /position (\d+)/.exec(error.message)?.[1];
    const at = position !== undefined ? text.slice(0, Number(position)).split("\n").length : Number(line ?? text.split("\n").length);
    return [at, error.message.replace(/^JSON\.parse: /, "").replace(/ in JSON at position \d+.*| at line \d+ column \d+.*| \(line \d+.*/, "")];
  }
}

export class DocumentText {
  /** @param {{label: string, read: () => any, write: (value: any) => void, check?: (value: any) => string}} of */
  constructor(of) {
    this.of = of;
    this.text = textArea({ label: of.label, onInput: () => this.#typed() });
    this.wrong = h("p", { class: "wrong", hidden: true, role: "alert" });
    this.element = h("div", { class: "document-text" }, this.text.frame, this.wrong);
  }

  show() {
    const now = this.of.read();
    // Half typed stays half typed while the document stays what it is.
    if (this.said !== undefined && same(now, this.said)) return;
    this.said = now;
    const { value } = this.text.area;
    if (!mistake(value) && same(JSON.parse(value), now)) return;
    this.text.set(pretty(now));
    this.#mark(null);
  }

  readOnly(is) {
    this.text.area.readOnly = is;
  }

  #typed() {
    const found = mistake(this.text.area.value);
    const value = found ? null : JSON.parse(this.text.area.value);
    const refused = found ?? (this.of.check?.(value) ? [1, this.of.check(value)] : null);
    this.#mark(refused);
    if (refused) return;
    this.said = value;
    this.of.write(value);
  }

  #mark(found) {
    this.text.mark(found ? [found] : []);
    this.wrong.hidden = !found;
    this.wrong.textContent = found ? `Line ${found[0]}: ${found[1]}. What stood here before it is still in force.` : "";
  }
}
