// The menu behind the three dots of a tile. It closes on Escape and on a press elsewhere, and the arrow keys walk in it.

import { make } from "./elements.js";

/**
 * @param {HTMLElement} parent
 * @param {string} label what the button is called for those who do not see it
 * @param {() => ({text: string, act?: () => void, href?: string, wrong?: boolean} | null)[]} items read each time it is opened; null: a line
 * @returns {{element: HTMLDetailsElement, close: () => void, rename: (label: string) => void, destroy: () => void}}
 */
export function tileMenu(parent, label, items) {
  const box = make("details", "tile-menu", parent);
  const opener = make("summary", "", box, "⋯");
  opener.setAttribute("aria-label", label);
  const list = make("div", "menu", box);
  const all = () => [...list.querySelectorAll("button, a")];

  box.addEventListener("toggle", () => {
    if (!box.open) return;
    list.replaceChildren();
    for (const item of items()) {
      if (!item) {
        make("div", "menu-line", list).setAttribute("role", "separator");
        continue;
      }
      const made = make(item.href ? "a" : "button", item.wrong ? "wrong" : "", list, item.text);
      if (item.href) made.href = item.href;
      else made.type = "button";
      made.addEventListener("click", () => {
        // What opens a dialog gives the focus back to where it was.
        close(Boolean(item.act));
        item.act?.();
      });
    }
    all()[0]?.focus({ preventScroll: true });
  });

  function close(back = false) {
    if (!box.open) return;
    box.open = false;
    if (back) opener.focus({ preventScroll: true });
  }

  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const each = all();
    const root = box.getRootNode();
    each[(each.indexOf(root.activeElement) + step + each.length) % each.length]?.focus();
  });
  const outside = (event) => {
    if (!box.open) return;
    if (event.type === "keydown") {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close(true);
    } else if (!event.composedPath().includes(box)) close();
  };
  addEventListener("pointerdown", outside);
  addEventListener("keydown", outside);
  return {
    element: box,
    close,
    rename: (next) => opener.setAttribute("aria-label", next),
    destroy() {
      removeEventListener("pointerdown", outside);
      removeEventListener("keydown", outside);
      box.remove();
    },
  };
}
