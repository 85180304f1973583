// What one can do with a point, a bar, a slice: see where it comes from, show only it, leave it out, write something at
// its time, go where the tile's links lead.

import { make } from "../elements.js";
import { label } from "../frame.js";

/** Entries of one menu that are about single rows. */
const MOST = 12;

/** Entries that filter by the values of dimensions. */
export function filterItems(by, filter) {
  if (!filter) return [];
  return Object.entries(by ?? {}).flatMap(([field, value]) => [
    { text: `Only ${field} = ${label(value)}`, act: () => filter(field, value, { exclude: false }) },
    { text: `Without ${field} = ${label(value)}`, act: () => filter(field, value, { exclude: true }) },
  ]);
}

export class PointMenu {
  /** @param {HTMLElement} parent positioned; the menu stays inside it */
  constructor(parent) {
    this.parent = parent;
    this.element = null;
    this.outside = (event) => {
      if (event.type === "keydown" ? event.key === "Escape" : !event.composedPath().includes(this.element)) this.close();
    };
  }

  /**
   * @param {number} x @param {number} y in the parent
   * @param {{title: string, label?: string, items: {text: string, href?: string, act?: () => void}[]}} content
   * @returns {boolean} whether there was anything to offer
   */
  open(x, y, { title, label: spoken = "What to do with this point", items }) {
    this.close();
    if (!items.length) return false;
    this.before = this.parent.getRootNode().activeElement;
    this.element = make("div", "menu point-menu", this.parent);
    this.element.setAttribute("role", "dialog");
    this.element.setAttribute("aria-label", spoken);
    if (title) make("div", "menu-note", this.element, title);
    for (const item of items.slice(0, MOST * 2)) {
      if (!item.href && !item.act) {
        make("div", "menu-note", this.element, item.text);
        continue;
      }
      const made = make(item.href ? "a" : "button", "", this.element, item.text);
      made.title = item.text;
      if (item.href) made.href = item.href;
      else made.type = "button";
      made.addEventListener("click", () => {
        this.close();
        item.act?.();
      });
    }
    if (items.length > MOST * 2) make("div", "menu-note", this.element, `and ${items.length - MOST * 2} more: see “View data”`);
    const { clientWidth, clientHeight } = this.parent;
    this.element.style.left = `${Math.max(0, Math.min(x + 8, clientWidth - this.element.offsetWidth))}px`;
    this.element.style.top = `${Math.max(0, Math.min(y + 8, clientHeight - this.element.offsetHeight))}px`;
    this.element.addEventListener("pointerdown", (event) => event.stopPropagation());
    addEventListener("pointerdown", this.outside);
    addEventListener("keydown", this.outside);
    this.element.querySelector("a, button")?.focus({ preventScroll: true });
    return true;
  }

  close() {
    if (!this.element) return;
    const held = this.element.contains(this.parent.getRootNode().activeElement);
    this.element.remove();
    this.element = null;
    // To where the keyboard was; where that was nowhere, to the tile.
    if (held) (this.before?.isConnected && this.before !== document.body ? this.before : this.parent.closest(".tile"))?.focus({ preventScroll: true });
    removeEventListener("pointerdown", this.outside);
    removeEventListener("keydown", this.outside);
  }
}
