// Making a pipeline: a kind is chosen, its form filled in and tried, and what was made is shown with the way to send to it.

import { h } from "../mapping/dom.js";
import { act } from "../page.js";
import { RULES, textArea } from "../text-area.js";
import { showCreated } from "./created.js";
import { KindForm } from "./kind-form.js";
import { runTrial } from "./trial.js";

const WAIT = 500;

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

const facts = JSON.parse(document.querySelector("#source-facts")?.textContent ?? "null");

class NewPipeline {
  constructor(root) {
    this.root = root;
    this.form = root.querySelector("form");
    this.name = this.form.querySelector("[name=_name]");
    this.slug = this.form.querySelector("[data-slug]");
    this.wrong = this.form.querySelector("[data-wrong]");
    this.create = this.form.querySelector("[data-create]");
    this.trying = this.form.querySelector("[data-try]");
    this.touched = new Set();
    this.fields = new KindForm(this.form.querySelector("[data-kind-form]"), facts, () => this.#changed(), this.form.querySelector("[data-extra]"));
    this.form.addEventListener("focusout", ({ target }) => {
      const path = target.closest("[data-option]")?.dataset.option;
      if (path && target.value !== "") this.touched.add(path);
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#create();
    });
    this.name.addEventListener("input", () => this.#named());
    this.trying?.addEventListener("click", () => this.#try());
    this.#mapping();
    this.#secret();
    this.#named();
  }

  #mapping() {
    document.head.append(h("style", { text: RULES }));
    const place = this.form.querySelector("[data-mapping]");
    this.mapping = textArea({ label: "Mapping", placeholder: place.dataset.example, onInput: () => this.mapping.mark([]) });
    place.append(this.mapping.frame);
    this.mapping.set("");
  }

  /** A secret may be brought along where the sender makes it, or wherever one is needed. */
  #secret() {
    const box = this.form.querySelector("[data-secret]");
    if (!box) return;
    const scheme = this.fields.values_.scheme ?? facts.schema.properties.scheme.default;
    const { signed, from, covers } = facts.schemes[scheme];
    box.hidden = !signed;
    box.querySelector(".help").textContent = from ? `${from} Often it is there only once the address is registered: then leave this empty, and put it in afterwards.` : "Left empty, one is made and shown to you once. Bring your own where the sender already has one.";
    this.form.querySelector("[data-open]").hidden = signed;
    this.form.querySelector("[data-uncovered]").hidden = covers;
  }

  #changed() {
    this.#secret();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#check(), WAIT);
  }

  /** Says what is wrong with what somebody has written; an input that nobody has come to yet is not wrong. */
  async #check() {
    const { options, problems } = this.fields.read();
    try {
      const answer = await act(`${facts.actions}/check`, { kind: facts.kind, options });
      this.fields.show([...problems, ...answer.problems], (path) => this.touched.has(path));
    } catch {
      // What the server has to say is said when the pipeline is made.
    }
  }

  #named() {
    const name = this.name.value.trim();
    let slug = name.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "").slice(0, 41);
    if (name && !/^[a-z]/.test(slug)) slug = `p_${slug}`.slice(0, 41).replace(/_+$/, "");
    this.slug.textContent = slug ? "In addresses and queries: " : "What people call it.";
    if (slug) this.slug.append(h("code", { text: facts.pipelines.includes(slug) ? `${slug}_2` : slug }));
    this.name.setAttribute("aria-invalid", "false");
    this.form.querySelector("[data-name-wrong]").hidden = true;
  }

  #say(problems, title = "Not yet") {
    const below = "source.options.";
    const own = problems.filter(([place]) => place.startsWith(below)).map(([place, what]) => [place.slice(below.length), what]);
    const others = [...problems.filter(([place]) => !place.startsWith(below)), ...this.fields.show(own)];
    const left = [];
    for (const [place, what] of others) {
      if (place === "name") {
        const box = this.form.querySelector("[data-name-wrong]");
        box.textContent = what;
        box.hidden = false;
        this.name.setAttribute("aria-invalid", "true");
      } else if (place === "mapping" || place.startsWith("mapping.")) {
        this.form.querySelector("[data-mapping-box]").open = true;
        const line = what.match(/line (\d+)/);
        this.mapping.mark(line ? [[Number(line[1]), what]] : []);
        left.push(`Mapping: ${place === "mapping" ? "" : `${place.slice(8)} `}${what}`);
      } else left.push(place ? `${place.replace("source.", "")}: ${what}` : what);
    }
    this.wrong.hidden = !problems.length;
    this.wrong.replaceChildren(h("strong", { text: title }), ...(left.length ? left : problems.length ? ["Look at what is marked above."] : []).map((text) => h("p", { text })));
    if (problems.length && !(this.name.getAttribute("aria-invalid") === "true" ? (this.name.focus(), true) : this.fields.focusWrong())) this.wrong.scrollIntoView({ block: "nearest" });
  }

  async #create() {
    const { options, problems } = this.fields.read();
    if (problems.length) {
      this.#say(problems.map(([place, what]) => [`source.options.${place}`, what]));
      return;
    }
    this.create.disabled = true;
    const secret = this.form.querySelector("[name=_secret]")?.value.trim() ?? "";
    try {
      const made = await act(`${facts.actions}/create`, { kind: facts.kind, options, name: this.name.value.trim(), secret, mapping: this.mapping.area.value });
      showCreated(this.root, { ...made, brought: Boolean(secret), direction: facts.direction });
      document.querySelector("h1").textContent = made.name;
      scrollTo({ top: 0 });
    } catch (error) {
      this.create.disabled = false;
      this.#say(error.problems?.length ? error.problems : [["", error.message]]);
    }
  }

  async #try() {
    const { options, problems } = this.fields.read();
    if (problems.length) {
      this.fields.show(problems);
      this.fields.focusWrong();
      return;
    }
    await runTrial({ button: this.trying, place: this.root.querySelector("[data-trial]"), fields: this.fields, address: `${facts.actions}/try`, body: { kind: facts.kind, options } });
  }
}

const root = document.querySelector("[data-new-pipeline]");
if (root) new NewPipeline(root);
