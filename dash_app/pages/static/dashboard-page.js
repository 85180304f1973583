// A dashboard's page: the document comes with the page, the data over the live channel. Here the dashboard gets what only
// its own page has: links, comparison, annotations, sharing, people, full screen, kiosk mode and keys.

import { mountDashboard } from "./dashboard.js";
import { annotations } from "./dashboard-page/annotate.js";
import { dropdown } from "./dashboard/dropdown.js";
import { dashboardKeys } from "./dashboard-page/keys.js";
import { kioskMode } from "./dashboard-page/kiosk.js";
import { people } from "./dashboard-page/people.js";
import { shareMenu } from "./dashboard-page/share.js";
import { make, write } from "./elements.js";
import { interpolate, linksOf } from "./interpolate.js";
import { lineage } from "./lineage.js";
import { act, complain } from "./page.js";
import { resolveRange, SHIFTS } from "./range.js";
import { toast } from "./shell.js";
import { comparesWith, WITHOUT_QUERY } from "./tiles.js";

const read = (id) => JSON.parse(document.querySelector(id).textContent);
const place = (id) => document.querySelector(id);
const facts = read("#dashboard-facts");
const ask = (action, body) => act(`/dashboards/${encodeURIComponent(facts.uid)}/actions/${action}`, body);
const edit = facts.writes ? `/dashboards/${encodeURIComponent(facts.uid)}/edit` : null;
const definition = read("#dashboard-document");

/** Whether a tile shows an aggregate of a pipeline, which a rule can watch. */
function canBeWatched(tile) {
  const query = tile.query ?? tile.queries?.[0];
  if (!query?.pipeline || query.pipeline.startsWith("$") || tile.id == null) return false;
  return Boolean(query.every || query.by?.length || query.select?.some((one) => one.agg));
}

let notes = null;
const view = mountDashboard(place("#dashboard"), definition, {
  liveUrl: "/live",
  uid: facts.uid,
  timezone: definition.timezone || facts.timezone || undefined,
  zoneWords: definition.timezone ? "This dashboard’s" : "Mine",
  toolbar: place("#toolbar"),
  add: edit ? { text: "Add tiles", href: edit } : undefined,
  keepZone: (timezone) => ask("zone", { timezone }).then(() => toast(`${timezone} is your zone now, on dashboards that name none.`), complain),
  lineage,
  tile: {
    annotate: facts.writes ? (from, to, tile) => notes.annotate(from, to, tile) : undefined,
    menu: facts.alerts ? ({ tile }) => (canBeWatched(tile) ? [{ text: "Create alert…", href: `/alerts/new?${new URLSearchParams({ dashboard: facts.uid, tile: String(tile.id) })}` }] : []) : undefined,
  },
});
window.dashboard = view;

// Tools beside the range -----------------------------------------------------------------------------------------------

const icon = (path) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 16 16", fill: "none", stroke: "currentColor", "stroke-width": "1.5", "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" })) svg.setAttribute(name, value);
  const line = document.createElementNS(svg.namespaceURI, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
};

/** Which tiles have nothing to show of an earlier time: what is no course, and shares of a whole. */
function notCompared() {
  const left = (view.definition.tiles ?? []).filter((tile) => !WITHOUT_QUERY.has(tile.kind) && comparesWith(tile, "1d") === null);
  const names = left.map((tile) => tile.title || tile.kind);
  return left.length ? [null, { note: `Not compared: ${names.slice(0, 3).join(", ")}${names.length > 3 ? ` and ${names.length - 3} more` : ""}` }] : [];
}

const compare = dropdown({
  className: "compare", label: "Compare with",
  items: () => [
    { text: "No comparison", act: () => view.set({ compare: null }), current: view.state.compare === null },
    ...SHIFTS.map(([shift, text]) => ({ text, act: () => view.set({ compare: shift }), current: view.state.compare === shift })),
    ...notCompared(),
  ],
});
const compared = make("span", "", compare.button);
const kiosk = kioskMode(facts.uid);
notes = annotations(view, { uid: facts.uid, writes: facts.writes });
notes.menu.button.classList.add("icon");
notes.menu.button.title = "Annotations";
notes.menu.button.append(icon("M4 14V2.500M4 3h8l-2 2.700L12 8.500H4"));
const share = shareMenu(view, { kiosk: () => kiosk.set(true), versions: `/dashboards/${encodeURIComponent(facts.uid)}/versions`, report: facts.reports ? `/reports?${new URLSearchParams({ dashboard: facts.uid })}` : undefined });
share.button.classList.add("icon");
share.button.title = "Share and more";
share.button.append(icon("M8 9.500v-7M5.200 5L8 2.200 10.800 5M4.500 7.500H3v6h10v-6h-1.500"));
place("#tools").append(compare.element, notes.menu.element, share.element);

const back = make("button", "button full-back", null, "All tiles");
back.type = "button";
back.title = "Back to all tiles (Esc)";
back.addEventListener("click", () => view.set({ tile: null }));
place("#tools").prepend(back);

// What the page says of the state ----------------------------------------------------------------------------------------

function say() {
  const { state, definition: shown } = view;
  // Not known yet: a place is kept for it, not its name.
  const variables = Object.fromEntries(Object.entries(view.variables.values()).map(([name, value]) => [name, value ?? "…"]));
  const shift = SHIFTS.find(([word]) => word === state.compare);
  write(compared, shift ? shift[1] : "Compare");
  compare.button.setAttribute("aria-label", shift ? `Compared with the ${shift[1].toLowerCase()}` : "Compare with");
  compare.button.dataset.on = String(Boolean(shift));
  back.hidden = !state.tile;
  const title = interpolate(shown.title ?? "", variables);
  document.title = `${title} · Dash`;
  const heading = document.querySelector(".title-line h1");
  write(heading, title);
  heading.title = title;
  const description = place("#description");
  write(description, interpolate(shown.description ?? "", variables));
  description.hidden = !shown.description || Boolean(state.tile);
  const range = resolveRange(state.range, Date.now(), view.zone);
  place("#links").replaceChildren(...linksOf(shown.links, { ...variables, __from: range?.from ?? "", __to: range?.to ?? "" }).map(({ text, href }) => {
    const link = make("a", "", null, text);
    link.href = href;
    return link;
  }));
}
for (const event of ["state", "document"]) view.addEventListener(event, say);
say();

// Others -------------------------------------------------------------------------------------------------------------------

async function takeOver(by) {
  const address = new URL(location.href);
  const asked = new URLSearchParams({ format: "json" });
  if (address.searchParams.get("mapping")) asked.set("mapping", address.searchParams.get("mapping"));
  try {
    const answer = await fetch(`/dashboards/${encodeURIComponent(facts.uid)}?${asked}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { document: next } = await answer.json();
    view.document(next);
    if (by) toast(`${by} saved this dashboard; this is how it is now.`, { seconds: 4 });
  } catch {
    // The connection is away; when it is back the channel tells of the revision once more.
  }
}

people(place("#people"), {
  live: view.client, uid: facts.uid, me: facts.me, revision: facts.revision, saved: takeOver,
  gone: () => {
    if (document.querySelector(".dashboard-gone")) return;
    const note = make("p", "notice dashboard-gone", null, "This dashboard was deleted. What is shown goes on as long as the page is open.");
    note.setAttribute("role", "status");
    place("#dashboard").before(note);
  },
});

const star = place("#star");
star.addEventListener("click", async () => {
  const on = star.getAttribute("aria-pressed") !== "true";
  star.setAttribute("aria-pressed", String(on));
  try {
    await ask(on ? "star" : "unstar");
  } catch (error) {
    star.setAttribute("aria-pressed", String(!on));
    complain(error);
  }
});

dashboardKeys(view, { edit, compare, kiosk });

// Another version of one pipeline, or today's: the range and the versions of the others stay as they are.
document.addEventListener("click", ({ target }) => {
  const link = target instanceof Element ? target.closest("a[data-as-of]") : null;
  if (!link) return;
  const [pipeline, version] = link.dataset.asOf.split(":");
  const address = new URL(location.href);
  const others = (address.searchParams.get("mapping") ?? "").split(",").filter((pair) => pair && pair.slice(0, pair.lastIndexOf(":")).trim() !== pipeline);
  const pairs = version ? [...others, `${pipeline}:${version}`] : others;
  if (pairs.length) address.searchParams.set("mapping", pairs.join(","));
  else address.searchParams.delete("mapping");
  link.href = address.href.replaceAll("%3A", ":").replaceAll("%2C", ",");
});
