// Dragging over a chart chooses a stretch of time.

import { make } from "../elements.js";

/**
 * @param {HTMLElement} canvas
 * @param {{can: (x: number, y: number) => boolean, timeAt: (x: number) => number, chosen: (from: number, to: number, event: PointerEvent) => void}} chart
 */
export function dragZoom(canvas, { can, timeAt, chosen }) {
  let start = null;
  const band = make("div", "zoom-band", canvas);
  band.hidden = true;
  const x = (event) => Math.min(Math.max(event.clientX - canvas.getBoundingClientRect().left, 0), canvas.clientWidth);
  const moved = (event) => {
    const [left, right] = [start, x(event)].sort((a, b) => a - b);
    band.hidden = right - left < 4;
    band.style.left = `${left}px`;
    band.style.width = `${right - left}px`;
  };
  const ended = (event) => {
    removeEventListener("pointermove", moved);
    removeEventListener("pointerup", ended);
    removeEventListener("pointercancel", ended);
    band.hidden = true;
    const [left, right] = [start, x(event)].sort((a, b) => a - b);
    start = null;
    if (event.type !== "pointercancel" && right - left >= 6) chosen(timeAt(left), timeAt(right), event);
  };
  // Fingers scroll the page; zooming is for pointers that hover.
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || event.pointerType === "touch") return;
    const box = canvas.getBoundingClientRect();
    if (!can(event.clientX - box.left, event.clientY - box.top)) return;
    start = x(event);
    addEventListener("pointermove", moved);
    addEventListener("pointerup", ended);
    addEventListener("pointercancel", ended);
  });
}
