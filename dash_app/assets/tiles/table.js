// Rows as a table: sticky head with units, numbers to the right in equal decimals, newest first. Rows are kept by key, so
// that an update touches the cells that changed and nothing else; the DOM holds one page.
//
// Rows of an aggregate are all here, and are sorted, filtered and divided into pages here. Records may be millions: the
// server sorts, filters and divides them, and here is one page.

import { ago } from "../ago.js";
import { make, write } from "../elements.js";
import { formatFullTime } from "../format.js";
import { byColumn, isNumeric, label, timeColumn } from "../frame.js";
import { originOf } from "../lineage.js";
import { meets, toWhere } from "./column-filter.js";
import { filterItems, PointMenu } from "./point-menu.js";
import { cellText, paintOf, tableColumns } from "./table-columns.js";
import { TableHead } from "./table-head.js";

export { cellText, tableColumns };
export const needs = "any columns";

const MOST_ROWS = 500;
const PAINTS = ["--tone", "--from", "--to", "--ground", "--ink"];

/** Rows of a frame as indexes: filtered, sorted. */
export function arranged(frame, order, filters) {
  const count = frame.data[0]?.length ?? 0;
  let rows = [...Array(count).keys()];
  const at = (name) => frame.columns.findIndex((column) => column.name === name);
  for (const [name, condition] of filters) {
    const c = at(name);
    if (c >= 0) rows = rows.filter((r) => meets(frame.data[c][r], condition));
  }
  const sorted = order ? at(order.name) : -1;
  // Records come newest first; buckets oldest first, and a table of them is read from the newest too.
  if (sorted >= 0) rows.sort((a, b) => byColumn(frame.data[sorted][a], frame.data[sorted][b], order.down));
  else if (timeColumn(frame.columns) >= 0 && !frame.key.includes("_payload")) rows.reverse();
  return rows;
}

/** Renderer; see tiles.js. */
export function table(body, tile) {
  const scroll = make("div", "table-scroll tile-table", body);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "Rows");
  const made = make("table", "table dense", scroll);
  const head = new TableHead(made, { sort: (name) => sort(name), filter: (name, condition) => filter(name, condition) });
  const rows = made.createTBody();
  const bar = make("div", "pager", body);
  const filterButton = make("button", "pager-button", bar, "Filter");
  filterButton.type = "button";
  filterButton.setAttribute("aria-pressed", "false");
  const note = make("span", "table-note", bar);
  const turn = (text, title, step) => {
    const button = make("button", "pager-button", bar, text);
    button.type = "button";
    button.title = title;
    button.setAttribute("aria-label", title);
    button.addEventListener("click", () => go(step));
    return button;
  };
  const earlier = turn("‹", "Page before", -1);
  const later = turn("›", "Next page", 1);
  const menu = new PointMenu(body);
  const known = new Map();
  const filters = new Map();
  let order = null;
  let page = 0;
  let cursors = []; // where the pages before this one begin; the first begins at the top
  let shape = "";
  let zone;
  let linked = false;
  let drawn = false;
  let last = null;

  // Relative times would need a clock for every cell; they are worked out when someone asks.
  scroll.addEventListener("pointerover", ({ target }) => {
    const cell = target instanceof Element ? target.closest("td[data-at]") : null;
    if (cell) cell.title = `${ago(Number(cell.dataset.at))} · ${formatFullTime(Number(cell.dataset.at), { zone })}`;
  });
  filterButton.addEventListener("click", () => filterButton.setAttribute("aria-pressed", String(head.toggleFilters())));
  rows.addEventListener("click", (event) => cellMenu(event));

  const onServer = () => Boolean(last?.context.ask) && last.frame.key.includes("_payload");

  function sort(name) {
    const numeric = last && isNumeric(last.frame.columns.find((column) => column.name === name) ?? {});
    // Numbers first from the greatest, texts first from the least; a third press gives the first order back.
    if (order?.name !== name) order = { name, down: Boolean(numeric) };
    else order = order.down === Boolean(numeric) ? { name, down: !numeric } : null;
    head.sorted(order);
    fromStart();
  }

  function filter(name, condition) {
    if (JSON.stringify(filters.get(name) ?? null) === JSON.stringify(condition)) return;
    if (condition) filters.set(name, condition);
    else filters.delete(name);
    fromStart();
  }

  function fromStart() {
    page = 0;
    cursors = [];
    if (onServer()) request(null);
    else again();
  }

  function request(cursor) {
    const query = last.context.tile?.query ?? {};
    const conditions = [query.where && filters.size ? `(${query.where})` : query.where, ...[...filters].map(([name, condition]) => toWhere(name, condition))].filter(Boolean);
    last.context.ask({
      ...(order ? { order: `${order.down ? "-" : ""}${order.name}` } : {}),
      ...(filters.size ? { where: conditions.join(" and ") } : {}),
      ...(cursor ? { cursor } : {}),
    });
  }

  function go(step) {
    if (!last) return;
    if (!onServer()) {
      page += step;
      again();
    } else if (step > 0 && last.frame.next) {
      cursors.push(last.frame.next);
      page += 1;
      request(last.frame.next);
    } else if (step < 0 && page > 0) {
      cursors.pop();
      page -= 1;
      request(cursors.at(-1) ?? null);
    }
    scroll.scrollTop = 0;
  }

  const again = () => last && draw(last.frame, last.context);

  /** The last cell of a row leads to what it was made of. */
  function writeOrigin(row, frame, r, context) {
    const origin = originOf(frame, r, context.tile?.query ?? tile.query, context);
    let link = row.lastElementChild?.classList.contains("origin") ? row.lastElementChild.firstElementChild : null;
    if (!link) {
      const cell = row.insertCell();
      cell.className = "origin";
      link = make("a", "", cell);
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

  function cellMenu(event) {
    const cell = event.target.closest?.("td[data-c]");
    if (!cell || event.target.closest("a") || getSelection()?.toString()) return;
    const { frame, context } = last;
    const c = Number(cell.dataset.c), r = Number(cell.parentElement.dataset.r);
    const column = frame.columns[c], value = frame.data[c]?.[r];
    if (!column || value === undefined) return;
    const by = ["text", "boolean"].includes(column.type) && !column.name.startsWith("_") ? { [column.name]: value } : {};
    const fields = Object.fromEntries(frame.columns.map((each, i) => [`__field:${each.name}`, frame.data[i][r] ?? ""]));
    const origin = originOf(frame, r, context.tile?.query ?? tile.query, context);
    const items = [...(origin ? [{ text: origin.menu, href: origin.href }] : []), ...filterItems(by, context.filter), ...(context.links?.({ ...fields, __value: value ?? "" }) ?? [])];
    const box = body.getBoundingClientRect();
    menu.open(event.clientX - box.left, event.clientY - box.top, { title: `${column.name}: ${label(value)}`, items });
  }

  function writeCell(cell, value, column, paint) {
    const text = cellText(value, column, zone);
    if (cell.textContent !== text) {
      cell.textContent = text;
      cell.classList.toggle("none", value == null);
      if (column.type === "timestamp" && typeof value === "number") cell.dataset.at = String(value);
      else if (text.length > 24) cell.title = text;
    }
    if (!paint) return;
    const look = value == null ? null : paint(value);
    for (const name of ["toned", "barred", "heated"]) cell.classList.toggle(name, look?.className === name);
    for (const name of PAINTS) {
      const wanted = look?.vars[name] ?? "";
      if (cell.style.getPropertyValue(name) !== wanted) cell.style.setProperty(name, wanted);
    }
  }

  function writePager(shown, count, total, first, size) {
    const server = onServer();
    const records = last.frame.key.includes("_payload") && !order;
    earlier.disabled = page === 0;
    later.disabled = server ? !last.frame.next : first + shown >= count;
    const pages = !earlier.disabled || !later.disabled;
    earlier.hidden = later.hidden = !pages;
    filterButton.hidden = (count < 2 && !filters.size) || Boolean(server && last?.context.fixed);
    bar.hidden = filterButton.hidden && !pages;
    const range = `${(first + 1).toLocaleString()}–${(first + shown).toLocaleString()}`;
    const text = !shown ? (filters.size ? "No row meets the filter" : "")
      : server ? (pages ? `Rows ${range}` : `${shown.toLocaleString()} rows`)
      : records && count >= size ? `newest ${count.toLocaleString()} rows`
      : pages ? `${range} of ${count.toLocaleString()}` : `${count.toLocaleString()} ${count === 1 ? "row" : "rows"}`;
    write(note, count < total && shown ? `${text} (filtered from ${total.toLocaleString()})` : text);
  }

  function draw(frame, context) {
    last = { frame, context };
    zone = context.zone;
    const shown = context.tile ?? tile;
    const options = shown.options ?? {};
    const columns = tableColumns(frame, options);
    const server = onServer();
    const list = arranged(frame, server ? null : order, server ? [] : filters);
    const size = Math.min(MOST_ROWS, options.pageSize ?? shown.query?.limit ?? 50);
    if (!server && page > 0 && page * size >= list.length) page = Math.max(0, Math.ceil(list.length / size) - 1);
    const first = page * size;
    const seen = server ? list.slice(0, size) : list.slice(first, first + size);
    // One row that leads somewhere is enough for the column; the cell of one that does not stays empty.
    linked = Boolean(context.lineage) && seen.some((r) => originOf(frame, r, shown.query, context) !== null);
    const next = JSON.stringify([columns, zone ?? "", linked]);
    if (next !== shape) {
      const before = shape;
      shape = next;
      head.write(columns, linked);
      head.sorted(order);
      if (before && (JSON.parse(before)[2] !== linked || JSON.parse(before)[0].map((c) => c.name).join() !== columns.map((c) => c.name).join())) {
        known.clear();
        rows.replaceChildren();
      }
    }
    const paints = columns.map((column) => (context.theme ? paintOf(column, frame.data[column.at], options, context.theme) : null));
    const kept = new Set();
    let cursor = rows.firstChild;
    for (const r of seen) {
      const id = frame.ids?.[r] ?? String(r);
      kept.add(id);
      let row = known.get(id);
      if (!row) {
        row = document.createElement("tr");
        for (const column of columns) {
          const cell = row.insertCell();
          cell.dataset.c = String(column.at);
          if (isNumeric(column) || column.type === "timestamp") cell.className = isNumeric(column) ? "num" : "when";
        }
        if (drawn && frame.key.length && !page && !order && !filters.size) row.className = "is-new";
        known.set(id, row);
      }
      row.dataset.r = String(r);
      columns.forEach((column, c) => writeCell(row.cells[c], frame.data[column.at][r], column, paints[c]));
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
    writePager(seen.length, list.length, frame.data[0]?.length ?? 0, first, size);
    return { unit: "", latest: "", role: "" };
  }

  return {
    draw,
    /** A filter may leave nothing: the way back must stay. */
    get drawsEmpty() {
      return filters.size > 0 || page > 0;
    },
    /** The frame with the rows that meet the filter alone, in the order that is seen. */
    shown() {
      if (!last) return null;
      const list = arranged(last.frame, onServer() ? null : order, onServer() ? [] : filters);
      return { ...last.frame, data: last.frame.data.map((values) => list.map((r) => values[r])) };
    },
    /** Another range or another query: pages begin anew. */
    restart() {
      page = 0;
      cursors = [];
    },
    dispose() {
      menu.close();
    },
  };
}

export { table as renderer };
