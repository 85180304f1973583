// Where a number comes from: addresses of the payload behind a record, and of the records behind a point of a chart.

import { label, roles } from "./frame.js";

/** The page of the payload that a record was made of, with the record marked. */
export const payloadAddress = (pipeline, payload, index) => `/pipelines/${encodeURIComponent(pipeline)}?${new URLSearchParams({ tab: "payloads", payload, record: index })}`;

/**
 * The list of the records that a point stands for.
 * @param {object} query the tile's query
 * @param {{from: number, to: number | null, bucket?: string | null, timezone?: string | null, by: Record<string, any>}} point
 *   from and to in epoch ms; where it is of a bucket: that bucket's width, whose end the server knows; the values of its dimensions
 */
export function recordsAddress(query, { from, to, bucket, timezone, by }) {
  const asked = new URLSearchParams({ tab: "records", from: new Date(from).toISOString() });
  if (to != null) asked.set("to", new Date(to).toISOString());
  if (bucket) asked.set("every", bucket);
  if (bucket && timezone) asked.set("timezone", timezone);
  if (query.where) asked.set("where", query.where);
  if (query.mapping) asked.set("mapping", query.mapping);
  if (Object.keys(by).length) asked.set("by", JSON.stringify(by));
  return `/pipelines/${encodeURIComponent(query.pipeline)}?${asked}`;
}

/** Dimensions that a query can be asked for again by their value. */
const ASKABLE = new Set(["text", "number", "integer", "boolean"]);

/**
 * What row `r` of a frame is about, as `recordsAddress` takes it; null where that cannot be said.
 * @param {{from: number | null, to: number | null, open?: boolean}} window what is visible: an outer bucket holds no more
 *   than that. `open`: it ends at now, which cuts no bucket: a clock that is slow here would cut the newest one away
 */
export function pointOf(frame, r, window) {
  const { time, dimensions } = roles(frame);
  if (time >= 0 && !frame.every) return null;
  const at = time >= 0 ? frame.data[time][r] : null;
  const first = window.from ?? frame.from ?? -Infinity, last = (at !== null && window.open ? null : window.to ?? frame.to) ?? Infinity;
  const from = Math.max(at ?? -Infinity, first);
  // Where the calendar says how long a bucket is, the server works out its end; its mean length would miss it.
  const to = at === null || frame.bucket ? last : Math.min(at + frame.every, last);
  if (!Number.isFinite(from) || from >= to || (at === null || !frame.bucket) && !Number.isFinite(to)) return null;
  const by = {};
  for (const c of dimensions) {
    const { name, type } = frame.columns[c];
    if (!ASKABLE.has(type)) return null;
    by[name] = frame.data[c][r] ?? null;
  }
  return { from, to: Number.isFinite(to) ? to : null, bucket: at === null ? null : frame.bucket, timezone: frame.timezone, by };
}

/**
 * The rows of a frame in the bucket that is nearest to a time, as {at, rows: [{name, point}]}; null where there is none
 * or it cannot be said what they are about. Names are those of the series that they are drawn in.
 */
export function behindTime(frame, at, window) {
  const { time, dimensions } = roles(frame);
  if (time < 0 || !frame.every || !frame.data[time].length) return null;
  const times = frame.data[time];
  const nearest = times.reduce((best, each) => (Math.abs(each - at) < Math.abs(best - at) ? each : best));
  if (Math.abs(nearest - at) > 2 * frame.every) return null;
  const rows = [];
  times.forEach((each, r) => {
    if (each !== nearest) return;
    const point = pointOf(frame, r, window);
    if (point) rows.push({ name: dimensions.map((c) => label(frame.data[c][r])).join(" · "), point });
  });
  return rows.length ? { at: nearest, rows } : null;
}

const ORIGIN = ["_payload", "_index"];
/** Columns that a query may ask for. */
const MOST_COLUMNS = 100;

/** A query for chosen columns of records that asks for their origin too, so that each of its rows leads there. */
export function withOrigin(query) {
  const chosen = query.select ?? [];
  const missing = ORIGIN.filter((name) => !chosen.some((one) => (one.as ?? one.field) === name));
  if (!chosen.length || !missing.length || chosen.length + missing.length > MOST_COLUMNS) return query;
  return { ...query, select: [...chosen, ...missing.map((field) => ({ field }))] };
}

/** A frame without the columns of the origin, where its query did not choose them itself. */
export function withoutOrigin(frame, query) {
  const chosen = query?.select ?? [];
  const kept = frame.columns.map(({ name }) => !chosen.length || !ORIGIN.includes(name) || chosen.some((one) => (one.as ?? one.field) === name));
  return kept.every(Boolean) ? frame : { ...frame, columns: frame.columns.filter((_, c) => kept[c]), data: frame.data.filter((_, c) => kept[c]) };
}

/** Where a row of a table comes from, as {href, text, label, menu}; null where it cannot be said. */
export function originOf(frame, r, query, { lineage: addresses, from, to, open }) {
  if (!addresses || !query?.pipeline) return null;
  const column = (wanted) => frame.columns.findIndex(({ name }) => name === wanted);
  const payload = column("_payload"), index = column("_index");
  if (payload >= 0 && index >= 0) return { href: addresses.payloadAddress(query.pipeline, frame.data[payload][r], frame.data[index][r]), text: "Raw", label: "The payload that this record was made of", menu: "Raw payload" };
  const point = frame.key.length ? pointOf(frame, r, { from, to, open }) : null;
  return point && { href: addresses.recordsAddress(query, point), text: "Records", label: "The records behind this row", menu: "Records behind this row" };
}

/** What a page hands to its tiles so that they lead there. */
export const lineage = { payloadAddress, recordsAddress };
