// A tile as a picture. Its elements are copied with the styles they have now, canvases as images, and drawn by the
// browser itself: what is saved is what is seen, also of tables and texts.

import { download, fileName } from "./export.js";

const SCALE = 2;
const LEFT_OUT = ".tile-menu, dialog, .chart-tip, .crosshair, .zoom-band, .point-menu, .pager, .filters, .map-buttons, [hidden], script, style";
/** What decides how a copied element looks; all 350 properties would make a table's copy megabytes. */
const LOOKS = [
  "display", "position", "inset", "top", "left", "right", "bottom", "width", "height", "min-width", "min-height", "max-width", "max-height", "box-sizing", "margin", "padding",
  "border", "border-top", "border-bottom", "border-left", "border-right", "border-radius", "border-collapse", "border-spacing", "background", "background-color", "background-image", "color", "opacity", "overflow",
  "font", "font-variant-numeric", "letter-spacing", "line-height", "text-align", "text-decoration", "text-overflow", "white-space", "overflow-wrap", "vertical-align",
  "flex", "flex-direction", "flex-wrap", "align-items", "align-self", "align-content", "justify-content", "gap", "grid-template-columns", "grid-template-rows", "grid-column", "grid-row",
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "transform", "visibility", "list-style", "table-layout", "z-index",
];

function copied(element) {
  if (element.nodeType === Node.TEXT_NODE) return document.createTextNode(element.textContent);
  if (element.nodeType !== Node.ELEMENT_NODE || element.matches(LEFT_OUT)) return null;
  let made;
  if (element instanceof HTMLCanvasElement) {
    made = document.createElement("img");
    made.src = element.toDataURL();
  } else made = element.cloneNode(false);
  for (const name of ["class", "id", "tabindex", "title"]) made.removeAttribute(name);
  const style = getComputedStyle(element);
  made.setAttribute("style", LOOKS.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  if (element instanceof HTMLCanvasElement) return made;
  for (const child of element.childNodes) {
    const copy = copied(child);
    if (copy) made.append(copy);
  }
  return made;
}

/**
 * The tile as PNG.
 * @param {import("./tile.js").Tile} tile
 * @returns {Promise<Blob>}
 */
export async function imageOf(tile) {
  const { width, height } = tile.element.getBoundingClientRect();
  const copy = copied(tile.element);
  Object.assign(copy.style, { position: "static", margin: "0", width: `${width}px`, height: `${height}px` });
  const holder = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  holder.setAttribute("width", String(width));
  holder.setAttribute("height", String(height));
  const foreign = holder.appendChild(document.createElementNS(holder.namespaceURI, "foreignObject"));
  foreign.setAttribute("width", "100%");
  foreign.setAttribute("height", "100%");
  foreign.append(copy);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(holder))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * SCALE);
  canvas.height = Math.round(height * SCALE);
  const paint = canvas.getContext("2d");
  paint.fillStyle = tile.theme.surface;
  paint.fillRect(0, 0, canvas.width, canvas.height);
  paint.scale(SCALE, SCALE);
  paint.drawImage(image, 0, 0);
  return new Promise((resolve, reject) => {
    // Some browsers hold a picture of page elements back, and say so here.
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The browser made no picture of it"))), "image/png");
  });
}

/** Offer the tile as a PNG; where the browser refuses, the tile says so. */
export async function saveImage(tile) {
  try {
    download(`${fileName(tile.name || tile.tile.kind)}.png`, await imageOf(tile));
  } catch (error) {
    tile.state.below({ title: "This browser gives no picture of the tile", detail: `${error.message}. “View data” and “Download CSV” have its numbers.` }, false);
  }
}
