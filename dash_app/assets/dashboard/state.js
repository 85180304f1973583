// What a dashboard shows, as one plain value, and that value as an address: range, refresh, zone, variables, filters,
// comparison, and the tile that fills the page. What is as the document has it stands in no address.

import { knownZone } from "../format.js";
import { normalise, resolveRange, SHIFTS } from "../range.js";

export const ALL = "$__all";
const DEFAULT_RANGE = { from: "now-24h", to: "now" };

/** How often data may be read anew where it is not pushed. */
export const BEATS = ["5s", "10s", "30s", "1m", "5m", "15m", "30m", "1h"];
const BEAT = /^([1-9]\d{0,3})([smh])$/;

/** A beat in milliseconds; null for what is none. Less than five seconds would be asked for by nobody who knew of "live". */
export function beatLength(text) {
  const read = BEAT.exec(text ?? "");
  if (!read) return null;
  const length = Number(read[1]) * { s: 1000, m: 60_000, h: 3_600_000 }[read[2]];
  return length >= 5000 && length <= 3_600_000 ? length : null;
}

/**
 * @typedef {{field: string, op: "=" | "!=", value: string | number | boolean | null}} Filter
 * @typedef {object} State
 * @property {{from: string, to: string}} range
 * @property {string} refresh "live", "off", or a beat such as "30s"
 * @property {string | null} timezone an IANA name or "browser", where somebody chose one here; null: as the document or the person has it
 * @property {Record<string, any>} variables values that were chosen here, by name
 * @property {Filter[]} filters
 * @property {string | null} compare one of SHIFTS
 * @property {string | null} tile the id of the one that fills the page
 */

/** The state before anybody chose anything. @returns {State} */
export function initialState(definition) {
  const range = normalise(definition.time ?? DEFAULT_RANGE);
  const refresh = definition.refresh === "off" || beatLength(definition.refresh) ? definition.refresh : "live";
  return { range: resolveRange(range) ? range : DEFAULT_RANGE, refresh, timezone: null, variables: {}, filters: [], compare: null, tile: null };
}

/**
 * The state that an address asks for. What makes no sense in it is as if it were not there.
 * @param {string | URLSearchParams} search
 * @param {object} definition the dashboard's document
 * @returns {State}
 */
export function readState(search, definition) {
  const asked = new URLSearchParams(search);
  const state = initialState(definition);
  if (asked.has("from") && asked.has("to")) {
    const range = normalise({ from: asked.get("from"), to: asked.get("to") });
    if (resolveRange(range)) state.range = range;
  }
  const refresh = asked.get("refresh");
  if (asked.get("live") === "off") state.refresh = "off";
  else if (refresh === "live" || beatLength(refresh)) state.refresh = refresh;
  const zone = asked.get("tz");
  if (zone && (zone === "browser" || knownZone(zone))) state.timezone = zone;
  for (const { name } of definition.templating?.list ?? []) {
    const given = asked.getAll(`var-${name}`);
    if (given.length) state.variables[name] = given.includes(ALL) ? ALL : given.length === 1 ? given[0] : given;
  }
  state.filters = asked.getAll("filter").map(readFilter).filter(Boolean);
  if (SHIFTS.some(([word]) => word === asked.get("compare"))) state.compare = asked.get("compare");
  const tile = asked.get("tile");
  if (tile && (definition.tiles ?? []).some((each) => String(each.id) === tile)) state.tile = tile;
  return state;
}

/** "site:roof", "!site:roof" (another value), "site" (no value). @returns {Filter | null} */
export function readFilter(text) {
  const read = /^(!?)([^:!]{1,100})(?::(.*))?$/s.exec(text);
  return read && { field: read[2], op: read[1] ? "!=" : "=", value: read[3] ?? null };
}

export const filterText = ({ field, op, value }) => `${op === "!=" ? "!" : ""}${field}${value === null ? "" : `:${value}`}`;

/**
 * `address` asking for `state`; parameters that are not a dashboard's stay.
 * @param {URL} address is changed and answered
 */
export function writeState(address, state, definition) {
  const asked = address.searchParams;
  const initial = initialState(definition);
  for (const name of [...asked.keys()]) if (name.startsWith("var-") || ["from", "to", "live", "refresh", "tz", "filter", "compare", "tile"].includes(name)) asked.delete(name);
  if (state.range.from !== initial.range.from || state.range.to !== initial.range.to) {
    asked.set("from", state.range.from);
    asked.set("to", state.range.to);
  }
  if (state.refresh !== initial.refresh) {
    if (state.refresh === "off") asked.set("live", "off");
    else asked.set("refresh", state.refresh);
  }
  if (state.timezone) asked.set("tz", state.timezone);
  for (const [name, value] of Object.entries(state.variables)) for (const one of [value].flat()) asked.append(`var-${name}`, one);
  for (const each of state.filters) asked.append("filter", filterText(each));
  if (state.compare) asked.set("compare", state.compare);
  if (state.tile) asked.set("tile", state.tile);
  // Addresses are read and written by people: what need not be escaped is not.
  address.search = asked.toString().replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%2F", "/").replaceAll("%24", "$").replaceAll("%21", "!");
  return address;
}

/** Filters after a click on a value: one that is there already goes, its opposite is replaced. */
export function toggleFilter(filters, field, value, exclude = false) {
  const op = exclude ? "!=" : "=";
  const same = (each) => each.field === field && String(each.value) === String(value) && (each.value === null) === (value === null);
  const rest = filters.filter((each) => !same(each));
  return filters.some((each) => same(each) && each.op === op) ? rest : [...rest, { field, op, value }];
}

/** Whether two values of a state (JSON throughout) are the same. */
export const equal = (one, other) => JSON.stringify(one) === JSON.stringify(other);
