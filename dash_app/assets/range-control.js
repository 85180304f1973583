// The control that says which time is shown and whether it moves: presets, two dates, live or paused.

import { formatTime, fromWall, toWall } from "./format.js";
import { absolute, isRelative, PRESETS, resolveRange } from "./range.js";

function make(tag, className, parent, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

/** A range in words: a preset's name, "Last 45 minutes" style text for other relative ranges, or two times. */
export function describeRange(range, zone) {
  if (String(range.to).trim() === "now") {
    const preset = PRESETS.find(([from]) => from === range.from);
    if (preset) return preset[1];
    const match = /^now-(\d+)([smhdwMy])$/.exec(range.from);
    const words = { s: "second", m: "minute", h: "hour", d: "day", w: "week", M: "month", y: "year" };
    if (match) return `Last ${match[1] === "1" ? "" : `${match[1]} `}${words[match[2]]}${match[1] === "1" ? "" : "s"}`;
  }
  const read = resolveRange(range);
  if (!read) return `${range.from} to ${range.to}`;
  const seconds = read.to - read.from < 10 * 60_000;
  return `${formatTime(read.from, { zone, seconds })} – ${formatTime(read.to, { zone, seconds })}`;
}

const toInput = (at, zone) => new Date(toWall(at, zone)).toISOString().slice(0, 19);
const fromInput = (text, zone) => {
  const wall = Date.parse(`${text}Z`);
  return Number.isFinite(wall) ? fromWall(wall, zone) : null;
};

/**
 * @param {{zone?: string, onRange: (range: {from: string, to: string}) => void, onLive: (live: boolean) => void}} options
 * @returns {{element: HTMLElement, show: (range: {from: string, to: string}, live: boolean) => void, destroy: () => void}}
 */
export function rangeControl({ zone, onRange, onLive }) {
  const element = make("div", "range-control");
  const box = make("details", "range-menu", element);
  const open = make("summary", "button", box);
  const words = make("span", "num", open);
  const panel = make("div", "menu range-panel", box);
  const presets = make("div", "range-presets", panel);
  const buttons = PRESETS.map(([from, text]) => {
    const button = make("button", "", presets, text);
    button.type = "button";
    button.addEventListener("click", () => choose({ from, to: "now" }));
    return [from, button];
  });
  const form = make("form", "range-form", panel);
  const input = (text) => {
    const field = make("label", "field", form);
    make("span", "label", field, text);
    const made = make("input", "", field);
    made.type = "datetime-local";
    made.step = "1";
    made.required = true;
    return made;
  };
  const from = input("From");
  const to = input("To");
  const wrong = make("div", "wrong", form);
  wrong.setAttribute("role", "alert");
  make("button", "button primary small", form, "Show").type = "submit";
  make("div", "range-zone", form, zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone);
  const live = make("button", "button live-toggle", element);
  live.type = "button";
  let current = { range: { from: "now-24h", to: "now" }, live: true };

  function choose(range) {
    box.open = false;
    onRange(range);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const start = fromInput(from.value, zone);
    const end = fromInput(to.value, zone);
    wrong.textContent = start === null || end === null ? "Both need a date and a time." : end <= start ? "The end must come after the start." : "";
    if (!wrong.textContent) choose(absolute(start, end));
  });
  box.addEventListener("toggle", () => {
    const read = box.open && resolveRange(current.range);
    if (!read) return;
    wrong.textContent = "";
    from.value = toInput(read.from, zone);
    to.value = toInput(read.to, zone);
  });
  live.addEventListener("click", () => onLive(!current.live));
  const outside = (event) => {
    if (box.open && (event.type === "keydown" ? event.key === "Escape" : !event.composedPath().includes(box))) box.open = false;
  };
  addEventListener("pointerdown", outside);
  addEventListener("keydown", outside);

  return {
    element,
    show(range, isLive) {
      current = { range, live: isLive };
      words.textContent = describeRange(range, zone);
      for (const [start, button] of buttons) button.setAttribute("aria-current", String(range.to === "now" && range.from === start));
      live.textContent = isLive ? "Live" : "Paused";
      live.dataset.live = String(isLive);
      live.setAttribute("aria-pressed", String(isLive));
      live.title = isLive ? (isRelative(range) ? "Following new data. Click to hold still." : "Late data for this range still arrive. Click to hold still.") : "Holding still. Click to follow again.";
    },
    destroy() {
      removeEventListener("pointerdown", outside);
      removeEventListener("keydown", outside);
      element.remove();
    },
  };
}
