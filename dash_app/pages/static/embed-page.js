// A dashboard in a frame. There is no log-in to go back to: when its time is over the picture stays, and says so.

import { mountDashboard } from "./dashboard.js";

const read = (id) => JSON.parse(document.querySelector(id).textContent);
const facts = read("#dashboard-facts");
const definition = read("#dashboard-document");

const view = mountDashboard(document.querySelector("#dashboard"), definition, {
  liveUrl: facts.live,
  uid: facts.uid,
  timezone: definition.timezone,
  toolbar: document.querySelector("#toolbar"),
  address: false,
  controls: !facts.alone,
  tile: { fixed: true },
});

/** Nothing is asked for any more; without this the channel would be tried, and refused, for ever. */
function end() {
  view.client.close();
  document.querySelector("#over").hidden = false;
}

// A timer of more than 24.8 days would fire at once.
setTimeout(end, Math.min(Math.max(0, facts.expires - Date.now()), 2 ** 31 - 1));

// Shut out before that (its maker has no access any more), the channel is refused again and again: then it is over too.
let refused = 0;
view.client.addEventListener("state", ({ detail }) => {
  if (detail === "connected") refused = 0;
  else if (detail === "reconnecting") check();
});
async function check() {
  try {
    const answer = await fetch(location.href, { method: "GET", cache: "no-store" });
    if (answer.status === 404 && (refused += 1) > 1) end();
    else if (answer.status === 404) setTimeout(check, 2000);
    else if (answer.ok) {
      // The channel is also closed when the dashboard was saved: this page asks what the new document asks.
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.querySelector("#dashboard-document")?.textContent;
      if (next && next !== document.querySelector("#dashboard-document").textContent) location.reload();
    }
  } catch {
    // The server is away: the channel goes on trying.
  }
}
