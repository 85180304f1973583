// The harness's dashboard: all kinds and all states at once.
import { mountDashboard } from "/assets/dashboard.js";

const series = { by: ["site"], select: [{ field: "t", agg: "avg" }] };
const tiles = [
  { id: 1, kind: "stat", title: "Temperature in Oslo", gridPos: { x: 0, y: 0, w: 3, h: 3 }, query: { pipeline: "single" }, options: { decimals: 1, sparkline: true, thresholds: [{ value: null, color: "ok" }, { value: 25, color: "warn" }] } },
  { id: 2, kind: "stat", title: "Records in all", gridPos: { x: 3, y: 0, w: 3, h: 3 }, query: { pipeline: "total" } },
  { id: 3, kind: "stat", title: "By site", gridPos: { x: 6, y: 0, w: 6, h: 3 }, query: { pipeline: "weather", ...series }, options: { decimals: 1 } },
  { id: 4, kind: "line", title: "Temperature by site", gridPos: { x: 0, y: 3, w: 8, h: 7 }, query: { pipeline: "gaps", ...series }, options: { decimals: 1 } },
  { id: 5, kind: "bar", title: "Quakes by region", gridPos: { x: 8, y: 3, w: 4, h: 7 }, query: { pipeline: "category", by: ["region"] } },
  { id: 6, kind: "bar", title: "Records by site", gridPos: { x: 0, y: 10, w: 6, h: 6 }, query: { pipeline: "counts", ...series }, options: { stacked: true } },
  { id: 7, kind: "line", title: "Bytes received", gridPos: { x: 6, y: 10, w: 6, h: 6 }, query: { pipeline: "bytes" }, options: { area: true, thresholds: [{ value: 9e7, color: "warn" }] } },
  { id: 8, kind: "table", title: "Last records", gridPos: { x: 0, y: 16, w: 6, h: 7 }, query: { pipeline: "records", limit: 100 } },
  { id: 9, kind: "line", title: "Nothing here", gridPos: { x: 6, y: 16, w: 3, h: 4 }, query: { pipeline: "empty" } },
  { id: 10, kind: "line", title: "Wrong field", gridPos: { x: 9, y: 16, w: 3, h: 4 }, query: { pipeline: "broken" } },
  { id: 11, kind: "line", title: "Still coming", gridPos: { x: 6, y: 20, w: 3, h: 3 }, query: { pipeline: "slow" } },
  { id: 12, kind: "stat", title: "Refused", gridPos: { x: 9, y: 20, w: 3, h: 3 }, query: { pipeline: "forbidden" } },
];
const timezone = new URLSearchParams(location.search).get("zone") ?? "Europe/Oslo";
window.dashboard = mountDashboard(document.querySelector("#dashboard"), { title: "Weather and quakes", time: { from: "now-24h", to: "now" }, tiles }, {
  liveUrl: "/live", timezone, toolbar: document.querySelector("#toolbar"),
});
