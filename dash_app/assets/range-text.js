// Ranges in words: what somebody may type ("now-3h", "yesterday", "1 Mar 2026 to 5 Mar 2026"), and what a chosen one is called.

import { formatTime, fromWall, toWall } from "./format.js";
import { absolute, CALENDAR, normalise, PRESETS, resolveRange } from "./range.js";

const UNITS = {
  s: ["s", "sec", "secs", "second", "seconds"], m: ["m", "min", "mins", "minute", "minutes"], h: ["h", "hr", "hrs", "hour", "hours"],
  d: ["d", "day", "days"], w: ["w", "week", "weeks"], M: ["mo", "month", "months"], y: ["y", "yr", "yrs", "year", "years"],
};
const NAMES = { s: "second", m: "minute", h: "hour", d: "day", w: "week", M: "month", y: "year" };
const MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
const DAY = 86_400_000;

function unitOf(word) {
  if (word === "M") return "M";
  const lower = word.toLowerCase();
  return Object.keys(UNITS).find((unit) => UNITS[unit].includes(lower)) ?? null;
}

/** A month by its English name or the first letters of it, from 0; null for other words. */
function monthOf(word) {
  const at = MONTHS.findIndex((name) => name.startsWith(word.toLowerCase()));
  return at < 0 ? null : at;
}

const monthsAfter = (at, count) => Date.UTC(new Date(at).getUTCFullYear(), new Date(at).getUTCMonth() + count, 1);

/** A wall-clock date or time as [start, end of what it names] in wall milliseconds, or null. `today`: the wall clock's midnight. */
function readDate(text, today) {
  const clock = /(?:^|[\sT])(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text);
  const rest = clock ? text.slice(0, clock.index).trim() : text;
  let start = null, length = DAY;
  const iso = /^(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?$/.exec(rest);
  const spoken = /^(\d{1,2})\.?\s+([a-z]{3})[a-z]*\.?(?:\s+(\d{4}))?$/i.exec(rest) ?? null;
  const american = /^([a-z]{3})[a-z]*\.?\s+(\d{1,2})(?:,?\s+(\d{4}))?$/i.exec(rest);
  const year = new Date(today).getUTCFullYear();
  const dated = (y, month, day) => {
    const at = Date.UTC(y, month, day);
    // 31 February rolls over to March, which nobody meant.
    return new Date(at).getUTCMonth() === month && new Date(at).getUTCDate() === day ? at : null;
  };
  const month = /^([a-z]{3,9})\.?(?:\s+(\d{4}))?$/i.exec(rest);
  const quarter = /^q([1-4])(?:\s*\/?\s*(\d{4}))?$/i.exec(rest) ?? /^()(\d{4})[\s-]*q([1-4])$/i.exec(rest);
  /** A month or a quarter without a year is the last one that has begun. */
  const begun = (number, y) => {
    const at = Date.UTC(Number(y ?? year), number, 1);
    return !y && at > today ? Date.UTC(year - 1, number, 1) : at;
  };
  if (!rest && clock) start = today;
  else if (month && !clock && monthOf(month[1]) !== null) {
    start = begun(monthOf(month[1]), month[2]);
    length = monthsAfter(start, 1) - start;
  } else if (quarter && !clock) {
    start = begun(3 * (Number(quarter[1] || quarter[3]) - 1), quarter[2]);
    length = monthsAfter(start, 3) - start;
  } else if (/^(last |previous |the last )?weekend$/i.test(rest) && !clock) {
    // The one that is over last, or has begun, where today is a Saturday or Sunday: Saturday and Sunday.
    const weekday = (new Date(today).getUTCDay() + 6) % 7;
    start = today - (weekday >= 5 && !/^(last|previous|the last)/i.test(rest) ? weekday - 5 : weekday + 2) * DAY;
    length = 2 * DAY;
  } else if (/^today$/i.test(rest)) start = today;
  else if (/^yesterday$/i.test(rest)) start = today - DAY;
  else if (iso && iso[3]) start = dated(Number(iso[1]), Number(iso[2]) - 1, Number(iso[3]));
  else if (iso && !clock) {
    start = dated(Number(iso[1]), iso[2] ? Number(iso[2]) - 1 : 0, 1);
    length = start === null ? 0 : monthsAfter(start, iso[2] ? 1 : 12) - start;
  } else if (spoken && monthOf(spoken[2]) !== null) start = dated(Number(spoken[3] ?? year), monthOf(spoken[2]), Number(spoken[1]));
  else if (american && monthOf(american[1]) !== null) start = dated(Number(american[3] ?? year), monthOf(american[1]), Number(american[2]));
  if (start === null) return null;
  if (!clock) return [start, start + length];
  const [hour, minute, second] = [Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0)];
  if (hour > 24 || minute > 59 || second > 59) return null;
  const at = start + ((hour * 60 + minute) * 60 + second) * 1000;
  return [at, at];
}

const isClock = (text) => /^now([+-/]|$)/.test(text.replace(/\s+/g, ""));

/**
 * What somebody typed as a range, or null where it means nothing.
 * @param {string} text such as "now-3h", "last 2 weeks", "yesterday", "this month", "2026-03-01 to 2026-03-05", "10:00 – 12:30"
 * @param {{now?: number, zone?: string}} [options]
 * @returns {{from: string, to: string} | null}
 */
export function parseRange(text, { now = Date.now(), zone } = {}) {
  const said = String(text).trim().replace(/\s+/g, " ").replace(/\bnow ?([+-]) ?(?=\d)/g, "now$1");
  const lower = said.toLowerCase();
  if (!said) return null;
  const known = [...PRESETS.map(([from, name]) => [from, "now", name]), ...CALENDAR].find(([, , name]) => name.toLowerCase() === lower);
  if (known) return { from: known[0], to: known[1] };
  if (lower === "today") return { from: "now/d", to: "now" };
  const rolling = /^(?:last |past |the last )?(\d{1,6})? ?([a-z]+)$/i.exec(said);
  const unit = rolling && (rolling[1] || /^(last|past|the last) /i.test(said)) ? unitOf(rolling[2]) : null;
  if (unit) return valid({ from: `now-${Number(rolling[1] ?? 1)}${unit}`, to: "now" }, now, zone);
  const calendar = /^(this|previous|prev) (hour|day|week|month|year)( so far)?$/.exec(lower);
  if (calendar) {
    const code = { hour: "h", day: "d", week: "w", month: "M", year: "y" }[calendar[2]];
    return calendar[1] === "this" ? { from: `now/${code}`, to: "now" } : { from: `now-1${code}/${code}`, to: `now/${code}` };
  }
  const parts = said.split(/ (?:to|until|till|–|—|-) |\s?\.\.\s?|\s?–\s?/i);
  if (parts.length > 2) return null;
  const today = Math.floor(toWall(now, zone) / DAY) * DAY;
  const ends = parts.map((part) => {
    const word = part.trim();
    if (isClock(word)) return { text: word.replace(/\s+/g, "") };
    // An instant with its own zone is exact; a date without one is of the wall clock here.
    if (/^\d{10,16}$/.test(word) || /\dT.*(Z|[+-]\d\d:?\d\d)$/i.test(word)) return { text: word };
    const read = readDate(word, today);
    return read && { start: read[0], end: read[1] };
  });
  if (ends.some((end) => !end)) return null;
  const first = ends[0].text ?? new Date(fromWall(ends[0].start, zone)).toISOString();
  const closing = ends[1] ?? (ends[0].text ? { text: "now" } : ends[0].end > ends[0].start ? ends[0] : { text: "now" });
  const last = closing.text ?? new Date(fromWall(closing.end, zone)).toISOString();
  return valid(normalise({ from: first, to: last }), now, zone);
}

const valid = (range, now, zone) => (resolveRange(range, now, zone) ? range : null);

/** A range in words: its name, "Last 45 minutes" for other rolling ones, or two times. */
export function describeRange(range, zone) {
  const from = String(range.from).trim(), to = String(range.to).trim();
  const named = [...PRESETS.map(([start, name]) => [start, "now", name]), ...CALENDAR].find(([start, end]) => start === from && end === to);
  if (named) return named[2];
  const match = to === "now" && /^now-(\d+)([smhdwMy])$/.exec(from);
  if (match) return `Last ${match[1] === "1" ? "" : `${match[1]} `}${NAMES[match[2]]}${match[1] === "1" ? "" : "s"}`;
  const read = resolveRange(range, Date.now(), zone);
  if (!read) return `${from} to ${to}`;
  const seconds = read.to - read.from < 10 * 60_000;
  if (to === "now") return `${formatTime(read.from, { zone, seconds })} – now`;
  const wall = [read.from, read.to].map((at) => toWall(at, zone));
  if (wall.every((at) => at % DAY === 0)) {
    // Whole days: without their midnights, and with the last day that is in it.
    const days = wall.map((at, i) => formatDay(at - (i ? DAY : 0)));
    return days[0] === days[1] ? days[0] : `${days[0]} – ${days[1]}`;
  }
  return `${formatTime(read.from, { zone, seconds })} – ${formatTime(read.to, { zone, seconds })}`;
}

const formatDay = (wall) => new Intl.DateTimeFormat(undefined, { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" }).format(wall);

/** The same range as two exact instants, for a link that shows tomorrow what is shown now. */
export function pinned(range, zone, now = Date.now()) {
  const read = resolveRange(range, now, zone);
  return read ? absolute(read.from, read.to) : range;
}
