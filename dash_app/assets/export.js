// A tile's frame as CSV, as spreadsheets and programs read it (RFC 4180): times in ISO 8601, numbers unrounded.

function field(value, column) {
  if (value == null) return "";
  if (column.type === "timestamp" && typeof value === "number") return new Date(value).toISOString();
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  let text = typeof value === "object" ? JSON.stringify(value) : String(value);
  // A spreadsheet would run a text that begins like a formula.
  if (/^[=+\-@\t\r]/.test(text) && !/^[+-]?\d+(\.\d+)?$/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {import("./frame.js").Frame} frame */
export function toCsv(frame) {
  const lines = [frame.columns.map((column) => field(column.name, { type: "text" })).join(",")];
  const count = frame.data[0]?.length ?? 0;
  for (let r = 0; r < count; r += 1) lines.push(frame.columns.map((column, c) => field(frame.data[c][r], column)).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

/** A title as the name of a file. */
export const fileName = (title) => title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").toLowerCase().slice(0, 80) || "data";

/** Offer a text (or a Blob) to the person as a file. */
export function download(name, content, type = "text/csv;charset=utf-8") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
