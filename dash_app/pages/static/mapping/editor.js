// The mapping's editor: payloads on the left, the mapping as form and text in the middle, what it makes of them on the
// right. The document lives in a session on the server; here are its views, and what somebody does to it is said as
// operations. An answer carries the number of what it answers, so that no view is overwritten while somebody types on.

import { adoptStyles } from "../styles.js";
import { tickTimes } from "../ago.js";
import { toast } from "../shell.js";
import { RULES, textArea } from "../text-area.js";
import { h, icon, iconButton } from "./dom.js";
import { Form } from "./form.js";
import { Payloads } from "./payloads.js";
import { Result } from "./result.js";
import { ConflictDialog, SaveControl, Versions, savedWords } from "./saving.js";

/** Between a key and what is said of it, so that keys that come together are one. */
const PAUSE = 25;
const LATE = 400;
const LOST = 6000;
/** A save waits for others that change the same pipeline. */
const LOST_SAVING = 20000;
const LOOK_EVERY = 5000;
const PLACEHOLDER = "fields:\n  - {name: temperature, path: $.temperature, type: number, unit: °C}\n";
const VIEWS = [["form", "Form"], ["text", "Text"], ["both", "Both"]];
const PANES = [["payloads", "Payloads"], ["mapping", "Mapping"], ["result", "Result"]];

/** What is said behind the line that a message begins with, where that line is shown already. */
const afterLine = (what) => what.replace(/^line \d+, (column \d+: )/, "$1");

/** Storage may be forbidden: then nothing is kept, and nothing else changes. */
const store = {
  get(place, key) {
    try {
      return place.getItem(key);
    } catch {
      return null;
    }
  },
  set(place, key, value) {
    try {
      if (value === null) place.removeItem(key);
      else place.setItem(key, value);
    } catch {
      // As above.
    }
  },
};

export async function render({ model, box }) {
  const editor = new Editor(model, box);
  await editor.mount();
}

class Editor {
  constructor(model, box) {
    this.model = model;
    this.box = box;
    this.first = model.data;
    this.mayWrite = this.first.may_write;
    this.state = this.first.state;
    this.seq = 0;
    this.textSent = 0;
    this.textTimer = 0;
    this.timers = { late: 0, lost: 0, look: 0 };
    this.payloadCount = null;
    this.base = this.first.base;
    this.key = `dash-mapping-${this.first.pipeline}`;
    // What the address says to begin from: what is kept of another beginning is not put in its place.
    const { draft, opened } = this.first;
    this.from = draft ? `draft:${draft.id}` : opened ? `version:${opened}` : "";
  }

  // -- parts

  async mount() {
    const root = h("div", { class: "mapping-editor", style: "visibility: hidden" });
    this.root = root;
    this.box.append(root);
    this.#build();
    const sheet = (name) => h("link", { rel: "stylesheet", href: new URL(name, import.meta.url).href });
    const own = [sheet("../pages.css"), sheet("mapping.css")];
    this.box.prepend(h("style", { text: RULES }), ...own);
    await Promise.all([adoptStyles(this.box), ...own.map((link) => new Promise((done) => (link.onload = link.onerror = done)))]);
    root.style.visibility = "";
    this.#fit();
    addEventListener("resize", () => this.#fit());
    tickTimes(root);
    this.model.on("msg:custom", (event) => this.#hear(typeof event === "string" ? event : event.data));
    document.addEventListener("keydown", (event) => this.#keys(event));
    addEventListener("beforeunload", (event) => {
      if (this.mayWrite && this.#unsaved()) event.preventDefault();
    });
    this.timers.look = setInterval(() => !document.hidden && this.#say("look"), LOOK_EVERY);
    this.#show(0);
    this.#restore();
  }

  #build() {
    const { first, mayWrite } = this;
    const say = (type, more) => this.#say(type, more);
    this.payloads = new Payloads(say, { mayWrite, webhook: first.webhook, address: first.address });
    this.payloads.onOpened = (id) => this.result.select(id);
    this.form = new Form((operation) => this.#edit(operation), { mayWrite, onText: (line) => this.#goLine(line) });
    this.text = textArea({ label: "Mapping", placeholder: PLACEHOLDER, onInput: () => this.#typed() });
    this.text.area.readOnly = !mayWrite;
    this.text.area.addEventListener("blur", () => this.#flushText());
    this.lines = h("div", { class: "text-problems", role: "status" });
    this.result = new Result({
      mayWrite,
      address: first.address,
      onPayload: (id) => {
        this.#pane("payloads");
        this.payloads.open(id);
      },
      onField: (name) => {
        this.#pane("mapping");
        if (this.view === "text") this.#view("form");
        this.form.go(name);
      },
      onLine: (line) => this.#goLine(line),
      onInfer: () => this.#say("infer"),
    });
    this.views = this.#segments("View of the mapping", VIEWS, (view) => this.#view(view));
    this.panes = this.#segments("Part of the editor", PANES, (pane) => this.#pane(pane));
    this.panes.element.classList.add("panes-choice");
    const formView = h("div", { class: "view form" }, this.form.element);
    const textView = h("div", { class: "view text" }, this.text.frame, this.lines);
    this.mapping = h("section", { class: "pane mapping", "data-pane": "mapping", "aria-label": "Mapping" }, h("div", { class: "pane-head" }, h("h2", { text: "Mapping" }), h("span", { class: "grow" }), this.views.element), h("div", { class: "pane-body views" }, formView, textView));
    this.banner = h("div", { class: "banners" });
    this.root.append(this.#toolbar(), this.banner, this.panes.element, h("div", { class: "panes" }, this.payloads.element, this.mapping, this.result.element), this.versions.element, this.conflict.element);
    this.#view(store.get(localStorage, "dash-mapping-view") ?? "form");
    this.#pane("mapping");
  }

  #toolbar() {
    this.versions = new Versions({ address: this.first.address });
    this.versions.show(this.first);
    this.active = this.first.active;
    this.conflict = new ConflictDialog((choice) => this.#say("settle", { choice }));
    this.saver = new SaveControl(({ note, activate }) => this.#save(note, activate));
    this.undo = iconButton("undo", "Undo (Ctrl+Z)", () => this.#back("undo"));
    this.redo = iconButton("redo", "Redo (Ctrl+Shift+Z)", () => this.#back("redo"));
    this.status = h("span", { class: "edit-state", role: "status" });
    this.history = h("button", { class: "button", type: "button", onclick: () => this.versions.open() }, icon("history"), h("span", { class: "button-words", text: "Versions" }));
    this.revert = h("button", { class: "line-link", type: "button", text: "discard", hidden: true, title: "Back to what is saved; undo brings the edits back", onclick: () => this.#say("revert") });
    const left = this.mayWrite ? [h("div", { class: "steps-control" }, this.undo, this.redo), this.status, this.revert] : [this.status];
    this.share = h("button", { class: "button", type: "button", onclick: () => this.#flush(() => this.#say("share")) }, icon("link"), h("span", { class: "button-words", text: "Share draft" }));
    const right = this.mayWrite ? [this.saver.note, this.history, this.share, this.saver.element] : [this.history];
    return h("div", { class: "toolbar", role: "toolbar", "aria-label": "Mapping" }, ...left, h("span", { class: "grow" }), ...right);
  }

  #segments(label, choices, choose) {
    const buttons = new Map(choices.map(([value, text]) => [value, h("button", { type: "button", "data-view": value, onclick: () => choose(value) }, text)]));
    return {
      element: h("div", { class: "segments", role: "group", "aria-label": label }, ...buttons.values()),
      mark: (chosen) => buttons.forEach((button, value) => button.setAttribute("aria-pressed", String(value === chosen))),
    };
  }

  #fit() {
    const top = this.root.getBoundingClientRect().top + scrollY;
    this.root.style.setProperty("--room", `${Math.max(480, innerHeight - top - 20)}px`);
  }

  #view(view) {
    this.view = VIEWS.some(([value]) => value === view) ? view : "form";
    this.mapping.dataset.view = this.view;
    this.views.mark(this.view);
    store.set(localStorage, "dash-mapping-view", this.view);
    this.text.set(this.text.area.value);
  }

  #pane(pane) {
    this.root.dataset.pane = pane;
    this.panes.mark(pane);
  }

  // -- talking

  #say(type, more = {}) {
    this.seq += 1;
    this.model.send_msg({ type, seq: this.seq, ...more });
    // Of these a preview comes: once its number is this one, what is shown is what was said.
    if (["edit", "undo", "redo", "take", "load"].includes(type)) this.result.element.dataset.asked = String(this.seq);
    if (type === "save") {
      clearTimeout(this.timers.lost);
      this.timers.lost = 0;
    }
    if (!this.timers.lost) this.timers.lost = setTimeout(() => this.#lost(true), type === "save" ? LOST_SAVING : LOST);
    return this.seq;
  }

  #hear(data) {
    clearTimeout(this.timers.lost);
    this.timers.lost = 0;
    this.#lost(false);
    const message = typeof data === "string" ? JSON.parse(data) : data;
    const answers = {
      state: () => this.#setState(message),
      preview: () => this.#setPreview(message),
      payloads: () => {
        this.payloadCount = message.payloads.length;
        this.payloads.setPayloads(message);
      },
      found: () => this.payloads.setFound(message),
      payload: () => this.payloads.setPayload(message),
      children: () => this.payloads.setChildren(message),
      look: () => this.#setLook(message),
      saved: () => this.#saved(message),
      versions: () => {
        this.active = message.active;
        this.versions.show(message);
        this.#drawStatus();
      },
      conflict: () => {
        this.#saving(false);
        this.conflict.show(message);
      },
      settled: () => this.#settled(message),
      shared: () => this.#shared(message),
      problem: () => this.#problem(message),
    };
    answers[message.type]?.();
  }

  #lost(is) {
    if (Boolean(this.isLost) === is) return;
    this.isLost = is;
    this.#banner("lost", is && [h("strong", { text: "The connection is lost." }), " What you typed is kept in this tab. ", h("button", { class: "button small", type: "button", text: "Reload", onclick: () => location.reload() })], "problem");
  }

  #banner(name, parts, tone = "notice") {
    this.banner.querySelector(`[data-banner=${name}]`)?.remove();
    if (parts) this.banner.append(h("div", { class: `banner ${tone}`, role: "status", "data-banner": name }, h("div", {}, ...parts), h("button", { class: "button quiet icon small", type: "button", "aria-label": "Dismiss", onclick: () => this.#banner(name, null) }, icon("remove"))));
    this.#fit();
  }

  // -- editing

  #edit(operation) {
    if (!this.mayWrite) return 0;
    this.#flushText();
    this.#awaited();
    return this.#say("edit", { operation });
  }

  #typed() {
    clearTimeout(this.textTimer);
    this.textTimer = setTimeout(() => this.#sendText(), PAUSE);
    this.#keep(this.text.area.value);
  }

  #sendText() {
    clearTimeout(this.textTimer);
    this.textTimer = 0;
    this.#awaited();
    this.textSent = this.#say("edit", { operation: { op: "text", text: this.text.area.value } });
  }

  #flushText() {
    if (this.textTimer) this.#sendText();
  }

  /** Whatever is still on its way from an input to the session goes first. */
  #flush(then) {
    const focused = this.root.getRootNode().activeElement;
    if (focused && focused !== this.text.area && !("own" in focused.dataset) && focused.matches("input")) focused.dispatchEvent(new Event("change"));
    this.form.flush();
    this.#flushText();
    then();
  }

  #awaited() {
    clearTimeout(this.timers.late);
    this.timers.late = setTimeout(() => this.result.busy(true), LATE);
  }

  #back(direction) {
    this.#flush(() => {
      this.#awaited();
      this.#say(direction);
    });
  }

  #setState(message) {
    this.state = message;
    this.base = message.base;
    if (this.textSent <= (message.seq ?? 0)) this.textRefused = false;
    this.#show(message.seq ?? 0);
    this.#keep(this.text.area.value);
  }

  #show(seq) {
    if (!this.textTimer && this.textSent <= seq) this.text.set(this.state.text);
    this.form.show(this.state, seq);
    this.payloads.setMarks(this.state.marks);
    this.undo.disabled = !this.state.undo;
    this.redo.disabled = !this.state.redo;
    this.#drawStatus();
    this.#drawSave();
  }

  #setPreview(message) {
    clearTimeout(this.timers.late);
    this.problems = message.problems;
    this.text.mark(message.problems.map(({ line, place, what }) => [line, place ? `${place}: ${what}` : what]));
    this.lines.replaceChildren(...message.problems.map(({ line, place, what }) => h("button", { class: "text-problem", type: "button", onclick: () => line && this.text.go(line) }, line ? h("strong", { text: `Line ${line}` }) : null, " ", place ? `${place}: ${what}` : afterLine(what))));
    this.form.showProblems(message.problems, message.result);
    this.result.show(message, { blank: this.state.blank, payloads: this.payloadCount ?? 0 });
    if (message.result) this.payloads.setRefused(message.result.refused);
    this.#drawSave();
  }

  #goLine(line) {
    this.#pane("mapping");
    if (this.view === "form") this.#view("text");
    if (line) this.text.go(line);
  }

  #keys(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === "s") {
      event.preventDefault();
      if (this.mayWrite) this.#flush(() => this.saver.submit());
      return;
    }
    const back = key === "z" && !event.shiftKey;
    const forth = (key === "z" && event.shiftKey) || (key === "y" && !event.shiftKey);
    if ((!back && !forth) || !this.mayWrite) return;
    const [place] = event.composedPath();
    // Inputs that are no part of the mapping have their own undo, and so has whatever stands in a dialog.
    if (place instanceof HTMLElement && ("own" in place.dataset || place.closest("dialog"))) return;
    event.preventDefault();
    this.#back(back ? "undo" : "redo");
  }

  // -- keeping what is typed

  #unsaved() {
    return this.state.unsaved || this.textTimer !== 0;
  }

  /** What is typed outlives a reload of the tab, and a connection that is lost. */
  #keep(text) {
    if (this.mayWrite) store.set(sessionStorage, this.key, this.#unsaved() ? JSON.stringify({ text, at: Date.now(), base: this.base, from: this.from }) : null);
  }

  #restore() {
    let kept = null;
    try {
      kept = JSON.parse(store.get(sessionStorage, this.key) ?? "null");
    } catch {
      kept = null;
    }
    const { draft, opened, active, newest } = this.first;
    const differs = this.mayWrite && typeof kept?.text === "string" && kept.text !== this.state.text;
    const text = differs && (kept.from ?? "") === this.from ? kept.text : null;
    // Saved on top of the version that it was made from, it meets what was saved since then.
    if (text !== null) this.base = kept.base ?? this.base;
    this.#say("start", { text, base: text === null ? null : kept.base });
    if (text === null && !draft && !opened && newest > (active ?? 0)) {
      this.seenNewest = newest;
      this.#banner("idle", [h("strong", { text: `Version ${newest} is newer and not live.` }), " ", h("a", { href: `${this.first.address}/mapping?version=${newest}`, text: "Open it" })]);
    }
    if (text !== null) this.#banner("restored", ["What you had typed is here again. ", h("button", { class: "button small", type: "button", text: "Back to the saved version", onclick: () => {
      this.#banner("restored", null);
      this.#say("revert");
    } })]);
    if (draft) this.#banner("draft", [h("strong", { text: "A shared draft" }), ` by ${draft.author || "somebody"}, ${new Date(draft.at).toLocaleString()}. It is not saved as a version yet.`]);
    if (opened) this.#banner("opened", [h("strong", { text: `Version ${opened} as a draft.` }), " Saved, it becomes a new version."]);
  }

  // -- saving

  #drawStatus() {
    const unsaved = this.#unsaved();
    const words = !this.mayWrite ? "You may look, not change" : unsaved ? "Unsaved changes" : this.active ? "Saved" : "";
    this.status.replaceChildren(this.active ? h("span", { class: "version num", text: `Version ${this.active}` }) : h("span", { class: "version", text: "No version yet" }), words ? h("span", { class: unsaved ? "dot unsaved" : "dot", text: words }) : "");
    this.revert.hidden = !unsaved || !this.mayWrite;
    this.saver.note.hidden = !unsaved;
  }

  #drawSave() {
    this.saver.enable(this.mayWrite && !this.isSaving && !this.textRefused && !this.problems?.length && !this.state.unreadable && !this.state.blank && this.#unsaved());
    this.share.disabled = this.state.blank;
  }

  #saving(is) {
    this.isSaving = is;
    this.#drawSave();
  }

  #save(note, activate) {
    this.#flush(() => {
      this.#saving(true);
      this.#banner("problem", null);
      this.#say("save", { note, activate });
    });
  }

  #saved(message) {
    this.#saving(false);
    this.base = message.version;
    this.from = "";
    this.saver.note.value = "";
    for (const name of ["draft", "opened", "restored", "newer", "settled", "idle"]) this.#banner(name, null);
    const parts = [savedWords(message)];
    if (message.replay) parts.push(" ", h("a", { href: `${this.first.address}?tab=replays`, text: "See the replay" }));
    this.#banner("saved", parts);
    this.#address(null);
  }

  #address(draft) {
    const where = new URL(location.href);
    where.searchParams.delete("version");
    if (draft) where.searchParams.set("draft", draft);
    else where.searchParams.delete("draft");
    history.replaceState(history.state, "", where);
    return where.href;
  }

  async #shared({ draft }) {
    const address = this.#address(draft);
    this.from = `draft:${draft}`;
    this.#keep(this.text.area.value);
    try {
      await navigator.clipboard.writeText(address);
      toast("A link to this draft is in the clipboard. It works for your team for 30 days.");
    } catch {
      toast("The link to this draft stands in the address. It works for your team for 30 days.");
    }
  }

  #setLook({ waiting, newest, base }) {
    this.payloads.setWaiting(waiting);
    if (newest > base && this.seenNewest !== newest) {
      this.seenNewest = newest;
      this.#banner("newer", [h("strong", { text: `Version ${newest} was saved meanwhile.` }), " ", h("button", { class: "button small", type: "button", text: "See the difference", onclick: () => this.#flush(() => this.#say("differ")) })]);
    }
  }

  #settled({ choice, base }) {
    this.base = base;
    this.#banner("newer", null);
    if (choice === "mine") this.saver.submit();
    else this.#banner("settled", [choice === "both" ? `Your changes and those of version ${base} are together now; look at them and save.` : `This is version ${base}. Undo brings your own text back.`]);
  }

  #problem({ of, seq, title, detail, problems, reference }) {
    if (of === "edit" || of === "undo" || of === "redo") {
      clearTimeout(this.timers.late);
      this.result.busy(false);
      if (of === "edit" && seq === this.textSent) this.textRefused = true;
    }
    if (of === "start") {
      this.#banner("restored", null);
      this.base = this.first.base;
    }
    this.#saving(false);
    const list = problems.filter(([place]) => place).slice(0, 6);
    const text = list.length ? list.map(([place, what]) => `${place}: ${what}`).join("; ") : detail;
    if (["take", "paste", "infer", "share", "open", "children", "search"].includes(of)) {
      toast(`${text}${reference ? ` (${reference} in the log)` : ""}`, { tone: "bad", seconds: 10 });
      return;
    }
    this.#banner("problem", [h("strong", { text: title }), ` ${text}`, reference ? h("span", { class: "muted" }, ` Number in the log: `, h("code", { text: reference })) : ""], "problem");
  }
}

