// The payloads on the left: a list that is searched, and any one of them as a tree in which a click makes a field.

import { ago } from "../ago.js";
import { h, icon, iconButton, plural, size } from "./dom.js";

const PAUSE = 150;

/** Steps of a node under one of the document's paths: what `*` stands for is any step, and a list's end its elements. */
function leads(steps, pattern) {
  return steps.length === pattern.length && steps.every((step, at) => pattern[at] === null || pattern[at] === step);
}

/** What a place is used for: names of fields, and "time" or "key". */
function usesOf(marks, steps, payload) {
  const lines = /ndjson|jsonl/.test(payload.type);
  const whole = lines ? steps.slice(1) : steps;
  const records = marks.records ?? [];
  const below = [];
  if (marks.records === null) below.push(whole, ...(typeof steps[0] === "number" && !lines ? [steps.slice(1)] : []));
  else if (whole.length >= records.length && leads(whole.slice(0, records.length), records)) {
    below.push(whole.slice(records.length));
    if (records.at(-1) !== null && typeof whole[records.length] === "number") below.push(whole.slice(records.length + 1));
  }
  const uses = [];
  for (const [name, origin, path] of marks.fields) {
    if (origin === "payload" ? leads(whole, path) : origin === "record" && below.some((each) => leads(each, path))) uses.push([name, "field"]);
  }
  if (marks.time && below.some((each) => leads(each, marks.time))) uses.push(["time", "time"]);
  if (marks.key.some((path) => below.some((each) => leads(each, path)))) uses.push(["key", "key"]);
  if (marks.records?.length && records.at(-1) === null && leads(whole, records.slice(0, -1))) uses.push(["records", "records"]);
  return uses;
}

export class Payloads {
  constructor(say, { mayWrite, webhook, address }) {
    this.say = say;
    this.mayWrite = mayWrite;
    this.webhook = webhook;
    this.address = address;
    this.payloads = null;
    this.pasted = false;
    this.refused = {};
    this.marks = { records: null, fields: [], time: null, key: [] };
    this.found = null;
    this.opened = null;
    this.timer = 0;
    this.search = h("input", { class: "input", type: "search", placeholder: "Search in bodies and headers", "aria-label": "Search payloads", "data-own": "", oninput: () => this.#typed() });
    this.count = h("span", { class: "muted num" });
    this.fresh = h("button", { class: "button small fresh", type: "button", hidden: true, onclick: () => this.say("load") });
    this.head = h("div", { class: "pane-head" }, h("h2", { text: "Payloads" }), this.count, h("span", { class: "grow" }), this.fresh);
    this.tools = h("div", { class: "pane-tools" }, h("label", { class: "searching" }, icon("search"), this.search));
    this.body = h("div", { class: "pane-body" });
    this.element = h("section", { class: "pane payloads", "data-pane": "payloads", "aria-label": "Payloads", onkeydown: (event) => this.#key(event) }, this.head, this.tools, this.body);
    this.body.append(h("div", { class: "waiting" }, ...["80%", "60%", "72%", "50%"].map((width) => h("span", { class: "skeleton", style: `width: ${width}` }))));
  }

  // -- what is told

  setPayloads({ payloads, pasted }) {
    this.payloads = payloads;
    this.pasted = pasted;
    this.fresh.hidden = true;
    this.found = null;
    if (this.search.value) this.#typed();
    const open = this.opened && payloads.some((each) => each.id === this.opened.payload.id);
    if (!open) {
      this.opened = null;
      this.#drawList();
    } else this.#drawCount();
  }

  setWaiting(count) {
    this.fresh.hidden = !count;
    this.fresh.textContent = `${count} new`;
    this.fresh.title = "Take them in";
  }

  setFound({ text, ids }) {
    if (text !== this.search.value.trim()) return;
    this.found = new Set(ids);
    if (!this.opened) this.#drawList();
  }

  setRefused(refused) {
    this.refused = refused;
    for (const item of this.body.querySelectorAll("[data-payload]")) this.#drawState(item);
  }

  setMarks(marks) {
    this.marks = marks;
    if (!this.opened) return;
    for (const row of this.body.querySelectorAll("[data-steps]")) this.#drawUses(row);
  }

  open(id) {
    this.say("open", { id });
  }

  setPayload(message) {
    this.opened = message;
    this.#drawTree();
    this.onOpened?.(message.payload.id);
  }

  setChildren({ id, path, start, nodes }) {
    if (this.opened?.payload.id !== id) return;
    const wanted = JSON.stringify(path);
    const row = [...this.body.querySelectorAll("[data-steps]")].find((each) => each.dataset.steps === wanted);
    const list = path.length || row ? row?.nextElementSibling : this.body.querySelector("ul.tree");
    if (!list?.matches("ul")) return;
    if (start === 0) list.replaceChildren();
    else list.querySelector(":scope > .further")?.remove();
    this.#fill(list, path, nodes, start, row ? Number(row.dataset.size) : this.opened.tree[3]);
  }

  // -- the list

  #typed() {
    clearTimeout(this.timer);
    const text = this.search.value.trim();
    if (!text) {
      this.found = null;
      if (!this.opened) this.#drawList();
      return;
    }
    this.timer = setTimeout(() => this.say("search", { text }), PAUSE);
  }

  #shown() {
    return (this.payloads ?? []).filter((each) => !this.found || this.found.has(each.id));
  }

  #drawCount() {
    const all = this.payloads?.length ?? 0;
    const shown = this.#shown().length;
    this.count.textContent = this.pasted ? "pasted" : !all ? "" : this.found ? `${shown} of ${all}` : `newest ${all}`;
  }

  #drawList() {
    this.tools.hidden = !this.payloads.length || this.pasted;
    this.#drawCount();
    if (!this.payloads.length) {
      this.body.replaceChildren(this.#empty());
      return;
    }
    const items = this.#shown().map((payload) => {
      const item = h(
        "button",
        { type: "button", class: "payload", "data-payload": payload.id, onclick: () => this.open(payload.id) },
        h("span", { class: "line" }, h("time", { "data-ago": String(payload.at), title: new Date(payload.at).toISOString(), text: ago(payload.at) }), h("span", { class: "muted num", text: size(payload.size) }), h("span", { class: "grow" }), h("span", { class: "state" })),
        h("code", { class: "excerpt", text: payload.excerpt || "(empty)" }),
      );
      this.#drawState(item);
      return h("li", {}, item);
    });
    const parts = [items.length ? h("ul", { class: "payload-list" }, ...items) : h("p", { class: "nothing muted", text: "No payload has that in it." })];
    if (this.pasted) parts.push(h("p", { class: "nothing" }, h("button", { class: "button small", type: "button", text: "Back to the received payloads", onclick: () => this.say("load") })));
    parts.push(this.#pasting());
    this.body.replaceChildren(...parts);
  }

  #drawState(item) {
    const place = item.querySelector(".state");
    const refused = this.refused[item.dataset.payload];
    place.className = refused ? "state badge rejects" : "state";
    place.textContent = refused ? plural(refused, "reject") : "";
  }

  #empty() {
    const how = this.webhook ? "Send one with the script on the " : "The first run brings some; when it is due stands on the ";
    return h(
      "div",
      { class: "empty" },
      h("h3", { text: "No payloads yet" }),
      h("p", {}, how, h("a", { href: this.address, text: "overview" }), ", or paste a sample to try a mapping on."),
      this.#pasting(true),
    );
  }

  #pasting(open = false) {
    const area = h("textarea", { class: "input code", rows: "6", "aria-label": "Sample payload", placeholder: '{"temperature": 21.5, "site": "roof"}', "data-own": "", spellcheck: "false" });
    const kind = h("select", { class: "input", "aria-label": "Content type", "data-own": "" }, ...[["application/json", "JSON"], ["application/x-ndjson", "NDJSON"], ["text/csv", "CSV"], ["application/x-www-form-urlencoded", "Form"]].map(([value, text]) => h("option", { value, text })));
    const button = h("button", { class: "button small", type: "button", text: "Try on this", onclick: () => area.value.trim() && this.say("paste", { text: area.value, content_type: kind.value }) });
    return h("details", { class: "pasting", open }, h("summary", { text: "Paste a sample payload" }), area, h("div", { class: "split" }, kind, button));
  }

  // -- the tree

  #key(event) {
    if (event.key === "Escape" && this.opened) {
      event.stopPropagation();
      this.close();
      return;
    }
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (!(event.key in moves) || !event.target.matches(".leaf, .branch, .payload")) return;
    const all = [...this.body.querySelectorAll(".leaf, .branch, .payload")].filter((each) => each.checkVisibility());
    const next = all[all.indexOf(event.target) + moves[event.key]];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }

  close() {
    const id = this.opened?.payload.id;
    this.opened = null;
    this.#drawList();
    this.body.querySelector(`[data-payload="${id}"]`)?.focus();
    this.onOpened?.(null);
  }

  #step(by) {
    const ids = this.#shown().map((each) => each.id);
    const next = ids[ids.indexOf(this.opened.payload.id) + by];
    if (next) this.open(next);
  }

  #drawTree() {
    const { payload, tree, wrong, text } = this.opened;
    this.tools.hidden = true;
    this.#drawCount();
    const ids = this.#shown().map((each) => each.id);
    const at = ids.indexOf(payload.id);
    const bar = h(
      "div",
      { class: "tree-bar" },
      h("button", { class: "button quiet small", type: "button", title: "Esc", onclick: () => this.close() }, icon("back"), "All payloads"),
      h("span", { class: "grow" }),
      iconButton("up", "Newer payload", () => this.#step(-1), { disabled: at <= 0 }),
      iconButton("down", "Older payload", () => this.#step(1), { disabled: at < 0 || at >= ids.length - 1 }),
    );
    const facts = h("div", { class: "tree-facts muted" }, h("time", { "data-ago": String(payload.at), text: ago(payload.at) }), " · ", h("span", { class: "num", text: size(payload.size) }), " · ", payload.type);
    if (!this.pasted) facts.append(" · ", h("a", { href: `${this.address}?tab=payloads&payload=${payload.id}`, text: "raw" }));
    const parts = [bar, facts];
    if (wrong) parts.push(h("div", { class: "problem", role: "alert" }, h("strong", { text: "This payload cannot be read" }), h("p", { text: wrong })), h("pre", { class: "body", text }));
    else {
      const list = h("ul", { class: "tree", role: "group" });
      const [, kind, , count, children] = tree;
      if (children) {
        this.#fill(list, [], children, 0, count);
      } else list.append(h("li", {}, this.#row(tree, [])));
      parts.push(h("p", { class: "tree-hint muted", text: this.mayWrite ? "Click a value to add it as a field." : "" }), list);
    }
    if (payload.headers.length) {
      const rows = payload.headers.map(([name, value]) => h("li", {}, this.#header(name, value)));
      parts.push(h("details", { class: "tree-headers" }, h("summary", { text: plural(payload.headers.length, "header") }), h("ul", { class: "tree" }, ...rows)));
    }
    this.body.replaceChildren(...parts);
    this.body.scrollTop = 0;
    bar.querySelector("button").focus({ preventScroll: true });
  }

  #fill(list, path, nodes, start, count) {
    for (const node of nodes) {
      const [step, , , , children] = node;
      const steps = [...path, step];
      const item = h("li", {}, this.#row(node, steps));
      if (node[1] === "object" || node[1] === "array") {
        const inner = h("ul", { role: "group", hidden: !children });
        if (children) this.#fill(inner, steps, children, 0, node[3]);
        item.append(inner);
      }
      list.append(item);
    }
    const shown = start + nodes.length;
    if (shown < count && nodes.length) {
      const more = h("button", { class: "button quiet small", type: "button", text: `${plural(count - shown, "more", "more")}…`, onclick: () => this.say("children", { id: this.opened.payload.id, path, start: shown }) });
      list.append(h("li", { class: "further" }, more));
    }
  }

  #row(node, steps) {
    const [step, kind, text, count, children] = node;
    const holds = kind === "object" || kind === "array";
    const key = h("span", { class: typeof step === "number" ? "key index" : "key", text: step === null ? "payload" : String(step) });
    const row = h("div", { class: "tree-row", "data-steps": JSON.stringify(steps), "data-size": String(count) });
    const uses = h("span", { class: "uses" });
    if (holds) {
      const told = kind === "array" ? `[${count}]` : `{${count}}`;
      const branch = h("button", { class: "branch", type: "button", "aria-expanded": String(Boolean(children)), onclick: () => this.#toggle(row, branch), onkeydown: (event) => this.#expand(event, row, branch) }, icon("next"), key, h("span", { class: "muted num", text: told }));
      if (!count) branch.disabled = true;
      row.append(branch, uses);
      if (this.mayWrite && steps.length) {
        if (kind === "array") row.append(this.#use("records", "records", steps, "Take its elements as the records"));
        row.append(this.#use("field", "+ json", steps, "Add it as a field of the type json"));
      } else if (this.mayWrite && kind === "array") row.append(this.#use("records", "records", steps, "Take its elements as the records"));
    } else {
      const cut = kind === "text" && count > text.length;
      const value = h("span", { class: `value ${kind}`, text: kind === "text" ? `"${text}${cut ? "…" : ""}"` : text });
      const name = steps.filter((each) => typeof each === "string").at(-1) ?? "value";
      const leaf = h("button", { class: "leaf", type: "button", disabled: !this.mayWrite || !steps.length, "aria-label": `Add ${name} as a field: ${text.slice(0, 80)}`, title: cut ? `${count} characters` : null, onclick: () => this.#take("field", steps) }, key, value);
      row.append(leaf, uses);
      if (this.mayWrite && kind !== "null" && kind !== "boolean" && steps.length) row.append(this.#use("time", "time", steps, `Take ${name} as the time of the records`), this.#use("key", "key", steps, `Take ${name} into the key of the records, or out of it`));
    }
    this.#drawUses(row);
    return row;
  }

  #header(name, value) {
    const row = h("div", { class: "tree-row", "data-header": name });
    row.append(h("button", { class: "leaf", type: "button", disabled: !this.mayWrite, "aria-label": `Add the header ${name} as a field`, onclick: () => this.#take("header", [name]) }, h("span", { class: "key", text: name }), h("span", { class: "value text", text: value })));
    return row;
  }

  #use(use, text, steps, label) {
    return h("button", { class: "use", type: "button", text, "aria-label": label, title: label, onclick: () => this.#take(use, steps) });
  }

  #take(use, steps) {
    this.say("take", { as: use, id: this.opened.payload.id, path: steps });
  }

  #expand(event, row, branch) {
    const open = branch.getAttribute("aria-expanded") === "true";
    if ((event.key === "ArrowRight" && !open) || (event.key === "ArrowLeft" && open)) {
      event.preventDefault();
      this.#toggle(row, branch);
    }
  }

  #toggle(row, branch) {
    const list = row.nextElementSibling;
    if (!list) return;
    const open = branch.getAttribute("aria-expanded") !== "true";
    branch.setAttribute("aria-expanded", String(open));
    list.hidden = !open;
    if (open && !list.childElementCount) {
      list.append(h("li", {}, h("span", { class: "skeleton", style: "width: 60%" })));
      this.say("children", { id: this.opened.payload.id, path: JSON.parse(row.dataset.steps), start: 0 });
    }
  }

  #drawUses(row) {
    const place = row.querySelector(".uses");
    if (!place) return;
    const uses = usesOf(this.marks, JSON.parse(row.dataset.steps), this.opened.payload);
    row.classList.toggle("mapped", uses.length > 0);
    place.replaceChildren(...uses.map(([name, kind]) => h("span", { class: `chip ${kind}`, text: name })));
  }
}
