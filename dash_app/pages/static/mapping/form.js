// The mapping as a form. It shows the document as it is, however wrong, and says what was changed as operations; the
// session answers with the document after them.

import { h, icon, iconButton, plural } from "./dom.js";

const TYPES = ["number", "integer", "boolean", "text", "timestamp", "json"];
const FORMATS = [["iso8601", "ISO 8601"], ["epoch_s", "s since 1970"], ["epoch_ms", "ms since 1970"], ["epoch_us", "µs since 1970"], ["epoch_ns", "ns since 1970"]];
const ORIGINS = [["record", "record"], ["payload", "payload"], ["headers", "headers"], ["sql", "sql"]];
const PAUSE = 25;

const words = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
const option = ([value, text = value]) => h("option", { value, text });

/** Paths stand between commas; one within quotes is part of a name. */
const KEY_PATH = /(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^,])+/g;

/** A default as it is typed, for a field of this type. */
function typed(text, type) {
  if (text === "") return null;
  // A browser rounds whole numbers beyond 2^53: those go as they are written, and the session reads them.
  if (type === "integer" && /^-?\d+$/.test(text) && !Number.isSafeInteger(Number(text))) return text;
  if (type === "number" || type === "integer") return Number.isFinite(Number(text)) ? Number(text) : text;
  if (type === "boolean") return text === "true" ? true : text === "false" ? false : text;
  if (type === "json") {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return text;
}

/** An input whose changes are operations: it never overwrites what is being typed with an answer to an earlier key. */
class Live {
  constructor(element, change, { late = false } = {}) {
    this.element = element;
    this.change = change;
    this.sent = 0;
    this.timer = 0;
    const select = element.tagName === "SELECT";
    if (select || late) element.addEventListener("change", () => this.flush(true));
    else {
      element.addEventListener("input", () => {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.flush(true), PAUSE);
      });
      element.addEventListener("blur", () => this.flush());
    }
    if (late) element.addEventListener("keydown", (event) => event.key === "Enter" && element.blur());
  }

  flush(now = false) {
    if (!now && !this.timer) return;
    clearTimeout(this.timer);
    this.timer = 0;
    this.sent = this.change(this.element.value) ?? this.sent;
  }

  show(value, seq) {
    const waits = this.timer || this.sent > seq;
    if (!waits && this.element.value !== value) this.element.value = value;
  }
}

export class Form {
  constructor(edit, { mayWrite, onText }) {
    this.edit = edit;
    this.mayWrite = mayWrite;
    this.rows = [];
    this.focusNext = null;
    this.document = {};
    this.notice = h("div", { class: "form-notice", hidden: true });
    this.onText = onText;
    this.general = this.#general();
    this.list = h("ol", { class: "fields" });
    this.none = h("p", { class: "no-fields", text: mayWrite ? "None yet. Open a payload and click the values that should become fields, or add them by hand." : "None yet." });
    this.count = h("span", { class: "muted num" });
    const add = h("button", { class: "button small", type: "button", onclick: () => this.#add({ name: this.#free("field"), path: "$.", type: "number" }) }, icon("plus"), "Field");
    const compute = h("button", { class: "button small", type: "button", onclick: () => this.#add({ name: this.#free("computed"), sql: "", type: "number" }) }, icon("plus"), "Expression");
    this.element = h(
      "div",
      { class: "form-view" },
      this.notice,
      this.general.element,
      h("div", { class: "fields-head" }, h("h3", { text: "Fields" }), this.count, h("span", { class: "grow" }), mayWrite && add, mayWrite && compute),
      this.list,
      this.none,
    );
  }

  // -- what is told

  show(state, seq) {
    this.document = state.document;
    const odd = state.document.fields !== undefined && !Array.isArray(state.document.fields);
    const locked = Boolean(state.unreadable) || odd || !this.mayWrite;
    this.element.classList.toggle("locked", locked);
    this.notice.hidden = !(state.unreadable || odd || state.lost_comments);
    if (state.unreadable) {
      const back = h("button", { class: "button small", type: "button", text: "Back to the last text that could be read", onclick: () => this.edit({ op: "mend" }) });
      const look = h("button", { class: "button small", type: "button", text: "See it in the text", onclick: () => this.onText(state.unreadable[0]) });
      this.notice.replaceChildren(h("div", { class: "problem", role: "status" }, h("strong", { text: "The text cannot be read" }), h("p", { text: state.unreadable[1] }), h("p", { text: "The form shows what it said before." }), h("p", { class: "wrap left" }, look, back)));
    } else if (odd) this.notice.replaceChildren(h("div", { class: "problem", role: "status" }, h("strong", { text: "`fields` is not a list here" }), h("p", { text: "Mend it in the text; then the form can show it." })));
    else if (state.lost_comments) this.notice.replaceChildren(h("p", { class: "notice", role: "status", text: "Some comments in the text could not be kept with this change. Undo brings them back." }));
    this.general.show(state.document, seq);
    const fields = Array.isArray(state.document.fields) ? state.document.fields : [];
    this.none.hidden = fields.length > 0;
    const before = this.shown ?? fields.length;
    this.shown = fields.length;
    this.count.textContent = fields.length ? String(fields.length) : "";
    while (this.rows.length > fields.length) this.rows.pop().element.remove();
    fields.forEach((field, index) => {
      if (!this.rows[index]) {
        this.rows[index] = this.#row(index);
        this.list.append(this.rows[index].element);
      }
      this.rows[index].show(field && typeof field === "object" ? field : {}, seq, fields.length);
    });
    for (const control of this.element.querySelectorAll("input, select, .field-actions button, .fields-head button")) if (!control.closest(".form-notice")) control.disabled = locked || control.dataset.off === "true";
    if (fields.length === before + 1 && !this.focusNext) {
      const { element } = this.rows.at(-1);
      element.scrollIntoView({ block: "nearest" });
      element.classList.remove("is-new");
      requestAnimationFrame(() => element.classList.add("is-new"));
    }
    if (this.focusNext) {
      const { index, part } = this.focusNext;
      const row = this.rows[index < 0 ? this.rows.length - 1 : index];
      const target = row?.element.querySelector(`[data-part="${part}"]`);
      this.focusNext = null;
      if (target) {
        target.focus({ preventScroll: true });
        target.scrollIntoView({ block: "nearest" });
        if (part === "name") target.select();
      }
    }
  }

  /** Problems by their place, and fields that found nothing in any record. */
  showProblems(problems, result) {
    const at = new Map();
    for (const { place, what } of problems) {
      const hit = /^fields\[(\d+)\](?:\.(\w+))?/.exec(place);
      const key = hit ? Number(hit[1]) : (/^(\w+)/.exec(place)?.[1] ?? "");
      at.set(key, [...(at.get(key) ?? []), [hit?.[2] ?? "", what]]);
    }
    this.general.showProblems(at);
    const columns = new Map((result?.columns ?? []).map((column) => [column.name, column]));
    this.rows.forEach((row, index) => {
      const column = columns.get(row.name);
      const empty = !problems.length && column && result.records > 0 && column.nulls === result.records;
      row.showProblems(at.get(index) ?? [], empty ? `no value in any of ${plural(result.records, "record")}` : "");
    });
  }

  flush() {
    this.general.flush();
    for (const row of this.rows) row.flush();
  }

  go(name) {
    const row = this.rows.find((each) => each.name === name);
    row?.element.scrollIntoView({ block: "center" });
    row?.element.querySelector("[data-part=name]")?.focus({ preventScroll: true });
  }

  // -- parts

  #free(name) {
    const taken = new Set(this.rows.map((row) => row.name.toLowerCase()));
    let free = name;
    for (let number = 2; taken.has(free); number += 1) free = `${name}_${number}`;
    return free;
  }

  #add(field) {
    this.focusNext = { index: -1, part: "name" };
    this.edit({ op: "add", field });
  }

  #general() {
    const edit = this.edit;
    const input = (label, placeholder, more = {}) => h("input", { class: "input", "aria-label": label, placeholder, spellcheck: "false", autocomplete: "off", ...more });
    const records = input("Path to the records", "the payload, or each element or line of it", { class: "input mono" });
    const path = input("Path to the time", "when it was received", { class: "input mono" });
    const format = h("select", { class: "input", "aria-label": "Format of the time" }, ...FORMATS.map(option), option(["pattern", "pattern…"]));
    const pattern = input("Pattern of the time", "%Y-%m-%d %H:%M:%S", { class: "input mono" });
    const key = input("Paths of the key", "every record is new", { class: "input mono" });
    const duplicate = h("select", { class: "input", "aria-label": "When a key comes again" }, option(["ignore", "first stays"]), option(["replace", "newest replaces"]));
    const where = input("Condition", "every record is kept", { class: "input mono" });
    const errors = h("select", { class: "input", "aria-label": "When a value does not fit" }, option(["reject", "reject the record"]), option(["null", "leave the field empty"]));
    let chosen = "iso8601";
    const asTime = () => edit({ op: "time", path: path.value.trim(), format: format.value === "pattern" ? pattern.value.trim() || "%Y-%m-%d" : format.value });
    const lives = {
      records: new Live(records, (value) => edit({ op: "records", path: value.trim() })),
      path: new Live(path, asTime),
      format: new Live(format, () => {
        pattern.hidden = format.value !== "pattern";
        return asTime();
      }),
      pattern: new Live(pattern, asTime),
      key: new Live(key, (value) => edit({ op: "key", paths: (value.match(KEY_PATH) ?? []).map((each) => each.trim()).filter(Boolean) })),
      duplicate: new Live(duplicate, (value) => edit({ op: "on_duplicate", value })),
      where: new Live(where, (value) => edit({ op: "where", value: value.trim() === "" ? "" : value })),
      errors: new Live(errors, (value) => edit({ op: "on_error", value })),
    };
    const said = {};
    const line = (name, label, ...controls) => {
      said[name] = h("p", { class: "wrong", hidden: true, role: "alert" });
      return h("div", { class: "setting" }, h("span", { class: "label", text: label, "aria-hidden": "true" }), h("div", { class: "controls" }, ...controls), said[name]);
    };
    const element = h(
      "div",
      { class: "settings" },
      line("records", "Records", records),
      line("time", "Time", path, format, pattern),
      line("key", "Key", key, duplicate),
      line("where", "Where", where),
      line("on_error", "On error", errors),
    );
    return {
      element,
      flush: () => Object.values(lives).forEach((live) => live.flush()),
      show(document, seq) {
        const time = document.time && typeof document.time === "object" ? document.time : {};
        const known = FORMATS.some(([value]) => value === (time.format ?? "iso8601"));
        chosen = known ? (time.format ?? "iso8601") : "pattern";
        lives.records.show(words(document.records), seq);
        lives.path.show(words(time.path), seq);
        lives.format.show(chosen, seq);
        lives.pattern.show(known ? "" : words(time.format), seq);
        pattern.hidden = format.value !== "pattern";
        format.hidden = !path.value.trim();
        if (format.hidden) pattern.hidden = true;
        lives.key.show(Array.isArray(document.key) ? document.key.map(words).join(", ") : words(document.key), seq);
        lives.duplicate.show(words(document.on_duplicate) || "ignore", seq);
        duplicate.hidden = !key.value.trim();
        lives.where.show(words(document.where), seq);
        lives.errors.show(document.on_error === null ? "null" : words(document.on_error) || "reject", seq);
      },
      showProblems(at) {
        for (const [name, place] of Object.entries(said)) {
          const found = [...(at.get(name) ?? []), ...(name === "key" ? (at.get("on_duplicate") ?? []) : [])];
          place.hidden = !found.length;
          place.textContent = found.map(([, what]) => what).join("; ");
        }
        records.setAttribute("aria-invalid", String(at.has("records")));
        path.setAttribute("aria-invalid", String(at.has("time")));
        key.setAttribute("aria-invalid", String(at.has("key")));
        where.setAttribute("aria-invalid", String(at.has("where")));
      },
    };
  }

  #row(index) {
    const edit = this.edit;
    const set = (key, value) => edit({ op: "set", index, key, value });
    const input = (part, label, placeholder = "", more = {}) => h("input", { class: "input", "data-part": part, "aria-label": label, placeholder, spellcheck: "false", autocomplete: "off", ...more });
    const name = input("name", "Name", "name", { class: "input name" });
    const type = h("select", { class: "input type", "data-part": "type", "aria-label": "Type" }, ...TYPES.map((each) => option([each])));
    const unit = input("unit", "Unit", "unit", { class: "input unit" });
    const origin = h("select", { class: "input origin", "data-part": "from", "aria-label": "Read from" }, ...ORIGINS.map(option));
    const source = input("source", "Path", "$.path", { class: "input mono source" });
    const role = h("select", { class: "input", "data-part": "role", "aria-label": "Role" }, option(["", "as its type"]), option(["metric", "metric"]), option(["dimension", "dimension"]));
    const fallback = input("default", "Default", "empty", { class: "input" });
    const row = { name: "", type: "number" };
    const lives = [
      new Live(name, (value) => set("name", value.trim()), { late: true }),
      new Live(type, (value) => set("type", value)),
      new Live(unit, (value) => set("unit", value.trim())),
      new Live(origin, (value) => {
        if (value === "sql") return set("sql", "");
        if (row.sql) edit({ op: "set", index, key: "path", value: "$." });
        return set("from", value);
      }),
      new Live(source, (value) => set(row.sql ? "sql" : "path", row.sql ? value : value.trim())),
      new Live(role, (value) => set("role", value)),
      new Live(fallback, (value) => set("default", typed(value, row.type))),
    ];
    const more = h("div", { class: "field-more", hidden: true }, h("label", {}, h("span", { text: "Role" }), role), h("label", {}, h("span", { text: "Default" }), fallback));
    const toggle = iconButton("more", "Role and default", () => {
      more.hidden = !more.hidden;
      toggle.setAttribute("aria-expanded", String(!more.hidden));
    }, { "aria-expanded": "false" });
    const up = iconButton("up", "Move up", () => {
      this.focusNext = { index: index - 1, part: "up" };
      edit({ op: "move", index, to: index - 1 });
    }, { "data-part": "up" });
    const down = iconButton("down", "Move down", () => {
      this.focusNext = { index: index + 1, part: "down" };
      edit({ op: "move", index, to: index + 1 });
    }, { "data-part": "down" });
    const remove = iconButton("remove", "Remove", () => {
      this.focusNext = { index: Math.max(0, index - 1), part: "remove" };
      edit({ op: "remove", index });
    }, { "data-part": "remove" });
    const wrong = h("p", { class: "wrong", hidden: true, role: "alert" });
    const note = h("p", { class: "warn-text", hidden: true });
    const tag = h("span", { class: "more-tag muted" });
    const element = h(
      "li",
      { class: "field-row", "data-index": String(index) },
      h("div", { class: "field-line" }, name, type, unit, h("div", { class: "field-actions" }, toggle, up, down, remove)),
      h("div", { class: "field-line second" }, origin, source, tag),
      more,
      wrong,
      note,
    );
    return Object.assign(row, {
      element,
      flush: () => lives.forEach((live) => live.flush()),
      show(field, seq, count) {
        row.name = words(field.name);
        row.type = field.type ?? "";
        row.sql = field.sql !== undefined && field.path === undefined;
        element.dataset.field = row.name;
        const values = [row.name, words(field.type), words(field.unit), row.sql ? "sql" : words(field.from) || "record", words(row.sql ? field.sql : field.path), words(field.role), words(field.default)];
        lives.forEach((live, at) => live.show(values[at], seq));
        source.setAttribute("aria-label", row.sql ? "Expression" : "Path");
        source.placeholder = row.sql ? "round(temperature * 1.8 + 32, 1)" : "$.path";
        unit.hidden = row.type === "json" || row.type === "boolean";
        tag.textContent = [field.role, field.default === undefined || field.default === null ? "" : `default ${words(field.default)}`].filter(Boolean).join(", ");
        tag.hidden = !tag.textContent || !more.hidden;
        up.dataset.off = String(index === 0);
        down.dataset.off = String(index === count - 1);
      },
      showProblems(problems, empty) {
        const parts = new Set(problems.map(([part]) => part));
        name.setAttribute("aria-invalid", String(parts.has("name")));
        type.setAttribute("aria-invalid", String(parts.has("type")));
        source.setAttribute("aria-invalid", String(parts.has("path") || parts.has("sql") || parts.has("")));
        fallback.setAttribute("aria-invalid", String(parts.has("default")));
        if (parts.has("default") || parts.has("role")) more.hidden = false;
        wrong.hidden = !problems.length;
        wrong.textContent = problems.map(([, what]) => what).join("; ");
        note.hidden = !empty;
        note.textContent = empty;
        element.classList.toggle("is-wrong", problems.length > 0);
      },
    });
  }
}
