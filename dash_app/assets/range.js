// Time ranges as people and addresses write them: "now-24h", "now", ISO 8601, or epoch milliseconds. A range is kept as
// text ({from, to}) until it must become numbers, so that "the last hour" goes on meaning the last hour.

const UNITS = { s: 1000, m: 60000, h: 3600000, d: 86400000, w: 604800000, M: 2629800000, y: 31557600000 };
const RELATIVE = /^now(?:\s*([+-])\s*(\d{1,6})([smhdwMy]))?$/;

/** The ranges on offer, shortest first. */
export const PRESETS = [
  ["now-5m", "Last 5 minutes"], ["now-15m", "Last 15 minutes"], ["now-1h", "Last hour"], ["now-6h", "Last 6 hours"],
  ["now-24h", "Last 24 hours"], ["now-7d", "Last 7 days"], ["now-30d", "Last 30 days"], ["now-90d", "Last 90 days"], ["now-1y", "Last year"],
];

/** One end of a range in epoch ms, or null when the text is neither relative nor a date. Months and years are mean lengths. */
export function resolveInstant(text, now = Date.now()) {
  const expression = String(text).trim();
  const relative = RELATIVE.exec(expression);
  if (relative) {
    const [, sign, count, unit] = relative;
    return count ? now + (sign === "-" ? -1 : 1) * Number(count) * UNITS[unit] : now;
  }
  const at = /^\d{10,16}$/.test(expression) ? Number(expression) : Date.parse(expression);
  return Number.isFinite(at) ? at : null;
}

/** `{from, to}` in epoch ms, or null when either end cannot be read or the end does not come after the start. */
export function resolveRange(range, now = Date.now()) {
  const from = resolveInstant(range.from, now);
  const to = resolveInstant(range.to, now);
  return from === null || to === null || to <= from ? null : { from, to };
}

/** Whether the range moves with the clock. */
export const isRelative = (range) => RELATIVE.test(String(range.to).trim()) && String(range.to).trim().startsWith("now");

/** An absolute range from two instants in epoch ms, as ISO text. */
export const absolute = (from, to) => ({ from: new Date(Math.round(from)).toISOString(), to: new Date(Math.round(to)).toISOString() });

/** Epoch milliseconds become ISO; everything else stays. The server reads relative texts and ISO. */
export function normalise(range) {
  const end = (text) => (/^\d{10,16}$/.test(String(text).trim()) ? new Date(Number(text)).toISOString() : String(text).trim());
  return { from: end(range.from), to: end(range.to) };
}
