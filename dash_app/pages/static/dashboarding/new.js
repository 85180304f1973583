// A new dashboard: empty, proposed for a pipeline, or a template filled with a pipeline's fields. What would be made is
// shown alive before it is.

import { mountDashboard } from "../dashboard.js";
import { h } from "../mapping/dom.js";
import { adoptStyles } from "../styles.js";
import { Asking, Fields } from "./asking.js";
import { labelled, select } from "./inputs.js";

const PAUSE = 250;
const TYPES = { number: "a number", integer: "a whole number", text: "a text", boolean: "yes or no", timestamp: "a time" };

export async function render({ model, box }) {
  const page = new NewDashboard(model, box);
  await page.mount();
}

class NewDashboard {
  constructor(model, box) {
    this.box = box;
    this.first = model.data;
    this.asking = new Asking(model, (lost) => lost && this.#fail(new Error("The server does not answer. Reload the page.")));
    this.fields = new Fields(this.asking);
    const { pipelines, pipeline } = this.first;
    this.choice = { start: pipelines.length ? "pipeline" : "empty", template: null, pipeline: pipelines.some((one) => one.slug === pipeline) ? pipeline : (pipelines[0]?.slug ?? ""), fields: {}, title: "" };
    this.asked = 0;
    this.fits = new Map();
  }

  async mount() {
    const root = h("div", { class: "new-dashboard", style: "visibility: hidden" });
    this.root = root;
    this.box.append(root);
    this.#build();
    const sheet = (name) => h("link", { rel: "stylesheet", href: new URL(name, import.meta.url).href });
    const own = [sheet("../pages.css"), sheet("../dashboard.css"), sheet("dashboarding.css")];
    this.box.prepend(...own);
    await Promise.all([adoptStyles(this.box), ...own.map((link) => new Promise((done) => (link.onload = link.onerror = done)))]);
    root.style.visibility = "";
    this.#choose({});
  }

  #build() {
    const { templates, pipelines } = this.first;
    const start = (name, template, title, words) => h("button", { class: "start", type: "button", "data-start": template ?? name, onclick: () => this.#choose({ start: name, template, fields: {} }) }, h("strong", { text: title }), h("span", { class: "muted", text: words }), template ? h("span", { class: "start-fit", role: "status" }) : null);
    const of = pipelines.length ? [start("pipeline", null, "From a pipeline", "Its main numbers, lines, groups and last records, proposed from its mapping."), ...templates.map((one) => start("template", one.name, one.title, one.summary))] : [];
    this.starts = h("div", { class: "starts", role: "group", "aria-label": "What to begin from" }, ...of, start("empty", null, "Empty", "A grid of twelve columns, and a gallery of tiles to put on it."));
    this.pipeline = select(pipelines.map((one) => [one.slug, one.name]));
    this.pipeline.value = this.choice.pipeline;
    this.pipeline.addEventListener("change", () => this.#choose({ pipeline: this.pipeline.value, fields: {} }));
    this.title = h("input", { class: "input", maxlength: "200", placeholder: "its own" });
    this.title.addEventListener("input", () => this.#choose({ title: this.title.value.trim() }));
    this.inputs = h("div", { class: "template-fields" });
    this.left = h("p", { class: "help muted", hidden: true });
    this.problem = h("div", {});
    this.create = h("button", { class: "button primary", type: "button", text: "Create dashboard", onclick: () => this.#create() });
    this.pipelineField = labelled("Pipeline", this.pipeline);
    this.form = h("section", { class: "card stack", "aria-label": "Dashboard" }, this.pipelineField, this.inputs, this.left, labelled("Title", this.title), this.problem, h("div", { class: "form-actions" }, this.create));
    this.preview = h("section", { class: "start-preview", "aria-label": "Preview" });
    const none = pipelines.length ? null : h("p", { class: "notice" }, "There is no pipeline with a mapping yet. ", h("a", { href: "/pipelines/new", text: "Make one" }), ", and its data can be shown a minute later.");
    this.root.append(...[none, this.starts, h("div", { class: "start-form" }, this.form, this.preview)].filter(Boolean));
  }

  get #template() {
    return this.first.templates.find((one) => one.name === this.choice.template);
  }

  async #choose(change) {
    const before = this.choice;
    this.choice = { ...before, ...change };
    const { start, template, pipeline } = this.choice;
    for (const each of this.starts.children) each.setAttribute("aria-pressed", String(each.dataset.start === (template ?? start)));
    this.pipelineField.hidden = start === "empty";
    this.inputs.hidden = this.left.hidden = start !== "template";
    if (start === "template" && ("template" in change || "pipeline" in change)) {
      const asked = (this.asked += 1);
      try {
        const [fields, fitting] = await Promise.all([this.fields.of(pipeline), this.#fitting(pipeline)]);
        if (asked !== this.asked) return;
        this.choice.fields = { ...fitting[template] };
        this.#showInputs(fields, this.choice.fields);
      } catch (error) {
        this.#fail(error);
        return;
      }
    }
    if (pipeline) this.#sayFits();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#look(), "title" in change ? PAUSE : 0);
  }

  /** For each template the fields of a pipeline that are named like its inputs; asked once a pipeline. */
  #fitting(pipeline) {
    if (!this.fits.has(pipeline)) {
      const asked = this.asking.ask("fitting", { pipeline });
      asked.catch(() => this.fits.delete(pipeline));
      this.fits.set(pipeline, asked);
    }
    return this.fits.get(pipeline);
  }

  /** On each template: how far the pipeline has what it is about. */
  async #sayFits() {
    const { pipeline } = this.choice;
    const fitting = await this.#fitting(pipeline).catch(() => null);
    if (!fitting || pipeline !== this.choice.pipeline) return;
    for (const template of this.first.templates) {
      const card = [...this.starts.children].find((each) => each.dataset.start === template.name);
      const found = fitting[template.name] ?? {};
      const lacks = template.inputs.filter((input) => input.needed && !found[input.name]).map((input) => input.title);
      card.classList.toggle("lacks", lacks.length > 0);
      card.lastChild.textContent = lacks.length ? `Not seen in this pipeline: ${lacks.join(", ")}` : `${Object.keys(found).length} of ${template.inputs.length} fields found`;
    }
  }

  /** The inputs of the template that cannot do without a field and have none. */
  #missing() {
    return this.choice.start === "template" ? this.#template.inputs.filter((input) => input.needed && !this.choice.fields[input.name]) : [];
  }

  /** What is left out because it has no field. */
  #sayLeft() {
    const none = this.#template.inputs.filter((input) => !input.needed && !this.choice.fields[input.name]).map((input) => input.title);
    this.left.hidden = !none.length;
    this.left.textContent = `Tiles about ${none.length > 1 ? `${none.slice(0, -1).join(", ")} and ${none.at(-1)}` : none[0]} are left out: this pipeline seems to have no such field.`;
  }

  #showInputs(fields, guessed) {
    this.inputs.replaceChildren(...this.#template.inputs.map((input) => {
      const able = fields.filter((field) => !input.types.length || input.types.includes(field.type));
      const control = select([["", input.needed ? "choose a field" : "none"], ...able.map((field) => [field.name, field.unit ? `${field.name} (${field.unit})` : field.name])]);
      control.value = guessed[input.name] ?? "";
      control.addEventListener("change", () => this.#choose({ fields: { ...this.choice.fields, [input.name]: control.value || null } }));
      const kinds = input.types.map((type) => TYPES[type] ?? type).join(" or ");
      return labelled(input.title, control, { place: `fields.${input.name}`, help: [input.summary, able.length ? "" : `Needs ${kinds}; this pipeline has none.`].filter(Boolean).join(" ") });
    }));
  }

  async #look() {
    const asked = (this.asked += 1);
    if (this.choice.start === "empty") {
      this.#fail(null);
      this.#show(null);
      return;
    }
    if (this.choice.start === "template") this.#sayLeft();
    const missing = this.#missing();
    if (missing.length) {
      this.#fail({ title: "This template does not seem to fit", problems: missing.map((input) => [input.title, `${input.summary}. No field of this pipeline is called so; choose one that means it, or begin from something else.`]) });
      this.#show(undefined);
      return;
    }
    try {
      const document = await this.asking.ask("document", this.choice);
      if (asked !== this.asked) return;
      this.#fail(null);
      this.#show(document);
    } catch (error) {
      if (asked !== this.asked) return;
      this.#fail(error);
      this.#show(undefined);
    }
  }

  /** @param {object | null | undefined} document null: empty; undefined: none can be made yet */
  #show(document) {
    this.mounted?.destroy();
    this.mounted = null;
    this.title.placeholder = document?.title ?? (document === null ? "New dashboard" : "its own");
    this.create.disabled = document === undefined;
    if (!document) {
      this.preview.replaceChildren(h("div", { class: "empty" }, h("h3", { text: document === null ? "Nothing on it yet" : "Not yet" }), h("p", { text: document === null ? "Tiles are added in the editor, from a gallery that shows each kind on your own data." : "Choose the fields that are missing on the left." })));
      return;
    }
    const place = h("div", { inert: true });
    this.preview.replaceChildren(place);
    this.mounted = mountDashboard(place, document, { liveUrl: "/live", controls: false, address: false });
  }

  #fail(error) {
    const listed = error?.problems?.filter(([place]) => place) ?? [];
    this.problem.replaceChildren(error ? h("div", { class: "problem", role: "alert" }, h("strong", { text: error.title ?? "Not yet" }), ...(listed.length ? listed.map(([place, what]) => h("p", { text: `${place.replace(/^fields\./, "")}: ${what}` })) : [h("p", { text: error.message })])) : "");
  }

  async #create() {
    this.create.disabled = true;
    try {
      const { uid } = await this.asking.ask("create", this.choice);
      location.href = `/dashboards/${uid}/edit`;
    } catch (error) {
      this.#fail(error);
      this.create.disabled = false;
    }
  }
}
