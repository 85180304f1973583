// What is done to alerts from any page that shows them: acknowledge, silence, turn on and off. Buttons say what by
// `data-do`, and stand within something that says to which alert by `data-alert` (and `data-series`).

import { act, complain } from "../page.js";
import { sure } from "../part.js";
import { toast } from "../shell.js";

const list = (action, body) => act(`/alerts/list/${action}`, body);

/** `name = text` lines as matchers; several texts with | between them. */
export function readMatchers(text) {
  const found = {};
  for (const line of text.split("\n")) {
    if (!line.trim()) continue;
    const at = line.indexOf("=");
    const name = (at < 0 ? line : line.slice(0, at)).trim();
    const values = at < 0 ? [""] : line.slice(at + 1).split("|").map((each) => each.trim());
    found[name] = values.length > 1 ? values : values[0];
  }
  return found;
}

/** Matchers as `readMatchers` reads them. */
export const writeMatchers = (matchers) => Object.entries(matchers).map(([name, value]) => `${name} = ${Array.isArray(value) ? value.join(" | ") : (value ?? "")}`).join("\n");

/** Say in a form at which field something is wrong; what belongs to none stands below. */
export function showProblems(form, error) {
  const left = [];
  for (const field of form.querySelectorAll("[data-place] > .wrong")) field.hidden = true;
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  for (const [place, what] of error.problems?.length ? error.problems : [["", error.message]]) {
    const field = form.querySelector(`[data-place="${CSS.escape(place.split(/[.[]/)[0])}"]`);
    const wrong = field?.checkVisibility() ? field.querySelector(":scope > .wrong") : null;
    if (!wrong) {
      left.push(place ? `${place}: ${what}` : what);
      continue;
    }
    wrong.textContent = what;
    wrong.hidden = false;
    field.querySelector("input, textarea, select")?.setAttribute("aria-invalid", "true");
  }
  const rest = form.querySelector("[data-wrong]");
  rest.hidden = !left.length;
  rest.textContent = left.join("; ");
}

function openSilence(button) {
  const box = document.querySelector("#silence-dialog");
  const form = box.querySelector("form");
  form.reset();
  showProblems(form, { problems: [["", ""]] });
  form.querySelector("[data-wrong]").hidden = true;
  const matchers = button.closest("[data-matchers]")?.dataset.matchers ?? document.querySelector("#alert")?.dataset.matchers;
  if (matchers) form.elements.matchers.value = writeMatchers(JSON.parse(matchers));
  box.showModal();
  form.elements[matchers ? "comment" : "matchers"].focus();
}

/**
 * @param {{changed: () => void, gone?: () => void}} page `changed`: what is shown is another now; `gone`: the alert of the
 *   page is deleted
 */
export function alertActs({ changed, gone = changed }) {
  const acts = {
    async acknowledge(button, { alert, series }) {
      const { count } = await list("acknowledge", { alert, ...(series && !("all" in button.dataset) ? { series: JSON.parse(series) } : {}) });
      toast(count === 1 ? "Acknowledged: it is not told again until it fires anew." : `${count} series acknowledged.`);
    },
    async enable(_button, { alert }) {
      await list("enable", { alert });
      toast("It is evaluated again from now on.");
    },
    async disable(_button, { alert }) {
      await list("disable", { alert });
      toast("It is turned off: nobody is told of anything.", { undo: () => list("enable", { alert }).then(changed, complain) });
    },
    async unsilence(button) {
      await list("unsilence", { silence: button.closest("[data-silence]").dataset.silence });
      toast("The silence is over.");
    },
    async unwindow(button) {
      await list("unwindow", { window: button.closest("[data-window]").dataset.window });
      toast("The window is deleted.");
    },
    async delete(_button, { alert, name }) {
      await list("delete", { alert });
      toast(`“${name}” is deleted with its history.`);
      gone();
    },
  };

  document.addEventListener("click", async ({ target }) => {
    const button = target instanceof Element ? target.closest("button") : null;
    if (!button || button.disabled) return;
    if ("close" in button.dataset) button.closest("dialog").close();
    else if (button.dataset.open === "silence") openSilence(button);
    else if (acts[button.dataset.do] && sure(button)) {
      const about = button.closest("[data-alert]") ?? document.querySelector("#alert");
      button.disabled = true;
      try {
        await acts[button.dataset.do](button, about?.dataset ?? {});
        delete button.dataset.asked;
        changed();
      } catch (error) {
        complain(error);
      }
      button.disabled = false;
    }
  });

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !form.matches("[data-silence-form]")) return;
    event.preventDefault();
    const { matchers, duration, comment } = form.elements;
    try {
      const { silence } = await list("silence", { document: { matchers: readMatchers(matchers.value), duration: duration.value, comment: comment.value.trim() } });
      form.closest("dialog").close();
      toast(`Silent for ${duration.selectedOptions[0].text}.`, { undo: () => list("unsilence", { silence }).then(changed, complain) });
      changed();
    } catch (error) {
      showProblems(form, error);
    }
  });
}
