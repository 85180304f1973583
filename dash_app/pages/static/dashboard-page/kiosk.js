// Kiosk mode: the dashboard alone, for a screen on a wall. With `rotate=b,c&every=30s` in the address it goes on to the
// next dashboard, and round again.

import { beatLength } from "../dashboard/state.js";

const EVERY = "30s";

/** What an address says of it. @returns {{on: boolean, rotate: string[], every: number}} `every` in ms */
export function readKiosk(search) {
  const asked = new URLSearchParams(search);
  const rotate = (asked.get("rotate") ?? "").split(",").map((uid) => uid.trim()).filter((uid) => /^[\w-]{1,100}$/.test(uid));
  return { on: asked.get("kiosk") === "1", rotate, every: beatLength(asked.get("every")) ?? beatLength(EVERY) };
}

/** Where a rotation goes on to: the first of the list, with this one behind the others. */
export function nextAddress(uid, search) {
  const asked = new URLSearchParams(search);
  const { rotate } = readKiosk(search);
  if (!rotate.length) return null;
  const next = new URLSearchParams({ kiosk: "1", rotate: [...rotate.slice(1), uid].join(",") });
  for (const kept of ["every", "tz"]) if (asked.get(kept)) next.set(kept, asked.get(kept));
  return `/dashboards/${rotate[0]}?${next.toString().replaceAll("%2C", ",").replaceAll("%2F", "/")}`;
}

/** @param {string} uid of the dashboard that is shown @returns {{set: (on: boolean) => void, toggle: () => void, on: () => boolean}} */
export function kioskMode(uid) {
  const root = document.documentElement;
  let timer = 0, awake = null;

  async function goOn() {
    const next = nextAddress(uid, location.search);
    if (!next) return;
    // A server that is away would leave an error page on the wall for ever: stay until it is back. One that was deleted
    // or is not ours to see is left out of the round.
    const answer = document.hidden ? null : await fetch(`${next}&format=json`, { headers: { Accept: "application/json" } }).catch(() => null);
    if (answer?.ok) location.replace(next);
    else if (answer?.status === 404) {
      const address = new URL(location.href);
      const rest = readKiosk(location.search).rotate.slice(1);
      if (rest.length) address.searchParams.set("rotate", rest.join(","));
      else address.searchParams.delete("rotate");
      history.replaceState(history.state, "", address);
      plan();
    } else plan();
  }

  function plan() {
    clearTimeout(timer);
    const { on, rotate, every } = readKiosk(location.search);
    if (on && rotate.length) timer = setTimeout(goOn, every);
  }

  async function stayAwake(wanted) {
    try {
      if (wanted) awake = await navigator.wakeLock?.request("screen");
      else await awake?.release();
    } catch {
      // Refused where the tab is hidden or the battery low; the screen then sleeps as it always does.
    }
  }

  function apply() {
    const { on } = readKiosk(location.search);
    root.classList.toggle("kiosk", on);
    stayAwake(on);
    plan();
  }

  function set(on) {
    const address = new URL(location.href);
    if (on) address.searchParams.set("kiosk", "1");
    else for (const name of ["kiosk", "rotate", "every"]) address.searchParams.delete(name);
    history.pushState(history.state, "", address);
    apply();
  }

  addEventListener("popstate", apply);
  // The lock ends when the tab is hidden.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && root.classList.contains("kiosk")) stayAwake(true);
  });
  apply();
  const on = () => root.classList.contains("kiosk");
  return { set, on, toggle: () => set(!on()) };
}
