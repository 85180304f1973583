// The form of a rule: what is watched, when it fires, whom it tells; beside it the last 30 days with the limit and the
// times at which the rule would have fired. The document is the one that the API takes; the form edits nothing else.

import { write } from "../elements.js";
import { liveClient } from "../live.js";
import { aggregatesFor, AGGREGATES, outstanding } from "../dashboarding/query-edits.js";
import { bind, checkbox, labelled, Lines, markPlaces, number, select, words } from "../dashboarding/inputs.js";
import { Where } from "../dashboarding/where.js";
import { h, icon } from "../mapping/dom.js";
import { act } from "../page.js";
import { CONDITIONS, firstCondition, NO_DATA, OPERATORS, PAIRS, slugOf, WATCHES } from "./conditions.js";
import { Told } from "./told.js";
import { Trial } from "./trial.js";

const WINDOWS = ["1m", "5m", "10m", "15m", "30m", "1h", "6h", "1d"];
const WAITS = [["0s", "at once"], ["1m", "after 1 minute"], ["5m", "after 5 minutes"], ["10m", "after 10 minutes"], ["30m", "after 30 minutes"], ["1h", "after 1 hour"]];
const KEEPS = [["0s", "ends at once"], ["1m", "goes on for 1 minute"], ["5m", "goes on for 5 minutes"], ["15m", "goes on for 15 minutes"], ["1h", "goes on for 1 hour"]];
const REPEATS = [["0s", "is not told again"], ["30m", "is told every 30 minutes"], ["1h", "is told every hour"], ["4h", "is told every 4 hours"], ["12h", "is told every 12 hours"], ["1d", "is told every day"]];
const OVERS = ["10m", "30m", "1h", "6h", "1d", "7d"];

/** A document to begin with, completed with what is usual. */
function begun(document, facts) {
  const start = { name: "", slug: "", severity: "warning", condition: { type: "threshold", op: ">", value: null }, window: "5m", for: "1m", keep_firing_for: "0s", no_data_state: "no_data", sinks: [], repeat: "4h", enabled: true };
  const query = document.watch ? {} : { query: { pipeline: facts.pipelines.length === 1 ? facts.pipelines[0].slug : "", select: [{ agg: "count" }], ...document.query } };
  return { ...start, ...document, ...query };
}

const without = (object, ...keys) => Object.fromEntries(Object.entries(object).filter(([key, value]) => !keys.includes(key) && value !== undefined));

export class AlertForm {
  /**
   * @param {HTMLElement} root
   * @param {object} facts what the page knows: pipelines, sinks, watches, the document to begin with
   * @param {{actions: string, changed: () => void, locked?: boolean}} page
   */
  constructor(root, facts, { actions, changed, locked = false }) {
    Object.assign(this, { facts, actions, onChanged: changed, bound: [], fields: [], problems: [], touched: new Set() });
    this.document = begun(facts.document, facts);
    this.named = Boolean(facts.document.slug);
    this.form = h("form", { class: "stack alert-fields", novalidate: true, onsubmit: (event) => event.preventDefault() });
    this.trial = new Trial(facts.timezone || undefined);
    this.told = new Told(
      // A limit that nobody has set is not told of.
      async (given) => (this.undecided ? { title: "", text: "Set a limit, and the message stands here as it is told.", problems: [] } : act(`${actions}/preview`, { ...given, document: without(this.#tried(), "sinks") })),
      (problems) => this.#markMessage(problems),
    );
    this.trial.element.append(this.told.element);
    root.replaceChildren(h("div", { class: "alert-form" }, this.form, this.trial.element));
    this.#build();
    this.trial.mount();
    if (locked) for (const each of this.form.querySelectorAll("input, select, textarea, button")) each.disabled = true;
    this.locked = locked;
    this.show();
    this.#readFields().then(() => {
      if (!facts.revision && this.pipeline && !facts.document.name) this.#firstMeasure();
      this.#try(0);
      this.told.soon(0);
    });
  }

  // -- the document ---------------------------------------------------------------------------------------------------

  set(change, wait = 350) {
    this.document = Object.fromEntries(Object.entries({ ...this.document, ...change }).filter(([, value]) => value !== undefined));
    this.show();
    this.onChanged();
    this.#try(wait);
    this.told.soon();
  }

  query(change) {
    this.set({ query: Object.fromEntries(Object.entries({ ...this.document.query, ...change }).filter(([, value]) => value !== undefined && value !== "" && !(Array.isArray(value) && !value.length))) });
  }

  condition(change) {
    this.set({ condition: without({ ...this.document.condition, ...change }) });
  }

  get pipeline() {
    return this.document.watch ? this.document.pipeline : this.document.query.pipeline;
  }

  get measure() {
    return this.document.query?.select?.[0] ?? { agg: "count" };
  }

  get unit() {
    const { document } = this;
    if (document.watch) return this.facts.watches[document.watch].unit;
    if (["count", "count_distinct"].includes(this.measure.agg)) return "";
    return this.fields.find((each) => each.name === this.measure.field)?.unit ?? "";
  }

  /** What is to be saved. */
  get whole() {
    const { document } = this;
    const made = { ...document };
    if (!made.labels || !Object.keys(made.labels).length) delete made.labels;
    for (const name of ["message", "link"]) if (!made[name]) delete made[name];
    return made;
  }

  async #readFields() {
    const { pipeline } = this;
    this.fields = [];
    if (pipeline) {
      try {
        const { fields } = await act(`${this.actions}/fields`, { pipeline });
        if (pipeline !== this.pipeline) return;
        this.fields = fields;
      } catch {
        // The check says that there is no such pipeline.
      }
    }
    this.#fillFields();
    this.show();
  }

  // -- trying it ------------------------------------------------------------------------------------------------------

  #try(wait) {
    // What changes nothing of the past does not put off what was changed before.
    if (wait > 1000 && this.waits) return;
    clearTimeout(this.timer);
    this.waits = true;
    this.timer = setTimeout(() => {
      this.waits = false;
      this.#backtest();
    }, wait);
  }

  /** One at a time is all that is tried for a team: what has changed meanwhile is tried after it. */
  async #backtest() {
    this.outdated = true;
    if (this.trying) return;
    this.trying = true;
    try {
      while (this.outdated) {
        this.outdated = false;
        await this.#tryOnce();
      }
    } finally {
      this.trying = false;
    }
  }

  /** Asked with what is not decided yet filled in: a name is not needed to see when it would fire. */
  async #tryOnce() {
    const { document } = this;
    const { condition } = document;
    const missing = !this.pipeline ? "Choose a pipeline, and you see its last 30 days here." : null;
    if (missing) {
      this.trial.stale(false);
      this.trial.say(missing);
      return;
    }
    const undecided = this.undecided;
    const tried = { ...this.#tried(), ...(undecided ? { condition: { type: "missing" }, no_data_state: "ok" } : {}) };
    this.trial.stale(true);
    try {
      const answer = await act(`${this.actions}/backtest`, { document: without(tried, "message", "link") });
      if (this.outdated) return;
      this.trial.show(answer, { condition: undecided ? null : condition, unit: this.unit, undecided });
      this.told.of(answer.frame);
      this.mark(this.problems.filter(([place]) => place === "message"));
    } catch (error) {
      if (this.outdated) return;
      this.mark([...this.problems.filter(([place]) => place === "message"), ...error.problems]);
      this.trial.failed(error);
    }
    this.trial.stale(false);
  }

  /** Whether a limit is still to be set: there is a chart to choose one by all the same. */
  get undecided() {
    const { condition } = this.document;
    return "value" in condition && [condition.value].flat().some((each) => typeof each !== "number");
  }

  /** The document with what is not decided yet filled in. */
  #tried() {
    const { document } = this;
    const made = { ...this.whole, name: document.name || "Untitled", slug: document.slug || "untitled", sinks: [] };
    if (this.undecided) made.condition = { ...document.condition, value: Array.isArray(document.condition.value) ? [0, 1] : 1 };
    return made;
  }

  /** @param {[string, string][]} problems of the message's template, which it is told as it is written */
  #markMessage(problems) {
    this.mark([...this.problems.filter(([place]) => place !== "message"), ...problems]);
  }

  /** @param {[string, string][]} problems of the whole document */
  mark(problems) {
    this.problems = problems;
    const left = markPlaces(this.form, problems);
    this.left.hidden = !left.length;
    write(this.left, left.map(([place, what]) => (place ? `${place}: ${what}` : what)).join("; "));
    if (problems.some(([place]) => /^(message|link|labels)/.test(place))) this.told.more.open = true;
    if (problems.some(([place]) => /^(keep_firing_for|every|labels|link|no_data_state)/.test(place))) this.more.open = true;
  }

  // -- what is shown --------------------------------------------------------------------------------------------------

  show() {
    const { document } = this;
    const { type } = document.condition;
    for (const each of this.bound) each.show();
    for (const each of this.form.querySelectorAll("[data-if]")) {
      const [what, wanted] = each.dataset.if.split(":");
      const now = { subject: document.watch ? "watch" : "query", type, pair: PAIRS.includes(document.condition.op) && ["threshold", "change"].includes(type) ? "yes" : "no" }[what];
      each.hidden = !wanted.split(",").includes(now);
    }
    for (const button of this.form.querySelectorAll("[data-segment]")) {
      const [what, value] = button.dataset.segment.split(":");
      button.setAttribute("aria-pressed", String(value === (what === "subject" ? (document.watch ? "watch" : "query") : type)));
    }
    for (const each of this.form.querySelectorAll("[data-unit]")) write(each, type === "change" && document.condition.by === "percent" ? "%" : this.unit);
    this.groups.replaceChildren(...this.#groupChips());
    this.labels.show();
    this.where.grow();
    this.conditionHelp.textContent = CONDITIONS.find(([name]) => name === type)?.[2] ?? "";
    this.watchHelp.textContent = document.watch ? WATCHES[document.watch][1] : "";
    for (const box of this.sinkBoxes) box.checked = document.sinks.includes(box.value);
  }

  #bind(control, read, set, how) {
    this.bound.push(bind(control, read, set, how));
    return control;
  }

  #choice(options, read, set, props) {
    return this.#bind(select(options, props), read, set, { strange: (value) => value });
  }

  #section(title, ...children) {
    return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", { text: title })), h("div", { class: "card-body stack" }, ...children));
  }

  #segments(what, label, list) {
    return h("div", { class: "segments", role: "group", "aria-label": label }, ...list.map(([value, text, title]) => h("button", { type: "button", title, "data-segment": `${what}:${value}`, onclick: () => this.#segment(what, value) }, text)));
  }

  #segment(what, value) {
    const { document } = this;
    if (what === "type") {
      if (value !== document.condition.type) this.set({ condition: firstCondition(value, document.condition) });
      return;
    }
    if (value === (document.watch ? "watch" : "query")) return;
    const { pipeline } = this;
    if (value === "watch") this.#watch("stale", { query: undefined, pipeline });
    else this.set({ watch: undefined, pipeline: undefined, query: { pipeline, select: [{ agg: "count" }] }, condition: firstCondition("threshold") });
    this.#fillFields();
  }

  #watch(watch, more = {}) {
    this.set({ ...more, watch, condition: { type: "threshold", op: ">", value: this.facts.watches[watch].limit }, window: this.document.window ?? "15m" });
  }

  #number(read, set, label, props = {}) {
    return this.#bind(h("input", { class: "input num limit", inputmode: "decimal", autocomplete: "off", "aria-label": label, ...props }), read, (value) => set(number(value) ?? null), { as: (value) => value ?? "" });
  }

  #build() {
    this.left = h("p", { class: "problem", hidden: true, role: "alert" });
    this.form.append(this.#subject(), this.#when(), this.#whom(), this.left);
  }

  #subject() {
    const pipelines = [["", "choose a pipeline"], ...this.facts.pipelines.map((one) => [one.slug, one.name])];
    const pipeline = this.#choice(pipelines, () => this.pipeline ?? "", (value) => {
      if (this.document.watch) this.set({ pipeline: value });
      else {
        this.where.forget();
        this.query({ pipeline: value, select: [{ agg: "count" }], by: undefined, where: undefined });
        this.#readFields().then(() => this.#firstMeasure());
      }
    });
    this.agg = this.#choice(AGGREGATES, () => this.measure.agg, (value) => {
      const field = value === "count" ? undefined : this.measure.field ?? this.fields.find((each) => aggregatesFor(each.type).some(([name]) => name === value))?.name;
      this.query({ select: [without({ agg: value, field })] });
      this.#name();
    }, { "aria-label": "Aggregate" });
    this.field = this.#choice([["", "records"]], () => this.measure.field ?? "", (value) => {
      const type = this.fields.find((each) => each.name === value)?.type;
      const able = aggregatesFor(value ? type : "").map(([name]) => name);
      const agg = able.includes(this.measure.agg) && (value || this.measure.agg === "count") && !(value && this.measure.agg === "count") ? this.measure.agg : value && able.includes("avg") ? "avg" : "count";
      this.query({ select: [without({ agg, field: value || undefined })] });
      this.#name();
    }, { "aria-label": "Field" });
    this.groups = h("div", { class: "chips" });
    this.where = new Where({ fields: () => this.fields, variables: () => [], values: (field) => this.#values(field) });
    this.#bind(this.where.input, () => this.document.query?.where ?? "", (value) => this.query({ where: value.trim() ? value : undefined }));
    const window = this.#choice(WINDOWS.map((each) => [each, each]), () => this.document.window, (value) => this.set({ window: value }));
    const watch = this.#choice(Object.entries(WATCHES).map(([name, [text]]) => [name, text]), () => this.document.watch ?? "stale", (value) => this.document.watch && this.#watch(value));
    this.watchHelp = h("span", { class: "help" });
    const watching = labelled("What", watch, { place: "watch" });
    watching.append(this.watchHelp);
    return this.#section("What is watched",
      this.#segments("subject", "What is watched", [["query", "A number of the data"], ["watch", "The pipeline itself"]]),
      labelled("Pipeline", pipeline, { place: "query.pipeline" }),
      h("div", { "data-if": "subject:watch" }, watching),
      h("div", { class: "side-by-side", "data-if": "subject:query" },
        h("div", { class: "field", "data-place": "query.select" }, h("span", { class: "label", text: "Value" }), h("div", { class: "measure-line" }, this.agg, h("span", { class: "muted", text: "of" }), this.field), h("span", { class: "wrong", hidden: true, role: "alert" })),
        labelled("Over", window, { place: "window" })),
      h("div", { class: "field", "data-if": "subject:query", "data-place": "query.by" }, h("span", { class: "label", text: "One alert for each" }), this.groups, h("span", { class: "wrong", hidden: true, role: "alert" })),
      h("div", { "data-if": "subject:query" }, labelled("Of records for which", this.where.element, { place: "query.where" })));
  }

  #when() {
    const { condition: _first } = this.document;
    const now = () => this.document.condition;
    const beyond = (types) => OPERATORS.filter(([op]) => types.includes(op));
    const op = this.#choice(OPERATORS, () => now().op ?? ">", (value) => {
      const pair = PAIRS.includes(value);
      const [low, high] = [now().value].flat();
      this.condition({ op: value, recover: undefined, value: pair ? (Array.isArray(now().value) ? now().value : [low ?? null, low ?? null]) : (low ?? high ?? null) });
    }, { "aria-label": "Comparison", class: "input op" });
    const single = this.#number(() => (Array.isArray(now().value) ? now().value[0] : now().value), (value) => this.condition({ value }), "Limit", { placeholder: "limit" });
    const low = this.#number(() => [now().value].flat()[0], (value) => this.condition({ value: [value, [now().value].flat()[1] ?? null] }), "Lower limit");
    const high = this.#number(() => [now().value].flat()[1], (value) => this.condition({ value: [[now().value].flat()[0] ?? null, value] }), "Upper limit");
    const recover = this.#number(() => (Array.isArray(now().recover) ? undefined : now().recover), (value) => this.condition({ recover: value ?? undefined }), "Recovers at", { placeholder: "at the limit" });
    const unit = () => h("span", { class: "muted unit", "data-unit": "" });
    const over = (types, help) => h("div", { "data-if": `type:${types}` }, labelled(help, this.#choice(OVERS.map((each) => [each, each]), () => now().over ?? "1h", (value) => this.condition({ over: value })), { place: "condition.over" }));
    this.conditionHelp = h("span", { class: "help" });
    const limits = h("div", { class: "field", "data-if": "type:threshold,change", "data-place": "condition.value" },
      h("div", { class: "limit-line" }, op,
        h("span", { class: "limit-part", "data-if": "pair:no" }, single, unit()),
        h("span", { class: "limit-part", "data-if": "pair:yes" }, low, h("span", { class: "muted", text: "to" }), high, unit())),
      h("span", { class: "wrong", hidden: true, role: "alert" }));
    const change = this.#choice([["percent", "in percent of what it was"], ["absolute", "in its own unit"]], () => now().by ?? "absolute", (value) => this.condition({ by: value }));
    const quantileOp = this.#choice(beyond([">", "<"]), () => now().op ?? ">", (value) => this.condition({ op: value }), { "aria-label": "Comparison", class: "input op" });
    const share = this.#bind(h("input", { class: "input num limit", inputmode: "decimal", "aria-label": "Percentile" }), () => now().quantile, (value) => this.condition({ quantile: Number.isFinite(Number(value)) && value !== "" ? Number(value) / 100 : value }), { as: (value) => (typeof value === "number" ? String(Number((value * 100).toPrecision(6))) : (value ?? "")) });
    const weeks = this.#number(() => now().weeks, (value) => this.condition({ weeks: value }), "Weeks");
    const deviations = this.#number(() => now().deviations, (value) => this.condition({ deviations: value }), "Deviations");
    const wait = this.#choice(WAITS, () => this.document.for, (value) => this.set({ for: value }));
    const keep = this.#choice(KEEPS, () => this.document.keep_firing_for, (value) => this.set({ keep_firing_for: value }));
    const nothing = this.#choice(NO_DATA, () => this.document.no_data_state, (value) => this.set({ no_data_state: value }));
    const types = this.#segments("type", "Condition", CONDITIONS);
    this.more = h("details", { class: "more" }, h("summary", { text: "More about when" }), h("div", { class: "stack" },
      h("div", { "data-if": "type:threshold,change" }, h("div", { "data-if": "pair:no" }, labelled("Recovers only at", h("div", { class: "limit-line" }, recover, unit()), { place: "condition.recover", help: "So that a value that trembles around the limit does not fire again and again" }))),
      labelled("When it is well again it", keep, { place: "keep_firing_for" }),
      labelled("Without data it", nothing, { place: "no_data_state" })));
    return this.#section("When it fires",
      h("div", { class: "field", "data-if": "subject:query", "data-place": "condition.type" }, types, this.conditionHelp, h("span", { class: "wrong", hidden: true, role: "alert" })),
      limits,
      h("div", { class: "side-by-side", "data-if": "type:change" }, labelled("Changes", change, { place: "condition.by" }), over("change", "Within")),
      h("div", { class: "side-by-side", "data-if": "type:quantile" }, h("div", { class: "field", "data-place": "condition.quantile" }, h("span", { class: "label", text: "The value" }), h("div", { class: "limit-line" }, quantileOp, share, h("span", { class: "muted", text: "th percentile" })), h("span", { class: "wrong", hidden: true, role: "alert" })), over("quantile", "Of the time before")),
      h("div", { class: "side-by-side", "data-if": "type:anomaly" }, labelled("Deviations from the mean", deviations, { place: "condition.deviations" }), labelled("Of the same hour of so many weeks", weeks, { place: "condition.weeks" })),
      labelled("It fires", wait, { place: "for" }),
      this.more);
  }

  #whom() {
    const name = h("input", { autocomplete: "off", maxlength: "200", placeholder: "Too hot", required: true });
    this.#bind(name, () => this.document.name, (value) => {
      this.touched.add("name");
      this.set({ name: value, ...(this.named ? {} : { slug: slugOf(value) }) }, 60_000);
    });
    const slug = h("input", { class: "mono", autocomplete: "off", spellcheck: "false", maxlength: "41" });
    this.#bind(slug, () => this.document.slug, (value) => {
      this.named = value !== "";
      this.set({ slug: value }, 60_000);
    });
    const severity = this.#choice(this.facts.severities.map((each) => [each, each]), () => this.document.severity, (value) => this.set({ severity: value }, 60_000));
    const repeat = this.#choice(REPEATS, () => this.document.repeat, (value) => this.set({ repeat: value }, 60_000));
    const message = h("textarea", { class: "code", rows: "3", spellcheck: "false", placeholder: "{{ series_name }}: {{ value }} is over {{ threshold }} since {{ since }}" });
    this.#bind(message, () => this.document.message ?? "", (value) => this.set({ message: words(value) }, 60_000));
    const link = h("input", { autocomplete: "off", spellcheck: "false", placeholder: "/dashboards/weather or https://…" });
    this.#bind(link, () => this.document.link ?? "", (value) => this.set({ link: words(value.trim()) }, 60_000));
    this.sinkBoxes = [];
    const sinks = this.facts.sinks.map((one) => {
      const { control, element } = checkbox(one.name);
      control.value = one.slug;
      element.querySelector("label").append(h("span", { class: "muted", text: one.kind }));
      control.addEventListener("change", () => this.set({ sinks: this.sinkBoxes.filter((box) => box.checked).map((box) => box.value) }, 60_000));
      this.sinkBoxes.push(control);
      return element.firstElementChild;
    });
    const noSinks = h("p", { class: "muted" }, "No sink yet that people read: the alert is shown here, and nobody is told. ", this.facts.may_make_sinks ? h("a", { href: "/sinks/new", target: "_blank", text: "Make a sink" }) : null);
    this.labels = new Lines({
      label: "Labels", add: "Label", place: "labels", most: 20,
      read: () => this.labelList ?? (this.labelList = Object.entries(this.document.labels ?? {}).map(([key, value]) => ({ key, value }))),
      write: (list) => {
        this.labelList = list;
        this.set({ labels: Object.fromEntries(list.filter((each) => each.key).map((each) => [each.key, each.value ?? ""])) }, 60_000);
      },
      fresh: () => ({ key: "", value: "" }),
      line: (at, get, set) => {
        const key = h("input", { class: "input", "aria-label": `Name of label ${at + 1}`, placeholder: "service", spellcheck: "false" });
        const value = h("input", { class: "input", "aria-label": `Value of label ${at + 1}`, placeholder: "web" });
        return { elements: [key, value], shows: [bind(key, () => get().key ?? "", (text) => set({ key: text })), bind(value, () => get().value ?? "", (text) => set({ value: text }))] };
      },
    });
    return this.#section("What it is called, and whom it tells",
      h("div", { class: "side-by-side" }, labelled("Name", name, { place: "name" }), labelled("Severity", severity, { place: "severity" })),
      labelled("Slug", slug, { place: "slug", help: "Its name in addresses and in the API" }),
      h("div", { class: "field", "data-place": "sinks" }, h("span", { class: "label", text: "Tells" }), ...(sinks.length ? sinks : [noSinks]), h("span", { class: "wrong", hidden: true, role: "alert" })),
      sinks.length ? labelled("While it fires it", repeat, { place: "repeat", help: "Until somebody acknowledges it" }) : null,
      this.told.more = h("details", { class: "more" }, h("summary", { text: "Message, link and labels" }), h("div", { class: "stack" },
        labelled("Message", message, { place: "message", help: "A Jinja template. It knows `name`, `state`, `severity`, `value`, `unit`, `threshold`, `series`, `series_name`, `labels`, `since`, `condition`, `link`. Empty: plain words" }),
        labelled("Link", link, { place: "link", help: "Where a receiver is led to; without one, to this alert" }),
        this.labels.element)));
  }

  #groupChips() {
    const list = this.document.query?.by ?? [];
    const chip = (name, at) => h("span", { class: "choice-chip" }, h("span", { text: name }), h("button", { type: "button", "aria-label": `Remove ${name}`, disabled: this.locked, onclick: () => this.query({ by: list.filter((_one, index) => index !== at) }) }, icon("remove")));
    const free = this.fields.filter((field) => !list.includes(field.name) && field.type !== "json");
    const more = select([["", list.length ? "and" : "nothing: one for all"], ...free.map((field) => [field.name, field.name])], { "aria-label": "Group by", class: "input add-field", disabled: this.locked });
    more.addEventListener("change", () => more.value && this.query({ by: [...list, more.value] }));
    return [...list.map(chip), more];
  }

  #fillFields() {
    const groups = [["Numbers", ["number", "integer"]], ["Others", ["text", "boolean", "timestamp"]]];
    const option = (field) => h("option", { value: field.name, text: field.unit ? `${field.name} (${field.unit})` : field.name });
    this.field.replaceChildren(h("option", { value: "", text: "records" }), ...groups.map(([label, types]) => h("optgroup", { label }, ...this.fields.filter((each) => types.includes(each.type)).map(option))).filter((each) => each.children.length));
    this.field.value = this.measure.field ?? "";
  }

  /** Of a pipeline just chosen: the number that stands out. */
  #firstMeasure() {
    const { metric } = outstanding(this.fields);
    if (metric && this.measure.agg === "count" && !this.document.watch) {
      this.query({ select: [{ agg: "avg", field: metric.name }] });
      this.#name();
    }
  }

  /** A name that says what is watched, until somebody writes another. */
  #name() {
    if (this.named || this.touched.has("name") || this.facts.revision) return;
    const field = this.measure.field?.replaceAll("_", " ");
    const name = field ? `${field.charAt(0).toUpperCase()}${field.slice(1)}` : "Records";
    this.set({ name, slug: slugOf(name) });
  }

  #values(field) {
    return new Promise((resolve, reject) => {
      const subscription = liveClient("/live").subscribe({ kind: "values", variable: { name: "value", type: "query", query: { pipeline: this.pipeline, field } }, range: { from: "now-30d", to: "now" } }, (message) => {
        subscription.close();
        if (message.kind === "error") reject(new Error(message.detail));
        else resolve(message.data[message.columns.findIndex((column) => column.name === "value")] ?? message.data[0] ?? []);
      });
    });
  }
}

