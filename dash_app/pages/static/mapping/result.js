// What the mapping makes of the payloads: how many are clean, why others are not, the records as a table, and what the
// document's own tests say.

import { columnDecimals, formatFullTime, formatNumber, formatTime } from "../format.js";
import { h, plural } from "./dom.js";

const NOTHING = "–";

function shown(column, value, decimals) {
  if (value === null) return NOTHING;
  if (column.type === "timestamp" && typeof value === "number") return formatTime(value);
  if (column.type === "integer") return String(value);
  if (typeof value === "number") return formatNumber(value, { decimals });
  return String(value);
}

export class Result {
  constructor({ onPayload, onField, onLine, onInfer, mayWrite, address }) {
    Object.assign(this, { onPayload, onField, onLine, onInfer, mayWrite, address });
    this.tab = "records";
    this.result = null;
    this.problems = [];
    this.selected = null;
    this.figure = h("strong", { class: "num" });
    this.beside = h("span", { class: "muted num" });
    this.share = h("div", { class: "share", "aria-hidden": "true" }, h("span"));
    this.reasons = h("ul", { class: "reasons" });
    this.summary = h("div", { class: "summary", role: "status" }, h("p", { class: "figure-line" }, this.figure, this.beside), this.share, this.reasons);
    this.wrong = h("div", { class: "wrongs", hidden: true });
    this.tabs = h("div", { class: "sub-tabs", role: "tablist", "aria-label": "Result", onkeydown: (event) => this.#key(event) });
    this.table = h("div", { class: "table-scroll", tabindex: "0", role: "tabpanel", "aria-label": "Records" });
    this.body = h("div", { class: "pane-body result-body" }, this.wrong, this.summary, this.table);
    this.element = h("section", { class: "pane result", "data-pane": "result", "aria-label": "Result" }, h("div", { class: "pane-head" }, h("h2", { text: "Result" }), h("span", { class: "grow" }), this.tabs), this.body);
    this.state = "waiting";
    this.#drawWaiting();
  }

  #drawWaiting() {
    this.summary.hidden = true;
    this.tabs.hidden = true;
    this.table.replaceChildren(h("div", { class: "waiting" }, h("span", { class: "skeleton", style: "width: 50%" }), h("span", { class: "skeleton tall" })));
  }

  busy(is) {
    this.element.setAttribute("aria-busy", String(is));
    this.element.classList.toggle("is-late", is);
  }

  /** @param {{problems: object[], result: object | null, seq: number}} message */
  show({ problems, result, seq }, { blank, payloads }) {
    this.busy(false);
    this.problems = problems;
    if (result) this.result = result;
    if (blank) this.result = null;
    this.element.dataset.preview = String(seq);
    this.element.dataset.state = problems.length ? "problems" : blank ? "blank" : payloads ? "shown" : "empty";
    this.#drawProblems();
    this.element.classList.toggle("is-old", problems.length > 0 && this.result !== null);
    if (blank || (!payloads && !this.result?.tests) || !this.result) {
      this.#drawEmpty(blank, payloads);
      return;
    }
    this.#drawSummary();
    this.#drawTabs();
    this.#drawTab();
  }

  select(id) {
    this.selected = id;
    for (const row of this.table.querySelectorAll("tr[data-payload]")) row.classList.toggle("is-selected", row.dataset.payload === id);
  }

  #drawProblems() {
    const many = this.problems.length;
    this.wrong.hidden = !many;
    if (!many) {
      this.wrong.replaceChildren();
      return;
    }
    const lines = this.problems.map(({ place, what, line }) => {
      const words = [place ? h("code", { text: place }) : null, ` ${place ? what : what.replace(/^line \d+, (column \d+: )/, "$1")}`];
      return h("li", {}, line ? h("button", { class: "line-link", type: "button", text: `Line ${line}`, onclick: () => this.onLine(line) }) : null, " ", ...words);
    });
    this.wrong.replaceChildren(h("div", { class: "problem", role: "alert" }, h("strong", { text: many === 1 ? "One thing is wrong" : `${many} things are wrong` }), h("ul", {}, ...lines), this.result && h("p", { class: "muted", text: "Below is what the mapping made before." })));
  }

  #drawEmpty(blank, payloads) {
    this.summary.hidden = true;
    this.tabs.hidden = true;
    if (blank) {
      const infer = this.mayWrite && payloads > 0 && h("button", { class: "button primary", type: "button", text: "Infer from payloads", onclick: this.onInfer });
      const how = !this.mayWrite ? "It is inferred from the first payloads, or written by an editor of the team." : payloads ? "Have one proposed from these payloads, or click the values on the left that should become fields." : "It is inferred from the first payloads, unless you write one here before they come.";
      this.table.replaceChildren(h("div", { class: "empty" }, h("h3", { text: "No mapping yet" }), h("p", { text: how }), infer));
    } else if (this.problems.length) this.table.replaceChildren();
    else this.table.replaceChildren(h("div", { class: "empty" }, h("h3", { text: "The mapping is valid" }), h("p", { text: "There is no payload to try it on yet. What it makes of the last ones appears here as soon as there are some." })));
  }

  #drawSummary() {
    const { payloads, clean, rejected, records, filtered, groups, rejects } = this.result;
    this.summary.hidden = !payloads;
    this.figure.textContent = `${clean} of ${plural(payloads, "payload")} clean`;
    this.beside.textContent = [plural(records, "record"), rejected ? plural(rejected, "reject") : "", filtered ? `${filtered} left out by where` : ""].filter(Boolean).join(" · ");
    this.share.hidden = clean === payloads;
    this.share.firstChild.style.width = `${payloads ? (100 * clean) / payloads : 100}%`;
    this.summary.classList.toggle("has-rejects", rejected > 0);
    this.summary.classList.toggle("none-clean", clean === 0 && payloads > 0);
    const lines = groups.slice(0, 3).map((group) =>
      h("li", {}, h("button", { class: "reason", type: "button", title: "Show the field", onclick: () => this.onField(group.field) }, h("code", { text: group.field }), ` ${group.reason}`), h("span", { class: "muted num", text: ` in ${group.payloads} of ${plural(payloads, "payload")}` }), " ", h("button", { class: "line-link", type: "button", text: "open the first", onclick: () => this.onPayload(group.first) })),
    );
    if (groups.length > 3) lines.push(h("li", {}, h("button", { class: "line-link", type: "button", text: `${groups.length - 3} more reasons`, onclick: () => this.#choose("rejects") })));
    this.reasons.replaceChildren(...lines);
    this.reasons.hidden = !rejects.length;
  }

  #drawTabs() {
    const { records, rejected, tests, failures } = this.result;
    const tabs = [["records", "Records", records], ["rejects", "Rejects", rejected]];
    if (tests) tabs.push(["tests", "Tests", tests]);
    if (!tabs.some(([name]) => name === this.tab)) this.tab = "records";
    this.tabs.hidden = false;
    this.tabs.replaceChildren(
      ...tabs.map(([name, title, count]) => {
        const tone = (name === "rejects" && count) || (name === "tests" && failures.length) ? "count wrong-count" : "count";
        return h("button", { role: "tab", type: "button", "aria-selected": String(name === this.tab), tabindex: name === this.tab ? "0" : "-1", "data-tab": name, onclick: () => this.#choose(name) }, title, " ", h("span", { class: tone, text: name === "tests" && failures.length ? `${failures.length} failed` : String(count) }));
      }),
    );
  }

  #key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...this.tabs.children];
    const next = all[(all.findIndex((each) => each.dataset.tab === this.tab) + step + all.length) % all.length];
    this.#choose(next.dataset.tab);
    this.tabs.querySelector(`[data-tab="${this.tab}"]`).focus();
  }

  #choose(tab) {
    this.tab = tab;
    this.#drawTabs();
    this.#drawTab();
  }

  #drawTab() {
    this.table.setAttribute("aria-label", { records: "Records", rejects: "Rejects", tests: "Tests" }[this.tab]);
    const { scrollTop, scrollLeft } = this.table;
    if (this.tab === "rejects") this.#drawRejects();
    else if (this.tab === "tests") this.#drawTests();
    else this.#drawRecords();
    this.table.scrollTop = scrollTop;
    this.table.scrollLeft = scrollLeft;
  }

  #drawRecords() {
    const { columns, rows, from, records } = this.result;
    if (!rows.length) {
      this.table.replaceChildren(h("div", { class: "empty" }, h("h3", { text: "No records" }), h("p", { text: this.result.rejected ? "Everything was refused; the reasons are above." : "These payloads give no record under this mapping." })));
      return;
    }
    const numeric = columns.map((column) => column.type === "number" || column.type === "integer");
    const head = columns.map((column, at) => {
      const cell = h("th", { scope: "col", class: numeric[at] ? "num" : null, text: column.name === "_time" ? "Time" : column.name });
      if (column.unit) cell.append(" ", h("span", { class: "unit", text: column.unit }));
      if (column.nulls) cell.title = `${plural(column.nulls, "record")} of ${records} without a value`;
      return cell;
    });
    // Figures below each other have their points below each other.
    const decimals = columns.map((column, at) => (column.type === "number" ? columnDecimals(rows.map((row) => row[at])) : 0));
    const body = h("tbody");
    rows.forEach((row, number) => {
      const line = document.createElement("tr");
      line.dataset.payload = from[number][0];
      if (from[number][0] === this.selected) line.className = "is-selected";
      row.forEach((value, at) => {
        const cell = document.createElement("td");
        cell.className = `${numeric[at] ? "num" : ""}${value === null ? " none" : ""}`;
        const text = shown(columns[at], value, decimals[at]);
        if (value !== null && columns[at].type === "timestamp") cell.title = formatFullTime(value);
        else if (text.length > 24) cell.title = text;
        if (at) cell.textContent = text;
        else cell.append(h("button", { class: "cell-link num", type: "button", text, "aria-label": `Record of ${text}: open its payload`, onclick: () => this.onPayload(from[number][0]) }));
        line.append(cell);
      });
      body.append(line);
    });
    const more = records > rows.length ? h("p", { class: "further-note muted num", text: `The newest ${rows.length} of ${plural(records, "record")}.` }) : null;
    this.table.replaceChildren(h("table", { class: "table dense preview-rows" }, h("thead", {}, h("tr", {}, ...head)), body), ...(more ? [more] : []));
  }

  #drawRejects() {
    const { rejects, rejected, groups, payloads } = this.result;
    if (!rejects.length) {
      this.table.replaceChildren(h("div", { class: "empty" }, h("h3", { text: "Nothing is refused" }), h("p", { text: "Every value fits its field." })));
      return;
    }
    const grouped = groups.length > 3 ? h("ul", { class: "reasons all" }, ...groups.map((group) => h("li", {}, h("code", { text: group.field }), ` ${group.reason} `, h("span", { class: "muted num", text: `in ${group.payloads} of ${plural(payloads, "payload")}` })))) : null;
    const rows = rejects.map((reject) =>
      h(
        "li",
        { class: "reject" },
        h("p", {}, h("code", { text: reject.field }), ` ${reject.reason}`),
        reject.excerpt && h("pre", { class: "excerpt", text: reject.excerpt }),
        h("p", { class: "muted" }, reject.index < 0 ? "the payload as a whole" : `record ${reject.index}`, " · ", h("button", { class: "line-link", type: "button", text: "open its payload", onclick: () => this.onPayload(reject.payload) })),
      ),
    );
    this.table.replaceChildren(...(grouped ? [grouped] : []), h("ul", { class: "rejects" }, ...rows));
    if (rejected > rejects.length) this.table.append(h("p", { class: "further-note muted num", text: `The newest ${rejects.length} of ${plural(rejected, "reject")}.` }));
  }

  #drawTests() {
    const { tests, failures } = this.result;
    const head = failures.length ? h("p", { class: "bad-text", text: `${plural(failures.length, "thing comes", "things come")} out otherwise than the tests say.` }) : h("p", { class: "ok-text", text: tests === 1 ? "The test passes." : `All ${tests} tests pass.` });
    this.table.replaceChildren(h("div", { class: "tests" }, head, h("ul", {}, ...failures.map((text) => h("li", {}, h("code", { text }))))));
  }
}
