// The rail's count of what fires, on every page, over the tab's one socket. Whatever else on the page shows alerts hears
// of changes from here: `alerts:changed` on the document, with the rows of the live view.

import { liveClient } from "./live.js";

const badge = document.querySelector("[data-firing]");
/** Whether a frame has come: the first one says what the page already shows. */
let known = null;

function rowsOf(message) {
  const names = message.columns.map((column) => column.name);
  return (message.data[0] ?? []).map((_, r) => Object.fromEntries(names.map((name, c) => [name, message.data[c][r]])));
}

if (badge) {
  liveClient("/live").subscribe({ kind: "alerts" }, (message) => {
    if (message.kind === "error") return;
    const rows = rowsOf(message);
    const firing = rows.filter((row) => row.state === "firing").length;
    badge.hidden = !firing;
    badge.textContent = firing > 99 ? "99+" : String(firing);
    badge.setAttribute("aria-label", `${firing} firing`);
    const next = JSON.stringify(message.data);
    if (next !== known) document.dispatchEvent(new CustomEvent("alerts:changed", { detail: { rows, first: known === null } }));
    known = next;
  });
}
