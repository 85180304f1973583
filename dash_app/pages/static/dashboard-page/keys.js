// The dashboard page's keys, and what Escape and the arrows do while one tile fills the page.

import { step } from "../range.js";
import { shortcuts } from "../page.js";

/** What Escape closes by itself, before it may leave full screen or kiosk mode. */
const OPEN = "dialog[open], details.tile-menu[open], details.drop[open], details.rail-menu[open], .point-menu, .drawer-is-open";

/**
 * @param {import("../dashboard.js").DashboardView} view
 * @param {{edit: string | null, compare: {open: () => void}, kiosk: {set: (on: boolean) => void, toggle: () => void, on: () => boolean}}} page
 */
export function dashboardKeys(view, { edit, compare, kiosk }) {
  const move = (direction) => view.setRange(step(view.state.range, direction, Date.now(), view.zone));

  function full() {
    const tile = view.grid.pointed();
    if (view.state.tile) view.set({ tile: null });
    else if (tile) view.set({ tile: String(tile.tile.id) });
  }

  /** The tile before or behind the one that fills the page. */
  function turn(by) {
    const order = view.grid.order();
    const at = order.indexOf(view.state.tile);
    if (at >= 0) view.set({ tile: order[(at + by + order.length) % order.length] }, { replace: true });
  }

  shortcuts("This dashboard", [
    ...(edit ? [{ key: "e", text: "Edit", act: () => (location.href = edit) }] : []),
    { key: "t", text: "Choose the time range", act: () => view.control.openRange() },
    { key: "[", text: "Earlier by one range", act: () => move(-1) },
    { key: "]", text: "Later by one range", act: () => move(1) },
    { key: "z", text: "Zoom out", act: () => view.zoomOut() },
    { key: "l", text: "Live, or hold still", act: () => view.setLive(view.state.refresh === "off") },
    { key: "c", text: "Compare with an earlier time", act: () => compare.open() },
    { key: "v", text: "Choose variables", act: () => view.choices.open() },
    { key: "f", text: "Full screen of the tile under the pointer", act: full },
    { key: "← →", text: "In full screen: the tile before, the next" },
    { key: "k", text: "Kiosk mode", act: () => kiosk.toggle() },
  ]);

  // Before those that close something: they would have closed it by the time we ask whether it is open.
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector(OPEN)) {
      if (view.state.tile) view.set({ tile: null });
      else if (kiosk.on()) kiosk.set(false);
    } else if (view.state.tile && (event.key === "ArrowLeft" || event.key === "ArrowRight") && !event.ctrlKey && !event.altKey && !event.metaKey) {
      const typing = event.composedPath().some((each) => each instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(each.tagName));
      if (!typing && !document.querySelector(OPEN)) turn(event.key === "ArrowLeft" ? -1 : 1);
    }
  }, { capture: true });
}
