// Saving: the note, the list of versions, who else is here, and what happens when two people save.

import { ago } from "../ago.js";
import { formatFullTime } from "../format.js";
import { h, icon, plural } from "../mapping/dom.js";
import { dialog } from "../mapping/saving.js";
import { differences } from "./merge.js";

/** Who else has this dashboard open, as their first letters with their names. */
export class Presence {
  constructor() {
    this.element = h("span", { class: "presence", role: "status" });
  }

  /** @param {{user: string, name: string, editing: boolean}[]} people the others */
  show(people) {
    const seen = new Map();
    for (const one of people) if (!seen.has(one.user) || one.editing) seen.set(one.user, one);
    const list = [...seen.values()];
    const letters = (name) => name.split(/[\s@.]+/).filter(Boolean).slice(0, 2).map((part) => part.charAt(0).toUpperCase()).join("");
    const face = (one) => {
      const words = `${one.name} ${one.editing ? "is editing" : "is looking"}`;
      return h("span", { class: one.editing ? "face editing" : "face", title: words }, h("span", { "aria-hidden": "true", text: letters(one.name) || "?" }), h("span", { class: "visually-hidden", text: words }));
    };
    this.element.replaceChildren(...list.slice(0, 5).map(face), list.length > 5 ? h("span", { class: "muted", text: `+${list.length - 5}` }) : "");
  }
}

/** The versions of a dashboard. `acts`: restore(revision), open(revision) as a draft. */
export class Versions {
  constructor({ address, restore, open }) {
    Object.assign(this, { address, restore, openVersion: open });
    this.list = h("div", { class: "table-scroll" });
    this.element = dialog("Versions", this.list, h("div", { class: "dialog-foot" }, h("a", { class: "button", href: `${address}/versions`, text: "Compare and restore on a page of its own" })));
    this.element.classList.add("versions-dialog");
  }

  waiting() {
    this.list.replaceChildren(h("div", { class: "waiting", "aria-label": "Loading" }, ...["90%", "70%", "80%"].map((width) => h("span", { class: "skeleton", style: `width: ${width}` }))));
    if (!this.element.open) this.element.showModal();
  }

  failed(problem) {
    this.list.replaceChildren(h("div", { class: "problem", role: "alert" }, h("strong", { text: problem.title }), h("p", { text: problem.detail })));
  }

  show(versions, current) {
    const row = (one) => {
      const links = h("span", { class: "links" });
      if (one.revision !== current) {
        links.append(h("a", { href: `${this.address}/versions?from=${one.revision}&to=${current}`, text: "compare" }), " · ", h("button", { class: "line-link", type: "button", text: "open here", onclick: () => this.#act(this.openVersion, one) }), " · ", h("button", { class: "line-link", type: "button", text: "restore", onclick: () => this.#act(this.restore, one) }));
      }
      return h("tr", { "data-revision": String(one.revision) }, h("td", { class: "num", text: String(one.revision) }), h("td", {}, one.revision === current ? h("span", { class: "badge ok", text: "Current" }) : null), h("td", { class: "wrap-cell", text: one.note || "–" }), h("td", { text: one.author || "–" }), h("td", {}, h("time", { title: formatFullTime(one.at), text: ago(one.at) })), h("td", {}, links));
    };
    const head = [["Version", "num"], ["", ""], ["Note", ""], ["By", ""], ["Saved", ""], ["", ""]].map(([text, className]) => h("th", { scope: "col", class: className || null, text }));
    this.list.replaceChildren(h("table", { class: "table dense versions" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...versions.map(row))));
  }

  #act(act, one) {
    this.element.close();
    act(one.revision);
  }
}

/** What somebody else has saved meanwhile beside what was done here. `settle(choice)`: theirs, mine or both. */
export class ConflictDialog {
  constructor(settle) {
    this.words = h("p", { class: "muted" });
    this.table = h("div", { class: "table-scroll" });
    const button = (choice, text, className = "") => h("button", { class: `button ${className}`, type: "button", "data-choice": choice, text, onclick: () => {
      this.element.close();
      settle(choice);
    } });
    this.both = button("both", "Merge both", "primary");
    this.element = dialog("Somebody saved meanwhile", this.words, this.table, h("div", { class: "dialog-foot" }, h("button", { class: "button quiet", type: "button", text: "Go on editing", onclick: () => this.element.close() }), h("span", { class: "grow" }), button("theirs", "Take theirs"), button("mine", "Keep mine"), this.both));
    this.element.classList.add("conflict");
  }

  /** @param {{revision: number, author: string, at: number, note?: string, document: object}} theirs */
  show(base, theirs, mine) {
    const rows = differences(base, theirs.document, mine);
    const clash = rows.filter((row) => row.clash).length;
    this.words.replaceChildren(h("strong", { text: theirs.author || "Somebody" }), ` saved version ${theirs.revision} ${ago(theirs.at)}${theirs.note ? `: “${theirs.note}”` : ""}. Nothing that you did is lost: undo brings it back. `, clash ? `${plural(clash, "part was", "parts were")} changed by both of you; merged, yours stand there.` : "You changed different parts: both can be kept.");
    this.both.textContent = clash ? "Merge, mine first" : "Merge both";
    const tell = (change) => (change ? h("td", { class: "wrap-cell" }, h("span", { class: `chip ${change[0]}`, text: change[0] }), " ", change[1]) : h("td", { class: "none", text: "as it was" }));
    const lines = rows.map((row) => h("tr", { class: row.clash ? "both" : null, "data-part": row.name }, h("th", { scope: "row" }, row.title, row.clash ? h("span", { class: "badge rejects", text: "both" }) : null), tell(row.theirs), tell(row.mine)));
    const head = ["Part", `Version ${theirs.revision}`, "Yours"].map((text) => h("th", { scope: "col", text }));
    this.table.replaceChildren(h("table", { class: "table difference" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...lines)));
    if (!this.element.open) this.element.showModal();
  }
}

/** A menu behind a button: [text, act, className][]. */
export function actsMenu(label, items) {
  const list = h("div", { class: "menu acts-menu", hidden: true });
  const open = h("button", { class: "button icon", type: "button", "aria-label": label, title: label, "aria-haspopup": "true", "aria-expanded": "false", onclick: () => toggle() }, icon("more"));
  const element = h("div", { class: "acts" }, open, list);
  const toggle = (is = list.hidden) => {
    list.hidden = !is;
    open.setAttribute("aria-expanded", String(is));
    if (is) list.querySelector("button:not(:disabled), a")?.focus();
  };
  for (const [text, act, className = ""] of items) list.append(h("button", { type: "button", class: className, onclick: () => {
    toggle(false);
    act();
  } }, text));
  document.addEventListener("click", (event) => !list.hidden && !event.composedPath().includes(element) && toggle(false));
  list.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    toggle(false);
    open.focus();
  });
  return element;
}
