// Every kind of tile and every state, with frames of its own: nothing here comes from a server.

import { Tile } from "/assets/tile.js";

const HOUR = 3_600_000, MINUTE = 60_000;
const NOW = Date.parse("2026-03-12T14:30:00Z");
const FROM = NOW - 24 * HOUR;
const RANGE = { from: new Date(FROM).toISOString(), to: new Date(NOW).toISOString() };
const HOSTILE = '<img src=x onerror="window.hacked=1">';
const noise = (n) => Math.sin(n * 12.9898) * 43758.5453 % 1;
const wave = (at, n) => 11 + 4 * n + 5 * Math.sin(((at / HOUR - 9 + n) / 24) * 2 * Math.PI) + 0.6 * noise(at / MINUTE + n);
const column = (name, type, unit) => ({ name, type, ...(unit ? { unit } : {}) });
const transposed = (rows) => (rows.length ? rows[0].map((_, c) => rows.map((row) => row[c])) : []);
const frame = (columns, rows, more = {}) => ({ kind: "snapshot", columns, data: rows.length ? transposed(rows) : columns.map(() => []), key: [], every: null, from: FROM, to: NOW, ...more });
const times = (every, from = FROM) => Array.from({ length: Math.floor((NOW - from) / every) }, (_, i) => from + i * every);

const SITES = ["Oslo", "Bergen", "Tromsø", HOSTILE];
const bySite = (every, value, more = {}, sites = SITES) => frame(
  [column("time", "timestamp"), column("site", "text"), column(more.name ?? "temp", "number", more.unit)],
  times(every).flatMap((at) => sites.map((site, i) => [at, site, value(at, i)])).filter(([at, site]) => !(more.gaps && site === "Bergen" && at > FROM + 6 * HOUR && at < FROM + 9 * HOUR)),
  { every, key: ["time", "site"] },
);
const single = (every, value, name, unit, moved = 0) => frame([column("time", "timestamp"), column(name, "number", unit)], times(every).map((at) => [at - moved, value(at)]), { every, key: ["time"] });
const categories = (list) => frame([column("region", "text"), column("count", "integer")], list, { key: ["region"] });
const REGIONS = [["Alaska", 3120], ["Kamchatka Peninsula, Russia", 4021], [HOSTILE, 333], ["Fiji", 2955], ["Hindu Kush", 1774], ["Tonga", 1440], ["Svalbard", 812], [null, 45], ["Iceland", 120], ["Chile", 96]];
const THRESHOLDS = [{ color: "green" }, { value: 60, color: "yellow" }, { value: 85, color: "red" }];
const STATES = ["open", "closed", "error"];
const doors = frame(
  [column("time", "timestamp"), column("door", "text"), column("state", "text")],
  times(10 * MINUTE).flatMap((at, n) => ["Front", "Garage", "Store room"].map((door, i) => [at, door, STATES[Math.floor(Math.abs(Math.sin(Math.floor(n / (7 + i * 3)) + i)) * 2.4)]])).filter(([at, door]) => !(door === "Garage" && at > FROM + 13 * HOUR && at < FROM + 15 * HOUR)),
  { every: 10 * MINUTE, key: ["time", "door"] },
);
const quakes = frame(
  [column("_time", "timestamp"), column("_payload", "text"), column("_index", "integer"), column("latitude", "number"), column("longitude", "number"), column("magnitude", "number", "Mw"), column("place", "text")],
  Array.from({ length: 240 }, (_, i) => [NOW - i * 400_000, String(9_000_000 - i), 0, -8 + 42 * noise(i) * (i % 3 ? 1 : 0.3), i % 2 ? 95 + 60 * noise(i + 0.5) : -70 + 14 * noise(i + 0.2), 4 + 3 * Math.abs(noise(i * 3)), i % 17 ? `${i} km off shore` : HOSTILE]),
  { key: ["_payload", "_index"] },
);
const records = frame(
  [column("_time", "timestamp"), column("_payload", "text"), column("_index", "integer"), column("site", "text"), column("temp", "number", "°C"), column("load", "number", "percent"), column("size", "integer", "bytes"), column("ok", "boolean")],
  Array.from({ length: 120 }, (_, i) => [NOW - i * 4000, String(5_000_000 - i), 0, SITES[i % 4], wave(NOW - i * HOUR, i % 4), 100 * Math.abs(noise(i)), Math.round(2 ** (8 + 12 * Math.abs(noise(i + 9)))), i % 5 ? i % 3 > 0 : null]),
  { key: ["_payload", "_index"], next: "more" },
);
const aggregate = frame(
  [column("site", "text"), column("orders", "integer"), column("revenue", "number", "EUR"), column("margin", "number", "percent")],
  Array.from({ length: 130 }, (_, i) => [`Shop ${i + 1}`, Math.round(900 * Math.abs(noise(i))), 40_000 * Math.abs(noise(i + 5)) - 6000, 60 * noise(i + 2)]),
  { key: ["site"] },
);

const MARKDOWN_HTML = `<h2>On call</h2><p>Ask <strong>Kari</strong> first, see the <a href="https://example.org/runbook?site=$%7Bsite%7D">runbook</a>. Shown: <code>\${site}</code>.</p>
<ul><li>Restart with <code>dash restart</code></li><li><del>Call the vendor</del></li></ul><blockquote><p>Nothing is lost.</p></blockquote>
<table><thead><tr><th>Site</th><th style="text-align: right">Limit</th></tr></thead><tbody><tr><td>Oslo</td><td style="text-align: right">12</td></tr></tbody></table><script>window.hacked=1</script><img src=x onerror="window.hacked=1">`;

const DAY_BEFORE = (made) => ({ ...made, shift: 24 * HOUR });
const week = frame([column("time", "timestamp"), column("orders", "integer")], times(HOUR, NOW - 28 * 24 * HOUR).map((at) => [at, Math.max(0, Math.round(40 + 35 * Math.sin(((at / HOUR - 8) / 24) * 2 * Math.PI) - (new Date(at).getUTCDay() % 6 ? 0 : 25) + 8 * noise(at / HOUR)))]), { every: HOUR, key: ["time"] });

/** [title, width, height, tile, frames (the first of each query, then those of an earlier time)] */
const TILES = [
  ["Lines, gaps, thresholds", 6, 6, { kind: "line", query: { pipeline: "weather", by: ["site"], every: "auto" }, options: { unit: "°C", decimals: 1, thresholds: [{ value: 22, color: "red" }] } }, [bySite(10 * MINUTE, wave, { gaps: true, unit: "°C" })]],
  ["Legend as a table", 6, 6, { kind: "line", options: { unit: "°C", decimals: 1, legend: "table" } }, [bySite(10 * MINUTE, wave, { unit: "°C" })]],
  ["Stacked areas", 4, 5, { kind: "line", options: { area: true, stacked: "normal", unit: "W" } }, [bySite(30 * MINUTE, (at, i) => 200 + 120 * Math.abs(noise(i + at / HOUR)) + wave(at, i) * 10)]],
  ["Shares, stacked", 4, 5, { kind: "line", options: { stacked: "percent" } }, [bySite(30 * MINUTE, (at, i) => 20 + wave(at, i))]],
  ["Steps, log axis", 4, 5, { kind: "line", options: { steps: true, log: true, unit: "ms" } }, [bySite(HOUR, (at, i) => 10 ** (i + Math.abs(noise(at / HOUR + i))), {}, SITES.slice(0, 3))]],
  ["Two queries, second axis", 6, 5, { kind: "line", queries: [{ name: "Power", pipeline: "ride" }, { name: "Heart", pipeline: "pulse" }], options: { series: { Heart: { axis: "right", unit: "1/min", color: "red", label: "Heart rate" }, Power: { unit: "W", steps: true } } } }, [single(15 * MINUTE, (at) => 180 + 60 * noise(at / MINUTE), "power"), single(20 * MINUTE, (at) => 120 + 2 * wave(at, 1), "bpm")]],
  ["Compared with the day before", 6, 5, { kind: "line", compare: "1d", options: { unit: "°C" } }, [single(10 * MINUTE, (at) => wave(at, 1), "temp", "°C"), DAY_BEFORE(single(10 * MINUTE, (at) => wave(at, 1) - 2 + noise(at), "temp", "°C", 24 * HOUR))]],
  ["Annotated", 6, 5, { kind: "line", marks: true, options: { area: true, unit: "bytes" } }, [single(10 * MINUTE, (at) => Math.abs(wave(at, 2)) * 4e6, "size", "bytes")]],
  ["Bars over time", 6, 5, { kind: "bar", options: {} }, [bySite(HOUR, (at, i) => Math.round(20 + wave(at, i)), { name: "orders" })]],
  ["Grouped bars over time", 4, 5, { kind: "bar", options: { stacked: "none" } }, [bySite(3 * HOUR, (at, i) => Math.round(20 + wave(at, i)), { name: "orders" }, SITES.slice(0, 2))]],
  ["Bars with values", 4, 5, { kind: "bar", compare: "1d", query: { pipeline: "shop", every: "3h" }, options: { values: "show" } }, [single(3 * HOUR, (at) => Math.round(20 + wave(at, 1)), "orders"), DAY_BEFORE(single(3 * HOUR, (at) => Math.round(15 + wave(at, 2)), "orders", undefined, 24 * HOUR))]],
  ["Lying bars", 4, 5, { kind: "bar", query: { pipeline: "quakes", by: ["region"] }, options: {} }, [categories(REGIONS)]],
  ["Grouped categories", 4, 5, { kind: "bar", options: { orientation: "vertical", stacked: "none" } }, [frame([column("site", "text"), column("temp", "number", "°C"), column("felt", "number", "°C")], [["Oslo", 4, 1], ["Bergen", 7, 5.5], ["Tromsø", -3, -9]], { key: ["site"] })]],
  ["Stat", 2, 3, { kind: "stat", options: { unit: "bytes" } }, [frame([column("total", "integer")], [[1_284_312_553]])]],
  ["Stat against the day before", 3, 3, { kind: "stat", options: { compare: "1d", better: "up", decimals: 0 } }, [single(30 * MINUTE, (at) => 100 + 3 * wave(at, 2), "orders"), DAY_BEFORE(single(30 * MINUTE, (at) => 90 + 3 * wave(at, 1), "orders", undefined, 24 * HOUR))]],
  ["Stat on its colour", 3, 3, { kind: "stat", options: { unit: "percent", thresholds: THRESHOLDS, colored: "background" } }, [single(30 * MINUTE, (at) => 70 + wave(at, 1), "load")]],
  ["Stats by site", 4, 4, { kind: "stat", options: { unit: "°C", decimals: 1, thresholds: [{ color: "green" }, { value: 18, color: "red" }] } }, [bySite(30 * MINUTE, wave)]],
  ["Gauge", 3, 5, { kind: "gauge", options: { unit: "percent", thresholds: THRESHOLDS } }, [frame([column("load", "number")], [[72.4]])]],
  ["Gauges", 5, 5, { kind: "gauge", options: { unit: "°C", min: -10, max: 40, decimals: 1 } }, [frame([column("site", "text"), column("temp", "number")], SITES.map((site, i) => [site, wave(NOW, i)]), { key: ["site"] })]],
  ["Pie", 4, 5, { kind: "pie", query: { pipeline: "quakes", by: ["region"], select: [{ agg: "count" }] }, options: { most: 6 } }, [categories(REGIONS)]],
  ["Heatmap", 6, 5, { kind: "heatmap", options: { unit: "°C" } }, [bySite(30 * MINUTE, wave, { gaps: true })]],
  ["Hours of the week", 6, 5, { kind: "heatmap", options: { layout: "hours", scheme: "green" } }, [week]],
  ["Around nought", 6, 4, { kind: "heatmap", options: { scheme: "diverging", unit: "°C" } }, [bySite(HOUR, (at, i) => wave(at, i) - 16)]],
  ["Doors", 6, 4, { kind: "state", options: { colors: { open: "yellow", closed: "green", error: "red" } } }, [doors]],
  ["Earthquakes", 7, 8, { kind: "map", query: { pipeline: "quakes" }, options: { value: "magnitude", label: "place", decimals: 1, thresholds: [{ color: "blue" }, { value: 6, color: "orange" }, { value: 6.7, color: "red" }] } }, [quakes]],
  ["Clustered", 5, 8, { kind: "map", query: { pipeline: "quakes" }, options: { cluster: true, value: "magnitude" } }, [quakes]],
  ["Records", 7, 7, { kind: "table", query: { pipeline: "weather" }, options: { columns: [{ field: "site", title: "Site" }, { field: "temp", color: "heat", decimals: 1 }, { field: "load", color: "bar", decimals: 0 }], pageSize: 50 } }, [records]],
  ["Shops", 5, 7, { kind: "table", options: { pageSize: 25, thresholds: [{ value: 0, color: "green" }, { value: 40, color: "red" }], columns: [{ field: "revenue", color: "bar" }, { field: "margin", color: "thresholds", decimals: 1 }] } }, [aggregate]],
  ["On call at ${site}", 4, 6, { kind: "text", options: { html: MARKDOWN_HTML } }, []],
  ["As written", 4, 3, { kind: "text", options: { markdown: "**Site:** ${site}\nnot rendered" } }, []],
  ["Waiting", 3, 3, { kind: "line" }, []],
  ["Empty", 3, 3, { kind: "bar" }, [frame([column("time", "timestamp"), column("n", "integer")], [], { every: HOUR, key: ["time"], last: NOW - 3 * HOUR })]],
  ["Wrong", 3, 3, { kind: "gauge" }, [{ kind: "error", title: "The query has no field “tmp”", detail: "Did you mean “temp”?" }]],
  ["Wrong, with a picture", 3, 3, { kind: "line" }, [single(HOUR, (at) => wave(at, 1), "t"), null, { kind: "error", title: "The server is busy", detail: "It tries again." }]],
  ["Unknown kind", 3, 3, { kind: "sankey" }, []],
  // Columns that do not fit
  ...[["line", categories(REGIONS)], ["bar", frame([column("site", "text")], [["Oslo"]])], ["stat", frame([column("site", "text")], [["Oslo"]])], ["gauge", frame([column("site", "text")], [["Oslo"]])], ["heatmap", categories(REGIONS)], ["pie", frame([column("total", "integer")], [[4]])], ["state", categories(REGIONS)], ["map", records]]
    .map(([kind, shown]) => [`Does not fit: ${kind}`, 3, 3, { kind }, [shown]]),
];

window.filtered = [];
window.annotated = [];
const grid = document.querySelector(".tile-grid");
window.tiles = TILES.map(([title, w, h, { compare, marks, ...tile }, frames], id) => {
  const box = document.createElement("section");
  Object.entries({ "--column": `span ${w}`, "--line": `span ${h}`, "--height": String(h) }).forEach(([name, value]) => box.style.setProperty(name, value));
  grid.append(box);
  const made = new Tile(box, { id, title, links: [{ title: "Look at ${__value}", url: "/somewhere?site=${site}&at=${__from}&v=${__value}" }], ...tile }, {
    live: null, range: tile.options?.layout === "hours" ? { from: "2026-02-12T00:00:00Z", to: RANGE.to } : RANGE, timezone: "Europe/Oslo", compare, variables: { site: ["Oslo", "Bergen"] },
    hover: (at, source) => window.tiles.forEach((each) => each.hover(at, each === source)),
    filter: (field, value, how) => window.filtered.push([field, value, how.exclude]),
    annotate: (from, to, which) => window.annotated.push([from, to, which.tile.id]),
  });
  if (marks) {
    made.setAnnotations([
      { id: 1, time: FROM + 5 * HOUR, text: "Version 4.2 rolled out", author: "Kari", tags: ["release"] },
      { id: 2, time: FROM + 14 * HOUR, time_end: FROM + 16 * HOUR, text: "Maintenance", color: "orange" },
      { id: 3, time: FROM + 20 * HOUR, text: HOSTILE, color: "red" },
      { id: 4, time: FROM + 2 * HOUR, text: "of another tile", tile: "elsewhere" },
    ]);
  }
  const queries = tile.queries?.length ?? 1;
  frames.forEach((each, i) => {
    if (each) made.receive(each, each.kind === "error" ? made.parts[0] : made.parts[i] ?? made.parts[queries - 1]);
  });
  return made;
});
