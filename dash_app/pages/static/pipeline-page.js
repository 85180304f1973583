// A pipeline's page: its state, which is changed at once and can be taken back; its records, live; and the other parts,
// asked for anew when the counts say that something came.

import { mountTile } from "./dashboard.js";
import { formatNumber } from "./format.js";
import { lineage } from "./lineage.js";
import { healthBadge, mountRecords } from "./live-list.js";
import { liveClient, showConnection } from "./live.js";
import { act, complain } from "./page.js";
import { toast } from "./shell.js";
import { writeTimes } from "./ago.js";

const REFRESH_EVERY = 2000;

const root = document.querySelector("#pipeline");
const { address, id, slug, name, tab } = root.dataset;
const client = liveClient("/live");
showConnection(client, document.querySelector("[data-connection]"));

// State -----------------------------------------------------------------------------------------------------------

const ICONS = { pause: "M5.5 3.5v9M10.5 3.5v9", play: "M4.5 3l8 5-8 5z" };
const toggle = document.querySelector("[data-toggle-state]");
let state = root.dataset.state;

function drawState() {
  if (!toggle) return;
  const paused = state === "paused";
  toggle.hidden = false;
  toggle.innerHTML = `<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="${paused ? ICONS.play : ICONS.pause}"/></svg>`;
  toggle.append(paused ? "Resume" : "Pause");
}

function drawHealth(health) {
  const badge = document.querySelector("[data-health]");
  if (!badge || badge.classList.contains(health)) return;
  const next = healthBadge(health);
  next.dataset.health = "";
  badge.replaceWith(next);
}

async function setState(next, undoable = true) {
  const before = state;
  state = next;
  drawState();
  drawHealth(next === "paused" ? "paused" : "waiting");
  try {
    await act(`${address}/actions/${next === "paused" ? "pause" : "resume"}`);
    if (undoable) toast(next === "paused" ? `${name} is paused. What is sent to it is held.` : `${name} goes on where it was.`, { undo: () => setState(before, false) });
    refresh(true);
  } catch (error) {
    state = before;
    drawState();
    drawHealth(before === "paused" ? "paused" : "ok");
    complain(error);
  }
}

drawState();
toggle?.addEventListener("click", () => setState(state === "paused" ? "active" : "paused"));

// Actions ---------------------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-act]") : null;
  if (!button) return;
  button.disabled = true;
  try {
    const answer = await act(`${address}/actions/${button.dataset.act}`, button.dataset.body ? JSON.parse(button.dataset.body) : {});
    if (answer.refresh) refresh(true);
    if (answer.address) location.href = answer.address;
  } catch (error) {
    button.disabled = false;
    complain(error);
  }
});

document.addEventListener("change", async (event) => {
  const select = event.target instanceof Element ? event.target.closest("[data-drift-policy]") : null;
  if (!select) return;
  try {
    await act(`${address}/actions/policy`, { policy: select.value });
    toast(`New fields and changed types ${select.selectedOptions[0].textContent.trim()}.`);
  } catch (error) {
    complain(error);
  }
  refresh(true);
});

// What came -------------------------------------------------------------------------------------------------------

const part = root.querySelector("[data-part]");
/** Somebody has a list of choices open, as far as a page can tell: from a press or a key on it until a choice or its end. */
let choosing = null;
for (const kind of ["pointerdown", "keydown"]) {
  part.addEventListener(kind, ({ target, key }) => {
    const select = target instanceof Element ? target.closest("select") : null;
    if (select && key !== "Tab") choosing = key === "Escape" ? null : select;
  });
}
for (const kind of ["change", "focusout"]) part.addEventListener(kind, () => (choosing = null));

/** Somebody chooses, types or has a window open: what they are at must stay. */
const busy = () => Boolean(choosing?.isConnected) || Boolean(part.querySelector("dialog[open], [data-choose]:checked")) || (document.activeElement instanceof HTMLInputElement && document.activeElement.type !== "checkbox" && part.contains(document.activeElement));
/** What the counts were when the part was asked for; at first as the page was made. */
let counts = JSON.stringify(JSON.parse(root.dataset.counts));
let asked = 0;
let timer = 0;

/** Ask for this tab's part anew, not oftener than every two seconds and not behind somebody's selection or open menu. */
function refresh(now = false) {
  const refreshes = tab === "overview" || part.querySelector("[data-refresh]");
  if (!refreshes) return;
  if (timer && !now) return;
  clearTimeout(timer);
  timer = setTimeout(load, now ? 0 : Math.max(0, asked + REFRESH_EVERY - Date.now()));
}

async function load() {
  timer = 0;
  asked = Date.now();
  const selection = getSelection();
  if (document.hidden || (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) || busy()) {
    timer = setTimeout(load, REFRESH_EVERY);
    return;
  }
  try {
    const where = new URL(location.href);
    where.searchParams.set("part", "1");
    const answer = await fetch(where);
    if (!answer.ok || answer.redirected || busy()) return;
    const next = document.createElement("div");
    next.innerHTML = await answer.text();
    const scroll = part.querySelector(".table-scroll")?.scrollTop ?? 0;
    const rate = part.querySelector("[data-rate]")?.textContent;
    const held = document.activeElement instanceof HTMLSelectElement && part.contains(document.activeElement) ? document.activeElement.name : null;
    part.replaceChildren(...next.childNodes);
    if (held) part.querySelector(`select[name="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
    const box = part.querySelector(".table-scroll");
    if (box) box.scrollTop = scroll;
    if (rate && part.querySelector("[data-rate]")) part.querySelector("[data-rate]").textContent = rate;
    writeTimes(part);
    part.dispatchEvent(new CustomEvent("part:loaded"));
  } catch {
    // The connection is away; the live channel says so, and its return brings the next refresh.
  }
}

client.subscribe({ kind: "pipelines" }, (message) => {
  if (message.kind === "error") return;
  const column = (wanted) => message.data[message.columns.findIndex((each) => each.name === wanted)] ?? [];
  const at = column("id").indexOf(id);
  if (at < 0) return;
  const here = Object.fromEntries(message.columns.map((each, c) => [each.name, message.data[c][at]]));
  drawHealth(here.health);
  if (here.state !== state) {
    state = here.state;
    drawState();
  }
  const rate = document.querySelector("[data-rate]");
  if (rate) rate.textContent = here.rate === null ? "–" : formatNumber(here.rate, { figures: 3 });
  const propose = document.querySelector('[data-act="dashboard"][data-waits]');
  if (propose && here.records) {
    delete propose.dataset.waits;
    propose.disabled = false;
    propose.title = "";
  }
  const seen = JSON.stringify([here.records, here.rejects, here.pending, here.last_received, here.state, here.name]);
  // What is being mapped again may end with the counts that it began with.
  if (seen !== counts || part.querySelector("[data-busy]")) refresh();
  counts = seen;
});
part.addEventListener("part:refresh", () => refresh(true));
if (tab === "runs") setInterval(() => refresh(), 5000);

const records = root.querySelector("[data-records]");
if (records) mountRecords(records, { liveUrl: "/live", pipeline: slug, lineage });
const behind = root.querySelector("[data-behind]");
if (behind) {
  const { query, from, to, title } = JSON.parse(behind.dataset.behind);
  mountTile(behind, { kind: "table", title, query }, { liveUrl: "/live", range: { from, to }, lineage });
}
