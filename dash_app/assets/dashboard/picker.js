// One value, or several, of a list that may be long: a button that opens a searchable list. The keyboard stays in the search
// field (arrows move, Enter chooses), as a combobox is used.

import { make, write } from "../elements.js";
import { dropdown } from "./dropdown.js";
import { ALL } from "./state.js";

/** More than so many are not written into the list at once; a search finds the rest. */
const MOST_SHOWN = 200;
let made = 0;

/**
 * @param {{label: string, multi?: boolean, all?: boolean, onPick: (value: any) => void}} options
 * @returns {{element: HTMLElement, show: (what: {value: any, text: string, options: {text: string, value: any}[] | null, truncated?: boolean}) => void,
 *   open: () => void, destroy: () => void}}
 */
export function picker({ label, multi = false, all = false, onPick }) {
  const id = `picker-${(made += 1)}`;
  let current = { value: "", text: "", options: null, truncated: false };
  let active = 0;
  let shown = [];

  const menu = dropdown({ className: "picker", opened: () => {
    search.value = "";
    list();
    search.focus({ preventScroll: true });
  } });
  const words = make("span", "picker-words", menu.button);
  const search = make("input", "input", menu.panel);
  search.type = "text";
  search.placeholder = "Search";
  search.setAttribute("role", "combobox");
  search.setAttribute("aria-label", label);
  search.setAttribute("aria-expanded", "true");
  search.setAttribute("aria-controls", id);
  search.setAttribute("aria-autocomplete", "list");
  const box = make("div", "picker-list", menu.panel);
  box.id = id;
  box.setAttribute("role", "listbox");
  box.setAttribute("aria-label", label);
  if (multi) box.setAttribute("aria-multiselectable", "true");
  const note = make("div", "menu-note", menu.panel);

  const chosen = () => (current.value === ALL ? [ALL] : [current.value ?? []].flat().map(String));

  function list() {
    const asked = search.value.trim().toLowerCase();
    const known = current.options ?? [];
    // A value that came with the address and is not on offer can be seen, and taken away.
    const strange = chosen().filter((value) => value !== ALL && value !== "" && !known.some((each) => String(each.value) === value)).map((value) => ({ value, text: value, strange: true }));
    const found = [...strange, ...known].filter((each) => !asked || each.text.toLowerCase().includes(asked));
    shown = [...(all && !asked ? [{ value: ALL, text: "All" }] : []), ...found.slice(0, MOST_SHOWN)];
    const held = chosen();
    active = Math.min(active, Math.max(0, shown.length - 1));
    if (!search.dataset.moved) active = Math.max(0, shown.findIndex((each) => held.includes(String(each.value))));
    box.replaceChildren(...shown.map((each, i) => {
      const option = make("div", "picker-option", null, each.text || "(empty)");
      option.id = `${id}-${i}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", String(held.includes(String(each.value))));
      if (each.strange) option.title = "Not among the values of this range";
      option.addEventListener("click", () => pick(each));
      return option;
    }));
    const left = found.length - Math.min(found.length, MOST_SHOWN);
    note.textContent = current.options === null ? "Values are on their way…" : !shown.length ? (asked ? "Nothing is called that." : "There are no values in this range.")
      : left || current.truncated ? `${left ? `${left.toLocaleString()} more` : "There are more than these"}; search for them.` : "";
    mark();
  }

  function mark() {
    for (const [i, option] of [...box.children].entries()) option.classList.toggle("is-active", i === active);
    if (shown.length) search.setAttribute("aria-activedescendant", `${id}-${active}`);
    else search.removeAttribute("aria-activedescendant");
    box.children[active]?.scrollIntoView?.({ block: "nearest" });
  }

  function pick({ value }) {
    if (!multi || value === ALL) {
      menu.open(false);
      menu.button.focus({ preventScroll: true });
      onPick(value);
      return;
    }
    const held = current.value === ALL ? [] : [current.value ?? []].flat().map(String).filter((each) => each !== "");
    const next = held.includes(String(value)) ? held.filter((each) => each !== String(value)) : [...held, String(value)];
    if (!next.length && !all) return; // the last one stays: nothing at all means nothing
    search.dataset.moved = "true";
    onPick(next.length ? next : ALL);
  }

  search.addEventListener("input", () => {
    active = 0;
    search.dataset.moved = "true";
    list();
  });
  search.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length) {
      event.preventDefault();
      search.dataset.moved = "true";
      active = (active + step + shown.length) % shown.length;
      mark();
    } else if (event.key === "Enter" && shown[active]) {
      event.preventDefault();
      pick(shown[active]);
    } else if (event.key === "Tab") menu.open(false);
  });
  menu.element.addEventListener("toggle", () => delete search.dataset.moved);

  return {
    element: menu.element,
    open: () => menu.open(true),
    show(next) {
      current = next;
      write(words, next.text || (next.options === null ? "…" : "none"));
      menu.button.setAttribute("aria-label", `${label}: ${words.textContent}`);
      if (menu.element.open) list();
    },
    destroy: menu.destroy,
  };
}
