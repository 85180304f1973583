// The form of a sink, new or not: the inputs are the server's; here they show what goes with a choice, what would be sent
// of a pipeline's last record, and how a test went.

import { Where } from "../dashboarding/where.js";
import { h } from "../mapping/dom.js";
import { act, complain } from "../page.js";
import { sure } from "../part.js";
import { toast } from "../shell.js";
import { KindForm } from "../source/kind-form.js";
import { slugOf } from "../alerts/conditions.js";
import { liveClient } from "../live.js";

const WAIT = 400;

// Choosing a kind -----------------------------------------------------------------------------------------------------

const search = document.querySelector("[data-kind-search]");
search?.addEventListener("input", () => {
  const wanted = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const cards = [...document.querySelectorAll(".kind")];
  for (const card of cards) card.hidden = !wanted.every((word) => card.dataset.words.includes(word));
  document.querySelector("[data-no-kinds]").hidden = cards.some((card) => !card.hidden);
});
search?.addEventListener("keydown", (event) => {
  if (event.key === "Enter") document.querySelector(".kind:not([hidden])")?.click();
});

// The form ------------------------------------------------------------------------------------------------------------

class SinkForm {
  constructor(box, facts) {
    Object.assign(this, { box, facts, fields: [], named: Boolean(facts.document.slug), pipeline: "" });
    this.form = box.querySelector("[data-sink-form]");
    this.save = this.form.querySelector("[data-save]");
    this.drawOptions();
    this.where = new Where({ fields: () => this.fields, variables: () => [], values: (field) => this.values(field) });
    this.where.input.id = "sink-where";
    this.where.input.value = facts.document.where ?? "";
    this.where.input.disabled = !this.save;
    this.form.querySelector("[data-where]").append(this.where.element);
    this.form.addEventListener("input", (event) => this.changed(event.target));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.store();
    });
    this.form.querySelector("[data-test]")?.addEventListener("click", (event) => this.test(event.currentTarget));
    this.form.querySelector("[data-delete]")?.addEventListener("click", (event) => this.remove(event.currentTarget));
    const { elements } = this.form;
    elements._slug.addEventListener("input", () => (this.named = elements._slug.value !== ""));
    this.form.querySelector("[data-pipeline-search]")?.addEventListener("input", ({ target }) => {
      const wanted = target.value.trim().toLowerCase();
      for (const each of this.form.querySelectorAll(".pipeline-list > label")) each.hidden = !each.textContent.toLowerCase().includes(wanted);
    });
    if (!this.save) for (const each of this.form.querySelectorAll("input, select, textarea, button")) each.disabled = true;
    addEventListener("beforeunload", (event) => {
      if (this.dirty) event.preventDefault();
    });
    this.choosePipeline();
  }

  /** The kind's own inputs; `saved`: options that were just saved, whose secrets are kept from now on and not shown. */
  drawOptions(saved = null) {
    const { form } = this.facts;
    if (saved) {
      const secret = (name) => form.schema.properties[name]?.writeOnly;
      form.kept = [...new Set([...form.kept, ...Object.keys(saved).filter((name) => secret(name) && saved[name] && Object.keys(saved[name]).length)])];
      form.values = Object.fromEntries(Object.entries(saved).filter(([name]) => !secret(name)));
    }
    this.options = new KindForm(this.form.querySelector("[data-kind-form]"), form, () => {
      this.dirty = true;
      this.previewSoon();
    });
  }

  get pipelines() {
    return [...this.form.querySelectorAll('[name="_pipelines"]:checked')].map((each) => each.value);
  }

  /** What the form says, and what of it cannot be read. */
  said() {
    const { elements } = this.form;
    const { options, problems } = this.options.read();
    const title = elements._title.value.trim();
    const body = elements._body.value;
    const { pipelines } = this;
    const document = {
      name: elements._name.value.trim(), slug: elements._slug.value.trim(), options, pipelines,
      where: pipelines.length ? this.where.input.value.trim() : "",
      template: title || body.trim() ? { ...(title ? { title } : {}), ...(body.trim() ? { body } : {}) } : null,
      batch: { size: elements._size.value, seconds: elements._seconds.value },
    };
    return { said: { kind: this.facts.kind, document }, problems: problems.map(([place, what]) => [`options.${place}`, what]) };
  }

  /** Ask with what the form says. Rejects, as the server would, where something cannot be read. */
  ask(action, more = {}) {
    const { said, problems } = this.said();
    if (problems.length) return Promise.reject(Object.assign(new Error(problems[0][1]), { problems }));
    return act(`${this.facts.actions}/${action}`, { ...said, ...more });
  }

  changed(target) {
    this.dirty = true;
    const { elements } = this.form;
    if (target === elements._name && !this.named) elements._slug.value = slugOf(target.value);
    const field = target.closest("[data-place]");
    if (field) {
      target.removeAttribute("aria-invalid");
      const wrong = field.querySelector(":scope > .wrong");
      if (wrong) wrong.hidden = true;
    }
    if (target.name === "_pipelines") this.choosePipeline();
    else this.previewSoon();
  }

  async choosePipeline() {
    const { pipelines } = this;
    for (const each of this.form.querySelectorAll("[data-needs-pipeline]")) each.hidden = !pipelines.length;
    if (!pipelines.includes(this.pipeline)) this.pipeline = pipelines[0] ?? "";
    this.fields = [];
    this.where.forget();
    this.previewSoon(0);
    if (!this.pipeline) return;
    try {
      this.fields = (await act(`${this.facts.actions}/fields`, { pipeline: this.pipeline })).fields;
    } catch {
      // Without suggestions a condition can be written all the same.
    }
  }

  values(field) {
    return new Promise((resolve, reject) => {
      const subscription = liveClient("/live").subscribe({ kind: "values", variable: { name: "value", type: "query", query: { pipeline: this.pipeline, field } }, range: { from: "now-30d", to: "now" } }, (message) => {
        subscription.close();
        if (message.kind === "error") reject(new Error(message.detail));
        else resolve(message.data[message.columns.findIndex((column) => column.name === "value")] ?? message.data[0] ?? []);
      });
    });
  }

  // -- looking ahead --------------------------------------------------------------------------------------------------

  previewSoon(wait = WAIT) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.preview(), wait);
  }

  async preview() {
    const place = this.box.querySelector("[data-preview]");
    const head = this.box.querySelector("[data-preview-card] > .card-head");
    // The form has given way to what was made of it.
    if (!place || !head) return;
    head.querySelector("select")?.remove();
    if (!this.save) return void (this.box.querySelector("[data-preview-card]").hidden = true);
    if (!this.pipeline) {
      place.replaceChildren(h("p", { class: "muted", text: "Choose a pipeline, and its last record stands here as it would be sent. Alerts and reports bring words of their own." }));
      return;
    }
    if (this.pipelines.length > 1) {
      const choice = h("select", { class: "input preview-pipeline", "aria-label": "Pipeline of the preview", onchange: () => {
        this.pipeline = choice.value;
        this.preview();
      } }, ...this.pipelines.map((each) => h("option", { value: each, text: each, selected: each === this.pipeline })));
      head.append(choice);
    }
    this.asked = (this.asked ?? 0) + 1;
    const { asked } = this;
    place.classList.add("is-stale");
    try {
      const { html } = await this.ask("preview", { pipeline: this.pipeline });
      if (asked !== this.asked) return;
      const open = new Set([...place.querySelectorAll("details[open]")].map((each) => each.dataset.key));
      const page = new DOMParser().parseFromString(html, "text/html");
      for (const each of page.querySelectorAll("details")) each.open = open.has(each.dataset.key);
      place.replaceChildren(...page.body.children);
      this.mark([]);
    } catch (error) {
      if (asked !== this.asked) return;
      // What has nothing to do with what is sent is told when it is saved.
      const own = error.problems.filter(([where]) => /^(where|template|batch|pipelines)/.test(where));
      this.mark(own);
      place.replaceChildren(h("p", { class: "muted", text: own.length ? "When what is marked is right, the last record stands here as it would be sent." : error.message }));
    }
    place.classList.remove("is-stale");
  }

  mark(problems) {
    const error = { problems: problems.map(([place, what]) => [place, what]), message: "" };
    for (const [place] of problems) if (this.field(place)?.closest("details")) this.field(place).closest("details").open = true;
    this.show(error);
  }

  field(place) {
    const places = [...this.form.querySelectorAll("[data-place]")];
    return places.filter((each) => place === each.dataset.place || place.startsWith(`${each.dataset.place}.`) || place.startsWith(`${each.dataset.place}[`)).sort((a, b) => b.dataset.place.length - a.dataset.place.length)[0];
  }

  show(error) {
    for (const wrong of this.form.querySelectorAll("[data-place] > .wrong")) wrong.hidden = true;
    for (const control of this.form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
    const own = error.problems.filter(([place]) => place.startsWith("options."));
    const left = this.options.show(own.map(([place, what]) => [place.slice("options.".length), what])).map(([place, what]) => `${place}: ${what}`);
    for (const [place, what] of error.problems) {
      if (place.startsWith("options.")) continue;
      const field = this.field(place);
      const wrong = field?.querySelector(":scope > .wrong");
      if (!wrong || field.hidden) left.push(place ? `${place}: ${what}` : what);
      else {
        wrong.textContent = wrong.hidden ? what : `${wrong.textContent}; ${what}`;
        wrong.hidden = false;
        field.querySelector("input, textarea, select")?.setAttribute("aria-invalid", "true");
        const more = field.closest("details");
        if (more) more.open = true;
      }
    }
    const rest = this.form.querySelector("[data-wrong]");
    rest.hidden = !left.length && !error.message;
    rest.textContent = left.length ? left.join("; ") : error.message;
  }

  wrong(error) {
    this.show({ problems: error.problems, message: error.problems.length ? "" : error.message });
    this.form.querySelector('[aria-invalid="true"]')?.focus();
  }

  async test(button) {
    button.disabled = true;
    button.textContent = "Sending…";
    try {
      const { html } = await this.ask("test");
      this.show({ problems: [], message: "" });
      const card = this.box.querySelector("[data-tested]");
      const page = new DOMParser().parseFromString(html, "text/html");
      card.querySelector("[data-attempt]").replaceChildren(...page.body.children);
      card.hidden = false;
      card.scrollIntoView({ block: "nearest" });
    } catch (error) {
      this.wrong(error);
    }
    button.disabled = false;
    button.textContent = "Send a test";
  }

  // -- saving ---------------------------------------------------------------------------------------------------------

  async store() {
    if (!this.save) return;
    this.save.disabled = true;
    try {
      if (this.facts.ref) {
        const { options } = this.said().said.document;
        const made = await this.ask("save", { revision: this.facts.revision });
        this.facts.revision = made.revision;
        this.drawOptions(options);
        this.dirty = false;
        this.show({ problems: [], message: "" });
        toast("Saved.");
      } else {
        const made = await this.ask("create");
        this.dirty = false;
        if (Object.keys(made.secrets).length) this.showSecrets(made);
        else location.href = made.address;
      }
    } catch (error) {
      this.wrong(error);
    }
    this.save.disabled = false;
  }

  /** Secrets that were made with the sink, shown this once. */
  showSecrets({ address, name, secrets }) {
    const blocks = Object.entries(secrets).map(([key, secret]) => h("div", { class: "field" },
      h("span", { class: "label", text: key === "secret" ? "What messages are signed with" : key }),
      h("div", { class: "code-block" }, h("pre", { id: `made-${key}`, tabindex: "0", "aria-label": "The secret", text: secret }), h("button", { class: "button small copy", type: "button", "data-copy": `#made-${key}` }, "Copy"))));
    const done = h("a", { class: "button primary", href: address }, "Open the sink");
    this.box.replaceChildren(h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", { text: `${name} is made` })), h("div", { class: "card-body stack" },
      h("div", { class: "secret-once" }, h("strong", { text: "Shown this once: give it to the receiver, who checks the signature with it." }), ...blocks), h("div", { class: "form-actions" }, done))));
    this.box.classList.remove("sink-form");
    done.focus();
  }

  async remove(button) {
    if (!sure(button)) return;
    try {
      await act(`${this.facts.actions}/delete`);
      this.dirty = false;
      location.href = "/sinks";
    } catch (error) {
      complain(error);
    }
  }
}

const box = document.querySelector("[data-form]");
if (box) new SinkForm(box, JSON.parse(document.querySelector("#sink-facts").textContent));
