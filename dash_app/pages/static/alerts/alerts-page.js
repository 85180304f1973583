// The page of all alerts: its part is asked for anew when the live channel tells of a change; silences, windows, and what
// is looked for among the rules.

import { showConnection, liveClient } from "../live.js";
import { act } from "../page.js";
import { livePart } from "../part.js";
import { toast } from "../shell.js";
import { alertActs, readMatchers, showProblems } from "./acts.js";

const part = document.querySelector("[data-part]");
const finder = document.querySelector("[data-finder]");
const connection = document.querySelector("[data-connection]");
if (connection) showConnection(liveClient("/live"), connection);

/** What the form says, as the address of the page. */
function address() {
  const where = new URL(location.href);
  if (finder) {
    for (const name of ["search", "state"]) {
      const value = new FormData(finder).get(name);
      if (value) where.searchParams.set(name, value);
      else where.searchParams.delete(name);
    }
  }
  return where;
}

const live = livePart(part, { address });
const refresh = () => live.refresh(true);
alertActs({ changed: refresh });
document.addEventListener("alerts:changed", ({ detail }) => detail.first || live.refresh());

// Finding ------------------------------------------------------------------------------------------------------------

let timer = 0;
function find(wait) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    history.replaceState(null, "", address());
    refresh();
  }, wait);
}
finder?.addEventListener("input", ({ target }) => find(target.type === "search" ? 150 : 0));
finder?.addEventListener("submit", (event) => {
  event.preventDefault();
  find(0);
});
// A pill that is pressed again is let go.
let chosen = finder?.querySelector(".pill input:checked") ?? null;
finder?.addEventListener("click", ({ target }) => {
  if (!(target instanceof HTMLInputElement) || target.type !== "radio") return;
  if (target === chosen) {
    target.checked = false;
    find(0);
  }
  chosen = target.checked ? target : null;
});

// Maintenance windows ------------------------------------------------------------------------------------------------

const box = document.querySelector("#window-dialog");
const form = box?.querySelector("form");

function kind() {
  for (const each of form.querySelectorAll("[data-kind]")) each.hidden = each.dataset.kind !== form.elements.kind.value;
}

document.addEventListener("click", ({ target }) => {
  if (!(target instanceof Element) || !target.closest('[data-open="window"]')) return;
  form.reset();
  form.elements.timezone.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
  kind();
  box.showModal();
});
form?.addEventListener("change", kind);
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, cron, duration, timezone, from, to, matchers } = form.elements;
  const moment = (field) => (field.value ? `${field.value}:00Z` : "");
  const when = form.elements.kind.value === "cron" ? { cron: cron.value.trim(), duration: duration.value.trim(), timezone: timezone.value.trim() } : { from: moment(from), to: moment(to) };
  try {
    await act("/alerts/list/window", { document: { name: name.value.trim(), matchers: readMatchers(matchers.value), ...when } });
    box.close();
    toast(`“${name.value.trim()}” is made.`);
    refresh();
  } catch (error) {
    showProblems(form, error);
  }
});
