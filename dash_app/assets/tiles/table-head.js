// The head of a table: buttons that sort, and below them, when they are wanted, fields that filter.

import { make } from "../elements.js";
import { isNumeric } from "../frame.js";
import { parseFilter } from "./column-filter.js";

const HINTS = { number: ">5, 2..8", integer: ">5, 2..8", boolean: "true", text: "contains…" };
const PAUSE = 300; // ms after the last key until the server is asked

/** Columns of these types can be sorted and filtered. */
export const comparable = (column) => column.type !== "json";

export class TableHead {
  /**
   * @param {HTMLTableElement} table
   * @param {{sort: (name: string) => void, filter: (name: string, condition: object | null) => void}} on
   */
  constructor(table, on) {
    const head = table.createTHead();
    this.names = head.insertRow();
    this.filters = head.insertRow();
    this.filters.className = "filters";
    this.filters.hidden = true;
    this.on = on;
  }

  write(columns, linked) {
    this.names.replaceChildren(...columns.map((column) => {
      const cell = make("th", isNumeric(column) ? "num" : "");
      cell.scope = "col";
      cell.dataset.name = column.name;
      const parent = comparable(column) ? make("button", "sorter", cell) : cell;
      if (comparable(column)) {
        parent.type = "button";
        parent.addEventListener("click", () => this.on.sort(column.name));
      }
      parent.append(column.head);
      if (column.inHead) make("span", "unit", parent, ` ${column.inHead}`);
      return cell;
    }));
    const before = new Map([...this.filters.querySelectorAll("input")].map((input) => [input.name, input]));
    this.filters.replaceChildren(...columns.map((column) => {
      const cell = make("th", isNumeric(column) ? "num" : "");
      if (comparable(column) && column.type !== "timestamp") cell.append(before.get(column.name) ?? this.input(column));
      return cell;
    }));
    if (linked) {
      for (const row of [this.names, this.filters]) {
        const cell = make("th", "origin", row);
        cell.scope = "col";
        cell.setAttribute("aria-label", "Where it comes from");
      }
    }
  }

  input(column) {
    const input = make("input", "");
    Object.assign(input, { name: column.name, placeholder: HINTS[column.type] ?? "", autocomplete: "off", spellcheck: false });
    input.setAttribute("aria-label", `Filter ${column.head}`);
    let timer = 0;
    const told = () => {
      clearTimeout(timer);
      const read = parseFilter(input.value, column.type);
      const wrong = typeof read === "string";
      input.setAttribute("aria-invalid", String(wrong));
      input.title = wrong ? `What can be read here: ${read}` : "";
      if (!wrong) this.on.filter(column.name, read);
    };
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(told, PAUSE);
    });
    input.addEventListener("change", told);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") told();
      if (event.key !== "Escape" || !input.value) return;
      event.stopPropagation();
      input.value = "";
      told();
    });
    return input;
  }

  /** @param {{name: string, down: boolean} | null} order */
  sorted(order) {
    for (const cell of this.names.cells) {
      if (order && cell.dataset.name === order.name) cell.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
  }

  toggleFilters(shown = this.filters.hidden) {
    this.filters.hidden = !shown;
    if (shown) this.filters.querySelector("input")?.focus({ preventScroll: true });
    else {
      for (const input of this.filters.querySelectorAll("input")) {
        if (!input.value) continue;
        input.value = "";
        this.on.filter(input.name, null);
      }
    }
    return shown;
  }
}
