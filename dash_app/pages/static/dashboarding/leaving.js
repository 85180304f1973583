// What is not saved: it outlives a reload of the tab, and nobody leaves it unawares.

import { h } from "../mapping/dom.js";
import { History } from "./history.js";
import { same } from "./merge.js";

/** Storage may be forbidden: then nothing is kept, and nothing else changes. */
const store = {
  get(key) {
    try {
      return sessionStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      if (value === null) sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, value);
    } catch {
      // As above.
    }
  },
};

const KEEP_AFTER = 300;

export class Leaving {
  /** @param {object} editor its history, what is saved, and whether they differ */
  constructor(editor) {
    this.editor = editor;
    this.key = `dash-dashboard-${editor.uid}`;
    this.timer = 0;
    /** Whoever has decided to go is not asked again. */
    this.now = false;
    addEventListener("beforeunload", (event) => {
      this.keep();
      if (editor.unsaved && !this.now) event.preventDefault();
    });
    document.addEventListener("click", (event) => this.#guard(event), true);
  }

  keepSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.keep(), KEEP_AFTER);
  }

  /** Every step that was made, and of which version. */
  keep() {
    clearTimeout(this.timer);
    const { history, saved, unsaved } = this.editor;
    const steps = history.past.length + history.future.length;
    store.set(this.key, steps || unsaved ? JSON.stringify({ base: saved.revision, history: history.pack() }) : null);
  }

  forget() {
    this.now = true;
    clearTimeout(this.timer);
    store.set(this.key, null);
  }

  /** @returns {{history: History, base: number} | null} what an earlier visit of this tab has left */
  kept() {
    try {
      const { base, history } = JSON.parse(store.get(this.key) ?? "null") ?? {};
      const found = history && History.unpack(history);
      // Of another version only what was really changed is worth being held against the newest.
      return found && (base === this.editor.saved.revision || !same(found.present, this.editor.saved.document)) ? { history: found, base } : null;
    } catch {
      return null;
    }
  }

  go(address) {
    this.now = true;
    location.href = address;
  }

  /** Links within the application: what is not saved stays in this tab, but nobody should lose sight of it unawares. */
  #guard(event) {
    const link = event.composedPath().find((one) => one instanceof HTMLAnchorElement && one.href);
    const aside = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0;
    if (!link || aside || !this.editor.unsaved || link.target || link.origin !== location.origin || link.hash || link.hasAttribute("download")) return;
    event.preventDefault();
    event.stopPropagation();
    this.ask("Leave with unsaved changes?", "They are kept in this tab until it is closed, but nobody else sees them.", [
      ["Stay", null, "quiet"],
      ["Leave", () => this.go(link.href), ""],
      ["Save and leave", async () => (await this.editor.save()) && this.go(link.href), "primary"],
    ]);
  }

  /** @param {[string, (() => void) | null, string][]} choices words, act, class */
  ask(title, words, choices) {
    const made = h("dialog", { class: "asking", "aria-label": title }, h("div", { class: "dialog-head" }, h("h2", { text: title })), h("p", { text: words }), h("div", { class: "dialog-foot" }, h("span", { class: "grow" }), ...choices.map(([text, act, className]) => h("button", { class: `button ${className}`, type: "button", text, onclick: () => {
      made.close();
      act?.();
    } }))));
    made.addEventListener("close", () => made.remove());
    this.editor.root.append(made);
    made.showModal();
  }
}
