// The control that says which time is shown and whether it moves: a range in words, presets, the calendar's ranges, two
// dates, the zone; steps back and forward, more around it; live, on a beat, or still.

import { dropdown } from "./dashboard/dropdown.js";
import { BEATS } from "./dashboard/state.js";
import { make, write } from "./elements.js";
import { fromWall, toWall } from "./format.js";
import { absolute, CALENDAR, isRelative, PRESETS, resolveRange, step, widen } from "./range.js";
import { describeRange, parseRange } from "./range-text.js";

const toInput = (at, zone) => new Date(toWall(at, zone)).toISOString().slice(0, 19);
const fromInput = (text, zone) => {
  const wall = Date.parse(`${text}Z`);
  return Number.isFinite(wall) ? fromWall(wall, zone) : null;
};
const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;
const zones = () => (typeof Intl.supportedValuesOf === "function" ? Intl.supportedValuesOf("timeZone") : []);

/** A beat in words: "Every 30 seconds". */
export function beatWords(beat) {
  const count = parseInt(beat, 10);
  const word = { s: "second", m: "minute", h: "hour" }[beat.at(-1)];
  return count === 1 ? `Every ${word}` : `Every ${count} ${word}s`;
}

/**
 * @param {object} options
 * @param {(range: {from: string, to: string}) => void} options.onRange
 * @param {(refresh: string) => void} options.onRefresh "live", "off" or a beat
 * @param {(zone: string | null) => void} [options.onZone] absent: the zone cannot be chosen; null: the usual one
 * @param {(zone: string) => void} [options.keepZone] make it the person's own
 * @returns {{element: HTMLElement, show: (what: {range: object, refresh: string, zone?: string, chosen?: string | null, usual?: {name: string, words: string}}) => void,
 *   openRange: () => void, destroy: () => void}}
 */
export function rangeControl({ onRange, onRefresh, onZone, keepZone }) {
  const element = make("div", "range-control");
  let current = { range: { from: "now-24h", to: "now" }, refresh: "live", zone: undefined, chosen: null, usual: null };
  let followed = "live"; // what following again means

  const group = make("div", "range-group", element);
  const side = (glyph, label, act) => {
    const button = make("button", "button icon", null, glyph);
    button.type = "button";
    button.title = label;
    button.setAttribute("aria-label", label);
    button.addEventListener("click", act);
    return button;
  };
  const menu = dropdown({ className: "range-menu", opened: () => fill() });
  const words = make("span", "num", menu.button);
  // Times that are not those of the clock on the wall must say so where they are read.
  const elsewhere = make("span", "range-elsewhere", menu.button);
  const wider = side("⊖", "Show twice as much time", () => onRange(widen(current.range, Date.now(), current.zone)));
  wider.classList.add("range-wider");
  group.append(
    side("‹", "Earlier by one range", () => onRange(step(current.range, -1, Date.now(), current.zone))), menu.element,
    side("›", "Later by one range", () => onRange(step(current.range, 1, Date.now(), current.zone))), wider,
  );

  menu.panel.classList.add("range-panel");
  const lists = make("div", "range-lists", menu.panel);
  const buttons = [PRESETS.map(([from, text]) => [from, "now", text]), CALENDAR].flatMap((offered) => {
    const list = make("div", "range-presets", lists);
    return offered.map(([from, to, text]) => {
      const button = make("button", "", list, text);
      button.type = "button";
      button.addEventListener("click", () => choose({ from, to }));
      return [from, to, button];
    });
  });
  const side2 = make("div", "range-side", menu.panel);
  const said = make("form", "range-form", side2);
  const typed = make("input", "input", make("label", "field", said));
  typed.placeholder = "yesterday, last 3 days, 1 Mar to 5 Mar";
  typed.setAttribute("aria-label", "Range in words");
  const unread = make("div", "wrong", said);
  unread.setAttribute("role", "alert");
  const form = make("form", "range-form", side2);
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
  const place = make("div", "range-zone", side2);
  const zone = onZone ? make("select", "input", place) : make("span", "", place);
  zone.setAttribute("aria-label", "Time zone");
  const keep = make("button", "button quiet small", place, "Keep as mine");
  keep.type = "button";
  keep.title = "Use this zone on every dashboard that names none";
  keep.addEventListener("click", () => keepZone?.(current.zone ?? browserZone()));

  function choose(range) {
    menu.open(false);
    menu.button.focus({ preventScroll: true });
    onRange(range);
  }

  /** What the panel says, when it is opened. */
  function fill() {
    wrong.textContent = unread.textContent = "";
    const read = resolveRange(current.range, Date.now(), current.zone);
    if (read) {
      from.value = toInput(read.from, current.zone);
      to.value = toInput(read.to, current.zone);
    }
    typed.value = current.range.to === "now" || isRelative(current.range) ? `${current.range.from} to ${current.range.to}` : "";
    keep.hidden = !keepZone || !current.chosen || current.chosen === "browser";
    if (!onZone) return write(zone, current.zone ?? browserZone());
    if (!zone.options.length) {
      const option = (value, text, parent = zone) => (make("option", "", parent, text).value = value);
      option("", "");
      option("browser", `Browser: ${browserZone()}`);
      option("UTC", "UTC");
      const all = make("optgroup", "", zone);
      all.label = "All zones";
      for (const each of zones()) if (each !== "UTC") option(each, each, all);
    }
    zone.options[0].textContent = current.usual ? `${current.usual.words}: ${current.usual.name}` : `Browser: ${browserZone()}`;
    if (current.chosen && ![...zone.options].some((each) => each.value === current.chosen)) make("option", "", zone, current.chosen).value = current.chosen;
    zone.value = current.chosen ?? "";
  }

  said.addEventListener("submit", (event) => {
    event.preventDefault();
    const range = parseRange(typed.value, { zone: current.zone });
    unread.textContent = range ? "" : "Such as “last 3 hours”, “yesterday”, “now-7d to now-1d” or “1 Mar to 5 Mar”.";
    if (range) choose(range);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const start = fromInput(from.value, current.zone);
    const end = fromInput(to.value, current.zone);
    wrong.textContent = start === null || end === null ? "Both need a date and a time." : end <= start ? "The end must come after the start." : "";
    if (!wrong.textContent) choose(absolute(start, end));
  });
  zone.addEventListener("change", () => onZone?.(zone.value || null));

  const pace = make("div", "range-group", element);
  const live = make("button", "button live-toggle", pace);
  live.type = "button";
  live.addEventListener("click", () => onRefresh(current.refresh === "off" ? followed : "off"));
  const rates = dropdown({
    className: "refresh-menu", label: "How often",
    items: () => [
      { text: "Live, as it comes", act: () => onRefresh("live"), current: current.refresh === "live" },
      ...BEATS.map((each) => ({ text: beatWords(each), act: () => onRefresh(each), current: current.refresh === each })),
      { text: "Hold still", act: () => onRefresh("off"), current: current.refresh === "off" },
    ],
  });
  pace.append(rates.element);

  return {
    element,
    openRange() {
      menu.open(true);
      typed.focus();
      typed.select();
    },
    show(next) {
      current = { ...current, ...next };
      const { range, refresh } = current;
      if (refresh !== "off") followed = refresh;
      write(words, describeRange(range, current.zone));
      write(elsewhere, current.zone && current.zone !== browserZone() ? current.zone.split("/").at(-1).replaceAll("_", " ") : "");
      menu.button.title = `In the zone ${current.zone ?? browserZone()}`;
      for (const [start, end, button] of buttons) button.setAttribute("aria-current", String(range.from === start && range.to === end));
      live.textContent = refresh === "live" ? "Live" : refresh === "off" ? "Paused" : `Every ${refresh.replace(/([smh])$/, (unit) => `\u00a0${{ s: "s", m: "min", h: "h" }[unit]}`)}`;
      live.dataset.live = String(refresh !== "off");
      live.setAttribute("aria-pressed", String(refresh !== "off"));
      live.title = refresh === "off" ? "Holding still. Click to follow again." : isRelative(range) ? "Following new data. Click to hold still." : "Late data for this range still arrive. Click to hold still.";
    },
    destroy() {
      menu.destroy();
      rates.destroy();
      element.remove();
    },
  };
}
