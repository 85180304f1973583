// What a tile shows when it has no picture: it waits, there is nothing, something is wrong.

import { ago } from "./ago.js";
import { make } from "./elements.js";

const SKELETONS = { stat: ["48%", "32%"], text: ["62%", "94%", "88%"], default: ["100%", "86%", "94%", "72%"] };

export class TileState {
  /** @param {HTMLElement} parent @param {() => void} again what "Try again" does */
  constructor(parent, again) {
    this.strip = make("div", "tile-strip", parent);
    this.strip.hidden = true;
    this.box = make("div", "tile-state", parent);
    this.again = again;
  }

  waiting(kind) {
    this.box.replaceChildren();
    this.box.className = "tile-state waiting";
    this.box.setAttribute("role", "status");
    this.box.setAttribute("aria-label", "Loading");
    for (const width of SKELETONS[kind] ?? SKELETONS.default) make("span", "skeleton", this.box).style.width = width;
  }

  say(className, title, detail, retry = false) {
    this.box.className = `tile-state ${className}`;
    this.box.removeAttribute("role");
    this.box.removeAttribute("aria-label");
    this.box.replaceChildren();
    make("strong", "", this.box, title);
    if (detail) make("p", "", this.box, detail);
    if (retry) this.retryButton(this.box);
  }

  empty(hasRange, last) {
    this.say("empty-state", hasRange ? "No data in this range" : "Nothing yet", last != null ? `Last record ${ago(last)}` : "");
  }

  /** There is a picture and yet something is wrong: a line below it says so. */
  below(problem, retry) {
    this.strip.hidden = !problem;
    if (!problem) return;
    this.strip.replaceChildren();
    const text = [problem.title, problem.detail].filter(Boolean).join(": ");
    make("span", "", this.strip, text).title = text;
    if (retry) this.retryButton(this.strip);
  }

  retryButton(parent) {
    const button = make("button", "button small", parent, "Try again");
    button.type = "button";
    button.addEventListener("click", () => this.again());
  }
}
