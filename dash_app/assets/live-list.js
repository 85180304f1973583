// Two live lists outside dashboards: the pipelines with their rates and health, and a pipeline's last records.

import { tickTimes } from "./ago.js";
import { formatFullTime, formatNumber, knownZone, NONE } from "./format.js";
import { FrameStore } from "./frame.js";
import { liveClient } from "./live.js";
import { adoptStyles } from "./styles.js";
import { Tile } from "./tile.js";

const HEALTH = { ok: "Healthy", waiting: "Waiting for data", paused: "Paused", failing: "Failing", rejects: "Has rejects" };

function make(tag, className, parent, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

/** A health word as a badge; an unknown word is shown as it is, in grey. */
export function healthBadge(health) {
  const known = Object.hasOwn(HEALTH, health);
  return make("span", known ? `badge ${health}` : "badge", null, known ? HEALTH[health] : String(health ?? NONE));
}

function number(parent, value, options) {
  const cell = make("td", "num", parent, value == null ? NONE : formatNumber(value, options));
  if (value == null || value === 0) cell.classList.add("none");
  return cell;
}

/**
 * The table of pipelines, kept current.
 * @param {HTMLElement} element must be in the page; is emptied at the first frame (so a page may fill it before)
 * @param {{liveUrl: string, href?: (pipeline: {id: string, slug: string}) => string, timezone?: string, empty?: HTMLElement}} options
 *   href: address of a pipeline's page; empty: what to show when there is none
 * @returns {{destroy: () => void}}
 */
export function mountPipelines(element, { liveUrl, href = ({ slug }) => `pipelines/${encodeURIComponent(slug)}`, timezone, empty }) {
  adoptStyles(element);
  const zone = knownZone(timezone);
  const store = new FrameStore();
  const known = new Map();
  let body = null;
  let frameRequest = 0;
  if (!element.firstElementChild) skeleton(element);

  function draw() {
    frameRequest = 0;
    const frame = store.frame();
    const rows = frame.data.length ? frame.data[0].map((_, r) => Object.fromEntries(frame.columns.map((column, c) => [column.name, frame.data[c][r]]))) : [];
    if (!rows.length) {
      body = null;
      known.clear();
      const nothing = make("div", "empty");
      make("h3", "", nothing, "No pipelines yet");
      element.replaceChildren(empty ?? nothing);
      return;
    }
    if (!body) {
      const scroll = make("div", "table-scroll");
      const table = make("table", "table", scroll);
      const head = make("tr", "", make("thead", "", table));
      for (const [text, className] of [["Name", ""], ["Health", ""], ["Records/s", "num"], ["Last received", ""], ["Pending", "num"], ["Rejects", "num"]]) make("th", className, head, text).scope = "col";
      body = make("tbody", "", table);
      element.replaceChildren(scroll);
    }
    const kept = new Set();
    rows.forEach((row, at) => {
      kept.add(row.id);
      const text = JSON.stringify(row);
      let entry = known.get(row.id);
      if (entry?.text !== text) {
        const line = entry?.line ?? make("tr");
        line.replaceChildren();
        const name = make("a", "", make("td", "", line), row.name ?? row.slug);
        name.href = href(row);
        make("td", "", line).append(healthBadge(row.health ?? row.state));
        number(line, row.rate, { decimals: 1, compact: true });
        const when = make("td", "", line);
        if (row.last_received == null) {
          when.className = "none";
          when.textContent = "Never";
        } else {
          const time = make("time", "", when);
          time.dataset.ago = String(row.last_received);
          time.title = formatFullTime(row.last_received, { zone });
        }
        number(line, row.pending);
        number(line, row.rejects);
        entry = { line, text };
        known.set(row.id, entry);
      }
      if (body.children[at] !== entry.line) body.insertBefore(entry.line, body.children[at] ?? null);
    });
    for (const [id, { line }] of known) {
      if (kept.has(id)) continue;
      line.remove();
      known.delete(id);
    }
    stopTicking();
    stopTicking = tickTimes(element);
  }

  let stopTicking = () => {};
  const subscription = liveClient(liveUrl).subscribe({ kind: "pipelines" }, (message) => {
    if (message.kind === "error") {
      const problem = make("div", "problem");
      make("strong", "", problem, message.title ?? "The list could not be read");
      if (message.detail) make("p", "", problem, message.detail);
      body = null;
      known.clear();
      element.replaceChildren(problem);
      return;
    }
    // Each frame holds all rows: what is no longer in it is gone.
    store.apply({ ...message, kind: "snapshot" });
    frameRequest ||= requestAnimationFrame(draw);
  });
  return {
    destroy() {
      subscription.close();
      stopTicking();
      cancelAnimationFrame(frameRequest);
      element.replaceChildren();
    },
  };
}

function skeleton(element) {
  const box = make("div", "card-body stack", element);
  for (const width of ["92%", "78%", "86%"]) make("span", "skeleton", box).style.width = width;
}

/**
 * A pipeline's last records, newest first, kept current.
 * @param {HTMLElement} element must be in the page and have a height (or take `max-height` from the page)
 * @param {{liveUrl: string, pipeline: string, limit?: number, timezone?: string, lineage?: object, title?: string}} options
 * @returns {{destroy: () => void}}
 */
export function mountRecords(element, { liveUrl, pipeline, limit = 100, timezone, lineage, title = `Last ${limit} records` }) {
  const tile = { kind: "table", request: "records", title, query: { pipeline, limit } };
  const mounted = new Tile(element, tile, { live: liveClient(liveUrl), range: null, timezone, lineage });
  return { destroy: () => mounted.destroy() };
}
