// One sink's page: pause and resume, a test, deliveries sent again or cancelled; its part is asked for anew while the page
// is open.

import { act, complain } from "../page.js";
import { livePart, sure } from "../part.js";
import { toast } from "../shell.js";

const EVERY = 3000;
const root = document.querySelector("#sink");
const { address, name, tab } = root.dataset;
const part = root.querySelector("[data-part]");
const live = part ? livePart(part) : null;
const actions = `${address}/actions`;

if (live) {
  setInterval(() => live.refresh(), EVERY);
  document.addEventListener("visibilitychange", () => document.hidden || live.refresh());
}

/** What stands in the title line is the server's as well: state and its button. */
async function head() {
  try {
    const answer = await fetch(location.href);
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const place of ["[data-standing-badge]", "[data-toggle]"]) {
      const next = page.querySelector(place);
      const now = document.querySelector(place);
      if (next && now && next.outerHTML !== now.outerHTML) now.replaceWith(next);
    }
  } catch {
    // The connection is away; the next press or refresh brings it.
  }
}

const changed = () => {
  head();
  live?.refresh(true);
};

/** An attempt, as the server shows it. */
function showTest({ html }) {
  const box = root.querySelector("[data-tested]");
  const page = new DOMParser().parseFromString(html, "text/html");
  box.querySelector("[data-attempt]").replaceChildren(...page.querySelector(".attempts").children);
  box.hidden = false;
  box.scrollIntoView({ block: "nearest" });
}

const chosen = (button) => ({ delivery: button.closest("[data-delivery]").dataset.delivery });
const ACTS = {
  async pause() {
    await act(`${actions}/pause`);
    toast(`${name} is paused. What is to be sent waits.`, { undo: () => act(`${actions}/resume`).then(changed, complain) });
  },
  async resume() {
    await act(`${actions}/resume`);
    toast(`${name} goes on where it was.`);
  },
  async test(button) {
    const before = [...button.childNodes];
    button.textContent = "Sending…";
    try {
      showTest(await act(`${actions}/test`));
    } finally {
      button.replaceChildren(...before);
    }
  },
  async resend(button) {
    await act(`${actions}/resend`, chosen(button));
    toast("It is sent again, under the same id.");
  },
  async resendall() {
    const { count } = await act(`${actions}/resendall`);
    toast(count === 1 ? "One message is sent again." : `${count} messages are sent again, under the ids that they had.`);
  },
  async cancel(button) {
    const { delivery } = chosen(button);
    await act(`${actions}/cancel`, { delivery });
    toast("It is not sent any more.", { undo: () => act(`${actions}/resend`, { delivery }).then(changed, complain) });
  },
};

document.addEventListener("click", async ({ target }) => {
  const button = target instanceof Element ? target.closest("button") : null;
  if (!button || button.disabled) return;
  if ("dismiss" in button.dataset) button.closest("[data-tested]").hidden = true;
  else if (ACTS[button.dataset.do] && sure(button)) {
    button.disabled = true;
    try {
      await ACTS[button.dataset.do](button);
      delete button.dataset.asked;
      changed();
    } catch (error) {
      complain(error);
    }
    button.disabled = false;
  }
});

// A delivery is opened in place; back and forward go through what was looked at.
part?.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (tab !== "deliveries" || !link || event.ctrlKey || event.metaKey || event.shiftKey || new URL(link.href).pathname !== location.pathname || !new URL(link.href).searchParams.has("tab")) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  live.refresh(true);
});
addEventListener("popstate", () => (live ? live.refresh(true) : location.reload()));
