// The grid of tiles: places them, and takes over another version of the document in place, so that what stays does not
// flash and what is drawn stays drawn.

import { make } from "../elements.js";
import { Tile } from "../tile.js";

/** Tiles in reading order, so that the phone's single column and the keyboard follow the eye. */
export const readingOrder = (tiles) => [...tiles].sort((a, b) => (a.gridPos?.y ?? 0) - (b.gridPos?.y ?? 0) || (a.gridPos?.x ?? 0) - (b.gridPos?.x ?? 0));

const isNumber = ({ kind, query }) => kind === "stat" && !query?.by?.length && !(query?.select?.length > 1);

/** Tiles that stand beside each other on a phone: single numbers that follow each other, two by two. */
export function paired(tiles) {
  const found = new Set();
  let waiting = null;
  for (const tile of tiles) {
    if (isNumber(tile) && waiting) found.add(waiting).add(tile);
    waiting = isNumber(tile) && !waiting ? tile : null;
  }
  return found;
}

/** Put a box where its tile's document says. */
export function place(box, { x = 0, y, w = 12, h = 6 } = {}) {
  const left = Math.min(11, Math.max(0, Math.trunc(x)));
  box.style.setProperty("--column", `${left + 1} / span ${Math.min(12 - left, Math.max(1, Math.trunc(w)))}`);
  box.style.setProperty("--line", `${y === undefined ? "auto" : Math.max(0, Math.trunc(y)) + 1} / span ${Math.max(1, Math.trunc(h))}`);
  box.style.setProperty("--height", String(Math.max(1, Math.trunc(h))));
}

export class Grid {
  /**
   * @param {(tile: object) => import("../tile.js").TileContext} context what a tile is made with
   * @param {{text: string, href: string} | null} [add] where tiles are added, for a dashboard without any
   */
  constructor(context, add = null) {
    this.context = context;
    this.add = add;
    this.element = make("div", "tile-grid");
    /** @type {Map<string, Tile>} */
    this.tiles = new Map();
    this.full = null;
  }

  /** Show these tiles: those that are there already stay and change. */
  show(documents) {
    const wanted = readingOrder(documents);
    const kept = new Set(wanted.map((each) => String(each.id)));
    for (const [id, tile] of this.tiles) if (!kept.has(id)) this.remove(id, tile);
    this.empty?.remove();
    this.empty = null;
    let before = null;
    const pairs = paired(wanted);
    for (const each of wanted) {
      const id = String(each.id);
      let tile = this.tiles.get(id);
      const box = tile?.element ?? document.createElement("section");
      place(box, each.gridPos);
      box.toggleAttribute("data-pair", pairs.has(each));
      // Moving a node that is in place already would take away its focus.
      if (box.previousElementSibling !== before || box.parentNode !== this.element) before ? before.after(box) : this.element.prepend(box);
      before = box;
      if (!tile) {
        box.tabIndex = -1;
        box.dataset.tile = id;
        tile = new Tile(box, each, this.context(each));
        this.tiles.set(id, tile);
      } else if (JSON.stringify(tile.tile) !== JSON.stringify(each)) tile.document(each);
    }
    if (!wanted.length) this.sayEmpty();
    this.fill(this.full);
  }

  sayEmpty() {
    this.empty = make("div", "empty", this.element);
    make("h3", "", this.empty, "No tiles yet");
    make("p", "", this.empty, this.add ? "Add the first one: a number, a chart, a table or a map of what your pipelines bring." : "Tiles that are added to this dashboard appear here.");
    if (this.add) make("a", "button primary", this.empty, this.add.text).href = this.add.href;
  }

  remove(id, tile) {
    const box = tile.element;
    tile.destroy();
    box.remove();
    this.tiles.delete(id);
  }

  /** Let one tile fill the page (null: none); the others are kept, and out of sight. */
  fill(id) {
    this.full = id !== null && this.tiles.has(String(id)) ? String(id) : null;
    this.element.classList.toggle("has-full", this.full !== null);
    for (const [each, tile] of this.tiles) tile.element.classList.toggle("is-full", each === this.full);
    // It reaches from where the grid begins to the end of the window, whatever stands above.
    if (this.full) this.element.style.setProperty("--above", `${Math.round(this.element.getBoundingClientRect().top + scrollY)}px`);
  }

  /** The keyboard goes on at the tiles. */
  focusFirst() {
    this.element.querySelector(":scope > .tile")?.focus({ preventScroll: true });
  }

  /** Ids in reading order. */
  order() {
    return [...this.element.children].map((box) => box.dataset.tile).filter(Boolean);
  }

  /** The tile under the pointer, or the one that has the focus. */
  pointed() {
    const root = this.element.getRootNode();
    const box = this.element.querySelector(":scope > .tile:hover") ?? root.activeElement?.closest?.(".tile");
    return box ? (this.tiles.get(box.dataset.tile) ?? null) : null;
  }

  /** Made anew, as after a change of zone. */
  renew() {
    const documents = [...this.tiles.values()].map((tile) => tile.tile);
    for (const [id, tile] of this.tiles) this.remove(id, tile);
    this.show(documents);
  }

  clear() {
    for (const [id, tile] of this.tiles) this.remove(id, tile);
    this.element.remove();
  }
}
