// Saving: the note, the ways in which a version goes live, the list of versions, and what happens when two people save.

import { ago } from "../ago.js";
import { formatFullTime } from "../format.js";
import { h, icon, plural } from "./dom.js";

export const CHOICES = [
  ["now", "From now on", "New payloads are mapped with it at once. History stays readable beside it, as it was mapped."],
  ["now_and_replay", "From now on, and replay history", "The same, and all stored payloads are mapped anew behind the scenes, to be swapped in at one moment."],
  ["after_replay", "After replay", "The version before goes on alone until everything is mapped anew; then all of it changes at one moment."],
  ["no", "Save only", "It is kept as a version and maps nothing yet."],
];
const LABELS = { now: "Save from now on", now_and_replay: "Save and replay", after_replay: "Save after replay", no: "Save only" };
const SAID = { now: "maps what comes from now on", now_and_replay: "maps what comes from now on; history is being replayed", after_replay: "goes live when its replay is done", no: "is kept and maps nothing yet" };

/** The split control: a button that saves, and a menu of how. `save({note, activate})`. */
export class SaveControl {
  constructor(save) {
    this.choice = "now";
    this.note = h("input", { class: "input note-input", type: "text", maxlength: "1000", placeholder: "What changes? (a note for the list of versions)", "aria-label": "Note", "data-own": "" });
    this.label = h("span", { text: LABELS.now });
    this.main = h("button", { class: "button primary main", type: "button", title: "Ctrl+S", onclick: () => this.submit() }, this.label);
    this.open = h("button", { class: "button primary caret", type: "button", "aria-label": "How it goes live", "aria-haspopup": "true", "aria-expanded": "false", onclick: () => this.#toggle() }, icon("caret"));
    const radios = CHOICES.map(([value, title, words]) => {
      const radio = h("input", { type: "radio", name: "activate", value, "data-own": "", onchange: () => this.#choose(value) });
      radio.checked = value === this.choice;
      return h("label", { class: "choice" }, radio, h("span", {}, h("strong", { text: title }), h("span", { class: "muted", text: words })));
    });
    this.menu = h("div", { class: "menu save-menu", role: "group", "aria-label": "How it goes live", hidden: true, onkeydown: (event) => this.#key(event) }, ...radios);
    this.element = h("div", { class: "save-control" }, this.main, this.open, this.menu);
    this.save = save;
    document.addEventListener("click", (event) => {
      if (!this.menu.hidden && !event.composedPath().includes(this.element)) this.#toggle(false);
    });
  }

  submit() {
    if (this.main.disabled) return;
    this.#toggle(false);
    this.save({ note: this.note.value, activate: this.choice });
  }

  enable(may) {
    this.main.disabled = !may;
  }

  #choose(value) {
    this.choice = value;
    this.label.textContent = LABELS[value];
  }

  #toggle(open = this.menu.hidden) {
    this.menu.hidden = !open;
    this.open.setAttribute("aria-expanded", String(open));
    if (open) this.menu.querySelector("input:checked").focus();
  }

  #key(event) {
    if (event.key !== "Escape" && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    this.#toggle(false);
    (event.key === "Escape" ? this.open : this.main).focus();
  }
}

/** What is said after a save. */
export const savedWords = ({ version, activate }) => `Version ${version} ${SAID[activate]}.`;

export function dialog(title, ...children) {
  const heading = h("h2", { text: title });
  const close = h("button", { class: "button quiet icon small", type: "button", "aria-label": "Close", onclick: () => made.close() }, icon("remove"));
  const made = h("dialog", { "aria-label": title }, h("div", { class: "dialog-head" }, heading, h("span", { class: "grow" }), close), ...children);
  made.addEventListener("click", (event) => event.target === made && made.close());
  return made;
}

/** The list of versions: who, when, why, which is active; each can be opened as a draft, and two be compared. */
export class Versions {
  constructor({ address }) {
    this.address = address;
    this.list = h("div", { class: "table-scroll" });
    this.element = dialog("Versions", this.list);
  }

  show({ versions, active }) {
    this.versions = versions;
    if (!versions.length) {
      this.list.replaceChildren(h("div", { class: "empty" }, h("h3", { text: "No version yet" }), h("p", { text: "The first is inferred from the first payloads, or saved here." })));
      return;
    }
    const rows = versions.map((one) => {
      const links = h("span", { class: "links" }, h("a", { href: `${this.address}/mapping?version=${one.version}`, text: "open as draft" }));
      if (active && one.version !== active) links.append(" · ", h("a", { href: `${this.address}/compare?a=${Math.min(active, one.version)}&b=${Math.max(active, one.version)}`, text: "compare" }));
      return h(
        "tr",
        {},
        h("td", { class: "num", text: String(one.version) }),
        h("td", {}, one.version === active ? h("span", { class: "badge ok", text: "Active" }) : null),
        h("td", { class: "wrap-cell", text: one.note || "–" }),
        h("td", { text: one.author || "–" }),
        h("td", {}, h("time", { title: formatFullTime(one.at), text: ago(one.at) })),
        h("td", { class: "num", text: String(one.fields) }),
        h("td", {}, links),
      );
    });
    const head = [["Version", "num"], ["", ""], ["Note", ""], ["By", ""], ["Made", ""], ["Fields", "num"], ["", ""]].map(([text, className]) => h("th", { scope: "col", class: className || null, text }));
    this.list.replaceChildren(h("table", { class: "table dense versions" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
  }

  open() {
    if (!this.element.open) this.element.showModal();
  }
}

/** The difference between what somebody else has saved meanwhile and what is edited here. `settle(choice)`. */
export class ConflictDialog {
  constructor(settle) {
    this.words = h("p", { class: "muted" });
    this.table = h("div", { class: "table-scroll" });
    const button = (choice, text, className) => h("button", { class: `button ${className}`, type: "button", text, onclick: () => this.#settle(choice) });
    this.both = button("both", "Merge both", "primary");
    this.mine = button("mine", "Save mine on top", "");
    this.actions = h("div", { class: "dialog-foot" }, h("button", { class: "button quiet", type: "button", text: "Go on editing", onclick: () => this.element.close() }), h("span", { class: "grow" }), button("theirs", "Take theirs", ""), this.mine, this.both);
    this.element = dialog("Somebody saved meanwhile", this.words, this.table, this.actions);
    this.element.classList.add("conflict");
    this.settle = settle;
  }

  show({ version, author, note, at, rows }) {
    const clash = rows.filter((row) => row.both).length;
    this.words.replaceChildren(h("strong", { text: author || "Somebody" }), ` saved version ${version} ${ago(at)}${note ? `: “${note}”` : ""}. Nothing that you typed is lost. `, clash ? `${plural(clash, "part was", "parts were")} changed by both of you; merged, yours stand there.` : "You changed different parts: both can be kept.");
    this.both.textContent = clash ? "Merge, mine first" : "Merge both";
    const tell = (change, before) => {
      if (!change) return h("td", { class: "none", text: "as it was" });
      const kind = h("span", { class: `chip ${change.kind}`, text: change.kind });
      return h("td", { class: "wrap-cell" }, kind, " ", change.kind === "removed" ? h("del", { class: "mono", text: before }) : h("span", { class: "mono", text: change.after }));
    };
    const lines = rows.map((row) => h("tr", { class: row.both ? "both" : null }, h("th", { scope: "row" }, h("code", { text: row.place.replace(/^fields\./, "") }), row.both ? h("span", { class: "badge rejects", text: "both" }) : null), h("td", { class: "wrap-cell mono muted", text: row.before || "–" }), tell(row.theirs, row.before), tell(row.mine, row.before)));
    const head = ["Part", "Before", author ? `Version ${version}` : "Theirs", "Yours"].map((text) => h("th", { scope: "col", text }));
    this.table.replaceChildren(h("table", { class: "table difference" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...lines)));
    if (!this.element.open) this.element.showModal();
  }

  #settle(choice) {
    this.element.close();
    this.settle(choice);
  }
}
