// The dashboard as it will stand, with every tile alive, to be moved about: by its head, by its corner, by the keyboard.
// What is dragged follows the pointer while the others make room; only what is let go becomes a change of the document.

import { Tile } from "../tile.js";
import { h, iconButton } from "../mapping/dom.js";
import { boxesOf, byPlace, fitting, place, placed, step } from "./layout.js";
import { same } from "./merge.js";

const FAR_ENOUGH = 4;
const EDGE = 56;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** A tile's document without its place: what it draws from. */
const drawn = ({ gridPos: _place, ...tile }) => tile;

export class Grid {
  /**
   * @param {{context: () => object, reach: (tile: object) => object, onLayout: (tiles: object[], what: string, join?: string) => void,
   *   onOpen: (id: unknown) => void, onRemove: (id: unknown) => void, onDuplicate: (id: unknown) => void, onCopy: (id: unknown) => void}} acts
   *   context: what every tile gets: live, timezone, variables, zoom; reach: its range
   */
  constructor(acts) {
    this.acts = acts;
    /** @type {Map<unknown, {cell: HTMLElement, live: Tile, tile: object}>} */
    this.cells = new Map();
    this.tiles = [];
    this.ghost = h("div", { class: "ghost", hidden: true, "aria-hidden": "true" });
    this.said = h("div", { class: "visually-hidden", role: "status" });
    this.element = h("div", { class: "edit-grid", role: "list", "aria-label": "Tiles" }, this.ghost);
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.hovering = 0;
  }

  // -- what is shown

  show(tiles) {
    this.tiles = tiles;
    const wanted = new Set(tiles.map((tile) => tile.id));
    for (const [id, one] of this.cells) if (!wanted.has(id)) this.#drop(id, one);
    for (const tile of [...tiles].sort((a, b) => byPlace(a.gridPos ?? {}, b.gridPos ?? {}))) {
      const known = this.cells.get(tile.id);
      if (!known) this.#add(tile);
      else this.#update(known, tile);
    }
    this.#order();
    this.#position(boxesOf(tiles));
  }

  setRange() {
    for (const { live, tile } of this.cells.values()) live.setRange(this.acts.reach(tile));
  }

  setPaused(paused) {
    for (const { live } of this.cells.values()) live.setPaused(paused);
  }

  setParameters(parameters) {
    for (const { live } of this.cells.values()) live.setParameters(parameters);
  }

  focus(id) {
    this.cells.get(id)?.cell.focus();
  }

  /** The tile that the keyboard is in, or undefined. */
  focused() {
    const active = this.element.getRootNode().activeElement;
    return [...this.cells.values()].find(({ cell }) => cell === active)?.tile.id;
  }

  mark(problems) {
    for (const [id, { cell }] of this.cells) {
      const found = problems.get(id) ?? [];
      cell.classList.toggle("is-wrong", found.length > 0);
      cell.querySelector(".cell-wrong").textContent = found.length ? found.map(([place, what]) => (place ? `${place}: ${what}` : what)).join("; ") : "";
    }
  }

  destroy() {
    for (const [id, one] of this.cells) this.#drop(id, one);
  }

  #add(tile) {
    const section = h("section");
    const grip = h("span", { class: "grip", "aria-hidden": "true" });
    const corner = h("span", { class: "corner", "aria-hidden": "true" });
    const list = h("div", { class: "cell-steps" }, iconButton("up", "Move up", () => this.#step(tile.id, 0, -1)), iconButton("down", "Move down", () => this.#step(tile.id, 0, 1)));
    const cell = h("div", { class: "cell", role: "listitem", tabindex: "0", "data-id": String(tile.id) }, section, h("p", { class: "cell-wrong", role: "alert" }), grip, corner, list);
    this.element.append(cell);
    const one = { cell, tile, section, live: null };
    this.cells.set(tile.id, one);
    one.live = this.#tile(one);
    this.#label(one);
    section.addEventListener("pointerdown", (event) => {
      const head = event.target instanceof Element && event.target.closest(".tile-head");
      if (head && !event.target.closest("button, details, a") && event.pointerType !== "touch") this.#drag(event, one, "move");
    });
    section.addEventListener("dblclick", (event) => event.target instanceof Element && event.target.closest(".tile-head") && this.acts.onOpen(tile.id));
    grip.addEventListener("pointerdown", (event) => this.#drag(event, one, "move"));
    corner.addEventListener("pointerdown", (event) => this.#drag(event, one, "resize"));
  }

  #tile(one) {
    return new Tile(one.section, drawn(one.tile), {
      ...this.acts.context(),
      range: this.acts.reach(one.tile),
      hover: (at, source) => this.#hover(at, source),
      menu: () => this.#menu(one.tile.id),
    });
  }

  #menu(id) {
    const { onOpen, onDuplicate, onCopy, onRemove } = this.acts;
    return [
      { text: "Edit", act: () => onOpen(id) },
      { text: "Duplicate", act: () => onDuplicate(id) },
      { text: "Copy", act: () => onCopy(id) },
      { text: "Remove", act: () => onRemove(id), wrong: true },
    ];
  }

  #update(one, tile) {
    const before = one.tile;
    one.tile = tile;
    if (same(drawn(before), drawn(tile))) return;
    one.live.document(drawn(tile));
    if (!same(before.time, tile.time)) one.live.setRange(this.acts.reach(tile));
    this.#label(one);
  }

  #label({ cell, tile }) {
    cell.setAttribute("aria-label", tile.title || `Untitled ${tile.kind}`);
  }

  #drop(id, { cell, live }) {
    live.destroy();
    cell.remove();
    this.cells.delete(id);
  }

  /** In the document's order of reading, so that the keyboard follows the eye. */
  #order() {
    const ids = [...this.tiles].sort((a, b) => byPlace(fitting({ ...a.gridPos }), fitting({ ...b.gridPos }))).map((tile) => tile.id);
    let before = this.ghost;
    for (const id of ids) {
      const { cell } = this.cells.get(id);
      if (before.nextElementSibling !== cell) {
        const held = this.element.getRootNode().activeElement === cell;
        before.after(cell);
        if (held) cell.focus({ preventScroll: true });
      }
      before = cell;
    }
  }

  #position(boxes, except) {
    for (const box of boxes) if (box.id !== except) setPlace(this.cells.get(box.id)?.cell, box);
  }

  #hover(at, source) {
    this.pointed = { at, source };
    this.hovering ||= requestAnimationFrame(() => {
      this.hovering = 0;
      for (const { live } of this.cells.values()) live.hover(this.pointed.at, live === this.pointed.source);
    });
  }

  // -- the pointer

  #drag(begin, one, how) {
    if (begin.button !== 0 || !begin.isPrimary) return;
    const target = begin.currentTarget;
    const boxes = boxesOf(this.tiles);
    const first = boxes.find((box) => box.id === one.tile.id);
    const styles = getComputedStyle(this.element);
    const gap = parseFloat(styles.columnGap);
    const column = (this.element.clientWidth + gap) / 12;
    const row = parseFloat(styles.gridAutoRows) + gap;
    const from = { x: begin.clientX, y: begin.clientY + scrollY };
    let moving = false;
    let layout = boxes;
    let last = begin;
    const start = () => {
      moving = true;
      target.setPointerCapture(begin.pointerId);
      one.cell.classList.add(how === "move" ? "is-dragged" : "is-sized");
      this.element.classList.add("is-moving");
      this.ghost.hidden = false;
    };
    const follow = () => {
      const [dx, dy] = [last.clientX - from.x, last.clientY + scrollY - from.y];
      if (!moving && Math.hypot(dx, dy) < FAR_ENOUGH) return;
      if (!moving) start();
      const wanted = how === "move" ? { x: first.x + Math.round(dx / column), y: Math.max(0, first.y + Math.round(dy / row)) } : { w: Math.min(12 - first.x, first.w + Math.round(dx / column)), h: first.h + Math.round(dy / row) };
      layout = place(boxes, first.id, wanted);
      this.#position(layout, first.id);
      setPlace(this.ghost, layout.find((box) => box.id === first.id));
      if (how === "move") one.cell.style.translate = `${dx}px ${dy}px`;
      else setPlace(one.cell, layout.find((box) => box.id === first.id));
    };
    const move = (event) => {
      last = event;
      event.preventDefault();
      follow();
      // Near an edge of the window the page goes along.
      const by = event.clientY < EDGE ? -12 : event.clientY > innerHeight - EDGE ? 12 : 0;
      if (moving && by) {
        scrollBy(0, by);
        follow();
      }
    };
    const end = (keep) => {
      for (const [name, listener] of listeners) removeEventListener(name, listener, true);
      if (!moving) return;
      one.cell.classList.remove("is-dragged", "is-sized");
      one.cell.style.translate = "";
      this.element.classList.remove("is-moving");
      this.ghost.hidden = true;
      if (keep) this.acts.onLayout(placed(this.tiles, layout), how === "move" ? "Move a tile" : "Resize a tile");
      this.#position(boxesOf(this.tiles));
      one.cell.focus({ preventScroll: true });
    };
    const listeners = [
      ["pointermove", move],
      ["pointerup", () => end(true)],
      ["pointercancel", () => end(false)],
      ["keydown", (event) => {
        if (event.key !== "Escape" || !moving) return;
        event.stopPropagation();
        end(false);
      }],
    ];
    for (const [name, listener] of listeners) addEventListener(name, listener, true);
  }

  // -- the keyboard

  #key(event) {
    const cell = event.target instanceof Element && event.target.classList.contains("cell") ? event.target : null;
    const one = cell && [...this.cells.values()].find((each) => each.cell === cell);
    if (!one || event.altKey) return;
    const id = one.tile.id;
    const command = event.ctrlKey || event.metaKey;
    const done = () => {
      event.preventDefault();
      event.stopPropagation();
    };
    if (event.key === "Enter" && !command) {
      done();
      this.acts.onOpen(id);
      return;
    }
    if (event.key in ARROWS && !command) {
      done();
      const [dx, dy] = ARROWS[event.key];
      if (event.shiftKey) this.#resize(id, dx, dy);
      else this.#step(id, dx, dy);
    } else if ((event.key === "Delete" || event.key === "Backspace") && !command) {
      done();
      const ids = [...this.element.querySelectorAll(".cell")];
      const next = ids[ids.indexOf(cell) + 1] ?? ids[ids.indexOf(cell) - 1];
      this.acts.onRemove(id);
      next?.focus();
    } else if (command && event.key.toLowerCase() === "d") {
      done();
      this.acts.onDuplicate(id);
    }
  }

  #step(id, dx, dy) {
    this.#change(id, step(boxesOf(this.tiles), id, dx, dy), "Move a tile");
  }

  #resize(id, dw, dh) {
    const boxes = boxesOf(this.tiles);
    const box = boxes.find((each) => each.id === id);
    this.#change(id, place(boxes, id, { w: Math.min(12 - box.x, Math.max(1, box.w + dw)), h: box.h + dh }), "Resize a tile");
  }

  #change(id, layout, what) {
    const tiles = placed(this.tiles, layout);
    const box = layout.find((each) => each.id === id);
    if (!same(tiles, this.tiles)) this.acts.onLayout(tiles, what, `${what} ${id}`);
    this.said.textContent = `Column ${box.x + 1}, row ${box.y + 1}, ${box.w} wide, ${box.h} high`;
    this.cells.get(id)?.cell.scrollIntoView({ block: "nearest" });
  }
}

function setPlace(element, { x, y, w, h: high }) {
  if (!element) return;
  element.style.setProperty("--column", `${x + 1} / span ${w}`);
  element.style.setProperty("--line", `${y + 1} / span ${high}`);
  element.style.setProperty("--height", String(high));
}
