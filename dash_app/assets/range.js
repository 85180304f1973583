// Time ranges as addresses and documents write them: "now-24h", "now", "now-1d/d", ISO 8601, or epoch milliseconds. A range
// is kept as text ({from, to}) until it must become numbers, so that "the last hour" goes on meaning the last hour. The
// server reads the same grammar in the same way (docs/query.md): days and longer go by the calendar of the zone.

import { fromWall, toWall } from "./format.js";

const LENGTHS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const RELATIVE = /^now((?:[+-]\d{1,6}[smhdwMy]|\/[smhdwMy])*)$/;
const STEP = /([+-])(\d{1,6})([smhdwMy])|\/([smhdwMy])/g;
/** The epoch was a Thursday, and weeks begin on Monday. */
const MONDAY = 4 * LENGTHS.d;

/** The ranges on offer that move with the clock, shortest first. */
export const PRESETS = [
  ["now-5m", "Last 5 minutes"], ["now-15m", "Last 15 minutes"], ["now-1h", "Last hour"], ["now-6h", "Last 6 hours"],
  ["now-24h", "Last 24 hours"], ["now-7d", "Last 7 days"], ["now-30d", "Last 30 days"], ["now-90d", "Last 90 days"], ["now-1y", "Last year"],
];

/** The ranges on offer that the calendar cuts. */
export const CALENDAR = [
  ["now/d", "now", "Today so far"], ["now-1d/d", "now/d", "Yesterday"], ["now/w", "now", "This week so far"], ["now-1w/w", "now/w", "Previous week"],
  ["now/M", "now", "This month so far"], ["now-1M/M", "now/M", "Previous month"], ["now/y", "now", "This year so far"], ["now-1y/y", "now/y", "Previous year"],
];

/** What a view can be compared with: the server's word and ours. */
export const SHIFTS = [
  ["previous", "Period before"], ["1h", "Hour before"], ["1d", "Day before"], ["1w", "Week before"], ["1M", "Month before"], ["1y", "Year before"],
];

const bare = (text) => String(text).trim().replace(/\s+/g, "");
const isClock = (text) => RELATIVE.test(bare(text));

/** The beginning of the second, minute … year that `at` lies in, by the wall clock of `zone`. */
export function floorTo(at, unit, zone) {
  const wall = toWall(at, zone);
  if (unit === "M" || unit === "y") {
    const day = new Date(wall);
    return fromWall(Date.UTC(day.getUTCFullYear(), unit === "M" ? day.getUTCMonth() : 0, 1), zone);
  }
  const shift = unit === "w" ? MONDAY : 0;
  const floored = Math.floor((wall - shift) / LENGTHS[unit]) * LENGTHS[unit] + shift;
  // Within an hour the offset stands still; across a day it may have changed.
  return unit === "d" || unit === "w" ? fromWall(floored, zone) : at - (wall - floored);
}

/** `count` units later (or earlier). A day later is the same time on the wall clock, however long that day was. */
export function moveBy(at, count, unit, zone) {
  if (unit === "s" || unit === "m" || unit === "h") return at + count * LENGTHS[unit];
  const wall = toWall(at, zone);
  if (unit === "d" || unit === "w") return fromWall(wall + count * LENGTHS[unit], zone);
  const day = new Date(wall);
  const months = day.getUTCFullYear() * 12 + day.getUTCMonth() + count * (unit === "y" ? 12 : 1);
  const year = Math.floor(months / 12), month = months - year * 12;
  const longest = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const first = Date.UTC(year, month, Math.min(day.getUTCDate(), longest));
  return fromWall(first + (wall - Math.floor(wall / LENGTHS.d) * LENGTHS.d), zone);
}

/** One end of a range in epoch ms, or null when the text is neither relative nor a date. `zone`: absent, the browser's. */
export function resolveInstant(text, now = Date.now(), zone = undefined) {
  const expression = String(text).trim();
  const relative = RELATIVE.exec(bare(expression));
  if (relative) {
    let at = now;
    for (const [, sign, count, unit, snap] of relative[1].matchAll(STEP)) {
      at = snap ? floorTo(at, snap, zone) : moveBy(at, sign === "-" ? -Number(count) : Number(count), unit, zone);
    }
    return Number.isFinite(at) ? at : null;
  }
  const at = /^\d{10,16}$/.test(expression) ? Number(expression) : Date.parse(expression);
  return Number.isFinite(at) ? at : null;
}

/** `{from, to}` in epoch ms, or null when either end cannot be read or the end does not come after the start. */
export function resolveRange(range, now = Date.now(), zone = undefined) {
  const from = resolveInstant(range.from, now, zone);
  const to = resolveInstant(range.to, now, zone);
  return from === null || to === null || to <= from ? null : { from, to };
}

/** Whether the range moves with the clock. */
export const isRelative = (range) => isClock(range.to);

/** An absolute range from two instants in epoch ms, as ISO text. */
export const absolute = (from, to) => ({ from: new Date(Math.round(from)).toISOString(), to: new Date(Math.round(to)).toISOString() });

/** Epoch milliseconds become ISO, spaces go; everything else stays. The server reads relative texts and ISO. */
export function normalise(range) {
  const end = (text) => {
    const word = String(text).trim();
    if (/^\d{10,16}$/.test(word)) return new Date(Number(word)).toISOString();
    return isClock(word) ? bare(word) : word;
  };
  return { from: end(range.from), to: end(range.to) };
}

/**
 * The range with the ends that a calendar cuts ("now/d") as ISO text: tiles know no zone, and everybody who looks today
 * then asks for the same. It has to be asked for again when the day is over.
 */
export function settle(range, now = Date.now(), zone = undefined) {
  const end = (text) => {
    const at = isClock(text) && String(text).includes("/") ? resolveInstant(text, now, zone) : null;
    return at === null ? text : new Date(at).toISOString();
  };
  return { from: end(range.from), to: end(range.to) };
}

/** The window of the same length before it (`direction` -1) or after it (1), absolute. */
export function step(range, direction, now = Date.now(), zone = undefined) {
  const read = resolveRange(range, now, zone);
  if (!read) return range;
  const length = (read.to - read.from) * direction;
  return absolute(read.from + length, read.to + length);
}

/** Twice as much around the same middle, but nothing beyond now that was not shown before; "last 6 hours" becomes "last 12 hours". */
export function widen(range, now = Date.now(), zone = undefined) {
  const rolling = /^now-(\d{1,5})([smhdwMy])$/.exec(range.from);
  if (rolling && range.to === "now") return { from: `now-${Number(rolling[1]) * 2}${rolling[2]}`, to: "now" };
  const read = resolveRange(range, now, zone);
  if (!read) return range;
  const half = (read.to - read.from) / 2;
  const last = Math.max(now, read.to);
  const to = Math.min(read.to + half, last);
  return absolute(to - 4 * half, to);
}
