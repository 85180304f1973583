// Beside the form of a rule: the message as its receivers will read it, with an example of a value.

import { write } from "../elements.js";
import { h } from "../mapping/dom.js";

const WAIT = 400;
const STATES = [["firing", "Firing"], ["resolved", "Resolved"], ["no_data", "Without data"]];

export class Told {
  /**
   * @param {(given: {state: string, series: object}) => Promise<{title: string, text: string, problems: [string, string][]}>} ask
   * @param {(problems: [string, string][]) => void} marked what is wrong with the template, at each answer
   */
  constructor(ask, marked) {
    Object.assign(this, { ask, marked, state: "firing", series: {}, asked: 0 });
    this.title = h("p", { class: "told-title" });
    this.text = h("p", { class: "told-text" });
    this.buttons = STATES.map(([state, text]) => h("button", { type: "button", "data-state": state, onclick: () => this.#choose(state) }, text));
    this.shown = h("div", { class: "told card-body", role: "status", "aria-live": "polite" }, this.title, this.text);
    this.element = h("section", { class: "card", "aria-label": "As it is told" },
      h("div", { class: "card-head told-head" }, h("h2", { text: "As it is told" }), h("span", { class: "grow" }), h("div", { class: "segments", role: "group", "aria-label": "Which message" }, ...this.buttons)),
      this.shown);
    this.#press();
  }

  /** The newest values of the dimensions, out of what was tried: they stand in the example. */
  of(frame) {
    const at = (frame?.data[0]?.length ?? 0) - 1;
    const series = {};
    frame?.columns.forEach(({ name }, number) => {
      if (number > 0 && number < frame.columns.length - 1 && at >= 0) series[name] = frame.data[number][at];
    });
    if (JSON.stringify(series) === JSON.stringify(this.series)) return;
    this.series = series;
    this.soon(0);
  }

  soon(wait = WAIT) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#show(), wait);
  }

  #choose(state) {
    this.state = state;
    this.#press();
    this.soon(0);
  }

  #press() {
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.state === this.state));
  }

  async #show() {
    this.asked += 1;
    const { asked } = this;
    this.shown.classList.add("is-stale");
    try {
      const { title, text, problems } = await this.ask({ state: this.state, series: this.series });
      if (asked !== this.asked) return;
      write(this.title, title);
      write(this.text, text);
      this.marked(problems);
    } catch (error) {
      if (asked !== this.asked) return;
      write(this.title, "");
      write(this.text, error.problems?.length ? "When what is marked is right, the message stands here as it is told." : error.message);
    }
    this.shown.classList.remove("is-stale");
  }
}
