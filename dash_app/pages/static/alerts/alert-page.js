// One rule's page: its chart, live, with the limit and the times at which it fired; its parts, asked for anew when the live
// channel tells of a change; and its settings.

import { make } from "../elements.js";
import { lineage } from "../lineage.js";
import { liveClient, showConnection } from "../live.js";
import { act, complain } from "../page.js";
import { livePart, sure } from "../part.js";
import { toast } from "../shell.js";
import { AlertChart } from "./alert-chart.js";
import { alertActs } from "./acts.js";

const RANGES = [["now-1h", "1 hour"], ["now-24h", "24 hours"], ["now-7d", "7 days"], ["now-30d", "30 days"]];
const root = document.querySelector("#alert");
const { address, tab } = root.dataset;
const client = liveClient("/live");
const connection = document.querySelector("[data-connection]");
if (connection) showConnection(client, connection);

const part = root.querySelector("[data-part]");
const live = part ? livePart(part) : null;
const reload = () => (live ? live.refresh(true) : undefined);

// What stands in the title line is the server's as well: it is taken over from a whole page.
async function head() {
  try {
    const answer = await fetch(location.href);
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const place of ["[data-state-badge]", ".title-line"]) {
      const next = page.querySelector(place);
      const now = document.querySelector(place);
      if (!next || !now || next.innerHTML === now.innerHTML) continue;
      if (place === ".title-line") for (const button of now.querySelectorAll(":scope > .button[data-do]")) button.remove();
      if (place === ".title-line") now.append(...next.querySelectorAll(":scope > .button[data-do]"));
      else now.replaceChildren(...next.childNodes);
    }
  } catch {
    // The connection is away; the next change brings it.
  }
}

alertActs({
  changed: () => {
    head();
    reload();
  },
  gone: () => (location.href = "/alerts?tab=rules"),
});
document.addEventListener("alerts:changed", ({ detail }) => {
  if (detail.first) return;
  head();
  live?.refresh();
  chart?.again();
});

// Chart ---------------------------------------------------------------------------------------------------------------

function makeChart(place) {
  const facts = JSON.parse(document.querySelector("#alert-chart").textContent);
  if (!facts.query) {
    place.hidden = true;
    return null;
  }
    const read = (asked) => ({ from: asked.get("from") ?? "now-24h", to: asked.get("to") ?? "now" });
  const range = read(new URLSearchParams(location.search));
  const bar = make("div", "segments", null);
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Range");
  const buttons = RANGES.map(([from, text]) => {
    const button = make("button", "", bar, text);
    button.type = "button";
    button.addEventListener("click", () => set({ from, to: "now" }));
    return [from, button];
  });
  place.before(bar);
  const say = ({ from, to }) => buttons.forEach(([each, button]) => button.setAttribute("aria-pressed", String(each === from && to === "now")));
  function set(next) {
    const where = new URL(location.href);
    where.searchParams.set("from", next.from);
    where.searchParams.set("to", next.to);
    history.pushState(null, "", where);
    drawn.setRange(next);
    say(next);
  }
  const drawn = new AlertChart(place, {
    live: client, range, title: facts.title, lineage,
    zoom: (from, to) => set({ from: new Date(from).toISOString(), to: new Date(to).toISOString() }),
    zoomOut: () => set({ from: "now-24h", to: "now" }),
  });
  addEventListener("popstate", () => {
    const back = read(new URLSearchParams(location.search));
    drawn.setRange(back);
    say(back);
  });
  say(range);
  drawn.draw({ query: { ...facts.query, every: "auto" }, condition: facts.condition, unit: facts.unit });
  drawn.mark(facts.intervals);
  return {
    async again() {
      try {
        const where = new URL(address, location.href);
        where.searchParams.set("part", "chart");
        const answer = await fetch(where);
        if (answer.ok && !answer.redirected) drawn.mark((await answer.json()).intervals);
      } catch {
        // The next change brings it.
      }
    },
  };
}

const place = root.querySelector("[data-chart]");
const chart = place ? makeChart(place) : null;

// Settings ------------------------------------------------------------------------------------------------------------

if (tab === "settings") {
  const { AlertForm } = await import("./form.js");
  const facts = JSON.parse(document.querySelector("#alert-facts").textContent);
  const box = root.querySelector("[data-form]");
  let { revision } = facts;
  const save = Object.assign(document.createElement("button"), { className: "button primary", type: "button", textContent: "Save", disabled: true });
  const form = new AlertForm(box, facts, { actions: `${address}/actions`, locked: !facts.writes, changed: () => (save.disabled = false) });
  if (facts.writes) {
    const remove = Object.assign(document.createElement("button"), { className: "button quiet danger", type: "button", textContent: "Delete this alert…" });
    remove.dataset.sure = "Delete it with its history";
    const line = document.createElement("div");
    line.className = "form-actions split";
    line.append(save, remove);
    form.form.append(line);
    remove.addEventListener("click", async () => {
      if (!sure(remove)) return;
      try {
        await act(`${address}/actions/delete`);
        location.href = "/alerts?tab=rules";
      } catch (error) {
        complain(error);
      }
    });
    save.addEventListener("click", async () => {
      save.disabled = true;
      try {
        const made = await act(`${address}/actions/save`, { document: form.whole, revision });
        revision = made.revision;
        if (made.address !== address) location.href = `${made.address}?tab=settings`;
        else {
          toast("Saved.");
          head();
        }
      } catch (error) {
        save.disabled = false;
        form.mark(error.problems);
        form.form.querySelector('[aria-invalid="true"]')?.focus();
        if (!error.problems.length) complain(error);
      }
    });
    addEventListener("beforeunload", (event) => {
      if (!save.disabled) event.preventDefault();
    });
  }
}
