// What a table shows of a frame: which columns, in which order, how their cells read and how they are coloured.

import { colorAt, readable, schemeColors } from "../color.js";
import { columnDecimals, formatNumber, formatTime, NONE } from "../format.js";
import { isNumeric, timeColumn } from "../frame.js";
import { thresholdColor, thresholdFor } from "../theme-values.js";

const LONGEST = 300; // characters of a text that are put into a cell
const HIDDEN = new Set(["_payload", "_index", "_received"]);
const HEADS = { time: "Time", _time: "Time", _received: "Received", _payload: "Payload", _index: "Index" };
/** Units that are written at each number, because they change with its size. */
const AT_NUMBER = new Set(["bytes", "decbytes", "s", "ms", "percent", "%", "percentunit"]);

/** The columns a table shows, with what is needed to write their cells. */
export function tableColumns(frame, options = {}) {
  const plain = frame.columns.some((column) => !column.name.startsWith("_"));
  const time = timeColumn(frame.columns);
  const key = new Set(frame.key ?? []);
  const wanted = new Map((options.columns ?? []).map((column, place) => [column.field, { ...column, place }]));
  return frame.columns
    .map((column, at) => ({ ...column, at, own: wanted.get(column.name) ?? {} }))
    .filter(({ name, own }) => !own.hidden && (!plain || !HIDDEN.has(name) || own.field))
    // The time that nobody has put anywhere stays in front.
    .sort((a, b) => (a.own.place ?? (a.at === time ? -1 : 1000 + a.at)) - (b.own.place ?? (b.at === time ? -1 : 1000 + b.at)))
    .map(({ own, ...column }) => {
      // One unit for the tile means its values; counts and the like keep their own.
      const unit = own.unit ?? column.unit ?? (isNumeric(column) && !key.has(column.name) ? options.unit : undefined);
      const inHead = isNumeric(column) && unit && !AT_NUMBER.has(unit) && !/^[A-Z]{3}$/.test(unit) ? unit : "";
      const decimals = own.decimals ?? options.decimals ?? (column.type === "number" && !unit?.match(/^[A-Z]{3}$/) ? columnDecimals(frame.data[column.at]) : undefined);
      return { ...column, unit: inHead ? undefined : unit, inHead, decimals, color: own.color ?? "none", head: own.title || (HEADS[column.name] ?? column.name), isTime: column.at === time };
    });
}

/** One cell's text. */
export function cellText(value, column, zone) {
  if (value == null) return NONE;
  if (column.type === "timestamp") return typeof value === "number" ? formatTime(value, { zone }) : String(value);
  if (isNumeric(column) && typeof value === "number") return formatNumber(value, { unit: column.unit, decimals: column.type === "integer" && !column.unit ? 0 : column.decimals });
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

/** What colours a column's cells: a function from a value to custom properties of the cell, or null. */
export function paintOf(column, values, options, theme) {
  if (column.color === "none" || !isNumeric(column)) return null;
  if (column.color === "thresholds") {
    return (value) => {
      const reached = thresholdFor(value, options.thresholds);
      const color = reached && thresholdColor(reached.color, theme, true);
      return color ? { className: "toned", vars: { "--tone": color } } : null;
    };
  }
  const known = values.filter((value) => typeof value === "number");
  const low = Math.min(0, ...known), high = Math.max(0, ...known);
  if (column.color === "bar") {
    return (value) => {
      if (typeof value !== "number" || high === low) return null;
      const share = (at) => `${((100 * (at - low)) / (high - low)).toFixed(1)}%`;
      return { className: "barred", vars: { "--from": share(Math.min(0, value)), "--to": share(Math.max(0, value)), "--tone": value < 0 ? theme.series[1] : theme.series[0] } };
    };
  }
  const least = Math.min(...known), most = Math.max(...known);
  const colors = schemeColors("blue", theme);
  return (value) => {
    if (typeof value !== "number") return null;
    const ground = colorAt(colors, most === least ? 0.5 : (value - least) / (most - least));
    return { className: "heated", vars: { "--ground": ground, "--ink": readable(ground, theme.text, theme.surface) } };
  };
}
