// The kinds of tile to choose from, each alive on the person's own data: what is clicked is what is added.

import { Tile } from "../tile.js";
import { h, icon } from "../mapping/dom.js";
import { select } from "./inputs.js";
import { startingTile } from "./query-edits.js";

/** What is wanted most comes first; a kind that is not named here follows. */
const FIRST = ["line", "stat", "bar", "table", "gauge", "pie", "heatmap", "state", "map", "text"];
const rank = ({ kind }) => (FIRST.indexOf(kind) + FIRST.length + 1) % (FIRST.length + 1);

export class Gallery {
  /** @param {object} desk kinds, pipelines, fields, context, reach
   *  @param {{onAdd: (tile: object) => void, onPaste: () => void, canPaste: () => boolean}} acts */
  constructor(desk, { onAdd, onPaste, canPaste }) {
    this.desk = desk;
    this.onAdd = onAdd;
    this.canPaste = canPaste;
    this.lives = [];
    this.pipeline = select(desk.pipelines.map((one) => [one.slug, one.name]), { "aria-label": "Pipeline" });
    this.pipeline.addEventListener("change", () => this.#fill());
    this.list = h("div", { class: "kinds" });
    this.paste = h("button", { class: "button", type: "button", onclick: () => {
      this.element.close();
      onPaste();
    } }, icon("copy"), "Paste the copied tile");
    const close = h("button", { class: "button quiet icon small", type: "button", "aria-label": "Close", onclick: () => this.element.close() }, icon("remove"));
    const of = desk.pipelines.length ? h("label", { class: "of-pipeline" }, h("span", { class: "muted", text: "of" }), this.pipeline) : h("span", { class: "muted", text: "No pipeline yet: only text can be added." });
    this.element = h("dialog", { class: "gallery-dialog", "aria-label": "Add a tile" }, h("div", { class: "dialog-head" }, h("h2", { text: "Add a tile" }), of, h("span", { class: "grow" }), this.paste, close), h("div", { class: "dialog-body" }, this.list));
    this.element.addEventListener("click", (event) => event.target === this.element && this.element.close());
    this.element.addEventListener("close", () => this.#empty());
  }

  open(pipeline) {
    if (pipeline && this.desk.pipelines.some((one) => one.slug === pipeline)) this.pipeline.value = pipeline;
    this.paste.hidden = !this.canPaste();
    if (!this.element.open) this.element.showModal();
    this.#fill();
  }

  #empty() {
    for (const live of this.lives.splice(0)) live.destroy();
    this.list.replaceChildren();
  }

  async #fill() {
    const pipeline = this.pipeline.value;
    this.#empty();
    const fields = pipeline ? await this.desk.fields(pipeline).catch(() => []) : [];
    if (!this.element.open || this.pipeline.value !== pipeline) return;
    this.#empty();
    for (const kind of [...this.desk.kinds].sort((a, b) => rank(a) - rank(b))) {
      const { lacks, ...tile } = startingTile(kind.kind, pipeline, fields);
      if (!pipeline && kind.queries !== "none") continue;
      const section = h("section");
      const words = lacks ? "This pipeline does not seem to have what it needs; the query can be written by hand." : kind.summary;
      const card = h("div", { class: lacks ? "kind lacks" : "kind", "data-kind": kind.kind }, h("div", { class: "kind-picture", inert: true, "aria-hidden": "true" }, lacks ? h("p", { class: "muted", text: `Needs ${lacks}` }) : section), h("button", { class: "kind-choose", type: "button", onclick: () => {
        this.element.close();
        this.onAdd(tile);
      } }, h("strong", { text: kind.title }), h("span", { class: "muted", text: words })));
      this.list.append(card);
      if (!lacks) this.lives.push(new Tile(section, { id: `preview-${kind.kind}`, ...tile, title: "" }, { ...this.desk.context(), range: this.desk.reach(tile) }));
    }
  }
}
