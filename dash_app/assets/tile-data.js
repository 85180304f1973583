// The rows behind a picture, in a dialog over the page.

import { make } from "./elements.js";

/**
 * @param {HTMLElement} parent
 * @param {{title: string, frames: {name: string, frame: import("./frame.js").Frame}[], table: Function, tile: object, context: object,
 *   download: (frame: import("./frame.js").Frame, name: string) => void}} shown
 */
export function showData(parent, { title, frames, table, tile, context, download }) {
  const dialog = make("dialog", "data-dialog", parent);
  dialog.setAttribute("aria-label", title || "Data");
  const head = make("header", "tile-head", dialog);
  make("h3", "", head, title || "Data");
  const count = make("span", "tile-unit", head);
  make("span", "grow", head);
  const body = make("div", "data-body", dialog);
  let drawn = null;
  let chosen = frames[0];

  function show(which) {
    chosen = which;
    const rows = which.frame.data[0]?.length ?? 0;
    count.textContent = `${rows.toLocaleString()} ${rows === 1 ? "row" : "rows"}`;
    drawn?.dispose();
    drawn = null;
    body.replaceChildren();
    if (!rows) make("p", "empty", body, "No rows in this range.");
    else {
      const plain = { ...tile, kind: "table", query: which.query, options: { unit: tile.options?.unit, pageSize: 200 } };
      drawn = table(body, plain, context);
      // Nothing here is asked of the server again: these are the rows of the picture.
      drawn.draw(which.frame, { ...context, tile: plain, ask: undefined, filter: undefined });
    }
  }

  if (frames.length > 1) {
    const pick = make("select", "small", head);
    pick.setAttribute("aria-label", "Query");
    frames.forEach((each, i) => {
      const option = make("option", "", pick, each.name || `Query ${i + 1}`);
      option.value = String(i);
    });
    pick.addEventListener("change", () => show(frames[Number(pick.value)]));
  }
  const save = make("button", "button small", head, "Download CSV");
  save.type = "button";
  save.addEventListener("click", () => download(drawn?.shown() ?? chosen.frame, chosen.name));
  const close = make("button", "button small", head, "Close");
  close.type = "button";
  close.addEventListener("click", () => dialog.close());
  show(chosen);
  dialog.addEventListener("close", () => {
    drawn?.dispose();
    dialog.remove();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.showModal();
}
