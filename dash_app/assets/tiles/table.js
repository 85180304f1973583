// Rows as a table: sticky head with units, numbers to the right in equal decimals, newest first. Rows are kept by key, so
// that an update touches the cells that changed and nothing else; the DOM holds a bounded number of rows.

import { ago } from "../ago.js";
import { columnDecimals, formatFullTime, formatNumber, formatTime, NONE } from "../format.js";
import { isNumeric, timeColumn } from "../frame.js";
import { originOf } from "../lineage.js";

const MOST_ROWS = 200;
const LONGEST = 300; // characters of a text that are put into a cell
const HIDDEN = new Set(["_payload", "_index", "_received"]);

const HEADS = { time: "Time", _time: "Time", _received: "Received", _payload: "Payload", _index: "Index" };

/** The columns a table shows, with what is needed to write their cells. */
export function tableColumns(frame, options = {}) {
  const plain = frame.columns.some((column) => !column.name.startsWith("_"));
  const time = timeColumn(frame.columns);
  const key = new Set(frame.key ?? []);
  return frame.columns
    .map((column, at) => ({ ...column, at }))
    .filter(({ name }) => !plain || !HIDDEN.has(name))
    .map((column) => {
      // One unit for the tile means its values; counts and the like keep their own.
      const unit = column.unit ?? (isNumeric(column) && !key.has(column.name) ? options.unit : undefined);
      const inHead = isNumeric(column) && unit && !["bytes", "decbytes", "s", "ms", "percent", "%", "percentunit"].includes(unit) ? unit : "";
      const decimals = options.decimals ?? (column.type === "number" ? columnDecimals(frame.data[column.at]) : undefined);
      return { ...column, unit: inHead ? undefined : unit, inHead, decimals, head: HEADS[column.name] ?? column.name, isTime: column.at === time };
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

/** Renderer; see tiles.js. */
export function table(body, tile) {
  const scroll = document.createElement("div");
  scroll.className = "table-scroll tile-table";
  scroll.tabIndex = 0;
  const made = document.createElement("table");
  made.className = "table dense";
  const head = made.createTHead().insertRow();
  const rows = made.createTBody();
  const note = document.createElement("div");
  note.className = "table-note";
  scroll.append(made);
  body.append(scroll, note);
  const known = new Map();
  let shape = "";
  let zone;
  let linked = false;
  let drawn = false;

  // Relative times would need a clock for every cell; they are worked out when someone asks.
  scroll.addEventListener("pointerover", ({ target }) => {
    const cell = target instanceof Element ? target.closest("td[data-at]") : null;
    if (cell) cell.title = `${ago(Number(cell.dataset.at))} · ${formatFullTime(Number(cell.dataset.at), { zone })}`;
  });

  function writeHead(columns) {
    head.replaceChildren(...columns.map((column) => {
      const cell = document.createElement("th");
      cell.scope = "col";
      if (isNumeric(column)) cell.className = "num";
      cell.append(column.head);
      if (column.inHead) {
        const unit = document.createElement("span");
        unit.className = "unit";
        unit.textContent = ` ${column.inHead}`;
        cell.append(unit);
      }
      return cell;
    }));
    if (linked) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.className = "origin";
      cell.setAttribute("aria-label", "Where it comes from");
      head.append(cell);
    }
  }

  /** The last cell of a row leads to what it was made of. */
  function writeOrigin(row, frame, r, context) {
    const origin = originOf(frame, r, tile.query, context);
    let link = row.lastElementChild?.classList.contains("origin") ? row.lastElementChild.firstElementChild : null;
    if (!link) {
      const cell = row.insertCell();
      cell.className = "origin";
      link = document.createElement("a");
      cell.append(link);
    }
    if (!origin) {
      for (const name of ["href", "aria-label"]) link.removeAttribute(name);
      link.textContent = "";
      return;
    }
    if (link.getAttribute("href") === origin.href) return;
    link.href = origin.href;
    link.textContent = origin.text;
    link.setAttribute("aria-label", origin.label);
  }

  return {
    draw(frame, context) {
      zone = context.zone;
      const columns = tableColumns(frame, tile.options);
      const count = frame.data[0]?.length ?? 0;
      // One row that leads somewhere is enough for the column; the cell of one that does not stays empty.
      linked = Boolean(context.lineage) && frame.data[0]?.some((_, r) => originOf(frame, r, tile.query, context) !== null) === true;
      const next = JSON.stringify([columns, zone ?? "", linked]);
      if (next !== shape) {
        const before = shape;
        shape = next;
        writeHead(columns);
        if (before && (JSON.parse(before)[2] !== linked || JSON.parse(before)[0].map((c) => c.name).join() !== columns.map((c) => c.name).join())) {
          known.clear();
          rows.replaceChildren();
        }
      }
      // Records come newest first; buckets oldest first, and a table of them is read from the newest too.
      const reverse = timeColumn(frame.columns) >= 0 && !frame.key.includes("_payload");
      const total = Math.min(count, MOST_ROWS);
      const kept = new Set();
      let cursor = rows.firstChild;
      for (let i = 0; i < total; i += 1) {
        const r = reverse ? count - 1 - i : i;
        const id = frame.ids?.[r] ?? String(r);
        kept.add(id);
        let row = known.get(id);
        if (!row) {
          row = document.createElement("tr");
          for (const column of columns) {
            const cell = row.insertCell();
            if (isNumeric(column) || column.type === "timestamp") cell.className = isNumeric(column) ? "num" : "when";
          }
          if (drawn && frame.key.length) row.className = "is-new";
          known.set(id, row);
        }
        columns.forEach((column, c) => {
          const value = frame.data[column.at][r];
          const cell = row.cells[c];
          const text = cellText(value, column, zone);
          if (cell.textContent !== text) {
            cell.textContent = text;
            cell.classList.toggle("none", value == null);
            if (column.type === "timestamp" && typeof value === "number") cell.dataset.at = String(value);
            else if (text.length > 24) cell.title = text;
          }
        });
        if (linked) writeOrigin(row, frame, r, context);
        if (row === cursor) cursor = cursor.nextSibling;
        else rows.insertBefore(row, cursor);
      }
      for (const [id, row] of known) {
        if (kept.has(id)) continue;
        row.remove();
        known.delete(id);
      }
      drawn = true;
      note.textContent = count > total ? `Newest ${total} of ${count.toLocaleString()} rows` : "";
      return { unit: "", latest: "" };
    },
    dispose() {},
  };
}
