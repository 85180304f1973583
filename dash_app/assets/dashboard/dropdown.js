// A button with something below it: a list to choose from, or a panel. One is open at a time; Escape, a press elsewhere and
// a choice close it, and the arrow keys walk in a list.

import { make } from "../elements.js";

/**
 * @param {{className?: string, label?: string, items?: () => ({text: string, act?: () => void, href?: string, current?: boolean, note?: string} | null)[],
 *   opened?: (panel: HTMLElement) => void}} options
 *   `label`: what it is called where its text does not say it; `items`: read each time it is opened, null is a line;
 *   `opened`: fills or refreshes the panel itself
 * @returns {{element: HTMLDetailsElement, button: HTMLElement, panel: HTMLElement, open: (wanted?: boolean) => void, destroy: () => void}}
 */
export function dropdown({ className = "", label, items, opened } = {}) {
  const element = make("details", `drop ${className}`.trim());
  const button = make("summary", "button", element);
  if (label) button.setAttribute("aria-label", label);
  const panel = make("div", "menu", element);
  const entries = () => [...panel.querySelectorAll(":scope > button, :scope > a")];

  function list() {
    panel.replaceChildren();
    for (const item of items()) {
      if (!item) {
        make("div", "menu-line", panel).setAttribute("role", "separator");
        continue;
      }
      if (item.note) {
        make("div", "menu-note", panel, item.note);
        continue;
      }
      const made = make(item.href ? "a" : "button", "", panel, item.text);
      if (item.href) made.href = item.href;
      else made.type = "button";
      if (item.current !== undefined) made.setAttribute("aria-current", String(item.current));
      made.addEventListener("click", () => {
        open(false);
        // Before it is done: what opens a dialog gives the focus back to where it was.
        if (item.act) button.focus({ preventScroll: true });
        item.act?.();
      });
    }
  }

  let filled = false;

  function fill() {
    filled = true;
    if (items) list();
    opened?.(panel);
    if (items) (entries().find((each) => each.getAttribute("aria-current") === "true") ?? entries()[0])?.focus({ preventScroll: true });
  }

  /** @param {boolean} [wanted] absent: the other way */
  function open(wanted = !element.open) {
    if (element.open === wanted) return;
    element.open = wanted;
    filled = false;
    // At once: the event comes later, and a key that is pressed meanwhile would go to the page.
    if (wanted) fill();
  }

  element.addEventListener("toggle", () => {
    if (!element.open) filled = false;
    else if (!filled) fill();
  });
  panel.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const all = entries();
    if (!step || !items || !all.length) return;
    event.preventDefault();
    all[(all.indexOf(event.target) + step + all.length) % all.length].focus();
  });
  const outside = (event) => {
    if (!element.open) return;
    if (event.type === "keydown") {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      open(false);
      button.focus({ preventScroll: true });
    } else if (!event.composedPath().includes(element)) open(false);
  };
  addEventListener("pointerdown", outside);
  addEventListener("keydown", outside);
  return {
    element, button, panel, open,
    destroy() {
      removeEventListener("pointerdown", outside);
      removeEventListener("keydown", outside);
      element.remove();
    },
  };
}
