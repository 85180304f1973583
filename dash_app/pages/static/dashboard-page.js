// A dashboard's page: the document comes with the page, the data over the live channel.

import { mountDashboard } from "./dashboard.js";
import { lineage } from "./lineage.js";

const definition = JSON.parse(document.querySelector("#dashboard-document").textContent);
mountDashboard(document.querySelector("#dashboard"), definition, {
  liveUrl: "/live",
  timezone: definition.timezone,
  toolbar: document.querySelector("#toolbar"),
  lineage,
});

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
