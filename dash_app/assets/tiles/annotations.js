// Annotations over a chart: a line at a moment, a band over a stretch of time, each with a mark at the bottom whose text is
// told on hover and focus. They are elements above the canvas, so that they cost the chart no redraw.

import { make } from "../elements.js";
import { formatFullTime } from "../format.js";
import { thresholdColor } from "../theme-values.js";

const MOST = 200;

export class Annotations {
  /** @param {HTMLElement} canvas */
  constructor(canvas) {
    this.layer = make("div", "annotations", canvas);
    this.tip = make("div", "tip annotation-tip", canvas);
    this.tip.hidden = true;
    this.tip.setAttribute("role", "tooltip");
    this.known = "";
  }

  /**
   * @param {object[]} rows @param {(at: number) => number} x epoch ms → pixels
   * @param {{from: number, to: number, theme: object, zone?: string}} window
   */
  draw(rows, x, { from, to, theme, zone }) {
    const seen = rows.filter((each) => each.time <= to && (each.time_end ?? each.time) >= from).slice(-MOST);
    const placed = seen.map((each) => [each.id, Math.round(x(Math.max(from, each.time))), each.time_end == null ? null : Math.round(x(Math.min(to, each.time_end))), each.text, each.color]);
    const next = JSON.stringify([placed, theme.accent]);
    if (next === this.known) return;
    this.known = next;
    this.tip.hidden = true;
    this.layer.replaceChildren(...seen.map((row, i) => {
      const [, left, right] = placed[i];
      const box = make("div", "annotation");
      box.style.setProperty("--mark", thresholdColor(row.color, theme) ?? theme.accent);
      box.style.left = `${left}px`;
      box.style.width = `${right === null ? 0 : Math.max(2, right - left)}px`;
      if (right !== null) box.classList.add("band");
      const mark = make("button", "annotation-mark", box);
      mark.type = "button";
      mark.setAttribute("aria-label", [row.text, formatFullTime(row.time, { zone })].filter(Boolean).join(", "));
      const tell = () => this.tell(row, left, zone);
      const hide = () => (this.tip.hidden = true);
      mark.addEventListener("pointerenter", tell);
      mark.addEventListener("focus", tell);
      mark.addEventListener("pointerleave", hide);
      mark.addEventListener("blur", hide);
      return box;
    }));
  }

  tell(row, left, zone) {
    this.tip.replaceChildren();
    const end = row.time_end == null ? "" : ` – ${formatFullTime(row.time_end, { zone })}`;
    make("div", "tip-title", this.tip, formatFullTime(row.time, { zone }) + end);
    make("div", "annotation-text", this.tip, row.text || row.source || "");
    const tags = (row.tags ?? []).join(", ");
    const by = [row.author, tags].filter(Boolean).join(" · ");
    if (by) make("div", "tip-title", this.tip, by);
    this.tip.hidden = false;
    const room = this.tip.parentElement.clientWidth;
    this.tip.style.left = `${Math.max(4, Math.min(left - this.tip.offsetWidth / 2, room - this.tip.offsetWidth - 4))}px`;
  }

  hide() {
    this.layer.replaceChildren();
    this.tip.hidden = true;
    this.known = "";
  }
}
