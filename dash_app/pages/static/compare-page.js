// Comparing versions: a choice takes effect at once, and a comparison over all payloads is followed while it runs.

import { act, complain } from "./page.js";
import { writeTimes } from "./ago.js";

const ASK_EVERY = 1000;

const root = document.querySelector("#compare");
const { address } = root.dataset;
const part = root.querySelector("[data-part]");

root.querySelector("[data-choice]")?.addEventListener("change", (event) => {
  // A time is typed in several steps; the button is for that.
  if (event.target instanceof HTMLSelectElement) event.currentTarget.requestSubmit();
});

root.querySelector("[data-choice]")?.addEventListener("formdata", ({ formData }) => {
  for (const name of ["from", "to"]) if (!formData.get(name)) formData.delete(name);
});

root.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-start], [data-cancel]") : null;
  if (!button) return;
  button.disabled = true;
  try {
    if ("start" in button.dataset) {
      const { a, b, draft, from, to } = button.dataset;
      const answer = await act(`${address}/compare/start`, { a, b, draft, from, to });
      location.assign(answer.address);
    } else {
      await act(`${address}/compare/cancel`, { job: part.querySelector("[data-job]").dataset.job });
      await load();
    }
  } catch (error) {
    button.disabled = false;
    complain(error);
  }
});

const isOpen = () => part?.querySelector("[data-open]")?.dataset.open === "1";

/** Links and buttons by what they do, which stays when the part is replaced. */
const nameOf = (element) => element.getAttribute("href") ?? Object.keys(element.dataset).join();
const likes = (name) => [...part.querySelectorAll("a[href], button")].filter((each) => nameOf(each) === name);

/** What of the part has the focus, as the at-th of its name; null where nothing has. */
function focused() {
  const element = part.contains(document.activeElement) ? document.activeElement.closest("a[href], button") : null;
  return element && { name: nameOf(element), at: likes(nameOf(element)).indexOf(element) };
}

async function load() {
  const where = new URL(location.href);
  where.searchParams.set("part", "1");
  try {
    const answer = await fetch(where);
    if (!answer.ok || answer.redirected) return;
    const next = document.createElement("div");
    next.innerHTML = await answer.text();
    const held = focused();
    part.replaceChildren(...next.childNodes);
    writeTimes(part);
    if (held) likes(held.name)[held.at]?.focus({ preventScroll: true });
  } catch {
    // The server is away for a moment; the next time brings it.
  }
}

async function follow() {
  if (!isOpen()) return;
  const selection = getSelection();
  const reading = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  if (!document.hidden && !reading) await load();
  setTimeout(follow, ASK_EVERY);
}
if (isOpen()) setTimeout(follow, ASK_EVERY);
