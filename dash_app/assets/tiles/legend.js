// The legend below a chart: plain buttons that hide a series, with last values that follow the pointer; or a table of
// least, mean, greatest and last values, sorted by a press on a head.

import { make, write } from "../elements.js";
import { NONE } from "../format.js";

/** Last non-null value at or before `at`, or null once it lies more than `reach` ms back. */
export function valueAt(points, at, reach) {
  let low = 0, high = points.length - 1, found = -1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= at) {
      found = middle;
      low = middle + 1;
    } else high = middle - 1;
  }
  if (found < 0) return null;
  return reach && at - points[found][0] > reach ? null : points[found][1];
}

export function lastValue(points) {
  for (let i = points.length - 1; i >= 0; i -= 1) if (points[i][1] !== null) return points[i][1];
  return null;
}

/** Least, mean, greatest and last value; null each where there is none. */
export function statistics(points) {
  let min = null, max = null, sum = 0, count = 0;
  for (const [, value] of points) {
    if (value === null) continue;
    if (min === null || value < min) min = value;
    if (max === null || value > max) max = value;
    sum += value;
    count += 1;
  }
  return { min, mean: count ? sum / count : null, max, last: lastValue(points) };
}

const FIGURES = [["min", "Min"], ["mean", "Mean"], ["max", "Max"], ["last", "Last"]];

export class Legend {
  /**
   * @param {HTMLElement} parent
   * @param {{toggle: (name: string) => void, only: (name: string) => void, point: (name: string | null) => void, more: (entry: object, event: MouseEvent) => void}} on
   */
  constructor(parent, on) {
    this.element = make("div", "legend", parent);
    this.element.hidden = true;
    this.on = on;
    this.sort = null;
    this.entries = [];
  }

  /**
   * @param {object} facts of a chart's options @param {Set<string>} hidden
   * @param {number | null} at the time the pointer is at, epoch ms @param {number | null} every
   */
  draw(facts, hidden, at, every) {
    const { legend, left, leftCategories = 0, kind = "last" } = facts;
    const notes = left > 0 ? `${left} more not drawn` : leftCategories > 0 ? `${leftCategories} more not shown` : "";
    const asTable = kind === "table" && legend.some((entry) => entry.points);
    const wanted = kind !== "none" && (legend.length > (asTable ? 0 : 1) || notes);
    this.element.hidden = !wanted;
    if (!wanted) return;
    if (this.element.classList.contains("as-table") !== asTable) {
      this.element.replaceChildren();
      this.element.classList.toggle("as-table", asTable);
    }
    this.entries = legend;
    if (asTable) this.drawTable(legend, hidden, at, every, notes);
    else this.drawItems(legend.length > 1 ? legend : [], hidden, at, every, notes);
  }

  /** A series' button: swatch and name. */
  item(parent, className) {
    const item = make("button", className, parent);
    item.type = "button";
    make("i", "", item);
    make("span", "", item);
    const entry = () => this.entries.find((each) => each.name === item.dataset.name);
    item.addEventListener("click", (event) => (event.ctrlKey || event.metaKey ? this.on.only : this.on.toggle)(item.dataset.name));
    item.addEventListener("contextmenu", (event) => {
      const found = entry();
      if (found && this.on.more(found, event)) event.preventDefault();
    });
    item.addEventListener("pointerenter", () => this.on.point(item.dataset.name));
    item.addEventListener("pointerleave", () => this.on.point(null));
    return item;
  }

  dress(item, entry, hidden) {
    if (item.dataset.name !== entry.name) item.dataset.name = entry.name;
    if (item.title !== entry.label) item.title = entry.label;
    write(item.children[1], entry.label);
    if (item.children[0].style.background !== entry.color) item.children[0].style.background = entry.color;
    item.setAttribute("aria-pressed", String(!hidden.has(entry.name)));
  }

  drawItems(entries, hidden, at, every, notes) {
    while (this.element.children.length > entries.length) this.element.lastChild.remove();
    entries.forEach((entry, i) => {
      let item = this.element.children[i];
      if (!item || item.className === "legend-note") {
        item?.remove();
        item = this.item(this.element, "legend-item");
        make("b", "", item);
      }
      this.dress(item, entry, hidden);
      const value = !entry.points ? (entry.text ?? "") : at === null ? lastValue(entry.points) : valueAt(entry.points, at, every);
      write(item.children[2], typeof value === "string" ? value : value === null ? NONE : entry.describe(value));
    });
    if (notes) make("span", "legend-note", this.element, notes);
  }

  drawTable(entries, hidden, at, every, notes) {
    if (!this.element.firstChild) {
      const table = make("table", "legend-table", this.element);
      const head = table.createTHead().insertRow();
      for (const [key, text] of [["label", "Series"], ...FIGURES]) {
        const cell = make("th", key === "label" ? "" : "num", head);
        cell.scope = "col";
        const button = make("button", "sorter", cell, text);
        button.type = "button";
        button.addEventListener("click", () => {
          const down = this.sort?.key === key ? !this.sort.down : key !== "label";
          this.sort = { key, down };
          this.again?.();
        });
      }
      this.rows = table.createTBody();
      this.note = make("div", "legend-note", this.element);
    }
    this.again = () => this.drawTable(entries, hidden, at, every, notes);
    const { key, down } = this.sort ?? {};
    for (const [i, [name]] of [["label"], ...FIGURES].entries()) {
      const cell = this.element.querySelector("thead tr").cells[i];
      if (key === name) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    const list = entries.map((entry) => ({ entry, figures: entry.points ? statistics(entry.points) : {} }));
    if (key) {
      const order = key === "label" ? (a, b) => a.entry.label.localeCompare(b.entry.label) : (a, b) => (a.figures[key] ?? -Infinity) - (b.figures[key] ?? -Infinity);
      list.sort((a, b) => (down ? order(b, a) : order(a, b)));
    }
    while (this.rows.rows.length > list.length) this.rows.lastChild.remove();
    list.forEach(({ entry, figures }, i) => {
      let row = this.rows.rows[i];
      if (!row) {
        row = this.rows.insertRow();
        this.item(row.insertCell(), "legend-item");
        for (let n = 0; n < 4; n += 1) row.insertCell().className = "num";
      }
      this.dress(row.cells[0].firstChild, entry, hidden);
      FIGURES.forEach(([name], n) => {
        const value = name === "last" && at !== null && entry.points ? valueAt(entry.points, at, every) : figures[name];
        write(row.cells[n + 1], value == null ? NONE : entry.describe(value));
      });
    });
    write(this.note, notes);
  }
}
