// The first page's alerts: asked for anew when the live channel tells of a change.

import { livePart } from "../part.js";
import { alertActs } from "./acts.js";

const part = document.querySelector('[data-part="alerts"]');
if (part) {
  const live = livePart(part);
  alertActs({ changed: () => live.refresh(true) });
  document.addEventListener("alerts:changed", ({ detail }) => detail.first || live.refresh());
}
