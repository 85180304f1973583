// Frames: what a tile draws. The server sends columns; a FrameStore keeps the rows of one subscription, lays updates over
// them by key (the same update twice changes nothing), and lets go of what slides out of the range or past the limit.

/**
 * @typedef {{name: string, type: "timestamp" | "text" | "number" | "integer" | "boolean" | "json", unit?: string}} Column
 * @typedef {{columns: Column[], data: any[][], from: number | null, to: number | null, every: number | null,
 *   bucket: string | null, timezone: string | null, key: string[], at: number | null, last: number | null,
 *   order: string | null, next: string | null}} Frame
 *   Times are epoch milliseconds; `data[c][r]` is column c of row r; `every` is the bucket's mean length, `bucket` its
 *   length on the calendar of `timezone`, such as 1M. `order`: the column that records are sorted by, with `-` before it
 *   for the greatest first; `next`: where the page after this one begins.
 */

/** The column that orders rows: the bucket of an aggregate, the time of a record. */
export function timeColumn(columns) {
  const at = columns.findIndex((column) => column.name === "time" && column.type === "timestamp");
  return at >= 0 ? at : columns.findIndex((column) => column.name === "_time");
}

export const isNumeric = (column) => column.type === "number" || column.type === "integer";

/** `_payload` ids are 64-bit and travel as text: longer is larger, then digit by digit. */
const compareIds = (a, b) => {
  const left = String(a), right = String(b);
  return left.length - right.length || (left < right ? -1 : left > right ? 1 : 0);
};

/** Two values in order, whatever they are; no value comes last in either direction. */
export function byColumn(a, b, descending = false) {
  if (a == null || b == null) return (a == null) - (b == null);
  const order = typeof a === "number" && typeof b === "number" ? a - b : typeof a === "boolean" ? Number(a) - Number(b) : compareText(label(a), label(b));
  return descending ? -order : order;
}

const collator = new Intl.Collator(undefined, { numeric: true });
const compareText = (a, b) => collator.compare(a, b);

export class FrameStore {
  /** @param {{limit?: number | null}} [options] `limit`: rows kept of a table of records */
  constructor({ limit = null } = {}) {
    this.limit = limit;
    this.clear();
  }

  clear() {
    /** @type {Column[]} */ this.columns = [];
    this.rows = new Map();
    this.key = [];
    this.from = this.to = this.every = this.bucket = this.timezone = this.at = this.last = this.order = this.next = null;
    this.ordered = null;
    this.filled = false;
  }

  /** Take a snapshot or an update. An update of other columns than ours (a mapping changed) replaces like a snapshot. */
  apply(message) {
    const { columns, data } = message;
    // An update of nothing changes nothing.
    if (message.kind === "update" && !columns.length) return;
    const same = this.filled && columns.length === this.columns.length && columns.every((column, i) => column.name === this.columns[i].name && column.type === this.columns[i].type);
    const key = message.key ?? [];
    if (message.kind === "snapshot" || !same || !key.length) this.rows.clear();
    this.columns = columns;
    this.key = key;
    this.every = message.every ?? null;
    this.bucket = message.bucket ?? null;
    this.timezone = message.timezone ?? null;
    this.at = message.at ?? this.at;
    this.order = message.order ?? null;
    if (message.last !== undefined) this.last = message.last;
    if (message.next !== undefined || message.kind === "snapshot") this.next = message.next ?? null;
    if (message.kind === "snapshot" || !this.filled) {
      this.from = message.from ?? null;
      this.to = message.to ?? null;
    }
    const keyed = key.map((name) => columns.findIndex((column) => column.name === name));
    const count = data.length ? data[0].length : 0;
    for (let r = 0; r < count; r += 1) {
      const row = data.map((column) => column[r]);
      // JSON of the parts: no separator can be forged by a text value.
      const id = keyed.length ? JSON.stringify(keyed.map((c) => (c < 0 ? null : row[c]))) : String(r);
      this.rows.set(id, row);
    }
    this.filled = true;
    this.ordered = null;
    this.trim();
  }

  get isRecords() {
    return this.key.includes("_payload");
  }

  /** Drop the rows whose bucket ended before `from` (epoch ms). */
  slide(from) {
    const time = timeColumn(this.columns);
    if (time < 0 || from == null) return;
    const edge = from - (this.every ?? 0);
    let dropped = false;
    for (const [id, row] of this.rows) {
      if (typeof row[time] === "number" && row[time] <= edge && row[time] < from) {
        this.rows.delete(id);
        dropped = true;
      }
    }
    if (dropped) this.ordered = null;
  }

  trim() {
    if (!this.isRecords || !this.limit || this.rows.size <= this.limit) return;
    const kept = this.sorted().slice(0, this.limit);
    this.rows = new Map(kept);
    this.ordered = kept;
  }

  /** Entries in drawing order: as asked for, else buckets oldest first, records newest first, rows without time as they came. */
  sorted() {
    if (this.ordered) return this.ordered;
    const entries = [...this.rows];
    const asked = this.order && this.isRecords ? this.columns.findIndex((column) => column.name === this.order.replace(/^-/, "")) : -1;
    if (asked >= 0) {
      entries.sort(([, a], [, b]) => byColumn(a[asked], b[asked], this.order.startsWith("-")));
      this.ordered = entries;
      return entries;
    }
    const time = timeColumn(this.columns);
    if (time >= 0) {
      const name = (wanted) => this.columns.findIndex((column) => column.name === wanted);
      const payload = name("_payload"), index = name("_index");
      const sign = this.isRecords ? -1 : 1;
      entries.sort(([, a], [, b]) =>
        sign * ((a[time] ?? 0) - (b[time] ?? 0)
          || (payload >= 0 ? compareIds(a[payload], b[payload]) : 0)
          || (index >= 0 ? a[index] - b[index] : 0)));
    }
    this.ordered = entries;
    return entries;
  }

  /** @returns {Frame & {ids: string[]}} */
  frame() {
    const entries = this.sorted();
    return {
      columns: this.columns,
      data: this.columns.map((_, c) => entries.map(([, row]) => row[c])),
      ids: entries.map(([id]) => id),
      from: this.from, to: this.to, every: this.every, bucket: this.bucket, timezone: this.timezone, key: this.key, at: this.at, last: this.last,
      order: this.order, next: this.next,
    };
  }
}

/**
 * Split a frame into dimensions and values: `by` columns (the key without the time; without a key whatever is no number)
 * and numeric columns.
 */
export function roles(frame) {
  const time = timeColumn(frame.columns);
  const keyed = new Set(frame.key ?? []);
  const dimensions = [];
  const values = [];
  frame.columns.forEach((column, c) => {
    if (c === time || column.name === "_payload" || column.name === "_index" || column.name === "_received") return;
    if (keyed.size ? keyed.has(column.name) : !isNumeric(column)) dimensions.push(c);
    else if (isNumeric(column)) values.push(c);
  });
  return { time, dimensions, values };
}

/** How a dimension's value reads: text as it is, no value as a dash. */
export const label = (value) => (value == null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));

/**
 * One series for every value column and combination of dimensions, in order of `order` (names seen before) and then of
 * appearance, so that a series keeps its colour while data come and go.
 * `by` are the values of its dimensions, by field.
 * @returns {{name: string, unit: string | undefined, column: string, by: Record<string, any>, points: [number, number | null][]}[]}
 */
export function seriesOf(frame, order = []) {
  const { time, dimensions, values } = roles(frame);
  if (time < 0) return [];
  const found = new Map();
  const times = frame.data[time];
  for (let r = 0; r < times.length; r += 1) {
    const named = dimensions.map((c) => label(frame.data[c][r])).join(" · ");
    for (const c of values) {
      const column = frame.columns[c];
      const name = !dimensions.length ? column.name : values.length > 1 ? `${named} · ${column.name}` : named;
      let series = found.get(name);
      if (!series) {
        series = { name, unit: column.unit, column: column.name, by: Object.fromEntries(dimensions.map((d) => [frame.columns[d].name, frame.data[d][r] ?? null])), points: [] };
        found.set(name, series);
      }
      series.points.push([times[r], frame.data[c][r]]);
    }
  }
  const names = [...order.filter((name) => found.has(name)), ...[...found.keys()].filter((name) => !order.includes(name))];
  return names.map((name) => found.get(name));
}

/** How far apart the points of a series usually are: its buckets, or the data's own beat where that is slower than they are. */
export function beatOf(points, every) {
  if (!every || points.length < 3) return every;
  const steps = points.slice(1).map(([at], i) => at - points[i][0]).sort((a, b) => a - b);
  return Math.max(every, steps[Math.floor((steps.length - 1) / 2)]);
}

/** Put a null where points are missing, so that a line breaks instead of inventing what happened between. */
export function withGaps(points, every) {
  if (!every) return points;
  const beat = beatOf(points, every);
  const out = [];
  for (let i = 0; i < points.length; i += 1) {
    if (i && points[i][0] - points[i - 1][0] > 1.5 * beat) out.push([points[i - 1][0] + every, null]);
    out.push(points[i]);
  }
  return out;
}
