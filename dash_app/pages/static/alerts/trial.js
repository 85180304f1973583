// Beside the form of a rule: its last 30 days, the limit, the times at which it would have fired, and that in words.

import { h, plural } from "../mapping/dom.js";
import { AlertChart } from "./alert-chart.js";
import { lasted } from "./conditions.js";

const RANGE = { from: "now-30d", to: "now" };

export class Trial {
  /** @param {string} [timezone] */
  constructor(timezone) {
    this.timezone = timezone;
    this.verdict = h("p", { class: "verdict", role: "status", "aria-live": "polite" }, h("span", { class: "skeleton" }));
    this.place = h("div", { class: "trial-chart" });
    this.list = h("ol", { class: "rows trial-list" });
    this.listed = h("details", { class: "more", hidden: true }, h("summary", { text: "When" }), this.list);
    this.element = h("aside", { class: "trial", "aria-label": "The last 30 days" }, h("section", { class: "card" }, h("div", { class: "card-body stack" }, this.verdict, this.place, this.listed)));
  }

  /** The chart, once it stands in the page. */
  mount() {
    this.chart = new AlertChart(this.place, { range: RANGE, timezone: this.timezone, title: "Last 30 days" });
  }

  stale(on) {
    this.element.classList.toggle("is-stale", on);
  }

  say(text, tone = "") {
    this.verdict.className = `verdict ${tone}`;
    this.verdict.replaceChildren(text);
    this.listed.hidden = true;
    this.place.hidden = true;
  }

  failed(error) {
    this.verdict.className = "verdict";
    this.verdict.replaceChildren(error.problems.length ? "When what is marked is right, you see here when it would have fired." : error.message);
    this.listed.hidden = true;
  }

  /** @param {{fired: number, seconds: number, intervals: object[], frame: object | null, to: number | null, note: string}} answer */
  show(answer, { condition, unit, undecided }) {
    const { intervals } = answer;
    this.place.hidden = !answer.frame;
    if (answer.frame) {
      this.chart.draw({ condition, unit });
      this.chart.receive(answer.frame);
      this.chart.mark(undecided ? [] : intervals, { verb: "Would have fired", now: answer.to });
    }
    this.#say(answer, undecided);
    const latest = [...intervals].sort((a, b) => b.from - a.from).slice(0, 50);
    this.listed.hidden = undecided || !latest.length || !answer.frame;
    const full = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZone: this.timezone });
    this.list.replaceChildren(...latest.map((each) => h("li", {}, h("span", { class: "num", text: full.format(each.from) }), h("span", { class: "row-main muted", text: [each.state === "no_data" ? "no data" : "", each.series].filter(Boolean).join(", ") }), h("span", { class: "num", text: each.to === null ? `${lasted(answer.to - each.from)}, still` : lasted(each.to - each.from) }))));
  }

  #say(answer, undecided) {
    const { fired, intervals, note } = answer;
    const without = intervals.filter((each) => each.state === "no_data");
    const whole = without.reduce((sum, each) => sum + (each.to ?? answer.to) - each.from, 0);
    const lacking = without.length && !undecided ? ` Without data ${plural(without.length, "time")}, ${lasted(whole)} in all.` : "";
    const rest = lacking + (note ? ` ${note.charAt(0).toUpperCase()}${note.slice(1)}${note.endsWith(".") ? "" : "."}` : "");
    this.verdict.className = `verdict ${undecided || !answer.frame ? "" : fired ? "would" : "would-not"}`;
    if (!answer.frame) this.verdict.replaceChildren(note);
    else if (undecided) this.verdict.replaceChildren("Set a limit, and you see when it would have fired.");
    else if (!fired) this.verdict.replaceChildren(h("strong", { text: "Would not have fired" }), ` in the last 30 days.${rest}`);
    else {
      const series = new Set(intervals.filter((each) => each.state === "firing").map((each) => each.series)).size;
      this.verdict.replaceChildren("Would have fired ", h("strong", { text: plural(fired, "time") }), ", ", h("strong", { text: lasted(answer.seconds * 1000) }), ` in all, in the last 30 days${series > 1 ? `, in ${plural(series, "series", "series")}` : ""}.${rest}`);
    }
  }
}
