// Links to what is shown: one that moves with the clock, one that shows later exactly what is shown now.

import { dropdown } from "../dashboard/dropdown.js";
import { writeState } from "../dashboard/state.js";
import { make } from "../elements.js";
import { pinned } from "../range-text.js";
import { toast } from "../shell.js";

/** Copy, or where the clipboard is out of reach (it needs https or localhost) show the text to be copied by hand. */
export async function copyText(text, said) {
  try {
    await navigator.clipboard.writeText(text);
    toast(said);
  } catch {
    const box = make("dialog", "keys", document.body);
    box.setAttribute("aria-label", "Copy by hand");
    make("h2", "", box, "Copy this link");
    const field = make("input", "input link-field", box);
    field.readOnly = true;
    field.value = text;
    field.setAttribute("aria-label", "Link");
    const form = make("form", "", box);
    form.method = "dialog";
    make("button", "button", form, "Close");
    box.addEventListener("close", () => box.remove());
    box.showModal();
    field.select();
  }
}

/** The address of what is shown, with the range as two instants where `exact`. */
export function linkTo(view, { exact = false, tile = view.state.tile } = {}) {
  const range = exact ? pinned(view.state.range, view.zone) : view.state.range;
  const address = writeState(new URL(location.href), { ...view.state, range, tile }, view.definition);
  if (!exact) {
    // Whoever follows it later sees the range that was chosen here, also when the dashboard's own has changed.
    address.searchParams.set("from", range.from);
    address.searchParams.set("to", range.to);
  }
  address.hash = "";
  return address.href.replaceAll("%3A", ":").replaceAll("%2F", "/");
}

/** @param {import("../dashboard.js").DashboardView} view @param {{kiosk: () => void, versions: string, report?: string}} more addresses; `report`: where one is made of this dashboard */
export function shareMenu(view, { kiosk, versions, report }) {
  return dropdown({
    className: "share", label: "Share and more",
    items: () => [
      { text: "Copy link", act: () => copyText(linkTo(view), "Link copied") },
      { text: "Copy link to exactly this time", act: () => copyText(linkTo(view, { exact: true }), "Link to this time copied") },
      ...(view.state.tile ? [{ text: "Copy link to the whole dashboard", act: () => copyText(linkTo(view, { tile: null }), "Link copied") }] : []),
      null,
      { text: "Kiosk mode", act: kiosk },
      ...(report ? [{ text: "Schedule report…", href: report }] : []),
      { text: "Versions", href: versions },
    ],
  });
}
