// A dashboard document on a page: the grid of tiles, one range for all of them, kept in the address, and a pointer that is
// in all charts at once. It needs no framework; a Panel component and a plain page call the same functions.

import { knownZone } from "./format.js";
import { liveClient, showConnection } from "./live.js";
import { rangeControl } from "./range-control.js";
import { absolute, isRelative, normalise, resolveRange } from "./range.js";
import { adoptStyles } from "./styles.js";
import { Tile } from "./tile.js";

const DEFAULT_RANGE = { from: "now-24h", to: "now" };

/** The range the address asks for, or null. */
function rangeInAddress() {
  const asked = new URLSearchParams(location.search);
  if (!asked.has("from") || !asked.has("to")) return null;
  const range = normalise({ from: asked.get("from"), to: asked.get("to") });
  return resolveRange(range) ? range : null;
}

const pausedInAddress = () => new URLSearchParams(location.search).get("live") === "off";

function writeAddress(range, live, replace) {
  const url = new URL(location.href);
  url.searchParams.set("from", range.from);
  url.searchParams.set("to", range.to);
  if (live) url.searchParams.delete("live");
  else url.searchParams.set("live", "off");
  history[replace ? "replaceState" : "pushState"](history.state, "", url);
}

/**
 * Mount a dashboard.
 * @param {HTMLElement} element must be in the page; is emptied
 * @param {{title?: string, time?: {from: string, to: string}, refresh?: string, tiles: object[]}} definition the dashboard's document
 * @param {{liveUrl?: string, timezone?: string, toolbar?: HTMLElement, address?: boolean, controls?: boolean, lineage?: object}} [options]
 *   liveUrl: address of the live channel (absent: nothing moves, tiles wait for `tile(id).receive`);
 *   timezone: IANA name, default the browser's; toolbar: where the range control goes (default: above the tiles);
 *   address: keep range and live state in the address (default true); controls: show the range control (default true);
 *   lineage: of lineage.js, where rows and points are to lead to their records and payloads
 * @returns {{destroy: () => void, setRange: (range: {from: string, to: string}) => void, setLive: (live: boolean) => void,
 *   range: () => {from: string, to: string}, tile: (id: string | number) => Tile | undefined}}
 */
export function mountDashboard(element, definition, { liveUrl, timezone, toolbar, address = true, controls = true, lineage } = {}) {
  adoptStyles(element);
  const zone = knownZone(timezone);
  const client = liveUrl ? liveClient(liveUrl) : null;
  let range = (address && rangeInAddress()) || normalise(definition.time ?? DEFAULT_RANGE);
  let live = !(address && pausedInAddress()) && definition.refresh !== "off";
  const before = []; // ranges to go back to on double click

  element.classList.add("dashboard");
  element.replaceChildren();
  const bar = document.createElement("div");
  bar.className = "dashboard-bar";
  const connection = document.createElement("span");
  const control = rangeControl({ zone, onRange: (next) => setRange(next), onLive: (next) => setLive(next) });
  if (controls) {
    bar.append(connection, control.element);
    (toolbar ?? element).append(bar);
  }
  const stopConnection = client && controls ? showConnection(client, connection) : () => {};
  const grid = document.createElement("div");
  grid.className = "tile-grid";
  element.append(grid);

  /** @type {Map<string, Tile>} */
  const tiles = new Map();
  let pointed = null;
  let pointing = 0;
  const hover = (at, source) => {
    pointed = { at, source };
    pointing ||= requestAnimationFrame(() => {
      pointing = 0;
      for (const each of tiles.values()) each.hover(pointed.at, each === pointed.source);
    });
  };
  const zoom = (from, to) => {
    before.push(range);
    apply(absolute(from, to), live);
  };
  const zoomOut = () => {
    const last = before.pop();
    if (last) apply(last, live);
  };

  // In reading order, so that the phone's single column and the keyboard follow the eye.
  const placed = [...(definition.tiles ?? [])].sort((a, b) => (a.gridPos?.y ?? 0) - (b.gridPos?.y ?? 0) || (a.gridPos?.x ?? 0) - (b.gridPos?.x ?? 0));
  /** A tile may have a range of its own; one that somebody has zoomed to is everybody's. */
  function reachOf(tile) {
    return tile.time && isRelative(range) ? normalise(tile.time) : range;
  }

  for (const tile of placed) {
    const box = document.createElement("section");
    const { x = 0, y, w = 12, h = 6 } = tile.gridPos ?? {};
    const left = Math.min(11, Math.max(0, Math.trunc(x)));
    box.style.setProperty("--column", `${left + 1} / span ${Math.min(12 - left, Math.max(1, Math.trunc(w)))}`);
    box.style.setProperty("--line", `${y === undefined ? "auto" : Math.max(0, Math.trunc(y)) + 1} / span ${Math.max(1, Math.trunc(h))}`);
    box.style.setProperty("--height", String(Math.max(1, Math.trunc(h))));
    grid.append(box);
    tiles.set(String(tile.id), new Tile(box, tile, { live: client, range: reachOf(tile), timezone, paused: !live, zoom, zoomOut, hover, lineage }));
  }
  if (!placed.length) {
    const empty = document.createElement("div");
    empty.className = "empty";
    const head = document.createElement("h3");
    head.textContent = "No tiles yet";
    const text = document.createElement("p");
    text.textContent = "Tiles that are added to this dashboard appear here.";
    empty.append(head, text);
    grid.replaceWith(empty);
  }

  function apply(next, nextLive, write = true) {
    const moved = next.from !== range.from || next.to !== range.to;
    const toggled = nextLive !== live;
    if (!moved && !toggled) return;
    range = next;
    live = nextLive;
    if (write && address) writeAddress(range, live, !moved);
    control.show(range, live);
    for (const tile of tiles.values()) {
      if (moved) {
        tile.context.paused = !live;
        tile.setRange(reachOf(tile.tile));
      } else tile.setPaused(!live);
    }
  }

  function setRange(next) {
    const read = normalise(next);
    if (!resolveRange(read)) throw new RangeError(`Not a time range: ${next.from} to ${next.to}`);
    before.length = 0;
    apply(read, live);
  }

  function setLive(next) {
    apply(range, next);
  }

  const onPop = () => {
    before.length = 0;
    apply(rangeInAddress() ?? normalise(definition.time ?? DEFAULT_RANGE), !pausedInAddress() && definition.refresh !== "off", false);
  };
  if (address) addEventListener("popstate", onPop);
  control.show(range, live);

  return {
    setRange,
    setLive,
    range: () => range,
    tile: (id) => tiles.get(String(id)),
    destroy() {
      removeEventListener("popstate", onPop);
      cancelAnimationFrame(pointing);
      for (const tile of tiles.values()) tile.destroy();
      tiles.clear();
      stopConnection();
      control.destroy();
      bar.remove();
      element.replaceChildren();
      element.classList.remove("dashboard");
    },
  };
}

/**
 * Mount one tile alone, without a range control.
 * @param {HTMLElement} element must be in the page and have a height
 * @param {object} tile the tile's document
 * @param {{liveUrl?: string, timezone?: string, range?: {from: string, to: string}, frame?: object}} [options]
 *   frame: a first frame to draw at once (a snapshot message), for pages that have it already
 * @returns {{destroy: () => void, setRange: (range: {from: string, to: string}) => void, receive: (message: object) => void}}
 */
export function mountTile(element, tile, { liveUrl, timezone, range = DEFAULT_RANGE, frame, lineage } = {}) {
  const mounted = new Tile(element, tile, { live: liveUrl ? liveClient(liveUrl) : null, range: normalise(range), timezone, lineage });
  if (frame) mounted.receive({ kind: "snapshot", ...frame });
  return {
    setRange: (next) => mounted.setRange(normalise(next)),
    receive: (message) => mounted.receive(message),
    destroy: () => mounted.destroy(),
  };
}
