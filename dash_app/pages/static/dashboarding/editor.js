// The dashboard's editor. The document lives here, with every step that was made; the tiles on the grid draw it, the forms
// change it, and the server checks and saves it. What is shown comes over the live channel as on every dashboard.

import { liveClient, showConnection } from "../live.js";
import { h, icon, iconButton } from "../mapping/dom.js";
import { toast } from "../shell.js";
import { adoptStyles } from "../styles.js";
import { RULES } from "../text-area.js";
import { Asking, Fields } from "./asking.js";
import { keep, kept, tileIn, tileText } from "./clipboard.js";
import { DocumentText } from "./document-text.js";
import { Gallery } from "./gallery.js";
import { Grid } from "./grid.js";
import { History } from "./history.js";
import { boxesOf, placed, room, settle } from "./layout.js";
import { freeId, same } from "./merge.js";
import { sizeOf } from "./query-edits.js";
import { Leaving } from "./leaving.js";
import { actsMenu } from "./saving.js";
import { Settings } from "./settings.js";
import { Showing } from "./showing.js";
import { TileEditor } from "./tile-editor.js";
import { Together } from "./together.js";

const CHECK_AFTER = 250;

export async function render({ model, box }) {
  const editor = new Editor(model, box);
  await editor.mount();
}

class Editor {
  constructor(model, box) {
    this.box = box;
    this.first = model.data;
    const { dashboard } = this.first;
    this.uid = dashboard.uid;
    this.address = `/dashboards/${this.uid}`;
    /** What is saved, and which version that is: edits are held against it. */
    this.saved = dashboard;
    this.history = new History(dashboard.document);
    this.asking = new Asking(model, (lost) => this.#lost(lost));
    this.fields = new Fields(this.asking);
    this.live = liveClient("/live");
    this.problems = [];
    this.checked = 0;
    this.leaving = new Leaving(this);
    this.together = new Together(this);
  }

  get document() {
    return this.history.present;
  }

  get tiles() {
    return this.document.tiles ?? [];
  }

  // -- parts

  async mount() {
    const root = h("div", { class: "dashboard-editor", style: "visibility: hidden" });
    this.root = root;
    this.box.append(root);
    const left = this.leaving.kept();
    if (left) this.history = left.history;
    this.#build();
    const sheet = (name) => h("link", { rel: "stylesheet", href: new URL(name, import.meta.url).href });
    const own = [sheet("../pages.css"), sheet("../mapping/mapping.css"), sheet("../dashboard.css"), sheet("dashboarding.css")];
    this.box.prepend(h("style", { text: RULES }), ...own);
    await Promise.all([adoptStyles(this.box), ...own.map((link) => new Promise((done) => (link.onload = link.onerror = done)))]);
    root.style.visibility = "";
    document.addEventListener("keydown", (event) => this.#keys(event));
    document.addEventListener("copy", (event) => this.#copied(event));
    document.addEventListener("paste", (event) => this.#pasted(event));
    addEventListener("popstate", () => this.#open(new URLSearchParams(location.search).get("tile"), false));
    this.together.watch();
    this.show();
    this.#open(new URLSearchParams(location.search).get("tile"), false);
    if (left) this.#takeUp(left.base);
  }

  /** An earlier visit has left changes. What they are of is told apart from what somebody saved since. */
  async #takeUp(base) {
    if (base !== this.saved.revision) {
      const newest = this.saved;
      const before = await this.asking.ask("version", { revision: base }).catch(() => null);
      if (before) {
        this.saved = { ...newest, ...before };
        this.show();
        this.together.tell(newest);
      }
    }
    if (this.unsaved) this.banner("restored", ["What you had changed is here again. ", this.#small("Back to the saved version", () => this.discard())]);
  }

  #small = (text, act) => h("button", { class: "button small", type: "button", text, onclick: act });

  #build() {
    const { first } = this;
    this.showing = new Showing({
      definition: () => this.document, uid: this.uid, live: this.live, zone: first.zone,
      moved: (other) => this.#moved(other),
      paced: () => [this.grid, this.tile].forEach((one) => one?.setPaused(this.showing.paused)),
      parameters: () => [this.grid, this.tile].forEach((one) => one?.setParameters(this.showing.parameters())),
    });
    const value = (name) => {
      const chosen = this.showing.variables.values()[name];
      return Array.isArray(chosen) ? chosen[0] : chosen;
    };
    const real = (pipeline) => (/^\$\{?(\w+)\}?$/.test(pipeline ?? "") ? String(value(/\w+/.exec(pipeline)[0]) ?? "") : (pipeline ?? ""));
    this.desk = {
      kinds: first.kinds, pipelines: first.pipelines, folders: first.folders,
      fields: (pipeline) => this.fields.of(real(pipeline)),
      known: (pipeline) => this.fields.known(real(pipeline)),
      values: (pipeline, field) => this.showing.values({ name: "value", type: "query", query: { pipeline: real(pipeline), field } }),
      preview: (variable) => this.showing.values(variable),
      variables: () => (this.document.templating?.list ?? []).map((one) => one.name),
      context: () => ({ ...this.showing.context(), markdown: (text) => this.asking.ask("markdown", { text }).then(({ html }) => html) }),
      reach: (tile) => this.showing.reach(tile),
    };
    const whole = (next, what, join) => this.change(next, what, join);
    this.grid = new Grid({
      context: this.desk.context, reach: this.desk.reach,
      onLayout: (tiles, what, join) => this.change({ ...this.document, tiles }, what, join),
      onOpen: (id) => this.#open(id), onRemove: (id) => this.remove(id), onDuplicate: (id) => this.duplicate(id), onCopy: (id) => this.copy(id),
    });
    this.gallery = new Gallery(this.desk, { onAdd: (tile) => this.add(tile), onPaste: () => this.paste(kept()), canPaste: () => kept() !== null });
    this.settings = new Settings(this.desk, { read: () => this.document, write: whole });
    this.wholeText = new DocumentText({ label: "Dashboard as JSON", read: () => this.document, write: (next) => whole({ ...next, uid: this.uid }, "Change the document", "document-text"), check: (next) => (next && typeof next === "object" && !Array.isArray(next) ? (next.tiles === undefined || Array.isArray(next.tiles) ? "" : "tiles: a list is needed") : "a dashboard is an object") });
    this.json = h("dialog", { class: "json-dialog", "aria-label": "Dashboard as JSON" }, h("div", { class: "dialog-head" }, h("h2", { text: "Dashboard as JSON" }), h("span", { class: "grow" }), h("button", { class: "button primary", type: "button", text: "Done", onclick: () => this.json.close() })), h("div", { class: "dialog-body" }, this.wholeText.element));
    this.banners = h("div", { class: "banners" });
    this.empty = h("div", { class: "empty first-tile" }, h("h2", { text: "An empty dashboard" }), h("p", { text: "Add the first tile: a number, a chart, a table or a map of what your pipelines bring." }), h("div", { class: "wrap" }, h("button", { class: "button primary", type: "button", onclick: () => this.gallery.open() }, icon("plus"), "Add a tile"), h("a", { class: "button", href: "/dashboards/new", text: "Begin from a template" })));
    this.stage = h("div", { class: "stage" }, this.grid.element, this.empty);
    this.root.append(this.#toolbar(), this.#second(), this.banners, this.stage, this.gallery.element, this.settings.element, ...this.together.elements, this.json);
  }

  #toolbar() {
    this.undo = iconButton("undo", "Undo (Ctrl+Z)", () => this.back());
    this.redo = iconButton("redo", "Redo (Ctrl+Shift+Z)", () => this.forth());
    this.status = h("span", { class: "edit-state", role: "status" });
    this.revert = h("button", { class: "line-link", type: "button", text: "discard", hidden: true, title: "Back to what is saved; undo brings the changes back", onclick: () => this.discard() });
    this.wrong = h("button", { class: "line-link wrong-count", type: "button", hidden: true, onclick: () => this.#goProblem() });
    this.note = h("input", { class: "input note-input", type: "text", maxlength: "1000", placeholder: "What changes? (a note for the versions)", "aria-label": "Note", "data-own": "", hidden: true });
    this.saver = h("button", { class: "button primary", type: "button", title: "Ctrl+S", text: "Save", onclick: () => this.save() });
    this.adder = h("button", { class: "button", type: "button", onclick: () => this.gallery.open(this.#likelyPipeline()) }, icon("plus"), h("span", { class: "button-words", text: "Add tile" }));
    const settings = h("button", { class: "button", type: "button", onclick: () => this.settings.open() }, icon("settings"), h("span", { class: "button-words", text: "Settings" }));
    this.viewer = h("a", { class: "button", href: this.address }, icon("eye"), h("span", { class: "button-words", text: "View" }));
    this.viewer.addEventListener("pointerenter", () => this.#viewerAddress());
    this.viewer.addEventListener("focus", () => this.#viewerAddress());
    const acts = actsMenu("More", [
      ["Versions", () => this.together.list()],
      ["Edit as JSON", () => {
        this.wholeText.show();
        this.json.showModal();
      }],
      ["Duplicate dashboard", () => this.#copyDashboard()],
      ["Discard changes", () => this.discard()],
      ["Delete dashboard", () => this.#delete(), "danger"],
    ]);
    return h("div", { class: "toolbar", role: "toolbar", "aria-label": "Dashboard" }, h("div", { class: "steps-control" }, this.undo, this.redo), this.status, this.revert, this.wrong, this.together.presence.element, h("span", { class: "grow" }), this.adder, settings, this.viewer, acts, this.note, this.saver);
  }

  /** What is shown: the way back from a tile, variables, range. */
  #second() {
    this.all = h("button", { class: "button", type: "button", hidden: true, onclick: () => this.#open(null) }, icon("back"), "All tiles");
    this.neighbours = h("span", { class: "neighbours", hidden: true }, iconButton("up", "The tile before", () => this.#openNext(-1)), iconButton("down", "The next tile", () => this.#openNext(1)));
    const connection = h("span");
    showConnection(this.live, connection);
    return h("div", { class: "second-bar" }, this.all, this.neighbours, this.showing.place, h("span", { class: "grow" }), connection, this.showing.control.element);
  }

  #likelyPipeline() {
    const last = this.tiles.at(-1);
    return last?.query?.pipeline ?? last?.queries?.[0]?.pipeline;
  }

  // -- the document

  get unsaved() {
    return !same(this.document, this.saved.document);
  }

  /** Another document, as a step that can be undone. */
  change(next, what, join = "") {
    this.history.apply(next, { what, join });
    this.show();
  }

  back() {
    const what = this.history.undo();
    if (what) this.show();
  }

  forth() {
    const what = this.history.redo();
    if (what) this.show();
  }

  /** Back to what is saved, also where somebody else has saved it since. */
  discard() {
    if (!this.unsaved) return;
    this.saved = this.together.newer ?? this.saved;
    this.change(this.saved.document, "Discard changes");
    this.together.settled();
    this.banner("restored", null);
    toast("Back to what is saved.", { undo: () => this.back() });
  }

  show() {
    const { tiles } = this;
    this.showing.declare();
    // Before the tiles are drawn: what was deleted while its form was open closes it.
    if (this.opened !== undefined && !tiles.some((tile) => tile.id === this.opened)) this.#open(null);
    this.grid.show(tiles);
    this.empty.hidden = tiles.length > 0;
    this.grid.element.hidden = !tiles.length;
    this.tile?.show();
    if (this.settings.element.open) this.settings.show();
    if (this.json.open) this.wholeText.show();
    const title = this.document.title || this.uid;
    const head = document.querySelector(".title-line > h1");
    if (head && head.textContent !== title) head.textContent = head.title = title;
    this.drawStatus();
    this.#checkSoon();
    this.leaving.keepSoon();
  }

  drawStatus() {
    const { unsaved } = this;
    const last = this.history.past.at(-1)?.what;
    const next = this.history.future.at(-1)?.what;
    this.undo.disabled = !last;
    this.redo.disabled = !next;
    this.undo.title = last ? `Undo: ${last} (Ctrl+Z)` : "Undo (Ctrl+Z)";
    this.redo.title = next ? `Redo: ${next} (Ctrl+Shift+Z)` : "Redo (Ctrl+Shift+Z)";
    this.status.replaceChildren(h("span", { class: "version num", text: `Version ${this.saved.revision}` }), h("span", { class: unsaved ? "dot unsaved" : "dot", text: unsaved ? "Unsaved changes" : "Saved" }));
    this.revert.hidden = this.note.hidden = !unsaved;
    this.saver.disabled = !unsaved || this.isSaving || this.problems.length > 0;
    this.saver.textContent = this.isSaving ? "Saving…" : "Save";
  }

  // -- checking

  #checkSoon() {
    clearTimeout(this.checking);
    this.checking = setTimeout(() => this.#check(), CHECK_AFTER);
  }

  async #check() {
    const { document } = this;
    const asked = (this.checked += 1);
    const problems = await this.asking.ask("check", { document }).catch((error) => [["", error.message]]);
    if (asked === this.checked && document === this.document) this.#mark(problems);
  }

  #mark(problems) {
    this.problems = problems;
    const byTile = new Map();
    for (const [place, what] of problems) {
      const found = /^tiles\[(\d+)\]\.?(.*)$/.exec(place);
      const tile = found && this.tiles[Number(found[1])];
      if (tile) byTile.set(tile.id, [...(byTile.get(tile.id) ?? []), [found[2], what]]);
    }
    this.byTile = byTile;
    this.grid.mark(byTile);
    this.tile?.mark(byTile.get(this.opened) ?? []);
    const own = this.settings.mark(problems);
    this.wrong.hidden = !problems.length;
    this.wrong.textContent = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    this.wrong.title = problems.slice(0, 8).map(([place, what]) => (place ? `${place}: ${what}` : what)).join("\n");
    this.wrong.dataset.own = String(own);
    this.root.dataset.checked = String(this.checked);
    this.drawStatus();
  }

  #goProblem() {
    const [id] = this.byTile.keys();
    if (id !== undefined) this.#open(id);
    else if (this.problems.some(([place]) => place)) {
      const place = this.problems[0][0];
      this.settings.open(place.startsWith("templating") ? "variables" : place.startsWith("annotations") ? "annotations" : place.startsWith("links") ? "links" : "general");
    } else toast(this.problems[0]?.[1] ?? "", { tone: "bad" });
  }

  // -- tiles

  add(tile, at) {
    const id = freeId(this.tiles);
    const [w, height] = at ? [at.w, at.h] : sizeOf(tile.kind);
    const made = { id, ...tile, gridPos: room(boxesOf(this.tiles), w, height) };
    this.change({ ...this.document, tiles: [...this.tiles, made] }, `Add ${tile.title || `a ${tile.kind}`}`);
    this.#open(id);
    return id;
  }

  #put(tile, what) {
    const id = freeId(this.tiles);
    const size = boxesOf([{ ...tile, id }])[0];
    const made = { ...tile, id, gridPos: room(boxesOf(this.tiles), size.w, size.h) };
    this.change({ ...this.document, tiles: [...this.tiles, made] }, what);
    if (this.opened === undefined) this.grid.focus(id);
    else this.#open(id);
  }

  duplicate(id) {
    const tile = this.tiles.find((one) => one.id === id);
    if (tile) this.#put({ ...tile, title: tile.title }, "Duplicate a tile");
  }

  async copy(id) {
    const tile = this.tiles.find((one) => one.id === id);
    if (!tile) return;
    const everywhere = await keep(tile);
    toast(everywhere ? "Copied. Ctrl+V puts it here or on another dashboard." : "Copied. “Add tile” can paste it, here or on another dashboard in this tab.");
  }

  paste(tile) {
    if (!tile) return;
    const { gridPos } = tile;
    this.#put({ ...tile, gridPos }, "Paste a tile");
  }

  remove(id) {
    const tile = this.tiles.find((one) => one.id === id);
    if (!tile) return;
    const rest = this.tiles.filter((one) => one.id !== id);
    this.change({ ...this.document, tiles: placed(rest, settle(boxesOf(rest))) }, `Remove ${tile.title || "a tile"}`);
    const after = this.document;
    toast(`Removed ${tile.title ? `“${tile.title}”` : "a tile"}.`, { undo: () => {
      if (this.document === after) this.back();
      else this.#put(tile, "Bring a tile back");
    } });
  }

  /** Edit one tile, or all of them (null). */
  #open(wanted, write = true) {
    const tile = wanted === null ? undefined : this.tiles.find((one) => String(one.id) === String(wanted));
    if (tile?.id === this.opened) return;
    const before = this.opened;
    this.tile?.destroy();
    this.tile?.element.remove();
    this.tile = undefined;
    this.opened = tile?.id;
    this.root.dataset.mode = tile ? "tile" : "grid";
    this.all.hidden = this.neighbours.hidden = !tile;
    this.stage.hidden = Boolean(tile);
    if (write) {
      const address = new URL(location.href);
      if (tile) address.searchParams.set("tile", String(tile.id));
      else address.searchParams.delete("tile");
      history.pushState(history.state, "", address);
    }
    if (!tile) {
      this.grid.focus(before);
      return;
    }
    const id = tile.id;
    const read = () => this.tiles.find((one) => one.id === id) ?? tile;
    this.tile = new TileEditor(this.desk, { read, write: (next, what, join) => this.change({ ...this.document, tiles: this.tiles.map((one) => (one.id === id ? next : one)) }, what, join && `${join} ${id}`) });
    this.stage.after(this.tile.element);
    this.tile.show();
    this.tile.mark(this.byTile?.get(id) ?? []);
    if (write) this.tile.focus();
  }

  #openNext(by) {
    const order = boxesOf(this.tiles).sort((a, b) => a.y - b.y || a.x - b.x).map((box) => box.id);
    const at = order.indexOf(this.opened);
    this.#open(order[(at + by + order.length) % order.length]);
  }

  #moved(other) {
    if (other) {
      // Another zone: axes and buckets are others, so that the tiles are made anew.
      this.grid.destroy();
      const id = this.opened;
      this.grid.show(this.tiles);
      if (id !== undefined) {
        this.#open(null, false);
        this.#open(id, false);
      }
      return;
    }
    this.grid.setRange();
    this.tile?.setRange();
  }

  // -- keys and clipboard

  #keys(event) {
    const key = event.key.toLowerCase();
    const [place] = event.composedPath();
    const writes = place instanceof HTMLElement && (place.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(place.tagName));
    // From the tile's own inputs too: what was typed is in the document already.
    const owned = place instanceof HTMLElement && "own" in place.dataset;
    if (event.key === "Escape" && this.opened !== undefined && !owned && !event.defaultPrevented && !this.root.querySelector("dialog[open], details[open]")) {
      this.#open(null);
      return;
    }
    if (!(event.ctrlKey || event.metaKey) || event.altKey) {
      if (key === "a" && !writes && !event.shiftKey && !this.root.querySelector("dialog[open]")) {
        event.preventDefault();
        this.gallery.open(this.#likelyPipeline());
      }
      return;
    }
    if (key === "s") {
      event.preventDefault();
      this.save();
      return;
    }
    const back = key === "z" && !event.shiftKey;
    const forth = (key === "z" && event.shiftKey) || (key === "y" && !event.shiftKey);
    // Inputs that are no part of the document have their own undo.
    if ((!back && !forth) || owned) return;
    event.preventDefault();
    if (back) this.back();
    else this.forth();
  }

  /** Whether the keyboard is in something that has a clipboard of its own. */
  #elsewhere(event) {
    const [place] = event.composedPath();
    return place instanceof HTMLElement && (place.isContentEditable || /^(INPUT|TEXTAREA)$/.test(place.tagName) || place.closest("dialog"));
  }

  #copied(event) {
    const id = this.grid.focused();
    if (id === undefined || this.#elsewhere(event) || String(getSelection()) !== "") return;
    const tile = this.tiles.find((one) => one.id === id);
    event.clipboardData.setData("text/plain", tileText(tile));
    event.preventDefault();
    keep(tile);
    toast("Copied. Ctrl+V puts it here or on another dashboard.");
  }

  #pasted(event) {
    if (this.#elsewhere(event)) return;
    const tile = tileIn(event.clipboardData.getData("text/plain"));
    if (!tile) return;
    event.preventDefault();
    this.paste(tile);
  }

  // -- the viewer

  #viewerAddress() {
    this.viewer.href = this.showing.viewer();
  }

  // -- saving

  /** @returns {Promise<boolean>} whether it is saved */
  async save() {
    if (this.isSaving || !this.unsaved) return !this.unsaved;
    this.isSaving = true;
    this.banner("problem", null);
    this.drawStatus();
    const { document } = this;
    try {
      const { saved, conflict } = await this.asking.ask("save", { document, note: this.note.value, base: this.saved.revision });
      if (conflict) {
        this.together.differ(conflict);
        return false;
      }
      this.isSaved(saved, document);
      toast(`Version ${saved.revision} is saved.`);
      return true;
    } catch (error) {
      if (error.problems?.length) this.#mark(error.problems);
      this.banner("problem", [h("strong", { text: error.title ?? "Not saved" }), ` ${error.problems?.length ? error.problems.slice(0, 4).map(([place, what]) => (place ? `${place}: ${what}` : what)).join("; ") : error.message}`], "problem");
      return false;
    } finally {
      this.isSaving = false;
      this.drawStatus();
    }
  }

  /** What the server made of the document (defaults, a folder in order) takes its place, unless it was changed meanwhile. */
  isSaved(saved, sent) {
    this.saved = saved;
    if (this.document === sent) this.history.present = saved.document;
    this.together.settled();
    this.note.value = "";
    this.banner("restored", null);
    this.show();
    this.leaving.keep();
  }

  // -- the whole dashboard

  async #copyDashboard() {
    try {
      const { uid } = await this.asking.ask("copy", { document: this.document });
      this.leaving.keep();
      this.leaving.go(`/dashboards/${uid}/edit`);
    } catch (error) {
      this.banner("problem", [h("strong", { text: error.title ?? "Not copied" }), ` ${error.message}`], "problem");
    }
  }

  #delete() {
    this.leaving.ask(`Delete “${this.document.title || this.uid}”?`, "Whoever has it open sees that it is gone. For 30 days it can be brought back from the list of dashboards.", [["Cancel", null, "quiet"], ["Delete", () => this.asking.ask("delete").then(() => {
      this.leaving.forget();
      this.history = new History(this.saved.document);
      this.leaving.go("/dashboards");
    }, (error) => toast(error.message, { tone: "bad" })), "danger"]]);
  }

  // -- what is said above

  #lost(is) {
    if (Boolean(this.isLost) === is) return;
    this.isLost = is;
    this.banner("lost", is && [h("strong", { text: "The server does not answer." }), " What you changed is kept in this tab. ", this.#small("Reload", () => {
      this.leaving.keep();
      this.leaving.now = true;
      location.reload();
    })], "problem");
  }

  banner(name, parts, tone = "notice") {
    this.banners.querySelector(`[data-banner=${name}]`)?.remove();
    if (parts) this.banners.append(h("div", { class: `banner ${tone}`, role: "status", "data-banner": name }, h("div", {}, ...parts), h("button", { class: "button quiet icon small", type: "button", "aria-label": "Dismiss", onclick: () => this.banner(name, null) }, icon("remove"))));
  }
}
