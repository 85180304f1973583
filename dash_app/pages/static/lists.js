// The live table of pipelines, on the first page and on its own, with the totals above it.

import { formatNumber } from "./format.js";
import { mountPipelines } from "./live-list.js";
import { liveClient, showConnection } from "./live.js";

/** A pipeline's page: by its slug, or by its id where another page has that name. */
const href = ({ id, slug }) => `/pipelines/${encodeURIComponent(slug === "new" ? id : slug)}`;

const table = document.querySelector("[data-pipelines]");
if (table) {
  const empty = document.querySelector("template[data-empty]")?.content.firstElementChild?.cloneNode(true);
  mountPipelines(table, { liveUrl: "/live", href, empty });
  const client = liveClient("/live");
  const connection = document.querySelector("[data-connection]");
  if (connection) showConnection(client, connection);
  const totals = [...document.querySelectorAll("[data-total]")];
  if (totals.length) {
    client.subscribe({ kind: "pipelines" }, (message) => {
      if (message.kind === "error") return;
      for (const total of totals) {
        const at = message.columns.findIndex((column) => column.name === total.dataset.total);
        const known = (message.data[at] ?? []).filter((value) => value !== null);
        total.textContent = known.length ? formatNumber(known.reduce((sum, value) => sum + value, 0), { figures: 3 }) : "–";
      }
    });
  }
}
