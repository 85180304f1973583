// Buckets that are cut off: the newest one, which still fills, and the first one, of which only a part lies in the range.
// What is counted or summed is smaller there than it will be or was, and must not look as if it had fallen.

/** Aggregates that grow while a bucket fills. */
const GROWING = new Set(["count", "sum", "count_distinct"]);

/** Columns of a query's answer that grow while a bucket fills. */
export function growingColumns(query) {
  const select = query?.select?.length ? query.select : [{ agg: "count" }];
  return new Set(select.filter(({ agg }) => GROWING.has(agg)).map(({ as, field, agg }) => as || (field ? `${field}_${agg}` : agg)));
}

/** When the bucket that begins at `at` ends (epoch ms). Months and years are as long as the calendar says. */
export function bucketEnd(at, { every, bucket }) {
  const found = /^(\d+)([My])$/.exec(bucket ?? "");
  if (!found) return at + every;
  // Whatever the zone, some hours after a month's beginning it is that month in UTC as well.
  const within = new Date(at + 14 * 3_600_000);
  const [year, month] = [within.getUTCFullYear(), within.getUTCMonth()];
  const months = Number(found[1]) * (found[2] === "y" ? 12 : 1);
  return at + Date.UTC(year, month + months, 1) - Date.UTC(year, month, 1);
}

/**
 * Which of a series' points are cut off, as {first, last}: at its beginning, at its end. Neither where too little would be
 * left to be drawn.
 * @param {[number, number | null][]} points @param {import("../frame.js").Frame} frame
 * @param {{to?: number | null, now?: number | null}} size the end of the range and the present, epoch ms
 */
export function cutOff(points, frame, { to = null, now = null }) {
  const none = { first: false, last: false };
  if (!frame.every || !points.length) return none;
  const until = Math.min(to ?? Infinity, now ?? Infinity);
  const first = frame.from != null && points[0][0] < frame.from;
  const last = bucketEnd(points.at(-1)[0], frame) > until;
  return points.length - Number(first) - Number(last) < 2 ? none : { first, last };
}

/** The points that stand for whole buckets. */
export const wholePoints = (points, { first, last }) => points.slice(first ? 1 : 0, last ? -1 : undefined);

/** What leads from whole buckets to the cut ones, as pieces of a line with a gap between them. */
export function cutPieces(points, { first, last }) {
  const head = first ? points.slice(0, 2) : [];
  const tail = last ? points.slice(-2) : [];
  return head.length && tail.length ? [...head, [(head[1][0] + tail[0][0]) / 2, null], ...tail] : [...head, ...tail];
}
