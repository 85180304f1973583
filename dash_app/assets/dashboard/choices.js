// The line between title and tiles: what a viewer chooses (variables), and what was chosen by a click on a value (filters).

import { make, write } from "../elements.js";
import { picker } from "./picker.js";
import { textOf } from "./variables.js";

/** A field that is typed into; what was typed counts when it is left or Enter is pressed. */
function textField(name, onPick) {
  const element = make("input", "input variable-text");
  element.addEventListener("change", () => onPick(element.value));
  return {
    element, open: () => element.focus(), destroy: () => element.remove(),
    show: ({ value }) => {
      if (document.activeElement !== element) element.value = value ?? "";
      element.setAttribute("aria-label", name);
    },
  };
}

/**
 * @param {{variables: import("./variables.js").Variables, onChoose: (name: string, value: any) => void, onFilters: (filters: object[]) => void,
 *   onGone?: () => void}} options `onGone`: the keyboard stood on the last filter, and nothing is left in this line
 * @returns {{element: HTMLElement, show: (filters: import("./state.js").Filter[]) => void, open: () => boolean, destroy: () => void}}
 */
export function choicesBar({ variables, onChoose, onFilters, onGone = () => {} }) {
  const element = make("div", "choices");
  const fields = [];
  for (const [name, entry] of variables.entries) {
    const { variable } = entry;
    if (variable.hide) continue;
    const label = variable.label || name;
    const box = make("div", "variable", element);
    make("span", "variable-name", box, label);
    const pick = (value) => onChoose(name, value);
    const field = variable.type === "text" ? textField(label, pick) : picker({ label, multi: variable.multi, all: variable.includeAll, onPick: pick });
    box.append(field.element);
    const wrong = make("button", "button quiet small variable-wrong", box, "Try again");
    wrong.type = "button";
    wrong.hidden = true;
    wrong.addEventListener("click", () => variables.retry(name));
    fields.push({ name, box, field, wrong });
  }
  const chips = make("div", "chips", element);
  chips.setAttribute("role", "group");
  chips.setAttribute("aria-label", "Filters");
  let drawn = "";

  function drawChips(filters) {
    // A chip that somebody stands on with the keyboard is not made anew for nothing.
    if (JSON.stringify(filters) === drawn) return;
    drawn = JSON.stringify(filters);
    // The one that the keyboard stands on is there again, or the one that took its place.
    const focused = chips.getRootNode().activeElement;
    const at = [...chips.children].findIndex((chip) => chip.contains(focused));
    const part = focused?.className;
    chips.replaceChildren(...filters.map((filter, i) => {
      const value = filter.value === null ? "no value" : String(filter.value);
      const said = `${filter.field} ${filter.op === "=" ? "is" : "is not"} ${value}`;
      const chip = make("span", `filter-chip${filter.op === "=" ? "" : " is-not"}`);
      const turn = make("button", "filter-words", chip);
      turn.type = "button";
      turn.title = filter.op === "=" ? "Show everything but this" : "Show this alone";
      turn.setAttribute("aria-label", `${said}. ${turn.title}`);
      make("span", "filter-field", turn, filter.field);
      make("span", "filter-op", turn, filter.op === "=" ? "=" : "≠");
      make("span", "filter-value", turn, value);
      turn.addEventListener("click", () => onFilters(filters.map((each, at) => (at === i ? { ...each, op: each.op === "=" ? "!=" : "=" } : each))));
      const gone = make("button", "filter-gone", chip, "×");
      gone.type = "button";
      gone.setAttribute("aria-label", `Take away the filter ${said}`);
      gone.addEventListener("click", () => onFilters(filters.filter((_, at) => at !== i)));
      return chip;
    }));
    if (filters.length > 1) {
      const clear = make("button", "button quiet small", chips, "Clear filters");
      clear.type = "button";
      clear.addEventListener("click", () => onFilters([]));
    }
    if (at < 0) return;
    const all = [...chips.querySelectorAll(".filter-chip")];
    const chip = all[Math.min(at, all.length - 1)];
    const next = chip ? (chip.querySelector(`.${part.split(" ")[0]}`) ?? chip.querySelector("button")) : element.querySelector("summary, input, button:not([hidden])");
    next?.focus({ preventScroll: true });
    if (!next) onGone();
  }

  return {
    element,
    show(filters) {
      for (const { name, box, field, wrong } of fields) {
        const entry = variables.entries.get(name);
        if (!entry) continue;
        field.show({ value: entry.value, text: entry.value === undefined ? "" : textOf(entry.value, entry.options ?? []), options: entry.options, truncated: entry.truncated });
        box.dataset.wrong = String(Boolean(entry.problem));
        box.title = entry.problem ? [entry.problem.title, entry.problem.detail].filter(Boolean).join(": ") : "";
        wrong.hidden = !entry.problem;
        write(wrong, entry.problem ? `${entry.problem.detail || entry.problem.title} Try again` : "Try again");
      }
      drawChips(filters);
      element.hidden = !fields.length && !filters.length;
    },
    /** The first variable's list or field; whether there is one. */
    open() {
      fields[0]?.field.open();
      return fields.length > 0;
    },
    destroy() {
      for (const { field } of fields) field.destroy();
      element.remove();
    },
  };
}
