// Points on a map of the world. The map is an asset of 150 kB (Natural Earth, see README.md), so it needs no network. It
// begins where the points are; buttons, the wheel with Ctrl, and dragging move it, a double click goes back.

import { make } from "../elements.js";
import { formatFullTime, formatNumber } from "../format.js";
import { isNumeric, label, timeColumn } from "../frame.js";
import { thresholdColor, thresholdFor } from "../theme-values.js";
import { base, tooltipElement } from "./axes.js";

export const needs = "a column of latitudes and one of longitudes, in degrees";

const LAT = ["lat", "latitude"], LON = ["lon", "lng", "long", "longitude"];
const MOST = 5000;
const CUT = -169; // where the map begins and ends: in the Bering Strait
const WORLD = [CUT, CUT + 360, -58, 80]; // west, east, south, north
let loading = null;

const columnOf = (frame, named, usual) => {
  const wanted = named ? [named.toLowerCase()] : usual;
  return frame.columns.findIndex((column) => isNumeric(column) && wanted.includes(column.name.toLowerCase()));
};

/** Columns of a frame as a map uses them; -1 for what is not there. */
export function places(frame, wanted = {}) {
  const lat = columnOf(frame, wanted.lat, LAT), lon = columnOf(frame, wanted.lon, LON);
  const any = (name) => (name ? frame.columns.findIndex((column) => column.name === name) : -1);
  const value = wanted.value ? columnOf(frame, wanted.value, []) : frame.columns.findIndex((column, c) => isNumeric(column) && c !== lat && c !== lon && !column.name.startsWith("_") && !(frame.key ?? []).includes(column.name));
  return { lat, lon, value, label: any(wanted.label), time: timeColumn(frame.columns) };
}

export function lacks(frame, tile) {
  const wanted = tile.options ?? {};
  const { lat, lon } = places(frame, wanted);
  if (lat < 0) return wanted.lat ? `A column of numbers named “${wanted.lat}”` : "A column of latitudes";
  if (lon < 0) return wanted.lon ? `A column of numbers named “${wanted.lon}”` : "A column of longitudes";
  return null;
}

/** A ring that steps over the 180th meridian goes on beyond it; one around a pole is closed there. */
function unroll(line) {
  let turn = 0;
  const out = line.map(([lon, lat], i) => {
    if (i) turn += lon - line[i - 1][0] > 180 ? -360 : lon - line[i - 1][0] < -180 ? 360 : 0;
    return [lon + turn, lat];
  });
  const [first] = out, last = out.at(-1);
  if (Math.abs(last[0] - first[0]) > 180) {
    const pole = first[1] < 0 ? -90 : 90;
    out.push([last[0], pole], [first[0], pole], first);
  }
  const middle = out.reduce((sum, [lon]) => sum + lon, 0) / out.length;
  return middle < -180 ? out.map(([lon, lat]) => [lon + 360, lat]) : out;
}

/** A topology (arcs in steps on a grid) as GeoJSON. */
export function fromTopology({ transform, arcs, objects }) {
  const [kx, ky] = transform.scale, [dx, dy] = transform.translate;
  const lines = arcs.map((arc) => {
    let x = 0, y = 0;
    return arc.map(([stepX, stepY]) => [(x += stepX) * kx + dx, (y += stepY) * ky + dy]);
  });
  const ring = (parts) => parts.flatMap((index, i) => {
    const line = index < 0 ? [...lines[~index]].reverse() : lines[index];
    return i ? line.slice(1) : line;
  });
  const polygon = (rings) => {
    const unrolled = rings.map((each) => unroll(ring(each)));
    // What lies wholly beyond the cut in the Bering Strait is drawn east of Asia, as the rest of the Pacific is.
    return unrolled[0].every(([lon]) => lon < CUT) ? unrolled.map((line) => line.map(([lon, lat]) => [lon + 360, lat])) : unrolled;
  };
  const features = objects.countries.geometries.map(({ properties, arcs: polygons }) => ({
    type: "Feature", properties, geometry: { type: "MultiPolygon", coordinates: polygons.map(polygon) },
  }));
  return { type: "FeatureCollection", features };
}

/** Register the world with the chart library, once. */
async function world(echarts) {
  if (echarts.getMap("dash-world")) return;
  loading ??= fetch(new URL("world.json", import.meta.url)).then((answer) => {
    if (!answer.ok) throw new Error(`The map could not be loaded (${answer.status})`);
    return answer.json();
  });
  try {
    echarts.registerMap("dash-world", fromTopology(await loading));
  } catch (error) {
    loading = null; // the next tile may try again
    throw error;
  }
}

/**
 * Points out of rows.
 * @returns {{points: {lat: number, lon: number, value: number | null, name: string, row: number, count?: number}[], left: number}}
 *   `left`: rows that have no place on earth
 */
export function pointsOf(frame, wanted) {
  const columns = places(frame, wanted);
  const points = [];
  let left = 0;
  const count = frame.data[0]?.length ?? 0;
  for (let r = 0; r < count; r += 1) {
    const lat = frame.data[columns.lat][r], lon = frame.data[columns.lon][r];
    if (typeof lat !== "number" || typeof lon !== "number" || Math.abs(lat) > 90 || Math.abs(lon) > 360) {
      left += 1;
      continue;
    }
    points.push({ lat, lon: lon < CUT ? lon + 360 : lon >= CUT + 360 ? lon - 360 : lon, value: columns.value < 0 ? null : frame.data[columns.value][r], name: columns.label < 0 ? "" : label(frame.data[columns.label][r]), row: r });
  }
  return { points, left };
}

/** Points that share a cell of `size` degrees become one at their mean, with their number and the mean of their values. */
export function clustered(points, size) {
  const cells = new Map();
  for (const point of points) {
    const key = `${Math.floor(point.lon / size)}|${Math.floor(point.lat / size)}`;
    cells.set(key, [...(cells.get(key) ?? []), point]);
  }
  return [...cells.values()].map((list) => {
    if (list.length === 1) return list[0];
    const mean = (pick) => {
      const known = list.map(pick).filter((value) => value !== null);
      return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
    };
    return { lat: mean((p) => p.lat), lon: mean((p) => p.lon), value: mean((p) => p.value), name: "", row: null, count: list.length };
  });
}

/** What to show at first: where the points are, with air; the world where they are all over it. [west, east, south, north] */
export function reach(points) {
  if (!points.length) return WORLD;
  const list = (pick) => points.reduce(([low, high], point) => [Math.min(low, pick(point)), Math.max(high, pick(point))], [Infinity, -Infinity]);
  const [west, east] = list((point) => point.lon), [south, north] = list((point) => point.lat);
  if (east - west > 200) return WORLD;
  const across = Math.max(1, east - west), up = Math.max(1, north - south);
  return [west - across * 0.12, east + across * 0.12, Math.max(-85, south - up * 0.15), Math.min(85, north + up * 0.15)];
}

function longitude(lon) {
  const turned = lon > 180 ? lon - 360 : lon;
  return `${formatNumber(Math.abs(turned), { decimals: 2 })}° ${turned < 0 ? "W" : "E"}`;
}

/** @type {typeof import("../tiles.js").options} */
export function options(tile, frame, theme, size) {
  const wanted = tile.options ?? {};
  const columns = places(frame, wanted);
  const unit = wanted.unit ?? frame.columns[columns.value]?.unit ?? "";
  const describe = (value) => formatNumber(value, { unit, decimals: wanted.decimals });
  const { points: all, left } = pointsOf(frame, wanted);
  const kept = all.slice(0, MOST);
  // Where somebody has moved it stays; else each answer of the server is fitted anew, and what streams in moves nothing.
  const of = `${frame.from} ${frame.to}`;
  const view = size.view?.moved || size.view?.of === of ? size.view : { bounds: reach(kept), zoom: 1, center: null, of, moved: false };
  const [west, east, south, north] = view.bounds;
  const shown = wanted.cluster ? clustered(kept, (east - west) / view.zoom / Math.max(6, size.width / 44)) : kept;
  const values = shown.map((point) => (wanted.cluster ? (point.count ?? 1) : point.value)).filter((value) => value !== null);
  const low = Math.min(...values), high = Math.max(...values);
  const sizeOf = (point) => {
    if (wanted.cluster) return point.count ? 14 + 20 * Math.sqrt(point.count / (high || 1)) : 8;
    if (point.value === null || high === low || !values.length) return 8;
    return 5 + 17 * Math.sqrt(Math.max(0, (point.value - low) / (high - low)));
  };
  const colorOf = (point) => {
    const reached = thresholdFor(point.value, wanted.thresholds);
    return (reached && thresholdColor(reached.color, theme, true)) || theme.series[0];
  };
  const middle = (south + north) / 2;
  const result = base(theme);
  // The largest first, so that the small ones lie above it.
  const sorted = [...shown].sort((a, b) => sizeOf(b) - sizeOf(a));
  return {
    ...result,
    tooltip: { ...result.tooltip, trigger: "item", formatter: (params) => {
      const point = params.seriesId === "points" ? sorted[params.dataIndex] : null;
      if (!point) return "";
      const where = `${formatNumber(Math.abs(point.lat), { decimals: 2 })}° ${point.lat < 0 ? "S" : "N"}, ${longitude(point.lon)}`;
      const at = point.row !== null && columns.time >= 0 ? formatFullTime(frame.data[columns.time][point.row], { zone: size.zone }) : "";
      const name = point.count ? `${point.count} points` : point.name || where;
      const value = point.value === null ? "" : `${point.count ? "mean " : ""}${describe(point.value)}`;
      return tooltipElement({ title: at || (name === where ? "" : where), rows: [{ color: colorOf(point), name, value }], note: at && name !== where ? where : "" });
    } },
    geo: {
      map: "dash-world", silent: true, roam: matchMedia("(hover: hover)").matches ? "move" : false, left: 0, right: 0, top: 0, bottom: 0,
      boundingCoords: [[west, north], [east, south]], aspectScale: Math.max(0.45, Math.cos((middle * Math.PI) / 180)),
      zoom: view.zoom, ...(view.center ? { center: view.center } : {}), scaleLimit: { min: 0.5, max: 200 },
      itemStyle: { areaColor: theme.sunken, borderColor: theme.lineStrong, borderWidth: 0.6 },
      emphasis: { disabled: true }, select: { disabled: true },
    },
    series: [{
      id: "points", type: "scatter", coordinateSystem: "geo", color: theme.series[0], animation: false,
      data: sorted.map((point) => ({ value: [point.lon, point.lat, point.value], symbolSize: sizeOf(point), itemStyle: { color: colorOf(point) }, ...(point.count ? { label: { show: true, formatter: String(point.count) } } : {}) })),
      itemStyle: { opacity: 0.72, borderColor: theme.surface, borderWidth: 0.75 },
      label: { show: false, color: theme.surface, fontSize: 11, fontWeight: 600, fontFamily: theme.font },
      emphasis: { scale: 1.15, itemStyle: { opacity: 1, borderColor: theme.text, borderWidth: 1 } },
    }],
    facts: {
      unit: "", left: 0, time: false, legend: [], view,
      latest: [left ? `${left} without a place` : "", all.length > kept.length ? `first ${kept.length.toLocaleString()} of ${all.length.toLocaleString()}` : ""].filter(Boolean).join(" · "),
      spoken: `${kept.length} points`,
      started: buttons,
      pick: (params) => {
        const point = params.seriesId === "points" ? sorted[params.dataIndex] : null;
        if (!point || point.count) return null;
        const by = columns.label < 0 ? {} : { [frame.columns[columns.label].name]: point.name };
        const fields = Object.fromEntries(frame.columns.map((column, c) => [column.name, frame.data[c][point.row] ?? ""]));
        return { name: point.name || "Point", by, fields, value: point.value, row: frame.key?.includes("_payload") ? null : point.row, record: point.row };
      },
      shape: [size.width, size.height, view.bounds, wanted],
    },
  };
}

/** Called by the chart once it lives: its buttons, and what remembers where somebody has moved the map to. */
function buttons(chart) {
  const box = make("div", "map-buttons", chart.canvas);
  const zoomed = (factor) => {
    const { zoom, center } = chart.chart.getOption().geo[0];
    chart.view = { ...chart.view, moved: true, zoom: Math.min(200, Math.max(0.5, zoom * factor)), center: center ?? chart.view.center };
    chart.draw(chart.frame, chart.context);
  };
  const back = () => {
    chart.view = null;
    chart.shape = "";
    chart.draw(chart.frame, chart.context);
  };
  for (const [text, title, act] of [["+", "Zoom in", () => zoomed(1.6)], ["−", "Zoom out", () => zoomed(1 / 1.6)], ["⌂", "Show all points", back]]) {
    const button = make("button", "", box, text);
    button.type = "button";
    button.title = title;
    button.setAttribute("aria-label", title);
    button.addEventListener("click", act);
  }
  box.addEventListener("pointerdown", (event) => event.stopPropagation());
  chart.canvas.addEventListener("dblclick", back);
  chart.chart.on("georoam", () => {
    const { zoom, center } = chart.chart.getOption().geo[0];
    chart.view = { ...chart.view, moved: true, zoom, center };
  });
  // The wheel scrolls the page; with Ctrl (or a pinch, which says so) it zooms.
  chart.canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomed(event.deltaY < 0 ? 1.25 : 0.8);
  }, { passive: false });
}

/** What the chart library must know before it can draw. */
export const setup = world;
