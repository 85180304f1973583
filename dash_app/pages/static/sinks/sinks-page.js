// The list of sinks, asked for anew while the page is open.

import { livePart } from "../part.js";

const EVERY = 5000;
const live = livePart(document.querySelector("[data-part]"));
setInterval(() => live.refresh(), EVERY);
document.addEventListener("visibilitychange", () => document.hidden || live.refresh());
