// Making elements in few words. Text from data is only ever set as text.

/**
 * @param {string} tag
 * @param {object} [props] `class`, `text`, `on<event>`, properties that are no texts, attributes; null and false are left out
 * @param {...(Node | string | null | false)} children
 */
export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name === "text") made.textContent = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const PATHS = {
  undo: "M6 3L2.500 6.500 6 10M3 6.500h6.500a3.500 3.500 0 010 7H6",
  redo: "M10 3l3.500 3.500L10 10M13 6.500H6.500a3.500 3.500 0 000 7H10",
  up: "M8 13V3.500M4 7.500l4-4 4 4",
  down: "M8 3v9.500M4 8.500l4 4 4-4",
  remove: "M4 4l8 8M12 4l-8 8",
  more: "M3.500 8h.010M8 8h.010M12.500 8h.010",
  caret: "M4 6.500l4 4 4-4",
  back: "M10 3L5 8l5 5",
  next: "M6 3l5 5-5 5",
  plus: "M8 3v10M3 8h10",
  search: "M7 12a5 5 0 100-10 5 5 0 000 10zM10.500 10.500L14 14",
  history: "M2.500 8A5.500 5.500 0 108 2.500c-2 0-3.600 1-4.600 2.500M3 2v3.200h3.200M8 5v3.200l2 1.300",
  settings: "M2.500 4.500h6M11.500 4.500h2M2.500 11.500h2M7.500 11.500h6M8.500 3v3M4.500 10v3",
  copy: "M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3",
  trash: "M3 4.500h10M6 4.500v-2h4v2M4.500 4.500l.5 9h6l.5-9",
  eye: "M1.500 8S4 3.500 8 3.500 14.500 8 14.500 8 12 12.500 8 12.500 1.500 8 1.500 8zM8 9.800a1.800 1.800 0 100-3.600 1.800 1.800 0 000 3.600z",
  link: "M6.500 9.500l3-3M7 4.500l1.500-1.500a3 3 0 014.500 4.500L11.500 9M9 11.500L7.500 13A3 3 0 013 8.500L4.500 7",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", fill: "none", stroke: "currentColor", "stroke-width": name === "more" ? "2.500" : "1.500", "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" })) svg.setAttribute(key, value);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that is an icon, with its words for who cannot see it. */
export const iconButton = (name, label, onclick, props = {}) => h("button", { type: "button", class: "button quiet icon small", "aria-label": label, title: label, onclick, ...props }, icon(name));

/** 1 reject, 12 rejects, 1 284 rejects */
export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en").replaceAll(",", "\u202f")} ${count === 1 ? one : many}`;

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const value = bytes < 1e6 ? bytes / 1e3 : bytes / 1e6;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${bytes < 1e6 ? "kB" : "MB"}`;
}
