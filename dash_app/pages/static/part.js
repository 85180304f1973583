// A part of a page that the server fills and that is asked for anew when something has changed: at the page's own address
// with `part=1`. What somebody is at (a selection, an open window, a field that is written in) stays as it is meanwhile.

import { writeTimes } from "./ago.js";

const PAUSE = 1000;

/**
 * @param {HTMLElement} part is filled with what the address answers; is told `part:loaded` each time
 * @param {{address?: () => URL}} [options]
 * @returns {{refresh: (now?: boolean) => void}} `now`: somebody has done something and waits to see it
 */
export function livePart(part, { address = () => new URL(location.href) } = {}) {
  let asked = 0;
  let timer = 0;
  let loading = false;
  let again = false;

  function busy() {
    const selection = getSelection();
    const { activeElement: focused } = document;
    return Boolean(
      document.hidden || document.querySelector("dialog[open]") || part.querySelector("details.rail-menu[open], [data-choose]:checked, [data-asked]")
      || (selection && !selection.isCollapsed && part.contains(selection.anchorNode))
      || (part.contains(focused) && focused.matches("input:not([type=checkbox], [type=radio]), textarea, select")),
    );
  }

  async function load(now) {
    timer = 0;
    if (loading) {
      again = true;
      return;
    }
    if (!now && busy()) {
      timer = setTimeout(load, PAUSE);
      return;
    }
    asked = Date.now();
    loading = true;
    try {
      const where = address();
      where.searchParams.set("part", "1");
      const answer = await fetch(where);
      if (answer.ok && !answer.redirected) {
        const next = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (now || !busy()) replace(next.body);
      }
    } catch {
      // The connection is away; the live channel says so, and its return brings the next refresh.
    }
    loading = false;
    if (again) {
      again = false;
      refresh();
    }
  }

  function replace(next) {
    if (part.innerHTML.trim() === next.innerHTML.trim()) return;
    // Details that are open stay so, and the focus stays where it was.
    const open = new Set([...part.querySelectorAll("details[open][data-key]")].map((each) => each.dataset.key));
    const scroll = part.querySelector(".table-scroll")?.scrollTop ?? 0;
    const focused = part.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    part.replaceChildren(...next.childNodes);
    for (const each of part.querySelectorAll("details[data-key]")) if (open.has(each.dataset.key)) each.open = true;
    const box = part.querySelector(".table-scroll");
    if (box) box.scrollTop = scroll;
    if (focused) part.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    writeTimes(part);
    part.dispatchEvent(new CustomEvent("part:loaded"));
  }

  function refresh(now = false) {
    if (timer && !now) return;
    clearTimeout(timer);
    if (now) load(true);
    else timer = setTimeout(load, Math.max(0, asked + PAUSE - Date.now()));
  }

  return { refresh };
}

/** The first press asks, the second within five seconds does it. */
export function sure(button) {
  if (!button.dataset.sure || button.dataset.asked) return true;
  const before = button.textContent;
  button.dataset.asked = "yes";
  button.textContent = button.dataset.sure;
  setTimeout(() => {
    delete button.dataset.asked;
    button.textContent = before;
  }, 5000);
  return false;
}
