// Words. The server has made Markdown into HTML and cleaned it; here only the elements and attributes that Markdown knows
// are taken over, one by one, so that nothing else can come in whoever wrote the HTML. Values of variables go in as text.

import { make, write } from "../elements.js";
import { address, interpolate } from "../interpolate.js";

export const needs = "nothing: it has no query";
export const withoutQuery = true;

const ELEMENTS = new Set([
  "A", "B", "BLOCKQUOTE", "BR", "CODE", "DEL", "EM", "H1", "H2", "H3", "H4", "H5", "H6", "HR", "I", "LI", "OL", "P", "PRE", "S", "STRONG", "SUB", "SUP", "TABLE", "TBODY", "TD",
  "TH", "THEAD", "TR", "UL",
]);
/** What is inside these is no text to be read. */
const DROPPED = new Set(["SCRIPT", "STYLE", "TEMPLATE", "IFRAME", "OBJECT", "SVG", "MATH", "TITLE", "NOSCRIPT"]);
/** A tile has a heading already: those of its text stand below it. */
const HEADINGS = { H1: "H4", H2: "H4", H3: "H5", H4: "H5", H5: "H6", H6: "H6" };

function taken(from, into, values) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) into.append(interpolate(node.data, values));
    if (node.nodeType !== Node.ELEMENT_NODE) continue;
    const name = node.nodeName.toUpperCase();
    if (DROPPED.has(name)) continue;
    if (!ELEMENTS.has(name)) {
      taken(node, into, values);
      continue;
    }
    const made = make((HEADINGS[name] ?? name).toLowerCase(), HEADINGS[name] ? `head-${name[1]}` : "", into);
    if (name === "A") {
      const href = address((node.getAttribute("href") ?? "").replace(/%7B/gi, "{").replace(/%7D/gi, "}"), values);
      if (href) made.href = href;
      made.rel = "noopener noreferrer";
    }
    if (name === "OL" && /^\d{1,9}$/.test(node.getAttribute("start") ?? "")) made.start = Number(node.getAttribute("start"));
    const align = /^text-align: ?(left|right|center)$/.exec(node.getAttribute("style") ?? "")?.[1] ?? node.getAttribute("align");
    if (["left", "right", "center"].includes(align)) made.style.textAlign = align;
    taken(node, made, values);
  }
}

/** Renderer; see tiles.js. */
export function renderer(body) {
  const box = make("div", "tile-text", body);
  box.tabIndex = 0;
  let shown = "";
  /** What the server made of a text, for pages that hand in Markdown alone. */
  let rendered = { markdown: null, html: null };
  return {
    draw(_frame, context) {
      const { html: given, markdown = "" } = context.tile.options ?? {};
      if (typeof given !== "string" && context.markdown && markdown !== rendered.markdown) {
        // The last picture stays until this one is there.
        rendered = { markdown, html: rendered.html };
        context.markdown(markdown).then((html) => {
          if (rendered.markdown !== markdown) return;
          rendered = { markdown, html };
          this.draw(_frame, context);
        }, () => {});
      }
      const html = given ?? rendered.html;
      const next = JSON.stringify([html ?? null, markdown, context.variables]);
      if (next !== shown) {
        shown = next;
        box.replaceChildren();
        if (typeof html === "string") taken(new DOMParser().parseFromString(html, "text/html").body, box, context.variables);
        // Without the server's half it is shown as it was written.
        else write(make("p", "as-written", box), interpolate(markdown, context.variables));
        if (!box.textContent.trim()) make("p", "muted", box, "Nothing is written here yet.");
      }
      return { unit: "", latest: "", role: "" };
    },
    dispose() {},
  };
}
