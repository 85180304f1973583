// Numbers, units and times as text. Everything goes through Intl, so that separators follow the reader's language, and
// formatters are cached, because making one costs more than using it a hundred times.

const cache = new Map();
const MINUS_DASH = "–";
const SPACE = "\u00a0"; // between number and unit; the narrow one vanishes in some system fonts

/** What stands where there is no value. */
export const NONE = MINUS_DASH;

function intl(kind, options) {
  const key = kind + JSON.stringify(options);
  let made = cache.get(key);
  if (!made) {
    made = new Intl[kind](undefined, options);
    cache.set(key, made);
  }
  return made;
}

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const DECIMAL = ["B", "kB", "MB", "GB", "TB", "PB"];
const SECONDS = { ns: 1e-9, "µs": 1e-6, us: 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600, d: 86400 };
const CURRENCIES = new Set(
  typeof Intl.supportedValuesOf === "function" ? Intl.supportedValuesOf("currency") : ["EUR", "USD", "GBP", "NOK", "JPY"],
);

/** Digits after the point that keep about `figures` significant figures, never more than six. */
function fitting(value, figures) {
  const size = Math.abs(value);
  if (!size || !Number.isFinite(size)) return 0;
  return Math.min(6, Math.max(0, figures - 1 - Math.floor(Math.log10(size))));
}

function plain(value, decimals, { compact = false, figures = 4, fixed = false } = {}) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-6 || size >= 1e15)) {
    return intl("NumberFormat", { notation: "scientific", maximumFractionDigits: decimals ?? 2 }).format(value);
  }
  if (compact && size >= 1e4) {
    return intl("NumberFormat", { notation: "compact", maximumFractionDigits: decimals ?? (size >= 1e5 && size < 1e6 ? 0 : 1) }).format(value);
  }
  const most = decimals ?? (Number.isInteger(value) ? 0 : fitting(value, figures));
  const least = decimals != null || fixed ? most : 0;
  return intl("NumberFormat", { minimumFractionDigits: least, maximumFractionDigits: most }).format(value);
}

function scaled(value, steps, base, decimals, options) {
  let power = 0;
  let rest = value;
  while (Math.abs(rest) >= base && power < steps.length - 1) {
    rest /= base;
    power += 1;
  }
  return [plain(rest, decimals, { figures: 3, ...options, compact: false }), steps[power]];
}

function duration(seconds, decimals, options) {
  const size = Math.abs(seconds);
  if (size === 0) return ["0", "s"];
  if (size < 1e-3) return [plain(seconds * 1e6, decimals, { ...options, figures: 3 }), "µs"];
  if (size < 1) return [plain(seconds * 1e3, decimals, { ...options, figures: 3 }), "ms"];
  if (size < 60) return [plain(seconds, decimals, { ...options, figures: 3 }), "s"];
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const whole = Math.round(size);
  const first = parts.findIndex(([, length]) => whole >= length);
  const [unit, length] = parts[first];
  const head = Math.floor(whole / length);
  const next = parts[first + 1];
  const tail = next ? Math.floor((whole - head * length) / next[1]) : 0;
  const sign = seconds < 0 ? "-" : "";
  return tail ? [`${sign}${head}${SPACE}${unit}${SPACE}${tail}`, next[0]] : [`${sign}${head}`, unit];
}

/**
 * A number and its unit, apart, so that a tile can set the unit smaller: `["21.4", "°C"]`.
 *
 * Known units are "percent" and "%" (12 → 12 %), "percentunit" (0.12 → 12 %), "bytes" (1024s), "decbytes" (1000s), either
 * with "/s"; durations "ns", "µs", "ms", "s", "min", "h", "d"; ISO currency codes; "short" (compact). Any other text is
 * put behind the number as it is.
 * @param {number | null | undefined} value
 * @param {{unit?: string | null, decimals?: number | null, compact?: boolean, figures?: number, fixed?: boolean}} [options]
 * @returns {[string, string]}
 */
export function numberParts(value, { unit, decimals, ...options } = {}) {
  if (value == null || typeof value !== "number" || !Number.isFinite(value)) return [NONE, ""];
  const digits = decimals ?? undefined;
  if (!unit) return [plain(value, digits, options), ""];
  if (unit === "short") return [plain(value, digits, { ...options, compact: true }), ""];
  if (unit === "percent" || unit === "%") return [plain(value, digits, { figures: 3, ...options }), "%"];
  if (unit === "percentunit") return [plain(value * 100, digits, { figures: 3, ...options }), "%"];
  const rate = unit.endsWith("/s") ? "/s" : "";
  const base = rate ? unit.slice(0, -2) : unit;
  if (base === "bytes") return join(scaled(value, BINARY, 1024, digits, options), rate);
  if (base === "decbytes" || base === "B") return join(scaled(value, DECIMAL, 1000, digits, options), rate);
  if (!rate && unit in SECONDS) return duration(value * SECONDS[unit], digits, options);
  if (CURRENCIES.has(unit)) return [currency(value, unit, digits, options.compact), ""];
  return [plain(value, digits, options), unit];
}

function join([number, unit], rate) {
  return [number, unit + rate];
}

function currency(value, code, decimals, compact) {
  const options = { style: "currency", currency: code, currencyDisplay: "narrowSymbol" };
  if (compact && Math.abs(value) >= 1e4) Object.assign(options, { notation: "compact", maximumFractionDigits: 1 });
  else if (decimals !== undefined) Object.assign(options, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return intl("NumberFormat", options).format(value);
}

/** A number with its unit as one text: "21.4 °C", "12%", "3 min 20 s", "1.2 MiB". */
export function formatNumber(value, options = {}) {
  const [number, unit] = numberParts(value, options);
  if (!unit) return number;
  return unit === "%" ? number + unit : number + SPACE + unit;
}

/** Decimals that a whole column can share: enough for its values, at most `most`. */
export function columnDecimals(values, most = 3) {
  let needed = 0;
  let largest = 0;
  for (const value of values) {
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    largest = Math.max(largest, Math.abs(value));
    for (let digits = needed; digits < most; digits += 1) {
      if (Math.abs(value - Number(value.toFixed(digits))) < 1e-9 * Math.max(1, Math.abs(value))) break;
      needed = digits + 1;
    }
  }
  if (largest >= 1000) return Math.min(needed, 1);
  return largest > 0 && largest < 0.1 ? Math.min(6, fitting(largest, 3)) : needed;
}

// --- Times ----------------------------------------------------------------------------------------------------------

const FIELDS = { hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" };

/** A zone name that this browser knows, or undefined for the browser's own. */
export function knownZone(zone) {
  if (!zone) return undefined;
  try {
    intl("DateTimeFormat", { timeZone: zone });
    return zone;
  } catch {
    return undefined;
  }
}

const offsets = new Map();

/** Milliseconds that local time in `zone` is ahead of UTC at `at` (zones change on quarter hours only, so that is the grain of the cache). */
export function zoneOffset(at, zone) {
  const slot = Math.floor(at / 900000);
  const key = `${zone ?? ""}|${slot}`;
  const known = offsets.get(key);
  if (known !== undefined) return known;
  const parts = {};
  const start = slot * 900000;
  const format = cachedWallFormat(zone);
  for (const { type, value } of format.formatToParts(start)) parts[type] = Number(value);
  const offset = Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second) - start;
  if (offsets.size > 5000) offsets.clear();
  offsets.set(key, offset);
  return offset;
}

const wallFormats = new Map();

function cachedWallFormat(zone) {
  let format = wallFormats.get(zone);
  if (!format) {
    // "en-US" only because its parts are plain digits; nothing of it is shown.
    format = new Intl.DateTimeFormat("en-US", { ...FIELDS, timeZone: zone });
    wallFormats.set(zone, format);
  }
  return format;
}

/** Epoch milliseconds → the same instant's wall clock in `zone`, as if it were UTC. */
export const toWall = (at, zone) => at + zoneOffset(at, zone);

/** The reverse. A wall time that a clock change skips or doubles gives one of its neighbours. */
export function fromWall(wall, zone) {
  const guess = wall - zoneOffset(wall, zone);
  return wall - zoneOffset(guess, zone);
}

const day = (at, zone) => Math.floor(toWall(at, zone) / 86400000);

/** "14:03:21" today, "Nov 22, 14:03:21" this year, with the year before that. */
export function formatTime(at, { zone, now = Date.now(), seconds = true } = {}) {
  if (at == null || !Number.isFinite(at)) return NONE;
  const clock = { hourCycle: "h23", hour: "2-digit", minute: "2-digit", timeZone: zone };
  if (seconds) clock.second = "2-digit";
  if (day(at, zone) === day(now, zone)) return intl("DateTimeFormat", clock).format(at);
  const sameYear = new Date(toWall(at, zone)).getUTCFullYear() === new Date(toWall(now, zone)).getUTCFullYear();
  return intl("DateTimeFormat", { ...clock, month: "short", day: "numeric", ...(sameYear ? {} : { year: "numeric" }) }).format(at);
}

/** Date, time and zone in full, for tooltips and titles. `every` (ms) leaves out what the bucket does not tell. */
export function formatFullTime(at, { zone, every } = {}) {
  if (at == null || !Number.isFinite(at)) return NONE;
  const fields = { weekday: "short", year: "numeric", month: "short", day: "numeric", timeZone: zone };
  if (!every || every < 86400000) Object.assign(fields, { hourCycle: "h23", hour: "2-digit", minute: "2-digit" });
  if (!every || every < 60000) fields.second = "2-digit";
  return intl("DateTimeFormat", fields).format(at);
}

const S = 1000, M = 60 * S, H = 60 * M, D = 24 * H;
const STEPS = [0.1 * S, 0.2 * S, 0.5 * S, S, 2 * S, 5 * S, 10 * S, 15 * S, 30 * S, M, 2 * M, 5 * M, 10 * M, 15 * M, 30 * M, H, 2 * H, 3 * H, 6 * H, 12 * H, D, 2 * D, 7 * D, 14 * D];
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120];

/**
 * Where a time axis is labelled, on round wall-clock times of `zone` (a chart library knows only the browser's zone).
 * @returns {{at: number, label: string, strong: boolean}[]} `strong`: the label opens a new day or year
 */
export function timeTicks(from, to, most, zone) {
  const span = to - from;
  if (!(span > 0) || most < 1) return [];
  const step = STEPS.find((each) => span / each <= most);
  const ticks = [];
  if (step) {
    // Weeks begin on Monday: the epoch was a Thursday.
    const shift = step % (7 * D) === 0 ? 4 * D : 0;
    const first = Math.ceil((toWall(from, zone) - shift) / step) * step + shift;
    for (let wall = first; ; wall += step) {
      const at = fromWall(wall, zone);
      if (at > to) break;
      if (at < from || (ticks.length && at <= ticks[ticks.length - 1].at)) continue;
      const midnight = wall % D === 0;
      const fields = midnight || step >= D ? { month: "short", day: "numeric" }
        : { hourCycle: "h23", hour: "2-digit", minute: "2-digit", ...(step < M ? { second: "2-digit" } : {}), ...(step < S ? { fractionalSecondDigits: 1 } : {}) };
      ticks.push({ at, label: intl("DateTimeFormat", { ...fields, timeZone: zone }).format(at), strong: midnight && step < D });
    }
    return ticks;
  }
  const months = MONTH_STEPS.find((each) => span / (each * 30.44 * D) <= most) ?? 120;
  const start = new Date(toWall(from, zone));
  let index = Math.floor((start.getUTCFullYear() * 12 + start.getUTCMonth()) / months) * months;
  for (; ; index += months) {
    const at = fromWall(Date.UTC(Math.floor(index / 12), index % 12, 1), zone);
    if (at > to) break;
    if (at < from) continue;
    const january = index % 12 === 0;
    ticks.push({ at, label: intl("DateTimeFormat", { ...(january ? { year: "numeric" } : { month: "short" }), timeZone: zone }).format(at), strong: january });
  }
  return ticks;
}
