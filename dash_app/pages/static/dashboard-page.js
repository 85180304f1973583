// A dashboard's page: the document comes with the page, the data over the live channel.

import { mountDashboard } from "./dashboard.js";

const definition = JSON.parse(document.querySelector("#dashboard-document").textContent);
mountDashboard(document.querySelector("#dashboard"), definition, {
  liveUrl: "/live",
  timezone: definition.timezone,
  toolbar: document.querySelector("#toolbar"),
});
