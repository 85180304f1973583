// One tile being edited: its live picture, what it asks below it, and how it is drawn beside it.

import { describeRange } from "../range-text.js";
import { Tile } from "../tile.js";
import { h } from "../mapping/dom.js";
import { DocumentText } from "./document-text.js";
import { bind, helpText, labelled, Lines, markPlaces, prune, select, words } from "./inputs.js";
import { same } from "./merge.js";
import { OptionsForm } from "./options-form.js";
import { QueryBuilder } from "./query-builder.js";
import { columnsOf, withKind, written } from "./query-edits.js";

const TIMES = [["", "the dashboard's"], ["now-5m", "last 5 minutes"], ["now-1h", "last hour"], ["now-6h", "last 6 hours"], ["now-24h", "last 24 hours"], ["now-7d", "last 7 days"], ["now-30d", "last 30 days"], ["now-1y", "last year"]];
const PANES = [["query", "Query"], ["options", "Options"], ["json", "JSON"]];
/** Parts of the document that make a tile ask again; all else only draws it anew. */
const drawn = ({ gridPos: _place, ...tile }) => tile;

export class TileEditor {
  /**
   * @param {object} desk of the editor: kinds, pipelines, fields, known, values, variables, context, reach
   * @param {{read: () => object, write: (tile: object, what: string, join?: string) => void}} acts
   */
  constructor(desk, { read, write }) {
    this.desk = desk;
    this.read = read;
    this.write = write;
    this.bound = [];
    const own = (more) => ({ ...desk, read, ...more });
    this.builder = new QueryBuilder(own({ write, many: () => this.kind?.queries === "many" }));
    this.options = new OptionsForm({
      read: () => read().options ?? {},
      write: (options, what, join) => write({ ...read(), options }, what, join),
      columns: () => this.#columns(),
      series: () => this.#series(),
    });
    this.queryText = new DocumentText({
      label: "Query as JSON",
      read: () => written(read()),
      write: (value) => {
        const { query: _query, queries: _queries, ...rest } = read();
        this.write(Array.isArray(value) ? { ...rest, queries: value } : { ...rest, query: value }, "Change the query", "query-text");
      },
      check: (value) => (value && typeof value === "object" ? "" : "a query is an object, several are a list of objects"),
    });
    this.tileText = new DocumentText({
      label: "Tile as JSON",
      read: () => {
        const { id, kind, title, description, query: _query, queries, ...rest } = drawn(read());
        const asked = written(read());
        return prune({ id, kind, title, description, ...(queries ? { queries: asked } : { query: asked ?? undefined }), ...rest });
      },
      // Its id and its place are the grid's.
      write: (value) => this.write({ ...value, id: read().id, gridPos: read().gridPos }, "Change the tile", "tile-text"),
      check: (value) => (!value || typeof value !== "object" || Array.isArray(value) ? "a tile is an object" : desk.kinds.some((one) => one.kind === value.kind) ? "" : `kind: one of ${desk.kinds.map((one) => one.kind).join(", ")}`),
    });
    this.preview = h("div", { class: "preview" });
    this.left = h("div", { class: "tile-problems" });
    const panes = h("div", { class: "segments panes-choice", role: "group", "aria-label": "Part of the tile" }, ...PANES.map(([name, text]) => h("button", { type: "button", "data-pane": name, onclick: () => this.pane(name) }, text)));
    this.queryPane = h("section", { class: "pane query-pane", "aria-label": "Query" }, h("div", { class: "pane-head" }, h("h2", { text: "Query" })), h("div", { class: "pane-body query-body" }, this.builder.element, this.queryText.element));
    this.optionsPane = h("section", { class: "pane options-pane", "aria-label": "Options" }, h("div", { class: "pane-head" }, h("h2", { text: "Tile" })), h("div", { class: "pane-body stack" }, this.left, this.#general(), this.options.element, this.#links()));
    this.jsonPane = h("section", { class: "pane json-pane", "aria-label": "Tile as JSON" }, h("div", { class: "pane-body" }, this.tileText.element));
    this.element = h("div", { class: "tile-editor", "data-pane": "query" }, h("div", { class: "tile-work" }, this.preview, panes, this.queryPane), this.optionsPane, this.jsonPane);
    this.panes = panes;
    this.pane("query");
  }

  pane(name) {
    this.element.dataset.pane = name;
    for (const each of this.panes.children) each.setAttribute("aria-pressed", String(each.dataset.pane === name));
  }

  get kind() {
    return this.desk.kinds.find((one) => one.kind === this.read().kind);
  }

  #columns() {
    const query = this.read().query ?? this.read().queries?.[0];
    return query ? columnsOf(query, this.desk.known(query.pipeline) ?? []) : [];
  }

  /** Names of series that can be told apart in the picture: those in its legend, as the tile has them. */
  #series() {
    const shown = [...this.preview.querySelectorAll(".legend-item > span")].map((each) => each.textContent);
    return [...new Set(shown.length ? shown : this.#columns().filter((name) => name !== "time"))];
  }

  #general() {
    const { read, write } = this;
    const change = (key, what) => (value) => {
      const { [key]: _before, ...rest } = read();
      write(value === undefined ? rest : { ...rest, [key]: value }, what, key);
    };
    const kind = select(this.desk.kinds.map((one) => [one.kind, one.title]), { "aria-label": "Kind" });
    this.bound.push(bind(kind, () => read().kind, (value) => {
      const to = this.desk.kinds.find((one) => one.kind === value);
      write(withKind(read(), value, { queries: to.queries, options: Object.keys(to.schema.properties) }), "Change the kind");
    }));
    const title = h("input", { class: "input", maxlength: "200", placeholder: "What it shows", "data-first": "" });
    this.bound.push(bind(title, () => read().title, (value) => change("title", "Rename a tile")(words(value))));
    const about = h("textarea", { class: "input", rows: "2", maxlength: "4000", placeholder: "Shown when the pointer rests on the title" });
    this.bound.push(bind(about, () => read().description, (value) => change("description", "Describe a tile")(words(value))));
    const time = select(TIMES, { "aria-label": "Time" });
    this.bound.push(bind(time, () => (read().time?.to === "now" ? read().time.from : read().time ? `${read().time.from} – ${read().time.to}` : ""), (value) => change("time", "Change a tile's time")(value ? { from: value, to: "now" } : undefined), { strange: () => describeRange(read().time) }));
    this.timeField = labelled("Time", time, { place: "time" });
    this.needs = h("span", { class: "help" });
    const chosen = labelled("Kind", kind, { place: "kind" });
    chosen.append(this.needs);
    return h("div", { class: "stack general" }, chosen, labelled("Title", title, { place: "title", help: "${name} becomes the value of a variable." }), labelled("Description", about, { place: "description" }), this.timeField);
  }

  #links() {
    const lines = new Lines(linesOfLinks(() => this.read().links, (links) => {
      const { links: _links, ...rest } = this.read();
      this.write(links.length ? { ...rest, links } : rest, "Change links", "links");
    }));
    this.bound.push(lines);
    lines.element.append(h("span", { class: "help", text: "In the tile's menu and at its points. ${__value}, ${__from}, ${__to}, ${__field:name} and variables may stand in the address." }));
    return lines.element;
  }

  show() {
    const tile = this.read();
    const { kind } = this;
    const asks = kind?.queries !== "none";
    this.queryPane.hidden = !asks;
    this.element.dataset.asks = String(asks);
    // What asks for nothing has no time, unless its document says one, which can then be taken away.
    this.timeField.hidden = !asks && !tile.time;
    this.needs.replaceChildren(...(kind ? helpText(`${kind.summary} Needs ${kind.needs || "nothing"}.`).childNodes : []));
    for (const each of this.bound) each.show();
    if (asks) {
      this.builder.show();
      this.queryText.show();
    }
    if (kind) this.options.show(kind);
    this.tileText.show();
    this.#picture(tile);
  }

  #picture(tile) {
    const next = drawn(tile);
    if (this.live) {
      if (same(this.drawnTile, next)) return;
      const again = !same(this.drawnTile.time, next.time);
      this.live.document(next);
      if (again) this.live.setRange(this.desk.reach(tile));
    } else {
      const section = h("section");
      this.preview.replaceChildren(section);
      this.live = new Tile(section, next, { ...this.desk.context(), range: this.desk.reach(tile) });
    }
    this.drawnTile = next;
  }

  setRange() {
    this.live?.setRange(this.desk.reach(this.read()));
  }

  setPaused(paused) {
    this.live?.setPaused(paused);
  }

  setParameters(parameters) {
    this.live?.setParameters(parameters);
  }

  /** @param {[string, string][]} problems relative to the tile */
  mark(problems) {
    this.builder.mark(problems);
    const asked = problems.filter(([place]) => /^quer(y|ies)\b/.test(place));
    const rest = markPlaces(this.optionsPane, problems.filter((one) => !asked.includes(one)));
    this.left.replaceChildren(...rest.map(([place, what]) => h("p", { class: "wrong", role: "alert", text: place ? `${place}: ${what}` : what })));
    for (const each of this.panes.children) each.classList.toggle("is-wrong", each.dataset.pane === "query" ? asked.length > 0 : each.dataset.pane === "options" && problems.length > asked.length);
  }

  focus() {
    this.element.querySelector("[data-first]").focus();
  }

  destroy() {
    this.live?.destroy();
  }
}

/** Lines of links, for a tile and for the dashboard. */
export function linesOfLinks(read, write, place = "links") {
  return {
    label: "Links", add: "Link", place, most: 20, ordered: true,
    read: () => read() ?? [],
    write,
    fresh: () => ({ title: "", url: "https://" }),
    line: (at, get, set) => {
      const title = h("input", { class: "input", placeholder: "title", "aria-label": `Title of link ${at + 1}`, maxlength: "100" });
      const url = h("input", { class: "input", placeholder: "https://…", "aria-label": `Address of link ${at + 1}`, spellcheck: "false" });
      return { elements: [title, url], shows: [bind(title, () => get().title, (value) => set({ title: value })), bind(url, () => get().url, (value) => set({ url: value }))] };
    },
  };
}
