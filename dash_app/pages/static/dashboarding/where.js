// A condition with suggestions: fields, what can be done with them, the values that they have, and the variables of the
// dashboard. `complete` is pure; the input asks for values as they are wanted.

import { h } from "../mapping/dom.js";
import { SYSTEM_FIELDS } from "./query-edits.js";

const OPERATORS = { text: ["=", "!=", "in (", "like '", "is null"], number: ["=", "!=", ">", ">=", "<", "<=", "between"], boolean: ["= true", "= false", "is null"], timestamp: [">", "<", "between"], json: ["is null"] };
OPERATORS.integer = OPERATORS.number;
const PLAIN = /^[a-z_][a-z0-9_]*$/;
const TOKEN = /'(?:[^']|'')*'?|"(?:[^"]|"")*"?|\$\{?\w*\}?|\w+|[<>!]=|[^\s\w]/g;

const named = (name) => (PLAIN.test(name) ? name : `"${name.replaceAll('"', '""')}"`);
const bare = (token) => (token.startsWith('"') ? token.slice(1).replace(/"$/, "").replaceAll('""', '"') : token);

/** A value as it stands in a condition. */
export const literal = (value, type) => (type === "number" || type === "integer" || type === "boolean" ? String(value) : `'${String(value).replaceAll("'", "''")}'`);

/**
 * What could stand at the caret.
 * @param {string} text
 * @param {number} caret
 * @param {{name: string, type: string}[]} fields
 * @param {string[]} [variables] names
 * @returns {{from: number, to: number, options: {text: string, note: string}[], values: {field: string, begun: string, type: string} | null}}
 *   `from`, `to`: what an option takes the place of; `values`: of which field the values are wanted as well
 */
export function complete(text, caret, fields, variables = []) {
  const tokens = [...text.slice(0, caret).matchAll(TOKEN)].map((match) => ({ text: match[0], from: match.index, to: match.index + match[0].length }));
  const last = tokens.at(-1);
  const begun = last && last.to === caret && /^[\w"'$]/.test(last.text) ? tokens.pop() : null;
  const from = begun?.from ?? caret;
  const word = (begun?.text ?? "").toLowerCase();
  const all = [...fields, ...SYSTEM_FIELDS];
  const field = (token) => token && all.find((one) => one.name === bare(token.text));
  const before = tokens.at(-1)?.text.toLowerCase();
  const answer = (options, values = null) => ({ from, to: caret, options: options.filter((one) => one.text.toLowerCase() !== word), values });
  const starts = (name) => name.toLowerCase().startsWith(word.replace(/^["']/, ""));

  // Behind a comparison: values of the field before it.
  let at = tokens.length - 1;
  if (before === "," || before === "(") while (at > 0 && tokens[at].text.toLowerCase() !== "in") at -= 1;
  const operator = tokens[at]?.text.toLowerCase();
  if (["=", "!=", "<", ">", "<=", ">=", "in", "like", "ilike"].includes(operator) && (operator !== "in" || at < tokens.length - 1)) {
    const subject = field(tokens[at - 1]?.text.toLowerCase() === "not" ? tokens[at - 2] : tokens[at - 1]);
    const offered = variables.filter((name) => `$${name}`.toLowerCase().startsWith(word) || !word).map((name) => ({ text: `$${name}`, note: "variable" }));
    const wanted = subject && subject.type !== "timestamp" && !word.startsWith("$") ? { field: subject.name, begun: word.replace(/^'/, ""), type: subject.type } : null;
    return answer(offered, wanted);
  }
  // Behind a field: what can be done with it.
  if (field(tokens.at(-1)) && !begun) return answer((OPERATORS[field(tokens.at(-1)).type] ?? []).map((one) => ({ text: one, note: "" })));
  // Behind a whole comparison: what joins it to the next.
  if (!begun && tokens.length && !["and", "or", "not", "(", ","].includes(before)) return answer([{ text: "and", note: "" }, { text: "or", note: "" }]);
  if (begun && tokens.length && !["and", "or", "not", "(", ","].includes(before) && !field(tokens.at(-1))) return answer(["and", "or"].filter((one) => one.startsWith(word)).map((one) => ({ text: one, note: "" })));
  return answer(all.filter((one) => starts(one.name)).map((one) => ({ text: named(one.name), note: one.type })));
}

export class Where {
  /** @param {{fields: () => object[], variables: () => string[], values: (field: string) => Promise<any[]>, onInput: (text: string) => void}} acts */
  constructor(acts) {
    this.acts = acts;
    this.list = h("ul", { class: "menu suggestions", role: "listbox", id: "where-list", hidden: true });
    this.input = h("textarea", { class: "input mono where", rows: "1", spellcheck: "false", autocomplete: "off", autocapitalize: "off", placeholder: "all records, such as site = 'roof' and temperature > 20", role: "combobox", "aria-expanded": "false", "aria-controls": "where-list", "aria-autocomplete": "list" });
    this.element = h("div", { class: "where-box" }, this.input, this.list);
    this.input.addEventListener("input", () => {
      this.grow();
      this.#suggest();
    });
    this.input.addEventListener("focus", () => this.#suggest());
    this.input.addEventListener("click", () => this.#suggest());
    this.input.addEventListener("blur", () => this.#close());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.asked = 0;
    this.known = new Map();
  }

  grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(160, this.input.scrollHeight + 2)}px`;
  }

  async #suggest() {
    const asked = (this.asked += 1);
    const { selectionStart: caret, value } = this.input;
    const found = complete(value, caret, this.acts.fields(), this.acts.variables());
    this.#offer(found, found.options);
    if (!found.values) return;
    const { field, begun, type } = found.values;
    if (!this.known.has(field)) this.known.set(field, this.acts.values(field).catch(() => []));
    const values = await this.known.get(field);
    if (asked !== this.asked) return;
    const able = values.filter((one) => String(one).toLowerCase().includes(begun)).slice(0, 30).map((one) => ({ text: literal(one, type), note: "" }));
    this.#offer(found, [...found.options, ...able].filter((one) => one.text !== value.slice(found.from, caret)));
  }

  /** Values may be others once the pipeline is another. */
  forget() {
    this.known.clear();
  }

  #offer(found, options) {
    this.options = options.slice(0, 12);
    this.found = found;
    this.chosen = -1;
    this.list.replaceChildren(...this.options.map((one, at) => h("li", { role: "option", id: `where-${at}`, "aria-selected": "false", onpointerdown: (event) => {
      event.preventDefault();
      this.#take(at);
    } }, h("code", { text: one.text }), h("span", { class: "muted", text: one.note }))));
    const open = this.options.length > 0 && this.input.getRootNode().activeElement === this.input;
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    this.input.removeAttribute("aria-activedescendant");
  }

  #close() {
    this.asked += 1;
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
  }

  #choose(at) {
    this.chosen = (at + this.options.length) % this.options.length;
    [...this.list.children].forEach((each, index) => each.setAttribute("aria-selected", String(index === this.chosen)));
    this.list.children[this.chosen].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", `where-${this.chosen}`);
  }

  #take(at) {
    const { from, to } = this.found;
    const { text } = this.options[at];
    const gap = /[('\w]$/.test(text) && !/['(]$/.test(text) ? " " : text.endsWith("'") && text.length > 6 ? " " : "";
    this.input.setRangeText(text + gap, from, to, "end");
    this.input.dispatchEvent(new Event("input"));
  }

  #key(event) {
    if (event.key === "Enter") event.preventDefault();
    if (this.list.hidden) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      this.#choose(this.chosen + (event.key === "ArrowDown" ? 1 : -1));
    } else if ((event.key === "Enter" || event.key === "Tab") && this.chosen >= 0) {
      event.preventDefault();
      this.#take(this.chosen);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      this.#close();
    }
  }
}
